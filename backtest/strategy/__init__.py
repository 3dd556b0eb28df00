"""What a user writes: a strategy with one or two lanes, a pure function of closed candles."""

from __future__ import annotations

from backtest.strategy.base import Indicators, Strategy
from backtest.strategy.moment import Moment
from backtest.strategy.table import SignalTable

__all__ = ["Indicators", "Moment", "SignalTable", "Strategy"]
