"""Entries: what the wrapper calls, each with the address of the run's state; they alone are compiled ahead and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.engine.kernel import agenda, points, rows, stretches, together, walk
from backtest.engine.kernel.compiled import entry
from backtest.engine.kernel.ledger import equity_of
from backtest.engine.kernel.memory import floats_at, stretches_at
from backtest.engine.kernel.state import world_at
from backtest.engine.records import BLOCK

if TYPE_CHECKING:
    from typing import TypeAlias

    Address: TypeAlias = int

__all__ = [
    "advance_one",
    "advance_together",
    "bound_blocks",
    "equity_now",
    "examine",
    "forget_rows",
    "number_calls",
    "push",
    "write_points",
    "write_stretches",
]


@entry
def push(state: Address, number: int) -> None:
    """Put a call into the queue of its market (:func:`agenda.push`)."""
    agenda.push(world_at(state), number)


@entry
def number_calls(state: Address, start: int, end: int, width: int, base: int, index: int, latency: int) -> None:
    """Number the calls of a table (:func:`agenda.number_calls`)."""
    agenda.number_calls(world_at(state), start, end, width, base, index, latency)


@entry
def examine(state: Address, index: int, until: int) -> None:
    """Decide on the conditional creates of a table up to an instant (:func:`agenda.examine`)."""
    agenda.examine(world_at(state), index, until)


@entry
def advance_one(state: Address, until: int, peek: bool) -> int:
    """Walk the only market up to a row (:func:`walk.walk_alone`)."""
    return walk.walk_alone(world_at(state), until, peek)


@entry
def advance_together(state: Address, stop_time: int) -> int:
    """Walk several markets up to a close (:func:`together.walk_together`)."""
    return together.walk_together(world_at(state), stop_time)


@entry
def write_points(state: Address) -> None:
    """Write the equity points of several markets that were passed (:func:`points.write_points`)."""
    points.write_points(world_at(state))


@entry
def write_stretches(made_of: Address, n: int, close: Address, equity: Address, low: int, until: int) -> None:
    """Write equity points of an only market, from one row to before another (:func:`stretches.write_stretches`)."""
    stretches.write_stretches(stretches_at(made_of, n), floats_at(close, until), floats_at(equity, until), low)


@entry
def bound_blocks(low: Address, high: Address, floors: Address, ceilings: Address, n: int) -> None:
    """Write the bounds of ``n`` blocks of candles (:func:`rows.bound_blocks`)."""
    lows, highs = floats_at(low, n * BLOCK), floats_at(high, n * BLOCK)
    rows.bound_blocks(lows, highs, floats_at(floors, n), floats_at(ceilings, n))


@entry
def forget_rows(state: Address) -> None:
    """Begin anew with candles to come (:func:`points.forget_rows`)."""
    points.forget_rows(world_at(state))


@entry
def equity_now(state: Address) -> float:
    """Return equity at the last prices (L14.3), of several markets at the last close that was told."""
    world = world_at(state)
    if world.passed > 0:
        points.go_to_all(world, world.passed)
    return equity_of(world)
