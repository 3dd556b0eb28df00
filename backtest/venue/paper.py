"""PaperVenue: what the vendor does with a call, rehearsed on candles that it is fed; no HTTP in here."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidCandlesError, InvalidSettingError, InvalidSignalError
from backtest.model.calls import Call, Cancel, CreateSignal, later_side_check
from backtest.model.market import Market
from backtest.model.rows import candles_of_rows
from backtest.model.timeframe import milliseconds
from backtest.venue.subscribers import Subscriber
from backtest.wire import call_from_body, read_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.model.candles import Candles
    from backtest.venue.ledger import Effect, Ledger

__all__ = ["PaperVenue"]

_PARENT = "parent_signal_id"


@dataclass
class _Series:
    market: Market
    timeframe: str
    clock: int = 0

    def carries(self, create: CreateSignal) -> bool:
        return (create.coin, create.trade_market) == (self.market.coin, self.market.trade_market)


class PaperVenue:
    """Accepts calls as the vendor documents them and lets every subscriber execute them.

    Where the vendor is silent *(ours)*: a call about a signal that is unknown, canceled, or ended for every subscriber
    is refused; a cancel of a known signal is always performed, so that repeating it does no harm. A call acts from the
    candle after the last one that was fed (L1.2); without candles it is validated, kept and answered.

    Everything is rebuilt from the ledger when the venue starts again.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.subscribers: dict[str, Subscriber] = {}
        self._series: dict[str, _Series] = {}
        self._creates: dict[str, CreateSignal] = {}
        self._canceled: set[str] = set()
        self._calls: list[tuple[int, Call]] = []
        for effect in ledger.effects():
            self._remember(effect)
        for symbol, timeframe, fields in ledger.markets():
            self._series[symbol] = _Series(Market.from_dict(fields), timeframe)
            self._set_clock(symbol, ledger.candles(symbol)[-1:])
        for name, profile, assumptions in ledger.subscribers():
            self._follow(Subscriber.from_dicts(name, profile, assumptions))

    # ------------------------------------------------------------ calls

    def accept(
        self, kind: str, raw: bytes, parent_signal_id: str | None = None, *, allow_marketable: bool = False
    ) -> str:
        """Take a call and return the venue's name of its signal.

        Parameters
        ----------
        kind
            Of the endpoint, ``"create_v2"``.
        raw
            The body.
        parent_signal_id
            From the path; None for a create.
        allow_marketable
            Of an update: whether a stop or target may trade at once (L11.2), which the vendor's fields cannot say.

        Raises
        ------
        InvalidSignalError
            The refusal, with the field; nothing has changed then.
        """
        body = read_object(raw)
        parent = parent_signal_id or secrets.token_hex(8)
        try:
            call = call_from_body(kind, body, parent, require_parent=True, allow_marketable=allow_marketable)
            if not isinstance(call, CreateSignal):
                self._check_later(call, parent, body)
        except InvalidSignalError as error:
            self.ledger.add(max(self.clock.values(), default=0), kind, parent_signal_id or "", raw.decode(), str(error))
            raise
        at = self._clock_for(parent, call)
        effect = self.ledger.add(at, kind, parent, raw.decode(), allow_marketable=allow_marketable)
        again = isinstance(call, Cancel) and parent in self._canceled
        self._remember(effect)
        if not again:
            self._execute(effect.at, call)
        return parent

    def _check_later(self, call: Call, parent: str, body: dict[str, Any]) -> None:
        if body[_PARENT] != parent:
            raise InvalidSignalError("parent_signal_id of the body is not the one of the path", _PARENT)
        create = self._creates.get(parent)
        if create is None:
            raise InvalidSignalError("parent_signal_id was never given by this venue", _PARENT)
        if isinstance(call, Cancel):
            return
        if parent in self._canceled or self._has_ended(parent):
            raise InvalidSignalError("parent_signal_id is that of a signal that has ended", _PARENT)
        later_side_check(call, create.side)

    def _has_ended(self, parent: str) -> bool:
        create = self._creates[parent]
        books = [
            book
            for symbol, series in self._series.items()
            if series.carries(create)
            for subscriber in self.subscribers.values()
            for book in [subscriber.books[symbol]]
        ]
        return bool(books) and all(book.ended(parent) for book in books)

    def _remember(self, effect: Effect) -> None:
        """Take up an effect of the ledger, without executing it."""
        ref = effect.parent_signal_id
        own = {"require_parent": True, "allow_marketable": effect.allow_marketable}
        call = call_from_body(effect.kind, read_object(effect.body), ref, **own)
        if isinstance(call, CreateSignal):
            self._creates[ref] = call
        elif isinstance(call, Cancel):
            if ref in self._canceled:
                return
            self._canceled.add(ref)
        self._calls.append((effect.at, call))

    def _create_of(self, call: Call) -> CreateSignal:
        return call if isinstance(call, CreateSignal) else self._creates[call.signal]

    def _clock_for(self, parent: str, call: Call) -> int:
        create = call if isinstance(call, CreateSignal) else self._creates[parent]
        return max((series.clock for series in self._series.values() if series.carries(create)), default=0)

    def _execute(self, at: int, call: Call) -> None:
        create = self._create_of(call)
        for symbol, series in self._series.items():
            if series.carries(create):
                for subscriber in self.subscribers.values():
                    subscriber.books[symbol].send(call, at)

    # ------------------------------------------------------------ candles and subscribers

    @property
    def clock(self) -> dict[str, int]:
        """Close time of the last candle by symbol, UTC ms."""
        return {symbol: series.clock for symbol, series in self._series.items()}

    def feed(self, market: Market, timeframe: str, rows: Sequence[Sequence[float]]) -> int:
        """Take closed candles, oldest first, and walk those that are new; return how many were.

        Raises
        ------
        InvalidCandlesError
            For rows that contradict themselves, or one that differs from what was fed before or comes too late.
        InvalidSettingError
            Where market or timeframe differ from those of the first candle.
        """
        candles = candles_of_rows(market.symbol, timeframe, rows, least=6)
        series = self._series.get(market.symbol) or _Series(market, timeframe)
        if (series.market, series.timeframe) != (market, timeframe):
            raise InvalidSettingError(f"{market.symbol} was fed before as another market or timeframe than {timeframe}")
        fresh = self._fresh(candles, series)
        if market.symbol not in self._series:
            self._begin(series)
        self.ledger.add_candles(market.symbol, fresh)
        self._set_clock(market.symbol, fresh)
        if fresh:
            for subscriber in self.subscribers.values():
                subscriber.books[market.symbol].walk(fresh)
        return len(fresh)

    def subscribe(self, name: str, profile: dict[str, Any], assumptions: dict[str, Any]) -> None:
        """Add a subscriber, who executes what was accepted so far too; doing it twice changes nothing.

        Raises
        ------
        InvalidSettingError
            For a profile that cannot be used, or a name that has another one.
        """
        subscriber = Subscriber.from_dicts(name, profile, assumptions)
        known = self.subscribers.get(name)
        if known is None:
            self.ledger.add_subscriber(name, subscriber.profile.to_dict(), subscriber.assumptions.to_dict())
            self._follow(subscriber)
        elif (known.profile, known.assumptions) != (subscriber.profile, subscriber.assumptions):
            raise InvalidSettingError(f"subscriber {name} exists with another profile; choose another name")

    def _fresh(self, candles: Candles, series: _Series) -> list[tuple[float, ...]]:
        columns = (candles.time, candles.open, candles.high, candles.low, candles.close, candles.volume)
        fresh = []
        for row in zip(*(column.tolist() for column in columns), strict=True):
            if row[0] + milliseconds(series.timeframe) > series.clock:
                fresh.append(row)
            elif self.ledger.candle(candles.symbol, row[0]) != row:
                when = f"{candles.symbol} at {np.datetime64(row[0], 'ms')}Z"
                raise InvalidCandlesError(f"the candle of {when} differs from what was fed before, or comes too late")
        return fresh

    def _begin(self, series: _Series) -> None:
        market = series.market
        self.ledger.add_market(market.symbol, series.timeframe, market.to_dict())
        self._series[market.symbol] = series
        for subscriber in self.subscribers.values():
            self._open_book(subscriber, series)

    def _follow(self, subscriber: Subscriber) -> None:
        self.subscribers[subscriber.name] = subscriber
        for series in self._series.values():
            self._open_book(subscriber, series)

    def _open_book(self, subscriber: Subscriber, series: _Series) -> None:
        """Replay what was accepted and fed so far into a new book."""
        book = subscriber.open_book(series.market, series.timeframe)
        for at, call in self._calls:
            if series.carries(self._create_of(call)):
                book.send(call, at)
        rows = self.ledger.candles(series.market.symbol)
        if rows:
            book.walk(rows)

    def _set_clock(self, symbol: str, rows: Sequence[Sequence[float]]) -> None:
        if rows:
            series = self._series[symbol]
            series.clock = int(rows[-1][0]) + milliseconds(series.timeframe)
