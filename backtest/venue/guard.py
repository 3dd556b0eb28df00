"""Guard: who may speak to the paper venue."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backtest.errors import InvalidSettingError
from backtest.venue.credentials import Credentials, is_loopback

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["MARKETABLE_HEADER", "TOKEN_HEADER", "Guard"]

TOKEN_HEADER = "paper-token"  # noqa: S105 - the name of a header


MARKETABLE_HEADER = "paper-allow-marketable"
"""``true``: an update may move a stop or target to where it trades at once (L11.2). The vendor has no such thing."""


class Guard:
    """Checks host, origin, credentials and token, every secret in constant time.

    Parameters
    ----------
    credentials
        What a call of the Signal API must show.
    host
        The address that is served. One that is not loopback needs a token.
    token
        What a request outside the vendor's namespace must show; None asks for nothing.

    Raises
    ------
    InvalidSettingError
        For an address that others can reach, without a token.
    """

    def __init__(self, credentials: Credentials, host: str = "127.0.0.1", token: str | None = None) -> None:
        if not is_loopback(host) and not token:
            raise InvalidSettingError(f"{host} is open to others; serve on 127.0.0.1, or set ANNY_PAPER_TOKEN")
        self._credentials, self._host, self._token = credentials, host, token

    def is_local(self, request: Request) -> bool:
        """Whether the request names this venue, and comes from no foreign web page: a browser must not be led here."""
        named = request.headers.get("host", "")
        if request.headers.get("origin") not in {None, f"http://{named}"}:
            return False
        host = _name(f"//{named}")
        return host == self._host or is_loopback(host)

    def knows(self, request: Request) -> bool:
        """Whether the request shows both secrets of the Signal API."""
        key = _same(request.headers.get("anny-api-key"), self._credentials.api_key.get_secret_value())
        secret = _same(request.headers.get("anny-api-secret"), self._credentials.api_secret.get_secret_value())
        return key & secret

    def admits(self, request: Request) -> bool:
        """Whether the request shows the token, where there is one."""
        return self._token is None or _same(request.headers.get(TOKEN_HEADER), self._token)


def _same(shown: str | None, expected: str) -> bool:
    return hmac.compare_digest((shown or "").encode(), expected.encode())


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
