"""Judged: what the rows of a sweep say about the best of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.report import text
from backtest.report.daily import returns_of_days
from backtest.report.selection import (
    SharpeSample,
    deflated_sharpe,
    effective_trials,
    overfitting_probability,
    sharpe_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Judgement", "judgement", "judgement_of_returns", "plateau"]

_BLOCKS = (16, 12, 8, 6, 4, 2)


@dataclass(frozen=True, slots=True)
class Judgement:
    """How much of the best row is choice.

    Attributes
    ----------
    days
        Of the best row.
    rows
        That ran, those of all markets together.
    trials
        What they are worth as independent ones.
    variance
        Of their daily Sharpe ratios; NaN for fewer than two.
    dsr
        Probability that the best is above what luck gives to the best of so many; NaN where there is nothing to tell.
    pbo
        Probability of backtest overfitting, NaN for too few days; None where a row on one of many markets is judged.
    markets
        On which they ran, each on an account of its own.
    """

    days: int
    rows: int
    trials: float
    variance: float
    dsr: float
    pbo: float | None
    markets: int = 1

    @classmethod
    def of(
        cls,
        sample: SharpeSample | None,
        sharpes: Floats,
        trials: float,
        *,
        days: int,
        pbo: float | None = None,
        markets: int = 1,
    ) -> Judgement:
        """Return what trials say of the best of them.

        Parameters
        ----------
        sample
            Of the best; None where it never moved.
        sharpes
            (trials,) float64, daily; 0 where nothing moved.
        trials
            Their effective number.
        days, pbo, markets
            As the attributes.
        """
        variance = float(sharpes.var(ddof=1)) if len(sharpes) > 1 else math.nan
        dsr = math.nan
        if sample is not None and len(sharpes) > 1:
            dsr = deflated_sharpe(sample, max(trials, 1.0), variance)
        return cls(days, len(sharpes), trials, variance, dsr, pbo, markets)

    @property
    def sentence(self) -> str:
        """What a reader of the table must know."""
        if self.rows < 2:
            return "One row alone: there was nothing to choose from."
        dsr = "n/a" if math.isnan(self.dsr) else f"{self.dsr:.3f}"
        if self.pbo is None:
            return (
                f"Best of {self.rows:,} rows on {text.plural(self.markets, 'market')}, worth {self.trials:.0f} independent "
                f"trials all together: above luck with probability {dsr} (DSR)."
            )
        pbo = "n/a (too few days)" if math.isnan(self.pbo) else f"{100.0 * self.pbo:.0f} %"
        which = "Best" if self.markets == 1 else f"One row for {self.markets:,} markets: best"
        return (
            f"{which} of {self.rows:,} rows, worth {self.trials:.0f} independent trials: above luck with probability {dsr} "
            f"(DSR); the best in one half of the days ends in the worse half of the others in {pbo} of the cases (PBO)."
        )


def judgement(balance: float, daily: Floats, best: int) -> Judgement:
    """Return what the daily equity of rows says of one of them.

    Parameters
    ----------
    balance
        Before the first candle.
    daily
        (rows, days) float64, equity at the end of each UTC day.
    best
        Row that is judged.
    """
    returns = np.array([returns_of_days(balance, values) for values in daily]).T
    return judgement_of_returns(returns, best)


def judgement_of_returns(returns: Floats, best: int, *, markets: int = 1) -> Judgement:
    """Return what the daily returns of rows say of one of them.

    Parameters
    ----------
    returns
        (days, rows) float64, as fractions.
    best
        Row that is judged.
    markets
        Whose mean they are.
    """
    days, rows = returns.shape
    sharpes = sharpe_of(returns) if days > 2 else np.zeros(rows)
    sample, trials = SharpeSample.of(returns[:, best]), effective_trials(returns)
    return Judgement.of(sample, sharpes, trials, days=days, pbo=_pbo(returns), markets=markets)


def _pbo(returns: Floats) -> float:
    for blocks in _BLOCKS:
        try:
            return overfitting_probability(returns, blocks)
        except InvalidSettingError:
            continue
    return math.nan


def plateau(values: Floats, rows: Sequence[Mapping[str, object]]) -> int | None:
    """Return the row whose neighbours in the grid are best with it: a plateau holds where a peak is luck.

    Parameters
    ----------
    values
        (rows,) float64, the figure of each row, NaN where it did not run.
    rows
        The parameters of each; neighbours differ by one step in at most one numeric parameter.

    Returns
    -------
    int or None
        None where the grid has no neighbours.
    """
    names = [name for name in rows[0] if all(isinstance(row.get(name), int | float) for row in rows)]
    others = [name for name in rows[0] if name not in names]
    steps = {name: {value: k for k, value in enumerate(sorted({row[name] for row in rows}))} for name in names}  # type: ignore[type-var]
    places = {
        (*(steps[name][row[name]] for name in names), *(repr(row.get(name)) for name in others)): k
        for k, row in enumerate(rows)
    }
    best, chosen = -math.inf, None
    for place, k in places.items():
        around = [
            places.get((*place[:axis], place[axis] + step, *place[axis + 1 :]))  # type: ignore[operator]
            for axis in range(len(names))
            for step in (-1, 1)
        ]
        known = [values[one] for one in around if one is not None and math.isfinite(values[one])]
        if not known or not math.isfinite(values[k]):
            continue
        mean = float(np.mean([values[k], *known]))
        if mean > best:
            best, chosen = mean, k
    return chosen
