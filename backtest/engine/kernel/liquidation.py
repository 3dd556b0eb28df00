"""Liquidation: isolated (L13.1) and cross (L13.2) positions closed by force, and funding (L13.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import (
    ANYWHERE,
    CLOSED,
    E_LIQUIDATED,
    E_REFUSED,
    FUTURES,
    L12_2,
    L13_1,
    L13_2,
    O_DEAD,
    R_UNCOVERED,
    REFUSED,
)
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.ending import end_signal, has_buy_order, is_buy, release
from backtest.engine.kernel.grid import TIE, TOUCH
from backtest.engine.kernel.ledger import end_trade, free_balance, note, tell, worth
from backtest.engine.kernel.memory import floats_at, ints_at, orders_in, signals_in
from backtest.engine.kernel.state import book_of, track_of, view_of
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View
    from backtest.engine.records import Row

__all__ = [
    "act_cross",
    "cross_level",
    "end_newest",
    "end_uncovered",
    "has_cross",
    "is_uncovered",
    "liquidate_cross",
    "liquidate_isolated",
    "liquidation_price",
    "liquidation_touch",
    "next_funding",
    "pay_funding",
    "see_others",
]


@folded
def liquidation_price(signal: Row, market: Row) -> float:
    """Return the level at which an isolated position is liquidated (L13.1), unrounded; it moves with the margin (L13.3)."""
    margin = signal.margin / (signal.average * signal.quantity)
    return signal.average * (1.0 - signal.side * (margin - market.maintenance))


@folded
def liquidation_touch(signal: Row, market: Row) -> float:
    """Return the price at which that level counts as met."""
    return liquidation_price(signal, market) * (1.0 + signal.side * TOUCH)


@rule
def liquidate_isolated(view: View, slot: int) -> None:
    """Close an isolated position at its level; it costs the margin that is left (L13.1)."""
    signal = signals_in(view.book)[slot]
    close_by_force(view, slot, liquidation_price(signal, view.market), -signal.margin, L13_1)


@rule
def liquidate_cross(view: View, price: float, missing: float) -> None:
    """Close every cross position of this market at a price (L13.2); the first one does not pay what is missing."""
    for i in range(view.book.n_signals):
        signal = signals_in(view.book)[i]
        if signal.cross and signal.quantity > 0.0:
            realised = signal.side * signal.quantity * (price - signal.average) + missing
            close_by_force(view, i, price, realised, L13_2)
            missing = 0.0


@rule
def act_cross(view: View, price: float) -> None:
    """Liquidate all cross positions (L13.2): those of this market now, the others when its candle has been walked.

    They cannot lose more than all cash and their margins.
    """
    account, book = view.account, view.book
    total = account.cash + account.due + book.others
    for i in range(book.n_signals):
        if signals_in(view.book)[i].cross:
            total += worth(signals_in(view.book)[i], price)
    liquidate_cross(view, price, max(0.0, -total))
    account.cross_liquidated = 1
    account.due += book.others
    account.due_reserved += book.others_reserved
    book.others = book.others_maintenance = book.others_reserved = 0.0


@rule
def close_by_force(view: View, slot: int, price: float, realised: float, rule: int) -> None:
    """Book a liquidation, which pays no fee, and end the signal."""
    account, signal = view.account, signals_in(view.book)[slot]
    quantity = signal.quantity
    account.cash += signal.margin + realised
    account.margin -= signal.margin
    account.allocated -= signal.held
    account.realised += realised
    signal.realised += realised
    signal.t_sold += quantity * price
    signal.t_realised += realised
    signal.quantity = signal.margin = signal.held = 0.0
    event = tell(view, signal, E_LIQUIDATED, rule)
    event.price, event.quantity = price, quantity
    signal.average = np.nan
    end_trade(view, signal, E_LIQUIDATED)
    end_signal(view, slot, CLOSED, L12_2)


@rule
def cross_level(view: View) -> tuple[float, int]:
    """Return the price at which what backs the cross positions meets their maintenance margin, and its direction (L13.2).

    The free balance and their own worth back them: linear in the price of this market. Direction -1: met when the price
    falls to it, +1 when it rises to it, 0: never, :data:`ANYWHERE`: at whatever price is traded next.
    """
    book, market = view.book, view.market
    slope, found = 0.0, False
    backing = free_balance(view.account) + book.others - book.others_maintenance
    for i in range(book.n_signals):
        signal = signals_in(view.book)[i]
        if signal.cross and signal.quantity > 0.0:
            backing += worth(signal, 0.0)
            slope += (signal.side - market.maintenance) * signal.quantity
            found = True
    if not found:
        return 0.0, 0
    if slope == 0.0:
        return 0.0, ANYWHERE if backing <= 0.0 else 0
    direction = -1 if slope > 0.0 else 1
    return -backing / slope * (1.0 - direction * TOUCH), direction


@rule
def end_newest(view: View) -> bool:
    """End the newest buy order of a book for want of cash (L13.2), and its signal where nothing of it is left."""
    newest = -1
    for k in range(view.book.n_orders):
        if is_buy(orders_in(view.book)[k]) and (
            newest < 0 or orders_in(view.book)[k].seq > orders_in(view.book)[newest].seq
        ):
            newest = k
    if newest < 0:
        return False
    order = orders_in(view.book)[newest]
    slot = order.slot
    release(view.account, order)
    order.kind = O_DEAD
    signal = signals_in(view.book)[slot]
    note(view, signal, E_REFUSED, L13_2, R_UNCOVERED)
    if signal.quantity <= 0.0 and not has_buy_order(view, slot):
        end_signal(view, slot, CLOSED if signal.bought else REFUSED, L12_2)
    return True


@rule
def is_uncovered(account: Row, config: Row) -> bool:
    """Whether reservations exceed cash (L13.2)."""
    return free_balance(account) < -TIE * config.balance


@rule
def end_uncovered(view: View) -> None:
    """End the newest reservations of a market until cash covers the rest (L13.2)."""
    while is_uncovered(view.account, view.config) and end_newest(view):
        pass


@rule
def pay_funding(world: Row, view: View, index: int, now: int) -> None:
    """Charge funding on positions held from before this instant (L13.3): a long pays a positive rate."""
    account, book, track = view.account, view.book, track_of(world, index)
    while book.funding < track.n_funding and ints_at(track.funding_times, track.n_funding)[book.funding] <= now:
        rate = floats_at(track.funding_rates, track.n_funding)[book.funding]
        book.funding += 1
        for i in range(book.n_signals):
            signal = signals_in(view.book)[i]
            if signal.quantity > 0.0 and signal.account == FUTURES:
                charge(account, signal, signal.side * signal.quantity * book.last * rate)
                book.acted = 1


@rule
def charge(account: Row, signal: Row, owed: float) -> None:
    """Take funding from the free balance, what that cannot pay from the margin, and no more than both (L13.3)."""
    free = max(0.0, free_balance(account))
    from_margin = min(max(0.0, owed - free), signal.margin)
    paid = min(owed, free + from_margin)
    account.cash -= paid - from_margin
    account.margin -= from_margin
    account.funding += paid
    signal.margin -= from_margin
    signal.funding += paid
    signal.t_funding += paid


@folded
def next_funding(world: Row, index: int) -> int:
    """Return when funding is charged next in a market, or never."""
    book, track = book_of(world, index), track_of(world, index)
    return ints_at(track.funding_times, track.n_funding)[book.funding] if book.funding < track.n_funding else NEVER


@rule
def see_others(world: Row, index: int) -> None:
    """Set what the cross positions of other markets are worth, what they must keep, and what is reserved for them (L13.2)."""
    total = held = reserved = 0.0
    for k in range(world.n_markets):
        if k == index:
            continue
        view = view_of(world, k)
        for i in range(view.book.n_signals):
            signal = signals_in(view.book)[i]
            if signal.cross and signal.quantity > 0.0:
                total += worth(signal, view.book.last)
                held += view.market.maintenance * signal.quantity * view.book.last
                reserved += reserved_by(view, i)
    book = book_of(world, index)
    book.others, book.others_maintenance, book.others_reserved = total, held, reserved


@rule
def reserved_by(view: View, slot: int) -> float:
    """Return what the buy orders of a signal reserve."""
    reserved = 0.0
    for k in range(view.book.n_orders):
        if orders_in(view.book)[k].slot == slot and is_buy(orders_in(view.book)[k]):
            reserved += orders_in(view.book)[k].reserve
    return reserved


@folded
def has_cross(view: View) -> bool:
    """Whether a cross signal lives in a book."""
    return bool(view.book.cross == 1)
