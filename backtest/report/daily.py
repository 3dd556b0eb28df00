"""Daily curves: equity at the end of each UTC day, and what holding the same candles would have made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.report.tables import ResultTables

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = ["DAY", "daily_equity", "drawdowns", "hold_curve", "longest_drawdown", "simple_returns"]

DAY = 86_400_000
"""Milliseconds of a day."""


def daily_equity(time: Integers, equity: Floats) -> tuple[Integers, Floats]:
    """Return the end of each UTC day (ms) and the last equity known by then.

    An equity point at midnight closes the day before. Days without a candle carry the equity before them, so that a
    year has 365 days whatever is missing.
    """
    if len(time) == 0:
        return np.empty(0, np.int64), np.empty(0)
    number = (time - 1) // DAY
    ends: Integers = (np.arange(number[0], number[-1] + 1, dtype=np.int64) + 1) * DAY
    return ends, equity[np.searchsorted(time, ends, "right") - 1]


def hold_curve(tables: ResultTables, time: Integers) -> Floats:
    """Return what the initial balance would be worth at ``time``, bought at the first open and held.

    Equal parts over the symbols, each in cash until its own first candle; no fees, no slippage.
    """
    parts = np.zeros(len(time))
    held = [symbol for symbol in tables.symbols if len(tables.candles[symbol])]
    for symbol in held:
        close, opened = tables.column(symbol, "close"), tables.column(symbol, "open")
        known = np.searchsorted(tables.column(symbol, "time") + tables.step(symbol), time, "right") - 1
        parts += np.where(known < 0, 1.0, close[np.maximum(known, 0)] / opened[0])
    curve: Floats = tables.balance * (parts / len(held) if held else np.ones(len(time)))
    return curve


def simple_returns(initial: float, values: Floats) -> Floats:
    """Return the change of each value over the one before it, as a fraction; the first over ``initial``."""
    before = np.r_[initial, values[:-1]] if len(values) else values
    changes: Floats = values / before - 1.0
    return changes


def drawdowns(initial: float, values: Floats) -> Floats:
    """Return how far each value lies below the highest so far (``initial`` included), as a fraction of it, <= 0."""
    depths: Floats = values / np.maximum(np.maximum.accumulate(values), initial) - 1.0 if len(values) else values
    return depths


def longest_drawdown(depths: Floats) -> int:
    """Return the most values in a row that lie below an earlier high."""
    under = np.r_[False, depths < 0.0, False]
    edges = np.flatnonzero(under[1:] != under[:-1])
    return int((edges[1::2] - edges[::2]).max(initial=0))
