"""Ledger: events, trades, outcomes and equity (L14.3), and what ``invest`` is a percentage of (L5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import E_STOP_MOVED, R_NONE
from backtest.engine.kernel.compiled import folded, rule
from backtest.engine.kernel.memory import events_in, signals_in, trades_in
from backtest.engine.kernel.state import account_of, book_of, config_of

if TYPE_CHECKING:
    from backtest.engine.kernel.state import View
    from backtest.engine.records import Row

__all__ = [
    "basis_of",
    "begin_trade",
    "book_equity",
    "end_trade",
    "equity_of",
    "free_balance",
    "note",
    "note_stop",
    "tell",
    "worth",
    "write_outcome",
]


@rule
def tell(view: View, signal: Row, kind: int, rule: int) -> Row:
    """Append an event of a signal and return it: without a price, and trading nothing, until the caller fills that in."""
    event = events_in(view.account)[view.account.n_events]
    event.time = view.book.time
    event.signal = signal.id
    event.kind = kind
    event.price = np.nan
    event.quantity = 0.0
    event.fee = 0.0
    event.target = 0
    event.average = signal.average if signal.quantity > 0.0 else np.nan
    event.open = signal.quantity
    event.leg = view.book.leg
    event.rule = rule
    event.reason = R_NONE
    event.maker = 0
    event.buy = 0
    view.account.n_events += 1
    return event


@rule
def note(view: View, signal: Row, kind: int, rule: int, reason: int) -> None:
    """Append an event that trades nothing and has no price."""
    tell(view, signal, kind, rule).reason = reason


@rule
def note_stop(view: View, signal: Row, rule: int) -> None:
    """Tell where the stop of a signal stands now."""
    tell(view, signal, E_STOP_MOVED, rule).price = signal.stop


@rule
def end_trade(view: View, signal: Row, kind: int) -> None:
    """Write the trade of a position that is flat again."""
    trade = trades_in(view.account)[view.account.n_trades]
    trade.signal = signal.id
    trade.side = signal.side
    trade.entry_time = signal.t_time
    trade.exit_time = view.book.time
    trade.quantity = signal.t_quantity
    trade.average_entry = signal.t_value / signal.t_quantity
    trade.average_exit = signal.t_sold / signal.t_quantity
    trade.realised = signal.t_realised
    trade.fees = signal.t_fees
    trade.funding = signal.t_funding
    trade.margin = signal.t_margin
    trade.invest = signal.t_invest
    trade.exit = kind
    trade.hits = signal.t_hits
    trade.ambiguous = signal.t_ambiguous
    view.account.n_trades += 1
    begin_trade(signal)


@rule
def begin_trade(signal: Row) -> None:
    """Count a trade from nothing."""
    signal.t_time = signal.t_hits = signal.t_ambiguous = 0
    signal.t_quantity = signal.t_value = signal.t_sold = signal.t_realised = 0.0
    signal.t_fees = signal.t_funding = signal.t_margin = signal.t_invest = 0.0


@rule
def write_outcome(out: Row, signal: Row) -> None:
    """Record where a signal stands."""
    out.status = signal.status
    out.side = signal.side
    out.created = signal.created
    out.realised = signal.realised
    out.fees = signal.fees
    out.funding = signal.funding
    out.quantity = signal.quantity
    out.average = signal.average
    out.missed = signal.missed


@rule
def equity_of(world: Row) -> float:
    """Return cash, margins and unrealised PnL at the last prices (L14.3)."""
    account = account_of(world)
    total = account.cash + account.margin
    for k in range(world.n_markets):
        book = book_of(world, k)
        if book.units != 0.0 or book.cost != 0.0:
            total += book.units * book.last - book.cost
    return total


@folded
def free_balance(account: Row) -> float:
    """Return cash less reservations (L5.3), as they are once all cross positions of a liquidation are closed (L13.2)."""
    return account.cash + account.due - (account.reserved - account.due_reserved)


@folded
def worth(signal: Row, price: float) -> float:
    """Return margin and unrealised PnL of a position at a price; 0 without one."""
    if signal.quantity <= 0.0:
        return 0.0
    return signal.margin + signal.side * signal.quantity * (price - signal.average)


@folded
def basis_of(world: Row) -> float:
    """Return what ``invest`` is a percentage of (L5.1)."""
    return equity_of(world) if config_of(world).basis_equity else config_of(world).balance


@rule
def book_equity(view: View, close: float) -> float:
    """Return cash, margins and unrealised PnL of one book at a price, for comparing journeys (L2.2)."""
    total = view.account.cash + view.account.margin
    for i in range(view.book.n_signals):
        signal = signals_in(view.book)[i]
        if signal.quantity > 0.0:
            total += signal.side * signal.quantity * (close - signal.average)
    return total
