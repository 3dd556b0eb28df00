"""Outbox: which posts were made, in a file of their own beside the journal, so that none is made twice."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError, StorageError
from backtest.venue.file_lock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["Outbox"]

_VERSION = 1
_SCHEMA = f"""
BEGIN;
CREATE TABLE begun (at INTEGER NOT NULL);
CREATE TABLE post (
    id TEXT NOT NULL, target TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('started', 'made', 'failed', 'planned')),
    at INTEGER NOT NULL, note TEXT NOT NULL DEFAULT '', PRIMARY KEY (id, target));
PRAGMA user_version={_VERSION};
COMMIT;
"""


class Outbox:
    """What was posted where.

    A post is written down as started before its first byte leaves, and never started again unless it is proved that nothing
    left: at most once, whatever is killed in between.

    Parameters
    ----------
    journal
        Beside which it lies.
    now
        UTC ms, for one that is new: what was sent before is not posted.

    Raises
    ------
    InvalidSettingError
        Where another process makes the posts of this journal, or the file is something else.
    StorageError
        Where the disk refuses.
    """

    def __init__(self, journal: Path, now: int) -> None:
        path = journal.resolve()
        self.path = path.with_name(f"{path.name}.posts")
        self._lock = FileLock(self.path, "the posts")
        try:
            with self._storage():
                self._db = sqlite3.connect(self.path, isolation_level=None)
                self._db.execute("PRAGMA synchronous=FULL")
                if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    self._db.executescript(_SCHEMA)
                    self._db.execute("INSERT INTO begun VALUES (?)", (now,))
                self._check(self._db.execute("PRAGMA user_version").fetchone()[0])
                self.begun = int(self._db.execute("SELECT at FROM begun").fetchone()[0])
        except BaseException:
            self._lock.release()
            raise

    def _check(self, version: int) -> None:
        if version != _VERSION:
            raise InvalidSettingError(f"{self.path} is no outbox of version {_VERSION}; put it aside")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._lock.release()

    def knows(self, post: str, target: str) -> bool:
        """Whether a post was made, failed for good, or may have been made."""
        with self._storage():
            sql = "SELECT 1 FROM post WHERE id = ? AND target = ? AND state <> 'planned'"
            return self._db.execute(sql, (post, target)).fetchone() is not None

    def start(self, post: str, target: str, now: int) -> None:
        """Write down that a post leaves, on disk when this returns."""
        self._put(post, target, "started", now)

    def finish(self, post: str, target: str, now: int, failed: str = "") -> None:
        """Write down what became of it: made, or failed for good.

        Parameters
        ----------
        post, target
            Which, and to whom.
        now
            UTC ms.
        failed
            Why it was not made; empty where it was.
        """
        self._put(post, target, "failed" if failed else "made", now, failed)

    def take_back(self, post: str, target: str, now: int) -> None:
        """Write down that nothing of it left, so that it may be started again."""
        self._put(post, target, "planned", now)

    def counts(self) -> dict[str, int]:
        """Return how many posts are in each state."""
        with self._storage():
            return dict(self._db.execute("SELECT state, count(*) FROM post GROUP BY state").fetchall())

    def _put(self, post: str, target: str, state: str, now: int, note: str = "") -> None:
        with self._storage():
            again = "ON CONFLICT DO UPDATE SET state = excluded.state, at = excluded.at, note = excluded.note"
            self._db.execute(f"INSERT INTO post VALUES (?, ?, ?, ?, ?) {again}", (post, target, state, now, note))  # noqa: S608

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
                raise InvalidSettingError(f"{self.path} is no outbox, or a damaged one; put it aside") from None
            raise StorageError(f"the outbox {self.path} cannot be used: {error}") from None
