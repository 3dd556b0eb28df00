"""SimulatedVenue: accepts calls, walks candles, tells what happened."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.book import create_row, event_of, live_signal, write_call
from backtest.engine.codes import (
    C_CANCEL,
    C_CREATE,
    C_REFUSED,
    C_REFUSED_CREATE,
    FUTURES,
    GROW,
    REASONS,
    REFUSED,
    STATUSES,
)
from backtest.engine.feed import COARSE, Feed, Rows
from backtest.engine.kernel.agenda import examine, number_table, push
from backtest.engine.kernel.ledger import equity_of
from backtest.engine.kernel.state import World
from backtest.engine.kernel.walk import Series, advance_many, advance_one
from backtest.engine.records import ACCOUNT, BOOK, CALL, EVENT, LACKS, NEVER, ORDER, OUTCOME, SCRATCH, SIGNAL, TRADE
from backtest.engine.settings import config_record, market_records
from backtest.errors import InvalidSignalError
from backtest.model.assumptions import VenueAssumptions
from backtest.model.calls import Call, CreateSignal, later_side_check
from backtest.model.events import Event, SignalRef, Status
from backtest.model.timeframe import nearest_multiple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.model.signal import LiveSignal

__all__ = ["SimulatedVenue"]

_MINUTE = 60_000  # on which funding is charged (L13.3)
_BUFFERS = ("_signals", "_orders", "_events", "_scratch_events", "_trades", "_scratch_trades")
_COLUMNS = ("time", "open", "high", "low", "close", "kind")


class SimulatedVenue:
    """The engine: one account over one or more markets (L14.1).

    A call that is sent acts by itself once the candles reach its arrival (L1.2). The same object serves a whole run
    (:meth:`advance` to the end), a run that asks a strategy in between, and a live shadow book (:meth:`append` a closed
    candle, then advance).

    Parameters
    ----------
    feeds
        One for each market. They are walked in the order of their symbols.
    profile, assumptions
        On which the signals are executed.
    want_events
        Whether :meth:`advance` returns at each close that brought events.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        profile: SubscriberProfile,
        assumptions: VenueAssumptions | None = None,
        *,
        want_events: bool = False,
    ) -> None:
        self.feeds = sorted(feeds, key=lambda feed: feed.candles.symbol)
        self.profile = profile
        self.assumptions = assumptions or VenueAssumptions()
        self.symbols = [feed.candles.symbol for feed in self.feeds]
        self._index = {symbol: q for q, symbol in enumerate(self.symbols)}
        self._want_events = want_events
        self._refs: list[SignalRef] = []
        self._ids: dict[SignalRef, int] = {}
        self._creates: list[CreateSignal | None] = []
        self._sentences = Sentences()
        self._n_calls = 0
        self._told = 0
        self._one = len(self.feeds) == 1 and self.feeds[0].detail is None
        self._config = config_record(profile, self.assumptions, want_events=want_events)
        self._markets = market_records(self.feeds, profile, SCRATCH)
        self._allocate()
        self._lay_out_candles()

    # ------------------------------------------------------------ state

    def _allocate(self) -> None:
        books = len(self.feeds) + SCRATCH
        self._account = np.zeros(1 + SCRATCH, ACCOUNT)
        self._account["cash"] = self.profile.balance
        self._books = np.zeros(books, BOOK)
        for name in ("call", "last_call"):
            self._books[name] = -1
        self._books["high"] = np.inf
        self._books["next_expiry"] = NEVER
        self._signals = np.zeros((books, 8), SIGNAL)
        self._orders = np.zeros((books, 24), ORDER)
        self._events = np.empty(65_536, EVENT)  # rows are written whole; the system gives memory when it is touched
        self._scratch_events = np.empty((SCRATCH, 512), EVENT)
        self._trades = np.empty(16_384, TRADE)
        self._scratch_trades = np.empty((SCRATCH, 128), TRADE)
        self._calls = np.zeros(64, CALL)
        self._queue = np.full((64, 3), -1, np.int64)
        self._outcomes = np.zeros(64, OUTCOME)
        self._accepted = np.zeros(64, np.int64)
        self._ends = np.zeros(len(self.feeds), np.int64)

    def _lay_out_candles(self) -> None:
        rows = [feed.rows(fill_without_volume=self.assumptions.fill_without_volume) for feed in self.feeds]
        self._room = _joined(rows)
        self._rows = _read_only(self._room)
        self._first = np.r_[0, np.cumsum([len(part.time) for part in rows])].astype(np.int64)
        self._filled = len(self._rows.time)
        funding = [feed.funding for feed in self.feeds]
        self._still = np.concatenate([part.still + at for part, at in zip(rows, self._first, strict=False)])
        self._still_first = np.r_[0, np.cumsum([len(part.still) for part in rows])].astype(np.int64)
        stamped = np.concatenate([part[:, 0] for part in funding]).astype(np.int64)
        self._funding_times = nearest_multiple(stamped, _MINUTE)
        self._funding_rates = np.ascontiguousarray(np.concatenate([part[:, 1] for part in funding]), np.float64)
        self._funding_first = np.r_[0, np.cumsum([len(part) for part in funding])].astype(np.int64)
        if self._one:
            self._equity = np.empty(self._filled)
            return
        time = self._rows.time
        market = np.repeat(np.arange(len(rows)), [len(part.time) for part in rows])
        order = np.argsort(time, kind="stable")
        self._first[:] = 0  # rows of all markets lie in one room, where candles to come can be put behind them
        self._order_market, self._order_row = market[order], order
        self._equity_time = np.unique(np.concatenate([feed.candles.close_time for feed in self.feeds]))
        self._equity = np.empty(len(self._equity_time))
        self._cursor = np.zeros(4, np.int64)

    def _world(self) -> World:
        """Return the arrays of the run as the kernel takes them."""
        return World(
            self._account,
            self._books,
            self._markets,
            self._config,
            self._signals,
            self._orders,
            self._events,
            self._scratch_events,
            self._trades,
            self._scratch_trades,
            self._calls,
            self._queue,
            self._ends,
            self._accepted,
            self._outcomes,
            self._funding_times,
            self._funding_rates,
            self._funding_first,
            self._still,
            self._still_first,
        )

    def _grow(self) -> None:
        """Double what may be full; the kernel stopped before anything happened."""
        for name, full in zip(_BUFFERS, LACKS, strict=True):
            if self._account[0].lacks & full:
                old = getattr(self, name)
                new = np.zeros((*old.shape[:-1], 2 * old.shape[-1]), old.dtype)
                new[..., : old.shape[-1]] = old
                setattr(self, name, new)

    # ------------------------------------------------------------ calls

    def send(self, call: Call, at: int) -> None:
        """Send a call, its prices on the tick, at an instant (UTC ms); it acts as L1.2 says.

        Raises
        ------
        InvalidSignalError
            For a ref that was never created or is created twice, a symbol that is not walked, or a trailing limit better
            than its trigger.
        """
        self._reserve_calls(self._n_calls + 1)
        k = self._n_calls
        if isinstance(call, CreateSignal):
            q = self._market_of(call)
            row = create_row(call)
            self._calls[k] = (at, self._arrival(q, at), q, self._register(call, q), *row)
        else:
            signal, create = self._created(call.signal)
            later_side_check(call, create.side)
            q = int(self._outcomes[signal].market)
            r = self._calls[k]
            write_call(r, call)
            r.at, r.arrival, r.market, r.signal = at, self._arrival(q, at), q, signal
        self._n_calls += 1
        push(self._calls, self._queue, self._books, k)

    def refuse(self, call: Call, at: int, reason: str | None = None) -> None:
        """Take note of a call that the desk refused: it is not sent, and leaves its event where it would have acted (L3.8).

        A refused create keeps its ref, is no living signal, and blocks nothing.

        Parameters
        ----------
        call
            A create, or a call about a signal that was created, if only to be refused.
        at
            When it would have been sent, UTC ms.
        reason
            One sentence; None for a call about a signal that has ended (L11.3).
        """
        self._reserve_calls(self._n_calls + 1)
        k = self._n_calls
        r = self._calls[k]
        if isinstance(call, CreateSignal):
            q = self._market_of(call)
            signal = self._register(call, q)
            self._outcomes[signal].status = REFUSED
            r.kind = C_REFUSED_CREATE
        else:
            signal, _ = self._created(call.signal)
            q = int(self._outcomes[signal].market)
            r.kind = C_REFUSED if reason is not None else C_CANCEL
        r.at, r.arrival, r.market, r.signal = at, self._arrival(q, at), q, signal
        r.reason = self._sentences.add(reason or "")
        self._n_calls += 1
        push(self._calls, self._queue, self._books, k)

    def send_table(
        self,
        q: int,
        records: NDArray[Any],
        *,
        width: int,
        conditional: bool,
        reasons: Callable[[int], str] | None = None,
    ) -> None:
        """Send the rows of a signal table at once. To be called once, before anything else is sent for the market.

        Parameters
        ----------
        q
            Position of the market.
        records
            Call records in order of time, ``width`` a row: a create and what follows it at the same close. The signals
            are numbered here, and get their refs with :meth:`name_signals`.
        width
            Records a row.
        conditional
            Whether a row is sent only where nothing of the market lives.
        reasons
            Why the record at a position was refused by the desk, for those that were.
        """
        n, start, base = len(records), self._n_calls, len(self._refs)
        signals = n // width
        if start:
            self._reserve_calls(start + n)
            self._calls[start : start + n] = records
            self._calls["reason"][start : start + n] += self._sentences.count
        else:  # shared with the other modes: the kernel never writes to calls
            self._calls = records
            self._queue = np.full((n, 3), -1, np.int64)
        latency = nearest_multiple(self.profile.latency_ms, self.feeds[q].candles.milliseconds)
        number_table(self._calls[start : start + n], self._queue[start : start + n], width, base, q, latency)
        if self.feeds[q].detail is not None:
            self._calls["arrival"][start : start + n] = self._arrival(q, self._calls["at"][start : start + n])
        self._sentences.add_many(reasons, n)
        self._refs.extend([SignalRef("")] * signals)
        self._creates.extend([None] * signals)
        self._reserve_outcomes(base + signals)
        self._outcomes["market"][base : base + signals] = q
        self._n_calls += n
        book = self._books[q]
        if conditional:
            book.candidate, book.width, self._ends[q] = start, width, start + n
            return
        if n:
            self._queue[start : start + n, 1] = 1
            self._queue[start : start + n - 1, 0] = np.arange(start + 1, start + n)
            book.call, book.last_call = start, start + n - 1
            book.pending += int(np.count_nonzero(records["kind"][::width] == C_CREATE))

    def _arrival(self, q: int, at: Any) -> Any:
        """Return when calls sent at instants reach a market: latency is whole candles of those walked there (L1.2)."""
        feed, latency = self.feeds[q], self.profile.latency_ms
        coarse = nearest_multiple(latency, feed.candles.milliseconds)
        fine = nearest_multiple(latency, feed.fine_span)
        if coarse == fine:
            return at + coarse
        time, kind = self._walked(q)
        k = time.searchsorted(at)
        inside = np.minimum(k, len(time) - 1)
        return at + np.where((k < len(time)) & (kind[inside] != COARSE), fine, coarse)

    def _walked(self, q: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return open times and kinds of the candles walked in a market."""
        if self._one:
            return self._rows.time[: self._filled], self._rows.kind[: self._filled]
        mine = self._order_row[self._order_market == q]
        return self._rows.time[mine], self._rows.kind[mine]

    def waits(self) -> NDArray[np.int64]:
        """(n,) int64: how long each call that found a candle waited for its open after its arrival, ms (L1.2)."""
        calls = self._calls[: self._n_calls]
        found = [np.empty(0, np.int64)]
        for q in range(len(self.feeds)):
            time, arrival = self._walked(q)[0], calls["arrival"][calls["market"] == q]
            k = time.searchsorted(arrival)
            late = k < len(time)
            found.append(time[k[late]] - arrival[late])
        return np.concatenate(found)

    def futures_spans(self, symbol: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return when positions of the FUTURES account began and ended in a market, UTC ms; open ones end with the data."""
        calls = self._calls[: self._n_calls]
        futures = calls["signal"][(calls["kind"] == C_CREATE) & (calls["account"] == FUTURES)]
        futures = futures[self.markets_of[futures] == self._index[symbol]]
        trades = self.trade_records[np.isin(self.trade_records["signal"], futures)]
        held = [record for record in self.open_records if record["id"] in futures]
        end = int(self.feeds[self._index[symbol]].candles.close_time[-1]) if held else 0
        begins = np.r_[trades["entry_time"], np.array([record["t_time"] for record in held], np.int64)]
        return begins, np.r_[trades["exit_time"], np.full(len(held), end, np.int64)]

    def table_creates(self, q: int) -> NDArray[np.int64]:
        """Return the positions, among the creates sent by a table for a market, of those that were made."""
        records = self._calls[: self._n_calls]
        creates = (records["kind"] == C_CREATE) | (records["kind"] == C_REFUSED_CREATE)
        mine = np.flatnonzero((records["market"] == q) & creates)
        return np.flatnonzero(self._queue[mine, 1] == 1)

    def name_signals(self, first: int, rows: Sequence[int], named: Sequence[SignalRef]) -> None:
        """Give signals of a table, which begin at position ``first``, their refs by row."""
        refs = self._refs
        for row, ref in zip(rows, named, strict=True):
            refs[first + row] = ref

    def knows(self, ref: SignalRef) -> bool:
        """Whether a signal of this ref was created."""
        return ref in self._ids

    def create_of(self, ref: SignalRef) -> CreateSignal:
        """Return the create of a signal.

        Raises
        ------
        InvalidSignalError
            If it was never created.
        """
        return self._created(ref)[1]

    def has_futures(self, symbol: str) -> bool:
        """Whether a create for the FUTURES account was sent for a market."""
        calls = self._calls[: self._n_calls]
        return bool(
            (
                (calls["market"] == self._index[symbol]) & (calls["kind"] == C_CREATE) & (calls["account"] == FUTURES)
            ).any()
        )

    def _created(self, ref: SignalRef) -> tuple[int, CreateSignal]:
        signal = self._ids.get(ref)
        create = None if signal is None else self._creates[signal]
        if signal is None or create is None:
            raise InvalidSignalError(f"signal {ref!r} was never created; a later call names the ref of a create", "ref")
        return signal, create

    def announce(self, call: CreateSignal) -> None:
        """Make the ref of a create known before it is sent, so that a log may be sent in any order (L11.3)."""
        self._register(call, self._market_of(call))

    def _register(self, call: CreateSignal, q: int) -> int:
        ref = call.ref
        if ref in self._ids:
            if self._creates[self._ids[ref]] is call:
                return self._ids[ref]
            raise InvalidSignalError(f"signal {ref!r} is created twice; each create needs a ref of its own", "ref")
        signal = len(self._refs)
        self._refs.append(ref)
        self._ids[ref] = signal
        self._creates.append(call)
        self._reserve_outcomes(signal + 1)
        outcome = self._outcomes[signal]
        outcome.market, outcome.side = q, call.side
        return signal

    def _market_of(self, call: CreateSignal) -> int:
        for q, feed in enumerate(self.feeds):
            if (feed.market.coin, feed.market.trade_market) == (call.coin, call.trade_market):
                return q
        known = ", ".join(f"{feed.market.coin}/{feed.market.trade_market}" for feed in self.feeds)
        raise InvalidSignalError(
            f"coin and trade_market were {call.symbol}; the candles given are those of {known}", "coin"
        )

    def _reserve_calls(self, n: int) -> None:
        if n > len(self._calls):
            size = max(n, 2 * len(self._calls))
            kept = self._queue
            self._calls = _sized(self._calls, size)
            self._queue = np.full((size, 3), -1, np.int64)
            self._queue[: len(kept)] = kept

    def _reserve_outcomes(self, n: int) -> None:
        if n > len(self._outcomes):
            size = max(n, 2 * len(self._outcomes))
            self._outcomes, self._accepted = _sized(self._outcomes, size), _sized(self._accepted, size)

    # ------------------------------------------------------------ candles

    def append(
        self, symbol: str, time: int, open_: float, high: float, low: float, close: float, volume: float
    ) -> None:
        """Add one closed candle; the next :meth:`advance` walks it (live, L1.1).

        Parameters
        ----------
        symbol
            Of which market; none has detail candles here. All candles of one instant are added before it is walked.
        time
            Open time, UTC ms, not before that of any candle walked.
        open_, high, low, close
            Quote currency.
        volume
            Base currency; a candle of 0 trades nothing, if the candles that the market began with say that volumes are
            known (L2.6).
        """
        rows = self._room
        if self._filled == len(rows.time):
            size = max(1024, 2 * self._filled)
            rows = self._room = replace(rows, **{name: _sized(getattr(rows, name), size) for name in _COLUMNS})
            self._rows = _read_only(rows)
            if self._one:
                self._equity = _sized(self._equity, size)
        k = self._filled
        rows.time[k], rows.open[k], rows.high[k], rows.low[k], rows.close[k], rows.kind[k] = (
            time,
            open_,
            high,
            low,
            close,
            COARSE,
        )
        q = self._index[symbol]
        if volume == 0.0 and self.feeds[q].candles.volume_known and not self.assumptions.fill_without_volume:
            self._still = np.insert(self._still, self._still_first[q + 1], k)
            self._still_first[q + 1 :] += 1
        self._filled += 1
        if not self._one:
            self._queue_row(q, k)

    def _queue_row(self, q: int, k: int) -> None:
        """Put a row that was added in its place among those of its instant, which are walked by symbol."""
        time, n = self._rows.time, len(self._order_row)
        self._order_row, self._order_market = _longer(self._order_row, k), _longer(self._order_market, q)
        while n > self._cursor[0] and time[self._order_row[n - 1]] == time[k] and self._order_market[n - 1] > q:
            for order in (self._order_row, self._order_market):
                order[n - 1], order[n] = order[n], order[n - 1]
            n -= 1
        closes = int(time[k]) + int(self._markets["span"][q])
        if not len(self._equity_time) or self._equity_time[-1] < closes:
            self._equity_time, self._equity = _longer(self._equity_time, closes), _longer(self._equity, np.nan)

    def change_rules(self, symbol: str, market: Market) -> None:
        """Let other rules of a market hold from the next candle on: tick, step, minimums, leverage.

        Parameters
        ----------
        symbol
            Of which market.
        market
            Its rules, addressed as before.
        """
        q = self._index[symbol]
        self.feeds[q] = replace(self.feeds[q], market=market)
        self._markets[q] = market_records([self.feeds[q]], self.profile, 0)[0]

    def forget_walked(self) -> None:
        """Drop the candles that were walked, and their equity points: a shadow book that runs for months needs neither."""
        rows = replace(self._room, **{name: np.zeros(1024, getattr(self._room, name).dtype) for name in _COLUMNS})
        self._room, self._rows, self._filled = rows, _read_only(rows), 0
        self._still, self._still_first = self._still[:0], np.zeros_like(self._still_first)
        self._books["row"] = self._books["still"] = 0
        self._equity = np.empty(1024 if self._one else 0)
        if not self._one:
            self._order_market, self._order_row, self._equity_time = (np.empty(0, np.int64) for _ in range(3))
            self._cursor[[0, 1, 3]] = 0

    def advance(self, until: int | None = None, *, peek: bool = False) -> int:
        """Walk on to an instant or, with None, to the end of the candles.

        Stops earlier at a close that brought events, if the run wants them. ``until`` is a close time: candles that end
        at or before it are walked.

        Returns
        -------
        int
            The close time reached, UTC ms.
        """
        if self._one:
            return self._advance_one(until, peek=peek)
        stop = NEVER
        if until is not None:
            whole = int(self._equity_time.searchsorted(until, "right"))
            if whole <= self._cursor[1]:  # no candle has closed since: the kernel would walk to the next close
                return self._reached
            stop = int(self._equity_time[whole - 1])
        while True:
            r = self._rows
            code = advance_many(
                self._world(), r.time, r.open, r.high, r.low, r.close, r.kind, self._first, self._order_market,
                self._order_row, self._equity_time, self._equity, self._cursor, stop,
            )  # fmt: skip
            if code != GROW:
                break
            self._grow()
        return self._reached

    @property
    def _reached(self) -> int:
        """The last close that was walked of many markets, UTC ms."""
        done = self._cursor[1]
        return int(self._equity_time[done - 1]) if done else 0

    def _advance_one(self, until: int | None, *, peek: bool) -> int:
        rows, span = self._rows, int(self._markets["span"][0])
        last = self._filled
        if until is not None:
            last = int(rows.time[: self._filled].searchsorted(until - span, "right"))
        series = Series(rows.time, rows.open, rows.high, rows.low, rows.close)
        while True:
            code = advance_one(self._world(), series, self._equity, last, peek)
            if code != GROW:
                break
            self._grow()
        row = self.row
        return int(rows.time[row - 1]) + span if row else 0

    def rewind(self, row: int) -> None:
        """Go back over quiet candles to before ``row``, after a :meth:`advance` with ``peek`` (one market, no ratchet)."""
        book, still = self._books[0], self._still
        book.row, book.still = row, still.searchsorted(row)
        traded = row - 1
        while traded >= 0 and traded in still[: book.still]:
            traded -= 1
        if row:
            book.last = self._rows.close[traded] if traded >= 0 else self._rows.open[0]

    @property
    def row(self) -> int:
        """Position of the next candle of the first market."""
        return int(self._books["row"][0])

    @property
    def is_ratcheting(self) -> bool:
        """Whether a trailing stop of the first market moves with the candles."""
        return bool(self._books["ratcheting"][0])

    @property
    def awaits_call(self) -> bool:
        """Whether a call to the first market was sent and has not acted yet."""
        return bool(self._books["call"][0] >= 0)

    def settle_tables(self, now: int) -> None:
        """Decide on the conditional creates of tables that were due at an instant (the last close, in a run)."""
        for q in range(len(self.feeds)):
            examine(self._world(), q, now)
        made = (self._calls["kind"] == C_REFUSED_CREATE) & (self._queue[:, 1] == 1)
        self._outcomes["status"][self._calls["signal"][made]] = REFUSED

    # ------------------------------------------------------------ what happened

    def new_events(self) -> list[Event]:
        """Return the events since this was last asked, in order."""
        return [self._event(k) for k in self._new_range()]

    def _new_range(self) -> range:
        start, self._told = self._told, int(self._account["n_events"][0])
        return range(start, self._told)

    def _event(self, k: int) -> Event:
        record = self._events[k]
        signal = int(record["signal"])
        symbol = self.symbols[self._outcomes["market"][signal]]
        return event_of(record, self._refs[signal], symbol, self.reason_of(int(record["reason"])))

    def reason_of(self, code: int) -> str:
        """Return the sentence of a reason in an event record: the engine's own, or one of the desk (L3.8)."""
        return REASONS[code].value if code < len(REASONS) else self._sentences.at(code)

    def living(self, symbol: str) -> list[LiveSignal]:
        """Return the living signals of a market whose create has acted, in order of creation."""
        q = self._index[symbol]
        return [live_signal(s, self._refs[s["id"]], symbol) for s in self._signals[q, : self._books["n_signals"][q]]]

    def has_living(self, symbol: str) -> bool:
        """Whether a signal of the market lives, pending ones included."""
        q = self._index[symbol]
        return bool(self._books["n_signals"][q] or self._books["pending"][q])

    def pending(self, symbol: str) -> list[SignalRef]:
        """Return the refs of creates that were sent and have not acted yet."""
        k, refs = int(self._books["call"][self._index[symbol]]), []
        while k >= 0:
            if self._calls[k].kind == C_CREATE:
                refs.append(self._refs[self._calls[k].signal])
            k = int(self._queue[k, 0])
        return refs

    @property
    def account(self) -> Any:
        """The account record (L14.3): cash, reserved, margin, realised, fees, funding, ambiguous."""
        return self._account[0]

    @property
    def equity_now(self) -> float:
        """Equity at the last prices."""
        return float(equity_of(self._world()))

    @property
    def equity(self) -> NDArray[np.float64]:
        """(n,) float64: equity at each close walked so far (:attr:`equity_time`), quote currency."""
        done = self.row if self._one else int(self._cursor[1])
        return self._equity[:done]

    @property
    def equity_time(self) -> NDArray[np.int64]:
        """(n,) int64: the closes, UTC ms."""
        if self._one:
            return self._rows.time[: self.row] + int(self._markets[0].span)
        return self._equity_time[: self._cursor[1]]

    @property
    def event_records(self) -> NDArray[Any]:
        """The events as records; ``signal`` is a position in :attr:`refs`."""
        return self._events[: self._account[0].n_events]

    @property
    def trade_records(self) -> NDArray[Any]:
        """The closed trades as records; ``signal`` is a position in :attr:`refs`."""
        return self._trades[: self._account[0].n_trades]

    @property
    def open_records(self) -> list[Any]:
        """The records of living signals with a position, in order of symbol and creation."""
        return [
            s for q in range(len(self.feeds)) for s in self._signals[q, : self._books[q].n_signals] if s.quantity > 0.0
        ]

    @property
    def refs(self) -> list[SignalRef]:
        """Our names of the signals, by position."""
        return self._refs

    def symbol_of(self, signal: int) -> str:
        """Return the symbol of a signal by its position."""
        return self.symbols[int(self._outcomes[signal].market)]

    @property
    def markets_of(self) -> NDArray[np.int64]:
        """(n,) int64: position in :attr:`symbols` of each signal."""
        return self._outcomes["market"][: len(self._refs)]

    def outcomes(self) -> NDArray[Any]:
        """Return where each signal stands, by position: ended ones as they ended, living ones as they are."""
        out = self._outcomes[: len(self._refs)].copy()
        for q in range(len(self.feeds)):
            for s in self._signals[q, : self._books[q].n_signals]:
                row = out[s.id]
                row.status, row.side, row.created, row.missed = s.status, s.side, s.created, s.missed
                row.realised, row.fees, row.funding, row.quantity, row.average = (
                    s.realised,
                    s.fees,
                    s.funding,
                    s.quantity,
                    s.average,
                )
        return out

    def status(self, ref: SignalRef) -> Status:
        """Return where a signal stands."""
        signal = self._created(ref)[0]
        for s in self._signals[self._outcomes[signal].market, : self._books[self._outcomes[signal].market].n_signals]:
            if s.id == signal:
                return STATUSES[int(s.status)]
        return STATUSES[int(self._outcomes[signal].status)]


class Sentences:
    """Why the desk refused calls, by numbers that begin behind those of the engine's own reasons.

    Those of a table are worded when one asks: it may have a hundred thousand rows.
    """

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[tuple[int, Callable[[int], str]]] = []

    def add(self, sentence: str) -> int:
        """Keep a sentence; return its number."""
        number = self.count
        self.add_many(lambda _: sentence, 1)
        return len(REASONS) + number

    def add_many(self, sentences: Callable[[int], str] | None, count: int) -> None:
        """Keep ``count`` sentences by their positions."""
        if sentences is not None:
            self._parts.append((self.count, sentences))
            self.count += count

    def at(self, number: int) -> str:
        """Return a sentence by its number."""
        place = number - len(REASONS)
        first, sentences = self._parts[bisect_right(self._parts, place, key=lambda part: part[0]) - 1]
        return sentences(place - first)


def _sized(old: NDArray[Any], size: int) -> NDArray[Any]:
    new = np.zeros(size, old.dtype)
    new[: len(old)] = old
    return new


def _longer(old: NDArray[Any], value: float) -> NDArray[Any]:
    """Return an array with one more value, in the room behind it where there is some."""
    room, n = old.base, len(old)
    if room is None or room.dtype != old.dtype or len(room) <= n:
        room = np.empty(max(1024, 2 * n), old.dtype)
        room[:n] = old
    room[n] = value
    return room[: n + 1]


def _joined(rows: list[Rows]) -> Rows:
    if len(rows) == 1:
        return rows[0]
    return replace(rows[0], **{name: np.concatenate([getattr(part, name) for part in rows]) for name in _COLUMNS})


def _read_only(rows: Rows) -> Rows:
    """Return the same memory as the kernel takes it: for arrays that can be written it would be compiled once more."""
    views = {name: getattr(rows, name).view() for name in _COLUMNS}
    for view in views.values():
        view.flags.writeable = False
    return replace(rows, **views)
