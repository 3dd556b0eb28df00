"""Band: the prices between which nothing happens, so that candles inside it need no walk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backtest.engine.codes import (
    CANDLE,
    FIXED,
    O_DCA,
    O_LIMIT,
    O_RANGE,
    O_REBUY,
    O_TP_MARKET,
    RESTING,
    SPOT,
    T_LIVE,
    TRAILING,
)
from backtest.engine.kernel.closing import end_candle
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.grid import tick_toward
from backtest.engine.kernel.liquidation import liquidation_touch
from backtest.engine.kernel.protection import ratchet, trail_level
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    from backtest.engine.records import Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["calm_band", "measure", "one_way_out", "quiet_candle", "quiet_row", "touches"]



@rule
def measure(S: Rows, O: Rows, b: Row, m: Row, c: Row, cross: bool) -> None:
    """Work out the band of prices in which nothing happens, and the value of the open positions per unit of price."""
    low, high, units, cost = 0.0, math.inf, 0.0, 0.0
    slow, ratcheting, expiry = 0, 0, NEVER
    for i in range(b.n_signals):
        s = S[i]
        side = s.side
        expiry = min(expiry, s.expiry)
        holds = s.quantity > 0.0
        under, over = -math.inf, math.inf  # in x: what is met when x falls to it, and when it rises to it
        if holds:
            units += side * s.quantity
            cost += side * s.quantity * s.average
            if s.account != SPOT:
                if s.cross:
                    slow = 1
                else:
                    under = side * liquidation_touch(s, m)
            if c.exit_percent > 0.0:
                over = side * tick_toward(m, s.average * (1.0 + side * c.exit_percent), side)
        if s.sale != 0:
            slow = 1
        if s.protection == TRAILING:
            under = max(under, side * s.stop)
            if holds:
                ratcheting += 1
        elif s.protection == FIXED and not c.stop_on_close:
            under = max(under, side * s.stop)
        elif s.protection == FIXED:
            under = max(under, side * s.stop)  # the close may trigger it: looked at more often than needed, never missed
        elif s.protection == RESTING and holds:
            over = min(over, side * s.stop_limit)
        if holds or (s.bought == 0 and s.missed == 0):
            for k in range(s.last_target):
                if s.state[k] == T_LIVE and (holds or k == 0):
                    over = min(over, side * s.target[k])
        if side > 0:
            low, high = max(low, under), min(high, over)
        else:
            high, low = min(high, -under), max(low, -over)
    for k in range(b.n_orders):
        o = O[k]
        s = S[o.slot]
        if o.kind == O_RANGE or o.kind == O_REBUY:
            if b.last > o.high:
                low = max(low, o.high)
            elif b.last < o.low:
                high = min(high, o.low)
            else:
                slow = 1
        elif o.kind == O_LIMIT or o.kind == O_DCA:
            if s.side > 0:
                low = max(low, o.price)
            else:
                high = min(high, o.price)
        elif s.quantity > 0.0:
            if o.kind == O_TP_MARKET:
                slow = 1
            elif s.side > 0:
                high = min(high, o.price)
            else:
                low = max(low, o.price)
    b.low, b.high, b.units, b.cost = low, high, units, cost
    b.slow, b.ratcheting, b.next_expiry = slow, ratcheting, expiry


@rule
def touches(S: Rows, b: Row, m: Row, c: Row, h: float, l: float) -> bool:
    """Whether a candle can meet any level on any journey: its range leaves the quiet band, or a ratchet would be met."""
    if b.slow or l <= b.low or h >= b.high:
        return True
    if b.ratcheting == 0:
        return False
    for i in range(b.n_signals):
        s = S[i]
        if s.protection == TRAILING and s.quantity > 0.0:
            favourable = h if s.side > 0 else l
            adverse = l if s.side > 0 else h
            if s.side * favourable > s.side * s.best:
                kept = s.best
                s.best = favourable
                level = trail_level(s, m, c)
                s.best = kept
                if s.side * adverse <= s.side * level:
                    return True
    return False


@rule
def one_way_out(s: Row, b: Row, c: Row, h: float, l: float) -> bool:
    """Whether both journeys must make the same fills, so that one walk is enough.

    The only signal has no order but its stop and one target, and the candle reaches just one of the two: it ends there
    whichever way the price went first.
    """
    if b.n_signals != 1 or b.n_orders != 0 or b.ratcheting or b.slow or c.stop_on_close or s.quantity <= 0.0:
        return False
    falls, rises = l <= b.low, h >= b.high
    if falls == rises:
        return False
    if falls == (s.side > 0):
        return True
    live = 0
    for k in range(s.last_target):
        if s.state[k] == T_LIVE:
            live += 1
    return live == 1


@rule
def quiet_candle(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, h: float, l: float, close: float, coarse_end: bool) -> None:
    """Pass a candle on which nothing is met: only ratchets, at its end (L8.4)."""
    if b.ratcheting:
        ratchet(S, b, m, c, h, c.mode != CANDLE)
        ratchet(S, b, m, c, l, c.mode != CANDLE)
        end_candle(a, S, O, b, m, c, E, close, coarse_end)
        for i in range(b.n_signals):
            s = S[i]
            if s.sale != 0:
                b.slow = 1
            if s.protection == TRAILING and s.side > 0:
                b.low = max(b.low, s.stop)
            elif s.protection == TRAILING:
                b.high = min(b.high, s.stop)
    b.last = close


@rule
def calm_band(S: Rows, b: Row) -> tuple[float, float]:
    """Return the prices between which nothing is met and no trailing stop sees a better price (L8.3)."""
    low, high = b.low, b.high
    if b.ratcheting:
        for i in range(b.n_signals):
            s = S[i]
            if s.protection == TRAILING and s.quantity > 0.0 and s.side > 0:
                high = min(high, s.best)
            elif s.protection == TRAILING and s.quantity > 0.0:
                low = max(low, s.best)
    return low, high


@rule
def quiet_row(b: Row, m: Row, S: Rows, c: Row, now: int, kind: int, h: float, l: float) -> bool:
    """Whether a candle can be passed without walking it."""
    if b.slow:
        return False
    if b.next_expiry < now + (m.span if kind == 0 else m.fine_span):
        return False
    return not touches(S, b, m, c, h, l)
