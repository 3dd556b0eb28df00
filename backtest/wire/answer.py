"""Answer: the envelopes in which the venue answers, read leniently and written exactly.

Reading ignores unknown keys: a field that the vendor adds must not turn an acknowledged call into an unknown one.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

__all__ = [
    "PERFORMED",
    "Envelope",
    "RateLimitBody",
    "performed",
    "rate_limited",
    "read_envelope",
    "read_rate_limit",
    "refused",
]

PERFORMED = "OPERATION_PERFORMED"


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


class Payload(BaseModel):
    """What came of a call; ``parent_signal_id`` is the venue's name of the signal."""

    model_config = ConfigDict(strict=True, frozen=True, defer_build=True)
    parent_signal_id: str | None = None
    result: str | None = None


class ResultBody(BaseModel):
    """The type of an answer. An older collection of the vendor has the payload in here."""

    model_config = ConfigDict(strict=True, frozen=True, defer_build=True)
    type: str
    ttl: Annotated[float | None, BeforeValidator(_number)] = None
    payload: Payload | None = None


class Envelope(BaseModel):
    """``{"result": {"type": ...}, "payload": {...}}``."""

    model_config = ConfigDict(strict=True, frozen=True, defer_build=True)
    result: ResultBody
    payload: Payload | None = None

    @property
    def outcome(self) -> Payload:
        """The payload, beside ``result`` or inside it; the one beside it counts where there are two."""
        return self.payload or self.result.payload or Payload()

    @property
    def succeeded(self) -> bool:
        """Whether it says that the call was performed: HTTP 200 alone does not."""
        return self.result.type == PERFORMED and self.outcome.result == "success"


class RateLimitBody(BaseModel):
    """``{"error": "...", "retryAfterMs": 1500}``, with status 429."""

    model_config = ConfigDict(frozen=True, defer_build=True)
    error: str = ""
    retryAfterMs: Annotated[float | None, BeforeValidator(_number)] = None  # noqa: N815 - the vendor's name


def read_envelope(raw: bytes) -> Envelope | None:
    """Return the envelope in an answer's body; None where there is none that can be read."""
    try:
        return Envelope.model_validate_json(raw)
    except ValidationError:
        return None


def read_rate_limit(raw: bytes) -> RateLimitBody:
    """Return what a 429 says about the time to wait, in the vendor's two envelopes; nothing where it cannot be read."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return RateLimitBody()
    for place in (found, found.get("result") if isinstance(found, dict) else None):
        if isinstance(place, dict) and "retryAfterMs" in place:
            error = place.get("error")
            return RateLimitBody(error=error if isinstance(error, str) else "", retryAfterMs=place["retryAfterMs"])
    return RateLimitBody()


def performed(parent_signal_id: str, ttl: float | None = None) -> dict[str, Any]:
    """Return the body of a success, for a venue to send with status 200."""
    result: dict[str, Any] = {"type": PERFORMED} if ttl is None else {"type": PERFORMED, "ttl": ttl}
    return {"result": result, "payload": {"parent_signal_id": parent_signal_id, "result": "success"}}


def refused(result_type: str, message: str, field: str = "") -> dict[str, Any]:
    """Return the body of a refusal.

    The vendor documents ``result.type`` only; that the payload names field and reason is ours.
    """
    where = {"field": field} if field else {}
    return {"result": {"type": result_type}, "payload": {"result": "error", **where, "message": message}}


def rate_limited(retry_after_ms: int, error: str = "Too many requests") -> dict[str, Any]:
    """Return the body of a 429."""
    return {"error": error, "retryAfterMs": retry_after_ms}
