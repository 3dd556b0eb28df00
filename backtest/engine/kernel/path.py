"""Path: the price travels and meets one level after the other, nearest first (L2.1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from backtest.engine.codes import (
    ANYWHERE,
    FIRST_LIQUIDATION,
    FIXED,
    LEG_1,
    LEG_2,
    LEG_3,
    NO,
    NO_STOP,
    NO_TURN,
    NOBODY,
    O_DEAD,
    O_TP_LIMIT,
    O_TP_MARKET,
    OPEN,
    RESTING,
    SPOT,
    T_LIVE,
    THEN_ENTRIES,
    THEN_EXITS,
    THEN_NOTHING,
    THEN_STOPS,
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
from backtest.engine.kernel.actions import (
    act_buy_order,
    act_exit_percent,
    act_missed,
    act_resting_stop,
    act_sale,
    act_stop,
    act_take_profit,
    act_target,
)
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.ending import expire, is_buy, is_range
from backtest.engine.kernel.fills import exit_level, limit_sale, slipped_sale
from backtest.engine.kernel.liquidation import (
    act_cross,
    cross_level,
    end_uncovered,
    liquidate_isolated,
    liquidation_touch,
)
from backtest.engine.kernel.memory import orders_in, signals_in
from backtest.engine.kernel.protection import begin_legs, end_legs, ratchet
from backtest.engine.records import TARGETS

if TYPE_CHECKING:
    from backtest.engine.kernel.state import Candle, View
    from backtest.engine.records import Row

__all__ = ["settle", "travel", "walk_legs"]


class Way(NamedTuple):
    """Where the price goes: from where to where, and whether nothing is traded in between (a gap)."""

    start: float
    end: float
    gap: bool


class Meeting(NamedTuple):
    """What the price meets: a kind of level, its rank at one price, whose it is, its turn, where, and how far off."""

    what: int
    rank: int
    slot: int
    turn: int
    which: int
    level: float
    distance: float


class Step(NamedTuple):
    """How a level was met: at which price, on the way to where, and whether the price moved to it."""

    price: float
    end: float
    moved: bool
    gap: bool
    path: bool


# ---------------------------------------------------------------- finding the nearest level


@folded
def reach(start: float, end: float, level: float, below: bool, gap: bool) -> float:
    """Return how far the price travels until it meets a level, or -1.

    ``below``: the level is met from above, at or under it. A level exactly at the end of a gap belongs to the open.
    """
    if below:
        if start <= level:
            return 0.0
        if level > end or (level == end and not gap):
            return start - level
        return -1.0
    if start >= level:
        return 0.0
    if level < end or (level == end and not gap):
        return level - start
    return -1.0


@folded
def worsens_to(way: Way, signal: Row, level: float) -> float:
    """Return how far off a level is that is met when the price falls, for a long, or -1."""
    side = signal.side
    return reach(side * way.start, side * way.end, side * level, YES, way.gap)


@folded
def improves_to(way: Way, signal: Row, level: float) -> float:
    """Return how far off a level is that is met when the price rises, for a long, or -1."""
    side = signal.side
    return reach(side * way.start, side * way.end, side * level, NO, way.gap)


@folded
def first_of(found: Meeting, other: Meeting) -> Meeting:
    """Return which of two is met first.

    At one price: liquidation and stop, then other exits, then entries; then by creation of the signal, then by order
    (L2.1).
    """
    if other.distance < 0.0 or other.distance > found.distance:
        return found
    if other.distance < found.distance or other.rank != found.rank:
        return other if other.distance < found.distance or other.rank < found.rank else found
    if other.slot != found.slot:
        return other if other.slot < found.slot else found
    return other if other.turn < found.turn else found


@folded
def meet_cross(way: Way, level: float, direction: int) -> Meeting:
    """Meet the level at which cross positions are liquidated (L13.2).

    One that was passed already, by a fee, by funding or by a reservation, acts at the next traded price.
    """
    if direction == ANYWHERE:
        return Meeting(W_CROSS, FIRST_LIQUIDATION, NOBODY, NO_TURN, ZERO, way.start, -1.0 if way.gap else 0.0)
    passed = direction * (way.start - level) >= 0.0
    distance = reach(-direction * way.start, -direction * way.end, -direction * level, YES, way.gap)
    if way.gap and passed:
        distance = -1.0
    return Meeting(W_CROSS, FIRST_LIQUIDATION, NOBODY, NO_TURN, ZERO, level, distance)


@folded
def meet_liquidation(signal: Row, slot: int, way: Way, level: float) -> Meeting:
    """Meet the level at which an isolated position is liquidated (L13.1).

    One that funding has passed acts in a gap that goes on beyond it, else at the open, if that is beyond it too.
    """
    distance = worsens_to(way, signal, level)
    start, end, met = signal.side * way.start, signal.side * way.end, signal.side * level
    if way.gap and start <= met and not (end < start and end < met):
        distance = -1.0
    return Meeting(W_LIQUIDATION, FIRST_LIQUIDATION, slot, ZERO, ZERO, level, distance)


@folded
def meet_sale(signal: Row, slot: int, way: Way) -> Meeting:
    """Meet a pending sale: at the next traded price (L3.3)."""
    distance = -1.0 if way.gap or signal.quantity <= 0.0 else 0.0
    return Meeting(W_SALE, THEN_STOPS, slot, ZERO, ZERO, way.start, distance)


@folded
def meet_stop(view: View, slot: int, way: Way, beyond: bool) -> Meeting:
    """Meet a stop, or the limit of one that was left unfilled (L3.4, L3.5, L4.5)."""
    signal, config = signals_in(view.book)[slot], view.config
    distance, holds = -1.0, signal.quantity > 0.0
    arrives = way.gap and signal.fresh_stop
    if signal.protection == RESTING:
        if holds and not arrives:
            distance = improves_to(way, signal, signal.stop_limit)
        return Meeting(W_RESTING, THEN_STOPS, slot, ZERO, ZERO, signal.stop_limit, distance)
    active = (signal.protection == FIXED and not config.stop_on_close) or signal.protection == TRAILING
    if active and not beyond and not arrives and (holds or signal.bought or config.invalidate_at_stop):
        distance = 0.0 if signal.trigger_now else worsens_to(way, signal, signal.stop)
    return Meeting(W_STOP, THEN_STOPS, slot, ZERO, ZERO, signal.stop, distance)


@folded
def meet_exit_percent(view: View, slot: int, way: Way) -> Meeting:
    """Meet the profile's percent over the average entry (L6.4): before any other target."""
    signal = signals_in(view.book)[slot]
    level = exit_level(signal, view.market, view.config)
    return Meeting(W_EXIT_PERCENT, THEN_EXITS, slot, NO_TURN, ZERO, level, improves_to(way, signal, level))


@folded
def meet_target(signal: Row, slot: int, nth: int, way: Way) -> Meeting:
    """Meet a target (L6.1)."""
    distance = -1.0
    if signal.state[nth] == T_LIVE and not (way.gap and signal.fresh[nth]):
        distance = improves_to(way, signal, signal.target[nth])
    return Meeting(W_TARGET, THEN_EXITS, slot, nth, nth, signal.target[nth], distance)


@folded
def meet_missed(view: View, slot: int, way: Way) -> Meeting:
    """Meet the first target before the entry (L4.5)."""
    signal, distance = signals_in(view.book)[slot], -1.0
    arrives = way.gap and signal.fresh[0]
    if signal.bought == 0 and signal.missed == 0 and signal.state[0] == T_LIVE and not arrives:
        distance = improves_to(way, signal, signal.target[0])
    return Meeting(W_MISSED, THEN_EXITS, slot, ZERO, ZERO, signal.target[0], distance)


@folded
def meet_signal(view: View, slot: int, way: Way, carried: bool, found: Meeting) -> Meeting:
    """Return what is met first of what was found and the levels of one signal."""
    signal, market = signals_in(view.book)[slot], view.market
    holds, beyond = signal.quantity > 0.0, carried and signal.cross == 1
    if holds and signal.account != SPOT and signal.cross == 0:
        level = liquidation_touch(signal, market)
        beyond = way.gap and signal.side * way.end <= signal.side * level
        found = first_of(found, meet_liquidation(signal, slot, way, level))
    if signal.sale != 0:
        return first_of(found, meet_sale(signal, slot, way))
    if signal.protection != NO_STOP:
        found = first_of(found, meet_stop(view, slot, way, beyond))
    if not holds:
        return first_of(found, meet_missed(view, slot, way))
    if view.config.exit_percent > 0.0:
        found = first_of(found, meet_exit_percent(view, slot, way))
    for k in range(signal.last_target):
        found = first_of(found, meet_target(signal, slot, k, way))
    return found


@folded
def rests_from_before(order: Row) -> bool:
    """Whether an order can be met in a gap: what arrives is not there yet, and no range is traded (L2.1)."""
    return not (order.fresh or is_range(order) or order.kind == O_TP_MARKET)


@folded
def meet_order(view: View, place: int, way: Way) -> Meeting:
    """Meet an entry, DCA or rebuy (L4.1, L3.1, L10), or a take profit call (L9.1)."""
    order = orders_in(view.book)[place]
    signal, level, distance = signals_in(view.book)[order.slot], order.price, -1.0
    if is_range(order):
        level = min(max(way.start, order.low), order.high)
        distance = 0.0 if level == way.start else reach(way.start, way.end, level, way.start > level, NO)
    elif is_buy(order):
        distance = worsens_to(way, signal, level)
    elif signal.quantity > 0.0:
        distance = 0.0 if order.kind == O_TP_MARKET else improves_to(way, signal, level)
    rank = THEN_ENTRIES if is_buy(order) else THEN_EXITS
    return Meeting(W_ORDER, rank, order.slot, order.seq + TARGETS, place, level, distance)


@rule
def nearest(view: View, way: Way, cross: bool) -> Meeting:
    """Return what the price meets first on its way.

    In a gap only what rests from before is met, and no range is traded.
    """
    found = Meeting(W_NONE, THEN_NOTHING, NOBODY, ZERO, ZERO, 0.0, math.inf)
    carried = False
    if cross:
        level, direction = cross_level(view)
        if direction != 0:
            carried = way.gap and direction != ANYWHERE and direction * (way.end - level) >= 0.0
            found = first_of(found, meet_cross(way, level, direction))
    for i in range(view.book.n_signals):
        if signals_in(view.book)[i].status <= OPEN:
            found = meet_signal(view, i, way, carried, found)
    for k in range(view.book.n_orders):
        order = orders_in(view.book)[k]
        if order.kind != O_DEAD and not (way.gap and not rests_from_before(order)):
            found = first_of(found, meet_order(view, k, way))
    return found


# ---------------------------------------------------------------- travelling


@rule
def settle(view: View) -> None:
    """What arrived at this instant rests from here on (L3.2)."""
    book = view.book
    if not book.fresh:
        return
    book.fresh = 0
    for i in range(book.n_signals):
        signal = signals_in(view.book)[i]
        signal.fresh_stop = 0
        for k in range(signal.last_target):
            signal.fresh[k] = 0
    for k in range(book.n_orders):
        orders_in(view.book)[k].fresh = 0


@rule
def act_order(view: View, order: Row, step: Step) -> None:
    """An order is met: a take profit call, or a buy."""
    signal, market = signals_in(view.book)[order.slot], view.market
    resting = step.gap or step.moved or (order.fresh == 0 and step.price == order.price)
    if order.kind == O_TP_LIMIT:
        price, maker = limit_sale(signal, market, order.price, step.price, resting)
        act_take_profit(view, order, step.price, price, maker)
    elif order.kind == O_TP_MARKET:
        act_take_profit(view, order, step.price, slipped_sale(signal, market, step.price), ZERO)
    else:
        act_buy_order(view, order, step.price, resting, step.gap, step.path)


@rule
def act_level(view: View, met: Meeting, step: Step) -> None:
    """A level of a signal other than its stop is met: a target, the percent of the profile, a missed target."""
    signal, market, nth, price = signals_in(view.book)[met.slot], view.market, met.which, step.price
    resting = step.gap or step.moved
    if met.what == W_EXIT_PERCENT:
        act_exit_percent(view, met.slot, met.level, price, resting or price == met.level)
    elif met.what == W_MISSED:
        act_missed(view, met.slot)
    else:
        resting = resting or (signal.fresh[nth] == 0 and price == met.level)
        sold, maker = limit_sale(signal, market, met.level, price, resting)
        act_target(view, met.slot, nth, sold, maker)


@rule
def act(view: View, met: Meeting, step: Step) -> None:
    """Do what the level that was met stands for."""
    if met.what == W_ORDER:
        act_order(view, orders_in(view.book)[met.which], step)
    elif met.what == W_STOP:
        view.book.stopped = 1
        act_stop(view, met.slot, step.end if step.gap else step.price)
    elif met.what == W_SALE:
        act_sale(view, met.slot, step.price)
    elif met.what == W_RESTING:
        act_resting_stop(view, met.slot)
    elif met.what == W_LIQUIDATION:
        liquidate_isolated(view, met.slot)
    elif met.what == W_CROSS:
        act_cross(view, met.level if step.moved else step.price)
    else:
        act_level(view, met, step)


@rule
def travel(view: View, way: Way, path: bool, cross: bool) -> float:
    """Take the price its way, acting on each level it meets, nearest first (L2.1); return where it arrives."""
    price, gap = way.start, way.gap
    while True:
        met = nearest(view, Way(price, way.end, gap), cross)
        if met.what == W_NONE:
            break
        moved = met.distance > 0.0
        if moved:
            price = met.level
            if not gap:
                settle(view)
                ratchet(view, price, path)
        act(view, met, Step(price, way.end, moved, gap, path))
        if cross:
            end_uncovered(view)
    if not gap and price != way.end:
        settle(view)
        ratchet(view, way.end, path)
    return way.end


@rule
def walk_legs(view: View, candle: Candle, up_first: bool, path: bool, expiring: bool, cross: bool) -> None:
    """Walk the three legs of one journey; with ``expiring`` what expires inside the candle is dead already (L4.4)."""
    if expiring:
        expire(view, candle.end)
    ratchet(view, candle.open, path)
    begin_legs(view, candle.high - candle.low)
    first = candle.high if up_first else candle.low
    second = candle.low if up_first else candle.high
    view.book.leg = LEG_1
    price = travel(view, Way(candle.open, first, NO), path, cross)
    view.book.leg = LEG_2
    price = travel(view, Way(price, second, NO), path, cross)
    view.book.leg = LEG_3
    travel(view, Way(price, candle.close, NO), path, cross)
    settle(view)
    end_legs(view)
