"""Protection: the one protective order of a position, fixed (L7), trailing (L8) or shifted by targets (L6.5)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import (
    ABSOLUTE,
    FIXED,
    L6_5,
    LEG_GAP,
    NO_STOP,
    RESTING,
    SPOT,
    STATIC,
    STOP_BY_ACCOUNT,
    STOP_LIMIT,
    T_ABSENT,
    TO_BREAK_EVEN,
    TO_PREVIOUS,
    TRAILING,
)
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.grid import TIE, tick_toward
from backtest.engine.kernel.ledger import note_stop
from backtest.engine.kernel.memory import signals_in

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View
    from backtest.engine.records import Row

__all__ = [
    "arm_at_fill",
    "arm_trailing",
    "begin_legs",
    "end_legs",
    "is_calm",
    "is_tight",
    "move_stop_after_target",
    "place_stop",
    "raise_stop",
    "ratchet",
    "see_price",
    "settles_at_stop",
    "trail_distance",
    "trails",
    "would_meet",
]

NO_RATCHET = 1e-12  # of a stop: float noise, of a distance taken and given back, moves none


@folded
def trail_level(signal: Row, market: Row, config: Row) -> float:
    """Return where a trailing stop belongs, given its best price (L8.1, L8.3), on the tick."""
    if config.distance_kind == STATIC:
        return signal.stop
    if config.distance_kind == ABSOLUTE:
        raw = signal.best - signal.side * signal.distance
    else:
        raw = signal.best * (1.0 - signal.side * signal.ratio)
    if signal.side * (raw - signal.stop) <= NO_RATCHET * signal.stop:
        return signal.stop
    return tick_toward(market, raw, -signal.side)


@rule
def fixed_limit(signal: Row, market: Row, config: Row, stop: float) -> float:
    """Return the limit leg of a fixed stop, rounded towards its trigger, or nan for a stop market order (L7.1)."""
    by_account = config.stop_order == STOP_BY_ACCOUNT and signal.account == SPOT
    if config.stop_order != STOP_LIMIT and not by_account:
        return np.nan
    return tick_toward(market, stop * (1.0 - signal.side * config.stop_margin), signal.side)


@rule
def place_stop(signal: Row, market: Row, config: Row, stop: float) -> None:
    """Make a fixed stop the one protective order (L7.3)."""
    signal.protection = FIXED
    signal.stop = stop
    signal.stop_limit = fixed_limit(signal, market, config, stop)
    signal.trigger_now = 0
    signal.reported = stop


@rule
def arm_trailing(view: View, signal: Row, trigger: float, limit: float, reference: float, rule: int) -> None:
    """Replace the protective stop by a trailing one (L8.1, L8.2) whose first high is ``reference``."""
    signal.protection = TRAILING
    signal.stop = trigger
    signal.stop_limit = limit
    signal.offset = signal.side * (trigger - limit)
    signal.distance = signal.side * (reference - trigger)
    signal.ratio = signal.distance / reference
    signal.best = reference
    signal.reported = trigger
    signal.resting_trail = 0
    signal.trigger_now = 0
    signal.waiting_trail = signal.waiting_limit = np.nan
    note_stop(view, signal, rule)


@folded
def raise_stop(signal: Row, market: Row, config: Row) -> None:
    """Move a trailing stop to where its best price puts it; never down (L8.3)."""
    level = trail_level(signal, market, config)
    if signal.side * level > signal.side * signal.stop:
        signal.stop = level
        signal.stop_limit = level - signal.side * signal.offset


@folded
def ratchet(view: View, price: float, path: bool) -> None:
    """Let every trailing stop see a traded price (L8.3); on the path it moves at once, else at the end (L8.4)."""
    for i in range(view.book.n_signals):
        see_price(view, signals_in(view.book)[i], price, path)


@folded
def see_price(view: View, signal: Row, price: float, path: bool) -> None:
    """Let a trailing stop see a traded price (L8.3); on the path it moves at once, else at the end (L8.4)."""
    if trails(signal) and signal.side * price >= signal.side * signal.best:
        signal.best = price
        if path:
            before = signal.stop
            raise_stop(signal, view.market, view.config)
            if signal.stop != before:
                view.book.raised = 1


@folded
def settles_at_stop(signal: Row, market: Row, config: Row) -> bool:
    """Whether a trailing stop stands already where its best price puts it, so that the end of a candle moves it no more."""
    return not trails(signal) or trail_level(signal, market, config) == signal.stop


@folded
def would_meet(signal: Row, market: Row, config: Row, high: float, low: float) -> bool:
    """Whether a candle would meet a trailing stop after its best price has moved it."""
    favourable, adverse = (high, low) if signal.side > 0 else (low, high)
    if signal.side * favourable <= signal.side * signal.best:
        return False
    kept = signal.best
    signal.best = favourable
    level = trail_level(signal, market, config)
    signal.best = kept
    return signal.side * adverse <= signal.side * level


@rule
def arm_at_fill(view: View, signal: Row, trigger: float, limit: float, traded: float, rule: int) -> None:
    """Arm a trailing stop by a fill (L8.5): what was traded there, before slippage, is its first high."""
    arm_trailing(view, signal, trigger, limit, traded, rule)
    signal.fresh_stop = 0  # whatever stop a call of this instant placed is gone
    signal.trigger_now = 1 if signal.side * trigger >= signal.side * traded else 0
    note_tight(view, signal)


@folded
def trails(signal: Row) -> bool:
    """Whether a position has a trailing stop that sees prices."""
    return bool(signal.protection == TRAILING and signal.quantity > 0.0 and not signal.trigger_now)


@folded
def trail_distance(signal: Row, config: Row) -> float:
    """Return how far below its best price a trailing stop stands, before rounding; infinity for one that never moves."""
    if config.distance_kind == STATIC:
        return math.inf
    return signal.distance if config.distance_kind == ABSOLUTE else signal.best * signal.ratio


@folded
def note_tight(view: View, signal: Row) -> None:
    """Note that a trailing stop is nearer than the range of the candle on whose legs it stands (L2.7)."""
    if is_tight(signal, view.config, view.book.range):
        view.book.tight = 1


@folded
def is_tight(signal: Row, config: Row, range_: float) -> bool:
    """Whether a trailing stop is nearer than the range of a candle (L2.7)."""
    return trails(signal) and trail_distance(signal, config) < range_ * (1.0 - TIE)


@folded
def is_calm(signal: Row, config: Row, low: float, high: float) -> bool:
    """Whether a trailing stop sees no better price, and none as far off as its distance, between two prices.

    Its distance is no smaller than the range between them (L2.7) then, whatever the tick did to the stop.
    """
    distance = trail_distance(signal, config)
    if signal.side > 0:
        return low > signal.best - distance and high < signal.best
    return low > signal.best and high < signal.best + distance


@folded
def begin_legs(view: View, range_: float) -> None:
    """The legs of a candle begin: every trailing stop is held against its range (L2.7)."""
    view.book.range = range_
    for i in range(view.book.n_signals):
        note_tight(view, signals_in(view.book)[i])


@folded
def end_legs(view: View) -> None:
    """The legs of the candle are walked: it is counted once if it was wider than a trailing distance (L2.7)."""
    view.account.tight += view.book.tight
    view.book.range, view.book.tight = 0.0, 0


@rule
def level_after_target(signal: Row, config: Row, nth: int) -> float:
    """Return where the profile's trailing take profit wants the stop after a target (L6.5), unrounded."""
    if config.trail_to == TO_PREVIOUS:
        for k in range(nth):
            if signal.state[nth - 1 - k] != T_ABSENT:
                return signal.target[nth - 1 - k]
    elif config.trail_to != TO_BREAK_EVEN:
        return signal.target[nth] * (1.0 - signal.side * config.trail_distance)
    return signal.average


@rule
def move_stop_after_target(view: View, signal: Row, nth: int) -> None:
    """Shift the stop as the profile's trailing take profit says (L6.5): never down."""
    book, market, config = view.book, view.market, view.config
    if config.trail_from == 0 or nth + 1 < config.trail_from or signal.protection == RESTING:
        return
    level = tick_toward(market, level_after_target(signal, config, nth), -signal.side)
    if signal.protection != NO_STOP and signal.side * level <= signal.side * signal.stop:
        return
    place_stop(signal, market, config, level)
    if book.leg == LEG_GAP:  # it does not rest from before, and no price of the gap is traded (L2.1)
        signal.fresh_stop, book.fresh = 1, 1
    note_stop(view, signal, L6_5)
