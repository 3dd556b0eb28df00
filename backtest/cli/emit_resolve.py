"""``backtest emit resolve``: what a person found out about an unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backtest.cli import options

__all__ = ["resolve"]


def resolve(
    intent: Annotated[str, typer.Argument(help="Start of the id, as emit status shows it.")],
    landed: Annotated[str | None, typer.Option(help="It is at the venue, under this parent_signal_id.")] = None,
    not_landed: Annotated[bool, typer.Option("--not-landed", help="It is not at the venue.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Nobody can tell; leave it.")] = False,
    journal: options.JournalOption = Path("emit.sqlite"),
) -> None:
    """Say what became of an unknown, whether an emitter runs or not."""
    from backtest.errors import InvalidSettingError
    from backtest.live.commands import resolved
    from backtest.live.intent import State

    if (landed is not None) + not_landed + abandon != 1:
        raise InvalidSettingError("say one of --landed PARENT_ID, --not-landed or --abandon")
    state = State.LANDED if landed is not None else State.NOT_LANDED if not_landed else State.ABANDONED
    done = resolved(journal, intent, state, landed)
    typer.echo(f"{done['kind']} {done['id'][:12]} of {done['ref']} is {state.value}; {done['unknown']} unknown left")
