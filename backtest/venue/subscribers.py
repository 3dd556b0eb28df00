"""Subscribers: simulated accounts that execute the accepted signals with the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.feed import Feed
from backtest.engine.simulator import SimulatedVenue
from backtest.model.assumptions import VenueAssumptions
from backtest.model.calls import CreateSignal, placed_call
from backtest.model.candles import Candles
from backtest.model.events import SignalRef, Status
from backtest.model.profile import SubscriberProfile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest.model.calls import Call
    from backtest.model.events import Event
    from backtest.model.market import Market

__all__ = ["Book", "Subscriber", "empty_candles", "event_row"]

ENDED = frozenset(
    {Status.CLOSED, Status.EXPIRED, Status.INVALIDATED, Status.CANCELED, Status.REFUSED},
)


class Book:
    """One subscriber on one market: an engine of its own, with the subscriber's whole balance.

    The engine takes candles one by one for a single market only, so a subscriber who follows two markets has two
    accounts here, where the vendor has one (a limit of the rehearsal, not of the backtest).
    """

    def __init__(
        self, market: Market, timeframe: str, profile: SubscriberProfile, assumptions: VenueAssumptions
    ) -> None:
        self.symbol, self._market = market.symbol, market
        self.venue = SimulatedVenue([Feed(market, empty_candles(market.symbol, timeframe))], profile, assumptions)
        self.events: list[Event] = []

    def send(self, call: Call, at: int) -> None:
        """Let a call act on the candles to come."""
        create = call if isinstance(call, CreateSignal) else self.venue.create_of(call.signal)
        self.venue.send(placed_call(call, create, self._market), at)

    def walk(self, rows: Iterable[tuple[float, ...]]) -> None:
        """Walk closed candles: time, open, high, low, close and volume."""
        for time, open_, high, low, close, _ in rows:
            self.venue.append(self.symbol, int(time), open_, high, low, close)
        self.venue.advance()
        self.events.extend(self.venue.new_events())

    def ended(self, ref: str) -> bool:
        """Whether the signal has ended in this account."""
        return self.venue.knows(SignalRef(ref)) and self.venue.status(SignalRef(ref)) in ENDED

    def summary(self) -> dict[str, Any]:
        """Return the account and its signals as plain JSON."""
        venue, account = self.venue, self.venue.account
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
        return {"symbol": self.symbol, "cash": float(account.cash), "equity": venue.equity_now, "signals": signals}


@dataclass
class Subscriber:
    """A simulated account: profile, assumptions and one book for each market."""

    name: str
    profile: SubscriberProfile
    assumptions: VenueAssumptions
    books: dict[str, Book] = field(default_factory=dict)

    @classmethod
    def from_dicts(cls, name: str, profile: dict[str, Any], assumptions: dict[str, Any]) -> Subscriber:
        """Build from plain JSON; what cannot be used raises :class:`InvalidSettingError`."""
        return cls(name, SubscriberProfile.from_dict(profile), VenueAssumptions.from_dict(assumptions))

    def open_book(self, market: Market, timeframe: str) -> Book:
        """Begin to follow a market."""
        book = self.books[market.symbol] = Book(market, timeframe, self.profile, self.assumptions)
        return book

    def summary(self) -> dict[str, Any]:
        """Return everything about it as plain JSON, the events apart."""
        return {
            "name": self.name,
            "profile": self.profile.to_dict(),
            "assumptions": self.assumptions.to_dict(),
            "books": [book.summary() for book in self.books.values()],
        }


def empty_candles(symbol: str, timeframe: str) -> Candles:
    """Return a series without candles, which names symbol and timeframe."""
    columns: dict[str, Any] = {name: np.empty(0) for name in ("open", "high", "low", "close", "volume")}
    return Candles(symbol, timeframe, np.empty(0, np.int64), **columns)


def event_row(event: Event) -> dict[str, Any]:
    """Return an event as plain JSON; ``signal`` is the venue's name of the signal."""
    return {
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
