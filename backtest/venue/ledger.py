"""Ledger: what the paper venue has accepted, kept in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError, StorageError
from backtest.venue.file_lock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Effect", "Ledger"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS received (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, received_ns INTEGER NOT NULL, kind TEXT NOT NULL,
    parent_signal_id TEXT NOT NULL, body TEXT NOT NULL, refusal TEXT NOT NULL DEFAULT '',
    allow_marketable INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS market (symbol TEXT PRIMARY KEY, timeframe TEXT NOT NULL, fields TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS candle (
    symbol TEXT NOT NULL REFERENCES market, time INTEGER NOT NULL, open REAL NOT NULL, high REAL NOT NULL,
    low REAL NOT NULL, close REAL NOT NULL, volume REAL NOT NULL, PRIMARY KEY (symbol, time)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subscriber (name TEXT PRIMARY KEY, profile TEXT NOT NULL, assumptions TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS received_is_kept BEFORE DELETE ON received BEGIN SELECT RAISE(ABORT, 'kept'); END;
CREATE TRIGGER IF NOT EXISTS received_is_final BEFORE UPDATE ON received BEGIN SELECT RAISE(ABORT, 'final'); END;
"""
_VERSION = 2


@dataclass(frozen=True, slots=True)
class Effect:
    """A call that was received; it took effect unless it was refused.

    Attributes
    ----------
    seq
        Order of arrival, from 1.
    at
        The venue's clock for the market of the call (close of its last candle, UTC ms); 0 before the first candle.
    received_ns
        The machine's clock, ns since 1970.
    kind, parent_signal_id, body
        Which door, which signal (empty for a create that was refused), and the bytes that came in.
    refusal
        Why it had no effect; else empty.
    allow_marketable
        Whether the header of that name said so, beside the vendor's fields.
    """

    seq: int
    at: int
    received_ns: int
    kind: str
    parent_signal_id: str
    body: str
    refusal: str = ""
    allow_marketable: bool = False


class Ledger:
    """Calls, candles, markets and subscribers; every method is one transaction.

    A killed process loses nothing that was answered; a power cut may lose the last moments (``synchronous=NORMAL``),
    which for a venue of paper is enough. Two venues never share a file. Every method raises :class:`StorageError` where
    the disk refuses, and has changed nothing then.

    Parameters
    ----------
    path
        SQLite file; made with its folder where there is none.

    Raises
    ------
    StorageError
        Where the file cannot be opened or written.
    InvalidSettingError
        Where the file is another database, or another venue uses it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        with self._disk():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(Path(path), "the ledger")
        try:
            with self._disk():
                self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
                self._open()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, OSError) as error:
            raise StorageError(f"the paper venue cannot use its ledger {self.path}: {error}") from None

    def _open(self) -> None:
        db = self._db
        version = db.execute("PRAGMA user_version").fetchone()[0]
        known = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version != _VERSION and known:
            raise InvalidSettingError(f"{self.path} is no ledger of a paper venue of this version; name another file")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA wal_autocheckpoint=4000")  # each one makes a call wait: rarely, then
        db.execute("PRAGMA foreign_keys=ON")
        db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={_VERSION}; COMMIT;")

    def close(self) -> None:
        """Close the file and let the next venue use it; doing it twice changes nothing."""
        db = getattr(self, "_db", None)
        if db is not None:
            db.close()
        self._lock.release()

    def _write(self, statement: str, row: Sequence[Any]) -> int:
        with self._disk():
            return int(self._db.execute(statement, row).lastrowid or 0)

    def add(
        self,
        at: int,
        kind: str,
        parent_signal_id: str,
        body: str,
        refusal: str = "",
        *,
        allow_marketable: bool = False,
    ) -> Effect:
        """Keep a call that takes effect, or why it has none; the parameters are the fields of :class:`Effect`."""
        row = (at, time.time_ns(), kind, parent_signal_id, body, refusal, allow_marketable)
        return Effect(self._write("INSERT INTO received VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", row), *row)

    def received(self, after: int = 0) -> list[Effect]:
        """Return every call that could be read, in order."""
        rows = self._db.execute("SELECT * FROM received WHERE seq > ? ORDER BY seq", (after,))
        return [Effect(*(*row[:-1], bool(row[-1]))) for row in rows]

    def effects(self, after: int = 0) -> list[Effect]:
        """Return the calls that took effect, in order."""
        return [each for each in self.received(after) if not each.refusal]

    def add_market(self, symbol: str, timeframe: str, fields: dict[str, Any]) -> None:
        """Keep a market."""
        self._write("INSERT INTO market VALUES (?, ?, ?)", (symbol, timeframe, json.dumps(fields)))

    def markets(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return symbol, timeframe and fields of every market."""
        rows = self._db.execute("SELECT symbol, timeframe, fields FROM market ORDER BY rowid")
        return [(symbol, timeframe, json.loads(fields)) for symbol, timeframe, fields in rows]

    def add_candles(self, symbol: str, rows: Iterable[tuple[float, ...]]) -> None:
        """Keep candles, all or none."""
        with self._disk(), self._db:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT INTO candle VALUES (?, ?, ?, ?, ?, ?, ?)", ((symbol, *row) for row in rows))

    def candles(self, symbol: str) -> list[tuple[float, ...]]:
        """Return time, open, high, low, close and volume of every candle, oldest first."""
        columns = "time, open, high, low, close, volume"
        return self._db.execute(f"SELECT {columns} FROM candle WHERE symbol = ? ORDER BY time", (symbol,)).fetchall()  # noqa: S608

    def candle(self, symbol: str, time: int) -> tuple[float, ...] | None:
        """Return one candle, None where it was never fed."""
        columns = "time, open, high, low, close, volume"
        found = self._db.execute(f"SELECT {columns} FROM candle WHERE symbol = ? AND time = ?", (symbol, time))  # noqa: S608
        row: tuple[float, ...] | None = found.fetchone()
        return row

    def add_subscriber(self, name: str, profile: dict[str, Any], assumptions: dict[str, Any]) -> None:
        """Keep a subscriber."""
        row = (name, json.dumps(profile, sort_keys=True), json.dumps(assumptions, sort_keys=True))
        self._write("INSERT INTO subscriber VALUES (?, ?, ?)", row)

    def subscribers(self) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Return name, profile and assumptions of every subscriber."""
        rows = self._db.execute("SELECT name, profile, assumptions FROM subscriber ORDER BY rowid")
        return [(name, json.loads(profile), json.loads(assumptions)) for name, profile, assumptions in rows]
