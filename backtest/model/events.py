"""Events: what happened to a signal, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

__all__ = ["FILL_KINDS", "Event", "EventKind", "SignalRef", "Status"]

SignalRef = NewType("SignalRef", str)
"""Our name of a signal, ``SYMBOL-closeMs-n``; the venue's own is ``parent_signal_id``."""


class Status(StrEnum):
    """Where a signal stands (the numbers of the kernel are the positions in this list)."""

    PENDING = "pending"
    WAITING = "waiting"
    OPEN = "open"
    CLOSED = "closed"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"
    CANCELED = "canceled"
    REFUSED = "refused"


class EventKind(StrEnum):
    """What happened (the numbers of the kernel are the positions in this list)."""

    CREATED = "created"
    REFUSED = "refused"
    ENTERED = "entered"
    TARGET_HIT = "target_hit"
    STOP_MOVED = "stop_moved"
    STOP_HIT = "stop_hit"
    STOP_UNFILLED = "stop_unfilled"
    TRAILING_HIT = "trailing_hit"
    TAKE_PROFIT_FILLED = "take_profit_filled"
    REBOUGHT = "rebought"
    DCA_FILLED = "dca_filled"
    UPDATED = "updated"
    LIQUIDATED = "liquidated"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"
    CANCELED = "canceled"
    CLOSED = "closed"


FILL_KINDS = frozenset(
    {
        EventKind.ENTERED,
        EventKind.TARGET_HIT,
        EventKind.STOP_HIT,
        EventKind.TRAILING_HIT,
        EventKind.TAKE_PROFIT_FILLED,
        EventKind.REBOUGHT,
        EventKind.DCA_FILLED,
        EventKind.LIQUIDATED,
        EventKind.CANCELED,
    }
)
"""Kinds that trade when their quantity is above 0."""


@dataclass(frozen=True, slots=True)
class Event:
    """One step in the life of a signal.

    Attributes
    ----------
    time
        Open time of the candle that was walked (the detail candle, where there is one), UTC ms.
    signal, symbol, kind
        Which signal, on which market, what happened.
    price, quantity, fee
        Of the fill, or the level of a moved stop; price None and quantity 0 where nothing traded. Fee in quote currency.
    target
        Number of the target, from 1, where it has one.
    average_entry, open_quantity
        Of the position after the event; average None while flat.
    leg
        Where in the candle: ``call``, ``gap``, ``open``, ``leg 1`` to ``leg 3``, ``close``.
    rule
        Number of the rule that made it, ``"L3.4"``.
    reason
        Why a call was refused, or what was left alone; else empty.
    """

    time: int
    signal: SignalRef
    symbol: str
    kind: EventKind
    price: float | None
    quantity: float
    fee: float
    target: int | None
    average_entry: float | None
    open_quantity: float
    leg: str
    rule: str
    reason: str = ""
