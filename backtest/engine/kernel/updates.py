"""Updates: new prices for what has not been bought or reached, all of them or none (L11)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backtest.engine.codes import (
    E_REFUSED,
    E_STOP,
    E_UPDATED,
    L11_1,
    L11_2,
    NO_STOP,
    O_LIMIT,
    O_RANGE,
    PLACE_LOW,
    PLACE_MID,
    R_BOUNDS,
    R_LEFT_ALONE,
    R_NONE,
    R_WOULD_TRIGGER,
    T_ABSENT,
    T_HIT,
    T_LIVE,
    T_SKIPPED,
)
from backtest.engine.kernel.closing import sell_later
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.fills import spread
from backtest.engine.kernel.grid import step_down
from backtest.engine.kernel.ledger import note, note_stop
from backtest.engine.kernel.memory import orders_in
from backtest.engine.kernel.protection import place_stop
from backtest.engine.records import TARGETS

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View
    from backtest.engine.records import Row

__all__ = ["act_update", "range_of"]


@rule
def range_of(side: int, low: float, high: float) -> tuple[float, float]:
    """Return the numeric bounds of an entry range; a lone maximum is the near bound on both sides (L4.1)."""
    if math.isnan(low):
        return (0.0, high) if side > 0 else (high, math.inf)
    return low, high


@rule
def crosses_bounds(signal: Row, call: Row) -> bool:
    """Whether an entry's new minimum would lie above its maximum (L11.1)."""
    if math.isnan(call.low) and math.isnan(call.high):
        return False
    low = signal.low if math.isnan(call.low) else call.low
    high = signal.high if math.isnan(call.high) else call.high
    return low > high


@rule
def target_at_market(signal: Row, call: Row, last: float) -> bool:
    """Whether a new target is at or beyond the market (L11.2)."""
    for k in range(TARGETS):
        live = signal.state[k] == T_LIVE or signal.state[k] == T_ABSENT
        if live and not math.isnan(call.targets[k]) and signal.side * call.targets[k] <= signal.side * last:
            return True
    return False


@rule
def update_refusal(signal: Row, call: Row, last: float) -> int:
    """Return why an update of prices is refused whole (L11.1, L11.2), or 0."""
    if crosses_bounds(signal, call):
        return R_BOUNDS
    holds = signal.quantity > 0.0
    allowed = call.marketable and holds
    if not math.isnan(call.stop) and signal.side * call.stop >= signal.side * last and not allowed:
        return R_WOULD_TRIGGER
    if holds and not call.marketable and target_at_market(signal, call, last):
        return R_WOULD_TRIGGER
    return R_NONE


@rule
def update_limit(view: View, signal: Row, order: Row, price: float) -> None:
    """Move one limit of a split entry (L11.1)."""
    order.price, order.fresh, view.book.fresh = price, 1, 1
    order.quantity = step_down(view.market, order.notional / price)
    if order.place == PLACE_LOW:
        signal.low = price
    else:
        signal.high = price


@rule
def update_range(signal: Row, order: Row, call: Row) -> None:
    """Move the bounds of an entry range (L11.1)."""
    if not math.isnan(call.low):
        signal.low = call.low
    if not math.isnan(call.high):
        signal.high = call.high
    order.low, order.high = range_of(signal.side, signal.low, signal.high)


@rule
def update_entries(view: View, signal: Row, slot: int, call: Row) -> bool:
    """Move what has not been bought (L11.1); return whether a bound was left alone."""
    left_low, left_high = not math.isnan(call.low), not math.isnan(call.high)
    for k in range(view.book.n_orders):
        order = orders_in(view.book)[k]
        if order.slot != slot:
            continue
        if order.kind == O_RANGE:
            update_range(signal, order, call)
            left_low = left_high = False
        elif order.kind == O_LIMIT and order.place != PLACE_MID:
            price = call.low if order.place == PLACE_LOW else call.high
            if math.isnan(price):
                continue
            update_limit(view, signal, order, price)
            if order.place == PLACE_LOW:
                left_low = False
            else:
                left_high = False
    return left_low or left_high


@rule
def update_targets(view: View, signal: Row, call: Row) -> bool:
    """Move or add the targets not yet reached (L11.1); return whether one was left alone."""
    left_alone = added = False
    view.book.fresh = 1
    for k in range(TARGETS):
        price = call.targets[k]
        if math.isnan(price):
            continue
        if signal.state[k] == T_HIT or signal.state[k] == T_SKIPPED:
            left_alone = True
            continue
        if signal.state[k] == T_ABSENT:
            added = True
            signal.last_target = max(signal.last_target, k + 1)
        signal.state[k], signal.target[k], signal.fresh[k] = T_LIVE, price, 1
        if k == 0:
            signal.missed = 0
    if added and signal.quantity > 0.0:
        for k in range(TARGETS):
            signal.plan[k] = 0.0
        spread(signal, view.config, signal.quantity)
    return left_alone


@rule
def update_stop(view: View, signal: Row, slot: int, stop: float) -> None:
    """Replace the protective stop; one at the market, which the call allows, sells at the next traded price (L11.2)."""
    if signal.side * stop >= signal.side * view.book.last:
        sell_later(view, slot, E_STOP, L11_2)
        return
    active = signal.quantity > 0.0 and signal.protection != NO_STOP
    place_stop(signal, view.market, view.config, stop)
    signal.fresh_stop, view.book.fresh = 1, 1
    if active:
        note_stop(view, signal, L11_1)


@rule
def act_update(view: View, signal: Row, slot: int, call: Row) -> None:
    """Update prices arrive: all of them, or none (L11)."""
    reason = update_refusal(signal, call, view.book.last)
    if reason != R_NONE:
        note(view, signal, E_REFUSED, L11_2 if reason == R_WOULD_TRIGGER else L11_1, reason)
        return
    left_alone = update_entries(view, signal, slot, call)
    left_alone = update_targets(view, signal, call) or left_alone
    note(view, signal, E_UPDATED, L11_1, R_LEFT_ALONE if left_alone else R_NONE)
    if not math.isnan(call.stop):
        update_stop(view, signal, slot, call.stop)
