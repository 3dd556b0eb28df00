"""``backtest breakdowns``: a saved result taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("breakdowns")(breakdowns)


def breakdowns(
    run: Annotated[Path, typer.Argument(help="Folder of a saved result.")],
    only: Annotated[
        list[str] | None, typer.Option(help="One table by its name, by_exit; repeat it. Without: all.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows that are printed of each table.")] = 24,
    out: Annotated[Path | None, typer.Option(help="Folder for the tables as CSV, with all rows.")] = None,
) -> None:
    """Show a result by exit, target, side, hour and month; MAE and MFE; drawdowns; costs; a candle late.

    backtest breakdowns out/breakout --only by_exit --only costs
    """
    from rich.console import Console

    from backtest.cli.subscribers import write_tables
    from backtest.report.titled import render_tables
    from backtest.runner.result import Result

    apart = Result.load(run).breakdowns
    tables = [apart.table(key) for key in only] if only else apart.tables
    console = Console()
    console.print(render_tables(tables, most=rows))
    if out is not None:
        write_tables([(one.key, one.frame) for one in tables], out)
        console.print(f"tables  {out}", soft_wrap=True, highlight=False)
