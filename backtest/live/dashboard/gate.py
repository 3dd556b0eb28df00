"""Gate: who may look at the dashboard, and who may press its buttons."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from backtest.errors import InvalidSettingError
from backtest.venue.credentials import is_loopback
from backtest.venue.guard import is_meant, same_secret

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["COOKIE", "TOKEN", "Gate", "GatedApp"]

TOKEN = "BACKTEST_DASHBOARD_TOKEN"  # noqa: S105 - the name of a variable
COOKIE = "dashboard"
_LEAST = 16
_MOST_BYTES = 65_536
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with less, a form of our own says that it comes from nowhere
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Gate:
    """Knows the address that is served and the token.

    On this machine's own address anybody on it may look; buttons always ask for the token. On any other address looking asks
    for it too, once for each browser.

    Parameters
    ----------
    host
        The address that is served.
    token
        None makes one, which :attr:`token` then is; only for an address of this machine.
    names
        Other names that lead here, through a proxy that speaks TLS.

    Raises
    ------
    InvalidSettingError
        For an address that others can reach, without a token or with a short one.
    """

    def __init__(self, host: str, token: str | None = None, names: Collection[str] = ()) -> None:
        self.open = is_loopback(host) and not names
        if not token and not is_loopback(host):
            raise InvalidSettingError(f"{host} is open to others; serve on 127.0.0.1, or set {TOKEN}")
        if not self.open and len(token or "") < _LEAST:
            raise InvalidSettingError(f"{TOKEN} needs {_LEAST} characters or more where others can reach the dashboard")
        self.made = not token
        self.token = token or secrets.token_hex(16)
        self._host, self._names = host, frozenset(names)

    def is_meant(self, headers: Headers, *, acts: bool) -> bool:
        """Whether a request names this dashboard and comes from no foreign page; one that acts says where it comes from."""
        if acts and headers.get("origin") is None:
            return False
        leads = not acts and headers.get("sec-fetch-mode") == "navigate"  # somebody followed a link
        if not leads and headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            return False
        return is_meant(headers, self._host, self._names)

    def admits(self, headers: Headers) -> bool:
        """Whether whoever asks may look."""
        if self.open:
            return True
        _, _, shown = headers.get("authorization", "").partition("Bearer ")
        return self.knows(shown) or same_secret(_cookie(headers), self.session)

    def knows(self, token: str | None) -> bool:
        """Whether this is the token."""
        return same_secret(token, self.token)

    @property
    def session(self) -> str:
        """What a browser keeps once it has shown the token, and what no button takes in its place."""
        return hmac.new(self.token.encode(), b"dashboard session", hashlib.sha256).hexdigest()


class GatedApp:
    """An ASGI application that hears only of requests that were meant for it, with bodies that are not too long.

    Parameters
    ----------
    app
        The application behind it.
    gate
        Who may speak.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self.app, self.gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, acts = Headers(scope=scope), scope["method"] not in {"GET", "HEAD"}

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                kept = list(message.get("headers", []))
                if not any(name == b"cache-control" for name, _ in kept):
                    own.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*kept, *own]}
            await send(message)

        length = headers.get("content-length", "0")
        if not self.gate.is_meant(headers, acts=acts):
            await _refuse(guarded, 403, "Host or Origin is not this dashboard")
        elif not length.isdigit() or int(length) > _MOST_BYTES or "transfer-encoding" in headers:
            await _refuse(guarded, 413, f"a request has at most {_MOST_BYTES} bytes, and says how many")
        else:
            await self.app(scope, receive, guarded)


async def _refuse(send: Send, status: int, sentence: str) -> None:
    head = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": sentence.encode()})


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
