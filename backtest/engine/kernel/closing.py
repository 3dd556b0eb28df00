"""Closing: the end of a candle, its ratchets and close-triggered stops (L4.5, L7.2, L8.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.engine.codes import (
    CLOSED,
    E_INVALIDATED,
    E_STOP,
    E_TRAILING,
    FIXED,
    INVALIDATED,
    L4_5,
    L7_2,
    L8_4,
    L12_2,
    LEG_CLOSE,
    NO,
    O_DEAD,
    OPEN,
    R_NONE,
    TRAILING,
)
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.ending import end_signal, expire, kill_orders
from backtest.engine.kernel.ledger import note, note_stop, write_outcome
from backtest.engine.kernel.memory import orders_in, signals_in
from backtest.engine.kernel.protection import raise_stop

if TYPE_CHECKING:
    from backtest.engine.kernel.state import Candle, View
    from backtest.engine.records import Rows

__all__ = ["compact", "end_candle", "end_trailing", "pass_candle", "sell_later"]


@rule
def sell_later(view: View, slot: int, kind: int, rule: int) -> None:
    """Sell a position at the next traded price; every other order of its signal dies at once (L12.1)."""
    kill_orders(view, slot, NO)
    signals_in(view.book)[slot].sale = kind
    signals_in(view.book)[slot].sale_rule = rule


@folded
def end_trailing(view: View, slot: int, close: float, path: bool) -> None:
    """Ratchet a trailing stop at the end of the candle, if it did not inside, and report it once (L8.4)."""
    signal, at_end = signals_in(view.book)[slot], not path and signals_in(view.book)[slot].quantity > 0.0
    if at_end:
        raise_stop(signal, view.market, view.config)
    if signal.stop == signal.reported:
        return
    signal.reported = signal.stop
    note_stop(view, signal, L8_4)
    if at_end and signal.side * close <= signal.side * signal.stop:
        sell_later(view, slot, E_TRAILING, L8_4)


@rule
def close_beyond_stop(view: View, slot: int) -> None:
    """A close at or beyond a stop that the close triggers: sold, ended, or invalidated before the entry (L7.2, L4.5)."""
    signal = signals_in(view.book)[slot]
    if signal.quantity > 0.0:
        sell_later(view, slot, E_STOP, L7_2)
    elif signal.bought:
        end_signal(view, slot, CLOSED, L12_2)
    elif view.config.invalidate_at_stop:
        end_signal(view, slot, INVALIDATED, L4_5)
        note(view, signal, E_INVALIDATED, L4_5, R_NONE)


@rule
def end_candle(view: View, candle: Candle, path: bool) -> None:
    """Let trailing stops end the candle (L8.4), entries expire (L4.4), and the close trigger fixed stops (L7.2, L4.5)."""
    view.book.leg = LEG_CLOSE
    for i in range(view.book.n_signals):
        signal = signals_in(view.book)[i]
        if signal.status <= OPEN and signal.sale == 0 and signal.protection == TRAILING:
            end_trailing(view, i, candle.close, path)
    pass_candle(view, candle.end, candle.whole, candle.close)


@rule
def judge_close(view: View, close: float) -> None:
    """Let the close of a coarse candle trigger fixed stops, where the profile says so (L7.2, L4.5)."""
    if not view.config.stop_on_close:
        return
    for i in range(view.book.n_signals):
        signal = signals_in(view.book)[i]
        if signal.status > OPEN or signal.sale != 0 or signal.protection != FIXED:
            continue
        if signal.side * close <= signal.side * signal.stop:
            close_beyond_stop(view, i)


@rule
def pass_candle(view: View, end: int, whole: bool, close: float) -> None:
    """Let a candle go by, even one in which nothing trades (L2.6): entries expire (L4.4), a coarse close is judged."""
    view.book.leg = LEG_CLOSE
    expire(view, end)
    if whole:
        judge_close(view, close)


@rule
def compact(view: View, outcomes: Rows) -> None:
    """Drop dead orders and ended signals, keeping the order of creation, and write how the ended ones ended."""
    book, orders = view.book, orders_in(view.book)
    gone = False
    for i in range(book.n_signals):
        signal = signals_in(view.book)[i]
        if signal.status > OPEN:
            gone = True
            write_outcome(outcomes[signal.id], signal)
    kept = 0
    for k in range(book.n_orders):
        if orders[k].kind != O_DEAD:
            if kept != k:
                orders[kept] = orders[k]
            kept += 1
    book.n_orders = kept
    if gone:
        drop_ended(view)


@rule
def drop_ended(view: View) -> None:
    """Let the living signals move up; their orders follow."""
    account, book, signals = view.account, view.book, signals_in(view.book)
    kept = 0
    for i in range(book.n_signals):
        if signals[i].status > OPEN:
            continue
        if kept != i:
            for k in range(book.n_orders):
                if orders_in(view.book)[k].slot == i:
                    orders_in(view.book)[k].slot = kept
            signals[kept] = signals[i]
        kept += 1
    book.n_signals = kept
    if account.living == 0:  # nothing is left: take the float noise of many additions off (L14.3)
        account.reserved = account.allocated = account.margin = 0.0
