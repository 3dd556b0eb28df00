"""vectorbt, with its numba or its Rust engine (the second argument)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import vectorbt as vbt
from protocol import CASH, FAST, FEE, NOTIONAL, SLOW, STOP, TARGET, WITH_TALIB, columns, crossed, serve, talib_average

if TYPE_CHECKING:
    from collections.abc import Sequence

ENGINE = sys.argv[2]
vbt.settings["engine"] = ENGINE
DATA = columns()
INDEX = pd.DatetimeIndex(DATA["time"].view("M8[ms]").astype("M8[ns]"))  # without a zone: 50 times faster there
OPEN, HIGH, LOW, CLOSE = (pd.Series(DATA[name], INDEX) for name in ("open", "high", "low", "close"))
CHUNK = 50


def simulate(entries: Any) -> Any:
    """Return the portfolio of entries at the close, filled at the next open."""
    return vbt.Portfolio.from_signals(
        CLOSE,
        entries.shift(1, fill_value=False).astype(bool),
        False,  # noqa: FBT003
        price=OPEN,
        open=OPEN,
        high=HIGH,
        low=LOW,
        size=NOTIONAL,
        size_type="value",
        fees=FEE,
        init_cash=CASH,
        stop_entry_price="fillprice",
        sl_stop=STOP,
        tp_stop=TARGET,
        freq="1min",
        engine=ENGINE,
    )


def portfolio() -> Any:
    """Return the portfolio of the one pair."""
    if WITH_TALIB:
        entries = crossed(talib_average(DATA["close"], FAST), talib_average(DATA["close"], SLOW))
        return simulate(pd.Series(entries, INDEX))
    fast, slow = vbt.MA.run(CLOSE, FAST), vbt.MA.run(CLOSE, SLOW)
    return simulate(fast.ma_crossed_above(slow))


def once() -> tuple[int, float]:
    """Run, and ask for trades and equity."""
    found = portfolio()
    closed = found.trades.records["status"] == 1
    return int(closed.sum()), float(found.value().iloc[-1])


def labelled() -> int:
    """Run, and ask for trades as people read them."""
    return len(portfolio().trades.records_readable)


def many(pairs: Sequence[tuple[int, int]]) -> int:
    """Run pairs, their averages computed once."""
    windows = sorted({window for pair in pairs for window in pair})
    if WITH_TALIB:
        values = {window: talib_average(DATA["close"], window) for window in windows}
    else:
        averages = vbt.MA.run(CLOSE, windows).ma.to_numpy()
        values = {window: averages[:, k] for k, window in enumerate(windows)}
    trades = 0
    for first in range(0, len(pairs), CHUNK):
        chunk = pairs[first : first + CHUNK]
        entries = np.column_stack([crossed(values[fast], values[slow]) for fast, slow in chunk])
        records = simulate(pd.DataFrame(entries, INDEX, range(len(chunk)))).trades.records
        trades += len(records)
    return trades


serve(vbt.__version__, once, many, labelled)
