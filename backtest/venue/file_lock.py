"""FileLock: one user of a file at a time, by what the file is and not by its name."""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileLock"]

_held: set[tuple[int, int]] = set()
_guard = threading.Lock()


class FileLock:
    """Holds a file, found by device and inode, from its making until :meth:`release` or the end of the process.

    A symbolic link, a hard link or another spelling of the path is the same file. The lock is one of the operating system
    on the file itself, so that a killed process leaves nothing behind and there is no second file to remove.

    SQLite's own locks end when *any* descriptor of its file is closed in this process. So a file that this process holds
    is not even opened again, and :meth:`release` comes after the database was closed.

    Parameters
    ----------
    path
        Made, empty, where there is none; its folder must be there.
    use
        What the file is, for the sentence: ``"the ledger"``.

    Raises
    ------
    InvalidSettingError
        Where it is held already, by this process or another one.
    StorageError
        Where it cannot be opened for writing.
    """

    def __init__(self, path: Path, use: str) -> None:
        taken = f"{use} {path} is in use; wait for the end of what uses it or name another file"
        with _guard:
            if _identity(path) in _held:
                raise InvalidSettingError(taken)
            try:
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StorageError(f"{use} {path} cannot be opened for writing: {error.strerror}") from None
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(self._file)
                raise InvalidSettingError(taken) from None
            status = os.fstat(self._file)
            self._key = (status.st_dev, status.st_ino)
            _held.add(self._key)

    def release(self) -> None:
        """Let the next one in; doing it twice changes nothing."""
        with _guard:
            if self._key in _held:
                _held.discard(self._key)
                os.close(self._file)


def _identity(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None
