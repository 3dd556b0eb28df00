"""``backtest emit stop-entries``: no more entries until a person lets them go again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backtest.cli import options

__all__ = ["stop_entries"]


def stop_entries(
    journal: options.JournalOption = Path("emit.sqlite"),
    off: Annotated[bool, typer.Option("--off", help="Let entries go again.")] = False,
) -> None:
    """Send no more entries, from the next call on and over restarts, until --off; exits and updates still go."""
    from backtest.live.commands import ask
    from backtest.live.person import stop_entries as change

    done = ask(journal, do="stop-entries", stop=not off)
    file = done["file"] if done else str(change(journal, stop=not off))
    nobody = "" if done else f" (no emission runs on {journal} now)"
    typer.echo((f"entries go again: {file} is gone" if off else f"entries are stopped while {file} is there") + nobody)
