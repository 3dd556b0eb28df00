"""Parameters: profile, assumptions and markets as the records of the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.codes import (
    ABSOLUTE,
    CANDLE,
    OPTIMISTIC,
    PESSIMISTIC,
    RELATIVE,
    STATIC,
    TO_BREAK_EVEN,
    TO_DISTANCE,
    TO_PREVIOUS,
)
from backtest.engine.records import CONFIG, MARKET, TARGETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from backtest.engine.history import MarketHistory
    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.profile import SubscriberProfile

__all__ = ["MODES", "config_record", "market_records"]

MODES = {"pessimistic": PESSIMISTIC, "candle": CANDLE, "optimistic": OPTIMISTIC}
_DISTANCES = {"absolute": ABSOLUTE, "relative": RELATIVE, "static": STATIC}
_STOPS_TO = {"break_even": TO_BREAK_EVEN, "previous_target": TO_PREVIOUS, "distance": TO_DISTANCE}
_STOP_ORDERS = {None: 0, "market": 1, "limit": 2}


def config_record(profile: SubscriberProfile, assumptions: VenueAssumptions, *, want_events: bool) -> NDArray[Any]:
    """Return the (1,) record of a profile and its assumptions; percents become fractions only where the kernel uses them."""
    record = np.zeros(1, CONFIG)
    c = record[0]
    c["balance"], c["basis_equity"] = profile.balance, profile.basis == "equity"
    c["maker"], c["taker"], c["mode"] = profile.maker_fee, profile.taker_fee, MODES[profile.intrabar]
    shares = profile.target_shares
    c["n_shares"] = -1 if shares is None else len(shares)
    c["shares"][:] = 0.0 if shares is None else [*shares, *([0.0] * (TARGETS - len(shares)))]
    exit_at = profile.take_profit_at
    c["exit_target"] = exit_at if isinstance(exit_at, int) else 0
    c["exit_percent"] = float(exit_at[:-1]) / 100.0 if isinstance(exit_at, str) else 0.0
    trailing = profile.trailing_take_profit
    if trailing is not None:
        c["trail_from"], c["trail_to"] = trailing.from_target, _STOPS_TO[trailing.stop_to]
        c["trail_distance"] = (trailing.distance_percent or 0.0) / 100.0
    c["stop_order"], c["stop_margin"] = _STOP_ORDERS[profile.stop_order], profile.stop_limit_margin
    c["stop_on_close"], c["distance_kind"] = profile.stop_trigger == "close", _DISTANCES[profile.trail_distance]
    c["allocation_limit"], c["risk_limit"] = profile.allocation_limit, profile.risk_limit or 0.0
    if profile.frequency_limit is not None:
        c["frequency"], c["period"] = profile.frequency_limit.signals, profile.frequency_limit.period_ms
    c["max_open"] = profile.max_open or 0
    c["fee_inside"], c["cancel_entries"] = assumptions.fee_inside_allocation, assumptions.cancel_entries_at_first_target
    c["cancel_if_target_first"], c["invalidate_at_stop"] = (
        assumptions.cancel_if_target_first,
        assumptions.invalidate_at_stop,
    )
    c["buys_survive"], c["want_events"] = assumptions.buys_survive_take_profit, want_events
    return record


def market_records(histories: Sequence[MarketHistory], profile: SubscriberProfile) -> NDArray[Any]:
    """Return one record a market."""
    records = np.zeros(len(histories), MARKET)
    for record, history in zip(records, histories, strict=True):
        market = history.market
        record["tick"], record["tick_scale"] = market.price_grid.mantissa, market.price_grid.scale
        record["step"], record["step_scale"] = market.quantity_grid.mantissa, market.quantity_grid.scale
        record["min_amount"], record["min_cost"] = market.min_amount, market.min_cost
        record["max_leverage"], record["maintenance"] = market.max_leverage, market.maintenance_margin_rate
        record["slippage"] = profile.slippage_for(market.coin)
        record["span"], record["fine_span"] = history.candles.milliseconds, history.fine_span
    return records
