"""What luck alone would have given, and the ledger that counts the trials."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest import Candles, InvalidSettingError, Result, SignalTable, Strategy, load_strategy, run, run_many
from backtest.runner.luck import permuted_candles, random_table, shifted_table
from backtest.runner.trials import family_of, span_of, tried
from tests.leaks import FilledBackward

Breakout = load_strategy("strategies/breakout.py")


class Plain(Breakout):  # type: ignore[misc, valid-type]
    """The table alone: nothing answers what happens."""

    on_event = Strategy.on_event


@pytest.fixture(scope="module")
def candles() -> Candles:
    return Candles.sample("BTC/USD", "1h")


@pytest.fixture(scope="module")
def result(candles: Candles) -> Result:
    return run(Plain(lookback=72), candles)


def test_the_figures_of_a_breakout_on_the_sample(result: Result) -> None:
    luck = result.luck(("random entries",), draws=60)
    assert luck.p_value() < 0.2
    assert luck.psr == pytest.approx(0.876, abs=0.01)
    assert luck.years_needed == pytest.approx(4.6, abs=0.2)
    assert luck.years == pytest.approx(2.3, abs=0.05)
    low, high = luck.interval["sharpe"]
    assert low < luck.sharpe < high
    assert any("random entries" in line for line in luck.lines)


def test_the_same_seed_gives_the_same_draws_and_more_begin_with_them(result: Result) -> None:
    few, many = (result.luck(("random entries",), draws=draws).draws["random entries"] for draws in (5, 8))
    assert np.array_equal(few, many[:5])
    assert not np.array_equal(few, result.luck(("random entries",), draws=5, seed=1).draws["random entries"])


def test_knowing_the_future_is_no_luck(candles: Candles) -> None:
    luck = run(FilledBackward(), candles.slice(0, 5_000)).luck(("random entries", "shifted times"), draws=19)
    assert luck.p_value("random entries") == pytest.approx(1 / 20)
    assert luck.p_value("shifted times") == pytest.approx(1 / 20)


def test_a_strategy_that_answers_events_is_not_drawn_unless_asked(candles: Candles) -> None:
    result = run(Breakout(), candles.slice(0, 4_000))
    assert not result.luck().draws
    assert "answer what happened" in result.luck().reasons["random entries"]
    assert len(result.luck(("shifted times",), draws=3).draws["shifted times"]) == 3


def test_no_signal_and_few_trades_are_said(candles: Candles) -> None:
    luck = run(Plain(lookback=300), candles.slice(0, 200)).luck()
    assert luck.reasons["random entries"] == "there was no signal"
    assert luck.flag == "0 trades: nothing can be said"
    assert math.isnan(luck.p_value())
    assert "never moved" in luck.lines[-1]


@pytest.mark.parametrize(
    ("kinds", "draws", "message"),
    [(("horoscopes",), 5, "horoscopes"), (("random entries",), -1, "from 0, was -1")],
)
def test_a_kind_or_number_that_is_not_there_is_refused(
    result: Result, kinds: tuple[str, ...], draws: int, message: str
) -> None:
    with pytest.raises(InvalidSettingError, match=message):
        result.luck(kinds, draws=draws)


def test_a_loaded_result_cannot_be_drawn_again(result: Result, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match="run it anew"):
        Result.load(result.save(tmp_path / "run")).luck()


def table(candles: Candles) -> SignalTable:
    strategy = Plain(lookback=72)
    found: SignalTable = strategy.signals(candles, strategy.indicators(candles))
    return found


def test_random_entries_keep_number_and_geometry(candles: Candles) -> None:
    whole = table(candles)
    moved = random_table(whole, np.arange(len(whole)), candles.close, len(whole), np.random.default_rng(1))
    assert len(moved) == len(whole)
    distance = np.sort(np.asarray(moved.stop_loss) / candles.close[moved.rows])
    assert distance == pytest.approx(np.sort(np.asarray(whole.stop_loss) / candles.close[whole.rows]), rel=1e-12)


def test_shifted_signals_keep_their_distances_round_the_end(candles: Candles) -> None:
    whole = table(candles)
    moved = shifted_table(whole, candles.close, 1_000)
    assert sorted(moved.rows.tolist()) == sorted(((whole.rows + 1_000) % len(candles)).tolist())


def test_permuted_candles_keep_moves_and_ends(candles: Candles) -> None:
    other = permuted_candles(candles, np.random.default_rng(4))
    assert other.close[-1] == pytest.approx(candles.close[-1], rel=1e-9)
    assert other.open[0] == candles.open[0]
    inside = np.sort(np.log(candles.close / candles.open))
    assert np.sort(np.log(other.close / other.open)) == pytest.approx(inside, abs=1e-12)
    assert not np.allclose(other.close, candles.close)


def test_runs_and_sweeps_are_counted_once_each(
    candles: Candles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = tmp_path / "trials.sqlite"
    monkeypatch.setenv("BACKTEST_TRIALS", str(ledger))
    part = candles.slice(0, 4_000)
    family, span = family_of(Plain()), span_of([part])
    for lookback in (24, 48, 24):
        run(Plain(lookback=lookback), part)
    assert tried(family, span).count == 2
    grid: dict[str, list[Any]] = {"lookback": [24, 48, 72], "risk": [1.0, 2.0]}
    for _ in range(2):
        run_many(Plain, grid, part)
    known = tried(family, span)
    assert known.count == 8
    assert 1.0 < known.effective <= 8.0
    assert known.variance > 0.0
    luck = run(Plain(lookback=48), part).luck(draws=0)
    assert luck.trials == known.effective
    assert luck.dsr < luck.psr
    assert any("DSR" in line for line in luck.lines)


def test_a_ledger_that_cannot_be_written_is_a_sentence(
    candles: Candles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "trials.sqlite"
    broken.write_text("this is no database, and longer than its header would be " * 10)
    monkeypatch.setenv("BACKTEST_TRIALS", str(broken))
    result = run(Plain(), candles.slice(0, 2_000))
    assert "could not be read" in result.luck(draws=0).reasons["ledger"]
    assert any("not counted" in warning for warning in result.tables.warnings)
