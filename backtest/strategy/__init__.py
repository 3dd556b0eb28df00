"""What a user writes: a strategy with one or two lanes, a pure function of closed candles."""

from __future__ import annotations

from backtest.strategy.base import Indicators, Strategy
from backtest.strategy.moment import Moment
from backtest.strategy.plan import Plan, plan_of
from backtest.strategy.plan_parts import BreakEvenAt, DcaLadder, MovingTarget, PercentBelowHighest, TimeStop
from backtest.strategy.table import SignalTable

__all__ = [
    "BreakEvenAt",
    "DcaLadder",
    "Indicators",
    "Moment",
    "MovingTarget",
    "PercentBelowHighest",
    "Plan",
    "SignalTable",
    "Strategy",
    "TimeStop",
    "plan_of",
]
