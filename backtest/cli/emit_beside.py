"""What ``backtest emit`` lets run beside an emission: its dashboard, and a paper venue where none is named."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from backtest.cli.emit_notes import warn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backtest.venue.credentials import Credentials

__all__ = ["page", "paper_venue"]

_TOKEN, _URL = "ANNY_PAPER_TOKEN", "ANNY_BASE_URL"
_SECRETS = ("ANNY_API_KEY", "ANNY_API_SECRET")


@contextmanager
def page(journal: Path, address: str | None, names: list[str] | None) -> Iterator[None]:
    """Serve the dashboard in a process of its own for as long as the ``with`` lasts.

    Parameters
    ----------
    journal
        Of the emission.
    address
        HOST:PORT; without one nothing is served.
    names
        Further names that lead there.
    """
    if address is None:
        yield
        return
    from backtest.live.dashboard.serving import Beside

    with Beside(journal, address, names or (), warn) as beside:
        typer.echo(f"dashboard at {beside.url}", err=True)
        if beside.gate.made:
            typer.echo(f"token for its buttons: {beside.gate.token}", err=True)
        yield


@contextmanager
def paper_venue(journal: Path) -> Iterator[tuple[Credentials, str | None]]:
    """Give the venue of ``ANNY_BASE_URL`` or, without one, a paper venue of this process."""
    from backtest.venue.credentials import Credentials

    if os.environ.get(_URL):
        yield Credentials.load(), os.environ.get(_TOKEN) or None
        return
    from backtest.venue.guard import Guard
    from backtest.venue.ledger import Ledger
    from backtest.venue.paper import PaperVenue
    from backtest.venue.server import paper_app
    from backtest.venue.serving import PaperServer, listen

    listener = listen("127.0.0.1", 0)
    made = {name: os.environ.get(name) or f"paper-{name}" for name in _SECRETS}
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    credentials = Credentials.load(environment={**made, _URL: url})
    token = secrets.token_hex(16)
    venue = PaperVenue(Ledger(journal.with_suffix(".venue.sqlite")))
    with listener, PaperServer(paper_app(venue, Guard(credentials, token=token)), listener):
        yield credentials, token
