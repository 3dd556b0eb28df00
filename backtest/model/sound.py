"""Sound: one compiled pass over candles that says whether they are valid, and what they sum up to.

numba keeps what it compiled beside this file and compiles anew once the file changes. That is enough here, since nothing of
another file is compiled into it.
"""

from __future__ import annotations

import contextlib
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    read_only = [column.view() for column in columns]
    for column in read_only:
        column.flags.writeable = False  # for others it would be compiled once more
    time, *rest = read_only
    good, total = _compiled()(time, tuple(rest), tuple(column.view(np.uint64) for column in read_only), least)
    return bool(good), int(total)


@cache
def _compiled() -> Any:
    from numba import njit

    with contextlib.suppress(RuntimeError):  # nowhere to keep it
        kept: Any = njit(cache=True, error_model="numpy")(_pass)
        return kept
    made: Any = njit(error_model="numpy")(_pass)
    return made


def _pass(
    time: NDArray[np.int64], columns: tuple[NDArray[np.float64], ...], words: tuple[NDArray[np.uint64], ...], least: int
) -> tuple[bool, np.uint64]:
    """Walk the rows once; the six sums, one a column, do not wait for each other."""
    opened, high, low, close, volume = columns
    at, first, top, bottom, last, amount = words
    a, b, c, d, e, f = _PRIME, _PRIME, _PRIME, _PRIME, _PRIME, _PRIME
    good = True
    before = time[0] - least if len(time) else 0
    for k in range(len(time)):
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
    return good, total
