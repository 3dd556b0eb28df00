"""Records: the layout of the engine's state, shared by the kernel and its wrapper.

One row a thing, fields by name; numbers are float64 (prices, quantities, money) and int64 (times in UTC ms, codes).
``nan`` marks an absent price. A book's rows stay in order of creation.
"""

from __future__ import annotations

import math
from struct import Struct
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Row: TypeAlias = Any
"""One record of an array; numpy does not type its fields."""

Rows: TypeAlias = NDArray[Any]
"""An array of records."""

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

__all__ = [
    "ACCOUNT",
    "BLOCK",
    "BOOK",
    "CALL",
    "CONFIG",
    "EVENT",
    "LACKS",
    "MARKET",
    "NEVER",
    "ORDER",
    "OUTCOME",
    "PACKED_LIVING",
    "PACKED_STAND",
    "SCRATCH",
    "SEGMENT",
    "SIGNAL",
    "STRETCH",
    "TARGETS",
    "TRACK",
    "TRADE",
    "TURN",
    "WORLD",
    "Floats",
    "Ints",
    "Row",
    "Rows",
]

TARGETS = 6
NEVER = int(np.iinfo(np.int64).max)
"""A time that does not come."""

LACKS = (1, 2, 4, 8, 16, 32, 64)
"""Bits of ``ACCOUNT.lacks``: signals, orders, events, events of the scratch books, trades, trades of the scratch books,
stretches."""

SCRATCH = 5
"""Books behind the real ones, in which journeys are tried."""

_F, _I = "f8", "i8"


def _record(**fields: str | tuple[str, int]) -> np.dtype[Any]:
    columns = [(name, kind) if isinstance(kind, str) else (name, kind[0], (kind[1],)) for name, kind in fields.items()]
    return np.dtype((np.record, columns))


def _packed(kind: np.dtype[Any]) -> str:
    """Return a field as :mod:`struct` names it; one that is an array, number by number."""
    return ("d" if kind.base == np.float64 else "q") * math.prod(kind.shape)


def _packed_part(record: np.dtype[Any], names: tuple[str, ...]) -> Struct:
    """Return some fields of a record, in the order in which they lie, and the rest as gaps."""
    assert record.names is not None  # noqa: S101
    each = [_packed(record[name]) if name in names else f"{record[name].itemsize}x" for name in record.names]
    assert names == tuple(name for name in record.names if name in names)  # noqa: S101
    return Struct("=" + "".join(each))


CONFIG = _record(
    balance=_F, basis_equity=_I, maker=_F, taker=_F, mode=_I,
    shares=(_F, TARGETS), n_shares=_I,  # target_shares; n_shares -1: equal parts
    exit_target=_I, exit_percent=_F,  # take_profit_at: a number, or a fraction over the average entry
    trail_from=_I, trail_to=_I, trail_distance=_F,  # trailing_take_profit (L6.5), distance a fraction
    stop_order=_I, stop_margin=_F, stop_on_close=_I, distance_kind=_I,
    allocation_limit=_F, risk_limit=_F, frequency=_I, period=_I, max_open=_I,
    fee_inside=_I, cancel_entries=_I, cancel_if_target_first=_I, invalidate_at_stop=_I, buys_survive=_I,
    want_events=_I,
)  # fmt: skip
"""Profile and assumptions of a run, as numbers."""

MARKET = _record(
    tick=_F,
    tick_scale=_F,
    step=_F,
    step_scale=_F,
    min_amount=_F,
    min_cost=_F,
    max_leverage=_F,
    maintenance=_F,
    slippage=_F,
    span=_I,
    fine_span=_I,
)
"""One market: grids as mantissa and scale (:class:`backtest.model.grid.Grid`), limits, candle lengths in ms."""

CALL = _record(
    at=_I, arrival=_I, market=_I, signal=_I, kind=_I,
    side=_I, account=_I, cross=_I, leverage=_F, invest=_F, ttl=_I, split=_I,
    low=_F, mid=_F, high=_F, share_low=_F, share_mid=_F, share_high=_F,
    targets=(_F, TARGETS), stop=_F,
    price=_F, limit=_I, amount=_F, multiplier=_F, trail=_F, trail_limit=_F, marketable=_I, reason=_I,
)  # fmt: skip
"""One call, its prices on the tick; ``reason`` is that of one that the desk refused, as in an event."""

TURN = _record(next=_I, made=_I, at=_I)
"""Beside a call: the next one of its market, whether it was made (it becomes 1 for a create), and when a conditional one is
sent."""

SIGNAL = _record(
    id=_I, side=_I, status=_I, account=_I, cross=_I, leverage=_F, invest=_F, allocation=_F,
    created=_I, expiry=_I, split=_I, low=_F, high=_F,
    protection=_I, stop=_F, stop_limit=_F, fresh_stop=_I, trigger_now=_I,
    distance=_F, ratio=_F, best=_F, offset=_F, reported=_F, resting_trail=_I,
    waiting_trail=_F, waiting_limit=_F,
    quantity=_F, average=_F, margin=_F, held=_F, bought=_I,
    last_target=_I, target=(_F, TARGETS), state=(_I, TARGETS), plan=(_F, TARGETS), fresh=(_I, TARGETS),
    reached_first=_I, missed=_I, sale=_I, sale_rule=_I,
    quiet_low=_F, quiet_high=_F, slow=_I, walked=_I, place=_I,  # between which prices it meets nothing; whether it is walked, and where
    realised=_F, fees=_F, funding=_F,
    t_time=_I, t_quantity=_F, t_value=_F, t_sold=_F, t_realised=_F, t_fees=_F, t_funding=_F, t_margin=_F,
    t_invest=_F, t_hits=_I, t_ambiguous=_I,
)  # fmt: skip
"""A living signal and its sub-position (L14.1); ``t_`` fields add up the trade under way."""

LIVING = ("id", "side", "status", "created", "protection", "stop", "quantity", "average", "target", "state")
PACKED_LIVING = _packed_part(SIGNAL, LIVING)
"""What a strategy sees of a signal, read at once: the numbers of ``LIVING`` in this order."""

ORDER = _record(
    slot=_I,
    kind=_I,
    seq=_I,
    price=_F,
    low=_F,
    high=_F,
    quantity=_F,
    notional=_F,
    allocation=_F,
    reserve=_F,
    fresh=_I,
    place=_I,
    amount=_F,
    trail=_F,
    trail_limit=_F,
)
"""A living order other than targets and stop; ``slot`` is the position of its signal in the book, ``reserve`` what it keeps
of the cash: its allocation, and the fee where that is paid on top (L5.2)."""

ACCOUNT = _record(
    cash=_F, reserved=_F, margin=_F, allocated=_F, realised=_F, fees=_F, funding=_F,
    n_events=_I, n_trades=_I, n_accepted=_I, ambiguous=_I, tight=_I, living=_I, seq=_I, lacks=_I,
    events=_I, event_room=_I, trades=_I, trade_room=_I,  # where they lie in memory
    cross_liquidated=_I, due=_F, due_reserved=_F,  # due: what other markets will give back when their cross positions close
)  # fmt: skip
"""The subscriber's account (L14.3), the fill of its buffers, and the number of the next order (L2.1)."""

BOOK = _record(
    n_signals=_I, n_orders=_I, low=_F, high=_F, units=_F, cost=_F, ratcheting=_I, slow=_I, cross=_I, next_expiry=_I,
    last=_F, started=_I, fresh=_I, acted=_I, row=_I, call=_I, last_call=_I,
    candidate=_I, width=_I, table_end=_I, pending=_I, funding=_I, time=_I, leg=_I,
    others=_F, others_maintenance=_F, others_reserved=_F,  # of the cross positions of other markets (L13.2)
    still=_I, range=_F, tight=_I,  # the next row in which nothing trades; the range of the candle on whose legs the price is
    raised=_I, stopped=_I,  # of a journey: whether a trailing stop has moved on its path, and whether a stop was met
    signals=_I, signal_room=_I, orders=_I, order_room=_I,  # where they lie in memory
    next=_I, known=_I, ahead=_I, stale=_I,  # of several markets: the row that is walked next, or from which to look on
    first_segment=_I, last_segment=_I, noted_units=_F, noted_cost=_F, before=_F,  # before: the last price before row 0
)  # fmt: skip
"""The living signals and orders of one market: counts, the price band in which nothing happens, and where it stands."""

STAND = ("n_signals", "ratcheting", "row", "call", "pending")
PACKED_STAND = _packed_part(BOOK, STAND)
"""What a run asks of a book between two closes, read at once: the numbers of ``STAND`` in this order."""

EVENT = _record(
    time=_I,
    signal=_I,
    kind=_I,
    price=_F,
    quantity=_F,
    fee=_F,
    target=_I,
    average=_F,
    open=_F,
    leg=_I,
    rule=_I,
    reason=_I,
    maker=_I,
    buy=_I,
)
"""One event; ``rule`` is chapter x 10 + number, ``reason`` a position in ``REASONS`` or, beyond them, a sentence of the desk."""

TRADE = _record(
    signal=_I, side=_I, entry_time=_I, exit_time=_I, quantity=_F, average_entry=_F, average_exit=_F,
    realised=_F, fees=_F, funding=_F,
    margin=_F, invest=_F, exit=_I, hits=_I, ambiguous=_I,
)  # fmt: skip
"""One trade, from the first fill to flat."""

OUTCOME = _record(
    status=_I, market=_I, side=_I, created=_I, realised=_F, fees=_F, funding=_F, quantity=_F, average=_F, missed=_I
)
"""Where a signal ended, or stands."""

TRACK = _record(
    time=_I, open=_I, high=_I, low=_I, close=_I, kind=_I, rows=_I,
    even=_I, apart=_I, detailed=_I,  # whether no candle is missing; how far two open times are apart at least
    still=_I, n_still=_I, funding_times=_I, funding_rates=_I, n_funding=_I,
    floors=_I, ceilings=_I, n_blocks=_I,  # the lowest low and the highest high of each whole block of the first candles
)  # fmt: skip
"""Where the columns of one market lie in memory: its candles, the rows in which nothing trades, its funding."""

BLOCK = 16
"""Candles of a block of :data:`TRACK`: those that stay inside a band of prices are passed block by block."""

SEGMENT = _record(market=_I, point=_I, after=_I, units=_F, cost=_F)
"""What a market adds to equity from a point on, until the segment ``after``; of market -1 ``units`` is cash and margins."""

STRETCH = _record(row=_I, fixed=_F, units=_F)
"""Of an only market: from a row on, equity at a close is ``fixed + units * close``."""

WORLD = _record(
    accounts=_I, books=_I, markets=_I, config=_I, tracks=_I, calls=_I, turns=_I, accepted=_I, outcomes=_I,
    n_markets=_I, call_room=_I, outcome_room=_I,
    many=_I, few_signals=_I, few_orders=_I,  # from how many on only those signals of a book are walked that can act; where
    # several markets together: their next instants, in a heap; those of the instant that is walked
    keys=_I, heap=_I, members=_I, waiting=_I, n_members=_I, member=_I, now=_I, opened=_I, passed=_I, ahead=_I,
    # equity: the closes, how many were passed and told, and what it is made of since the last was written
    closes=_I, equity=_I, n_closes=_I, close_even=_I, close_apart=_I, point=_I, told=_I, written=_I,
    segments=_I, segment_room=_I, n_segments=_I, first_cash=_I, last_cash=_I,
    stretches=_I, stretch_room=_I, n_stretches=_I,
)  # fmt: skip
"""What a run knows: where its arrays lie in memory, how long they are, and how far the walk is."""
