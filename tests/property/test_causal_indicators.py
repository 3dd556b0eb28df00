"""A longer history never changes a value that was already known, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest import indicators as ta
from backtest.model.candles import Candles

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Columns = tuple[NDArray[np.float64] | NDArray[np.bool_], ...]

INDICATORS: dict[str, Callable[[Candles, NDArray[np.float64], int], Columns]] = {
    "sma": lambda _, x, n: (ta.sma(x, n),),
    "ema": lambda _, x, n: (ta.ema(x, n),),
    "wma": lambda _, x, n: (ta.wma(x, n),),
    "rsi": lambda _, x, n: (ta.rsi(x, n),),
    "roc": lambda _, x, n: (ta.roc(x, n),),
    "stddev": lambda _, x, n: (ta.stddev(x, n),),
    "highest": lambda _, x, n: (ta.highest(x, n),),
    "lowest": lambda _, x, n: (ta.lowest(x, n),),
    "previous": lambda _, x, n: (ta.previous(x, n),),
    "macd": lambda _, x, n: ta.macd(x, n, n + 3, 2),
    "bbands": lambda _, x, n: ta.bbands(x, n),
    "true_range": lambda c, _x, _n: (ta.true_range(c),),
    "atr": lambda c, _, n: (ta.atr(c, n),),
    "adx": lambda c, _, n: (ta.adx(c, n),),
    "stoch": lambda c, _, n: ta.stoch(c, n, 2, 3),
    "crossed_above": lambda c, x, n: (ta.crossed_above(x, ta.sma(c.close, n)),),
    "crossed_below": lambda c, x, n: (ta.crossed_below(x, ta.sma(c.close, n)),),
}


@st.composite
def markets(draw: st.DrawFn) -> Candles:
    n = draw(st.integers(0, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([1e-8, 1.0, 60_000.0]))
    ticks = draw(st.integers(1, 50))  # few levels make flat stretches and equal prices
    close = scale * rng.integers(100, 100 + ticks, n).astype(np.float64)
    opened = scale * rng.integers(100, 100 + ticks, n).astype(np.float64)
    high, low = np.maximum(opened, close) + scale, np.minimum(opened, close) - scale
    return Candles("A/B", "1m", np.arange(n, dtype=np.int64) * 60_000, opened, high, low, close, np.ones(n))


@pytest.mark.parametrize("name", INDICATORS)
@settings(deadline=None, max_examples=60)
@given(market=markets(), n=st.integers(2, 8), warming=st.integers(0, 12))
def test_every_prefix_has_the_values_of_the_whole(name: str, market: Candles, n: int, warming: int) -> None:
    indicator = INDICATORS[name]
    x = market.close.copy()
    x[:warming] = np.nan  # the warm-up of another indicator
    whole = indicator(market, x, n)
    for k in range(len(market) + 1):
        for part, full in zip(indicator(market.slice(0, k), x[:k], n), whole, strict=True):
            assert part.tobytes() == full[:k].tobytes()


def test_every_public_indicator_is_in_this_list() -> None:
    assert set(INDICATORS) == set(ta.__all__) - {"on"}  # which has test_higher_timeframe.py
