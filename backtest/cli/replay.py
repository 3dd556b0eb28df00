"""``backtest replay``: a scenario file, or a folder of them, through the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("replay")(replay)


def replay(
    scenario: Annotated[Path, typer.Argument(help="A scenario file, or a folder of *.json files.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = False,
) -> None:
    """Replay a call log over candles: what each signal would have done, step by step.

    A folder prints one JSON list of {"file", "exit", "result", "error"}, sorted by name, and exits 0.
    """
    from backtest.runner.scenario import replay_directory, replay_file

    if scenario.is_dir():
        typer.echo(json.dumps(replay_directory(scenario), ensure_ascii=False))
        return
    result = replay_file(scenario)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    _show(result)


def _show(result: dict[str, Any]) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for signal in result["signals"]:
        table = Table(
            "time",
            "event",
            "price",
            "quantity",
            "fee",
            "rule",
            title=Text(f"{signal['ref']}: {signal['status']}"),
            title_justify="left",
        )
        for event in signal["events"]:
            name = event["kind"] if event["target"] is None else f"{event['kind']} {event['target']}"
            price = "" if event["price"] is None else f"{event['price']:.10g}"
            table.add_row(
                f"{np.datetime64(event['time'], 'ms')}Z",
                name,
                price,
                f"{event['quantity']:.10g}",
                f"{event['fee']:.6g}",
                event["rule"],
            )
        console.print(table)
        console.print(
            Text(
                f"realised {signal['realised_pnl']:.8g}, fees {signal['fees']:.8g}, open {signal['open_quantity']:.10g}\n"
            )
        )
    spread = ", ".join(f"{mode} {value:+.4%}" for mode, value in result["total_return"].items())
    console.print(
        Text(f"cash {result['cash']:.8g}; total return {spread}; ambiguous candles {result['ambiguous_candles']}")
    )
