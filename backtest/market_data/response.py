"""Response: what a server really sent, beside what ccxt made of it, as much that is broken becomes an empty list."""

from __future__ import annotations

import json
import re
import time
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Response", "forget", "keep_responses", "last_response", "note_times", "sent_times"]


class Response(NamedTuple):
    """Status, headers and text of one HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: str

    def header(self, name: str) -> str:
        """Return a header's value, however its name is capitalised; empty where it was not sent."""
        return next((str(value) for key, value in self.headers.items() if key.lower() == name), "")

    @property
    def retry_after(self) -> float:
        """Seconds of the ``Retry-After`` header, which is a number or a date; 0 without one."""
        text = self.header("retry-after").strip()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except ValueError:
            return 0.0

    def listed(self, place: tuple[str, ...] | None) -> int | None:
        """Return how many rows it lists; None unless it is JSON with a list in the place for rows.

        Parameters
        ----------
        place
            Keys on the way to the list, ``"*"`` for any; None looks everywhere.
        """
        try:
            content = json.loads(self.body)
        except ValueError:
            return None
        return max(_lengths(content, ("*?",) * 3 if place is None else place), default=None)


_RESPONSE: ContextVar[Response | None] = ContextVar("answer", default=None)
_SENT: ContextVar[tuple[int, int] | None] = ContextVar("sent", default=None)


def note_times(first: float, last: float) -> None:
    """Note the earliest and the latest time in the last answer, before anything is left out of it; UTC ms."""
    _SENT.set((int(first), int(last)))


def sent_times() -> tuple[int, int] | None:
    """Return the earliest and the latest time in the last answer to this task's request; None where it had no rows."""
    return _SENT.get()


def last_response(error: Exception | None = None) -> Response | None:
    """Return the answer that became ``error``, or the last one to this task's request."""
    if error is None:
        return _RESPONSE.get()
    found = getattr(error, "answer", None)
    return found if isinstance(found, Response) else None


def forget() -> None:
    """Forget the last answer, before the next request of this task."""
    _RESPONSE.set(None)
    _SENT.set(None)


def keep_responses(client: Any) -> None:
    """Make a ccxt client remember each answer: for its request, and with the error that it becomes."""
    handle, by_status = client.handle_errors, client.handle_http_status_code

    def handle_errors(code: int, reason: str, url: str, method: str, headers: Any, body: str, *rest: Any) -> Any:
        _RESPONSE.set(Response(code, headers or {}, body or ""))
        return _with_answer(lambda: handle(code, reason, url, method, headers, body, *rest))

    def handle_http_status_code(*arguments: Any) -> Any:
        return _with_answer(lambda: by_status(*arguments))

    client.handle_errors, client.handle_http_status_code = handle_errors, handle_http_status_code


def _with_answer(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        error.answer = _RESPONSE.get()  # type: ignore[attr-defined]
        raise


def _lengths(value: Any, place: tuple[str, ...]) -> list[int]:
    """Return the lengths of the lists in a place; a list of errors is none, ``"*?"`` may be left out."""
    if isinstance(value, dict) and place:
        inner = [v for key, v in value.items() if key == place[0] or (place[0][0] == "*" and key != "error")]
        return [n for v in inner for n in _lengths(v, place[1:])]
    return [len(value)] if isinstance(value, list) and place[:1] in {(), ("*?",)} else []
