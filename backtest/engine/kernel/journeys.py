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
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.ending import expires_before, is_buy
from backtest.engine.kernel.few import choose, put_back, take_out
from backtest.engine.kernel.grid import TIE
from backtest.engine.kernel.ledger import book_equity
from backtest.engine.kernel.liquidation import end_newest, has_cross, is_uncovered, liquidate_cross, see_others
from backtest.engine.kernel.memory import events_in, orders_in, outcomes_of, signals_in, trades_in
from backtest.engine.kernel.path import Way, settle, travel, walk_legs
from backtest.engine.kernel.protection import ratchet, settles_at_stop
from backtest.engine.kernel.state import (
    account_of,
    book_of,
    config_of,
    copy_account,
    copy_book,
    scratch_account,
    scratch_of,
    view_of,
)

if TYPE_CHECKING:
    from backtest.engine.kernel.state import Candle, View
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


@folded
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
def same_fills(world: Row, journey: int) -> bool:
    """Whether a journey made the same fills as the first, whatever their order (L2.3)."""
    ours, theirs = events_in(scratch_account(world, 0)), events_in(scratch_account(world, journey))
    n, others = scratch_account(world, 0).n_events, scratch_account(world, journey).n_events
    if count_fills(ours, n) != count_fills(theirs, others):
        return False
    for k in range(n):
        if is_fill(ours[k]) and count_same(ours[k], ours, n) != count_same(ours[k], theirs, others):
            return False
    return True


@folded
def active_stop(signal: Row) -> float:
    """Return the level of a signal's active stop, or of the sell that rests after one was left unfilled; else nan."""
    if signal.protection == NO_STOP:
        return np.nan
    return signal.stop_limit if signal.protection == RESTING else signal.stop


@folded
def near(one: float, other: float) -> bool:
    """Whether two numbers agree to 1e-9 relative, or are both absent."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return abs(one - other) <= TIE * abs(one)


@folded
def same_left(one: Row, other: Row) -> bool:
    """Whether two walks leave the same of a signal: status, pending sale, open quantity and active stop (L2.3)."""
    if one.status != other.status or one.sale != other.sale or not near(one.quantity, other.quantity):
        return False
    return near(active_stop(one), active_stop(other))


@rule
def same_ends(world: Row, index: int, journey: int) -> bool:
    """Whether a journey leaves the same as the first."""
    one, other = scratch_of(world, index, 0), scratch_of(world, index, journey)
    for i in range(one.book.n_signals):
        if not same_left(signals_in(one.book)[i], signals_in(other.book)[i]):
            return False
    return True


@rule
def mark_signal(view: View, number: int) -> None:
    """Mark the trade of a signal as ambiguous: one that goes on, and one that a journey has ended."""
    for i in range(view.book.n_signals):
        if signals_in(view.book)[i].id == number:
            signals_in(view.book)[i].t_ambiguous = 1
    for k in range(view.account.n_trades):
        if trades_in(view.account)[k].signal == number:
            trades_in(view.account)[k].ambiguous = 1


@rule
def mark_fills(world: Row, kept: View, journey: int) -> None:
    """Mark the trades of the signals with a fill in a journey."""
    for k in range(scratch_account(world, journey).n_events):
        event = events_in(scratch_account(world, journey))[k]
        if is_fill(event):
            mark_signal(kept, event.signal)


@rule
def mark_ends(world: Row, index: int, kept: View, journey: int) -> None:
    """Mark the trades of the signals of which a journey leaves something else than the first."""
    one, other = scratch_of(world, index, 0), scratch_of(world, index, journey)
    for i in range(one.book.n_signals):
        if not same_left(signals_in(one.book)[i], signals_in(other.book)[i]):
            mark_signal(kept, signals_in(one.book)[i].id)


@rule
def differs(world: Row, index: int, journey: int) -> bool:
    """Whether a journey makes other fills than the first, or leaves something else (L2.3)."""
    return not (same_fills(world, journey) and same_ends(world, index, journey))


@rule
def differ(world: Row, index: int, walks: int) -> bool:
    """Whether any of the first journeys differs from the first."""
    for w in range(1, walks):
        if differs(world, index, w):
            return True
    return False


@rule
def mark_ambiguous(world: Row, index: int, walks: int, winner: int) -> None:
    """Count an ambiguous candle, and mark the trades that it touches: by a fill, or by what is left of them (L2.3)."""
    scratch_account(world, winner).ambiguous += 1
    kept = scratch_of(world, index, winner)
    for w in range(walks):
        mark_fills(world, kept, w)
        mark_ends(world, index, kept, w)


@rule
def best_of(world: Row, index: int, walks: int, close: float) -> int:
    """Return the journey that leaves the least, or in mode ``optimistic`` the most, equity at the close (L2.2)."""
    config = config_of(world)
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
def begin_journey(world: Row, index: int, journey: int) -> None:
    """Copy a book and the account into a scratch place."""
    copy_account(world, 1 + journey, 0)
    copy_book(world, world.n_markets + journey, index)
    account = scratch_account(world, journey)
    account.n_events = account.n_trades = 0
    book = book_of(world, world.n_markets + journey)
    book.raised = book.stopped = 0


@rule
def is_walked_alike(world: Row, index: int, journey: int) -> bool:
    """Whether a walk that let stops ratchet on the path must equal the one that lets them at the end only (L8.4).

    No stop has moved; or some have, none was met, and nothing else looks at where they stood: a stop further off is not
    met either, and the same best price puts it where it is at the end of the candle, with the close not beyond it.
    """
    view = scratch_of(world, index, journey)
    if view.book.raised and (view.book.stopped or view.config.trail_from != 0):
        return False
    for i in range(view.book.n_signals):
        if not settles_at_stop(signals_in(view.book)[i], view.market, view.config):
            return False
    return True


@rule
def may_trail(view: View) -> bool:
    """Whether a trailing stop stands in this candle, or may be armed in it: then it matters when stops ratchet (L8.4)."""
    for i in range(view.book.n_signals):
        signal = signals_in(view.book)[i]
        if signal.status <= OPEN and (signal.protection == TRAILING or not math.isnan(signal.waiting_trail)):
            return True
    for k in range(view.book.n_orders):
        if orders_in(view.book)[k].kind != O_DEAD and not math.isnan(orders_in(view.book)[k].trail):
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
def fork(world: Row, index: int, candle: Candle, cross: bool, trails: bool) -> int:
    """Walk the journeys of one candle from the same state and return the one to keep (L2.2, L4.4), in scratch.

    Scratch 0 and 1: filled, down-first and up-first; 2 and 3: the same with what expires inside the candle unfilled.
    Where a stop may trail, scratch 4 is the journey of mode ``candle``, by colour and with stops that ratchet at the
    end; then the open belongs to the journeys, for it ratchets too. Elsewhere, or where it must equal it, that journey is
    0 or 1.
    """
    falls, by_mode = candle.close < candle.open, config_of(world).mode == CANDLE
    walks = 4 if expires_before(view_of(world, index), candle.end) else 2
    for w in range(walks):
        begin_journey(world, index, w)
        walk_journey(scratch_of(world, index, w), candle, Journey(w % 2 == 1, YES, w >= 2, trails), cross)
    ambiguous, by_colour = differ(world, index, walks), np.int64(1) if falls else np.int64(0)
    if trails and (by_mode or not (ambiguous or is_walked_alike(world, index, by_colour))):
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
def keep(world: Row, index: int, journey: int) -> None:
    """Make a walked journey the state of the run, with its events and trades."""
    account, walked = account_of(world), scratch_account(world, journey)
    n_events, n_trades = account.n_events, account.n_trades
    events, walked_events = events_in(account), events_in(scratch_account(world, journey))
    for k in range(walked.n_events):
        events[n_events + k] = walked_events[k]
    trades, walked_trades = trades_in(account), trades_in(scratch_account(world, journey))
    for k in range(walked.n_trades):
        trades[n_trades + k] = walked_trades[k]
    n_events += walked.n_events
    n_trades += walked.n_trades
    copy_account(world, 0, 1 + journey)
    account.n_events, account.n_trades = n_events, n_trades
    copy_book(world, index, world.n_markets + journey)


@rule
def walk_plain(world: Row, view: View, index: int, candle: Candle, cross: bool, opens: bool, alone: bool) -> None:
    """Walk a candle in which no stop trails: the open once, then once more or both ways, as far as a level may be met.

    ``alone``: no other signal of the market lives besides those in the book.
    """
    if opens:
        trade_open(view, candle.open, YES, cross)
        compact(view, outcomes_of(world))
        measure(view)
    view.book.last = candle.open
    if view.book.n_signals > 0 and (cross or touches(view, candle.high, candle.low)):
        if cross or expires_before(view, candle.end) or not (alone and one_way_out(view, candle.high, candle.low)):
            keep(world, index, fork(world, index, candle, cross, NO))
            return
        walk_legs(view, candle, NO, YES, NO, NO)
    end_candle(view, candle, YES)


@rule
def liquidate_others(world: Row, index: int) -> None:
    """Close the cross positions of the other markets at their last prices after a cross liquidation (L13.2)."""
    account, here = account_of(world), book_of(world, index)
    account.cross_liquidated, account.due, account.due_reserved = 0, 0.0, 0.0
    for k in range(world.n_markets):
        if k == index:
            continue
        view = view_of(world, k)
        view.book.time, view.book.leg = here.time, here.leg
        view.book.stale = 1
        liquidate_cross(view, view.book.last, 0.0)
        compact(view, outcomes_of(world))
        measure(view)


@rule
def newest_reservation(world: Row) -> int:
    """Return the market whose book has the newest buy order, or -1."""
    market, newest = -1, -1
    for k in range(world.n_markets):
        view = view_of(world, k)
        for j in range(view.book.n_orders):
            if is_buy(orders_in(view.book)[j]) and orders_in(view.book)[j].seq > newest:
                market, newest = k, orders_in(view.book)[j].seq
    return market


@rule
def cover(world: Row, index: int) -> None:
    """End the newest reservations of all markets until cash covers the rest (L13.2)."""
    here = book_of(world, index)
    while is_uncovered(account_of(world), config_of(world)):
        k = newest_reservation(world)
        if k < 0:
            return
        view = view_of(world, k)
        view.book.time, view.book.leg, view.book.stale = here.time, here.leg, 1
        end_newest(view)
        compact(view, outcomes_of(world))
        measure(view)


@rule
def walk_all(world: Row, index: int, candle: Candle, alone: bool) -> None:
    """Walk one candle with every signal of a book; ``alone``: no other one of the market lives."""
    view = view_of(world, index)
    book, path = view.book, view.config.mode != CANDLE
    cross, trails = has_cross(view), may_trail(view)
    if cross:
        see_others(world, index)
    opens = book.acted or book.fresh or book.slow or cross or candle.open <= book.low or candle.open >= book.high
    if opens:
        book.leg = LEG_GAP
        travel(view, Way(book.last, candle.open, YES), path, cross)
    if not trails:
        walk_plain(world, view, index, candle, cross, opens, alone)
    elif opens or touches(view, candle.high, candle.low):
        keep(world, index, fork(world, index, candle, cross, YES))
    else:
        see_range(view, candle, path)
        end_candle(view, candle, path)
    compact(view, outcomes_of(world))
    book.last = candle.close
    measure(view)
    if view.account.cross_liquidated:
        liquidate_others(world, index)
    if cross:
        cover(world, index)


@rule
def walk_few(world: Row, index: int, candle: Candle) -> None:
    """Walk one candle with those signals of a book that can act in it; the others cannot tell that it went by."""
    view = view_of(world, index)
    book = view.book
    n_signals, n_orders = book.n_signals, book.n_orders
    walked = choose(world, view, candle)
    if walked == 0:
        book.fresh, book.last = 0, candle.close
        return
    take_out(world, view, walked)
    walk_all(world, index, candle, n_signals == 1)
    put_back(world, view, n_signals, n_orders, walked)
    measure(view)


@rule
def walk_candle(world: Row, index: int, candle: Candle) -> None:
    """Walk one candle of one market after the calls of its instant: gap, open, legs, close (L2.1)."""
    view = view_of(world, index)
    if view.book.n_signals == 0:
        view.book.last = candle.close
    elif view.book.n_signals < world.many or has_cross(view):
        walk_all(world, index, candle, YES)
    else:
        walk_few(world, index, candle)
