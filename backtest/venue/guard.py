"""Guard: who may speak to the paper venue, and how much they may say."""

from __future__ import annotations

import hmac
import json
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from backtest.errors import InvalidSettingError
from backtest.venue.credentials import Credentials, is_loopback
from backtest.wire.answer import refused

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["MARKETABLE_HEADER", "TOKEN_HEADER", "Guard", "GuardedApp", "is_meant", "same_secret"]

TOKEN_HEADER = "paper-token"  # noqa: S105 - the name of a header

MARKETABLE_HEADER = "paper-allow-marketable"
"""``true``: an update may move a stop or target to where it trades at once (L11.2). The vendor has no such thing."""

_OWN_PATHS = "/paper/"
_MOST_BYTES, _MOST_BYTES_OWN = 65_536, 16_777_216
_ANY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - told apart here, never bound by itself


class Guard:
    """Checks host, origin, credentials and token, every secret in constant time.

    Parameters
    ----------
    credentials
        What a call of the Signal API must show.
    host
        The address that is served. One that is not loopback needs a token.
    token
        What a request to a path under ``/paper`` must show in its header; None asks for nothing.

    Raises
    ------
    InvalidSettingError
        For an address that others can reach, without a token.
    """

    def __init__(self, credentials: Credentials, host: str = "127.0.0.1", token: str | None = None) -> None:
        if not is_loopback(host) and not token:
            raise InvalidSettingError(f"{host} is open to others; serve on 127.0.0.1, or set ANNY_PAPER_TOKEN")
        self._credentials, self._host, self._token = credentials, host, token

    def is_local(self, headers: Headers) -> bool:
        """Whether a request names this venue, and comes from no foreign web page."""
        return is_meant(headers, self._host)

    def knows(self, headers: Headers) -> bool:
        """Whether a request shows both secrets of the Signal API."""
        key = same_secret(headers.get("anny-api-key"), self._credentials.api_key.get_secret_value())
        secret = same_secret(headers.get("anny-api-secret"), self._credentials.api_secret.get_secret_value())
        return key & secret

    def admits(self, headers: Headers) -> bool:
        """Whether a request shows the token, where there is one."""
        return self._token is None or same_secret(headers.get(TOKEN_HEADER), self._token)


def is_meant(headers: Headers, served: str, names: Collection[str] = ()) -> bool:
    """Whether a request names the server that it came to, and comes from no foreign web page: no browser is led here.

    Parameters
    ----------
    headers
        Of the request: ``Host`` and, from a page, ``Origin``.
    served
        The address that is served.
    names
        Other names that lead here, through a proxy.
    """
    named = headers.get("host", "")
    host = _name(f"//{named}")
    schemes = ("http", "https") if host in names else ("http",)
    if headers.get("origin") not in {None, *(f"{scheme}://{named}" for scheme in schemes)}:
        return False
    if host in names:
        return True
    if served in _ANY_ADDRESS:  # a name could be made to point here, an address cannot
        return host == "localhost" or _is_address(host)
    return host == served or is_loopback(host)


class GuardedApp:
    """An ASGI application that hears only of requests which may be made, with bodies that were read whole.

    In this order: host and origin, the length that was announced, the token of ``/paper``, the length that came. What is
    too long is refused before anything looks at credentials, meets a fault, or keeps it.

    Parameters
    ----------
    app
        The application behind it.
    guard
        Who may speak.
    """

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self.app, self.guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        own = scope["path"].startswith(_OWN_PATHS)
        refusal = self._refusal(scope, own=own)
        body: bytes | None = b""
        if refusal is None:
            most = _MOST_BYTES_OWN if own else _MOST_BYTES
            body, length = await _read(receive, most)
            if length > most:
                refusal = _too_long(most, length)
        if refusal is not None:
            await answer(send, *refusal)
        elif body is not None:
            await self.app(scope, _again(body, receive), send)

    def _refusal(self, scope: Scope, *, own: bool) -> tuple[int, dict[str, Any]] | None:
        """Return status and body of the refusal that a request's head deserves; None for none."""
        headers = Headers(scope=scope)
        if not self.guard.is_local(headers):
            return 403, refused("UNAUTHORIZED", "Host or Origin is not this venue")
        announced, most = int(headers.get("content-length", "0")), _MOST_BYTES_OWN if own else _MOST_BYTES
        if announced > most:
            return _too_long(most, announced)
        if own and not self.guard.admits(headers):
            return 403, refused("UNAUTHORIZED", f"the header {TOKEN_HEADER} is wrong or missing")
        return None


async def answer(send: Send, status: int, body: dict[str, Any] | bytes, *headers: tuple[bytes, bytes]) -> None:
    """Send a whole answer.

    Parameters
    ----------
    send
        Of the request.
    status
        HTTP's.
    body
        JSON, or bytes as they are.
    headers
        Beside content type and length.
    """
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    fixed = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": raw})


def _too_long(most: int, length: int) -> tuple[int, dict[str, Any]]:
    return 400, refused("INVALID_INPUT_CONTENT", f"the body has at most {most} bytes, had {length} or more")


async def _read(receive: Receive, most: int) -> tuple[bytes | None, int]:
    """Return a body and its length, which stops counting beyond ``most``; None where the client went away."""
    pieces: list[bytes] = []
    length, more = 0, True
    while more and length <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, 0
        pieces.append(message.get("body", b""))
        length += len(pieces[-1])
        more = message.get("more_body", False)
    return b"".join(pieces), length


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what hands out a body that was read, and after it what else comes of the connection."""
    left = [body]

    async def replay() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return replay


def same_secret(shown: str | None, expected: str) -> bool:
    """Whether what was shown is the secret, in a time that tells nothing of it."""
    return hmac.compare_digest((shown or "").encode(), expected.encode())


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
