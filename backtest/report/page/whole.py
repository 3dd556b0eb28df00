"""The whole page: verdict, chart, figures, sections, trades, signals, calls and origin in one file."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from backtest.report import headline, text
from backtest.report.canvas import svg
from backtest.report.chart import chart_of, pack, scripts, sheet
from backtest.report.chart.packing import pack_plain
from backtest.report.charts import account_chart, price_chart
from backtest.report.metrics import statistics
from backtest.report.page.lists import last_calls, refused_table, signal_steps, trades_table
from backtest.report.page.origin import origin_section
from backtest.report.page.verdict import facts, grave, notes, readings
from backtest.report.policy import policy_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from jinja2 import Environment
    from matplotlib.figure import Figure

    from backtest.report.page.section import Section
    from backtest.report.statistic import Statistics
    from backtest.report.tables import ResultTables

__all__ = ["asset", "environment", "page_html", "write_page"]

_HERE = Path(__file__).parent
_STATIC = 12
"""Rows of a long table that stand in the page itself, for print and without scripts."""
_LONG = 60
_MARKED = 600
"""Fills up to which the still picture of the price marks them."""


def write_page(
    tables: ResultTables,
    path: str | os.PathLike[str],
    stats: Statistics | None = None,
    sections: Sequence[Section] = (),
) -> None:
    """Write a result as one self-contained HTML file, in whole or not at all.

    The same tables give the same bytes (for one version of matplotlib and zlib). The page loads nothing and forbids itself
    to (Content-Security-Policy; its scripts are allowed by their hashes), so it can be sent to anyone.

    Parameters
    ----------
    tables
        The result.
    path
        Where the page is written.
    stats
        Its statistics, where they were computed before.
    sections
        Further parts, shown between figures and trades.

    Raises
    ------
    StorageError
        Where the disk refuses.
    """
    from backtest.market_data.disk import write_atomic

    write_atomic(path, page_html(tables, stats, sections).encode(errors="xmlcharrefreplace"))


def page_html(tables: ResultTables, stats: Statistics | None = None, sections: Sequence[Section] = ()) -> str:
    """Return the page's text.

    Parameters
    ----------
    tables
        The result.
    stats
        Its statistics, where they were computed before.
    sections
        Further parts, shown between figures and trades.
    """
    stats = stats or statistics(tables)
    trades, lives, origin = trades_table(tables), signal_steps(tables), origin_section(tables)
    refused = [refused_table(tables)] if tables.refused else []
    numbers = {str(name): k for k, name in enumerate(dict.fromkeys(tables.events["signal"]), 1)}
    further = [replace(one, numbers=numbers) for one in sections if one.tables or one.about]
    listed = [trades, *refused, *(table for one in (*further, origin) for table in one.made)]
    said = notes(tables)
    has_chart = any(len(frame) for frame in tables.candles.values())
    style, own = asset("page.css") + sheet(), asset("page.js")
    code = [*scripts(), own]
    return environment().get_template("page.html").render(
        title=headline.subject(tables),
        tables=tables,
        scope=headline.scope(tables),
        doc=str((tables.manifest.get("strategy") or {}).get("doc") or ""),
        interval=None if tables.interval is None else tables.interval.shown(tables.mode),
        no_interval=headline.interval_line(tables),
        readings=readings(tables),
        facts=facts(tables),
        grave=grave(tables),
        notes=said,
        cautions=text.plural(sum(kind == "caution" for kind, _ in said), "caution").capitalize(),
        stats=stats,
        groups=_groups(stats),
        sections=further,
        trades=trades,
        lives=lives,
        newest=max(lives["signals"], default=None),
        calls=last_calls(tables),
        refused=refused,
        origin=origin,
        stills=_stills(tables),
        has_chart=has_chart,
        chart=pack(chart_of(tables)) if has_chart else "",
        data=pack_plain({"tables": [one.to_dict() for one in listed], **lives}),
        style=style,
        scripts=code,
        policy=policy_of(style, code),
        static=_STATIC,
        long=_LONG,
    )  # fmt: skip


def _groups(stats: Statistics) -> list[dict[str, Any]]:
    """Return the groups of figures, each with its title and whether buy and hold stands beside them."""
    titles = {"Marketplace": "As the venue's marketplace counts: not compounded, closed signals only"}
    return [
        {"title": titles.get(name, name), "rows": rows, "held": any(row.hold is not None for row in rows)}
        for name, rows in stats.groups.items()
    ]


def _stills(tables: ResultTables) -> list[dict[str, Any]]:
    """Return the pictures for print and for browsers without scripts."""
    made = [{"says": "Equity, growth beside buy and hold, and drawdown", "picture": _address(account_chart(tables))}]
    traded = tables.trades["symbol"].value_counts().to_dict()
    known = sorted(tables.symbols, key=lambda symbol: (-int(traded.get(symbol, 0)), symbol))
    if known:
        marked = int((tables.fills["symbol"] == known[0]).sum()) <= _MARKED
        says = f"Price of {known[0]}" + (" with entries, targets, stops and exits" if marked else "")
        made.insert(0, {"says": says, "picture": _address(price_chart(tables, known[0], marked=marked))})
    return made


def _address(figure: Figure) -> Markup:
    """Return a picture as an address that stands between double quotes: a quarter shorter than in base64."""
    rounded = re.sub(r' (?:d|x|y)="[^"]*"', lambda one: re.sub(r"(\.\d)\d+", r"\1", one[0]), svg(figure))
    text_of = rounded.replace('"', "'")
    for one, code in (("%", "%25"), ("#", "%23"), ("&", "&amp;"), ("\n", " "), ("\r", " ")):
        text_of = text_of.replace(one, code)
    return Markup(f"data:image/svg+xml,{text_of}")  # noqa: S704 - no quote and no ampersand is left in it


@cache
def asset(name: str) -> str:
    """Return the text of a style sheet or script of the page."""
    return (_HERE / "assets" / name).read_text("utf-8")


@cache
def environment() -> Environment:
    """Return what the templates of pages are rendered with: every value is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
