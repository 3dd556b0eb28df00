"""Session: one strategy on one account, candle by candle, exactly as live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.history import MarketHistory
from backtest.engine.simulator import SimulatedVenue
from backtest.errors import InvalidCandlesError, InvalidSettingError, did_you_mean
from backtest.model.candles import Candles
from backtest.runner.decision import Decision, Refusal
from backtest.runner.desk import Desk, columns_of, table_rows
from backtest.runner.passes import fresh
from backtest.runner.shadow import Shadow
from backtest.runner.window import Row, Window, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.events import Event
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.lived import Lived
    from backtest.runner.shadow import Outcomes, Settled
    from backtest.strategy import Strategy

__all__ = ["Session"]


class Session:
    """Feeds closed candles to the engine as a shadow book and asks the strategy at each close.

    Several markets of one timeframe share one account (L14.1). An instant is walked once the candle of each market has
    closed or was declared missing, in the engine's order; then the strategy decides market by market.

    Indicators are computed anew at every close over all candles from the anchor on: prefixes are bit-identical to a whole
    run, sliding windows are not. The anchor is the first candle until :meth:`move_anchor` moves it. Nothing after the
    close is in memory, so a look-ahead in the strategy cannot hide here.

    Parameters
    ----------
    strategy
        Asked as a deep copy of its own.
    candles
        History to begin with, or none, of one market or by symbol: they name the series. History is walked, and decided
        on, like everything else.
    market
        Tick, step, minimums and address, or those by symbol.
    profile, assumptions
        On which the shadow book executes the signals.
    outcomes
        What became of the calls; None: each reaches the venue at its close.
    history
        Returns all candles since the account's start by symbol, for a book that is made anew because a call was never there;
        None: those of the session, which has them all as long as no anchor moved.

    Attributes
    ----------
    settled
        What changed in the shadow book before the last instant was walked, by ``outcomes``.
    events
        Those of the instant walked last, of all markets, in order.
    refused
        The calls of that instant that the desk refused: never sent (L3.8).

    Examples
    --------
    >>> from backtest import Candles, Market, Session, Strategy, SubscriberProfile
    >>> class Once(Strategy):
    ...     def on_candle(self, now):
    ...         if now.position == 1:
    ...             yield now.market(targets=[1.1 * now.close], stop_loss=0.9 * now.close, invest=10)
    >>> days = Candles.sample("BTC/USD", "1d")
    >>> session = Session(Once(), days.slice(0, 0), market=Market("BTC/USD"), profile=SubscriberProfile.anny())
    >>> rows = zip(days.time.tolist(), days.open, days.high, days.low, days.close, days.volume)
    >>> [len(session.close(*next(rows))) for _ in range(4)]
    [0, 1, 0, 0]
    >>> [event.kind.value for event in session.events], [one.status.value for one in session.venue.living("BTC/USD")]
    ([], ['open'])
    """

    def __init__(
        self,
        strategy: Strategy,
        candles: Candles | Mapping[str, Candles],
        *,
        market: Market | Mapping[str, Market],
        profile: SubscriberProfile,
        assumptions: VenueAssumptions | None = None,
        outcomes: Outcomes | None = None,
        history: Callable[[], Mapping[str, Candles]] | None = None,
    ) -> None:
        series, self.markets = _by_symbol(candles, market)
        empty = {symbol: one.slice(0, 0) for symbol, one in series.items()}
        histories = [MarketHistory(self.markets[symbol], one) for symbol, one in empty.items()]
        self._set_up(strategy, empty, SimulatedVenue(histories, profile, assumptions))
        self._history = history
        if outcomes is not None:
            shadow = Shadow(lambda: histories, profile, assumptions, outcomes)
            shadow.histories = self._histories
            self._follow(shadow)
        for time, rows in _instants(series):
            self.walk(time, rows)

    @classmethod
    def restore(
        cls,
        strategy: Strategy,
        candles: Candles | Mapping[str, Candles],
        decisions: Iterable[Decision | Refusal],
        *,
        market: Market | Mapping[str, Market],
        profile: SubscriberProfile,
        assumptions: VenueAssumptions | None = None,
    ) -> Session:
        """Return the session that has lived through candles and made these decisions, without asking the strategy again.

        The calls go straight into the engine over the recorded candles. What follows is equal byte for byte to having
        lived through it: events, living signals, money and the next decisions.

        Parameters
        ----------
        strategy, market, profile, assumptions
            As for the session that is brought back.
        candles
            All that it walked, from the account's start.
        decisions
            Its calls and refusals, in order; a call that never took effect is left out, one that took effect later has
            that close as its ``at``.
        """
        series, markets = _by_symbol(candles, market)
        venue = SimulatedVenue(
            [MarketHistory(markets[symbol], one) for symbol, one in series.items()], profile, assumptions
        )
        session = cls.__new__(cls)
        session.markets = markets
        session._set_up(strategy, series, venue)
        for made in decisions:
            session._desk_of(made).recall(made)
        venue.advance()
        venue.new_events()
        venue.forget_walked()
        for symbol, one in series.items():
            session._windows[symbol].extend(one)
        session._walked = max((window.last or 0 for window in session._windows.values() if len(window)), default=None)
        return session

    @classmethod
    def resumed(
        cls,
        strategy: Strategy,
        lived: Lived,
        outcomes: Outcomes,
        *,
        profile: SubscriberProfile,
        assumptions: VenueAssumptions | None = None,
        history: Callable[[], Mapping[str, Candles]] | None = None,
    ) -> Session:
        """Return the session that has lived through an emission, without asking the strategy again.

        The journal's calls go straight into the engine, each where it was told that it is there. What follows is equal byte
        for byte to having lived through it.

        Parameters
        ----------
        strategy, profile, assumptions, history
            As for the session that is brought back.
        lived
            Of the journal.
        outcomes
            What becomes of the calls from now on.
        """
        histories = lived.histories()
        shadow = Shadow(lambda: histories, profile, assumptions, outcomes)
        at = int(lived.closes[-1]) if len(lived.closes) else 0
        shadow.recall(lived.made, lived.settled, lived.asked, at, lived.changes())
        shadow.venue.forget_walked()
        session = cls.__new__(cls)
        session.markets = {symbol: one.market for symbol, one in lived.markets.items()}
        session._set_up(strategy, {symbol: one.candles for symbol, one in lived.markets.items()}, shadow.venue)
        session._history = history or (lambda: session._since(lived))
        session._walked = at - session._span if at else None
        shadow.histories = session._histories
        session._follow(shadow)
        for symbol, one in lived.markets.items():
            session._windows[symbol].extend(one.window)
            session._desks[symbol].market = one.rules[-1][1]
        for made in lived.made:
            session._desk_of(made).remember(made)
        return session

    def _since(self, lived: Lived) -> dict[str, Candles]:
        """Return the candles on which the account traded: those of an emission, and those that came after it."""
        found = {}
        for symbol, one in lived.markets.items():
            past, now = one.traded, self._windows[symbol].candles
            later = now.between(int(past.time[-1]) + 1 if len(past) else one.start)
            found[symbol] = past.followed_by(later)
        return found

    def _set_up(self, strategy: Strategy, series: Mapping[str, Candles], venue: SimulatedVenue) -> None:
        self.strategy, self.venue = fresh(strategy), venue
        self._windows = {symbol: Window(one) for symbol, one in series.items()}
        self._desks = {
            symbol: Desk(self.strategy, one.slice(0, 0), self.markets[symbol], venue) for symbol, one in series.items()
        }
        self._open: dict[int, dict[str, Row | None]] = {}
        self._walked: int | None = None
        self._shadow: Shadow | None = None
        self._history = None
        self._span = next(iter(series.values())).milliseconds
        self.events: Sequence[Event] = ()
        self.refused: Sequence[Refusal] = ()
        self.settled: Sequence[Settled] = ()

    def _follow(self, shadow: Shadow) -> None:
        """Take the shadow book as it is now: it may have been made anew."""
        self._shadow, self.venue = shadow, shadow.venue
        for desk in self._desks.values():
            desk.shadow, desk.venue = shadow, shadow.venue

    def follow(self, outcomes: Outcomes) -> None:
        """Let something else tell what becomes of the calls, from the next instant on."""
        if self._shadow is not None:
            self._shadow.outcomes = outcomes

    def change_rules(self, symbol: str, market: Market) -> None:
        """Let other rules of a market hold from the next candle and the next decision on.

        Parameters
        ----------
        symbol
            Of which market.
        market
            Its rules, addressed as before.

        Raises
        ------
        InvalidSettingError
            Of a session to which nobody tells outcomes: that one begins anew with other rules.
        """
        if self._shadow is None:
            raise InvalidSettingError("rules change in a session with outcomes only; begin another session")
        self._shadow.change_rules(0 if self._walked is None else self._walked + self._span, symbol, market)
        self._desks[self._known(symbol)].market = market

    def rests(self, symbol: str) -> bool:
        """Whether nothing of a market lives, waits to be sent, or is in doubt."""
        return not self._desks[self._known(symbol)].living() and not (self._shadow and self._shadow.holds(symbol))

    def _histories(self) -> list[MarketHistory]:
        candles = self._history() if self._history else {s: window.candles for s, window in self._windows.items()}
        return [MarketHistory(self.markets[symbol], candles[symbol]) for symbol in self._windows]

    # ------------------------------------------------------------ candles

    @property
    def symbols(self) -> list[str]:
        """The markets, in the order in which an instant is walked."""
        return list(self._windows)

    @property
    def candles(self) -> Candles:
        """All candles from the anchor on, of a session of one market."""
        return self._windows[self._only()].candles

    def count(self, symbol: str) -> int:
        """Return how many candles of a market indicators see."""
        return len(self._windows[self._known(symbol)])

    def candles_of(self, symbol: str) -> Candles:
        """Return all candles of a market from its anchor on."""
        return self._windows[self._known(symbol)].candles

    def close(
        self,
        time: int,
        open_: float,
        high: float,
        low: float,
        close: float,
        volume: float,
        *,
        symbol: str | None = None,
    ) -> list[Decision]:
        """Take one closed candle; return the final calls of what could be walked, already sent to the shadow book.

        Parameters
        ----------
        time
            Open time of the candle, UTC ms.
        open_, high, low, close
            Quote currency.
        volume
            Base currency.
        symbol
            Of which market; may be left out where there is one.

        Returns
        -------
        list of Decision
            Empty while another market of the instant is awaited.

        Raises
        ------
        InvalidCandlesError
            For a candle that contradicts itself, comes twice, or is older than what was walked; nothing has changed then.
        """
        name = self._only() if symbol is None else self._known(symbol)
        row: Row = (time, open_, high, low, close, volume)
        if len(self._windows) == 1:
            return self.walk(time, {name: row})
        self._windows[name].check(row)
        return self._take(time, name, row)

    def see(self, symbol: str, row: Row) -> None:
        """Take a candle from before the account's start: indicators see it, nothing is decided and nothing is traded.

        Parameters
        ----------
        symbol
            Of which market.
        row
            Open time in UTC ms, open, high, low, close, volume.

        Raises
        ------
        InvalidCandlesError
            For a candle that contradicts itself, or is not newer than the last one of the market.
        """
        window = self._windows[self._known(symbol)]
        window.check(row)
        window.append(row)

    def missing(self, time: int, symbol: str) -> list[Decision]:
        """Declare that a market has no candle at an instant; return the final calls of what could be walked by that.

        It is never inserted later.

        Parameters
        ----------
        time
            Open time of the candle that does not come, UTC ms.
        symbol
            Of which market.
        """
        return self._take(time, self._known(symbol), None)

    def walk(self, time: int, rows: Mapping[str, Row | None]) -> list[Decision]:
        """Walk one instant; return the final calls of all markets, already sent to the shadow book.

        Parameters
        ----------
        time
            At which the candles opened, UTC ms.
        rows
            The closed candle of each market; one that is absent, or None, is missing.

        Raises
        ------
        InvalidCandlesError
            For a candle that contradicts itself, or an instant that is not newer than the last; nothing has changed then.
        """
        found = {symbol: row for symbol, row in rows.items() if row is not None}
        for symbol, row in found.items():
            self._windows[self._known(symbol)].check(row)
            if row[0] != time:
                raise InvalidCandlesError(
                    f"the candle of {symbol} opened at {np.datetime64(int(row[0]), 'ms')}Z, the instant is {np.datetime64(time, 'ms')}Z"
                )
        if self._walked is not None and time <= self._walked:
            raise InvalidCandlesError(
                f"the instant of {np.datetime64(int(time), 'ms')}Z was walked already; candles come in order"
            )
        if self._shadow is not None:
            self.settled = self._shadow.settle(0 if self._walked is None else self._walked + self._span)
            self._follow(self._shadow)
        self._walked = time
        for symbol, row in found.items():
            self._windows[symbol].append(row)
            self.venue.append(symbol, *row)
        if found:
            self.venue.advance()
        self.events = self.venue.new_events()
        return self._decide(found)

    def _take(self, time: int, symbol: str, row: Row | None) -> list[Decision]:
        """Keep what a market had at an instant; walk the instants that are complete, the oldest first."""
        if self._walked is not None and time <= self._walked:
            raise InvalidCandlesError(
                f"{symbol}: the instant of {np.datetime64(int(time), 'ms')}Z was walked already; nothing is inserted later"
            )
        instant = self._open.setdefault(time, {})
        if symbol in instant:
            raise InvalidCandlesError(f"{symbol} had its candle of {np.datetime64(int(time), 'ms')}Z before")
        instant[symbol] = row
        decisions: list[Decision] = []
        events: list[Event] = []
        refused: list[Refusal] = []
        while self._open and len(self._open[min(self._open)]) == len(self._windows):
            first = min(self._open)
            decisions += self.walk(first, self._open.pop(first))
            events += self.events
            refused += self.refused
        self.events, self.refused = events, refused
        return decisions

    def awaited(self, time: int) -> list[str]:
        """Return the markets whose candle of an instant (open time, UTC ms) is awaited still."""
        had = self._open.get(time, {})
        return [] if self._walked is not None and time <= self._walked else [s for s in self._windows if s not in had]

    # ------------------------------------------------------------ the anchor

    def anchor_of(self, symbol: str) -> int | None:
        """Return the open time, UTC ms, of the oldest candle that indicators see; None before the first."""
        return self._windows[self._known(symbol)].anchor

    def move_anchor(self, symbol: str, time: int) -> None:
        """Let the indicators of a market begin at a later candle, and forget those before it.

        It changes what the strategy computes, so whoever moves it keeps a record: the same anchor at the same close gives
        the same calls. Memory and time of a close stay flat with it.

        Parameters
        ----------
        symbol
            Of which market.
        time
            Open time of the first candle that stays, UTC ms.

        Raises
        ------
        InvalidSettingError
            While a signal of the market lives, or where no candle would be left.
        """
        window = self._windows[self._known(symbol)]
        if not self.rests(symbol):
            raise InvalidSettingError(f"the anchor of {symbol} stays while one of its signals lives")
        if window.last is None or time > window.last:
            raise InvalidSettingError(
                f"the anchor of {symbol} lies within its candles, was {np.datetime64(time, 'ms')}Z"
            )
        window.drop_before(time)
        self.venue.forget_walked()

    # ------------------------------------------------------------ decisions

    def _decide(self, rows: Mapping[str, Row]) -> list[Decision]:
        """Ask at the close of each market that has a candle, or had events, as a whole run does."""
        made: list[Decision | Refusal] = []
        heard: dict[str, list[Event]] = {}
        for event in self.events:
            heard.setdefault(event.symbol, []).append(event)
        for symbol, desk in self._desks.items():
            desk.forget()
            mine = heard.get(symbol, ())
            if symbol in rows or (mine and desk.hears_events):
                own = self._ask(desk, mine, closes=symbol in rows)
                desk.send(own)
                made += own
        self.refused = [one for one in made if isinstance(one, Refusal)]
        return [one for one in made if isinstance(one, Decision)]

    def _ask(self, desk: Desk, events: Sequence[Event], *, closes: bool) -> list[Decision | Refusal]:
        candles, strategy = self._windows[desk.symbol].candles, self.strategy
        position = len(candles) - 1
        ind = strategy.indicators(candles)
        columns = columns_of(ind, len(candles))
        table, rows, asked = None, range(0), False
        if closes and strategy.has("signals"):
            table = strategy.signals(candles, ind)
            rows = table_rows(table, position)
        elif closes and strategy.has("on_candle"):
            triggers = strategy.triggers(candles, ind)
            asked = triggers is None or bool(triggers[position])
        if not (rows or asked or events or desk.plan is not None):
            return []  # at most closes nobody is asked
        desk.bind(candles, columns)
        return desk.decide(position, events, asked=asked, table=table, rows=rows)

    def _desk_of(self, made: Decision | Refusal) -> Desk:
        ref = made.signal
        for symbol, desk in self._desks.items():
            if ref.startswith(f"{symbol}-"):
                return desk
        raise InvalidSettingError(f"signal {ref} is of no market of this session, {', '.join(self._desks)}")

    def _only(self) -> str:
        if len(self._windows) > 1:
            raise InvalidSettingError(f"say of which market, one of {', '.join(self._windows)}")
        return next(iter(self._windows))

    def _known(self, symbol: str) -> str:
        if symbol not in self._windows:
            known = ", ".join(self._windows)
            raise InvalidSettingError(
                f"there is no market {symbol!r}; this session has {known}.{did_you_mean(symbol, self._windows)}"
            )
        return symbol


def _by_symbol(
    candles: Candles | Mapping[str, Candles], market: Market | Mapping[str, Market]
) -> tuple[dict[str, Candles], dict[str, Market]]:
    """Return series and markets by symbol, in the engine's order."""
    given = {candles.symbol: candles} if isinstance(candles, Candles) else dict(candles)
    if not given:
        raise InvalidSettingError("a session needs the series of at least one market")
    if len({one.timeframe for one in given.values()}) > 1:
        raise InvalidSettingError("all markets of a session have one timeframe; another is another session")
    series = dict(sorted(given.items()))
    markets = dict(market) if isinstance(market, Mapping) else dict.fromkeys(series, market)
    for symbol in series:
        if symbol not in markets or (len(series) > 1 and not isinstance(market, Mapping)):
            raise InvalidSettingError(f"market is given by symbol, and {symbol} has none")
    return series, markets


def _instants(series: Mapping[str, Candles]) -> Iterable[tuple[int, dict[str, Row]]]:
    """Yield the instants of all series in order, with the candles that opened at each."""
    found: dict[int, dict[str, Row]] = {}
    for symbol, candles in series.items():
        for row in rows_of(candles):
            found.setdefault(row[0], {})[symbol] = row
    return sorted(found.items())
