"""Limits: what the account and the profile's limits carry (L3.6, L5.2, L5.3, L14.2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backtest.engine.codes import (
    O_DEAD,
    O_RANGE,
    O_REBUY,
    O_TP_LIMIT,
    O_TP_MARKET,
    OPEN,
    R_ALLOCATION,
    R_BALANCE,
    R_FREQUENCY,
    R_MOST_OPEN,
    R_NO_STOP,
    R_NONE,
    R_RISK,
    RESTING,
)
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.grid import TIE, below_minimum, step_down
from backtest.engine.records import SCRATCH

if TYPE_CHECKING:
    from backtest.engine.records import Ints, Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["margin_share", "planned_risk", "refuse_limits", "room_for", "too_small"]



@rule
def room_for(a: Row, c: Row, allocation: float, cost: float, basis: float) -> int:
    """Return why an allocation cannot be carried (L5.3, L14.2), or 0."""
    if cost > (a.cash - a.reserved) + TIE * c.balance:
        return R_BALANCE
    if (a.allocated + allocation) > c.allocation_limit / 100.0 * basis + TIE * c.balance:
        return R_ALLOCATION
    return R_NONE


@rule
def margin_share(c: Row, leverage: float) -> tuple[float, float]:
    """Return margin over allocation (L5.2) and reserved cash over allocation."""
    fees = 1.0 + leverage * max(c.maker, c.taker)
    return (1.0 / fees, 1.0) if c.fee_inside else (1.0, fees)


@rule
def risk_at_stop(s: Row, O: Rows, b: Row, m: Row, i: int) -> float:
    """Return the loss at the stop of a position and of its living buys (L14.2), in quote currency."""
    if math.isnan(s.stop):
        return 0.0
    stop = s.stop_limit if s.protection == RESTING else s.stop
    loss = s.side * s.quantity * (s.average - stop) if s.quantity > 0.0 else 0.0
    for k in range(b.n_orders):
        o = O[k]
        if o.slot != i or o.kind == O_DEAD or o.kind == O_TP_LIMIT or o.kind == O_TP_MARKET:
            continue
        if o.kind == O_RANGE or o.kind == O_REBUY:
            price = o.high if s.side > 0 else o.low
            quantity = step_down(m, o.notional / price)
        else:
            price, quantity = o.price, o.quantity
        loss += quantity * s.side * (price - stop)
    return max(0.0, loss)


@rule
def refuse_limits(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, c: Row, call: Row, basis: float, now: int, accepted: Ints, risk: float) -> int:
    """Return which limit of the profile a new signal breaks (L14.2), or 0."""
    a = acct[0]
    if c.max_open > 0 and a.living >= c.max_open:
        return R_MOST_OPEN
    if c.frequency > 0:
        n = 0
        k = a.n_accepted - 1
        while k >= 0 and accepted[k] > now - c.period:
            n += 1
            k -= 1
        if n >= c.frequency:
            return R_FREQUENCY
    if c.risk_limit > 0.0:
        if math.isnan(call.stop):
            return R_NO_STOP
        for q in range(len(B) - SCRATCH):
            for i in range(B[q].n_signals):
                if S2[q, i].status <= OPEN and S2[q, i].reached_first == 0:
                    risk += risk_at_stop(S2[q, i], O2[q], B[q], M[q], i)
        if risk > c.risk_limit / 100.0 * basis + TIE * c.balance:
            return R_RISK
    return R_NONE


@rule
def too_small(m: Row, call: Row, notional: float) -> bool:
    """Whether an entry order of a create is below the market's minimum at its limit or near bound (L3.6)."""
    if not call.split:
        near = call.high if call.side > 0 or math.isnan(call.low) else call.low
        return below_minimum(m, step_down(m, notional / near), near)
    for place in range(3):
        share = call.share_low if place == 0 else (call.share_mid if place == 1 else call.share_high)
        price = call.low if place == 0 else (call.mid if place == 1 else call.high)
        if share > 0.0 and below_minimum(m, step_down(m, notional * share / 100.0 / price), price):
            return True
    return False


@rule
def planned_risk(m: Row, call: Row, notional: float) -> float:
    """Return the loss at the stop of a signal about to be created (L14.2)."""
    if math.isnan(call.stop):
        return 0.0
    if not call.split:
        near = call.high if call.side > 0 or math.isnan(call.low) else call.low
        return max(0.0, step_down(m, notional / near) * call.side * (near - call.stop))
    loss = 0.0
    for place in range(3):
        share = call.share_low if place == 0 else (call.share_mid if place == 1 else call.share_high)
        price = call.low if place == 0 else (call.mid if place == 1 else call.high)
        if share > 0.0:
            loss += step_down(m, notional * share / 100.0 / price) * call.side * (price - call.stop)
    return max(0.0, loss)
