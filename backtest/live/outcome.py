"""Outcome: what one try at sending means for its intent; the table of live emission, as code."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.errors import (
    RateLimitedError,
    RequestRejectedError,
    UnauthorizedError,
    VenueError,
    VenueUnavailableError,
)
from backtest.live.intent import Intent, State
from backtest.venue.evidence import Evidence, evidence_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from backtest.live.settings import EmitSettings
    from backtest.venue.outcome import Answer

__all__ = ["Outcome", "outcome_of"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a try came to.

    Attributes
    ----------
    state
        Of the intent; ``planned`` where it will be sent again.
    evidence, note
        For the journal and for a person.
    wait
        Seconds before it may be sent again.
    parent
        The venue's name of the signal, of a create that was performed.
    halts
        Whether everything but cancels stops: bad credentials, or a redirect.
    """

    state: State
    evidence: Evidence
    note: str = ""
    wait: float = 0.0
    parent: str | None = None
    halts: bool = False


def outcome_of(intent: Intent, tried: int, send: Callable[[], Answer], settings: EmitSettings) -> Outcome:
    """Send once and say what became of it.

    Parameters
    ----------
    intent
        Its class decides about what cannot be proved: N is never sent again.
    tried
        How often it was tried, this time included.
    send
        Sends it, once, and raises the errors of the client.
    settings
        How long to wait, how often to try.
    """
    try:
        answer = send()
    except VenueError as error:
        state, wait = _judged(intent, tried, error, settings)
        return Outcome(state, evidence_of(error), str(error), wait, halts=isinstance(error, UnauthorizedError))
    return Outcome(State.ACKED, answer.evidence, parent=answer.parent_signal_id)


def _judged(intent: Intent, tried: int, error: VenueError, settings: EmitSettings) -> tuple[State, float]:
    """Return the state after an error, and the wait before another try."""
    if isinstance(error, RequestRejectedError):
        return State.REJECTED, 0.0
    if isinstance(error, RateLimitedError):
        return State.PLANNED, error.retry_after
    proved_not_sent = isinstance(error, VenueUnavailableError)
    if proved_not_sent or (intent.repeatable and tried < settings.tries):
        return State.PLANNED, _backoff(tried, settings)
    return State.UNKNOWN, 0.0


def _backoff(tried: int, settings: EmitSettings) -> float:
    """Return a wait that doubles with each try, with jitter so that two emitters do not knock together."""
    longest = min(settings.backoff_most, settings.backoff_first * 2.0 ** min(tried - 1, 30))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - to spread, not to hide
