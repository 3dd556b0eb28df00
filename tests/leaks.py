"""Leaks: strategies that know more than they would live, as people write them, and causal ones that look suspicious."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import talib
from pydantic import PrivateAttr
from scipy import ndimage, signal, stats

from backtest import Call, Candles, Indicators, Moment, Strategy
from backtest import indicators as ta

FUTURE: dict[int, float] = {}


class _Entry(Strategy):
    """Buys where its column ``go`` is above 0; subclasses say what that is."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.signals or not now["go"] > 0.0:
            return
        yield now.create(
            entry=(now.close * 0.99, now.close * 1.001),
            targets=[now.close * 1.02],
            stop_loss=now.close * 0.97,
            invest=10,
            ttl=86_400_000,
        )


def _go(condition: Any) -> Indicators:
    return {"go": np.asarray(condition, np.float64)}


class ShiftedBack(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        return _go(pd.Series(candles.close).shift(-1) > candles.close * 1.01)


class CentredWindow(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        mean = pd.Series(candles.close).rolling(25, center=True).mean()
        return _go(candles.close < mean * 0.99)


class WholeMean(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        return {"go": (candles.close.mean() - candles.close) / candles.close.std() - 0.8}


class WholeScaler(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        change = np.r_[0.0, np.diff(np.log(candles.close))]
        low, high = change.min(), change.max()
        return {"go": (change - low) / (high - low) - 0.6}


class UnfinishedDay(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        day = candles.resample("1d")
        place = np.searchsorted(day.time, candles.time, "right") - 1
        close = np.where(place >= 0, day.close[np.maximum(place, 0)] if len(day) else np.nan, np.nan)
        return _go(close > candles.close * 1.02)


class FilledBackward(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        rare = pd.Series(np.where(np.arange(len(candles)) % 12 == 0, candles.close, np.nan))
        return _go(rare.bfill() > candles.close * 1.01)


class Peaks(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        found, _ = signal.find_peaks(-candles.close, prominence=candles.close.mean() * 0.01)
        go = np.zeros(len(candles))
        go[found] = 1.0
        return {"go": go}


class FutureInTriggersOnly(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        return {"go": np.ones(len(candles))}

    def triggers(self, candles: Candles, ind: Indicators) -> np.ndarray:
        ahead = pd.Series(candles.high)[::-1].rolling(24, min_periods=1).max()[::-1].to_numpy()
        return ahead > candles.close * 1.03


class WholeRank(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        return {"go": 0.2 - stats.rankdata(candles.close) / len(candles)}


class Gradient(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        return _go(np.gradient(candles.close) > candles.close * 0.01)


class ForwardAndBackFilter(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        b, a = signal.butter(2, 0.05)
        return _go(candles.close < signal.filtfilt(b, a, candles.close, padlen=min(9, len(candles) - 1)) * 0.99)


class RareTrigger(_Entry):
    """Honest but for one signal in many: after a crash it knows whether the price recovers."""

    def indicators(self, candles: Candles) -> Indicators:
        change = candles.close / np.r_[candles.close[0], candles.close[:-1]] - 1.0
        recovers = (
            np.r_[candles.close[6:], np.full(min(6, len(candles)), np.inf)][: len(candles)] > candles.close * 1.01
        )
        calm = candles.close > ta.previous(ta.highest(candles.high, 72))
        return _go(calm | ((change < -0.04) & recovers))


class StashedFuture(_Entry):
    """Keeps the whole series where ``on_candle`` finds it."""

    _all: Any = PrivateAttr(default=None)

    def indicators(self, candles: Candles) -> Indicators:
        self._all = candles.close
        return {}

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.signals or not self._all[min(now.position + 6, len(self._all) - 1)] > now.close * 1.02:
            return
        yield now.create(
            entry=now.close, targets=[now.close * 1.02], stop_loss=now.close * 0.97, invest=10, ttl=86_400_000
        )


class MutableField(_Entry):
    store: dict[str, Any] = {}  # noqa: RUF012 - the fault under test

    def indicators(self, candles: Candles) -> Indicators:
        self.store["all"] = candles.close.tolist()
        return {}

    def on_candle(self, now: Moment) -> Iterable[Call]:
        close = self.store["all"]
        if now.signals or not close[min(now.position + 6, len(close) - 1)] > now.close * 1.02:
            return
        yield now.create(
            entry=now.close, targets=[now.close * 1.02], stop_loss=now.close * 0.97, invest=10, ttl=86_400_000
        )


class ModuleGlobal(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        FUTURE.update(zip(candles.time.tolist(), candles.close.tolist(), strict=True))
        return {}

    def on_candle(self, now: Moment) -> Iterable[Call]:
        later = FUTURE.get(now.time + 6 * (now.close_time - now.time), 0.0)
        if now.signals or not later > now.close * 1.02:
            return
        yield now.create(
            entry=now.close, targets=[now.close * 1.02], stop_loss=now.close * 0.97, invest=10, ttl=86_400_000
        )


class ClassAttribute(_Entry):
    cache: ClassVar[dict[int, float]] = {}

    def indicators(self, candles: Candles) -> Indicators:
        if not self.cache:  # computed once, over everything
            self.cache.update(zip(candles.time.tolist(), candles.close.tolist(), strict=True))
        step = candles.milliseconds
        later = [self.cache.get(int(time) + step, np.nan) for time in candles.time]
        return _go(np.array(later) > candles.close * 1.01)


LEAKS: tuple[type[Strategy], ...] = (
    ShiftedBack,
    CentredWindow,
    WholeMean,
    WholeScaler,
    UnfinishedDay,
    FilledBackward,
    Peaks,
    FutureInTriggersOnly,
    WholeRank,
    Gradient,
    ForwardAndBackFilter,
    RareTrigger,
    StashedFuture,
    MutableField,
    ModuleGlobal,
    ClassAttribute,
)


class TalibMany(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        rsi, (macd, line, _) = talib.RSI(candles.close, 14), talib.MACD(candles.close)
        return _go((rsi < 40) & (macd > line))


class PandasEwm(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        series = pd.Series(candles.close)
        return _go(series.ewm(span=20, adjust=False).mean() > series.ewm(span=50, adjust=False).mean() * 1.01)


class PandasExpanding(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        series = pd.Series(candles.close).rolling(100)
        return _go(candles.close < series.mean() - 2 * series.std())


class NumpySlidingWindow(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        if len(candles) < 20:
            return {"go": np.zeros(len(candles))}
        best = np.lib.stride_tricks.sliding_window_view(candles.high, 20).max(axis=1)
        level = np.r_[np.full(20, np.nan), best[:-1]]
        return _go(candles.close > level)


class ScipyOneWayFilter(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        b, a = signal.butter(2, 0.05)
        smooth = signal.lfilter(b, a, candles.close, zi=signal.lfilter_zi(b, a) * candles.close[0])[0]
        return _go(candles.close < smooth * 0.98)


class ScipyTrailingMaximum(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        best = ndimage.maximum_filter1d(candles.high, 24, origin=11, mode="nearest")
        return _go(candles.close >= ta.previous(best))


class HigherTimeframe(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        mean = ta.on(candles, "1d", lambda day: ta.sma(day.close, 5))
        return _go(candles.close > np.asarray(mean) * 1.02)


class RollingRank(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        return _go(pd.Series(candles.close).rolling(50).rank(pct=True) > 0.98)


class FilledForward(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        rare = pd.Series(np.where(np.arange(len(candles)) >= 0, candles.close, np.nan)).where(
            pd.Series(candles.time // 3_600_000 % 12 == 0)
        )
        return _go(rare.ffill() < candles.close * 0.98)


class WeekdayAndHour(_Entry):
    def indicators(self, candles: Candles) -> Indicators:
        return _go((candles.index.day_of_week == 0) & (candles.index.hour == 8))


CAUSAL: tuple[type[Strategy], ...] = (
    TalibMany,
    PandasEwm,
    PandasExpanding,
    NumpySlidingWindow,
    ScipyOneWayFilter,
    ScipyTrailingMaximum,
    HigherTimeframe,
    RollingRank,
    FilledForward,
    WeekdayAndHour,
)
