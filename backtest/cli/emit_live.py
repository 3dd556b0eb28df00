"""``backtest emit`` on candles as they close, until a signal stops it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from backtest.cli import emit_check, options
from backtest.cli.emit_beside import paper_venue
from backtest.cli.emit_notes import tell_unknown

if TYPE_CHECKING:
    from pathlib import Path

    from backtest.live.service import Served
    from backtest.live.settings import LiveSettings
    from backtest.venue.credentials import Credentials
    from backtest.venue.outlet.settings import OutletSecrets

__all__ = ["go_live"]


def go_live(
    settings: LiveSettings,
    mode: str,
    account: str | None,
    store: str | None,
    url: str | None,
    posting: list[str],
    venue: Path | None = None,
    *,
    accept_new_code: bool,
) -> None:
    """Emit on candles as they close, until a signal stops it.

    Parameters
    ----------
    settings
        Strategies, account, limits.
    mode
        ``live``, once every condition of going live holds, or ``paper``.
    account
        Fingerprint that confirms ``live``.
    store
        Folder or URL of the recorded candles on which those conditions are looked at.
    url
        Stands in for the exchange's scheme and host.
    posting
        Arguments of the process that posts.
    venue
        File of another venue than the Signal API.
    accept_new_code
        Whether code that decides otherwise than before goes on.
    """
    import asyncio

    from backtest.live.attending import attended
    from backtest.live.log import Log
    from backtest.live.posting import Posting
    from backtest.live.service import Service, serve
    from backtest.live.stopping import interrupted_by_signal, stopped_by_signal
    from backtest.market_data.exchange import Access
    from backtest.market_data.retry import Retry
    from backtest.venue.credentials import Credentials

    secrets, outlet = (None, None) if venue is None else emit_check.outlet_of(venue)
    if mode == "live":
        try:
            with interrupted_by_signal():
                found = emit_check.look(
                    settings, emit_check.history_of([], store), account=account, url=url, venue=venue
                )
        except KeyboardInterrupt:
            typer.echo("stopped while the conditions of going live were looked at; nothing was sent", err=True)
            raise typer.Exit from None
        if not found.holds:
            typer.echo("error: live emission was not started, nothing was sent", err=True)
            raise typer.Exit(found.exit_status)
    names = {each.exchange for each in settings.strategy}
    access = {name: Access(url, retry=Retry(attempts=2)) for name in names}

    def go(credentials: Credentials | OutletSecrets, token: str | None) -> Served:
        log = Log(redactor=credentials.redactor)
        who = f"{mode} {credentials.fingerprint}"
        with Posting(settings, posting, log.warning), attended(settings, who, log) as (notices, beat):
            service = Service(
                settings,
                credentials,
                mode,
                options.profile_from,
                access,
                token,
                notices=notices,
                beat=beat,
                looks_again=True,
                outlet=outlet,
            )
            service = replace(service, accept_new_code=accept_new_code)
            return asyncio.run(serve(service, stop))

    with stopped_by_signal() as stop:
        if mode == "live":
            done = go(secrets or Credentials.load(settings.account.secret_file), None)
        else:
            with paper_venue(settings.account.journal) as (credentials, token):
                done = go(credentials, token)
    for sentence in done.halted:
        typer.echo(f"error: {sentence}", err=True)
    if done.refused:
        typer.echo(
            f"error: {done.refused.why}, nothing but cancels was sent since; check {done.refused.check}", err=True
        )
    if done.unknown:
        tell_unknown(done.unknown)
        raise typer.Exit(4)
    if done.refused or done.halted:
        raise typer.Exit(2)
