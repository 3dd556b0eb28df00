"""Events: what happened to a signal, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NewType, Self

if TYPE_CHECKING:
    from backtest.model.rule import Rule

__all__ = ["Event", "EventKind", "Leg", "Mark", "Reason", "SignalRef", "Status", "Trade"]

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


class Trade(StrEnum):
    """What an event does to the position when its quantity is above 0."""

    NOTHING = ""
    ENTERS = "enters"
    LEAVES = "leaves"


class Mark(StrEnum):
    """How charts mark a fill; :mod:`backtest.report.panels` knows shape and colour."""

    NONE = ""
    ENTRY = "entry"
    TARGET = "target"
    STOP = "stop"
    LIQUIDATED = "liquidated"
    CANCELED = "canceled"


class EventKind(StrEnum):
    """What happened (the numbers of the kernel are the positions in this list).

    Attributes
    ----------
    words
        What a timeline says; ``{target}`` and ``{price}`` stand for those of the event.
    trade
        Whether the event is a fill, and which way it moves the position.
    mark
        How charts mark it.
    ends
        The status in which it ends the signal; None where the signal goes on.
    """

    words: str
    trade: Trade
    mark: Mark
    ends: Status | None
    _value_: str

    def __new__(
        cls,
        value: str,
        words: str = "",
        trade: Trade = Trade.NOTHING,
        mark: Mark = Mark.NONE,
        ends: Status | None = None,
    ) -> Self:
        """Return the kind of a name, with all that is known of it."""
        kind = str.__new__(cls, value)
        kind._value_, kind.words, kind.trade, kind.mark, kind.ends = value, words, trade, mark, ends
        return kind

    @property
    def is_fill(self) -> bool:
        """Whether it trades when its quantity is above 0."""
        return self.trade is not Trade.NOTHING

    CREATED = "created", "accepted by the venue"
    REFUSED = "refused", "refused"
    ENTERED = "entered", "entered", Trade.ENTERS, Mark.ENTRY
    TARGET_HIT = "target_hit", "target {target} reached", Trade.LEAVES, Mark.TARGET
    STOP_MOVED = "stop_moved", "stop moved to {price}"
    STOP_HIT = "stop_hit", "stop reached", Trade.LEAVES, Mark.STOP
    STOP_UNFILLED = "stop_unfilled", "stop triggered, but its limit did not fill"
    TRAILING_HIT = "trailing_hit", "trailing stop reached", Trade.LEAVES, Mark.STOP
    TAKE_PROFIT_FILLED = "take_profit_filled", "take profit filled", Trade.LEAVES, Mark.TARGET
    REBOUGHT = "rebought", "bought again", Trade.ENTERS, Mark.ENTRY
    DCA_FILLED = "dca_filled", "DCA filled", Trade.ENTERS, Mark.ENTRY
    UPDATED = "updated", "prices updated"
    LIQUIDATED = "liquidated", "liquidated at {price}", Trade.LEAVES, Mark.LIQUIDATED
    EXPIRED = "expired", "expired unbought", Trade.NOTHING, Mark.NONE, Status.EXPIRED
    INVALIDATED = (
        "invalidated",
        "invalid: its stop was reached before its entry",
        Trade.NOTHING,
        Mark.NONE,
        Status.INVALIDATED,
    )
    CANCELED = "canceled", "canceled", Trade.LEAVES, Mark.CANCELED, Status.CANCELED
    CLOSED = "closed", "closed", Trade.NOTHING, Mark.NONE, Status.CLOSED


class Leg(StrEnum):
    """Where in a candle something happened (the numbers of the kernel are the positions in this list)."""

    CALL = "call"
    GAP = "gap"
    OPEN = "open"
    FIRST = "leg 1"
    SECOND = "leg 2"
    THIRD = "leg 3"
    CLOSE = "close"


class Reason(StrEnum):
    """Why the engine refused a call, or left a level alone (the kernel's numbers are the positions in this list)."""

    NONE = ""
    BALANCE = "the free balance does not carry it"
    ALLOCATION = "AllocationLimit: the allocation limit does not carry it"
    RISK = "RiskLimit: the risk limit does not carry it"
    NO_STOP = "RiskLimit: a signal without a stop is not opened under a risk limit"
    FREQUENCY = "FrequencyLimit: too many signals in the period"
    MOST_OPEN = "MostOpen: too many living signals"
    MINIMUM = "below the market's minimum order"
    WOULD_TRIGGER = "WouldTriggerNow"
    ENDED = "INVALID_INPUT_CONTENT: the signal has ended"
    SALE_PENDING = "a sale is pending"
    BOUNDS = "INVALID_INPUT_CONTENT: entry_price_min would exceed entry_price_max"
    LEFT_ALONE = "a level already reached was left alone"
    UNCOVERED = "cash no longer covers its reservation"


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
        Where in the candle.
    rule
        The rule that made it, ``"L3.4"``.
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
    leg: Leg
    rule: Rule
    reason: str = ""
