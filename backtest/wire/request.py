"""Request: a call as HTTP has it, without host and secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from backtest.errors import InvalidSignalError
from backtest.wire.codec import body_of
from backtest.wire.endpoint import ENDPOINTS, Endpoint, kind_of
from backtest.wire.json_text import json_bytes

if TYPE_CHECKING:
    from backtest.model.calls import Call

__all__ = ["Request", "endpoint_of"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the Signal API.

    Attributes
    ----------
    kind
        Of its endpoint: ``create_v2``, ``cancel``.
    method, path
        ``"POST"``, ``"/v2/signal"``; the id in the path is quoted.
    body
        Compact JSON, the very bytes that are sent.
    allow_marketable
        Of an update (L11.2): ours, no part of the API. The client tells it to a venue on this machine only.
    """

    kind: str
    method: str
    path: str
    body: bytes
    allow_marketable: bool = False

    @property
    def endpoint(self) -> Endpoint:
        """The door that it knocks at."""
        return ENDPOINTS[self.kind]

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again when its outcome is unknown (class I)."""
        return self.endpoint.repeatable

    @property
    def headers(self) -> dict[str, str]:
        """All headers but the two secrets."""
        return {"accept": "application/json", "content-type": "application/json"}


def endpoint_of(call: Call, parent_signal_id: str | None = None) -> Request:
    """Return the request that states a call.

    Raises
    ------
    InvalidSignalError
        See :func:`backtest.wire.codec.body_of`; also for an id that would change the path.
    """
    endpoint = ENDPOINTS[kind_of(call)]
    body = json_bytes(body_of(call, parent_signal_id))
    if parent_signal_id in {".", ".."}:
        raise InvalidSignalError(
            f'parent_signal_id may not be a step in a path, was "{parent_signal_id}"', "parent_signal_id"
        )
    path = endpoint.path.format(parent_signal_id=quote(parent_signal_id or "", safe=""))
    return Request(endpoint.kind, endpoint.method, path, body, getattr(call, "allow_marketable", False))
