"""Depth: the largest drawdown of an account in one compiled pass, as a sweep needs it for thousands of rows.

The figures are those of :mod:`backtest.report.equity`, to the last bit: the same sums in the same order, over the candles
in which something was held. What is compiled is kept in a folder named by the content of this file, of which alone it is
made, and called without numba.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from backtest.model.machine_code import function_in, is_compiling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from backtest.engine.curve import Curve
    from backtest.model.candles import Candles
    from backtest.report.equity import Traded

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = ["deepest"]

BLOCK = 64
"""Equity points looked at together: the worst of them stay in the processor's first cache."""

_BOUNDS: WeakKeyDictionary[Candles, tuple[Floats, ...]] = WeakKeyDictionary()


def deepest(balance: float, equity: Curve, parts: Sequence[tuple[Candles, Traded, Integers]]) -> float:
    """Return the largest drawdown of an account, at the lows of what it held, as a fraction from 0 down to -1.

    Parameters
    ----------
    balance
        Before the first candle.
    equity
        At the closes.
    parts
        Candles and fills of each market, in order of time, and the position among the closes of that of each candle; none
        where it is its own.
    """
    held: list[tuple[Integers, Floats]] = []
    for candles, traded, _ in parts:
        rows = np.maximum(candles.row_at(traded.time), 0)  # a new column, as the others are: each is contiguous
        change = np.where(traded.enters, traded.quantity, -traded.quantity)
        held += [_through(rows, traded.signal, change, some, len(candles)) for some in (traded.long, ~traded.long)]
    markets = [candles for candles, _, _ in parts]
    bounds = [_bounds(candles) for candles in markets]
    fall = _called(
        "_fall",
        len(equity),
        len(markets),
        len(equity.made_of),
        np.ascontiguousarray(equity.close if equity.points is None else equity.points),
        *(np.ascontiguousarray(equity.made_of[name]) for name in ("row", "fixed", "units")),
        np.array([balance]),
        np.empty(BLOCK),
        np.empty(BLOCK),
        [candles.high for candles in markets],
        [candles.low for candles in markets],
        [candles.close for candles in markets],
        [place for _, _, place in parts],
        *(list(each) for each in zip(*bounds, strict=True)),
        np.array([len(candles) for candles in markets]),
        np.array([len(place) for _, _, place in parts]),
        [rows for rows, _ in held],
        [quantity for _, quantity in held],
        np.array([len(rows) for rows, _ in held]),
        np.zeros(3 * len(markets) + 1, np.int64),
    )
    return float(fall)


def _bounds(candles: Candles) -> tuple[Floats, ...]:
    """Return for each block of candles the longest way from a close down to the low, and up to the high, and its closes' range.

    Kept for other rows over the same candles.
    """
    found = _BOUNDS.get(candles)
    if found is None:
        starts, close = np.arange(0, len(candles), BLOCK), candles.close
        ways = (close - candles.low, candles.high - close)
        found = (
            *(np.maximum.reduceat(way, starts) if len(candles) else way for way in ways),
            np.minimum.reduceat(close, starts) if len(candles) else close,
            np.maximum.reduceat(close, starts) if len(candles) else close,
        )
        _BOUNDS[candles] = found
    return found


def _through(
    rows: Integers, signal: Integers, change: Floats, some: NDArray[np.bool_], n: int
) -> tuple[Integers, Floats]:
    """Return the rows at which the quantity held all through a candle changes, and the quantity from there on."""
    k = int(np.count_nonzero(some))
    if not k:
        return np.empty(0, np.int64), np.empty(0)
    if k < len(some):
        rows, signal, change = rows[some], signal[some], change[some]
    signal = signal - signal.min()
    numbers = int(signal.max()) + 1
    first, order = np.zeros(numbers + 1, np.int64), np.empty(k, np.int64)
    until, least, left, ended = np.empty(k, np.int64), np.empty(k), np.empty(k), np.empty(k)
    _called("_part", k, numbers, n, rows, signal, change, first, order, until, least, left, ended)
    changes, held, group, pending = np.empty(2 * k, np.int64), np.empty(2 * k), np.empty(k, np.int64), np.empty(k)
    made = int(_called("_hold", k, n, rows, signal, until, least, left, ended, group, pending, changes, held))
    return changes[:made], held[:made]


# ------------------------------------------------------------ what is compiled


def _called(name: str, *given: int | NDArray[Any] | list[NDArray[Any]]) -> Any:
    """Call what is compiled: arrays by their addresses, and lists of them by an array of addresses."""
    if not is_compiling():
        return globals()[name](*given)
    lists = {k: np.array([_address(one) for one in value]) for k, value in enumerate(given) if isinstance(value, list)}
    columns = [lists.get(k, value) for k, value in enumerate(given)]
    return _compiled(name)(*[_address(value) if isinstance(value, np.ndarray) else value for value in columns])


def _address(column: NDArray[Any]) -> int:
    address: int = column.__array_interface__["data"][0]  # .ctypes makes two objects on the way
    return address


@cache
def _compiled(name: str) -> Callable[..., Any]:
    ints, floats = "CPointer(int64)", "CPointer(float64)"
    columns, places = f"CPointer({floats})", f"CPointer({ints})"
    curve = ["int64", "int64", "int64", floats, ints, floats, floats]
    takes = {
        "_part": [*["int64"] * 3, ints, ints, floats, *[ints] * 3, *[floats] * 3],
        "_hold": [*["int64"] * 2, *[ints] * 3, *[floats] * 3, ints, floats, ints, floats],
        "_fall": [
            *curve,
            *[floats] * 3,
            *[columns] * 3,
            places,
            *[columns] * 4,
            ints,
            ints,
            places,
            columns,
            ints,
            ints,
        ],
    }
    return function_in(Path(__file__), globals()[name], takes[name])


def _part(  # noqa: PLR0913, PLR0917 - one pass over arrays, or where they lie
    k: int,
    numbers: int,
    n: int,
    rows: Integers,
    signal: Integers,
    change: Floats,
    first: Integers,
    order: Integers,
    until: Integers,
    least: Floats,
    left: Floats,
    ended: Floats,
) -> None:
    """Write, for the last fill of each signal in a candle, what :func:`backtest.report.equity.held_spans` says of it.

    ``until`` is -1 for the other fills, ``left`` 0 where nothing is held to the close of a whole candle, ``ended`` what
    was held to here.
    """
    for j in range(k):
        first[signal[j] + 1] += 1
    for s in range(numbers):
        first[s + 1] += first[s]
    for j in range(k):
        order[first[signal[j]]] = j
        first[signal[j]] += 1
    total, before_all, value, lowest, before, start = 0.0, 0.0, 0.0, 0.0, 0.0, 0
    for i in range(k):
        j = order[i]
        last = order[i - 1] if i else -1
        follows = i > 0 and signal[last] == signal[j]
        if not follows:
            before_all, value, before, start = total, 0.0, 0.0, 0
        if not (follows and rows[last] == rows[j]):
            lowest = value
        total += change[j]
        value = total - before_all
        if abs(value) < 1e-9 * abs(change[j]):
            value = 0.0
        lowest = min(lowest, value)
        after = order[i + 1] if i + 1 < k else -1
        goes_on = after >= 0 and signal[after] == signal[j]
        until[j] = -1
        if goes_on and rows[after] == rows[j]:
            continue
        until[j] = rows[after] if goes_on else n
        least[j] = max(lowest, 0.0)
        ended[j] = before if rows[j] > start else 0.0
        before, start = max(value, 0.0), rows[j] + 1
        left[j] = before if until[j] > start else 0.0


def _hold(  # noqa: C901, PLR0913, PLR0917 - one pass over arrays, or where they lie
    k: int,
    n: int,
    rows: Integers,
    signal: Integers,
    until: Integers,
    least: Floats,
    left: Floats,
    ended: Floats,
    group: Integers,
    pending: Floats,
    changes: Integers,
    held: Floats,
) -> int:
    """Write the rows at which what is held all through a candle changes, and how much it is; return how many.

    As :func:`backtest.report.equity.quantities_held` sums it, at each row signal by signal.
    """
    made, living, waiting, total, j = 0, 0, 0, 0.0, 0
    while j < k:
        row, size = rows[j], 0
        while j < k and rows[j] == row:
            if until[j] >= 0:
                place = size
                while place and signal[group[place - 1]] > signal[j]:
                    group[place] = group[place - 1]
                    place -= 1
                group[place] = j
                size += 1
            j += 1
        step = 0.0
        for i in range(waiting):  # held from this row on
            step += pending[i]
        living += waiting
        waiting = 0
        for i in range(size):
            if ended[group[i]] > 0.0:
                step -= ended[group[i]]
                living -= 1
        total += step
        value = max(total, 0.0) if living > 0 else 0.0
        for i in range(size):
            value += least[group[i]]
            if left[group[i]] > 0.0:
                pending[waiting] = left[group[i]]
                waiting += 1
        changes[made], held[made] = row, value
        made += 1
        if row + 1 < (rows[j] if j < k else n):
            step = 0.0
            for i in range(waiting):
                step += pending[i]
            living += waiting
            waiting = 0
            total += step
            changes[made], held[made] = row + 1, max(total, 0.0) if living > 0 else 0.0
            made += 1
    return made


def _fall(  # noqa: C901, PLR0912, PLR0913, PLR0915, PLR0917 - one pass over arrays, or where they lie
    n: int,
    markets: int,
    made_of: int,
    points: Floats,
    rows: Integers,
    fixed: Floats,
    units: Floats,
    balance: Floats,
    equity: Floats,
    worst: Floats,
    high: Sequence[Floats],
    low: Sequence[Floats],
    close: Sequence[Floats],
    place: Sequence[Integers],
    down: Sequence[Floats],
    up: Sequence[Floats],
    lowest: Sequence[Floats],
    highest: Sequence[Floats],
    candles: Integers,
    places: Integers,
    changes: Sequence[Integers],
    held: Sequence[Floats],
    counts: Integers,
    reached: Integers,
) -> float:
    """Return the least of :func:`backtest.report.equity.drawdowns`.

    Equity is lowered, block by block, by the way from each close to the worst price, for what was held all through the
    candle. Below one and the same highest close the lowest point is the deepest, so that one division does for all. Of an
    only market the candles of a block are not read where no close in it is high enough for a new highest one, and no way
    long enough for a new lowest point: products, sums and differences are rounded, yet never past each other.
    """
    top, bottom, least = balance[0], balance[0], 0.0
    for first in range(0, n, BLOCK):
        stop = min(first + BLOCK, n)
        only = markets == 1 and places[0] == 0 and stop <= candles[0]
        most = 0.0  # how far equity can fall inside a candle of the block
        if only:
            for side in range(2):
                passed = reached[1 + side]
                while passed < counts[side] and changes[side][passed] <= first:
                    passed += 1
                reached[1 + side] = passed
                quantity = held[side][passed - 1] if passed else 0.0
                while passed < counts[side] and changes[side][passed] < stop:
                    quantity = max(quantity, held[side][passed])
                    passed += 1
                most += quantity * (up[0][first // BLOCK] if side else down[0][first // BLOCK])
        start = reached[3 * markets]
        if made_of:
            while start + 1 < made_of and rows[start + 1] <= first:
                start += 1
            reached[3 * markets] = start
        moves = 1
        if made_of and only:
            moves, k = 0, start
            while k < made_of and (k == start or rows[k] < stop):
                one = fixed[k] + units[k] * lowest[0][first // BLOCK]
                other = fixed[k] + units[k] * highest[0][first // BLOCK]
                if max(one, other) > top or min(one, other) - most < bottom:
                    moves = 1
                k += 1
        if moves:
            if made_of:
                k, row = start, first
                while row < stop:
                    until = min(rows[k + 1], stop) if k + 1 < made_of else stop
                    for j in range(row, until):
                        equity[j - first] = fixed[k] + units[k] * close[0][j]
                    row = until
                    k += 1
            else:
                for k in range(first, stop):
                    equity[k - first] = points[k]
            if only:
                moves = 0
                for k in range(stop - first):  # counting, without a way out in between, becomes vector instructions
                    moves += (equity[k] > top) | (equity[k] - most < bottom)
        if moves == 0:
            reached[0] = stop
            continue
        for k in range(stop - first):
            worst[k] = equity[k]
        for q in range(markets):
            highs, lows, closes, at = high[q], low[q], close[q], place[q]
            long_rows, longs, short_rows, shorts = changes[2 * q], held[2 * q], changes[2 * q + 1], held[2 * q + 1]
            n_long, n_short = counts[2 * q], counts[2 * q + 1]
            row, a, b, end = reached[3 * q], reached[3 * q + 1], reached[3 * q + 2], candles[q]
            if places[q]:
                end = row
                while end < candles[q] and at[end] < stop:
                    end += 1
            else:
                end = min(stop, candles[q])
            while row < end:
                while a < n_long and long_rows[a] <= row:
                    a += 1
                while b < n_short and short_rows[b] <= row:
                    b += 1
                bought = longs[a - 1] if a else 0.0
                sold = shorts[b - 1] if b else 0.0
                until = end  # of what is held now
                if a < n_long:
                    until = min(until, long_rows[a])
                if b < n_short:
                    until = min(until, short_rows[b])
                if places[q]:
                    for k in range(row, until):
                        worst[at[k] - first] -= bought * (closes[k] - lows[k]) - sold * (closes[k] - highs[k])
                elif sold == 0.0 and bought > 0.0:
                    for k in range(row, until):
                        worst[k - first] -= bought * (closes[k] - lows[k])
                elif sold > 0.0:
                    for k in range(row, until):
                        worst[k - first] -= bought * (closes[k] - lows[k]) - sold * (closes[k] - highs[k])
                row = until
            reached[3 * q], reached[3 * q + 1], reached[3 * q + 2] = row, a, b
        tops = bottoms = 0
        for k in range(stop - first):
            tops += equity[k] > top
            bottoms += worst[k] < bottom
        if tops:
            for k in range(stop - first):
                bottom = min(bottom, worst[k])
                if equity[k] > top:
                    least = min(least, bottom / top - 1.0)
                    top = bottom = equity[k]
        elif bottoms:
            for k in range(stop - first):
                bottom = min(bottom, worst[k])
    return float(max(min(least, bottom / top - 1.0), -1.0))
