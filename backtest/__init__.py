"""Backtest a trading signal strategy on candles, then send the very same calls to a Signal API.

The public names are imported lazily: ``import backtest`` loads none of numba, talib, pandas, pyarrow, ccxt, httpx and
matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from backtest.model.doors import register

if TYPE_CHECKING:
    from pydantic import Field

    from backtest import indicators
    from backtest.errors import (
        BacktestError,
        DataUnavailableError,
        InvalidCandlesError,
        InvalidSettingError,
        InvalidSignalError,
        OutcomeUnknownError,
        RateLimitedError,
        RequestRejectedError,
        StorageError,
        UnauthorizedError,
        VenueError,
        VenueUnavailableError,
    )
    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.calls import Call, Cancel, CreateSignal, Dca, Rebuy, TakeProfit, TrailingStop, UpdatePrices
    from backtest.model.candles import Candles
    from backtest.model.events import Event, EventKind, SignalRef, Status
    from backtest.model.market import Market
    from backtest.model.profile import FrequencyLimit, SubscriberProfile, TrailingTakeProfit
    from backtest.model.signal import LiveSignal
    from backtest.runner.call_log import read_call_log
    from backtest.runner.decision import Decision, Refusal
    from backtest.runner.loading import load_strategy
    from backtest.runner.log_replay import replay_calls
    from backtest.runner.result import Result
    from backtest.runner.run import run
    from backtest.runner.session import Session
    from backtest.strategy import (
        BreakEvenAt,
        DcaLadder,
        Indicators,
        Moment,
        MovingTarget,
        PercentBelowHighest,
        Plan,
        SignalTable,
        Strategy,
        TimeStop,
    )
    from backtest.study.each import run_each
    from backtest.study.result_each import ResultEach
    from backtest.study.sweep import ResultMany, run_many

_HOMES = {
    "pydantic": ("Field",),
    "backtest.errors": (
        "BacktestError",
        "DataUnavailableError",
        "InvalidCandlesError",
        "InvalidSettingError",
        "InvalidSignalError",
        "OutcomeUnknownError",
        "RateLimitedError",
        "RequestRejectedError",
        "StorageError",
        "UnauthorizedError",
        "VenueError",
        "VenueUnavailableError",
    ),
    "backtest.model.assumptions": ("VenueAssumptions",),
    "backtest.model.calls": (
        "Call",
        "Cancel",
        "CreateSignal",
        "Dca",
        "Rebuy",
        "TakeProfit",
        "TrailingStop",
        "UpdatePrices",
    ),
    "backtest.model.candles": ("Candles",),
    "backtest.model.events": ("Event", "EventKind", "SignalRef", "Status"),
    "backtest.model.market": ("Market",),
    "backtest.model.profile": ("FrequencyLimit", "SubscriberProfile", "TrailingTakeProfit"),
    "backtest.model.signal": ("LiveSignal",),
    "backtest.runner.call_log": ("read_call_log",),
    "backtest.runner.decision": ("Decision", "Refusal"),
    "backtest.runner.log_replay": ("replay_calls",),
    "backtest.runner.loading": ("load_strategy",),
    "backtest.runner.result": ("Result",),
    "backtest.runner.run": ("run",),
    "backtest.runner.session": ("Session",),
    "backtest.strategy": (
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
    ),
    "backtest.study.each": ("run_each",),
    "backtest.study.result_each": ("ResultEach",),
    "backtest.study.sweep": ("ResultMany", "run_many"),
}
# Candles know nothing of files and stores: this module, which knows every room, tells them where to find them.
register("from_csv", lambda: import_module("backtest.market_data.files").read_candles)
register("from_pandas", lambda: import_module("backtest.market_data.frame").from_pandas)
register("lived", lambda: import_module("backtest.live.outcomes").read_lived)
register("load", lambda: import_module("backtest.market_data.load").load_candles)
register("sample", lambda: import_module("backtest.market_data.sample").sample_candles)

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BacktestError",
    "BreakEvenAt",
    "Call",
    "Cancel",
    "Candles",
    "CreateSignal",
    "DataUnavailableError",
    "Dca",
    "DcaLadder",
    "Decision",
    "Event",
    "EventKind",
    "Field",
    "FrequencyLimit",
    "Indicators",
    "InvalidCandlesError",
    "InvalidSettingError",
    "InvalidSignalError",
    "LiveSignal",
    "Market",
    "Moment",
    "MovingTarget",
    "OutcomeUnknownError",
    "PercentBelowHighest",
    "Plan",
    "RateLimitedError",
    "Rebuy",
    "Refusal",
    "RequestRejectedError",
    "Result",
    "ResultEach",
    "ResultMany",
    "Session",
    "SignalRef",
    "SignalTable",
    "Status",
    "StorageError",
    "Strategy",
    "SubscriberProfile",
    "TakeProfit",
    "TimeStop",
    "TrailingStop",
    "TrailingTakeProfit",
    "UnauthorizedError",
    "UpdatePrices",
    "VenueAssumptions",
    "VenueError",
    "VenueUnavailableError",
    "indicators",
    "load_strategy",
    "read_call_log",
    "replay_calls",
    "run",
    "run_each",
    "run_many",
]


def __getattr__(name: str) -> Any:
    if name == "indicators":
        return import_module("backtest.indicators")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'backtest' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
