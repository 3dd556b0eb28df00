"""Emitter: sends what was planned, beside one another where that is safe, and keeps what became of each call.

For one signal calls go one at a time, in order. Entries (creates, rebuys, DCAs) of the account go one after another,
creates in the engine's order; everything else goes beside them, so that a call that hangs holds up no exit. An entry
waits for the exits and updates that were decided before it, but not for one that hangs: the order of one close matters
to a subscriber's free balance (L1.3), and an exit that hangs must not cost an entry its time. On recorded candles, whose
time stands still while a call is on its way, calls go one by one in the engine's order.
"""

from __future__ import annotations

import math
import queue
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from backtest.errors import InvalidSettingError
from backtest.live.intent import ENTRIES, Intent, State
from backtest.live.limits import Limits, expired
from backtest.live.notices import NoticeKind, Notices
from backtest.venue.failpoint import about, hit
from backtest.venue.verdict import Meaning, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from backtest.live.clock import Clock
    from backtest.live.journal import Journal
    from backtest.live.schema import Decided, SignalRow
    from backtest.live.settings import EmitSettings
    from backtest.market_data.series import Series
    from backtest.venue.rate import RateLimit
    from backtest.wire import Request

__all__ = ["Door", "Emitter", "Halt"]

_FINAL = {Meaning.ACKED: State.ACKED, Meaning.REJECTED: State.REJECTED, Meaning.LOST: State.UNKNOWN}
_TOLD = {
    State.UNKNOWN: NoticeKind.UNKNOWN,
    State.REJECTED: NoticeKind.REJECTED,
    State.EXPIRED: NoticeKind.EXPIRED,
    State.BLOCKED: NoticeKind.BLOCKED,
}
_RANK = {"cancel": 0, "takeprofit": 0, "trailingstop": 0, "updateprice": 1}
_LAST = 2
_MINUTE = 60_000
_BAD_REQUEST = 400


class Door(Protocol):
    """What the emitter needs of a client."""

    rate: RateLimit

    @property
    def max_lag(self) -> int | None:
        """See :class:`Stream`."""

    def exchange(self, request: Request) -> Verdict:
        """Send one request, once and now; called by many threads."""


class Halt(NamedTuple):
    """Why a venue takes nothing, and which settings to check."""

    why: str
    check: str


_REDIRECTED = Halt("the venue answered with a redirect", "ANNY_BASE_URL")
_REFUSED = Halt("the venue refused the credentials", "ANNY_API_KEY and ANNY_API_SECRET")


@dataclass
class _Flight:
    """A call on its way."""

    intent: Intent
    began: float
    """On :func:`time.monotonic`: also on recorded candles a venue takes its time."""


@dataclass
class Emitter:
    """Turns decisions into calls at the venue: class N at most once, class I until the latest wish is there.

    One thread at a time may :meth:`drain`, :meth:`step` and :meth:`hear`; :meth:`plan` and :meth:`wake` may be called by
    another one meanwhile.

    Parameters
    ----------
    journal
        Written before and after every try.
    client
        Its rate limit runs on ``clock``.
    clock
        What valid-until and waits run on.
    settings
        Limits and waits.
    wall
        Returns UTC ms for the records that a person reads; it may differ from ``clock`` on recorded candles.
    stop_file
        While it is there, no entry is sent.
    stop
        Once it is set nothing more is sent; what is on its way is waited for.
    halted
        Why nothing but cancels is sent any more; None where the venue takes what comes.
    hold
        Why no entry is sent at the moment, for a reason of this machine's; empty where they may go.
    notices
        Hear what a person should know.
    """

    journal: Journal
    client: Door
    clock: Clock
    settings: EmitSettings
    wall: Callable[[], int]
    stop_file: Path | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    halted: Halt | None = None
    hold: str = ""
    notices: Notices = field(default_factory=Notices)
    _again: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Tries, and from when on the next one may go, UTC ms on the clock, by intent."""
    _later: dict[tuple[str, str], int] = field(default_factory=dict)
    """Until when the venue asked to be left alone about a signal, UTC ms on the clock: a newer call of it waits too."""
    _flying: dict[str, _Flight] = field(default_factory=dict)
    _landed: queue.SimpleQueue[tuple[Intent, Verdict | BaseException] | None] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self.limits = Limits(self.journal, self.settings, self.stop_file)

    @property
    def busy(self) -> bool:
        """Whether a call is on its way."""
        return bool(self._flying)

    @property
    def flying(self) -> int:
        """How many calls are on their way."""
        return len(self._flying)

    def recover(self) -> list[Intent]:
        """Settle what a killed process left in the middle; to be called once, at the start.

        The calls of the last minute count for the rate limit, whoever made them.
        """
        now = self.wall()
        found = self.journal.recover(now)
        if self.clock.passes:
            self.client.rate.remember((now - at) / 1000.0 for at in self.journal.attempts_since(now - _MINUTE))
        for intent in found:
            if not intent.repeatable:
                self._notify(intent, State.UNKNOWN, "found sending at start")
        return found

    def plan(self, decided: Sequence[Decided]) -> list[Intent]:
        """Keep what one pass brought (T1), all of it or nothing; return the new calls."""
        kinds = [kind for one in decided for kind in one.kinds]
        hit("K0", kinds)
        new = self.journal.keep(decided, self.wall(), self.limits.bare)
        hit("K1", kinds)
        for intent in new:
            if intent.state is State.BLOCKED:
                self._notify(intent, State.BLOCKED, self.journal.note(intent))
        return new

    def drain(self, until: int) -> list[Intent]:
        """Send what is planned until nothing is left or ``until`` is reached on the clock (UTC ms).

        Whatever interrupts it, a call that is on its way is waited for, and its outcome kept.

        Returns
        -------
        list of Intent
            What is still planned: it waits for the venue, for a person, or for the next drain.
        """
        try:
            while True:
                moment = self.step()
                if self.busy:
                    self.hear(moment)
                elif moment is None or moment >= until or self.stop.is_set():
                    self.journal.tidy()
                    return self.journal.intents(State.PLANNED)
                else:
                    self.clock.sleep((moment - self.clock.now()) / 1000.0)
        finally:
            self.land()

    def step(self) -> int | None:
        """Keep what has ended (T3), give up what may not be sent, start what may (T2); never wait.

        Returns
        -------
        int or None
            When there is something to do again though nothing ends, UTC ms on the clock; None: nothing then.
        """
        self._settle()
        if self.stop.is_set():
            return None
        planned = self.journal.intents(State.PLANNED)
        while planned and self._give_up(planned):
            planned = self.journal.intents(State.PLANNED)
        ready, moment = self._ready(planned)
        admitted = self._admitted(ready)
        if admitted:
            self._start(admitted)
            return self.clock.now()
        if ready:
            free = self.clock.now() + math.ceil(self.client.rate.delay() * 1000.0)
            return free if moment is None else min(free, moment)
        return moment

    def hear(self, moment: int | None) -> None:
        """Wait until a call has ended, somebody wakes, or the clock reaches a moment; then look what ended."""
        seconds = None if moment is None else max(0.0, (moment - self.clock.now()) / 1000.0)
        if not self.clock.passes and self.busy:
            seconds = None
        try:
            landed = self._landed.get(timeout=seconds)
        except queue.Empty:
            return
        if landed is not None:
            self._finish(*landed)

    def wake(self) -> None:
        """Let whoever hears look again: something was planned."""
        self._landed.put(None)

    def land(self) -> None:
        """Wait for every call that is on its way, to the end of its deadline, and keep its outcome.

        What one of them raises is raised once the others are kept.
        """
        failed: BaseException | None = None
        while self._flying:
            landed = self._landed.get()
            try:
                if landed is not None:
                    self._finish(*landed)
            except BaseException as error:  # noqa: BLE001
                failed = failed or error
        if failed is not None:
            raise failed

    # ------------------------------------------------------------ what may be sent

    def _give_up(self, planned: Sequence[Intent]) -> bool:
        """Drop what may not be sent any more; return whether anything was."""
        unknown = self.journal.intents(State.UNKNOWN)
        heads = {intent.id for intent in self._heads(planned)}
        found = [(intent, *verdict) for intent in planned if (verdict := self._no(intent, unknown, heads))]
        if not found:
            return False
        for intent, state, reason in self.journal.drop(found, self.wall()):
            self._notify(intent, state, reason)
        return True

    def _no(self, intent: Intent, unknown: Sequence[Intent], heads: set[str]) -> tuple[State, str] | None:
        """Return why a call will not be sent; None where it may be."""
        if expired(intent, self.clock.now()):
            return State.EXPIRED, "its time had passed before the venue could be reached"
        if intent.id not in heads:
            return None
        signal = "" if intent.creates else self._signal(intent).state
        if signal == "dead":
            return State.BLOCKED, "its signal was never made"
        if signal == "canceled":  # decided while the cancel waited, or beside it: the engine refuses it too (L7.2)
            return State.SUPERSEDED, "its signal was canceled"
        held = self.hold if intent.kind in ENTRIES else ""
        reason = held or self.limits.reason(intent, unknown, halted=self.halted is not None)
        return (State.BLOCKED, reason) if reason else None

    def _heads(self, planned: Sequence[Intent]) -> list[Intent]:
        """Return the first planned call of each signal of which none is on its way."""
        heads: dict[tuple[str, str], Intent] = {}
        for intent in planned:
            heads.setdefault(intent.signal, intent)
        busy = {flight.intent.signal for flight in self._flying.values()}
        return [intent for signal, intent in heads.items() if signal not in busy]

    def _ready(self, planned: Sequence[Intent]) -> tuple[list[tuple[Intent, str | None]], int | None]:
        """Return what may be sent now, exits first, with the venue's name of its signal; and when more may be."""
        now, later = self.clock.now(), list[float]()
        ready: list[tuple[Intent, str | None]] = []
        first_create = next((intent.seq for intent in planned if intent.creates), None)
        for intent in self._heads(planned):
            parent = None if intent.creates else self._signal(intent).parent_signal_id
            waits = parent is None if not intent.creates else intent.seq != first_create
            if waits or (self.halted and intent.kind != "cancel"):
                continue
            moment = self._moment(intent)
            if moment <= now:
                ready.append((intent, parent))
            elif math.isfinite(moment):
                later.append(moment)
        entries = sorted((each for each in ready if each[0].kind in ENTRIES), key=lambda each: each[0].seq)
        ready = [*(each for each in ready if each[0].kind not in ENTRIES), *entries[:1]]
        if not self.clock.passes:
            ready = [] if self.busy else sorted(ready, key=lambda each: each[0].seq)[:1]
        ready.sort(key=lambda each: (_RANK.get(each[0].kind, _LAST), each[0].seq))
        return ready, math.ceil(min(later)) if later else None

    def _moment(self, intent: Intent) -> float:
        """Return from when on a call may be sent, UTC ms on the clock; infinite where another must end first."""
        moment = max(self._again.get(intent.id, (0, 0))[1], self._later.get(intent.signal, 0))
        if intent.kind not in ENTRIES:
            return moment
        if any(flight.intent.kind in ENTRIES for flight in self._flying.values()):
            return math.inf
        return max(moment, self._held_until(intent))

    def _held_until(self, entry: Intent) -> float:
        """Return until when an entry waits for what was decided before it and is on its way, UTC ms on the clock."""
        ahead = [flight.began for flight in self._flying.values() if flight.intent.seq < entry.seq]
        left = max((began + self.settings.patience - time.monotonic() for began in ahead), default=0.0)
        return self.clock.now() + max(0.0, left) * 1000.0

    def _admitted(self, ready: Sequence[tuple[Intent, str | None]]) -> list[tuple[Intent, str | None]]:
        """Return as many as the rate limit lets out now; an entry goes once the exits beside it are on their way."""
        others = [each for each in ready if each[0].kind not in ENTRIES]
        found: list[tuple[Intent, str | None]] = []
        for each in others or ready:
            if self.client.rate.take() > 0.0:
                break
            found.append(each)
        return found

    def _signal(self, intent: Intent) -> SignalRow:
        found = self.journal.signal(*intent.signal)
        if found is None:
            raise InvalidSettingError(f"{intent.kind} is about {intent.ref}, which this journal never planned")
        return found

    # ------------------------------------------------------------ one call

    def _start(self, admitted: Sequence[tuple[Intent, str | None]]) -> None:
        """Keep that the attempts start (T2), then let each go in a thread of its own."""
        requests = {intent.id: intent.request(parent) for intent, parent in admitted}
        hit("K2", [intent.kind for intent, _ in admitted])
        begun = self.journal.begin([intent for intent, _ in admitted], self.wall())
        hit("K3", [intent.kind for intent in begun])
        for intent in begun:
            request = requests[intent.id]
            self._flying[intent.id] = _Flight(intent, time.monotonic())
            threading.Thread(target=self._send, args=(intent, request), daemon=True, name=intent.id[:12]).start()

    def _send(self, intent: Intent, request: Request) -> None:
        about(intent.kind)
        try:
            found: Verdict | BaseException = self.client.exchange(request)
        except BaseException as error:  # noqa: BLE001 - whatever it was, the thread that keeps the journal must hear of it
            found = error
        self._landed.put((intent, found))

    def _settle(self) -> None:
        while True:
            try:
                landed = self._landed.get_nowait()
            except queue.Empty:
                return
            if landed is not None:
                self._finish(*landed)

    def _finish(self, intent: Intent, verdict: Verdict | BaseException) -> None:
        """Keep what became of a call (T3)."""
        self._flying.pop(intent.id)
        if isinstance(verdict, BaseException):
            raise verdict
        tries, _ = self._again.pop(intent.id, (0, 0))
        state, wait = self._next_state(intent, verdict, tries)
        hit("K9", [intent.kind])
        state = self.journal.finish(intent, verdict, state, self.wall())
        hit("K10", [intent.kind])
        self._notify(intent, state, verdict.reason)
        if verdict.halts and not self.halted:
            self.halted = _REDIRECTED if (verdict.status or 0) < _BAD_REQUEST else _REFUSED
            sentence = f"{self.halted.why}: nothing but cancels is sent; check {self.halted.check}"
            self.notices.tell(NoticeKind.CREDENTIALS, self.wall(), sentence)
        self._later.pop(intent.signal, None)
        moment = self.clock.now() + math.ceil(wait * 1000.0)
        if state is State.PLANNED:
            self._again[intent.id] = (tries + 1, moment)
        if verdict.meaning is Meaning.LATER:
            self._later[intent.signal] = moment

    def _notify(self, intent: Intent, state: State, reason: str) -> None:
        """Tell of a call that did not go through."""
        if state not in _TOLD:
            return
        sentence = f"{intent.kind} of {intent.ref} is {state}: {reason}"
        if state is State.UNKNOWN:
            sentence += f"; look at the venue, then: backtest emit resolve {intent.id[:12]} --landed ID | --not-landed | --abandon"
        self.notices.tell(_TOLD[state], self.wall(), sentence, self._series_of(intent))

    def _series_of(self, intent: Intent) -> tuple[Series, ...]:
        cursor = self.journal.cursor(intent.strategy, intent.symbol, intent.timeframe)
        return () if cursor is None or cursor.series is None else (cursor.series,)

    def _next_state(self, intent: Intent, verdict: Verdict, tries: int) -> tuple[State, float]:
        """Return what a verdict makes of a call, and how many seconds it then waits: the one table that decides.

        What is proved not to have happened is sent again; what cannot be proved only where a repeat does no harm
        (class I), and not for ever.
        """
        if verdict.meaning is Meaning.LATER:
            return State.PLANNED, verdict.wait
        again = verdict.meaning is Meaning.NOT_SENT
        if verdict.meaning is Meaning.LOST and intent.repeatable:
            again = self.journal.lost(intent) + 1 < self.settings.tries
        return (State.PLANNED, self._backoff(tries)) if again else (_FINAL[verdict.meaning], 0.0)

    def _backoff(self, tries: int) -> float:
        """Return a wait that doubles with each try, with jitter so that two emitters do not knock together."""
        longest = min(self.settings.backoff_most, self.settings.backoff_first * 2.0 ** min(tries, 30))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - to spread, not to hide
