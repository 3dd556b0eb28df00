"""Closing: the end of a candle, its ratchets and close-triggered stops (L4.5, L7.2, L8.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.engine.codes import (
    CANDLE,
    CLOSED,
    E_INVALIDATED,
    E_STOP,
    E_STOP_MOVED,
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
    ZERO,
)
from backtest.engine.kernel.compiled import rule
from backtest.engine.kernel.ending import end_signal, kill_orders
from backtest.engine.kernel.ledger import emit, note, write_outcome
from backtest.engine.kernel.protection import trail_level

if TYPE_CHECKING:
    from backtest.engine.records import Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["compact", "end_candle"]



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
