"""The command line: one module a verb, each imported only when it is called."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli import (
    breakdowns,
    calls,
    channel,
    check,
    compare,
    dashboard,
    data,
    demo,
    emit,
    explain,
    fetch,
    loss,
    luck,
    new,
    reconcile,
    replay,
    report,
    run,
    subscribers,
    sweep,
    venue,
)
from backtest.errors import BacktestError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["app", "main"]

app = typer.Typer(
    name="backtest",
    help="Backtest a trading signal strategy, then send the very same calls to a Signal API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_EXTRAS = {
    "ccxt": "exchange",
    "filelock": "exchange",
    "fsspec": "exchange",
    "fastapi": "live",
    "httpcore": "live",
    "httpx": "live",
    "pydantic_settings": "live",
    "starlette": "live",
    "uvicorn": "live",
    "distributed": "cluster",
    "prometheus_client": "live",
    "sse_starlette": "live",
    "structlog": "live",
    "optuna": "study",
}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("signal-backtest")
    except PackageNotFoundError:
        return "(not installed as a package)"


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"signal-backtest {_version()}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """Backtest a trading signal strategy, then send the very same calls to a Signal API."""


_VERBS = (
    *(new, demo, run, report, breakdowns, subscribers, compare, check, luck, sweep, calls, emit, dashboard),
    *(reconcile, venue, channel, loss, replay, explain, fetch, data),
)
for verb in _VERBS:
    verb.register(app)


def main() -> None:
    """Run the command line; an error is one sentence on standard error, never a traceback.

    Exit status: 0 done, 2 bad request, 3 the world failed, 4 an unknown outcome awaits a person, 130 interrupted.
    What a strategy's own code raises is its author's bad request: one sentence with file and line. A library that only
    some commands need, and that is not installed, is named with the way to install it.
    """
    gc.set_threshold(100_000, 20, 20)  # importing makes millions of objects that stay: looking them through takes 0.4 s
    atexit.register(gc.freeze)  # and at the end a second, for nothing
    try:
        app()
    except BacktestError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except Exception as error:
        missing = _missing_extra(error)
        if missing is not None:
            typer.echo(f"error: {missing}", err=True)
            sys.exit(2)
        where = _strategy_line(error.__traceback__)
        if where is None:
            raise
        typer.echo(f"error: {where}: {type(error).__name__}: {error}", err=True)
        sys.exit(2)


def _missing_extra(error: Exception) -> str | None:
    """Return which extra brings the library whose absence was the error; None for anything else."""
    library = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if library not in _EXTRAS:
        return None
    return f'this command needs {library}: pip install "signal-backtest[{_EXTRAS[library]}]"'


def _strategy_line(trace: TracebackType | None) -> str | None:
    """Return file and line of the innermost frame in a strategy's file; None where no strategy was running."""
    found = None
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("strategy_"):
            found = f"{trace.tb_frame.f_code.co_filename} line {trace.tb_lineno}"
        trace = trace.tb_next
    return found
