"""Exchange: the public market data of one exchange through ccxt, which only this module imports. No API key, ever."""

from __future__ import annotations

import re
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from backtest.errors import BacktestError, DataUnavailableError, InvalidSettingError, did_you_mean
from backtest.market_data.layout import read_at_once
from backtest.market_data.response import forget, keep_responses, last_response, sent_times
from backtest.market_data.retry import AskAgain, Retry
from backtest.market_data.series import exchange_name
from backtest.market_data.symbol import unified
from backtest.market_data.traits import traits_of
from backtest.model.timeframe import milliseconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from backtest.market_data.series import Series

__all__ = ["Access", "Exchange", "client_of", "connect"]

T = TypeVar("T")
TESTED = ("binance", "bybit", "okx", "kraken", "kucoin", "gate", "mexc")


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach an exchange.

    Attributes
    ----------
    url
        Stands in for scheme and host of every address, for a test server or a mirror.
    limited
        Keep to the exchange's rate limit.
    retry
        How often and how long to ask again; shared by all requests.
    """

    url: str | None = None
    limited: bool = True
    retry: Retry = field(default_factory=Retry)


@asynccontextmanager
async def connect(name: str, symbols: Sequence[str], access: Access | None = None) -> AsyncIterator[Exchange]:
    """Open an exchange: its markets of the kinds that the symbols need, and its clock.

    Parameters
    ----------
    name
        As users write it: ``binance``, ``BINANCE``, ``gateio``.
    symbols
        Those that will be asked for: only markets of their kinds are read.

    Raises
    ------
    InvalidSettingError
        For an unknown exchange.
    DataUnavailableError
        Where it does not answer.
    """
    reach = access or Access()
    client = client_of(exchange_name(name), symbols, reach)
    exchange = Exchange(client, reach.retry)
    try:
        await exchange.open()
        yield exchange
    finally:
        await client.close()


class Exchange:
    """One exchange: its symbols, its clock, and pages of candles and funding rates as it sent them.

    Requests may run at the same time; ccxt keeps them under the exchange's rate limit together.
    """

    def __init__(self, client: Any, retry: Retry) -> None:
        self._client = client
        self._retry = retry
        self._ahead = 0
        self.name: str = client.id

    @property
    def timeframes(self) -> list[str]:
        """The timeframes that it has candles for."""
        return list(self._client.timeframes or {})

    def one_first(self) -> None:
        """Let one request be answered before the others are sent (see :meth:`Retry.one_first`)."""
        self._retry.one_first()

    async def open(self) -> None:
        """Read markets and clock."""
        await self._call("its list of markets", self._load_markets)
        sent = time.time()
        there = await self.time()
        self._ahead = round(there - 500 * (sent + time.time()))

    @property
    def ahead(self) -> int:
        """How far the exchange's clock is ahead of this machine's, ms, as measured when it was opened."""
        return self._ahead

    def now(self) -> int:
        """Return the time in UTC ms by the exchange's clock, or by ours where that is earlier.

        ccxt puts our clock into some requests, so what is later than it cannot be asked for.
        """
        ours = round(time.time() * 1000)
        return min(ours, ours + self._ahead)

    def symbol(self, text: str) -> str:
        """Return the symbol as the exchange's markets name it: ``btc-usdt`` and ``BTCUSDT`` are ``BTC/USDT``.

        Raises
        ------
        InvalidSettingError
            For one that it does not trade.
        """
        markets = self._client.markets
        for candidate in (text, text.upper(), unified(text)):
            if candidate in markets:
                return str(candidate)
        alike = [name for name in markets if name.lower() == (unified(text) or text).lower()]
        if len(alike) == 1:
            return str(alike[0])
        hint = did_you_mean(unified(text) or text.upper(), markets)
        raise InvalidSettingError(f"{self.name} does not trade {text!r}.{hint}")

    def check_timeframe(self, timeframe: str) -> None:
        """Refuse a timeframe that the exchange does not have.

        Raises
        ------
        InvalidSettingError
            Naming those that it has.
        """
        if timeframe not in self.timeframes:
            known = ", ".join(self.timeframes)
            hint = _same_length(timeframe, self.timeframes) or did_you_mean(timeframe, self.timeframes)
            raise InvalidSettingError(f"timeframe was {timeframe!r}; {self.name} has {known}.{hint}")

    def market(self, symbol: str) -> dict[str, Any]:
        """Return ccxt's description of a market."""
        found: dict[str, Any] = self._client.market(symbol)
        return found

    async def time(self) -> float:
        """Return the exchange's clock, UTC ms."""
        return await self._call("its clock", self._read_clock)

    async def candle_rows(
        self, series: Series, timeframe: str, since: int, limit: int, until: int | None
    ) -> tuple[NDArray[np.float64], tuple[int, int] | None]:
        """Return candles as sent, (n, 6): open time in ms, open, high, low, close, volume in base currency; each time once.

        Returns
        -------
        tuple
            The candles, and the earliest and latest time in the answer, also of rows that lie outside of the range.
        """
        traits = traits_of(series.exchange, contract=":" in series.symbol)
        size = float(self.market(series.symbol).get("contractSize") or 1.0) if traits.contracts else 1.0
        asked = limit if traits.sized else None
        options: dict[str, Any] = {"price": "mark"} if series.kind == "mark" else {}
        if until is not None:
            options["until"] = until

        async def request() -> tuple[NDArray[np.float64], tuple[int, int] | None]:
            rows = await self._client.fetch_ohlcv(series.symbol, timeframe, since, asked, dict(options))
            table = self._checked(rows, 6, series)
            if size != 1.0 and len(table):
                table[:, 5] = np.round(table[:, 5] * size, 12)
            return table, sent_times()

        return await self._call(f"{series.symbol} {timeframe} from {_day(since)}", request)

    async def rate_rows(self, series: Series, since: int, limit: int, until: int | None) -> NDArray[np.float64]:
        """Return funding rates as sent, (n, 2): time in ms, rate; each time once."""
        ends = {} if until is None else {"after": until} if self.name == "okx" else {"until": until - 1}

        async def request() -> NDArray[np.float64]:
            rates = await self._client.fetch_funding_rate_history(series.symbol, since, limit, dict(ends))
            return self._checked([[rate["timestamp"], rate["fundingRate"]] for rate in rates], 2, series)

        return await self._call(f"{series.symbol} funding rates from {_day(since)}", request)

    async def leverage_tiers(self, symbol: str) -> list[dict[str, Any]]:
        """Return the public leverage tiers of a market; none where the exchange keeps them to its customers."""
        if self.name not in {"bybit", "okx", "gate"}:
            return []

        async def request() -> list[dict[str, Any]]:
            return list(await self._client.fetch_market_leverage_tiers(symbol))

        return await self._call(f"{symbol} leverage tiers", request)

    async def _load_markets(self) -> None:
        await self._client.load_markets(reload=True)
        if not self._client.markets:
            raise AskAgain("an answer without a single market")

    async def _read_clock(self) -> float:
        if not self._client.has.get("fetchTime"):
            answer = last_response()
            date = answer.header("date") if answer is not None else ""
            return parsedate_to_datetime(date).timestamp() * 1000 if date else time.time() * 1000
        there = await self._client.fetch_time()
        if not there:
            raise AskAgain("an answer without a time")
        return float(there)

    async def _call(self, what: str, request: Callable[[], Awaitable[T]]) -> T:
        ccxt = _ccxt()

        async def once() -> T:
            forget()
            try:
                return await request()
            except ccxt.BaseError as error:
                raise self._translated(error, what) from error
            except (TypeError, KeyError, IndexError, ValueError, AttributeError) as error:
                raise AskAgain(f"an answer that cannot be read ({type(error).__name__}: {error})") from error

        return await self._retry.call(self.name, what, once)

    def _translated(self, error: Exception, what: str) -> BacktestError | AskAgain:
        ccxt = _ccxt()
        answer = last_response(error)
        reason = _shortened(str(error)) or type(error).__name__
        if answer is not None and answer.status == 451:
            return DataUnavailableError(
                f"{self.name} does not serve this network (HTTP 451, often its country); "
                "choose another exchange or run this where it is allowed"
            )
        if isinstance(error, (ccxt.AuthenticationError, ccxt.PermissionDenied)):
            return DataUnavailableError(f"{self.name} does not give {what} without an account: {reason}")
        if isinstance(error, (ccxt.BadRequest, ccxt.NotSupported, ccxt.ArgumentsRequired)):
            return InvalidSettingError(f"{self.name} refused the request for {what}: {reason}")
        blocked = " (a block of this network or country looks the same)" if answer and answer.status == 403 else ""
        return AskAgain(f"{type(error).__name__}, {reason}{blocked}", answer.retry_after if answer else 0.0)

    def _checked(self, rows: Sequence[Any] | NDArray[np.float64], width: int, series: Series) -> NDArray[np.float64]:
        """Return rows as an array; what was read as no rows must have been sent as no rows."""
        if len(rows) == 0:
            answer = last_response()
            traits = traits_of(self.name, contract=":" in series.symbol)
            listed = 0 if answer is None else answer.listed(traits.place)
            if listed is None:
                raise AskAgain(f"a broken answer: {_shortened(answer.body if answer else '') or 'nothing'!r}")
            strange = sent_times() is None or traits.jumps  # rows outside of a window tell something, see pages
            if listed and strange and not (traits.jumps and traits.keeps):  # kraken always sends its newest row
                raise AskAgain(f"{listed} rows of which none was asked for")
            return np.empty((0, width))
        table = np.asarray(rows, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != width or not (table[:, 0] > 0).all():
            raise AskAgain("rows that are no candles")
        # of a time sent twice the later row counts, as it is the newer state
        backwards = table[::-1]
        return backwards[np.unique(backwards[:, 0], return_index=True)[1]]


def client_of(name: str, symbols: Sequence[str], access: Access, classes: Mapping[str, Any] | None = None) -> Any:
    """Return ccxt's client of an exchange, set up to read nothing that is not asked for.

    Parameters
    ----------
    name
        As ccxt writes it.
    symbols
        Those that will be asked for.
    access
        How to reach it.
    classes
        Classes by name that stand in for ccxt's own.

    Raises
    ------
    InvalidSettingError
        For an unknown exchange.
    """
    ccxt = _ccxt()
    if name not in ccxt.exchanges:
        raise InvalidSettingError(
            f"there is no exchange {name!r}; {', '.join(TESTED)} are tested, ccxt knows {len(ccxt.exchanges)}."
            + did_you_mean(name, ccxt.exchanges)
        )
    kind = (classes or {}).get(name) or getattr(ccxt, name)
    client = kind({"timeout": 20_000, "enableRateLimit": access.limited})
    client.aiohttp_trust_env = access.url is None  # a proxy of the environment is for the internet
    if (access.url or "").startswith("http://"):
        client.timeout_on_exit = 0  # ms that a secure connection needs to close
    types = _market_types(name, symbols)
    if types:
        asked = client.options.get("fetchMarkets")
        client.options["fetchMarkets"] = {**(asked if isinstance(asked, dict) else {}), **types}
    if name != "kraken":  # whose currencies have names of their own
        client.has["fetchCurrencies"] = False
    if access.url is not None:
        client.urls["api"] = _rebased(client.urls["api"], access.url.rstrip("/"))
    keep_responses(client)
    _guard(client, access.retry)
    read_at_once(client)
    return client


def _guard(client: Any, retry: Retry) -> None:
    """Hold back requests that ccxt has queued for its rate limit, once the server has asked to wait or to stop."""
    send = client.fetch

    async def fetch(*arguments: Any, **options: Any) -> Any:
        await retry.gate()
        return await send(*arguments, **options)

    client.fetch = fetch


def _market_types(name: str, symbols: Sequence[str]) -> dict[str, Any]:
    """Return the option that loads only the markets asked for, as one failing kind of market fails them all."""
    spot = any(":" not in s for s in symbols)
    contracts = [s for s in symbols if ":" in s]
    dated = any("-" in s.partition(":")[2] for s in contracts)
    linear = any(s.partition(":")[0].endswith("/" + s.partition(":")[2].split("-")[0]) for s in contracts)
    inverse = any(not s.partition(":")[0].endswith("/" + s.partition(":")[2].split("-")[0]) for s in contracts)
    if name == "htx":
        return {"types": {"spot": spot, "linear": linear, "inverse": inverse}}
    wanted = {
        "bitget": (("spot", spot), ("swap", bool(contracts))),
        "binance": (("spot", spot), ("linear", linear), ("inverse", inverse)),
        "bybit": (("spot", spot), ("linear", linear), ("inverse", inverse)),
        "okx": (("spot", spot), ("swap", bool(contracts)), ("future", dated)),
        "kucoin": (("spot", spot), ("swap", bool(contracts))),
        "gate": (("spot", spot), ("swap", bool(contracts)), ("future", dated)),
    }.get(name)
    if wanted is None:
        return {}
    types = {"types": [kind for kind, needed in wanted if needed]}
    return {**types, "fetchTickersFees": False} if name == "kucoin" else types


def _rebased(urls: Any, base: str) -> Any:
    if isinstance(urls, dict):
        return {key: _rebased(value, base) for key, value in urls.items()}
    if not isinstance(urls, str):
        return urls
    return re.sub(r"^ws(s?)://[^/]+", re.sub("^http", "ws", base), re.sub(r"^https?://[^/]+", base, urls))


def _same_length(timeframe: str, known: Sequence[str]) -> str:
    """Return the hint for a timeframe that the exchange writes otherwise: ``60m`` for ``1h``."""
    with suppress(InvalidSettingError):
        length = milliseconds(timeframe)
        for other in known:
            if not other.endswith("M") and milliseconds(other) == length:
                return f' Did you mean "{other}"?'
    return ""


def _day(moment: int) -> str:
    return str(np.datetime64(moment, "ms").astype("M8[m]"))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:157] + "..."


def _ccxt() -> Any:
    try:
        import ccxt.async_support as ccxt
    except ImportError:
        raise InvalidSettingError(
            'candles from an exchange need ccxt: pip install "signal-backtest[exchange]"'
        ) from None
    return ccxt
