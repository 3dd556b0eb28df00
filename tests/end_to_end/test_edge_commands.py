"""``backtest check``, ``luck``, ``sweep`` and ``walk-forward``, as a newcomer says them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import ROOT, backtest

DAILY = ("--candles", "sample:BTC/USD:1d")
LEAK = """
import numpy as np
from backtest import Strategy


class Peek(Strategy):
    def indicators(self, candles):
        return {"next": np.r_[candles.close[1:], np.nan]}

    def on_candle(self, now):
        if not now.signals and now["next"] > now.close * 1.02:
            yield now.create(entry=now.close, targets=[now.close * 1.02], stop_loss=now.close * 0.9, invest=10, ttl=86_400_000)
"""


def test_check_passes_an_honest_strategy_and_fails_a_leak(tmp_path: Path) -> None:
    honest = backtest("check", str(ROOT / "strategies/breakout.py"), *DAILY)
    assert honest.status == 0
    assert "candles of history suffice" in honest.out
    (tmp_path / "peek.py").write_text(LEAK)
    leak = backtest("check", str(tmp_path / "peek.py"), *DAILY)
    assert leak.status == 2
    assert "fail  look-ahead: indicator 'next' of Peek" in leak.out


def test_luck_of_a_strategy_and_of_a_saved_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKTEST_CHECKS", "auto")
    strategy = str(ROOT / "strategies/rsi_dip.py")
    told = backtest("luck", strategy, *DAILY, "--draws", "5")
    assert "random entries" in told.out
    assert backtest("run", strategy, *DAILY, "--out", str(tmp_path / "run")).status == 0
    again = backtest("luck", str(tmp_path / "run"))
    assert again.status == 0
    assert "PSR" in again.out
    missing = backtest("luck", strategy)
    assert missing.status == 2
    assert "--candles is missing" in missing.err


def test_a_sweep_names_plateau_and_luck_and_writes_its_tables(tmp_path: Path) -> None:
    grid = ("--grid", "lookback=24:48:12", "--grid", "risk=1,2,-1")
    done = backtest("sweep", str(ROOT / "strategies/breakout.py"), *DAILY, *grid, "--out", str(tmp_path / "sweep"))
    assert done.status == 0
    for word in ("plateau", "DSR", "PBO", "did not run: parameter risk of Breakout was -1"):
        assert word in done.out
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == ["heatmap.png", "sweep.csv", "sweep.parquet"]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("lookback", "lookback=24:240:12 or risk=1,2,3, was 'lookback'"),
        ("lookback=24:240:0", "a step above 0"),
        ("lookback=1:2", "first:last:step with three numbers"),
        ("lookback=48:24:1", "holds no value"),
        ("lookback=2:2000000:1", "at most 1,000,000"),
        ("lookbak=24,48", 'Did you mean "lookback"'),
    ],
)
def test_a_bad_grid_is_one_sentence(grid: str, message: str) -> None:
    done = backtest("sweep", str(ROOT / "strategies/breakout.py"), *DAILY, "--grid", grid)
    assert done.status == 2
    assert message in done.err
    assert done.err.count("\n") == 1


def test_walk_forward_prints_its_folds() -> None:
    spans = ("--train", "730d", "--test", "365d")
    done = backtest("walk-forward", str(ROOT / "strategies/breakout.py"), *DAILY, "--grid", "lookback=24,48", *spans)
    assert done.status == 0
    assert "positive out of sample in" in done.out
