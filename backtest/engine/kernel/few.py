"""Few: of many living signals only those are walked that can act in a candle; the others cannot tell that it went by.

They are copied into a book of their own, in their order, which takes the place of the market's while the candle is walked.
What is left of them goes back to where they stood.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import OPEN, TRAILING
from backtest.engine.kernel.band import measure
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.memory import orders_in, signals_in
from backtest.engine.kernel.protection import is_calm

if TYPE_CHECKING:
    from backtest.engine.kernel.state import Candle, View
    from backtest.engine.records import Row, Rows

__all__ = ["choose", "put_back", "take_out"]

ABSENT = np.int64(-1)  # the place of a signal that has ended


@folded
def arrives(signal: Row) -> bool:
    """Whether a stop or a target of a signal arrives at this instant."""
    fresh = bool(signal.fresh_stop == 1 or signal.trigger_now == 1)
    for k in range(signal.last_target):
        fresh = fresh or signal.fresh[k] == 1
    return fresh


@folded
def can_act(signal: Row, config: Row, candle: Candle, low: float, high: float) -> bool:
    """Whether anything of a signal may be met between two prices, or in any case."""
    if signal.status > OPEN or signal.slow or signal.sale != 0 or signal.expiry < candle.end:
        return True
    if low <= signal.quiet_low or high >= signal.quiet_high:
        return True
    return signal.protection == TRAILING and signal.quantity > 0.0 and not is_calm(signal, config, low, high)


@rule
def mark_fresh(view: View) -> None:
    """Mark the signals of which a stop, a target or an order arrives at this instant."""
    book, signals, orders = view.book, signals_in(view.book), orders_in(view.book)
    for i in range(book.n_signals):
        signals[i].walked = 1 if arrives(signals[i]) else 0
    for k in range(book.n_orders):
        if orders[k].fresh:
            signals[orders[k].slot].walked = 1


@rule
def choose(world: Row, view: View, candle: Candle) -> int:
    """Copy the signals that can act in a candle; return how many they are."""
    book, signals = view.book, signals_in(view.book)
    if book.acted:  # calls, expiries and funding move levels
        measure(view)
    if book.fresh:
        mark_fresh(view)
    swap(world, book)
    few_signals, few = signals_in(book), 0
    swap(world, book)
    low, high = min(book.last, candle.low), max(book.last, candle.high)
    for i in range(book.n_signals):
        signal = signals[i]
        acts = can_act(signal, view.config, candle, low, high) or (book.fresh == 1 and signal.walked == 1)
        signal.walked = 1 if acts else 0
        if acts:
            few_signals[few] = signal
            few_signals[few].place = i
            signal.place = few
            few += 1
    return few


@folded
def swap(world: Row, book: Row) -> None:
    """Exchange the signals and orders of a book for those beside it."""
    signals, orders = book.signals, book.orders
    book.signals, book.orders = world.few_signals, world.few_orders
    world.few_signals, world.few_orders = signals, orders


@rule
def take_out(world: Row, view: View, few: int) -> None:
    """Let a book hold only the signals that can act, which were copied, and their orders."""
    book, signals, orders = view.book, signals_in(view.book), orders_in(view.book)
    n_orders, some = book.n_orders, 0
    swap(world, book)
    few_orders = orders_in(book)
    for k in range(n_orders):
        signal = signals[orders[k].slot]
        if signal.walked:
            few_orders[some] = orders[k]
            few_orders[some].slot = signal.place
            some += 1
    book.n_signals, book.n_orders = few, some


@rule
def put_back(world: Row, view: View, n_signals: int, n_orders: int, walked: int) -> None:
    """Let a book hold all its signals again: those that were walked as they are now, without what has ended.

    ``n_signals``, ``n_orders``, ``walked``: how many there were before, and how many of the signals were walked.
    """
    book = view.book
    few, some, few_signals, few_orders = book.n_signals, book.n_orders, signals_in(book), orders_in(book)
    swap(world, book)
    signals, here, kept = signals_in(book), 0, n_signals
    if few < walked:
        kept = number_again(signals, n_signals, few_signals, few)
    else:
        for j in range(few):
            signals[few_signals[j].place].place = few_signals[j].place
    put_orders_back(view, n_orders, few_orders, some, few < walked)
    if few == walked:
        for j in range(few):
            signals[few_signals[j].place] = few_signals[j]
    else:
        for i in range(n_signals):
            place = signals[i].place
            if place == ABSENT:
                continue
            if signals[i].walked:
                signals[place] = few_signals[here]
                here += 1
            elif place != i:
                signals[place] = signals[i]
    book.n_signals = kept


@rule
def number_again(signals: Rows, n: int, few_signals: Rows, few: int) -> int:
    """Give each signal of a book the place that it will have without those that have ended; return how many are left."""
    kept, here = 0, 0
    for i in range(n):
        if signals[i].walked:
            if here == few or few_signals[here].id != signals[i].id:
                signals[i].place = ABSENT
                continue
            here += 1
        signals[i].place = kept
        kept += 1
    return kept


@rule
def put_orders_back(view: View, n_orders: int, few_orders: Rows, some: int, moved: bool) -> None:
    """Let a book hold the orders of all its signals again, without those that died; signals may have ``moved``."""
    book, signals, orders = view.book, signals_in(view.book), orders_in(view.book)
    kept, there = 0, 0
    for k in range(n_orders):
        slot = orders[k].slot
        signal = signals[slot]
        if signal.walked:
            if there == some or few_orders[there].seq != orders[k].seq:
                continue
            orders[kept] = few_orders[there]
            there += 1
        elif kept != k:
            orders[kept] = orders[k]
        orders[kept].slot = signal.place if moved or signal.walked else slot
        kept += 1
    book.n_orders = kept
