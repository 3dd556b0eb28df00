"""Fills: what a purchase and a sale do to position and account (L3.1, L3.2, L6.1, L6.3, L14.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import O_TP_LIMIT, OPEN, T_ABSENT, T_LIVE
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.grid import TIE, TOUCH, below_minimum, on_step, step_down, tick_toward
from backtest.engine.kernel.ledger import end_trade, free_balance, tell, worth
from backtest.engine.kernel.memory import orders_in, signals_in

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View
    from backtest.engine.records import Row

__all__ = [
    "buy",
    "exit_level",
    "indivisible",
    "is_last_part",
    "limit_buy",
    "limit_sale",
    "live_targets",
    "part_of",
    "sell",
    "slipped_buy",
    "slipped_sale",
    "spread",
]


@rule
def share_of(signal: Row, config: Row, nth: int) -> float:
    """Return the share of a target (L6.1): equal parts, or the profile's with the last taking what is missing."""
    if config.n_shares < 0:
        return 1.0
    last, total = -1, 0.0
    for k in range(signal.last_target):
        if signal.state[k] != T_ABSENT:
            last = k
            total += config.shares[k]
    share = config.shares[nth] + (max(0.0, 100.0 - total) if nth == last else 0.0)
    return share if share > TIE else 0.0  # of 100 less 99.99..., nothing is missing


@rule
def live_targets(signal: Row) -> int:
    """Return how many targets have not been reached yet."""
    live = 0
    for k in range(signal.last_target):
        if signal.state[k] == T_LIVE:
            live += 1
    return live


@rule
def is_last_part(signal: Row, nth: int) -> bool:
    """Whether a target is the only one left that has a part of its own (L6.2)."""
    if signal.plan[nth] <= 0.0:
        return False
    for k in range(signal.last_target):
        if k != nth and signal.state[k] == T_LIVE and signal.plan[k] > 0.0:
            return False
    return True


@rule
def part_of(signal: Row, market: Row, quantity: float) -> float:
    """Return what a sale takes of a position: whole steps, or all of it where only float noise would remain (L6.1)."""
    part = step_down(market, quantity)
    return part if part < signal.quantity * (1.0 - TOUCH) else signal.quantity


@rule
def spread(signal: Row, config: Row, quantity: float) -> None:
    """Add a bought quantity to the remaining targets, by their shares (L6.1)."""
    total, last = 0.0, -1
    for k in range(signal.last_target):
        if signal.state[k] == T_LIVE:
            total += share_of(signal, config, k)
            last = k
    if last < 0:
        return
    if total <= 0.0:
        signal.plan[last] += quantity
        return
    for k in range(signal.last_target):
        if signal.state[k] == T_LIVE:
            signal.plan[k] += quantity * share_of(signal, config, k) / total


@rule
def buy(view: View, order: Row, quantity: float, price: float, maker: int, kind: int, rule: int) -> None:
    """Add to the position of a signal and place what its first fill places (L6.1, L7.1, L8.5)."""
    account, book, config, signal = view.account, view.book, view.config, signals_in(view.book)[order.slot]
    fee = (config.maker if maker else config.taker) * price * quantity
    margin = price * quantity / signal.leverage
    account.reserved -= order.reserve
    lacking = margin + fee - max(0.0, free_balance(account))  # a short sold higher than at its limit (L5.2)
    if lacking > TIE * config.balance:
        margin -= lacking
    account.cash -= margin + fee
    account.margin += margin
    account.fees += fee
    first = signal.quantity <= 0.0
    if first:
        signal.average = price
        signal.t_time = book.time
    else:
        signal.average += (price - signal.average) * quantity / (signal.quantity + quantity)
    signal.quantity = on_step(view.market, signal.quantity + quantity)
    signal.margin += margin
    signal.held += order.allocation
    signal.fees += fee
    signal.t_quantity += quantity
    signal.t_value += quantity * price
    signal.t_fees += fee
    signal.t_margin += margin
    signal.t_invest += order.allocation / config.balance
    spread(signal, config, quantity)
    event = tell(view, signal, kind, rule)
    event.price, event.quantity, event.fee, event.maker, event.buy = price, quantity, fee, maker, 1
    signal.bought = 1
    if first:
        signal.status = OPEN
        place_exits(view, order.slot)


@rule
def place_exits(view: View, slot: int) -> None:
    """The first fill places targets and take profit limits: they arrive now (L3.2)."""
    signal = signals_in(view.book)[slot]
    view.book.fresh = 1
    for k in range(signal.last_target):
        signal.fresh[k] = 1
    for k in range(view.book.n_orders):
        order = orders_in(view.book)[k]
        if order.slot == slot and order.kind == O_TP_LIMIT:
            order.fresh = 1


@rule
def sell(view: View, slot: int, quantity: float, price: float, maker: int, kind: int, target: int, rule: int) -> None:
    """Sell part or all of a position (L14.3); the trade ends when it is flat."""
    account, config, signal = view.account, view.config, signals_in(view.book)[slot]
    everything = quantity >= signal.quantity
    part = 1.0 if everything else quantity / signal.quantity
    fee = (config.maker if maker else config.taker) * price * quantity
    realised = signal.side * quantity * (price - signal.average)
    margin = signal.margin * part
    held = signal.held * part
    if signal.cross or fee - realised > margin:
        realised = max(realised, fee - margin - behind(view, signal, price))
    account.cash += margin + realised - fee
    account.margin -= margin
    account.allocated -= held
    account.realised += realised
    account.fees += fee
    signal.quantity = 0.0 if everything else on_step(view.market, signal.quantity - quantity)
    signal.margin = 0.0 if everything else signal.margin - margin
    signal.held = 0.0 if everything else signal.held - held
    signal.realised += realised
    signal.fees += fee
    signal.t_sold += quantity * price
    signal.t_realised += realised
    signal.t_fees += fee
    event = tell(view, signal, kind, rule)
    event.price, event.quantity, event.fee, event.maker, event.target = price, quantity, fee, maker, target
    if everything:
        signal.average = np.nan
        end_trade(view, signal, kind)


@rule
def behind(view: View, signal: Row, price: float) -> float:
    """Return what stands behind a sale besides the margin sold (L13.2, L13.3): it cannot cost more.

    That is the free balance; of a cross position all cash, and what the other cross positions are worth. It is less than
    nothing where the sale of another one was paid by what this one was worth.
    """
    if not signal.cross:
        return max(0.0, free_balance(view.account))
    total = view.account.cash + view.account.due + view.book.others
    for i in range(view.book.n_signals):
        other = signals_in(view.book)[i]
        if other.cross and other.id != signal.id:
            total += worth(other, price)
    return total


@rule
def slipped_sale(signal: Row, market: Row, price: float) -> float:
    """Return what a sale at market gets (L3.3)."""
    return price * (1.0 - signal.side * market.slippage)


@rule
def slipped_buy(signal: Row, market: Row, price: float) -> float:
    """Return what a purchase at market costs (L3.3)."""
    return price * (1.0 + signal.side * market.slippage)


@rule
def limit_sale(signal: Row, market: Row, limit: float, price: float, resting: bool) -> tuple[float, int]:
    """Return price and maker of a sell limit: at its own price, or marketable with slippage (L3.1, L3.2)."""
    if resting or signal.side * price < signal.side * limit:
        return limit, 1
    slipped = slipped_sale(signal, market, price)
    return (slipped if signal.side * slipped > signal.side * limit else limit), 0


@rule
def limit_buy(signal: Row, market: Row, limit: float, price: float, resting: bool) -> tuple[float, int]:
    """Return price and maker of a buy limit (L3.1, L3.2)."""
    if resting or signal.side * price > signal.side * limit:
        return limit, 1
    slipped = slipped_buy(signal, market, price)
    return (slipped if signal.side * slipped < signal.side * limit else limit), 0


@folded
def exit_level(signal: Row, market: Row, config: Row) -> float:
    """Return the profile's percent over the average entry, on the tick (L6.4)."""
    return tick_toward(market, signal.average * (1.0 + signal.side * config.exit_percent), signal.side)


@rule
def indivisible(signal: Row, market: Row, part: float, price: float) -> bool:
    """Whether selling ``part`` leaves or makes an order that is too small (L6.3)."""
    rest = signal.quantity - part
    return below_minimum(market, part, price) or (rest > 0.0 and below_minimum(market, rest, price))
