"""Grid: ticks, steps and the market's minimum (L3.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.kernel.compiled import folded, rule

if TYPE_CHECKING:
    from backtest.engine.records import Row

__all__ = ["TIE", "TOUCH", "below_minimum", "on_step", "step_down", "tick_toward"]

ON_GRID = 1e-6
TIE = 1e-9
TOUCH = 1e-12  # of a computed level: float noise, which must not let a touch be missed
NOISE = 1e-15  # of a large number of steps, whose float error alone exceeds ON_GRID


@folded
def tick_toward(market: Row, price: float, direction: int) -> float:
    """Round a price to the tick, up or down (L3.6); a value within 1e-6 of a tick is on it."""
    if market.tick == 0.0:
        return price
    n = price * market.tick_scale / market.tick
    n = np.ceil(n - ON_GRID) if direction > 0 else np.floor(n + ON_GRID)
    return n * market.tick / market.tick_scale


@rule
def step_down(market: Row, quantity: float) -> float:
    """Round a quantity down to the step (L3.6); there may be more steps than a whole number of 64 bits counts."""
    if market.step == 0.0:
        return quantity
    n = quantity * market.step_scale / market.step
    return np.floor(n + max(ON_GRID, n * NOISE)) * market.step / market.step_scale


@rule
def on_step(market: Row, quantity: float) -> float:
    """Take float noise off the sum or difference of two quantities on the step."""
    if market.step == 0.0:
        return quantity
    return np.round(quantity * market.step_scale / market.step) * market.step / market.step_scale


@rule
def below_minimum(market: Row, quantity: float, price: float) -> bool:
    """Whether an order is smaller than the market allows (L3.6)."""
    return (
        quantity <= 0.0
        or quantity < market.min_amount * (1.0 - TIE)
        or quantity * price < market.min_cost * (1.0 - TIE)
    )
