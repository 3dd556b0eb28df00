"""A dashboard on a free port of this machine, beside an emitter that says what a test lets it say."""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from backtest.live.commands import Commands
from backtest.live.dashboard.app import dashboard_app
from backtest.live.dashboard.gate import Gate
from backtest.live.dashboard.reading import Reading
from backtest.live.journal import Journal
from backtest.live.notices import Notices
from backtest.live.settings import EmitSettings
from backtest.venue.serving import PaperServer, listen
from tests.journals import HOUR, RUN, START, STRATEGY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from backtest.live.sender import Sender

TOKEN = "t0ken-of-sixteen-or-more"
END = START + 72 * HOUR
"""The last close of a seeded journal."""


@dataclass
class Reply:
    """What a request was answered with."""

    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Served:
    """A dashboard that answers."""

    url: str
    port: int
    path: Path
    board: Reading
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, path: str, form: dict[str, str] | None = None, method: str = "", **headers: str) -> Reply:
        """Ask, as a browser on the page does; a header of None is left out."""
        own = {"Host": f"127.0.0.1:{self.port}", "Connection": "close"}
        body = None if form is None else urlencode(form)
        if form is not None:
            own |= {"Origin": self.url, "Content-Type": "application/x-www-form-urlencoded"}
        own |= {name.replace("_", "-").title(): value for name, value in headers.items()} | self.headers
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.putrequest(method or ("GET" if form is None else "POST"), path, skip_host=True)
            for name, value in own.items():
                if value:
                    connection.putheader(name, value)
            if body is not None and "Content-Length" not in own:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body.encode() if body is not None else None)
            answer = connection.getresponse()
            text = answer.read().decode()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, text)
        finally:
            connection.close()

    def patches(self, count: int, since: str = "", meanwhile: Any = None) -> list[dict[str, Any]]:
        """Listen until so many changes came; ``meanwhile`` is called after the first."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", f"/events?since={since}")
        answer = connection.getresponse()
        found: list[dict[str, Any]] = []
        while len(found) < count:
            line = answer.readline().decode()
            if line.startswith("data:"):
                found.append(json.loads(line[5:]))
                if len(found) == 1 and meanwhile is not None:
                    meanwhile()
        connection.close()
        return found


@contextmanager
def served(
    path: Path, *, host: str = "127.0.0.1", token: str = TOKEN, names: Collection[str] = (), now: int | None = None
) -> Iterator[Served]:
    """Serve the dashboard of a journal on this machine, guarded as if it were on ``host``."""
    reading = Reading(path, None if now is None else lambda: now)
    listener = listen("127.0.0.1", 0)
    with PaperServer(dashboard_app(reading, Gate(host, token, names)), listener) as server:
        yield Served(server.url, listener.getsockname()[1], path, reading)
    reading.close()


@contextmanager
def emitting(path: Path, state: dict[str, Any] | None = None) -> Iterator[tuple[Journal, Notices]]:
    """Hold a journal as an emitter does, and answer through its control socket."""
    with Journal(path, RUN) as journal, Notices() as bus:
        emitter = SimpleNamespace(
            journal=journal,
            notices=bus,
            wall=lambda: int(time.time() * 1000),
            settings=EmitSettings(),
            client=SimpleNamespace(max_lag=None),
        )
        sender = cast("Sender", SimpleNamespace(emitter=emitter, wake=lambda: None, wait=lambda _: None))
        with Commands(sender, RUN.account, lambda: {**said(), **(state or {})}):
            yield journal, bus


def said(now: int = END + 5_000, **changes: Any) -> dict[str, Any]:
    """What an emitter says where all is well."""
    return {
        "now": now,
        "passed": now - 1_000,
        "beaten": now - 500,
        "series": [
            {
                "exchange": "binance",
                "symbol": symbol,
                "timeframe": "1h",
                "phase": "live",
                "closed": END,
                "arrived": END + 700,
                "lag": 700,
                "source": "websocket",
            }
            for symbol in ("BTC/USDT", "ETH/USDT")
        ],
        "clocks": {"binance": 23},
        "strategies": [{"name": "Breakout on BTC/USDT, ETH/USDT 1h", "halted": ""}],
        "flying": 0,
        "rate": {"per_minute": 8, "left": 5},
        "halted": False,
        "hold": "",
        "limits": {"most_unknowns": 3, "creates_a_day": 200, "open_signals": 20},
        "shadows": [shadow()],
        **changes,
    }


def shadow(signals: Collection[dict[str, Any]] = (), **changes: Any) -> dict[str, Any]:
    """What it says of its shadow book."""
    return {
        "identity": STRATEGY,
        "strategy": "Breakout",
        "timeframe": "1h",
        "symbols": ["BTC/USDT", "ETH/USDT"],
        "balance": 10_000.0,
        "equity": 10_186.0,
        "curve": [[START + k * HOUR, 10_000.0 + 3.0 * k] for k in range(63)],
        "signals": list(signals),
        **changes,
    }


def held(ref: str, price: float, **changes: Any) -> dict[str, Any]:
    """A signal in the shadow book that was bought."""
    return {
        "ref": ref,
        "side": 1,
        "status": "open",
        "stop": price * 0.985,
        "trailing": True,
        "targets": [None, price * 1.06],
        "average": price * 0.995,
        "quantity": 1.0,
        "events": [
            [START + 37 * HOUR, "entered", price * 0.995, 0, 1.0],
            [START + 45 * HOUR, "dca_filled", price * 0.98, 0, 0.5],
            [START + 50 * HOUR, "stop_moved", price * 0.97, 0, 0.0],
            [START + 60 * HOUR, "target_hit", price * 1.03, 1, 0.5],
        ],
        **changes,
    }


def wait_for(what: Any, seconds: float = 120.0) -> Any:
    """Wait until something is so, and return it."""
    end, over = time.monotonic() + seconds, threading.Event()
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        over.wait(0.02)
    raise AssertionError("it never came")
