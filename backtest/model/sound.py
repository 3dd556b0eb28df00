"""Sound: one compiled pass over candles that says whether they are valid, and what they sum up to.

It is kept in a folder named by the content of this file, of which alone it is made.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.model.machine_code import function_in, is_compiling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["passed"]

_PRIME = np.uint64(0x9E3779B97F4A7C15)
"""Odd: a multiplication by it loses no bit, so that a change of any single value changes the sum."""


def passed(columns: Sequence[NDArray[Any]], least: int) -> tuple[bool, int]:
    """Return whether every row keeps the rules of :class:`backtest.model.candles.Candles`, and a checksum.

    Parameters
    ----------
    columns
        Open time (int64, UTC ms), open, high, low, close and volume (float64), each (n,) and contiguous.
    least
        Shortest distance of two rows, ms.
    """
    checksum = np.zeros(1, np.uint64)
    arrays = [*columns, *(column.view(np.uint64) for column in columns), checksum]
    walk, given = _compiled(), [array.ctypes.data for array in arrays] if is_compiling() else arrays
    good = walk(*given, len(columns[0]), least)
    return bool(good), int(checksum[0])


@cache
def _compiled() -> Callable[..., int]:
    """Return the pass over columns by their addresses."""
    if not is_compiling():
        return _pass
    columns = ["CPointer(int64)", *["CPointer(float64)"] * 5]
    return function_in(Path(__file__), _pass, [*columns, *["CPointer(uint64)"] * 7, "int64", "int64"])


def _pass(  # noqa: PLR0913, PLR0917 - arrays, or where they lie
    time: NDArray[np.int64],
    opened: NDArray[np.float64],
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    close: NDArray[np.float64],
    volume: NDArray[np.float64],
    at: NDArray[np.uint64],
    first: NDArray[np.uint64],
    top: NDArray[np.uint64],
    bottom: NDArray[np.uint64],
    last: NDArray[np.uint64],
    amount: NDArray[np.uint64],
    checksum: NDArray[np.uint64],
    n: int,
    least: int,
) -> int:
    """Walk the rows once; the six sums, one a column, do not wait for each other."""
    a, b, c, d, e, f = _PRIME, _PRIME, _PRIME, _PRIME, _PRIME, _PRIME
    good = True
    before = time[0] - least if n else 0
    for k in range(n):
        good &= (
            (low[k] > 0.0)
            & (low[k] <= opened[k])
            & (low[k] <= close[k])
            & (opened[k] <= high[k])
            & (close[k] <= high[k])
            & (high[k] < np.inf)
            & (volume[k] >= 0.0)
            & (volume[k] < np.inf)
            & (time[k] - before >= least)
        )
        before = time[k]
        a = (a ^ at[k]) * _PRIME
        b = (b ^ first[k]) * _PRIME
        c = (c ^ top[k]) * _PRIME
        d = (d ^ bottom[k]) * _PRIME
        e = (e ^ last[k]) * _PRIME
        f = (f ^ amount[k]) * _PRIME
    total = a
    for part in (b, c, d, e, f):
        total = (total ^ part) * _PRIME
    checksum[0] = total
    return 1 if good else 0
