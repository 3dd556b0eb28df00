"""Decision: what a desk makes of a call that a strategy or a plan returned: it is sent, or it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from backtest.model.calls import CreateSignal

if TYPE_CHECKING:
    from backtest.model.calls import Call
    from backtest.model.events import SignalRef

__all__ = ["Decision", "Refusal"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A call and the close at which it was decided, UTC ms.

    Examples
    --------
    >>> from backtest import Cancel, Decision
    >>> Decision(3_600_000, Cancel("BTC/USDT-0-0")).signal
    'BTC/USDT-0-0'
    """

    at: int
    call: Call

    @property
    def signal(self) -> SignalRef:
        """The ref of the signal that the call creates or is about."""
        return self.call.ref if isinstance(self.call, CreateSignal) else self.call.signal


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that is never sent, in a backtest, on paper or live, since no venue could take it (L3.8).

    Attributes
    ----------
    at
        The close at which it was decided, UTC ms.
    call
        As it would have been sent, on the tick. A refused create keeps its ref and its number.
    field, value
        The API's name of the field at fault, and what it was.
    reason
        One sentence.
    rule
        ``"L3.8"``: its prices are out of order. ``"L11.3"``: it is about a signal that was refused at an earlier close.
    """

    at: int
    call: Call
    field: str
    value: float | None
    reason: str
    rule: Literal["L3.8", "L11.3"] = "L3.8"

    @property
    def signal(self) -> SignalRef:
        """The ref of the signal that the call creates or is about."""
        return self.call.ref if isinstance(self.call, CreateSignal) else self.call.signal
