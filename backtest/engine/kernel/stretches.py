"""Stretches: the equity of an only market, kept as what it is made of and written when it is asked for (L14.3).

Between two fills equity follows the close: one record says so for all candles in between. A candle that was walked has a
stretch of its own, whose value is that of :func:`ledger.equity_of`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.memory import stretches_of

if TYPE_CHECKING:
    from backtest.engine.records import Floats, Row, Rows

__all__ = ["has_stretches", "note_stretch", "write_stretches"]

AT_ONCE = 4  # stretches that one turn of the walk may note


@rule
def has_stretches(world: Row) -> bool:
    """Whether there is room for those of one turn of the walk."""
    return bool(world.n_stretches + AT_ONCE <= world.stretch_room)


@rule
def note_stretch(world: Row, row: int, fixed: float, units: float) -> None:
    """Let equity be ``fixed + units * close`` from a row on."""
    stretches, n = stretches_of(world), world.n_stretches
    if n > 0 and stretches[n - 1].fixed == fixed and stretches[n - 1].units == units:
        return
    stretches[n].row, stretches[n].fixed, stretches[n].units = row, fixed, units
    world.n_stretches = n + 1


@rule
def write_stretches(stretches: Rows, close: Floats, equity: Floats, low: int) -> None:
    """Write the equity points from a row on: one for each close."""
    n, until = len(stretches), len(close)
    k = n - 1
    while k > 0 and stretches[k].row > low:
        k -= 1
    while low < until:
        high = min(until, stretches[k + 1].row) if k + 1 < n else until
        fixed, units = stretches[k].fixed, stretches[k].units
        points, prices = equity[low:high], close[low:high]
        if units == 0.0:
            points[:] = fixed
        else:
            for j in range(high - low):
                points[j] = fixed + units * prices[j]
        low = high
        k += 1
