"""The command line: one module a verb, each imported only when it is called."""

from __future__ import annotations

import os
import sys

import typer

from backtest.cli import calls, data, demo, explain, fetch, replay, run
from backtest.errors import BacktestError

__all__ = ["app", "main"]

app = typer.Typer(
    name="backtest",
    help="Backtest a trading signal strategy, then send the very same calls to a Signal API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (demo, run, calls, replay, explain, fetch, data):
    verb.register(app)


def main() -> None:
    """Run the command line; an error is one sentence on standard error, never a traceback.

    Exit status: 0 done, 2 bad request, 3 the world failed, 4 an unknown outcome awaits a person, 130 interrupted.
    """
    try:
        app()
    except BacktestError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
