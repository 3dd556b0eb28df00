"""Stream: the public candles of one exchange over one websocket connection, and by REST, through ccxt.pro. No API key."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError
from backtest.market_data.exchange import Access, Exchange, client_of
from backtest.market_data.klines import FLAGGED, interval_name
from backtest.market_data.pages import pages
from backtest.market_data.source import CandleSource
from backtest.market_data.traits import traits_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from backtest.market_data.pages import Page
    from backtest.market_data.series import Series

    Hear = Callable[[dict[str, Any]], object]

__all__ = ["BrokenStreamError", "Stream", "streams"]

_PUSHING = frozenset({"binance", "bybit", "okx", "gate", "kraken", "kucoin"})
"""Exchanges whose websocket is listened to; the others are asked by REST at each close."""

_TOGETHER = frozenset({"binance", "bybit", "okx"})
"""Exchanges that take many symbols in one subscription."""

_MOST_TOPICS = {"bybit": 10}
"""Symbols in one subscription, where a spot connection takes no more."""


class BrokenStreamError(Exception):
    """A connection ended, by the exchange or on the way; never seen outside of a feed."""


def streams(series: Sequence[Series], access: Access, keep_alive: float) -> list[Stream]:
    """Return the connections that carry some series of one exchange: spot and perpetuals go apart.

    Parameters
    ----------
    series
        All of one exchange.
    access
        How to reach it.
    keep_alive
        Seconds between pings, at most: a connection whose pings stay unanswered ends after about twice as many.

    Raises
    ------
    InvalidSettingError
        For candles that are not of trades, and for inverse contracts.
    """
    groups: dict[tuple[bool, int], list[Series]] = {}
    for one in dict.fromkeys(series):
        base, _, settled = one.symbol.partition(":")
        if one.kind or (settled and not base.endswith(f"/{settled.partition('-')[0]}")):
            raise InvalidSettingError(f"{one} cannot be followed live: spot and linear contracts can, by their trades")
        # ccxt listens to one timeframe of a symbol on kraken: another one needs a connection of its own
        number = sum(one.symbol == other.symbol for group in groups.values() for other in group)
        groups.setdefault((bool(settled), number if one.exchange == "kraken" else 0), []).append(one)
    return [Stream(group, access, keep_alive) for group in groups.values()]


class Stream:
    """One connection to one exchange.

    Raw messages of candles are handed on as they come, in a hook that replaces ccxt's own handling: that loses nearly
    all of many closes at once, and drops the flag that a candle is closed.

    Parameters
    ----------
    series
        What it carries: of one exchange and kind of market.
    access, keep_alive
        As for :func:`streams`.
    """

    def __init__(self, series: Sequence[Series], access: Access, keep_alive: float) -> None:
        self.series = tuple(series)
        self.exchange = series[0].exchange
        self.contract = ":" in series[0].symbol
        self.pushes = self.exchange in _PUSHING
        self.flagged = self.exchange in FLAGGED
        self.names: dict[tuple[str, str], Series] = {}
        pro = _pro()
        base = getattr(pro, self.exchange, None)
        classes = {} if base is None else {self.exchange: _hooked(base)}
        self._client = client_of(self.exchange, [one.symbol for one in series], access, classes)
        streaming = self._client.streaming or {}
        lowest = min(keep_alive * 1000.0, streaming.get("keepAlive") or keep_alive * 1000.0)
        self._client.streaming = {**streaming, "keepAlive": lowest}
        self._rest = Exchange(self._client, access.retry)
        self._gone: set[Series] = set()
        self._closing: set[asyncio.Future[None]] = set()

    async def open(self) -> None:
        """Read the exchange's markets.

        Raises
        ------
        InvalidSettingError
            For a symbol or timeframe that it does not have.
        DataUnavailableError
            Where it does not answer.
        """
        await self._rest.open()
        for one in self.series:
            symbol = self._rest.symbol(one.symbol)
            self._rest.check_timeframe(one.timeframe)
            market = self._rest.market(symbol)
            if market.get("active") is False:
                raise InvalidSettingError(f"{self.exchange} has stopped trading {symbol}; leave it out")
            name = symbol if self.exchange == "kraken" else str(market["id"])
            self.names[name, self._interval(one)] = one

    async def close(self) -> None:
        """Close the connection and the client."""
        await self._hang_up()
        await self._client.close()

    async def time(self) -> float:
        """Return the exchange's clock, UTC ms."""
        return await self._rest.time()

    async def pages(self, series: Series, start: int, end: int, now: int) -> AsyncIterator[Page]:
        """Yield the closed candles that open in ``[start, end)``, by REST; ``now`` is the exchange's time, UTC ms."""
        source = CandleSource(self._rest, series, traits_of(self.exchange, contract=self.contract), now)
        async for page in pages(source, start, end):
            yield page

    async def gone(self) -> set[Series]:
        """Return the series whose market the exchange has taken off or stopped; they are no longer listened to."""
        await self._rest.open()
        markets = self._client.markets
        self._gone = {one for one in self.series if (markets.get(one.symbol) or {"active": False})["active"] is False}
        return self._gone

    async def listen(self, hear: Hear, opened: Callable[[], object]) -> None:
        """Connect, subscribe, and hand on each raw message of candles until the connection ends.

        Parameters
        ----------
        hear
            Takes a message; called in the loop, as soon as the message is read.
        opened
            Called when the connection stands.

        Raises
        ------
        BrokenStreamError
            When it ended, with the reason.
        """
        wanted = [one for one in self.series if one not in self._gone]
        if not self.pushes or not wanted:
            opened()
            await asyncio.Event().wait()
        client = self._client
        client.hear, client.opened = hear, opened
        if self.exchange == "kucoin":  # the address of an old connection holds a token that has run out
            client.options["urls"] = {}
        tasks = [asyncio.ensure_future(self._watch(request)) for request in self._requests(wanted)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._hang_up()

    def _requests(self, wanted: list[Series]) -> list[Callable[[], Awaitable[object]]]:
        """Return the calls of ccxt that subscribe."""
        if self.exchange not in _TOGETHER:
            return [partial(self._client.watch_ohlcv, one.symbol, one.timeframe) for one in wanted]
        most = len(wanted) if self.contract else _MOST_TOPICS.get(self.exchange, len(wanted))
        pairs = [[one.symbol, self._interval(one) if self.exchange == "okx" else one.timeframe] for one in wanted]
        parts = [pairs[start : start + most] for start in range(0, len(pairs), most)]
        return [partial(self._client.watch_ohlcv_for_symbols, part) for part in parts]

    async def _watch(self, request: Callable[[], Awaitable[object]]) -> None:
        """Subscribe; what is subscribed to answers in the hook, so that this ends with the connection alone."""
        try:
            while True:
                await request()
        except _pro().BaseError as error:
            raise BrokenStreamError(f"{type(error).__name__}: {error}"[:300]) from error
        except OSError as error:
            raise BrokenStreamError(str(error)[:300]) from error

    async def _hang_up(self) -> None:
        found = list((self._client.clients or {}).values())
        if found:
            self._client.clients.clear()
        for one in found:
            one.on_connected_callback = (
                self._unwanted
            )  # a dial under way, or waiting for its turn, cannot be called off
            await one.close()

    def _unwanted(self, client: Any) -> None:
        """Close a connection that came to stand after it was given up; nobody else would."""
        task = asyncio.ensure_future(client.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _interval(self, series: Series) -> str:
        return interval_name(self.exchange, series.timeframe, self._client.timeframes[series.timeframe])


def _hooked(base: Any) -> Any:
    """Return ccxt's class of an exchange, its handling of candles replaced."""

    class Hooked(base):  # type: ignore[misc]  # ccxt has no types
        hear: Hear = staticmethod(lambda _: None)
        opened: Callable[[], object] = staticmethod(lambda: None)

        def handle_ohlcv(self, client: Any, message: dict[str, Any]) -> None:
            self.hear(message)

        def on_connected(self, client: Any, message: Any = None) -> None:
            super().on_connected(client, message)
            self.opened()

    Hooked.__name__ = base.__name__
    return Hooked


def _pro() -> Any:
    try:
        import ccxt.pro
    except ImportError:
        raise InvalidSettingError('a live feed needs ccxt: pip install "signal-backtest[exchange]"') from None
    return ccxt.pro
