"""Daily curves: equity at the end of each UTC day, and its returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = ["DAY", "daily_equity", "daily_returns", "returns_of_days", "simple_returns"]

DAY = 86_400_000
"""Milliseconds of a day."""


def daily_equity(time: Integers, equity: Floats) -> tuple[Integers, Floats]:
    """Return the end of each UTC day (ms) and the last equity known by then.

    An equity point at midnight closes the day before. Days without a candle carry the equity before them, so that a
    year has 365 days whatever is missing.

    Parameters
    ----------
    time
        (n,) int64, closes in ascending order, UTC ms.
    equity
        (n,) float64, at each close, quote currency.
    """
    if len(time) == 0:
        return np.empty(0, np.int64), np.empty(0)
    number = (time - 1) // DAY
    ends: Integers = (np.arange(number[0], number[-1] + 1, dtype=np.int64) + 1) * DAY
    return ends, equity[np.searchsorted(time, ends, "right") - 1]


def simple_returns(initial: float, values: Floats) -> Floats:
    """Return the change of each value over the one before it, as a fraction; the first over ``initial``.

    Parameters
    ----------
    initial
        What came before the first value.
    values
        (n,) float64.
    """
    before = np.r_[initial, values[:-1]] if len(values) else values
    changes: Floats = values / before - 1.0
    return changes


def daily_returns(balance: float, time: Integers, equity: Floats) -> Floats:
    """Return the returns of UTC days.

    Parameters
    ----------
    balance
        Before the first candle.
    time, equity
        (n,) close times in UTC ms, and equity at them.
    """
    return returns_of_days(balance, daily_equity(time, equity)[1])


def returns_of_days(balance: float, values: Floats) -> Floats:
    """Return the returns of days from the equity at their ends; zeros where equity was ever gone.

    Parameters
    ----------
    balance
        Before the first day.
    values
        (days,) float64, equity at the end of each.
    """
    return simple_returns(balance, values) if (values > 0.0).all() else np.zeros(len(values))
