"""Actions: what happens where the price meets an order, a target or a stop (L3 to L7, L9, L10)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backtest.engine.codes import (
    CANCELED,
    CLOSED,
    E_CANCELED,
    E_DCA,
    E_ENTERED,
    E_INVALIDATED,
    E_REBOUGHT,
    E_STOP,
    E_TAKE_PROFIT,
    E_TARGET,
    E_TRAILING,
    E_UNFILLED,
    INVALIDATED,
    L3_1,
    L3_2,
    L3_4,
    L3_5,
    L4_1,
    L4_5,
    L6_1,
    L6_4,
    L8_5,
    L9_1,
    L9_2,
    L10_1,
    L10_2,
    L12_2,
    O_DEAD,
    O_LIMIT,
    O_RANGE,
    O_REBUY,
    R_NONE,
    RESTING,
    T_HIT,
    T_LIVE,
    T_SKIPPED,
    TRAILING,
    YES,
    ZERO,
)
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.ending import after_flat, after_partial, end_signal, kill_orders
from backtest.engine.kernel.fills import buy, indivisible, limit_buy, sell
from backtest.engine.kernel.grid import step_down
from backtest.engine.kernel.ledger import note
from backtest.engine.kernel.protection import arm_at_fill, move_stop_after_target, ratchet

if TYPE_CHECKING:
    from backtest.engine.records import Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["act_buy_order", "act_sale", "act_stop", "act_take_profit", "act_target"]



@rule
def act_stop(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, i: int, base: float) -> None:
    """A stop is triggered: sell at ``base``, the level or the price beyond it (L3.4, L3.5, L4.5)."""
    s = S[i]
    if s.quantity <= 0.0:
        if s.bought:
            end_signal(a, O, b, E, S, i, CLOSED, L12_2)
        else:
            end_signal(a, O, b, E, S, i, INVALIDATED, L4_5)
            note(a, b, E, s, E_INVALIDATED, L4_5, R_NONE)
        return
    kind = E_TRAILING if s.protection == TRAILING else E_STOP
    slipped = base * (1.0 - s.side * m.slippage)
    rule = L3_4
    if not math.isnan(s.stop_limit):
        rule = L3_5
        if s.side * base < s.side * s.stop_limit:
            s.resting_trail = 1 if kind == E_TRAILING else 0
            s.protection = RESTING
            s.trigger_now, s.fresh_stop, b.fresh = 0, 1, 1
            note(a, b, E, s, E_UNFILLED, L3_5, R_NONE)
            return
        if s.side * slipped < s.side * s.stop_limit:
            slipped = s.stop_limit
    sell(a, S, b, m, c, E, T, i, s.quantity, slipped, ZERO, kind, ZERO, rule)
    end_signal(a, O, b, E, S, i, CLOSED, L12_2)


@rule
def act_sale(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, i: int, p: float) -> None:
    """Execute a pending sale at market (L3.3): close-triggered or ratcheted stop, update at the market, cancel."""
    s = S[i]
    kind = s.sale
    sell(a, S, b, m, c, E, T, i, s.quantity, p * (1.0 - s.side * m.slippage), ZERO, kind, ZERO, s.sale_rule)
    end_signal(a, O, b, E, S, i, CANCELED if kind == E_CANCELED else CLOSED, L12_2)


@rule
def act_target(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, i: int, k: int, price: float, maker: int) -> None:
    """A target is met: sell its part (L6), then cancel entries (L4.6), move the stop (L6.5) or end (L12.2)."""
    s = S[i]
    remaining = 0
    for j in range(s.last_target):
        if s.state[j] == T_LIVE:
            remaining += 1
    chosen = c.exit_target == k + 1
    part = s.quantity
    if remaining > 1 and not chosen:
        part = min(step_down(m, s.plan[k]), s.quantity)
    if not chosen and indivisible(s, m, part, price):
        s.state[k] = T_SKIPPED
        return
    s.state[k] = T_HIT
    s.t_hits += 1
    if k == 0:
        s.reached_first = 1
    sell(a, S, b, m, c, E, T, i, part, price, maker, E_TARGET, k + 1, L6_4 if chosen else L6_1)
    if remaining == 1 or chosen:
        end_signal(a, O, b, E, S, i, CLOSED, L12_2)
        return
    if c.cancel_entries:
        kill_orders(a, O, b, i, YES)
    after_partial(a, S, O, b, c, i)
    if s.quantity <= 0.0:
        after_flat(a, S, O, b, E, i)
    else:
        move_stop_after_target(a, b, m, c, E, s, k)


@rule
def act_take_profit(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, o: Row, p: float, price: float, maker: int, path: bool) -> None:
    """A take profit call fills: sell its percent of what is open (L9.1) and arm its trailing stop (L9.2)."""
    i = o.slot
    s = S[i]
    part = s.quantity if o.amount >= 100.0 else step_down(m, s.quantity * o.amount / 100.0)
    o.kind = O_DEAD
    if indivisible(s, m, part, price):
        return
    sell(a, S, b, m, c, E, T, i, part, price, maker, E_TAKE_PROFIT, ZERO, L9_1)
    after_partial(a, S, O, b, c, i)
    if s.quantity <= 0.0:
        after_flat(a, S, O, b, E, i)
    elif not math.isnan(o.trail):
        arm_at_fill(a, S, b, m, c, E, s, o.trail, o.trail_limit, price, p, path, L9_2)


@rule
def act_buy_order(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, o: Row, p: float, gap: bool, moved: bool, path: bool) -> None:
    """An entry, DCA or rebuy is met: buy (L4.1, L3.1, L3.2) and arm the stop that waits for it (L8.5, L10.2)."""
    i = o.slot
    s = S[i]
    kind = o.kind
    if kind == O_RANGE or kind == O_REBUY:
        price = p * (1.0 + s.side * m.slippage)
        bound = o.high if s.side > 0 else o.low
        if s.side * price > s.side * bound:
            price = bound
        maker = 0
        quantity = step_down(m, o.notional / price)
        event, rule = (E_ENTERED, L4_1) if kind == O_RANGE else (E_REBOUGHT, L10_2)
    else:
        price, maker = limit_buy(s, m, o.price, p, gap or moved or (o.fresh == 0 and p == o.price))
        quantity = o.quantity
        event, rule = (E_ENTERED, L3_1 if maker else L3_2) if kind == O_LIMIT else (E_DCA, L10_1)
    allocation = o.allocation
    o.kind = O_DEAD
    if quantity <= 0.0:
        a.reserved -= allocation
        a.allocated -= allocation
        return
    traded = o.price if gap else p
    waits = not math.isnan(s.waiting_trail)
    first = s.quantity <= 0.0
    buy(a, S, O, b, m, c, E, i, quantity, price, maker, allocation, event, rule)
    if kind == O_REBUY and not math.isnan(o.trail):
        arm_at_fill(a, S, b, m, c, E, s, o.trail, o.trail_limit, price, traded, path, L10_2)
    elif waits and first:
        arm_at_fill(a, S, b, m, c, E, s, s.waiting_trail, s.waiting_limit, price, traded, path, L8_5)
    elif first and not gap:  # a trailing stop that outlived a flat position sees the price of the fill (L8.3)
        ratchet(S, b, m, c, p, path)
