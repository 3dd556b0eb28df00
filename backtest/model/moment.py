"""Moment: instants as people and files write them, in UTC milliseconds; what cannot be the time of a candle is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FIRST_CANDLE", "LAST_CANDLE", "unix_milliseconds", "why_no_time"]

FIRST_CANDLE = 1_230_768_000_000
"""2009-01-01: before Bitcoin there were no candles, so an earlier time is a number of another kind."""
LAST_CANDLE = 4_102_444_800_000
"""2100-01-01; times lie before it."""

_PER_MILLISECOND = (0.001, 1, 1_000, 1_000_000)
"""Unix seconds, milliseconds, microseconds, nanoseconds. Between 2009 and 2100 a number can be one of them only."""


def unix_milliseconds(numbers: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return Unix numbers as ms, and which of them are one.

    Parameters
    ----------
    numbers
        (n,) integers or floats, each in seconds, ms, us or ns; the unit of each is told by its size.

    Returns
    -------
    tuple
        (n,) int64 UTC ms, 0 where the number is no time between 2009 and 2100; (n,) bool.
    """
    found, good = np.zeros(len(numbers), np.int64), np.zeros(len(numbers), bool)
    for unit in _PER_MILLISECOND:
        with np.errstate(invalid="ignore"):
            here = (numbers >= FIRST_CANDLE * unit) & (numbers < LAST_CANDLE * unit)
        if here.any():
            some = numbers[here]
            found[here] = np.round(some * 1000).astype(np.int64) if unit < 1 else (some // int(unit)).astype(np.int64)
            good |= here
    return found, good


def why_no_time(number: float) -> str:
    """Return what a number that is no time between 2009 and 2100 looks like, as the end of a sentence."""
    if 39_814 <= number < 73_051:
        day = np.datetime64("1899-12-30") + np.timedelta64(int(number), "D")
        return f"looks like a day number of a spreadsheet ({day}): write it as a date"
    if 0 <= number < 86_400_000:
        return "is less than a day: give times with their date"
    return "is in none of seconds, ms, us or ns since 1970 a time between 2009 and 2100"
