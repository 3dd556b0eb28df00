"""Status: what the journal says to a person, unknowns first."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from backtest.live.intent import Intent, State
from backtest.wire import kind_of

if TYPE_CHECKING:
    from backtest.live.journal import Journal

__all__ = ["status_text"]

_GIVEN_UP = (State.EXPIRED, State.BLOCKED, State.REJECTED)
_SHOWN = 5


def status_text(journal: Journal) -> str:
    """Return how far it is, what lives, what waits, what was given up lately, and every unknown with its evidence."""
    with journal.moment():
        return _text(journal)


def _text(journal: Journal) -> str:
    last = journal.last_run()
    lines = [f"journal {journal.path}, mode {last.mode}, account {last.account}" if last else f"journal {journal.path}"]
    lines.extend(
        f"{cursor.strategy[:12]} on {cursor.symbol} {cursor.timeframe}: seen up to {_when(cursor.time)}"
        for cursor in journal.cursors()
    )
    for identity in dict.fromkeys(cursor.strategy for cursor in journal.cursors()):
        accepted = [code for code in journal.codes(identity) if code.accepted]
        lines.extend(
            f"{identity[:12]}: new code {code.code_hash[:12]} from {_when(code.close)} on" for code in accepted
        )
    states = Counter(intent.state.value for intent in journal.intents())
    states["refused at the desk"] = len(journal.refusals())
    found = ", ".join(f"{count} {state}" for state, count in sorted(states.items()) if count)
    lines.append(f"calls: {found or 'none'}")
    living = journal.signals("living")
    lines.append(f"signals living: {len(living)}")
    lines.extend(f"  {row.ref} = {row.parent_signal_id} {_prices(row.confirmed)}" for row in living[-4 * _SHOWN :])
    waiting = journal.intents(State.PLANNED)
    lines.extend(f"waits: {intent.kind} of {intent.ref}, {intent.id[:12]}" for intent in waiting[-4 * _SHOWN :])
    for state in _GIVEN_UP:
        gone = journal.intents(state)
        lines.extend(f"{state}: {intent.kind} of {intent.ref}: {journal.note(intent)}" for intent in gone[-_SHOWN:])
    refusals = journal.refusals()
    lines.extend(
        f"refused at the desk: {kind_of(one.call)} of {one.signal}: {one.reason}" for one in refusals[-_SHOWN:]
    )
    for intent in journal.intents(State.UNKNOWN):
        lines.extend(_unknown(journal, intent))
    return "\n".join(lines)


def _unknown(journal: Journal, intent: Intent) -> list[str]:
    attempts = journal.attempts(intent)
    row = journal.signal(intent.strategy, intent.ref)
    starts = [attempt["at"] for attempt in attempts if attempt["phase"] == "start"]
    ends = [attempt["at"] for attempt in attempts if attempt["phase"] == "end"]
    window = f"between {_when(starts[0])} and {_when(ends[-1])}" if starts and ends else "at an unknown time"
    evidence = attempts[-1] if attempts else {}
    shown = " ".join(str(evidence[name]) for name in ("http_status", "result_type", "error") if evidence.get(name))
    tag = f" ref:{row.tag}" if row and row.tag else ""
    parent = f", at the venue {row.parent_signal_id}" if row and row.parent_signal_id else ""
    return [
        f"UNKNOWN {intent.id[:12]}: {intent.kind} of {intent.ref}{tag}{parent}",
        f"  sent {window}; evidence: {shown or 'none'}",
        f"  body {intent.body}",
        f"  look at the venue, then: backtest emit resolve {intent.id[:12]} --landed ID | --not-landed | --abandon",
    ]


def _prices(prices: dict[str, str]) -> str:
    return " ".join(f"{name} {price}" for name, price in prices.items())


def _when(moment: int) -> str:
    return f"{np.datetime64(moment, 'ms')}Z"
