"""Limits: what the account and the profile's limits carry (L3.6, L5.2, L5.3, L14.2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backtest.engine.codes import (
    OPEN,
    PLACE_LOW,
    PLACE_MID,
    R_ALLOCATION,
    R_BALANCE,
    R_FREQUENCY,
    R_MOST_OPEN,
    R_NO_STOP,
    R_NONE,
    R_RISK,
    RESTING,
)
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.ending import is_buy, is_range
from backtest.engine.kernel.grid import TIE, below_minimum, step_down
from backtest.engine.kernel.memory import accepted_of, orders_in, signals_in
from backtest.engine.kernel.state import account_of, book_of, config_of, market_of, view_of

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View
    from backtest.engine.records import Row

__all__ = ["margin_share", "near_bound", "refuse_limits", "room_for", "split_part", "too_small"]


@rule
def room_for(view: View, allocation: float, cost: float, basis: float) -> int:
    """Return why an allocation cannot be carried (L5.3, L14.2), or 0."""
    account, config = view.account, view.config
    if cost > (account.cash - account.reserved) + TIE * config.balance:
        return R_BALANCE
    if (account.allocated + allocation) > config.allocation_limit / 100.0 * basis + TIE * config.balance:
        return R_ALLOCATION
    return R_NONE


@rule
def margin_share(config: Row, leverage: float) -> tuple[float, float]:
    """Return margin over allocation (L5.2) and reserved cash over allocation."""
    fees = 1.0 + leverage * max(config.maker, config.taker)
    return (1.0 / fees, 1.0) if config.fee_inside else (1.0, fees)


@rule
def near_bound(call: Row) -> float:
    """Return the bound of an entry range at which it costs most; the lone one, where there is no other (L4.1)."""
    return call.high if call.side > 0 or math.isnan(call.low) else call.low


@rule
def split_part(call: Row, place: int) -> tuple[float, float]:
    """Return the share, in percent, and the price of one limit of a split entry (L4.2)."""
    if place == PLACE_LOW:
        return call.share_low, call.low
    if place == PLACE_MID:
        return call.share_mid, call.mid
    return call.share_high, call.high


@rule
def too_small(market: Row, call: Row, notional: float) -> bool:
    """Whether an entry order of a create is below the market's minimum at its limit or near bound (L3.6)."""
    if not call.split:
        near = near_bound(call)
        return below_minimum(market, step_down(market, notional / near), near)
    for place in range(3):
        share, price = split_part(call, place)
        if share > 0.0 and below_minimum(market, step_down(market, notional * share / 100.0 / price), price):
            return True
    return False


@rule
def planned_risk(market: Row, call: Row, notional: float) -> float:
    """Return the loss at the stop of a signal about to be created (L14.2)."""
    if math.isnan(call.stop):
        return 0.0
    if not call.split:
        near = near_bound(call)
        return max(0.0, step_down(market, notional / near) * call.side * (near - call.stop))
    loss = 0.0
    for place in range(3):
        share, price = split_part(call, place)
        if share > 0.0:
            loss += step_down(market, notional * share / 100.0 / price) * call.side * (price - call.stop)
    return max(0.0, loss)


@rule
def risk_at_stop(view: View, slot: int) -> float:
    """Return the loss at the stop of a position and of its living buys (L14.2), in quote currency."""
    signal = signals_in(view.book)[slot]
    if math.isnan(signal.stop):
        return 0.0
    stop = signal.stop_limit if signal.protection == RESTING else signal.stop
    loss = signal.side * signal.quantity * (signal.average - stop) if signal.quantity > 0.0 else 0.0
    for k in range(view.book.n_orders):
        order = orders_in(view.book)[k]
        if order.slot != slot or not is_buy(order):
            continue
        if is_range(order):
            price = order.high if signal.side > 0 else order.low
            quantity = step_down(view.market, order.notional / price)
        else:
            price, quantity = order.price, order.quantity
        loss += quantity * signal.side * (price - stop)
    return max(0.0, loss)


@rule
def risk_of_all(world: Row, planned: float) -> float:
    """Return the loss at their stops of all signals that have not reached target 1, a planned one first (L14.2)."""
    risk = planned
    for q in range(world.n_markets):
        view = view_of(world, q)
        for i in range(view.book.n_signals):
            if signals_in(view.book)[i].status <= OPEN and signals_in(view.book)[i].reached_first == 0:
                risk += risk_at_stop(view, i)
    return risk


@folded
def accepted_since(world: Row, instant: int) -> int:
    """Return how many signals were accepted after an instant."""
    n = 0
    k = account_of(world).n_accepted - 1
    while k >= 0 and accepted_of(world)[k] > instant:
        n += 1
        k -= 1
    return n


@rule
def refuse_limits(world: Row, index: int, call: Row, basis: float, notional: float) -> int:
    """Return which limit of the profile a new signal breaks (L14.2), or 0."""
    account, config = account_of(world), config_of(world)
    if config.max_open > 0 and account.living >= config.max_open:
        return R_MOST_OPEN
    since = book_of(world, index).time - config.period
    if config.frequency > 0 and accepted_since(world, since) >= config.frequency:
        return R_FREQUENCY
    if config.risk_limit > 0.0:
        if math.isnan(call.stop):
            return R_NO_STOP
        risk = risk_of_all(world, planned_risk(market_of(world, index), call, notional))
        if risk > config.risk_limit / 100.0 * basis + TIE * config.balance:
            return R_RISK
    return R_NONE
