"""Liquidation: isolated (L13.1) and cross (L13.2) positions closed by force, and funding (L13.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import CLOSED, E_LIQUIDATED, FUTURES, L12_2, L13_1, L13_2, NO, SPOT
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.ending import end_signal
from backtest.engine.kernel.grid import TOUCH
from backtest.engine.kernel.ledger import end_trade, tell
from backtest.engine.kernel.state import markets_in
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View, World
    from backtest.engine.records import Row

__all__ = [
    "cross_level",
    "has_cross",
    "liquidate",
    "liquidate_cross",
    "liquidation_price",
    "liquidation_touch",
    "next_funding",
    "pay_funding",
    "see_others",
]


@rule
def liquidation_price(signal: Row, market: Row) -> float:
    """Return the level at which an isolated position is liquidated (L13.1), unrounded."""
    return signal.average * (1.0 - signal.side * (1.0 / signal.leverage - market.maintenance))


@rule
def liquidation_touch(signal: Row, market: Row) -> float:
    """Return the price at which that level counts as met."""
    return liquidation_price(signal, market) * (1.0 + signal.side * TOUCH)


@rule
def liquidate(view: View, slot: int, price: float, isolated: bool) -> None:
    """Close a position by force: isolated it costs its whole margin (L13.1), cross what the level costs (L13.2)."""
    account, signal = view.account, view.signals[slot]
    quantity = signal.quantity
    realised = -signal.margin if isolated else signal.side * quantity * (price - signal.average)
    account.cash += signal.margin + realised
    account.margin -= signal.margin
    account.allocated -= signal.held
    account.realised += realised
    signal.realised += realised
    signal.t_sold += quantity * price
    signal.t_realised += realised
    signal.quantity = signal.margin = signal.held = 0.0
    event = tell(view, signal, E_LIQUIDATED, L13_1 if isolated else L13_2)
    event.price, event.quantity = price, quantity
    signal.average = np.nan
    end_trade(view, signal, E_LIQUIDATED)
    end_signal(view, slot, CLOSED, L12_2)


@rule
def cross_level(view: View) -> tuple[float, int]:
    """Return the price at which the account meets the maintenance margin of its cross positions, and its direction.

    Equity and maintenance are linear in the price of this market (L13.2). Direction -1: met when the price falls to it,
    +1 when it rises to it, 0: never.
    """
    account, book, market = view.account, view.book, view.market
    units = cost = held = 0.0
    found = False
    for i in range(book.n_signals):
        signal = view.signals[i]
        if signal.quantity > 0.0:
            units += signal.side * signal.quantity
            cost += signal.side * signal.quantity * signal.average
            if signal.cross:
                held += signal.quantity
                found = True
    slope = units - market.maintenance * held
    if not found or slope == 0.0:
        return 0.0, 0
    level = (cost + book.others_maintenance - account.cash - account.margin - book.others) / slope
    direction = -1 if slope > 0.0 else 1
    return level * (1.0 - direction * TOUCH), direction


@rule
def liquidate_cross(view: View, price: float) -> None:
    """Liquidate every cross position of this market (L13.2)."""
    for i in range(view.book.n_signals):
        signal = view.signals[i]
        if signal.cross and signal.quantity > 0.0:
            liquidate(view, i, price, NO)


@rule
def pay_funding(world: World, view: View, index: int, now: int) -> None:
    """Charge funding on positions held from before this instant (L13.3): a long pays a positive rate."""
    account, book = view.account, view.book
    first, end = world.funding_first[index], world.funding_first[index + 1]
    while first + book.funding < end and world.funding_times[first + book.funding] <= now:
        rate = world.funding_rates[first + book.funding]
        book.funding += 1
        for i in range(book.n_signals):
            signal = view.signals[i]
            if signal.quantity > 0.0 and signal.account == FUTURES:
                paid = signal.side * signal.quantity * book.last * rate
                account.cash -= paid
                account.funding += paid
                signal.funding += paid
                signal.t_funding += paid
                book.acted = 1


@folded
def next_funding(world: World, book: Row, index: int) -> int:
    """Return when funding is charged next in a market, or never."""
    place = world.funding_first[index] + book.funding
    return world.funding_times[place] if place < world.funding_first[index + 1] else NEVER


@rule
def see_others(world: World, index: int) -> None:
    """Set what the other markets add to equity and to the maintenance of cross positions (L13.2)."""
    total = held = 0.0
    for k in range(markets_in(world)):
        if k == index:
            continue
        book = world.books[k]
        total += book.units * book.last - book.cost
        for i in range(book.n_signals):
            signal = world.signals[k, i]
            if signal.cross and signal.quantity > 0.0:
                held += world.markets[k].maintenance * signal.quantity * book.last
    world.books[index].others, world.books[index].others_maintenance = total, held


@rule
def has_cross(view: View) -> bool:
    """Whether a cross signal lives in a book."""
    for i in range(view.book.n_signals):
        if view.signals[i].cross and view.signals[i].account != SPOT:
            return True
    return False
