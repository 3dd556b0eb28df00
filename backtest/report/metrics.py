"""Statistics of a run: its account beside buy and hold, its trades, its signals, and the venue's own figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.report.daily import DAY, daily_equity, simple_returns
from backtest.report.equity import EquityPath, drawdowns, equity_path, hold_path, longest_drawdown
from backtest.report.held import held_rows, opens_of
from backtest.report.marketplace import marketplace_rows
from backtest.report.signal_metrics import signal_rows
from backtest.report.statistic import SHORT, Statistic, Statistics, undefined
from backtest.report.trade_metrics import trade_rows
from backtest.report.yearly import YEAR, cagr, sharpe, sortino, volatility

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.report.tables import ResultTables

    Floats = NDArray[np.float64]

__all__ = ["YEAR", "account_figures", "exposure", "scaled_hold", "statistics"]

_ACCOUNT = {
    "initial_equity": ("Initial equity", "money", "balance of the profile before the first candle"),
    "final_equity": ("Final equity", "money", "equity at the last close; open positions at that price"),
    "total_return": ("Total return", "return", "final over initial equity, less 1"),
    "cagr": ("Return a year (CAGR)", "return", "the yearly growth that compounds to the total return, 365 days a year"),
    "volatility": ("Volatility a year", "fraction", "standard deviation of daily returns x sqrt(365)"),
    "sharpe": ("Sharpe ratio", "ratio", "mean over standard deviation of daily returns x sqrt(365), riskless rate 0"),
    "sortino": ("Sortino ratio", "ratio", "yearly mean of daily returns over their yearly downside deviation below 0"),
    "calmar": ("Calmar ratio", "ratio", "CAGR over the largest drawdown"),
    "max_drawdown": (
        "Largest drawdown",
        "return",
        "deepest fall below the highest close so far: at each close, and at the worst price of what was held all candle",
    ),
    "longest_drawdown": (
        "Longest drawdown",
        "ms",
        "longest time from a high to the close that regained it, or to the end",
    ),
    "exposure": ("Exposure", "fraction", "share of candles in which a position was held at some time"),
    "invested": ("Average invested", "fraction", "mean over the closes of the positions' notional over equity"),
}
_YEARLY = ("cagr", "volatility", "sharpe", "sortino", "calmar")
_BESIDE = {
    "hold_at_exposure": (
        "Hold, as much invested",
        "buy and hold of the average that the strategy had invested, the rest in cash, rebalanced daily",
    ),
    "hold_at_volatility": (
        "Hold, as volatile",
        "buy and hold of the share that is as volatile as the strategy, the rest in cash, rebalanced daily",
    ),
}


def statistics(tables: ResultTables) -> Statistics:
    """Return every statistic of a run.

    Ratios come from the returns of UTC days (a day without candles keeps its equity), 365 days a year. Buy and hold buys
    the same candles at their first open, equal parts, without costs.
    """
    path, held = equity_path(tables), hold_path(tables)
    ours, reasons = account_figures(tables.balance, tables.span[0], path)
    hold, _ = account_figures(tables.balance, tables.span[0], held)
    some = len(path.time) > 0
    ours["exposure"], hold["exposure"] = exposure(tables), (1.0 if some else None)
    ours["invested"], hold["invested"] = (float(one.invested.mean()) if some else None for one in (path, held))
    reasons |= {key: "no candles" for key in ("exposure", "invested") if ours[key] is None}
    rows = [
        Statistic(key, label, ours[key], unit, what, "Account", hold[key], reasons.get(key, ""))
        for key, (label, unit, what) in _ACCOUNT.items()
    ]
    scope = max((tables.span[1] - tables.span[0]) / DAY, 0.0)
    rows += trade_rows(tables.trades)
    rows += signal_rows(tables)
    rows += _beside(tables, path, held)
    rows += marketplace_rows(tables.trades, scope)
    return Statistics(tuple(rows), tables.interval, tables.mode)


def account_figures(initial: float, start: int, path: EquityPath) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the figures of an equity path by key, and the reasons of those that have none.

    Parameters
    ----------
    initial
        Equity at ``start`` (UTC ms), before the first candle.
    start
        Open of the first candle.
    path
        Equity at every close, and what it fell to in between.
    """
    figures: dict[str, float | None] = dict.fromkeys(_ACCOUNT)
    figures["initial_equity"] = initial
    _, values = daily_equity(path.time, path.close)
    if len(values) == 0:
        return figures, dict.fromkeys(_ACCOUNT, "no candles") | {"initial_equity": ""}
    figures["final_equity"] = undefined(values[-1])
    figures["total_return"] = undefined(values[-1] / initial - 1.0)
    figures["max_drawdown"] = float(drawdowns(initial, path.close, path.worst).min())
    figures["longest_drawdown"] = longest_drawdown(initial, start, path.time, path.close)
    reasons = _ratios(figures, simple_returns(initial, values) if (values > 0.0).all() else None, len(values))
    return figures, reasons


def exposure(tables: ResultTables) -> float | None:
    """Return the share of candles (of all symbols' times together) in which a position was held, None without any."""
    line = opens_of(tables)
    return float(np.mean(held_rows(tables, line))) if len(line) else None


def scaled_hold(initial: float, path: EquityPath, held: EquityPath) -> dict[str, tuple[float, Floats]]:
    """Return buy and hold made comparable: the share invested, and (days,) its growth from 1, rebalanced daily.

    Parameters
    ----------
    initial
        Equity before the first row of both.
    path, held
        Of the strategy, and of buy and hold over the same closes.

    Returns
    -------
    By key, ``hold_at_exposure`` (as much invested on the average) and ``hold_at_volatility`` (as volatile by the day);
    a key is missing where its share is not defined.
    """
    ours, theirs = (daily_equity(one.time, one.close)[1] for one in (path, held))
    if not len(ours):
        return {}
    returns = simple_returns(initial, theirs)
    shares = {"hold_at_exposure": float(path.invested.mean())}
    if len(ours) > 1 and (ours > 0.0).all() and np.ptp(returns) > 0.0:
        with np.errstate(over="ignore"):
            spread, hold_spread = np.std(simple_returns(initial, ours), ddof=1), np.std(returns, ddof=1)
        shares["hold_at_volatility"] = float(spread / hold_spread)
    found = {}
    for key, share in shares.items():
        with np.errstate(over="ignore", invalid="ignore"):
            growth: Floats = np.cumprod(np.maximum(1.0 + share * returns, 0.0), dtype=np.float64)
        if np.isfinite(growth).all():
            found[key] = share, growth
    return found


def _beside(tables: ResultTables, path: EquityPath, held: EquityPath) -> list[Statistic]:
    """Return what buy and hold returned when it was made comparable."""
    found = scaled_hold(tables.balance, path, held)
    rows = []
    for key, (label, what) in _BESIDE.items():
        value, reason, note = None, "not defined for this equity" if len(path.time) else "no candles", ""
        if key in found:
            share, growth = found[key]
            value, reason, note = float(growth[-1]) - 1.0, "", f"{100.0 * share:.1f} % invested"
        rows.append(Statistic(key, label, value, "return", what, "Hold, scaled", None, reason, note))
    return rows


def _ratios(figures: dict[str, float | None], returns: Floats | None, days: int) -> dict[str, str]:
    """Write the yearly figures of daily returns beside the others; return the reasons of those without a value."""
    if returns is None:
        return dict.fromkeys(_YEARLY, "equity fell to 0 or below, and returns need it above")
    if days < SHORT:
        return dict.fromkeys(_YEARLY, f"needs {SHORT} days, had {days}")
    depth = figures["max_drawdown"] or 0.0
    with np.errstate(all="ignore"):
        growth = cagr(returns)
        figures["cagr"] = undefined(growth)
        figures["volatility"] = undefined(volatility(returns))
        if np.ptp(returns) > 0.0:
            figures["sharpe"] = undefined(sharpe(returns))
        if (returns < 0.0).any():
            figures["sortino"] = undefined(sortino(returns))
        if depth < 0.0:
            figures["calmar"] = undefined(growth / -depth)
    why = {
        "sharpe": "every day returned the same",
        "sortino": "no day lost",
        "calmar": "there was no drawdown",
    }
    return {key: why.get(key, "too large to compute") for key in _YEARLY if figures[key] is None}
