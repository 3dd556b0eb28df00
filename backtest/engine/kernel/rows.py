"""Rows: candles found by time, and those that stay inside a band of prices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.engine.kernel.compiled import rule

if TYPE_CHECKING:
    from backtest.engine.records import Floats, Ints

__all__ = ["first_at_or_after", "is_even", "quiet_rows"]

BLOCK = 64  # candles looked at together
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


@rule
def quiet_rows(lows: Floats, highs: Floats, low: float, high: float) -> int:
    """Return how many candles, from the first, stay strictly inside a band of prices."""
    n, k = len(lows), 0
    while k < NEAR and k < n:  # where a stop ratchets, the next better price is often near
        if not (lows[k] > low and highs[k] < high):
            return k
        k += 1
    while k + BLOCK <= n:  # counting, without a way out in between, is compiled to vector instructions
        some_lows, some_highs, inside = lows[k : k + BLOCK], highs[k : k + BLOCK], 0
        for j in range(BLOCK):
            inside += (some_lows[j] > low) & (some_highs[j] < high)
        if inside < BLOCK:
            break
        k += BLOCK
    while k < n and lows[k] > low and highs[k] < high:
        k += 1
    return k
