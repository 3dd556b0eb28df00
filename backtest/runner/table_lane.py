"""The table lane: the rows of a SignalTable as call records, all at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from backtest.engine.book import create_row, write_call
from backtest.engine.records import CALL
from backtest.errors import InvalidSignalError
from backtest.model.calls import CreateSignal
from backtest.runner.desk import created_fields, final_call, row_fields

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.model.candles import Candles
    from backtest.model.grid import Grid
    from backtest.model.market import Market
    from backtest.strategy import SignalTable

__all__ = ["table_records"]

_Column: TypeAlias = Any
"""(k,) float64, or one number for all rows."""

_Columns: TypeAlias = dict[str, _Column]

_NUMBERS = {
    "invest": "invest",
    "leverage": "leverage",
    "ttl": "ttl_buy_order",
    "share_low": "invest_entry_min",
    "share_mid": "invest_entry_mid",
    "share_high": "invest_entry_max",
}
"""Fields of a create that are not prices, by their names in the call record."""


def table_records(table: SignalTable, candles: Candles, market: Market) -> tuple[NDArray[Any], int | None]:
    """Return the call records of a table and the first row that breaks a rule of the API, if any.

    Each row is a create and what follows it at the same close (:attr:`SignalTable.width`). The first row is written as any
    other calls; the columns then replace what differs, rounded by the same grid (L3.6). Rows are checked as columns with
    the rules of the call classes; the caller lets those word the refusal.
    """
    n, width = len(table), table.width
    first = np.zeros(width, CALL)
    if n == 0:
        return first[:0], None
    try:
        _write_row(first, table, market)
    except InvalidSignalError:
        return first, 0
    columns = _columns(table, market)
    good = np.broadcast_to(_good(columns, table), n)
    if not good.all():
        return first, int(np.argmin(good))
    records = np.tile(first, n)
    for name, values in columns.items():
        if not isinstance(values, np.ndarray):
            continue
        if name.startswith("target"):
            records["targets"][::width, int(name[6:])] = values
        else:
            records[name][::width] = values
    records["at"] = np.repeat(candles.time[table.rows] + candles.milliseconds, width)
    good = np.broadcast_to(_follow(records, table, market), n)
    return records, None if good.all() else int(np.argmin(good))


def _write_row(first: NDArray[Any], table: SignalTable, market: Market) -> None:
    """Write the calls of the first row."""
    fields = created_fields(row_fields(table, 0), market)
    create = CreateSignal(coin=market.coin, trade_market=market.trade_market, exchange=market.exchange, **fields)
    first[0] = (0, 0, 0, 0, *create_row(create, market))
    for record, call in zip(first[1:], table.calls_after(0, create.ref), strict=True):
        write_call(record, final_call(call, create, market), market, create)


def _columns(table: SignalTable, market: Market) -> _Columns:
    """Return what the creates of a table are made of, by the names of the call record: columns, or a number for all."""
    columns = _prices(table, market)
    for name, field in _NUMBERS.items():
        value = table.column(field)
        if value is not None:
            columns[name] = value
    return columns


def _prices(table: SignalTable, market: Market) -> _Columns:
    """Return the prices of the creates on the tick, and their sides."""
    side = table.sides()
    split = any(table.column(f"invest_entry_{place}") is not None for place in ("min", "mid", "max"))
    low = table.column("entry_price_min")
    found: _Columns = {"side": side}
    ways = {
        "high": (table.column("entry_price_max"), -side if split or low is None else -1),
        "low": (low, -side if split else 1),
        "mid": (table.column("entry_price_mid"), -side),
        "stop": (table.column("stop_loss"), -side),
        **{f"target{number}": (table.target(number), side) for number in range(len(table.targets))},
    }
    for name, (value, way) in ways.items():
        if value is not None:
            found[name] = _on_tick(market.price_grid, value, way)
    return found


def _on_tick(grid: Grid, value: _Column, way: _Column) -> _Column:
    """Round prices up (+1) or down (-1), each its own way where ``way`` is a column."""
    if isinstance(way, np.ndarray):
        return np.where(way > 0, grid.up(np.asarray(value)), grid.down(np.asarray(value)))
    return grid.up(value) if way > 0 else grid.down(value)


def _positive(value: _Column) -> Any:
    return (value > 0.0) & (value < math.inf)


def _good(columns: _Columns, table: SignalTable) -> Any:
    """Return which creates keep the rules of the API (:class:`CreateSignal`). NaN breaks every rule."""
    side, high, low, mid = columns["side"], columns["high"], columns.get("low"), columns.get("mid")
    good = _positive(high) & _positive(columns["invest"])
    far = near = high
    if low is not None:
        good = good & _positive(low) & (low <= high)
        far, near = np.where(side > 0, low, high), np.where(side > 0, high, low)
    if mid is not None:
        good = good & _positive(mid) & (mid <= high) & (True if low is None else low <= mid)
    if "stop" in columns:
        good = good & _positive(columns["stop"]) & (side * columns["stop"] < side * far)
    before = near
    for number in range(len(table.targets)):
        target = columns.get(f"target{number}")
        if target is not None:
            good = good & _positive(target) & (side * target > side * before)
            before = target
    if "leverage" in columns:
        good = good & (columns["leverage"] >= 1.0) & (columns["leverage"] < math.inf)
    if "ttl" in columns:
        good = good & (columns["ttl"] >= 1.0) & (columns["ttl"] < math.inf)
    return good & _good_shares(columns)


def _good_shares(columns: _Columns) -> Any:
    """Return which split entries have shares from 0 to 100 that sum to 100, each with its price (L4.2)."""
    shares = {place: columns[f"share_{place}"] for place in ("low", "mid", "high") if f"share_{place}" in columns}
    if not shares:
        return True
    good: Any = np.abs(sum(shares.values()) - 100.0) <= 1e-9
    for place, share in shares.items():
        good = good & (share >= 0.0) & (share <= 100.0)
        if place not in columns:
            good = good & (share == 0.0)
    return good


def _follow(records: NDArray[Any], table: SignalTable, market: Market) -> Any:
    """Write the columns of what follows each create; return which rows keep the rules of those calls."""
    side, grid, width = table.sides(), market.price_grid, table.width
    good: Any = True
    place = 1
    trigger, limit = table.trail("trailing_stop_price"), table.trail("trailing_stop_limit_price")
    if trigger is not None and limit is not None:
        good = _positive(trigger) & _positive(limit) & (side * limit <= side * trigger)
        stop = _on_tick(grid, trigger, -side)
        leg = side * np.minimum(side * _on_tick(grid, limit, side), side * stop)
        records["trail"][place::width], records["trail_limit"][place::width] = stop, leg
        place += 1
    for number in range(len(table.dca)):
        price, multiplier = table.level(number, 0), table.level(number, 1)
        good = good & _positive(price) & _positive(multiplier)
        records["price"][place::width] = _on_tick(grid, price, -side)
        records["multiplier"][place::width] = multiplier
        place += 1
    return good
