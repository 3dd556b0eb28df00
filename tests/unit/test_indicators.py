"""Indicators against plain definitions, their warm-up, their refusals and their cost."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import indicators as ta
from backtest.errors import InvalidSettingError
from backtest.model.candles import Candles

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NAN = float("nan")


def walk(n: int = 120, seed: int = 7) -> Floats:
    steps: Floats = np.random.default_rng(seed).normal(0.0, 0.01, n)
    path: Floats = 100.0 * np.exp(np.cumsum(steps))
    return path


def candles(n: int = 120, seed: int = 7) -> Candles:
    rng = np.random.default_rng(seed)
    close = walk(n, seed)
    opened = np.r_[100.0, close[:-1]][:n]
    high = np.maximum(opened, close) * (1.0 + rng.uniform(0.0, 0.01, n))
    low = np.minimum(opened, close) * (1.0 - rng.uniform(0.0, 0.01, n))
    time = np.arange(n, dtype=np.int64) * 3_600_000
    return Candles("BTC/USDT", "1h", time, opened, high, low, close, np.ones(n))


def windows(x: Floats, n: int, value: Callable[[Floats], float]) -> Floats:
    return np.array([NAN if t + 1 < n else value(x[t + 1 - n : t + 1]) for t in range(len(x))])


def smoothed(x: Floats, first: float, start: int, weight: float) -> Floats:
    out = np.full(len(x), NAN)
    out[start] = first
    for t in range(start + 1, len(x)):
        out[t] = out[t - 1] + weight * (x[t] - out[t - 1])
    return out


def naive_rsi(x: Floats, n: int) -> Floats:
    moves = np.r_[NAN, np.diff(x)]
    up, down = np.maximum(moves, 0.0), np.maximum(-moves, 0.0)
    gain = smoothed(up, up[1 : n + 1].mean(), n, 1.0 / n)
    loss = smoothed(down, down[1 : n + 1].mean(), n, 1.0 / n)
    return 100.0 * gain / (gain + loss)


def naive_true_range(c: Candles) -> Floats:
    before = np.r_[NAN, c.close[:-1]]
    return np.maximum(c.high, before) - np.minimum(c.low, before)


COLUMN: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "sma": (lambda x: ta.sma(x, 20), lambda x: windows(x, 20, lambda w: float(w.mean()))),
    "ema": (lambda x: ta.ema(x, 10), lambda x: smoothed(x, x[:10].mean(), 9, 2.0 / 11.0)),
    "wma": (lambda x: ta.wma(x, 5), lambda x: windows(x, 5, lambda w: float(w @ np.arange(1.0, 6.0)) / 15.0)),
    "rsi": (lambda x: ta.rsi(x, 14), lambda x: naive_rsi(x, 14)),
    "roc": (lambda x: ta.roc(x, 10), lambda x: windows(x, 11, lambda w: 100.0 * (w[-1] / w[0] - 1.0))),
    "stddev": (lambda x: ta.stddev(x, 20), lambda x: windows(x, 20, lambda w: float(w.std()))),
    "highest": (lambda x: ta.highest(x, 7), lambda x: windows(x, 7, lambda w: float(w.max()))),
    "lowest": (lambda x: ta.lowest(x, 7), lambda x: windows(x, 7, lambda w: float(w.min()))),
    "previous": (lambda x: ta.previous(x, 3), lambda x: np.r_[[NAN] * 3, x[:-3]]),
}


@pytest.mark.parametrize("name", COLUMN)
def test_agrees_with_its_definition(name: str) -> None:
    ours, naive = COLUMN[name]
    x = walk()
    np.testing.assert_allclose(ours(x), naive(x), rtol=1e-9)


@pytest.mark.parametrize("name", COLUMN)
@pytest.mark.parametrize("scale", [1e-9, 1e-5, 1e6])
def test_is_right_for_coins_of_any_price(name: str, scale: float) -> None:
    ours, naive = COLUMN[name]
    x = walk() * scale
    np.testing.assert_allclose(ours(x), naive(x), rtol=1e-6)


@pytest.mark.parametrize("name", COLUMN)
def test_counts_leading_nan_as_not_there_yet(name: str) -> None:
    ours, _ = COLUMN[name]
    x = walk()
    np.testing.assert_array_equal(ours(np.r_[NAN, NAN, NAN, x]), np.r_[NAN, NAN, NAN, ours(x)])


@pytest.mark.parametrize("name", COLUMN)
@pytest.mark.parametrize("x", [np.array([]), np.array([1.0]), np.array([1.0, 2.0]), np.full(40, NAN)], ids=str)
def test_is_nan_in_every_row_that_is_not_warm(name: str, x: Floats) -> None:
    ours, _ = COLUMN[name]
    result = ours(x)
    assert result.shape == x.shape
    assert np.isnan(result).all()


def test_takes_integers_lists_and_read_only_columns() -> None:
    np.testing.assert_array_equal(ta.sma([1, 2, 3], 2), [NAN, 1.5, 2.5])
    np.testing.assert_array_equal(ta.sma(candles(3).close, 2)[1:], ta.sma(np.array(candles(3).close), 2)[1:])


def test_bollinger_bands_lie_around_the_mean() -> None:
    x = walk()
    upper, middle, lower = ta.bbands(x, 20, 2.5)
    np.testing.assert_allclose(middle, ta.sma(x, 20), rtol=1e-12)
    np.testing.assert_allclose(upper - middle, 2.5 * ta.stddev(x, 20), rtol=1e-7)
    np.testing.assert_allclose(middle - lower, upper - middle, rtol=1e-9)


def test_macd_is_the_distance_of_two_averages() -> None:
    x = walk()
    line, signal, histogram = ta.macd(x, 5, 10, 4)
    fast = smoothed(x, x[5:10].mean(), 9, 2.0 / 6.0)  # TA-Lib begins both averages at the same row
    np.testing.assert_allclose(line[12:], (fast - ta.ema(x, 10))[12:], rtol=1e-7)
    np.testing.assert_allclose(histogram, line - signal, rtol=1e-12)
    assert int(np.isnan(line).sum()) == 12


def test_true_range_and_its_average() -> None:
    c = candles()
    spans = naive_true_range(c)
    np.testing.assert_allclose(ta.true_range(c), spans, rtol=1e-12)
    np.testing.assert_allclose(ta.atr(c, 14), smoothed(spans, spans[1:15].mean(), 14, 1.0 / 14.0), rtol=1e-9)


def test_stochastic_places_the_close_in_its_range() -> None:
    c = candles()
    low, high = ta.lowest(c.low, 14), ta.highest(c.high, 14)
    raw = 100.0 * (c.close - low) / (high - low)
    k, d = ta.stoch(c, 14, 3, 3)
    expected = ta.sma(raw, 3)
    np.testing.assert_allclose(k[17:], expected[17:], rtol=1e-9)
    np.testing.assert_allclose(d[17:], ta.sma(expected, 3)[17:], rtol=1e-9)


def test_adx_is_high_in_a_trend_and_low_without_one() -> None:
    n = 200
    time = np.arange(n, dtype=np.int64) * 60_000
    up: Floats = 100.0 + np.arange(n, dtype=np.float64)
    flat: Floats = 100.0 + np.arange(n, dtype=np.float64) % 2
    margin = np.full(n, 0.5)
    trend, still = (Candles("A/B", "1m", time, x, x + margin, x - margin, x, np.ones(n)) for x in (up, flat))
    assert ta.adx(trend)[-1] > 90.0
    assert ta.adx(still)[-1] < 10.0
    assert int(np.isnan(ta.adx(trend, 14)).sum()) == 27


CROSSES = {
    "from below": ([1, 1, 3], [2, 2, 2], [2]),
    "from the level itself": ([2, 3], [2, 2], [1]),
    "touching is not crossing": ([1, 2, 1], [2, 2, 2], []),
    "already above at the start": ([3, 3], [2, 2], []),
    "out of NaN": ([NAN, 3, 3], [2, 2, 2], []),
    "the other side out of NaN": ([1, 3, 3], [NAN, 2, 2], []),
    "into NaN and back": ([1, NAN, 3, 1, 3], [2, 2, 2, 2, 2], [4]),
    "twice": ([1, 3, 1, 3], [2, 2, 2, 2], [1, 3]),
    "one row": ([3], [2], []),
    "no row": ([], [], []),
}


@pytest.mark.parametrize(("a", "b", "rows"), CROSSES.values(), ids=CROSSES)
def test_crosses_above_and_mirrored_below(a: list[float], b: list[float], rows: list[int]) -> None:
    above = ta.crossed_above(a, b)
    assert above.dtype == np.bool_
    assert np.flatnonzero(above).tolist() == rows
    assert np.flatnonzero(ta.crossed_below(-np.array(a), -np.array(b))).tolist() == rows
    assert np.flatnonzero(ta.crossed_below(b, a)).tolist() == rows


def test_crosses_a_number() -> None:
    assert np.flatnonzero(ta.crossed_above([29, 31, 30, 29, 35], 30)).tolist() == [1, 4]
    assert np.flatnonzero(ta.crossed_below(30, [29, 31, 30, 29, 35])).tolist() == [1, 4]


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "period 0": (lambda: ta.sma(walk(), 0), "sma needs a whole number n from 2 to 100000, was 0"),
    "period 1.5": (lambda: ta.ema(walk(), 1.5), "was 1.5"),  # type: ignore[arg-type]
    "period True": (lambda: ta.wma(walk(), True), "was True"),
    "period beyond TA-Lib's": (lambda: ta.highest(walk(), 100_001), "was 100001"),
    "shift 0": (lambda: ta.previous(walk(), 0), "previous needs a whole number k from 1"),
    "fast not below slow": (lambda: ta.macd(walk(), 26, 12), "macd needs fast below slow, was fast=26, slow=12"),
    "a width of 0": (lambda: ta.bbands(walk(), 20, 0.0), "bbands needs a width above 0, was 0.0"),
    "a width of NaN": (lambda: ta.bbands(walk(), 20, NAN), "was nan"),
    "a table": (lambda: ta.sma(np.ones((3, 2)), 2), r"sma needs one column, \(n,\), had shape \(3, 2\)"),
    "a number for a column": (lambda: ta.previous(3.0), r"had shape \(\)"),
    "columns of two lengths": (lambda: ta.crossed_above([1, 2], [1, 2, 3]), r"had \(2,\) and \(3,\)"),
    "two numbers": (lambda: ta.crossed_below(1, 2), r"had \(\) and \(\)"),
    "signal 0": (lambda: ta.stoch(candles(), 14, 3, 0), "stoch needs a whole number signal from 1"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses_in_one_sentence(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidSettingError, match=message):
        call()


def test_importing_it_loads_neither_talib_nor_pandas() -> None:
    code = "import sys, backtest.indicators; sys.exit(bool({'talib', 'pandas', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
