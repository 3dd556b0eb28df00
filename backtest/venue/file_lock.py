"""FileLock: one writer of a database at a time, by what the file *is* (device and inode), whatever name it goes by.

The lock is the operating system's (``flock``) on the database file itself: a killed writer leaves nothing behind, and a
symbolic or a hard link is the same file. SQLite's own locks are of the other kind (POSIX), and closing *any* descriptor
of a file drops all of those that this process holds on it; so no second descriptor of a file that is locked here is ever
opened, and that of the lock is closed after the database.
"""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileLock"]

_held: set[tuple[int, int]] = set()
_guard = threading.Lock()


class FileLock:
    """Held from its making until :meth:`release` or the end of the process.

    Parameters
    ----------
    path
        Of the database; made, with its folder, where it is not there, for its owner alone.
    what
        It is, for the sentence: ``"the journal"``.
    holder
        Who holds it, where that is known: a number of a process, for the sentence.

    Raises
    ------
    InvalidSettingError
        Where another process, or this one, holds it.
    StorageError
        Where the file cannot be made or opened.
    """

    def __init__(self, path: Path, what: str, holder: str = "") -> None:
        self.path = path
        who = f"process {holder}" if holder.isdigit() else "another process"
        refused = InvalidSettingError(f"{who} writes {what} {path}; wait for its end or name another")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _guard:
                if path.exists() and _identity(path.stat()) in _held:
                    raise refused
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                self._identity = _identity(os.fstat(self._file))
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(self._file)
                    raise refused from None
                _held.add(self._identity)
        except OSError as error:
            raise StorageError(f"{what} {path} cannot be locked: {error.strerror}") from None

    @property
    def is_there(self) -> bool:
        """Whether the name still leads to the file that is locked: a journal that was moved away is no memory."""
        try:
            return _identity(self.path.stat()) == self._identity
        except OSError:
            return False

    def release(self) -> None:
        """Let the next one in, once the database is closed; doing it twice changes nothing."""
        with _guard:
            if self._identity in _held:
                _held.discard(self._identity)
                os.close(self._file)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
