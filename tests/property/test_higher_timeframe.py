"""A higher timeframe never shows an unfinished candle: every prefix gives the same values."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest import Call, Candles, Indicators, InvalidSettingError, Moment, Session, Strategy, SubscriberProfile, run
from backtest import indicators as ta
from backtest.runner.run import market_of

HOUR = 3_600_000


def hours(n: int, *, first: int = 0, holes: frozenset[int] = frozenset()) -> Candles:
    rng = np.random.default_rng(n)
    kept = np.array([k for k in range(n) if k not in holes], np.int64)
    close = 100.0 + np.cumsum(rng.normal(0.0, 1.0, len(kept))).clip(-60.0, 60.0)
    open_ = np.r_[100.0, close[:-1]]
    high, low = np.maximum(open_, close) + 0.5, np.minimum(open_, close) - 0.5
    return Candles("BTC/USDT", "1h", (first + kept) * HOUR, open_, high, low, close, np.ones(len(kept)))


def fast_mean(higher: Candles) -> np.ndarray:
    return ta.sma(higher.close, 3)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.integers(1, 60),
    st.integers(0, 7),
    st.frozensets(st.integers(1, 59), max_size=12),
    st.sampled_from(["2h", "4h", "6h"]),
)
def test_a_prefix_gives_a_prefix(n: int, first: int, holes: frozenset[int], timeframe: str) -> None:
    candles = hours(n, first=first, holes=holes)
    whole = ta.on(candles, timeframe, fast_mean)
    for k in range(1, len(candles) + 1):
        part = ta.on(candles.slice(0, k), timeframe, fast_mean)
        np.testing.assert_array_equal(part, whole[:k])


def test_the_value_changes_when_the_higher_candle_closes_and_not_before() -> None:
    candles = hours(12)
    closes = ta.on(candles, "4h", lambda four: four.close)
    assert np.isnan(closes[:3]).all()
    np.testing.assert_array_equal(closes[3:7], np.full(4, candles.close[3]))
    np.testing.assert_array_equal(closes[7:11], np.full(4, candles.close[7]))


def test_a_series_that_begins_inside_a_higher_candle_does_not_show_it() -> None:
    four = hours(10, first=2).resample("4h")
    assert four.time.tolist() == [4 * HOUR, 8 * HOUR]


def test_several_columns_are_carried_together() -> None:
    upper, _, lower = ta.on(hours(300), "4h", lambda four: ta.bbands(four.close, 20))
    assert (upper[200:] > lower[200:]).all()


@pytest.mark.parametrize("timeframe", ["90m", "1x", "30m"])
def test_a_timeframe_that_is_no_multiple_is_refused(timeframe: str) -> None:
    with pytest.raises(InvalidSettingError, match=timeframe):
        ta.on(hours(10), timeframe, fast_mean)


class Trend(Strategy):
    """Buy while the last four hours closed above their mean."""

    def indicators(self, candles: Candles) -> Indicators:
        trend = ta.on(candles, "4h", fast_mean)
        assert isinstance(trend, np.ndarray)
        return {"trend": trend}

    def on_candle(self, now: Moment) -> Iterable[Call]:
        four = now.candles_of("4h")
        if len(four) and four.close_time[-1] > now.close_time:
            raise AssertionError("an unfinished candle was shown")
        if now.signals or not len(four) or not four.close[-1] > now["trend"]:
            return
        yield now.create(entry=now.close, targets=(now.close * 1.02,), stop_loss=now.close * 0.98, invest=10)


def test_candle_by_candle_and_whole_run_agree() -> None:
    candles = hours(400, first=1, holes=frozenset({30, 31, 77}))
    market, profile = market_of(candles), SubscriberProfile.anny()
    session = Session(Trend(), candles.slice(0, 0), market=market, profile=profile)
    columns = (candles.time, candles.open, candles.high, candles.low, candles.close, candles.volume)
    live = [decision for row in zip(*(c.tolist() for c in columns), strict=True) for decision in session.close(*row)]
    result = run(Trend(), candles, market=market, profile=profile)
    assert len(live) > 5
    assert live == result.calls
