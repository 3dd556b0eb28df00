"""Agenda: the calls that were sent wait for their market, those of a table for their turn (L1.2), and what else is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.engine.codes import C_CREATE, LEG_CALL
from backtest.engine.kernel.band import measure
from backtest.engine.kernel.closing import compact, pass_candle
from backtest.engine.kernel.compiled import entry, folded, rule
from backtest.engine.kernel.ending import expire
from backtest.engine.kernel.liquidation import pay_funding
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View, World
    from backtest.engine.records import Ints, Row, Rows

__all__ = [
    "begin_market",
    "due_calls",
    "examine",
    "fits",
    "next_still",
    "number_table",
    "open_instant",
    "pass_still",
    "push",
]


@entry
def push(calls: Rows, queue: Ints, books: Rows, number: int) -> None:
    """Put a call into the queue of its market, in order of arrival: behind those that arrive no later (L1.3)."""
    book = books[calls[number].market]
    if calls[number].kind == C_CREATE:
        book.pending += 1
    before = book.last_call
    if before >= 0 and calls[before].arrival > calls[number].arrival:  # latency was rounded to another candle (L1.2)
        before, k = -1, book.call
        while calls[k].arrival <= calls[number].arrival:
            before, k = k, queue[k, 0]
    if before < 0:
        queue[number, 0] = book.call
        book.call = number
    else:
        queue[number, 0] = queue[before, 0]
        queue[before, 0] = number
    if queue[number, 0] < 0:
        book.last_call = number


@entry
def number_table(calls: Rows, queue: Ints, width: int, base: int, index: int, latency: int) -> None:
    """Give the calls of a table their market, their arrival and the numbers of their signals, ``width`` calls each.

    When they are sent is written beside them, close together: most rows of a table are only looked at.
    """
    for k in range(len(calls)):
        call = calls[k]
        queue[k, 2] = call.at
        call.signal = base + k // width
        call.market = index
        call.arrival = call.at + latency


@entry
def examine(world: World, index: int, until: int) -> None:
    """Decide on the conditional creates of a table up to an instant: made only where nothing of the market lives.

    This is ``while_open="skip"``; it happens after the calls of ``on_event`` and before the next candle opens. What
    follows a create in its row is made with it.
    """
    book, queue = world.books[index], world.queue
    while book.candidate < world.ends[index] and queue[book.candidate, 2] <= until:
        if book.n_signals == 0 and book.pending == 0:
            queue[book.candidate, 1] = 1
            for k in range(book.candidate, book.candidate + book.width):
                push(world.calls, queue, world.books, k)
        book.candidate += book.width


@folded
def due_calls(world: World, index: int, now: int) -> int:
    """Return how many calls of a market arrive up to an instant."""
    due, k = 0, world.books[index].call
    while k >= 0 and world.calls[k].arrival <= now:
        due += 1
        k = world.queue[k, 0]
    return due


@rule
def begin_market(book: Row, opened: float) -> None:
    """The open of the first candle is the last price until something has traded (L1.3)."""
    if not book.started:
        book.started = 1
        book.last = opened


@rule
def open_instant(world: World, view: View, index: int, now: int, opened: float) -> None:
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


@rule
def next_still(world: World, book: Row, index: int) -> int:
    """Return the next row of a market in which nothing trades (L2.6), or one that never comes."""
    place = world.still_first[index] + book.still
    return world.still[place] if place < world.still_first[index + 1] else NEVER


@rule
def pass_still(world: World, view: View, end: int, whole: bool) -> None:
    """Let a row go by in which nothing trades: what arrived waits for the next one that does (L2.6)."""
    pass_candle(view, end, whole, view.book.last)
    compact(view, world.outcomes)
    measure(view)


@rule
def fits(world: World, index: int, now: int) -> bool:
    """Whether every buffer has room for one more candle with all its consequences."""
    account, book, due = world.accounts[0], world.books[index], due_calls(world, index, now)
    signals, orders = book.n_signals + due + 1, book.n_orders + 3 * due + 3
    events = 24 * signals + 6 * orders + 3 * account.living + 64
    trades = 4 * signals + 2 * orders + account.living + 16
    account.lacks = (
        (0 if signals < world.signals.shape[1] else 1)
        + (0 if orders < world.orders.shape[1] else 2)
        + (0 if account.n_events + events < len(world.events) else 4)
        + (0 if events < world.scratch_events.shape[1] else 8)
        + (0 if account.n_trades + trades < len(world.trades) else 16)
        + (0 if trades < world.scratch_trades.shape[1] else 32)
    )
    return account.lacks == 0
