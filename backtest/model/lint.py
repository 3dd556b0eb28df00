"""Lint: what is wrong, or hardly meant, with a signal before it is sent; for one subscriber's profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backtest.model.finding import Finding, finding_of
from backtest.model.intake import first_broken
from backtest.model.lint_later import buys, capital, moved_stops, out_of_order, repeats, trails
from backtest.model.sizing import Sizing, shown
from backtest.model.timeframe import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backtest.model.calls import Call, CreateSignal
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile

__all__ = ["Finding", "finding_of", "lint", "lint_refusals"]


def lint(
    create: CreateSignal,
    market: Market,
    profile: SubscriberProfile,
    *,
    later: Sequence[Call] = (),
    prices: Sequence[float] = (),
    median_range: float | None = None,
    timeframe: str | None = None,
    has_detail: bool = False,
) -> list[Finding]:
    """Return what is wrong with a signal and the calls that follow it, before anything is sent.

    Prices are judged as they will be sent, on the tick (L3.6); sizes by the balance, costs by the fees and slippage,
    parts by the target shares of the profile. No candle is needed. Only what no subscriber could execute has severity
    ``"refuse"``, and the desk refuses exactly that (L3.8); what depends on a balance, a minimum or a limit warns.

    Parameters
    ----------
    later
        Calls for this signal that may live beside it, in the order in which they will be sent.
    prices
        The last price at which each of ``later`` is decided, quote currency; where absent, the near entry bound.
    median_range
        Median of (high - low) / close of the candles, a fraction; None leaves trailing stops unjudged.
    timeframe
        Of the candles, ``"1h"``; None leaves the time to live unjudged.
    has_detail
        Whether finer candles are walked inside those (L2.4), as a tight trailing stop needs.

    Returns
    -------
    list of Finding
        In a fixed order; empty where nothing is wrong.
    """
    create = create if _is_on_tick(create, market) else create.rounded(market)
    broken = first_broken(create.relations())
    if broken is not None:
        return [finding_of(broken)]
    sizing = Sizing(create, market, profile)
    found = [
        *_stop(sizing),
        *_targets(sizing),
        *_minimums(sizing),
        *_time_to_live(create, timeframe),
        *capital(sizing, later),
    ]
    if later:
        found += [*out_of_order(create, later), *buys(sizing, later), *moved_stops(create, later, prices)]
        found += repeats(create, later)
        if median_range is not None and not has_detail:
            found += trails(create, later, prices, median_range)
    return found


def lint_refusals(create: CreateSignal, market: Market, profile: SubscriberProfile, **context: Any) -> list[Finding]:
    """Return the findings because of which a signal must not be sent live; ``context`` is that of :func:`lint`.

    A signal without a stop is one of them unless it says ``allow_no_stop``: the venue, not our process, must protect
    the position.
    """
    found = lint(create, market, profile, **context)
    return [one for one in found if one.severity == "refuse" or (one.code == "no_stop" and not create.allow_no_stop)]


def _is_on_tick(create: CreateSignal, market: Market) -> bool:
    down = market.price_grid.down
    for price in (create.entry_price_max, create.entry_price_min, create.entry_price_mid, create.stop_loss):
        if price is not None and down(price) != price:
            return False
    return all(price is None or down(price) == price for price in create.targets)


def _stop(sizing: Sizing) -> Iterator[Finding]:
    create = sizing.create
    if create.stop_loss is None:
        is_limited = sizing.profile.risk_limit is not None
        more = "" if create.allow_no_stop else "; sent live it needs allow_no_stop=True"
        more = "; under a risk limit it is not opened" if is_limited else more
        sentence = f"stop_loss is missing, so nothing ends a loss{more}"
        yield Finding("no_stop", "stop_loss", "warn", sentence)
        return
    level = sizing.liquidation(create.near_bound)
    if level is not None and sizing.side * create.stop_loss <= sizing.side * level:
        sentence = (
            f"stop_loss {shown(create.stop_loss)} lies beyond the liquidation at {shown(level)} "
            f"(entry {shown(create.near_bound)}, leverage {sizing.leverage:g}), which comes first and costs the margin"
        )
        yield Finding("stop_beyond_liquidation", "stop_loss", "warn", sentence)


def _targets(sizing: Sizing) -> Iterator[Finding]:
    create, profile, side = sizing.create, sizing.profile, sizing.side
    paid = profile.maker_fee if create.is_split else profile.taker_fee + profile.slippage_for(sizing.market.coin)
    even = create.near_bound * (1.0 + side * paid) / (1.0 - side * profile.maker_fee)
    for number, price in enumerate(create.targets, 1):
        if price is not None and side * price <= side * even:
            name = _target_name(create, number)
            sentence = (
                f"{name} {shown(price)} lies inside fees and slippage: "
                f"entered at {shown(create.near_bound)}, a round trip is even at {shown(even)}"
            )
            yield Finding("target_inside_costs", name, "warn", sentence)


def _minimums(sizing: Sizing) -> Iterator[Finding]:
    if sizing.is_ample:
        return
    create, market, invest = sizing.create, sizing.market, sizing.create.invest or 0.0
    least = f"the least order of {market.min_amount:g} {create.coin} and {market.min_cost:g} {create.trade_market}"
    for name, price, share in sizing.entries:
        quantity = sizing.quantity(invest * share, price)
        if sizing.is_too_small(quantity, price):
            sentence = f"{name} {shown(price)} buys {sizing.in_words(quantity, price)}, below {least}: it is refused"
            yield Finding("entry_below_minimum", name, "warn", sentence)
            return
    for number, price, part, is_skipped in sizing.target_parts():
        if is_skipped:
            name, sold = _target_name(create, number), sizing.in_words(part, price)
            sentence = f"{name} {shown(price)} sells {sold}; that or the rest is below {least}: it is skipped"
            yield Finding("target_below_minimum", name, "warn", sentence)


def _time_to_live(create: CreateSignal, timeframe: str | None) -> Iterator[Finding]:
    ttl = create.ttl_buy_order
    if timeframe is None:
        return
    if ttl is None:
        sentence = "ttl_buy_order is missing: where nobody can buy it waits for ever, and whoever makes one signal at a time makes no other"
        yield Finding("ttl_missing", "ttl_buy_order", "warn", sentence)
    elif ttl < milliseconds(timeframe):
        sentence = f"ttl_buy_order {ttl} ms is shorter than a candle of {timeframe}, so it ends inside one"
        yield Finding("ttl_short", "ttl_buy_order", "warn", sentence)


def _target_name(create: CreateSignal, number: int) -> str:
    return f"{'exit' if create.version == 2 else 'sell'}_price_{number}"
