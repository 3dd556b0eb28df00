"""Points: the candles of several markets that go by unseen, and the equity at the closes (L14.3).

Equity is kept as segments: what cash and each market's positions add from one point to the next change. The points are
written from them when they are asked for, in the order of additions of :func:`ledger.equity_of`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.kernel.agenda import examine
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.memory import floats_at, ints_at, segments_of
from backtest.engine.kernel.rows import first_at_or_after
from backtest.engine.kernel.state import account_of, book_of, track_of

if TYPE_CHECKING:
    from backtest.engine.records import Row

__all__ = [
    "begin_segments",
    "first_close",
    "forget_rows",
    "go_by",
    "go_to",
    "go_to_all",
    "go_to_end",
    "has_room",
    "note_cash",
    "note_position",
    "write_points",
]

CASH = np.int64(-1)  # of which market the segments of cash and margins are
LAST = np.int64(-1)  # behind which no segment stands


# ---------------------------------------------------------------- candles that go by


@rule
def go_by(world: Row, index: int, row: int) -> None:
    """Let a market's candles before a row go by, on which nothing happens: its table is decided, its last price known."""
    book, track = book_of(world, index), track_of(world, index)
    if row <= book.row:
        return
    examine(world, index, ints_at(track.time, track.rows)[row - 1])
    book.started = 1
    book.last = floats_at(track.close, track.rows)[row - 1]
    book.row = row
    still = ints_at(track.still, track.n_still)
    while book.still < track.n_still and still[book.still] < row:
        book.still += 1


@rule
def go_to(world: Row, index: int, instant: int) -> None:
    """Let a market's candles that open before an instant go by."""
    book, track = book_of(world, index), track_of(world, index)
    time = ints_at(track.time, track.rows)
    go_by(world, index, first_at_or_after(time, book.row, track.rows, instant, track.apart, track.even == 1))


@rule
def go_to_all(world: Row, instant: int) -> None:
    """Let the candles of all markets go by that open before an instant: their last prices are those at it."""
    for k in range(world.n_markets):
        go_to(world, k, instant)


@rule
def go_to_end(world: Row) -> None:
    """Let all candles go by that are left."""
    for k in range(world.n_markets):
        go_by(world, k, track_of(world, k).rows)


# ---------------------------------------------------------------- what equity is made of


@folded
def has_room(world: Row) -> bool:
    """Whether there is room for the segments of one more instant: one of cash and one a market."""
    return bool(world.n_segments + world.n_markets + 2 < world.segment_room)


@rule
def add_segment(world: Row, market: int, units: float, cost: float) -> int:
    """Append what a market, or the cash, adds to equity from the next point on."""
    k = world.n_segments
    segment = segments_of(world)[k]
    segment.market, segment.point, segment.after = market, world.point, LAST
    segment.units, segment.cost = units, cost
    world.n_segments += 1
    return k


@rule
def note_cash(world: Row) -> None:
    """Keep cash and margins of the next equity points, if they changed."""
    account, last, segments = account_of(world), world.last_cash, segments_of(world)
    value = account.cash + account.margin
    if segments[last].units == value:
        return
    if segments[last].point == world.point:
        segments[last].units = value
        return
    world.last_cash = segments[last].after = add_segment(world, CASH, value, 0.0)


@rule
def note_position(world: Row, index: int) -> None:
    """Keep what the positions of a market are worth at the next equity points, if they changed."""
    book, segments = book_of(world, index), segments_of(world)
    if book.units == book.noted_units and book.cost == book.noted_cost:
        return
    book.noted_units, book.noted_cost = book.units, book.cost
    last = book.last_segment
    if last >= 0 and segments[last].point == world.point:
        segments[last].units, segments[last].cost = book.units, book.cost
        return
    made = add_segment(world, index, book.units, book.cost)
    if last >= 0:
        segments[last].after = made
    else:
        book.first_segment = made
    book.last_segment = made


@rule
def begin_segments(world: Row) -> None:
    """Begin with what there is now; what was written is not needed any more."""
    account = account_of(world)
    world.n_segments = 0
    world.first_cash = world.last_cash = add_segment(world, CASH, account.cash + account.margin, 0.0)
    for q in range(world.n_markets):
        book = book_of(world, q)
        book.first_segment = book.last_segment = LAST
        book.noted_units, book.noted_cost = book.units, book.cost
        if book.units != 0.0 or book.cost != 0.0:
            book.first_segment = book.last_segment = add_segment(world, q, book.units, book.cost)


# ---------------------------------------------------------------- writing the points


@folded
def first_close(world: Row, point: int, instant: int) -> int:
    """Return the first equity point, from one on, at or after an instant."""
    n = world.n_closes
    return first_at_or_after(ints_at(world.closes, n), point, n, instant, world.close_apart, world.close_even == 1)


@rule
def add_worth(world: Row, index: int, low: int, high: int, units: float, cost: float) -> None:
    """Add the worth of unchanged positions of a market to the points from ``low`` to before ``high``."""
    track, n = track_of(world, index), track_of(world, index).rows
    even, apart = track.even == 1, track.apart
    time, close = ints_at(track.time, n), floats_at(track.close, n)
    closes, equity = ints_at(world.closes, world.n_closes), floats_at(world.equity, world.n_closes)
    row = first_at_or_after(time, 0, n, closes[low], apart, even) - 1
    last = first_at_or_after(time, row + 1, n, closes[high - 1], apart, even) - 1
    if not track.detailed and row >= 0 and last - row == high - 1 - low:  # a candle each: none is met twice or left out
        points, prices = equity[low:high], close[row : last + 1]
        for k in range(high - low):
            points[k] += units * prices[k] - cost
        return
    before = book_of(world, index).before
    for k in range(low, high):
        while row + 1 < n and time[row + 1] < closes[k]:
            row += 1
        equity[k] += units * (close[row] if row >= 0 else before) - cost


@rule
def write_cash(world: Row) -> None:
    """Begin the points that were passed with cash and margins."""
    segments, equity, k = segments_of(world), floats_at(world.equity, world.n_closes), world.first_cash
    while k >= 0:
        after = segments[k].after
        for point in range(segments[k].point, segments[after].point if after >= 0 else world.point):
            equity[point] = segments[k].units
        k = after


@rule
def write_points(world: Row) -> None:
    """Write the equity points that were passed since the last time: cash, then the positions market by market (L14.3)."""
    segments = segments_of(world)
    write_cash(world)
    for q in range(world.n_markets):
        k = book_of(world, q).first_segment
        while k >= 0:
            segment, after = segments[k], segments[k].after
            low, high = segment.point, segments[after].point if after >= 0 else world.point
            if high > low and (segment.units != 0.0 or segment.cost != 0.0):
                add_worth(world, q, low, high, segment.units, segment.cost)
            k = after
    world.written = world.point
    begin_segments(world)


@rule
def forget_rows(world: Row) -> None:
    """Begin anew with candles to come: those so far, and their equity points, are dropped.

    Every market goes to the last close that was told first: quiet candles are passed later, and the last price is among them.
    """
    if world.passed > 0:
        go_to_all(world, world.passed)
    for q in range(world.n_markets):
        book = book_of(world, q)
        book.row = book.still = 0
        book.before, book.stale = book.last, 1
    world.point = world.written = world.n_stretches = 0
    if world.n_segments:
        begin_segments(world)
