"""Selection: how good a Sharpe ratio must be before luck, a short history or many trials no longer explain it.

All Sharpe ratios here are *a period* (not a year), with the ordinary estimate of the deviation. Sources:

- Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15 (2012): PSR and MinTRL.
- Bailey and López de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40 (2014): DSR.
- Bailey, Borwein, López de Prado and Zhu, "The Probability of Backtest Overfitting", Journal of Computational Finance 20
  (2017): CSCV and PBO.
- Politis and Romano, "The Stationary Bootstrap", JASA 89 (1994); Politis and White, "Automatic Block-Length Selection for
  the Dependent Bootstrap", Econometric Reviews 23 (2004), as corrected by Patton, Politis and White (2009).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = [
    "EffectiveTrials",
    "SharpeSample",
    "block_length",
    "bootstrap_rows",
    "deflated_sharpe",
    "effective_trials",
    "expected_maximum",
    "minimum_track_record",
    "overfitting_probability",
    "probabilistic_sharpe",
    "sharpe_of",
]

_EULER = 0.5772156649015329
_AT_ONCE = 1 << 20
"""Numbers that the halves of CSCV are summed from at once: what takes no memory to speak of."""


@dataclass(frozen=True, slots=True)
class SharpeSample:
    """A Sharpe ratio with what its error depends on.

    Attributes
    ----------
    sharpe
        Mean over standard deviation of the returns of one period.
    periods
        How many returns it comes from.
    skew, kurtosis
        Of the returns; a normal distribution has 0 and 3.
    """

    sharpe: float
    periods: int
    skew: float = 0.0
    kurtosis: float = 3.0

    @classmethod
    def of(cls, returns: Floats) -> SharpeSample | None:
        """Return the sample of (n,) returns; None where there are fewer than three, or all are equal."""
        if len(returns) < 3 or np.ptp(returns) <= 1e-15:
            return None
        apart = returns - returns.mean()
        variance = float(np.mean(apart**2))
        if variance <= (np.finfo(np.float64).eps * float(returns.mean())) ** 2:  # nothing but rounding
            return cls(float(sharpe_of(returns)), len(returns), math.nan, math.nan)
        skew, kurtosis = np.mean(apart**2 * apart) / variance**1.5, np.mean((apart**2) ** 2) / variance**2
        return cls(float(sharpe_of(returns)), len(returns), float(skew), float(kurtosis))

    @property
    def spread(self) -> float:
        """Variance of the estimate times the number of periods less one."""
        return 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2


def sharpe_of(returns: Floats) -> Floats:
    """Return mean over standard deviation (n - 1) of returns along the first axis; 0 where nothing moved.

    Parameters
    ----------
    returns
        (n,) or (n, k) float64, as fractions.
    """
    spread = returns.std(axis=0, ddof=1)
    moved = spread > 1e-15
    found: Floats = np.where(moved, returns.mean(axis=0) / np.where(moved, spread, 1.0), 0.0)
    return found


def probabilistic_sharpe(sample: SharpeSample, benchmark: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio lies above a benchmark (PSR).

    Parameters
    ----------
    sample
        The estimate, its length and the shape of its returns.
    benchmark
        A Sharpe ratio a period.
    """
    from scipy.special import ndtr

    if sample.periods < 2 or sample.spread <= 0.0:
        return math.nan
    return float(ndtr((sample.sharpe - benchmark) * math.sqrt(sample.periods - 1) / math.sqrt(sample.spread)))


def minimum_track_record(sample: SharpeSample, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """Return how many periods it takes until the Sharpe ratio is believed to lie above a benchmark (MinTRL).

    Parameters
    ----------
    sample
        The estimate and the shape of its returns; its length plays no part.
    benchmark
        A Sharpe ratio a period.
    confidence
        Probability asked for, between 0.5 and 1.

    Returns
    -------
    float
        Periods; infinite where the estimate does not lie above the benchmark.
    """
    from scipy.special import ndtri

    if sample.sharpe <= benchmark:
        return math.inf
    return float(1.0 + sample.spread * (ndtri(confidence) / (sample.sharpe - benchmark)) ** 2)


def expected_maximum(trials: float) -> float:
    """Return the expected maximum of ``trials`` independent standard normal draws (their False Strategy theorem)."""
    from scipy.special import ndtri

    if trials <= 1.0:
        return 0.0
    return float((1.0 - _EULER) * ndtri(1.0 - 1.0 / trials) + _EULER * ndtri(1.0 - 1.0 / (trials * math.e)))


def deflated_sharpe(sample: SharpeSample, trials: float, variance: float) -> float:
    """Return the probability that the true Sharpe ratio beats what the best of so many trials shows by luck (DSR).

    Parameters
    ----------
    sample
        Of the chosen trial.
    trials
        How many were tried, or their effective number (:func:`effective_trials`).
    variance
        Of the Sharpe ratios a period across the trials.
    """
    return probabilistic_sharpe(sample, math.sqrt(max(variance, 0.0)) * expected_maximum(trials))


def effective_trials(returns: Floats) -> float:
    """Return how many independent trials correlated ones are worth: the larger of two estimates.

    ``rho + (1 - rho) * n`` with the mean correlation, and the participation ratio of the eigenvalues of the correlation
    matrix, ``(sum of eigenvalues)**2 / sum of their squares``. Trials that never moved are left out.

    Parameters
    ----------
    returns
        (periods, trials) float64.
    """
    counted = EffectiveTrials()
    counted.add(returns)
    return counted.value


class EffectiveTrials:
    """How many independent trials correlated ones are worth, counted market by market (:func:`effective_trials`).

    A correlation is of the days that two trials share; on other days either counts as still, so that trials of markets that
    never met are independent. Kept is one number for each pair of days, or of trials where those are fewer: two million
    trials over five years take no more room than a thousand.
    """

    def __init__(self) -> None:
        self._count = self._short = 0
        self._days = (0, 0)
        self._held: list[tuple[int, Floats]] = []
        self._total: tuple[int, Floats] = (0, np.empty(0))
        self._pairs: tuple[int, Floats] | None = None

    def add(self, returns: Floats, first_day: int = 0) -> None:
        """Add trials over the same days; those that never moved are left out.

        Parameters
        ----------
        returns
            (days, trials) float64.
        first_day
            Number of the first of these days, on a calendar that all trials share.
        """
        moving = returns[:, np.ptp(returns, axis=0) > 1e-15] if len(returns) else returns[:, :0]
        if len(moving) < 3:  # no correlation can be told
            self._short += moving.shape[1]
            return
        if not moving.shape[1]:
            return
        apart = moving - moving.mean(axis=0)
        unit = apart / np.sqrt((apart**2).sum(axis=0))
        low, high = first_day, first_day + len(unit)
        self._days = (min(self._days[0], low), max(self._days[1], high)) if self._count else (low, high)
        self._count += unit.shape[1]
        self._held.append((low, unit))
        if sum(one.shape[1] for _, one in self._held) >= self._days[1] - self._days[0]:
            self._fold()

    @property
    def value(self) -> float:
        """What all that were added are worth."""
        n = self._count
        if n < 2:
            return float(n + self._short)
        total, squares = self._sums()
        rho = (total - n) / (n * (n - 1))
        return float(min(n, max(1.0, rho + (1.0 - rho) * n, n**2 / squares))) + self._short

    def _sums(self) -> tuple[float, float]:
        """Return the sum of the correlation matrix, and of its squares, which is that of the squared eigenvalues."""
        if self._pairs is not None:
            self._fold()
            return float((self._total[1] ** 2).sum()), float((self._pairs[1] ** 2).sum())
        units = self._laid(self._held)
        return float((units.sum(axis=1) ** 2).sum()), float(((units.T @ units) ** 2).sum())

    def _laid(self, held: list[tuple[int, Floats]]) -> Floats:
        """Return trials side by side, on all days that there are."""
        units = np.zeros((self._days[1] - self._days[0], sum(one.shape[1] for _, one in held)))
        column = 0
        for first, one in held:
            at = first - self._days[0]
            units[at : at + len(one), column : column + one.shape[1]] = one
            column += one.shape[1]
        return units

    def _fold(self) -> None:
        """Put what is held into the sums by day and by pair of days."""
        low, size = self._days[0], self._days[1] - self._days[0]
        total, pairs = np.zeros(size), np.zeros((size, size))
        if self._pairs is not None:
            at, length = self._pairs[0] - low, len(self._pairs[1])
            total[at : at + length], pairs[at : at + length, at : at + length] = self._total[1], self._pairs[1]
        for first, one in self._held:
            at, length = first - low, len(one)
            total[at : at + length] += one.sum(axis=1)
            pairs[at : at + length, at : at + length] += one @ one.T
        self._held, self._total, self._pairs = [], (low, total), (low, pairs)


def overfitting_probability(returns: Floats, blocks: int = 16) -> float:
    """Return how often the best in sample ends in the worse half out of sample (PBO, by CSCV).

    The periods are cut into ``blocks`` of equal length (the oldest that do not fit are left out); each half of the blocks
    is once the sample in which the trial with the highest Sharpe ratio is chosen, the other half judges its rank.

    Parameters
    ----------
    returns
        (periods, trials) float64, of the same periods.
    blocks
        Even, at least 2.

    Raises
    ------
    InvalidSettingError
        For fewer than two trials, or fewer than two periods a block.
    """
    if blocks < 2 or blocks % 2:
        raise InvalidSettingError(f"blocks is an even number from 2, was {blocks}")
    length = len(returns) // blocks
    trials = returns.shape[1]
    if trials < 2:
        raise InvalidSettingError(f"overfitting is judged over at least 2 trials, had {trials}")
    if length < 2:
        raise InvalidSettingError(
            f"{len(returns)} periods do not fill {blocks} blocks of 2 each: give more days or fewer blocks"
        )
    kept = returns[len(returns) - length * blocks :].reshape(blocks, length, trials)
    sums, squares = kept.sum(axis=1), (kept**2).sum(axis=1)
    half = length * blocks // 2
    every = np.array(list(combinations(range(blocks), blocks // 2)))
    outside = np.ones((len(every), blocks), bool)
    np.put_along_axis(outside, every, values=False, axis=1)
    others = np.nonzero(outside)[1].reshape(every.shape)
    worse, at_once = 0, max(1, _AT_ONCE // (every.shape[1] * trials))
    for first in range(0, len(every), at_once):
        inside, rest = every[first : first + at_once], others[first : first + at_once]
        within = _sharpe_of_sums(sums[inside].sum(axis=1), squares[inside].sum(axis=1), half)
        without = _sharpe_of_sums(sums[rest].sum(axis=1), squares[rest].sum(axis=1), half)
        best = np.take_along_axis(without, within.argmax(axis=1)[:, np.newaxis], axis=1)
        below, ties = (without < best).sum(axis=1), (without == best).sum(axis=1)
        rank = below + (ties + 1) / 2.0  # from 1, ties share their ranks
        worse += int((rank / (trials + 1) <= 0.5).sum())
    return worse / len(every)


def _sharpe_of_sums(sums: Floats, squares: Floats, n: int) -> Floats:
    mean = sums / n
    variance = np.maximum(squares - n * mean**2, 0.0) / (n - 1)
    moved = variance > 1e-30
    found: Floats = np.where(moved, mean / np.sqrt(np.where(moved, variance, 1.0)), 0.0)
    return found


def block_length(returns: Floats) -> float:
    """Return the mean block of a stationary bootstrap that suits the dependence of (n,) returns, at least 1."""
    n = len(returns)
    if n < 8 or np.ptp(returns) <= 1e-15:
        return 1.0
    centred = returns - returns.mean()
    run, most = max(5, round(math.log10(n))), math.ceil(math.sqrt(n)) + max(5, round(math.log10(n)))
    most = min(most, n - 1)
    covariance = np.array([float(centred[: n - k] @ centred[k:]) / n for k in range(most + 1)])
    small = np.abs(covariance[1:] / covariance[0]) < 2.0 * math.sqrt(math.log10(n) / n)
    first = next((k for k in range(len(small) - run + 1) if small[k : k + run].all()), None)
    if first is None:
        large = np.flatnonzero(~small)
        first = int(large[-1]) + 1 if len(large) else 0
    lags = min(2 * max(first, 1), most)
    k = np.arange(-lags, lags + 1)
    weights = np.minimum(1.0, 2.0 * (1.0 - np.abs(k) / lags))
    both = covariance[np.abs(k)]
    slope, level = float((weights * np.abs(k) * both).sum()), float((weights * both).sum())
    if level == 0.0:
        return 1.0
    length = (slope**2 / level**2) ** (1.0 / 3.0) * n ** (1.0 / 3.0)
    return float(min(max(1.0, length), math.ceil(min(3.0 * math.sqrt(n), n / 3.0))))


def bootstrap_rows(n: int, mean_block: float, draws: int, seed: int) -> Integers:
    """Return the rows of ``draws`` stationary bootstraps of ``n`` periods.

    Parameters
    ----------
    n
        Periods of the original.
    mean_block
        Mean length of a block; its end is drawn anew at each period (geometric), and blocks wrap round.
    draws, seed
        How many, and of which seed: the same every time.

    Returns
    -------
    NDArray
        (draws, n) int64, positions in the original.
    """
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, n, (draws, n))
    fresh = rng.random((draws, n)) < 1.0 / max(1.0, mean_block)
    fresh[:, 0] = True
    place = np.broadcast_to(np.arange(n), (draws, n))
    last = np.maximum.accumulate(np.where(fresh, place, 0), axis=1)
    rows: Integers = (np.take_along_axis(starts, last, axis=1) + place - last) % n
    return rows
