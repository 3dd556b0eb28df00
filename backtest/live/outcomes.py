"""Outcomes: what the journal knows became of a strategy's calls, for the shadow book, while it runs and read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError
from backtest.live.intent import Intent, State, intents_of
from backtest.live.schema import Told
from backtest.model.calls import Cancel
from backtest.model.events import SignalRef
from backtest.runner.shadow import CallKey, Fate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from backtest.live.journal import Journal
    from backtest.live.schema import Stream
    from backtest.model.calls import Call
    from backtest.runner.decision import Decision
    from backtest.runner.shadow import Settled

__all__ = ["JournalOutcomes", "ToldOutcomes", "refuse_other_calls", "told_of"]

_THERE = {State.ACKED, State.LANDED, State.ABANDONED}
_IN_DOUBT = {State.SENDING, State.UNKNOWN}


class JournalOutcomes:
    """What has become of the calls so far, of an emission that runs.

    What a person could not find out about (``abandoned``) counts as being at the venue, as it did while it was unknown.

    Parameters
    ----------
    journal
        Of the emission.
    strategy
        Identity of the strategy.
    """

    def __init__(self, journal: Journal, strategy: str) -> None:
        self._journal, self._strategy = journal, strategy

    def fate(self, key: CallKey, at: int) -> Fate | None:
        """Return what is known of a call now; None while it waits to be sent."""
        intent = self._journal.intent_named(self._strategy, *key)
        if intent is None or intent.state is State.PLANNED:
            return None
        if intent.state in _THERE or intent.state in _IN_DOUBT:
            return Fate(entered=True, certain=intent.state in _THERE)
        note = self._journal.note(intent) or "not at the venue"
        return Fate(entered=False, reason=f"{intent.state}: {note}")

    def asked(self, at: int) -> Sequence[tuple[CallKey, Call]]:
        """Return the cancels that a person asked for, that are at the venue or may be, and were not told yet."""
        found = self._journal.untold_by_person(self._strategy)
        return [(_key(each), Cancel(SignalRef(each.ref))) for each in found if each.state in _THERE | _IN_DOUBT]


class ToldOutcomes:
    """What was told of the calls, close by close, of an emission that is read again.

    Parameters
    ----------
    journal
        Of the emission.
    strategy
        Identity of the strategy.
    """

    def __init__(self, journal: Journal, strategy: str) -> None:
        self._told: dict[CallKey, list[Told]] = {}
        self._asked: dict[int, list[tuple[CallKey, Call]]] = {}
        intents = {each.id: each for each in journal.intents_of_strategy(strategy)}
        for each in intents.values():
            self._told[_key(each)] = []
        for told in journal.told(strategy):
            intent = intents[told.intent]
            self._told[_key(intent)].append(told)
            if intent.by_person and told.outcome == "entered":
                self._asked.setdefault(told.entered, []).append((_key(intent), Cancel(SignalRef(intent.ref))))

    def fate(self, key: CallKey, at: int) -> Fate | None:
        """Return what was told of a call up to the close ``at``; of one that was never planned, that it is there."""
        if key not in self._told:
            return Fate(entered=True)
        told = [each for each in self._told[key] if each.entered <= at]
        if not told:
            return None
        later = len(told) < len(self._told[key])
        return Fate(told[-1].outcome == "entered", certain=not later, reason=told[-1].reason)

    def asked(self, at: int) -> Sequence[tuple[CallKey, Call]]:
        """Return the cancels that a person asked for and that entered at a close."""
        return self._asked.get(at, ())


def told_of(settled: Iterable[Settled], name: Callable[[CallKey], Intent | None], close: int) -> list[Told]:
    """Return what changed in the shadow book as the journal keeps it, with the close at which the strategy knew.

    Parameters
    ----------
    settled
        Before the candle of ``close`` was walked.
    name
        Returns the intent of a call.
    close
        UTC ms.
    """
    found = []
    for one in settled:
        intent = name(one.key)
        if intent is not None:
            found.append(Told(intent.id, one.outcome, close, one.at, one.reason))
    return found


def refuse_other_calls(journal: Journal, stream: Stream, decisions: Sequence[Decision], until: int) -> None:
    """Refuse code that decides otherwise than the journal: what was sent is not what it would have sent.

    Parameters
    ----------
    journal, stream
        What was decided, and by whom.
    decisions
        What the code decides now on what was seen, with the outcomes told.
    until
        Up to which close, UTC ms.

    Raises
    ------
    InvalidSettingError
        Naming the first call that differs.
    """
    kept = [each for each in journal.intents_of_strategy(stream.strategy) if not each.by_person]
    kept = [each for each in kept if (each.symbol, each.timeframe) == (stream.symbol, stream.timeframe)]
    closes: dict[int, list[Call]] = {}
    for decision in decisions:
        if decision.at <= until:
            closes.setdefault(decision.at, []).append(decision.call)
    now = [intent for at, calls in closes.items() for intent in intents_of(stream, at, calls)]
    for number in range(max(len(kept), len(now))):
        before = kept[number] if number < len(kept) else None
        after = now[number] if number < len(now) else None
        if before is None or after is None or (before.id, before.body) != (after.id, after.body):
            raise InvalidSettingError(
                f"call {number + 1} of this journal was {_said(before)}, the code now decides on {_said(after)}; its code "
                "changed: bring the old code back, or use another journal"
            )


def _said(intent: Intent | None) -> str:
    return "none" if intent is None else f"{intent.kind} of {intent.ref} {intent.body}"


def _key(intent: Intent) -> CallKey:
    return CallKey(intent.candle, intent.kind, intent.ref, intent.number)
