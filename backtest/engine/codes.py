"""Codes: the small numbers by which the kernel names statuses, events, orders and reasons."""

from __future__ import annotations

from backtest.model.events import EventKind, Status

__all__ = ["KINDS", "LEGS", "REASONS", "STATUSES", "rule_name"]

STATUSES = tuple(Status)
KINDS = tuple(EventKind)

PENDING, WAITING, OPEN, CLOSED, EXPIRED, INVALIDATED, CANCELED, REFUSED = range(8)
(
    E_CREATED, E_REFUSED, E_ENTERED, E_TARGET, E_STOP_MOVED, E_STOP, E_UNFILLED, E_TRAILING, E_TAKE_PROFIT, E_REBOUGHT, E_DCA, E_UPDATED,
    E_LIQUIDATED, E_EXPIRED, E_INVALIDATED, E_CANCELED, E_CLOSED,
) = range(17)  # fmt: skip

C_CREATE, C_TAKE_PROFIT, C_TRAILING, C_REBUY, C_DCA, C_UPDATE, C_CANCEL = range(7)
SPOT, MARGIN, FUTURES = range(3)
PESSIMISTIC, CANDLE, OPTIMISTIC = range(3)
NO_STOP, FIXED, TRAILING, RESTING = range(4)
O_DEAD, O_RANGE, O_LIMIT, O_DCA, O_REBUY, O_TP_LIMIT, O_TP_MARKET = range(7)
T_ABSENT, T_LIVE, T_HIT, T_SKIPPED = range(4)
ABSOLUTE, RELATIVE, STATIC = range(3)
TO_BREAK_EVEN, TO_PREVIOUS, TO_DISTANCE = range(3)

W_NONE, W_LIQUIDATION, W_CROSS, W_STOP, W_SALE, W_RESTING, W_EXIT_PERCENT, W_TARGET, W_MISSED, W_ORDER = range(10)

LEG_CALL, LEG_GAP, LEG_OPEN, LEG_1, LEG_2, LEG_3, LEG_CLOSE = range(7)
LEGS = ("call", "gap", "open", "leg 1", "leg 2", "leg 3", "close")

(R_NONE, R_BALANCE, R_ALLOCATION, R_RISK, R_NO_STOP, R_FREQUENCY, R_MOST_OPEN, R_MINIMUM, R_WOULD_TRIGGER, R_ENDED, R_SALE_PENDING, R_BOUNDS, R_LEFT_ALONE) = range(13)
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

DONE, GROW, AT_CLOSE = range(3)


def rule_name(code: int) -> str:
    """Return ``L3.4`` for 34 and ``L12.2`` for 122."""
    return f"L{code // 10}.{code % 10}"
