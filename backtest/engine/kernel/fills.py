"""Fills: what a purchase and a sale do to position and account (L3.1, L3.2, L6.1, L6.3, L14.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import O_TP_LIMIT, ONE, OPEN, R_NONE, T_ABSENT, T_LIVE, ZERO
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.grid import below_minimum, on_step
from backtest.engine.kernel.ledger import emit, end_trade

if TYPE_CHECKING:
    from backtest.engine.records import Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["buy", "indivisible", "limit_buy", "limit_sale", "sell", "spread"]



@rule
def share_of(s: Row, c: Row, k: int) -> float:
    """Return the share of target ``k`` (L6.1): equal parts, or the profile's with the last taking what is missing."""
    if c.n_shares < 0:
        return 1.0
    last, total = -1, 0.0
    for j in range(s.last_target):
        if s.state[j] != T_ABSENT:
            last = j
            total += c.shares[j]
    return c.shares[k] + (max(0.0, 100.0 - total) if k == last else 0.0)


@rule
def spread(s: Row, c: Row, quantity: float) -> None:
    """Add a bought quantity to the remaining targets, by their shares (L6.1)."""
    total, last = 0.0, -1
    for k in range(s.last_target):
        if s.state[k] == T_LIVE:
            total += share_of(s, c, k)
            last = k
    if last < 0:
        return
    if total <= 0.0:
        s.plan[last] += quantity
        return
    for k in range(s.last_target):
        if s.state[k] == T_LIVE:
            s.plan[k] += quantity * share_of(s, c, k) / total


@rule
def buy(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, i: int, quantity: float, price: float, maker: int, allocation: float, kind: int, rule: int) -> None:
    """Add to the position of a signal and place what its first fill places (L6.1, L7.1, L8.5)."""
    s = S[i]
    fee = (c.maker if maker else c.taker) * price * quantity
    margin = price * quantity / s.leverage
    a.reserved -= allocation
    a.cash -= margin + fee
    a.margin += margin
    a.fees += fee
    first = s.quantity <= 0.0
    s.average = price if first else s.average + (price - s.average) * quantity / (s.quantity + quantity)
    s.quantity = on_step(m, s.quantity + quantity)
    s.margin += margin
    s.held += allocation
    s.fees += fee
    if first:
        s.t_time = b.time
    s.t_quantity += quantity
    s.t_value += quantity * price
    s.t_fees += fee
    s.t_margin += margin
    s.t_invest += allocation / c.balance
    spread(s, c, quantity)
    emit(a, b, E, s, kind, price, quantity, fee, ZERO, rule, R_NONE, maker, ONE)
    s.bought = 1
    if not first:
        return
    s.status = OPEN
    b.fresh = 1
    for k in range(s.last_target):
        s.fresh[k] = 1
    for k in range(b.n_orders):
        if O[k].slot == i and O[k].kind == O_TP_LIMIT:
            O[k].fresh = 1


@rule
def sell(a: Row, S: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, i: int, quantity: float, price: float, maker: int, kind: int, target: int, rule: int) -> None:
    """Sell part or all of a position (L14.3); the trade ends when it is flat."""
    s = S[i]
    everything = quantity >= s.quantity
    part = 1.0 if everything else quantity / s.quantity
    fee = (c.maker if maker else c.taker) * price * quantity
    realised = s.side * quantity * (price - s.average)
    margin = s.margin * part
    held = s.held * part
    a.cash += margin + realised - fee
    a.margin -= margin
    a.allocated -= held
    a.realised += realised
    a.fees += fee
    s.quantity = 0.0 if everything else on_step(m, s.quantity - quantity)
    s.margin = 0.0 if everything else s.margin - margin
    s.held = 0.0 if everything else s.held - held
    s.realised += realised
    s.fees += fee
    s.t_sold += quantity * price
    s.t_realised += realised
    s.t_fees += fee
    emit(a, b, E, s, kind, price, quantity, fee, target, rule, R_NONE, maker, ZERO)
    if everything:
        s.average = np.nan
        end_trade(a, b, T, s, kind)


@rule
def limit_sale(s: Row, m: Row, level: float, p: float, resting: bool) -> tuple[float, int]:
    """Return price and maker of a sell limit: at its own price, or marketable with slippage (L3.1, L3.2)."""
    if resting or s.side * p < s.side * level:
        return level, 1
    slipped = p * (1.0 - s.side * m.slippage)
    return (slipped if s.side * slipped > s.side * level else level), 0


@rule
def limit_buy(s: Row, m: Row, level: float, p: float, resting: bool) -> tuple[float, int]:
    """Return price and maker of a buy limit (L3.1, L3.2)."""
    if resting or s.side * p > s.side * level:
        return level, 1
    slipped = p * (1.0 + s.side * m.slippage)
    return (slipped if s.side * slipped < s.side * level else level), 0


@rule
def indivisible(s: Row, m: Row, part: float, price: float) -> bool:
    """Whether selling ``part`` leaves or makes an order that is too small (L6.3)."""
    rest = s.quantity - part
    return below_minimum(m, part, price) or (rest > 0.0 and below_minimum(m, rest, price))
