"""Outlook: the next row of each market at which something may happen, and the markets in order of it (L14.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.engine.codes import FINE_LAST
from backtest.engine.kernel.band import calm_band
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.liquidation import next_funding
from backtest.engine.kernel.memory import bytes_at, calls_of, heap_of, ints_at, keys_of, turns_of
from backtest.engine.kernel.rows import first_at_or_after, quiet_until
from backtest.engine.kernel.state import book_of, market_of, track_of, view_of
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    from backtest.engine.records import Ints, Row

__all__ = ["look_ahead", "look_on", "order_heap", "pop", "rise"]


# ---------------------------------------------------------------- one market


@rule
def due_row(world: Row, index: int, start: int) -> int:
    """Return a market's first row, from ``start``, at which something is due whatever the prices, or the end of its rows."""
    book, track, due = book_of(world, index), track_of(world, index), NEVER
    if book.call >= 0:
        due = calls_of(world)[book.call].arrival
    if book.n_signals > 0:
        due = min(due, next_funding(world, index))
        if book.next_expiry < NEVER:
            due = min(due, book.next_expiry - market_of(world, index).span + 1)
    elif book.candidate < book.table_end and book.pending == 0:
        due = min(due, turns_of(world)[book.candidate].at)
    if due == NEVER:
        return track.rows
    return first_at_or_after(ints_at(track.time, track.rows), start, track.rows, due, track.apart, track.even == 1)


@rule
def trading_row(world: Row, index: int, start: int) -> int:
    """Return a market's first row, from ``start``, in which something trades (L2.6), or the end of its rows.

    One that ends a coarse candle in which something traded is looked at, too: its close is judged (L7.2).
    """
    book, track, row = book_of(world, index), track_of(world, index), start
    kinds = bytes_at(track.kind, track.rows)
    still, k = ints_at(track.still, track.n_still), book.still
    while k < track.n_still and still[k] < row:
        k += 1
    while k < track.n_still and still[k] == row and not (track.detailed and kinds[row] == FINE_LAST):
        k += 1
        row += 1
    return row


@rule
def look_ahead(world: Row, index: int, start: int) -> None:
    """Find the next row of a market, from ``start``, at which something may happen, or from which to look on.

    How far it looks doubles while nothing is found: what a call overtakes was then never looked at for long.
    """
    book, track = book_of(world, index), track_of(world, index)
    rows, stop = track.rows, due_row(world, index, start)
    book.known, book.stale = 1, 0
    if book.n_signals == 0:
        book.next = stop
    elif book.slow or book.fresh:
        book.next = min(stop, trading_row(world, index, start))
    else:
        limit = min(stop, start + book.ahead)
        low, high = calm_band(view_of(world, index))
        book.next = quiet_until(track, start, limit, low, high)
        if book.next == limit and limit < stop:
            book.known = 0
            book.ahead *= 2
    keys_of(world)[index] = ints_at(track.time, rows)[book.next] if book.next < rows else NEVER


# ---------------------------------------------------------------- the markets in order


@folded
def sooner(keys: Ints, one: int, other: int) -> bool:
    """Whether a market is walked before another: by time, then by symbol."""
    return keys[one] < keys[other] or (keys[one] == keys[other] and one < other)


@rule
def sink(world: Row, place: int) -> None:
    """Restore the order of the heap below a place."""
    heap, keys, size = heap_of(world), keys_of(world), world.waiting
    market = heap[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and sooner(keys, heap[child + 1], heap[child]):
            child += 1
        if not sooner(keys, heap[child], market):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = market


@rule
def rise(world: Row, market: int) -> None:
    """Add a market to the heap."""
    heap, keys, place = heap_of(world), keys_of(world), world.waiting
    while place > 0:
        above = (place - 1) // 2
        if not sooner(keys, market, heap[above]):
            break
        heap[place] = heap[above]
        place = above
    heap[place] = market
    world.waiting += 1


@rule
def pop(world: Row) -> int:
    """Take the first market out of the heap."""
    heap = heap_of(world)
    market = heap[0]
    world.waiting -= 1
    heap[0] = heap[world.waiting]
    if world.waiting > 0:
        sink(world, 0)
    return market


@rule
def order_heap(world: Row) -> None:
    """Restore the order of the whole heap."""
    half = world.waiting // 2
    for back in range(half):
        sink(world, half - 1 - back)


@rule
def look_on(world: Row) -> None:
    """Look on in the first market until what it waits for is known: all markets of one instant are then known together."""
    while world.waiting > 0 and not book_of(world, heap_of(world)[0]).known:
        market = heap_of(world)[0]
        look_ahead(world, market, book_of(world, market).next)
        sink(world, 0)
