"""Walk: from candle to candle, one market or several on one account (L1.3, L14.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backtest.engine.codes import AT_CLOSE, DONE, GROW, NO, NOBODY, YES
from backtest.engine.kernel.agenda import begin_market, due_calls, examine, fits, next_still, open_instant, pass_still
from backtest.engine.kernel.band import calm_band, quiet_candle, touches
from backtest.engine.kernel.calls import arrive
from backtest.engine.kernel.compiled import entry, folded, rule
from backtest.engine.kernel.journeys import walk_candle
from backtest.engine.kernel.ledger import equity_of
from backtest.engine.kernel.liquidation import next_funding
from backtest.engine.kernel.rows import first_at_or_after, is_even, quiet_rows
from backtest.engine.kernel.state import Candle, view_of
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.engine.kernel.state import View, World
    from backtest.engine.records import Floats, Ints

__all__ = ["advance_many", "advance_one"]


ONLY = np.int64(0)  # the place of the only market


class Series(NamedTuple):
    """The candles of one market: open time in UTC ms, and prices."""

    time: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats


# ---------------------------------------------------------------- one market


@folded
def next_row(world: World, series: Series, stop: int, even: bool) -> int:
    """Return the row, before ``stop``, at which something is due in the only market, or ``stop``."""
    book, span = world.books[0], world.markets[0].span
    due = NEVER
    if book.call >= 0:
        due = world.calls[book.call].arrival
    if book.n_signals > 0:
        due = min(due, next_funding(world, book, ONLY))
        if book.next_expiry < NEVER:
            due = min(due, book.next_expiry - span + 1)
    elif book.candidate < world.ends[0]:
        due = min(due, world.queue[book.candidate, 2])
    return stop if due == NEVER else first_at_or_after(series.time, book.row, stop, due, span, even)


@rule
def scan(view: View, series: Series, equity: Floats, row: int, stop: int) -> int:
    """Pass quiet candles and mark the positions at their closes; return the first row that is not quiet."""
    account, book = view.account, view.book
    units, base, before = book.units, account.cash + account.margin - book.cost, account.n_events
    while True:
        low, high = calm_band(view)
        quiet = quiet_rows(series.low[row:stop], series.high[row:stop], low, high)
        points, closes = equity[row : row + quiet], series.close[row : row + quiet]
        for k in range(quiet):
            points[k] = base + units * closes[k]
        if quiet:
            book.last = closes[quiet - 1]
        row += quiet
        full = account.n_events + book.ratcheting + 8 >= len(view.events)
        if row == stop or book.ratcheting == 0 or full or touches(view, series.high[row], series.low[row]):
            return row
        book.time = series.time[row]
        quiet_candle(
            view, Candle(series.open[row], series.high[row], series.low[row], series.close[row], 0, YES)
        )  # nothing expires in it
        equity[row] = base + units * series.close[row]
        row += 1
        if book.slow or (view.config.want_events and account.n_events > before):
            return row


@rule
def pass_quiet(world: World, view: View, series: Series, equity: Floats, stop: int, even: bool) -> int:
    """Pass the candles on which nothing can happen; return the first other one, from the row of the book on."""
    account, book = view.account, view.book
    row = book.row
    stop = next_row(world, series, min(stop, next_still(world, book, ONLY)), even)
    if book.n_signals > 0:
        return scan(view, series, equity, row, stop) if stop > row and not book.slow and not book.fresh else row
    if stop > row:
        value = account.cash + account.margin
        for k in range(row, stop):
            equity[k] = value
        book.started, book.last = 1, series.close[stop - 1]
    return stop


@entry
def advance_one(world: World, series: Series, equity: Floats, until: int, peek: bool) -> int:
    """Walk one market without detail candles up to row ``until``; write one equity point a candle.

    Returns at a close with new events if the run wants them, when a buffer must grow, or at ``until``. With ``peek`` no
    candle is walked on which something could happen: the run stops before it.
    """
    view = view_of(world, ONLY)
    account, book, span = view.account, view.book, view.market.span
    even = is_even(series.time, until, span)
    while book.row < until:
        row, before = book.row, account.n_events
        now = series.time[0] + row * span if even else series.time[row]
        # far from where memory was read last: waited for at once
        candle = Candle(series.open[row], series.high[row], series.low[row], series.close[row], now + span, YES)
        examine(world, ONLY, now)
        reached = pass_quiet(world, view, series, equity, until, even)
        still = reached == row and next_still(world, book, ONLY) == row
        if still and next_row(world, series, row + 1, even) > row:
            begin_market(book, candle.open)
            reached = row + 1
            book.still += 1
            equity[row] = account.cash + account.margin + (book.units * book.last - book.cost)
        if reached > row:
            book.row = reached
        elif peek:
            return DONE
        elif not fits(world, ONLY, now):
            return GROW
        else:
            open_instant(world, view, ONLY, now, candle.open)
            while book.call >= 0 and world.calls[book.call].arrival <= now:
                arrive(world, ONLY)
            if still:
                book.still += 1
                pass_still(world, view, candle.end, NO)
            else:
                walk_candle(world, ONLY, candle)
            equity[row] = account.cash + account.margin + (book.units * book.last - book.cost)
            book.row = row + 1
        if view.config.want_events and account.n_events > before:
            return AT_CLOSE
    return DONE


# ---------------------------------------------------------------- several markets


@entry
def advance_many(
    world: World,
    time: Ints,
    o: Floats,
    h: Floats,
    l: Floats,
    close: Floats,
    kind: NDArray[np.uint8],
    first: Ints,
    order_market: Ints,
    order_row: Ints,
    equity_time: Ints,
    equity: Floats,
    cursor: Ints,
    stop_time: int,
) -> int:
    """Walk several markets, or one with detail candles, in time order (L14.1); write one equity point a close.

    ``cursor``: (4,) int64 - position in the order, position in the equity points, events already told, and the end of the
    instant that has begun. ``kind``: 0 a
    candle of its own, 1 a fine candle, 2 the last fine candle of a coarse one. Returns at a close with new events if the
    run wants them, at the close ``stop_time``, when a buffer must grow, or at the end.
    """
    account, config = world.accounts[0], world.config[0]
    rows = len(order_row)
    while True:
        upcoming = NEVER
        if cursor[0] < rows:
            upcoming = time[first[order_market[cursor[0]]] + order_row[cursor[0]]]
        while cursor[1] < len(equity_time) and equity_time[cursor[1]] <= upcoming:
            now = equity_time[cursor[1]]
            equity[cursor[1]] = equity_of(world)
            cursor[1] += 1
            told = cursor[2]
            cursor[2] = account.n_events
            if (config.want_events and account.n_events > told) or now >= stop_time:
                return AT_CLOSE
        if cursor[0] >= rows:
            return DONE
        if cursor[3] <= cursor[0]:
            group = open_group(world, time, o, first, order_market, order_row, cursor[0], upcoming)
            if group < 0:
                return GROW
            cursor[3] = group
        q = order_market[cursor[0]]
        view = view_of(world, q)
        book, market = view.book, view.market
        i = first[q] + order_row[cursor[0]]
        end = upcoming + (market.span if kind[i] == 0 else market.fine_span)
        still = next_still(world, book, q) == order_row[cursor[0]]
        if still and book.n_signals == 0:
            book.still += 1
        elif still:
            if not fits(world, q, upcoming):
                return GROW
            book.still += 1
            pass_still(world, view, end, kind[i] == 2)
        elif book.n_signals == 0:
            book.last = close[i]
        elif (
            not book.acted
            and not book.fresh
            and quiet_row(view, upcoming, kind[i], h[i], l[i])
            and account.n_events + book.ratcheting + 8 < len(world.events)
        ):
            quiet_candle(view, Candle(o[i], h[i], l[i], close[i], end, kind[i] != 1))
        else:
            if not fits(world, q, upcoming):
                return GROW
            walk_candle(world, q, Candle(o[i], h[i], l[i], close[i], end, kind[i] != 1))
        book.row = order_row[cursor[0]] + 1
        cursor[0] += 1


@rule
def open_group(
    world: World, time: Ints, o: Floats, first: Ints, order_market: Ints, order_row: Ints, start: int, now: int
) -> int:
    """Begin one instant for every market that has a candle at it: expiries, then calls in order of arrival (L1.3, L14.1).

    Returns the place in the order behind the instant, or -1 where a buffer must grow first; nothing has happened then.
    """
    account = world.accounts[0]
    stop, events, due = start, 64, 0
    while stop < len(order_row) and time[first[order_market[stop]] + order_row[stop]] == now:
        q = order_market[stop]
        examine(world, q, now)
        mine = due_calls(world, q, now)
        if world.books[q].n_signals + mine + 1 >= world.signals.shape[1]:
            account.lacks = 1
            return -1
        if world.books[q].n_orders + 3 * mine + 3 >= world.orders.shape[1]:
            account.lacks = 2
            return -1
        events += 4 * (world.books[q].n_signals + mine)
        due += mine
        stop += 1
    if account.n_events + events >= len(world.events):
        account.lacks = 4
        return -1
    for place in range(start, stop):
        q = order_market[place]
        open_instant(world, view_of(world, q), q, now, o[first[q] + order_row[place]])
    for _ in range(due):
        chosen = NOBODY
        for place in range(start, stop):
            q = order_market[place]
            k = world.books[q].call
            if k < 0 or world.calls[k].arrival > now:
                continue
            if (
                chosen < 0
                or world.calls[k].arrival < world.calls[world.books[chosen].call].arrival
                or (
                    world.calls[k].arrival == world.calls[world.books[chosen].call].arrival
                    and k < world.books[chosen].call
                )
            ):
                chosen = q
        arrive(world, chosen)
    return stop


@rule
def quiet_row(view: View, now: int, kind: int, high: float, low: float) -> bool:
    """Whether a candle can be passed without walking it."""
    book, market = view.book, view.market
    if book.slow:
        return False
    if book.next_expiry < now + (market.span if kind == 0 else market.fine_span):
        return False
    return not touches(view, high, low)
