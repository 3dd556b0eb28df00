"""``backtest emit post``: what subscribers read of each signal, update and result, made from the journal."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli import options

if TYPE_CHECKING:
    from backtest.live.posts import Poster

__all__ = ["PicturesOption", "arguments_of", "post"]

PicturesOption = Annotated[
    str | None, typer.Option("--attachments-url", help="Where the pictures of signals will be; creates name them.")
]
_LOOK_SECONDS = 1.0


def post(
    config: Annotated[Path | None, typer.Option(help="TOML file with [posts].")] = None,
    journal: Annotated[Path | None, typer.Option(help="SQLite file; default emit.sqlite.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where texts and pictures are written.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="anny, exchange, or a JSON file; default anny, or of the file.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what was sent before posts were first made of this journal.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until standard input ends or a signal stops it.")
    ] = False,
    store: options.StoreOption = None,
) -> None:
    """Post each signal, update and result, with its picture, to a folder, an https webhook or apprise; each once.

    An emission with [posts] in its settings does so by itself. Addresses stand in BACKTEST_POST_URL.

    backtest emit post --journal emit.sqlite --folder out/posts --all
    """
    from backtest.errors import InvalidSettingError
    from backtest.live.clock import WallClock
    from backtest.live.post_outbox import Outbox
    from backtest.live.posts import Poster, Way
    from backtest.live.settings import LiveSettings

    settings = LiveSettings.load(config, {"account": {"journal": journal}, "posts": {"folder": folder}})
    way, wall = Way.of(settings.posts), WallClock()
    if not way.targets:
        raise InvalidSettingError("posts go nowhere: name --folder, or an address in BACKTEST_POST_URL")
    path = settings.account.journal
    if not follow and not path.exists():
        raise InvalidSettingError(f"there is no journal {path}; backtest emit makes one")
    with Outbox(path, wall.now()) as outbox:
        terms: dict[str, Any] = _terms(settings, profile, store)
        said: dict[str, Any] = {
            "now": wall.now,
            "tell": lambda line: typer.echo(line, err=True),
            "everything": everything,
        }
        poster = Poster(path, way, outbox, **terms, **said)
        if follow:
            _follow(poster)
            return
        made = poster.once()
        counts = ", ".join(f"{count} {state}" for state, count in sorted(outbox.counts().items()))
        typer.echo(f"{made} posted now; in all {counts or 'none'}")


def arguments_of(config: Path | None, journal: Path, profile: str) -> list[str]:
    """Return the arguments with which the process that makes posts finds the settings of an emission.

    Parameters
    ----------
    config, journal, profile
        Of the emission; the profile counts where no file names the strategies.
    """
    found = ["--journal", str(journal)]
    return [*found, "--profile", profile] if config is None else [*found, "--config", str(config)]


def _follow(poster: Poster) -> None:
    """Look for something to post each second, until standard input or a signal says that it is over; then once more."""
    from backtest.errors import BacktestError
    from backtest.live.stopping import stopped_by_signal

    with stopped_by_signal() as stop:
        over = False
        while not over:
            over = stop.is_set() or _ended(_LOOK_SECONDS)
            try:
                poster.look()
            except BacktestError as error:
                typer.echo(f"posts: {error}", err=True)


def _ended(seconds: float) -> bool:
    """Wait, and return whether standard input has ended meanwhile; a terminal's does not count."""
    if sys.stdin.isatty():
        import time

        time.sleep(seconds)
        return False
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and not os.read(sys.stdin.fileno(), 4096)


def _terms(settings: Any, profile: str | None, store: str | None) -> dict[str, Any]:
    """Return what results are counted on: the rules of markets, and profiles by the strategy's identity."""
    from backtest.cli.reconcile import markets_from, profiles_from
    from backtest.runner.loading import load_strategy

    named = {
        load_strategy(each.file)(**each.parameters).identity: options.profile_from(each.profile)
        for each in settings.strategy
    }
    chosen = None if profile is None else options.profile_from(profile)
    return {"rules": markets_from([], store), "profile_of": profiles_from(named, chosen)}
