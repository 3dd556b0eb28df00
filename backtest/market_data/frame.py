"""Frame: a pandas table with its usual column names, read as Candles."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidCandlesError, InvalidSettingError, did_you_mean
from backtest.market_data.decimals import numbers_of
from backtest.market_data.symbol import given_symbol
from backtest.market_data.times import is_clock, times_of
from backtest.model.candles import Candles
from backtest.model.timeframe import milliseconds, week_offset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Reading", "from_pandas", "plain_name", "timeframe_text"]

_TIMES = (
    "timeperiodstart", "opentime", "timeopen", "opentimestamp", "timestampopen", "starttime", "periodstart", "timestamp",
    "unix", "unixtimestamp", "unixtime", "epoch", "time", "datetime", "datetimeutc", "date", "dateutc", "timeutc", "ts",
    "gmttime", "utctime", "utc", "start", "begin", "t", "index",
)  # fmt: skip
_CLOSINGS = (
    "closetime", "timeclose", "closetimestamp", "timestampclose", "timeperiodend", "endtime", "periodend", "end",
)  # fmt: skip
_DATES = ("date", "day", "dateutc", "gmtdate", "tradedate", "yyyymmdd")
_PRICES = {
    "open": ("open", "openprice", "priceopen", "o"),
    "high": ("high", "highprice", "pricehigh", "max", "h"),
    "low": ("low", "lowprice", "pricelow", "min", "l"),
    "close": ("close", "closeprice", "priceclose", "c", "last", "price"),
}
_VOLUMES = ("basevolume", "volumebase", "volumefrom", "volume", "vol", "volumetraded", "v")
_UNFINISHED = ("confirm", "isfinal", "closed", "isclosed", "x")
_NAMES = ("time", "close_time", "open", "high", "low", "close", "volume")
_UNITS = ((604_800_000, "w"), (86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"))
_MONTH = (28 * 86_400_000, 31 * 86_400_000)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a table is to be read where it does not say so itself.

    Attributes
    ----------
    columns
        Our name (``time, open, high, low, close, volume``) to the table's; ``close_time`` in place of ``time`` for times
        at which candles end; ``Date+Time`` for two columns.
    decimal
        ``"."`` or ``","``.
    dates
        ``"dmy"`` or ``"mdy"`` for 01/02/2024.
    tidy
        Sort shuffled rows and drop those that repeat another one in every value.
    snap
        Move times that are off the grid of the timeframe to the nearest one on it.

    Raises
    ------
    InvalidSettingError
        For a name or choice that there is not.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    decimal: str = ""
    dates: str = ""
    tidy: bool = False
    snap: bool = False

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in _NAMES:
                raise InvalidSettingError(
                    f"columns names {', '.join(_NAMES)}, was {name!r}: write time=Date,open=First{did_you_mean(name, _NAMES)}"
                )
        if self.decimal not in {"", ".", ","}:
            raise InvalidSettingError(f'decimal is "." or ",", was {self.decimal!r}')
        if self.dates not in {"", "dmy", "mdy"}:
            raise InvalidSettingError(f'dates is "dmy" or "mdy", was {self.dates!r}')


def _row(row: int) -> str:
    return f"row {row}"


def from_pandas(  # noqa: PLR0913  options, all by name
    frame: pd.DataFrame,
    *,
    symbol: str,
    timeframe: str | None = None,
    exchange: str = "",
    volume_known: bool | None = None,
    reading: Reading | None = None,
    where: Callable[[int], str] = _row,
    named_timeframe: str | None = None,
    midnight: int | None = None,
) -> Candles:
    """Build candles from a table whose columns have their usual names.

    Times stand in the index or in a column (``time``, ``date``, ``timestamp``, ``open_time``, ``unix`` ...), or date and
    time in one each; as datetimes (without a zone: UTC), text, or Unix seconds, ms, us or ns, told apart row by row by
    their size. A closing time is not taken for an opening one. Volume is in base currency: ``Volume BTC`` goes before
    ``volume``, and of a contract ``vol_ccy`` before ``vol``. Capitals, blanks and underscores do not matter.

    Parameters
    ----------
    timeframe
        None takes that of the file's name, or else the most frequent distance between two rows.
    volume_known
        Whether the volumes are known (L2.6); None decides it from them, and without such a column they are not.
    where
        Names a row in a message: ``"x.csv line 7"``.
    named_timeframe
        What the name of the file says; refused where the rows contradict it.
    midnight
        The day of rows whose time is in milliseconds since midnight.

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
        Where symbol or timeframe cannot be one, or are neither given nor to be seen.
    """
    how = reading or Reading()
    symbol = given_symbol(symbol)
    names = _names(frame)
    time, closing = _open_times(frame, names, where, how, midnight)
    chosen = {name: frame.iloc[:, _find(frame, names, usual, name, how)] for name, usual in _PRICES.items()}
    volume = _volume_column(frame, names, symbol, how)
    numbers = numbers_of(chosen if volume is None else {**chosen, "volume": volume}, where, how.decimal)
    if volume is None or np.isnan(numbers["volume"]).all():
        numbers["volume"] = np.zeros(len(frame))
    _refuse_empty(time, numbers, where)
    _refuse_unfinished(frame, names, where)
    order = _order(time, list(numbers.values()), tidy=how.tidy)
    rows = np.arange(len(time))[order]
    time = time[rows]
    found = _timeframe(time, timeframe, named_timeframe, snap=how.snap)
    length = milliseconds(found)
    if closing:
        time = _snapped(time, length, found, upwards=True) - length
    else:
        _refuse_closings(time, length, found)
        time = _snapped(time, length, found) if how.snap else time
    o, h, l, c, v = (numbers[name][rows] for name in (*_PRICES, "volume"))  # noqa: E741
    try:
        return Candles(symbol, found, time, o, h, l, c, v, exchange, volume_known=volume_known)  # type: ignore[arg-type]
    except InvalidCandlesError as error:
        if error.row is None:
            raise
        raise InvalidCandlesError(_told(error, where(int(rows[error.row])), time, found), error.row) from None


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


def plain_name(name: object) -> str:
    """Return a column's name in small letters and digits alone; of several levels the first."""
    first = name[0] if isinstance(name, tuple) and name else name
    return re.sub(r"[^a-z0-9]", "", str(first).lower())


def _names(frame: pd.DataFrame) -> dict[str, list[int]]:
    """Return the positions of each column by its plain name."""
    names: dict[str, list[int]] = {}
    for position, name in enumerate(frame.columns):
        names.setdefault(plain_name(name), []).append(position)
    return names


def _find(frame: pd.DataFrame, names: Mapping[str, list[int]], usual: Sequence[str], wanted: str, how: Reading) -> int:
    """Return the position of a column: the one that was named, or the first of the usual names."""
    if wanted in how.columns:
        return _named(frame, names, how.columns[wanted], wanted)
    for name in usual:
        if name in names:
            return _only(frame, names[name], wanted)
    found = ", ".join(str(name) for name in frame.columns) or "none"
    raise InvalidCandlesError(
        f"there is no column {wanted!r}; candles need a time and open, high, low, close, volume, found were: {found}; say "
        f"which it is with --columns {wanted}=NAME (columns=)"
    )


def _named(frame: pd.DataFrame, names: Mapping[str, list[int]], told: str, wanted: str) -> int:
    exact = [position for position, name in enumerate(frame.columns) if str(name).strip() == told.strip()]
    found = exact or names.get(plain_name(told), [])
    if not found:
        known = [str(name) for name in frame.columns]
        raise InvalidCandlesError(
            f"columns says {wanted}={told}, but there is no column {told!r}, found were: {', '.join(known)}."
            + did_you_mean(told, known)
        )
    return _only(frame, found, wanted)


def _only(frame: pd.DataFrame, positions: Sequence[int], wanted: str) -> int:
    first = frame.iloc[:, positions[0]]
    if any(not first.equals(frame.iloc[:, other]) for other in positions[1:]):
        told = ", ".join(repr(frame.columns[position]) for position in positions)
        raise InvalidCandlesError(
            f"{len(positions)} columns may be {wanted!r}: {told}; give one table for each symbol, or say which it is with "
            f"--columns {wanted}=NAME (columns=)"
        )
    return positions[0]


def _volume_column(frame: pd.DataFrame, names: Mapping[str, list[int]], symbol: str, how: Reading) -> pd.Series | None:
    """Return the column of volumes in base currency; None where there is none."""
    base = plain_name(symbol.partition("/")[0])
    contract = ("volccy", "volumeccy") if ":" in symbol else ()  # OKX counts contracts, not coins, as vol
    usual = (f"volume{base}", f"{base}volume", f"vol{base}", *contract, *_VOLUMES)
    if "volume" not in how.columns and not any("vol" in name or name in usual for name in names):
        return None
    return frame.iloc[:, _find(frame, names, usual, "volume", how)]


def _open_times(
    frame: pd.DataFrame,
    names: Mapping[str, list[int]],
    where: Callable[[int], str],
    how: Reading,
    midnight: int | None,
) -> tuple[NDArray[np.int64], bool]:
    """Return the times of the rows, and whether they are those at which candles end."""
    closing = "close_time" in how.columns
    told = how.columns.get("close_time") or how.columns.get("time")
    if told is not None:
        exact = any(str(name).strip() == told.strip() for name in frame.columns)
        parts = [told] if exact or "+" not in told else told.split("+", 1)
        columns = [frame.iloc[:, _named(frame, names, part, "time")] for part in parts]
        clock = columns[1] if len(columns) > 1 else None
        return times_of(columns[0], where, clock=clock, dates=how.dates, midnight=midnight), closing
    column, clock = _usual_times(frame, names, how)
    return times_of(column, where, clock=clock, dates=how.dates, midnight=midnight), False


def _usual_times(
    frame: pd.DataFrame, names: Mapping[str, list[int]], how: Reading
) -> tuple[pd.Series, pd.Series | None]:
    import pandas as pd

    named_index = plain_name("" if frame.index.name is None else frame.index.name)
    if isinstance(frame.index, pd.DatetimeIndex) and named_index not in _CLOSINGS:
        return frame.index.to_series(), None
    for name in _TIMES:
        if name not in names:
            continue
        column = frame.iloc[:, _only(frame, names[name], "time")]
        if not is_clock(column):
            return column, None
        dated = next((other for other in _DATES if other in names and other != name), None)
        if dated is not None:
            return frame.iloc[:, _only(frame, names[dated], "time")], column
    closings = [name for name in _CLOSINGS if name in names]
    if closings or named_index in _CLOSINGS:
        shown = str(frame.columns[names[closings[0]][0]]) if closings else str(frame.index.name)
        raise InvalidCandlesError(
            f"there is no opening time, only {shown!r}, at which candles end: say --columns close_time={shown} (columns=)"
        )
    numbers = pd.api.types.is_numeric_dtype(frame.index)
    if len(frame) and (float(frame.index.min()) > 1e8 if numbers else True):  # no mere row numbers
        return frame.index.to_series(), None
    if "" in names:  # what pandas writes above an index without a name
        return frame.iloc[:, names[""][0]], None
    return frame.iloc[:, _find(frame, names, (), "time", how)], None


def _refuse_empty(
    time: NDArray[np.int64], numbers: Mapping[str, NDArray[np.float64]], where: Callable[[int], str]
) -> None:
    for name, values in numbers.items():
        empty = np.isnan(values)
        if empty.any():
            row, more = int(np.argmax(empty)), int(empty.sum()) - 1
            raise InvalidCandlesError(
                f"{where(row)} ({np.datetime64(int(time[row]), 'ms')}Z) has {name} nan, no number"
                + (f", and {more:,} more" if more else "")
                + ": repair or drop that row"
            )


def _refuse_unfinished(frame: pd.DataFrame, names: Mapping[str, list[int]], where: Callable[[int], str]) -> None:
    """Refuse a candle that its exchange marked as not closed yet."""
    name = next((one for one in _UNFINISHED if one in names), None)
    if name is None:
        return
    open_ = frame.iloc[:, names[name][0]].astype(str).str.strip().str.lower().isin(["0", "false"]).to_numpy()
    if open_.any() and not open_.all():
        raise InvalidCandlesError(
            f"{where(int(np.argmax(open_)))} is a candle that had not closed ({name} was "
            f"{frame.iloc[int(np.argmax(open_)), names[name][0]]!s}): drop that row"
        )


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


def _timeframe(time: NDArray[np.int64], given: str | None, named: str | None, *, snap: bool) -> str:
    """Return the timeframe: as given, as named where the rows allow it, or the most frequent distance."""
    if given is not None:
        milliseconds(given)
        return given
    if named is not None and len(time):
        length = milliseconds(named)
        distance = float(np.median(np.abs(np.diff(time)))) if len(time) > 1 else length
        if not snap and 0 < distance < length - length // 60:
            raise InvalidCandlesError(
                f"the file name says {named}, but its rows are {distance / 1000:g} s apart: give the timeframe of the rows "
                "with --timeframe (timeframe=)"
            )
        return named
    distance = _frequent_distance(time)
    if _MONTH[0] <= distance <= _MONTH[1] and len(set(np.diff(time).tolist())) > 1:
        raise InvalidCandlesError("rows are a month apart; months are of different lengths and not supported")
    return timeframe_text(distance)


def _frequent_distance(time: NDArray[np.int64]) -> int:
    distances = np.abs(np.diff(time))
    distances = distances[distances > 0]
    if len(distances) == 0:
        raise InvalidSettingError(
            f'the timeframe cannot be seen from {len(time)} row(s): give it, such as "1h", with --timeframe (timeframe=)'
        )
    values, counts = np.unique(distances, return_counts=True)
    return int(values[np.argmax(counts)])


def _refuse_closings(time: NDArray[np.int64], length: int, timeframe: str) -> None:
    """Refuse times such as 23:59:59.999, at which candles end: read as openings they would be a whole candle late."""
    if len(time) == 0 or length < 60_000:
        return
    into = (time - week_offset(timeframe)) % length
    if float(np.mean((into == length - 1) | (into == length - 1000))) > 0.5:
        raise InvalidCandlesError(
            f"the times are those at which {timeframe} candles end ({np.datetime64(int(time[0]), 'ms')}): name the column of "
            "opening times with --columns time=NAME, or say --columns close_time=NAME (columns=)"
        )


def _snapped(time: NDArray[np.int64], length: int, timeframe: str, *, upwards: bool = False) -> NDArray[np.int64]:
    """Return times on the grid of a timeframe: the nearest, or the next one."""
    offset = week_offset(timeframe)
    late = length - 1 if upwards else length // 2
    snapped = (time - offset + late) // length * length + offset
    again = np.flatnonzero(np.diff(snapped) == 0)
    if len(again) and not (np.diff(time) == 0).any():
        row = int(again[0])
        raise InvalidCandlesError(
            f"two candles would be moved to {np.datetime64(int(snapped[row]), 'ms')}Z, those of "
            f"{np.datetime64(int(time[row]), 'ms')}Z and {np.datetime64(int(time[row + 1]), 'ms')}Z: drop one, or give their timeframe"
        )
    return snapped


def _told(error: InvalidCandlesError, place: str, time: NDArray[np.int64], timeframe: str) -> str:
    """Return what is wrong with a row by the name of its place, and the way out for rows off the grid."""
    text = str(error).replace(f"row {error.row} ", f"{place} ", 1).replace(", and times in milliseconds", "")
    off = (time - week_offset(timeframe)) % milliseconds(timeframe)
    off = np.minimum(off, milliseconds(timeframe) - off)
    if "opens" in text and off.any():
        return (
            f"{text}; {int((off > 0).sum()):,} of {len(time):,} rows are off the grid of {timeframe}, by up to "
            f"{off.max() / 1000:g} s: --snap (snap=True) moves each to the nearest time on it"
        )
    return text
