"""Lock: one writer of a journal at a time, by the operating system, so that a killed one leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from backtest.errors import InvalidSettingError, StorageError

__all__ = ["Lock"]


class Lock:
    """Held from its making until :meth:`release` or the end of the process.

    Raises
    ------
    InvalidSettingError
        Where another process holds it.
    StorageError
        Where the file beside the journal cannot be made.
    """

    def __init__(self, journal: Path) -> None:
        path = Path(f"{journal}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"the lock {path} cannot be made: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._file, 20, 0).decode(errors="replace").strip()
            os.close(self._file)
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise InvalidSettingError(f"{who} writes the journal {journal}; wait for its end or name another") from None
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)
        except OSError as error:
            self.release()
            raise StorageError(f"the lock {path} cannot be written: {error.strerror}") from None

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._file)
