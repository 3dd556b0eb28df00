"""Rows: candles found by time, and those that stay inside a band of prices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.memory import floats_at
from backtest.engine.records import BLOCK

if TYPE_CHECKING:
    from backtest.engine.records import Floats, Ints, Row

__all__ = ["bound_blocks", "first_at_or_after", "is_even", "quiet_until"]

NEAR = 8  # candles looked at one by one before


@rule
def is_even(time: Ints, n: int, span: int) -> bool:
    """Whether no candle is missing among the first ``n``: then an open time need not be read, far off in memory."""
    return n > 0 and time[n - 1] - time[0] == (n - 1) * span


@rule
def first_at_or_after(time: Ints, low: int, high: int, instant: int, span: int, even: bool) -> int:
    """Return the first row in ``[low, high)`` that opens at or after an instant, or ``high``.

    Without gaps the row is known; gaps can only bring it nearer.
    """
    if low >= high:
        return high
    guess = low + max(0, (instant - (time[0] + low * span if even else time[low]) + span - 1) // span)
    if even or (guess < high and (guess == low or time[guess - 1] < instant)):
        return min(guess, high)
    high = min(guess, high)
    while low < high:
        middle = (low + high) // 2
        if time[middle] < instant:
            low = middle + 1
        else:
            high = middle
    return low


@folded
def is_quiet(lows: Floats, highs: Floats, row: int, low: float, high: float) -> bool:
    """Whether a candle, or a block of them, stays strictly inside a band of prices."""
    return bool(lows[row] > low and highs[row] < high)


@rule
def quiet_until(track: Row, row: int, stop: int, low: float, high: float) -> int:
    """Return the first row, before ``stop``, of a candle that leaves a band of prices or touches its ends, or ``stop``.

    Most candles are passed by the lowest low and the highest high of their block, without a look at them.
    """
    lows, highs = floats_at(track.low, track.rows), floats_at(track.high, track.rows)
    floors, ceilings = floats_at(track.floors, track.n_blocks), floats_at(track.ceilings, track.n_blocks)
    near = min(stop, row + NEAR)  # where a stop ratchets, the next better price is often near
    border = min(stop, (near + BLOCK - 1) // BLOCK * BLOCK)
    while row < border and is_quiet(lows, highs, row, low, high):
        row += 1
    if row < border:
        return row
    block, last = row // BLOCK, min(stop // BLOCK, track.n_blocks)
    while block < last and is_quiet(floors, ceilings, block, low, high):
        block += 1
    row = max(row, block * BLOCK)
    while row < stop and is_quiet(lows, highs, row, low, high):
        row += 1
    return row


@rule
def bound_blocks(lows: Floats, highs: Floats, floors: Floats, ceilings: Floats) -> None:
    """Write the lowest low and the highest high of each whole block of candles."""
    for block in range(len(floors)):
        floor, ceiling = lows[block * BLOCK], highs[block * BLOCK]
        for row in range(block * BLOCK + 1, (block + 1) * BLOCK):
            floor = min(floor, lows[row])
            ceiling = max(ceiling, highs[row])
        floors[block], ceilings[block] = floor, ceiling
