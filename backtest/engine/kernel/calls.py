"""Calls: what arrives acts or is refused (L1.3, L3.8, L4.1, L4.2, L5, L8, L9, L10, L11, L12.1)."""

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
    E_STOP,
    E_STOP_MOVED,
    E_UPDATED,
    L3_6,
    L3_8,
    L5_3,
    L5_4,
    L7_2,
    L8_1,
    L11_1,
    L11_2,
    L11_3,
    L12_1,
    L14_2,
    NO,
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
    R_BOUNDS,
    R_ENDED,
    R_LEFT_ALONE,
    R_MINIMUM,
    R_NONE,
    R_SALE_PENDING,
    R_WOULD_TRIGGER,
    REFUSED,
    SPOT,
    T_ABSENT,
    T_HIT,
    T_LIVE,
    T_SKIPPED,
    WAITING,
    ZERO,
)
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.ending import end_signal, kill_orders
from backtest.engine.kernel.fills import spread
from backtest.engine.kernel.grid import below_minimum, step_down
from backtest.engine.kernel.ledger import basis_of, emit, note, write_outcome
from backtest.engine.kernel.limits import margin_share, planned_risk, refuse_limits, room_for, too_small
from backtest.engine.kernel.protection import arm_trailing, place_stop
from backtest.engine.records import NEVER, TARGETS

if TYPE_CHECKING:
    from backtest.engine.records import Ints, Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["arrive"]



@rule
def add_order(a: Row, O: Rows, b: Row, i: int, kind: int, price: float, low: float, high: float, quantity: float, notional: float, allocation: float, place: int) -> Row:
    """Append an order that arrives at this instant and reserve its allocation (L5.4)."""
    o = O[b.n_orders]
    o.slot, o.kind, o.seq, o.price, o.low, o.high = i, kind, b.seq, price, low, high
    o.quantity, o.notional, o.allocation, o.fresh, o.place = quantity, notional, allocation, 1, place
    o.amount, o.trail, o.trail_limit = 0.0, np.nan, np.nan
    a.reserved += allocation
    a.allocated += allocation
    b.seq += 1
    b.fresh = 1
    b.n_orders += 1
    return o


@rule
def new_signal(s: Row, call: Row, m: Row, now: int, allocation: float, leverage: float) -> None:
    """Fill a signal record from its create."""
    s.id, s.side, s.status, s.account, s.cross, s.leverage = call.signal, call.side, WAITING, call.account, call.cross, leverage
    s.invest, s.allocation, s.created, s.split, s.low, s.high = call.invest, allocation, now, call.split, call.low, call.high
    s.expiry = now + call.ttl if call.ttl > 0 else NEVER
    s.protection, s.stop, s.stop_limit, s.fresh_stop, s.trigger_now = NO_STOP, np.nan, np.nan, 0, 0
    s.distance = s.ratio = s.best = s.offset = s.reported = 0.0
    s.resting_trail, s.waiting_trail, s.waiting_limit = 0, np.nan, np.nan
    s.quantity, s.average, s.margin, s.held, s.bought = 0.0, np.nan, 0.0, 0.0, 0
    s.last_target = 0
    for k in range(TARGETS):
        s.target[k] = call.targets[k]
        s.state[k] = T_ABSENT if math.isnan(call.targets[k]) else T_LIVE
        s.plan[k], s.fresh[k], s.market[k] = 0.0, 0, 0
        if s.state[k] == T_LIVE:
            s.last_target = k + 1
    s.reached_first, s.missed, s.sale, s.sale_rule = 0, 0, 0, 0
    s.realised = s.fees = s.funding = 0.0
    s.t_time, s.t_hits, s.t_ambiguous = 0, 0, 0
    s.t_quantity = s.t_value = s.t_sold = s.t_realised = s.t_fees = s.t_funding = s.t_margin = s.t_invest = 0.0


@rule
def range_of(side: int, low: float, high: float) -> tuple[float, float]:
    """Return the numeric bounds of an entry range; a lone maximum is the near bound on both sides (L4.1)."""
    if math.isnan(low):
        return (0.0, high) if side > 0 else (high, math.inf)
    return low, high


@rule
def create_orders(a: Row, O: Rows, b: Row, m: Row, i: int, call: Row, allocation: float, reserve: float, notional: float) -> None:
    """Place the entry of a create: one range, or a limit for each share of a split (L4.1, L4.2)."""
    if not call.split:
        low, high = range_of(call.side, call.low, call.high)
        add_order(a, O, b, i, O_RANGE, np.nan, low, high, 0.0, notional, allocation * reserve, ZERO)
        return
    for turn in range(3):
        place = 2 - turn if call.side > 0 else turn  # the nearest first
        share = call.share_low if place == 0 else (call.share_mid if place == 1 else call.share_high)
        price = call.low if place == 0 else (call.mid if place == 1 else call.high)
        if share > 0.0:
            part = notional * share / 100.0
            add_order(a, O, b, i, O_LIMIT, price, 0.0, 0.0, step_down(m, part / price), part, allocation * reserve * share / 100.0, place)


@rule
def act_create(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, q: int, c: Row, E: Rows, call: Row, accepted: Ints, out: Rows) -> None:
    """A create arrives: accept it and reserve its allocation, or refuse it whole (L5, L14.2)."""
    a, b, m, S, O = acct[0], B[q], M[q], S2[q], O2[q]
    basis = basis_of(acct, B, c)
    allocation = call.invest / 100.0 * basis
    leverage = min(call.leverage, m.max_leverage) if call.account != SPOT else 1.0
    part, reserve = margin_share(c, leverage)
    notional = allocation * part * leverage
    i = b.n_signals
    s = S[i]
    new_signal(s, call, m, b.time, allocation, leverage)
    reason = R_MINIMUM if too_small(m, call, notional) or call.low > call.high else R_NONE
    if reason == R_NONE:
        reason = refuse_limits(acct, S2, O2, B, M, c, call, basis, b.time, accepted, planned_risk(m, call, notional))
    if reason == R_NONE:
        reason = room_for(a, c, allocation, allocation * reserve, basis)
    if reason != R_NONE:
        s.status = REFUSED
        write_outcome(out[s.id], s)
        note(a, b, E, s, E_REFUSED, L3_6 if reason == R_MINIMUM else (L5_3 if reason <= R_ALLOCATION else L14_2), reason)
        return
    b.n_signals += 1
    a.living += 1
    accepted[a.n_accepted] = b.time
    a.n_accepted += 1
    if not math.isnan(call.stop):
        place_stop(s, m, c, call.stop)
        s.fresh_stop, b.fresh = 1, 1
    create_orders(a, O, b, m, i, call, allocation, reserve, notional)
    note(a, b, E, s, E_CREATED, L5_4, R_NONE)


@rule
def act_buy_call(acct: Rows, B: Rows, q: int, S: Rows, O: Rows, m: Row, c: Row, E: Rows, call: Row, i: int) -> None:
    """A DCA or rebuy arrives: a resting limit, or a range entry (L10.1, L10.2)."""
    a, b = acct[0], B[q]
    s = S[i]
    dca = call.kind == C_DCA
    basis = basis_of(acct, B, c)
    if dca:
        allocation = s.allocation * call.multiplier
    else:
        allocation = (s.invest if math.isnan(call.invest) else call.invest) / 100.0 * basis
    part, reserve = margin_share(c, s.leverage)
    notional = allocation * part * s.leverage
    near = call.price if dca else (call.high if s.side > 0 else call.low)
    quantity = step_down(m, notional / near)
    empty = below_minimum(m, quantity, near) or call.low > call.high  # a zone without a tick inside, too
    reason = R_MINIMUM if empty else room_for(a, c, allocation, allocation * reserve, basis)
    if reason != R_NONE:
        note(a, b, E, s, E_REFUSED, L3_6 if reason == R_MINIMUM else L5_3, reason)
        return
    if dca:
        add_order(a, O, b, i, O_DCA, call.price, 0.0, 0.0, quantity, notional, allocation * reserve, ZERO)
    else:
        o = add_order(a, O, b, i, O_REBUY, np.nan, call.low, call.high, 0.0, notional, allocation * reserve, ZERO)
        o.trail, o.trail_limit = call.trail, call.trail_limit


@rule
def act_trailing_call(a: Row, b: Row, E: Rows, s: Row, call: Row) -> None:
    """A trailing stop arrives: it replaces the stop, or waits for the next buy (L8)."""
    if s.quantity <= 0.0:
        s.waiting_trail, s.waiting_limit = call.trail, call.trail_limit
        return
    arm_trailing(a, b, E, s, call.trail, call.trail_limit, b.last, L8_1)
    s.fresh_stop, b.fresh = 1, 1
    s.trigger_now = 1 if s.side * call.trail >= s.side * b.last else 0


@rule
def update_refusal(s: Row, O: Rows, b: Row, i: int, call: Row) -> int:
    """Return why an update of prices is refused whole (L11.1, L11.2), or 0."""
    low = s.low if math.isnan(call.low) else call.low
    high = s.high if math.isnan(call.high) else call.high
    if (not math.isnan(call.low) or not math.isnan(call.high)) and low > high:
        return R_BOUNDS
    holds = s.quantity > 0.0
    if not math.isnan(call.stop) and s.side * call.stop >= s.side * b.last and not (call.marketable and holds):
        return R_WOULD_TRIGGER
    if holds and not call.marketable:
        for k in range(TARGETS):
            live = s.state[k] == T_LIVE or s.state[k] == T_ABSENT
            if live and not math.isnan(call.targets[k]) and s.side * call.targets[k] <= s.side * b.last:
                return R_WOULD_TRIGGER
    return R_NONE


@rule
def update_entries(O: Rows, b: Row, m: Row, s: Row, i: int, call: Row) -> bool:
    """Move what has not been bought (L11.1); return whether a bound was left alone."""
    moved_low = moved_high = False
    for k in range(b.n_orders):
        o = O[k]
        if o.slot != i:
            continue
        if o.kind == O_RANGE:
            if not math.isnan(call.low):
                s.low = call.low
            if not math.isnan(call.high):
                s.high = call.high
            o.low, o.high = range_of(s.side, s.low, s.high)
            moved_low = moved_high = True
        elif o.kind == O_LIMIT and o.place != 1:
            price = call.low if o.place == 0 else call.high
            if math.isnan(price):
                continue
            o.price, o.fresh, b.fresh = price, 1, 1
            o.quantity = step_down(m, o.notional / price)
            if o.place == 0:
                s.low, moved_low = price, True
            else:
                s.high, moved_high = price, True
    return (not math.isnan(call.low) and not moved_low) or (not math.isnan(call.high) and not moved_high)


@rule
def update_targets(s: Row, b: Row, c: Row, call: Row) -> bool:
    """Move or add the targets not yet reached (L11.1); return whether one was left alone."""
    left_alone = added = False
    b.fresh = 1
    for k in range(TARGETS):
        price = call.targets[k]
        if math.isnan(price):
            continue
        if s.state[k] == T_HIT or s.state[k] == T_SKIPPED:
            left_alone = True
            continue
        if s.state[k] == T_ABSENT:
            added = True
            s.last_target = max(s.last_target, k + 1)
        s.state[k], s.target[k], s.fresh[k] = T_LIVE, price, 1
        if k == 0:
            s.missed = 0
        s.market[k] = 1 if s.quantity > 0.0 and s.side * price <= s.side * b.last else 0
    if added and s.quantity > 0.0:
        for k in range(TARGETS):
            s.plan[k] = 0.0
        spread(s, c, s.quantity)
    return left_alone


@rule
def act_update(a: Row, b: Row, O: Rows, m: Row, c: Row, E: Rows, s: Row, i: int, call: Row) -> None:
    """Update prices arrive: all of them, or none (L11)."""
    reason = update_refusal(s, O, b, i, call)
    if reason != R_NONE:
        note(a, b, E, s, E_REFUSED, L11_2 if reason == R_WOULD_TRIGGER else L11_1, reason)
        return
    left_alone = update_entries(O, b, m, s, i, call)
    left_alone = update_targets(s, b, c, call) or left_alone
    note(a, b, E, s, E_UPDATED, L11_1, R_LEFT_ALONE if left_alone else R_NONE)
    if math.isnan(call.stop):
        return
    if s.side * call.stop >= s.side * b.last:  # allowed, with a position: sold at the next traded price (L11.2)
        kill_orders(a, O, b, i, NO)
        s.sale = E_STOP
        s.sale_rule = L11_2
        return
    active = s.quantity > 0.0 and s.protection != NO_STOP
    place_stop(s, m, c, call.stop)
    s.fresh_stop, b.fresh = 1, 1
    if active:
        emit(a, b, E, s, E_STOP_MOVED, call.stop, 0.0, 0.0, ZERO, L11_1, R_NONE, ZERO, ZERO)


@rule
def act_cancel(a: Row, S: Rows, O: Rows, b: Row, E: Rows, i: int) -> None:
    """A cancel arrives: all orders die and the position is sold at the next traded price (L12.1)."""
    s = S[i]
    if s.quantity > 0.0:
        kill_orders(a, O, b, i, NO)
        s.sale = E_CANCELED
        s.sale_rule = L12_1
        return
    end_signal(a, O, b, E, S, i, CANCELED, L12_1)
    note(a, b, E, s, E_CANCELED, L12_1, R_NONE)


@rule
def act_call(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, q: int, c: Row, E: Rows, call: Row, accepted: Ints, out: Rows) -> None:
    """Let one call act at this instant (L1.3)."""
    a, b, m, S, O = acct[0], B[q], M[q], S2[q], O2[q]
    if call.kind == C_CREATE:
        act_create(acct, S2, O2, B, M, q, c, E, call, accepted, out)
        return
    if call.kind >= C_REFUSED_CREATE:
        note_refusal(a, b, S, E, call, out)
        return
    i = -1
    for k in range(b.n_signals):
        if S[k].id == call.signal:
            i = k
    if i < 0:
        refuse_ended(a, b, S, E, call, out)
        return
    s = S[i]
    if s.status > OPEN:  # it ended at this very instant
        note(a, b, E, s, E_REFUSED, L11_3, R_ENDED)
        return
    if call.kind == C_CANCEL:
        act_cancel(a, S, O, b, E, i)
    elif s.sale != 0:
        note(a, b, E, s, E_REFUSED, L7_2, R_SALE_PENDING)
    elif call.kind == C_TRAILING:
        act_trailing_call(a, b, E, s, call)
    elif call.kind == C_UPDATE:
        act_update(a, b, O, m, c, E, s, i, call)
    elif call.kind == C_TAKE_PROFIT:
        o = add_order(a, O, b, i, O_TP_LIMIT if call.limit else O_TP_MARKET, call.price, 0.0, 0.0, 0.0, 0.0, 0.0, ZERO)
        o.amount, o.trail, o.trail_limit = call.amount, call.trail, call.trail_limit
    else:
        act_buy_call(acct, B, q, S, O, m, c, E, call, i)


@rule
def note_refusal(a: Row, b: Row, S: Rows, E: Rows, call: Row, out: Rows) -> None:
    """A call that the desk refused was never sent: where it would have acted it leaves its event, and nothing else (L3.8)."""
    if call.kind == C_VOID:
        return
    i = b.n_signals  # the free row behind the living ones lends its shape
    S[i].id, S[i].quantity, S[i].average = call.signal, 0.0, np.nan
    for k in range(b.n_signals):
        if S[k].id == call.signal:
            i = k
    if call.kind == C_REFUSED_CREATE:
        out[call.signal].status, out[call.signal].created = REFUSED, b.time
    note(a, b, E, S[i], E_REFUSED, L3_8, call.reason)


@rule
def refuse_ended(a: Row, b: Row, S: Rows, E: Rows, call: Row, out: Rows) -> None:
    """A call for an ended signal is refused; one before its create does nothing and leaves no event (L11.3)."""
    if out[call.signal].status == PENDING:
        return
    s = S[b.n_signals]  # the free row behind the living ones lends its shape
    s.id, s.quantity, s.average = call.signal, 0.0, np.nan
    note(a, b, E, s, E_REFUSED, L11_3, R_ENDED)


@rule
def arrive(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, q: int, c: Row, E: Rows, calls: Rows, queue: Ints, accepted: Ints, out: Rows) -> None:
    """Let the next call of a market act (L1.3)."""
    b = B[q]
    k = b.call
    b.call = queue[k, 0]
    if b.call < 0:
        b.last_call = -1
    if calls[k].kind == C_CREATE:
        b.pending -= 1
    b.acted = 1
    act_call(acct, S2, O2, B, M, q, c, E, calls[k], accepted, out)
