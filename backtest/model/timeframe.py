"""Timeframe: the length of a candle, written as exchanges write it (``1m``, ``4h``, ``1d``, ``1w``)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, overload

from backtest.errors import InvalidSettingError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TIMEFRAMES", "milliseconds", "nearest_multiple", "week_offset"]

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
TIMEFRAMES = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w")
"""The usual ones, for messages; any whole number of seconds to weeks is accepted."""


def milliseconds(timeframe: str) -> int:
    """Return the length of a timeframe in milliseconds.

    Raises
    ------
    InvalidSettingError
        Unless it is a whole number above 0 and one of ``s m h d w``. Months have no fixed length.
    """
    return _milliseconds(str(timeframe))


@lru_cache(maxsize=256)
def _milliseconds(timeframe: str) -> int:
    found = re.fullmatch(r"([1-9]\d{0,5})([smhdw])", timeframe)
    if found is None and re.fullmatch(r"\d*\s*(M|[Mm]o|MN1?|[Mm]on(th)?(s|ly)?)", timeframe):
        raise InvalidSettingError(
            f"timeframe was {timeframe!r}; months are of different lengths and not supported: take {', '.join(TIMEFRAMES)}"
        )
    if found is None:
        raise InvalidSettingError(
            f"timeframe was {timeframe!r}; write a number and one of s m h d w, such as {', '.join(TIMEFRAMES)}."
            + did_you_mean(timeframe, TIMEFRAMES)
        )
    return int(found[1]) * _UNITS[found[2]]


@overload
def nearest_multiple(time: int, unit: int) -> int: ...
@overload
def nearest_multiple(time: NDArray[np.int64], unit: int) -> NDArray[np.int64]: ...
def nearest_multiple(time: int | NDArray[np.int64], unit: int) -> int | NDArray[np.int64]:
    """Return the multiple of ``unit`` nearest to a time or duration, both in ms; half a unit rounds up (L1.2, L13.3)."""
    return (2 * time + unit) // (2 * unit) * unit


def week_offset(timeframe: str) -> int:
    """Return where candles of this timeframe start, in ms after a multiple of their length since 1970.

    Weeks start on Monday (1970-01-01 was a Thursday); everything shorter starts at the epoch.
    """
    return 4 * _UNITS["d"] if timeframe.endswith("w") else 0
