"""``backtest report``: the page of a saved result, written anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("report")(report)


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a saved result.")],
    out: Annotated[Path | None, typer.Option(help="The page; without it report.html in the folder.")] = None,
) -> None:
    """Write the page of a saved result: chart, figures, breakdowns, subscribers, trades and every signal step by step.

    backtest report out/breakout --out page.html
    """
    from backtest.runner.result import Result

    typer.echo(f"report  {Result.load(run).report(out or run / 'report.html')}")
