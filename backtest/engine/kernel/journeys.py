"""Journeys: one candle walked both ways, compared, and one of them kept (L2.2, L2.3, L4.4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backtest.engine.codes import (
    CANDLE,
    LEG_GAP,
    LEG_OPEN,
    NO,
    NO_STOP,
    O_DEAD,
    OPEN,
    OPTIMISTIC,
    RESTING,
    TRAILING,
    YES,
)
from backtest.engine.kernel.band import measure, one_way_out, see_range, touches
from backtest.engine.kernel.closing import compact, end_candle
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.ending import expires_before, is_buy
from backtest.engine.kernel.grid import TIE
from backtest.engine.kernel.ledger import book_equity
from backtest.engine.kernel.liquidation import end_newest, has_cross, is_uncovered, liquidate_cross, see_others
from backtest.engine.kernel.path import Way, settle, travel, walk_legs
from backtest.engine.kernel.protection import ratchet
from backtest.engine.kernel.state import markets_in, scratch_of, view_of

if TYPE_CHECKING:
    from backtest.engine.kernel.state import Candle, View, World
    from backtest.engine.records import Row, Rows

__all__ = ["walk_candle"]

BY_COLOUR = np.int64(4)  # the scratch book of mode ``candle``


class Journey(NamedTuple):
    """How a candle is walked: which way, whether stops ratchet inside, expired entries are dead, the open is part of it."""

    up_first: bool
    path: bool
    expires: bool
    opens: bool


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
def active_stop(signal: Row) -> float:
    """Return the level of a signal's active stop, or of the sell that rests after one was left unfilled; else nan."""
    if signal.protection == NO_STOP:
        return np.nan
    return signal.stop_limit if signal.protection == RESTING else signal.stop


@rule
def near(one: float, other: float) -> bool:
    """Whether two numbers agree to 1e-9 relative, or are both absent."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return abs(one - other) <= TIE * abs(one)


@rule
def same_left(one: Row, other: Row) -> bool:
    """Whether two walks leave the same of a signal: status, pending sale, open quantity and active stop (L2.3)."""
    if one.status != other.status or one.sale != other.sale or not near(one.quantity, other.quantity):
        return False
    return near(active_stop(one), active_stop(other))


@rule
def same_ends(world: World, index: int, journey: int) -> bool:
    """Whether a journey leaves the same as the first."""
    one, other = scratch_of(world, index, 0), scratch_of(world, index, journey)
    for i in range(one.book.n_signals):
        if not same_left(one.signals[i], other.signals[i]):
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
def mark_fills(world: World, kept: View, journey: int) -> None:
    """Mark the trades of the signals with a fill in a journey."""
    for k in range(world.accounts[1 + journey].n_events):
        event = world.scratch_events[journey, k]
        if is_fill(event):
            mark_signal(kept, event.signal)


@rule
def mark_ends(world: World, index: int, kept: View, journey: int) -> None:
    """Mark the trades of the signals of which a journey leaves something else than the first."""
    one, other = scratch_of(world, index, 0), scratch_of(world, index, journey)
    for i in range(one.book.n_signals):
        if not same_left(one.signals[i], other.signals[i]):
            mark_signal(kept, one.signals[i].id)


@rule
def differs(world: World, index: int, journey: int) -> bool:
    """Whether a journey makes other fills than the first, or leaves something else (L2.3)."""
    return not (same_fills(world, journey) and same_ends(world, index, journey))


@rule
def differ(world: World, index: int, walks: int) -> bool:
    """Whether any of the first journeys differs from the first."""
    for w in range(1, walks):
        if differs(world, index, w):
            return True
    return False


@rule
def mark_ambiguous(world: World, index: int, walks: int, winner: int) -> None:
    """Count an ambiguous candle, and mark the trades that it touches: by a fill, or by what is left of them (L2.3)."""
    world.accounts[1 + winner].ambiguous += 1
    kept = scratch_of(world, index, winner)
    for w in range(walks):
        mark_fills(world, kept, w)
        mark_ends(world, index, kept, w)


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
def may_trail(view: View) -> bool:
    """Whether a trailing stop stands in this candle, or may be armed in it: then it matters when stops ratchet (L8.4)."""
    for i in range(view.book.n_signals):
        signal = view.signals[i]
        if signal.status <= OPEN and (signal.protection == TRAILING or not math.isnan(signal.waiting_trail)):
            return True
    for k in range(view.book.n_orders):
        if view.orders[k].kind != O_DEAD and not math.isnan(view.orders[k].trail):
            return True
    return False


@rule
def trade_open(view: View, opened: float, path: bool, cross: bool) -> None:
    """Trade the open: what arrived at this instant acts there, and a level exactly at it (L2.1)."""
    view.book.leg = LEG_OPEN
    ratchet(view, opened, path)
    travel(view, Way(opened, opened, NO), path, cross)
    settle(view)
    view.book.last = opened


@rule
def walk_journey(view: View, candle: Candle, journey: Journey, cross: bool) -> None:
    """Walk one journey to the end of its candle."""
    if journey.opens:
        trade_open(view, candle.open, journey.path, cross)
    walk_legs(view, candle, journey.up_first, journey.path, journey.expires, cross)
    end_candle(view, candle, journey.path)


@rule
def fork(world: World, index: int, candle: Candle, cross: bool, trails: bool) -> int:
    """Walk the journeys of one candle from the same state and return the one to keep (L2.2, L4.4), in scratch.

    Scratch 0 and 1: filled, down-first and up-first; 2 and 3: the same with what expires inside the candle unfilled.
    Where a stop may trail, scratch 4 is the journey of mode ``candle``, by colour and with stops that ratchet at the
    end; then the open belongs to the journeys, for it ratchets too. Elsewhere that journey is 0 or 1.
    """
    falls, by_mode = candle.close < candle.open, world.config[0].mode == CANDLE
    walks = 4 if expires_before(view_of(world, index), candle.end) else 2
    for w in range(walks):
        begin_journey(world, index, w)
        walk_journey(scratch_of(world, index, w), candle, Journey(w % 2 == 1, YES, w >= 2, trails), cross)
    ambiguous, by_colour = differ(world, index, walks), np.int64(1) if falls else np.int64(0)
    if trails and (by_mode or not ambiguous):
        by_colour = BY_COLOUR
        begin_journey(world, index, by_colour)
        walk_journey(scratch_of(world, index, by_colour), candle, Journey(falls, NO, NO, YES), cross)
        if differs(world, index, by_colour):
            ambiguous = True
    winner = by_colour if by_mode else best_of(world, index, walks, candle.close)
    if ambiguous:
        mark_ambiguous(world, index, walks, winner)
        if by_colour == BY_COLOUR:
            mark_fills(world, scratch_of(world, index, winner), BY_COLOUR)
            mark_ends(world, index, scratch_of(world, index, winner), BY_COLOUR)
    return winner


@rule
def keep(world: World, index: int, journey: int) -> None:
    """Make a walked journey the state of the run, with its events and trades."""
    place, account, walked = markets_in(world) + journey, world.accounts[0], world.accounts[1 + journey]
    n_events, n_trades = account.n_events, account.n_trades
    for k in range(walked.n_events):
        world.events[n_events + k] = world.scratch_events[journey, k]
    for k in range(walked.n_trades):
        world.trades[n_trades + k] = world.scratch_trades[journey, k]
    n_events += walked.n_events
    n_trades += walked.n_trades
    world.accounts[0] = walked
    account.n_events, account.n_trades = n_events, n_trades
    world.books[index] = world.books[place]
    for i in range(world.books[place].n_signals):
        world.signals[index, i] = world.signals[place, i]
    for k in range(world.books[place].n_orders):
        world.orders[index, k] = world.orders[place, k]


@rule
def walk_plain(world: World, view: View, index: int, candle: Candle, cross: bool, opens: bool) -> None:
    """Walk a candle in which no stop trails: the open once, then once more or both ways, as far as a level may be met."""
    if opens:
        trade_open(view, candle.open, YES, cross)
        compact(view, world.outcomes)
        measure(view)
    view.book.last = candle.open
    if view.book.n_signals > 0 and (cross or touches(view, candle.high, candle.low)):
        if cross or expires_before(view, candle.end) or not one_way_out(view, candle.high, candle.low):
            keep(world, index, fork(world, index, candle, cross, NO))
            return
        walk_legs(view, candle, NO, YES, NO, NO)
    end_candle(view, candle, YES)


@rule
def liquidate_others(world: World, index: int) -> None:
    """Close the cross positions of the other markets at their last prices after a cross liquidation (L13.2)."""
    account, here = world.accounts[0], world.books[index]
    account.cross_liquidated, account.due, account.due_reserved = 0, 0.0, 0.0
    for k in range(markets_in(world)):
        if k == index:
            continue
        view = view_of(world, k)
        view.book.time, view.book.leg = here.time, here.leg
        liquidate_cross(view, view.book.last, 0.0)
        compact(view, world.outcomes)
        measure(view)


@rule
def newest_reservation(world: World) -> int:
    """Return the market whose book has the newest buy order, or -1."""
    market, newest = -1, -1
    for k in range(markets_in(world)):
        view = view_of(world, k)
        for j in range(view.book.n_orders):
            if is_buy(view.orders[j]) and view.orders[j].seq > newest:
                market, newest = k, view.orders[j].seq
    return market


@rule
def cover(world: World, index: int) -> None:
    """End the newest reservations of all markets until cash covers the rest (L13.2)."""
    here = world.books[index]
    while is_uncovered(world.accounts[0], world.config[0]):
        k = newest_reservation(world)
        if k < 0:
            return
        view = view_of(world, k)
        view.book.time, view.book.leg = here.time, here.leg
        end_newest(view)
        compact(view, world.outcomes)
        measure(view)


@rule
def walk_candle(world: World, index: int, candle: Candle) -> None:
    """Walk one candle of one market after the calls of its instant: gap, open, legs, close (L2.1)."""
    view = view_of(world, index)
    book, path = view.book, view.config.mode != CANDLE
    if book.n_signals == 0:
        book.last = candle.close
        return
    cross, trails = has_cross(view), may_trail(view)
    if cross:
        see_others(world, index)
    opens = book.acted or book.fresh or book.slow or cross or candle.open <= book.low or candle.open >= book.high
    if opens:
        book.leg = LEG_GAP
        travel(view, Way(book.last, candle.open, YES), path, cross)
    if not trails:
        walk_plain(world, view, index, candle, cross, opens)
    elif opens or touches(view, candle.high, candle.low):
        keep(world, index, fork(world, index, candle, cross, YES))
    else:
        see_range(view, candle, path)
        end_candle(view, candle, path)
    compact(view, world.outcomes)
    book.last = candle.close
    measure(view)
    if view.account.cross_liquidated:
        liquidate_others(world, index)
    if cross:
        cover(world, index)
