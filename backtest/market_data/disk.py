"""Disk: files that are there in whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined,unused-ignore]

__all__ = ["write_atomic"]

MARK = ".unfinished-"
"""Begins the name of a file that is being written; one left by a crash may be deleted."""


def write_atomic(path: str | os.PathLike[str], data: bytes | Buffer) -> None:
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
        handle, written = tempfile.mkstemp(prefix=f"{MARK}{target.name}-", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(written).chmod(0o644)
        Path(written).replace(target)
        _flush_folder(target.parent)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}; nothing was changed") from error
    finally:
        if written:
            with suppress(OSError):
                Path(written).unlink()


def _flush_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
