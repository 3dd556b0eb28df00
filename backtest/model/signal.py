"""LiveSignal: what a strategy knows of a signal that lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backtest.model.events import SignalRef, Status

__all__ = ["LiveSignal"]


@dataclass(frozen=True, slots=True)
class LiveSignal:
    """A living signal, as the engine has it at the close of the candle.

    Attributes
    ----------
    ref, symbol, side, status
        Side +1 or -1; status ``pending``, ``waiting`` or ``open``.
    stop
        The protective stop, or the wished one while nothing is bought; None without.
    trailing
        Whether that stop ratchets.
    targets
        Prices by number; None where reached, skipped or absent.
    average_entry, open_quantity
        Of the position; average None while flat.
    created
        Instant at which its create acted (or was sent, while pending), UTC ms.
    """

    ref: SignalRef
    symbol: str
    side: int
    status: Status
    stop: float | None
    trailing: bool
    targets: tuple[float | None, ...]
    average_entry: float | None
    open_quantity: float
    created: int
