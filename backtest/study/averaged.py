"""Averaged: the daily returns of rows, averaged over markets that come one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int32]

__all__ = ["MeanReturns", "mean_returns"]


class MeanReturns:
    """Daily returns of rows, as of one account that holds all markets in equal parts, made equal again each day.

    Kept is a number for each day and row, however many markets there are.

    Parameters
    ----------
    rows
        How many.

    Attributes
    ----------
    first
        Number of the first day.
    sums, counts
        (days, rows): of returns, and of the markets they are of.
    """

    def __init__(self, rows: int) -> None:
        self.first = 0
        self.sums: Floats = np.zeros((0, rows))
        self.counts: Counts = np.zeros((0, rows), np.int32)

    def add(self, returns: Floats, rows: Sequence[int], first_day: int) -> None:
        """Add a market.

        Parameters
        ----------
        returns
            (days, len(rows)) float64, as fractions.
        rows
            Those that ran on it.
        first_day
            Number of the first day, on a calendar that all markets share.
        """
        self.reach(first_day, first_day + len(returns))
        at = slice(first_day - self.first, first_day - self.first + len(returns))
        self.sums[at, rows] += returns
        self.counts[at, rows] += 1

    def reach(self, low: int, high: int) -> None:
        """Make room for days."""
        days, rows = self.sums.shape
        if days and self.first <= low and high <= self.first + days:
            return
        if days:
            low, high = min(low, self.first), max(high, self.first + days)
        sums, counts = np.zeros((high - low, rows)), np.zeros((high - low, rows), np.int32)
        if days:
            at = slice(self.first - low, self.first - low + days)
            sums[at], counts[at] = self.sums, self.counts
        self.first, self.sums, self.counts = low, sums, counts


def mean_returns(parts: Sequence[MeanReturns]) -> Floats:
    """Return (days, rows) float64, the rows of several side by side; NaN for a row that ran on no market.

    A day counts where each of the other rows has a return on it: on the markets that have that day and on which the row ran.
    """
    rows = sum(one.sums.shape[1] for one in parts)
    held = [one for one in parts if len(one.sums)]
    if not held:
        return np.full((0, rows), np.nan)
    low, high = min(one.first for one in held), max(one.first + len(one.sums) for one in held)
    for one in parts:
        one.reach(low, high)
    sums = np.concatenate([one.sums for one in parts], axis=1)
    counts = np.concatenate([one.counts for one in parts], axis=1)
    ran = np.flatnonzero(counts.any(axis=0))
    whole = np.flatnonzero((counts[:, ran] > 0).all(axis=1))
    means = np.full((len(whole), rows), np.nan)
    means[:, ran] = sums[np.ix_(whole, ran)] / counts[np.ix_(whole, ran)]
    return means
