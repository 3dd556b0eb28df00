"""Console: a result as rich tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from backtest.report import headline, text
from backtest.report.metrics import statistics

if TYPE_CHECKING:
    from collections.abc import Hashable

    import pandas as pd
    from rich.console import RenderableType

    from backtest.report.statistic import Statistic, Statistics
    from backtest.report.tables import ResultTables

__all__ = ["render_result"]


def render_result(tables: ResultTables, stats: Statistics | None = None, *, trades: int = 5) -> RenderableType:
    """Return what a terminal shows of a result; print it with ``rich.console.Console().print``.

    Parameters
    ----------
    stats
        The statistics, where they were computed before.
    trades
        How many of the last trades are listed.
    """
    stats = stats or statistics(tables)
    alarms = [Padding(Text(sentence, style="bold red"), (0, 0, 0, 2)) for sentence in headline.alarms(tables)]
    parts: list[RenderableType] = [_headline(tables), *alarms, _statistics(stats, tables.quote)]
    if trades and len(tables.trades):
        parts.append(_trades(tables.trades, trades, tables.quote))
    said = (
        headline.ambiguity(tables),
        headline.assumed(tables),
        *headline.planned(tables),
        *headline.checked(tables),
    )
    notes = [Text(sentence) for sentence in said]
    notes += [
        Text(f"{symbol}: {headline.data_line(tables, symbol)}.", style="dim", overflow="fold")
        for symbol in tables.symbols
    ]
    notes += [Text.assemble(("Warning: ", "bold yellow"), sentence) for sentence in tables.warnings]
    return Group(*parts, *(Padding(note, (0, 0, 0, 2)) for note in notes))


def _headline(tables: ResultTables) -> RenderableType:
    return Panel(
        Text.assemble(("Total return  ", "bold"), headline.interval_line(tables)),
        title=Text(headline.subject(tables)),
        subtitle=Text(f"figures below: {tables.mode}"),
        title_align="left",
        subtitle_align="right",
    )


def _statistics(stats: Statistics, quote: str) -> RenderableType:
    """Return one small table a group, side by side where the terminal is wide enough."""
    return Columns([_group(name, rows, quote) for name, rows in stats.groups.items()], padding=(0, 3))


def _group(name: str, rows: list[Statistic], quote: str) -> Table:
    held = any(row.hold is not None for row in rows)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("As the venue counts" if name == "Marketplace" else name, no_wrap=True)
    table.add_column("strategy" if held else "", justify="right", no_wrap=True)
    if held:
        table.add_column("buy and hold", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(Text(row.name(quote)), row.shown + row.aside, *([row.hold_shown] if held else []))
    return table


def _trades(trades: pd.DataFrame, last: int, quote: str) -> Table:
    shown = trades.sort_values("entry_time", kind="stable").tail(last)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    several = len(set(shown["symbol"])) > 1
    currency = f", prices and PnL in {quote}" if quote else ""
    table.title = Text(f"Last {len(shown)} of {text.plural(len(trades), 'trade')}{currency}")
    table.title_justify = "left"
    for name in ("entered, UTC", *(["symbol"] if several else []), "side", "by"):
        table.add_column(name, no_wrap=name not in {"symbol", "by"}, overflow="fold")
    for name in ("entry", "exit", "return", "PnL"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in shown.to_dict("records"):
        table.add_row(*_trade(row, several=several))
    if shown["ambiguous"].any():
        table.caption, table.caption_justify = "? another reading of a candle changes this trade", "left"
    return table


def _trade(row: dict[Hashable, Any], *, several: bool) -> list[Text]:
    name = [str(row["symbol"])] if several else []
    side = "long" if row["side"] > 0 else "short"
    doubt = " ?" if row["ambiguous"] else ""
    cells = [text.when(int(row["entry_time"])), *name, side]
    if row["open"]:
        cells += [f"open{doubt}", text.price(row["average_entry"], 7), "", "", ""]
    else:
        by = str(row["exit"]).removesuffix("_hit").removesuffix("_filled").replace("_", " ")
        prices = [text.price(row[key], 7) for key in ("average_entry", "average_exit")]
        cells += [
            f"{by}{doubt}",
            *prices,
            text.percent(row["return"], signed=True),
            text.money(row["pnl"], signed=True),
        ]
    return [Text(cell) for cell in cells]
