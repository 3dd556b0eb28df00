"""Times: the open times of a table, as numbers, dates or text, as UTC milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidCandlesError
from backtest.model.moment import FIRST_CANDLE, LAST_CANDLE, unix_milliseconds, why_no_time

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["is_clock", "times_of"]

_DAY = 86_400_000
_FORMS = "write 2024-01-31T12:00Z, or Unix seconds or milliseconds"
_ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?)?( ?(Z|UTC|GMT|[+-]\d{2}:?\d{2}))?$"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?[AaPp][Mm])?"
_TEXT = re.compile(
    r"(?:[A-Z][a-z]{2,8},? )?"
    r"(?:(?P<y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})"
    r"|(?P<cy>\d{4})(?P<cm>\d{2})(?P<cd>\d{2})"
    r"|(?P<a>\d{1,2})(?P<t>[-/.])(?P<b>\d{1,2})(?P=t)(?P<ny>\d{4})"
    r"|(?P<nd>\d{1,2})[ -](?P<nm>[A-Za-z]{3,9})[ ,-]+(?P<my>\d{4})"
    r"|(?P<om>[A-Za-z]{3,9})\.? (?P<od>\d{1,2}),? (?P<oy>\d{4}))"
    r"(?:[T ,_]+(?:(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?(?: ?(?P<p>[AaPp][Mm]))?"
    r"|(?P<hh>\d{1,2})-(?P<hp>[AaPp][Mm])|(?P<CH>\d{2})(?P<CM>\d{2})(?P<CS>\d{2})?))?"
    r" ?(?:Z|UTC|GMT)?(?P<zone>[+-]\d{2}:?\d{2})?(?: ?\((?:UTC|GMT)\))?"
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_LONG_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]


def is_clock(column: pd.Series) -> bool:
    """Whether a column holds times of day alone, whose date stands elsewhere."""
    import pandas as pd

    if len(column) == 0 or pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    return bool(column.dropna().astype(str).str.strip().str.fullmatch(rf"{_CLOCK}|\d{{6}}|\d{{4}}").all())


def times_of(
    column: pd.Series,
    where: Callable[[int], str],
    *,
    clock: pd.Series | None = None,
    dates: str = "",
    midnight: int | None = None,
) -> NDArray[np.int64]:
    """Return (n,) int64 UTC ms of datetimes, text or Unix numbers, whose unit is told row by row.

    Parameters
    ----------
    column, clock
        Times, or dates and the times of day that belong to them. Without a zone they are UTC.
    where
        Names a row in a message.
    dates
        ``"dmy"`` or ``"mdy"`` for dates such as 01/02/2024; empty finds out which where a day above 12 tells.
    midnight
        Where numbers are milliseconds since this midnight, it.

    Raises
    ------
    InvalidCandlesError
        For a row without a time, or with one that cannot be read, may be two, or lies outside of 2009 to 2100.
    """
    import pandas as pd

    if column.isna().any():
        row = int(np.argmax(column.isna().to_numpy()))
        raise InvalidCandlesError(f"{where(row)} has no time; every candle needs one: drop that row")
    if pd.api.types.is_bool_dtype(column):
        raise InvalidCandlesError(f"{where(0)} has the time {column.iloc[0]}; {_FORMS}")
    if pd.api.types.is_datetime64_any_dtype(column):
        moments = pd.DatetimeIndex(column)
        zoned = moments.tz_localize("UTC") if moments.tz is None else moments.tz_convert("UTC")
        time = np.array(zoned.tz_localize(None).to_numpy().astype("M8[ms]").view(np.int64), dtype=np.int64)
        return _sensible(time, column, where)
    if pd.api.types.is_numeric_dtype(column) and clock is None:
        return _of_numbers(column.to_numpy(), column, where, midnight)
    text = column.astype(str).str.strip()
    if clock is not None:
        if clock.isna().any():
            row = int(np.argmax(clock.isna().to_numpy()))
            raise InvalidCandlesError(f"{where(row)} has no time of day; every candle needs one: drop that row")
        text = text + " " + clock.astype(str).str.strip()
    return _of_text(text, column, where, dates, midnight)


def _of_numbers(
    numbers: NDArray[Any], column: pd.Series, where: Callable[[int], str], midnight: int | None
) -> NDArray[np.int64]:
    if midnight is not None and len(numbers) and bool((numbers >= 0).all()) and bool((numbers < _DAY).all()):
        return np.asarray(midnight + numbers, np.int64)
    time, good = unix_milliseconds(numbers)
    if not good.all():
        row = int(np.argmin(good))
        if np.issubdtype(numbers.dtype, np.number) and 20_090_101 <= numbers[row] < 21_000_101:  # written as YYYYMMDD
            return _of_text(column.astype("int64").astype(str), column, where, "", None)
        raise InvalidCandlesError(
            f"{where(row)} has the time {column.iloc[row]!s}, which {why_no_time(float(numbers[row]))}; {_FORMS}"
        )
    return time


def _of_text(
    text: pd.Series, column: pd.Series, where: Callable[[int], str], dates: str, midnight: int | None
) -> NDArray[np.int64]:
    import pandas as pd

    if len(text) == 0:
        return np.empty(0, np.int64)
    digits = text.str.fullmatch(r"\d+(\.\d*)?")
    if bool(digits.all()):
        whole = text.str.replace(r"\.0*$", "", regex=True)
        lengths = set(whole.str.replace(r"\..*$", "", regex=True).str.len().unique().tolist())
        if not lengths & {8, 12, 14} or midnight is not None:
            if bool(whole.str.fullmatch(r"\d{1,19}").all()):
                return _of_numbers(whole.astype(np.uint64).to_numpy(), column, where, midnight)
            if bool(text.str.fullmatch(r"\d{1,19}(\.\d+)?").all()):
                return _of_numbers(pd.to_numeric(text).to_numpy(), column, where, midnight)
        text = whole.str.replace(r"^(\d{8})(\d{4})(\d{2})?$", r"\1 \2\3", regex=True)
    elif float(digits.mean()) > 0.5:
        raise _unread(text, int(np.argmin(digits.to_numpy())), where)
    if bool(text.str.fullmatch(_ISO).all()):
        plain = text.str.replace(r" ?(UTC|GMT)$", "", regex=True)
        moments = pd.to_datetime(plain, format="ISO8601", utc=True, errors="coerce")
        if moments.isna().any():
            raise _unread(text, int(np.argmax(moments.isna().to_numpy())), where)
        time = pd.DatetimeIndex(moments).tz_localize(None).to_numpy().astype("M8[ms]").view(np.int64)
        return _sensible(np.array(time, dtype=np.int64), text, where)
    return _sensible(_of_written(text.tolist(), text, where, dates), text, where)


def _of_written(texts: list[str], text: pd.Series, where: Callable[[int], str], dates: str) -> NDArray[np.int64]:
    found = [_TEXT.fullmatch(one) for one in texts]
    for row, match in enumerate(found):
        if match is None:
            raise _unread(text, row, where)
    matches = [match for match in found if match is not None]
    order = dates or _day_or_month_first(matches, text, where)
    time = np.empty(len(matches), np.int64)
    for row, match in enumerate(matches):
        try:
            time[row] = _milliseconds(match, order)
        except (ValueError, OverflowError):
            raise _unread(text, row, where) from None
    return time


def _day_or_month_first(matches: list[re.Match[str]], text: pd.Series, where: Callable[[int], str]) -> str:
    """Return ``"dmy"`` or ``"mdy"`` for dates such as 31/01/2024, of which one tells for all."""
    numeric = [(row, int(match["a"]), int(match["b"])) for row, match in enumerate(matches) if match["a"]]
    days = next((row for row, first, _ in numeric if first > 12), None)
    months = next((row for row, _, second in numeric if second > 12), None)
    if days is not None and months is not None:
        raise InvalidCandlesError(
            f"{where(days)} has the time {text.iloc[days]!r}, with the day first, but {where(months)} "
            f"{text.iloc[months]!r}, with the month first: write all dates in one way, best 2024-01-31"
        )
    if numeric and days is None and months is None:
        row = numeric[0][0]
        raise InvalidCandlesError(
            f"{where(row)} has the time {text.iloc[row]!r}, whose day and month may be swapped, and nothing in the file "
            "decides: say --dates dmy or --dates mdy (dates=), or write 2024-01-31"
        )
    return "mdy" if months is not None else "dmy"


def _milliseconds(match: re.Match[str], order: str) -> int:
    part = match.groupdict()
    if part["y"]:
        year, month, day = int(part["y"]), int(part["m"]), int(part["d"])
    elif part["cy"]:
        year, month, day = int(part["cy"]), int(part["cm"]), int(part["cd"])
    elif part["ny"]:
        first, second = int(part["a"]), int(part["b"])
        day, month = (first, second) if order == "dmy" else (second, first)
        year = int(part["ny"])
    elif part["my"]:
        year, month, day = int(part["my"]), _month(part["nm"]), int(part["nd"])
    else:
        year, month, day = int(part["oy"]), _month(part["om"]), int(part["od"])
    hour, minute = int(part["H"] or part["hh"] or part["CH"] or 0), int(part["M"] or part["CM"] or 0)
    half = (part["p"] or part["hp"] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            raise ValueError(hour)
        hour = hour % 12 + 12 * (half == "pm")
    moment = datetime(year, month, day, hour, minute, int(part["S"] or part["CS"] or 0), tzinfo=UTC)
    if part["zone"]:
        sign = -1 if part["zone"][0] == "-" else 1
        hours, minutes = int(part["zone"][1:3]), int(part["zone"][-2:])
        if hours > 14 or minutes > 59:
            raise ValueError(part["zone"])
        moment -= sign * timedelta(hours=hours, minutes=minutes)
    return int(moment.timestamp()) * 1000 + int((part["f"] or "").ljust(3, "0")[:3])


def _month(name: str) -> int:
    lower = name.lower()
    return (_MONTHS if lower in _MONTHS else _LONG_MONTHS).index(lower) + 1


def _sensible(time: NDArray[np.int64], column: pd.Series, where: Callable[[int], str]) -> NDArray[np.int64]:
    wrong = (time < FIRST_CANDLE) | (time >= LAST_CANDLE)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InvalidCandlesError(
            f"{where(row)} has the time {str(column.iloc[row])!r}, which is not between 2009 and 2100: no candle is from then"
        )
    return time


def _unread(text: pd.Series, row: int, where: Callable[[int], str]) -> InvalidCandlesError:
    return InvalidCandlesError(f"{where(row)} has the time {text.iloc[row]!r}; {_FORMS}")
