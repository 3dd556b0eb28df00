"""Quality: single figures of the trades and of the daily returns that the statistics leave out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from backtest.report.daily import DAY, daily_equity, simple_returns
from backtest.report.equity import drawdowns, equity_path, hold_path
from backtest.report.statistic import SHORT, Statistic

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from backtest.report.tables import ResultTables

    Floats = NDArray[np.float64]

__all__ = ["quality_rows"]

_YEAR = 365

_FIGURES = {
    "payoff": ("Payoff", "ratio", "mean PnL of winners over mean loss of losers, closed trades, after costs"),
    "sqn": (
        "SQN",
        "ratio",
        "system quality number: sqrt(trades) x mean over standard deviation of PnL, closed trades (Van Tharp)",
    ),
    "average_r": ("Average R", "ratio", "mean of PnL after costs over the risk at the first stop, of closed trades"),
    "average_mae": ("Average MAE", "return", "mean of how far closed trades went against their average entry"),
    "average_mfe": ("Average MFE", "return", "mean of how far closed trades went for their average entry"),
    "kept": (
        "Kept of MFE",
        "fraction",
        "sum of the exits' price moves over sum of the MFE, closed trades, before costs",
    ),
    "omega": ("Omega", "ratio", "sum of gains over sum of losses of daily returns, threshold 0"),
    "beta": ("Beta", "ratio", "covariance with buy and hold over its variance, daily returns"),
    "alpha": (
        "Alpha a year",
        "return",
        "(mean daily return less beta x that of buy and hold) x 365, riskless rate 0",
    ),
    "average_drawdown": ("Average drawdown", "return", "mean depth of the falls below the highest close, at closes"),
    "drawdown_count": ("Drawdowns", "count", "falls below the highest close, at closes"),
    "turnover": ("Turnover a year", "ratio", "price x quantity of all fills, over mean equity and years"),
}


def quality_rows(tables: ResultTables, moved: pd.DataFrame) -> list[Statistic]:
    """Return single figures of a run; each is None, with the reason, where it is not defined.

    Parameters
    ----------
    tables
        The result.
    moved
        Of :func:`backtest.report.excursions.excursions`.
    """
    figures: dict[str, float | None] = dict.fromkeys(_FIGURES)
    reasons: dict[str, str] = {}
    _of_trades(tables, moved, figures, reasons)
    _of_days(tables, figures, reasons)
    _of_account(tables, figures, reasons)
    return [
        Statistic(
            key, label, figures[key], unit, what, "Quality", reason=reasons.get(key, "") if figures[key] is None else ""
        )
        for key, (label, unit, what) in _FIGURES.items()
    ]


def _of_trades(
    tables: ResultTables, moved: pd.DataFrame, figures: dict[str, float | None], reasons: dict[str, str]
) -> None:
    keys = ("payoff", "sqn", "average_r", "average_mae", "average_mfe", "kept")
    closed = ~tables.trades["open"].to_numpy(bool)
    if not closed.any():
        reasons |= dict.fromkeys(keys, "no trade was closed")
        return
    pnl = tables.trades["pnl"].to_numpy(np.float64)[closed]
    won, lost = pnl[pnl > 0.0], pnl[pnl < 0.0]
    if len(won) and len(lost):
        figures["payoff"] = float(won.mean() / -lost.mean())
    else:
        reasons["payoff"] = "no closed trade lost" if len(won) else "no closed trade won"
    if len(pnl) > 1 and np.ptp(pnl) > 0.0:
        figures["sqn"] = float(np.sqrt(len(pnl)) * pnl.mean() / pnl.std(ddof=1))
    else:
        reasons["sqn"] = "needs two trades that differ"
    risked = moved["r"].to_numpy(np.float64, na_value=np.nan)[closed]
    risked = risked[np.isfinite(risked)]
    if len(risked):
        figures["average_r"] = float(risked.mean())
    else:
        reasons["average_r"] = "no trade had a stop beyond its entry"
    adverse, favourable = (moved[name].to_numpy(np.float64)[closed] for name in ("mae", "mfe"))
    figures["average_mae"], figures["average_mfe"] = float(adverse.mean()), float(favourable.mean())
    entry, left, side = (
        tables.trades[name].to_numpy(np.float64)[closed] for name in ("average_entry", "average_exit", "side")
    )
    if favourable.sum() > 0.0:
        figures["kept"] = float((side * (left / entry - 1.0)).sum() / favourable.sum())
    else:
        reasons["kept"] = "no trade ever stood above its entry"


def _of_days(tables: ResultTables, figures: dict[str, float | None], reasons: dict[str, str]) -> None:
    keys = ("omega", "beta", "alpha")
    path, held = equity_path(tables), hold_path(tables)
    ours, theirs = (daily_equity(one.time, one.close)[1] for one in (path, held))
    if len(ours) < SHORT:
        reasons |= dict.fromkeys(keys, f"needs {SHORT} days, had {len(ours)}")
        return
    if not (ours > 0.0).all():
        reasons |= dict.fromkeys(keys, "equity fell to 0 or below, and returns need it above")
        return
    with np.errstate(all="ignore"):
        mine, market = simple_returns(tables.balance, ours), simple_returns(tables.balance, theirs)
        lost = -float(mine[mine < 0.0].sum())
        _put(figures, reasons, "omega", float(mine[mine > 0.0].sum()) / lost if lost > 0.0 else None, "no day lost")
        spread = float(np.var(market, ddof=1))
        if spread > 0.0 and np.isfinite(spread):
            beta = float(np.cov(mine, market, ddof=1)[0, 1]) / spread
            _put(figures, reasons, "beta", beta, "too large to compute")
            _put(figures, reasons, "alpha", float(mine.mean() - beta * market.mean()) * _YEAR, "too large to compute")
        else:
            reasons |= dict.fromkeys(("beta", "alpha"), "buy and hold returned the same every day")


def _put(figures: dict[str, float | None], reasons: dict[str, str], key: str, value: float | None, why: str) -> None:
    if value is not None and np.isfinite(value):
        figures[key] = value
    else:
        reasons[key] = why


def _of_account(tables: ResultTables, figures: dict[str, float | None], reasons: dict[str, str]) -> None:
    path = equity_path(tables)
    depth = drawdowns(tables.balance, path.close)
    under = np.r_[False, depth < 0.0, False]
    edges = np.flatnonzero(under[1:] != under[:-1])
    depths = [float(depth[a:b].min()) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    figures["drawdown_count"] = len(depths)
    figures["average_drawdown"] = sum(depths) / len(depths) if depths else None
    reasons["average_drawdown"] = "there was no drawdown" if len(path.close) else "no candles"
    days = (tables.span[1] - tables.span[0]) / DAY
    mean = float(path.close.mean()) if len(path.close) else 0.0
    traded = float((tables.fills["price"] * tables.fills["quantity"]).sum())
    if days < SHORT:
        reasons["turnover"] = f"needs {SHORT} days, had {math.floor(days * 10.0) / 10.0:g}"
    elif mean <= 0.0:
        reasons["turnover"] = "mean equity is not above 0"
    else:
        figures["turnover"] = traded / mean / (days / _YEAR)
