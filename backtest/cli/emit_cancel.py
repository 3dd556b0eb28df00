"""``backtest emit cancel-all``: every signal closed, by the emission that runs or by this command in its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli import emit_check, options

if TYPE_CHECKING:
    from collections.abc import Callable

    from backtest.live.schema import Run
    from backtest.venue.credentials import Credentials
    from backtest.venue.outlet.door import Outlet
    from backtest.venue.outlet.settings import OutletSecrets

__all__ = ["cancel_all"]


def cancel_all(
    journal: options.JournalOption = Path("emit.sqlite"),
    ended: Annotated[bool, typer.Option("--ended", help="Those too that have ended by our own book.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    venue: emit_check.VenueOption = None,
) -> None:
    """Close every signal that is not confirmed closed, and say what happened to each; again for what failed before."""
    from backtest.cli.emit_beside import paper_venue
    from backtest.errors import InvalidSettingError
    from backtest.live.commands import ask
    from backtest.live.journal import Journal
    from backtest.live.person import to_cancel
    from backtest.venue.credentials import Credentials

    with Journal(journal) as book:
        rows, last = to_cancel(book, ended=ended), book.last_run()
    if not rows or last is None:
        typer.echo("no signal lives")
        return
    signals = "1 signal" if len(rows) == 1 else f"{len(rows)} signals"
    question = f"cancel {signals} of the {last.mode} account {last.account}, and so close their positions?"
    try:
        agreed = yes or typer.confirm(question)
    except typer.Abort:
        raise InvalidSettingError(
            "nothing was canceled, since nobody answered: say --yes where there is no terminal"
        ) from None
    if not agreed:
        typer.echo("nothing was canceled", err=True)
        raise typer.Exit(2)
    done = ask(journal, do="cancel-all", ended=ended)
    if done is not None:
        _tell_canceled(done["canceled"])
        return
    if venue is not None:
        secrets, door = emit_check.outlet_of(venue)
        _close(journal, secrets, last, ended=ended, outlet=door)
        return
    if last.mode != "paper":
        _close(journal, Credentials.load(), last, ended=ended)
        return
    with paper_venue(journal) as (credentials, _):
        _close(journal, credentials, last, ended=ended)


def _close(
    journal: Path,
    credentials: Credentials | OutletSecrets,
    last: Run,
    *,
    ended: bool,
    outlet: Callable[[Callable[[], float]], Outlet] | None = None,
) -> None:
    import time
    from dataclasses import asdict

    from backtest.cli.emit_notes import tell_unknown
    from backtest.errors import InvalidSettingError
    from backtest.live.clock import WallClock
    from backtest.live.emitter import Emitter
    from backtest.live.journal import Journal
    from backtest.live.person import canceled, plan_cancels
    from backtest.live.schema import Run
    from backtest.live.settings import EmitSettings
    from backtest.venue.client import Client
    from backtest.venue.credentials import Credentials
    from backtest.venue.rate import RateLimit

    if last.mode == "paper" and not credentials.is_local:
        raise InvalidSettingError(f"{journal} is a paper journal, ANNY_BASE_URL was {credentials.base_url}")
    settings, clock = EmitSettings(), WallClock()
    start = Run(last.mode, credentials.fingerprint, clock.now(), last.code_hash, last.config_hash)
    if outlet is not None:
        door: Client | Outlet = outlet(time.monotonic)
    else:
        assert isinstance(credentials, Credentials)  # noqa: S101 - an outlet comes with its own door
        door = Client(credentials, rate=RateLimit(settings.per_minute))
    with Journal(journal, start) as book, door as client:
        emitter = Emitter(book, client, clock, settings, clock.now)
        lost = [one for one in emitter.recover() if not one.repeatable]
        rows = plan_cancels(book, credentials.fingerprint, clock.now(), ended=ended, max_lag=client.max_lag)
        emitter.drain(clock.now() + 60_000 * (2 + len(rows) // client.rate.per_minute))
        done = canceled(book, rows)
    if lost:
        tell_unknown(lost)
    _tell_canceled([asdict(one) for one in done])
    if lost:
        raise typer.Exit(4)


def _tell_canceled(done: list[dict[str, Any]]) -> None:
    for one in done:
        typer.echo(f"{one['ref']} = {one['parent_signal_id']}: {one['state']} {one['note']}".rstrip())
    states = {one["state"] for one in done}
    if "unknown" in states:
        raise typer.Exit(4)
    if states - {"acked"}:
        raise typer.Exit(3)
