"""raptorbt: arrays in, trades out.

Its array runner keeps only alternating entries and exits before it simulates: with no exit signal it trades once, even
after a target or stop. So it is also given an exit on the cross down, and trades another rule, with more trades.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

os.environ["RAPTORBT_NO_VERSION_CHECK"] = "1"

import numpy as np
import raptorbt as rb
from protocol import CASH, FAST, FEE, NOTIONAL, SLOW, STOP, TARGET, WITH_TALIB, columns, crossed, serve, talib_average

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = columns()
TIME = DATA["time"] * 1_000_000
OPEN, HIGH, LOW, CLOSE, VOLUME = (DATA[name] for name in ("open", "high", "low", "close", "volume"))
INSTRUMENT = rb.InstrumentConfig(alloted_capital=NOTIONAL)
CHUNK = 50


def config() -> Any:
    """Return fees and exits."""
    found = rb.BacktestConfig(initial_capital=CASH, fees=FEE, slippage=0.0, fill_timing="next_bar_open")
    found.set_fixed_stop(STOP)
    found.set_fixed_target(TARGET)
    return found


def signals(fast: int, slow: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return entries and exits."""
    average = talib_average if WITH_TALIB else rb.sma
    a, b = average(CLOSE, fast), average(CLOSE, slow)
    return crossed(a, b), crossed(a, b, above=False)


def once() -> tuple[int, float]:
    """Run."""
    entries, exits = signals(FAST, SLOW)
    found = rb.run_single_backtest(
        TIME, OPEN, HIGH, LOW, CLOSE, VOLUME, entries, exits, 1, 1.0, "BTC", config(), None, INSTRUMENT
    )
    return int(found.metrics.total_closed_trades), float(np.asarray(found.equity_curve())[-1])


def many(pairs: Sequence[tuple[int, int]]) -> int:
    """Run pairs in its own batches, which use all cores."""
    trades = 0
    for first in range(0, len(pairs), CHUNK):
        items = [
            rb.BatchSingleItem(f"{a}_{b}", *signals(a, b), 1, 1.0, "BTC", None, None, INSTRUMENT)
            for a, b in pairs[first : first + CHUNK]
        ]
        found = rb.batch_single_backtest(TIME, OPEN, HIGH, LOW, CLOSE, VOLUME, items, config())
        trades += sum(one.metrics.total_closed_trades for _, one in found)
    return trades


serve(rb.__version__, once, many)
