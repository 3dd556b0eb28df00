"""``backtest explain``: why a signal ended as it did, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("explain")(explain)


def explain(
    run: Annotated[Path, typer.Argument(help="Folder of a saved result.")],
    signal: Annotated[str, typer.Argument(help="Ref of the signal, its number from 1, or its ending.")],
    chart: Annotated[Path | None, typer.Option(help="Write a small chart of the signal here, .png or .svg.")] = None,
) -> None:
    """Print the timeline of one signal: each level, each step and the rule that made it.

    backtest explain out/demo 12 --chart signal.png
    """
    from backtest.runner.result import Result

    result = Result.load(run)
    told = result.explain(signal)
    if chart is not None:
        from backtest.report.charts import signal_chart
        from backtest.runner.folder import write_figure

        write_figure(signal_chart(result.tables, signal), chart)
        told += f"\nchart  {chart}"
    typer.echo(told)
