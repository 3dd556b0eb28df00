"""Agenda: the calls that were sent wait for their market, those of a table for their turn (L1.2), and what else is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.engine.codes import C_CREATE, LEG_CALL
from backtest.engine.kernel.band import measure
from backtest.engine.kernel.closing import compact, pass_candle
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.ending import expire
from backtest.engine.kernel.liquidation import pay_funding
from backtest.engine.kernel.memory import calls_of, ints_at, outcomes_of, turns_of
from backtest.engine.kernel.state import account_of, book_of, scratch_account, track_of
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View
    from backtest.engine.records import Row

__all__ = [
    "begin_market",
    "due_calls",
    "examine",
    "fits",
    "next_still",
    "number_calls",
    "open_instant",
    "pass_still",
    "push",
]


@rule
def push(world: Row, number: int) -> None:
    """Put a call into the queue of its market, in order of arrival: behind those that arrive no later (L1.3)."""
    calls, turns = calls_of(world), turns_of(world)
    book = book_of(world, calls[number].market)
    if calls[number].kind == C_CREATE:
        book.pending += 1
    before = book.last_call
    if before >= 0 and calls[before].arrival > calls[number].arrival:  # latency was rounded to another candle (L1.2)
        before, k = -1, book.call
        while calls[k].arrival <= calls[number].arrival:
            before, k = k, turns[k].next
    if before < 0:
        turns[number].next = book.call
        book.call = number
    else:
        turns[number].next = turns[before].next
        turns[before].next = number
    if turns[number].next < 0:
        book.last_call = number
    book.stale = 1


@rule
def number_calls(world: Row, start: int, end: int, width: int, base: int, index: int, latency: int) -> None:
    """Give the calls of a table their market, their arrival and the numbers of their signals, ``width`` calls each.

    When they are sent is written beside them, close together: most rows of a table are only looked at.
    """
    calls, turns = calls_of(world), turns_of(world)
    for k in range(start, end):
        call = calls[k]
        turns[k].at = call.at
        call.signal = base + (k - start) // width
        call.market = index
        call.arrival = call.at + latency


@rule
def examine(world: Row, index: int, until: int) -> None:
    """Decide on the conditional creates of a table up to an instant: made only where nothing of the market lives.

    This is ``while_open="skip"``; it happens after the calls of ``on_event`` and before the next candle opens. What
    follows a create in its row is made with it.
    """
    book, turns = book_of(world, index), turns_of(world)
    while book.candidate < book.table_end and turns[book.candidate].at <= until:
        if book.n_signals == 0 and book.pending == 0:
            turns[book.candidate].made = 1
            for k in range(book.candidate, book.candidate + book.width):
                push(world, k)
        book.candidate += book.width


@folded
def due_calls(world: Row, index: int, now: int) -> int:
    """Return how many calls of a market arrive up to an instant."""
    calls, due, k = calls_of(world), 0, book_of(world, index).call
    while k >= 0 and calls[k].arrival <= now:
        due += 1
        k = turns_of(world)[k].next
    return due


@rule
def begin_market(book: Row, opened: float) -> None:
    """The open of the first candle is the last price until something has traded (L1.3)."""
    if not book.started:
        book.started = 1
        book.last = opened


@rule
def open_instant(world: Row, view: View, index: int, now: int, opened: float) -> None:
    """Begin an instant: funding on what is held, then expiries (L13.3, L1.3)."""
    book = view.book
    book.time = now
    book.leg = LEG_CALL
    book.acted = 0
    begin_market(book, opened)
    pay_funding(world, view, index, now)
    if book.next_expiry <= now:
        book.acted = 1
        expire(view, now + 1)


@folded
def next_still(world: Row, index: int) -> int:
    """Return the next row of a market in which nothing trades (L2.6), or one that never comes."""
    book, track = book_of(world, index), track_of(world, index)
    return ints_at(track.still, track.n_still)[book.still] if book.still < track.n_still else NEVER


@rule
def pass_still(world: Row, view: View, end: int, whole: bool) -> None:
    """Let a row go by in which nothing trades: what arrived waits for the next one that does (L2.6)."""
    pass_candle(view, end, whole, view.book.last)
    compact(view, outcomes_of(world))
    measure(view)


@rule
def fits(world: Row, index: int, now: int) -> bool:
    """Whether every buffer has room for one more candle with all its consequences."""
    account, book, due = account_of(world), book_of(world, index), due_calls(world, index, now)
    signals, orders = book.n_signals + due + 1, book.n_orders + 3 * due + 3
    events = 24 * signals + 6 * orders + 3 * account.living + 64
    trades = 4 * signals + 2 * orders + account.living + 16
    account.lacks = (
        (0 if signals < book.signal_room else 1)
        + (0 if orders < book.order_room else 2)
        + (0 if account.n_events + events < account.event_room else 4)
        + (0 if events < scratch_account(world, 0).event_room else 8)
        + (0 if account.n_trades + trades < account.trade_room else 16)
        + (0 if trades < scratch_account(world, 0).trade_room else 32)
    )
    return account.lacks == 0
