"""Journeys: one candle walked both ways, compared, and one of them kept (L2.2, L2.3, L4.4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backtest.engine.codes import CANDLE, LEG_CLOSE, LEG_GAP, LEG_OPEN, NO, OPTIMISTIC, YES
from backtest.engine.kernel.band import measure, one_way_out, touches
from backtest.engine.kernel.closing import compact, end_candle
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.ending import expire
from backtest.engine.kernel.grid import TIE
from backtest.engine.kernel.ledger import book_equity
from backtest.engine.kernel.liquidation import has_cross, liquidate, others_of
from backtest.engine.kernel.path import settle, travel, walk_legs
from backtest.engine.kernel.protection import ratchet

if TYPE_CHECKING:
    from backtest.engine.records import Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["candle"]



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
