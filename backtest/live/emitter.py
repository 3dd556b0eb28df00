"""Emitter: sends what was planned, one call at a time, and keeps what became of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from backtest.errors import InvalidSettingError
from backtest.live.intent import ENTRIES, Intent, Source, State, intents_of, request_of
from backtest.live.outcome import outcome_of
from backtest.venue.failpoint import about, hit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from backtest.live.clock import Clock
    from backtest.live.journal import Cursor, Journal, SignalRow
    from backtest.live.settings import EmitSettings
    from backtest.model.calls import Call
    from backtest.venue.outcome import Answer
    from backtest.venue.rate import RateLimit
    from backtest.wire import Request

__all__ = ["Emitter", "Sender"]


class Sender(Protocol):
    """What the emitter needs of a client."""

    rate: RateLimit

    def send(self, request: Request) -> Answer:
        """Send one request, once."""


@dataclass
class Emitter:
    """Turns decisions into calls at the venue: class N at most once, class I until the latest wish is there.

    Parameters
    ----------
    journal
        Written before and after every try.
    sender
        The client. Its rate limit runs on ``clock``, and it does not wait for it by itself.
    clock
        What valid-until and waits run on.
    settings
        Limits and waits.
    wall
        Returns UTC ms for the records that a person reads; it may differ from ``clock`` on recorded candles.
    """

    journal: Journal
    sender: Sender
    clock: Clock
    settings: EmitSettings
    wall: Callable[[], int]
    halted: bool = False
    _again: dict[str, tuple[int, int]] = field(default_factory=dict)

    def recover(self) -> list[Intent]:
        """Settle what a killed process left in the middle; to be called once, at the start."""
        return self.journal.recover(self.wall())

    def plan(self, source: Source, cursor: Cursor, calls: Sequence[Call], ended: Iterable[str] = ()) -> list[Intent]:
        """Keep the calls of one close and the cursor (T1); return the new intents."""
        intents = intents_of(source, cursor.time, calls)
        kinds = [intent.kind for intent in intents]
        hit("K0", kinds)
        new = self.journal.plan(cursor, intents, ended)
        hit("K1", kinds)
        return new

    def drain(self, until: int) -> list[Intent]:
        """Send what is planned until nothing is left or ``until`` is reached on the clock (UTC ms).

        Returns
        -------
        list of Intent
            What is still planned: it waits for the venue, for a person, or for the next drain.
        """
        while True:
            planned = self.journal.intents(State.PLANNED)
            heads = _heads(planned)
            if self._give_up(heads):
                continue
            moment, intent, parent = self._next(heads)
            if intent is None or moment >= until:
                self.journal.tidy()
                return planned
            if moment > self.clock.now():
                self.clock.sleep((moment - self.clock.now()) / 1000.0)
            else:
                self._try(intent, parent)

    def _give_up(self, heads: Sequence[Intent]) -> bool:
        """Drop what may not be sent any more; return whether anything was."""
        unknown = self.journal.intents(State.UNKNOWN) if heads else []
        verdicts = [(intent, self._verdict(intent, unknown)) for intent in heads]
        for intent, verdict in verdicts:
            if verdict:
                self.journal.drop(intent, *verdict)
        return any(verdict for _, verdict in verdicts)

    def _verdict(self, intent: Intent, unknown: Sequence[Intent]) -> tuple[State, str] | None:
        """Return why a call will not be sent; None where it may be."""
        if intent.valid_until is not None and self.clock.now() >= intent.valid_until:
            return State.EXPIRED, "its time had passed before the venue could be reached"
        if not intent.creates and self._signal(intent).state == "dead":
            return State.BLOCKED, "its signal was never made"
        if intent.kind not in ENTRIES:
            return None
        if self.halted:
            return State.BLOCKED, "the venue refused the credentials"
        if len(unknown) > self.settings.most_unknowns:
            return State.BLOCKED, f"{len(unknown)} unknown outcomes await a person"
        here = [other.id[:12] for other in unknown if other.symbol == intent.symbol]
        return (State.BLOCKED, f"unknown {here[0]} on {intent.symbol} awaits a person") if here else None

    def _next(self, heads: Sequence[Intent]) -> tuple[int, Intent | None, str | None]:
        """Return the call that may be sent first: its moment, itself and the venue's name of its signal."""
        now = self.clock.now()
        free = now + math.ceil(self.sender.rate.delay() * 1000.0)
        found: list[tuple[int, int, Intent, str | None]] = []
        for intent in heads:
            parent = None if intent.creates else self._signal(intent).parent_signal_id
            waits = not intent.creates and parent is None  # its create is unknown
            if waits or (self.halted and intent.kind != "cancel"):
                continue
            found.append((max(free, self._again.get(intent.id, (0, 0))[1]), intent.seq, intent, parent))
        if not found:
            return now, None, None
        moment, _, intent, parent = min(found, key=lambda each: each[:2])
        return moment, intent, parent

    def _signal(self, intent: Intent) -> SignalRow:
        found = self.journal.signal(intent.strategy, intent.level)
        if found is None:
            raise InvalidSettingError(f"{intent.kind} is about {intent.level}, which this journal never planned")
        return found

    def _try(self, intent: Intent, parent: str | None) -> None:
        """Send one call once, with its attempt on disk before (T2) and its outcome after (T3)."""
        request = request_of(intent, parent)
        about(intent.kind)
        hit("K2")
        lost = self.journal.lost(intent) if intent.repeatable else 0
        tries, _ = self._again.get(intent.id, (0, 0))
        self.journal.begin(intent, self.wall())
        hit("K3")
        outcome = outcome_of(intent, tries, lost, lambda: self.sender.send(request), self.settings)
        hit("K9")
        self.journal.finish(intent, outcome, self.wall())
        hit("K10")
        self.halted = self.halted or outcome.halts
        self._again.pop(intent.id, None)
        if outcome.state is State.PLANNED:
            self._again[intent.id] = (tries + 1, self.clock.now() + math.ceil(outcome.wait * 1000.0))


def _heads(planned: Sequence[Intent]) -> list[Intent]:
    """Return the first planned call of each signal: for one signal calls go one at a time, in order."""
    heads: dict[tuple[str, str], Intent] = {}
    for intent in planned:
        heads.setdefault((intent.strategy, intent.level), intent)
    return list(heads.values())
