"""Disk: a folder on this machine, whose files are there in whole or not at all."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from backtest.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

__all__ = ["UNFINISHED", "Disk", "LocalDisk", "replace_private", "write_atomic"]

UNFINISHED = ".unfinished-"
"""Begins the name of a file that is being written; one left by a crash may be deleted."""

_PATIENCE = 60.0
"""Seconds to wait for another process that writes the same folder."""


class Disk(Protocol):
    """Where the store keeps its files; paths are relative, with forward slashes."""

    def __str__(self) -> str: ...
    def names(self, folder: str) -> list[str]:
        """Return the names in a folder in order; none for a folder that does not exist."""

    def files(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder, from there, in order."""

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes; None where there is none."""

    def source(self, path: str) -> Any:
        """Return what Arrow opens to read a file."""

    def write(self, path: str, data: bytes | memoryview) -> None:
        """Put a file in its place in one step."""

    def move(self, path: str, target: str) -> None:
        """Rename a file."""

    def delete(self, path: str) -> None:
        """Delete a file."""

    def size(self, path: str) -> int:
        """Return the bytes of a file."""

    def lock(self, folder: str) -> AbstractContextManager[None]:
        """Keep other writers out of a folder while the context lasts."""


class LocalDisk:
    """A folder of the local file system, safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder in order."""
        try:
            return sorted(entry.name for entry in (self.root / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"cannot read {self.root / folder}: {error.strerror or error}") from error

    def files(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder; what cannot be read is passed over."""
        top = str(self.root / folder)
        return sorted(f"{place}/{name}"[len(top) + 1 :] for place, _, names in os.walk(top) for name in names)

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes; None where there is none."""
        try:
            return (self.root / path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read {self.root / path}: {error.strerror or error}") from error

    def source(self, path: str) -> Any:
        """Return what Arrow opens."""
        return str(self.root / path)

    def write(self, path: str, data: bytes | memoryview) -> None:
        """Put a file in its place in one step."""
        write_atomic(self.root / path, data)

    def move(self, path: str, target: str) -> None:
        """Rename a file."""
        (self.root / path).replace(self.root / target)

    def delete(self, path: str) -> None:
        """Delete a file."""
        (self.root / path).unlink()

    def size(self, path: str) -> int:
        """Return the bytes of a file."""
        return (self.root / path).stat().st_size

    @contextmanager
    def lock(self, folder: str) -> Iterator[None]:
        """Hold ``.lock`` of a folder; the operating system lets go of it when a process dies."""
        import fcntl

        file = self.root / folder / ".lock"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StorageError(f"cannot write {file}: {error.strerror or error}; nothing was changed") from error
        try:
            deadline = time.monotonic() + _PATIENCE
            while not _locked(fcntl, handle):
                if time.monotonic() > deadline:
                    raise StorageError(f"another process has been writing {file.parent} for {_PATIENCE:g} s: try later")
                time.sleep(0.02)
            yield
        finally:
            os.close(handle)


def write_atomic(path: str | os.PathLike[str], data: bytes | memoryview) -> None:
    """Write a file beside its place, flush it to the disk, then move it there in one step.

    A crash at any byte leaves the old file or the new one, a full disk the old one.

    Raises
    ------
    StorageError
        Where the disk refuses.
    """
    target = Path(path)
    written = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, written = tempfile.mkstemp(prefix=f"{UNFINISHED}{target.name}-", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(written).chmod(0o644)
        Path(written).replace(target)
        written = ""
        _flush_folder(target.parent)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}; nothing was changed") from error
    finally:
        if written:
            with suppress(OSError):
                Path(written).unlink()


def replace_private(path: Path, text: str) -> None:
    """Put a small file that its owner alone may read in its place in one step; it is not flushed to the disk.

    Parameters
    ----------
    path
        Of the file; ``.new`` behind its name is what is written first.
    text
        All of it.

    Raises
    ------
    OSError
        Where the disk refuses; the old file is left.
    """
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def _locked(fcntl: Any, handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _flush_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
