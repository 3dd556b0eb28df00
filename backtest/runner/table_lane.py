"""The table lane: the rows of a SignalTable as call records, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from backtest.engine.codes import C_REFUSED, C_REFUSED_CREATE, C_VOID, REASONS
from backtest.engine.records import CALL
from backtest.engine.tracks import as_bytes
from backtest.engine.translation import PRICE_FIELDS, SIZE_FIELDS, write_call, write_create
from backtest.errors import InvalidSignalError
from backtest.model.calls import CreateSignal, TrailingStop, placed_call
from backtest.model.events import SignalRef
from backtest.model.intake import (
    Condition,
    broken_rows,
    buy_relations,
    create_on_tick,
    create_relations,
    first_broken,
    leverage_condition,
    on_tick,
    pair_on_tick,
    pair_relations,
    price_conditions,
    size_conditions,
)
from backtest.runner.desk import refusal_reason, row_fields, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from backtest.model.calls import Call, Dca
    from backtest.model.candles import Candles
    from backtest.model.intake import Column
    from backtest.model.market import Market
    from backtest.strategy import SignalTable

__all__ = ["refused_at", "table_records"]

_PAIR = ("trailing_stop_price", "trailing_stop_limit_price")


def table_records(table: SignalTable, candles: Candles, market: Market) -> NDArray[Any]:
    """Return the call records of a table: each row is a create and what follows it at the same close.

    The first row is written as any other calls; the columns then replace what differs. A row whose prices are out of order
    becomes a call that the desk refused, which the engine refuses where it would have made it (L3.8); what follows a
    refused create vanishes with it.

    Parameters
    ----------
    table
        Of one market, over ``candles``.
    candles
        (n,), whose closes decide.
    market
        Whose tick.

    Returns
    -------
    NDArray
        (rows x :attr:`SignalTable.width`,) of ``CALL``.

    Raises
    ------
    InvalidSignalError
        For the first row that is a fault of the strategy's code: a price that is not finite, shares that do not sum. It
        names the candle.
    """
    n, width = len(table), table.width
    if n == 0:
        return np.zeros(0, CALL)
    at = candles.time[table.rows] + candles.milliseconds
    raw, sizes = _prices(table), {name: table.column(name) for name in SIZE_FIELDS}
    side, split = table.sides(), _is_split(table)
    first = _first_row(table, market, int(at[0]))
    placed = create_on_tick(market.price_grid, raw, side, split=split)
    conditions = [
        *price_conditions(raw),
        *size_conditions(sizes, raw),
        leverage_condition(sizes["leverage"], table.account),
    ]
    conditions += create_relations(placed, side, version=table.version)
    refused, error = broken_rows(conditions, n)
    _raise(error, at)
    records = np.empty(n * width, CALL)
    as_bytes(records).reshape(n, -1)[:] = as_bytes(first)
    _write_creates(records[::width], placed, {**sizes, "side": side})
    records["at"] = np.repeat(at, width)
    some = bool(refused.any())
    if some:
        records["kind"][::width][refused] = C_REFUSED_CREATE
    for place, (columns, conditions) in enumerate(_followers(table, market), 1):
        part, (broken, error) = records[place::width], broken_rows(conditions, n)
        _raise(error, at)
        for name, values in columns.items():
            part[name] = values
        if broken.any():
            part["kind"][broken], some = C_REFUSED, True
        part["kind"][refused] = C_VOID
    if some:
        records["reason"] = len(REASONS) + np.arange(len(records))
    return records


def refused_at(table: SignalTable, market: Market) -> Callable[[int], tuple[Call, Condition, str]]:
    """Return a function that words the refusal of the record at a position: the call, what is broken, and the sentence."""

    def worded(position: int) -> tuple[Call, Condition, str]:
        row, place = divmod(position, table.width)
        found, broken, after = taken(row_fields(table, row), market)
        create = _create(found, market)
        call: Call = create
        if place:
            call, broken, after = _follower(table.calls_after(row, SignalRef("")), place, create, market)
        assert broken is not None  # noqa: S101 - the same functions found it as columns
        return call, broken, refusal_reason(broken, market, after_rounding=after)

    return worded


def _first_row(table: SignalTable, market: Market, at: int) -> NDArray[Any]:
    """Return the records of the first row."""
    first = np.zeros(table.width, CALL)
    try:
        create = _create(taken(row_fields(table, 0), market)[0], market)
        write_create(first, 0, (0, 0, 0, 0), create)
        for record, call in zip(first[1:], table.calls_after(0, create.ref), strict=True):
            write_call(record, placed_call(call, create, market))
    except InvalidSignalError as error:
        raise _dated(error, at) from None
    return first


def _create(fields: dict[str, Any], market: Market) -> CreateSignal:
    return CreateSignal(coin=market.coin, trade_market=market.trade_market, exchange=market.exchange, **fields)


def _prices(table: SignalTable) -> dict[str, Column]:
    """Return the prices of the creates as they were given, by the API's names."""
    found = {name: table.column(name) for name in PRICE_FIELDS}
    found |= {f"exit_price_{number}": table.target(number - 1) for number in range(1, len(table.targets) + 1)}
    return {name: price for name, price in found.items() if price is not None}


def _is_split(table: SignalTable) -> bool:
    return any(table.column(f"invest_entry_{part}") is not None for part in ("min", "mid", "max"))


def _write_creates(creates: NDArray[Any], prices: dict[str, Column], numbers: dict[str, Column]) -> None:
    """Write what differs from row to row."""
    for name, values in (*prices.items(), *numbers.items()):
        if not isinstance(values, np.ndarray):
            continue
        if name.startswith("exit_price_"):
            creates["targets"][:, int(name[11:]) - 1] = values
        else:
            creates[{**PRICE_FIELDS, **SIZE_FIELDS}.get(name, name)] = values


def _followers(table: SignalTable, market: Market) -> Iterator[tuple[dict[str, Column], list[Condition]]]:
    """Yield the fields of each call that follows a create, on the tick, and what it must keep."""
    side, grid = table.sides(), market.price_grid
    trigger, limit = (table.trail(name) for name in _PAIR)
    stop = on_tick(grid, table.column("stop_loss"), -side)
    if trigger is not None and limit is not None:
        placed, leg = pair_on_tick(grid, side, trigger, limit)
        finite = price_conditions(dict(zip(_PAIR, (trigger, limit), strict=True)))
        pair = list(pair_relations(placed, leg, side))
        yield {"trail": placed, "trail_limit": leg}, [*finite, *pair]
        if stop is not None:  # a trailing stop stands anywhere, one that was refused nowhere (NaN breaks no relation)
            stop = np.where(np.any([np.broadcast_to(one.broken, len(table)) for one in pair], axis=0), stop, np.nan)
    for number in range(len(table.dca)):
        price, multiplier = table.level(number, 0), table.level(number, 1)
        placed = on_tick(grid, price, -side)
        finite = price_conditions({"buy_price": price})
        size = Condition("multiplier", _is_no_size(multiplier), "is a finite number above 0", multiplier, is_error=True)
        relations = buy_relations("buy_price", placed, stop, side)
        yield {"price": placed, "multiplier": multiplier}, [*finite, size, *relations]


def _follower(
    calls: Sequence[TrailingStop | Dca], place: int, create: CreateSignal, market: Market
) -> tuple[Call, Condition | None, bool]:
    """Return the call at a place behind a create, what it breaks, and whether rounding did it."""

    def broken(one: TrailingStop | Dca) -> Condition | None:
        if isinstance(one, TrailingStop):
            return first_broken(one.relations(create.side))
        trails = [call for call in calls if isinstance(call, TrailingStop)]
        is_trailed = bool(trails) and broken(trails[0]) is None
        return first_broken(one.relations(create.side, None if is_trailed else create.stop_loss))

    call = calls[place - 1]
    placed = cast("TrailingStop | Dca", placed_call(call, create, market))
    found = broken(placed)
    return placed, found, found is not None and broken(call) is None


def _is_no_size(value: Column) -> Any:
    return np.logical_not((np.asarray(value) > 0.0) & (np.asarray(value) < np.inf))


def _raise(error: tuple[Condition, int] | None, at: NDArray[np.int64]) -> None:
    if error is not None:
        condition, row = error
        raise _dated(InvalidSignalError(condition.sentence, condition.field), int(at[row]))


def _dated(error: InvalidSignalError, at: int) -> InvalidSignalError:
    return InvalidSignalError(f"at the close of {np.datetime64(at, 'ms')}Z: {error}", error.field)
