"""Upkeep: whether a series in the store is whole, and what can be set right without losing anything."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import BacktestError, DataUnavailableError
from backtest.market_data import columns as rows_of
from backtest.market_data.disk import UNFINISHED
from backtest.market_data.manifest import Manifest, Revision
from backtest.market_data.parquet import column_bytes, column_hash, file_metadata
from backtest.market_data.quality import Finding, check, compare
from backtest.market_data.series import FUNDING
from backtest.market_data.store import year_entry

if TYPE_CHECKING:
    from backtest.market_data.columns import Columns
    from backtest.market_data.series import Series
    from backtest.market_data.store import Store

__all__ = ["repair", "take_revisions", "verify"]


def verify(store: Store, series: Series) -> list[Finding]:
    """Return what is wrong or odd about a series: files, times, values, and finer candles that say otherwise.

    Candles are compared with the next finer timeframe that the store has of the same symbol.
    """
    try:
        manifest = store.manifest(series)
    except DataUnavailableError as error:
        return [Finding("damaged", 0, 0, str(error))]
    found = []
    for year in sorted({*store.years(series), *map(int, manifest.years)}):
        found += _file(store, series, manifest, year)
    if any(finding.kind in {"damaged", "lost"} for finding in found) or series.kind == FUNDING:
        return found
    candles = store.candles(series)
    odd = check(candles, manifest.gaps(candles.time, series.length))
    found += [finding for finding in odd if not (series.kind and finding.kind == "zero volume")]
    found += [Finding("refused", candle.time, 1, candle.why, serious=False) for candle in manifest.refused]
    found += [
        Finding(
            "revised", revision.first, revision.rows, f"{revision.source} told them differently, see {revision.file}"
        )
        for revision in manifest.revisions
        if not revision.taken
    ]
    finer = _next_finer(store, series)
    return found if finer is None or series.kind else [*found, *compare(candles, store.candles(finer))]


def repair(store: Store, series: Series, *, force: bool = False) -> list[str]:
    """Set right what can be, and return one sentence for each thing done; fetching again fills what is then missing.

    A damaged file is renamed, its rows count as never fetched; so does a year whose file is gone or older than the
    manifest. A manifest that is damaged or behind its files is made again from them. With ``force``, files set aside earlier and those left by a crash are deleted.
    """
    done: list[str] = []
    with store.disk.lock(series.folder):
        manifest = _manifest(store, series, done)
        for year in store.years(series):
            finding = next(iter(_file(store, series, manifest, year)), None)
            if finding is None or finding.kind == "lost":
                continue
            if finding.kind == "damaged":
                name = _set_aside(store, series, f"{year}.parquet")
                manifest.years.pop(str(year), None)
                manifest.forget(_span(year))
                done.append(f"{year}.parquet was damaged: it is now {name}, its rows count as never fetched")
            else:
                rows = store.read(series, [f"{year}.parquet"])
                manifest.years[str(year)] = year_entry(rows, series, column_hash(rows))
                done.append(f"manifest.json was behind {year}.parquet: it now tells its {len(rows['time'])} rows")
        done += store.distrust(series, manifest, store.years(series))
        if force:
            done += _swept(store, series)
        if done:
            store.write_manifest(series, manifest)
    return done


def take_revisions(store: Store, series: Series) -> list[str]:
    """Make the revised candles current; those they replace go to files of their own. Return what was done."""
    done: list[str] = []
    with store.disk.lock(series.folder):
        manifest = store.manifest(series)
        for number, revision in enumerate(manifest.revisions):
            if revision.taken:
                continue
            revised = store.read(series, [revision.file])
            years = _years(revised)
            old = store.read(series, [f"{year}.parquet" for year in years])
            name = store.next_name(series, "replaced")
            kept = rows_of.taken(old, np.isin(old["time"], revised["time"]))
            store.disk.write(f"{series.folder}/{name}", column_bytes(kept, {"symbol": series.symbol}))
            current = rows_of.merged(revised, old).columns  # where both have a time, the revised row stays
            for year in years:
                low, high = _span(year)
                inside = (current["time"] >= low) & (current["time"] < high)
                store.write_year(series, manifest, year, rows_of.taken(current, inside))
            manifest.revisions[number] = Revision(
                name, revision.rows, revision.first, revision.last, revision.seen, revision.source, taken=True
            )
            done.append(
                f"{revision.rows} candles were replaced by those of {revision.file}, the old ones are in {name}"
            )
            store.write_manifest(series, manifest)
    return done


def _file(store: Store, series: Series, manifest: Manifest, year: int) -> list[Finding]:
    """Return what is wrong with a year's file: ``damaged``, ``lost`` (gone, or rows are) or unknown to the ``manifest``."""
    import pyarrow.parquet as pq

    name, start = f"{year}.parquet", _span(year)[0]
    entry = manifest.years.get(str(year))
    if name not in store.disk.names(series.folder):
        return [Finding("lost", start, 0 if entry is None else entry.rows, f"{name} is gone")]
    try:
        rows = store.read(series, [name])
        with pq.ParquetFile(store.disk.source(f"{series.folder}/{name}")) as file:
            told = file_metadata(file.metadata.metadata)
        if series.kind != FUNDING:
            rows_of.as_candles(rows, series)
    except BacktestError as error:
        return [Finding("damaged", start, 0, str(error))]
    count, digest = len(rows["time"]), column_hash(rows)
    whose = (told.get("exchange"), told.get("symbol"), told.get("timeframe"), told.get("kind", ""))
    if "exchange" in told and whose != (series.exchange, series.symbol, series.timeframe, series.kind):
        found = ("damaged", count, f"is a file of {' '.join(str(part) for part in whose if part)}")
    elif count and (_year(rows, 0), _year(rows, -1)) != (year, year):
        found = ("damaged", count, f"holds rows of {_year(rows, 0)} to {_year(rows, -1)}")
    elif told.get("sha256") != digest:
        found = ("damaged", count, "has other rows than when it was written")
    elif entry is not None and count < entry.rows:
        found = ("lost", entry.rows - count, f"has {count:,} of the {entry.rows:,} rows that were written")
    elif entry is None or entry.sha256 != digest:
        return [Finding("manifest", start, count, f"manifest.json does not know the rows of {name}")]
    else:
        return []
    return [Finding(found[0], start, found[1], f"{name} {found[2]}")]


def _year(rows: Columns, position: int) -> int:
    return int(rows["time"][position : position + 1 or None].view("M8[ms]").astype("M8[Y]").astype(np.int64)[0]) + 1970


def _manifest(store: Store, series: Series, done: list[str]) -> Manifest:
    """Return the manifest, or a new one that counts every readable row as asked for."""
    try:
        manifest = store.manifest(series)
        if manifest.asked or manifest.years or not store.years(series):
            return manifest
        what = "gone"
    except DataUnavailableError:
        what = f"damaged: it is now {_set_aside(store, series, 'manifest.json')}"
    manifest = Manifest()
    for year in store.years(series):
        with suppress(DataUnavailableError):
            rows = store.read(series, [f"{year}.parquet"])
            manifest.answered([(int(t), int(t) + max(1, series.length)) for t in rows["time"]])
            manifest.volume_known = manifest.volume_known or bool(rows.get("volume", np.zeros(0)).any())
    done.append(f"manifest.json was {what}, a new one was made from the candle files")
    return manifest


def _set_aside(store: Store, series: Series, name: str) -> str:
    taken, number = set(store.disk.names(series.folder)), 1
    while f"{name}.damaged-{number}" in taken:
        number += 1
    store.disk.move(f"{series.folder}/{name}", f"{series.folder}/{name}.damaged-{number}")
    return f"{name}.damaged-{number}"


def _swept(store: Store, series: Series) -> list[str]:
    """Delete what was set aside, and what a crash left: in the series' folder, and beside its market's rules."""
    market = series.folder.rpartition("/")[0]
    with store.disk.lock(market):
        paths = [f"{series.folder}/{n}" for n in store.disk.names(series.folder) if ".damaged-" in n or _left(n)]
        paths += [f"{market}/{name}" for name in store.disk.names(market) if _left(name)]
        for path in paths:
            store.disk.delete(path)
    return [f"{path.rpartition('/')[2]} was deleted" for path in paths]


def _left(name: str) -> bool:
    return name.startswith(UNFINISHED)


def _next_finer(store: Store, series: Series) -> Series | None:
    held = [
        s for s in store.series() if (s.exchange, s.symbol, s.kind) == (series.exchange, series.symbol, series.kind)
    ]
    finer = [s for s in held if s.length < series.length and series.length % s.length == 0]
    return max(finer, key=lambda s: s.length, default=None)


def _years(columns: Columns) -> list[int]:
    return [int(y) for y in np.unique(columns["time"].view("M8[ms]").astype("M8[Y]").astype(np.int64) + 1970)]


def _span(year: int) -> tuple[int, int]:
    first, after = (np.datetime64(str(y), "ms").astype(np.int64) for y in (year, year + 1))
    return int(first), int(after)
