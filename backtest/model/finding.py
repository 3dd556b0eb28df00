"""Finding: one thing that is wrong with a signal, said before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from backtest.model.intake import Condition

__all__ = ["Finding", "Severity", "finding_of"]

Severity = Literal["refuse", "warn"]
_CODES = {
    "stop_loss": "stop_wrong_side",
    "trailing_stop_price": "trailing_pair",
    "trailing_stop_limit_price": "trailing_pair",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a signal.

    Attributes
    ----------
    code
        What kind of thing, the same for all signals: ``no_stop``, ``target_inside_costs``.
    field
        The API's name of the field at fault.
    severity
        ``"refuse"``: no subscriber could execute it, and the desk never sends it (L3.8). ``"warn"``: it may not be meant, or
        this subscriber cannot execute it.
    sentence
        What is wrong and why, with the numbers.
    """

    code: str
    field: str
    severity: Severity
    sentence: str


def finding_of(broken: Condition) -> Finding:
    """Return the finding for a call whose prices are out of order: a stop on the wrong side, a crossed range."""
    return Finding(_CODES.get(broken.field, "invalid"), broken.field, "refuse", broken.sentence)
