"""Frame: a pandas table with its usual column names, read as Candles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidCandlesError, InvalidSettingError
from backtest.model.candles import Candles
from backtest.model.timeframe import milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["from_pandas", "milliseconds_of", "timeframe_text"]

_TIMES = ("opentime", "timestamp", "unix", "unixtimestamp", "time", "datetime", "date", "ts", "gmttime", "index")
_PRICES = {"open": ("open", "o"), "high": ("high", "h"), "low": ("low", "l"), "close": ("close", "c", "last")}
_VOLUMES = ("basevolume", "volumebase", "volumefrom", "volume", "vol", "v")
_YEAR_1973 = 1e8
_UNITS = ((604_800_000, "w"), (86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"))


def from_pandas(
    frame: pd.DataFrame,
    *,
    symbol: str,
    timeframe: str | None = None,
    exchange: str = "",
    tidy: bool = False,
    volume_known: bool | None = None,
) -> Candles:
    """Build candles from a table whose columns have their usual names.

    Times stand in the index or in a column (``time``, ``date``, ``timestamp``, ``open_time``, ``unix`` ...), as
    datetimes (without a zone: UTC), ISO text, or Unix seconds, ms, us or ns, told apart by their size. Volume is in
    base currency: ``Volume BTC`` goes before ``volume``. Capitals, blanks and underscores do not matter.

    Parameters
    ----------
    timeframe
        None takes the most frequent distance between two rows.
    tidy
        Sort shuffled rows and drop those that repeat another one in every value.
    volume_known
        Whether the volumes are known (L2.6); None decides it from them, and without such a column they are not.

    Returns
    -------
    Candles
        Oldest first: a table that runs strictly from the newest to the oldest row is turned round.

    Raises
    ------
    InvalidCandlesError
        For a missing column, a time or number that cannot be read, rows closer together than the timeframe, and
        whatever :class:`Candles` refuses, such as shuffled or repeated times.
    InvalidSettingError
        Where the timeframe is neither given nor to be seen.
    """
    base = symbol.partition("/")[0]
    names = _names(frame)
    time = milliseconds_of(_time_column(frame, names))
    o, h, l, c = (_numbers(frame, _find(names, usual, name), name) for name, usual in _PRICES.items())  # noqa: E741
    v = _volumes(frame, names, (f"volume{_plain(base)}", *_VOLUMES))
    order = _order(time, (o, h, l, c, v), tidy=tidy)
    time = time[order]
    o, h, l, c, v = (values[order] for values in (o, h, l, c, v))  # noqa: E741
    found = timeframe if timeframe is not None else timeframe_text(_frequent_distance(time))
    candles = Candles(symbol, found, time, o, h, l, c, v, exchange, volume_known=volume_known)  # type: ignore[arg-type]
    _refuse_overlap(candles)
    return candles


def timeframe_text(length: int) -> str:
    """Return a number of milliseconds as a timeframe, ``"4h"``, in the largest unit that divides it.

    Raises
    ------
    InvalidCandlesError
        Unless it is a whole number of seconds.
    """
    for size, unit in _UNITS:
        if length > 0 and length % size == 0:
            return f"{length // size}{unit}"
    raise InvalidCandlesError(f"rows are {length} ms apart; candles need a distance of whole seconds")


def _order(time: NDArray[np.int64], values: Sequence[NDArray[np.float64]], *, tidy: bool) -> Any:
    """Return which rows to take in which order: as they stand, turned round, or tidied."""
    if len(time) > 1 and bool((time[1:] < time[:-1]).all()):
        return slice(None, None, -1)
    if not tidy:
        return slice(None)
    order = np.argsort(time, kind="stable")
    again = np.diff(time[order]) == 0
    for column in values:
        again &= column[order][1:] == column[order][:-1]
    return order[np.r_[True, ~again]] if len(order) else order


def _plain(name: object) -> str:
    first = name[0] if isinstance(name, tuple) and name else name
    return re.sub(r"[^a-z0-9]", "", str(first).lower())


def _names(frame: pd.DataFrame) -> dict[str, int]:
    """Return the position of each column by its plain name; the first of two equal ones wins."""
    names: dict[str, int] = {}
    for position, name in enumerate(frame.columns):
        names.setdefault(_plain(name), position)
    return names


def _find(names: dict[str, int], usual: tuple[str, ...], wanted: str) -> int:
    for name in usual:
        if name in names:
            return names[name]
    found = ", ".join(names) or "none"
    raise InvalidCandlesError(
        f"there is no column {wanted!r}; candles need a time and open, high, low, close, volume, found were: {found}"
    )


def _time_column(frame: pd.DataFrame, names: dict[str, int]) -> pd.Series:
    import pandas as pd

    if isinstance(frame.index, pd.DatetimeIndex):
        return frame.index.to_series()
    for name in _TIMES:
        if name in names:
            return frame.iloc[:, names[name]]
    numbers = pd.api.types.is_numeric_dtype(frame.index)
    if len(frame) and (float(frame.index.min()) > _YEAR_1973 if numbers else True):  # no mere row numbers
        return frame.index.to_series()
    return frame.iloc[:, _find(names, (), "time")]


def milliseconds_of(times: pd.Series) -> NDArray[np.int64]:
    """Return UTC ms of datetimes, ISO text or Unix numbers.

    Raises
    ------
    InvalidCandlesError
        For a row without a time, or with one that cannot be read.
    """
    import pandas as pd

    if times.isna().any():
        row = int(np.argmax(times.isna().to_numpy()))
        raise InvalidCandlesError(f"row {row} has no time; every candle needs one: drop that row")
    if not (pd.api.types.is_numeric_dtype(times) or pd.api.types.is_datetime64_any_dtype(times)):
        times = _parsed(times)
    if pd.api.types.is_numeric_dtype(times):
        return _from_unix(times.to_numpy())
    moments = pd.DatetimeIndex(times)
    zoned = moments.tz_localize("UTC") if moments.tz is None else moments.tz_convert("UTC")
    milli = zoned.tz_localize(None).to_numpy().astype("M8[ms]").view(np.int64)
    return np.array(milli, dtype=np.int64)


def _from_unix(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Return ms of Unix seconds, ms, us or ns: a time since 1973 in one unit is no time in another."""
    if len(numbers) == 0:
        return np.empty(0, np.int64)
    largest = float(np.max(np.abs(numbers)))
    if largest < 1e11:
        return np.round(numbers * 1000).astype(np.int64)
    divisor = 1 if largest < 1e14 else 1_000 if largest < 1e17 else 1_000_000
    return np.array(numbers // divisor, dtype=np.int64)


def _parsed(times: pd.Series) -> pd.Series:
    """Return ISO text, ``2019-10-17 09-AM`` or digits as datetimes or numbers."""
    import pandas as pd

    text = times.astype(str).str.strip()
    if text.str.fullmatch(r"\d{9,19}(\.\d+)?").all():
        return pd.to_numeric(text)
    hour_of_day = text.str.fullmatch(r"\d{4}-\d\d-\d\d \d\d-[AP]M")
    form = "%Y-%m-%d %I-%p" if bool(hour_of_day.all()) else "ISO8601"
    moments = pd.to_datetime(text, format=form, utc=True, errors="coerce")
    if moments.isna().any():
        row = int(np.argmax(moments.isna().to_numpy()))
        raise InvalidCandlesError(
            f"row {row} has the time {text.iloc[row]!r}; write 2024-01-31T12:00Z or Unix seconds or milliseconds"
        )
    return moments


def _numbers(frame: pd.DataFrame, position: int, name: str) -> NDArray[np.float64]:
    try:
        return np.array(frame.iloc[:, position].to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidCandlesError(f"column {name} holds something that is no number") from None


def _volumes(frame: pd.DataFrame, names: dict[str, int], usual: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the volumes; 0 throughout where there is no such column, or nothing in it."""
    if not any("vol" in name or name in usual for name in names):
        return np.zeros(len(frame))
    volumes = _numbers(frame, _find(names, usual, "volume"), "volume")
    return np.zeros(len(frame)) if np.isnan(volumes).all() else volumes


def _frequent_distance(time: NDArray[np.int64]) -> int:
    distances = np.abs(np.diff(time))
    distances = distances[distances > 0]
    if len(distances) == 0:
        raise InvalidSettingError(f'the timeframe cannot be seen from {len(time)} row(s): give it, such as "1h"')
    values, counts = np.unique(distances, return_counts=True)
    return int(values[np.argmax(counts)])


def _refuse_overlap(candles: Candles) -> None:
    length = milliseconds(candles.timeframe)
    close = np.diff(candles.time) < length
    if close.any():
        row = int(np.argmax(close)) + 1
        distance = int(candles.time[row] - candles.time[row - 1])
        raise InvalidCandlesError(
            f"rows {row - 1} and {row} are {distance / 1000:g} s apart, less than the timeframe {candles.timeframe}: "
            "give the timeframe of the rows"
        )
