"""Sentences on standard error that several commands of ``backtest emit`` say alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sized

__all__ = ["tell_unknown", "warn"]


def tell_unknown(unknown: Sized) -> None:
    """Say how many calls a person must look for at the venue, and where they are listed."""
    typer.echo(f"{len(unknown)} unknown outcomes await a person: backtest emit status", err=True)


def warn(sentence: str) -> None:
    """Say what is amiss and stops nothing."""
    typer.echo(f"warning: {sentence}", err=True)
