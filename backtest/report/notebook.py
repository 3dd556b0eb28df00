"""Notebook: a result as a compact table and one picture."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from backtest.report import headline
from backtest.report.canvas import png
from backtest.report.charts import overview_chart
from backtest.report.html import Html, table, tag
from backtest.report.metrics import statistics

if TYPE_CHECKING:
    from backtest.report.statistic import Statistics
    from backtest.report.tables import ResultTables

__all__ = ["repr_html"]

_SHOWN = (
    ("total_return", "trades"),
    ("cagr", "open_trades"),
    ("sharpe", "win_rate"),
    ("sortino", "profit_factor"),
    ("max_drawdown", "expectancy"),
    ("exposure", "average_holding"),
)


def repr_html(tables: ResultTables, stats: Statistics | None = None) -> str:
    """Return what a notebook shows of a result: the interval, twelve figures, warnings, and the overview as PNG.

    Every name is escaped, and nothing is loaded from elsewhere.

    Parameters
    ----------
    tables
        The result.
    stats
        Its statistics, where they were computed before.
    """
    stats = stats or statistics(tables)
    parts: list[Html | str] = [
        tag("p", tag("b", headline.subject(tables))),
        tag("p", "Total return: ", tag("b", headline.interval_line(tables)), f" (below: {tables.mode})"),
        *(tag("p", tag("b", sentence)) for sentence in headline.alarms(tables)),
        table(
            ["", "strategy", "buy and hold", "", "trades"],
            [_row(stats, tables.quote, *keys) for keys in _SHOWN],
            right=(1, 2, 4),
        ),
        tag("p", f"{headline.ambiguity(tables)} {headline.assumed(tables)}"),
        *(tag("p", tag("b", "Warning: "), sentence) for sentence in tables.warnings),
    ]
    if tables.symbols:
        data = base64.b64encode(png(overview_chart(tables), dpi=80)).decode()
        parts.append(tag("img", src=f"data:image/png;base64,{data}", alt="Price, equity and drawdown"))
    return str(tag("div", *parts))


def _row(stats: Statistics, quote: str, left: str, right: str) -> list[Html | str]:
    account, trades = stats.row(left), stats.row(right)
    return [account.name(quote), account.shown, account.hold_shown, trades.name(quote), trades.shown]
