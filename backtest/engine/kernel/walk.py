"""Walk: one market without detail candles, from candle to candle (L1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backtest.engine.codes import AT_CLOSE, DONE, GROW, NO, YES
from backtest.engine.kernel.agenda import begin_market, examine, fits, next_still, open_instant, pass_still
from backtest.engine.kernel.band import calm_band, quiet_candle, touches
from backtest.engine.kernel.calls import arrive
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.journeys import walk_candle
from backtest.engine.kernel.liquidation import next_funding
from backtest.engine.kernel.memory import calls_of, floats_at, ints_at, turns_of
from backtest.engine.kernel.rows import first_at_or_after, is_even, quiet_until
from backtest.engine.kernel.state import Candle, book_of, market_of, track_of, view_of
from backtest.engine.kernel.stretches import has_stretches, note_stretch
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View
    from backtest.engine.records import Floats, Ints, Row

__all__ = ["walk_alone"]


ONLY = np.int64(0)  # the place of the only market


class Series(NamedTuple):
    """The candles of one market: open time in UTC ms, and prices."""

    time: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats


@folded
def next_row(world: Row, series: Series, stop: int, even: bool) -> int:
    """Return the row, before ``stop``, at which something is due in the only market, or ``stop``."""
    book, span = book_of(world, ONLY), market_of(world, ONLY).span
    due = NEVER
    if book.call >= 0:
        due = calls_of(world)[book.call].arrival
    if book.n_signals > 0:
        due = min(due, next_funding(world, ONLY))
        if book.next_expiry < NEVER:
            due = min(due, book.next_expiry - span + 1)
    elif book.candidate < book.table_end:
        due = min(due, turns_of(world)[book.candidate].at)
    return stop if due == NEVER else first_at_or_after(series.time, book.row, stop, due, span, even)


@rule
def scan(track: Row, view: View, series: Series, row: int, stop: int) -> int:
    """Pass quiet candles; return the first row that is not quiet."""
    account, book = view.account, view.book
    before = account.n_events
    while True:
        low, high = calm_band(view)
        quiet = quiet_until(track, row, stop, low, high)
        if quiet > row:
            book.last = series.close[quiet - 1]
        row = quiet
        full = account.n_events + book.ratcheting + 8 >= account.event_room
        if row == stop or book.ratcheting == 0 or full or touches(view, series.high[row], series.low[row]):
            return row
        book.time = series.time[row]
        quiet_candle(
            view, Candle(series.open[row], series.high[row], series.low[row], series.close[row], 0, YES)
        )  # nothing expires in it
        row += 1
        if book.slow or (view.config.want_events and account.n_events > before):
            return row


@rule
def pass_quiet(world: Row, view: View, series: Series, stop: int, even: bool) -> int:
    """Pass the candles on which nothing can happen; return the first other one, from the row of the book on."""
    account, book = view.account, view.book
    row = book.row
    stop = next_row(world, series, min(stop, next_still(world, ONLY)), even)
    if stop <= row or (book.n_signals > 0 and (book.slow or book.fresh)):
        return row
    fixed, units = account.cash + account.margin, 0.0
    if book.n_signals > 0:
        fixed, units = fixed - book.cost, book.units
        stop = scan(track_of(world, ONLY), view, series, row, stop)
    else:
        book.started, book.last = 1, series.close[stop - 1]
    if stop > row:
        note_stretch(world, row, fixed, units)
    return stop


@rule
def note_close(world: Row, view: View, row: int) -> None:
    """Keep the equity at the close of a candle that was looked at."""
    account, book = view.account, view.book
    note_stretch(world, row, account.cash + account.margin + (book.units * book.last - book.cost), 0.0)


@folded
def series_of(track: Row) -> Series:
    """Return the candles of a market."""
    n = track.rows
    return Series(
        ints_at(track.time, n),
        floats_at(track.open, n),
        floats_at(track.high, n),
        floats_at(track.low, n),
        floats_at(track.close, n),
    )


@rule
def walk_alone(world: Row, until: int, peek: bool) -> int:
    """Walk up to row ``until``; keep what equity is made of.

    Returns at a close with new events if the run wants them, when a buffer must grow, or at ``until``. With ``peek`` no
    candle is walked on which something could happen: the run stops before it.
    """
    series = series_of(track_of(world, ONLY))
    view = view_of(world, ONLY)
    account, book, span = view.account, view.book, view.market.span
    even = is_even(series.time, until, span)
    while book.row < until:
        if not has_stretches(world):
            account.lacks = 64
            return GROW
        row, before = book.row, account.n_events
        now = series.time[0] + row * span if even else series.time[row]
        # far from where memory was read last: waited for at once
        candle = Candle(series.open[row], series.high[row], series.low[row], series.close[row], now + span, YES)
        examine(world, ONLY, now)
        reached = pass_quiet(world, view, series, until, even)
        still = reached == row and next_still(world, ONLY) == row
        if still and next_row(world, series, row + 1, even) > row:
            begin_market(book, candle.open)
            reached = row + 1
            book.still += 1
            note_close(world, view, row)
        if reached > row:
            book.row = reached
        elif peek:
            return DONE
        elif not fits(world, ONLY, now):
            return GROW
        else:
            open_instant(world, view, ONLY, now, candle.open)
            while book.call >= 0 and calls_of(world)[book.call].arrival <= now:
                arrive(world, ONLY)
            if still:
                book.still += 1
                pass_still(world, view, candle.end, NO)
            else:
                walk_candle(world, ONLY, candle)
            note_close(world, view, row)
            book.row = row + 1
        if view.config.want_events and account.n_events > before:
            return AT_CLOSE
    return DONE
