"""Depth: the largest drawdown of an account in two compiled passes, as a sweep needs it for thousands of rows.

The figures are those of :mod:`backtest.report.equity`, to the last bit: the same sums in the same order, over the candles
in which something was held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.kernel.compiled import kept
from backtest.report.equity import held_spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from backtest.model.candles import Candles
    from backtest.report.equity import Traded

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = ["deepest"]


def deepest(balance: float, equity: Floats, parts: Sequence[tuple[Candles, Traded, Integers]]) -> float:
    """Return the largest drawdown of an account, at the lows of what it held, as a fraction from 0 down to -1.

    Parameters
    ----------
    balance
        Before the first candle.
    equity
        (n,) at the closes.
    parts
        Candles and fills of each market, and the position in ``equity`` of each candle's close; none where it is its own.
    """
    worst = np.array(equity)
    for candles, traded, place in parts:
        rows = np.maximum(candles.row_at(traded.time), 0)
        held = [_through(rows[some], traded, some, len(candles)) for some in (traded.long, ~traded.long)]
        _sink(worst, place, candles.high, candles.low, candles.close, *held[0], *held[1])
    return float(_depth(balance, np.ascontiguousarray(equity), worst))


def _through(rows: Integers, traded: Traded, some: NDArray[np.bool_], n: int) -> tuple[Integers, Floats]:
    """Return the rows at which the quantity held all through a candle changes, and the quantity from there on."""
    spans = held_spans(rows, traded.signal[some], traded.enters[some], traded.quantity[some], n)
    start, end, value = spans.row + 1, spans.until, spans.left
    real = (value > 0.0) & (end > start)
    start, end, value = start[real], end[real], value[real]
    least = np.maximum(spans.least, 0.0)
    changes = np.sort(np.concatenate([start, end, spans.row, spans.row + 1, [n]]))
    changes = changes[np.r_[True, changes[1:] != changes[:-1]]]  # np.unique takes longer than all the rest
    steps, count = np.zeros(len(changes)), np.zeros(len(changes), np.int64)
    for at, sign in ((start, 1), (end, -1)):
        place = np.searchsorted(changes, at)
        np.add.at(steps, place, sign * value)
        np.add.at(count, place, sign)
    through = np.where(np.cumsum(count) > 0, np.maximum(np.cumsum(steps), 0.0), 0.0)
    np.add.at(through, np.searchsorted(changes, spans.row), least)
    return changes, through


@kept
def _sink(worst, place, high, low, close, long_rows, longs, short_rows, shorts):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0913, PLR0917
    """Lower ``worst`` by the way from each close to the worst price, for what was held all through the candle."""
    n, p, q, row = len(close), 0, 0, 0
    while row < n:
        while p + 1 < len(long_rows) and long_rows[p + 1] <= row:
            p += 1
        while q + 1 < len(short_rows) and short_rows[q + 1] <= row:
            q += 1
        bought = longs[p] if long_rows[p] <= row else 0.0
        sold = shorts[q] if short_rows[q] <= row else 0.0
        until = n  # of what is held now
        if long_rows[p] > row:
            until = min(until, long_rows[p])
        elif p + 1 < len(long_rows):
            until = min(until, long_rows[p + 1])
        if short_rows[q] > row:
            until = min(until, short_rows[q])
        elif q + 1 < len(short_rows):
            until = min(until, short_rows[q + 1])
        if bought > 0.0 or sold > 0.0:
            for k in range(row, until):
                dip = 0.0 + bought * (close[k] - low[k])
                dip += -sold * (close[k] - high[k])
                worst[place[k] if len(place) else k] -= dip
        row = until
    return 0


@kept
def _depth(balance, equity, worst):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return the least of :func:`backtest.report.equity.drawdowns`."""
    top, least, last = balance, 0.0, balance
    for k in range(len(equity)):
        now, low = equity[k], worst[k]
        if now == last and low >= now:
            continue  # as deep as the row before
        before = top
        top = max(top, now)
        depth = min(now / top - 1.0, min(low, now) / before - 1.0)
        least = min(least, depth)
        last = now
    return max(least, -1.0)
