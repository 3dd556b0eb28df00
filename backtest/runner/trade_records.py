"""Trade records: the trades of a run as numeric arrays, without a table around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.engine.simulator import SimulatedVenue
    from backtest.report.tables import ResultTables

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = ["TradeRecords", "records_of", "records_of_tables"]


class TradeRecords(NamedTuple):
    """Trades as arrays, closed ones in the order of their end, then those still open; as in ``result.trades``.

    Attributes
    ----------
    market
        (k,) int64, position of the symbol among those of the result, by name.
    side
        (k,) int64, +1 for a long, -1 for a short.
    entry_row, exit_row
        (k,) int64, candle of the first and of the last fill, by position; ``exit_row`` is -1 while open.
    entry_price, exit_price
        (k,) float64, average prices, quote currency; ``exit_price`` is NaN while open.
    quantity
        (k,) float64, all that was bought, base currency.
    pnl
        (k,) float64, after fees and funding, quote currency.
    """

    market: Integers
    side: Integers
    entry_row: Integers
    exit_row: Integers
    entry_price: Floats
    exit_price: Floats
    quantity: Floats
    pnl: Floats


def records_of(venue: SimulatedVenue) -> TradeRecords:
    """Return the trades of a venue at the end of its candles."""
    closed, still = venue.trade_records, venue.open_records

    def whole(name: str, open_ones: list[int]) -> Integers:
        return np.concatenate([closed[name], np.array(open_ones, np.int64)])

    def both(name: str, open_ones: list[float]) -> Floats:
        return np.concatenate([closed[name], np.array(open_ones, np.float64)])

    market = venue.markets_of[whole("signal", [one.id for one in still])]
    times = np.stack([whole("entry_time", [one.t_time for one in still]), whole("exit_time", [-1] * len(still))])
    rows = np.empty_like(times)
    for q, history in enumerate(venue.histories):
        own = market == q if len(venue.histories) > 1 else slice(None)
        rows[:, own] = history.candles.row_at(times[:, own].reshape(-1)).reshape(2, -1)
    return TradeRecords(
        market=market,
        side=whole("side", [one.side for one in still]),
        entry_row=np.maximum(rows[0], 0),
        exit_row=np.where(times[1] < 0, -1, rows[1]),
        entry_price=both("average_entry", [one.t_value / one.t_quantity for one in still]),
        exit_price=both("average_exit", [np.nan] * len(still)),
        quantity=both("quantity", [one.t_quantity for one in still]),
        pnl=both("realised", [one.t_realised for one in still])
        - both("fees", [one.t_fees for one in still])
        - both("funding", [one.t_funding for one in still]),
    )


def records_of_tables(tables: ResultTables) -> TradeRecords:
    """Return the trades of a saved result."""
    trades = tables.trades
    symbol, left = trades["symbol"].to_numpy(object), trades["exit_time"].to_numpy(np.int64)
    market, entry_row, exit_row = (np.zeros(len(trades), np.int64) for _ in range(3))
    for q, name in enumerate(tables.symbols):
        own, time = symbol == name, tables.column(name, "time")
        market[own] = q
        entry_row[own] = time.searchsorted(trades["entry_time"].to_numpy(np.int64)[own], "right") - 1
        exit_row[own] = time.searchsorted(left[own], "right") - 1
    return TradeRecords(
        market=market,
        side=trades["side"].to_numpy(np.int64),
        entry_row=np.maximum(entry_row, 0),
        exit_row=np.where(left < 0, -1, exit_row),
        entry_price=trades["average_entry"].to_numpy(np.float64),
        exit_price=trades["average_exit"].to_numpy(np.float64),
        quantity=trades["quantity"].to_numpy(np.float64),
        pnl=trades["pnl"].to_numpy(np.float64),
    )
