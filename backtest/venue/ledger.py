"""Ledger: what the paper venue has accepted, kept in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from backtest.errors import InvalidSettingError, StorageError
from backtest.venue.file_lock import FileLock
from backtest.venue.subscribers import Place, Subscriber

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Effect", "Fed", "Ledger", "Listed"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS received (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, received_ns INTEGER NOT NULL, kind TEXT NOT NULL,
    parent_signal_id TEXT NOT NULL, body TEXT NOT NULL, refusal TEXT NOT NULL DEFAULT '',
    allow_marketable INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS listing (
    id INTEGER PRIMARY KEY, timeframe TEXT NOT NULL, market TEXT NOT NULL, volume_known INTEGER NOT NULL,
    gone INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS candle (
    listing INTEGER NOT NULL REFERENCES listing, time INTEGER NOT NULL, open REAL NOT NULL, high REAL NOT NULL,
    low REAL NOT NULL, close REAL NOT NULL, volume REAL NOT NULL, PRIMARY KEY (listing, time)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS missing (
    listing INTEGER NOT NULL REFERENCES listing, time INTEGER NOT NULL, PRIMARY KEY (listing, time)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subscriber (
    name TEXT PRIMARY KEY, profile TEXT NOT NULL, assumptions TEXT NOT NULL, exchange TEXT NOT NULL,
    timeframe TEXT NOT NULL, strategy TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS received_is_kept BEFORE DELETE ON received BEGIN SELECT RAISE(ABORT, 'kept'); END;
CREATE TRIGGER IF NOT EXISTS received_is_final BEFORE UPDATE ON received BEGIN SELECT RAISE(ABORT, 'final'); END;
"""
_VERSION = 3


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


@dataclass(slots=True)
class Listed:
    """A market in one timeframe, as the ledger knows it.

    Attributes
    ----------
    timeframe, market, volume_known
        As they came; ``market`` is that of :meth:`Market.to_dict`.
    id
        The ledger's number of it; 0 before it is kept.
    """

    timeframe: str
    market: dict[str, Any]
    volume_known: bool = True
    id: int = 0


class Fed(NamedTuple):
    """What came of one market at a time: rows that are new, opens of candles that do not exist, or its end."""

    listing: Listed
    rows: Sequence[tuple[float, ...]] = ()
    missing: Sequence[int] = ()
    gone: bool = False


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

    def add_feed(self, feed: Sequence[Fed]) -> None:
        """Keep what came of several markets, all or nothing; listings that are new are made and get their number."""
        with self._disk(), self._db:
            self._db.execute("BEGIN")
            for part in feed:
                listing = part.listing
                if not listing.id:
                    row = (listing.timeframe, json.dumps(listing.market), listing.volume_known)
                    made = self._db.execute("INSERT INTO listing VALUES (NULL, ?, ?, ?, 0)", row).lastrowid
                    listing.id = int(made or 0)
                if part.gone:
                    self._db.execute("UPDATE listing SET gone = 1 WHERE id = ?", (listing.id,))
                rows = ((listing.id, *row) for row in part.rows)
                self._db.executemany("INSERT INTO candle VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                self._db.executemany("INSERT INTO missing VALUES (?, ?)", ((listing.id, time) for time in part.missing))

    def listings(self) -> list[tuple[Listed, bool, int]]:
        """Return every listing in order of making, whether it is gone, and the open of its last candle or gap, or -1."""
        last = """max(coalesce((SELECT max(time) FROM candle WHERE listing = id), -1),
            coalesce((SELECT max(time) FROM missing WHERE listing = id), -1))"""
        found = self._db.execute(f"SELECT id, timeframe, market, volume_known, gone, {last} FROM listing ORDER BY id")  # noqa: S608
        return [
            (Listed(timeframe, json.loads(market), volume_known=bool(known), id=number), bool(gone), time)
            for number, timeframe, market, known, gone, time in found
        ]

    def candles(self, listing: int, start: int, end: int) -> list[tuple[float, ...]]:
        """Return time, open, high, low, close and volume of the candles that open in ``[start, end)``, oldest first."""
        columns = "time, open, high, low, close, volume"
        statement = f"SELECT {columns} FROM candle WHERE listing = ? AND time >= ? AND time < ? ORDER BY time"  # noqa: S608
        return self._db.execute(statement, (listing, start, end)).fetchall()

    def candle(self, listing: int, time: int) -> tuple[float, ...] | None:
        """Return one candle by its open; None where it was never fed."""
        columns = "time, open, high, low, close, volume"
        statement = f"SELECT {columns} FROM candle WHERE listing = ? AND time = ?"  # noqa: S608
        row: tuple[float, ...] | None = self._db.execute(statement, (listing, time)).fetchone()
        return row

    def is_missing(self, listing: int, time: int) -> bool:
        """Whether the candle of an open was said to be missing."""
        found = self._db.execute("SELECT 1 FROM missing WHERE listing = ? AND time = ?", (listing, time))
        return found.fetchone() is not None

    def add_subscriber(self, subscriber: Subscriber) -> None:
        """Keep a subscriber."""
        profile, assumptions = subscriber.profile.to_dict(), subscriber.assumptions.to_dict()
        texts = (json.dumps(values, sort_keys=True) for values in (profile, assumptions))
        row = (subscriber.name, *texts, *(subscriber.place or ("", "")), subscriber.strategy)
        self._write("INSERT INTO subscriber VALUES (?, ?, ?, ?, ?, ?)", row)

    def subscribers(self) -> list[Subscriber]:
        """Return every subscriber, in order of adding."""
        rows = self._db.execute("SELECT * FROM subscriber ORDER BY rowid")
        return [
            Subscriber.from_dicts(
                name,
                json.loads(profile),
                json.loads(terms),
                Place(exchange, timeframe) if timeframe else None,
                strategy,
            )
            for name, profile, terms, exchange, timeframe, strategy in rows
        ]
