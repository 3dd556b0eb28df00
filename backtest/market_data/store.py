"""Store: candles and funding rates on disk, by exchange, symbol, timeframe and year.

::

    data/candles/binance/BTC_USDT/1h/2024.parquet      the rows of a year, the same bytes for the same rows
                                     manifest.json     sources, hashes, gaps, what was asked for and when
                                     revised-1.parquet rows that the exchange later told differently
                        /market.json                   tick, step and limits
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backtest.errors import DataUnavailableError, StorageError
from backtest.market_data import columns as rows_of
from backtest.market_data.cache import RowCache
from backtest.market_data.columns import CANDLE_NAMES, RATE_NAMES, Columns
from backtest.market_data.disk import Disk, LocalDisk
from backtest.market_data.manifest import Fetch, Manifest, Refused, Revision, Year
from backtest.market_data.parquet import column_bytes, column_hash, read_columns
from backtest.market_data.ranges import Range, holes, without
from backtest.market_data.remote import RemoteDisk
from backtest.market_data.series import FUNDING, Series
from backtest.market_data.symbol import from_folder_name, to_file_name, unified

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from backtest.model.candles import Candles

__all__ = ["DEFAULT_ROOT", "Added", "Store", "repair_command"]

DEFAULT_ROOT = "data/candles"
_YEAR_FILE = re.compile(r"\d{4}\.parquet")


class Added(NamedTuple):
    """Rows that were new, and rows that differ from those in the store (kept apart, see :class:`Revision`)."""

    rows: int
    revised: int


class Store:
    """Rows by series; what is in it stays in it.

    Every file is replaced in one step, so a crash leaves the old one or the new one. Several processes may write a
    local store at once, a lock keeps them apart; a remote store has one writer at a time.

    Parameters
    ----------
    root
        A folder (made when first written to), or any fsspec URL, ``"s3://bucket/candles"``. Default ``data/candles``.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        place = str(root if root is not None else DEFAULT_ROOT)
        local = place.removeprefix("file://") if place.startswith("file://") else place
        self.disk: Disk = RemoteDisk(place) if "://" in local else LocalDisk(Path(local).expanduser())

    def __str__(self) -> str:
        return str(self.disk)

    def series(self) -> list[Series]:
        """Return what the store holds, in order."""
        found = []
        for exchange in self.disk.names(""):
            for symbol in self.disk.names(exchange):
                folders = [f"{exchange}/{symbol}/{name}" for name in self.disk.names(f"{exchange}/{symbol}")]
                found += [s for s in map(Series.of_folder, folders) if s is not None and self.holds(s)]
        return sorted(found)

    def holds(self, series: Series) -> bool:
        """Return whether there is a file of a series, or was one."""
        names = self.disk.names(series.folder)
        if any(_YEAR_FILE.fullmatch(name) for name in names):
            return True
        return "manifest.json" in names and bool(self.manifest(series).years)

    def symbol(self, exchange: str, text: str) -> str:
        """Return a symbol as the store spells it: the same, the usual spelling, or the only one that differs in capitals.

        Parameters
        ----------
        exchange
            As written in the store.
        text
            As somebody wrote it: ``"btcusdt"``, ``"kpepe/usdc:usdc"``.
        """
        usual = unified(text) or text
        for symbol in dict.fromkeys((text, usual)):  # one folder is looked at, not those of all markets
            if from_folder_name(to_file_name(symbol)) == symbol and self.disk.names(
                f"{exchange}/{to_file_name(symbol)}"
            ):
                return symbol
        alike = [symbol for symbol in self.symbols(exchange) if symbol.lower() == usual.lower()]
        return alike[0] if len(alike) == 1 else usual

    def symbols(self, exchange: str, timeframe: str = "") -> list[str]:
        """Return the symbols of an exchange of which there is a folder, in order; those with candles of a timeframe only.

        Parameters
        ----------
        exchange
            As written in the store.
        timeframe
            Empty for all.
        """
        names = self.disk.names(exchange)
        if timeframe and names:
            parts = [path.split("/") for path in self.disk.files(exchange)]
            names = list(dict.fromkeys(one[0] for one in parts if len(one) == 3 and one[1] == timeframe))
        return [symbol for name in names if (symbol := from_folder_name(name))]

    def years(self, series: Series) -> list[int]:
        """Return the years of which there is a file."""
        names = self.disk.names(series.folder)
        return [int(name[:4]) for name in names if _YEAR_FILE.fullmatch(name)]

    def manifest(self, series: Series) -> Manifest:
        """Return what is known about a series; an empty manifest for one that is not there."""
        path = f"{series.folder}/manifest.json"
        data = self.disk.read(path)
        return Manifest() if data is None else Manifest.from_json(data, f"{self.disk}/{path}")

    def candles(
        self, series: Series, start: int | None = None, end: int | None = None, manifest: Manifest | None = None
    ) -> Candles:
        """Return validated candles that open in ``[start, end)``; none where the store has none.

        Whether volumes are known (L2.6) is a matter of the whole series, however short the range. A manifest that was just read
        need not be read again.
        """
        manifest = manifest or self.manifest(series)
        kept = RowCache(self.disk, series, manifest) if isinstance(self.disk, LocalDisk) else None
        columns = None if kept is None else kept.read()
        sound = columns is not None
        columns = self._columns(series, manifest, start, end) if columns is None else _between(columns, start, end)
        known = manifest.volume_known or bool(columns["volume"].any()) or self.volume_known(series)
        candles = rows_of.as_candles(columns, series, volume_known=known, sound=sound)
        if kept is not None and not sound and _is_whole(columns, manifest):
            kept.write(columns)
        return candles

    def volume_known(self, series: Series) -> bool:
        """Return whether any candle of a series has a volume."""
        known = self.manifest(series).volume_known
        if known is not None:
            return known
        return any(self.read(series, [f"{year}.parquet"])["volume"].any() for year in self.years(series))

    def columns(self, series: Series, start: int | None = None, end: int | None = None) -> Columns:
        """Return the rows in ``[start, end)``, read year by year into columns allocated once.

        Raises
        ------
        DataUnavailableError
            For a file that is damaged, gone, older than the manifest or of another year.
        """
        return self._columns(series, self.manifest(series), start, end)

    def _columns(self, series: Series, manifest: Manifest, start: int | None, end: int | None) -> Columns:
        lowest, highest = (None if start is None else _year_of(start)), (None if end is None else _year_of(end - 1))
        held = self.years(series)
        years = sorted({*held, *map(int, manifest.years)})
        years = [y for y in years if (lowest is None or y >= lowest) and (highest is None or y <= highest)]
        for year in years:
            if year not in held:
                raise self._untrusted(series, _fault(manifest, year, None))
        found, counts = self._read(series, [f"{year}.parquet" for year in years])
        row = 0
        for year, count in zip(years, counts, strict=True):
            fault = _fault(manifest, year, found["time"][row : row + count])
            if fault:
                raise self._untrusted(series, fault)
            row += count
        return _between(found, start, end)

    def is_empty(self, series: Series, start: int, end: int) -> bool:
        """Return whether the manifest knows no rows between the first and the last of which ``[start, end)`` lies."""
        return not any(year.first < end and year.last >= start for year in self.manifest(series).years.values())

    def missing(self, series: Series, start: int, end: int) -> list[Range]:
        """Return the parts of ``[start, end)`` for which no source has answered yet."""
        return without((start, end), self.manifest(series).asked)

    def add(
        self,
        series: Series,
        columns: Columns,
        *,
        asked: Sequence[Range],
        source: str,
        at: str | None = None,
        refused: Sequence[Refused] = (),
    ) -> Added:
        """Put rows among those that are there: before, after or between them.

        A row whose time is known stays as it was; where the new one differs it is written to a file of its own and
        counted. Which rows came first or together does not change the bytes of the year files.

        Parameters
        ----------
        asked
            The stretches of time for which the source has answered, with rows or without.
        source
            The exchange's name, or ``file:NAME``.
        at
            When, as ISO text; parts of one run share it. None is now.

        Raises
        ------
        StorageError
            Where the disk refuses, or another process does not finish writing.
        DataUnavailableError
            Where a file of the same year is damaged.
        """
        moment = at or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with self.disk.lock(series.folder):
            manifest = self.manifest(series)
            added = self._add_years(series, manifest, columns)
            revised = self._keep_revised(series, manifest, [part.revised for part in added], moment, source)
            manifest.answered(list(asked))
            manifest.refuse(list(refused))
            if "volume" in columns and columns["volume"].any():
                manifest.volume_known = True
            rows = sum(part.added for part in added)
            if asked:
                manifest.record(Fetch(moment, source, rows, min(a for a, _ in asked), max(b for _, b in asked)))
            self.write_manifest(series, manifest)
        return Added(rows, revised)

    def read(self, series: Series, names: Sequence[str]) -> Columns:
        """Return the rows of files of a series, one file after another.

        Raises
        ------
        DataUnavailableError
            For a file that is damaged.
        """
        return self._read(series, names)[0]

    def reconcile(self, series: Series) -> list[str]:
        """Take out of what was asked the years whose files are gone or older than the manifest, so that they are fetched again.

        Returns
        -------
        list of str
            One sentence for each such year.

        Raises
        ------
        DataUnavailableError
            For a file that was cut off, or holds rows of another year.
        """
        with self.disk.lock(series.folder) if self.holds(series) else nullcontext():
            manifest = self.manifest(series)
            # a remote disk puts a file in whole, and would send all of it
            done = self.distrust(series, manifest, self.years(series) if isinstance(self.disk, LocalDisk) else [])
            if done:
                self.write_manifest(series, manifest)
        return done

    def distrust(self, series: Series, manifest: Manifest, years: Sequence[int]) -> list[str]:
        """Do what :meth:`reconcile` does to a manifest; the caller holds the lock and writes it.

        Parameters
        ----------
        series, manifest
            Which, and what is changed.
        years
            Those whose files are read; of the others it counts only whether they are there.
        """
        done = []
        held = self.years(series)
        for year in sorted({*years, *map(int, manifest.years)}):
            rows = self.read(series, [f"{year}.parquet"]) if year in years else None
            fault = (
                "" if rows is None and year in held else _fault(manifest, year, None if rows is None else rows["time"])
            )
            if not fault:
                continue
            if rows is not None and _is_foreign(year, rows["time"]):
                raise self._untrusted(series, fault)
            manifest.forget(_span(year))
            manifest.years.pop(str(year), None)
            if rows is not None:
                manifest.years[str(year)] = year_entry(rows, series, column_hash(rows))
            done.append(f"{fault}; the year counts as never fetched")
        return done

    def write_year(self, series: Series, manifest: Manifest, year: int, columns: Columns) -> None:
        """Put a year's file in its place and note it; the caller holds the lock and writes the manifest."""
        digest = column_hash(columns)
        about = {"exchange": series.exchange, "symbol": series.symbol, "timeframe": series.timeframe}
        data = column_bytes(columns, {**about, "kind": series.kind, "sha256": digest})
        self.disk.write(f"{series.folder}/{year}.parquet", data)
        manifest.years[str(year)] = year_entry(columns, series, digest)

    def write_manifest(self, series: Series, manifest: Manifest) -> None:
        """Put the manifest in its place; the caller holds the lock."""
        self.disk.write(f"{series.folder}/manifest.json", manifest.to_json(series))

    def next_name(self, series: Series, prefix: str) -> str:
        """Return the first free name ``prefix-1.parquet``, ``prefix-2.parquet`` ... of a series."""
        taken = set(self.disk.names(series.folder))
        number = 1
        while f"{prefix}-{number}.parquet" in taken:
            number += 1
        return f"{prefix}-{number}.parquet"

    def _add_years(self, series: Series, manifest: Manifest, columns: Columns) -> list[rows_of.Merged]:
        added: list[rows_of.Merged] = []
        parts = list(_by_year(columns))
        for year, part in parts:
            try:
                added.append(self._add_year(series, manifest, year, part))
            except StorageError as error:
                written = ", ".join(str(y) for (y, _), one in zip(parts, added, strict=False) if one.added)
                if not written:
                    raise
                left = ", ".join(str(y) for y, _ in parts[len(added) :])
                raise StorageError(
                    f"{str(error).removesuffix('; nothing was changed')}; the rows of {written} were written, those of "
                    f"{left} were not: run the same again when the disk takes them"
                ) from error
        return added

    def _add_year(self, series: Series, manifest: Manifest, year: int, columns: Columns) -> rows_of.Merged:
        name = f"{year}.parquet"
        there = name in self.disk.names(series.folder)
        old = self.read(series, [name] if there else [])
        fault = _fault(manifest, year, old["time"] if there else None)
        if fault:
            if _is_foreign(year, old["time"]):
                raise self._untrusted(series, fault)
            manifest.forget(_span(year))  # what the file has lost is to be fetched again
        result = rows_of.merged(old, columns)
        if result.added:
            self.write_year(series, manifest, year, result.columns)
        elif (entry := manifest.years.get(str(year))) is None or entry.rows != len(old["time"]):
            # a run was killed between a file and its manifest
            manifest.years[str(year)] = year_entry(old, series, column_hash(old))
        return result

    def _read(self, series: Series, names: Sequence[str]) -> tuple[Columns, list[int]]:
        columns = RATE_NAMES if series.kind == FUNDING else CANDLE_NAMES
        try:
            return read_columns([self.disk.source(f"{series.folder}/{name}") for name in names], columns)
        except (OSError, ValueError, KeyError) as error:  # what arrow raises derives from these
            if len(names) > 1:
                for name in names:  # the one that is damaged says so
                    self._read(series, [name])
            path = f"{self.disk}/{series.folder}/{names[0]}"
            if isinstance(error, PermissionError):  # which says nothing about what is in it
                raise StorageError(f"cannot read {path}: permission denied; let this user read it") from error
            raise DataUnavailableError(
                f"{path} is damaged ({_first_line(error)}); `{repair_command(series)}` sets it "
                "aside and fetches its rows again"
            ) from error

    def _untrusted(self, series: Series, fault: str) -> DataUnavailableError:
        return DataUnavailableError(
            f"{self.disk}/{series.folder}: {fault}; `{repair_command(series)}` sets that right and fetches what is missing"
        )

    def _keep_revised(self, series: Series, manifest: Manifest, parts: list[Columns], moment: str, source: str) -> int:
        parts = [part for part in parts if len(part["time"])]
        if not parts:
            return 0
        revised = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for known in manifest.revisions:
            if not known.taken:
                revised = rows_of.unseen(revised, self.read(series, [known.file]))
        time = revised["time"]
        if len(time):
            name = self.next_name(series, "revised")
            about = {"exchange": series.exchange, "symbol": series.symbol, "timeframe": series.timeframe}
            self.disk.write(f"{series.folder}/{name}", column_bytes(revised, {**about, "kind": series.kind}))
            entry = Revision(name, len(time), int(time[0]), int(time[-1]), moment, source)
            manifest.revisions.append(entry)
        return len(time)


def _between(columns: Columns, start: int | None, end: int | None) -> Columns:
    first = 0 if start is None else int(np.searchsorted(columns["time"], start))
    last = len(columns["time"]) if end is None else int(np.searchsorted(columns["time"], end))
    return rows_of.taken(columns, slice(first, last))


def _is_whole(columns: Columns, manifest: Manifest) -> bool:
    """Whether these are all rows of a series whose manifest knows them all."""
    years = manifest.years.values()
    return len(columns["time"]) > 0 and len(columns["time"]) == sum(year.rows for year in years)


def year_entry(columns: Columns, series: Series, digest: str) -> Year:
    """Return what the manifest says about the rows of a year."""
    time = columns["time"]
    gaps = holes(time, series.length) if series.length else []
    return Year(len(time), digest, int(time[0]), int(time[-1]), tuple(gaps))


def repair_command(series: Series) -> str:
    """Return the command that sets a series right."""
    kind = {"mark": " --mark", FUNDING: " --funding"}.get(series.kind, "")
    timeframe = f" --timeframe {series.timeframe}" if series.timeframe else ""
    return f"backtest data repair {series.symbol} --exchange {series.exchange}{timeframe}{kind}"


def _fault(manifest: Manifest, year: int, time: NDArray[np.int64] | None) -> str:
    """Return what tells that a year's file is not the one that was written; empty where nothing does.

    More rows than the manifest knows are those of a run that was killed between the file and its manifest.
    """
    entry = manifest.years.get(str(year))
    if time is None:
        return f"{year}.parquet is gone, with {entry.rows:,} rows" if entry is not None else ""
    if _is_foreign(year, time):
        return f"{year}.parquet holds rows of {_year_of(int(time[0]))} to {_year_of(int(time[-1]))}: files were swapped"
    if entry is not None and len(time) < entry.rows:
        return f"{year}.parquet has {len(time):,} of the {entry.rows:,} rows that were written, as an older copy would"
    return ""


def _is_foreign(year: int, time: NDArray[np.int64]) -> bool:
    first, after = _span(year)
    return bool(len(time) and (time[0] < first or time[-1] >= after))


def _span(year: int) -> Range:
    first, after = (int(np.datetime64(str(y), "ms").astype(np.int64)) for y in (year, year + 1))
    return first, after


def _by_year(columns: Columns) -> Iterator[tuple[int, Columns]]:
    years = columns["time"].view("M8[ms]").astype("M8[Y]").astype(np.int64) + 1970
    for year in np.unique(years):
        yield int(year), rows_of.taken(columns, years == year)


def _year_of(moment: int) -> int:
    return int(np.datetime64(moment, "ms").astype("M8[Y]").astype(np.int64)) + 1970


def _first_line(error: Exception) -> str:
    text: Any = str(error)
    return text.splitlines()[0] if text else type(error).__name__
