"""Files: candles from CSV, Parquet, Feather or JSON, and candles to Parquet."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.market_data import symbol as symbols
from backtest.market_data.disk import write_atomic
from backtest.market_data.frame import from_pandas
from backtest.market_data.parquet import candle_bytes, file_metadata

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import pandas as pd

    from backtest.model.candles import Candles

__all__ = ["read_candles", "read_frame", "stem", "write_candles"]

_COLUMNS = ["time", "open", "high", "low", "close", "volume"]


def read_candles(
    path: str | os.PathLike[str],
    *,
    symbol: str | None = None,
    timeframe: str | None = None,
    exchange: str = "",
    tidy: bool = False,
) -> Candles:
    """Read candles from a ``.csv``, ``.parquet``, ``.feather`` or ``.json`` file.

    Columns are recognised by their usual names (:func:`backtest.market_data.frame.from_pandas`). Also read are
    CryptoDataDownload's CSV with a line above the header, CSV without any header in the order time, open, high, low,
    close, volume, and freqtrade's files.

    Parameters
    ----------
    symbol
        None takes it from the file: its metadata, a ``symbol`` column, or its name (``BTC_USDT-1h.csv``).
    timeframe
        None takes it from the metadata, or else the most frequent distance between two rows.
    tidy
        Sort shuffled rows and drop those that repeat another one in every value.

    Raises
    ------
    InvalidSettingError
        For a file that is missing, of another kind or unreadable, or where no symbol is to be found.
    InvalidCandlesError
        For rows that are no candles.
    """
    file = Path(path)
    frame, about = read_frame(file)
    found = symbol or about.get("symbol") or _symbol_in(frame, file) or symbols.from_file_name(stem(file)).symbol
    if not found:
        raise InvalidSettingError(f'{file} does not say which symbol it holds: give it, such as symbol="BTC/USDT"')
    return from_pandas(
        frame,
        symbol=found,
        timeframe=timeframe or about.get("timeframe"),
        exchange=exchange or about.get("exchange", ""),
        tidy=tidy,
        volume_known=about.get("volume_known"),
    )


def write_candles(candles: Candles, path: str | os.PathLike[str]) -> None:
    """Write a Parquet file that :func:`read_candles` reads without being told anything; in whole or not at all.

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


def read_frame(file: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a file's table as it is, and what the file says about itself."""
    readers: dict[str, Callable[[Path], tuple[pd.DataFrame, dict[str, Any]]]] = {
        ".csv": _read_csv,
        ".csv.gz": _read_csv,
        ".parquet": _read_parquet,
        ".feather": _read_feather,
        ".json": _read_json,
    }
    name = file.name.lower()
    reader = next((readers[ending] for ending in readers if name.endswith(ending)), None)
    if reader is None:
        raise InvalidSettingError(
            f"candles are read from .csv, .parquet, .feather or .json files, was {file.name!r}" + _missing(file)
        )
    if not file.is_file():
        raise InvalidSettingError(f"candles file {file} cannot be read" + (_missing(file) or ": it is no file"))
    try:
        return reader(file)
    except (OSError, ValueError, KeyError) as error:  # what arrow and pandas raise derives from these
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidSettingError(f"candles file {file} cannot be read: {reason}") from error


def _missing(file: Path) -> str:
    if file.exists():
        return ""
    folder = file.parent
    beside = [f.name for f in folder.iterdir()] if folder.is_dir() else []
    return f": there is no such file.{did_you_mean(file.name, beside)}"


def _read_csv(file: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    import pandas as pd

    opener = gzip.open if file.suffix.lower() == ".gz" else Path.open
    with opener(file, "rt", encoding="utf-8-sig") as opened:
        first = [opened.readline().lower() for _ in range(5)]
    headers = [row for row, line in enumerate(first) if "open" in line and "close" in line]
    if headers:
        return pd.read_csv(file, skiprows=headers[0], skipinitialspace=True, skip_blank_lines=False), {}
    if first[0][:1].isdigit() and first[0].count(",") >= len(_COLUMNS) - 1:
        frame = pd.read_csv(file, header=None)
        return frame.iloc[:, : len(_COLUMNS)].set_axis(_COLUMNS, axis=1), {}
    return pd.read_csv(file, skipinitialspace=True), {}


def _read_parquet(file: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        table = opened.read()
        return table.to_pandas(), file_metadata(opened.metadata.metadata)


def _read_feather(file: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    import pandas as pd

    return pd.read_feather(file), {}


def _read_json(file: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    import pandas as pd

    rows = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == len(_COLUMNS) for row in rows):
        raise ValueError("a list of [ms, open, high, low, close, volume] was expected")
    return pd.DataFrame(rows, columns=_COLUMNS), {}


def _symbol_in(frame: pd.DataFrame, file: Path) -> str | None:
    """Return the symbol that a column names; several symbols in one file are refused."""
    for name in frame.columns:
        if str(name).lower() in {"symbol", "pair"}:
            values = frame[name].dropna().unique()
            if len(values) > 1:
                raise InvalidSettingError(
                    f"{file} holds {len(values)} symbols ({values[0]}, {values[1]} ...); give one file for each"
                )
            return symbols.unified(str(values[0])) if len(values) else None
    return None


def stem(file: Path) -> str:
    """Return a file's name without its endings."""
    return file.name.removesuffix(".gz").rsplit(".", 1)[0]
