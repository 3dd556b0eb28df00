"""``backtest emit --candles``: an emission rehearsed on recorded candles, or its requests only printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from backtest.cli.emit_beside import paper_venue
from backtest.cli.emit_notes import tell_unknown, warn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from threading import Event

    from backtest.live.channel import Channel
    from backtest.live.emission import Rehearsed
    from backtest.live.settings import EmitSettings

__all__ = ["print_requests", "rehearse_channel"]

_LOOK_SECONDS = 0.05


def print_requests(channel: Channel) -> None:
    """Print what a channel would send, one request a line; nothing is sent."""
    from backtest.wire import endpoint_of

    channel.backtest(warn)
    session, count = channel.session(), 0
    for time, rows in channel.instants():
        for decision in session.walk(time, rows):
            request = endpoint_of(decision.call, getattr(decision.call, "signal", None))
            typer.echo(f"{decision.at} {request.method} {request.path} {request.body.decode()}")
            count += 1
    typer.echo(f"{count} calls, none was sent", err=True)


def rehearse_channel(channel: Channel, settings: EmitSettings, journal: Path, speed: str) -> None:
    """Emit on recorded candles, compare with the backtest, and end with the status that the outcome has.

    Parameters
    ----------
    channel
        The strategy on its candles.
    settings
        Limits of the emission.
    journal
        Where it is kept.
    speed
        Candles a second, or ``max``.
    """
    from backtest.live.emission import rehearse
    from backtest.live.stopping import stopped_by_signal

    with stopped_by_signal() as stop, paper_venue(journal) as (credentials, token):
        hear = {"warn": warn, "tell": lambda text: typer.echo(text, err=True)}
        pace = _pace(speed, stop)
        done = rehearse(channel, credentials, journal, settings, token=token, pace=pace, stop=stop, **hear)
    _leave(done)


def _leave(done: Rehearsed) -> None:
    """Say how it went, and end with the status that the outcome has."""
    if done.stopped:
        typer.echo("stopped; what was on its way was waited for, and the same command goes on")
    elif done.halted:
        typer.echo(f"error: {done.halted.why}, nothing was sent since; check {done.halted.check}", err=True)
    else:
        typer.echo(done.report.text())
    if done.unknown:
        tell_unknown(done.unknown)
        raise typer.Exit(4)
    if done.halted:
        raise typer.Exit(2)
    if not done.stopped and (done.left or not done.report.equal or done.report.lost):
        raise typer.Exit(3)


def _pace(text: str, stop: Event) -> Callable[[int], object] | None:
    import time

    from backtest.cli.venue import speed_of

    speed = speed_of(text)
    if speed is None:
        return None
    start = time.monotonic()

    def wait(done: int) -> None:
        while not stop.is_set() and (left := start + done / speed - time.monotonic()) > 0.0:
            time.sleep(min(left, _LOOK_SECONDS))

    return wait
