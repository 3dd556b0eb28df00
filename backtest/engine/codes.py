"""Codes: the small numbers by which the kernel names statuses, events, orders and reasons.

They are numpy integers on purpose: numba compiles a function anew for each Python literal it is called with.
"""

from __future__ import annotations

import numpy as np

from backtest.model.events import EventKind, Status

__all__ = ["KINDS", "LEGS", "REASONS", "STATUSES", "rule_name"]

STATUSES = tuple(Status)
KINDS = tuple(EventKind)

PENDING, WAITING, OPEN, CLOSED, EXPIRED, INVALIDATED, CANCELED, REFUSED = map(np.int64, range(8))
(
    E_CREATED, E_REFUSED, E_ENTERED, E_TARGET, E_STOP_MOVED, E_STOP, E_UNFILLED, E_TRAILING, E_TAKE_PROFIT, E_REBOUGHT, E_DCA, E_UPDATED,
    E_LIQUIDATED, E_EXPIRED, E_INVALIDATED, E_CANCELED, E_CLOSED,
) = map(np.int64, range(17))  # fmt: skip

C_CREATE, C_TAKE_PROFIT, C_TRAILING, C_REBUY, C_DCA, C_UPDATE, C_CANCEL = map(np.int64, range(7))
SPOT, MARGIN, FUTURES = map(np.int64, range(3))
PESSIMISTIC, CANDLE, OPTIMISTIC = map(np.int64, range(3))
NO_STOP, FIXED, TRAILING, RESTING = map(np.int64, range(4))
O_DEAD, O_RANGE, O_LIMIT, O_DCA, O_REBUY, O_TP_LIMIT, O_TP_MARKET = map(np.int64, range(7))
T_ABSENT, T_LIVE, T_HIT, T_SKIPPED = map(np.int64, range(4))
ABSOLUTE, RELATIVE, STATIC = map(np.int64, range(3))
TO_BREAK_EVEN, TO_PREVIOUS, TO_DISTANCE = map(np.int64, range(3))

W_NONE, W_LIQUIDATION, W_CROSS, W_STOP, W_SALE, W_RESTING, W_EXIT_PERCENT, W_TARGET, W_MISSED, W_ORDER = map(
    np.int64, range(10)
)

ZERO, ONE = map(np.int64, range(2))
NO, YES = np.bool_(False), np.bool_(True)

(
    L3_1,
    L3_2,
    L3_4,
    L3_5,
    L3_6,
    L4_1,
    L4_4,
    L4_5,
    L5_3,
    L5_4,
    L6_1,
    L6_4,
    L6_5,
    L7_2,
    L8_1,
    L8_4,
    L8_5,
    L9_1,
    L9_2,
    L10_1,
    L10_2,
    L11_1,
    L11_2,
    L11_3,
    L12_1,
    L12_2,
    L13_1,
    L13_2,
    L14_2,
) = map(
    np.int64,
    (
        31,
        32,
        34,
        35,
        36,
        41,
        44,
        45,
        53,
        54,
        61,
        64,
        65,
        72,
        81,
        84,
        85,
        91,
        92,
        101,
        102,
        111,
        112,
        113,
        121,
        122,
        131,
        132,
        142,
    ),
)
"""Rule numbers: chapter x 10 + number."""

LEG_CALL, LEG_GAP, LEG_OPEN, LEG_1, LEG_2, LEG_3, LEG_CLOSE = map(np.int64, range(7))
LEGS = ("call", "gap", "open", "leg 1", "leg 2", "leg 3", "close")

(
    R_NONE,
    R_BALANCE,
    R_ALLOCATION,
    R_RISK,
    R_NO_STOP,
    R_FREQUENCY,
    R_MOST_OPEN,
    R_MINIMUM,
    R_WOULD_TRIGGER,
    R_ENDED,
    R_SALE_PENDING,
    R_BOUNDS,
    R_LEFT_ALONE,
) = map(np.int64, range(13))
REASONS = (
    "",
    "the free balance does not carry it",
    "AllocationLimit: the allocation limit does not carry it",
    "RiskLimit: the risk limit does not carry it",
    "RiskLimit: a signal without a stop is not opened under a risk limit",
    "FrequencyLimit: too many signals in the period",
    "MostOpen: too many living signals",
    "below the market's minimum order",
    "WouldTriggerNow",
    "INVALID_INPUT_CONTENT: the signal has ended",
    "a sale is pending",
    "INVALID_INPUT_CONTENT: entry_price_min would exceed entry_price_max",
    "a level already reached was left alone",
)

DONE, GROW, AT_CLOSE = map(np.int64, range(3))


def rule_name(code: int) -> str:
    """Return ``L3.4`` for 34 and ``L12.2`` for 122."""
    return f"L{code // 10}.{code % 10}"
