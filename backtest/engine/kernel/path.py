"""Path: the price travels and meets one level after the other, nearest first (L2.1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backtest.engine.codes import (
    CANCELED,
    CLOSED,
    E_CANCELED,
    E_STOP,
    E_TAKE_PROFIT,
    E_TRAILING,
    FIXED,
    L3_5,
    L4_5,
    L6_4,
    L12_2,
    LEG_1,
    NO,
    O_DCA,
    O_DEAD,
    O_LIMIT,
    O_RANGE,
    O_REBUY,
    O_TP_LIMIT,
    O_TP_MARKET,
    ONE,
    OPEN,
    R_NONE,
    RESTING,
    SPOT,
    T_LIVE,
    TRAILING,
    W_CROSS,
    W_EXIT_PERCENT,
    W_LIQUIDATION,
    W_MISSED,
    W_NONE,
    W_ORDER,
    W_RESTING,
    W_SALE,
    W_STOP,
    W_TARGET,
    YES,
    ZERO,
)
from backtest.engine.kernel.actions import act_buy_order, act_sale, act_stop, act_take_profit, act_target
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.ending import end_signal, expire
from backtest.engine.kernel.fills import limit_sale, sell
from backtest.engine.kernel.grid import tick_toward
from backtest.engine.kernel.ledger import note
from backtest.engine.kernel.liquidation import act_cross, cross_level, liquidate, liquidation_price, liquidation_touch
from backtest.engine.kernel.protection import ratchet
from backtest.engine.records import TARGETS

if TYPE_CHECKING:
    from backtest.engine.records import Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["settle", "travel", "walk_legs"]



@rule
def reach(x: float, end: float, level: float, below: bool, gap: bool) -> float:
    """Return how far the price travels until it meets a level, or -1.

    ``below``: the level is met from above, at or under it. A level exactly at the end of a gap belongs to the open.
    """
    if below:
        if x <= level:
            return 0.0
        if level > end or (level == end and not gap):
            return x - level
        return -1.0
    if x >= level:
        return 0.0
    if level < end or (level == end and not gap):
        return level - x
    return -1.0


@rule
def nearest(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, p: float, e: float, gap: bool, cross: bool) -> tuple[int, int, int, float, float]:
    """Return what the price meets first on its way from ``p`` to ``e``: what, signal, index, level, distance.

    At one price: liquidation and stop, then other exits, then entries; then by creation of the signal, then by order
    (L2.1). In a gap only what rests from before is met, and no range is traded.
    """
    what, who, index, at = W_NONE, -1, -1, 0.0
    best, rank, turn = math.inf, 9, 0
    carried = False
    if cross:
        level, direction = cross_level(a, S, b, m)
        if direction != 0:
            carried = gap and direction * (e - level) >= 0.0
            passed = direction * (p - level) >= 0.0  # by a fee, or by funding: at the next traded price
            d = reach(-direction * p, -direction * e, -direction * level, YES, gap)
            if d >= 0.0 and not (gap and passed):
                what, at, best, rank, who, turn = W_CROSS, level, d, 0, -1, -1
    for i in range(b.n_signals):
        s = S[i]
        if s.status > OPEN:
            continue
        side = s.side
        x, end = side * p, side * e
        holds = s.quantity > 0.0
        beyond = carried and s.cross == 1
        if holds and s.account != SPOT and s.cross == 0:
            level = liquidation_touch(s, m)
            beyond = gap and end <= side * level
            d = reach(x, end, side * level, YES, gap)
            if d >= 0.0 and (d < best or (d == best and rank > 0)):
                what, who, at, best, rank, turn = W_LIQUIDATION, i, level, d, 0, 0
        if s.sale != 0:
            if not gap and holds and (best > 0.0 or rank > 1):
                what, who, at, best, rank, turn = W_SALE, i, p, 0.0, 1, 0
            continue
        if (s.protection == FIXED and not c.stop_on_close) or s.protection == TRAILING:
            if not beyond and not (gap and s.fresh_stop) and (holds or s.bought or c.invalidate_at_stop):
                d = 0.0 if s.trigger_now else reach(x, end, side * s.stop, YES, gap)
                if d >= 0.0 and (d < best or (d == best and rank > 1)):
                    what, who, at, best, rank, turn = W_STOP, i, s.stop, d, 1, 0
        elif s.protection == RESTING and holds and not (gap and s.fresh_stop):
            d = reach(x, end, side * s.stop_limit, NO, gap)
            if d >= 0.0 and (d < best or (d == best and rank > 1)):
                what, who, at, best, rank, turn = W_RESTING, i, s.stop_limit, d, 1, 0
        if holds:
            if c.exit_percent > 0.0:
                level = tick_toward(m, s.average * (1.0 + side * c.exit_percent), side)
                d = reach(x, end, side * level, NO, gap)
                if d >= 0.0 and (d < best or (d == best and (rank > 2 or (rank == 2 and who == i)))):
                    what, who, at, best, rank, turn = W_EXIT_PERCENT, i, level, d, 2, -1
            for k in range(s.last_target):
                if s.state[k] != T_LIVE or (gap and (s.fresh[k] or s.market[k])):
                    continue
                d = 0.0 if s.market[k] else reach(x, end, side * s.target[k], NO, gap)
                if d >= 0.0 and (d < best or (d == best and rank > 2)):
                    what, who, index, at, best, rank, turn = W_TARGET, i, k, s.target[k], d, 2, k
        elif s.bought == 0 and s.missed == 0 and s.state[0] == T_LIVE and not (gap and (s.fresh[0] or s.created == b.time)):
            d = reach(x, end, side * s.target[0], NO, gap)
            if d >= 0.0 and (d < best or (d == best and rank > 2)):
                what, who, at, best, rank, turn = W_MISSED, i, s.target[0], d, 2, 0
    for k in range(b.n_orders):
        o = O[k]
        if o.kind == O_DEAD or (gap and (o.fresh or o.kind == O_RANGE or o.kind == O_REBUY or o.kind == O_TP_MARKET)):
            continue
        s = S[o.slot]
        side = s.side
        x, end = side * p, side * e
        level, cls = o.price, 3
        if o.kind == O_RANGE or o.kind == O_REBUY:
            level = p if o.low <= p <= o.high else (o.high if p > o.high else o.low)
            d = 0.0 if level == p else reach(p, e, level, p > level, NO)
        elif o.kind == O_LIMIT or o.kind == O_DCA:
            d = reach(x, end, side * level, YES, gap)
        else:
            if s.quantity <= 0.0:
                continue
            cls = 2
            d = 0.0 if o.kind == O_TP_MARKET else reach(x, end, side * level, NO, gap)
        if d < 0.0 or d > best or (d == best and (cls > rank or (cls == rank and (o.slot > who or (o.slot == who and o.seq + TARGETS >= turn))))):
            continue
        what, who, index, at, best, rank, turn = W_ORDER, o.slot, k, level, d, cls, o.seq + TARGETS
    return what, who, index, at, best


@rule
def settle(S: Rows, O: Rows, b: Row) -> None:
    """What arrived at this instant rests from here on (L3.2)."""
    if not b.fresh:
        return
    b.fresh = 0
    for i in range(b.n_signals):
        s = S[i]
        s.fresh_stop = 0
        for k in range(s.last_target):
            s.fresh[k] = 0
            s.market[k] = 0
    for k in range(b.n_orders):
        O[k].fresh = 0


@rule
def travel(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, p: float, e: float, gap: bool, path: bool, cross: bool) -> float:
    """Take the price from ``p`` to ``e``, acting on each level it meets, nearest first (L2.1)."""
    while True:
        what, i, k, level, d = nearest(a, S, O, b, m, c, p, e, gap, cross)
        if what == W_NONE:
            break
        moved = d > 0.0
        if moved:
            p = level
            if not gap:
                settle(S, O, b)
                ratchet(S, b, m, c, p, path)
        if what == W_STOP:
            base = e if gap else p
            act_stop(a, S, O, b, m, c, E, T, i, base)
        elif what == W_ORDER:
            o = O[k]
            if o.kind == O_TP_LIMIT:
                price, maker = limit_sale(S[i], m, o.price, p, gap or moved or (o.fresh == 0 and p == o.price))
                act_take_profit(a, S, O, b, m, c, E, T, o, p, price, maker, path)
            elif o.kind == O_TP_MARKET:
                act_take_profit(a, S, O, b, m, c, E, T, o, p, p * (1.0 - S[i].side * m.slippage), ZERO, path)
            else:
                act_buy_order(a, S, O, b, m, c, E, o, p, gap, moved, path)
        elif what == W_TARGET:
            s = S[i]
            if s.market[k]:
                act_target(a, S, O, b, m, c, E, T, i, k, p * (1.0 - s.side * m.slippage), ZERO)
            else:
                price, maker = limit_sale(s, m, level, p, gap or moved or (s.fresh[k] == 0 and p == level))
                act_target(a, S, O, b, m, c, E, T, i, k, price, maker)
        elif what == W_SALE:
            act_sale(a, S, O, b, m, c, E, T, i, p)
        elif what == W_RESTING:
            sell(a, S, b, m, c, E, T, i, S[i].quantity, level, ONE, E_TRAILING if S[i].resting_trail else E_STOP, ZERO, L3_5)
            end_signal(a, O, b, E, S, i, CLOSED, L12_2)
        elif what == W_EXIT_PERCENT:
            price, maker = limit_sale(S[i], m, level, p, gap or moved or p == level)
            sell(a, S, b, m, c, E, T, i, S[i].quantity, price, maker, E_TAKE_PROFIT, ZERO, L6_4)
            end_signal(a, O, b, E, S, i, CLOSED, L12_2)
        elif what == W_MISSED:
            S[i].missed = 1
            if c.cancel_if_target_first:
                end_signal(a, O, b, E, S, i, CANCELED, L4_5)
                note(a, b, E, S[i], E_CANCELED, L4_5, R_NONE)
        elif what == W_LIQUIDATION:
            liquidate(a, S, O, b, m, c, E, T, i, liquidation_price(S[i], m), YES)
        else:
            act_cross(a, S, O, b, m, c, E, T, level if moved else p)
    if not gap and p != e:
        settle(S, O, b)
        ratchet(S, b, m, c, e, path)
    return e


@rule
def walk_legs(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, o: float, h: float, l: float, close: float, up_first: bool, path: bool, kill_expiring: bool, end: int, cross: bool) -> None:
    """Walk the three legs of one journey; with ``kill_expiring`` what expires inside the candle is dead already (L4.4)."""
    if kill_expiring:
        expire(a, S, O, b, E, end)
    ratchet(S, b, m, c, o, path)
    b.leg = LEG_1
    p = travel(a, S, O, b, m, c, E, T, o, h if up_first else l, NO, path, cross)
    b.leg = LEG_1 + 1
    p = travel(a, S, O, b, m, c, E, T, p, l if up_first else h, NO, path, cross)
    b.leg = LEG_1 + 2
    travel(a, S, O, b, m, c, E, T, p, close, NO, path, cross)
    settle(S, O, b)
