"""``backtest demo``: the shipped breakout over the sample candles, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for tables, calls and report.html.")] = Path("out/demo"),
) -> None:
    """Run the breakout strategy over real Bitcoin candles, write the report, show the last calls."""
    from backtest.cli import options
    from backtest.cli.run import show
    from backtest.market_data.sample import sample_candles, sample_strategy
    from backtest.runner.run import run

    show(run(options.strategy_from(str(sample_strategy()), None), sample_candles("BTC/USD", "1h")), out, calls=3)
