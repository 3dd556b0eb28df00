"""Seat: one strategy on its markets in a running emission; it takes what a feed brings and says what was decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np

from backtest.live.outcomes import JournalOutcomes, ToldOutcomes, refuse_other_calls, told_of
from backtest.live.schema import Decided, Seen, Stream
from backtest.live.track import Closed, Fault, FaultKind
from backtest.model.candles import Candles
from backtest.model.events import EventKind, SignalRef, Status
from backtest.runner.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backtest.live.intent import Intent
    from backtest.live.journal import Journal
    from backtest.live.schema import Told
    from backtest.live.track import Item
    from backtest.market_data.klines import Row
    from backtest.market_data.series import Series
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.decision import Decision
    from backtest.runner.shadow import CallKey
    from backtest.strategy import Strategy

__all__ = ["Place", "Seat", "new_of", "when"]

_OVER = frozenset({Status.CLOSED, Status.EXPIRED, Status.INVALIDATED, Status.CANCELED})
_ENDS = frozenset({EventKind.CLOSED, EventKind.EXPIRED, EventKind.INVALIDATED, EventKind.CANCELED})


@dataclass(eq=False)
class Place:
    """One market of a seat.

    Attributes
    ----------
    stream
        Whose cursor it moves.
    market
        Rules of the market.
    since
        Open time of the next candle that is wanted, UTC ms.
    resumes
        Whether candles were passed on before.
    """

    stream: Stream
    market: Market
    since: int
    resumes: bool = False
    anchor: int | None = None
    reached: float = -1.0
    """Everything that opened before it is here, or is missing."""
    waiting: dict[int, Closed | None] = field(default_factory=dict)
    unkept: list[Seen] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def seen(self, time: int, item: Closed | None, source: str) -> None:
        """Keep a candle for the next transaction."""
        row, arrived = (None, 0) if item is None else (item.row, item.arrived)
        self.unkept.append(Seen.of(time, row, source, arrived))

    def decided(self, time: int, decisions: Sequence[Decision] = (), told: Sequence[Told] = ()) -> Decided:
        """Return what is to be kept of a close.

        Parameters
        ----------
        time
            Of the close, UTC ms.
        decisions, told
            Made and told at it.
        """
        found = Decided(
            self.stream,
            time,
            [decision.call for decision in decisions],
            self.unkept,
            told,
            self.ended,
            self.since if self.anchor is None else self.anchor,
        )
        self.unkept, self.ended = [], []
        return found


class Seat:
    """A strategy on markets of one exchange and one timeframe.

    An instant is decided once all its candles have closed or are missing, in the order of time and then of symbols.
    What closed by ``start`` is history: indicators see it, and nothing is decided on it.

    Parameters
    ----------
    strategy, profile
        Who decides, for whom.
    markets
        Rules by series.
    journal
        Of the account: it tells what becomes of the calls.
    account
        Fingerprint of the account.
    start
        The account's start, UTC ms.
    since
        Open time of the first candle that indicators see, where nothing was seen before.
    max_lag
        Of the venue, see :class:`Stream`.
    """

    def __init__(
        self,
        strategy: Strategy,
        profile: SubscriberProfile,
        markets: dict[Series, Market],
        journal: Journal,
        *,
        account: str,
        start: int,
        since: int,
        max_lag: int | None = None,
    ) -> None:
        self.strategy, self.profile, self.start = strategy, profile, start
        self.halted = ""
        self.span = next(iter(markets)).length
        self.places: dict[Series, Place] = {}
        named: dict[str, Candles] = {}
        for series in sorted(markets, key=lambda one: one.symbol):
            names = (strategy.identity, series.symbol, series.timeframe, series.exchange)
            stream = Stream(account, *names, max_lag=max_lag)
            self.places[series] = Place(stream, markets[series], since)
            none = np.empty(0)
            columns = (none.astype(np.int64), none, none, none, none, none)
            named[series.symbol] = Candles(series.symbol, series.timeframe, *columns, exchange=series.exchange)
        rules = {series.symbol: market for series, market in markets.items()}
        self._journal = journal
        self._outcomes = JournalOutcomes(journal, strategy.identity)
        self.session = Session(strategy, named, market=rules, profile=profile, outcomes=self._outcomes)

    @property
    def place(self) -> tuple[str, str]:
        """Exchange, as signals name it, and timeframe."""
        series, place = next(iter(self.places.items()))
        return place.market.exchange, series.timeframe

    @property
    def name(self) -> str:
        """For people."""
        symbols = ", ".join(series.symbol for series in self.places)
        return f"{type(self.strategy).__name__} on {symbols} {next(iter(self.places)).timeframe}"

    def restore(self) -> None:
        """Bring candles and shadow book to where the journal stands, and hold what is decided against it.

        Raises
        ------
        InvalidSettingError
            Where the strategy now decides otherwise than the journal.
        """
        journal, identity = self._journal, self.strategy.identity
        instants: dict[int, dict[str, Row]] = {}
        for place in self.places.values():
            cursor = journal.cursor(*place.stream.key)
            if cursor is None:
                continue
            place.anchor, place.since, place.resumes, place.reached = cursor.anchor, cursor.time, True, cursor.time
            for seen in journal.seen(place.stream, cursor.anchor):
                row = _priced(seen)
                if row is not None and seen.source == "history":
                    self.session.see(place.stream.symbol, row)
                else:
                    instants.setdefault(seen.time, {}).update({} if row is None else {place.stream.symbol: row})
        self.session.follow(ToldOutcomes(journal, identity))
        decisions = [one for time, rows in sorted(instants.items()) for one in self.session.walk(time, rows)]
        self.session.follow(self._outcomes)
        for place in self.places.values():
            if place.resumes:
                mine = [one for one in decisions if _is_of(one, place.stream)]
                refuse_other_calls(journal, place.stream, mine, place.since)
        venue = self.session.venue
        living = [SignalRef(row.ref) for row in journal.signals("living") if row.strategy == identity]
        over = [ref for ref in living if venue.knows(ref) and venue.status(ref) in _OVER]
        for place in self.places.values():
            place.ended += [ref for ref in over if ref.startswith(f"{place.stream.symbol}-")]

    def take(self, item: Item) -> None:
        """Take what the feed brought about one of the markets."""
        place = self.places.get(item.series)
        if place is None or self.halted:
            return
        if isinstance(item, Closed) and item.row[0] < place.since:
            return  # another seat on this series is further behind
        if isinstance(item, Closed):
            place.waiting[item.row[0]] = item
            place.reached = item.row[0] + self.span
        elif isinstance(item, Fault) and item.kind is FaultKind.MISSING:
            place.waiting[item.at] = None
            place.reached = item.at + self.span
        elif isinstance(item, Fault) and item.kind is FaultKind.DELISTED:
            place.reached = float("inf")

    def decide(self) -> list[Decided]:
        """Decide on every instant that is whole, and return what is to be kept, in the order of instants."""
        found: list[Decided] = []
        if self.halted:
            return found
        until = min(place.reached for place in self.places.values())
        times = sorted({time for place in self.places.values() for time in place.waiting if time + self.span <= until})
        for time in times:
            items = {place: place.waiting.pop(time) for place in self.places.values() if time in place.waiting}
            decided = self._walk(time, items)
            if decided is None:
                return found
            found += decided
        # history is kept when it is whole: a start that breaks off before leaves no half of it
        begun = [place for place in self.places.values() if place.resumes or place.reached + self.span > self.start]
        return found + [place.decided(place.unkept[-1].time + self.span) for place in begun if place.unkept]

    def _walk(self, time: int, items: Mapping[Place, Closed | None]) -> list[Decided] | None:
        """Take one instant; None where the strategy raised."""
        close = time + self.span
        for place, item in items.items():
            if place.anchor is None and item is not None:
                place.anchor = time
        if close <= self.start and not any(place.resumes for place in items):
            for place, item in items.items():
                if item is not None:
                    self.session.see(place.stream.symbol, item.row)
                    place.seen(time, item, "history")
            return []
        rows = {place.stream.symbol: item.row for place, item in items.items() if item is not None}
        try:
            decisions = self.session.walk(time, rows)
        except Exception as error:  # noqa: BLE001 - a strategy's own code: whatever it raises, the other ones go on
            self.halted = f"{self.name} raised {type(error).__name__} at the close of {when(close)}: {error}"
            return None
        found = []
        told = told_of(self.session.settled, self._named, close)
        for place, item in items.items():
            place.seen(time, item, "missing" if item is None else item.source)
            mine = [event for event in self.session.events if event.symbol == place.stream.symbol]
            place.ended += [str(event.signal) for event in mine if event.kind in _ENDS]
            found.append(place.decided(close, [one for one in decisions if _is_of(one, place.stream)], told))
            told = []  # once for the strategy
        return found

    def _named(self, key: CallKey) -> Intent | None:
        return self._journal.intent_named(self.strategy.identity, *key)


def _is_of(decision: Decision, stream: Stream) -> bool:
    """Whether a call is about a signal of a market."""
    return decision.signal.startswith(f"{stream.symbol}-")


def _priced(seen: Seen) -> Row | None:
    return None if seen.open is None else cast("Row", seen.row)


def when(moment: int) -> str:
    """Return an instant, UTC ms, as people read it."""
    return f"{np.datetime64(moment, 'ms')}Z"


def new_of(decided: Decided) -> tuple[list[Row], list[int]]:
    """Return the candles that closed, history left out, and the open times of those that are missing."""
    seen = [one for one in decided.seen if one.source != "history"]
    return [row for one in seen if (row := _priced(one)) is not None], [one.time for one in seen if one.open is None]
