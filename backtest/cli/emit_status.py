"""``backtest emit status``: what lives, what waits and what is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backtest.cli import options

__all__ = ["status"]


def status(
    journal: options.JournalOption = Path("emit.sqlite"),
    verify: Annotated[bool, typer.Option("--verify", help="Hold every row against its hash.")] = False,
) -> None:
    """Show what lives, what waits and what is unknown; exit status 4 while an unknown awaits a person."""
    from backtest.live.intent import State
    from backtest.live.journal import Journal
    from backtest.live.person import stop_file_of
    from backtest.live.status import status_text

    with Journal(journal) as book:
        if verify:
            book.verify()
            typer.echo("every row is as it was written")
        with book.moment():
            text, unknown = status_text(book), book.intents(State.UNKNOWN)
        typer.echo(text)
        if stop_file_of(journal).exists():
            typer.echo(f"entries are stopped: {stop_file_of(journal)} is there; backtest emit stop-entries --off")
        if unknown:
            raise typer.Exit(4)
