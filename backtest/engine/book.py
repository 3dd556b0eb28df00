"""Book: calls become records, records become events and living signals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from backtest.engine.codes import (
    C_CANCEL,
    C_CREATE,
    C_DCA,
    C_REBUY,
    C_TAKE_PROFIT,
    C_TRAILING,
    C_UPDATE,
    FUTURES,
    KINDS,
    LEGS,
    MARGIN,
    NO_STOP,
    REASONS,
    RULES,
    SPOT,
    STATUSES,
    T_LIVE,
    TRAILING,
)
from backtest.engine.records import TARGETS
from backtest.model.calls import (
    Call,
    Cancel,
    CreateSignal,
    Dca,
    Rebuy,
    TakeProfit,
    TrailingStop,
    UpdatePrices,
    create_directions,
    rounded_pair,
)
from backtest.model.events import Event, SignalRef
from backtest.model.signal import LiveSignal

if TYPE_CHECKING:
    from backtest.model.market import Market

__all__ = ["call_order", "create_row", "event_of", "live_signal", "write_call"]

_ACCOUNTS = {None: SPOT, "SPOT": SPOT, "MARGIN": MARGIN, "FUTURES": FUTURES}
_ABSENT = (math.nan,) * TARGETS
_NO_LATER_CALL = (0.0, 0, 0.0, 0.0, 0.0, 0.0, 0)  # price, limit, amount, multiplier, trail, trail_limit, marketable
_ORDER = {Cancel: 0, UpdatePrices: 1, TakeProfit: 2, TrailingStop: 2, CreateSignal: 3, Rebuy: 3, Dca: 3}


def call_order(kind: type[Call]) -> int:
    """Return the place of a kind of call among those of one close: cancel, update, exits, entries."""
    return _ORDER[kind]


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def create_row(call: CreateSignal, market: Market) -> tuple[Any, ...]:
    """Return a create as the fields of a call record from ``kind`` on, its prices on the market's tick (L3.6)."""
    grid, side, split = market.price_grid, call.side, call.is_split
    ways = create_directions(side, split=split, lone=call.entry_price_min is None)
    gain = grid.up if side > 0 else grid.down

    def on_tick(name: str, price: float | None) -> float:
        return math.nan if price is None else grid.up(price) if ways[name] > 0 else grid.down(price)

    account = _ACCOUNTS[call.account]
    targets = [math.nan if price is None else gain(price) for price in call.targets]
    return (
        C_CREATE,
        side,
        account,
        call.margin_type == "CROSS" and account != SPOT,
        1.0 if call.leverage is None else call.leverage,
        call.invest,
        call.ttl_buy_order or 0,
        split,
        on_tick("entry_price_min", call.entry_price_min),
        on_tick("entry_price_mid", call.entry_price_mid),
        on_tick("entry_price_max", call.entry_price_max),
        call.invest_entry_min or 0.0,
        call.invest_entry_mid or 0.0,
        call.invest_entry_max or 0.0,
        [*targets, *_ABSENT[len(targets) :]],
        on_tick("stop_loss", call.stop_loss),
        *_NO_LATER_CALL,
    )


def write_call(r: Any, call: Call, market: Market, create: CreateSignal) -> None:
    """Write a later call into a call record; ``create`` is the create of its signal, which tells side and entry."""
    r.price = r.trail = r.trail_limit = r.low = r.mid = r.high = r.stop = r.invest = math.nan
    r.targets[:] = math.nan
    side = create.side
    if isinstance(call, Cancel):
        r.kind = C_CANCEL
        return
    if isinstance(call, UpdatePrices):
        call = call.rounded(market, side, split=create.is_split, lone=create.entry_price_min is None)
        r.kind, r.marketable = C_UPDATE, call.allow_marketable
        r.low, r.high, r.stop = _number(call.entry_price_min), _number(call.entry_price_max), _number(call.stop_loss)
        r.targets[:] = [_number(price) for price in call.targets]
        return
    if isinstance(call, CreateSignal):
        raise TypeError("a create is a row of its own")
    if isinstance(call, Rebuy):  # a zone without a tick inside stays one, and is refused when it acts (L3.6)
        grid, pair = market.price_grid, (call.trailing_stop_price, call.trailing_stop_limit_price)
        r.kind, r.invest = C_REBUY, _number(call.invest)
        r.low, r.high = grid.up(call.buy_price_min), grid.down(call.buy_price_max)
        r.trail, r.trail_limit = (_number(price) for price in rounded_pair(grid, side, *pair))
        return
    call = call.rounded(market, side)
    if isinstance(call, Dca):
        r.kind, r.price, r.multiplier = C_DCA, call.buy_price, call.multiplier
        return
    r.trail, r.trail_limit = _number(call.trailing_stop_price), _number(call.trailing_stop_limit_price)
    if isinstance(call, TakeProfit):
        r.kind, r.limit, r.amount = C_TAKE_PROFIT, call.order_type == "limit", call.sell_amount_relative
        r.price = _number(call.sell_price)
    else:
        r.kind = C_TRAILING


def event_of(e: Any, ref: SignalRef, symbol: str) -> Event:
    """Return the event of an event record."""
    time, _, kind, price, quantity, fee, target, average, held, leg, rule, reason, _, _ = e.item()  # fields as in EVENT
    return Event(
        time=time,
        signal=ref,
        symbol=symbol,
        kind=KINDS[kind],
        price=None if price != price else price,
        quantity=quantity,
        fee=fee,
        target=target or None,
        average_entry=None if average != average else average,
        open_quantity=held,
        leg=LEGS[leg],
        rule=RULES[rule],
        reason=REASONS[reason],
    )


def live_signal(s: Any, ref: SignalRef, symbol: str) -> LiveSignal:
    """Return the living signal of a signal record."""
    state, target, held = s["state"].tolist(), s["target"].tolist(), float(s["quantity"])
    protection = int(s["protection"])
    return LiveSignal(
        ref=ref,
        symbol=symbol,
        side=int(s["side"]),
        status=STATUSES[s["status"]],
        stop=None if protection == NO_STOP else float(s["stop"]),
        trailing=protection == TRAILING,
        targets=tuple(price if live == T_LIVE else None for live, price in zip(state, target, strict=True)),
        average_entry=float(s["average"]) if held > 0.0 else None,
        open_quantity=held,
        created=int(s["created"]),
    )
