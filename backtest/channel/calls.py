"""Calls: what a reading makes a channel send, by the rules of the channel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSignalError
from backtest.model.calls import Cancel, CreateSignal, Dca, UpdatePrices
from backtest.model.events import SignalRef
from backtest.wire import body_of, call_from_body, kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.channel.conventions import ChannelRules
    from backtest.channel.follow_up import FollowUp
    from backtest.channel.order import Order
    from backtest.model.calls import Call

__all__ = ["calls_of_follow_up", "calls_of_order", "shown"]

_MOST = {1: 6, 2: 5}
_THIRDS = (33.33, 33.34, 33.33)


def calls_of_order(order: Order, ref: str, rules: ChannelRules) -> list[Call]:
    """Return the create that a signal means, and the DCAs that follow it.

    Parameters
    ----------
    order
        As read; one at market has its range already.
    ref
        The name of the signal, the id of its message.
    rules
        Of the channel.

    Raises
    ------
    InvalidSignalError
        Where a rule that it needs is not set, or the API has no such create.
    """
    fields: dict[str, Any] = {
        "coin": order.coin,
        "trade_market": order.quote,
        "exchange": rules.need("exchange", "a create names the exchange"),
        "invest": _invest(order, rules),
        "type": "long" if order.side > 0 else "short",
        "stop_loss": order.stop,
        "ttl_buy_order": rules.ttl,
        "ref": SignalRef(ref),
        "allow_no_stop": order.stop is None,
        **_account(order, rules),
        **_entry(order),
    }
    if order.stop is None and rules.need("without_stop", "it has no stop") == "refuse":
        raise InvalidSignalError("it has no stop, and the rule without_stop refuses such signals")
    call = _with_targets(fields, order, rules)
    made: list[Call] = [_checked(call, ref)]
    if order.dca:
        multiplier = rules.need("dca_multiplier", f"it buys more at {order.dca[0]:.12g}")
        made += [_checked(Dca(SignalRef(ref), price, multiplier), ref) for price in order.dca]
    return made


def calls_of_follow_up(follow_up: FollowUp, ref: str) -> list[Call]:
    """Return the call that a follow-up means, none for a report or chatter.

    Parameters
    ----------
    follow_up
        As read.
    ref
        The signal that it is about.
    """
    if follow_up.kind == "cancel":
        return [Cancel(SignalRef(ref))]
    if follow_up.kind != "update":
        return []
    prices: dict[str, Any] = {
        f"exit_price_{number}": price for number, price in enumerate(follow_up.targets, 1) if price is not None
    }
    return [_checked(UpdatePrices(SignalRef(ref), stop_loss=follow_up.stop, **prices), ref)]


def _checked(call: Call, ref: str) -> Call:
    """Return a call as the wire gives it back: what the API would refuse is refused here."""
    creates = isinstance(call, CreateSignal)
    found = call_from_body(kind_of(call), body_of(call, None if creates else ref), ref)
    return replace(found, allow_no_stop=True) if isinstance(found, CreateSignal) and found.stop_loss is None else found


def _invest(order: Order, rules: ChannelRules) -> float:
    meaning = rules.need("invest", "a create says which percent of the portfolio it invests")
    if meaning != "message":
        return float(meaning)
    if order.amount is None:
        raise InvalidSignalError(
            "it does not say how much to invest, and the rule invest leaves that to the message", "invest"
        )
    return order.amount


def _account(order: Order, rules: ChannelRules) -> dict[str, Any]:
    """Return account, leverage and margin type."""
    account = rules.need("account", "a create is for one account")
    if account == "by leverage":
        account = "FUTURES" if order.side < 0 or order.leverage is not None else "SPOT"
    if account == "SPOT":
        if order.leverage is not None and order.leverage > 1.0:
            raise InvalidSignalError(f"its leverage is {order.leverage:g}, and the rule account is SPOT", "account")
        if order.side < 0:
            raise InvalidSignalError("it is a short, and the rule account is SPOT", "account")
        return {"account": "SPOT"}
    leverage = (
        order.leverage
        if order.leverage is not None
        else rules.need("leverage", f"it is for {account} and states no leverage")
    )
    margin = order.margin or rules.need("margin_type", f"it is for {account} and states no margin type")
    return {"account": account, "leverage": leverage, "margin_type": margin}


def _entry(order: Order) -> dict[str, float]:
    """Return the entry prices, and the shares where there are several orders."""
    prices = sorted(order.entries)
    if len(prices) == 1:
        return {"entry_price_max": prices[0]}
    if order.is_range:
        return {"entry_price_min": prices[0], "entry_price_max": prices[-1]}
    found = {"entry_price_min": prices[0], "entry_price_max": prices[-1]}
    shares = {"invest_entry_min": 50.0, "invest_entry_max": 50.0}
    if len(prices) == 3:
        found["entry_price_mid"] = prices[1]
        shares = dict(zip(("invest_entry_min", "invest_entry_mid", "invest_entry_max"), _THIRDS, strict=True))
    return {**found, **shares}


def _with_targets(fields: dict[str, Any], order: Order, rules: ChannelRules) -> CreateSignal:
    """Return the create with as many targets as its version takes."""
    targets = order.targets
    if len(targets) == _MOST[1] and fields["account"] == "SPOT" and "invest_entry_max" not in fields:
        low = fields.get("entry_price_min", fields["entry_price_max"])
        first = {name: value for name, value in fields.items() if name != "account"}
        return CreateSignal(**{**first, "entry_price_min": low}, targets=targets, version=1)
    if len(targets) > _MOST[2]:
        meaning = rules.need("more_targets", f"it has {len(targets)} targets, and its create takes {_MOST[2]}")
        targets = targets[: _MOST[2]] if meaning == "first" else (*targets[: _MOST[2] - 1], targets[-1])
    return CreateSignal(**fields, targets=targets)


def shown(calls: Sequence[Call]) -> str:
    """Return calls in words, for a person who checks a reading."""
    return "; ".join(_shown(call) for call in calls)


def _shown(call: Call) -> str:
    if isinstance(call, CreateSignal):
        parts = [f"create {call.type} {call.symbol}", _shown_entry(call)]
        parts.append("targets " + ", ".join(f"{price:.12g}" for price in call.targets if price is not None))
        parts.append("no stop" if call.stop_loss is None else f"stop {call.stop_loss:.12g}")
        if call.account not in {None, "SPOT"}:
            parts.append(f"{call.account} {call.leverage:g}x {call.margin_type}")
        return ", ".join([*parts, f"invest {call.invest:g} %"])
    if isinstance(call, Dca):
        return f"DCA at {call.buy_price:.12g} times {call.multiplier:g}"
    if isinstance(call, UpdatePrices):
        moved = {"stop": call.stop_loss} | {f"target {k}": getattr(call, f"exit_price_{k}") for k in range(1, 7)}
        return "update " + ", ".join(f"{name} to {price:.12g}" for name, price in moved.items() if price is not None)
    return "cancel"


def _shown_entry(call: CreateSignal) -> str:
    prices = [
        price for price in (call.entry_price_min, call.entry_price_mid, call.entry_price_max) if price is not None
    ]
    if len(prices) == 1:
        return f"entry {prices[0]:.12g}"
    return (
        f"entries {' and '.join(f'{one:.12g}' for one in prices)}"
        if call.is_split
        else f"entry {prices[0]:.12g} to {prices[-1]:.12g}"
    )
