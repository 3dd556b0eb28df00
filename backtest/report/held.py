"""Held: in which candles a position was held at some time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.report.tables import ResultTables

    Bools = NDArray[np.bool_]
    Integers = NDArray[np.int64]

__all__ = ["held_rows", "opens_of"]


def opens_of(tables: ResultTables) -> Integers:
    """Return (n,) int64, opens of the candles of all symbols together, UTC ms, ascending."""
    times = [tables.column(symbol, "time") for symbol in tables.symbols]
    if len(times) == 1:
        return np.asarray(times[0], np.int64)  # ascending already
    return np.unique(np.concatenate([*times, np.empty(0, np.int64)]).astype(np.int64))


def held_rows(tables: ResultTables, line: Integers) -> Bools:
    """Return (n,) whether a position was held at some time in each candle.

    Parameters
    ----------
    tables
        The result.
    line
        (n,) int64, opens of the candles of all symbols together, UTC ms, ascending.
    """
    first = np.searchsorted(line, tables.trades["entry_time"].to_numpy(np.int64), "right") - 1
    left = tables.trades["exit_time"].to_numpy(np.int64)
    last = np.where(left < 0, len(line) - 1, np.searchsorted(line, left, "right") - 1)
    steps = np.zeros(len(line) + 1, np.int64)
    np.add.at(steps, np.maximum(first, 0), 1)
    np.add.at(steps, np.maximum(last, 0) + 1, -1)
    held: Bools = np.cumsum(steps[:-1]) > 0
    return held
