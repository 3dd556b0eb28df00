"""Outcome: what one try at sending means for its intent; the table of live emission, as code."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
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

__all__ = ["Meaning", "Outcome", "outcome_of"]


class Meaning(StrEnum):
    """What one try proved: ``later`` is a 429, ``lost`` proved nothing."""

    ACKED = "acked"
    REJECTED = "rejected"
    LATER = "later"
    NOT_SENT = "not_sent"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a try came to.

    Attributes
    ----------
    state
        Of the intent; ``planned`` where it will be sent again.
    meaning
        What the try proved.
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
    meaning: Meaning
    evidence: Evidence
    note: str = ""
    wait: float = 0.0
    parent: str | None = None
    halts: bool = False


def outcome_of(intent: Intent, tries: int, lost: int, send: Callable[[], Answer], settings: EmitSettings) -> Outcome:
    """Send once and say what became of it.

    Parameters
    ----------
    intent
        Its class decides about what cannot be proved: N is never sent again.
    tries
        How often this process tried it before; the wait grows with it.
    lost
        How often it was sent before without an answer that tells: class I is sent again, but not for ever.
    send
        Sends it, once, and raises the errors of the client.
    settings
        How long to wait, how often to try.
    """
    try:
        answer = send()
    except VenueError as error:
        meaning = _meaning(error)
        again = meaning in {Meaning.LATER, Meaning.NOT_SENT}
        if meaning is Meaning.LOST:
            again = intent.repeatable and lost + 1 < settings.tries
        state = State.PLANNED if again else _FINAL[meaning]
        wait = error.retry_after if isinstance(error, RateLimitedError) else _backoff(tries, settings)
        halts = isinstance(error, UnauthorizedError)
        return Outcome(state, meaning, evidence_of(error), str(error), wait if again else 0.0, halts=halts)
    return Outcome(State.ACKED, Meaning.ACKED, answer.evidence, parent=answer.parent_signal_id)


_FINAL = {Meaning.REJECTED: State.REJECTED, Meaning.LOST: State.UNKNOWN}


def _meaning(error: VenueError) -> Meaning:
    if isinstance(error, RequestRejectedError):
        return Meaning.REJECTED
    if isinstance(error, RateLimitedError):
        return Meaning.LATER
    return Meaning.NOT_SENT if isinstance(error, VenueUnavailableError) else Meaning.LOST


def _backoff(tries: int, settings: EmitSettings) -> float:
    """Return a wait that doubles with each try, with jitter so that two emitters do not knock together."""
    longest = min(settings.backoff_most, settings.backoff_first * 2.0 ** min(tries, 30))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - to spread, not to hide
