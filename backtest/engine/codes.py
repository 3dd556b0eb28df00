"""Codes: the small numbers by which the kernel names statuses, events, orders and reasons.

They are numpy integers on purpose: numba compiles a function anew for each Python literal it is called with. What a
reader sees of them are the enums of :mod:`backtest.model.events`, of whose lists they are the positions, and the rules of
:mod:`backtest.model.rule`; nothing is listed here a second time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.model.events import EventKind, Leg, Reason, Status
from backtest.model.rule import Rule

if TYPE_CHECKING:
    from enum import Enum

__all__ = ["KINDS", "LEGS", "REASONS", "RULES", "STATUSES"]

STATUSES, KINDS, LEGS, REASONS = tuple(Status), tuple(EventKind), tuple(Leg), tuple(Reason)
RULES = {rule.code: rule for rule in Rule}
"""What the numbers in the engine's records stand for."""


def _code(member: Enum) -> np.int64:
    """Return the position of a member in its list."""
    return np.int64(list(type(member)).index(member))


PENDING = _code(Status.PENDING)
WAITING = _code(Status.WAITING)
OPEN = _code(Status.OPEN)
CLOSED = _code(Status.CLOSED)
EXPIRED = _code(Status.EXPIRED)
INVALIDATED = _code(Status.INVALIDATED)
CANCELED = _code(Status.CANCELED)
REFUSED = _code(Status.REFUSED)

E_CREATED = _code(EventKind.CREATED)
E_REFUSED = _code(EventKind.REFUSED)
E_ENTERED = _code(EventKind.ENTERED)
E_TARGET = _code(EventKind.TARGET_HIT)
E_STOP_MOVED = _code(EventKind.STOP_MOVED)
E_STOP = _code(EventKind.STOP_HIT)
E_UNFILLED = _code(EventKind.STOP_UNFILLED)
E_TRAILING = _code(EventKind.TRAILING_HIT)
E_TAKE_PROFIT = _code(EventKind.TAKE_PROFIT_FILLED)
E_REBOUGHT = _code(EventKind.REBOUGHT)
E_DCA = _code(EventKind.DCA_FILLED)
E_UPDATED = _code(EventKind.UPDATED)
E_LIQUIDATED = _code(EventKind.LIQUIDATED)
E_EXPIRED = _code(EventKind.EXPIRED)
E_INVALIDATED = _code(EventKind.INVALIDATED)
E_CANCELED = _code(EventKind.CANCELED)
E_CLOSED = _code(EventKind.CLOSED)

LEG_CALL = _code(Leg.CALL)
LEG_GAP = _code(Leg.GAP)
LEG_OPEN = _code(Leg.OPEN)
LEG_1 = _code(Leg.FIRST)
LEG_2 = _code(Leg.SECOND)
LEG_3 = _code(Leg.THIRD)
LEG_CLOSE = _code(Leg.CLOSE)

R_NONE = _code(Reason.NONE)
R_BALANCE = _code(Reason.BALANCE)
R_ALLOCATION = _code(Reason.ALLOCATION)
R_RISK = _code(Reason.RISK)
R_NO_STOP = _code(Reason.NO_STOP)
R_FREQUENCY = _code(Reason.FREQUENCY)
R_MOST_OPEN = _code(Reason.MOST_OPEN)
R_MINIMUM = _code(Reason.MINIMUM)
R_WOULD_TRIGGER = _code(Reason.WOULD_TRIGGER)
R_ENDED = _code(Reason.ENDED)
R_SALE_PENDING = _code(Reason.SALE_PENDING)
R_BOUNDS = _code(Reason.BOUNDS)
R_LEFT_ALONE = _code(Reason.LEFT_ALONE)
R_UNCOVERED = _code(Reason.UNCOVERED)

L3_1 = np.int64(Rule.L3_1.code)
L3_2 = np.int64(Rule.L3_2.code)
L3_4 = np.int64(Rule.L3_4.code)
L3_5 = np.int64(Rule.L3_5.code)
L3_6 = np.int64(Rule.L3_6.code)
L3_8 = np.int64(Rule.L3_8.code)
L4_1 = np.int64(Rule.L4_1.code)
L4_4 = np.int64(Rule.L4_4.code)
L4_5 = np.int64(Rule.L4_5.code)
L5_3 = np.int64(Rule.L5_3.code)
L5_4 = np.int64(Rule.L5_4.code)
L6_1 = np.int64(Rule.L6_1.code)
L6_4 = np.int64(Rule.L6_4.code)
L6_5 = np.int64(Rule.L6_5.code)
L7_2 = np.int64(Rule.L7_2.code)
L8_1 = np.int64(Rule.L8_1.code)
L8_4 = np.int64(Rule.L8_4.code)
L8_5 = np.int64(Rule.L8_5.code)
L9_1 = np.int64(Rule.L9_1.code)
L9_2 = np.int64(Rule.L9_2.code)
L10_1 = np.int64(Rule.L10_1.code)
L10_2 = np.int64(Rule.L10_2.code)
L11_1 = np.int64(Rule.L11_1.code)
L11_2 = np.int64(Rule.L11_2.code)
L11_3 = np.int64(Rule.L11_3.code)
L12_1 = np.int64(Rule.L12_1.code)
L12_2 = np.int64(Rule.L12_2.code)
L13_1 = np.int64(Rule.L13_1.code)
L13_2 = np.int64(Rule.L13_2.code)
L14_2 = np.int64(Rule.L14_2.code)

C_CREATE, C_TAKE_PROFIT, C_TRAILING, C_REBUY, C_DCA, C_UPDATE, C_CANCEL = map(np.int64, range(7))
C_REFUSED_CREATE, C_REFUSED, C_VOID = map(np.int64, range(7, 10))
"""What the desk refused and was never sent (L3.8): a create, a later call, and one that vanishes with its create."""

SPOT, MARGIN, FUTURES = map(np.int64, range(3))
PESSIMISTIC, CANDLE, OPTIMISTIC = map(np.int64, range(3))
NO_STOP, FIXED, TRAILING, RESTING = map(np.int64, range(4))
O_DEAD, O_RANGE, O_LIMIT, O_DCA, O_REBUY, O_TP_LIMIT, O_TP_MARKET = map(np.int64, range(7))
T_ABSENT, T_LIVE, T_HIT, T_SKIPPED = map(np.int64, range(4))
ABSOLUTE, RELATIVE, STATIC = map(np.int64, range(3))
TO_BREAK_EVEN, TO_PREVIOUS, TO_DISTANCE = map(np.int64, range(3))

STOP_BY_ACCOUNT, STOP_MARKET, STOP_LIMIT = map(np.int64, range(3))
PLACE_LOW, PLACE_MID, PLACE_HIGH = map(np.int64, range(3))

W_NONE, W_LIQUIDATION, W_CROSS, W_STOP, W_SALE, W_RESTING, W_EXIT_PERCENT, W_TARGET, W_MISSED, W_ORDER = map(
    np.int64, range(10)
)
FIRST_LIQUIDATION, THEN_STOPS, THEN_EXITS, THEN_ENTRIES, THEN_NOTHING = map(np.int64, range(5))
"""The order of what is met at one price (L2.1)."""

ANYWHERE = np.int64(2)
"""The direction of a level that is passed already."""

NOBODY, NO_TURN = np.int64(-1), np.int64(-1)

ZERO, ONE = map(np.int64, range(2))
NO, YES = np.bool_(False), np.bool_(True)

COARSE, FINE, FINE_LAST = map(np.uint8, range(3))
"""A candle of its own, a detail candle, and the last detail candle of a coarse one, whose close is judged (L7.2)."""

DONE, GROW, AT_CLOSE, WALK = map(np.int64, range(4))
