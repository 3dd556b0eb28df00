"""Receivers on loopback in the place of other venues, which keep what arrived, and outlets that speak to them."""

from __future__ import annotations

import json
import threading
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from backtest.venue.outlet.door import Outlet
from backtest.venue.outlet.settings import SECRET, URL, OutletSecrets, OutletSettings
from backtest.venue.timeouts import Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backtest.venue.rate import RateLimit

HIDDEN = "a-secret-of-the-bot"
PATH = "/hook/0f4c1f8a-secret-part"
SETTINGS: dict[str, dict[str, Any]] = {
    "cornix": {"values": {"chat_id": "-1001"}, "replies": {"cancel": "Close", "stop": "Stop {stop}"}},
    "3commas": {"values": {"bot_uuid": "uuid"}, "confirmed": ("order", "take_profit", "stop_loss")},
    "traderspost": {"confirmed": ("absolute_exits",)},
}


class Receiver:
    """Takes what is posted, and answers as the venue of a kind does.

    Attributes
    ----------
    effects
        What arrived whole and was taken in.
    faults
        For the next posts: ``hang`` before it is taken in, ``status NNN``, with the seconds to wait behind it, ``silent`` after it was taken in.
    """

    def __init__(self) -> None:
        self.effects: list[dict[str, Any]] = []
        self.faults: deque[str] = deque()
        self.over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # whoever sent it died in the middle
                receiver.take(self, body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        fault = self.faults.popleft() if self.faults else ""
        if fault == "hang":
            self.over.wait(60.0)
            return
        if fault.startswith("status"):
            _, status, *wait = fault.split()
            told = json.dumps({"parameters": {"retry_after": json.loads(wait[0]) if wait else 7}})
            self._answer(handler, int(status), told.encode())
            return
        self.effects.append({"path": handler.path, "body": json.loads(body)})
        if fault == "silent":
            handler.close_connection = True
            return
        done = {"ok": True, "success": True, "result": {"message_id": 100 + len(self.effects)}}
        self._answer(handler, 200, json.dumps(done).encode())

    @staticmethod
    def _answer(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        handler.send_response(status)
        if 300 <= status < 400:
            handler.send_header("location", "http://127.0.0.1:9/elsewhere")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Serve as long as the ``with`` lasts."""
    found = Receiver()
    thread = threading.Thread(target=found.serve, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stop()
        thread.join(5.0)


def secrets(url: str) -> OutletSecrets:
    return OutletSecrets.load({URL: f"{url}{PATH}", SECRET: HIDDEN})


def settings(kind: str, **changes: Any) -> OutletSettings:
    return OutletSettings(name=f"my {kind}", kind=kind, **{"max_lag": 3600, **SETTINGS[kind], **changes})


def outlet(kind: str, url: str, rate: RateLimit | None = None, **changes: Any) -> Outlet:
    patient = Timeouts(connect=5.0, pool=5.0, read=10.0, write=10.0, total=30.0)
    return Outlet(settings(kind, **changes), secrets(url), rate=rate, timeouts=patient)
