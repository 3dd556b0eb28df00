"""Ending: orders die and give back what they reserved (L5.4), signals end (L4.4, L12.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.engine.codes import (
    CLOSED,
    E_CLOSED,
    E_EXPIRED,
    EXPIRED,
    L4_4,
    L12_2,
    NO,
    NO_STOP,
    O_DCA,
    O_DEAD,
    O_LIMIT,
    O_RANGE,
    O_REBUY,
    OPEN,
    R_NONE,
    RESTING,
    WAITING,
)
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.ledger import note
from backtest.engine.kernel.memory import orders_in, signals_in
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View
    from backtest.engine.records import Row

__all__ = [
    "after_flat",
    "after_partial",
    "end_signal",
    "expire",
    "expires_before",
    "has_buy_order",
    "is_buy",
    "is_entry",
    "is_range",
    "kill_orders",
    "release",
]


@folded
def is_range(order: Row) -> bool:
    """Whether an order is bought inside a range of prices (L4.1, L10.2)."""
    return order.kind == O_RANGE or order.kind == O_REBUY


@folded
def is_entry(order: Row) -> bool:
    """Whether an order is an initial entry."""
    return order.kind == O_RANGE or order.kind == O_LIMIT


@folded
def is_buy(order: Row) -> bool:
    """Whether an order is an entry, DCA or rebuy."""
    return is_entry(order) or order.kind == O_DCA or order.kind == O_REBUY


@rule
def release(account: Row, order: Row) -> None:
    """Give back what an order reserved (L5.4)."""
    account.reserved -= order.reserve
    account.allocated -= order.allocation


@rule
def kill_order(account: Row, order: Row) -> None:
    """End an order that may have ended already."""
    if order.kind != O_DEAD:
        release(account, order)
        order.kind = O_DEAD


@rule
def kill_orders(view: View, slot: int, entries_only: bool) -> None:
    """End the orders of a signal: all of them, or its initial entries only."""
    for k in range(view.book.n_orders):
        order = orders_in(view.book)[k]
        if order.slot == slot and (not entries_only or is_entry(order)):
            kill_order(view.account, order)


@rule
def has_buy_order(view: View, slot: int) -> bool:
    """Whether an entry, DCA or rebuy of the signal is alive."""
    for k in range(view.book.n_orders):
        if orders_in(view.book)[k].slot == slot and is_buy(orders_in(view.book)[k]):
            return True
    return False


@rule
def end_signal(view: View, slot: int, status: int, rule: int) -> None:
    """End a signal: its orders die, and a closed one says so (L12.2)."""
    signal = signals_in(view.book)[slot]
    kill_orders(view, slot, NO)
    signal.status = status
    signal.protection = NO_STOP
    signal.sale = 0
    view.account.living -= 1
    if status == CLOSED:
        note(view, signal, E_CLOSED, rule, R_NONE)


@rule
def after_flat(view: View, slot: int) -> None:
    """A position is back to zero: the signal waits again while a buy of its own lives, else it is closed (L12.2)."""
    signal = signals_in(view.book)[slot]
    if signal.protection == RESTING or not has_buy_order(view, slot):  # a stop left unfilled was reached, too
        end_signal(view, slot, CLOSED, L12_2)
        return
    signal.status = WAITING
    for k in range(signal.last_target):
        signal.plan[k] = 0.0


@rule
def after_partial(view: View, slot: int) -> None:
    """End DCA and rebuy orders after a partial take profit where the assumption says so (L10.3)."""
    if view.config.buys_survive:
        return
    for k in range(view.book.n_orders):
        order = orders_in(view.book)[k]
        if order.slot == slot and (order.kind == O_DCA or order.kind == O_REBUY):
            kill_order(view.account, order)


@rule
def expires_before(view: View, instant: int) -> bool:
    """Whether the time to live of an entry ends before an instant (L4.4)."""
    for i in range(view.book.n_signals):
        if signals_in(view.book)[i].status <= OPEN and signals_in(view.book)[i].expiry < instant:
            return True
    return False


@rule
def kill_expired(view: View, slot: int) -> bool:
    """End the initial entries of a signal; return whether one was alive."""
    alive = False
    for k in range(view.book.n_orders):
        order = orders_in(view.book)[k]
        if order.slot == slot and is_entry(order):
            alive = True
            kill_order(view.account, order)
    return alive


@rule
def expire(view: View, until: int) -> None:
    """End the initial entries whose time to live ends before ``until``; without a buy, the signal (L4.4)."""
    for i in range(view.book.n_signals):
        signal = signals_in(view.book)[i]
        if signal.status > OPEN or signal.expiry >= until:
            continue
        signal.expiry = NEVER
        alive = kill_expired(view, i)
        if not signal.bought:
            end_signal(view, i, EXPIRED, L4_4)
            note(view, signal, E_EXPIRED, L4_4, R_NONE)
        elif alive and signal.quantity <= 0.0:
            after_flat(view, i)
