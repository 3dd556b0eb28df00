"""Equity: at every close, and at the worst price of every candle for what was held all through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backtest.model.events import EventKind, Trade

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.report.tables import ResultTables

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = [
    "EquityPath",
    "Held",
    "Spans",
    "Traded",
    "dips",
    "drawdowns",
    "equity_path",
    "held_spans",
    "hold_path",
    "longest_drawdown",
    "quantities_held",
]

_ENTERS = [kind.value for kind in EventKind if kind.trade is Trade.ENTERS]


@dataclass(frozen=True, slots=True)
class EquityPath:
    """What an account was worth, row by row.

    Attributes
    ----------
    time
        (n,) int64, the closes, UTC ms.
    close
        (n,) float64, equity at each close, quote currency.
    worst
        (n,) float64, equity if every position that was held all through the candle stood at the worst price of it; at
        most ``close``. Several symbols count at their own worst prices, whether or not these came together.
    invested
        (n,) float64, notional of the positions at each close over equity.
    """

    time: Integers
    close: Floats
    worst: Floats
    invested: Floats


@dataclass(frozen=True, slots=True)
class Held:
    """Quantities of one symbol and one side, a row a candle, in base currency.

    Attributes
    ----------
    through
        (n,) float64, what was held from the open to the close of the candle.
    at_close
        (n,) float64, what was held at its close.
    """

    through: Floats
    at_close: Floats


@dataclass(frozen=True, slots=True)
class Traded:
    """The fills of one symbol, in the order in which they happened, as (k,) columns.

    Attributes
    ----------
    time
        Open of the candle, or detail candle, in which it happened, UTC ms.
    signal
        A number for each signal.
    enters, long
        Whether it adds to the position, and whether that is a long one.
    quantity
        Base currency.
    """

    time: Integers
    signal: Integers
    enters: Bools
    long: Bools
    quantity: Floats


@dataclass(frozen=True, slots=True)
class Spans:
    """What was held of one symbol and one side, a row a signal and candle in which it traded.

    Attributes
    ----------
    row
        (k,) int64, the candle, by position.
    until
        (k,) int64, the candle in which the signal's quantity changes again; the number of candles where it does not.
    least, left
        (k,) float64, base currency: the least held within the candle, and what was left at its close.
    """

    row: Integers
    until: Integers
    least: Floats
    left: Floats


def held_spans(rows: Integers, signal: Integers, enters: Bools, quantity: Floats, n: int) -> Spans:
    """Return what was held, from the fills of one symbol and one side.

    Parameters
    ----------
    rows
        (k,) int64, the candle of each fill, by position; fills of one signal in order of time.
    signal
        (k,) int64, a number for each signal.
    enters
        (k,) bool, whether the fill adds to the position.
    quantity
        (k,) float64, base currency.
    n
        How many candles there are.
    """
    if len(rows) == 0:
        return Spans(rows, rows, np.empty(0), np.empty(0))
    order = np.argsort(signal, kind="stable")
    rows, signal, change = rows[order], signal[order], np.where(enters, quantity, -quantity)[order]
    first = np.flatnonzero(np.r_[True, signal[1:] != signal[:-1]])  # of each signal
    total = np.cumsum(change)
    before_all = np.repeat(np.r_[0.0, total[first[1:] - 1]], np.diff(np.r_[first, len(rows)]))
    after = total - before_all
    after[np.abs(after) < 1e-9 * np.abs(quantity[order])] = 0.0
    starts = np.flatnonzero(np.r_[True, (signal[1:] != signal[:-1]) | (rows[1:] != rows[:-1])])
    last = np.r_[starts[1:], len(rows)] - 1  # of each signal and candle
    before = np.where(np.isin(starts, first), 0.0, after[starts - 1])
    least = np.minimum(before, np.minimum.reduceat(after, starts))
    row, left = rows[starts], after[last]
    follows = np.r_[signal[starts][1:] == signal[starts][:-1], False]
    return Spans(row, np.where(follows, np.r_[row[1:], n], n), least, left)


def quantities_held(rows: Integers, signal: Integers, enters: Bools, quantity: Floats, n: int) -> Held:
    """Return what was held in each candle, from the fills of one symbol and one side.

    Parameters
    ----------
    rows, signal, enters, quantity, n
        As in :func:`held_spans`.
    """
    spans = held_spans(rows, signal, enters, quantity, n)
    at_close = _spread(spans.row, spans.until, spans.left, n)
    through = _spread(spans.row + 1, spans.until, spans.left, n)
    np.add.at(through, spans.row, np.maximum(spans.least, 0.0))
    return Held(through, at_close)


def _spread(start: Integers, end: Integers, value: Floats, n: int) -> Floats:
    """Return the sum of values, each over the rows from its start to before its end; exactly 0 where there is none."""
    some = (value > 0.0) & (end > start)
    start, end, value = start[some], end[some], value[some]
    steps, count = np.zeros(n + 1), np.zeros(n + 1, np.int64)
    np.add.at(steps, start, value)
    np.add.at(steps, end, -value)
    np.add.at(count, start, 1)
    np.add.at(count, end, -1)
    spread: Floats = np.where(np.cumsum(count[:-1]) > 0, np.maximum(np.cumsum(steps[:-1]), 0.0), 0.0)
    return spread


def dips(opens: Integers, high: Floats, low: Floats, close: Floats, traded: Traded) -> tuple[Floats, Floats]:
    """Return how far below its close equity fell in each candle of a symbol, and the notional held at the close.

    Parameters
    ----------
    opens
        (n,) int64, when each candle opened, UTC ms.
    high, low, close
        (n,) float64, quote currency per unit of base.
    traded
        The fills of the symbol.

    Returns
    -------
    Two (n,) float64 in quote currency, both at least 0: for what was held all through the candle, the way from its close
    to its worst price; and the notional.
    """
    dip, notional = np.zeros(len(opens)), np.zeros(len(opens))
    rows = np.maximum(np.searchsorted(opens, traded.time, "right") - 1, 0)
    for side, extreme, some in ((1.0, low, traded.long), (-1.0, high, ~traded.long)):
        held = quantities_held(rows[some], traded.signal[some], traded.enters[some], traded.quantity[some], len(opens))
        dip += held.through * side * (close - extreme)
        notional += held.at_close * close
    return dip, notional


def equity_path(tables: ResultTables) -> EquityPath:
    """Return the path of a run's equity, from its equity at the closes, its fills and its candles."""
    time = tables.equity["time"].to_numpy(np.int64)
    close = tables.equity["equity"].to_numpy(np.float64)
    worst, notional = close.copy(), np.zeros(len(time))
    fills = tables.fills
    numbers = {name: k for k, name in enumerate(dict.fromkeys(fills["signal"]))}
    signal = np.array([numbers[name] for name in fills["signal"]], np.int64)
    enters = fills["kind"].isin(_ENTERS).to_numpy(bool)
    long = fills["buy"].to_numpy(bool) == enters
    at, quantity = fills["time"].to_numpy(np.int64), fills["quantity"].to_numpy(np.float64)
    for symbol in tables.symbols:
        opens = tables.column(symbol, "time")
        if len(opens) == 0 or len(time) == 0:
            continue
        own = (fills["symbol"] == symbol).to_numpy(bool)
        traded = Traded(at[own], signal[own], enters[own], long[own], quantity[own])
        high, low, last = (tables.column(symbol, name) for name in ("high", "low", "close"))
        dip, worth = dips(opens, high, low, last, traded)
        closes = opens + tables.step(symbol)
        np.subtract.at(worst, np.minimum(np.searchsorted(time, closes), len(time) - 1), dip)
        known = np.searchsorted(closes, time, "right") - 1
        notional += np.where(known < 0, 0.0, worth[np.maximum(known, 0)])
    invested = np.divide(notional, close, out=np.zeros(len(close)), where=close > 0.0)
    return EquityPath(time, close, worst, invested)


def hold_path(tables: ResultTables) -> EquityPath:
    """Return the path of the initial balance, bought at the first open and held.

    Equal parts over the symbols, each in cash until its own first candle; no fees, no slippage.
    """
    time = tables.equity["time"].to_numpy(np.int64)
    held = [symbol for symbol in tables.symbols if len(tables.candles[symbol])]
    close, worst, invested = (np.zeros(len(time)) for _ in range(3))
    for symbol in held:
        closes, opened = tables.column(symbol, "time") + tables.step(symbol), tables.column(symbol, "open")[0]
        known = np.searchsorted(closes, time, "right") - 1
        row = np.maximum(known, 0)
        level, low = (tables.column(symbol, name) / opened for name in ("close", "low"))
        part = np.where(known < 0, 1.0, level[row])
        close += part
        worst += np.where((known >= 0) & (closes[row] == time), low[row], part)
        invested += np.where(known < 0, 0.0, part)
    if not held:
        return EquityPath(time, np.full(len(time), tables.balance), np.full(len(time), tables.balance), invested)
    scale = tables.balance / len(held)
    share = np.divide(invested, close, out=np.zeros(len(time)), where=close > 0.0)
    return EquityPath(time, scale * close, scale * worst, share)


def drawdowns(initial: float, close: Floats, worst: Floats | None = None) -> Floats:
    """Return how far equity lay below the highest close so far, as a fraction of it, from 0 down to -1.

    Parameters
    ----------
    initial
        Equity before the first row; it counts as a high.
    close, worst
        (n,) equity at each close, and the lowest while the candle before it lasted; without it the closes alone count.

    Returns
    -------
    (n,) float64. -1 from the row on in which nothing is left.
    """
    if len(close) == 0:
        return close
    high = np.maximum(np.maximum.accumulate(close), initial)
    before = np.r_[initial, high[:-1]]
    depths: Floats = close / high - 1.0
    if worst is not None:
        depths = np.minimum(depths, np.minimum(worst, close) / before - 1.0)
    return np.maximum(np.minimum(depths, 0.0), -1.0)


def longest_drawdown(initial: float, start: int, time: Integers, close: Floats) -> int:
    """Return the longest time from a high to the close that regained it, or to the end, in ms.

    Parameters
    ----------
    initial
        Equity before the first row, at ``start`` (UTC ms).
    start
        When the account began, UTC ms.
    time, close
        (n,) closes and the equity at each.
    """
    under = np.r_[False, drawdowns(initial, close) < 0.0, False]
    edges = np.flatnonzero(under[1:] != under[:-1])
    instants = np.r_[start, time]
    regained = np.minimum(edges[1::2] + 1, len(time))  # the row after the last one below, or the end
    return int(np.max(instants[regained] - instants[edges[::2]], initial=0))
