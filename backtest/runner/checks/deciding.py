"""Deciding: what a strategy says at one close while nothing of it lives, and what it says candle by candle."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from backtest.engine.history import MarketHistory
from backtest.engine.simulator import SimulatedVenue
from backtest.runner.decision import Decision
from backtest.runner.desk import Desk, table_rows
from backtest.runner.session import Session

if TYPE_CHECKING:
    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.calls import Call
    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.strategy import Strategy

__all__ = ["calls_at_last", "session_calls"]


def calls_at_last(
    strategy: Strategy, candles: Candles, lane: str, market: Market, profile: SubscriberProfile
) -> list[Call]:
    """Return the calls of the last close of candles, computed from these candles alone, with no signal living.

    Parameters
    ----------
    strategy
        It is copied.
    candles
        All that it sees: the last one is that which has just closed.
    lane
        ``"table"`` or ``"candle"``.
    market, profile
        On which its calls would act.
    """
    fresh, position = copy.deepcopy(strategy), len(candles) - 1
    ind = fresh.indicators(candles)
    desk = Desk(fresh, candles, market, SimulatedVenue([MarketHistory(market, candles.slice(0, 0))], profile))
    desk.bind(candles, ind)
    if lane == "table":
        table = fresh.signals(candles, ind)
        made = desk.decide(position, (), asked=False, table=table, rows=table_rows(table, position))
        return [one.call for one in made if isinstance(one, Decision)]
    asked = fresh.has("on_candle")
    if asked:
        triggers = fresh.triggers(candles, ind)
        asked = triggers is None or bool(triggers[position])
    made = desk.decide(position, (), asked=asked)
    return [one.call for one in made if isinstance(one, Decision)]


def session_calls(
    strategy: Strategy,
    candles: Candles,
    market: Market,
    profile: SubscriberProfile,
    assumptions: VenueAssumptions,
) -> list[tuple[int, Call]]:
    """Return the calls of a copy of a strategy that gets the candles one by one, as live: close time and call."""
    session = Session(
        copy.deepcopy(strategy), candles.slice(0, 0), market=market, profile=profile, assumptions=assumptions
    )
    columns = (candles.time, candles.open, candles.high, candles.low, candles.close, candles.volume)
    found: list[tuple[int, Call]] = []
    for row in zip(*(column.tolist() for column in columns), strict=True):
        found.extend((decision.at, decision.call) for decision in session.close(*row))
    return found
