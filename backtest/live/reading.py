"""Reading: what the journal holds, for the emitter and for a person."""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError, StorageError
from backtest.live.intent import Intent, State
from backtest.live.records import Cursor, Run, SignalRow
from backtest.live.schema import WAITING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Reading"]

_WAITING = frozenset({State.PLANNED, State.SENDING, State.UNKNOWN})
_INTENT = tuple(field.name for field in fields(Intent))
_SIGNAL = tuple(field.name for field in fields(SignalRow))


class Reading:
    """Questions to an open journal.

    Attributes
    ----------
    path
        Of the file.
    """

    path: Path
    _db: sqlite3.Connection

    def knows(self, intent: Intent) -> bool:
        """Whether an intent of this id is kept; one with another body is refused."""
        found = self._one("SELECT body FROM intent WHERE id = ?", intent.id)
        if found is not None and found != intent.body:
            raise InvalidSettingError(
                f"{intent.kind} of {intent.level} was decided as {found} before, now as {intent.body}; the strategy or "
                "its candles changed: use another journal"
            )
        return found is not None

    def intents(self, *states: State) -> list[Intent]:
        """Return the intents in these states, all without one, in the order of planning."""
        marks = ", ".join("?" for _ in states)
        where = f"state IN ({marks})" if states else "1"
        if states and _WAITING.issuperset(states):
            where = f"{WAITING} AND {where}"  # else SQLite would look at every intent there ever was
        return self._intents(where, *(state.value for state in states))

    def intent(self, prefix: str) -> Intent:
        """Return the intent whose id begins so.

        Raises
        ------
        InvalidSettingError
            Unless there is exactly one.
        """
        found = self._intents("substr(id, 1, ?) = ?", len(prefix), prefix) if prefix else []
        if len(found) != 1:
            count = "none" if not found else f"{len(found)} of them"
            raise InvalidSettingError(f"an intent is named by the start of its id; of {prefix!r} there is {count}")
        return found[0]

    def signal(self, strategy: str, ref: str) -> SignalRow | None:
        """Return a signal; None where it was never planned."""
        found = self._signals("strategy = ? AND ref = ?", strategy, ref)
        return found[0] if found else None

    def signals(self, *states: str) -> list[SignalRow]:
        """Return the signals in these states, all without one, in the order of planning."""
        marks = ", ".join("?" for _ in states)
        return self._signals(f"state IN ({marks})" if states else "1", *states)

    def cursor(self, strategy: str, symbol: str, timeframe: str) -> Cursor | None:
        """Return how far a strategy has seen its candles; None before the first one."""
        where = "strategy = ? AND symbol = ? AND timeframe = ?"
        found = self._db.execute(f"SELECT * FROM cursor WHERE {where}", (strategy, symbol, timeframe)).fetchone()  # noqa: S608
        return Cursor(*found) if found else None

    def attempts(self, intent: Intent) -> list[dict[str, Any]]:
        """Return the attempts at a call, as they were kept."""
        columns = ("phase", "at", "outcome", "http_status", "result_type", "error", "response")
        rows = self._db.execute(f"SELECT {', '.join(columns)} FROM attempt WHERE intent = ? ORDER BY id", (intent.id,))  # noqa: S608
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def lost(self, intent: Intent) -> int:
        """Return how often a call was sent without an answer that tells."""
        return int(self._one("SELECT count(*) FROM attempt WHERE intent = ? AND outcome = 'lost'", intent.id))

    def cursors(self) -> list[Cursor]:
        """Return how far each strategy has seen its candles."""
        return [Cursor(*row) for row in self._db.execute("SELECT * FROM cursor ORDER BY rowid")]

    def note(self, intent: Intent) -> str:
        """Return what was noted with the state of an intent."""
        return str(self._one("SELECT note FROM intent WHERE id = ?", intent.id) or "")

    def last_run(self) -> Run | None:
        """Return the last start; None before the first one."""
        columns = "mode, account, started_at, code_hash, config_hash"
        found = self._db.execute(f"SELECT {columns} FROM run ORDER BY id DESC LIMIT 1").fetchone()  # noqa: S608
        return Run(*found) if found else None

    def _intents(self, where: str, *values: Any) -> list[Intent]:
        sql = f"SELECT {', '.join(_INTENT)} FROM intent WHERE {where} ORDER BY seq"  # noqa: S608
        found = [dict(zip(_INTENT, row, strict=True)) for row in self._db.execute(sql, values)]
        kept = ((row, State(row["state"]), bool(row["allow_marketable"])) for row in found)
        return [Intent(**{**row, "state": state, "allow_marketable": allowed}) for row, state, allowed in kept]

    def _signals(self, where: str, *values: Any) -> list[SignalRow]:
        sql = f"SELECT {', '.join(_SIGNAL)} FROM signal WHERE {where} ORDER BY rowid"  # noqa: S608
        found = [dict(zip(_SIGNAL, row, strict=True)) for row in self._db.execute(sql, values)]
        prices = ("wished", "confirmed")
        return [SignalRow(**{**row, **{name: json.loads(row[name]) for name in prices}}) for row in found]

    def _one(self, sql: str, *values: Any) -> Any:
        found = self._db.execute(sql, values).fetchone()
        return found[0] if found else None

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise InvalidSettingError(f"the journal {self.path} refused: {error}") from None
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
                raise InvalidSettingError(f"{self.path} is no journal, or a damaged one; name another file") from None
            raise StorageError(f"the journal {self.path} cannot be used: {error}") from None
