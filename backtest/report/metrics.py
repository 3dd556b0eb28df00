"""Statistics of a run: its account beside buy and hold, its trades, and the venue's own marketplace figures."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.report import text
from backtest.report.daily import DAY, daily_equity, drawdowns, hold_curve, longest_drawdown, simple_returns
from backtest.report.marketplace import marketplace_rows
from backtest.report.statistic import Statistic, Statistics, undefined
from backtest.report.trade_metrics import trade_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.report.tables import ResultTables

    Floats = NDArray[np.float64]

__all__ = ["YEAR", "account_figures", "exposure", "statistics"]

YEAR = 365
"""Days of a year: these markets never close."""

_SHORT = 90
"""Below so many days a yearly return says more about the year than about the run."""

_ACCOUNT = {
    "initial_equity": ("Initial equity", "money", "balance of the profile before the first candle"),
    "final_equity": ("Final equity", "money", "equity at the last close; open positions at that price"),
    "total_return": ("Total return", "return", "final over initial equity, less 1"),
    "cagr": ("Return a year (CAGR)", "return", "the yearly growth that compounds to the total return, 365 days a year"),
    "volatility": ("Volatility a year", "fraction", "standard deviation of daily returns x sqrt(365)"),
    "sharpe": ("Sharpe ratio", "ratio", "mean over standard deviation of daily returns x sqrt(365), riskless rate 0"),
    "sortino": ("Sortino ratio", "ratio", "yearly mean of daily returns over their yearly downside deviation below 0"),
    "calmar": ("Calmar ratio", "ratio", "CAGR over the largest drawdown"),
    "max_drawdown": ("Largest drawdown", "return", "deepest fall of daily equity below an earlier high"),
    "longest_drawdown": ("Longest drawdown", "days", "most days in a row that ended below an earlier high"),
    "exposure": ("Exposure", "fraction", "share of candles in which a position was held at some time"),
}


def statistics(tables: ResultTables) -> Statistics:
    """Return every statistic of a run.

    Ratios come from the returns of UTC days (a day without candles keeps its equity), 365 days a year, through
    empyrical. Buy and hold buys the same candles at their first open, equal parts, without costs.
    """
    time = tables.equity["time"].to_numpy(np.int64)
    ends, values = daily_equity(time, tables.equity["equity"].to_numpy(np.float64))
    ours, reasons = account_figures(tables.balance, values)
    hold, _ = account_figures(tables.balance, hold_curve(tables, ends))
    ours["exposure"], hold["exposure"] = exposure(tables), (1.0 if len(ends) else None)
    reasons["exposure"] = "" if len(ends) else "no candles"
    notes = dict.fromkeys(("cagr", "calmar"), f"from {text.plural(len(ends), 'day')}") if len(ends) < _SHORT else {}
    rows = [
        Statistic(key, label, ours[key], unit, what, "Account", hold[key], reasons.get(key, ""), notes.get(key, ""))
        for key, (label, unit, what) in _ACCOUNT.items()
    ]
    scope = max((tables.span[1] - tables.span[0]) / DAY, 0.0)
    rows += trade_rows(tables.trades)
    rows += marketplace_rows(tables.trades, scope)
    return Statistics(tuple(rows), tables.interval, tables.mode)


def account_figures(initial: float, values: Floats) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the figures of a daily equity curve by key, and the reasons of those that have none.

    Parameters
    ----------
    initial
        Equity before the first day.
    values
        (d,) equity at the end of each day, no day left out.
    """
    figures: dict[str, float | None] = dict.fromkeys(_ACCOUNT)
    figures["initial_equity"] = initial
    if len(values) == 0:
        return figures, dict.fromkeys(_ACCOUNT, "no candles") | {"initial_equity": ""}
    figures["final_equity"] = undefined(values[-1])
    figures["total_return"] = undefined(values[-1] / initial - 1.0)
    if not (values > 0.0).all():
        reason = "equity fell to 0 or below, and returns need it above"
        return figures, {key: reason for key, one in figures.items() if one is None}
    figures["longest_drawdown"] = longest_drawdown(drawdowns(initial, values))
    found = _ratios(simple_returns(initial, values))
    figures |= {key: undefined(one) for key, one in found.items()}
    return figures, _reasons(figures, len(values))


def exposure(tables: ResultTables) -> float | None:
    """Return the share of candles (of all symbols' times together) in which a position was held, None without any."""
    times = [tables.column(symbol, "time") for symbol in tables.symbols]
    line = times[0] if len(times) == 1 else np.unique(np.concatenate([*times, np.empty(0, np.int64)]))
    if len(line) == 0:
        return None
    first = np.searchsorted(line, tables.trades["entry_time"].to_numpy(np.int64), "right") - 1
    left = tables.trades["exit_time"].to_numpy(np.int64)
    last = np.where(left < 0, len(line) - 1, np.searchsorted(line, left, "right") - 1)
    steps = np.zeros(len(line) + 1, np.int64)
    np.add.at(steps, np.maximum(first, 0), 1)
    np.add.at(steps, np.maximum(last, 0) + 1, -1)
    return float(np.mean(np.cumsum(steps[:-1]) > 0))


def _ratios(returns: Floats) -> dict[str, float]:
    stats = _empyrical()
    figures = {"max_drawdown": stats.max_drawdown(returns)}
    if len(returns) < 2:
        return figures
    with np.errstate(all="ignore"):
        figures["cagr"] = stats.cagr(returns, annualization=YEAR)
        figures["volatility"] = stats.annual_volatility(returns, annualization=YEAR)
        if np.ptp(returns) > 0.0:
            figures["sharpe"] = stats.sharpe_ratio(returns, annualization=YEAR)
        if (returns < 0.0).any():
            figures["sortino"] = stats.sortino_ratio(returns, annualization=YEAR)
        if figures["max_drawdown"] < 0.0:
            figures["calmar"] = stats.calmar_ratio(returns, annualization=YEAR)
    return figures


def _reasons(figures: dict[str, float | None], days: int) -> dict[str, str]:
    why = {
        "sharpe": "every day returned the same",
        "sortino": "no day lost",
        "calmar": "there was no drawdown",
    }
    short = "needs two days or more" if days < 2 else ""
    missing = [key for key, one in figures.items() if one is None]
    return {key: short or why.get(key, "too large to compute") for key in missing}


@cache
def _empyrical() -> Any:
    """Import empyrical, which takes a second or two, without the downloaders that it loads where it finds them."""
    unwanted = [name for name in ("pandas_datareader", "yfinance") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unwanted))  # type: ignore[arg-type]  # None: importing it fails
    try:
        from empyrical import stats
    finally:
        for name in unwanted:
            del sys.modules[name]
    return stats
