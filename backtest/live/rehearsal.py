"""Rehearsal: a strategy over recorded candles, its calls over real HTTP to the paper venue, on the candles' time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.live.journal import row_hash
from backtest.live.outcomes import JournalOutcomes, ToldOutcomes, refuse_other_calls, told_of
from backtest.live.schema import Decided, Seen
from backtest.model.events import EventKind, SignalRef, Status
from backtest.runner.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from backtest.live.channel import Channel
    from backtest.live.clock import CandleClock
    from backtest.live.emitter import Emitter
    from backtest.live.intent import Intent
    from backtest.live.schema import Cursor, Stream, Told
    from backtest.model.candles import Candles
    from backtest.runner.decision import Decision
    from backtest.venue.paper_client import PaperClient

    Row = tuple[int, float, float, float, float, float]

__all__ = ["Rehearsal"]

_OVER = frozenset({Status.CLOSED, Status.EXPIRED, Status.INVALIDATED, Status.CANCELED})
_ENDS = frozenset({EventKind.CLOSED, EventKind.EXPIRED, EventKind.INVALIDATED, EventKind.CANCELED})


class Rehearsal:
    """Drives strategy, emitter and the venue's clock through recorded candles.

    At each close: candle to the venue, calls into the journal (T1), calls to the venue until they are acknowledged;
    then the next candle. Closes without calls go to the venue together with the next one that has some: nothing
    happens between them, and the venue walks them one by one all the same.

    Parameters
    ----------
    channel
        Strategy, candles, market and subscriber.
    emitter, clock
        The emitter runs on this very clock.
    control
        Of the paper venue.
    stream
        Part of every intent's id.
    pace
        Called after each close with the number of candles done; it may wait.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        emitter: Emitter,
        clock: CandleClock,
        control: PaperClient,
        stream: Stream,
        pace: Callable[[int], object] | None = None,
    ) -> None:
        self._channel, self._candles, self._market = channel, channel.candles, channel.market
        self._emitter, self._clock, self._control, self._stream, self._pace = emitter, clock, control, stream, pace
        self._unfed: list[Row] = []
        self._unkept: list[Row] = []
        self._ended: list[str] = []
        self._told: list[Told] = []
        self._outcomes = JournalOutcomes(emitter.journal, stream.strategy)
        self._session = channel.session(self._outcomes)

    def run(self) -> list[Intent]:
        """Go through all candles, or until the venue refuses the credentials; return what is still planned at the end.

        Raises
        ------
        InvalidSettingError
            Where candles or decisions are not those that the journal saw.
        """
        rows = _rows(self._candles)
        cursor = self._emitter.journal.cursor(*self._stream.key)
        start = self._replay(rows, cursor) if cursor else 0
        left = self._drain() if cursor else []
        for number, row in enumerate(rows[start:], start + 1):
            if self._emitter.halted or self._emitter.stop.is_set():
                break
            left = self._close(row, rows[0], last=number == len(rows), busy=bool(left))
            if self._pace is not None:
                self._pace(number)
        return left

    def _close(self, row: Row, first: Row, *, last: bool, busy: bool) -> list[Intent]:
        """Take one candle; return what is still planned."""
        self._clock.reach(row[0] + self._stream.span)
        decisions = self._decide(row)
        self._unfed.append(row)
        self._unkept.append(row)
        if not (decisions or last or busy or self._pace is not None):
            return []
        self._refuse_foreign(self._feed(), row)
        calls, seen = [decision.call for decision in decisions], [Seen(*each) for each in self._unkept]
        close = row[0] + self._stream.span
        self._emitter.plan([Decided(self._stream, close, calls, seen, self._told, self._ended, first[0])])
        self._ended, self._unkept, self._told = [], [], []
        return self._drain()

    def _replay(self, rows: list[Row], cursor: Cursor) -> int:
        """Bring the shadow book to the cursor; return how many candles that were."""
        if cursor.anchor != rows[0][0]:
            raise InvalidSettingError(
                f"the journal began with the candle of {_when(cursor.anchor)}, these begin with {_when(rows[0][0])}; "
                "indicators start from the first candle: give the same ones, or another journal"
            )
        span = self._stream.span
        done = [row for row in rows if row[0] + span <= cursor.time]
        if not done or done[-1][0] + span != cursor.time or row_hash(Seen(*done[-1])) != cursor.row_hash:
            raise InvalidSettingError(
                f"the candle that closed at {_when(cursor.time)} is not the one that the journal saw; give the same "
                "candles, or another journal"
            )
        journal = self._emitter.journal
        execution = self._channel.again(len(done), ToldOutcomes(journal, self._stream.strategy))
        refuse_other_calls(journal, self._stream, execution.decisions, cursor.time)
        self._session = Session.resumed(execution, self._outcomes)
        living = [SignalRef(row.ref) for row in journal.signals("living") if row.strategy == self._stream.strategy]
        venue = execution.venue
        self._ended = [ref for ref in living if venue.knows(ref) and venue.status(ref) in _OVER]
        self._unfed = done
        self._feed()
        self._clock.reach(cursor.time)
        return len(done)

    def _decide(self, row: Row) -> list[Decision]:
        decisions = self._session.close(*row)
        self._ended.extend(event.signal for event in self._session.events if event.kind in _ENDS)
        name = partial(self._emitter.journal.intent_named, self._stream.strategy)
        self._told += told_of(self._session.settled, lambda key: name(*key), row[0] + self._stream.span)
        return decisions

    def _feed(self) -> int:
        """Post what the venue has not seen; what it has seen it passes over. Return how far it is, UTC ms."""
        market, clock, known = self._market.to_dict(), 0, self._candles.volume_known
        for start in range(0, len(self._unfed), 5000):
            rows = self._unfed[start : start + 5000]
            clock = self._control.feed(market, self._stream.timeframe, rows, volume_known=known).clock
        self._unfed = []
        return clock

    def _refuse_foreign(self, clock: int, row: Row) -> None:
        """Refuse a venue that is ahead of this journal: every call would come to it too late."""
        close = row[0] + self._stream.span
        if clock > close:
            raise InvalidSettingError(
                f"the paper venue has seen {self._candles.symbol} up to {_when(clock)}, this journal goes on at "
                f"{_when(close)}; name the journal that belongs to it, or give the venue another ledger"
            )

    def _drain(self) -> list[Intent]:
        return self._emitter.drain(self._clock.now() + self._stream.span)


def _rows(candles: Candles) -> list[Row]:
    columns = (candles.time, candles.open, candles.high, candles.low, candles.close, candles.volume)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _when(moment: int) -> str:
    return f"{np.datetime64(moment, 'ms')}Z"
