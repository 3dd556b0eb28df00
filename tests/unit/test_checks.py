"""The checks of a strategy: leaks, state, warm-up and parity, through ``run`` and the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from pydantic import PrivateAttr

from backtest import Call, Candles, Indicators, InvalidSettingError, Moment, Result, Strategy, load_strategy, run
from backtest import indicators as ta
from backtest.runner.checks.verdict import Verdict
from backtest.runner.checks.windows import closes_to_check, unseen_share
from tests import leaks

SHIPPED = sorted(path.name for path in Path("strategies").glob("*.py"))


@pytest.fixture(scope="module")
def candles() -> Candles:
    return Candles.sample("BTC/USD", "1h").slice(0, 6_000)


def verdicts(result: Result) -> dict[str, Verdict]:
    return {one.check: one.verdict for one in result.checks}


@pytest.mark.parametrize("kind", leaks.LEAKS, ids=lambda kind: kind.__name__)
def test_a_leak_is_caught_and_stands_first_in_every_verdict(kind: type[Strategy], candles: Candles) -> None:
    result = run(kind(), candles, checks="auto")
    failed = [one for one in result.checks.failed if one.check == "look-ahead"]
    assert failed, result.checks
    assert "later candles" in failed[0].sentence
    assert result.tables.warnings[0].startswith("This result is not to be believed, look-ahead")
    assert result.checks.lines[0].startswith("look-ahead (fail)")


@pytest.mark.parametrize("kind", leaks.CAUSAL, ids=lambda kind: kind.__name__)
def test_a_causal_strategy_raises_no_alarm(kind: type[Strategy], candles: Candles) -> None:
    result = run(kind(), candles, checks="auto")
    assert not result.checks.failed
    assert verdicts(result)["look-ahead"] is Verdict.PASS


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_strategy_passes_every_check(name: str, candles: Candles) -> None:
    result = run(load_strategy(f"strategies/{name}")(), candles, checks="full")
    assert not result.checks.failed
    assert verdicts(result) == dict.fromkeys(("look-ahead", "warm-up", "parity", "state"), Verdict.PASS)


class Scaled(leaks._Entry):
    """Scales by its first 700 rows, and trades after them: the same at every close, but live begins elsewhere."""

    begins: int

    def indicators(self, candles: Candles) -> Indicators:
        scaled = candles.close / candles.close[:700].mean() - 1.05
        return {"go": np.where(candles.time < self.begins, np.nan, scaled)}


def test_what_depends_on_where_history_begins_is_a_note(candles: Candles) -> None:
    result = run(Scaled(begins=int(candles.time[1_500])), candles, checks="auto")
    finding = next(one for one in result.checks if one.check == "look-ahead")
    assert finding.verdict is Verdict.NOTE
    assert "where history begins" in finding.sentence
    assert verdicts(result)["warm-up"] is Verdict.NOTE


class Rounded(leaks._Entry):
    """A matrix product whose last digits depend on the number of rows."""

    def indicators(self, candles: Candles) -> Indicators:
        noise = 1e-13 * len(candles)
        return {
            "go": candles.close / ta.sma(candles.close, 20) - 1.01,
            "mean": ta.sma(candles.close, 20) * (1.0 + noise),
        }


def test_rounding_alone_is_a_note(candles: Candles) -> None:
    result = run(Rounded(), candles, checks="auto")
    finding = next(one for one in result.checks if one.check == "look-ahead")
    assert finding.verdict is Verdict.NOTE
    assert "rounding" in finding.sentence


class Silent(Strategy):
    def on_candle(self, now: Moment) -> Iterable[Call]:
        return ()


def test_without_a_signal_nothing_passes(candles: Candles) -> None:
    result = run(Silent(), candles, checks="auto")
    assert verdicts(result)["look-ahead"] is Verdict.NOTHING
    assert "no signal" in result.checks.lines[0]


def test_five_candles_are_too_few_to_say_anything(candles: Candles) -> None:
    result = run(Silent(), candles.slice(0, 5), checks="full")
    assert not result.checks.failed
    assert verdicts(result)["warm-up"] is Verdict.NOTHING


class Counting(leaks._Entry):
    """Stops after three signals: it counts them."""

    _made: int = PrivateAttr(default=0)

    def indicators(self, candles: Candles) -> Indicators:
        return {"go": candles.close - ta.previous(ta.highest(candles.high, 24))}

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if self._made >= 3:
            return
        for call in super().on_candle(now) or ():
            self._made += 1
            yield call


class Remembering(Counting):
    """Keeps what it computed: the same whether it is there or not."""

    _kept: dict[int, float] = PrivateAttr(default_factory=dict)

    def on_candle(self, now: Moment) -> Iterable[Call]:
        self._kept[now.time] = now.close
        return leaks._Entry.on_candle(self, now) or ()


def test_state_that_changes_calls_fails_and_names_the_culprit(candles: Candles) -> None:
    finding = next(one for one in run(Counting(), candles, checks="auto").checks if one.check == "state")
    assert finding.verdict is Verdict.FAIL
    assert "self._made" in finding.sentence


def test_state_that_changes_nothing_is_a_note(candles: Candles) -> None:
    finding = next(one for one in run(Remembering(), candles, checks="auto").checks if one.check == "state")
    assert finding.verdict is Verdict.NOTE
    assert "self._kept" in finding.sentence


class LongMemory(leaks._Entry):
    """An average that still moves prices long after its length."""

    def indicators(self, candles: Candles) -> Indicators:
        return {"go": candles.close - ta.ema(candles.close, 200) * 1.01}


class Cumulative(leaks._Entry):
    """A price weighted by all the volume since the start."""

    def indicators(self, candles: Candles) -> Indicators:
        vwap = np.cumsum(candles.close * candles.volume) / np.cumsum(np.maximum(candles.volume, 1e-12))
        return {"go": candles.close - vwap}


def test_the_warm_up_is_longer_than_the_first_row_without_nan() -> None:
    candles = Candles.sample("BTC/USD", "1h")
    result = run(LongMemory(), candles, checks="full")
    assert result.checks.warmup is not None
    assert result.checks.warmup > 200


def test_a_sum_since_the_start_has_no_warm_up() -> None:
    result = run(Cumulative(), Candles.sample("BTC/USD", "1h"), checks="full")
    finding = next(one for one in result.checks if one.check == "warm-up")
    assert finding.verdict is Verdict.NOTE
    assert "since the start" in finding.sentence
    assert result.checks.warmup is None


def test_a_run_leaves_class_and_module_as_they_were(candles: Candles) -> None:
    leaks.FUTURE.clear()
    leaks.ClassAttribute.cache.clear()
    for kind in (leaks.ModuleGlobal, leaks.ClassAttribute):
        run(kind(), candles.slice(0, 2_000), checks="auto").checks  # noqa: B018 - computed when asked for
    assert leaks.FUTURE == {}
    assert leaks.ClassAttribute.cache == {}


def test_checks_that_are_off_are_said_to_be_off(candles: Candles) -> None:
    result = run(leaks.ShiftedBack(), candles, checks="off")
    assert not result.checks.findings
    assert "not checked" in result.checks.lines[0]


def test_an_unknown_level_is_refused(candles: Candles) -> None:
    with pytest.raises(InvalidSettingError, match="auto, full or off"):
        run(Silent(), candles, checks="on")  # type: ignore[arg-type]


def test_a_saved_result_keeps_its_findings(candles: Candles, tmp_path: Path) -> None:
    result = run(leaks.ShiftedBack(), candles.slice(0, 3_000), checks="auto")
    assert Result.load(result.save(tmp_path / "run")).checks == result.checks


def test_the_sample_of_closes_depends_on_the_candles_alone() -> None:
    made = np.arange(0, 5_000, 7)
    first, others = closes_to_check(made, 6_000)
    again, _ = closes_to_check(made, 6_000)
    assert len(first) == 128
    assert len(others) == 32
    assert np.array_equal(first, again)
    assert not np.intersect1d(first, others).size


@pytest.mark.parametrize(("signals", "looked"), [(400, 64), (2_000, 64), (150, 128)])
def test_the_odds_printed_are_those_of_a_simulation(signals: int, looked: int) -> None:
    rng = np.random.default_rng(7)
    bad = int(np.ceil(0.05 * signals))
    missed = [not (rng.choice(signals, looked, replace=False) < bad).any() for _ in range(20_000)]
    assert unseen_share(signals, looked) == pytest.approx(float(np.mean(missed)), abs=0.006)


def test_sixty_four_clean_closes_leave_a_leak_of_five_percent_unseen_with_four() -> None:
    assert unseen_share(10**6, 64) == pytest.approx(0.0375, abs=1e-4)
