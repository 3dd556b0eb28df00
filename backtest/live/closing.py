"""Closing: every living signal canceled, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.live.intent import Source, State
from backtest.model.calls import Cancel
from backtest.model.events import SignalRef
from backtest.model.timeframe import milliseconds

if TYPE_CHECKING:
    from backtest.live.emitter import Emitter
    from backtest.live.journal import Journal, SignalRow

__all__ = ["Closed", "cancel_all", "to_cancel"]

_MINUTE = 60_000


@dataclass(frozen=True, slots=True)
class Closed:
    """A signal and what became of its cancel: ``acked``, ``rejected``, ``unknown`` or ``planned`` (it waits)."""

    ref: str
    parent_signal_id: str | None
    state: State
    note: str


def to_cancel(journal: Journal, *, ended: bool = False) -> list[SignalRow]:
    """Return the signals that live at the venue; with ``ended`` those too that have ended in the shadow book."""
    return journal.signals(*(("living", "ended") if ended else ("living",)))


def cancel_all(emitter: Emitter, account: str, *, ended: bool = False) -> list[Closed]:
    """Cancel every living signal.

    The cancels belong to the last close that was seen: one that the strategy had planned there already is the same
    intent, and is sent once. A venue that is away is waited for a minute longer than the rate limit needs.
    """
    journal = emitter.journal
    rows = to_cancel(journal, ended=ended)
    for cursor in journal.cursors():
        source = Source(account, cursor.strategy, cursor.symbol, cursor.timeframe, milliseconds(cursor.timeframe))
        mine = [row for row in rows if (row.strategy, row.symbol) == (cursor.strategy, cursor.symbol)]
        calls = [Cancel(SignalRef(row.ref)) for row in mine]
        emitter.plan(source, cursor, calls)
    minutes = 1 + -(-len(rows) // emitter.settings.per_minute)
    emitter.drain(emitter.clock.now() + minutes * _MINUTE)
    refs = {(row.strategy, row.ref): row for row in rows}
    found = [intent for intent in journal.intents() if intent.kind == "cancel"]
    last = {(intent.strategy, intent.level): intent for intent in found}
    return [
        Closed(row.ref, row.parent_signal_id, last[key].state, journal.note(last[key]))
        for key, row in refs.items()
        if key in last
    ]
