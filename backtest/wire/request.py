"""Request: a call as HTTP has it, without host and secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from backtest.errors import InvalidSignalError
from backtest.wire.codec import body_of
from backtest.wire.endpoint import ENDPOINTS, Endpoint, kind_of
from backtest.wire.json_text import json_bytes, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backtest.model.calls import Call

__all__ = ["Request", "addressed", "endpoint_of", "is_parent", "with_ref"]

_LONGEST_PARENT = 200


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
    at
        When it was decided, UTC ms: ours, for a venue whose messages say their time; 0 where nobody said.
    """

    kind: str
    method: str
    path: str
    body: bytes
    allow_marketable: bool = False
    at: int = field(default=0, compare=False)

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


def is_parent(text: str | None) -> bool:
    """Return whether a text can be the venue's name of a signal.

    It stands in paths and on screens: it is printable, has no space at its ends and is no step in a path; what is longer
    than 200 characters is no name *(ours)*.
    """
    if not text or len(text) > _LONGEST_PARENT or text in {".", ".."}:
        return False
    return text.isprintable() and text == text.strip()


def endpoint_of(call: Call, parent_signal_id: str | None = None) -> Request:
    """Return the request that states a call.

    Parameters
    ----------
    call
        What is wished.
    parent_signal_id
        The venue's name of the signal, for all but a create.

    Raises
    ------
    InvalidSignalError
        See :func:`backtest.wire.codec.body_of`; also for a name that would change the path.
    """
    marketable = getattr(call, "allow_marketable", False)
    return addressed(kind_of(call), body_of(call, parent_signal_id), parent_signal_id, allow_marketable=marketable)


def addressed(
    kind: str, body: Mapping[str, str | float], parent_signal_id: str | None = None, *, allow_marketable: bool = False
) -> Request:
    """Return a request with the venue's name of the signal in path and body.

    Parameters
    ----------
    kind, body
        Of the endpoint, and what is said; a ``parent_signal_id`` in it is replaced.
    parent_signal_id
        The venue's name of the signal; None for a create.
    allow_marketable
        See :class:`Request`.

    Raises
    ------
    InvalidSignalError
        For a name that cannot stand in a path.
    """
    endpoint = ENDPOINTS[kind]
    if endpoint.creates:
        return Request(kind, endpoint.method, endpoint.path, json_bytes(body))
    if parent_signal_id is None or not is_parent(parent_signal_id):
        raise InvalidSignalError(
            f"parent_signal_id is the venue's name of the signal, printable and no step in a path, "
            f"was {parent_signal_id!r}",
            "parent_signal_id",
        )
    path = endpoint.path.format(parent_signal_id=quote(parent_signal_id, safe=""))
    named = {**body, "parent_signal_id": parent_signal_id}
    return Request(kind, endpoint.method, path, json_bytes(named), allow_marketable)


def with_ref(body: bytes, refs: Mapping[str, str]) -> bytes:
    """Return a sent body with our ref for its ``parent_signal_id``: the opposite of :func:`addressed`.

    A backtest never learns a ``parent_signal_id`` and writes our ref in its place (``body_of(call, call.signal)``); what
    was sent is brought to the same form here, and then bytes are compared.

    Parameters
    ----------
    body
        The bytes that were sent; a create is returned as it is.
    refs
        Our ref by ``parent_signal_id``. An id that is not in it stays, and so shows up as a difference.
    """
    found = read_object(body)
    parent = found.get("parent_signal_id")
    if not isinstance(parent, str):
        return body
    return json_bytes({**found, "parent_signal_id": refs.get(parent, parent)})
