"""Evidence: what is known of an attempt, redacted, for the journal and for the person who must decide."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from backtest.errors import VenueError

__all__ = ["Evidence", "evidence_of", "with_evidence"]

AnyVenueError = TypeVar("AnyVenueError", bound="VenueError")
_ATTRIBUTE = "evidence"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What came back, or why nothing did.

    Attributes
    ----------
    status
        The HTTP status; None where no answer was read.
    result_type
        ``result.type`` of the answer; empty where it has none.
    error
        Class of the transport's error, ``"ReadTimeout"``; empty where an answer was read to its end.
    body
        The beginning of the answer's body, without secrets.
    """

    status: int | None = None
    result_type: str = ""
    error: str = ""
    body: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, ready for JSON."""
        return asdict(self)


def evidence_of(error: VenueError) -> Evidence:
    """Return the evidence that an error of the client carries; empty for any other."""
    found = vars(error).get(_ATTRIBUTE)
    return found if isinstance(found, Evidence) else Evidence()


def with_evidence(error: AnyVenueError, evidence: Evidence) -> AnyVenueError:
    """Return the error with its evidence."""
    vars(error)[_ATTRIBUTE] = evidence
    return error
