"""Positions: the fills of a result put together into trades again, each step with what was held and at what average."""

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

__all__ = ["ENTERING", "Positions", "positions_of"]

ENTERING = frozenset(kind.value for kind in EventKind if kind.trade is Trade.ENTERS)
"""Kinds of fills that add to a position."""

_DUST = 1e-9
"""Share of the last fill below which a position counts as zero."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Each fill with the position that it left, ordered by trade and then by time.

    Attributes
    ----------
    fill
        (k,) int64, row of the fill in the table of fills.
    trade
        (k,) int64, row of its trade in the table of trades.
    enters
        (k,) bool, whether it added to the position.
    average
        (k,) float64, average entry after it, without fees; of a fill that ends the position the average before it.
    held
        (k,) float64, quantity after it, base currency; exactly 0 where the position ended.
    realised
        (k,) float64, what it realised before costs, quote currency.
    """

    fill: Integers
    trade: Integers
    enters: Bools
    average: Floats
    held: Floats
    realised: Floats


def positions_of(tables: ResultTables) -> Positions:
    """Return the fills of every trade; a trade is first fill to flat, and a signal that buys again begins another."""
    fills, trades = tables.fills, tables.trades
    side = np.where(fills["buy"].to_numpy(bool) == fills["kind"].isin(ENTERING).to_numpy(bool), 1.0, -1.0)
    signals, enters = fills["signal"].to_list(), fills["kind"].isin(ENTERING).to_list()
    prices, quantities = fills["price"].to_list(), fills["quantity"].to_list()
    row_of = _rows_by_signal(trades["signal"].to_list(), trades["entry_time"].to_numpy(np.int64))
    living: dict[str, list[float]] = {}  # of a signal: quantity, average, trades ended
    trade, average, held, realised = [], [], [], []
    for k, name in enumerate(signals):
        state = living.setdefault(name, [0.0, 0.0, 0])
        quantity, mean, ended = state[0], state[1], int(state[2])
        gain, size, price = 0.0, quantities[k], prices[k]
        if enters[k]:
            mean = (mean * quantity + price * size) / (quantity + size)
            quantity += size
        else:
            gain = side[k] * (price - mean) * size
            quantity -= size
            if quantity <= _DUST * size:
                quantity = 0.0
        trade.append(row_of[name][ended])
        average.append(mean)
        held.append(quantity)
        realised.append(gain)
        state[0], state[1], state[2] = quantity, mean, ended + (quantity == 0.0)
    order = np.argsort(np.array(trade, np.int64), kind="stable")
    return Positions(
        fill=order,
        trade=np.array(trade, np.int64)[order],
        enters=np.array(enters, bool)[order],
        average=np.array(average, np.float64)[order],
        held=np.array(held, np.float64)[order],
        realised=np.array(realised, np.float64)[order],
    )


def _rows_by_signal(signals: list[str], entered: Integers) -> dict[str, list[int]]:
    """Return the rows of the trades of each signal, in the order of their entries."""
    rows: dict[str, list[int]] = {}
    for row in np.argsort(entered, kind="stable").tolist():
        rows.setdefault(signals[row], []).append(row)
    return rows
