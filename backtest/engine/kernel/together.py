"""Together: several markets on one account, or one with detail candles, from one event to the next (L14.1).

Each market looks ahead to its next row that matters and waits in a heap. Those of one instant are its members: first
expiries, funding and calls (L1.3), then their candles by symbol. All other candles go by unseen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.engine.codes import AT_CLOSE, COARSE, DONE, FINE, FINE_LAST, GROW, NOBODY, WALK
from backtest.engine.kernel.agenda import due_calls, examine, fits, next_still, open_instant, pass_still
from backtest.engine.kernel.band import quiet_candle, touches
from backtest.engine.kernel.calls import arrive
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.journeys import walk_candle
from backtest.engine.kernel.liquidation import has_cross
from backtest.engine.kernel.memory import bytes_at, calls_of, floats_at, heap_of, ints_at, keys_of, members_of
from backtest.engine.kernel.outlook import look_ahead, look_on, order_heap, pop, rise
from backtest.engine.kernel.points import (
    begin_segments,
    first_close,
    go_by,
    go_to,
    go_to_all,
    go_to_end,
    has_room,
    note_cash,
    note_position,
    write_points,
)
from backtest.engine.kernel.rows import first_at_or_after
from backtest.engine.kernel.state import Candle, account_of, book_of, config_of, track_of, view_of
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View
    from backtest.engine.records import Row

__all__ = ["walk_together"]

# ---------------------------------------------------------------- from instant to instant


@rule
def walk_together(world: Row, stop_time: int) -> int:
    """Walk on; return at a close with new events if the run wants them, at ``stop_time``, at the end, or to grow."""
    if world.n_segments == 0:
        begin_segments(world)
    if world.n_members == 0:
        look_again(world)
    while True:
        if world.n_members == 0:
            code = next_instant(world, stop_time)
            if code != WALK:
                return code
        if not walk_instant(world):
            return GROW


@rule
def look_again(world: Row) -> None:
    """Look ahead where calls or candles came since; what was passed already is passed."""
    found = False
    for q in range(world.n_markets):
        book, track = book_of(world, q), track_of(world, q)
        if book.stale:
            time, start = ints_at(track.time, track.rows), book.row
            if world.passed > 0:
                start = first_at_or_after(time, start, track.rows, world.passed, track.apart, track.even == 1)
            book.ahead = world.ahead
            look_ahead(world, q, start)
            found = True
    if found:
        order_heap(world)


@rule
def next_instant(world: Row, stop_time: int) -> int:
    """Find the next instant at which something may happen, and pass the closes before it."""
    look_on(world)
    world.now = keys_of(world)[heap_of(world)[0]]
    if pass_closes(world, stop_time):
        return AT_CLOSE
    if world.now == NEVER:
        world.passed = 0
        go_to_end(world)
        return DONE
    members = members_of(world)
    while world.waiting > 0 and keys_of(world)[heap_of(world)[0]] == world.now:
        members[world.n_members] = pop(world)
        world.n_members += 1
        look_on(world)
    if not has_room(world):
        write_points(world)
    return WALK


@rule
def pass_closes(world: Row, stop_time: int) -> bool:
    """Pass the closes up to the next instant; return whether the walk stops at one of them."""
    account, point, now = account_of(world), world.point, world.now
    if point == world.n_closes or ints_at(world.closes, world.n_closes)[point] > now:
        return False
    stop = world.n_closes
    if config_of(world).want_events and account.n_events > world.told:
        stop = point
    elif stop_time < NEVER:
        stop = first_close(world, point, stop_time)
    world.told = account.n_events
    if stop < world.n_closes and ints_at(world.closes, world.n_closes)[stop] <= now:
        world.passed = ints_at(world.closes, world.n_closes)[stop]
        world.point = stop + 1
        return True
    world.point = world.n_closes if now == NEVER else first_close(world, point, now + 1)
    return False


# ---------------------------------------------------------------- one instant


@rule
def walk_instant(world: Row) -> bool:
    """Walk the candles of one instant after its calls; return whether every buffer had room."""
    if not world.opened:
        if not open_members(world):
            return False
        world.opened = 1
    members = members_of(world)
    while world.member < world.n_members:
        if not walk_member(world, members[world.member]):
            return False
        world.member += 1
    note_cash(world)
    world.n_members = world.member = world.opened = 0
    return True


@rule
def has_room_for_calls(world: Row, index: int, due: int) -> bool:
    """Whether signals and orders of a market have room for the calls of this instant."""
    account, book = account_of(world), book_of(world, index)
    if book.n_signals + due + 1 >= book.signal_room:
        account.lacks = 1
        return False
    if book.n_orders + 3 * due + 3 >= book.order_room:
        account.lacks = 2
        return False
    return True


@rule
def open_members(world: Row) -> bool:
    """Begin an instant: funding and expiries by symbol, then calls in order of arrival (L1.3, L14.1).

    Returns false where a buffer must grow first; nothing has happened then.
    """
    members, events, due = members_of(world), 64, 0
    for place in range(world.n_members):
        q = members[place]
        go_by(world, q, book_of(world, q).next)
        examine(world, q, world.now)
        mine = due_calls(world, q, world.now)
        if not has_room_for_calls(world, q, mine):
            return False
        events += 4 * (book_of(world, q).n_signals + mine)
        due += mine
    if account_of(world).n_events + events >= account_of(world).event_room:
        account_of(world).lacks = 4
        return False
    for place in range(world.n_members):
        q = members[place]
        track = track_of(world, q)
        open_instant(world, view_of(world, q), q, world.now, floats_at(track.open, track.rows)[book_of(world, q).next])
    if due > 0 and config_of(world).basis_equity:
        go_to_all(world, world.now)
    for _ in range(due):
        arrive(world, next_caller(world))
    return True


@rule
def next_caller(world: Row) -> int:
    """Return the market whose next call arrives first; of one arrival, the one that was sent first (L1.3)."""
    members, calls, chosen, first = members_of(world), calls_of(world), NOBODY, NEVER
    for place in range(world.n_members):
        k = book_of(world, members[place]).call
        if k < 0 or calls[k].arrival > world.now:
            continue
        arrival = calls[k].arrival
        if chosen < 0 or arrival < first or (arrival == first and k < book_of(world, chosen).call):
            chosen, first = members[place], arrival
    return chosen


@rule
def walk_member(world: Row, index: int) -> bool:
    """Walk the candle of one market at this instant; return whether every buffer had room."""
    book = book_of(world, index)
    row = book.next
    if next_still(world, index) == row:
        if not stand_still(world, index):
            return False
        book.still += 1
    elif not trade(world, index):
        return False
    book.row, book.ahead = row + 1, world.ahead
    note_position(world, index)
    look_ahead(world, index, row + 1)
    rise(world, index)
    return True


@folded
def kind_of(track: Row, row: int) -> int:
    """Return the kind of a row: a candle of its own, a detail candle, or the last one of a coarse candle."""
    return bytes_at(track.kind, track.rows)[row] if track.detailed else COARSE


@folded
def length_of(market: Row, kind: int) -> int:
    """Return the length of a candle in ms."""
    return market.span if kind == COARSE else market.fine_span


@rule
def stand_still(world: Row, index: int) -> bool:
    """Let a row go by in which nothing trades (L2.6); return whether every buffer had room."""
    view, track = view_of(world, index), track_of(world, index)
    if view.book.n_signals == 0:
        return True
    if not fits(world, index, world.now):
        return False
    kind = kind_of(track, view.book.next)
    pass_still(world, view, world.now + length_of(view.market, kind), kind == FINE_LAST)
    return True


@rule
def trade(world: Row, index: int) -> bool:
    """Walk a candle that trades, or pass it where nothing is met; return whether every buffer had room."""
    view, track = view_of(world, index), track_of(world, index)
    book, n, row = view.book, track.rows, view.book.next
    high, low, close = floats_at(track.high, n)[row], floats_at(track.low, n)[row], floats_at(track.close, n)[row]
    if book.n_signals == 0:
        book.last = close
        return True
    kind = kind_of(track, row)
    end = world.now + length_of(view.market, kind)
    candle = Candle(floats_at(track.open, n)[row], high, low, close, end, kind != FINE)
    if is_quiet(view, candle) and view.account.n_events + book.ratcheting + 8 < view.account.event_room:
        quiet_candle(view, candle)
        return True
    if not fits(world, index, world.now):
        return False
    if has_cross(view):
        walk_cross(world, index, candle)
    else:
        walk_candle(world, index, candle)
    return True


@folded
def is_quiet(view: View, candle: Candle) -> bool:
    """Whether a candle can be passed without walking it."""
    book = view.book
    if book.acted or book.fresh or book.slow or book.next_expiry < candle.end:
        return False
    return not touches(view, candle.high, candle.low)


@rule
def walk_cross(world: Row, index: int, candle: Candle) -> None:
    """Walk a candle of a market with cross positions: the prices of all markets back them, and they may end there (L13.2)."""
    for k in range(world.n_markets):
        if k != index:
            go_to(world, k, world.now + 1 if k < index else world.now)
            examine_begun(world, k)
    walk_candle(world, index, candle)
    found = False
    for k in range(world.n_markets):
        if k == index or not book_of(world, k).stale:
            continue
        note_position(world, k)
        if keys_of(world)[k] != world.now or is_walked(world, k):
            look_ahead(world, k, book_of(world, k).row)
            found = True
    if found:
        order_heap(world)


@rule
def examine_begun(world: Row, index: int) -> None:
    """Decide on the rows of a table up to this instant, if a candle of the market opens at it: it has begun there, too."""
    book, track = book_of(world, index), track_of(world, index)
    if book.row < track.rows and ints_at(track.time, track.rows)[book.row] == world.now:
        examine(world, index, world.now)


@rule
def is_walked(world: Row, index: int) -> bool:
    """Whether a market is none of the members whose candle of this instant is still to be walked."""
    members = members_of(world)
    for place in range(world.member, world.n_members):
        if members[place] == index:
            return False
    return True
