"""Shadow: the engine fed with what is true of the calls: what the venue has, may have, never got, or gives back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from backtest.engine.simulator import SimulatedVenue
from backtest.model.calls import Call, CreateSignal
from backtest.runner.decision import Decision, Refusal
from backtest.wire import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from backtest.engine.feed import Feed
    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.profile import SubscriberProfile

__all__ = ["CallKey", "Fate", "Outcomes", "Settled", "Shadow"]


class CallKey(NamedTuple):
    """What names a decided call: close (UTC ms), kind, ref, and number among the calls of this kind and ref."""

    at: int
    kind: str
    ref: str
    number: int


class Fate(NamedTuple):
    """What became of a call.

    Attributes
    ----------
    entered
        Whether it counts as being at the venue: acknowledged, on its way or unknown. Otherwise it never got there.
    certain
        Whether that can change no more.
    reason
        Of a call that never got there.
    """

    entered: bool
    certain: bool = True
    reason: str = ""


class Outcomes(Protocol):
    """Who knows what became of calls: the journal of a running emitter, or one that is read again."""

    def fate(self, key: CallKey, at: int) -> Fate | None:
        """Return what is known of a call when the candle after the close ``at`` is about to be walked; None: it waits."""

    def asked(self, at: int) -> Sequence[tuple[CallKey, Call]]:
        """Return the calls that a person asked for and that enter at the close ``at``."""


class Settled(NamedTuple):
    """A change of the shadow book: ``outcome`` is ``entered``, ``refused`` or ``voided``, from the close ``at`` on."""

    key: CallKey
    outcome: str
    at: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Put:
    """What was given to the engine: a call, when, and why it is refused there; None for one that is sent."""

    key: CallKey | None
    call: Call
    at: int
    reason: str | None = None
    is_refusal: bool = False


class Shadow:
    """The shadow book.

    A decided call is held until the candle after its close is about to be walked. What the venue has or may have enters
    then, at the close that was reached; what waits to be sent is held on; what never got there is refused, which the
    strategy hears at the next close. What turns out later never to have got there is taken back: the book is made anew
    without it, so that orders, position, PnL, fees and funding are those of an account that never had it.

    Parameters
    ----------
    feeds
        Returns the markets with the candles walked so far.
    profile, assumptions
        On which the signals are executed.
    outcomes
        What became of the calls.
    """

    def __init__(
        self,
        feeds: Callable[[], Sequence[Feed]],
        profile: SubscriberProfile,
        assumptions: VenueAssumptions | None,
        outcomes: Outcomes,
    ) -> None:
        self.feeds, self._profile, self._assumptions, self.outcomes = feeds, profile, assumptions, outcomes
        self.venue = self._fresh()
        self._held: dict[CallKey, Decision] = {}
        self._doubtful: dict[CallKey, Call] = {}
        self._put: list[_Put] = []

    def waiting(self, symbol: str) -> list[CreateSignal]:
        """Return the creates of a market that are decided and not in the book yet."""
        creates = (one.call for one in self._held.values() if isinstance(one.call, CreateSignal))
        return [create for create in creates if create.ref.startswith(f"{symbol}-")]

    def hold(self, made: Iterable[Decision | Refusal]) -> None:
        """Take what a desk made of one close; its calls must be those of one market, in order."""
        numbers: Counter[tuple[str, str]] = Counter()
        for one in made:
            if isinstance(one, Refusal):
                self._add(_Put(None, one.call, one.at, one.reason if one.rule == "L3.8" else None, is_refusal=True))
                continue
            call, kind = one.call, kind_of(one.call)
            if isinstance(call, CreateSignal):
                self.venue.announce(call)
            ref = call.ref if isinstance(call, CreateSignal) else call.signal
            self._held[CallKey(one.at, kind, ref, numbers[kind, ref])] = one
            numbers[kind, ref] += 1

    def settle(self, at: int) -> list[Settled]:
        """Let enter what is known, before the candle after the close ``at`` is walked; return what changed."""
        found: list[Settled] = []
        for key, decision in list(self._held.items()):
            fate = self.outcomes.fate(key, at)
            if fate is None:
                continue
            del self._held[key]
            self._add(_Put(key, decision.call, at, fate.reason, is_refusal=not fate.entered))
            found.append(Settled(key, "entered" if fate.entered else "refused", at, fate.reason))
            if fate.entered and not fate.certain:
                self._doubtful[key] = decision.call
        for key, call in self.outcomes.asked(at):
            if not isinstance(call, CreateSignal) and self.venue.knows(call.signal):
                self._add(_Put(key, call, at))
                found.append(Settled(key, "entered", at, ""))
        return found + self._take_back(at)

    def _take_back(self, at: int) -> list[Settled]:
        found = []
        for key in list(self._doubtful):
            fate = self.outcomes.fate(key, at)
            if fate is None or (fate.entered and not fate.certain):
                continue
            call = self._doubtful.pop(key)
            if not fate.entered:
                found.append(Settled(key, "voided", at, fate.reason))
                self._put = [put for put in self._put if put.key != key]
                self._put.append(_Put(key, call, at, fate.reason, is_refusal=True))
        if found:
            self._make_anew(at)
        return found

    def _make_anew(self, at: int) -> None:
        self.venue = self._fresh()
        calls = [*(put.call for put in self._put), *(one.call for one in self._held.values())]
        for call in calls:
            if isinstance(call, CreateSignal):
                self.venue.announce(call)
        for put in self._put:
            self._give(put)
        self.venue.advance(at)
        self.venue.new_events()  # they were told, or never happened

    def _fresh(self) -> SimulatedVenue:
        return SimulatedVenue(self.feeds(), self._profile, self._assumptions, want_events=False)

    def _add(self, put: _Put) -> None:
        self._put.append(put)
        self._give(put)

    def _give(self, put: _Put) -> None:
        if put.is_refusal:
            self.venue.refuse(put.call, put.at, put.reason)
        else:
            self.venue.send(put.call, put.at)
