"""Band: the prices between which nothing happens, so that candles inside it need no walk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backtest.engine.codes import CANDLE, FIXED, LEG_CLOSE, O_DCA, O_LIMIT, O_TP_MARKET, RESTING, SPOT, T_LIVE, TRAILING
from backtest.engine.kernel.closing import end_trailing
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.ending import is_range
from backtest.engine.kernel.fills import exit_level, live_targets
from backtest.engine.kernel.liquidation import liquidation_touch
from backtest.engine.kernel.memory import orders_in, signals_in
from backtest.engine.kernel.protection import (
    begin_legs,
    end_legs,
    is_calm,
    is_tight,
    ratchet,
    see_price,
    trail_distance,
    would_meet,
)
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    from backtest.engine.kernel.state import Candle, View
    from backtest.engine.records import Row

__all__ = ["calm_band", "measure", "one_way_out", "quiet_candle", "see_range", "touches"]


@folded
def falls_to(signal: Row, market: Row) -> float:
    """Return what a signal's price times its side meets when it falls, or minus infinity."""
    under = -math.inf
    if signal.quantity > 0.0 and signal.account != SPOT and not signal.cross:
        under = signal.side * liquidation_touch(signal, market)
    if signal.protection == TRAILING or signal.protection == FIXED:
        under = max(under, signal.side * signal.stop)  # one that the close triggers, too: looked at, never missed
    return under


@folded
def rises_to(signal: Row, market: Row, config: Row) -> float:
    """Return what a signal's price times its side meets when it rises, or infinity."""
    holds, over = signal.quantity > 0.0, math.inf
    if holds and config.exit_percent > 0.0:
        over = signal.side * exit_level(signal, market, config)
    if holds and signal.protection == RESTING:
        over = min(over, signal.side * signal.stop_limit)
    if holds or (signal.bought == 0 and signal.missed == 0):
        for k in range(signal.last_target if holds else min(1, signal.last_target)):
            if signal.state[k] == T_LIVE:
                over = min(over, signal.side * signal.target[k])
    return over


@rule
def measure_signals(view: View) -> None:
    """Work out what the living signals add to the band, and the value of the positions per unit of price."""
    book, market, config = view.book, view.market, view.config
    low, high, units, cost = 0.0, math.inf, 0.0, 0.0
    slow, ratcheting, cross, expiry = 0, 0, 0, NEVER
    for i in range(book.n_signals):
        signal = signals_in(view.book)[i]
        side = signal.side
        expiry = min(expiry, signal.expiry)
        signal.slow = 1 if signal.sale != 0 else 0
        if signal.account != SPOT and signal.cross:
            cross = 1
        if signal.quantity > 0.0:
            units += side * signal.quantity
            cost += side * signal.quantity * signal.average
            if signal.account != SPOT and signal.cross:
                signal.slow = 1
            if signal.protection == TRAILING:
                ratcheting += 1
        if signal.slow:
            slow = 1
        under, over = falls_to(signal, market), rises_to(signal, market, config)
        signal.quiet_low, signal.quiet_high = (under, over) if side > 0 else (-over, -under)
        low, high = max(low, signal.quiet_low), min(high, signal.quiet_high)
    book.low, book.high, book.units, book.cost = low, high, units, cost
    book.slow, book.ratcheting, book.cross, book.next_expiry = slow, ratcheting, cross, expiry


@rule
def measure_order(view: View, order: Row) -> None:
    """Narrow the band to the level of an order, and that of its signal."""
    book, signal, limit_buy = view.book, signals_in(view.book)[order.slot], order.kind == O_LIMIT or order.kind == O_DCA
    under, over, slow = -math.inf, math.inf, 0
    if is_range(order):
        if book.last > order.high:
            under = order.high
        elif book.last < order.low:
            over = order.low
        else:
            slow = 1
    elif limit_buy or signal.quantity > 0.0:
        if order.kind == O_TP_MARKET:
            slow = 1
        elif limit_buy == (signal.side > 0):
            under = order.price
        else:
            over = order.price
    signal.quiet_low, signal.quiet_high = max(signal.quiet_low, under), min(signal.quiet_high, over)
    book.low, book.high = max(book.low, under), min(book.high, over)
    if slow:
        book.slow = signal.slow = 1


@rule
def measure(view: View) -> None:
    """Work out the band of prices in which nothing happens, and the value of the open positions per unit of price."""
    measure_signals(view)
    for k in range(view.book.n_orders):
        measure_order(view, orders_in(view.book)[k])


@rule
def touches(view: View, high: float, low: float) -> bool:
    """Whether a candle can meet any level on any journey: its range leaves the quiet band, or a ratchet would be met."""
    book = view.book
    if book.slow or low <= book.low or high >= book.high:
        return True
    if book.ratcheting == 0:
        return False
    for i in range(book.n_signals):
        signal = signals_in(view.book)[i]
        trails = signal.protection == TRAILING and signal.quantity > 0.0
        if trails and would_meet(signal, view.market, view.config, high, low):
            return True
    return False


@rule
def one_way_out(view: View, high: float, low: float) -> bool:
    """Whether both journeys must make the same fills, so that one walk is enough.

    The only signal has no order but its stop and one target, and the candle reaches just one of the two: it ends there
    whichever way the price went first.
    """
    book, signal = view.book, signals_in(view.book)[0]
    if book.n_signals != 1 or book.n_orders != 0 or book.ratcheting or book.slow:
        return False
    if view.config.stop_on_close or signal.quantity <= 0.0:
        return False
    falls, rises = low <= book.low, high >= book.high
    if falls == rises:
        return False
    return falls == (signal.side > 0) or live_targets(signal) == 1


@folded
def see_range(view: View, candle: Candle, path: bool) -> None:
    """Let trailing stops see a candle on which nothing is met (L8.3), and count one wider than their distance (L2.7)."""
    ratchet(view, candle.open, path)
    begin_legs(view, candle.high - candle.low)
    ratchet(view, candle.high, path)
    ratchet(view, candle.low, path)
    end_legs(view)


@rule
def quiet_candle(view: View, candle: Candle) -> None:
    """Pass a candle on which nothing is met: only ratchets, at its end (L8.4), of the stops that see better prices.

    Nothing expires in it, and it closes beyond no stop that the close triggers: those bound the band as well.
    """
    book, tight = view.book, False
    if book.ratcheting:
        book.leg = LEG_CLOSE
        for i in range(book.n_signals):
            signal = signals_in(view.book)[i]
            if signal.protection == TRAILING and not is_calm(signal, view.config, candle.low, candle.high):
                tight = see_candle(view, i, candle) or tight
        if tight:
            view.account.tight += 1
    book.last = candle.close


@folded
def see_candle(view: View, slot: int, candle: Candle) -> bool:
    """Let a trailing stop see a candle on which nothing is met; return whether the candle is wider than its distance."""
    signal, book, path = signals_in(view.book)[slot], view.book, view.config.mode != CANDLE
    see_price(view, signal, candle.open, path)
    tight = is_tight(signal, view.config, candle.high - candle.low)
    see_price(view, signal, candle.high, path)
    see_price(view, signal, candle.low, path)
    end_trailing(view, slot, candle.close, path)
    if signal.sale != 0:
        book.slow = 1
    if signal.side > 0:
        signal.quiet_low = max(signal.quiet_low, signal.stop)
        book.low = max(book.low, signal.stop)
    else:
        signal.quiet_high = min(signal.quiet_high, signal.stop)
        book.high = min(book.high, signal.stop)
    return tight


@rule
def calm_band(view: View) -> tuple[float, float]:
    """Return the prices between which nothing is met and no trailing stop sees a better price (L8.3).

    A candle between them is no wider than a trailing distance (L2.7), whatever the tick did to the stop.
    """
    low, high = view.book.low, view.book.high
    if view.book.ratcheting:
        for i in range(view.book.n_signals):
            signal = signals_in(view.book)[i]
            if signal.protection == TRAILING and signal.quantity > 0.0:
                distance = trail_distance(signal, view.config)
                if signal.side > 0:
                    low, high = max(low, signal.best - distance), min(high, signal.best)
                else:
                    low, high = max(low, signal.best), min(high, signal.best + distance)
    return low, high
