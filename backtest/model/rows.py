"""Rows: candles from lists of numbers, as JSON carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidCandlesError
from backtest.model.candles import Candles

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LAST_TIME", "candles_of_rows"]

LAST_TIME = 253_402_300_800_000
"""The year 10000, UTC ms; no time of this package lies at or beyond it."""


def candles_of_rows(
    symbol: str, timeframe: str, rows: Sequence[Any], name: str = "candles", *, least: int = 5
) -> Candles:
    """Return candles from rows of time (UTC ms), open, high, low, close and volume, which with ``least`` 5 may be missing.

    A volume may be missing from all rows, not from some: a candle without one would be one that does not trade (L2.6).

    Raises
    ------
    InvalidCandlesError
        For the first row that is something else, with its number, and for rows that contradict themselves.
    """
    for number, row in enumerate(rows):
        if not _is_row(row, least):
            raise InvalidCandlesError(
                f"{name} row {number} was {str(row)[:100]}; it is [time in ms, open, high, low, close, volume]"
            )
    lengths = [len(row) for row in rows]
    if len(set(lengths)) > 1:
        number = lengths.index(min(lengths))
        raise InvalidCandlesError(
            f"{name} row {number} has no volume, others have: give the volume of all rows or of none"
        )
    try:
        table = np.array([[*row[1:], 0.0][:5] for row in rows], np.float64).reshape(-1, 5)
    except OverflowError:
        raise InvalidCandlesError(f"a price of {name} is too large for a number") from None
    time = np.array([int(row[0]) for row in rows], np.int64)
    open_, high, low, close, volume = (table[:, k].copy() for k in range(5))
    return Candles(symbol, timeframe, time, open_, high, low, close, volume)


def _is_row(row: Any, least: int) -> bool:
    if not isinstance(row, list | tuple) or not least <= len(row) <= 6:
        return False
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in row):
        return False
    return bool(0 <= row[0] < LAST_TIME and row[0] == int(row[0]))
