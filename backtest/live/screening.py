"""Screening: calls that lint refuses for every subscriber: they are never sent, and hold up nothing else (L3.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backtest.model.calls import CreateSignal
from backtest.model.lint import lint
from backtest.model.profile import SubscriberProfile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.engine.feed import Feed
    from backtest.model.calls import Call
    from backtest.model.finding import Finding
    from backtest.model.market import Market
    from backtest.runner.decision import Decision

__all__ = ["Refused", "refusal", "refusals"]

_ANYBODY = SubscriberProfile.anny()
_EVERYBODYS = frozenset(
    {
        "capital_over_100",
        "dca_beyond_liquidation",
        "invalid",
        "rebuy_beyond_liquidation",
        "stop_beyond_liquidation",
        "stop_wrong_side",
        "trailing_pair",
    }
)
"""Codes of findings that no balance, fee, share or limit of a subscriber changes."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that is not sent.

    Attributes
    ----------
    at
        The close at which it was decided, UTC ms.
    ref
        Our name of its signal.
    creates
        Whether it is a create; what follows it is then not sent either, and not listed.
    reason
        Why, without a full stop.
    """

    at: int
    ref: str
    creates: bool
    reason: str


def refusal(
    call: Call, create: CreateSignal, before: Sequence[Call], market: Market, last_price: float | None = None
) -> str:
    """Return why a call must not be sent, true for every subscriber; empty where it may be.

    Parameters
    ----------
    call
        The call.
    create
        Of its signal; the call itself where it is one.
    before
        Calls about the signal that were sent before it.
    market
        Rules of the market.
    last_price
        At which a later call is decided, quote currency; None judges no stop that is moved.
    """
    later = [] if call is create else [*before, call]
    prices = [] if last_price is None or not later else [np.inf * create.side] * len(before) + [last_price]
    known = {one.sentence for one in _findings(create, market, before, ())} if later else set()
    for one in _findings(create, market, later, prices):
        if one.severity == "refuse" and one.code in _EVERYBODYS and one.sentence not in known:
            return one.sentence
    return ""


def refusals(decisions: Sequence[Decision], feeds: Sequence[Feed]) -> list[Refused]:
    """Return the calls of a run that would not be sent, in order.

    Parameters
    ----------
    decisions
        Of a backtest.
    feeds
        The markets of the run with their candles.
    """
    about = {(feed.market.coin, feed.market.trade_market): feed for feed in feeds}
    creates: dict[str, CreateSignal] = {}
    sent: dict[str, list[Call]] = {}
    found: list[Refused] = []
    for decision in decisions:
        call = decision.call
        create = call if isinstance(call, CreateSignal) else creates.get(call.signal)
        if create is None:
            continue
        ref, feed = str(create.ref), about[create.coin, create.trade_market]
        reason = refusal(call, create, sent.get(ref, ()), feed.market, _last_price(feed, decision.at))
        if reason:
            found.append(Refused(decision.at, ref, call is create, reason))
        elif call is create:
            creates[ref], sent[ref] = create, []
        else:
            sent[ref].append(call)
    return found


def _findings(create: CreateSignal, market: Market, later: Sequence[Call], prices: Sequence[float]) -> list[Finding]:
    return lint(create, market, _ANYBODY, later=later, prices=prices)


def _last_price(feed: Feed, at: int) -> float | None:
    """Return the close of the last candle that had closed at an instant; None before the first."""
    closed = int(np.searchsorted(feed.candles.close_time, at, "right"))
    return float(feed.candles.close[closed - 1]) if closed else None
