"""Files: candles from CSV, Parquet, Feather or JSON, packed or not, and candles to Parquet."""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backtest.errors import InvalidCandlesError, InvalidSettingError, did_you_mean
from backtest.market_data import symbol as symbols
from backtest.market_data.delimited import read_delimited
from backtest.market_data.disk import write_atomic
from backtest.market_data.frame import Reading, from_pandas
from backtest.market_data.parquet import candle_bytes, file_metadata

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    import pandas as pd

    from backtest.model.candles import Candles

__all__ = ["Table", "named_file", "read_candles", "read_table", "write_candles"]

_COLUMNS = ["time", "open", "high", "low", "close", "volume"]
_TEXTS = (".csv", ".txt", ".tsv")
_NO_TRADES = {
    "mark": "candles of the mark price",
    "index": "candles of the index price",
    "premiumIndex": "candles of the premium",
    "funding_rate": "funding rates",
}


class Table(NamedTuple):
    """A file's table as it is, what the file says about itself, and the name of a row in a message."""

    frame: pd.DataFrame
    about: Mapping[str, Any]
    where: Callable[[int], str]


def read_candles(  # noqa: PLR0913  options, all by name
    path: str | os.PathLike[str],
    *,
    symbol: str | None = None,
    timeframe: str | None = None,
    exchange: str = "",
    tidy: bool = False,
    columns: Mapping[str, str] | None = None,
    decimal: str = "",
    dates: str = "",
    snap: bool = False,
) -> Candles:
    """Read candles from a ``.csv`` (``.txt``, ``.tsv``), ``.parquet``, ``.feather`` or ``.json`` file, also in ``.gz`` or ``.zip``.

    Columns are recognised by their usual names (:func:`backtest.market_data.frame.from_pandas`). Text may be UTF-8 or
    UTF-16, separated by comma, semicolon, tab or bar, with lines above its header or none at all: then time, open, high,
    low, close, volume. What could be read in two ways is refused, and said how to decide it.

    Parameters
    ----------
    path
        The file.
    symbol
        None takes it from the file: its metadata, a ``symbol`` column, or its name (``BTC_USDT-1h.csv``).
    timeframe
        None takes it from the metadata or the name, or else the most frequent distance between two rows.
    exchange
        Where they were traded; empty takes it from the metadata.
    tidy, columns, decimal, dates, snap
        As in :class:`backtest.market_data.frame.Reading`.

    Returns
    -------
    Candles
        Oldest first.

    Raises
    ------
    InvalidSettingError
        For a file that is missing, of another kind or unreadable, that holds no candles of trades, or where no symbol is
        to be found.
    InvalidCandlesError
        For rows that are no candles, naming line, column and value.
    """
    reading = Reading(dict(columns or {}), decimal, dates, tidy=tidy, snap=snap)
    named = named_file(Path(path))
    if named.kind in _NO_TRADES:
        raise InvalidSettingError(
            f"{path} holds {_NO_TRADES[named.kind]}, not of trades"
            + (": `backtest data import` takes it" if named.kind in {"mark", "funding_rate"} else "")
        )
    return candles_of(Path(path), named, reading, symbol=symbol, timeframe=timeframe, exchange=exchange)


def candles_of(
    file: Path, named: symbols.NamedFile, reading: Reading, *, symbol: str | None, timeframe: str | None, exchange: str
) -> Candles:
    """Return the candles of a file, whatever price they are of.

    Raises
    ------
    InvalidSettingError, InvalidCandlesError
        As :func:`read_candles`.
    """
    table = read_table(file, reading)
    stored = _kind(file.name) not in _TEXTS  # freqtrade keeps no text: there, what stands behind is somebody's remark
    if symbol is None and stored and named.kind not in {"", "spot", "futures", *_NO_TRADES}:
        raise InvalidSettingError(
            f"the name of {file.name} ends in {named.kind!r}, which is no kind of candles that is known (futures, spot, mark): "
            'say --symbol (symbol=), such as "BTC/USDT", to read it as candles of trades, or rename it'
        )
    about = table.about
    found = symbol or about.get("symbol") or _symbol_in(table.frame, file) or named.symbol
    if not found:
        raise InvalidSettingError(
            f'{file} does not say which symbol it holds: give it, --symbol BTC/USDT (symbol="BTC/USDT")'
        )
    try:
        return from_pandas(
            table.frame,
            symbol=found,
            timeframe=timeframe or about.get("timeframe"),
            exchange=exchange or about.get("exchange", ""),
            volume_known=about.get("volume_known"),
            reading=reading,
            where=table.where,
            named_timeframe=named.timeframe,
            midnight=_midnight(named.day),
        )
    except (InvalidCandlesError, InvalidSettingError) as error:
        if file.name in str(error):
            raise
        raise type(error)(f"{file.name}: {error}") from None


def write_candles(candles: Candles, path: str | os.PathLike[str]) -> None:
    """Write a Parquet file that :func:`read_candles` reads without being told anything; in whole or not at all.

    Parameters
    ----------
    candles
        What to write.
    path
        The file, replaced where there is one.

    Raises
    ------
    InvalidSettingError
        Unless the name ends in ``.parquet``.
    StorageError
        Where the disk refuses.
    """
    if Path(path).suffix != ".parquet":
        raise InvalidSettingError(f"candles are written as Parquet: end the name in .parquet, was {Path(path).name!r}")
    write_atomic(path, candle_bytes(candles))


def named_file(file: Path) -> symbols.NamedFile:
    """Return what a file's name says, or that of the one file in a ``.zip``."""
    own = symbols.from_file_name(_stem(file.name))
    if file.suffix.lower() != ".zip" or not file.is_file():
        return own
    inner = symbols.from_file_name(_stem(_member(file)[0]))
    day = inner.day or (found[1] if (found := re.match(r"(20\d{6})_", _stem(file.name))) else "")
    if inner.symbol is None:
        return own
    return inner._replace(day=day, symbol=own.symbol if own.symbol and ":" in own.symbol else inner.symbol)


def read_table(file: Path, reading: Reading | None = None) -> Table:
    """Return a file's table as it is.

    Parameters
    ----------
    file
        Its name tells the kind.
    reading
        Names by which the header of a text is recognised.

    Raises
    ------
    InvalidSettingError
        For a file that is missing, of another kind or unreadable.
    """
    how = reading or Reading()
    kind = _kind(file.name)
    if kind is None:
        raise InvalidSettingError(
            "candles are read from .csv, .parquet, .feather or .json files, also in .gz or .zip, was "
            f"{file.name!r}" + _missing(file)
        )
    if not file.is_file():
        raise InvalidSettingError(f"candles file {file} cannot be read" + (_missing(file) or ": it is no file"))
    try:
        name, data = _unpacked(file)
        kind = _kind(name)
        if kind in _TEXTS:
            sheet = read_delimited(data, file.name, how.columns)
            about = {"symbol": symbols.from_value(sheet.symbol)} if sheet.symbol else {}
            return Table(sheet.frame, about, lambda row: f"{file.name} line {sheet.line(row)}")
        if kind == ".json":
            return Table(_json(data), {}, lambda row: f"{file.name} entry {row}")
        if kind == ".parquet":
            return _parquet(data, file.name)
        return _feather(data, file.name)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, ValueError, KeyError, NotImplementedError) as error:
        reason = _reason(error, file)  # what arrow raises derives from these
        raise InvalidSettingError(f"candles file {file} cannot be read: {reason}") from error


def _kind(name: str) -> str | None:
    """Return the ending that tells how a file is read, without that of its packing; None where it is not known."""
    lower = name.lower()
    if lower.endswith(".zip"):
        return ".zip"
    plain = lower.removesuffix(".gz")
    return next((ending for ending in (*_TEXTS, ".parquet", ".feather", ".json") if plain.endswith(ending)), None)


def _stem(name: str) -> str:
    """Return a file's name without its endings."""
    return re.sub(r"(?i)(\.(csv|txt|tsv|parquet|feather|json|gz|zip))+$", "", name.rsplit("/", 1)[-1])


def _unpacked(file: Path) -> tuple[str, bytes]:
    name = file.name
    if name.lower().endswith(".zip"):
        name, member = _member(file)
        with zipfile.ZipFile(file) as packed:
            data = packed.read(member)
    else:
        data = file.read_bytes()
    if name.lower().endswith(".gz"):
        data = gzip.decompress(data)
    if _kind(name) in {None, ".zip"}:
        raise ValueError(f"it holds {name!r}, and candles are read from .csv, .parquet, .feather or .json")
    return name, data


def _member(file: Path) -> tuple[str, zipfile.ZipInfo]:
    """Return the one file in a zip archive."""
    try:
        with zipfile.ZipFile(file) as packed:
            found = [
                info
                for info in packed.infolist()
                if not info.is_dir() and not info.filename.startswith("__MACOSX") and _kind(info.filename) is not None
            ]
            every = packed.namelist()
    except zipfile.BadZipFile:
        raise InvalidSettingError(
            f"candles file {file} cannot be read: it is no zip archive, or a part of one"
        ) from None
    if len(found) != 1:
        what = (
            f"{len(found)} files with candles ({', '.join(info.filename for info in found[:3])} ...)"
            if found
            else ", ".join(every[:3]) or "nothing"
        )
        raise InvalidSettingError(f"candles file {file} cannot be read: it holds {what}; unpack it and give one file")
    return found[0].filename.rsplit("/", 1)[-1], found[0]


def _reason(error: Exception, file: Path) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON (line {error.lineno}: {error.msg})"
    if isinstance(error, (EOFError, zlib.error)) or "CRC" in str(error):
        return "it is damaged or cut off"
    if isinstance(error, gzip.BadGzipFile):
        return "it is not packed with gzip, as its name says"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    kind = (_kind(file.name) or "").lstrip(".")
    return f"it is no {kind.capitalize()} file ({text})" if kind in {"parquet", "feather"} else text


def _missing(file: Path) -> str:
    if file.exists():
        return ""
    folder = file.parent
    beside = [f.name for f in folder.iterdir()] if folder.is_dir() else []
    return f": there is no such file.{did_you_mean(file.name, beside)}"


def _parquet(data: bytes, name: str) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(data)) as opened:
        frame = opened.read().to_pandas()
        return Table(frame, file_metadata(opened.metadata.metadata), lambda row: f"{name} row {row}")


def _feather(data: bytes, name: str) -> Table:
    import pandas as pd

    return Table(pd.read_feather(io.BytesIO(data)), {}, lambda row: f"{name} row {row}")


def _json(data: bytes) -> pd.DataFrame:
    import pandas as pd

    rows = json.loads(data.decode("utf-8-sig"))
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        return pd.DataFrame(rows)
    width = len(rows[0]) if isinstance(rows, list) and rows and isinstance(rows[0], list) else 0
    if width < 5 or not all(isinstance(row, list) and len(row) == width for row in rows):
        raise ValueError("a list of [ms, open, high, low, close, volume] was expected, or of objects with such names")
    frame = pd.DataFrame(rows)
    frame.columns = pd.Index([*_COLUMNS[:width], *(f"column {k}" for k in range(len(_COLUMNS), width))])
    return frame


def _symbol_in(frame: pd.DataFrame, file: Path) -> str | None:
    """Return the symbol that a column names; several symbols in one file are refused."""
    for name in frame.columns:
        if str(name).lower().replace("_", "") in {"symbol", "pair", "ticker", "instrument", "instrumentname", "instid"}:
            values = frame[name].dropna().unique()
            if len(values) > 1:
                raise InvalidSettingError(
                    f"{file} holds {len(values)} symbols ({values[0]}, {values[1]} ...); give one file for each"
                )
            return symbols.from_value(str(values[0])) if len(values) else None
    return None


def _midnight(day: str) -> int | None:
    if not day:
        return None
    return int(np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}", "ms").astype(np.int64))
