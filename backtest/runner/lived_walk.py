"""Lived walk: a strategy asked again at every close of an emission, with what was seen, told and decided then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.history import MarketHistory
from backtest.runner.desk import Desk, table_rows
from backtest.runner.execute import Execution, Prepared, prepare
from backtest.runner.passes import fresh
from backtest.runner.shadow import Shadow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from backtest.engine.simulator import SimulatedVenue
    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.events import Event
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.decision import Decision, Refusal
    from backtest.runner.lived import Followed, Lived
    from backtest.strategy import Strategy

__all__ = ["walk_lived"]


def walk_lived(
    strategy: Strategy,
    lived: Lived,
    profile: SubscriberProfile,
    assumptions: VenueAssumptions | None = None,
    *,
    lane: str,
    strict: bool = False,
) -> Execution:
    """Run a strategy once more over what an emission lived through.

    It makes the same calls, byte for byte, as long as its code is the same: it sees the same candles from the same anchors
    and is told the same outcomes at the same closes. Where other code decided before, what that decided stands.

    Parameters
    ----------
    strategy
        A fresh copy of it is asked.
    lived
        Of the journal.
    profile, assumptions
        On which the signals are executed.
    lane
        ``"table"`` or ``"candle"``.
    strict
        Whether the first call that the desk refuses is an error.
    """
    asked = fresh(strategy)
    histories = lived.histories()
    shadow = Shadow(lambda: histories, profile, assumptions, lived)
    nothing = np.empty(0, np.int64)
    seats = [_Asked(asked, one, lane, shadow, strict=strict) for one in lived.markets.values()]
    parts = [Prepared(history, {}, None, None, nothing) for history in histories]
    run = Execution(shadow.venue, parts, [seat.desk for seat in seats])
    changes, reached = lived.changes(), 0
    for close in lived.closes.tolist():
        shadow.settle(reached)
        while changes and changes[0][0] < close:
            at, symbol, market = changes.pop(0)
            shadow.change_rules(at, symbol, market)
            next(seat for seat in seats if seat.symbol == symbol).desk.market = market
        run.venue = shadow.venue
        run.venue.advance(close)
        reached = close
        events = run.venue.new_events()
        for seat in seats:
            mine = events if len(seats) == 1 else [one for one in events if one.symbol == seat.symbol]
            run.made.extend(seat.at(close, mine, run.venue, lived))
    return run


class _Asked:
    """One market: the desk, and what the strategy computed from each anchor on."""

    def __init__(self, strategy: Strategy, market: Followed, lane: str, shadow: Shadow, *, strict: bool) -> None:
        self.symbol = market.candles.symbol
        self.desk = Desk(strategy, market.candles.slice(0, 0), market.market, shadow.venue, strict=strict)
        self.desk.shadow = shadow
        self._strategy, self._followed, self._lane = strategy, market, lane
        self._until = -1
        self._anchors = list(market.anchors)
        self._part: Prepared | None = None
        self._closes: NDArray[np.int64] = np.empty(0, np.int64)
        self._places: dict[int, int] = {}
        self._due: list[bool] = []

    def at(self, close: int, events: Sequence[Event], venue: SimulatedVenue, lived: Lived) -> list[Decision | Refusal]:
        """Return what is made of a close, sent already."""
        desk = self.desk
        desk.venue = venue
        desk.forget()
        made = lived.given(self.symbol, close)
        if made is None:
            made = self._ask(close, events)
            desk.send(made)
            return made
        desk.send(made)
        for one in made:
            desk.remember(one)
        return made

    def _ask(self, close: int, events: Sequence[Event]) -> list[Decision | Refusal]:
        desk = self.desk
        part = self._at_anchor(close)
        place = self._places.get(close)
        if place is None and not (events and desk.hears_events):
            return []
        position = int(np.searchsorted(self._closes, close)) - 1 if place is None else place
        asked = place is not None and self._due[place]
        if not (asked or events or desk.plan):
            return []
        if part.table is None:
            return desk.decide(position, events, asked=asked)
        rows = table_rows(part.table, position) if asked else range(0)
        return desk.decide(position, events, asked=False, table=part.table, rows=rows)

    def _at_anchor(self, close: int) -> Prepared:
        """Return what was computed from the anchor that was in force at a close; anew where it moved."""
        if self._part is not None and close <= self._until:
            return self._part
        while len(self._anchors) > 1 and self._anchors[1][0] < close:
            self._anchors.pop(0)
        candles = self._followed.candles
        self._until = self._anchors[1][0] if len(self._anchors) > 1 else 2**62
        window = candles.between(self._anchors[0][1], max(self._until - candles.milliseconds + 1, 0))
        part = self._part = prepare(self._strategy, MarketHistory(self.desk.market, window), lane=self._lane)
        self._closes = window.close_time
        self._places = {close: place for place, close in enumerate(self._closes.tolist())}
        due = np.zeros(len(window), bool)
        due[np.unique(part.table.rows) if part.table is not None else part.asked] = True
        self._due = due.tolist()
        self.desk.bind(window, part.ind)
        return part
