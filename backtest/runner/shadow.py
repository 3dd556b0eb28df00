"""Shadow: the engine fed with what is true of the calls: what the venue has, may have, never got, or gives back."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, Protocol

from backtest.engine.simulator import SimulatedVenue
from backtest.model.calls import Call, CreateSignal
from backtest.runner.decision import Decision, Refusal
from backtest.wire import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from backtest.engine.history import MarketHistory
    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile

    Made = Decision | Refusal

__all__ = ["CallKey", "Fate", "Known", "Outcomes", "Settled", "Shadow"]


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


class Known(Protocol):
    """What is known of the calls at one moment."""

    def fate(self, key: CallKey) -> Fate | None:
        """Return what is known of a call; None while it waits."""

    def asked(self) -> Sequence[tuple[CallKey, Call]]:
        """Return the calls that a person asked for and that enter now."""


class Outcomes(Protocol):
    """Who knows what became of calls: the journal of a running emitter, or one that is read again."""

    def known(self, at: int) -> AbstractContextManager[Known]:
        """Say what is known when the candle after the close ``at`` is about to be walked, for as long as the ``with`` lasts.

        All answers are of one moment, though a sender goes on meanwhile: else a call would be seen on its way though the
        one before it was just seen waiting.
        """


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
    histories
        Returns the markets with the candles walked so far.
    profile, assumptions
        On which the signals are executed.
    outcomes
        What became of the calls.
    """

    def __init__(
        self,
        histories: Callable[[], Sequence[MarketHistory]],
        profile: SubscriberProfile,
        assumptions: VenueAssumptions | None,
        outcomes: Outcomes,
    ) -> None:
        self.histories, self._profile, self._assumptions, self.outcomes = histories, profile, assumptions, outcomes
        self.venue = self._fresh()
        self._rules: list[tuple[int, str, Market]] = []
        self._held: dict[CallKey, Decision] = {}
        self._doubtful: dict[CallKey, Call] = {}
        self._put: list[_Put] = []

    def change_rules(self, at: int, symbol: str, market: Market) -> None:
        """Let other rules of a market hold for the candles behind a close.

        Parameters
        ----------
        at
            The close that was walked last, UTC ms.
        symbol, market
            Which one, and its rules.
        """
        self._rules.append((at, symbol, market))
        self.venue.change_rules(symbol, market)

    def recall(
        self,
        made: Iterable[Made],
        settled: Iterable[Settled],
        asked: Mapping[CallKey, Call],
        at: int,
        rules: Iterable[tuple[int, str, Market]] = (),
    ) -> None:
        """Come to where a shadow book stood that lived through all this, without walking close by close.

        What is said to be in doubt still is looked at again before the next candle.

        Parameters
        ----------
        made
            What the desks made, in order.
        settled
            What was told of it, in order.
        asked
            Calls that a person asked for.
        at
            The last close, UTC ms.
        rules
            Close, symbol and rules of markets that changed, in order.
        """
        self._rules = list(rules)
        told = deque(sorted(settled, key=lambda one: one.at))
        for close, group in groupby(made, lambda one: one.at):
            while told and told[0].at < close:
                self._retell(told.popleft(), asked)
            numbers: Counter[tuple[str, str]] = Counter()
            for one in group:
                self._keep(one, numbers)
        for last in told:
            self._retell(last, asked)
        with self.outcomes.known(at) as known:
            fates = [(key, known.fate(key)) for key in self._doubtful]
        certain = {key for key, fate in fates if fate is not None and fate.entered and fate.certain}
        self._doubtful = {key: call for key, call in self._doubtful.items() if key not in certain}
        self._make_anew(at)

    def _retell(self, one: Settled, asked: Mapping[CallKey, Call]) -> None:
        """Take in what was told of a call; whether it is certain by now is not looked at."""
        if one.outcome == "voided":
            self._void(one.key, self._doubtful.pop(one.key), one.at, one.reason)
            return
        call = asked[one.key] if one.key in asked else self._held.pop(one.key).call
        self._put.append(_Put(one.key, call, one.at, one.reason, is_refusal=one.outcome == "refused"))
        if one.outcome == "entered":
            self._doubtful[one.key] = call

    def waiting(self, symbol: str) -> list[CreateSignal]:
        """Return the creates of a market that are decided and not in the book yet."""
        creates = (one.call for one in self._held.values() if isinstance(one.call, CreateSignal))
        return [create for create in creates if create.ref.startswith(f"{symbol}-")]

    def holds(self, symbol: str) -> bool:
        """Whether a call about a market waits to be sent, or is in doubt."""
        waiting = (one.signal for one in self._held.values())
        doubtful = (key.ref for key in self._doubtful)
        return any(ref.startswith(f"{symbol}-") for ref in (*waiting, *doubtful))

    def hold(self, made: Iterable[Made]) -> None:
        """Take what a desk made of one close; its calls must be those of one market, in order."""
        numbers: Counter[tuple[str, str]] = Counter()
        for one in made:
            self._keep(one, numbers)
            if isinstance(one, Refusal):
                self._give(self._put[-1])
            elif isinstance(one.call, CreateSignal):
                self.venue.announce(one.call)

    def _keep(self, one: Made, numbers: Counter[tuple[str, str]]) -> None:
        """Keep what was made at a close, of which ``numbers`` counts the calls: a refusal is known, a call is held."""
        if isinstance(one, Refusal):
            reason = one.reason if one.rule == "L3.8" else None
            self._put.append(_Put(None, one.call, one.at, reason, is_refusal=True))
            return
        kind = kind_of(one.call)
        self._held[CallKey(one.at, kind, one.signal, numbers[kind, one.signal])] = one
        numbers[kind, one.signal] += 1

    def settle(self, at: int) -> list[Settled]:
        """Let enter what is known, before the candle after the close ``at`` is walked; return what changed."""
        with self.outcomes.known(at) as known:
            found = self._let_in(known, at)
            gone = self._gone(known)
        for key, call, reason in gone:
            self._void(key, call, at, reason)
        if gone:
            self._make_anew(at)
        return found + [Settled(key, "voided", at, reason) for key, _, reason in gone]

    def _let_in(self, known: Known, at: int) -> list[Settled]:
        found: list[Settled] = []
        for key, decision in list(self._held.items()):
            fate = known.fate(key)
            if fate is None:
                continue
            del self._held[key]
            self._add(_Put(key, decision.call, at, fate.reason, is_refusal=not fate.entered))
            found.append(Settled(key, "entered" if fate.entered else "refused", at, fate.reason))
            if fate.entered and not fate.certain:
                self._doubtful[key] = decision.call
        for key, call in known.asked():
            if not isinstance(call, CreateSignal) and self.venue.knows(call.signal):
                self._add(_Put(key, call, at))
                found.append(Settled(key, "entered", at, ""))
                fate = known.fate(key)
                if fate is not None and not fate.certain:
                    self._doubtful[key] = call
        return found

    def _gone(self, known: Known) -> list[tuple[CallKey, Call, str]]:
        """Return what was in doubt and never got there, with the reason."""
        found = []
        for key in list(self._doubtful):
            fate = known.fate(key)
            if fate is None or (fate.entered and not fate.certain):
                continue
            call = self._doubtful.pop(key)
            if not fate.entered:
                found.append((key, call, fate.reason))
        return found

    def _void(self, key: CallKey, call: Call, at: int, reason: str) -> None:
        self._put = [put for put in self._put if put.key != key]
        if key.number >= 0:  # what a person asked for the strategy never made, and hears nothing of
            self._put.append(_Put(key, call, at, reason, is_refusal=True))

    def _make_anew(self, at: int) -> None:
        self.venue = self._fresh()
        calls = [*(put.call for put in self._put), *(one.call for one in self._held.values())]
        for call in calls:
            if isinstance(call, CreateSignal):
                self.venue.announce(call)
        for put in self._put:
            self._give(put)
        for close, symbol, market in self._rules:
            self.venue.advance(close)
            self.venue.change_rules(symbol, market)
        self.venue.advance(at)
        self.venue.new_events()  # they were told, or never happened

    def _fresh(self) -> SimulatedVenue:
        return SimulatedVenue(self.histories(), self._profile, self._assumptions, want_events=False)

    def _add(self, put: _Put) -> None:
        self._put.append(put)
        self._give(put)

    def _give(self, put: _Put) -> None:
        if put.is_refusal:
            self.venue.refuse(put.call, put.at, put.reason)
        else:
            self.venue.send(put.call, put.at)
