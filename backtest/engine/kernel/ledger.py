"""Ledger: events, trades, outcomes and equity (L14.3), and what ``invest`` is a percentage of (L5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import ZERO
from backtest.engine.kernel.compiled import entry, rule
from backtest.engine.records import SCRATCH

if TYPE_CHECKING:
    from backtest.engine.records import Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["basis_of", "book_equity", "emit", "end_trade", "equity_of", "note", "write_outcome"]



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
def book_equity(a: Row, S: Rows, b: Row, close: float) -> float:
    """Return cash, margins and unrealised PnL of one book at a price, for comparing journeys (L2.2)."""
    total = a.cash + a.margin
    for i in range(b.n_signals):
        if S[i].quantity > 0.0:
            total += S[i].side * S[i].quantity * (close - S[i].average)
    return total
