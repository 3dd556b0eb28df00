"""Notebook: a result as a compact table and one picture."""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING

from backtest.report import headline
from backtest.report.canvas import png
from backtest.report.charts import overview_chart
from backtest.report.metrics import statistics

if TYPE_CHECKING:
    from jinja2 import Template

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


_PAGE = """\
<div><p><b>{{ subject }}</b></p>
<p>Total return: <b>{{ interval }}</b> (below: {{ mode }})</p>
{% for sentence in alarms %}<p><b>{{ sentence }}</b></p>
{% endfor %}
<table><thead><tr><th></th><th>strategy</th><th>buy and hold</th><th></th><th>trades</th></tr></thead><tbody>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table>
<p>{{ said }}</p>
{% for sentence in warnings %}<p><b>Warning: </b>{{ sentence }}</p>
{% endfor %}
{% if picture %}<img src="data:image/png;base64,{{ picture }}" alt="Price, equity and drawdown">{% endif %}
</div>"""


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
    picture = base64.b64encode(png(overview_chart(tables), dpi=80)).decode() if tables.symbols else ""
    return _template().render(
        subject=headline.subject(tables),
        interval=headline.interval_line(tables),
        mode=tables.mode,
        alarms=headline.alarms(tables),
        rows=[_row(stats, tables.quote, *keys) for keys in _SHOWN],
        said=f"{headline.ambiguity(tables)} {headline.assumed(tables)}",
        warnings=tables.warnings,
        picture=picture,
    )


def _row(stats: Statistics, quote: str, left: str, right: str) -> list[str]:
    account, trades = stats.row(left), stats.row(right)
    return [account.name(quote), account.shown, account.hold_shown, trades.name(quote), trades.shown]


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, trim_blocks=True, undefined=StrictUndefined).from_string(_PAGE)
