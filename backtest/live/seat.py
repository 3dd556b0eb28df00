"""Seat: one strategy on its markets in a running emission; it takes what a feed brings and says what was decided."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.live.code import code_hash
from backtest.live.notices import NoticeKind, Notices
from backtest.live.outcomes import JournalOutcomes, candles_of_seen, other_call, read_lived, told_of
from backtest.live.schema import Code, Decided, Seen, Stream
from backtest.live.track import Closed, Fault, FaultKind
from backtest.model.events import EventKind, SignalRef, Status
from backtest.runner.lived import Followed
from backtest.runner.lived_walk import walk_lived
from backtest.runner.run import lane_of
from backtest.runner.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from backtest.live.intent import Intent
    from backtest.live.journal import Journal
    from backtest.live.schema import Told
    from backtest.live.track import Item
    from backtest.market_data.klines import Row
    from backtest.market_data.series import Series
    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.decision import Decision, Refusal
    from backtest.runner.lived import Lived
    from backtest.runner.shadow import CallKey
    from backtest.strategy import Strategy

__all__ = ["Place", "Seat", "new_of", "when"]

_Made = TypeVar("_Made", "Decision", "Refusal")
_DAY = 86_400_000
_DONE = frozenset({"ended", "canceled", "dead"})
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
    moved: int | None = None
    """The close at which the anchor last moved, UTC ms."""
    start: int = 0
    """Behind which close the account trades here, UTC ms."""
    reached: float = -1.0
    """Everything that opened before it is here, or is missing."""
    waiting: dict[int, Closed | None] = field(default_factory=dict)
    unkept: list[Seen] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    revived: list[str] = field(default_factory=list)

    def seen(self, time: int, item: Closed | None, source: str) -> None:
        """Keep a candle for the next transaction."""
        row, arrived = (None, 0) if item is None else (item.row, item.arrived)
        self.unkept.append(Seen.of(time, row, source, arrived))

    def decided(
        self, time: int, decisions: Sequence[Decision] = (), told: Sequence[Told] = (), refused: Sequence[Refusal] = ()
    ) -> Decided:
        """Return what is to be kept of a close.

        Parameters
        ----------
        time
            Of the close, UTC ms.
        decisions, told, refused
            Made, told and refused by the desk at it.
        """
        if self.moved is None:
            self.moved = time
        found = Decided(
            self.stream,
            time,
            [decision.call for decision in decisions],
            self.unkept,
            told,
            self.ended,
            self.since if self.anchor is None else self.anchor,
            refused,
            self.start,
            self.market,
            self.revived,
        )
        self.unkept, self.ended, self.revived = [], [], []
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

    Attributes
    ----------
    keep
        How many candles indicators see at least: once a UTC day, at the first close at which nothing of a market lives, the
        older ones are forgotten.
    notices
        Hear what a person should know.
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
        self.keep = 2_000
        self.notices = Notices()
        self.halted = ""
        self.span = next(iter(markets)).length
        self.places: dict[Series, Place] = {}
        named: dict[str, Candles] = {}
        for series in sorted(markets, key=lambda one: one.symbol):
            names = (strategy.identity, series.symbol, series.timeframe, series.exchange)
            stream = Stream(account, *names, max_lag=max_lag)
            self.places[series] = Place(stream, markets[series], since, start=start)
            named[series.symbol] = candles_of_seen((), stream)
        rules = {series.symbol: market for series, market in markets.items()}
        self._journal = journal
        self._left: dict[str, Candles] = {}
        self._early: set[SignalRef] = set()
        """Signals that have ended in the shadow book; the journal may not know yet that they ever lived."""
        self._outcomes = JournalOutcomes(journal, strategy.identity)
        self.session = Session(
            strategy, named, market=rules, profile=profile, outcomes=self._outcomes, history=self._history
        )

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

    def restore(self, *, accept: bool = False) -> None:
        """Bring candles and shadow book to where the journal stands, and hold what is decided against it.

        The journal's calls and outcomes go straight into the engine; the strategy is then asked again at every close, to
        see whether its code still decides the same.

        Parameters
        ----------
        accept
            Whether code that decides otherwise may go on: what was decided before stands.

        Raises
        ------
        InvalidSettingError
            Where the strategy now decides otherwise than the journal.
        """
        known = [place for place in self.places.values() if self._resume(place)]
        if not known:
            self._note_code(0, accepted=False)
            return
        lived = read_lived(self._journal, self.strategy.identity, (known[0].stream.exchange, known[0].stream.timeframe))
        reached = int(lived.closes[-1]) if len(lived.closes) else max(place.since for place in known)
        other = self._other(lived, known)
        if other and not accept:
            raise InvalidSettingError(
                f"{self.name}: {other}; bring the old code back, let the new code decide from now on with "
                "--accept-new-code, or use another journal"
            )
        self._note_code(reached, accepted=bool(other))
        if other:
            sentence = f"{self.name}: the new code decides from {when(reached)} on; {other}"
            self.notices.tell(NoticeKind.CODE, self.start, sentence, tuple(self.places))
        self._go_on(lived)
        for place in known:
            self._take_rules(place)
        self._look_what_lives()

    def _look_what_lives(self) -> None:
        """Note what has ended in the shadow book without an event that said so, and what lives in it again."""
        ended, living = self._known("living", over=True), self._known("ended", over=False)
        for place in self.places.values():
            place.ended += [ref for ref in ended if ref.startswith(f"{place.stream.symbol}-")]
            place.revived += [ref for ref in living if ref.startswith(f"{place.stream.symbol}-")]
        self._early.update(self._known("unknown", over=True))

    def _look_what_ended_early(self) -> None:
        """Note again what ended while its create was on its way or unknown, once the venue is known to have it."""
        places = {place.stream.symbol: place for place in self.places.values()}
        for ref in sorted(self._early):
            row, venue = self._journal.signal(self.strategy.identity, ref), self.session.venue
            if row is None or row.state in _DONE or not venue.knows(ref) or venue.status(ref) not in _OVER:
                self._early.discard(ref)
            elif row.state == "living" and row.symbol in places:
                places[row.symbol].ended.append(ref)

    def _known(self, state: str, *, over: bool) -> list[SignalRef]:
        """Return the signals in a state by the journal that are over in the shadow book, or that are not."""
        venue, identity = self.session.venue, self.strategy.identity
        refs = [SignalRef(row.ref) for row in self._journal.signals(state) if row.strategy == identity]
        return [ref for ref in refs if venue.knows(ref) and (venue.status(ref) in _OVER) is over]

    def _resume(self, place: Place) -> bool:
        """Take up where a place stands; return whether it has seen anything."""
        cursor = self._journal.cursor(*place.stream.key)
        if cursor is None:
            return False
        place.anchor, place.since, place.resumes, place.reached = cursor.anchor, cursor.time, True, cursor.time
        place.moved = cursor.moved
        place.start = self._journal.anchors(place.stream)[0][0]
        return True

    def _other(self, lived: Lived, known: Sequence[Place]) -> str:
        """Return the first call that the code decides otherwise now; nothing where it is the same."""
        lane = lane_of(self.strategy)
        try:
            decisions = walk_lived(self.strategy, lived, self.profile, lane=lane).decisions
        except Exception as error:  # noqa: BLE001 - a strategy's own code
            return f"on what it decided before, the code now raises {type(error).__name__}: {error}"
        for place in known:
            mine = [one for one in decisions if _is_of(one, place.stream)]
            if other := other_call(self._journal, place.stream, mine, place.since):
                return other
        return ""

    def _go_on(self, lived: Lived) -> None:
        """Make the session anew from what was lived.

        A market that is new begins with its history; one that is not followed any more (it was delisted, say) stays part of
        the account, without candles.
        """
        fresh = {
            place.stream.symbol: Followed(
                candles_of_seen((), place.stream), place.start, [(place.start, 0)], [(0, place.market)]
            )
            for place in self.places.values()
            if place.stream.symbol not in lived.markets
        }
        markets = dict(sorted({**lived.markets, **fresh}.items()))
        self._left = {symbol: one.traded for symbol, one in markets.items() if symbol not in self._streams}
        self.session = Session.resumed(
            self.strategy, replace(lived, markets=markets), self._outcomes, profile=self.profile, history=self._history
        )

    @property
    def _streams(self) -> dict[str, Stream]:
        return {place.stream.symbol: place.stream for place in self.places.values()}

    def _take_rules(self, place: Place) -> None:
        """Let the rules hold that the exchange has now; say where they changed."""
        before = self._journal.rules(place.stream)
        if before and before[-1][1].to_dict() == place.market.to_dict():
            return
        self._journal.change_rules(place.stream, place.since, place.market)
        if before:
            self.session.change_rules(place.stream.symbol, place.market)
        if before and before[-1][1] != place.market:  # else only where pictures will be
            old, new = before[-1][1].to_dict(), place.market.to_dict()
            other = [name for name in new if name in old and old[name] != new[name]]
            changed = ", ".join(f"{name} {old[name]} is {new[name]}" for name in other)
            series = next(one for one, here in self.places.items() if here is place)
            sentence = f"{series}: the exchange changed its rules: {changed}; they hold from {when(place.since)} on"
            self.notices.tell(NoticeKind.RULES, self.start, sentence, (series,))

    def _note_code(self, close: int, *, accepted: bool) -> None:
        """Keep whose code decides from now on, where that is new."""
        strategy, known = self.strategy, self._journal.codes(self.strategy.identity)
        plain = [json.dumps(value, sort_keys=True) for value in (strategy.parameters, self.profile.to_dict())]
        code = Code(
            strategy.identity,
            self.start,
            close,
            type(strategy).__name__,
            plain[0],
            code_hash(strategy),
            plain[1],
            accepted,
        )
        if not known or accepted or (known[-1].code_hash, known[-1].profile) != (code.code_hash, code.profile):
            self._journal.note_code(code)

    def _history(self) -> dict[str, Candles]:
        """Return the candles on which the account traded, by symbol: the journal's, and those that it has not yet."""
        found = dict(self._left)
        for place in self.places.values():
            stream, first = place.stream, place.start - self.span + 1
            past = candles_of_seen(self._journal.seen(stream, first), stream)
            now = self.session.candles_of(stream.symbol)
            found[stream.symbol] = past.followed_by(now.between(int(past.time[-1]) + 1 if len(past) else first))
        return found

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
            if close <= place.start and item is not None:
                self.session.see(place.stream.symbol, item.row)
                place.seen(time, item, "history")
        items = {place: item for place, item in items.items() if close > place.start}
        if not items:
            return []
        rows = {place.stream.symbol: item.row for place, item in items.items() if item is not None}
        try:
            decisions = self.session.walk(time, rows)
        except Exception as error:  # noqa: BLE001 - a strategy's own code: whatever it raises, the other ones go on
            said = " ".join(str(error).split())  # a strategy's own words, kept to one line
            self.halted = f"{self.name} raised {type(error).__name__} at the close of {when(close)}: {said}"
            return None
        found = []
        told = told_of(self.session.settled, self._named, close)
        if any(one.outcome == "voided" for one in told):
            self._look_what_lives()  # the book was made anew
        self._look_what_ended_early()
        made, refused, ended = _by_symbol(decisions), _by_symbol(self.session.refused), dict[str, list[str]]()
        for event in self.session.events:
            if event.kind in _ENDS:
                ended.setdefault(event.symbol, []).append(str(event.signal))
                self._early.add(event.signal)
        for place, item in items.items():
            symbol = place.stream.symbol
            place.seen(time, item, "missing" if item is None else item.source)
            place.ended += ended.get(symbol, ())
            self._move_anchor(place, close)
            found.append(place.decided(close, made.get(symbol, ()), told, refused.get(symbol, ())))
            told = []  # once for the strategy
        return found

    def _move_anchor(self, place: Place, close: int) -> None:
        """Forget candles that are not needed: at the first close of a UTC day at which nothing of the market lives."""
        symbol = place.stream.symbol
        if place.moved is None or close // _DAY <= place.moved // _DAY or self.session.count(symbol) <= self.keep:
            return
        if self.session.rests(symbol):
            place.anchor = int(self.session.candles_of(symbol).time[-self.keep])
            place.moved = close
            self.session.move_anchor(symbol, place.anchor)

    def _named(self, key: CallKey) -> Intent | None:
        return self._journal.intent_named(self.strategy.identity, *key)


def _is_of(made: Decision | Refusal, stream: Stream) -> bool:
    """Whether a call is about a signal of a market."""
    return made.signal.startswith(f"{stream.symbol}-")


def _by_symbol(made: Iterable[_Made]) -> dict[str, list[_Made]]:
    """Return what was made by the symbol of its signal, once for all markets of a close."""
    found: dict[str, list[_Made]] = {}
    for one in made:
        found.setdefault(one.signal.rsplit("-", 2)[0], []).append(one)
    return found


def _priced(seen: Seen) -> Row | None:
    return None if seen.open is None else cast("Row", seen.row)


def when(moment: int) -> str:
    """Return an instant, UTC ms, as people read it."""
    return f"{np.datetime64(moment, 'ms')}Z"


def new_of(decided: Decided) -> tuple[list[Row], list[int]]:
    """Return the candles that closed, history left out, and the open times of those that are missing."""
    seen = [one for one in decided.seen if one.source != "history"]
    return [row for one in seen if (row := _priced(one)) is not None], [one.time for one in seen if one.open is None]
