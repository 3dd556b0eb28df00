"""Page: a whole result as one HTML file that asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from backtest.report import headline, text
from backtest.report.canvas import svg
from backtest.report.charts import account_chart, price_chart
from backtest.report.html import Html, details, join, table, tag
from backtest.report.metrics import statistics
from backtest.report.page_lists import calls_part, signals_part, trades_part
from backtest.report.page_origin import origin_part
from backtest.report.style import CSS

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure

    from backtest.report.statistic import Statistics
    from backtest.report.tables import ResultTables

__all__ = ["page_html", "write_page"]

_PARTS = ("figures", "charts", "trades", "signals", "calls", "origin")
_LAST = 12
"""Trades in the close-up of the price."""
_PRICES = 6
"""Symbols whose whole price is drawn."""


def write_page(tables: ResultTables, path: str | os.PathLike[str], stats: Statistics | None = None) -> None:
    """Write a result as one self-contained HTML file, in whole or not at all.

    The same tables give the same bytes (for one version of matplotlib). The page holds no script, loads nothing and
    forbids itself to (Content-Security-Policy), so it can be sent to anyone.

    Parameters
    ----------
    tables
        The result.
    path
        Where the page is written.
    stats
        Its statistics, where they were computed before.

    Raises
    ------
    StorageError
        Where the disk refuses.
    """
    from backtest.market_data.disk import write_atomic

    write_atomic(path, page_html(tables, stats).encode(errors="xmlcharrefreplace"))


def page_html(tables: ResultTables, stats: Statistics | None = None) -> str:
    """Return the page's text; ``stats`` where they were computed before.

    Parameters
    ----------
    tables
        The result.
    stats
        Its statistics, where they were computed before.
    """
    stats = stats or statistics(tables)
    links = tag("nav", *(tag("a", name.capitalize(), href=f"#{name}") for name in _PARTS))
    parts = [
        _top(tables),
        links,
        _figures(stats, tables.quote),
        _luck(tables),
        _charts(tables),
        trades_part(tables),
        signals_part(tables),
        calls_part(tables),
        origin_part(tables),
    ]
    return f"<!doctype html>\n{tag('html', _head(tables), tag('body', tag('main', *parts)), lang='en')}\n"


def _luck(tables: ResultTables) -> Html:
    """Return what chance alone would have given; nothing where it was not asked."""
    lines = tables.manifest.get("luck") or ()
    if not lines:
        return Html("")
    return join([tag("h2", "Luck", id="luck"), *(tag("p", str(line)) for line in lines)])


def _head(tables: ResultTables) -> Html:
    digest = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("link", rel="icon", href="data:,"),
        tag("title", headline.subject(tables)),
        tag("style", Html(CSS)),
    )


def _top(tables: ResultTables) -> Html:
    doc = str((tables.manifest.get("strategy") or {}).get("doc") or "")
    return join(
        [
            tag("h1", tables.name),
            tag("p", headline.scope(tables), class_="subject"),
            tag("p", doc) if doc else "",
            _interval(tables),
            *(tag("p", tag("b", sentence), class_="warning") for sentence in headline.alarms(tables)),
            tag("p", headline.ambiguity(tables)),
            tag("p", headline.assumed(tables)),
            *(tag("p", sentence) for sentence in headline.planned(tables)),
            *(tag("p", sentence) for sentence in headline.checked(tables)),
            *(tag("p", tag("b", "Warning: "), sentence, class_="warning") for sentence in tables.warnings),
        ]
    )


def _interval(tables: ResultTables) -> Html:
    """Return the interval, and a box for each reading of the candles, the lowest first: never one figure."""
    if tables.interval is None:
        return tag("p", f"Total return: {headline.interval_line(tables)}.", class_="warning")
    says = {
        "pessimistic": "the worse path inside each candle",
        "candle": "the path that the candle's colour suggests",
        "optimistic": "the better path inside each candle",
    }
    boxes = [
        tag(
            "div",
            tag("span", f"Total return, {mode}"),
            tag("b", text.percent(getattr(tables.interval, mode), signed=True)),
            tag("span", says[mode] + (" (all figures below)" if mode == tables.mode else "")),
            class_="mode chosen" if mode == tables.mode else "mode",
        )
        for mode in tables.interval.by_return
    ]
    return join(
        [
            tag("p", "Total return ", tag("b", tables.interval.shown(tables.mode)), class_="between"),
            tag("div", *boxes, class_="interval"),
        ]
    )


def _figures(stats: Statistics, quote: str) -> Html:
    titles = {"Marketplace": "As the venue's marketplace counts: not compounded, closed signals only"}
    parts: list[Html | str] = [tag("h2", "Figures", id="figures"), tag("p", stats.interval_sentence, class_="soft")]
    for group, rows in stats.groups.items():
        held = any(row.hold is not None for row in rows)
        head = ["", "strategy", *(["buy and hold"] if held else []), ""]
        lines = [
            [row.name(quote), row.shown, *([row.hold_shown] if held else []), row.definition + row.aside]
            for row in rows
        ]
        parts += [
            tag("h3", titles.get(group, group)),
            tag("div", table(head, lines, right=range(1, 2 + held)), class_="figures"),
        ]
    return join(parts)


def _charts(tables: ResultTables) -> Html:
    parts: list[Html | str] = [tag("h2", "Charts", id="charts"), tag("p", "All times are UTC.", class_="soft")]
    parts.append(_picture(account_chart(tables), "Equity, growth beside buy and hold, and drawdown"))
    traded = set(tables.trades["symbol"])
    for symbol in tables.symbols[:_PRICES]:
        parts.append(_picture(price_chart(tables, symbol), f"Price of {symbol} with entries, targets, stops and exits"))
        if symbol in traded:
            close = _picture(price_chart(tables, symbol, last=_LAST), f"The last trades in {symbol}, with their levels")
            parts.append(
                details(f"{symbol}: the last {_LAST} trades with their targets (dotted) and stops (lines)", close)
            )
    if len(tables.symbols) > _PRICES:
        parts.append(tag("p", f"{len(tables.symbols) - _PRICES} more symbols are not drawn.", class_="soft"))
    return join(parts)


def _picture(figure: Figure, says: str) -> Html:
    data = base64.b64encode(svg(figure).encode()).decode()
    return tag("div", tag("img", src=f"data:image/svg+xml;base64,{data}", alt=says), class_="chart")
