"""Calls that were sent, held against those of a backtest, each difference named and priced."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from backtest.live.intent import Intent, State
from backtest.model.calls import CreateSignal
from backtest.wire import body_of, json_bytes, kind_of, read_object, tag_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from backtest.live.snapshot import Snapshot
    from backtest.runner.decision import Decision

__all__ = [
    "CallFault",
    "CallLine",
    "Cause",
    "Cost",
    "Made",
    "Money",
    "changes_of",
    "compare_calls",
    "costs_of",
    "key_of",
    "made_of",
    "money_of",
]

_RATE_LIMIT, _NOT_RUNNING = "by the rate limit", "before it could be sent"
_UNREACHABLE, _TOO_LATE = "as the venue could not be reached", "as it was decided too late"


class CallFault(StrEnum):
    """What a call is beside that of the backtest."""

    EQUAL = "equal"
    LATE = "late"
    """It reached the venue a candle or more after its close."""
    EXPIRED = "expired"
    REFUSED = "refused"
    """The venue refused it."""
    BLOCKED = "blocked"
    """A limit, a stop of entries or an unknown held it back."""
    SUPERSEDED = "superseded"
    """A newer wish took its place before it was sent."""
    UNKNOWN = "unknown"
    """Its outcome was not proved; it counts as being at the venue."""
    LOST = "lost"
    """It was sent, and a person found that it never arrived."""
    WAITING = "waiting"
    OTHER = "other price"
    """It states something else than the backtest's."""
    MISSING = "missing"
    """The backtest makes it, and it was never decided."""
    EXTRA = "extra"
    """It was decided, and the backtest does not make it."""
    DOUBLED = "doubled"
    """It was decided or sent twice."""


class Cause(StrEnum):
    """Why a call is missing, extra or another one."""

    NONE = ""
    FOLLOWS = "follows"
    """What became of earlier calls: told of it, the strategy decides so."""
    CODE = "code"
    """The strategy decides otherwise now on what was seen and told then: its code or parameters are others."""
    PERSON = "person"
    """Somebody asked for it."""


_OF_STATE = {
    State.PLANNED: CallFault.WAITING,
    State.SENDING: CallFault.WAITING,
    State.ACKED: CallFault.EQUAL,
    State.LANDED: CallFault.EQUAL,
    State.REJECTED: CallFault.REFUSED,
    State.UNKNOWN: CallFault.UNKNOWN,
    State.ABANDONED: CallFault.UNKNOWN,
    State.EXPIRED: CallFault.EXPIRED,
    State.SUPERSEDED: CallFault.SUPERSEDED,
    State.BLOCKED: CallFault.BLOCKED,
    State.NOT_LANDED: CallFault.LOST,
}
_ROOTS = frozenset(_OF_STATE.values()) - {CallFault.EQUAL}


class Key(NamedTuple):
    """What names a call: close (UTC ms), kind, ref, and number among those of this kind and ref."""

    at: int
    kind: str
    ref: str
    number: int


Made = dict[Key, str]
"""The bodies of calls, each under its name."""


@dataclass(frozen=True, slots=True)
class CallLine:
    """One call that was sent, or that a backtest makes.

    Attributes
    ----------
    at
        The close at which it was decided, UTC ms.
    symbol, ref, kind
        Of which market and signal, and which call.
    fault, cause
        What it is beside the backtest's, and why.
    note
        In words: the reason of an expiry or refusal, the values that differ.
    expected, sent
        Its body in the backtest and in the journal; None where there is none.
    lag
        Milliseconds from the close to the answer that acknowledged it; None where there was none.
    """

    at: int
    symbol: str
    ref: str
    kind: str
    fault: CallFault
    cause: Cause = Cause.NONE
    note: str = ""
    expected: str | None = None
    sent: str | None = None
    lag: int | None = None

    @property
    def group(self) -> str:
        """Under which the money of its signal is summed."""
        if self.cause is not Cause.NONE:
            return self.cause.value
        return f"{self.fault.value} {self.note}" if self.fault is CallFault.EXPIRED else self.fault.value


@dataclass(frozen=True, slots=True)
class Money:
    """What one signal made, quote currency, after costs.

    Attributes
    ----------
    ref
        Its name.
    sent, backtest, stored
        As it was sent, in the backtest on the candles acted on, and in that on the store's; None where not made.
    group
        Why the first two differ: a group of :class:`CallLine`, ``account`` where its calls are equal and other signals
        left it another amount, empty where nothing differs.
    """

    ref: str
    sent: float
    backtest: float
    stored: float | None
    group: str

    @property
    def difference(self) -> float:
        """What was sent less what the backtest makes of it."""
        return self.sent - self.backtest


@dataclass(frozen=True, slots=True)
class Cost:
    """What differences of one kind cost: calls, signals, money (quote currency) and its fraction of the capital."""

    group: str
    calls: int
    signals: int
    money: float
    fraction: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)


def made_of(decisions: Iterable[Decision]) -> Made:
    """Return the bodies of a backtest's calls by their names."""
    numbers: Counter[tuple[int, str, str]] = Counter()
    found: Made = {}
    for one in decisions:
        kind, ref = kind_of(one.call), str(one.signal)
        key = Key(one.at, kind, ref, numbers[one.at, kind, ref])
        numbers[one.at, kind, ref] += 1
        found[key] = json_bytes(body_of(one.call, None if isinstance(one.call, CreateSignal) else one.signal)).decode()
    return found


def compare_calls(
    journal: Snapshot, intents: Sequence[Intent], expected: Made, told: Made | None, *, same_identity: bool = True
) -> list[CallLine]:
    """Hold what was sent against a backtest; return a line for each call of either, by time.

    Parameters
    ----------
    journal
        What became of the calls.
    intents
        Those of the strategy.
    expected
        Of the backtest on the candles acted on.
    told
        Of the same, told what became of the calls: what it makes too is no fault of the code. None takes the code for the
        same.
    same_identity
        Whether the strategy is the journal's; another one writes other tags, which then do not count.
    """
    lines: list[CallLine] = []
    twice = _twins(intents)
    entered = {one.intent: one.entered for one in journal.told.get(intents[0].strategy, ())} if intents else {}
    sent = {key_of(intent): intent for intent in intents}
    for key, intent in sent.items():
        body = expected.get(key)
        fault, note = _fate(journal, intent, entered.get(intent.id))
        cause = Cause.NONE
        if intent.by_person:
            fault, cause = CallFault.EXTRA, Cause.PERSON
            note = "a person asked for it"
        elif intent.id in twice or _sent_twice(journal, intent):
            fault, cause, note = CallFault.DOUBLED, Cause.CODE, twice.get(intent.id, "two attempts may have arrived")
        elif body is None:
            note = "" if fault is CallFault.EQUAL else ", ".join(part for part in (fault.value, note) if part)
            fault, cause = CallFault.EXTRA, _cause(told, key, intent.body, same_identity=same_identity)
        elif _differs(body, intent.body, same_identity=same_identity):
            other = changes_of(body, intent.body, same_identity=same_identity)
            fault, cause, note = CallFault.OTHER, _cause(told, key, intent.body, same_identity=same_identity), other
        acked = journal.when(intent, State.ACKED, State.LANDED)
        lag = None if acked is None or journal.is_recorded else acked - intent.candle
        lines.append(CallLine(key.at, intent.symbol, key.ref, key.kind, fault, cause, note, body, intent.body, lag))
    for key, body in expected.items():
        if key not in sent:
            code = told is not None and told.get(key) == body
            cause = Cause.CODE if code else Cause.FOLLOWS
            lines.append(CallLine(key.at, _symbol(key.ref), key.ref, key.kind, CallFault.MISSING, cause, "", body))
    return sorted(lines, key=lambda line: line.at)


def money_of(
    lines: Sequence[CallLine],
    sent: Mapping[str, float],
    backtest: Mapping[str, float],
    stored: Mapping[str, float] | None,
) -> list[Money]:
    """Return what each signal made, and why it made another amount than in the backtest.

    Parameters
    ----------
    lines
        Of all calls.
    sent, backtest, stored
        What each signal made, quote currency: as sent, in the backtest, in that on the store's candles.
    """
    first: dict[str, str] = {}
    for line in lines:
        if line.fault is not CallFault.EQUAL:
            first.setdefault(line.ref, line.group)
    found = []
    for ref in dict.fromkeys([*backtest, *sent, *(stored or ())]):
        one, two = sent.get(ref, 0.0), backtest.get(ref, 0.0)
        group = first.get(ref, "account" if abs(one - two) > _NOTHING else "")
        found.append(Money(ref, one, two, None if stored is None else stored.get(ref, 0.0), group))
    return found


def costs_of(lines: Sequence[CallLine], money: Sequence[Money], balance: float) -> list[Cost]:
    """Return what the differences cost, by kind; together they are the difference of the two accounts.

    Parameters
    ----------
    lines, money
        Of all calls and signals.
    balance
        The capital that fractions are of, quote currency.
    """
    calls = Counter(line.group for line in lines if line.fault is not CallFault.EQUAL)
    groups = dict.fromkeys([*calls, *(one.group for one in money if one.group)])
    found = []
    for group in groups:
        mine = [one for one in money if one.group == group]
        total = sum(one.difference for one in mine)
        found.append(Cost(group, calls[group], len(mine), total, total / balance))
    return found


_NOTHING = 1e-9
_PICTURE = "attachment_image1_url"


def key_of(intent: Intent) -> Key:
    """Return what names a call that was planned."""
    return Key(intent.candle, intent.kind, intent.ref, intent.number)


def _fate(journal: Snapshot, intent: Intent, entered: int | None) -> tuple[CallFault, str]:
    fault = _OF_STATE[intent.state]
    if fault is CallFault.EQUAL and entered is not None and entered > intent.candle:
        return CallFault.LATE, "it reached the venue a candle or more after its close"
    if fault is CallFault.EXPIRED:
        return fault, _why_expired(journal, intent)
    if intent.state is State.ABANDONED:
        return fault, "abandoned by a person"
    return fault, "" if fault is CallFault.EQUAL else journal.note(intent)


def _why_expired(journal: Snapshot, intent: Intent) -> str:
    """Return why a call was never sent in its time."""
    tries = [one.outcome for one in journal.attempts.get(intent.id, ()) if one.phase == "end"]
    if "later" in tries:
        return _RATE_LIMIT
    if "not_sent" in tries:
        return _UNREACHABLE
    planned, given_up = journal.when(intent, State.PLANNED), journal.when(intent, State.EXPIRED)
    if planned is None or given_up is None:
        return _NOT_RUNNING
    if not journal.is_recorded and intent.valid_until is not None and planned >= intent.valid_until:
        return _TOO_LATE
    busy = any(
        one.phase == "start" and planned <= one.at <= given_up
        for name, attempts in journal.attempts.items()
        if name != intent.id
        for one in attempts
    )
    return _RATE_LIMIT if busy else _NOT_RUNNING


def _sent_twice(journal: Snapshot, intent: Intent) -> bool:
    """Whether more than one attempt at a call of class N may have arrived."""
    arrived = [one for one in journal.attempts.get(intent.id, ()) if one.outcome in {"acked", "lost"}]
    return not intent.repeatable and len(arrived) > 1


def _twins(intents: Sequence[Intent]) -> dict[str, str]:
    """Return the calls that say the same as an earlier one of the same close, each with a sentence."""
    first: dict[tuple[int, str, str], Intent] = {}
    found: dict[str, str] = {}
    for intent in intents:
        if intent.creates:
            continue
        other = first.setdefault((intent.candle, intent.ref, intent.body), intent)
        if other is not intent and other.kind == intent.kind and not intent.by_person:
            found[intent.id] = f"the same as {other.id[:12]}"
    return found


def _cause(told: Made | None, key: Key, body: str, *, same_identity: bool) -> Cause:
    """Return whether the strategy makes this very call when it is told what became of the others."""
    made = None if told is None else told.get(key)
    if told is None or (made is not None and not _differs(made, body, same_identity=same_identity)):
        return Cause.FOLLOWS
    return Cause.CODE


def _differs(one: str, other: str, *, same_identity: bool) -> bool:
    return bool(one != other and changes_of(one, other, same_identity=same_identity))


def changes_of(one: str, other: str, *, same_identity: bool = True) -> str:
    """Return the fields of two bodies that differ, as both state them.

    Parameters
    ----------
    one, other
        The backtest's and the one that was sent.
    same_identity
        Whether their tags count.
    """
    expected, sent = read_object(one), read_object(other)
    names = [name for name in dict.fromkeys([*expected, *sent]) if expected.get(name) != sent.get(name)]
    if str(sent.get(_PICTURE, "")).endswith(f"/{tag_of(sent.get('attachment_description'))}.png"):
        names = [name for name in names if name != _PICTURE]  # where pictures are is no part of a decision
    if not same_identity:
        names = [name for name in names if not name.startswith("attachment_")]
    return ", ".join(f"{name} {expected.get(name, 'none')} became {sent.get(name, 'none')}" for name in names)


def _symbol(ref: str) -> str:
    return ref.rsplit("-", 2)[0]
