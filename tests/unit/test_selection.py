"""Formulas of luck: published examples, second libraries, and small cases by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest import InvalidSettingError
from backtest.report.selection import (
    EffectiveTrials,
    SharpeSample,
    block_length,
    bootstrap_rows,
    deflated_sharpe,
    effective_trials,
    expected_maximum,
    minimum_track_record,
    overfitting_probability,
    probabilistic_sharpe,
    sharpe_of,
)


def test_the_published_deflated_sharpe_ratio() -> None:
    """Bailey and Lopez de Prado 2014, the example: 2.5 a year over 5 years of 250 days, 100 trials of variance 1/2."""
    sample = SharpeSample(2.5 / math.sqrt(250), 1_250, skew=-3.0, kurtosis=10.0)
    assert deflated_sharpe(sample, 100, 0.5 / 250) == pytest.approx(0.9003968, abs=5e-8)


def test_the_published_probabilistic_sharpe_ratio() -> None:
    """Bailey and Lopez de Prado 2012: 1.585 a year over 24 months, skew -2.448, kurtosis 10.164."""
    sample = SharpeSample(1.585 / math.sqrt(12), 24, skew=-2.448, kurtosis=10.164)
    assert probabilistic_sharpe(sample) == pytest.approx(0.9132343, abs=5e-8)


def test_the_expected_maximum_of_702_trials() -> None:
    assert expected_maximum(702) == pytest.approx(3.1531123, abs=5e-8)
    drawn = np.random.default_rng(3).normal(size=(4_000, 702)).max(axis=1).mean()
    assert expected_maximum(702) == pytest.approx(drawn, abs=0.02)
    assert expected_maximum(1) == 0.0


def test_a_record_of_the_minimum_length_is_believed_at_just_that_confidence() -> None:
    sample = SharpeSample(0.08, 500, skew=-0.4, kurtosis=6.0)
    length = minimum_track_record(sample, confidence=0.95)
    at_length = SharpeSample(sample.sharpe, math.ceil(length), sample.skew, sample.kurtosis)
    assert probabilistic_sharpe(at_length) == pytest.approx(0.95, abs=1e-3)
    assert minimum_track_record(SharpeSample(-0.1, 500)) == math.inf


def test_a_benchmark_above_0_takes_a_longer_record() -> None:
    sample = SharpeSample(0.08, 500, skew=-0.4, kurtosis=6.0)
    length = minimum_track_record(sample, benchmark=0.03, confidence=0.95)
    assert length > minimum_track_record(sample, confidence=0.95)
    at_length = SharpeSample(sample.sharpe, math.ceil(length), sample.skew, sample.kurtosis)
    assert probabilistic_sharpe(at_length, 0.03) == pytest.approx(0.95, abs=1e-3)


def test_trials_with_a_common_part_count_by_their_mean_correlation() -> None:
    rng = np.random.default_rng(4)
    trials = rng.normal(size=(400, 10)) + rng.normal(size=(400, 1))
    pairs = [np.corrcoef(trials[:, a], trials[:, b])[0, 1] for a in range(10) for b in range(a)]
    rho = float(np.mean(pairs))
    assert 0.4 < rho < 0.6
    assert effective_trials(trials) == pytest.approx(rho + 10.0 * (1.0 - rho))


def test_overfitting_by_hand() -> None:
    """Four blocks of two days, three trials: in 2 of the 6 halvings the best ends in the worse half."""
    first = np.array([1.0, 3.0, 2.0])
    days = np.vstack([first, first * 1.5, [2, 1, 3], [3, 1.5, 4], first, first * 2, [1, 2, 0.5], [2, 3, 1]])
    found = overfitting_probability(days, blocks=4)
    assert found == pytest.approx(_by_hand(days, 4))


def _by_hand(days: np.ndarray, blocks: int) -> float:
    """CSCV written down plainly: means over deviations of the rows of each half, ranks from 1, ties shared."""
    from itertools import combinations

    from scipy.stats import rankdata

    parts = np.array_split(days, blocks)
    worse = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[k] for k in chosen])
        outside = np.concatenate([parts[k] for k in range(blocks) if k not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        ranks = rankdata(outside.mean(axis=0) / outside.std(axis=0, ddof=1))
        worse.append(ranks[best] / (days.shape[1] + 1) <= 0.5)
    return float(np.mean(worse))


def test_noise_is_overfitted_half_of_the_time_and_an_edge_never() -> None:
    rng = np.random.default_rng(11)
    noise = rng.normal(0.0, 0.01, (640, 20))
    assert overfitting_probability(noise) == pytest.approx(_by_hand(noise, 16), abs=1e-12)
    assert 0.2 < np.mean([overfitting_probability(rng.normal(size=(320, 10)), 8) for _ in range(40)]) < 0.8
    noise[:, 4] += 0.02
    assert overfitting_probability(noise) == 0.0


@pytest.mark.parametrize(
    ("days", "trials", "blocks", "message"),
    [(31, 5, 16, "31 periods do not fill 16 blocks"), (100, 1, 16, "at least 2 trials"), (100, 5, 3, "even number")],
)
def test_too_little_for_overfitting_is_said_with_the_figure(days: int, trials: int, blocks: int, message: str) -> None:
    with pytest.raises(InvalidSettingError, match=message):
        overfitting_probability(np.zeros((days, trials)), blocks)


def test_copies_of_one_trial_are_one_trial_and_independent_ones_count() -> None:
    rng = np.random.default_rng(5)
    one = rng.normal(size=(2_000, 1))
    assert effective_trials(np.repeat(one, 30, axis=1)) == pytest.approx(1.0)
    assert effective_trials(rng.normal(size=(5_000, 30))) == pytest.approx(30.0, rel=0.02)
    assert effective_trials(np.zeros((100, 3))) == 0.0


def test_the_block_length_agrees_with_arch() -> None:
    bootstrap = pytest.importorskip("arch.bootstrap")
    rng = np.random.default_rng(2)
    for memory in (0.0, 0.3, 0.7):
        series = rng.normal(size=1_500)
        for k in range(1, len(series)):
            series[k] += memory * series[k - 1]
        theirs = float(bootstrap.optimal_block_length(series)["stationary"].iloc[0])
        assert block_length(series) == pytest.approx(max(1.0, theirs), rel=0.25)


@pytest.mark.parametrize(
    ("returns", "length"),
    [
        ([1.0, -1.0] * 3 + [1.0], 1.0),  # seven are too few
        ([0.01] * 40, 1.0),
        ([float(k) for k in range(8)], 1.3516004),
        ([float(k) for k in range(20)], 4.0837591),
    ],
)
def test_blocks_of_few_returns(returns: list[float], length: float) -> None:
    assert block_length(np.array(returns)) == pytest.approx(length, abs=1e-7)


def test_a_bootstrap_keeps_the_mean_length_of_its_blocks_and_repeats_itself() -> None:
    rows = bootstrap_rows(5_000, 8.0, 4, seed=9)
    breaks = (np.diff(rows, axis=1) % 5_000 != 1).sum()
    assert 4 * 5_000 / breaks == pytest.approx(8.0, rel=0.05)
    assert np.array_equal(rows, bootstrap_rows(5_000, 8.0, 4, seed=9))
    assert rows.min() >= 0
    assert rows.max() < 5_000


def test_what_never_moved_has_no_sharpe_ratio() -> None:
    assert SharpeSample.of(np.zeros(50)) is None
    assert sharpe_of(np.zeros((50, 2))).tolist() == [0.0, 0.0]


def test_trials_of_many_markets_are_counted_as_one_matrix_of_correlations_would() -> None:
    rng = np.random.default_rng(5)
    together = rng.normal(size=(40, 1)) + rng.normal(size=(40, 90))
    matrix = np.corrcoef(together, rowvar=False)
    rho = (matrix.sum() - 90) / (90 * 89)
    ratio = 90**2 / float((np.linalg.eigvalsh(matrix) ** 2).sum())
    whole = max(rho + (1 - rho) * 90, ratio)
    assert effective_trials(together) == pytest.approx(whole)
    counted = EffectiveTrials()
    for first in range(0, 90, 15):  # more trials than days: kept by pairs of days
        counted.add(together[:, first : first + 15], first_day=700)
    assert counted.value == pytest.approx(whole)


def test_trials_that_never_met_are_independent_and_a_few_days_tell_nothing() -> None:
    rng = np.random.default_rng(6)
    one = rng.normal(size=(50, 1))
    counted = EffectiveTrials()
    for first_day in (400, 0, 900):
        counted.add(np.repeat(one, 20, axis=1), first_day=first_day)
    rho = (3 * 20 * 20 - 60) / (60 * 59)
    assert counted.value == pytest.approx(rho + (1.0 - rho) * 60)
    short = EffectiveTrials()
    short.add(rng.normal(size=(2, 4)))
    short.add(np.zeros((50, 3)), first_day=10)
    assert short.value == 4.0
