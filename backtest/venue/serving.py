"""Serving: the paper venue on a port, in this thread or beside it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn

from backtest.errors import StorageError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from starlette.types import ASGIApp

__all__ = ["PaperServer", "listen"]


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    Raises
    ------
    StorageError
        Where the address is taken or unknown.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise StorageError(f"cannot serve on {host}:{port}: {error}; choose another with --port") from None


class PaperServer:
    """Serves an application until it is told to stop; as a context manager, in a thread of its own.

    Parameters
    ----------
    app
        Of :func:`backtest.venue.server.paper_app`.
    listener
        Of :func:`listen`.
    """

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        self._listener = listener
        self._server = uvicorn.Server(uvicorn.Config(app, **_options()))
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
        "http": "h11",
        "ws": "none",
        "lifespan": "on",
        "log_level": "error",
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": 1,
    }
