"""Chain: a hash in each row over the row and the one before it, so that damage inside the journal is noticed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from backtest.live.schema import CHAINED, SEALED

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

__all__ = ["Chain", "damage", "seal", "sealed"]

_FIRST = "0" * 32
_text = json.JSONEncoder(separators=(",", ":"), default=repr).encode  # once: a row of each market waits for it


_INSERT = {
    table: f"INSERT INTO {table} ({', '.join(names)}, hash) VALUES ({', '.join('?' for _ in names)}, ?)"  # noqa: S608
    for table, names in CHAINED.items()
}


class Chain:
    """The ends of all chains of a journal, and how they grow in one transaction.

    Parameters
    ----------
    db
        Open, with the journal's tables.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._kept = _heads(db)
        self._new: dict[str, tuple[int, str]] = {}

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each table has, by name, as of the last commit."""
        return {name: rows for name, (rows, _) in self._kept.items()}

    def add(self, table: str, values: tuple[Any, ...]) -> int:
        """Insert one row, all columns but the first, which is numbered; return its number."""
        rows, before = self._new.get(table) or self._kept[table]
        row = (rows + 1, *values)
        link = _link(before, row)
        self._db.execute(_INSERT[table], (*row, link))
        self._new[table] = (rows + 1, link)
        return rows + 1

    def write(self) -> None:
        """Write the new ends, within the transaction."""
        again = "ON CONFLICT DO UPDATE SET rows = excluded.rows, hash = excluded.hash"
        for table, (rows, link) in self._new.items():
            self._db.execute(f"INSERT INTO chain VALUES (?, ?, ?) {again}", (table, rows, link))  # noqa: S608

    def commit(self) -> None:
        """Take the new ends for the ends: the transaction is on disk."""
        self._kept |= self._new
        self._new = {}

    def rollback(self) -> None:
        """Forget the new ends."""
        self._new = {}


def sealed(row: tuple[Any, ...]) -> str:
    """Return the hash of a row whose table has no chain, of its columns in the order of ``SEALED``."""
    return _link(_FIRST, row)


def seal(db: sqlite3.Connection, table: str, where: str, *values: Any) -> None:
    """Write into each of these rows the hash of itself."""
    columns = ", ".join(SEALED[table])
    for number, *row in db.execute(f"SELECT rowid, {columns} FROM {table} WHERE {where}", values).fetchall():  # noqa: S608
        db.execute(f"UPDATE {table} SET hash = ? WHERE rowid = ?", (sealed(tuple(row)), number))  # noqa: S608


def damage(db: sqlite3.Connection) -> str:
    """Return what in a journal is not as it was written, the first of it; empty where all is."""
    for verdict in (row[0] for row in db.execute("PRAGMA integrity_check(1)")):
        if verdict != "ok":
            return str(verdict)
    for table, *_ in db.execute("PRAGMA foreign_key_check"):
        return f"{table} refers to a row that is not there"
    heads = _heads(db)
    for table in CHAINED:
        if (found := _broken(db, table, *heads[table])) is not None:
            return found
    for table, columns in SEALED.items():
        for *row, link in db.execute(f"SELECT {', '.join(columns)}, hash FROM {table}"):  # noqa: S608
            if link != sealed(tuple(row)):
                return f"the {table} of {row[0]} is not as it was written"
    newest = "SELECT intent, state, max(id) FROM event GROUP BY intent"
    other = f"SELECT i.id FROM intent i LEFT JOIN ({newest}) e ON e.intent = i.id WHERE e.state IS NOT i.state"  # noqa: S608
    for (intent,) in db.execute(other):
        return f"the state of intent {intent[:12]} is not its last event's"
    return ""


def _broken(db: sqlite3.Connection, table: str, rows: int, head: str) -> str | None:
    link, count = _FIRST, 0
    for count, row, kept in _numbered(
        db.execute(f"SELECT {', '.join(CHAINED[table])}, hash FROM {table} ORDER BY {CHAINED[table][0]}")  # noqa: S608
    ):
        link = _link(link, row)
        if link != kept:
            return f"row {count} of {table} is not as it was written"
    if (count, link) != (rows, head):
        return f"{table} has {count} rows, {rows} were written"
    return None


def _numbered(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, tuple[Any, ...], str]]:
    return ((count, tuple(row), kept) for count, (*row, kept) in enumerate(rows, 1))


def _heads(db: sqlite3.Connection) -> dict[str, tuple[int, str]]:
    found = {name: (rows, link) for name, rows, link in db.execute("SELECT name, rows, hash FROM chain")}
    return {table: found.get(table, (0, _FIRST)) for table in CHAINED}


def _link(before: str, row: tuple[Any, ...]) -> str:
    return hashlib.sha256(_text([before, *row]).encode()).hexdigest()[:32]
