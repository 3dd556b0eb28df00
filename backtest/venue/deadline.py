"""Deadline: the end of a whole exchange, which a timeout for each read does not give.

A venue that sends one byte a second never meets a read timeout. Here every read and write of a connection gets what is
left until the deadline, and not more.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import httpcore

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

__all__ = ["DEADLINE", "DeadlineBackend", "keep_only_whole"]

DEADLINE: ContextVar[float] = ContextVar("deadline", default=float("inf"))
"""When the exchange of this thread ends, on :func:`time.monotonic`."""


def keep_only_whole(stream: object, body: bytes) -> None:
    """Close a connection on which something came behind an answer, which would be taken for the next call's answer.

    Where the end of an answer is not plain (it came in chunks) the connection is closed too; the next call opens another.

    Parameters
    ----------
    stream
        On which the answer came.
    body
        Of the answer.
    """
    if isinstance(stream, _Stream) and not stream.ended_with(body):
        stream.close()


class DeadlineBackend(httpcore.SyncBackend):
    """Opens connections whose reads and writes end at :data:`DEADLINE`."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect, and wrap the connection."""
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    """One connection; the head of a request leaves together with its body, which wakes the venue once."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self._head: bytes | None = b""
        self._answer = bytearray()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._head:
            self._inner.write(self._head, _left(timeout, httpcore.WriteTimeout))
        self._head = b""
        found = self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))
        self._answer += found
        return found

    def ended_with(self, body: bytes) -> bool:
        """Whether a head and this body are all that came since the request."""
        head, _, rest = bytes(self._answer).partition(b"\r\n\r\n")
        return bool(head) and rest == body

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left = _left(timeout, httpcore.WriteTimeout)
        if self._head == b"":
            self._head = buffer
            self._answer.clear()
            return
        whole = (self._head or b"") + buffer
        self._head = None
        self._inner.write(whole, left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(timeout: float | None, late: type[httpcore.TimeoutException]) -> float:
    left = DEADLINE.get() - time.monotonic()
    if left <= 0.0:
        raise late("the deadline of the whole exchange has passed")
    return left if timeout is None else min(left, timeout)
