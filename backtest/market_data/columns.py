"""Columns: rows of the store as plain arrays by name, oldest first, and how two sets of them become one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backtest.model.candles import Candles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from backtest.market_data.series import Series

__all__ = [
    "CANDLE_NAMES",
    "RATE_NAMES",
    "Columns",
    "Merged",
    "as_candles",
    "columns_of",
    "empty",
    "merged",
    "taken",
    "unseen",
]

Columns = dict[str, "NDArray[Any]"]
"""``time`` (int64, UTC ms, strictly ascending) and float64 columns of the same length."""

CANDLE_NAMES = ("time", "open", "high", "low", "close", "volume")
RATE_NAMES = ("time", "rate")


class Merged(NamedTuple):
    """Old rows with the new ones among them, how many were new, and the new rows that contradict old ones."""

    columns: Columns
    added: int
    revised: Columns


def empty(names: Sequence[str]) -> Columns:
    """Return no rows."""
    return {name: np.empty(0, np.int64 if name == "time" else np.float64) for name in names}


def columns_of(candles: Candles) -> Columns:
    """Return the columns of candles, a volume of -0.0 as 0.0, so that equal candles are equal bytes."""
    columns: Columns = {name: getattr(candles, name) for name in CANDLE_NAMES}
    return {**columns, "volume": columns["volume"] + 0.0}


def as_candles(columns: Columns, series: Series, *, volume_known: bool | None = None, sound: bool = False) -> Candles:
    """Return validated candles of columns that were read.

    Parameters
    ----------
    columns, series
        The rows, and whose they are.
    volume_known
        None decides from their volumes.
    sound
        Whether they were validated before.
    """
    told: dict[str, Any] = {**columns, "exchange": series.exchange, "volume_known": volume_known}
    return Candles(series.symbol, series.timeframe, **told, _validated=sound)


def taken(columns: Columns, rows: Any) -> Columns:
    """Return the rows of a mask, slice or index."""
    return {name: values[rows] for name, values in columns.items()}


def merged(old: Columns, new: Columns) -> Merged:
    """Return both sets of rows as one; where both have a time, the old row stays.

    The result depends on the rows alone, never on their order of arrival.
    """
    known, same = _compared(new, old)
    fresh = taken(new, ~known)
    revised = taken(new, known & ~same)
    if len(fresh["time"]) == 0:
        return Merged(old, 0, revised)
    both = {name: np.concatenate([old[name], fresh[name]]) for name in old}
    return Merged(taken(both, np.argsort(both["time"], kind="stable")), len(fresh["time"]), revised)


def unseen(new: Columns, old: Columns) -> Columns:
    """Return the new rows that are not, with exactly these values, among the old ones."""
    return taken(new, ~_compared(new, old)[1])


def _compared(new: Columns, old: Columns) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which new times are among the old ones, and which of these rows are equal too."""
    place = np.searchsorted(old["time"], new["time"])
    known = np.zeros(len(new["time"]), bool)
    inside = place < len(old["time"])
    known[inside] = old["time"][place[inside]] == new["time"][inside]
    same = known.copy()
    for name in new:
        same[known] &= old[name][place[known]] == new[name][known]
    return known, same
