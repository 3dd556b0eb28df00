"""Marketplace: the figures by which the venue ranks providers, as its analytics pages define them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from backtest.report.daily import DAY
from backtest.report.statistic import SHORT, Statistic

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["marketplace_rows"]

_FIGURES = {
    "cumulative": ("Cumulative", "return", "sum over closed signals of PnL x invested fraction, not compounded"),
    "monthly_return": ("Monthly return", "return", "cumulative over the months in scope, a month being 365/12 days"),
    "win_ratio": ("Win ratio", "fraction", "closed signals with PnL above 0 over closed signals"),
    "daily_drawdown": ("Drawdown", "return", "largest loss over capital of the signals closed on one UTC day"),
    "signals": ("Signals", "count", "number of signals closed"),
    "frequency": ("Frequency", "per day", "signals closed, over the days in scope"),
}


def marketplace_rows(trades: pd.DataFrame, days: float) -> list[Statistic]:
    """Return the venue's own figures for the closed trades over ``days`` in scope (first open to last close).

    The monthly return needs 90 days. They do not compound and do not mark open positions, so they differ from the account's.

    Parameters
    ----------
    trades
        One row a trade, closed or open.
    days
        In scope: first open to last close.
    """
    closed = trades[~trades["open"].to_numpy(bool)]
    share = closed["return"].to_numpy(np.float64) * closed["invest"].to_numpy(np.float64)
    wins = int((closed["pnl"].to_numpy(np.float64) > 0.0).sum())
    cumulative = float(share.sum())
    figures: dict[str, float | None] = {
        "cumulative": cumulative,
        "monthly_return": cumulative / (days * 12.0 / 365.0) if days >= SHORT else None,
        "win_ratio": wins / len(closed) if len(closed) else None,
        "daily_drawdown": _worst_day(closed["exit_time"].to_numpy(np.int64), share),
        "signals": len(closed),
        "frequency": len(closed) / days if days > 0.0 else None,
    }
    reasons = {"win_ratio": "no signal was closed"}
    if days > 0.0:
        reasons["monthly_return"] = f"needs {SHORT} days, had {math.floor(days * 10.0) / 10.0:g}"
    return [
        Statistic(
            key,
            label,
            figures[key],
            unit,
            definition,
            "Marketplace",
            reason="" if figures[key] is not None else reasons.get(key, "no candles"),
        )
        for key, (label, unit, definition) in _FIGURES.items()
    ]


def _worst_day(
    closed_at: np.ndarray[tuple[int], np.dtype[np.int64]], share: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> float:
    if len(share) == 0:
        return 0.0
    _, group = np.unique(closed_at // DAY, return_inverse=True)
    return min(0.0, float(np.bincount(group, share).min()))
