"""Walk-forward: choices on training parts, one stitched account over the test parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest import Candles, InvalidSettingError, Strategy, load_strategy, run, run_many
from backtest.study.judged import plateau
from backtest.study.search import search_many
from backtest.study.walk_forward import WalkForward, span_ms, walk_forward

Breakout = load_strategy("strategies/breakout.py")
EmaCross = load_strategy("strategies/ema_cross.py")
Managed = load_strategy("strategies/managed_breakout.py")
GRID = {"lookback": [24, 72, 168]}


@pytest.fixture(scope="module")
def candles() -> Candles:
    return Candles.sample("BTC/USD", "1h").slice(0, 9_000)


@pytest.fixture(scope="module")
def walked(candles: Candles) -> WalkForward:
    return walk_forward(Breakout, GRID, candles, train="180d", test="60d")


def test_each_fold_chooses_what_its_training_part_says(walked: WalkForward, candles: Candles) -> None:
    for fold in walked.folds:
        many = run_many(Breakout, GRID, candles.between(*fold.train))
        assert fold.parameters == {"lookback": GRID["lookback"][many.best("sharpe")]}
        assert fold.train[1] == fold.test[0]


def test_the_account_begins_with_the_first_test_part(walked: WalkForward) -> None:
    first = walked.folds[0].test[0]
    assert walked.result.equity.index[0].value // 1_000_000 == first
    assert all(first <= one.at < walked.folds[-1].test[1] for one in walked.result.calls)


def test_creates_of_a_part_are_those_of_its_parameters_over_all_candles(walked: WalkForward, candles: Candles) -> None:
    for fold in walked.folds:
        alone = {one.at for one in run(Breakout(**fold.parameters), candles, lane="candle").calls}
        table = Breakout(**fold.parameters)
        ind = table.indicators(candles)
        asked = set(candles.close_time[np.flatnonzero(np.asarray(table.triggers(candles, ind)))].tolist())
        mine = {
            one.at
            for one in walked.result.calls
            if fold.test[0] <= one.at < fold.test[1] and type(one.call).__name__ == "CreateSignal"
        }
        assert mine <= asked
        assert alone


@pytest.mark.parametrize(
    ("kind", "grid"),
    [(EmaCross, {"fast": [10, 20]}), (Managed, {"lookback": [24, 48]})],
    ids=["candle lane", "plan"],
)
def test_every_lane_walks_forward(kind: type[Strategy], grid: dict[str, list[int]], candles: Candles) -> None:
    found = walk_forward(kind, grid, candles, train="150d", test="90d", anchored=True)
    assert len(found.folds) == 2
    assert found.folds[1].train[0] == found.folds[0].train[0] == int(candles.time[0])
    assert len(found.result.trades) > 0


def test_two_workers_give_the_same(walked: WalkForward, candles: Candles) -> None:
    again = walk_forward(Breakout, GRID, candles, train="180d", test="60d", workers=2)
    assert again.folds == walked.folds
    assert again.result.equity.equals(walked.result.equity)


def test_an_embargo_lies_between_training_and_test(candles: Candles) -> None:
    found = walk_forward(Breakout, GRID, candles, train="180d", test="60d", embargo="5d")
    assert all(fold.test[0] - fold.train[1] == 5 * 86_400_000 for fold in found.folds)


def test_too_few_candles_are_said_with_their_length(candles: Candles) -> None:
    with pytest.raises(InvalidSettingError, match=r"cover 41\.\d days; one training part of 180"):
        walk_forward(Breakout, GRID, candles.slice(0, 1_000))
    with pytest.raises(InvalidSettingError, match="180d, 12h or 4w, was 'soon'"):
        span_ms("soon")


def test_a_plan_in_the_grid_is_refused(candles: Candles) -> None:
    from backtest import Plan

    with pytest.raises(InvalidSettingError, match="plan of a strategy cannot change"):
        walk_forward(
            Managed, [{"plan": Managed().parameters["plan"], "lookback": 24}, {"plan": Plan(), "lookback": 48}], candles,
            train="90d", test="30d", by="total_return",
        )  # fmt: skip


def test_a_search_tries_each_row_once_and_repeats_itself(candles: Candles) -> None:
    grid: dict[str, list[Any]] = {"lookback": [24, 48, 72, 96, 120], "risk": [1.0, 2.0, 3.0]}
    first, again = (search_many(Breakout, grid, candles.slice(0, 4_000), trials=9, seed=3) for _ in range(2))
    assert len(first) == 9
    assert len({tuple(row.items()) for row in first.rows}) == 9
    assert first.rows == again.rows
    assert len(search_many(Breakout, {"lookback": [24, 48]}, candles.slice(0, 4_000), trials=50)) == 2


def test_a_plateau_is_preferred_to_a_lone_peak() -> None:
    values = np.array([0.0, 3.0, 0.0, 0.0, 2.0, 2.1, 2.0, 0.0])
    assert plateau(values, [{"n": k} for k in range(8)]) == 5
    assert plateau(np.array([1.0]), [{"n": 1}]) is None


def test_a_sweep_writes_tables_and_a_heatmap(candles: Candles, tmp_path: Path) -> None:
    grid: dict[str, list[Any]] = {"lookback": [24, 48], "risk": [1.0, 2.0]}
    many = run_many(Breakout, grid, candles.slice(0, 4_000))
    written = many.save(tmp_path / "sweep")
    assert [path.name for path in written] == ["sweep.csv", "sweep.parquet", "heatmap.png"]
    assert written[2].read_bytes().startswith(b"\x89PNG")
    assert "PBO" in many.told()
