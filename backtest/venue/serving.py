"""Serving: the paper venue on a port, in this thread or beside it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from backtest.errors import StorageError

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType
    from typing import Self

    from starlette.types import ASGIApp

__all__ = ["PaperServer", "listen"]


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Parameters
    ----------
    host
        Name or address of this machine.
    port
        0 takes a free one.

    Raises
    ------
    StorageError
        Where the address is taken or unknown.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise StorageError(f"cannot serve on {host}:{port}: {error}; choose another port") from None
    listener.setsockopt(
        socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
    )  # a client that vanished is found out within a minute
    for option, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)
    return listener


class _Impatient(H11Protocol):
    """Ends a connection whose request does not come whole: one that says nothing, half a head, or a body in drops."""

    patience = 30.0
    _waits: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        if self._waits is None and self.conn.their_state is h11.IDLE:
            self._wait()
        super().data_received(data)
        between = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        if self._waits is not None and (between or self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}):
            self._waits.cancel()
            self._waits = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waits is not None:
            self._waits.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waits = self.loop.call_later(self.patience, self.transport.abort)


class PaperServer:
    """Serves an application until it is told to stop; as a context manager, in a thread of its own.

    Parameters
    ----------
    app
        Of :func:`backtest.venue.server.paper_app`.
    listener
        Of :func:`listen`.
    patience
        Seconds that a request may take to come whole.
    """

    def __init__(self, app: ASGIApp, listener: socket.socket, *, patience: float = 30.0) -> None:
        self._listener = listener
        protocol = type("_Protocol", (_Impatient,), {"patience": patience})
        self._server = uvicorn.Server(uvicorn.Config(app, http=protocol, **_options()))
        self._thread = threading.Thread(target=self.run, daemon=True, name="paper venue")

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self) -> None:
        """Serve until stopped, by a signal in the main thread."""
        self._server.run(sockets=[self._listener])

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.002)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(10.0)
        with suppress(OSError):
            self._listener.close()


def _options() -> dict[str, Any]:
    """Return how uvicorn runs: one process, no access log, no word about itself."""
    return {
        "ws": "none",
        "lifespan": "on",
        "log_level": "error",
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": 1,
    }
