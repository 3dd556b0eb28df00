"""``backtest emit backup``: the whole journal in one file, also while it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backtest.cli import options

__all__ = ["backup"]


def backup(
    file: Annotated[Path, typer.Argument(help="A file that is not there yet.")],
    journal: options.JournalOption = Path("emit.sqlite"),
) -> None:
    """Copy the whole journal to a file, also while an emitter writes it; a plain copy would miss what is in its log."""
    from backtest.live.journal import Journal

    with Journal(journal) as book:
        book.verify()
        book.backup(file)
    typer.echo(f"{journal} was copied to {file}")
