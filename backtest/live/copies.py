"""Copies: a journal read where nothing can be written, and copied whole while it is written."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from backtest.errors import InvalidSettingError, StorageError

__all__ = ["copied", "read_only"]

_TRIES = 100
_LOG_HEAD = 32
"""Bytes of the head of SQLite's log, which holds other salts whenever it begins anew."""


def read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that only reads.

    SQLite needs to write beside a journal in order to read it; where it cannot (a read-only mount, another's folder),
    the file and what stands in its log are copied to a temporary folder and read there.
    """
    uri = f"{path.as_uri()}?mode=ro"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        db.close()
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
            raise
        return _elsewhere(path)
    except sqlite3.Error:
        db.close()
        raise
    return db


def copied(db: sqlite3.Connection, path: Path) -> None:
    """Copy a whole journal to a new file, for its owner alone.

    Parameters
    ----------
    db
        The open journal.
    path
        Must not be there yet.

    Raises
    ------
    InvalidSettingError
        For a file that is there already.
    StorageError
        Where the disk refuses.
    """
    if path.exists():
        raise InvalidSettingError(f"{path} is there already; name a file that is not")
    try:
        path.touch(0o600)
        with closing(sqlite3.connect(path)) as copy:
            db.backup(copy, pages=1000)
            copy.execute("PRAGMA journal_mode=DELETE")
    except (OSError, sqlite3.Error) as error:
        path.unlink(missing_ok=True)
        raise StorageError(f"the journal could not be copied to {path}: {error}") from None


def _stands(path: Path, log: Path) -> tuple[int, int, bytes]:
    """Return what changes when the writer moves its log into the file or begins it anew; what is added to it does no harm."""
    status = path.stat()
    try:
        with log.open("rb") as file:
            head = file.read(_LOG_HEAD)
    except FileNotFoundError:
        head = b""
    return status.st_mtime_ns, status.st_size, head


def _elsewhere(path: Path) -> sqlite3.Connection:
    with tempfile.TemporaryDirectory(prefix="journal-") as folder:
        copy, log = Path(folder) / "journal", Path(f"{path}-wal")
        for _ in range(_TRIES):
            before = _stands(path, log)
            shutil.copyfile(path, copy)
            Path(f"{copy}-wal").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                shutil.copyfile(log, f"{copy}-wal")
            if _stands(path, log) == before:
                break
        else:
            raise StorageError(f"the journal {path} was written all the time while it was copied; try again")
        with closing(sqlite3.connect(copy)) as whole:
            found = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            whole.backup(found)
    return found
