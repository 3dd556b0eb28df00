"""The table lane: the rows of a SignalTable as call records, all at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.book import write_create
from backtest.engine.records import CALL
from backtest.errors import InvalidSignalError
from backtest.model.calls import CreateSignal
from backtest.runner.desk import created_fields, row_fields

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.strategy import SignalTable

__all__ = ["first_bad_row", "table_records"]


def table_records(table: SignalTable, candles: Candles, market: Market) -> tuple[NDArray[Any], int | None]:
    """Return the call records of a table and the first row that breaks a rule of the API, if any.

    The first row is written as any other create; the columns then replace what differs, rounded by the same grid (L3.6).
    Rows are checked as columns with the rules of :class:`CreateSignal`; the caller lets that class word the refusal.
    """
    n = len(table)
    first = np.zeros(1, CALL)
    if n == 0:
        return first[:0], None
    try:
        write_create(first[0], _create(table, 0, market), market)
    except InvalidSignalError:
        return first, 0
    records = np.repeat(first, n)
    rows = table.rows
    records["at"] = candles.time[rows] + candles.milliseconds
    side = table.sides()
    records["side"] = side
    columns = _rounded(table, market, side)
    for name, values in columns.items():
        if name.startswith("target"):
            records["targets"][:, int(name[6:])] = values
        else:
            records[name] = values
    for name, field in (
        ("invest", "invest"),
        ("leverage", "leverage"),
        ("ttl", "ttl_buy_order"),
        ("share_low", "invest_entry_min"),
        ("share_mid", "invest_entry_mid"),
        ("share_high", "invest_entry_max"),
    ):
        value = table.column(field)
        if isinstance(value, np.ndarray):
            records[name] = value
    return records, first_bad_row(records, table)


def _create(table: SignalTable, k: int, market: Market) -> CreateSignal:
    fields = created_fields(row_fields(table, k), market)
    return CreateSignal(coin=market.coin, trade_market=market.trade_market, exchange=market.exchange, **fields)


def _rounded(
    table: SignalTable, market: Market, side: NDArray[np.int64] | int
) -> dict[str, NDArray[np.float64] | float]:
    """Return the price columns on the tick; scalars were written with the first row unless the sides differ."""
    grid = market.price_grid
    split = any(table.column(f"invest_entry_{place}") is not None for place in ("min", "mid", "max"))
    lone = table.column("entry_price_min") is None
    found: dict[str, NDArray[np.float64] | float] = {}

    def put(name: str, value: NDArray[np.float64] | float | None, toward: int, *, mirrored: bool) -> None:
        if value is None or (isinstance(value, float) and isinstance(side, int)):
            return
        column = np.asarray(value, np.float64)
        if not mirrored or isinstance(side, int):
            direction = toward * (side if mirrored and isinstance(side, int) else 1)
            found[name] = grid.up(column) if direction > 0 else grid.down(column)
            return
        found[name] = np.where(side * toward > 0, grid.up(column), grid.down(column))

    put("high", table.column("entry_price_max"), -1, mirrored=split or lone)
    put("low", table.column("entry_price_min"), -1 if split else 1, mirrored=split)
    put("mid", table.column("entry_price_mid"), -1, mirrored=True)
    put("stop", table.column("stop_loss"), -1, mirrored=True)
    for number in range(len(table.targets)):
        put(f"target{number}", table.target(number), 1, mirrored=True)
    return found


def first_bad_row(records: NDArray[Any], table: SignalTable) -> int | None:
    """Return the first row whose prices, shares or numbers break a rule of the API, or None. NaN breaks every rule."""
    side = records["side"]
    high, low = records["high"], records["low"]
    ranged = table.column("entry_price_min") is not None
    far = np.where(side > 0, low, high) if ranged else high
    near = np.where(side > 0, high, low) if ranged else high
    good = (
        (high > 0.0)
        & (high < math.inf)
        & (records["invest"] > 0.0)
        & (records["invest"] < math.inf)
        & (records["leverage"] >= 1.0)
    )
    if ranged:
        good &= (low > 0.0) & (low <= high)
    if table.stop_loss is not None:
        stop = records["stop"]
        good &= (stop > 0.0) & (stop < math.inf) & (side * stop < side * far)
    before = near
    for number in range(len(table.targets)):
        target = records["targets"][:, number]
        good &= (target > 0.0) & (target < math.inf) & (side * target > side * before)
        before = target
    if table.entry_price_mid is not None:
        good &= (records["mid"] <= high) & (~np.isfinite(low) | (low <= records["mid"]))
    if records["split"].any():
        shares = records["share_low"] + records["share_mid"] + records["share_high"]
        good &= np.abs(shares - 100.0) <= 1e-9
    return None if good.all() else int(np.argmin(good))
