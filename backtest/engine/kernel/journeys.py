"""Journeys: one candle walked both ways, compared, and one of them kept (L2.2, L2.3, L4.4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import CANDLE, LEG_CLOSE, LEG_GAP, LEG_OPEN, NO, OPTIMISTIC, YES
from backtest.engine.kernel.band import measure, one_way_out, touches
from backtest.engine.kernel.closing import compact, end_candle
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.ending import expire
from backtest.engine.kernel.grid import TIE
from backtest.engine.kernel.ledger import book_equity
from backtest.engine.kernel.liquidation import has_cross, liquidate_cross, see_others
from backtest.engine.kernel.path import Way, settle, travel, walk_legs
from backtest.engine.kernel.protection import ratchet
from backtest.engine.kernel.state import markets_in, scratch_of, view_of

if TYPE_CHECKING:
    from backtest.engine.kernel.state import Candle, View, World
    from backtest.engine.records import Row, Rows

__all__ = ["walk_candle"]

BY_COLOUR = np.int64(4)  # the scratch book of mode ``candle``


# ---------------------------------------------------------------- comparing journeys


@rule
def is_fill(event: Row) -> bool:
    """Whether an event traded something."""
    return event.buy == 1 or event.quantity > 0.0


@rule
def same_fill(one: Row, other: Row) -> bool:
    """Whether two fills agree in signal, kind, price, quantity and fee, to 1e-9 relative."""
    if one.signal != other.signal or one.kind != other.kind or not is_fill(other):
        return False
    same_price = abs(one.price - other.price) <= TIE * abs(one.price)
    same_quantity = abs(one.quantity - other.quantity) <= TIE * abs(one.quantity)
    return same_price and same_quantity and abs(one.fee - other.fee) <= TIE * max(abs(one.fee), 1e-12)


@rule
def count_fills(events: Rows, n: int) -> int:
    """Return how many of the first ``n`` events are fills."""
    fills = 0
    for k in range(n):
        fills += 1 if is_fill(events[k]) else 0
    return fills


@rule
def count_same(fill: Row, events: Rows, n: int) -> int:
    """Return how many of the first ``n`` events are the same fill."""
    same = 0
    for k in range(n):
        same += 1 if same_fill(fill, events[k]) else 0
    return same


@rule
def same_fills(world: World, journey: int) -> bool:
    """Whether a journey made the same fills as the first, whatever their order (L2.3)."""
    ours, theirs = world.scratch_events[0], world.scratch_events[journey]
    n, others = world.accounts[1].n_events, world.accounts[1 + journey].n_events
    if count_fills(ours, n) != count_fills(theirs, others):
        return False
    for k in range(n):
        if is_fill(ours[k]) and count_same(ours[k], ours, n) != count_same(ours[k], theirs, others):
            return False
    return True


@rule
def mark_signal(view: View, number: int) -> None:
    """Mark the trade of a signal as ambiguous: one that goes on, and one that a journey has ended."""
    for i in range(view.book.n_signals):
        if view.signals[i].id == number:
            view.signals[i].t_ambiguous = 1
    for k in range(view.account.n_trades):
        if view.trades[k].signal == number:
            view.trades[k].ambiguous = 1


@rule
def mark_ambiguous(world: World, index: int, walks: int, winner: int) -> None:
    """Mark the trades that an ambiguous candle touches: those with a fill in any of its walks."""
    kept = scratch_of(world, index, winner)
    for w in range(walks):
        for k in range(world.accounts[1 + w].n_events):
            event = world.scratch_events[w, k]
            if is_fill(event):
                mark_signal(kept, event.signal)


@rule
def best_of(world: World, index: int, walks: int, close: float) -> int:
    """Return the journey that leaves the least, or in mode ``optimistic`` the most, equity at the close (L2.2)."""
    config = world.config[0]
    sign = 1.0 if config.mode == OPTIMISTIC else -1.0
    top = -math.inf
    for w in range(walks):
        top = max(top, sign * book_equity(scratch_of(world, index, w), close))
    for w in range(walks):
        if sign * book_equity(scratch_of(world, index, w), close) >= top - TIE * config.balance:
            return w
    return 0


# ---------------------------------------------------------------- walking them


@rule
def begin_journey(world: World, index: int, journey: int) -> None:
    """Copy a book and the account into a scratch place."""
    place = markets_in(world) + journey
    world.accounts[1 + journey] = world.accounts[0]
    world.books[place] = world.books[index]
    for i in range(world.books[index].n_signals):
        world.signals[place, i] = world.signals[index, i]
    for k in range(world.books[index].n_orders):
        world.orders[place, k] = world.orders[index, k]
    world.accounts[1 + journey].n_events = 0
    world.accounts[1 + journey].n_trades = 0


@rule
def fork(world: World, index: int, candle: Candle, cross: bool, expiring: bool) -> int:
    """Walk the journeys of one candle from the same state and return the one to keep (L2.2, L4.4), in scratch.

    Scratch 0 and 1: filled, down-first and up-first; 2 and 3: the same with what expires inside the candle unfilled.
    In mode ``candle`` scratch 4 is the journey by colour with stops that ratchet at the end.
    """
    walks = 4 if expiring else 2
    for w in range(walks):
        begin_journey(world, index, w)
        walk_legs(scratch_of(world, index, w), candle, w % 2 == 1, YES, w >= 2, cross)
    if world.config[0].mode == CANDLE:
        winner = BY_COLOUR
        begin_journey(world, index, winner)
        walk_legs(scratch_of(world, index, winner), candle, candle.close < candle.open, NO, NO, cross)
    else:
        winner = best_of(world, index, walks, candle.close)
    for w in range(1, walks):
        if not same_fills(world, w):
            world.accounts[0].ambiguous += 1
            mark_ambiguous(world, index, walks, winner)
            break
    return winner


@rule
def keep(world: World, index: int, journey: int) -> None:
    """Make a walked journey the state of the run, with its events and trades."""
    place, account, walked = markets_in(world) + journey, world.accounts[0], world.accounts[1 + journey]
    n_events, n_trades, ambiguous = account.n_events, account.n_trades, account.ambiguous
    for k in range(walked.n_events):
        world.events[n_events + k] = world.scratch_events[journey, k]
    for k in range(walked.n_trades):
        world.trades[n_trades + k] = world.scratch_trades[journey, k]
    n_events += walked.n_events
    n_trades += walked.n_trades
    world.accounts[0] = walked
    account.n_events, account.n_trades, account.ambiguous = n_events, n_trades, ambiguous
    world.books[index] = world.books[place]
    for i in range(world.books[place].n_signals):
        world.signals[index, i] = world.signals[place, i]
    for k in range(world.books[place].n_orders):
        world.orders[index, k] = world.orders[place, k]


@rule
def open_candle(world: World, view: View, opened: float, cross: bool) -> None:
    """Take the price through the gap to the open, and act there (L2.1)."""
    book, path = view.book, view.config.mode != CANDLE
    if book.acted or book.fresh or book.slow or cross or opened <= book.low or opened >= book.high:
        book.leg = LEG_GAP
        travel(view, Way(book.last, opened, YES), path, cross)
        book.leg = LEG_OPEN
        ratchet(view, opened, path)
        travel(view, Way(opened, opened, NO), path, cross)
        settle(view)
        book.last = opened
        compact(view, world.outcomes)
        measure(view)
    else:  # nothing is met on the way to the open, nor at it
        book.last = opened


@rule
def liquidate_others(world: World, index: int) -> None:
    """Close the cross positions of the other markets at their last prices after a cross liquidation (L13.2)."""
    world.accounts[0].cross_liquidated = 0
    here = world.books[index]
    for k in range(markets_in(world)):
        if k == index:
            continue
        view = view_of(world, k)
        view.book.time, view.book.leg = here.time, here.leg
        liquidate_cross(view, view.book.last)
        compact(view, world.outcomes)
        measure(view)


@rule
def walk_inside(world: World, view: View, index: int, candle: Candle, cross: bool, expiring: bool) -> None:
    """Walk from the open to the close: once where both journeys must agree, both ways where a level may be met."""
    path = view.config.mode != CANDLE
    if view.book.n_signals > 0 and not cross and not expiring and one_way_out(view, candle.high, candle.low):
        walk_legs(view, candle, NO, YES, NO, NO)
    elif view.book.n_signals > 0 and (cross or touches(view, candle.high, candle.low)):
        keep(world, index, fork(world, index, candle, cross, expiring))
    else:
        ratchet(view, candle.high, path)
        ratchet(view, candle.low, path)


@rule
def walk_candle(world: World, index: int, candle: Candle) -> None:
    """Walk one candle of one market after the calls of its instant: gap, open, legs, close (L2.1)."""
    view = view_of(world, index)
    book = view.book
    if book.n_signals == 0:
        book.last = candle.close
        return
    cross = has_cross(view)
    if cross:
        see_others(world, index)
    open_candle(world, view, candle.open, cross)
    expiring = book.next_expiry < candle.end
    walk_inside(world, view, index, candle, cross, expiring)
    if expiring:
        book.leg = LEG_CLOSE
        expire(view, candle.end)
    end_candle(view, candle.close, candle.whole)
    compact(view, world.outcomes)
    book.last = candle.close
    measure(view)
    if view.account.cross_liquidated:
        liquidate_others(world, index)
