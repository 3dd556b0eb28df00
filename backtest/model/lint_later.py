"""Lint of later calls: what follows a create, judged beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.model.calls import Cancel, CreateSignal, Dca, Rebuy, TakeProfit, TrailingStop, UpdatePrices
from backtest.model.finding import Finding, Severity, finding_of
from backtest.model.intake import first_broken
from backtest.model.sizing import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backtest.model.calls import Call
    from backtest.model.sizing import Sizing

__all__ = ["buys", "capital", "moved_stops", "out_of_order", "repeats", "trails"]


def capital(sizing: Sizing, later: Sequence[Call]) -> Iterator[Finding]:
    """Judge what is invested if everything fills."""
    invest, limit = sizing.create.invest or 0.0, sizing.profile.allocation_limit
    total = invest + sum(_bought(sizing, call)[1] for call in later if isinstance(call, Dca | Rebuy))
    if total > 100.0 + 1e-9:
        beside = "" if total == invest else f" with its DCAs and rebuys, {invest:g} % without them"
        yield Finding("capital_over_100", "invest", "warn", f"invest comes to {total:g} % of the portfolio{beside}")
    elif total > limit + 1e-9:
        sentence = f"invest comes to {total:g} % of the portfolio at worst, over the allocation limit of {limit:g} %"
        yield Finding("capital_over_limit", "invest", "warn", sentence)


def out_of_order(create: CreateSignal, later: Sequence[Call]) -> Iterator[Finding]:
    """Judge the prices of each later call among themselves (L3.8)."""
    for call in later:
        if not isinstance(call, Cancel | CreateSignal):
            broken = first_broken(call.relations(create.side))
            if broken is not None:
                yield finding_of(broken)


def repeats(create: CreateSignal, later: Sequence[Call]) -> Iterator[Finding]:
    """Judge price updates that say only what is wished already: each costs a request, and none does anything."""
    wished, count, first = create.prices, 0, ""
    for call in later:
        if isinstance(call, UpdatePrices):
            if call.prices.items() <= wished.items():
                count += 1
                first = first or next(iter(call.prices), "")
            wished |= call.prices
        elif isinstance(call, TrailingStop | TakeProfit | Rebuy) and call.trailing_stop_price is not None:
            wished.pop("stop_loss", None)
    if count:
        times = "once" if count == 1 else f"{count} times"
        level = f"{first} is sent again as {shown(wished[first])}" if first else "an update names no price"
        yield Finding("repeats", first or "updateprice", "warn", f"{level}: an update that changes nothing, {times}")


def buys(sizing: Sizing, later: Sequence[Call]) -> Iterator[Finding]:
    """Judge whether DCAs and rebuys can be reached before stop and liquidation, and are large enough."""
    create = sizing.create
    stop, cost = create.stop_loss, sizing.notional(create.invest or 0.0)
    certain = stop  # the farthest that may be in force; none once a trailing stop may stand anywhere (L8.2)
    held = cost / create.near_bound
    for call in later:
        if isinstance(call, UpdatePrices | TrailingStop):
            stop = (call.stop_loss if isinstance(call, UpdatePrices) else call.trailing_stop_price) or stop
            certain = _farther(create.side, certain, stop) if isinstance(call, UpdatePrices) else None
        elif isinstance(call, Dca | Rebuy):
            finding = _buy(sizing, call, (stop, certain), cost / held)
            if finding is not None:
                yield finding
                continue
            price, percent, _ = _bought(sizing, call)
            cost, held = cost + sizing.notional(percent), held + sizing.notional(percent) / price


def _farther(side: int, one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return None
    return min(one, other) if side > 0 else max(one, other)


def _buy(sizing: Sizing, call: Dca | Rebuy, stops: tuple[float | None, float | None], average: float) -> Finding | None:
    """Return what is wrong with one buy beside a stop and a position of this average entry.

    ``stops``: the one last wished, and the farthest that may be in force.
    """
    stop, certain = stops
    price, percent, name = _bought(sizing, call)
    kind, side, what = "dca" if isinstance(call, Dca) else "rebuy", sizing.side, f"{name} {shown(price)}"
    if stop is not None and side * price <= side * stop:
        severity: Severity = "refuse" if certain is not None and side * price <= side * certain else "warn"
        sentence = f"{what} cannot be reached before the stop at {shown(stop)}"
        return Finding(f"{kind}_beyond_stop", name, severity, sentence)
    level = sizing.liquidation(average)
    if level is not None and side * price <= side * level:
        sentence = f"{what} cannot be reached before the liquidation at {shown(level)}"
        return Finding(f"{kind}_beyond_liquidation", name, "warn", sentence)
    quantity = sizing.quantity(percent, price)
    if sizing.is_too_small(quantity, price):
        sentence = f"{what} buys {sizing.in_words(quantity, price)}, below the market's minimum order: it is refused"
        return Finding(f"{kind}_below_minimum", name, "warn", sentence)
    return None


def _bought(sizing: Sizing, call: Dca | Rebuy) -> tuple[float, float, str]:
    """Return price (the near bound of a zone), percent of the portfolio and field of a later buy."""
    invest = sizing.create.invest or 0.0
    if isinstance(call, Dca):
        return call.buy_price, invest * call.multiplier, "buy_price"
    percent = invest if call.invest is None else call.invest
    if sizing.side > 0:
        return call.buy_price_max, percent, "buy_price_max"
    return call.buy_price_min, percent, "buy_price_min"


def moved_stops(create: CreateSignal, later: Sequence[Call], prices: Sequence[float]) -> Iterator[Finding]:
    """Judge stops that are moved to or beyond the price at which they are sent (L11.2)."""
    for call, last in zip(later, prices, strict=False):
        if not isinstance(call, UpdatePrices) or call.stop_loss is None or call.allow_marketable:
            continue
        if create.side * call.stop_loss >= create.side * last:
            sentence = f"stop_loss is moved to {shown(call.stop_loss)}, beyond the last price {shown(last)}: refused"
            yield Finding("stop_wrong_side", "stop_loss", "warn", sentence)


def trails(
    create: CreateSignal, later: Sequence[Call], prices: Sequence[float], median_range: float
) -> Iterator[Finding]:
    """Judge trailing stops that live inside one candle, where their ratchet is a guess (L8.4)."""
    for number, call in enumerate(later):
        if not isinstance(call, TrailingStop | TakeProfit | Rebuy) or call.trailing_stop_price is None:
            continue
        last = _armed_at(create, call) or (prices[number] if number < len(prices) else create.near_bound)
        share = create.side * (last - call.trailing_stop_price) / last
        if share < 2.0 * median_range:
            sentence = (
                f"trailing_stop_price {shown(call.trailing_stop_price)} trails {share:.2%} behind {shown(last)}, less "
                f"than twice the median candle range of {median_range:.2%}: without detail candles a guess"
            )
            yield Finding("trail_tight", "trailing_stop_price", "warn", sentence)


def _armed_at(create: CreateSignal, call: TrailingStop | TakeProfit | Rebuy) -> float | None:
    """Return the price of the fill that arms a trailing stop; None where the last price does (L8.1, L9.2, L10.2)."""
    if isinstance(call, Rebuy):
        return call.buy_price_max if create.side > 0 else call.buy_price_min
    return call.sell_price if isinstance(call, TakeProfit) and call.order_type == "limit" else None
