"""``backtest dashboard``: what an emission does, on one page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["NamesOption", "register"]

NamesOption = Annotated[
    list[str] | None, typer.Option("--name", help="Another name that leads here, through a proxy that speaks TLS.")
]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("dashboard")(dashboard)


def dashboard(
    journal: Annotated[Path, typer.Argument(help="SQLite file of an emission, running or not.")] = Path("emit.sqlite"),
    listen: Annotated[
        str, typer.Option(help="HOST:PORT; another than this machine's needs a token.")
    ] = "127.0.0.1:8799",
    name: NamesOption = None,
    descriptor: Annotated[int | None, typer.Option("--socket", hidden=True, help="A socket that listens.")] = None,
) -> None:
    """Show living signals, calls, unknowns and feed of a journal; it reads, and what it can do goes through the emitter.

    Buttons (resolve, stop entries, cancel all) ask for the token in BACKTEST_DASHBOARD_TOKEN; without one a token is made and
    printed. /healthz and /metrics are there too.

    backtest dashboard emit.sqlite --listen 127.0.0.1:8799
    """
    import socket

    from backtest.errors import InvalidSettingError
    from backtest.live.dashboard.gate import TOKEN, Gate
    from backtest.live.dashboard.serving import address_of, serve_dashboard
    from backtest.live.journal import Journal
    from backtest.venue.serving import listen as bound

    host, port = address_of(listen)
    gate = Gate(host, os.environ.get(TOKEN) or None, name or ())
    if descriptor is not None:
        with socket.socket(fileno=descriptor) as inherited:
            serve_dashboard(journal, inherited, gate, lives_with=0)
        return
    if not journal.exists():
        raise InvalidSettingError(f"there is no journal {journal}; backtest emit makes one")
    Journal(journal).close()  # what cannot be shown is said now
    with bound(host, port) as listener:
        served = listener.getsockname()[1]
        where = f"[{host}]:{served}" if ":" in host else f"{host}:{served}"
        typer.echo(f"dashboard at http://{where}")
        if gate.made:
            typer.echo(f"token for its buttons: {gate.token}")
        serve_dashboard(journal, listener, gate)
