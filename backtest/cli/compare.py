"""``backtest compare``: saved results side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backtest.errors import InvalidSettingError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("compare")(compare)


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of saved results; the others are compared with the first.")
    ],
    out: Annotated[Path | None, typer.Option(help="Write the comparison as a page, compared.html.")] = None,
    chart: Annotated[Path | None, typer.Option(help="Write the equity of all on one chart here, .png or .svg.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows that are printed of each table.")] = 45,
) -> None:
    """Show figures side by side, and the trades that differ.

    backtest compare out/breakout out/target-1 --out compared.html
    """
    from rich.console import Console
    from rich.text import Text

    from backtest.report.titled import render_tables
    from backtest.runner.folder import write_figure
    from backtest.runner.result import Result

    if len(runs) < 2:
        raise InvalidSettingError("compare takes the folders of two saved results at least")
    first, *others = (Result.load(folder) for folder in runs)
    beside = first.compare(*others)
    console = Console()
    for sentence in beside.sentences:
        console.print(Text(sentence))
    console.print(render_tables(beside.tables, most=rows))
    if out is not None:
        console.print(f"page  {beside.report(out)}", soft_wrap=True, highlight=False)
    if chart is not None:
        write_figure(beside.plot(), chart)
        console.print(f"chart  {chart}", soft_wrap=True, highlight=False)
