"""Subscribers: simulated accounts that execute the accepted signals with the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backtest.engine.history import MarketHistory
from backtest.engine.simulator import SimulatedVenue
from backtest.model.assumptions import VenueAssumptions
from backtest.model.calls import CreateSignal, placed_call
from backtest.model.candles import Candles
from backtest.model.events import SignalRef, Status
from backtest.model.profile import SubscriberProfile
from backtest.model.timeframe import milliseconds
from backtest.wire.tag import signal_tag, tag_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from backtest.model.calls import Call
    from backtest.model.events import Event
    from backtest.model.market import Market

__all__ = ["Account", "Place", "Subscriber", "event_row"]

Row = tuple[float, ...]
"""Time in UTC ms, open, high, low, close and volume."""

_ENDED = frozenset({Status.CLOSED, Status.EXPIRED, Status.INVALIDATED, Status.CANCELED, Status.REFUSED})
_CREATES_A_CLOSE = 16
_MOST_KEPT = 20_000
_CLOSES = (0, 1, -1, -2)


class Place(NamedTuple):
    """Where an account trades: one exchange (as signals name it), candles of one timeframe."""

    exchange: str
    timeframe: str


class Account:
    """One account over all markets of a place (L14.1), in the engine's order of instants.

    Parameters
    ----------
    markets
        By symbol, each with whether its volumes are known (L2.6).
    timeframe
        Of all of them.
    profile, assumptions
        On which signals are executed.
    """

    def __init__(
        self,
        markets: Mapping[str, tuple[Market, bool]],
        timeframe: str,
        profile: SubscriberProfile,
        assumptions: VenueAssumptions,
    ) -> None:
        histories = [
            MarketHistory(market, _empty(symbol, timeframe, known))
            for symbol, (market, known) in sorted(markets.items())
        ]
        self._markets = [history.market for history in histories]
        self.venue = SimulatedVenue(histories, profile, assumptions)
        self.events: list[Event] = []
        self._kept = 0

    def send(self, call: Call, at: int) -> None:
        """Let a call act on the candles to come; one about another market, or a signal not followed, is none of its own.

        Parameters
        ----------
        call
            As it came.
        at
            When it came, UTC ms.
        """
        if isinstance(call, CreateSignal):
            create, market = call, self._market_of(call)
            if market is None:
                return
        elif self.venue.knows(call.signal):
            create = self.venue.create_of(call.signal)
            market = self._market_of(create)
        else:
            return
        self.venue.send(placed_call(call, create, market) if market else call, at)

    def _market_of(self, create: CreateSignal) -> Market | None:
        named = (create.coin, create.trade_market, create.exchange)
        return next((one for one in self._markets if (one.coin, one.trade_market, one.exchange) == named), None)

    def knows(self, ref: str) -> bool:
        """Whether the signal is executed in this account."""
        return self.venue.knows(SignalRef(ref))

    def walk(self, rows: Mapping[str, Iterable[Row]]) -> None:
        """Walk closed candles by symbol: whole instants, each of which is walked once."""
        together = sorted((int(row[0]), symbol, row) for symbol, mine in rows.items() for row in mine)
        for time, symbol, row in together:
            self.venue.append(symbol, time, *row[1:])
        self.venue.advance()
        self.events.extend(self.venue.new_events())
        self._kept += len(together)
        if self._kept > _MOST_KEPT:
            self.venue.forget_walked()
            self._kept = 0

    def ended(self, ref: str) -> bool:
        """Whether the signal has ended in this account."""
        return self.knows(ref) and self.venue.status(SignalRef(ref)) in _ENDED

    def summary(self) -> dict[str, Any]:
        """Return cash, equity and signals as plain JSON."""
        venue = self.venue
        signals = [
            {
                "parent_signal_id": ref,
                "status": venue.status(ref).value,
                "realised_pnl": float(row.realised),
                "fees": float(row.fees),
                "open_quantity": float(row.quantity),
            }
            for ref, row in zip(venue.refs, venue.outcomes(), strict=True)
        ]
        return {"cash": float(venue.account.cash), "equity": venue.equity_now, "signals": signals}


@dataclass
class Subscriber:
    """Who has an account here.

    Attributes
    ----------
    name, profile, assumptions
        Of the account.
    place
        Where it trades; None until candles come, then that of the first ones.
    strategy
        Identity of the strategy whose signals it follows, known by their tags; empty follows all.
    account
        None until candles of its place come.
    """

    name: str
    profile: SubscriberProfile
    assumptions: VenueAssumptions
    place: Place | None = None
    strategy: str = ""
    account: Account | None = None

    @classmethod
    def from_dicts(
        cls,
        name: str,
        profile: dict[str, Any],
        assumptions: dict[str, Any],
        place: Place | None = None,
        strategy: str = "",
    ) -> Subscriber:
        """Build from plain JSON.

        Parameters
        ----------
        name, place, strategy
            As they are.
        profile, assumptions
            Their fields; what is left out has its default.

        Raises
        ------
        InvalidSettingError
            For what cannot be used.
        """
        if place is not None:
            milliseconds(place.timeframe)
        values = SubscriberProfile.from_dict(profile), VenueAssumptions.from_dict(assumptions)
        return cls(name, *values, place, strategy)

    @property
    def terms(self) -> tuple[object, ...]:
        """What must be the same where a subscriber of the same name is added again."""
        return self.profile, self.assumptions, self.strategy

    @property
    def events(self) -> Sequence[Event]:
        """What happened in its account, in order."""
        return self.account.events if self.account else ()

    def follows(self, create: CreateSignal, at: int, symbols: Iterable[str]) -> bool:
        """Whether it executes a signal.

        Parameters
        ----------
        create
            The signal.
        at
            The venue's clock when it came, UTC ms: the close that decided on it, or one of the next two.
        symbols
            Of the markets here that the signal may be about.
        """
        if not self.strategy:
            return True
        tag = tag_of(create.attachment_description)
        if tag is None or self.place is None:
            return False
        timeframe, span = self.place.timeframe, milliseconds(self.place.timeframe)
        return any(
            tag == signal_tag(self.strategy, symbol, timeframe, at + closes * span, number)
            for symbol in symbols
            for closes in _CLOSES
            for number in range(_CREATES_A_CLOSE)
        )

    def summary(self) -> dict[str, Any]:
        """Return everything about it as plain JSON, the events apart."""
        exchange, timeframe = self.place or ("", "")
        account = self.account.summary() if self.account else {}
        return {
            "name": self.name,
            "profile": self.profile.to_dict(),
            "assumptions": self.assumptions.to_dict(),
            "exchange": exchange,
            "timeframe": timeframe,
            "strategy": self.strategy,
            "cash": self.profile.balance,
            "equity": self.profile.balance,
            "signals": [],
            **account,
        }


def _empty(symbol: str, timeframe: str, volume_known: bool) -> Candles:  # noqa: FBT001
    """Return a series without candles, which names symbol and timeframe."""
    columns: dict[str, Any] = {name: np.empty(0) for name in ("open", "high", "low", "close", "volume")}
    return Candles(symbol, timeframe, np.empty(0, np.int64), **columns, volume_known=volume_known)


def event_row(event: Event) -> dict[str, Any]:
    """Return an event as plain JSON; ``parent_signal_id`` is the venue's name of the signal."""
    return {
        "symbol": event.symbol,
        "time": event.time,
        "parent_signal_id": event.signal,
        "kind": event.kind.value,
        "price": event.price,
        "quantity": event.quantity,
        "fee": event.fee,
        "target": event.target,
        "leg": event.leg,
        "rule": event.rule,
        "reason": event.reason,
    }
