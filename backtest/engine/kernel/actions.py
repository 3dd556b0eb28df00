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
    O_DCA,
    O_DEAD,
    O_RANGE,
    O_REBUY,
    ONE,
    R_NONE,
    RESTING,
    T_HIT,
    T_SKIPPED,
    TRAILING,
    YES,
    ZERO,
)
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.ending import after_flat, after_partial, end_signal, is_range, kill_orders, release
from backtest.engine.kernel.fills import (
    buy,
    indivisible,
    is_last_part,
    limit_buy,
    limit_sale,
    part_of,
    sell,
    slipped_buy,
    slipped_sale,
)
from backtest.engine.kernel.grid import step_down
from backtest.engine.kernel.ledger import note
from backtest.engine.kernel.memory import signals_in
from backtest.engine.kernel.protection import arm_at_fill, move_stop_after_target, ratchet

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View
    from backtest.engine.records import Row

__all__ = [
    "act_buy_order",
    "act_exit_percent",
    "act_missed",
    "act_resting_stop",
    "act_sale",
    "act_stop",
    "act_take_profit",
    "act_target",
]


@rule
def act_stop(view: View, slot: int, base: float) -> None:
    """A stop is triggered: sell at ``base``, the level or the price beyond it (L3.4, L3.5, L4.5)."""
    signal = signals_in(view.book)[slot]
    if signal.quantity <= 0.0:
        if signal.bought:
            end_signal(view, slot, CLOSED, L12_2)
        else:
            end_signal(view, slot, INVALIDATED, L4_5)
            note(view, signal, E_INVALIDATED, L4_5, R_NONE)
        return
    kind = E_TRAILING if signal.protection == TRAILING else E_STOP
    slipped = slipped_sale(signal, view.market, base)
    if math.isnan(signal.stop_limit):
        sell(view, slot, signal.quantity, slipped, ZERO, kind, ZERO, L3_4)
    elif signal.side * base < signal.side * signal.stop_limit:
        leave_unfilled(view, signal)
        return
    else:
        price = signal.stop_limit if signal.side * slipped < signal.side * signal.stop_limit else slipped
        sell(view, slot, signal.quantity, price, ZERO, kind, ZERO, L3_5)
    end_signal(view, slot, CLOSED, L12_2)


@rule
def leave_unfilled(view: View, signal: Row) -> None:
    """The price is beyond the limit of a stop limit: it rests there (L3.5)."""
    signal.resting_trail = 1 if signal.protection == TRAILING else 0
    signal.protection = RESTING
    signal.trigger_now, signal.fresh_stop, view.book.fresh = 0, 1, 1
    note(view, signal, E_UNFILLED, L3_5, R_NONE)


@rule
def act_resting_stop(view: View, slot: int) -> None:
    """The price comes back to the limit of a stop that was left unfilled (L3.5)."""
    signal = signals_in(view.book)[slot]
    kind = E_TRAILING if signal.resting_trail else E_STOP
    sell(view, slot, signal.quantity, signal.stop_limit, ONE, kind, ZERO, L3_5)
    end_signal(view, slot, CLOSED, L12_2)


@rule
def act_sale(view: View, slot: int, price: float) -> None:
    """Execute a pending sale at market (L3.3): close-triggered or ratcheted stop, update at the market, cancel."""
    signal = signals_in(view.book)[slot]
    kind = signal.sale
    sell(view, slot, signal.quantity, slipped_sale(signal, view.market, price), ZERO, kind, ZERO, signal.sale_rule)
    end_signal(view, slot, CANCELED if kind == E_CANCELED else CLOSED, L12_2)


@rule
def act_exit_percent(view: View, slot: int, limit: float, price: float, resting: bool) -> None:
    """The profile's percent over the average entry is met: everything is sold there (L6.4)."""
    signal = signals_in(view.book)[slot]
    sold, maker = limit_sale(signal, view.market, limit, price, resting)
    sell(view, slot, signal.quantity, sold, maker, E_TAKE_PROFIT, ZERO, L6_4)
    end_signal(view, slot, CLOSED, L12_2)


@rule
def act_missed(view: View, slot: int) -> None:
    """The first target is met before the entry: the signal is canceled where the assumption says so (L4.5)."""
    signals_in(view.book)[slot].missed = 1
    if view.config.cancel_if_target_first:
        end_signal(view, slot, CANCELED, L4_5)
        note(view, signals_in(view.book)[slot], E_CANCELED, L4_5, R_NONE)


@rule
def act_target(view: View, slot: int, nth: int, price: float, maker: int) -> None:
    """A target is met: sell its part (L6), then cancel entries (L4.6), move the stop (L6.5) or end (L12.2)."""
    market, config, signal = view.market, view.config, signals_in(view.book)[slot]
    last, chosen = is_last_part(signal, nth), config.exit_target == nth + 1
    part = signal.quantity if last or chosen else part_of(signal, market, signal.plan[nth])
    if not chosen and indivisible(signal, market, part, price):
        signal.state[nth] = T_SKIPPED
        return
    signal.state[nth] = T_HIT
    signal.t_hits += 1
    if nth == 0:
        signal.reached_first = 1
    sell(view, slot, part, price, maker, E_TARGET, nth + 1, L6_4 if chosen else L6_1)
    if last or chosen:
        end_signal(view, slot, CLOSED, L12_2)
        return
    if config.cancel_entries:
        kill_orders(view, slot, YES)
    after_partial(view, slot)
    if signal.quantity <= 0.0:
        after_flat(view, slot)
    else:
        move_stop_after_target(view, signal, nth)


@rule
def act_take_profit(view: View, order: Row, traded: float, price: float, maker: int) -> None:
    """A take profit call fills: sell its percent of what is open (L9.1) and arm its trailing stop (L9.2)."""
    market, slot = view.market, order.slot
    signal = signals_in(view.book)[slot]
    part = part_of(signal, market, signal.quantity * order.amount / 100.0)
    order.kind = O_DEAD
    if indivisible(signal, market, part, price):
        return
    sell(view, slot, part, price, maker, E_TAKE_PROFIT, ZERO, L9_1)
    after_partial(view, slot)
    if signal.quantity <= 0.0:
        after_flat(view, slot)
    elif not math.isnan(order.trail):
        arm_at_fill(view, signal, order.trail, order.trail_limit, traded, L9_2)


@rule
def bought_as(kind: int, maker: int) -> tuple[int, int]:
    """Return the event and the rule of a buy order that fills."""
    if kind == O_RANGE:
        return E_ENTERED, L4_1
    if kind == O_REBUY:
        return E_REBOUGHT, L10_2
    if kind == O_DCA:
        return E_DCA, L10_1
    return E_ENTERED, L3_1 if maker else L3_2


@rule
def act_buy_order(view: View, order: Row, met: float, resting: bool, gap: bool, path: bool) -> None:
    """An entry, DCA or rebuy is met: buy (L4.1, L3.1, L3.2) and arm the stop that waits for it (L8.5, L10.2)."""
    market, slot = view.market, order.slot
    signal = signals_in(view.book)[slot]
    if is_range(order):
        bound = order.high if signal.side > 0 else order.low
        price, maker = slipped_buy(signal, market, met), 0
        if signal.side * price > signal.side * bound:
            price = bound
        quantity = step_down(market, order.notional / price)
    else:
        price, maker = limit_buy(signal, market, order.price, met, resting)
        quantity = order.quantity
    kind = order.kind
    order.kind = O_DEAD
    if quantity <= 0.0:
        release(view.account, order)
        return
    traded = order.price if gap else met
    first = signal.quantity <= 0.0
    event, rule = bought_as(kind, maker)
    buy(view, order, quantity, price, maker, event, rule)
    if kind == O_REBUY and not math.isnan(order.trail):
        arm_at_fill(view, signal, order.trail, order.trail_limit, traded, L10_2)
    elif first and not math.isnan(signal.waiting_trail):
        arm_at_fill(view, signal, signal.waiting_trail, signal.waiting_limit, traded, L8_5)
    elif first and not gap:  # a trailing stop that outlived a flat position sees the price of the fill (L8.3)
        ratchet(view, met, path)
