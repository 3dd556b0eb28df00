"""Deciding: what a person found out about a call whose outcome is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError
from backtest.live.intent import Intent, State

if TYPE_CHECKING:
    from backtest.live.journal import Journal

__all__ = ["decide"]


def decide(journal: Journal, prefix: str, state: State, now: int, parent: str | None = None) -> Intent:
    """Keep a person's decision about the unknown whose id begins with ``prefix``; return the intent.

    Parameters
    ----------
    state
        ``landed``, ``not_landed`` or ``abandoned`` (nobody could tell; nothing more is done about it).
    parent
        The venue's name of the signal, of one that landed.

    Raises
    ------
    InvalidSettingError
        Where there is no such unknown, or the name belongs to another signal.
    """
    intent = journal.intent(prefix)
    if intent.state is not State.UNKNOWN:
        raise InvalidSettingError(
            f"{intent.kind} {intent.id[:12]} is {intent.state}; only an unknown awaits a decision"
        )
    if state is State.LANDED:
        _check(journal, intent, parent)
    journal.resolve(intent, state, now, parent)
    return intent


def _check(journal: Journal, intent: Intent, parent: str | None) -> None:
    if not parent or parent != parent.strip() or parent in {".", ".."}:
        raise InvalidSettingError(f"--landed needs the venue's name of the signal, was {parent!r}")
    for row in journal.signals():
        mine = (row.strategy, row.ref) == (intent.strategy, intent.level)
        if row.parent_signal_id == parent and not mine:
            raise InvalidSettingError(f"{parent} is the venue's name of {row.ref}, not of {intent.level}")
        if mine and row.parent_signal_id not in {None, parent}:
            raise InvalidSettingError(f"{intent.level} is {row.parent_signal_id} at the venue, not {parent}")
