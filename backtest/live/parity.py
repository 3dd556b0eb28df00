"""Parity: what the venue got and its subscriber's fills, against the backtest, byte for byte.

The backtest is the one that is told what became of the calls: so what was refused, or expired before its turn came, is no
difference. It is listed.

Calls of one signal have an order, and so have the creates of the account; calls about other signals go beside one
another, so that no order between them means anything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from backtest.live.intent import State
from backtest.model.calls import CreateSignal
from backtest.model.events import EventKind
from backtest.wire import ENDPOINTS, body_of, json_bytes, kind_of, with_ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from backtest.live.intent import Intent
    from backtest.live.journal import Journal
    from backtest.model.events import Event
    from backtest.runner.decision import Decision

__all__ = ["Comparison", "ParityReport", "parity"]

_SHOWN = 5
_FILL = ("time", "kind", "price", "quantity", "fee", "target")


@dataclass(frozen=True)
class Comparison:
    """Two lists of lines.

    Attributes
    ----------
    name
        ``"decided"``, ``"calls"`` or ``"fills"``.
    expected, found
        How many the backtest has, and how many there were.
    differences
        Each with its position and both lines.
    """

    name: str
    expected: int
    found: int
    differences: list[str]

    def lines(self) -> list[str]:
        """Return it as text."""
        if not self.differences:
            return [f"{self.name}: {self.found} of {self.expected}, equal byte for byte"]
        head = f"{self.name}: {len(self.differences)} differ ({self.expected} in the backtest, {self.found} here)"
        more = [f"  and {len(self.differences) - _SHOWN} more"] if len(self.differences) > _SHOWN else []
        return [head, *self.differences[:_SHOWN], *more]


@dataclass(frozen=True)
class ParityReport:
    """Whether a rehearsal equals the backtest.

    ``decided`` compares what the backtest decides with the journal, ``calls`` what the journal says was performed with what
    the venue got, ``fills`` those of the shadow book with those of the venue's subscriber. ``lost`` is how many calls were
    refused, expired or blocked: the backtest was told of them, the subscribers never will be. ``unsent`` are the calls that were not acknowledged, with their state; ``repeated`` counts repeats of class I.
    """

    decided: Comparison
    calls: Comparison
    fills: Comparison
    unsent: list[str] = field(default_factory=list)
    lost: int = 0
    repeated: int = 0

    @property
    def equal(self) -> bool:
        """Whether calls and fills are equal."""
        return not (self.decided.differences or self.calls.differences or self.fills.differences)

    def text(self) -> str:
        """Return the report."""
        verdict = "PARITY: the rehearsal equals the backtest" if self.equal else "NO PARITY with the backtest"
        if self.equal and self.lost:
            verdict += f" that was told of {self.lost} {'call' if self.lost == 1 else 'calls'} that did not get there"
        repeated = [f"repeated: {self.repeated} price updates or cancels were sent again"] if self.repeated else []
        decided = self.decided.lines() if self.decided.differences else []
        return "\n".join([verdict, *decided, *self.calls.lines(), *self.fills.lines(), *repeated, *self.unsent])


def parity(
    decisions: Sequence[Decision],
    events: Iterable[Event],
    journal: Journal,
    received: Sequence[Mapping[str, Any]],
    heard: Sequence[Mapping[str, Any]],
) -> ParityReport:
    """Compare.

    Parameters
    ----------
    decisions, events
        Of the backtest that was told what became of the calls.
    journal
        Knows what was decided and what became of it, and which ``parent_signal_id`` is which of our refs.
    received, heard
        What came to the venue (a call that it refused came too), and the events of its subscriber.
    """
    refs = {row.parent_signal_id: row.ref for row in journal.signals() if row.parent_signal_id}
    sent, repeated = _sent([each for each in received if each["parent_signal_id"] in refs], refs)
    intents = journal.intents()
    lines = [(intent.ref, f"{intent.kind} {intent.body}") for intent in intents if not intent.by_person]
    decided = _compare("decided", [(_ref(decision), _line(decision)) for decision in decisions], lines)
    came = set(sent)
    went = [intent for intent in intents if _went(intent, came)]
    calls = _compare("calls", [(intent.ref, f"{intent.kind} {intent.body}") for intent in went], sent)
    if not calls.differences:
        calls = _in_order(calls, [f"{intent.kind} {intent.body}" for intent in went if intent.creates], sent)
    fills = [
        (str(event.signal), _fill({**_plain(event), "signal": event.signal}))
        for event in events
        if _trades(event.kind, event.quantity)
    ]
    got = [
        (refs[event["parent_signal_id"]], _fill({**event, "signal": refs[event["parent_signal_id"]]}))
        for event in heard
        if event["parent_signal_id"] in refs and _trades(event["kind"], event["quantity"])
    ]
    gone = [intent for intent in intents if intent.state not in {State.ACKED, State.LANDED}]
    unsent = [f"{intent.state}: {intent.kind} of {intent.ref}" for intent in gone]
    lost = sum(intent.state in {State.REJECTED, State.EXPIRED, State.BLOCKED} for intent in gone)
    return ParityReport(decided, calls, _compare("fills", fills, got), unsent, lost, repeated)


def _went(intent: Intent, came: AbstractSet[tuple[str, str]]) -> bool:
    """Whether a call must have come to the venue; of what nobody could prove, and of what it refused, that it did."""
    if intent.state in {State.ACKED, State.LANDED}:
        return True
    doubt = {State.UNKNOWN, State.ABANDONED, State.SENDING, State.REJECTED}
    return intent.state in doubt and (intent.ref, f"{intent.kind} {intent.body}") in came


def _sent(effects: Sequence[Mapping[str, Any]], refs: Mapping[str, str]) -> tuple[list[tuple[str, str]], int]:
    """Return what the venue got by our refs, and how many repeats of class I were left out."""
    lines: list[tuple[str, str]] = []
    last: dict[str, str] = {}
    repeated = 0
    for effect in effects:
        line = f"{effect['kind']} {with_ref(effect['body'].encode(), refs).decode()}"
        if ENDPOINTS[effect["kind"]].repeatable and last.get(effect["parent_signal_id"]) == line:
            repeated += 1
            continue
        last[effect["parent_signal_id"]] = line
        lines.append((refs[effect["parent_signal_id"]], line))
    return lines, repeated


def _ref(decision: Decision) -> str:
    call = decision.call
    return str(call.ref if isinstance(call, CreateSignal) else call.signal)


def _line(decision: Decision) -> str:
    call = decision.call
    ref = getattr(call, "signal", None)
    return f"{kind_of(call)} {json_bytes(body_of(call, ref)).decode()}"


def _plain(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _FILL}


def _fill(event: Mapping[str, Any]) -> str:
    return json.dumps({"signal": event["signal"], **{name: event[name] for name in _FILL}})


def _trades(kind: str, quantity: float) -> bool:
    return EventKind(kind).is_fill and quantity > 0.0


def _compare(name: str, expected: Sequence[tuple[str, str]], found: Sequence[tuple[str, str]]) -> Comparison:
    """Compare the lines of each signal, in their order."""
    ours, theirs = _by_signal(expected), _by_signal(found)
    differences = [
        f"  {ref}, {number}: backtest {one or 'nothing'}\n     venue    {other or 'nothing'}"
        for ref in dict.fromkeys([*ours, *theirs])
        for number, (one, other) in enumerate(zip_longest(ours.get(ref, ()), theirs.get(ref, ())), 1)
        if one != other
    ]
    return Comparison(name, len(expected), len(found), differences)


def _by_signal(lines: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for ref, line in lines:
        found.setdefault(ref, []).append(line)
    return found


def _in_order(calls: Comparison, expected: Sequence[str], sent: Sequence[tuple[str, str]]) -> Comparison:
    """Return the comparison with the first create that came out of its order."""
    found = [line for _, line in sent if line.startswith("create_")]
    for number, (one, other) in enumerate(zip_longest(expected, found), 1):
        if one != other:
            return replace(calls, differences=[f"  create {number}: backtest {one}\n     venue    {other}"])
    return calls
