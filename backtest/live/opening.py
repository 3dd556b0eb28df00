"""Opening: whether a file is a journal that whoever starts may read, or write on, and a new one made of an empty file."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError, StorageError
from backtest.live.copies import read_only
from backtest.live.schema import SCHEMA, VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from backtest.live.mark import Mark
    from backtest.live.schema import Run

__all__ = ["check", "connect", "prepare", "refuse_another"]


def connect(path: Path, *, reads: bool) -> sqlite3.Connection:
    """Open the file, which any thread may use from then on.

    Parameters
    ----------
    path
        Of the journal.
    reads
        Whether it is only read.
    """
    if reads:
        return read_only(path)
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def check(db: sqlite3.Connection, path: Path, *, reads: bool) -> None:
    """Refuse what is no journal of this version, or a damaged one.

    Parameters
    ----------
    db, path
        What was opened.
    reads
        Whether it is only read: then an empty one is refused too.

    Raises
    ------
    InvalidSettingError
        For another file, or a journal of another version.
    StorageError
        For a damaged one.
    """
    known, version = _tables(db), int(db.execute("PRAGMA user_version").fetchone()[0])
    if not known and reads:
        raise InvalidSettingError(f"the journal {path} is empty; backtest emit fills it")
    if known and 0 < version < VERSION:
        raise InvalidSettingError(
            f"{path} is a journal of version {version}, which only the program that wrote it can go on with; "
            "let that one resolve its unknowns, then name another file"
        )
    if known and version != VERSION:
        raise InvalidSettingError(f"{path} is no journal of version {VERSION}; name another file")
    if known and (verdict := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise StorageError(f"the journal {path} is damaged ({verdict}); put it aside and keep it for a person")


def prepare(db: sqlite3.Connection, mark: Mark) -> None:
    """Set how it is written, and make its tables where the file is empty and never was a journal.

    Parameters
    ----------
    db
        Opened to be written.
    mark
        What stands beside the file of how much it has held.
    """
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA foreign_keys=ON")
    db.execute("PRAGMA wal_autocheckpoint=0")  # :meth:`Journal.tidy` does it where no call waits for it
    if not _tables(db):
        mark.refuse_less({})
        db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def refuse_another(db: sqlite3.Connection, path: Path, run: Run) -> None:
    """Refuse the journal of another mode or account.

    Parameters
    ----------
    db, path
        What was opened.
    run
        Who starts.

    Raises
    ------
    InvalidSettingError
        Where its first run was another one's.
    """
    first = db.execute("SELECT mode, account FROM run ORDER BY id LIMIT 1").fetchone()
    if first and first[0] != run.mode:
        raise InvalidSettingError(f"{path} is a journal of mode {first[0]}, not {run.mode}; name another file")
    if first and first[1] != run.account:
        raise InvalidSettingError(
            f"{path} is the journal of account {first[1]}, the key given is that of {run.account}; "
            "name another file, or check ANNY_API_KEY"
        )


def _tables(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
