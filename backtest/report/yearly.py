"""Yearly: figures a year of daily returns, the riskless rate 0.

(n,) float64 returns as fractions in, numbers out; NaN or infinite where a figure is not defined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["YEAR", "cagr", "sharpe", "sortino", "volatility"]

YEAR = 365
"""Days of a year: these markets never close."""


def cagr(returns: Floats) -> float:
    """Return the yearly growth that compounds to the total of daily returns.

    Examples
    --------
    >>> round(cagr(np.full(730, 1.21 ** (1 / 730) - 1)), 12)
    0.1
    """
    return float(np.prod(returns + 1.0) ** (YEAR / len(returns)) - 1.0)


def volatility(returns: Floats) -> float:
    """Return the standard deviation (n - 1) of daily returns, times the root of a year's days."""
    return float(np.std(returns, ddof=1) * np.sqrt(YEAR))


def sharpe(returns: Floats) -> float:
    """Return mean over standard deviation of daily returns, times the root of a year's days.

    Source: Sharpe, The Sharpe Ratio, Journal of Portfolio Management 21 (1994).
    """
    return float(np.mean(returns) / np.std(returns, ddof=1) * np.sqrt(YEAR))


def sortino(returns: Floats) -> float:
    """Return the yearly mean of daily returns over their yearly downside deviation below 0, over all days.

    Source: Sortino and Price, Performance Measurement in a Downside Risk Framework, Journal of Investing 3 (1994).
    """
    downside = np.sqrt(np.mean(np.square(np.minimum(returns, 0.0)))) * np.sqrt(YEAR)
    return float(np.mean(returns) * YEAR / downside)
