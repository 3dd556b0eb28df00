"""Rehearsal: a strategy over recorded candles, its calls over real HTTP to the paper venue, on the candles' time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.live.outcomes import JournalOutcomes, other_call, read_lived, told_of
from backtest.live.reached import row_hash
from backtest.live.schema import Decided, Seen
from backtest.model.events import EventKind, SignalRef, Status
from backtest.model.timeframe import milliseconds
from backtest.runner.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from backtest.live.channel import Channel
    from backtest.live.clock import CandleClock
    from backtest.live.emitter import Emitter
    from backtest.live.intent import Intent
    from backtest.live.schema import Cursor, Stream, Told
    from backtest.model.candles import Candles
    from backtest.runner.decision import Decision, Refusal
    from backtest.runner.result import Result
    from backtest.runner.window import Row
    from backtest.venue.paper_client import PaperClient


__all__ = ["Rehearsal"]

_OVER = frozenset({Status.CLOSED, Status.EXPIRED, Status.INVALIDATED, Status.CANCELED})
_ENDS = frozenset({EventKind.CLOSED, EventKind.EXPIRED, EventKind.INVALIDATED, EventKind.CANCELED})


class Rehearsal:
    """Drives strategy, emitter and the venue's clock through recorded candles.

    At each instant: candles to the venue, calls into the journal (T1), calls to the venue until they are acknowledged;
    then the next candles. Closes without calls go to the venue together with the next one that has some: nothing
    happens between them, and the venue walks them one by one all the same.

    Parameters
    ----------
    channel
        Strategy, candles, markets and subscriber.
    emitter, clock
        The emitter runs on this very clock.
    control
        Of the paper venue.
    streams
        Part of every intent's id, by symbol.
    pace
        Called after each instant with the number of them done; it may wait.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        emitter: Emitter,
        clock: CandleClock,
        control: PaperClient,
        streams: Mapping[str, Stream],
        pace: Callable[[int], object] | None = None,
    ) -> None:
        self._channel, self._instants = channel, channel.instants()
        self._emitter, self._clock, self._control, self._streams, self._pace = emitter, clock, control, streams, pace
        self._strategy, self._span = channel.strategy.identity, milliseconds(channel.timeframe)
        self._unfed: list[tuple[int, dict[str, Row]]] = []
        self._unkept: dict[str, list[Row]] = {symbol: [] for symbol in streams}
        self._ended: list[str] = []
        self._told: list[Told] = []
        self._refused: list[Refusal] = []
        self._outcomes = JournalOutcomes(emitter.journal, self._strategy)
        self._session = channel.session(self._outcomes)

    def run(self) -> list[Intent]:
        """Go through all candles, or until the venue refuses the credentials; return what is still planned at the end.

        Raises
        ------
        InvalidSettingError
            Where candles or decisions are not those that the journal saw.
        """
        cursors = {symbol: self._emitter.journal.cursor(*stream.key) for symbol, stream in self._streams.items()}
        known = {symbol: cursor for symbol, cursor in cursors.items() if cursor is not None}
        start = self._replay(known) if known else 0
        left = self._drain() if known else []
        count = len(self._instants)
        for number, (time, rows) in enumerate(self._instants[start:], start + 1):
            if self._emitter.halted or self._emitter.stop.is_set():
                break
            left = self._close(time, rows, last=number == count, busy=bool(left))
            if self._pace is not None:
                self._pace(number)
        return left

    def again(self) -> Result | None:
        """Return the backtest over what was walked so far, told what became of the calls; None before the first close."""
        journal = self._emitter.journal
        return self._channel.again(read_lived(journal, self._strategy)) if journal.cursors() else None

    def _close(self, time: int, rows: dict[str, Row], *, last: bool, busy: bool) -> list[Intent]:
        """Take the candles of one instant; return what is still planned."""
        close = time + self._span
        self._clock.reach(close)
        decisions = self._decide(time, rows)
        self._unfed.append((time, rows))
        for symbol, row in rows.items():
            self._unkept[symbol].append(row)
        if not (decisions or last or busy or self._pace is not None):
            return []
        self._refuse_foreign(self._feed(), close)
        told = self._told
        kept = []
        for symbol, stream in self._streams.items():
            calls = [decision.call for decision in decisions if decision.signal.startswith(f"{symbol}-")]
            seen = [Seen(*each) for each in self._unkept[symbol]]
            if calls or seen or told:
                anchor = int(self._channel.series[symbol].time[0])
                refused = [one for one in self._refused if one.signal.startswith(f"{symbol}-")]
                market = self._channel.markets[symbol]
                kept.append(
                    Decided(stream, close, calls, seen, told, self._ended, anchor, refused=refused, market=market)
                )
                told = []
        self._emitter.plan(kept)
        self._ended, self._unkept, self._told = [], {symbol: [] for symbol in self._streams}, []
        self._refused = []
        return self._drain()

    def _replay(self, cursors: Mapping[str, Cursor]) -> int:
        """Bring the shadow book to where the journal stands; return how many instants that were."""
        reached = max(cursor.time for cursor in cursors.values())
        done = [(time, rows) for time, rows in self._instants if time + self._span <= reached]
        for symbol, candles in self._channel.series.items():
            self._check(symbol, candles, cursors.get(symbol), [rows[symbol] for _, rows in done if symbol in rows])
        journal = self._emitter.journal
        lived = read_lived(journal, self._strategy, reached=reached)
        decisions = self._channel.again(lived).calls
        for symbol, stream in self._streams.items():
            mine = [decision for decision in decisions if decision.signal.startswith(f"{symbol}-")]
            if other := other_call(journal, stream, mine, reached):
                raise InvalidSettingError(f"{other}; its code changed: bring the old code back, or use another journal")
        terms = {"profile": self._channel.profile, "assumptions": self._channel.assumptions}
        self._session = Session.resumed(self._channel.strategy, lived, self._outcomes, **terms)  # type: ignore[arg-type]
        living = [SignalRef(row.ref) for row in journal.signals("living") if row.strategy == self._strategy]
        venue = self._session.venue
        self._ended = [ref for ref in living if venue.knows(ref) and venue.status(ref) in _OVER]
        self._unfed = done
        self._feed()
        self._clock.reach(reached)
        return len(done)

    def _check(self, symbol: str, candles: Candles, cursor: Cursor | None, done: Sequence[Row]) -> None:
        """Refuse candles that are not those that the journal saw."""
        if cursor is None:
            if done:
                raise InvalidSettingError(
                    f"the journal never saw {symbol}, which it would have to follow from the start; give the same markets, "
                    "or another journal"
                )
            return
        first = int(candles.time[0]) if len(candles) else 0
        if cursor.anchor != first:
            raise InvalidSettingError(
                f"the journal began with the candle of {_when(cursor.anchor)}, these begin with {_when(first)}; "
                "indicators start from the first candle: give the same ones, or another journal"
            )
        if not done or row_hash(Seen(*done[-1])) != cursor.row_hash:
            raise InvalidSettingError(
                f"the candle of {symbol} that closed at {_when(cursor.time)} is not the one that the journal saw; give the "
                "same candles, or another journal"
            )

    def _decide(self, time: int, rows: dict[str, Row]) -> list[Decision]:
        decisions = self._session.walk(time, rows)
        self._ended.extend(event.signal for event in self._session.events if event.kind in _ENDS)
        name = partial(self._emitter.journal.intent_named, self._strategy)
        self._refused += self._session.refused
        self._told += told_of(self._session.settled, lambda key: name(*key), time + self._span)
        return decisions

    def _feed(self) -> int:
        """Post what the venue has not seen; what it has seen it passes over. Return how far it is, UTC ms."""
        clock, markets, series = 0, self._channel.markets, self._channel.series
        for start in range(0, len(self._unfed), 5000):
            instants = self._unfed[start : start + 5000]
            parts = [
                {
                    "market": markets[symbol].to_dict(),
                    "rows": [rows[symbol] for _, rows in instants if symbol in rows],
                    "missing": [time for time, rows in instants if symbol not in rows],
                    "volume_known": series[symbol].volume_known,
                }
                for symbol in self._streams
            ]
            taken = self._control.feed_instant(self._channel.timeframe, parts)
            clock = max(each.clock for each in taken.values())
        self._unfed = []
        return clock

    def _refuse_foreign(self, clock: int, close: int) -> None:
        """Refuse a venue that is ahead of this journal: every call would come to it too late."""
        if clock > close:
            raise InvalidSettingError(
                f"the paper venue has seen {', '.join(self._streams)} up to {_when(clock)}, this journal goes on at "
                f"{_when(close)}; name the journal that belongs to it, or give the venue another ledger"
            )

    def _drain(self) -> list[Intent]:
        return self._emitter.drain(self._clock.now() + self._span)


def _when(moment: int) -> str:
    return f"{np.datetime64(moment, 'ms')}Z"
