"""Replay: what a strategy decides on candles that an emission saw, and what its subscriber then has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.feed import Feed
from backtest.engine.simulator import SimulatedVenue
from backtest.model.calls import CreateSignal
from backtest.model.candles import Candles
from backtest.model.timeframe import milliseconds
from backtest.runner.decision import Decision, Refusal
from backtest.runner.desk import Desk, table_rows
from backtest.runner.execute import prepare
from backtest.runner.lived import Lived
from backtest.runner.passes import fresh
from backtest.runner.run import lane_of
from backtest.runner.shadow import Fate, Shadow
from backtest.wire import call_from_body, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from backtest.live.intent import Intent
    from backtest.live.schema import Seen
    from backtest.live.snapshot import Place, Snapshot
    from backtest.model.calls import Call
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.execute import Prepared
    from backtest.runner.shadow import CallKey, Outcomes
    from backtest.strategy import Strategy

__all__ = ["Ground", "Walked", "book_of", "book_of_intents", "call_of", "ground_of", "pnl_of", "walk"]

_COLUMNS = ("time", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Ground:
    """What one strategy of an emission stood on.

    Attributes
    ----------
    candles
        By symbol, from the anchor on, history included.
    first
        Open time of the first candle of each market that was decided on, UTC ms: what opened before is history.
    instants
        Open times of all that was decided on, those whose candles were missing too.
    anchors
        By symbol: closes from which on indicators begin at a later candle, and the open time of that one; ascending.
    places
        The series of each market.
    """

    candles: Mapping[str, Candles]
    first: Mapping[str, int]
    instants: Sequence[int]
    anchors: Mapping[str, Sequence[tuple[int, int]]]
    places: Mapping[str, Place]

    @property
    def span(self) -> int:
        """Length of a candle in ms."""
        return next(iter(self.candles.values())).milliseconds

    def of(self, candles: Mapping[str, Candles]) -> Ground:
        """Return the same with other candles; an instant that only they have is decided too."""
        more = [
            one.time[(one.time >= self.first[symbol]) & (one.time <= self.instants[-1])]
            for symbol, one in candles.items()
            if self.instants
        ]
        instants = np.unique(np.concatenate([np.array(self.instants, np.int64), *more])).tolist()
        return replace(self, candles=candles, instants=instants)

    def feeds(self, markets: Mapping[str, Market]) -> list[Feed]:
        """Return the markets with the candles that were decided on: the engine walks no history."""
        return [
            Feed(markets[symbol], one.slice(int(np.searchsorted(one.time, self.first[symbol]))))
            for symbol, one in sorted(self.candles.items())
        ]


@dataclass(frozen=True)
class Walked:
    """What was decided on a ground, and the subscriber's account at its end."""

    decisions: Sequence[Decision]
    venue: SimulatedVenue


def ground_of(journal: Snapshot, strategy: str) -> Ground:
    """Return what a strategy stood on, by its identity."""
    candles, first, anchors, places = {}, {}, {}, {}
    instants: set[int] = set()
    for cursor in journal.cursors_of(strategy):
        place = (cursor.exchange, cursor.symbol, cursor.timeframe)
        moves = journal.outcomes[strategy].markets[cursor.symbol].anchors
        acted = journal.acted(place, moves[0][1])
        decided = [one.time for one in acted if one.source != "history" or not one.arrived]
        end = cursor.time - milliseconds(cursor.timeframe)
        decided = [time for time in decided if time <= end]  # another strategy on the series may be further
        rows = [one for one in acted if one.open is not None and one.time <= end]
        candles[cursor.symbol] = candles_of(rows, place, volumes=journal.volumes[place])
        first[cursor.symbol] = decided[0] if decided else end + 1
        anchors[cursor.symbol] = [(0, moves[0][1]), *moves[1:]]
        places[cursor.symbol] = place
        instants.update(decided)
    return Ground(candles, first, sorted(instants), anchors, places)


def candles_of(rows: Sequence[Seen], place: Place, *, volumes: bool) -> Candles:
    """Return candles that were seen as a series.

    Parameters
    ----------
    rows
        Ascending, none missing.
    place
        Exchange, symbol and timeframe.
    volumes
        Whether their volumes are known (L2.6).
    """
    table = np.array([one.row for one in rows], np.float64).reshape(-1, 6)
    columns: dict[str, Any] = {name: table[:, k].copy() for k, name in enumerate(_COLUMNS)}
    columns["time"] = columns["time"].astype(np.int64)
    exchange, symbol, timeframe = place
    return Candles(symbol, timeframe, **columns, exchange=exchange, volume_known=volumes)


class _AllThere:
    """Every call is at the venue from its close on, as in a backtest."""

    def fate(self, key: CallKey, at: int) -> Fate | None:
        return Fate(entered=True)

    def asked_at(self, at: int) -> Sequence[tuple[CallKey, Call]]:
        return ()


def walk(
    strategy: Strategy,
    ground: Ground,
    markets: Mapping[str, Market],
    profile: SubscriberProfile,
    outcomes: Outcomes | None = None,
) -> Walked:
    """Let a strategy decide on a ground as a live session does: the history is seen, and nothing is decided on it.

    Parameters
    ----------
    strategy, profile
        Who decides, for whom.
    ground, markets
        On what, and the rules by symbol.
    outcomes
        What became of the calls; None: each reaches the venue at its close.
    """
    asked = fresh(strategy)
    feeds = ground.feeds(markets)
    shadow = Shadow(lambda: feeds, profile, None, outcomes or _AllThere())
    desks = [_Asked(asked, symbol, ground, markets[symbol], shadow) for symbol in sorted(ground.candles)]
    made: list[Decision | Refusal] = []
    reached = 0
    for instant in ground.instants:
        shadow.settle(reached)
        reached = instant + ground.span
        shadow.venue.advance(reached)
        events: dict[str, list[Any]] = {}
        for event in shadow.venue.new_events():
            events.setdefault(event.symbol, []).append(event)
        for desk in desks:
            given = outcomes.given(desk.symbol, reached) if isinstance(outcomes, Lived) else None
            made += desk.decide(instant, events.get(desk.symbol, ())) if given is None else desk.take(given)
    shadow.settle(reached)
    return Walked([one for one in made if isinstance(one, Decision)], shadow.venue)


class _Asked:
    """One market of a strategy that is asked again, with the indicators of the anchor that it had at each close."""

    def __init__(self, strategy: Strategy, symbol: str, ground: Ground, market: Market, shadow: Shadow) -> None:
        self.symbol, self._strategy, self._market, self._shadow = symbol, strategy, market, shadow
        self._candles = ground.candles[symbol]
        self._anchors = list(ground.anchors[symbol])
        self._desk = Desk(strategy, self._candles.slice(0, 0), market, shadow.venue)
        self._desk.shadow = shadow
        self._lane = lane_of(strategy)
        self._part: Prepared | None = None
        self._times: NDArray[np.int64] = np.empty(0, np.int64)
        self._asks: NDArray[np.bool_] = np.empty(0, np.bool_)

    def decide(self, instant: int, events: Sequence[Any]) -> list[Decision | Refusal]:
        """Return what is made at the close of the candle that opened at an instant, sent already."""
        desk = self._desk
        desk.venue = self._shadow.venue
        desk.forget()
        self._bind(instant + self._candles.milliseconds)
        position = int(np.searchsorted(self._times, instant))
        closes = position < len(self._times) and self._times[position] == instant
        if not closes and not (events and desk.hears_events):
            return []
        part, asks = self._part, closes and bool(self._asks[position])
        assert part is not None  # noqa: S101
        position = position if closes else position - 1
        if position < 0:
            return []
        if part.table is not None:
            rows = table_rows(part.table, position) if asks else range(0)
            made = desk.decide(position, events, asked=False, table=part.table, rows=rows)
        else:
            made = desk.decide(position, events, asked=asks)
        desk.send(made)
        return made

    def take(self, made: list[Decision | Refusal]) -> list[Decision | Refusal]:
        """Take what other code had decided at a close, before this one was accepted."""
        self._desk.venue = self._shadow.venue
        self._desk.forget()
        self._desk.send(made)
        for one in made:
            self._desk.remember(one)
        return made

    def _bind(self, close: int) -> None:
        """Show the desk the candles of the anchor that held at a close."""
        anchor = None
        while self._anchors and self._anchors[0][0] < close:
            anchor = self._anchors.pop(0)[1]
        if anchor is None:
            return
        candles = self._candles.slice(int(np.searchsorted(self._candles.time, anchor)))
        self._part = prepare(self._strategy, Feed(self._market, candles), lane=self._lane)
        self._times = candles.time
        self._asks = np.zeros(len(candles), np.bool_)
        self._asks[self._part.asked if self._part.table is None else self._part.table.rows] = True
        self._desk.bind(candles, self._part.ind)


def call_of(intent: Intent) -> Call:
    """Return the call that an intent states."""
    body = read_object(intent.body)
    return call_from_body(intent.kind, body, intent.ref, allow_marketable=intent.allow_marketable)


def book_of(
    journal: Snapshot, strategy: str, ground: Ground, markets: Mapping[str, Market], profile: SubscriberProfile
) -> SimulatedVenue:
    """Return the subscriber's account with the calls that were sent: no strategy is asked.

    A call counts from the close at which the shadow book took it; one that was taken back later never was.

    Parameters
    ----------
    journal, strategy
        What was sent, by whom.
    ground, markets, profile
        As for :func:`walk`.
    """
    return _book(entered(journal, strategy), ground, markets, profile)


def book_of_intents(
    intents: Sequence[Intent], ground: Ground, markets: Mapping[str, Market], profile: SubscriberProfile
) -> SimulatedVenue:
    """Return the subscriber's account if each of these calls had reached the venue at its close.

    Parameters
    ----------
    intents
        In the order of planning.
    ground, markets, profile
        As for :func:`walk`.
    """
    return _book([(one, one.candle) for one in intents], ground, markets, profile)


def _book(
    calls: Sequence[tuple[Intent, int]], ground: Ground, markets: Mapping[str, Market], profile: SubscriberProfile
) -> SimulatedVenue:
    venue = SimulatedVenue(ground.feeds(markets), profile)
    for intent, at in calls:
        call = call_of(intent)
        if isinstance(call, CreateSignal) or venue.knows(call.signal):
            venue.send(call, at)
    venue.advance()
    return venue


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
    last = np.array([float(feed.candles.close[-1]) if len(feed.candles) else 0.0 for feed in venue.feeds] or [0.0])
    held = np.where(
        outcomes["quantity"] > 0.0,
        outcomes["side"] * outcomes["quantity"] * (last[outcomes["market"]] - outcomes["average"]),
        0.0,
    )
    gain = outcomes["realised"] - outcomes["fees"] - outcomes["funding"] + held
    return {str(ref): float(value) for ref, value in zip(venue.refs, gain, strict=True)}
