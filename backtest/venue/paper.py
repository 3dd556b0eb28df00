"""PaperVenue: what the vendor does with a call, rehearsed on candles that it is fed; no HTTP in here."""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backtest.errors import InvalidCandlesError, InvalidSettingError, InvalidSignalError
from backtest.model.calls import Call, Cancel, CreateSignal, later_side_check
from backtest.model.market import Market
from backtest.model.rows import LAST_TIME, candles_of_rows
from backtest.model.timeframe import milliseconds
from backtest.venue.ledger import Fed, Listed
from backtest.venue.subscribers import Account, Place
from backtest.wire import call_from_body, read_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.venue.ledger import Effect, Ledger
    from backtest.venue.subscribers import Row, Subscriber

__all__ = ["PaperVenue", "Part"]

_PARENT = "parent_signal_id"


class Part(NamedTuple):
    """What is fed of one market.

    Attributes
    ----------
    market
        Its rules, the same each time.
    rows
        Closed candles, oldest first: time in UTC ms, open, high, low, close, volume.
    missing
        Opens, UTC ms, of candles that do not exist: their instants do not wait for this market.
    gone
        Whether no candle of it will come any more.
    volume_known
        Whether its volumes mean anything (L2.6), the same each time.
    """

    market: Market
    rows: Sequence[Sequence[float]] = ()
    missing: Sequence[int] = ()
    gone: bool = False
    volume_known: bool = True


class _Key(NamedTuple):
    exchange: str
    symbol: str
    timeframe: str

    @property
    def place(self) -> Place:
        return Place(self.exchange, self.timeframe)


@dataclass
class _Listing:
    """A market in one timeframe, and its candles that no account has walked."""

    kept: Listed
    market: Market
    clock: int = 0
    gone: bool = False
    waiting: deque[Row] = field(default_factory=deque)

    @property
    def key(self) -> _Key:
        return _Key(self.market.exchange, self.market.symbol, self.kept.timeframe)

    @property
    def span(self) -> int:
        return milliseconds(self.kept.timeframe)

    def carries(self, create: CreateSignal) -> bool:
        market = self.market
        named = (create.coin, create.trade_market, create.exchange)
        return named == (market.coin, market.trade_market, market.exchange)

    def take(self, fed: Fed) -> None:
        self.waiting.extend(fed.rows)
        last = max([*(int(row[0]) for row in fed.rows[-1:]), *fed.missing[-1:]], default=None)
        self.clock = self.clock if last is None else last + self.span
        self.gone = self.gone or fed.gone

    def give(self, ready: int) -> list[Row]:
        """Return, and forget, the candles that close at or before an instant."""
        given = []
        while self.waiting and self.waiting[0][0] + self.span <= ready:
            given.append(self.waiting.popleft())
        return given


class PaperVenue:
    """Accepts calls as the vendor documents them and lets every subscriber execute them.

    A subscriber has one account over all markets of one exchange and timeframe. Where the vendor is silent *(ours)*: a
    call about a signal that is unknown, canceled, or ended for every subscriber is refused; a cancel of a known signal is
    always performed, so that repeating it does no harm. A call acts from the candle after the last one of its market that
    was fed (L1.2); without candles it is validated, kept and answered. There are no detail candles and no funding.

    Everything is rebuilt from the ledger when the venue starts again.

    Parameters
    ----------
    ledger
        What is kept.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.subscribers: dict[str, Subscriber] = {}
        self._listings: dict[_Key, _Listing] = {}
        self._creates: dict[str, CreateSignal] = {}
        self._canceled: set[str] = set()
        self._calls: list[tuple[int, Call]] = []
        for effect in ledger.effects():
            self._remember(effect)
        for kept, gone, last in ledger.listings():
            listing = _Listing(kept, Market.from_dict(kept.market), gone=gone)
            listing.clock = last + listing.span if last >= 0 else 0
            self._listings[listing.key] = listing
        for subscriber in ledger.subscribers():
            self._follow(subscriber)
        for place in dict.fromkeys(key.place for key in self._listings):
            self._refill(place, self._ready(place))

    # ------------------------------------------------------------ calls

    def accept(
        self, kind: str, raw: bytes, parent_signal_id: str | None = None, *, allow_marketable: bool = False
    ) -> str:
        """Take a call and return the venue's name of its signal.

        Parameters
        ----------
        kind
            Of the endpoint, ``"create_v2"``.
        raw
            The body.
        parent_signal_id
            From the path; None for a create.
        allow_marketable
            Of an update: whether a stop or target may trade at once (L11.2), which the vendor's fields cannot say.

        Raises
        ------
        InvalidSignalError
            The refusal, with the field; nothing has changed then.
        """
        body = read_object(raw)
        parent = parent_signal_id or secrets.token_hex(8)
        try:
            call = call_from_body(kind, body, parent, require_parent=True, allow_marketable=allow_marketable)
            if not isinstance(call, CreateSignal):
                self._check_later(call, parent, body)
        except InvalidSignalError as error:
            self.ledger.add(
                max((listing.clock for listing in self._listings.values()), default=0),
                kind,
                parent_signal_id or "",
                raw.decode(),
                str(error),
            )
            raise
        at = self._clock_for(parent, call)
        effect = self.ledger.add(at, kind, parent, raw.decode(), allow_marketable=allow_marketable)
        again = isinstance(call, Cancel) and parent in self._canceled
        self._remember(effect)
        if not again:
            self._execute(effect.at, call)
        return parent

    def _check_later(self, call: Call, parent: str, body: dict[str, Any]) -> None:
        if body[_PARENT] != parent:
            raise InvalidSignalError("parent_signal_id of the body is not the one of the path", _PARENT)
        create = self._creates.get(parent)
        if create is None:
            raise InvalidSignalError("parent_signal_id was never given by this venue", _PARENT)
        if isinstance(call, Cancel):
            return
        if parent in self._canceled or self._has_ended(parent):
            raise InvalidSignalError("parent_signal_id is that of a signal that has ended", _PARENT)
        later_side_check(call, create.side)

    def _has_ended(self, parent: str) -> bool:
        """Whether every account that executes a signal is done with it."""
        accounts = [each.account for each in self.subscribers.values() if each.account and each.account.knows(parent)]
        return bool(accounts) and all(account.ended(parent) for account in accounts)

    def _remember(self, effect: Effect) -> None:
        """Take up an effect of the ledger, without executing it."""
        ref = effect.parent_signal_id
        own = {"require_parent": True, "allow_marketable": effect.allow_marketable}
        call = call_from_body(effect.kind, read_object(effect.body), ref, **own)
        if isinstance(call, CreateSignal):
            self._creates[ref] = call
        elif isinstance(call, Cancel):
            if ref in self._canceled:
                return
            self._canceled.add(ref)
        self._calls.append((effect.at, call))

    def _clock_for(self, parent: str, call: Call) -> int:
        create = call if isinstance(call, CreateSignal) else self._creates[parent]
        return max((listing.clock for listing in self._listings.values() if listing.carries(create)), default=0)

    def _execute(self, at: int, call: Call) -> None:
        for subscriber in self.subscribers.values():
            self._send(subscriber, at, call)

    def _send(self, subscriber: Subscriber, at: int, call: Call) -> None:
        """Let a subscriber execute a call, where it is one of a strategy that it follows."""
        if subscriber.account is None:
            return
        if isinstance(call, CreateSignal) and subscriber.strategy:
            symbols = [listing.key.symbol for listing in self._at(subscriber.place) if listing.carries(call)]
            if not subscriber.follows(call, at, symbols):
                return
        subscriber.account.send(call, at)

    # ------------------------------------------------------------ candles and subscribers

    @property
    def clock(self) -> list[dict[str, Any]]:
        """Every market with the close of its last candle, UTC ms, 0 before the first."""
        return [
            {"exchange": key.exchange, "symbol": key.symbol, "timeframe": key.timeframe, "clock": listing.clock}
            for key, listing in self._listings.items()
        ]

    def feed(self, timeframe: str, parts: Sequence[Part]) -> dict[str, int]:
        """Take closed candles of markets, oldest first, and walk every instant that is complete.

        An instant is complete once each market of its exchange and timeframe has a candle of it, or was said to have
        none; then all accounts there walk it, the markets by symbol (L14.1). A market that begins later takes part from its
        first candle on.

        Parameters
        ----------
        timeframe
            Of all of them.
        parts
            What is new of each market. Candles that were fed before are passed over.

        Returns
        -------
        dict
            By symbol, how many candles were new.

        Raises
        ------
        InvalidCandlesError
            For rows that contradict themselves, or one that differs from what was fed before or comes too late; nothing
            has changed then.
        InvalidSettingError
            Where a market differs from that of its first candle, or stands twice.
        """
        if len({(part.market.exchange, part.market.symbol) for part in parts}) < len(parts):
            raise InvalidSettingError("a market stands twice in what was fed")
        found = [self._new(timeframe, part) for part in parts]
        self.ledger.add_feed([fed for _, fed in found])
        places = {Place(part.market.exchange, timeframe) for part in parts}
        late = set()
        for listing, fed in found:
            if listing.key not in self._listings:
                self._listings[listing.key] = listing
                late.add(listing.key.place)
            listing.take(fed)
        for subscriber in self.subscribers.values():
            if subscriber.place is None:
                subscriber.place = next(iter(self._listings)).place
                late.add(subscriber.place)
        for place in places | late:
            self._walk(place, anew=place in late)
        return {listing.key.symbol: len(fed.rows) for listing, fed in found}

    def subscribe(self, subscriber: Subscriber) -> None:
        """Add a subscriber, who executes what was accepted so far too; doing it twice changes nothing.

        Raises
        ------
        InvalidSettingError
            For a name that has another profile, other assumptions or another strategy.
        """
        known = self.subscribers.get(subscriber.name)
        if known is None:
            self.ledger.add_subscriber(subscriber)
            self._follow(subscriber)
        elif known.terms != subscriber.terms or subscriber.place not in {None, known.place}:
            raise InvalidSettingError(f"subscriber {subscriber.name} exists with another profile; choose another name")

    def _new(self, timeframe: str, part: Part) -> tuple[_Listing, Fed]:
        """Return a market's listing and what is new of it; nothing has changed yet."""
        market = part.market
        key = _Key(market.exchange, market.symbol, timeframe)
        listing = self._listings.get(key) or _Listing(Listed(timeframe, market.to_dict(), part.volume_known), market)
        if listing.market != market or listing.kept.volume_known != part.volume_known:
            raise InvalidSettingError(f"{market.symbol} {timeframe} was fed before as another market")
        candles = candles_of_rows(market.symbol, timeframe, part.rows, least=6)
        columns = (candles.time, candles.open, candles.high, candles.low, candles.close, candles.volume)
        rows = list(zip(*(column.tolist() for column in columns), strict=True))
        fresh = [row for row in rows if row[0] + listing.span > listing.clock]
        for row in rows[: len(rows) - len(fresh)]:
            if self.ledger.candle(listing.kept.id, row[0]) != row:
                when = f"{market.symbol} at {np.datetime64(row[0], 'ms')}Z"
                raise InvalidCandlesError(f"the candle of {when} differs from what was fed before, or comes too late")
        missing = [int(time) for time in part.missing if time + listing.span > listing.clock]
        known = {int(time) for time in part.missing} - set(missing)
        both = {row[0] for row in rows} & {int(time) for time in part.missing}
        if both or not all(self.ledger.is_missing(listing.kept.id, time) for time in known):
            raise InvalidCandlesError(f"a candle of {market.symbol} cannot be missing and there")
        return listing, Fed(listing.kept, fresh, sorted(set(missing)), part.gone)

    def _follow(self, subscriber: Subscriber) -> None:
        self.subscribers[subscriber.name] = subscriber
        if subscriber.place is None and self._listings:
            subscriber.place = next(iter(self._listings)).place
        if subscriber.place is not None:
            self._open(subscriber, self._ready(subscriber.place))

    def _at(self, place: Place | None) -> list[_Listing]:
        return [listing for key, listing in self._listings.items() if key.place == place]

    def _ready(self, place: Place) -> int:
        """Return the last instant that is complete at a place, UTC ms; 0 for none."""
        here = self._at(place)
        living = [listing.clock for listing in here if not listing.gone]
        return min(living) if living else max((listing.clock for listing in here), default=0)

    def _walk(self, place: Place, *, anew: bool) -> None:
        """Let every account of a place walk the instants that became complete."""
        ready = self._ready(place)
        here = [each for each in self.subscribers.values() if each.place == place]
        if anew:
            self._refill(place, ready)
            for subscriber in here:
                self._open(subscriber, ready)
            return
        rows = {listing.key.symbol: listing.give(ready) for listing in self._at(place)}
        if any(rows.values()):
            for subscriber in here:
                if subscriber.account is not None:
                    subscriber.account.walk(rows)

    def _refill(self, place: Place, ready: int) -> None:
        """Let those candles wait that lie behind an instant: a market that began late may have put it back."""
        for one in self._at(place):
            one.waiting = deque(self.ledger.candles(one.kept.id, ready - one.span + 1, LAST_TIME))

    def _open(self, subscriber: Subscriber, ready: int) -> None:
        """Replay what was accepted and fed so far into a new account."""
        place, here = subscriber.place, self._at(subscriber.place)
        if place is None or not here:
            return
        markets = {one.key.symbol: (one.market, one.kept.volume_known) for one in here}
        subscriber.account = Account(markets, place.timeframe, subscriber.profile, subscriber.assumptions)
        for at, call in self._calls:
            self._send(subscriber, at, call)
        rows = {one.key.symbol: self.ledger.candles(one.kept.id, 0, ready - one.span + 1) for one in here}
        if any(rows.values()):
            subscriber.account.walk(rows)
