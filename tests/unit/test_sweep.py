"""A sweep: rows equal to single runs, indicators kept within bounds, bad grids refused before anything runs."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import (
    Candles,
    Field,
    InvalidSettingError,
    Moment,
    SignalTable,
    Strategy,
    SubscriberProfile,
    run,
    run_many,
)
from backtest import indicators as ta
from backtest.indicators import keeping
from backtest.report import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest import Call, Indicators, ResultMany

FEES = SubscriberProfile(maker_fee=0.001, taker_fee=0.001, slippage=0.0005)
GRID: dict[str, list[Any]] = {"fast": [5, 10], "slow": [20, 30, 40], "stop": [0.01, 0.02]}


class Cross(Strategy):
    """Buy when one average crosses above another, in both lanes."""

    fast: int = Field(5, ge=2)
    slow: int = Field(20, ge=3)
    stop: float = Field(0.01, gt=0)

    def indicators(self, candles: Candles) -> Indicators:
        return {"fast": ta.sma(candles.close, self.fast), "slow": ta.sma(candles.close, self.slow)}

    def triggers(self, candles: Candles, ind: Indicators) -> Any:
        return ta.crossed_above(ind["fast"], ind["slow"])

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        at = np.flatnonzero(self.triggers(candles, ind))
        close = candles.close[at]
        return SignalTable(
            at=at,
            entry_price_max=close * 1.01,
            targets=(close * 1.02,),
            stop_loss=close * (1.0 - self.stop),
            invest=10.0,
        )

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if not now.signals:
            price = now.close
            yield now.create(
                entry=price * 1.01, targets=(price * 1.02,), stop_loss=price * (1.0 - self.stop), invest=10.0
            )


@pytest.fixture(scope="module")
def candles() -> Candles:
    return Candles.sample("BTC/USD", "1h").slice(0, 6_000)


@pytest.fixture(scope="module")
def many(candles: Candles) -> ResultMany:
    return run_many(Cross, GRID, candles, profile=FEES)


def assert_is_row(many: ResultMany, k: int, candles: Candles) -> None:
    row = many.table.loc[k]
    alone = run(many.chosen(k), candles, profile=FEES)
    assert len(alone.trades) == row["trades"] > 0
    assert alone.equity.iloc[-1] == row["final_equity"]
    assert alone.total_return[FEES.intrabar] == row["total_return"]
    assert alone.stats["max_drawdown"] == pytest.approx(row["max_drawdown"], rel=1e-12)
    assert alone.stats["sharpe"] == pytest.approx(many.sharpe[k], rel=1e-9)


def test_every_row_is_the_run_of_its_parameters(many: ResultMany, candles: Candles) -> None:
    assert len(many) == len(many.table) == 12
    for k in range(len(many)):
        assert_is_row(many, k, candles)


def test_rows_stand_in_the_order_of_the_grid(many: ResultMany) -> None:
    parameters = many.table[["fast", "slow", "stop"]].to_numpy().tolist()
    assert parameters == [[f, s, stop] for f in GRID["fast"] for s in GRID["slow"] for stop in GRID["stop"]]


@pytest.mark.parametrize("keep", [0, 1])
def test_what_is_kept_changes_no_figure(many: ResultMany, candles: Candles, keep: int) -> None:
    again = run_many(Cross, GRID, candles, profile=FEES, keep=keep)
    assert again.figures.tobytes() == many.figures.tobytes()
    assert again.daily.tobytes() == many.daily.tobytes()


def test_processes_give_the_same_rows(many: ResultMany, candles: Candles) -> None:
    again = run_many(Cross, GRID, candles, profile=FEES, workers=2)
    assert again.figures.tobytes() == many.figures.tobytes()


def test_the_candle_lane_gives_the_same_rows(many: ResultMany, candles: Candles) -> None:
    again = run_many(Cross, GRID, candles, profile=FEES, lane="candle")
    assert again.figures.tobytes() == many.figures.tobytes()


def test_an_instance_holds_where_the_grid_says_nothing(many: ResultMany, candles: Candles) -> None:
    again = run_many(Cross(fast=10, stop=0.02), [{"slow": 30}, {"slow": np.int64(40)}], candles, profile=FEES)
    assert again.names == ("slow",)
    assert again.figures.tobytes() == many.figures[[9, 11]].tobytes()


def test_a_row_is_rebuilt_whole(many: ResultMany, candles: Candles) -> None:
    result = many.result(3)
    assert result.strategy == Cross(fast=5, slow=30, stop=0.02)
    assert result.profile == FEES
    assert result.equity.equals(run(result.strategy, candles, profile=FEES).equity)
    for row in (12, -1, "3", None):
        with pytest.raises(InvalidSettingError, match=f"12 rows, from 0 to 11; asked for {row!r}"):
            many.result(row)  # type: ignore[arg-type]


def test_several_markets_share_one_account() -> None:
    daily = {symbol: Candles.sample(symbol, "1d") for symbol in ("BTC/USD", "ETH/USD")}
    many = run_many(Cross, {"slow": [20, 30]}, daily, profile=FEES)
    alone = run(Cross(slow=30), daily, profile=FEES)
    assert many.table["final_equity"][1] == alone.equity.iloc[-1]
    assert many.table["trades"][1] == len(alone.trades)


def test_the_best_row_is_said_to_be_selected(many: ResultMany) -> None:
    best = many.best()
    assert many.table["total_return"][best] == many.table["total_return"].max()
    assert many.best("sharpe") == many.sharpe.idxmax()
    for shown in (repr(many), many._repr_html_()):
        assert "multiple testing" in shown
        assert "12 rows" in shown
    assert "multiple testing" in (run_many.__doc__ or "") + (type(many).__doc__ or "")
    with pytest.raises(InvalidSettingError, match='Did you mean "sharpe"'):
        many.best("sharp")


def test_rows_are_ranked_by_the_mode_of_the_run_and_shown_with_their_interval() -> None:
    daily = Candles.sample("BTC/USD", "1d").slice(0, 1_500)
    grid: dict[str, list[Any]] = {"fast": [3, 5, 8], "slow": [20, 30], "stop": [0.01, 0.02]}
    many = run_many(Cross, grid, daily, profile=FEES.model_copy(update={"intrabar": "candle"}))
    shown = repr(many)
    assert "the 10 highest total returns of 12 rows" in shown
    assert "Ranked by the candle reading of the candles" in shown
    assert "Ranked by the candle reading" in many._repr_html_()
    order = many.table["total_return"].sort_values(ascending=False, kind="stable").index[:10].tolist()
    lines = [line.split() for line in shown.splitlines()[2:12]]
    assert [int(words[0]) for words in lines] == order
    differ = 0
    for row, words in zip(order, lines, strict=True):
        returns = many.result(row).total_return
        figures = (returns["candle"], min(returns.values()), max(returns.values()))
        assert words[4:10] == " ".join(text.percent(one, signed=True) for one in figures).split()
        differ += figures[1] < figures[2]
    assert differ > 5


def test_a_sharpe_ratio_that_is_not_defined_is_not_a_number(candles: Candles) -> None:
    many = run_many(Cross, {"slow": [5_999]}, candles)
    assert many.table["trades"][0] == 0
    assert np.isnan(many.sharpe[0])
    assert many.best("sharpe") == 0


def test_a_row_without_the_figure_is_never_the_best_before_one_that_has_it(candles: Candles) -> None:
    many = run_many(Cross, {"slow": [5_999, 20]}, candles, profile=FEES)
    assert np.isnan(many.sharpe[0])
    assert many.sharpe[1] < 0.0
    assert many.best("sharpe") == 1


@pytest.mark.parametrize(("days", "defined"), [(89, False), (90, True)])
def test_below_ninety_days_there_is_no_sharpe_ratio(candles: Candles, days: int, defined: bool) -> None:
    many = run_many(Cross, {"slow": [20]}, candles.between("2017-07-02").slice(0, days * 24), profile=FEES)
    assert many.daily.shape == (1, days)
    assert many.table["trades"][0] > 0
    assert bool(np.isfinite(many.sharpe[0])) == defined


def test_trades_are_whole_numbers_and_count_open_ones(candles: Candles) -> None:
    grid: dict[str, list[Any]] = {"slow": [20], "stop": [0.9]}
    many = run_many(Cross, grid, candles.slice(0, 960), profile=FEES)
    trades = run(many.chosen(0), candles.slice(0, 960), profile=FEES).trades
    assert trades["open"].any()
    assert many.table["trades"].dtype == np.int64
    assert many.table["trades"][0] == len(trades)


def test_rows_of_equal_return_stay_in_the_order_of_the_grid(candles: Candles) -> None:
    many = run_many(Cross, [{"slow": slow} for slow in range(5_980, 5_999)], candles)
    assert set(many.table["total_return"]) == {0.0}
    assert [int(line.split()[0]) for line in repr(many).splitlines()[2:12]] == list(range(10))


@pytest.mark.parametrize(
    ("strategy", "grid", "message"),
    [
        (Cross, {"fats": [5]}, r"row 0 .*fats=5.* no parameter 'fats'.*Did you mean \"fast\"\?"),
        (Cross, {"fast": [1, 0]}, r"none of 2 rows can run; row 0: .*greater than or equal to 2"),
        (Cross, {"fast": []}, "no value for fast"),
        (Cross, {"fast": 5}, "list of values for each parameter; fast was 5"),
        (Cross, {"fast": "5"}, "list of values for each parameter; fast was '5'"),
        (Cross, [], "the grid is empty"),
        (Cross, 5, "the grid is empty"),
        (Cross, [5], "row 0 of the grid is parameters by name, was 5"),
        (Candles, {"fast": [5]}, "takes a strategy or its class"),
    ],
)
def test_a_bad_grid_is_refused_before_anything_runs(strategy: Any, grid: Any, message: str, candles: Candles) -> None:
    with pytest.raises(InvalidSettingError, match=message):
        run_many(strategy, grid, candles)


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": True}, {"keep": -1}, {"keep": 0.5}])
def test_a_bad_option_is_refused(options: dict[str, Any], candles: Candles) -> None:
    with pytest.raises(InvalidSettingError, match=next(iter(options))):
        run_many(Cross, GRID, candles, **options)


def test_a_row_that_cannot_run_is_listed_and_loses_no_other(candles: Candles) -> None:
    many = run_many(Cross, [{"fast": 5}, {"fast": 1}, {"slow": "x"}, {"fast": 8}], candles, profile=FEES)
    assert list(many.refused) == [1, 2]
    assert "greater than or equal to 2" in many.refused[1]
    assert np.isnan(many.figures[[1, 2]]).all()
    assert many.best() in {0, 3}
    assert_is_row(many, 3, candles)
    assert "row 1 (fast=1) did not run" in many.told()
    with pytest.raises(InvalidSettingError, match="row 1 did not run"):
        many.result(1)


class Fragile(Cross):
    """Its code fails with some parameters."""

    def indicators(self, candles: Candles) -> Indicators:
        if self.fast == 7:
            raise ZeroDivisionError("seven")
        return super().indicators(candles)


def test_an_error_of_the_strategy_s_code_loses_its_row_alone(candles: Candles) -> None:
    many = run_many(Fragile, {"fast": [5, 7]}, candles)
    assert many.refused == {1: "ZeroDivisionError: seven"}
    assert many.table["refused"].tolist() == ["", "ZeroDivisionError: seven"]


class Vandal(Cross):
    """Writes into an indicator."""

    def indicators(self, candles: Candles) -> Indicators:
        found = dict(super().indicators(candles))
        found["fast"][:10] = 0.0
        return found


def test_writing_into_a_shared_indicator_is_refused_in_words(candles: Candles) -> None:
    with pytest.raises(InvalidSettingError, match="wrote into an indicator"):
        run_many(Vandal, GRID, candles)


def test_an_indicator_is_computed_once(candles: Candles) -> None:
    with keeping([candles], 10**9):
        once = ta.sma(candles.close, 20)
        assert ta.sma(candles.close, 20) is once
        assert ta.ema(once, 5) is ta.ema(ta.sma(candles.close, 20), 5)
        assert ta.atr(candles, n=14) is ta.atr(candles, n=14)
        assert all(a is b for a, b in zip(ta.macd(candles.close), ta.macd(candles.close), strict=True))
        assert not once.flags.writeable
    assert ta.sma(candles.close, 20) is not once


def test_other_arguments_are_another_indicator(candles: Candles) -> None:
    with keeping([candles], 10**9):
        base = ta.sma(candles.close, 20)
        for other in (ta.sma(candles.close, 21), ta.sma(candles.open, 20), ta.ema(candles.close, 20)):
            assert not np.array_equal(other, base, equal_nan=True)
        assert ta.previous(candles.close, 2) is not ta.previous(candles.close, 1)
        with pytest.raises(InvalidSettingError, match="k from 1"):
            ta.previous(candles.close, True)  # equal to 1, and refused all the same


def test_an_array_made_by_hand_is_never_mistaken_for_another(candles: Candles) -> None:
    with keeping([candles], 10**9):
        for shift in range(50):  # a new array may take the place, and so the id, of one that is gone
            by_hand = candles.close[:500] + shift
            assert np.array_equal(ta.sma(by_hand, 5)[4:], ta.sma(by_hand.copy(), 5)[4:])
            assert ta.sma(by_hand, 5)[4] == pytest.approx(float(by_hand[:5].mean()))


def test_indicators_are_kept_within_their_limit(candles: Candles) -> None:
    column = candles.close.nbytes
    tracemalloc.start()
    try:
        with keeping([candles], 10 * column):
            for n in range(2, 202):
                ta.ema(ta.sma(candles.close, n), 5)
            kept, _ = tracemalloc.get_traced_memory()
            assert ta.sma(candles.close, 201) is ta.sma(candles.close, 201)
    finally:
        tracemalloc.stop()
    assert kept < 12 * column


def test_a_result_larger_than_the_limit_is_given_and_not_kept(candles: Candles) -> None:
    with keeping([candles], 10):
        assert ta.sma(candles.close, 20) is not ta.sma(candles.close, 20)


def test_a_long_sweep_holds_no_run_in_memory(candles: Candles) -> None:
    run_many(Cross, GRID, candles)
    tracemalloc.start()
    try:
        run_many(Cross, {"fast": range(2, 12), "slow": range(20, 30)}, candles, keep=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 25_000_000  # one run and its buffers, of which a hundred were made
