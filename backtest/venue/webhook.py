"""Webhook: JSON posted to a secret https address, once; what became of it is a word, never an exception."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from backtest.errors import InvalidSettingError
from backtest.venue.client import TALKATIVE, posted
from backtest.venue.credentials import is_loopback
from backtest.venue.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Delivery", "Webhook", "parts_of", "redactor_of"]

_AGAIN = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a message.

    Attributes
    ----------
    failed
        Why it was not delivered, for a person; empty where it was.
    again
        Whether to try again may help.
    """

    failed: str = ""
    again: bool = False


def redactor_of(url: str) -> Redactor:
    """Return what takes a secret address, and each of its longer parts but the host, out of any text."""
    return Redactor(parts_of(url))


def parts_of(url: str) -> list[SecretStr]:
    """Return a secret address and each of its longer parts but the host."""
    parts = [part for part in re.split(r"[/:@?&=#]+", url.partition("//")[2].partition("/")[2]) if len(part) >= 6]
    return [SecretStr(url), *map(SecretStr, parts)]


class Webhook:
    """An address that takes JSON.

    Parameters
    ----------
    url
        https, or plain http to this machine only. Whoever knows it may post there: it is never shown.
    seconds
        After which a post is over, whatever the other side does.

    Raises
    ------
    InvalidSettingError
        For an address over which nothing secret may travel.
    """

    def __init__(self, url: str, *, seconds: float = 10.0) -> None:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise InvalidSettingError("the address of the webhook cannot be read; it is https://HOST/...") from None
        if parts.scheme not in {"https", "http"} or not host or not url.isascii() or not url.isprintable():
            raise InvalidSettingError("the address of a webhook is https://HOST/...; the one given is not")
        if parts.scheme == "http" and not is_loopback(host):
            raise InvalidSettingError(f"the webhook at {host} is plain http; a secret address travels over https")
        self.name = host
        self._url, self._seconds = SecretStr(url), seconds
        self._redactor = redactor_of(url)

    def __repr__(self) -> str:
        return f"Webhook({self.name!r})"

    def post(self, body: Mapping[str, Any]) -> Delivery:
        """Post one message; a redirect is not followed, and the answer's body is not read."""
        for name in TALKATIVE:
            logging.getLogger(name).addFilter(self._redactor)
        try:
            return self._post(json.dumps(body, ensure_ascii=False).encode())
        finally:
            for name in TALKATIVE:
                logging.getLogger(name).removeFilter(self._redactor)

    def _post(self, content: bytes) -> Delivery:
        timeout = httpx.Timeout(self._seconds, connect=min(5.0, self._seconds))
        try:
            with posted(self._url.get_secret_value(), content, timeout, self._seconds) as response:
                return _judged(response.status_code)
        except Exception as error:  # noqa: BLE001 - an alarm that fails must not fail what it is about
            return Delivery(f"{type(error).__name__}", again=True)  # its text could hold the address


def _judged(status: int) -> Delivery:
    if 200 <= status < 300:
        return Delivery()
    if 300 <= status < 400:
        return Delivery(f"it answered {status}, a redirect, which is never followed")
    return Delivery(f"it answered {status}", again=status >= 500 or status in _AGAIN)
