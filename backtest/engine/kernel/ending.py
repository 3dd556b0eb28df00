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
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.ledger import note
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    from backtest.engine.records import Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["after_flat", "after_partial", "end_signal", "expire", "kill_orders"]



@rule
def kill_order(a: Row, o: Row) -> None:
    """End an order and release what it reserved (L5.4)."""
    if o.kind == O_DEAD:
        return
    a.reserved -= o.allocation
    a.allocated -= o.allocation
    o.kind = O_DEAD


@rule
def kill_orders(a: Row, O: Rows, b: Row, i: int, entries_only: bool) -> None:
    """End the orders of a signal: all of them, or its initial entries only."""
    for k in range(b.n_orders):
        o = O[k]
        if o.slot == i and (not entries_only or o.kind == O_RANGE or o.kind == O_LIMIT):
            kill_order(a, o)


@rule
def has_buy_order(O: Rows, b: Row, i: int) -> bool:
    """Whether an entry, DCA or rebuy of the signal is alive."""
    for k in range(b.n_orders):
        o = O[k]
        if o.slot == i and (o.kind == O_RANGE or o.kind == O_LIMIT or o.kind == O_DCA or o.kind == O_REBUY):
            return True
    return False


@rule
def end_signal(a: Row, O: Rows, b: Row, E: Rows, S: Rows, i: int, status: int, rule: int) -> None:
    """End a signal: its orders die, and a closed one says so (L12.2)."""
    s = S[i]
    kill_orders(a, O, b, i, NO)
    s.status = status
    s.protection = NO_STOP
    s.sale = 0
    a.living -= 1
    if status == CLOSED:
        note(a, b, E, s, E_CLOSED, rule, R_NONE)


@rule
def after_flat(a: Row, S: Rows, O: Rows, b: Row, E: Rows, i: int) -> None:
    """A position is back to zero: the signal waits again while a buy of its own lives, else it is closed (L12.2)."""
    s = S[i]
    if s.protection == RESTING or not has_buy_order(O, b, i):  # a stop that was reached ends it, even one left unfilled
        end_signal(a, O, b, E, S, i, CLOSED, L12_2)
        return
    s.status = WAITING
    for k in range(s.last_target):
        s.plan[k] = 0.0


@rule
def after_partial(a: Row, S: Rows, O: Rows, b: Row, c: Row, i: int) -> None:
    """End DCA and rebuy orders after a partial take profit where the assumption says so (L10.3)."""
    if c.buys_survive:
        return
    for k in range(b.n_orders):
        if O[k].slot == i and (O[k].kind == O_DCA or O[k].kind == O_REBUY):
            kill_order(a, O[k])


@rule
def expire(a: Row, S: Rows, O: Rows, b: Row, E: Rows, until: int) -> None:
    """End the initial entries whose time to live ends before ``until``; without a buy, the signal (L4.4)."""
    for i in range(b.n_signals):
        s = S[i]
        if s.status > OPEN or s.expiry >= until:
            continue
        s.expiry = NEVER
        alive = False
        for k in range(b.n_orders):
            o = O[k]
            if o.slot == i and (o.kind == O_RANGE or o.kind == O_LIMIT):
                alive = True
                kill_order(a, o)
        if not s.bought:
            end_signal(a, O, b, E, S, i, EXPIRED, L4_4)
            note(a, b, E, s, E_EXPIRED, L4_4, R_NONE)
        elif alive and s.quantity <= 0.0:
            after_flat(a, S, O, b, E, i)
