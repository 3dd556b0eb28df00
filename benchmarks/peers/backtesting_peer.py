"""backtesting.py, with its FractionalBacktest."""

from __future__ import annotations

import warnings
from typing import Any

import backtesting
import numpy as np
import pandas as pd
from backtesting import Strategy
from backtesting.lib import FractionalBacktest
from protocol import CASH, FAST, FEE, NOTIONAL, SLOW, STOP, TARGET, WITH_TALIB, columns, serve, talib_average

warnings.filterwarnings("ignore")
DATA = columns()
FRAME = pd.DataFrame(
    {name.capitalize(): DATA[name] for name in ("open", "high", "low", "close", "volume")},
    index=pd.DatetimeIndex(DATA["time"].view("M8[ms]").astype("M8[ns]")),
)


def average(values: Any, window: int) -> Any:
    """Return a simple moving average."""
    if WITH_TALIB:
        return talib_average(np.asarray(values), window)
    return pd.Series(values).rolling(window).mean().to_numpy()


class Cross(Strategy):  # type: ignore[misc]
    """Buy on the cross; stop and target from the close that decided."""

    def init(self) -> None:
        """Compute the averages."""
        self.fast = self.I(average, self.data.Close, FAST, plot=False)
        self.slow = self.I(average, self.data.Close, SLOW, plot=False)

    def next(self) -> None:
        """Decide at one close."""
        if not self.position and self.fast[-1] > self.slow[-1] and self.fast[-2] <= self.slow[-2]:
            price = self.data.Close[-1]
            self.buy(size=max(1, round(NOTIONAL / price)), sl=price * (1 - STOP), tp=price * (1 + TARGET))


def once() -> tuple[int, float]:
    """Run."""
    test = FractionalBacktest(
        FRAME, Cross, cash=CASH, commission=FEE, trade_on_close=False, fractional_unit=1e-6, finalize_trades=False
    )
    found = test.run()
    return len(found["_trades"]), float(found["_equity_curve"]["Equity"].iloc[-1])


serve(backtesting.__version__, once)
