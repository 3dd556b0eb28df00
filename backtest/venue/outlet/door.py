"""Door: an outlet as the emitter needs a venue: one request, sent once, and what its answer proves."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError, InvalidSignalError
from backtest.model.calls import CreateSignal
from backtest.venue.client import TALKATIVE, post_once
from backtest.venue.outlet.carried import carry
from backtest.venue.outlet.template import OutletTemplate, parent_of
from backtest.venue.rate import RateLimit
from backtest.venue.timeouts import Timeouts
from backtest.venue.verdict import Failure, Meaning, Verdict, failed, retry_after, shown
from backtest.wire import call_from_body, is_parent, read_object, tag_of

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from backtest.model.calls import Call
    from backtest.venue.outlet.settings import OutletSecrets, OutletSettings
    from backtest.venue.verdict import Reply
    from backtest.wire import Request

__all__ = ["Outlet"]

_TIMED_OUT = {408, 499}


@dataclass(frozen=True, slots=True)
class _Said:
    """A call as the outlet says it."""

    call: Call
    parent: str
    body: bytes


class Outlet:
    """Sends calls as an outlet takes them, each at most once: none of them may be repeated once it may have arrived.

    It takes the same requests as the Signal API's client, so that journal, limits and recovery are the same, and turns each
    into the outlet's message at the last moment: what is kept holds neither its words nor its secrets.

    Parameters
    ----------
    settings
        What a person says about it.
    secrets
        Where messages go.
    template
        Its own template; empty for that of its kind.
    rate
        None: as many a minute as the settings say.
    timeouts
        See :class:`Timeouts`.

    Raises
    ------
    InvalidSettingError
        For an outlet where nothing ends a loss when this process dies, unless the settings allow it.
    """

    def __init__(
        self,
        settings: OutletSettings,
        secrets: OutletSecrets,
        template: str = "",
        *,
        rate: RateLimit | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.settings, self.carries = settings, settings.says
        if not (self.carries.protects or settings.allow_unprotected):
            more = f" or confirm {', '.join(_confirmable(settings))}" if _confirmable(settings) else ""
            raise InvalidSettingError(
                f"{settings.name} carries no stop: nothing there ends a loss when this process dies; choose another venue{more}, "
                "or say allow_unprotected = true"
            )
        self.base_url, self.rate = secrets.base_url, rate or RateLimit(settings.limit)
        self._secrets, self._timeouts, self._redactor = secrets, timeouts or Timeouts(), secrets.redactor
        self._template = OutletTemplate(settings, template)
        for name in TALKATIVE:
            logging.getLogger(name).addFilter(self._redactor)

    def __repr__(self) -> str:
        return f"Outlet({self.settings.name!r})"

    @property
    def max_lag(self) -> int:
        """How long after its close a call may still come, ms."""
        return self.settings.max_lag * 1000

    def exchange(self, request: Request) -> Verdict:
        """Send one request, once and now; any thread may."""
        try:
            said = self._said(request)
        except InvalidSignalError as error:
            return Verdict(Meaning.REJECTED, f"{request.kind} was not sent: {shown(str(error), self._redactor)}")
        if said is None:
            return Verdict(Meaning.REJECTED, f"{request.kind} was not sent: {self.settings.name} cannot say it")
        heard = post_once(self._secrets.url.get_secret_value(), said.body, self._timeouts)
        if isinstance(heard, Failure):
            return failed(request, heard, self.base_url, self._redactor)
        return self._judged(request, heard, said)

    def message(self, request: Request) -> bytes | None:
        """Return what would be sent for a request, without the secret; None where the outlet cannot say it.

        Raises
        ------
        InvalidSignalError
            Where the template has no value for it.
        """
        said = self._said(request, secret="[secret]")  # noqa: S106 - what stands in its place
        return None if said is None else said.body

    def close(self) -> None:
        """Let go of the loggers."""
        for name in TALKATIVE:
            logging.getLogger(name).removeFilter(self._redactor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _said(self, request: Request, secret: str | None = None) -> _Said | None:
        body = read_object(request.body.decode())
        parent = str(body.get("parent_signal_id", ""))
        call, _ = carry(call_from_body(request.kind, body, parent or "new"), self.carries)
        if call is None:
            return None
        hidden = self._secrets.secret.get_secret_value() if secret is None else secret
        return _Said(call, parent or _own(call, request), self._template.message(call, parent, request.at, hidden))

    def _judged(self, request: Request, reply: Reply, said: _Said) -> Verdict:
        """Return what an answer proves."""
        body = shown(reply.body.decode("utf-8", "replace"), self._redactor)
        name = self.settings.name
        told: dict[str, Any] = {"status": reply.status, "error": reply.cut, "body": body}
        if 200 <= reply.status < 300:
            return self._accepted(request, reply, said, told)
        if reply.status == 429:
            wait = max(retry_after(reply), _told_wait(reply.body))
            return Verdict(Meaning.LATER, f"{request.kind} was refused for now by {name}", wait=wait, **told)
        if reply.status in {401, 403, 404} or 300 <= reply.status < 400:
            reason = f"{request.kind} was refused by {name}: {reply.status}; check the address in BACKTEST_VENUE_URL"
            return Verdict(Meaning.REJECTED, reason, halts=True, **told)
        if 400 <= reply.status < 500 and reply.status not in _TIMED_OUT:
            return Verdict(Meaning.REJECTED, f"{request.kind} was refused by {name}: {reply.status}", **told)
        return Verdict(Meaning.LOST, _lost(request, f"the answer was {reply.status}"), **told)

    def _accepted(self, request: Request, reply: Reply, said: _Said, told: dict[str, Any]) -> Verdict:
        """Judge a 2xx: taken in; nobody says what the other side makes of it."""
        hears = self.settings.hears
        parent = said.parent
        if hears.id or hears.success:
            found = _object(reply)
            if found is None or reply.cut:
                return Verdict(Meaning.LOST, _lost(request, "the answer cannot be read"), **told)
            if hears.success and _at(found, hears.success) is not True:
                return Verdict(Meaning.LOST, _lost(request, f"the answer does not say {hears.success}"), **told)
            if hears.id and isinstance(said.call, CreateSignal):
                named = _at(found, hears.id)
                parent = str(named) if isinstance(named, str | int) and not isinstance(named, bool) else ""
                if not is_parent(parent):
                    return Verdict(Meaning.LOST, _lost(request, f"the answer has no {hears.id}"), **told)
        return Verdict(Meaning.ACKED, parent_signal_id=parent, **told)


def _confirmable(settings: OutletSettings) -> list[str]:
    return [one for one in ("take_profit", "stop_loss") if settings.kind == "3commas" and one not in settings.confirmed]


def _own(call: Call, request: Request) -> str:
    """Return our name of a new signal; of another call there is nothing to name."""
    if not isinstance(call, CreateSignal):
        return ""
    own = tag_of(call.attachment_description) or hashlib.sha256(request.body).hexdigest()[:12]
    return parent_of(call, own)


def _lost(request: Request, why: str) -> str:
    return f"{request.kind} may have arrived: {why}; look at the venue before sending it again"


def _object(reply: Reply) -> dict[str, Any] | None:
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _at(found: Any, path: str) -> Any:
    """Return what stands at a path of names with dots; None where nothing does."""
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _told_wait(body: bytes) -> float:
    """Return the seconds that Telegram's answer tells to wait; 0 where it does not."""
    try:
        told = json.loads(body)["parameters"]["retry_after"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0.0
    return min(float(told), 86_400.0) if isinstance(told, int) and not isinstance(told, bool) and told > 0 else 0.0
