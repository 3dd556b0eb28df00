"""The largest drawdown in compiled passes is the one of the columns, to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest import Candles
from backtest.engine.curve import Curve
from backtest.engine.records import STRETCH
from backtest.report.depth import deepest
from backtest.report.equity import Traded, dips, drawdowns

if TYPE_CHECKING:
    from numpy.typing import NDArray


def made(rng: np.random.Generator, n: int) -> Candles:
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, n)))
    open_ = np.r_[100.0, close[:-1]]
    high = np.maximum(open_, close) * (1.0 + rng.random(n) * 0.02)
    low = np.minimum(open_, close) * (1.0 - rng.random(n) * 0.02)
    return Candles("A/USDT", "1h", 3_600_000 * np.arange(n), open_, high, low, close, np.ones(n))


def traded(rng: np.random.Generator, n: int, fills: int) -> Traded:
    """Signals that buy once or twice and sell in parts, some of them all of it, in any candles."""
    rows: list[Any] = []
    signal: list[Any] = []
    enters: list[Any] = []
    quantity: list[Any] = []
    for number in range(fills):
        held = 0.0
        for row in np.sort(rng.integers(0, n, rng.integers(1, 5))):
            buys = held == 0.0 or rng.random() < 0.3
            some = rng.random() + 0.1 if buys else held * rng.choice([0.5, 1.0])
            held += some if buys else -some
            for values, value in ((rows, row), (signal, number), (enters, buys), (quantity, some)):
                values.append(value)
    side = rng.random(max(1, fills)) < 0.6
    numbers = np.array(signal, np.int64)
    order = np.argsort(rows, kind="stable")
    time = 3_600_000 * np.array(rows, np.int64)
    return Traded(
        time[order],
        numbers[order],
        np.array(enters, bool)[order],
        side[numbers][order],
        np.array(quantity, float)[order],
    )


def written(equity: NDArray[np.float64]) -> Curve:
    return Curve(equity, np.empty(0), np.empty(0, STRETCH))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), fills=st.integers(0, 12), markets=st.integers(1, 3))
def test_the_compiled_depth_is_that_of_the_columns(seed: int, fills: int, markets: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, rng.choice([60, 900])))  # candles are looked at in blocks of 256
    parts = [(made(rng, n), traded(rng, n, fills)) for _ in range(markets)]
    equity = 1_000.0 * np.exp(np.cumsum(rng.choice([0.0, 0.01, -0.01], n) * rng.choice([1.0, 0.05])))
    worst = equity.copy()
    for candles, fill in parts:
        dip, _ = dips(candles.time, candles.high, candles.low, candles.close, fill)
        np.subtract.at(worst, np.arange(n), dip)
    place = np.arange(n) if markets > 1 else np.empty(0, np.int64)
    found = deepest(1_000.0, written(equity), [(candles, fill, place) for candles, fill in parts])
    assert found == float(drawdowns(1_000.0, equity, worst).min())


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), fills=st.integers(0, 12), most=st.integers(1, 40))
def test_the_depth_of_what_equity_is_made_of_is_that_of_its_points(seed: int, fills: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, rng.choice([60, 1_500])))
    candles, fill = made(rng, n), traded(rng, n, fills)
    rows = np.unique(np.r_[0, rng.integers(0, n, rng.integers(0, most))])
    units = rng.choice([0.0, 1.0, -1.0], len(rows)) * rng.choice([1.0, 0.1], len(rows))
    around = np.cumsum(rng.normal(0.0, rng.choice([0.5, 8.0]), len(rows)))  # so that it goes on where it was, about
    fixed = 1_000.0 + around - units * candles.close[rows]
    each = np.searchsorted(rows, np.arange(n), "right") - 1
    equity = fixed[each] + units[each] * candles.close
    one = [(candles, fill, np.empty(0, np.int64))]
    noted = np.empty(len(rows), STRETCH)
    noted["row"], noted["fixed"], noted["units"] = rows, fixed, units
    curve = Curve(None, candles.close, noted)
    assert curve.values().tobytes() == equity.tobytes()
    made_of = deepest(1_000.0, curve, one)
    assert made_of == deepest(1_000.0, written(equity), one)
    dip, _ = dips(candles.time, candles.high, candles.low, candles.close, fill)
    assert made_of == float(drawdowns(1_000.0, equity, equity - dip).min())


@pytest.mark.parametrize("equity", [[0.0, 0.0], [1_000.0, 0.0], [1_000.0], [2_000.0, 1_000.0, 2_000.0]])
def test_the_ends_of_an_account(equity: list[float]) -> None:
    values = np.array(equity)
    candles = made(np.random.default_rng(1), len(values))
    nothing = traded(np.random.default_rng(1), len(values), 0)
    found = deepest(1_000.0, written(values), [(candles, nothing, np.empty(0, np.int64))])
    assert found == float(drawdowns(1_000.0, values, values).min())
