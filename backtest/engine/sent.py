"""Sent: the signals that a run knows, by ref and by position, and the calls that were sent about them (L1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine import native
from backtest.engine.codes import C_CANCEL, C_CREATE, C_REFUSED, C_REFUSED_CREATE, COARSE, FUTURES, REFUSED
from backtest.engine.sentences import Sentences
from backtest.engine.translation import write_call, write_create
from backtest.errors import InvalidSignalError
from backtest.model.calls import Call, CreateSignal, later_side_check
from backtest.model.events import SignalRef
from backtest.model.timeframe import nearest_multiple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from backtest.engine.history import MarketHistory
    from backtest.engine.memory import Memory

__all__ = ["SentCalls"]


class SentCalls:
    """What was sent to an account, and what acts when.

    Parameters
    ----------
    histories
        The markets, in order of symbol.
    memory
        In which the calls are written, for the kernel.
    latency_ms
        Between sending and arrival.

    Attributes
    ----------
    refs
        Our names of the signals, by position.
    sentences
        Why calls were refused.
    """

    def __init__(self, histories: Sequence[MarketHistory], memory: Memory, latency_ms: int) -> None:
        self.refs: list[SignalRef] = []
        self.sentences = Sentences()
        self._histories, self._memory = histories, memory
        self._ids: dict[SignalRef, int] = {}
        self._index = {(history.market.coin, history.market.trade_market): q for q, history in enumerate(histories)}
        spans = [(history.candles.milliseconds, history.fine_span) for history in histories]
        self._delays = [
            (nearest_multiple(latency_ms, one), nearest_multiple(latency_ms, other)) for one, other in spans
        ]
        self._creates: list[CreateSignal | None] = []
        self._refusable: list[NDArray[np.int64]] = []  # positions of creates of tables that the desk refuses if made
        self._n_calls = 0

    @property
    def records(self) -> NDArray[Any]:
        """The calls as records, in the order in which they were sent."""
        return self._memory.calls[: self._n_calls]

    # ------------------------------------------------------------ sending

    def send(self, call: Call, at: int) -> None:
        """Send a call, its prices on the tick, at an instant (UTC ms); it acts as L1.2 says.

        Raises
        ------
        InvalidSignalError
            For a ref that was never created or is created twice, a symbol that is not walked, or a trailing limit better
            than its trigger.
        """
        memory, k = self._memory, self._n_calls
        memory.reserve_calls(k + 1)
        if isinstance(call, CreateSignal):
            q = self._market_of(call)
            write_create(memory.calls, k, (int(at), int(self._arrival(q, at)), q, self._register(call, q)), call)
        else:
            signal, create = self.known(call.signal)
            later_side_check(call, create.side)
            q, r = int(memory.outcomes["market"][signal]), memory.calls[k]
            write_call(r, call)
            r["at"], r["arrival"], r["market"], r["signal"] = at, self._arrival(q, at), q, signal
        self._n_calls += 1
        native.push(memory.address, k)

    def refuse(self, call: Call, at: int, reason: str | None) -> None:
        """Take note of a call that was refused before it was sent (L3.8).

        Parameters
        ----------
        call
            A create, or a call about a signal that was created, if only to be refused.
        at
            When it would have been sent, UTC ms.
        reason
            One sentence; None for a call about a signal that has ended (L11.3).
        """
        memory, k = self._memory, self._n_calls
        memory.reserve_calls(k + 1)
        r = memory.calls[k]
        if isinstance(call, CreateSignal):
            q = self._market_of(call)
            signal = self._register(call, q)
            memory.outcomes["status"][signal] = REFUSED
            r["kind"] = C_REFUSED_CREATE
        else:
            signal, _ = self.known(call.signal)
            q = int(memory.outcomes["market"][signal])
            r["kind"] = C_REFUSED if reason is not None else C_CANCEL
        r["at"], r["arrival"], r["market"], r["signal"] = at, self._arrival(q, at), q, signal
        r["reason"] = self.sentences.add(reason or "")
        self._n_calls += 1
        native.push(memory.address, k)

    def send_table(
        self,
        q: int,
        records: NDArray[Any],
        *,
        width: int,
        conditional: bool,
        reasons: Callable[[int], str] | None,
    ) -> None:
        """Send the rows of a signal table at once (:meth:`SimulatedVenue.send_table`).

        Parameters
        ----------
        q
            Position of the market.
        records
            Call records in order of time, ``width`` a row.
        width
            Records a row.
        conditional
            Whether a row is sent only where nothing of the market lives.
        reasons
            Why the record at a position was refused by the desk, for those that were.
        """
        memory, n, start, base = self._memory, len(records), self._n_calls, len(self.refs)
        signals, end = n // width, self._n_calls + n
        if start:
            memory.reserve_calls(end)
            memory.calls[start:end] = records
            memory.calls["reason"][start:end] += self.sentences.count
        else:
            memory.take_calls(records)
        native.number_calls(memory.address, start, end, width, base, q, self._delays[q][0])
        if self._histories[q].detail is not None:
            memory.calls["arrival"][start:end] = self._arrival(q, memory.calls["at"][start:end])
        self.sentences.add_many(reasons, n)
        self._refusable.append(start + width * np.flatnonzero(records["kind"][::width] == C_REFUSED_CREATE))
        self.refs.extend([SignalRef("")] * signals)
        self._creates.extend([None] * signals)
        memory.reserve_outcomes(base + signals)
        memory.outcomes["market"][base : base + signals] = q
        self._n_calls += n
        book = memory.books[q]
        book.stale = 1
        if conditional:
            book.candidate, book.width, book.table_end = start, width, end
        elif n:
            memory.turns["made"][start:end] = 1
            memory.turns["next"][start : end - 1] = np.arange(start + 1, end)
            book.call, book.last_call = start, end - 1
            book.pending += int(np.count_nonzero(records["kind"][::width] == C_CREATE))

    def _arrival(self, q: int, at: Any) -> Any:
        """Return when calls sent at instants reach a market: latency is whole candles of those walked there (L1.2)."""
        coarse, fine = self._delays[q]
        if coarse == fine:
            return at + coarse
        time, kind = self._memory.walked(q)
        k = time.searchsorted(at)
        inside = np.minimum(k, len(time) - 1)
        return at + np.where((k < len(time)) & (kind[inside] != COARSE), fine, coarse)

    # ------------------------------------------------------------ signals

    def known(self, ref: SignalRef) -> tuple[int, CreateSignal]:
        """Return position and create of a signal.

        Raises
        ------
        InvalidSignalError
            If it was never created.
        """
        signal = self._ids.get(ref)
        create = None if signal is None else self._creates[signal]
        if signal is None or create is None:
            raise InvalidSignalError(f"signal {ref!r} was never created; a later call names the ref of a create", "ref")
        return signal, create

    def knows(self, ref: SignalRef) -> bool:
        """Whether a signal of this ref was created."""
        return ref in self._ids

    def announce(self, call: CreateSignal) -> None:
        """Make the ref of a create known before it is sent."""
        self._register(call, self._market_of(call))

    def name_signals(self, first: int, rows: Sequence[int], named: Sequence[SignalRef]) -> None:
        """Give signals of a table their refs.

        Parameters
        ----------
        first
            Position of the first signal of the table.
        rows
            Which of its rows are named.
        named
            Their refs.
        """
        for row, ref in zip(rows, named, strict=True):
            self.refs[first + row] = ref

    def _register(self, call: CreateSignal, q: int) -> int:
        ref, memory = call.ref, self._memory
        if ref in self._ids:
            if self._creates[self._ids[ref]] is call:
                return self._ids[ref]
            raise InvalidSignalError(f"signal {ref!r} is created twice; each create needs a ref of its own", "ref")
        signal = len(self.refs)
        self.refs.append(ref)
        self._ids[ref] = signal
        self._creates.append(call)
        memory.reserve_outcomes(signal + 1)
        memory.outcomes["market"][signal], memory.outcomes["side"][signal] = q, call.side
        return signal

    def _market_of(self, call: CreateSignal) -> int:
        q = self._index.get((call.coin, call.trade_market))
        if q is not None:
            return q
        known = ", ".join(f"{history.market.coin}/{history.market.trade_market}" for history in self._histories)
        raise InvalidSignalError(
            f"coin and trade_market were {call.symbol}; the candles given are those of {known}", "coin"
        )

    # ------------------------------------------------------------ what became of the calls

    def waits(self) -> NDArray[np.int64]:
        """(n,) int64: how long each call that found a candle waited for its open after its arrival, ms (L1.2)."""
        calls = self.records
        found = [np.empty(0, np.int64)]
        for q in range(len(self._histories)):
            time, arrival = self._memory.walked(q)[0], calls["arrival"][calls["market"] == q]
            k = time.searchsorted(arrival)
            late = k < len(time)
            found.append(time[k[late]] - arrival[late])
        return np.concatenate(found)

    def of_futures(self, q: int) -> NDArray[np.int64]:
        """Return the positions of the signals of a market whose create was for the FUTURES account."""
        calls = self.records
        mine = (calls["kind"] == C_CREATE) & (calls["account"] == FUTURES) & (calls["market"] == q)
        return np.asarray(calls["signal"][mine], np.int64)

    def table_creates(self, q: int) -> NDArray[np.int64]:
        """Return the positions, among the creates sent by a table for a market, of those that were made."""
        calls = self.records
        creates = (calls["kind"] == C_CREATE) | (calls["kind"] == C_REFUSED_CREATE)
        mine = np.flatnonzero((calls["market"] == q) & creates)
        return np.flatnonzero(self._memory.turns["made"][mine] == 1)

    def note_refused(self) -> None:
        """Write into the outcomes which creates of tables the desk refused."""
        memory = self._memory
        for creates in self._refusable:
            made = creates[memory.turns["made"][creates] == 1]
            memory.outcomes["status"][memory.calls["signal"][made]] = REFUSED

    def pending(self, q: int) -> list[SignalRef]:
        """Return the refs of creates for a market that were sent and have not acted yet."""
        memory = self._memory
        k, refs = int(memory.books["call"][q]), []
        while k >= 0:
            if memory.calls["kind"][k] == C_CREATE:
                refs.append(self.refs[memory.calls["signal"][k]])
            k = int(memory.turns["next"][k])
        return refs
