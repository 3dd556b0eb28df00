"""Liquidation: isolated (L13.1) and cross (L13.2) positions closed by force, and funding (L13.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import CLOSED, E_LIQUIDATED, FUTURES, L12_2, L13_1, L13_2, NO, R_NONE, SPOT, ZERO
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.ending import end_signal
from backtest.engine.kernel.grid import TOUCH
from backtest.engine.kernel.ledger import emit, end_trade

if TYPE_CHECKING:
    from backtest.engine.records import Floats, Ints, Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["act_cross", "cross_level", "has_cross", "liquidate", "liquidation_price", "liquidation_touch", "others_of", "pay_funding"]



@rule
def liquidation_price(s: Row, m: Row) -> float:
    """Return the level at which an isolated position is liquidated (L13.1), unrounded."""
    return s.average * (1.0 - s.side * (1.0 / s.leverage - m.maintenance))


@rule
def liquidation_touch(s: Row, m: Row) -> float:
    """Return the price at which that level counts as met."""
    return liquidation_price(s, m) * (1.0 + s.side * TOUCH)


@rule
def liquidate(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, i: int, price: float, isolated: bool) -> None:
    """Close a position by force: isolated it costs its whole margin (L13.1), cross what the level costs (L13.2)."""
    s = S[i]
    quantity = s.quantity
    realised = -s.margin if isolated else s.side * quantity * (price - s.average)
    a.cash += s.margin + realised
    a.margin -= s.margin
    a.allocated -= s.held
    a.realised += realised
    s.realised += realised
    s.t_sold += quantity * price
    s.t_realised += realised
    s.quantity = s.margin = s.held = 0.0
    emit(a, b, E, s, E_LIQUIDATED, price, quantity, 0.0, ZERO, L13_1 if isolated else L13_2, R_NONE, ZERO, ZERO)
    s.average = np.nan
    end_trade(a, b, T, s, E_LIQUIDATED)
    end_signal(a, O, b, E, S, i, CLOSED, L12_2)


@rule
def cross_level(a: Row, S: Rows, b: Row, m: Row) -> tuple[float, int]:
    """Return the price at which the account meets the maintenance margin of its cross positions, and its direction.

    Equity and maintenance are linear in the price of this market (L13.2). Direction -1: met when the price falls to it,
    +1 when it rises to it, 0: never.
    """
    units = cost = held = 0.0
    found = False
    for i in range(b.n_signals):
        s = S[i]
        if s.quantity > 0.0:
            units += s.side * s.quantity
            cost += s.side * s.quantity * s.average
            if s.cross:
                held += s.quantity
                found = True
    slope = units - m.maintenance * held
    if not found or slope == 0.0:
        return 0.0, 0
    level = (cost + b.others_maintenance - a.cash - a.margin - b.others) / slope
    direction = -1 if slope > 0.0 else 1
    return level * (1.0 - direction * TOUCH), direction


@rule
def act_cross(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, price: float) -> None:
    """Liquidate every cross position of this market; the wrapper of the walk closes those of the others (L13.2)."""
    a.cross_liquidated = 1
    for i in range(b.n_signals):
        if S[i].cross and S[i].quantity > 0.0:
            liquidate(a, S, O, b, m, c, E, T, i, price, NO)


@rule
def pay_funding(a: Row, S: Rows, b: Row, now: int, times: Ints, rates: Floats) -> None:
    """Charge funding on positions held from before this instant (L13.3): a long pays a positive rate."""
    while b.funding < len(times) and times[b.funding] <= now:
        rate = rates[b.funding]
        b.funding += 1
        for i in range(b.n_signals):
            s = S[i]
            if s.quantity > 0.0 and s.account == FUTURES:
                paid = s.side * s.quantity * b.last * rate
                a.cash -= paid
                a.funding += paid
                s.funding += paid
                s.t_funding += paid
                b.acted = 1


@rule
def others_of(S2: Rows, B: Rows, M: Rows, q: int, books: int) -> None:
    """Set what the other markets add to equity and to the maintenance of cross positions (L13.2)."""
    total = held = 0.0
    for k in range(books):
        if k == q:
            continue
        total += B[k].units * B[k].last - B[k].cost
        for i in range(B[k].n_signals):
            s = S2[k, i]
            if s.cross and s.quantity > 0.0:
                held += M[k].maintenance * s.quantity * B[k].last
    B[q].others, B[q].others_maintenance = total, held


@rule
def has_cross(S: Rows, b: Row) -> bool:
    """Whether a cross signal lives in a book."""
    for i in range(b.n_signals):
        if S[i].cross and S[i].account != SPOT:
            return True
    return False
