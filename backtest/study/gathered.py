"""Gathered: what came of the rows of one grid after another on each of many markets, reduced as each market comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import BacktestError, DataUnavailableError, InvalidSettingError
from backtest.report import text
from backtest.report.daily import returns_of_days
from backtest.report.selection import EffectiveTrials, SharpeSample
from backtest.study.averaged import MeanReturns, mean_returns
from backtest.study.grid import Grid
from backtest.study.measured import FIGURES, Measured
from backtest.study.result_each import ResultEach, column_of, medians_of
from backtest.study.shown import require_figure, sharpe_of_days

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from backtest.model.profile import SubscriberProfile
    from backtest.runner.result import Result
    from backtest.strategy import Strategy
    from backtest.study.spread import Ran

    Floats = NDArray[np.float64]

__all__ = ["Gained", "Gathered"]

_NAMED = 3
"""Markets whose reasons stand in one sentence."""


class Gained:
    """What the rows of one grid gained on each market: no equity of days, so that two thousand markets fit.

    Parameters
    ----------
    grid
        The rows.
    balance
        Before the first day.
    trials
        Takes each row of each market.
    spans
        Takes the data that trials share, by market.
    """

    def __init__(self, grid: Grid, balance: float, trials: EffectiveTrials, spans: dict[str, str]) -> None:
        self.grid = grid
        self.arrays: dict[str, tuple[Floats, Floats, Floats]] = {}
        self.days: dict[str, int] = {}
        self.refused: dict[str, dict[int, str]] = {}
        self.unloaded: dict[str, BacktestError] = {}
        self.means = MeanReturns(len(grid.rows))
        self._balance, self._trials, self._spans = balance, trials, spans

    def take(self, ran: Ran) -> None:
        """Reduce one market."""
        if ran.measured is None:
            self.unloaded[ran.name] = ran.error or DataUnavailableError("it was not loaded")
            return
        rows = len(self.grid.rows)
        whole = Measured.placed([(self.grid.places, ran.measured)], rows, self.grid.refused)
        sharpes, moments = np.full(rows, np.nan), np.full((rows, 3), np.nan)
        returns, at = [], []
        for k, daily in enumerate(whole.daily):
            if k in whole.refused:
                continue
            at.append(k)
            returns.append(returns_of_days(self._balance, daily))
            sharpes[k] = sharpe_of_days(self._balance, daily, least=2)
            sample = SharpeSample.of(returns[-1])
            moments[k] = (0.0, np.nan, np.nan) if sample is None else (sample.sharpe, sample.skew, sample.kurtosis)
        if at:
            columns = np.array(returns).T
            self._trials.add(columns, ran.first_day)
            self.means.add(columns, at, ran.first_day)
            self._spans[ran.name] = ran.span
        self.arrays[ran.name] = whole.figures, sharpes, moments
        self.days[ran.name] = whole.daily.shape[1]
        self.refused[ran.name] = whole.refused

    def medians(self, by: str) -> Floats:
        """Return (rows,) float64, the median of a figure over the markets; NaN for a row that ran nowhere."""
        require_figure(by)
        if not self.arrays:
            return np.full(len(self.grid.rows), np.nan)
        figures, sharpes, _ = (np.array(one) for one in zip(*self.arrays.values(), strict=True))
        return medians_of(column_of(figures, sharpes, by), ~np.isnan(figures[:, :, 0]))


class Gathered:
    """What came of one grid after another."""

    def __init__(self, balance: float) -> None:
        self._balance = balance
        self._trials = EffectiveTrials()
        self._all: list[Gained] = []
        self.spans: dict[str, str] = {}

    def begin(self, grid: Grid) -> Gained:
        """Return what takes the markets of the next grid."""
        self._all.append(Gained(grid, self._balance, self._trials, self.spans))
        return self._all[-1]

    def result(
        self, profile: SubscriberProfile, again: Callable[[str, Sequence[Strategy]], list[Result]]
    ) -> ResultEach:
        """Return all of it.

        Parameters
        ----------
        profile
            On which all rows were run.
        again
            Runs strategies on a market once more.
        """
        grid = Grid.joined([one.grid for one in self._all])
        rows = len(grid.rows)
        names = sorted({name for one in self._all for name in (*one.arrays, *one.unloaded)})
        refused: dict[str, str] = {}
        refused_rows: dict[tuple[str, int], str] = {}
        markets, arrays = [], []
        for name in names:
            whys = self._whys(name)
            if not any(name in one.arrays for one in self._all):
                refused[name] = str(next(one.unloaded[name] for one in self._all if name in one.unloaded))
            elif len(whys) == rows:
                refused[name] = grid.none_ran(whys)
            else:
                markets.append(name)
                refused_rows.update({(name, k): why for k, why in whys.items()})
                arrays.append([self._array(name, k) for k in range(3)])
        if not markets:
            loaded = any(one.arrays for one in self._all)
            raise _none_of(refused, "no row ran on any of" if loaded else "", grid)
        figures, sharpes, moments = (np.array(one) for one in zip(*arrays, strict=True))
        days = {name: count for one in self._all for name, count in one.days.items()}
        return ResultEach(
            grid,
            profile,
            tuple(markets),
            figures,
            sharpes,
            moments,
            tuple(days[name] for name in markets),
            self._trials.value,
            mean_returns([one.means for one in self._all]),
            refused,
            refused_rows,
            again,
        )

    def _whys(self, name: str) -> dict[int, str]:
        """Return why rows did not run on a market, by row."""
        found, first = {}, 0
        for one in self._all:
            rows = len(one.grid.rows)
            unloaded = dict.fromkeys(range(rows), str(one.unloaded[name])) if name in one.unloaded else one.grid.refused
            found.update({first + k: why for k, why in one.refused.get(name, unloaded).items()})
            first += rows
        return found

    def _array(self, name: str, which: int) -> Floats:
        """Return one of the arrays of a market, over all rows."""
        parts = []
        if len(self._all) == 1:  # not copied: it may be large
            return self._all[0].arrays[name][which]
        for one in self._all:
            rows = len(one.grid.rows)
            nothing: Floats = np.full(((rows, len(FIGURES)), (rows,), (rows, 3))[which], np.nan)
            parts.append(one.arrays[name][which] if name in one.arrays else nothing)
        return np.concatenate(parts)


def _none_of(refused: Mapping[str, str], what: str, grid: Grid) -> BacktestError:
    """Return the error that says why there is nothing."""
    if not refused:
        return InvalidSettingError(grid.none_ran(grid.refused))
    count = text.plural(len(refused), "market")
    reasons = "; ".join(f"{name}: {why.removesuffix('.')}" for name, why in list(refused.items())[:_NAMED])
    more = f"; and {len(refused) - _NAMED:,} more" if len(refused) > _NAMED else ""
    if what:
        return InvalidSettingError(f"{what} {count}: {reasons}{more}")
    return DataUnavailableError(f"none of {count} can be loaded: {reasons}{more}")
