"""Person: what somebody in charge may do to an emission: resolve an unknown, cancel all, stop entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError, StorageError
from backtest.live.intent import Intent, State
from backtest.live.schema import Stream
from backtest.wire import is_parent

if TYPE_CHECKING:
    from pathlib import Path

    from backtest.live.journal import Journal
    from backtest.live.schema import SignalRow

__all__ = ["Canceled", "canceled", "plan_cancels", "resolve", "stop_entries", "stop_file_of", "to_cancel"]


def resolve(journal: Journal, prefix: str, state: State, now: int, parent: str | None = None) -> Intent:
    """Keep a person's decision about the unknown whose id begins with ``prefix``; return the intent.

    Parameters
    ----------
    journal
        Open for writing.
    prefix
        Start of the id.
    state
        ``landed``, ``not_landed`` or ``abandoned`` (nobody could tell; nothing more is done about it).
    now
        UTC ms.
    parent
        The venue's name of the signal, of one that landed.

    Raises
    ------
    InvalidSettingError
        Where there is no such unknown, or the name belongs to another signal.
    """
    with journal.moment():
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
    if not parent or not is_parent(parent):
        raise InvalidSettingError(f"--landed needs the venue's name of the signal, was {parent!r}")
    other, mine = journal.named(parent), journal.signal(*intent.signal)
    if other is not None and (other.strategy, other.ref) != intent.signal:
        raise InvalidSettingError(f"{parent} is the venue's name of {other.ref}, not of {intent.ref}")
    if mine is not None and mine.parent_signal_id not in {None, parent}:
        raise InvalidSettingError(f"{intent.ref} is {mine.parent_signal_id} at the venue, not {parent}")


@dataclass(frozen=True, slots=True)
class Canceled:
    """A signal and what became of its cancel: ``acked``, ``rejected``, ``unknown`` or ``planned`` (it waits)."""

    ref: str
    parent_signal_id: str | None
    state: State
    note: str


def to_cancel(journal: Journal, *, ended: bool = False) -> list[SignalRow]:
    """Return the signals that are not confirmed closed; with ``ended`` those too that have ended in the shadow book.

    A signal whose cancel nobody confirmed is not confirmed closed, though it has ended in the shadow book; nor is one
    whose create is on its way. A create that waits to be sent is none yet: stop entries holds it back.
    """
    rows = journal.signals("living", "ended")
    found = rows if ended else [row for row in rows if row.state == "living" or _lives_maybe(journal, row)]
    coming = [journal.signal(*each.signal) for each in journal.intents(State.SENDING) if each.creates]
    return found + [row for row in coming if row is not None]


def _lives_maybe(journal: Journal, row: SignalRow) -> bool:
    """Whether cancels of a signal were tried and none was confirmed."""
    tried = journal.intents_of_signal(row.strategy, row.ref, "cancel")
    return bool(tried) and not any(each.state in {State.ACKED, State.LANDED} for each in tried)


def plan_cancels(
    journal: Journal, account: str, now: int, *, ended: bool = False, max_lag: int | None = None
) -> list[SignalRow]:
    """Plan the cancel of every signal that is not confirmed closed; return the signals.

    What was tried before, and refused or lost, is tried again by every call of this; what waits already is not doubled.

    Parameters
    ----------
    journal
        Open for writing.
    account
        Fingerprint of the key.
    now
        UTC ms.
    ended
        See :func:`to_cancel`.
    max_lag
        Of the venue, see :class:`Stream`.
    """
    with journal.moment():
        rows = to_cancel(journal, ended=ended)
        for cursor in journal.cursors():
            stream = Stream(account, cursor.strategy, cursor.symbol, cursor.timeframe, cursor.exchange, max_lag=max_lag)
            mine = [row for row in rows if (row.strategy, row.symbol) == (cursor.strategy, cursor.symbol)]
            if mine:
                journal.cancel(stream, mine, now)
    return rows


def canceled(journal: Journal, rows: list[SignalRow]) -> list[Canceled]:
    """Return what became of the last cancel of each of these signals."""
    found = []
    for row in rows:
        tried, now = journal.intents_of_signal(row.strategy, row.ref, "cancel"), journal.signal(row.strategy, row.ref)
        if tried:
            parent = row.parent_signal_id if now is None else now.parent_signal_id
            found.append(Canceled(row.ref, parent, tried[-1].state, journal.note(tried[-1])))
    return found


def stop_file_of(journal: Path) -> Path:
    """Return the file beside a journal that stops entries while it is there."""
    return journal.resolve().with_name(f"{journal.resolve().name}.stop")


def stop_entries(journal: Path, *, stop: bool) -> Path:
    """Stop entries, or let them go again: make or remove the stop file; return its path.

    It is read before each call, holds over restarts, and exits pass it.

    Parameters
    ----------
    journal
        Path of the journal.
    stop
        False lets entries go again.

    Raises
    ------
    InvalidSettingError
        For a folder, and for a journal that is not there: a name mistyped in a hurry must not look like a stop.
    StorageError
        Where the disk refuses.
    """
    if journal.is_dir():
        raise InvalidSettingError(f"{journal} is a folder: name the journal whose entries are to stop")
    if stop and not journal.exists():
        raise InvalidSettingError(
            f"there is no journal {journal}, so no entries were stopped: name that of the emission"
        )
    path = stop_file_of(journal)
    try:
        if stop:
            path.touch(0o600)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"the stop file {path} cannot be changed: {error.strerror}") from None
    return path
