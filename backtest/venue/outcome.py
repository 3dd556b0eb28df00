"""Outcome: the one table that decides what an answer, or the lack of one, means for a call."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from backtest.errors import (
    OutcomeUnknownError,
    RateLimitedError,
    RequestRejectedError,
    UnauthorizedError,
    VenueUnavailableError,
)
from backtest.venue.evidence import Evidence, with_evidence
from backtest.wire.answer import Envelope, read_envelope, read_rate_limit

if TYPE_CHECKING:
    from backtest.errors import VenueError
    from backtest.venue.redaction import Redactor
    from backtest.wire.request import Request

__all__ = ["Answer", "Failure", "Reply", "failed", "judged"]

_SHOWN = 500
_SILENT_RETRY = 60.0
_LONGEST_RETRY = 86_400.0
_DONE, _BAD_REQUEST, _TIMEOUT, _TOO_MANY, _CLIENT_CLOSED = 200, 400, 408, 429, 499


@dataclass(frozen=True, slots=True)
class Answer:
    """The venue performed the call.

    Attributes
    ----------
    parent_signal_id
        The venue's name of the signal; after a create never None.
    ttl
        ``result.ttl``, where it is given.
    evidence
        For the journal.
    """

    parent_signal_id: str | None
    ttl: float | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Reply:
    """What was read of an answer.

    Attributes
    ----------
    status, headers, body
        Header names in lower case. The body may echo a secret, so ``repr`` leaves it out.
    cut
        Why the body was not read to its end (class of the error); empty where it was.
    """

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    cut: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer.

    Attributes
    ----------
    error
        Class of the transport's error, ``"ConnectError"``.
    text
        What it says; may hold anything, so it is redacted before it is shown.
    sent
        Whether a byte of the request may have left this machine.
    """

    error: str
    text: str = field(repr=False)
    sent: bool = True


def failed(request: Request, failure: Failure, base_url: str, redactor: Redactor) -> VenueError:
    """Return the error for a request that got no answer."""
    why = redactor.clean(f"{failure.error}: {failure.text}" if failure.text else failure.error)[:_SHOWN]
    evidence = Evidence(error=failure.error, body="")
    if failure.sent:
        return _unknown(request, f"no answer from {base_url} ({why})", evidence)
    message = f"{request.kind} was not sent: no connection to {base_url} ({why}); sending it again is safe"
    return with_evidence(VenueUnavailableError(message), evidence)


def judged(request: Request, reply: Reply, redactor: Redactor) -> Answer:
    """Return what an answer says, where it says that the call was performed.

    A status of 4xx that the vendor does not document is a refusal *(ours)*: HTTP says that nothing was performed. The
    exceptions are 408, and 499, which a proxy in front of the venue writes when it gave up on it.

    Raises
    ------
    RequestRejectedError
        400 and other 4xx; :class:`UnauthorizedError` for 401, 403 and any redirect.
    RateLimitedError
        429, with the longer of ``Retry-After`` and ``retryAfterMs``.
    OutcomeUnknownError
        Anything else that is not a proved success.
    """
    envelope = read_envelope(reply.body)
    text = redactor.clean(reply.body.decode("utf-8", "replace"))
    result_type = redactor.clean(envelope.result.type)[:_SHOWN] if envelope else ""
    evidence = Evidence(reply.status, result_type, reply.cut, text[:_SHOWN])
    said = " ".join(filter(None, (str(reply.status), result_type))) + _reason(reply.body, redactor)
    if reply.status == _DONE:
        return _performed(request, reply, envelope, evidence)
    if reply.status == _TOO_MANY:
        wait = _retry_after(reply)
        message = f"{request.kind} was refused for now: {said}; sending it again is allowed in {wait:g} s"
        raise with_evidence(RateLimitedError(message, wait), evidence)
    if reply.status in {401, 403} or 300 <= reply.status < 400:
        why = "a redirect is never followed" if reply.status < 400 else "check ANNY_API_KEY and ANNY_API_SECRET"
        raise with_evidence(UnauthorizedError(f"{request.kind} was refused: {said}; {why}"), evidence)
    if _BAD_REQUEST <= reply.status < 500 and reply.status not in {_TIMEOUT, _CLIENT_CLOSED}:
        raise with_evidence(RequestRejectedError(f"{request.kind} was refused: {said}"), evidence)
    raise _unknown(request, f"the answer was {said}", evidence)


def _performed(request: Request, reply: Reply, envelope: Envelope | None, evidence: Evidence) -> Answer:
    if reply.cut:
        raise _unknown(request, f"the answer broke off ({reply.cut})", evidence)
    if envelope is None:
        raise _unknown(request, "the answer was 200 with a body that is no envelope", evidence)
    if not envelope.succeeded:
        raise _unknown(request, f"the answer was 200 with {evidence.result_type} and no success", evidence)
    parent = envelope.outcome.parent_signal_id
    if request.endpoint.creates and not (parent and parent.strip()):
        raise _unknown(request, "the answer was a success without a parent_signal_id", evidence)
    return Answer(parent, envelope.result.ttl, evidence)


def _unknown(request: Request, why: str, evidence: Evidence) -> OutcomeUnknownError:
    way_out = "it may be sent again" if request.repeatable else "look at the venue before sending it again"
    return with_evidence(OutcomeUnknownError(f"{request.kind} may have arrived: {why}; {way_out}"), evidence)


def _retry_after(reply: Reply) -> float:
    """Return the longer of the two waits in seconds; a minute where neither is given *(ours: the venue's window)*."""
    named = [_header_wait(reply.headers)]
    body = read_rate_limit(reply.body).retryAfterMs
    named.append(None if body is None else body / 1000.0)
    waits = [wait for wait in named if wait is not None and math.isfinite(wait) and wait >= 0.0]
    return min(max(waits), _LONGEST_RETRY) if waits else _SILENT_RETRY


def _header_wait(headers: dict[str, str]) -> float | None:
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        until = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    try:
        now = parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        now = time.time()
    return max(0.0, until - now)


def _reason(body: bytes, redactor: Redactor) -> str:
    """Return what the body says about the refusal; the vendor does not document where it says it."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    texts = list(dict.fromkeys(_texts(found)))
    return f" ({redactor.clean('; '.join(texts))[:_SHOWN]})" if texts else ""


def _texts(found: Any) -> list[str]:
    if not isinstance(found, dict):
        return []
    said = [found[name] for name in ("field", "message", "error", "errors", "description", "reason") if name in found]
    inner = [text for name in ("result", "payload") for text in _texts(found.get(name))]
    return [text for text in said if isinstance(text, str)] + inner
