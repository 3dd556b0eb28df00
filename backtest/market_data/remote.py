"""Remote: the store's files behind an fsspec URL, such as ``s3://bucket/candles``; one writer at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RemoteDisk"]

_BUCKETS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss"}
"""Protocols without folders: what stands before the first slash is a bucket, and no business of ours to make."""


class RemoteDisk:
    """An object store: each file is put in one request, which such stores make visible in whole.

    There is no lock: of two processes that write the same series at once, one may undo the other's rows. Keep to one
    writer; any number may read.

    Raises
    ------
    InvalidSettingError
        For a URL that fsspec does not know, or whose library is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import fsspec

            self._files, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise InvalidSettingError(f"the store {url} needs a library that is not installed: {error}") from error
        except ValueError as error:
            raise InvalidSettingError(f"the store {url} cannot be opened: {error}") from error
        self._url = url
        protocol = self._files.protocol
        self._bucket = ""
        if {protocol} & _BUCKETS if isinstance(protocol, str) else _BUCKETS.intersection(protocol):
            self._bucket = self._root.strip("/").partition("/")[0]

    def __str__(self) -> str:
        return self._url

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder in order."""
        try:
            found = self._files.ls(self._at(folder), detail=False, refresh=True)
        except FileNotFoundError:
            self._require_bucket()
            return []
        except Exception as error:
            raise self._refused("read", folder, error) from error
        return sorted({str(path).rstrip("/").rsplit("/", 1)[-1] for path in found})

    def files(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder, of an object store in one request for a thousand."""
        top = self._at(folder)
        try:
            self._files.invalidate_cache()
            found = self._files.find(top)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise self._refused("read", folder, error) from error
        return sorted(str(path).removeprefix(top).lstrip("/") for path in found)

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes; None where there is none."""
        try:
            return bytes(self._files.cat_file(self._at(path)))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._refused("read", path, error) from error

    def source(self, path: str) -> Any:
        """Return what Arrow opens."""
        import pyarrow as pa

        return pa.BufferReader(self.read(path) or b"")

    def write(self, path: str, data: bytes | memoryview) -> None:
        """Put a file in its place in one step."""
        try:
            if not self._bucket:
                self._files.makedirs(self._at(path).rsplit("/", 1)[0], exist_ok=True)
            self._files.pipe_file(self._at(path), bytes(data))
        except Exception as error:
            raise self._refused("write", path, error) from error

    def move(self, path: str, target: str) -> None:
        """Rename a file."""
        self._files.mv(self._at(path), self._at(target))

    def delete(self, path: str) -> None:
        """Delete a file."""
        self._files.rm_file(self._at(path))

    def size(self, path: str) -> int:
        """Return the bytes of a file."""
        return int(self._files.size(self._at(path)) or 0)

    @contextmanager
    def lock(self, folder: str) -> Iterator[None]:
        """Do nothing: remote stores have one writer."""
        yield

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    def _require_bucket(self) -> None:
        """Refuse a bucket that is not there: a folder in it would be taken for an empty one."""
        try:
            missing = bool(self._bucket) and not self._files.exists(self._bucket)
        except Exception as error:
            raise self._refused("read", "", error) from error
        if missing:
            raise StorageError(f"there is no bucket {self._bucket!r} for {self._url}: make it first, or name another")

    def _refused(self, what: str, path: str, error: Exception) -> StorageError:
        return StorageError(f"cannot {what} {self._url.rstrip('/')}/{path}: {str(error) or type(error).__name__}")
