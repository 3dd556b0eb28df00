"""Replay: what a strategy decides on what an emission lived through, and what its subscriber then has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.simulator import SimulatedVenue
from backtest.model.calls import CreateSignal
from backtest.model.market import Market
from backtest.model.timeframe import milliseconds
from backtest.runner.lived import keyed
from backtest.runner.lived_walk import walk_lived
from backtest.runner.run import lane_of
from backtest.runner.shadow import Settled
from backtest.wire import call_from_body, read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from backtest.live.intent import Intent
    from backtest.live.snapshot import Place, Snapshot
    from backtest.model.calls import Call
    from backtest.model.candles import Candles
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.execute import Execution
    from backtest.runner.lived import Lived
    from backtest.strategy import Strategy

    Rules = Callable[[Place, Market | None], Market]

__all__ = ["Ground", "book_of", "book_of_intents", "call_of", "entered", "ground_of", "pnl_of", "walk"]


@dataclass(frozen=True)
class Ground:
    """What one strategy of an emission stood on.

    Attributes
    ----------
    lived
        Its candles, anchors and rules, what it decided and what it was told.
    places
        The series of each market.
    """

    lived: Lived
    places: Mapping[str, Place]

    @property
    def candles(self) -> dict[str, Candles]:
        """By symbol, from the first anchor on, history included."""
        return {symbol: one.candles for symbol, one in self.lived.markets.items()}

    @property
    def span(self) -> int:
        """Length of a candle in ms."""
        return milliseconds(next(iter(self.places.values()))[2])

    @property
    def quote(self) -> str:
        """The currency of money."""
        return next(iter(self.lived.markets.values())).market.trade_market

    @property
    def plain(self) -> Ground:
        """The same, where every call is at the venue from its close on, as in a backtest."""
        settled = [Settled(key, "entered", key.at, "") for key, _ in keyed(self.lived.made)]
        return replace(self, lived=replace(self.lived, settled=settled, asked={}))

    def on(self, candles: Mapping[str, Candles]) -> Ground:
        """Return the same on other candles; an instant that only they have is decided too."""
        return replace(self, lived=self.lived.on(candles))


def ground_of(journal: Snapshot, strategy: str, rules: Rules) -> Ground:
    """Return what a strategy stood on.

    Parameters
    ----------
    journal
        Of the emission.
    strategy
        Identity of the strategy.
    rules
        Returns the rules of a series' market, given those that the journal knows (None: it knows none).
    """
    lived = journal.lived[strategy]
    places = {one.symbol: (one.exchange, one.symbol, one.timeframe) for one in journal.cursors_of(strategy)}
    given: dict[str, Market] = {}
    for symbol, one in lived.markets.items():
        known = None if list(one.rules) == [(0, Market(symbol))] else one.market
        market = rules(places[symbol], known)
        if market != known:
            given[symbol] = market
    return Ground(lived.on({}, given) if given else lived, places)


def walk(strategy: Strategy, ground: Ground, profile: SubscriberProfile) -> Execution:
    """Let a strategy decide on a ground as the live session did: the history is seen, nothing is decided on it.

    Parameters
    ----------
    strategy, profile
        Who decides, for whom.
    ground
        On what, and what it is told.
    """
    return walk_lived(strategy, ground.lived, profile, lane=lane_of(strategy))


def call_of(intent: Intent) -> Call:
    """Return the call that an intent states."""
    body = read_object(intent.body)
    return call_from_body(intent.kind, body, intent.ref, allow_marketable=intent.allow_marketable)


def book_of(journal: Snapshot, strategy: str, ground: Ground, profile: SubscriberProfile) -> SimulatedVenue:
    """Return the subscriber's account with the calls that were sent: no strategy is asked.

    A call counts from the close at which the shadow book took it; one that was taken back later never was.

    Parameters
    ----------
    journal, strategy
        What was sent, by whom.
    ground, profile
        As for :func:`walk`.
    """
    return _book(entered(journal, strategy), ground, profile)


def book_of_intents(intents: Sequence[Intent], ground: Ground, profile: SubscriberProfile) -> SimulatedVenue:
    """Return the subscriber's account if each of these calls had reached the venue at its close.

    Parameters
    ----------
    intents
        In the order of planning.
    ground, profile
        As for :func:`walk`.
    """
    return _book([(one, one.candle) for one in intents], ground, profile)


def _book(calls: Sequence[tuple[Intent, int]], ground: Ground, profile: SubscriberProfile) -> SimulatedVenue:
    venue, changes = SimulatedVenue(ground.lived.histories(), profile), ground.lived.changes()
    for intent, at in calls:
        while changes and changes[0][0] < at:
            _change(venue, *changes.pop(0))
        call = call_of(intent)
        if isinstance(call, CreateSignal) or venue.knows(call.signal):
            venue.send(call, at)
    for change in changes:
        _change(venue, *change)
    venue.advance()
    return venue


def _change(venue: SimulatedVenue, close: int, symbol: str, market: Market) -> None:
    venue.advance(close)
    venue.change_rules(symbol, market)


def entered(journal: Snapshot, strategy: str) -> list[tuple[Intent, int]]:
    """Return the calls that are at the venue or may be, each with the close from which on it counts, in that order."""
    last: dict[str, tuple[int, bool]] = {}
    order: dict[str, int] = {}
    for number, told in enumerate(journal.told.get(strategy, ())):
        last[told.intent] = (told.entered, told.outcome == "entered")
        order[told.intent] = number
    known = {each.id: each for each in journal.intents if each.strategy == strategy}
    found = [(known[name], at, order[name]) for name, (at, there) in last.items() if there]
    waiting = [each for name, each in known.items() if name not in last and each.state.value in _THERE]
    found += [(each, each.candle, len(order) + each.seq) for each in waiting]
    return [(intent, at) for intent, at, _ in sorted(found, key=lambda one: one[1:])]


_THERE = {"acked", "landed", "unknown", "sending", "abandoned"}


def pnl_of(venue: SimulatedVenue) -> dict[str, float]:
    """Return what each signal has made after costs, quote currency, an open one at the last price of its market.

    All of them together are the account's gain.
    """
    outcomes = venue.outcomes()
    last = np.array(
        [float(history.candles.close[-1]) if len(history.candles) else 0.0 for history in venue.histories] or [0.0]
    )
    held = np.where(
        outcomes["quantity"] > 0.0,
        outcomes["side"] * outcomes["quantity"] * (last[outcomes["market"]] - outcomes["average"]),
        0.0,
    )
    gain = outcomes["realised"] - outcomes["fees"] - outcomes["funding"] + held
    return {str(ref): float(value) for ref, value in zip(venue.refs, gain, strict=True)}
