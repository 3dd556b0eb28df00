"""Loop: what a feed brings is decided on, kept and handed to the sender, for as long as it lasts."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from backtest.live.collector import Collector
from backtest.live.notices import NoticeKind
from backtest.live.schema import Decided, Seen
from backtest.live.seat import new_of, when
from backtest.live.shadow import shadow_of
from backtest.live.track import Closed, Fault, FaultKind, Revision

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from backtest.live.feed import Feed
    from backtest.live.schema import Stream
    from backtest.live.seat import Place, Seat
    from backtest.live.sender import Sender
    from backtest.live.track import Item
    from backtest.market_data.klines import Row
    from backtest.market_data.series import Series
    from backtest.model.market import Market
    from backtest.venue.paper_client import PaperClient

__all__ = ["Loop"]

_LOOK_SECONDS = 0.1
_BEAT_SECONDS = 1.0
_PATIENCE_SECONDS = 20.0
_MOST_TOGETHER = 100
"""Candles of a market; more are history, and go in requests of their own."""
_CAPS = {"most_unknowns", "creates_a_minute", "creates_a_day", "open_a_symbol", "open_signals"}
_QUIET = frozenset({FaultKind.GAP, FaultKind.MISSING})


class Loop:
    """Drains what has arrived, decides on all of it, keeps it in one transaction (T1), and lets the sender go.

    The sender works in a thread of its own, so that a slow venue never holds up candles or decisions. With a paper venue
    it is waited for: the calls of one close are acknowledged or given up before the next candle is posted there.

    Parameters
    ----------
    feed
        Entered already.
    seats
        Strategies with their markets; one that raises is halted alone.
    sender
        Running, on the journal that the seats were restored from; its emitter's notices hear what happens here too.
    paper
        The paper venue's own door; None where calls go elsewhere.
    beat
        Called after each pass, and each second in which nothing came: whoever watches over this process knows by it that
        decisions go on.
    """

    def __init__(
        self,
        feed: Feed,
        seats: Sequence[Seat],
        sender: Sender,
        *,
        paper: PaperClient | None = None,
        beat: Callable[[], object] = lambda: None,
    ) -> None:
        self._feed, self._seats, self._sender, self._paper, self._beat = feed, seats, sender, paper, beat
        self._notices = sender.emitter.notices
        self._markets: dict[Stream, Market] = {
            place.stream: self._first_rules(place) for seat in seats for place in seat.places.values()
        }
        self._collector = Collector()
        self._halted: set[str] = set()
        self._newest: dict[Series, Closed] = {}
        self._revisions: list[Revision] = []
        """Of candles that the journal may not hold yet: they wait for another market to be decided on."""
        self._passed = self._beaten = 0
        self._watched, self._looked = False, 0.0
        self._shadows: list[dict[str, Any]] = []

    def _first_rules(self, place: Place) -> Market:
        """Return the rules under which a paper venue knows a market: those that it began with."""
        known = self._sender.emitter.journal.rules(place.stream)
        return known[0][1] if known else place.market

    async def run(self, stop: threading.Event) -> None:
        """Go on until ``stop`` is set, the feed ends, or every strategy is halted.

        Raises
        ------
        BacktestError
            What ended the sender or the feed.
        """
        if self._paper is not None:
            await self._catch_up()
        with self._collector:
            while not stop.is_set():
                items = await self._next(stop)
                self._sender.check()
                if not items:
                    return
                await self._pass(items)
                self._collector.passed()
                if all(seat.halted for seat in self._seats):
                    return

    async def _pass(self, items: Sequence[Item]) -> None:
        """Decide on what has arrived, keep it and let it be sent."""
        self._take_all(items)
        self._look_at_the_clock()
        for item in items:
            if isinstance(item, Fault) and item.kind is FaultKind.DELISTED:
                await self._let_go(item)
        await self._keep([decided for seat in self._seats for decided in seat.decide()])
        self._revisions = [item for item in self._revisions if not self._revise(item)]
        for seat in self._seats:
            if seat.halted and seat.halted not in self._halted:
                self._halted.add(seat.halted)
                sentence = f"{seat.halted}; its markets are halted, what lives stays at the venue"
                self._notices.tell(NoticeKind.RAISED, self._now, sentence, tuple(seat.places))
        self._passed = self._now
        self._go_on()

    def state(self) -> dict[str, Any]:
        """Return what the journal does not hold: how candles come, how the clocks stand, what is on its way.

        Times are UTC ms, waits and differences ms; any thread may ask. The shadow books are as they were up to a second
        or two before, and are looked at only while somebody asks.
        """
        self._watched = True
        newest = dict(list(self._newest.items()))
        series = [
            {
                "exchange": one.exchange,
                "symbol": one.symbol,
                "timeframe": one.timeframe,
                "phase": phase.value,
                "closed": newest[one].row[0] + one.length if one in newest else None,
                "arrived": newest[one].arrived if one in newest else None,
                "lag": newest[one].lag if one in newest else None,
                "source": newest[one].source.value if one in newest else None,
            }
            for one, phase in self._feed.phases.items()
        ]
        emitter = self._sender.emitter
        return {
            "now": self._now,
            "passed": self._passed,
            "beaten": self._beaten,
            "series": series,
            "clocks": {name: round(off) for name, off in self._feed.clocks_off.items()},
            "strategies": [{"name": seat.name, "halted": seat.halted} for seat in self._seats],
            "shadows": self._shadows,
            "flying": emitter.flying,
            "rate": {"per_minute": emitter.client.rate.per_minute, "left": emitter.client.rate.left},
            "halted": emitter.halted is not None,
            "hold": emitter.hold,
            "limits": emitter.settings.model_dump(include=_CAPS),
        }

    @property
    def _now(self) -> int:
        return self._sender.emitter.wall()

    async def _next(self, stop: threading.Event) -> list[Item]:
        """Return what has arrived; nothing at the end or at a stop."""
        batch = asyncio.ensure_future(self._feed.batch())
        quiet = 0.0
        try:
            while not stop.is_set():
                done, _ = await asyncio.wait({batch}, timeout=_LOOK_SECONDS)
                if done:
                    return batch.result()
                self._sender.check()
                quiet += _LOOK_SECONDS
                if quiet >= _BEAT_SECONDS:
                    quiet = 0.0
                    self._go_on()
                    self._collector.rest()
            return []
        finally:
            batch.cancel()

    def _take_all(self, items: Sequence[Item]) -> None:
        for item in items:
            self._take(item)
        for kind, over, series, sentence in _sentences(items):
            self._notices.tell(kind, self._now, sentence, series, over=over)

    def _take(self, item: Item) -> None:
        if isinstance(item, Revision):
            self._revisions.append(item)
        if isinstance(item, Closed):
            self._newest[item.series] = item
        for seat in self._seats:
            seat.take(item)

    def _revise(self, item: Revision) -> bool:
        """Keep what a candle has become, once for each series; return whether that is done with."""
        seats = [seat for seat in self._seats if item.series in seat.places]
        found = Seen.of(item.at, item.new, "rest", item.at + item.series.length + item.lag)
        if not seats or not self._sender.emitter.journal.revise(seats[0].places[item.series].stream, found):
            return all(seat.halted for seat in seats)
        now = "is there no longer" if item.new is None else f"is {item.new[1:]} now"
        was = "was missing" if item.old is None else f"was {item.old[1:]} when it was acted on"
        sentence = f"{item.series}: the candle of {when(item.at)} {was} and {now}; what was decided stays"
        self._notices.tell(NoticeKind.REVISION, self._now, sentence, (item.series,))
        return True

    def _go_on(self) -> None:
        """Say that decisions go on; look at the shadow books for whoever watches, at most once a second."""
        self._beaten = self._now
        self._beat()
        if self._watched and time.monotonic() - self._looked >= _BEAT_SECONDS:
            self._watched, self._looked = False, time.monotonic()
            self._shadows = [shadow_of(seat) for seat in self._seats]

    def _look_at_the_clock(self) -> None:
        """Let entries go only while this machine's clock is right: calls are valid by its time."""
        right = self._feed.clock_is_right
        self._sender.emitter.hold = "" if right else "this machine's clock differs from the exchange's"

    async def _keep(self, decided: list[Decided]) -> None:
        """Plan all of it (T1) and wake the sender; for a paper venue close by close."""
        if not decided:
            return
        if self._paper is None:
            self._plan(sorted(decided, key=lambda one: one.time))
            return
        for _, group in groupby(sorted(decided, key=lambda one: one.time), lambda one: one.time):
            found = list(group)
            await asyncio.to_thread(self._sender.wait, _PATIENCE_SECONDS)
            await self._post_together(found)
            self._plan(found)
        await asyncio.to_thread(self._sender.wait, _PATIENCE_SECONDS)

    def _plan(self, decided: list[Decided]) -> None:
        self._sender.emitter.plan(decided)
        self._sender.wake()

    async def _catch_up(self) -> None:
        """Post the candles that were acted on before; what the paper venue has, it passes over."""
        journal = self._sender.emitter.journal
        for stream in self._markets:
            cursor = journal.cursor(*stream.key)
            if cursor is not None:
                seen = journal.seen(stream, cursor.anchor)
                await self._post(stream, *new_of(Decided(stream, cursor.time, seen=seen)))

    async def _post_together(self, decided: Sequence[Decided]) -> None:
        """Post what is new of one instant, a timeframe at a time: one request for all its markets."""
        news = {(one.stream.timeframe, one.stream.exchange, one.stream.symbol): one for one in decided}
        parts: dict[str, list[dict[str, Any]]] = {}
        for one in news.values():
            rows, missing = new_of(one)
            if len(rows) > _MOST_TOGETHER:
                await self._post(one.stream, rows, missing)
            elif rows or missing:
                part = {"market": self._markets[one.stream].to_dict(), "rows": rows, "missing": missing}
                parts.setdefault(one.stream.timeframe, []).append(part)
        for timeframe, together in parts.items():
            if self._paper is not None:
                await asyncio.to_thread(self._paper.feed_instant, timeframe, together)

    async def _post(self, stream: Stream, rows: list[Row], missing: list[int]) -> None:
        if self._paper is None or not (rows or missing):
            return
        market = self._markets[stream].to_dict()
        for start in range(0, max(len(rows), 1), 5000):
            part = partial(self._paper.feed, market, stream.timeframe, rows[start : start + 5000])
            await asyncio.to_thread(part, missing=missing if start == 0 else ())

    async def _let_go(self, item: Fault) -> None:
        """Tell the paper venue that no more candles of a market will come."""
        for stream, market in self._markets.items():
            if self._paper is not None and (stream.symbol, stream.timeframe) == (
                item.series.symbol,
                item.series.timeframe,
            ):
                part = {"market": market.to_dict(), "gone": True}
                await asyncio.to_thread(self._paper.feed_instant, stream.timeframe, [part])
                return


def _sentences(items: Sequence[Item]) -> list[tuple[NoticeKind, bool, tuple[Series, ...], str]]:
    """Return what a person should know of faults; what an exchange does to many series at once is one sentence."""
    found: dict[tuple[str, FaultKind, bool, str], list[Fault]] = {}
    for item in items:
        if isinstance(item, Fault) and item.kind not in _QUIET:
            found.setdefault((item.series.exchange, item.kind, item.over, item.text), []).append(item)
    told = []
    for (exchange, kind, over, text), faults in found.items():
        where = str(faults[0].series) if len(faults) == 1 else f"{exchange}, {len(faults)} series"
        sentence = f"{where}: {kind}{' is over' if over else ''} {text}".rstrip()
        told.append((NoticeKind(kind.value), over, tuple(fault.series for fault in faults), sentence))
    return told
