"""Protection: the one protective order of a position, fixed (L7), trailing (L8) or shifted by targets (L6.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import (
    ABSOLUTE,
    E_STOP_MOVED,
    FIXED,
    L6_5,
    LEG_GAP,
    NO_STOP,
    R_NONE,
    RESTING,
    SPOT,
    STATIC,
    T_ABSENT,
    TO_BREAK_EVEN,
    TO_PREVIOUS,
    TRAILING,
    ZERO,
)
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.grid import tick_toward
from backtest.engine.kernel.ledger import emit

if TYPE_CHECKING:
    from backtest.engine.records import Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["arm_at_fill", "arm_trailing", "move_stop_after_target", "place_stop", "ratchet", "trail_level"]

NO_RATCHET = 1e-12  # of a stop: float noise, of a distance taken and given back, moves none


@rule
def trail_level(s: Row, m: Row, c: Row) -> float:
    """Return where a trailing stop belongs, given its best price (L8.1, L8.3), on the tick."""
    if c.distance_kind == STATIC:
        return s.stop
    raw = s.best - s.side * s.distance if c.distance_kind == ABSOLUTE else s.best * (1.0 - s.side * s.ratio)
    if s.side * (raw - s.stop) <= NO_RATCHET * s.stop:
        return s.stop
    return tick_toward(m, raw, -s.side)


@rule
def fixed_limit(s: Row, m: Row, c: Row, stop: float) -> float:
    """Return the limit leg of a fixed stop, rounded towards its trigger, or nan for a stop market order (L7.1)."""
    limit = c.stop_order == 2 or (c.stop_order == 0 and s.account == SPOT)
    return tick_toward(m, stop * (1.0 - s.side * c.stop_margin), s.side) if limit else np.nan


@rule
def place_stop(s: Row, m: Row, c: Row, stop: float) -> None:
    """Make a fixed stop the one protective order (L7.3)."""
    s.protection = FIXED
    s.stop = stop
    s.stop_limit = fixed_limit(s, m, c, stop)
    s.trigger_now = 0
    s.reported = stop


@rule
def arm_trailing(a: Row, b: Row, E: Rows, s: Row, trigger: float, limit: float, reference: float, rule: int) -> None:
    """Replace the protective stop by a trailing one (L8.1, L8.2) whose first high is ``reference``."""
    s.protection = TRAILING
    s.stop = trigger
    s.stop_limit = limit
    s.offset = s.side * (trigger - limit)
    s.distance = s.side * (reference - trigger)
    s.ratio = s.distance / reference
    s.best = reference
    s.reported = trigger
    s.resting_trail = 0
    s.trigger_now = 0
    s.waiting_trail = s.waiting_limit = np.nan
    emit(a, b, E, s, E_STOP_MOVED, trigger, 0.0, 0.0, ZERO, rule, R_NONE, ZERO, ZERO)


@rule
def ratchet(S: Rows, b: Row, m: Row, c: Row, price: float, path: bool) -> None:
    """Let every trailing stop see a traded price (L8.3); on the path it moves at once, else at the end (L8.4)."""
    for i in range(b.n_signals):
        s = S[i]
        if s.protection != TRAILING or s.quantity <= 0.0 or s.trigger_now or s.side * price < s.side * s.best:
            continue
        s.best = price
        if path:
            level = trail_level(s, m, c)
            if s.side * level > s.side * s.stop:
                s.stop = level
                s.stop_limit = level - s.side * s.offset


@rule
def arm_at_fill(a: Row, S: Rows, b: Row, m: Row, c: Row, E: Rows, s: Row, trigger: float, limit: float, price: float, traded: float, path: bool, rule: int) -> None:
    """Arm a trailing stop by a fill (L8.5): ``price`` is its first high, the price traded there ratchets it."""
    arm_trailing(a, b, E, s, trigger, limit, price, rule)
    s.fresh_stop = 0  # whatever stop a call of this instant placed is gone
    s.trigger_now = 1 if s.side * trigger >= s.side * traded else 0
    ratchet(S, b, m, c, traded, path)


@rule
def move_stop_after_target(a: Row, b: Row, m: Row, c: Row, E: Rows, s: Row, k: int) -> None:
    """Shift the stop as the profile's trailing take profit says (L6.5): never down."""
    if c.trail_from == 0 or k + 1 < c.trail_from or s.protection == RESTING:
        return
    level = s.average
    if c.trail_to == TO_PREVIOUS:
        for j in range(k):
            if s.state[j] != T_ABSENT:
                level = s.target[j]
    elif c.trail_to != TO_BREAK_EVEN:
        level = s.target[k] * (1.0 - s.side * c.trail_distance)
    level = tick_toward(m, level, -s.side)
    if s.protection != NO_STOP and s.side * level <= s.side * s.stop:
        return
    place_stop(s, m, c, level)
    if b.leg == LEG_GAP:  # it does not rest from before, and no price of the gap is traded (L2.1)
        s.fresh_stop, b.fresh = 1, 1
    emit(a, b, E, s, E_STOP_MOVED, level, 0.0, 0.0, ZERO, L6_5, R_NONE, ZERO, ZERO)
