"""phasor-trader (Rust), on one core: arrays in, code-only records out."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import phasor
from protocol import CASH, FAST, FEE, NOTIONAL, SLOW, STOP, TARGET, WITH_TALIB, columns, crossed, serve, talib_average

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = columns()
OPEN, HIGH, LOW, CLOSE = (np.asfortranarray(DATA[name].reshape(-1, 1)) for name in ("open", "high", "low", "close"))
ROWS, CHUNK = len(DATA["close"]), 50


def average(window: int) -> np.ndarray[Any, Any]:
    """Return a simple moving average."""
    if WITH_TALIB:
        return talib_average(DATA["close"], window)
    found = phasor.indicators.ma(DATA["close"], window)
    return np.asarray(getattr(found, "ma", found)).reshape(-1)


def simulate(entries: np.ndarray[Any, Any], count: int) -> Any:
    """Return the portfolio of entries, a column a pair, that are filled at the open of their row."""
    several = {"column_map": np.zeros(count, np.int64)} if count > 1 else {}
    return phasor.from_signals(
        CLOSE,
        entries,
        np.zeros_like(entries),
        open=OPEN,
        high=HIGH,
        low=LOW,
        price=OPEN if count == 1 else np.asfortranarray(np.repeat(OPEN, count, 1)),
        size=NOTIONAL,
        size_type="value",
        fees=FEE,
        init_cash=CASH,
        stop_entry_price="fillprice",
        sl_stop=STOP,
        tp_stop=TARGET,
        threads=1,
        **several,
    )


def entered(pairs: Sequence[tuple[int, int]], averages: dict[int, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return where each pair enters: the row after its cross."""
    found = np.zeros((ROWS, len(pairs)), bool, order="F")
    for column, (fast, slow) in enumerate(pairs):
        found[1:, column] = crossed(averages[fast], averages[slow])[:-1]
    return found


def once() -> tuple[int, float]:
    """Run, and ask for trades and equity."""
    portfolio = simulate(entered([(FAST, SLOW)], {window: average(window) for window in (FAST, SLOW)}), 1)
    trades = portfolio.trades()
    count = len(next(iter(trades.values()))) if isinstance(trades, dict) else len(trades)
    return count, float(np.asarray(portfolio.value()).reshape(-1)[-1])


def many(pairs: Sequence[tuple[int, int]]) -> int:
    """Run pairs, their averages computed once."""
    averages = {window: average(window) for window in sorted({window for pair in pairs for window in pair})}
    trades = 0
    for first in range(0, len(pairs), CHUNK):
        chunk = pairs[first : first + CHUNK]
        trades += int(np.sum(simulate(entered(chunk, averages), len(chunk)).trade_count()))
    return trades


serve(version("phasor-trader"), once, many)
