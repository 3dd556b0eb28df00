"""Calls: what arrives acts or is refused (L1.3, L3.8, L4.1, L4.2, L5, L8, L9, L10, L12.1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import (
    C_CANCEL,
    C_CREATE,
    C_DCA,
    C_REFUSED_CREATE,
    C_TAKE_PROFIT,
    C_TRAILING,
    C_UPDATE,
    C_VOID,
    CANCELED,
    E_CANCELED,
    E_CREATED,
    E_REFUSED,
    L3_6,
    L3_8,
    L5_3,
    L5_4,
    L7_2,
    L8_1,
    L11_3,
    L12_1,
    L14_2,
    NO_STOP,
    O_DCA,
    O_LIMIT,
    O_RANGE,
    O_REBUY,
    O_TP_LIMIT,
    O_TP_MARKET,
    OPEN,
    PENDING,
    R_ALLOCATION,
    R_ENDED,
    R_MINIMUM,
    R_NONE,
    R_SALE_PENDING,
    REFUSED,
    SPOT,
    T_ABSENT,
    T_LIVE,
    WAITING,
)
from backtest.engine.kernel.closing import sell_later
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.ending import end_signal
from backtest.engine.kernel.grid import below_minimum, step_down
from backtest.engine.kernel.ledger import basis_of, begin_trade, note, write_outcome
from backtest.engine.kernel.limits import margin_share, refuse_limits, room_for, split_part, too_small
from backtest.engine.kernel.memory import accepted_of, calls_of, orders_in, outcomes_of, signals_in, turns_of
from backtest.engine.kernel.protection import arm_trailing, place_stop
from backtest.engine.kernel.state import view_of
from backtest.engine.kernel.updates import act_update, range_of
from backtest.engine.records import NEVER, TARGETS

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View
    from backtest.engine.records import Row

__all__ = ["arrive"]


@rule
def add_order(view: View, slot: int, kind: int, allocation: float, reserve: float) -> Row:
    """Append an order that arrives at this instant and reserve what it needs (L5.4); the caller fills in the rest.

    ``reserve`` is cash over allocation: more than 1 where the fee is paid on top (L5.2).
    """
    book = view.book
    order = orders_in(view.book)[book.n_orders]
    order.slot, order.kind, order.seq, order.fresh = slot, kind, view.account.seq, 1
    order.allocation, order.reserve, order.quantity, order.notional = allocation, allocation * reserve, 0.0, 0.0
    order.price, order.low, order.high, order.place = np.nan, 0.0, 0.0, 0
    order.amount, order.trail, order.trail_limit = 0.0, np.nan, np.nan
    view.account.reserved += order.reserve
    view.account.allocated += allocation
    view.account.seq += 1
    book.fresh = 1
    book.n_orders += 1
    return order


@rule
def new_signal(signal: Row, call: Row, now: int, allocation: float, leverage: float) -> None:
    """Fill a signal record from its create."""
    signal.id, signal.side, signal.status = call.signal, call.side, WAITING
    signal.account, signal.cross, signal.leverage = call.account, call.cross, leverage
    signal.invest, signal.allocation, signal.created = call.invest, allocation, now
    signal.split, signal.low, signal.high = call.split, call.low, call.high
    signal.expiry = now + call.ttl if call.ttl > 0 else NEVER
    signal.protection, signal.stop, signal.stop_limit = NO_STOP, np.nan, np.nan
    signal.fresh_stop, signal.trigger_now = 0, 0
    signal.distance = signal.ratio = signal.best = signal.offset = signal.reported = 0.0
    signal.resting_trail, signal.waiting_trail, signal.waiting_limit = 0, np.nan, np.nan
    signal.quantity, signal.average, signal.margin, signal.held, signal.bought = 0.0, np.nan, 0.0, 0.0, 0
    signal.last_target = 0
    for k in range(TARGETS):
        signal.target[k] = call.targets[k]
        signal.state[k] = T_ABSENT if math.isnan(call.targets[k]) else T_LIVE
        signal.plan[k], signal.fresh[k] = 0.0, 1
        if signal.state[k] == T_LIVE:
            signal.last_target = k + 1
    signal.reached_first, signal.missed, signal.sale, signal.sale_rule = 0, 0, 0, 0
    signal.realised = signal.fees = signal.funding = 0.0
    begin_trade(signal)


@rule
def create_orders(view: View, slot: int, call: Row, reserve: float, notional: float) -> None:
    """Place the entry of a create: one range, or a limit for each share of a split (L4.1, L4.2)."""
    allocation = signals_in(view.book)[slot].allocation
    if not call.split:
        order = add_order(view, slot, O_RANGE, allocation, reserve)
        order.low, order.high = range_of(call.side, call.low, call.high)
        order.notional = notional
        return
    for turn in range(3):
        place = 2 - turn if call.side > 0 else turn  # the nearest first
        share, price = split_part(call, place)
        if share > 0.0:
            order = add_order(view, slot, O_LIMIT, allocation * share / 100.0, reserve)
            order.price, order.place, order.notional = price, place, notional * share / 100.0
            order.quantity = step_down(view.market, order.notional / price)


@rule
def refuse_create(
    world: Row, index: int, call: Row, basis: float, allocation: float, notional: float, reserved: float
) -> int:
    """Return why a create is refused whole (L3.6, L5.3, L14.2), or 0."""
    view = view_of(world, index)
    if too_small(view.market, call, notional) or call.low > call.high:
        return R_MINIMUM
    reason = refuse_limits(world, index, call, basis, notional)
    return reason if reason != R_NONE else room_for(view, allocation, reserved, basis)


@rule
def act_create(world: Row, index: int, call: Row) -> None:
    """A create arrives: accept it and reserve its allocation, or refuse it whole (L5, L14.2)."""
    view = view_of(world, index)
    account, book, basis = view.account, view.book, basis_of(world)
    allocation = call.invest / 100.0 * basis
    leverage = min(call.leverage, view.market.max_leverage) if call.account != SPOT else 1.0
    part, reserve = margin_share(view.config, leverage)
    notional, reserved = allocation * part * leverage, allocation * reserve
    slot = book.n_signals
    signal = signals_in(view.book)[slot]
    new_signal(signal, call, book.time, allocation, leverage)
    reason = refuse_create(world, index, call, basis, allocation, notional, reserved)
    if reason != R_NONE:
        signal.status = REFUSED
        write_outcome(outcomes_of(world)[signal.id], signal)
        by_limit = L5_3 if reason <= R_ALLOCATION else L14_2
        note(view, signal, E_REFUSED, L3_6 if reason == R_MINIMUM else by_limit, reason)
        return
    book.n_signals += 1
    if signal.cross and signal.account != SPOT:
        book.cross = 1
    account.living += 1
    accepted_of(world)[account.n_accepted] = book.time
    account.n_accepted += 1
    if not math.isnan(call.stop):
        place_stop(signal, view.market, view.config, call.stop)
        signal.fresh_stop, book.fresh = 1, 1
    create_orders(view, slot, call, reserve, notional)
    note(view, signal, E_CREATED, L5_4, R_NONE)


@rule
def act_buy_call(world: Row, view: View, call: Row, slot: int) -> None:
    """A DCA or rebuy arrives: a resting limit, or a range entry (L10.1, L10.2)."""
    signal, dca, basis = signals_in(view.book)[slot], call.kind == C_DCA, basis_of(world)
    if dca:
        allocation, near = signal.allocation * call.multiplier, call.price
    else:
        allocation = (signal.invest if math.isnan(call.invest) else call.invest) / 100.0 * basis
        near = call.high if signal.side > 0 else call.low
    part, reserve = margin_share(view.config, signal.leverage)
    notional, reserved = allocation * part * signal.leverage, allocation * reserve
    quantity = step_down(view.market, notional / near)
    empty = below_minimum(view.market, quantity, near) or call.low > call.high  # a zone without a tick inside, too
    reason = R_MINIMUM if empty else room_for(view, allocation, reserved, basis)
    if reason != R_NONE:
        note(view, signal, E_REFUSED, L3_6 if reason == R_MINIMUM else L5_3, reason)
        return
    order = add_order(view, slot, O_DCA if dca else O_REBUY, allocation, reserve)
    order.notional = notional
    if dca:
        order.price, order.quantity = call.price, quantity
    else:
        order.low, order.high = call.low, call.high
        order.trail, order.trail_limit = call.trail, call.trail_limit


@rule
def act_take_profit_call(view: View, call: Row, slot: int) -> None:
    """A take profit arrives: one more order to sell, at a limit or at market (L9.1)."""
    order = add_order(view, slot, O_TP_LIMIT if call.limit else O_TP_MARKET, 0.0, 1.0)
    order.price, order.amount = call.price, call.amount
    order.trail, order.trail_limit = call.trail, call.trail_limit


@rule
def act_trailing_call(view: View, signal: Row, call: Row) -> None:
    """A trailing stop arrives: it replaces the stop, or waits for the next buy (L8)."""
    book = view.book
    if signal.quantity <= 0.0:
        signal.waiting_trail, signal.waiting_limit = call.trail, call.trail_limit
        return
    arm_trailing(view, signal, call.trail, call.trail_limit, book.last, L8_1)
    signal.fresh_stop, book.fresh = 1, 1
    signal.trigger_now = 1 if signal.side * call.trail >= signal.side * book.last else 0


@rule
def act_cancel(view: View, slot: int) -> None:
    """A cancel arrives: all orders die and the position is sold at the next traded price (L12.1)."""
    signal = signals_in(view.book)[slot]
    if signal.quantity > 0.0:
        sell_later(view, slot, E_CANCELED, L12_1)
        return
    end_signal(view, slot, CANCELED, L12_1)
    note(view, signal, E_CANCELED, L12_1, R_NONE)


@rule
def slot_of(view: View, number: int) -> int:
    """Return the position in its book of a living signal, or -1."""
    slot = -1
    for k in range(view.book.n_signals):
        if signals_in(view.book)[k].id == number:
            slot = k
    return slot


@rule
def nobody(view: View, number: int) -> Row:
    """Return a record for an event of a signal that does not live: the free row behind the living ones lends its shape."""
    signal = signals_in(view.book)[view.book.n_signals]
    signal.id, signal.quantity, signal.average = number, 0.0, np.nan
    return signal


@rule
def refuse_ended(world: Row, view: View, call: Row) -> None:
    """A call for an ended signal is refused; one before its create does nothing and leaves no event (L11.3)."""
    if outcomes_of(world)[call.signal].status != PENDING:
        note(view, nobody(view, call.signal), E_REFUSED, L11_3, R_ENDED)


@rule
def note_refusal(world: Row, view: View, call: Row) -> None:
    """A call that the desk refused was never sent: where it would have acted it leaves its event, no more (L3.8)."""
    if call.kind == C_VOID:
        return
    if call.kind == C_REFUSED_CREATE:
        outcome = outcomes_of(world)[call.signal]
        outcome.status, outcome.created = REFUSED, view.book.time
    slot = slot_of(view, call.signal)
    signal = signals_in(view.book)[slot] if slot >= 0 else nobody(view, call.signal)
    note(view, signal, E_REFUSED, L3_8, call.reason)


@rule
def act_later_call(world: Row, view: View, call: Row) -> None:
    """Let a call about a signal act, unless that has ended or waits for its sale (L7.2, L11.3)."""
    slot = slot_of(view, call.signal)
    if slot < 0:
        refuse_ended(world, view, call)
        return
    signal = signals_in(view.book)[slot]
    if signal.status > OPEN:  # it ended at this very instant
        note(view, signal, E_REFUSED, L11_3, R_ENDED)
    elif call.kind == C_CANCEL:
        act_cancel(view, slot)
    elif signal.sale != 0:
        note(view, signal, E_REFUSED, L7_2, R_SALE_PENDING)
    elif call.kind == C_TRAILING:
        act_trailing_call(view, signal, call)
    elif call.kind == C_UPDATE:
        act_update(view, signal, slot, call)
    elif call.kind == C_TAKE_PROFIT:
        act_take_profit_call(view, call, slot)
    else:
        act_buy_call(world, view, call, slot)


@rule
def arrive(world: Row, index: int) -> None:
    """Let the next call of a market act (L1.3)."""
    view = view_of(world, index)
    book = view.book
    k = book.call
    call = calls_of(world)[k]
    book.call = turns_of(world)[k].next
    if book.call < 0:
        book.last_call = -1
    book.acted = 1
    if call.kind == C_CREATE:
        book.pending -= 1
        act_create(world, index, call)
    elif call.kind >= C_REFUSED_CREATE:
        note_refusal(world, view, call)
    else:
        act_later_call(world, view, call)
