"""Kernel: the signal lifecycle of lifecycle.md, rule by rule, over arrays of records.

Everything is written for a long; a short is its mirror image: prices are compared after multiplying by the side, so that
``x = side * price`` rises when the position gains. Only journey, colour and the order of ties belong to the candle (L2).

Arguments that recur
--------------------
a : account record            S : (n,) signal records of one book    O : (n,) order records of that book
b : book record               m : market record                      c : config record (profile and assumptions)
E : event buffer              T : trade buffer                       i : position of a signal in S

The wrapper (:mod:`backtest.engine.book`) validates and sizes the buffers; the kernel trusts. All functions live in this
one file because numba's cache does not notice changes in another one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from backtest.engine.codes import (
    ABSOLUTE,
    AT_CLOSE,
    C_CANCEL,
    C_CREATE,
    C_DCA,
    C_TAKE_PROFIT,
    C_TRAILING,
    C_UPDATE,
    CANCELED,
    CANDLE,
    CLOSED,
    DONE,
    E_CANCELED,
    E_CLOSED,
    E_CREATED,
    E_DCA,
    E_ENTERED,
    E_EXPIRED,
    E_INVALIDATED,
    E_LIQUIDATED,
    E_REBOUGHT,
    E_REFUSED,
    E_STOP,
    E_STOP_MOVED,
    E_TAKE_PROFIT,
    E_TARGET,
    E_TRAILING,
    E_UNFILLED,
    E_UPDATED,
    EXPIRED,
    FIXED,
    FUTURES,
    GROW,
    INVALIDATED,
    L3_1,
    L3_2,
    L3_4,
    L3_5,
    L3_6,
    L4_1,
    L4_4,
    L4_5,
    L5_3,
    L5_4,
    L6_1,
    L6_4,
    L6_5,
    L7_2,
    L8_1,
    L8_4,
    L8_5,
    L9_1,
    L9_2,
    L10_1,
    L10_2,
    L11_1,
    L11_2,
    L11_3,
    L12_1,
    L12_2,
    L13_1,
    L13_2,
    L14_2,
    LEG_1,
    LEG_CALL,
    LEG_CLOSE,
    LEG_GAP,
    LEG_OPEN,
    NO,
    NO_STOP,
    O_DCA,
    O_DEAD,
    O_LIMIT,
    O_RANGE,
    O_REBUY,
    O_TP_LIMIT,
    O_TP_MARKET,
    ONE,
    OPEN,
    OPTIMISTIC,
    PENDING,
    R_ALLOCATION,
    R_BALANCE,
    R_BOUNDS,
    R_ENDED,
    R_FREQUENCY,
    R_LEFT_ALONE,
    R_MINIMUM,
    R_MOST_OPEN,
    R_NO_STOP,
    R_NONE,
    R_RISK,
    R_SALE_PENDING,
    R_WOULD_TRIGGER,
    REFUSED,
    RESTING,
    SPOT,
    STATIC,
    T_ABSENT,
    T_HIT,
    T_LIVE,
    T_SKIPPED,
    TO_BREAK_EVEN,
    TO_PREVIOUS,
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
    WAITING,
    YES,
    ZERO,
)  # fmt: skip
from backtest.engine.records import SCRATCH, TARGETS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.engine.records import Floats, Ints, Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["advance_many", "advance_one", "equity_of", "examine", "number_table", "push"]

rule = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)  # type: ignore[call-overload]
"""A part of the kernel: compiled into the entry points that call it, which alone are cached.

Nothing is allocated in the kernel, so nothing is counted either: ``_nrt=False`` leaves out the reference counts of the
arrays, a fifth of its time.
"""

entry = njit(cache=True, error_model="numpy", _nrt=False)  # type: ignore[call-overload]
"""What the wrapper calls."""

NEVER = np.iinfo(np.int64).max
ON_GRID = 1e-6
TIE = 1e-9
NO_RATCHET = 1e-12  # of a stop: float noise, of a distance taken and given back, moves none
BLOCK = 64  # candles looked at together
NEAR = 8  # candles looked at one by one before
TOUCH = 1e-12  # of a computed level: float noise, which must not let a touch be missed
NOISE = 1e-15  # of a large number of steps, whose float error alone exceeds ON_GRID


# ---------------------------------------------------------------- grids and prices


@rule
def tick_toward(m: Row, price: float, direction: int) -> float:
    """Round a price to the tick, up or down (L3.6); a value within 1e-6 of a tick is on it."""
    if m.tick == 0.0:
        return price
    n = price * m.tick_scale / m.tick
    n = math.ceil(n - ON_GRID) if direction > 0 else math.floor(n + ON_GRID)
    return n * m.tick / m.tick_scale


@rule
def step_down(m: Row, quantity: float) -> float:
    """Round a quantity down to the step (L3.6)."""
    if m.step == 0.0:
        return quantity
    n = quantity * m.step_scale / m.step
    return math.floor(n + max(ON_GRID, n * NOISE)) * m.step / m.step_scale


@rule
def on_step(m: Row, quantity: float) -> float:
    """Take float noise off the sum or difference of two quantities on the step."""
    if m.step == 0.0:
        return quantity
    return np.round(quantity * m.step_scale / m.step) * m.step / m.step_scale


@rule
def below_minimum(m: Row, quantity: float, price: float) -> bool:
    """Whether an order is smaller than the market allows (L3.6)."""
    return quantity <= 0.0 or quantity < m.min_amount * (1.0 - TIE) or quantity * price < m.min_cost * (1.0 - TIE)


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
def liquidation_price(s: Row, m: Row) -> float:
    """Return the level at which an isolated position is liquidated (L13.1), unrounded."""
    return s.average * (1.0 - s.side * (1.0 / s.leverage - m.maintenance))


@rule
def liquidation_touch(s: Row, m: Row) -> float:
    """Return the price at which that level counts as met."""
    return liquidation_price(s, m) * (1.0 + s.side * TOUCH)


@rule
def fixed_limit(s: Row, m: Row, c: Row, stop: float) -> float:
    """Return the limit leg of a fixed stop, rounded towards its trigger, or nan for a stop market order (L7.1)."""
    limit = c.stop_order == 2 or (c.stop_order == 0 and s.account == SPOT)
    return tick_toward(m, stop * (1.0 - s.side * c.stop_margin), s.side) if limit else np.nan


# ---------------------------------------------------------------- events and trades


@rule
def emit(a: Row, b: Row, E: Rows, s: Row, kind: int, price: float, quantity: float, fee: float, target: int, rule: int, reason: int, maker: int, buy: int) -> None:
    """Append one event of a signal."""
    e = E[a.n_events]
    e.time = b.time
    e.signal = s.id
    e.kind = kind
    e.price = price
    e.quantity = quantity
    e.fee = fee
    e.target = target
    e.average = s.average if s.quantity > 0.0 else np.nan
    e.open = s.quantity
    e.leg = b.leg
    e.rule = rule
    e.reason = reason
    e.maker = maker
    e.buy = buy
    a.n_events += 1


@rule
def note(a: Row, b: Row, E: Rows, s: Row, kind: int, rule: int, reason: int) -> None:
    """Append an event that trades nothing."""
    emit(a, b, E, s, kind, np.nan, 0.0, 0.0, ZERO, rule, reason, ZERO, ZERO)


@rule
def end_trade(a: Row, b: Row, T: Rows, s: Row, kind: int) -> None:
    """Write the trade of a position that is flat again."""
    t = T[a.n_trades]
    t.signal = s.id
    t.side = s.side
    t.entry_time = s.t_time
    t.exit_time = b.time
    t.quantity = s.t_quantity
    t.average_entry = s.t_value / s.t_quantity
    t.average_exit = s.t_sold / s.t_quantity
    t.realised = s.t_realised
    t.fees = s.t_fees
    t.funding = s.t_funding
    t.margin = s.t_margin
    t.invest = s.t_invest
    t.exit = kind
    t.hits = s.t_hits
    t.ambiguous = s.t_ambiguous
    a.n_trades += 1
    s.t_quantity = s.t_value = s.t_sold = s.t_realised = s.t_fees = s.t_funding = s.t_margin = s.t_invest = 0.0
    s.t_hits = s.t_ambiguous = 0


# ---------------------------------------------------------------- orders and the end of a signal


@rule
def kill_order(a: Row, o: Row) -> None:
    """End an order and release what it reserved (L5.4)."""
    if o.kind == O_DEAD:
        return
    a.reserved -= o.allocation
    a.allocated -= o.allocation
    o.kind = O_DEAD


@rule
def kill_orders(a: Row, O: Rows, b: Row, i: int, entries_only: bool) -> None:
    """End the orders of a signal: all of them, or its initial entries only."""
    for k in range(b.n_orders):
        o = O[k]
        if o.slot == i and (not entries_only or o.kind == O_RANGE or o.kind == O_LIMIT):
            kill_order(a, o)


@rule
def has_buy_order(O: Rows, b: Row, i: int) -> bool:
    """Whether an entry, DCA or rebuy of the signal is alive."""
    for k in range(b.n_orders):
        o = O[k]
        if o.slot == i and (o.kind == O_RANGE or o.kind == O_LIMIT or o.kind == O_DCA or o.kind == O_REBUY):
            return True
    return False


@rule
def end_signal(a: Row, O: Rows, b: Row, E: Rows, S: Rows, i: int, status: int, rule: int) -> None:
    """End a signal: its orders die, and a closed one says so (L12.2)."""
    s = S[i]
    kill_orders(a, O, b, i, NO)
    s.status = status
    s.protection = NO_STOP
    s.sale = 0
    a.living -= 1
    if status == CLOSED:
        note(a, b, E, s, E_CLOSED, rule, R_NONE)


@rule
def after_flat(a: Row, S: Rows, O: Rows, b: Row, E: Rows, i: int) -> None:
    """A position is back to zero: the signal waits again while a buy of its own lives, else it is closed (L12.2)."""
    s = S[i]
    if s.protection == RESTING or not has_buy_order(O, b, i):  # a stop that was reached ends it, even one left unfilled
        end_signal(a, O, b, E, S, i, CLOSED, L12_2)
        return
    s.status = WAITING
    for k in range(s.last_target):
        s.plan[k] = 0.0


# ---------------------------------------------------------------- targets and stops of a position


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


# ---------------------------------------------------------------- fills


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


# ---------------------------------------------------------------- actions on the path


@rule
def act_stop(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, i: int, base: float) -> None:
    """A stop is triggered: sell at ``base``, the level or the price beyond it (L3.4, L3.5, L4.5)."""
    s = S[i]
    if s.quantity <= 0.0:
        if s.bought:
            end_signal(a, O, b, E, S, i, CLOSED, L12_2)
        else:
            end_signal(a, O, b, E, S, i, INVALIDATED, L4_5)
            note(a, b, E, s, E_INVALIDATED, L4_5, R_NONE)
        return
    kind = E_TRAILING if s.protection == TRAILING else E_STOP
    slipped = base * (1.0 - s.side * m.slippage)
    rule = L3_4
    if not math.isnan(s.stop_limit):
        rule = L3_5
        if s.side * base < s.side * s.stop_limit:
            s.resting_trail = 1 if kind == E_TRAILING else 0
            s.protection = RESTING
            s.trigger_now, s.fresh_stop, b.fresh = 0, 1, 1
            note(a, b, E, s, E_UNFILLED, L3_5, R_NONE)
            return
        if s.side * slipped < s.side * s.stop_limit:
            slipped = s.stop_limit
    sell(a, S, b, m, c, E, T, i, s.quantity, slipped, ZERO, kind, ZERO, rule)
    end_signal(a, O, b, E, S, i, CLOSED, L12_2)


@rule
def act_sale(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, i: int, p: float) -> None:
    """Execute a pending sale at market (L3.3): close-triggered or ratcheted stop, update at the market, cancel."""
    s = S[i]
    kind = s.sale
    sell(a, S, b, m, c, E, T, i, s.quantity, p * (1.0 - s.side * m.slippage), ZERO, kind, ZERO, s.sale_rule)
    end_signal(a, O, b, E, S, i, CANCELED if kind == E_CANCELED else CLOSED, L12_2)


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


@rule
def act_target(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, i: int, k: int, price: float, maker: int) -> None:
    """A target is met: sell its part (L6), then cancel entries (L4.6), move the stop (L6.5) or end (L12.2)."""
    s = S[i]
    remaining = 0
    for j in range(s.last_target):
        if s.state[j] == T_LIVE:
            remaining += 1
    chosen = c.exit_target == k + 1
    part = s.quantity
    if remaining > 1 and not chosen:
        part = min(step_down(m, s.plan[k]), s.quantity)
    if not chosen and indivisible(s, m, part, price):
        s.state[k] = T_SKIPPED
        return
    s.state[k] = T_HIT
    s.t_hits += 1
    if k == 0:
        s.reached_first = 1
    sell(a, S, b, m, c, E, T, i, part, price, maker, E_TARGET, k + 1, L6_4 if chosen else L6_1)
    if remaining == 1 or chosen:
        end_signal(a, O, b, E, S, i, CLOSED, L12_2)
        return
    if c.cancel_entries:
        kill_orders(a, O, b, i, YES)
    after_partial(a, S, O, b, c, i)
    if s.quantity <= 0.0:
        after_flat(a, S, O, b, E, i)
    else:
        move_stop_after_target(a, b, m, c, E, s, k)


@rule
def after_partial(a: Row, S: Rows, O: Rows, b: Row, c: Row, i: int) -> None:
    """End DCA and rebuy orders after a partial take profit where the assumption says so (L10.3)."""
    if c.buys_survive:
        return
    for k in range(b.n_orders):
        if O[k].slot == i and (O[k].kind == O_DCA or O[k].kind == O_REBUY):
            kill_order(a, O[k])


@rule
def act_take_profit(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, T: Rows, o: Row, p: float, price: float, maker: int, path: bool) -> None:
    """A take profit call fills: sell its percent of what is open (L9.1) and arm its trailing stop (L9.2)."""
    i = o.slot
    s = S[i]
    part = s.quantity if o.amount >= 100.0 else step_down(m, s.quantity * o.amount / 100.0)
    o.kind = O_DEAD
    if indivisible(s, m, part, price):
        return
    sell(a, S, b, m, c, E, T, i, part, price, maker, E_TAKE_PROFIT, ZERO, L9_1)
    after_partial(a, S, O, b, c, i)
    if s.quantity <= 0.0:
        after_flat(a, S, O, b, E, i)
    elif not math.isnan(o.trail):
        arm_at_fill(a, S, b, m, c, E, s, o.trail, o.trail_limit, price, p, path, L9_2)


@rule
def act_buy_order(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, o: Row, p: float, gap: bool, moved: bool, path: bool) -> None:
    """An entry, DCA or rebuy is met: buy (L4.1, L3.1, L3.2) and arm the stop that waits for it (L8.5, L10.2)."""
    i = o.slot
    s = S[i]
    kind = o.kind
    if kind == O_RANGE or kind == O_REBUY:
        price = p * (1.0 + s.side * m.slippage)
        bound = o.high if s.side > 0 else o.low
        if s.side * price > s.side * bound:
            price = bound
        maker = 0
        quantity = step_down(m, o.notional / price)
        event, rule = (E_ENTERED, L4_1) if kind == O_RANGE else (E_REBOUGHT, L10_2)
    else:
        price, maker = limit_buy(s, m, o.price, p, gap or moved or (o.fresh == 0 and p == o.price))
        quantity = o.quantity
        event, rule = (E_ENTERED, L3_1 if maker else L3_2) if kind == O_LIMIT else (E_DCA, L10_1)
    allocation = o.allocation
    o.kind = O_DEAD
    if quantity <= 0.0:
        a.reserved -= allocation
        a.allocated -= allocation
        return
    traded = o.price if gap else p
    waits = not math.isnan(s.waiting_trail)
    first = s.quantity <= 0.0
    buy(a, S, O, b, m, c, E, i, quantity, price, maker, allocation, event, rule)
    if kind == O_REBUY and not math.isnan(o.trail):
        arm_at_fill(a, S, b, m, c, E, s, o.trail, o.trail_limit, price, traded, path, L10_2)
    elif waits and first:
        arm_at_fill(a, S, b, m, c, E, s, s.waiting_trail, s.waiting_limit, price, traded, path, L8_5)
    elif first and not gap:  # a trailing stop that outlived a flat position sees the price of the fill (L8.3)
        ratchet(S, b, m, c, p, path)


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


# ---------------------------------------------------------------- finding the nearest level


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


# ---------------------------------------------------------------- expiry and the end of a candle


@rule
def expire(a: Row, S: Rows, O: Rows, b: Row, E: Rows, until: int) -> None:
    """End the initial entries whose time to live ends before ``until``; without a buy, the signal (L4.4)."""
    for i in range(b.n_signals):
        s = S[i]
        if s.status > OPEN or s.expiry >= until:
            continue
        s.expiry = NEVER
        alive = False
        for k in range(b.n_orders):
            o = O[k]
            if o.slot == i and (o.kind == O_RANGE or o.kind == O_LIMIT):
                alive = True
                kill_order(a, o)
        if not s.bought:
            end_signal(a, O, b, E, S, i, EXPIRED, L4_4)
            note(a, b, E, s, E_EXPIRED, L4_4, R_NONE)
        elif alive and s.quantity <= 0.0:
            after_flat(a, S, O, b, E, i)


@rule
def end_candle(a: Row, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, close: float, coarse_end: bool) -> None:
    """Ratchet at the end of the candle (L8.4), report it once, and let the close trigger stops (L7.2, L4.5)."""
    b.leg = LEG_CLOSE
    for i in range(b.n_signals):
        s = S[i]
        if s.status > OPEN:
            continue
        if s.protection == TRAILING and s.sale == 0:
            if c.mode == CANDLE and s.quantity > 0.0:
                level = trail_level(s, m, c)
                if s.side * level > s.side * s.stop:
                    s.stop = level
                    s.stop_limit = level - s.side * s.offset
            if s.stop != s.reported:
                s.reported = s.stop
                emit(a, b, E, s, E_STOP_MOVED, s.stop, 0.0, 0.0, ZERO, L8_4, R_NONE, ZERO, ZERO)
                if c.mode == CANDLE and s.quantity > 0.0 and s.side * close <= s.side * s.stop:
                    kill_orders(a, O, b, i, NO)
                    s.sale = E_TRAILING
                    s.sale_rule = L8_4
        if coarse_end and c.stop_on_close and s.protection == FIXED and s.sale == 0 and s.side * close <= s.side * s.stop:
            if s.quantity > 0.0:
                kill_orders(a, O, b, i, NO)
                s.sale = E_STOP
                s.sale_rule = L7_2
            elif s.bought:
                end_signal(a, O, b, E, S, i, CLOSED, L12_2)
            elif c.invalidate_at_stop:
                end_signal(a, O, b, E, S, i, INVALIDATED, L4_5)
                note(a, b, E, s, E_INVALIDATED, L4_5, R_NONE)


@rule
def compact(a: Row, S: Rows, O: Rows, b: Row, out: Rows) -> None:
    """Drop dead orders and ended signals, keeping the order of creation, and write how the ended ones ended."""
    gone = False
    for i in range(b.n_signals):
        if S[i].status > OPEN:
            gone = True
            write_outcome(out[S[i].id], S[i])
    kept = 0
    for k in range(b.n_orders):
        if O[k].kind != O_DEAD:
            if kept != k:
                O[kept] = O[k]
            kept += 1
    b.n_orders = kept
    if not gone:
        return
    kept = 0
    for i in range(b.n_signals):
        if S[i].status > OPEN:
            continue
        if kept != i:
            for k in range(b.n_orders):
                if O[k].slot == i:
                    O[k].slot = kept
            S[kept] = S[i]
        kept += 1
    b.n_signals = kept
    if a.living == 0:  # nothing is left: take the float noise of many additions off (L14.3)
        a.reserved = a.allocated = a.margin = 0.0


@rule
def write_outcome(out: Row, s: Row) -> None:
    """Record where a signal stands."""
    out.status = s.status
    out.side = s.side
    out.created = s.created
    out.realised = s.realised
    out.fees = s.fees
    out.funding = s.funding
    out.quantity = s.quantity
    out.average = s.average
    out.missed = s.missed


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


# ---------------------------------------------------------------- calls


@rule
def basis_of(acct: Rows, B: Rows, c: Row) -> float:
    """Return what ``invest`` is a percentage of (L5.1)."""
    return equity_of(acct, B) if c.basis_equity else c.balance


@entry
def equity_of(acct: Rows, B: Rows) -> float:
    """Return cash, margins and unrealised PnL at the last prices (L14.3)."""
    total = acct[0].cash + acct[0].margin
    for k in range(len(B) - SCRATCH):
        if B[k].units != 0.0 or B[k].cost != 0.0:
            total += B[k].units * B[k].last - B[k].cost
    return total


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
def add_order(a: Row, O: Rows, b: Row, i: int, kind: int, price: float, low: float, high: float, quantity: float, notional: float, allocation: float, place: int) -> Row:
    """Append an order that arrives at this instant and reserve its allocation (L5.4)."""
    o = O[b.n_orders]
    o.slot, o.kind, o.seq, o.price, o.low, o.high = i, kind, b.seq, price, low, high
    o.quantity, o.notional, o.allocation, o.fresh, o.place = quantity, notional, allocation, 1, place
    o.amount, o.trail, o.trail_limit = 0.0, np.nan, np.nan
    a.reserved += allocation
    a.allocated += allocation
    b.seq += 1
    b.fresh = 1
    b.n_orders += 1
    return o


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
def new_signal(s: Row, call: Row, m: Row, now: int, allocation: float, leverage: float) -> None:
    """Fill a signal record from its create."""
    s.id, s.side, s.status, s.account, s.cross, s.leverage = call.signal, call.side, WAITING, call.account, call.cross, leverage
    s.invest, s.allocation, s.created, s.split, s.low, s.high = call.invest, allocation, now, call.split, call.low, call.high
    s.expiry = now + call.ttl if call.ttl > 0 else NEVER
    s.protection, s.stop, s.stop_limit, s.fresh_stop, s.trigger_now = NO_STOP, np.nan, np.nan, 0, 0
    s.distance = s.ratio = s.best = s.offset = s.reported = 0.0
    s.resting_trail, s.waiting_trail, s.waiting_limit = 0, np.nan, np.nan
    s.quantity, s.average, s.margin, s.held, s.bought = 0.0, np.nan, 0.0, 0.0, 0
    s.last_target = 0
    for k in range(TARGETS):
        s.target[k] = call.targets[k]
        s.state[k] = T_ABSENT if math.isnan(call.targets[k]) else T_LIVE
        s.plan[k], s.fresh[k], s.market[k] = 0.0, 0, 0
        if s.state[k] == T_LIVE:
            s.last_target = k + 1
    s.reached_first, s.missed, s.sale, s.sale_rule = 0, 0, 0, 0
    s.realised = s.fees = s.funding = 0.0
    s.t_time, s.t_hits, s.t_ambiguous = 0, 0, 0
    s.t_quantity = s.t_value = s.t_sold = s.t_realised = s.t_fees = s.t_funding = s.t_margin = s.t_invest = 0.0


@rule
def range_of(side: int, low: float, high: float) -> tuple[float, float]:
    """Return the numeric bounds of an entry range; a lone maximum is the near bound on both sides (L4.1)."""
    if math.isnan(low):
        return (0.0, high) if side > 0 else (high, math.inf)
    return low, high


@rule
def create_orders(a: Row, O: Rows, b: Row, m: Row, i: int, call: Row, allocation: float, reserve: float, notional: float) -> None:
    """Place the entry of a create: one range, or a limit for each share of a split (L4.1, L4.2)."""
    if not call.split:
        low, high = range_of(call.side, call.low, call.high)
        add_order(a, O, b, i, O_RANGE, np.nan, low, high, 0.0, notional, allocation * reserve, ZERO)
        return
    for turn in range(3):
        place = 2 - turn if call.side > 0 else turn  # the nearest first
        share = call.share_low if place == 0 else (call.share_mid if place == 1 else call.share_high)
        price = call.low if place == 0 else (call.mid if place == 1 else call.high)
        if share > 0.0:
            part = notional * share / 100.0
            add_order(a, O, b, i, O_LIMIT, price, 0.0, 0.0, step_down(m, part / price), part, allocation * reserve * share / 100.0, place)


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


@rule
def act_create(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, q: int, c: Row, E: Rows, call: Row, accepted: Ints, out: Rows) -> None:
    """A create arrives: accept it and reserve its allocation, or refuse it whole (L5, L14.2)."""
    a, b, m, S, O = acct[0], B[q], M[q], S2[q], O2[q]
    basis = basis_of(acct, B, c)
    allocation = call.invest / 100.0 * basis
    leverage = min(call.leverage, m.max_leverage) if call.account != SPOT else 1.0
    part, reserve = margin_share(c, leverage)
    notional = allocation * part * leverage
    i = b.n_signals
    s = S[i]
    new_signal(s, call, m, b.time, allocation, leverage)
    reason = R_MINIMUM if too_small(m, call, notional) or call.low > call.high else R_NONE
    if reason == R_NONE:
        reason = refuse_limits(acct, S2, O2, B, M, c, call, basis, b.time, accepted, planned_risk(m, call, notional))
    if reason == R_NONE:
        reason = room_for(a, c, allocation, allocation * reserve, basis)
    if reason != R_NONE:
        s.status = REFUSED
        write_outcome(out[s.id], s)
        note(a, b, E, s, E_REFUSED, L3_6 if reason == R_MINIMUM else (L5_3 if reason <= R_ALLOCATION else L14_2), reason)
        return
    b.n_signals += 1
    a.living += 1
    accepted[a.n_accepted] = b.time
    a.n_accepted += 1
    if not math.isnan(call.stop):
        place_stop(s, m, c, call.stop)
        s.fresh_stop, b.fresh = 1, 1
    create_orders(a, O, b, m, i, call, allocation, reserve, notional)
    note(a, b, E, s, E_CREATED, L5_4, R_NONE)


@rule
def act_buy_call(acct: Rows, B: Rows, q: int, S: Rows, O: Rows, m: Row, c: Row, E: Rows, call: Row, i: int) -> None:
    """A DCA or rebuy arrives: a resting limit, or a range entry (L10.1, L10.2)."""
    a, b = acct[0], B[q]
    s = S[i]
    dca = call.kind == C_DCA
    basis = basis_of(acct, B, c)
    if dca:
        allocation = s.allocation * call.multiplier
    else:
        allocation = (s.invest if math.isnan(call.invest) else call.invest) / 100.0 * basis
    part, reserve = margin_share(c, s.leverage)
    notional = allocation * part * s.leverage
    near = call.price if dca else (call.high if s.side > 0 else call.low)
    quantity = step_down(m, notional / near)
    empty = below_minimum(m, quantity, near) or call.low > call.high  # a zone without a tick inside, too
    reason = R_MINIMUM if empty else room_for(a, c, allocation, allocation * reserve, basis)
    if reason != R_NONE:
        note(a, b, E, s, E_REFUSED, L3_6 if reason == R_MINIMUM else L5_3, reason)
        return
    if dca:
        add_order(a, O, b, i, O_DCA, call.price, 0.0, 0.0, quantity, notional, allocation * reserve, ZERO)
    else:
        o = add_order(a, O, b, i, O_REBUY, np.nan, call.low, call.high, 0.0, notional, allocation * reserve, ZERO)
        o.trail, o.trail_limit = call.trail, call.trail_limit


@rule
def act_trailing_call(a: Row, b: Row, E: Rows, s: Row, call: Row) -> None:
    """A trailing stop arrives: it replaces the stop, or waits for the next buy (L8)."""
    if s.quantity <= 0.0:
        s.waiting_trail, s.waiting_limit = call.trail, call.trail_limit
        return
    arm_trailing(a, b, E, s, call.trail, call.trail_limit, b.last, L8_1)
    s.fresh_stop, b.fresh = 1, 1
    s.trigger_now = 1 if s.side * call.trail >= s.side * b.last else 0


@rule
def update_refusal(s: Row, O: Rows, b: Row, i: int, call: Row) -> int:
    """Return why an update of prices is refused whole (L11.1, L11.2), or 0."""
    low = s.low if math.isnan(call.low) else call.low
    high = s.high if math.isnan(call.high) else call.high
    if (not math.isnan(call.low) or not math.isnan(call.high)) and low > high:
        return R_BOUNDS
    holds = s.quantity > 0.0
    if not math.isnan(call.stop) and s.side * call.stop >= s.side * b.last and not (call.marketable and holds):
        return R_WOULD_TRIGGER
    if holds and not call.marketable:
        for k in range(TARGETS):
            live = s.state[k] == T_LIVE or s.state[k] == T_ABSENT
            if live and not math.isnan(call.targets[k]) and s.side * call.targets[k] <= s.side * b.last:
                return R_WOULD_TRIGGER
    return R_NONE


@rule
def update_entries(O: Rows, b: Row, m: Row, s: Row, i: int, call: Row) -> bool:
    """Move what has not been bought (L11.1); return whether a bound was left alone."""
    moved_low = moved_high = False
    for k in range(b.n_orders):
        o = O[k]
        if o.slot != i:
            continue
        if o.kind == O_RANGE:
            if not math.isnan(call.low):
                s.low = call.low
            if not math.isnan(call.high):
                s.high = call.high
            o.low, o.high = range_of(s.side, s.low, s.high)
            moved_low = moved_high = True
        elif o.kind == O_LIMIT and o.place != 1:
            price = call.low if o.place == 0 else call.high
            if math.isnan(price):
                continue
            o.price, o.fresh, b.fresh = price, 1, 1
            o.quantity = step_down(m, o.notional / price)
            if o.place == 0:
                s.low, moved_low = price, True
            else:
                s.high, moved_high = price, True
    return (not math.isnan(call.low) and not moved_low) or (not math.isnan(call.high) and not moved_high)


@rule
def update_targets(s: Row, b: Row, c: Row, call: Row) -> bool:
    """Move or add the targets not yet reached (L11.1); return whether one was left alone."""
    left_alone = added = False
    b.fresh = 1
    for k in range(TARGETS):
        price = call.targets[k]
        if math.isnan(price):
            continue
        if s.state[k] == T_HIT or s.state[k] == T_SKIPPED:
            left_alone = True
            continue
        if s.state[k] == T_ABSENT:
            added = True
            s.last_target = max(s.last_target, k + 1)
        s.state[k], s.target[k], s.fresh[k] = T_LIVE, price, 1
        if k == 0:
            s.missed = 0
        s.market[k] = 1 if s.quantity > 0.0 and s.side * price <= s.side * b.last else 0
    if added and s.quantity > 0.0:
        for k in range(TARGETS):
            s.plan[k] = 0.0
        spread(s, c, s.quantity)
    return left_alone


@rule
def act_update(a: Row, b: Row, O: Rows, m: Row, c: Row, E: Rows, s: Row, i: int, call: Row) -> None:
    """Update prices arrive: all of them, or none (L11)."""
    reason = update_refusal(s, O, b, i, call)
    if reason != R_NONE:
        note(a, b, E, s, E_REFUSED, L11_2 if reason == R_WOULD_TRIGGER else L11_1, reason)
        return
    left_alone = update_entries(O, b, m, s, i, call)
    left_alone = update_targets(s, b, c, call) or left_alone
    note(a, b, E, s, E_UPDATED, L11_1, R_LEFT_ALONE if left_alone else R_NONE)
    if math.isnan(call.stop):
        return
    if s.side * call.stop >= s.side * b.last:  # allowed, with a position: sold at the next traded price (L11.2)
        kill_orders(a, O, b, i, NO)
        s.sale = E_STOP
        s.sale_rule = L11_2
        return
    active = s.quantity > 0.0 and s.protection != NO_STOP
    place_stop(s, m, c, call.stop)
    s.fresh_stop, b.fresh = 1, 1
    if active:
        emit(a, b, E, s, E_STOP_MOVED, call.stop, 0.0, 0.0, ZERO, L11_1, R_NONE, ZERO, ZERO)


@rule
def act_cancel(a: Row, S: Rows, O: Rows, b: Row, E: Rows, i: int) -> None:
    """A cancel arrives: all orders die and the position is sold at the next traded price (L12.1)."""
    s = S[i]
    if s.quantity > 0.0:
        kill_orders(a, O, b, i, NO)
        s.sale = E_CANCELED
        s.sale_rule = L12_1
        return
    end_signal(a, O, b, E, S, i, CANCELED, L12_1)
    note(a, b, E, s, E_CANCELED, L12_1, R_NONE)


@rule
def act_call(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, q: int, c: Row, E: Rows, call: Row, accepted: Ints, out: Rows) -> None:
    """Let one call act at this instant (L1.3)."""
    a, b, m, S, O = acct[0], B[q], M[q], S2[q], O2[q]
    if call.kind == C_CREATE:
        act_create(acct, S2, O2, B, M, q, c, E, call, accepted, out)
        return
    i = -1
    for k in range(b.n_signals):
        if S[k].id == call.signal:
            i = k
    if i < 0:
        refuse_ended(a, b, S, E, call, out)
        return
    s = S[i]
    if s.status > OPEN:  # it ended at this very instant
        note(a, b, E, s, E_REFUSED, L11_3, R_ENDED)
        return
    if call.kind == C_CANCEL:
        act_cancel(a, S, O, b, E, i)
    elif s.sale != 0:
        note(a, b, E, s, E_REFUSED, L7_2, R_SALE_PENDING)
    elif call.kind == C_TRAILING:
        act_trailing_call(a, b, E, s, call)
    elif call.kind == C_UPDATE:
        act_update(a, b, O, m, c, E, s, i, call)
    elif call.kind == C_TAKE_PROFIT:
        o = add_order(a, O, b, i, O_TP_LIMIT if call.limit else O_TP_MARKET, call.price, 0.0, 0.0, 0.0, 0.0, 0.0, ZERO)
        o.amount, o.trail, o.trail_limit = call.amount, call.trail, call.trail_limit
    else:
        act_buy_call(acct, B, q, S, O, m, c, E, call, i)


@rule
def refuse_ended(a: Row, b: Row, S: Rows, E: Rows, call: Row, out: Rows) -> None:
    """A call for an ended signal is refused; one before its create does nothing and leaves no event (L11.3)."""
    if out[call.signal].status == PENDING:
        return
    s = S[b.n_signals]  # the free row behind the living ones lends its shape
    s.id, s.quantity, s.average = call.signal, 0.0, np.nan
    note(a, b, E, s, E_REFUSED, L11_3, R_ENDED)


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


# ---------------------------------------------------------------- one candle


@rule
def copy_state(acct: Rows, S2: Rows, O2: Rows, B: Rows, source: int, target: int, books: int) -> None:
    """Copy a book and the account into a scratch place."""
    w = target - books
    acct[1 + w] = acct[0]
    B[target] = B[source]
    for i in range(B[source].n_signals):
        S2[target, i] = S2[source, i]
    for k in range(B[source].n_orders):
        O2[target, k] = O2[source, k]
    acct[1 + w].n_events = 0
    acct[1 + w].n_trades = 0


@rule
def book_equity(a: Row, S: Rows, b: Row, close: float) -> float:
    """Return cash, margins and unrealised PnL of one book at a price, for comparing journeys (L2.2)."""
    total = a.cash + a.margin
    for i in range(b.n_signals):
        if S[i].quantity > 0.0:
            total += S[i].side * S[i].quantity * (close - S[i].average)
    return total


@rule
def is_fill(e: Row) -> bool:
    """Whether an event traded something."""
    return e.buy == 1 or (e.quantity > 0.0)


@rule
def same_fills(A: Rows, n: int, C: Rows, k: int) -> bool:
    """Whether two walks made the same fills, whatever their order (L2.3)."""
    fills = 0
    for i in range(n):
        if is_fill(A[i]):
            fills += 1
    others = 0
    for j in range(k):
        if is_fill(C[j]):
            others += 1
    if fills != others:
        return False
    for i in range(n):
        if not is_fill(A[i]):
            continue
        x = A[i]
        here = there = 0
        for j in range(n):
            here += 1 if same_fill(x, A[j]) else 0
        for j in range(k):
            there += 1 if same_fill(x, C[j]) else 0
        if here != there:
            return False
    return True


@rule
def same_fill(x: Row, y: Row) -> bool:
    """Whether two fills agree in signal, kind, price, quantity and fee, to 1e-9 relative."""
    if x.signal != y.signal or x.kind != y.kind or not is_fill(y):
        return False
    close = abs(x.price - y.price) <= TIE * abs(x.price) and abs(x.quantity - y.quantity) <= TIE * abs(x.quantity)
    return close and abs(x.fee - y.fee) <= TIE * max(abs(x.fee), 1e-12)


@rule
def mark_ambiguous(E2: Rows, acct: Rows, S: Rows, b: Row, T2: Rows, walks: int, winner: int) -> None:
    """Mark the trades that an ambiguous candle touches: those with a fill in any of its walks."""
    for w in range(walks):
        for k in range(acct[1 + w].n_events):
            e = E2[w, k]
            if not is_fill(e):
                continue
            for i in range(b.n_signals):
                if S[i].id == e.signal:
                    S[i].t_ambiguous = 1
            for j in range(acct[1 + winner].n_trades):
                if T2[winner, j].signal == e.signal:
                    T2[winner, j].ambiguous = 1


@rule
def fork(acct: Rows, S2: Rows, O2: Rows, B: Rows, q: int, books: int, m: Row, c: Row, E2: Rows, T2: Rows, o: float, h: float, l: float, close: float, end: int, cross: bool, expiring: bool) -> int:
    """Walk the journeys of one candle from the same state and return the one to keep (L2.2, L4.4), in scratch.

    Scratch 0 and 1: filled, down-first and up-first; 2 and 3: the same with what expires inside the candle unfilled.
    In mode ``candle`` scratch 4 is the journey by colour with stops that ratchet at the end.
    """
    walks = 4 if expiring else 2
    for w in range(walks):
        r = books + w
        copy_state(acct, S2, O2, B, q, r, books)
        walk_legs(acct[1 + w], S2[r], O2[r], B[r], m, c, E2[w], T2[w], o, h, l, close, w % 2 == 1, YES, w >= 2, end, cross)
    winner = 0
    if c.mode == CANDLE:
        winner = 4
        r = books + 4
        copy_state(acct, S2, O2, B, q, r, books)
        walk_legs(acct[5], S2[r], O2[r], B[r], m, c, E2[4], T2[4], o, h, l, close, close < o, NO, NO, end, cross)
    else:
        sign = 1.0 if c.mode == OPTIMISTIC else -1.0
        top = -math.inf
        for w in range(walks):
            top = max(top, sign * book_equity(acct[1 + w], S2[books + w], B[books + w], close))
        for w in range(walks):
            if sign * book_equity(acct[1 + w], S2[books + w], B[books + w], close) >= top - TIE * c.balance:
                winner = w
                break
    for w in range(1, walks):
        if not same_fills(E2[0], acct[1].n_events, E2[w], acct[1 + w].n_events):
            acct[0].ambiguous += 1
            mark_ambiguous(E2, acct, S2[books + winner], B[books + winner], T2, walks, winner)
            break
    return winner


@rule
def keep(acct: Rows, S2: Rows, O2: Rows, B: Rows, q: int, books: int, winner: int, E: Rows, E2: Rows, T: Rows, T2: Rows) -> None:
    """Make a walked journey the state of the run, with its events and trades."""
    r = books + winner
    a, w = acct[0], acct[1 + winner]
    events, trades = a.n_events, a.n_trades
    ambiguous = a.ambiguous
    for k in range(w.n_events):
        E[events + k] = E2[winner, k]
    for k in range(w.n_trades):
        T[trades + k] = T2[winner, k]
    n_events, n_trades = events + w.n_events, trades + w.n_trades
    acct[0] = acct[1 + winner]
    acct[0].n_events, acct[0].n_trades, acct[0].ambiguous = n_events, n_trades, ambiguous
    B[q] = B[r]
    for i in range(B[r].n_signals):
        S2[q, i] = S2[r, i]
    for k in range(B[r].n_orders):
        O2[q, k] = O2[r, k]


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
def arrive(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, q: int, c: Row, E: Rows, calls: Rows, queue: Ints, accepted: Ints, out: Rows) -> None:
    """Let the next call of a market act (L1.3)."""
    b = B[q]
    k = b.call
    b.call = queue[k, 0]
    if b.call < 0:
        b.last_call = -1
    if calls[k].kind == C_CREATE:
        b.pending -= 1
    b.acted = 1
    act_call(acct, S2, O2, B, M, q, c, E, calls[k], accepted, out)


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
def cross_others(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, q: int, books: int, c: Row, E: Rows, T: Rows, out: Rows) -> None:
    """Close the cross positions of the other markets at their last prices after a cross liquidation (L13.2)."""
    acct[0].cross_liquidated = 0
    for k in range(books):
        if k == q:
            continue
        B[k].time, B[k].leg = B[q].time, B[q].leg
        for i in range(B[k].n_signals):
            if S2[k, i].cross and S2[k, i].quantity > 0.0:
                liquidate(acct[0], S2[k], O2[k], B[k], M[k], c, E, T, i, B[k].last, NO)
        compact(acct[0], S2[k], O2[k], B[k], out)
        measure(S2[k], O2[k], B[k], M[k], c, NO)


@rule
def has_cross(S: Rows, b: Row) -> bool:
    for i in range(b.n_signals):
        if S[i].cross and S[i].account != SPOT:
            return True
    return False


@rule
def open_instant(a: Row, S: Rows, O: Rows, b: Row, E: Rows, times: Ints, rates: Floats, now: int, o: float) -> None:
    """Begin an instant: funding on what is held, then expiries (L13.3, L1.3)."""
    b.time = now
    b.leg = LEG_CALL
    b.acted = 0
    if not b.started:
        b.started = 1
        b.last = o
    pay_funding(a, S, b, now, times, rates)
    if b.next_expiry <= now:
        b.acted = 1
        expire(a, S, O, b, E, now + 1)


@rule
def candle(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, q: int, books: int, c: Row, E: Rows, E2: Rows, T: Rows, T2: Rows, out: Rows, end: int, coarse_end: bool, o: float, h: float, l: float, close: float) -> None:
    """Walk one candle of one market after the calls of its instant: gap, open, legs, close (L2.1)."""
    a, b, m, S, O = acct[0], B[q], M[q], S2[q], O2[q]
    if b.n_signals == 0:
        b.last = close
        return
    cross = has_cross(S, b)
    if cross:
        others_of(S2, B, M, q, books)
    path = c.mode != CANDLE
    if b.acted or b.fresh or b.slow or cross or o <= b.low or o >= b.high:
        b.leg = LEG_GAP
        travel(a, S, O, b, m, c, E, T, b.last, o, YES, path, cross)
        b.leg = LEG_OPEN
        ratchet(S, b, m, c, o, path)
        travel(a, S, O, b, m, c, E, T, o, o, NO, path, cross)
        settle(S, O, b)
        b.last = o
        compact(a, S, O, b, out)
        measure(S, O, b, m, c, cross)
    else:  # nothing is met on the way to the open, nor at it
        b.last = o
    expiring = b.next_expiry < end
    if b.n_signals > 0 and not cross and not expiring and one_way_out(S[0], b, c, h, l):
        walk_legs(a, S, O, b, m, c, E, T, o, h, l, close, NO, YES, NO, end, NO)
    elif b.n_signals > 0 and (cross or touches(S, b, m, c, h, l)):
        winner = fork(acct, S2, O2, B, q, books, m, c, E2, T2, o, h, l, close, end, cross, expiring)
        keep(acct, S2, O2, B, q, books, winner, E, E2, T, T2)
    else:
        ratchet(S, b, m, c, h, path)
        ratchet(S, b, m, c, l, path)
    if expiring:
        b.leg = LEG_CLOSE
        expire(a, S, O, b, E, end)
    end_candle(a, S, O, b, m, c, E, close, coarse_end)
    compact(a, S, O, b, out)
    b.last = close
    measure(S, O, b, m, c, cross)
    if acct[0].cross_liquidated:
        cross_others(acct, S2, O2, B, M, q, books, c, E, T, out)


# ---------------------------------------------------------------- the run


@entry
def push(calls: Rows, queue: Ints, B: Rows, k: int) -> None:
    """Append call ``k`` to the queue of its market; ``queue``: (n, 3) int64, as in :func:`examine`."""
    b = B[calls[k].market]
    queue[k, 0] = -1
    if b.last_call >= 0:
        queue[b.last_call, 0] = k
    else:
        b.call = k
    b.last_call = k
    if calls[k].kind == C_CREATE:
        b.pending += 1


@entry
def examine(calls: Rows, queue: Ints, B: Rows, q: int, ends: Ints, until: int) -> None:
    """Decide on the conditional creates of a table up to an instant: made only where nothing of the market lives.

    ``queue[k]``: the next call, whether it was made (it becomes 1 for a create), and when it is sent; what follows it in its row is made with it. This is
    ``while_open="skip"``; it happens after the calls of ``on_event`` and before the next candle opens.
    """
    b = B[q]
    while b.candidate < ends[q] and queue[b.candidate, 2] <= until:
        if b.n_signals == 0 and b.pending == 0:
            queue[b.candidate, 1] = 1
            for k in range(b.candidate, b.candidate + b.width):
                push(calls, queue, B, k)
        b.candidate += b.width


@entry
def number_table(calls: Rows, queue: Ints, width: int, base: int, q: int, latency: int) -> None:
    """Give the calls of a table their market, their arrival and the numbers of their signals, ``width`` calls each.

    When they are sent is written beside them, close together: most rows of a table are only looked at.
    """
    for k in range(len(calls)):
        r = calls[k]
        queue[k, 2] = r.at
        r.signal = base + k // width
        r.market = q
        r.arrival = r.at + latency


@rule
def is_even(time: Ints, n: int, span: int) -> bool:
    """Whether no candle is missing among the first ``n``: then an open time need not be read, far off in memory."""
    return n > 0 and time[n - 1] - time[0] == (n - 1) * span


@rule
def first_at_or_after(time: Ints, low: int, high: int, instant: int, span: int, even: bool) -> int:
    """Return the first row in ``[low, high)`` that opens at or after an instant, or ``high``.

    Without gaps the row is known; gaps can only bring it nearer.
    """
    if low >= high:
        return high
    guess = low + max(0, (instant - (time[0] + low * span if even else time[low]) + span - 1) // span)
    if even or (guess < high and (guess == low or time[guess - 1] < instant)):
        return min(guess, high)
    high = min(guess, high)
    while low < high:
        middle = (low + high) // 2
        if time[middle] < instant:
            low = middle + 1
        else:
            high = middle
    return low


@rule
def fits(acct: Rows, B: Rows, q: int, S2: Rows, O2: Rows, E: Rows, E2: Rows, T: Rows, T2: Rows, calls: Rows, queue: Ints, now: int) -> bool:
    """Whether every buffer has room for one more candle with all its consequences."""
    a, b = acct[0], B[q]
    due, k = 0, b.call
    while k >= 0 and calls[k].arrival <= now:
        due += 1
        k = queue[k, 0]
    signals, orders = b.n_signals + due + 1, b.n_orders + 3 * due + 3
    events = 24 * signals + 6 * orders + 3 * a.living + 64
    trades = 4 * signals + 2 * orders + a.living + 16
    a.lacks = (
        (0 if signals < S2.shape[1] else 1)
        + (0 if orders < O2.shape[1] else 2)
        + (0 if a.n_events + events < len(E) else 4)
        + (0 if events < E2.shape[1] else 8)
        + (0 if a.n_trades + trades < len(T) else 16)
        + (0 if trades < T2.shape[1] else 32)
    )
    return a.lacks == 0


@entry
def advance_one(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, c: Row, E: Rows, E2: Rows, T: Rows, T2: Rows, calls: Rows, queue: Ints, ends: Ints, accepted: Ints, out: Rows, time: Ints, o: Floats, h: Floats, l: Floats, close: Floats, times: Ints, rates: Floats, equity: Floats, until: int, peek: bool) -> int:
    """Walk one market without detail candles up to row ``until``; write one equity point a candle.

    Returns at a close with new events if the run wants them, when a buffer must grow, or at ``until``. With ``peek`` no
    candle is walked on which something could happen: the run stops before it.
    """
    a, b, m = acct[0], B[0], M[0]
    span, even = m.span, is_even(time, until, m.span)
    while b.row < until:
        i = b.row
        now = time[0] + i * span if even else time[i]
        opened, high, low, last = o[i], h[i], l[i], close[i]  # far from where memory was read last: waited for at once
        before = a.n_events
        examine(calls, queue, B, 0, ends, now)
        stop = until
        if b.call >= 0:
            stop = first_at_or_after(time, i, stop, calls[b.call].arrival, span, even)
        if b.n_signals == 0:
            if b.candidate < ends[0]:
                stop = first_at_or_after(time, i, stop, queue[b.candidate, 2], span, even)
            if stop > i:
                value = a.cash + a.margin
                for k in range(i, stop):
                    equity[k] = value
                b.started, b.last, b.row = 1, close[stop - 1], stop
                continue
        else:
            if b.funding < len(times):
                stop = first_at_or_after(time, i, stop, times[b.funding], span, even)
            if b.next_expiry < NEVER:
                stop = first_at_or_after(time, i, stop, b.next_expiry - span + 1, span, even)
            if stop > i and not b.slow:
                reached = scan(acct, S2[0], O2[0], b, m, c, E, time, o, h, l, close, equity, i, stop)
                if reached > i:
                    b.row = reached
                    if c.want_events and a.n_events > before:
                        return AT_CLOSE
                    continue
        if peek:
            return DONE
        if not fits(acct, B, 0, S2, O2, E, E2, T, T2, calls, queue, now):
            return GROW
        open_instant(a, S2[0], O2[0], b, E, times, rates, now, opened)
        while b.call >= 0 and calls[b.call].arrival <= now:
            arrive(acct, S2, O2, B, M, 0, c, E, calls, queue, accepted, out)
        candle(acct, S2, O2, B, M, 0, 1, c, E, E2, T, T2, out, now + span, YES, opened, high, low, last)
        equity[i] = a.cash + a.margin + (b.units * b.last - b.cost)
        b.row = i + 1
        if c.want_events and a.n_events > before:
            return AT_CLOSE
    return DONE


@rule
def quiet_rows(lows: Floats, highs: Floats, low: float, high: float) -> int:
    """Return how many candles, from the first, stay strictly inside a band of prices."""
    n, k = len(lows), 0
    while k < NEAR and k < n:  # where a stop ratchets, the next better price is often near
        if not (lows[k] > low and highs[k] < high):
            return k
        k += 1
    while k + BLOCK <= n:  # counting, without a way out in between, is compiled to vector instructions
        some_lows, some_highs, inside = lows[k : k + BLOCK], highs[k : k + BLOCK], 0
        for j in range(BLOCK):
            inside += (some_lows[j] > low) & (some_highs[j] < high)
        if inside < BLOCK:
            break
        k += BLOCK
    while k < n and lows[k] > low and highs[k] < high:
        k += 1
    return k


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
def scan(acct: Rows, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, time: Ints, o: Floats, h: Floats, l: Floats, close: Floats, equity: Floats, i: int, stop: int) -> int:
    """Pass quiet candles and mark the positions at their closes; return the first row that is not quiet."""
    a = acct[0]
    units, base, before = b.units, a.cash + a.margin - b.cost, a.n_events
    while True:
        low, high = calm_band(S, b)
        quiet = quiet_rows(l[i:stop], h[i:stop], low, high)
        points, closes = equity[i : i + quiet], close[i : i + quiet]
        for k in range(quiet):
            points[k] = base + units * closes[k]
        if quiet:
            b.last = closes[quiet - 1]
        i += quiet
        full = a.n_events + b.ratcheting + 8 >= len(E)
        if i == stop or b.ratcheting == 0 or full or touches(S, b, m, c, h[i], l[i]):
            return i
        b.time = time[i]
        quiet_candle(a, S, O, b, m, c, E, h[i], l[i], close[i], YES)
        equity[i] = base + units * close[i]
        i += 1
        if b.slow or (c.want_events and a.n_events > before):
            return i


@entry
def advance_many(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, c: Row, E: Rows, E2: Rows, T: Rows, T2: Rows, calls: Rows, queue: Ints, ends: Ints, accepted: Ints, out: Rows, time: Ints, o: Floats, h: Floats, l: Floats, close: Floats, kind: NDArray[np.uint8], first: Ints, books: int, times: Ints, rates: Floats, funding_first: Ints, order_market: Ints, order_row: Ints, equity_time: Ints, equity: Floats, cursor: Ints, stop_time: int) -> int:
    """Walk several markets, or one with detail candles, in time order (L14.1); write one equity point a close.

    ``cursor``: (4,) int64 - position in the order, position in the equity points, events already told, and the end of the
    instant that has begun. ``kind``: 0 a
    candle of its own, 1 a fine candle, 2 the last fine candle of a coarse one. Returns at a close with new events if the
    run wants them, at the close ``stop_time``, when a buffer must grow, or at the end.
    """
    a = acct[0]
    rows = len(order_row)
    while True:
        upcoming = NEVER
        if cursor[0] < rows:
            upcoming = time[first[order_market[cursor[0]]] + order_row[cursor[0]]]
        while cursor[1] < len(equity_time) and equity_time[cursor[1]] <= upcoming:
            now = equity_time[cursor[1]]
            equity[cursor[1]] = equity_of(acct, B)
            cursor[1] += 1
            told = cursor[2]
            cursor[2] = a.n_events
            if (c.want_events and a.n_events > told) or now >= stop_time:
                return AT_CLOSE
        if cursor[0] >= rows:
            return DONE
        if cursor[3] <= cursor[0]:
            group = open_group(acct, S2, O2, B, M, c, E, calls, queue, ends, accepted, out, time, o, first, times, rates, funding_first, order_market, order_row, cursor[0], upcoming)
            if group < 0:
                return GROW
            cursor[3] = group
        q = order_market[cursor[0]]
        b, m = B[q], M[q]
        i = first[q] + order_row[cursor[0]]
        if b.n_signals == 0:
            b.last = close[i]
        elif not b.acted and quiet_row(b, m, S2[q], c, upcoming, kind[i], h[i], l[i]) and a.n_events + b.ratcheting + 8 < len(E):
            quiet_candle(a, S2[q], O2[q], b, m, c, E, h[i], l[i], close[i], kind[i] != 1)
        else:
            if not fits(acct, B, q, S2, O2, E, E2, T, T2, calls, queue, upcoming):
                return GROW
            end = upcoming + (m.span if kind[i] == 0 else m.fine_span)
            candle(acct, S2, O2, B, M, q, books, c, E, E2, T, T2, out, end, kind[i] != 1, o[i], h[i], l[i], close[i])
        b.row = order_row[cursor[0]] + 1
        cursor[0] += 1


@rule
def open_group(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, c: Row, E: Rows, calls: Rows, queue: Ints, ends: Ints, accepted: Ints, out: Rows, time: Ints, o: Floats, first: Ints, times: Ints, rates: Floats, funding_first: Ints, order_market: Ints, order_row: Ints, start: int, now: int) -> int:
    """Begin one instant for every market that has a candle at it: expiries, then calls in order of arrival (L1.3, L14.1).

    Returns the place in the order behind the instant, or -1 where a buffer must grow first; nothing has happened then.
    """
    a = acct[0]
    stop, events, due = start, 64, 0
    while stop < len(order_row) and time[first[order_market[stop]] + order_row[stop]] == now:
        q = order_market[stop]
        examine(calls, queue, B, q, ends, now)
        mine, k = 0, B[q].call
        while k >= 0 and calls[k].arrival <= now:
            mine += 1
            k = queue[k, 0]
        if B[q].n_signals + mine + 1 >= S2.shape[1]:
            a.lacks = 1
            return -1
        if B[q].n_orders + 3 * mine + 3 >= O2.shape[1]:
            a.lacks = 2
            return -1
        events += 4 * (B[q].n_signals + mine)
        due += mine
        stop += 1
    if a.n_events + events >= len(E):
        a.lacks = 4
        return -1
    for place in range(start, stop):
        q = order_market[place]
        low, high = funding_first[q], funding_first[q + 1]
        open_instant(a, S2[q], O2[q], B[q], E, times[low:high], rates[low:high], now, o[first[q] + order_row[place]])
    for _ in range(due):
        chosen = -1
        for place in range(start, stop):
            q = order_market[place]
            k = B[q].call
            if k < 0 or calls[k].arrival > now:
                continue
            if chosen < 0 or calls[k].arrival < calls[B[chosen].call].arrival or (calls[k].arrival == calls[B[chosen].call].arrival and k < B[chosen].call):
                chosen = q
        arrive(acct, S2, O2, B, M, chosen, c, E, calls, queue, accepted, out)
    return stop


@rule
def quiet_row(b: Row, m: Row, S: Rows, c: Row, now: int, kind: int, h: float, l: float) -> bool:
    """Whether a candle can be passed without walking it."""
    if b.slow:
        return False
    if b.next_expiry < now + (m.span if kind == 0 else m.fine_span):
        return False
    return not touches(S, b, m, c, h, l)
