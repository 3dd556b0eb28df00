"""A paper venue on a free port of this machine, for tests."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from backtest.venue.credentials import Credentials
from backtest.venue.guard import Guard
from backtest.venue.ledger import Ledger
from backtest.venue.paper import PaperVenue
from backtest.venue.server import paper_app
from backtest.venue.serving import PaperServer, listen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backtest.venue.faults import FaultPlan
    from backtest.venue.rate import RateLimit

KEY, SECRET = "key-4f1d9a", "c2VjcmV0L3dpdGgrc2lnbnM9PQ=="
SECRETS = {"anny-api-key": KEY, "anny-api-secret": SECRET}


def credentials(url: str = "http://127.0.0.1:9") -> Credentials:
    """Return those that the venue of this room knows."""
    return Credentials.load(environment={"ANNY_API_KEY": KEY, "ANNY_API_SECRET": SECRET, "ANNY_BASE_URL": url})


@contextmanager
def paper_room(
    ledger: Path,
    *,
    faults: FaultPlan | None = None,
    rate: RateLimit | None = None,
    token: str | None = None,
    patience: float = 30.0,
) -> Iterator[str]:
    """Serve, and give the URL."""
    venue = PaperVenue(Ledger(ledger))
    app = paper_app(venue, Guard(credentials(), token=token), faults=faults, rate=rate)
    with PaperServer(app, listen("127.0.0.1", 0), patience=patience) as server:
        yield server.url
