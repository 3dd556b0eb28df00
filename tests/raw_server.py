"""A venue made of sockets, which can break an answer at any byte."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["RawServer", "answer", "drip", "http", "reset"]


class RawServer:
    """Accepts connections on loopback, reads each request to its end, then lets ``behaviour`` do as it likes.

    Attributes
    ----------
    requests
        The bytes of every request that arrived whole.
    connections
        How many were accepted.
    """

    def __init__(self, behaviour: Callable[[RawServer, socket.socket], None], *, reads: bool = True) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.over = threading.Event()
        self._behaviour, self._reads = behaviour, reads
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(2.0)

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(2.0)
        with connection, suppress(OSError):
            while not self.over.is_set():
                if self._reads:
                    request = _request(connection)
                    if not request:
                        return
                    self.requests.append(request)
                self._behaviour(self, connection)
                if not self._reads:
                    return


def _request(connection: socket.socket) -> bytes:
    """Return one request, or what came before the client went away."""
    text = b""
    while b"\r\n\r\n" not in text:
        piece = connection.recv(65536)
        if not piece:
            return b""
        text += piece
    found = re.search(rb"content-length: (\d+)", text, re.IGNORECASE)
    length = text.index(b"\r\n\r\n") + 4 + (int(found[1]) if found else 0)
    while len(text) < length:
        text += connection.recv(65536)
    return text


def http(status: str, body: Any = b"", *headers: str, length: int | None = None) -> bytes:
    """Return the bytes of an answer; a body that is no bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(raw) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def answer(raw: bytes, *, close: bool = False) -> Callable[[RawServer, socket.socket], None]:
    """Return a behaviour that sends these bytes, and closes the connection where asked to."""

    def behave(_: RawServer, connection: socket.socket) -> None:
        connection.sendall(raw)
        if close:
            connection.shutdown(socket.SHUT_RDWR)

    return behave


def drip(raw: bytes, *, first: int = 0, every: float = 0.05) -> Callable[[RawServer, socket.socket], None]:
    """Return a behaviour that sends the first bytes at once and the rest one by one, far beyond any deadline."""

    def behave(server: RawServer, connection: socket.socket) -> None:
        connection.sendall(raw[:first])
        for byte in raw[first:]:
            if server.over.wait(every):
                return
            connection.sendall(bytes([byte]))

    return behave


def reset(_: RawServer, connection: socket.socket) -> None:
    """Reset the connection (RST) instead of closing it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
