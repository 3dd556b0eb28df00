"""Verdict: what one try at a call proved; the one table that decides, and what is shown of it.

``acked``: 200, performed, result success, and after a create a name that can be used. ``rejected``: 400 and other 4xx;
401, 403 and any 3xx halt everything besides. ``later``: 429, or the client's own limit. ``not_sent``: no connection, no
byte left this machine. ``lost``: anything else, and the call may have arrived.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from backtest.errors import (
    OutcomeUnknownError,
    RateLimitedError,
    RequestRejectedError,
    UnauthorizedError,
    VenueUnavailableError,
)
from backtest.wire.answer import Envelope, read_envelope, read_rate_limit
from backtest.wire.request import is_parent

if TYPE_CHECKING:
    from typing import Self

    from backtest.venue.redaction import Redactor
    from backtest.wire.request import Request

__all__ = ["Failure", "Meaning", "Reply", "Verdict", "failed", "held_back", "judged", "retry_after", "shown"]

_SHOWN = 500
_SILENT_RETRY = 60.0
_LONGEST_RETRY = 86_400.0
_DONE, _BAD_REQUEST, _TIMEOUT, _TOO_MANY, _CLIENT_CLOSED = 200, 400, 408, 429, 499


class Meaning(StrEnum):
    """What a try proved."""

    ACKED = "acked"
    REJECTED = "rejected"
    LATER = "later"
    NOT_SENT = "not_sent"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one try, without a secret, and without a character that a terminal or a database cannot take.

    Attributes
    ----------
    meaning
        What the try proved.
    reason
        A sentence for a person; empty where the call was performed.
    status
        The HTTP status; None where no answer was read.
    result_type
        ``result.type`` of the answer; empty where it has none.
    error
        Class of the transport's error, ``"ReadTimeout"``; empty where an answer was read to its end.
    body
        The beginning of the answer's body.
    parent_signal_id
        The venue's name of the signal; after a create that was performed never None.
    ttl
        ``result.ttl``, where it is given.
    wait
        Seconds before it may be sent again, of ``later``.
    halts
        Whether nothing but cancels may follow: bad credentials, or a redirect.
    """

    meaning: Meaning
    reason: str = ""
    status: int | None = None
    result_type: str = ""
    error: str = ""
    body: str = ""
    parent_signal_id: str | None = None
    ttl: float | None = None
    wait: float = 0.0
    halts: bool = False

    @property
    def performed(self) -> bool:
        """Whether the venue did what the call says."""
        return self.meaning is Meaning.ACKED

    def require(self) -> Self:
        """Return it where the call was performed.

        Raises
        ------
        RequestRejectedError, UnauthorizedError
            Sending it again cannot help.
        RateLimitedError
            By the venue, or by the client's own limit; may be sent again after ``retry_after`` seconds.
        VenueUnavailableError
            Never left this machine.
        OutcomeUnknownError
            May have arrived.
        """
        if self.performed:
            return self
        if self.meaning is Meaning.LATER:
            raise RateLimitedError(self.reason, self.wait)
        if self.meaning is Meaning.REJECTED:
            raise (UnauthorizedError if self.halts else RequestRejectedError)(self.reason)
        raise (VenueUnavailableError if self.meaning is Meaning.NOT_SENT else OutcomeUnknownError)(self.reason)


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


def held_back(request: Request, wait: float) -> Verdict:
    """Return the verdict on a request that the client's own limit did not let out for ``wait`` seconds."""
    reason = f"{request.kind} was held back by the client's own rate limit; sending it is allowed in {wait:.3g} s"
    return Verdict(Meaning.LATER, reason, error="LocalRateLimit", wait=wait)


def failed(request: Request, failure: Failure, base_url: str, redactor: Redactor) -> Verdict:
    """Return the verdict on a request that got no answer.

    Parameters
    ----------
    request, failure
        What was to be sent, and why nothing came back.
    base_url
        Of the venue, to be named.
    redactor
        Takes the secrets out of what the transport says.
    """
    why = shown(f"{failure.error}: {failure.text}" if failure.text else failure.error, redactor)
    if failure.sent:
        return Verdict(Meaning.LOST, _lost(request, f"no answer from {base_url} ({why})"), error=failure.error)
    reason = f"{request.kind} was not sent: no connection to {base_url} ({why}); sending it again is safe"
    return Verdict(Meaning.NOT_SENT, reason, error=failure.error)


def judged(request: Request, reply: Reply, redactor: Redactor) -> Verdict:
    """Return what an answer says.

    A status of 4xx that the vendor does not document is a refusal *(ours)*: HTTP says that nothing was performed. The
    exceptions are 408, and 499, which a proxy in front of the venue writes when it gave up on it.

    Parameters
    ----------
    request, reply
        What was sent and what came back.
    redactor
        Takes the secrets out of what the venue says.
    """
    envelope = read_envelope(reply.body)
    result_type = shown(envelope.result.type, redactor) if envelope else ""
    said = " ".join(filter(None, (str(reply.status), result_type))) + _reason(reply.body, redactor)
    meaning, reason, more = _meaning(request, reply, envelope, said)
    text = shown(reply.body.decode("utf-8", "replace"), redactor)
    return Verdict(meaning, reason, reply.status, result_type, reply.cut, text, **more)


def _meaning(
    request: Request, reply: Reply, envelope: Envelope | None, said: str
) -> tuple[Meaning, str, dict[str, Any]]:
    if reply.status == _DONE:
        return _performed(request, reply, envelope, said)
    if reply.status == _TOO_MANY:
        wait = retry_after(reply)
        reason = f"{request.kind} was refused for now: {said}; sending it again is allowed in {wait:g} s"
        return Meaning.LATER, reason, {"wait": wait}
    if reply.status in {401, 403} or 300 <= reply.status < 400:
        why = "a redirect is never followed" if reply.status < 400 else "check ANNY_API_KEY and ANNY_API_SECRET"
        return Meaning.REJECTED, f"{request.kind} was refused: {said}; {why}", {"halts": True}
    if _BAD_REQUEST <= reply.status < 500 and reply.status not in {_TIMEOUT, _CLIENT_CLOSED}:
        return Meaning.REJECTED, f"{request.kind} was refused: {said}", {}
    return Meaning.LOST, _lost(request, f"the answer was {said}"), {}


def _performed(
    request: Request, reply: Reply, envelope: Envelope | None, said: str
) -> tuple[Meaning, str, dict[str, Any]]:
    why = ""
    if reply.cut:
        why = f"the answer broke off ({reply.cut})"
    elif envelope is None:
        why = "the answer was 200 with a body that is no envelope"
    elif not envelope.succeeded:
        why = f"the answer was {said} and no success"
    elif request.endpoint.creates and not is_parent(envelope.outcome.parent_signal_id):
        why = "the answer was a success without a parent_signal_id that can be used"
    if why or envelope is None:
        return Meaning.LOST, _lost(request, why), {}
    parent = envelope.outcome.parent_signal_id
    return Meaning.ACKED, "", {"parent_signal_id": parent if is_parent(parent) else None, "ttl": envelope.result.ttl}


def _lost(request: Request, why: str) -> str:
    way_out = "it may be sent again" if request.repeatable else "look at the venue before sending it again"
    return f"{request.kind} may have arrived: {why}; {way_out}"


def shown(text: str, redactor: Redactor) -> str:
    """Return the beginning of a text that may hold anything: no secret, no control character, no half a character.

    Parameters
    ----------
    text
        As somebody else wrote it.
    redactor
        Takes the secrets out.
    """
    clean = redactor.clean(text[: 4 * _SHOWN])
    return "".join(each if each.isprintable() else " " if each in "\t\r\n" else "\ufffd" for each in clean)[:_SHOWN]


def retry_after(reply: Reply) -> float:
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
    until = _moment(text)
    if until is None:
        return None
    now = _moment(headers.get("date", ""))
    return max(0.0, until - (time.time() if now is None else now))


def _moment(text: str) -> float | None:
    """Return a date of HTTP as a timestamp; None for what is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _reason(body: bytes, redactor: Redactor) -> str:
    """Return what the body says about the refusal; the vendor does not document where it says it."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    texts = list(dict.fromkeys(_texts(found)))
    return f" ({shown('; '.join(texts), redactor)})" if texts else ""


def _texts(found: Any, depth: int = 0) -> list[str]:
    if not isinstance(found, dict) or depth > 4:
        return []
    said = [found[name] for name in ("field", "message", "error", "errors", "description", "reason") if name in found]
    inner = [text for name in ("result", "payload") for text in _texts(found.get(name), depth + 1)]
    return [text for text in said if isinstance(text, str)] + inner
