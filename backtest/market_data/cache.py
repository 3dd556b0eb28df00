"""Cache: the rows of a series beside its Parquet files, as they are in memory (Arrow IPC), so that they are only mapped.

::

    data/candles/binance/BTC_USDT/1m/.cache/rows.arrow

Parquet is the store; the cache is made from it when a long series is loaded whole, and may be deleted at any time. It counts
only while each year's file is the one that it was made from, by size, time and inode, and while its own checksum is right,
which each process looks at once. Where it cannot be written, as on a read-only disk, nothing is said and Parquet is read.
``BACKTEST_CACHE_GB`` bounds all caches of a store (20 without it, 0 for none): the oldest go first.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.market_data.columns import CANDLE_NAMES
from backtest.market_data.disk import UNFINISHED
from backtest.model.candles import least_distance
from backtest.model.sound import passed

if TYPE_CHECKING:
    from backtest.market_data.columns import Columns
    from backtest.market_data.disk import LocalDisk
    from backtest.market_data.manifest import Manifest
    from backtest.market_data.series import Series

__all__ = ["LEAST_ROWS", "RowCache"]

LEAST_ROWS = 100_000
"""Shorter series are read from Parquet in a few milliseconds."""

_KEY = b"signal-backtest"
_GB = 1 << 30
_sound: dict[str, tuple[int, ...]] = {}
"""By path, the files that this process has seen to be whole."""


class RowCache:
    """The cache of one series of candles on a local disk.

    Parameters
    ----------
    disk
        Of the store.
    series
        Which.
    manifest
        What the store knows of it.
    """

    def __init__(self, disk: LocalDisk, series: Series, manifest: Manifest) -> None:
        self._root, self._folder, self._series, self._manifest = disk.root, disk.root / series.folder, series, manifest
        self._path = self._folder / ".cache" / "rows.arrow"
        self._before = self._files()  # what is read after this is at least as new

    def read(self) -> Columns | None:
        """Return all rows of the series, mapped and seen to be sound; None where there is no cache that counts."""
        try:
            stamp = _stamp(self._path)
            columns, told = _mapped(self._path)
            if told["files"] != self._before:
                return None
            if _sound.get(str(self._path)) != stamp:
                good, checksum = passed(list(columns.values()), least_distance(self._series.timeframe))
                if not good or checksum != told["checksum"]:
                    return None
                _sound[str(self._path)] = stamp
        except (OSError, ValueError, KeyError, TypeError):  # what arrow raises derives from these
            return None
        return columns

    def write(self, columns: Columns) -> None:
        """Keep all rows of the series, which were read from Parquet and are valid; where the disk refuses, do nothing."""
        limit = _limit()
        size = sum(values.nbytes for values in columns.values())
        if len(columns["time"]) < LEAST_ROWS or size > limit:
            return
        with suppress(OSError):
            _, checksum = passed(list(columns.values()), least_distance(self._series.timeframe))
            if self._files() != self._before:  # another process has been writing meanwhile
                return
            self._path.parent.mkdir(exist_ok=True)
            handle, unfinished = tempfile.mkstemp(prefix=UNFINISHED, dir=self._path.parent)
            os.close(handle)
            try:
                _write(unfinished, columns, {"files": self._before, "checksum": checksum})
                Path(unfinished).replace(self._path)
            finally:
                Path(unfinished).unlink(missing_ok=True)
            _forget_oldest(self._root, self._path, limit)

    def _files(self) -> list[list[Any]]:
        """Return what tells that the year files are those that the rows were read from."""
        found: list[list[Any]] = []
        for path in sorted(self._folder.glob("[0-9][0-9][0-9][0-9].parquet")):
            year = self._manifest.years.get(path.stem)
            found.append([path.name, *_stamp(path), *(() if year is None else (year.rows, year.sha256))])
        lost = sorted(year for year in self._manifest.years if not (self._folder / f"{year}.parquet").exists())
        return [*found, lost]


def _stamp(path: Path) -> tuple[int, ...]:
    about = path.stat()
    return about.st_size, about.st_mtime_ns, about.st_ino


def _limit() -> int:
    try:
        return int(float(os.environ.get("BACKTEST_CACHE_GB", "20")) * _GB)
    except ValueError:
        return 0


def _mapped(path: Path) -> tuple[Columns, dict[str, Any]]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
        told: dict[str, Any] = json.loads(reader.schema.metadata[_KEY])
        batch = reader.get_batch(0)
        columns = {name: batch.column(name).to_numpy(zero_copy_only=True) for name in CANDLE_NAMES}
    return columns, told


def _write(path: str, columns: Columns, told: dict[str, Any]) -> None:
    """Write rows as one batch; nothing is copied on the way."""
    import pyarrow as pa

    fields = [pa.field(name, pa.from_numpy_dtype(columns[name].dtype), nullable=False) for name in CANDLE_NAMES]
    schema = pa.schema(fields, metadata={_KEY: json.dumps(told).encode()})
    batch = pa.record_batch([pa.array(columns[name]) for name in CANDLE_NAMES], schema=schema)
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(batch)


def _forget_oldest(root: Path, kept: Path, limit: int) -> None:
    """Delete the oldest caches of a store until all are within the limit; the newest stays."""
    made = []
    for path in root.glob("*/*/*/.cache/rows.arrow"):
        with suppress(OSError):  # another process may have deleted it
            about = path.stat()
            made.append((about.st_mtime_ns, about.st_size, path))
    total = sum(size for _, size, _ in made)
    for _, size, path in sorted(made):
        if total <= limit:
            return
        if path != kept:
            path.unlink(missing_ok=True)
            total -= size
