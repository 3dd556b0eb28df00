"""SimulatedVenue: accepts calls, walks candles, tells what happened."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backtest.engine import native
from backtest.engine.codes import GROW, STATUSES
from backtest.engine.curve import Curve
from backtest.engine.memory import Memory
from backtest.engine.parameters import config_record, market_records
from backtest.engine.records import NEVER, PACKED_STAND
from backtest.engine.sent import SentCalls
from backtest.engine.tracks import Track, as_bytes, closes_of
from backtest.engine.translation import events_of, live_signals
from backtest.model.assumptions import VenueAssumptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from backtest.engine.history import MarketHistory
    from backtest.model.calls import Call, CreateSignal
    from backtest.model.events import Event, SignalRef, Status
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.model.signal import LiveSignal

__all__ = ["SimulatedVenue", "Stand"]


class Stand(NamedTuple):
    """How a market stands between two closes, as its book has it (``records.STAND``).

    Attributes
    ----------
    signals
        How many signals live whose create has acted.
    ratcheting
        How many trailing stops move with the candles.
    row
        Position of the next candle.
    call
        The next call that was sent and has not acted yet; -1 without.
    pending
        How many creates were sent that have not acted yet.
    """

    signals: int
    ratcheting: int
    row: int
    call: int
    pending: int


class SimulatedVenue:
    """The engine: one account over one or more markets (L14.1).

    A call that is sent acts by itself once the candles reach its arrival (L1.2). The same object serves a whole run
    (:meth:`advance` to the end), a run that asks a strategy in between, and a live shadow book (:meth:`append` a closed
    candle, then advance).

    Parameters
    ----------
    histories
        One for each market. They are walked in the order of their symbols.
    profile, assumptions
        On which the signals are executed.
    want_events
        Whether :meth:`advance` returns at each close that brought events.
    """

    def __init__(
        self,
        histories: Sequence[MarketHistory],
        profile: SubscriberProfile,
        assumptions: VenueAssumptions | None = None,
        *,
        want_events: bool = False,
    ) -> None:
        self.histories = sorted(histories, key=lambda history: history.candles.symbol)
        self.profile = profile
        self.assumptions = assumptions or VenueAssumptions()
        self.symbols = [history.candles.symbol for history in self.histories]
        self._index = {symbol: q for q, symbol in enumerate(self.symbols)}
        self._told = 0
        self._one = len(self.histories) == 1 and self.histories[0].detail is None
        fills = self.assumptions.fill_without_volume
        self._tracks = [Track(history, fill_without_volume=fills, flat=not self._one) for history in self.histories]
        config = config_record(profile, self.assumptions, want_events=want_events)
        self._memory = Memory(self._tracks, market_records(self.histories, profile), config, profile.balance)
        if not self._one:
            self._memory.set_closes(*closes_of(self.histories))
        self._sent = SentCalls(self.histories, self._memory, profile.latency_ms)

    # ------------------------------------------------------------ calls

    def send(self, call: Call, at: int) -> None:
        """Send a call, its prices on the tick, at an instant (UTC ms); it acts as L1.2 says.

        Raises
        ------
        InvalidSignalError
            For a ref that was never created or is created twice, a symbol that is not walked, or a trailing limit better
            than its trigger.
        """
        self._sent.send(call, at)

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
        self._sent.refuse(call, at, reason)

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
        self._sent.send_table(q, records, width=width, conditional=conditional, reasons=reasons)

    def settle_tables(self, now: int) -> None:
        """Decide on the conditional creates of tables that were due at an instant (the last close, in a run)."""
        for q in range(len(self.histories)):
            native.examine(self._memory.address, q, now)
        self._sent.note_refused()

    def waits(self) -> NDArray[np.int64]:
        """(n,) int64: how long each call that found a candle waited for its open after its arrival, ms (L1.2)."""
        return self._sent.waits()

    def table_creates(self, q: int) -> NDArray[np.int64]:
        """Return the positions, among the creates sent by a table for a market, of those that were made."""
        return self._sent.table_creates(q)

    # ------------------------------------------------------------ signals

    def name_signals(self, first: int, rows: Sequence[int], named: Sequence[SignalRef]) -> None:
        """Give signals of a table, which begin at position ``first``, their refs by row."""
        self._sent.name_signals(first, rows, named)

    def announce(self, call: CreateSignal) -> None:
        """Make the ref of a create known before it is sent, so that a log may be sent in any order (L11.3)."""
        self._sent.announce(call)

    def knows(self, ref: SignalRef) -> bool:
        """Whether a signal of this ref was created."""
        return self._sent.knows(ref)

    def create_of(self, ref: SignalRef) -> CreateSignal:
        """Return the create of a signal.

        Raises
        ------
        InvalidSignalError
            If it was never created.
        """
        return self._sent.known(ref)[1]

    @property
    def refs(self) -> list[SignalRef]:
        """Our names of the signals, by position."""
        return self._sent.refs

    @property
    def markets_of(self) -> NDArray[np.int64]:
        """(n,) int64: position in :attr:`symbols` of each signal."""
        return self._memory.outcomes["market"][: len(self.refs)]

    def symbol_of(self, signal: int) -> str:
        """Return the symbol of a signal by its position."""
        return self.symbols[int(self._memory.outcomes["market"][signal])]

    def has_futures(self, symbol: str) -> bool:
        """Whether a create for the FUTURES account was sent for a market."""
        return len(self._sent.of_futures(self._index[symbol])) > 0

    def futures_spans(self, symbol: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return when positions of the FUTURES account began and ended in a market, UTC ms; open ones end with the data."""
        q = self._index[symbol]
        futures = self._sent.of_futures(q)
        trades = self.trade_records[np.isin(self.trade_records["signal"], futures)]
        held = [record for record in self.open_records if record["id"] in futures]
        end = int(self.histories[q].candles.close_time[-1]) if held else 0
        begins = np.r_[trades["entry_time"], np.array([record["t_time"] for record in held], np.int64)]
        return begins, np.r_[trades["exit_time"], np.full(len(held), end, np.int64)]

    def pending(self, symbol: str) -> list[SignalRef]:
        """Return the refs of creates that were sent and have not acted yet."""
        return self._sent.pending(self._index[symbol])

    def has_living(self, symbol: str) -> bool:
        """Whether a signal of the market lives, pending ones included."""
        books, q = self._memory.books, self._index[symbol]
        return bool(books["n_signals"][q] or books["pending"][q])

    def living(self, symbol: str) -> list[LiveSignal]:
        """Return the living signals of a market whose create has acted, in order of creation."""
        return live_signals(self._living(self._index[symbol]), self.refs, symbol)

    def _living(self, q: int) -> NDArray[Any]:
        """Return the records of the living signals of a market."""
        return self._memory.signals[q, : self._memory.books["n_signals"][q]]

    def status(self, ref: SignalRef) -> Status:
        """Return where a signal stands."""
        signal = self._sent.known(ref)[0]
        outcome = self._memory.outcomes[signal]
        living = self._living(int(outcome.market))
        mine = living["status"][living["id"] == signal]
        return STATUSES[int(mine[0] if len(mine) else outcome.status)]

    @property
    def sides(self) -> NDArray[np.int64]:
        """(n,) int64: +1 or -1 of each signal that lives or has ended, by position; 0 of those that never acted."""
        sides: NDArray[np.int64] = self._memory.outcomes["side"][: len(self.refs)].copy()
        for q in range(len(self.histories)):
            living = self._living(q)
            sides[living["id"]] = living["side"]
        return sides

    def outcomes(self) -> NDArray[Any]:
        """Return where each signal stands, by position: ended ones as they ended, living ones as they are."""
        now = self._memory.outcomes[: len(self.refs)]
        out = np.empty_like(now)
        as_bytes(out)[:] = as_bytes(now)
        for q in range(len(self.histories)):
            living = self._living(q)
            for name in ("status", "side", "created", "missed", "realised", "fees", "funding", "quantity", "average"):
                out[name][living["id"]] = living[name]
        return out

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
        q = self._index[symbol]
        candles, track = self.histories[q].candles, self._tracks[q]
        still = volume == 0.0 and candles.volume_known and not self.assumptions.fill_without_volume
        if not self._one and self._memory.is_passed(time):
            self._write_points()  # those that were passed do not know it
        moved = track.append((time, open_, high, low, close), still=still)
        self._memory.take_row(q, moved=moved)
        if not self._one:
            self._memory.add_close(time + candles.milliseconds, candles.milliseconds)

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
        self.histories[q] = replace(self.histories[q], market=market)
        self._memory.markets[q] = market_records([self.histories[q]], self.profile)[0]

    def forget_walked(self) -> None:
        """Drop the candles that were walked, and their equity points: a shadow book that runs for months needs neither."""
        native.forget_rows(self._memory.address)  # which looks at them for the last time
        for track in self._tracks:
            track.forget()
        self._memory.forget_points()

    def advance(self, until: int | None = None) -> int:
        """Walk on to an instant or, with None, to the end of the candles.

        Stops earlier at a close that brought events, if the run wants them. ``until`` is a close time: candles that end
        at or before it are walked.

        Returns
        -------
        int
            The close time reached, UTC ms.
        """
        if self._one:
            track, span = self._tracks[0], self.histories[0].candles.milliseconds
            row = self.walk_to(track.filled if until is None else track.opened_by(until - span))
            return int(track.time[row - 1]) + span if row else 0
        memory, stop = self._memory, NEVER
        if until is not None:
            closes = memory.closes[: memory.world.n_closes]
            whole = int(closes.searchsorted(until, "right"))
            if whole <= memory.points:  # no candle has closed since: the kernel would walk to the next close
                return self._reached
            stop = int(closes[whole - 1])
        while native.advance_together(memory.address, stop) == GROW:
            memory.grow()
        return self._reached

    @property
    def _reached(self) -> int:
        """The last close that was walked of several markets, UTC ms."""
        done = self._memory.points
        return int(self._memory.closes[done - 1]) if done else 0

    def walk_to(self, row: int, *, peek: bool = False) -> int:
        """Walk the only market, which has no detail candles, up to a row.

        Parameters
        ----------
        row
            Position of the first candle that is not walked any more. It stops earlier at a close that brought events, if
            the run wants them.
        peek
            Whether to stop before the first candle on which something may happen: until there nothing that lives changes.

        Returns
        -------
        int
            Position of the next candle.
        """
        memory = self._memory
        while native.advance_one(memory.address, row, peek) == GROW:
            memory.grow()
        return self.row

    def rewind(self, row: int) -> None:
        """Go back over quiet candles to before ``row``, after a :meth:`walk_to` with ``peek`` (no ratchet)."""
        book, track = self._memory.books[0], self._tracks[0]
        book.row, book.still = row, track.still.searchsorted(row)
        traded = row - 1
        while traded >= 0 and traded in track.still[: book.still]:
            traded -= 1
        if row:
            book.last = track.close[traded] if traded >= 0 else track.open[0]
        self._memory.go_back(row)

    @property
    def row(self) -> int:
        """Position of the next candle of the first market."""
        return int(self._memory.books["row"][0])

    @property
    def stand(self) -> Stand:
        """How the first market stands."""
        return Stand._make(PACKED_STAND.unpack(self._memory.books[:1].tobytes()))

    # ------------------------------------------------------------ what happened

    def new_events(self) -> list[Event]:
        """Return the events since this was last asked, in order."""
        start, self._told = self._told, self._memory.happened
        if start == self._told:
            return []
        told = self._memory.events[start : self._told]
        return events_of(told, self.refs, self.symbol_of, self.reason_of)

    def reason_of(self, code: int) -> str:
        """Return the sentence of a reason in an event record: the engine's own, or one of the desk (L3.8)."""
        return self._sent.sentences.at(code)

    @property
    def account(self) -> Any:
        """The account record (L14.3): cash, reserved, margin, realised, fees, funding, ambiguous."""
        return self._memory.accounts[0]

    @property
    def equity_now(self) -> float:
        """Equity at the last prices."""
        return float(native.equity_now(self._memory.address))

    @property
    def equity(self) -> NDArray[np.float64]:
        """(n,) float64: equity at each close walked so far (:attr:`equity_time`), quote currency; written when asked for."""
        memory = self._memory
        if not self._one:
            self._write_points()
            return memory.equity[: memory.points]
        row = self.row
        if memory.world.written < row:
            memory.reserve_points(row)
            self.curve.write(memory.equity, int(memory.world.written))
            memory.world.written = row
        return memory.equity[:row]

    @property
    def curve(self) -> Curve:
        """:attr:`equity` as far as it is needed: of an only market it is not written. It changes as the venue goes on."""
        if not self._one:
            return Curve(self.equity, np.empty(0), self._memory.noted)
        return Curve(None, self._tracks[0].close[: self.row], self._memory.noted)

    def _write_points(self) -> None:
        if self._memory.world.written < self._memory.points:
            native.write_points(self._memory.address)

    @property
    def equity_time(self) -> NDArray[np.int64]:
        """(n,) int64: the closes, UTC ms."""
        if self._one:
            return self._tracks[0].time[: self.row] + self.histories[0].candles.milliseconds
        return self._memory.closes[: self._memory.points]

    @property
    def event_records(self) -> NDArray[Any]:
        """The events as records; ``signal`` is a position in :attr:`refs`."""
        return self._memory.events[: self.account.n_events]

    @property
    def trade_records(self) -> NDArray[Any]:
        """The closed trades as records; ``signal`` is a position in :attr:`refs`."""
        return self._memory.trades[: self.account.n_trades]

    @property
    def open_records(self) -> list[Any]:
        """The records of living signals with a position, in order of symbol and creation."""
        return [s for q in range(len(self.histories)) for s in self._living(q) if s.quantity > 0.0]
