"""Feed: closed candles of many series as they close, from exchanges, from a recording or from files."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

from backtest.errors import BacktestError, InvalidSettingError
from backtest.live.clock import refuse_offset
from backtest.live.exchange_clock import ExchangeClock
from backtest.live.feed_settings import FeedSettings
from backtest.live.ticking import MachineTime, Ticking
from backtest.live.track import Closed, Fault, FaultKind, Follow, Item, Phase, Revision, Track
from backtest.market_data.exchange import Access
from backtest.market_data.klines import read_klines
from backtest.market_data.retry import Retry
from backtest.market_data.stream import BrokenStreamError, streams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence

    from backtest.market_data.klines import Row
    from backtest.market_data.pages import Page
    from backtest.market_data.series import Series

__all__ = [
    "Closed",
    "Fault",
    "FaultKind",
    "Feed",
    "Follow",
    "Item",
    "Phase",
    "Player",
    "Revision",
    "Wire",
    "exchange_feed",
]

_MINUTE = 60_000.0
_STOOD = 10_000.0
"""A connection that stood this long, in ms, was a good one."""


class Wire(Protocol):
    """One connection that brings candles, and the REST beside it: :class:`backtest.market_data.stream.Stream`."""

    series: tuple[Series, ...]
    exchange: str
    contract: bool
    pushes: bool
    flagged: bool
    names: dict[tuple[str, str], Series]

    async def open(self) -> None:
        """Make ready."""

    async def close(self) -> None:
        """Give everything back."""

    async def time(self) -> float:
        """Return the exchange's clock, UTC ms."""

    def pages(self, series: Series, start: int, end: int, now: int) -> AsyncIterator[Page]:
        """Yield closed candles that open in ``[start, end)``."""

    async def gone(self) -> set[Series]:
        """Return the series whose market is gone."""

    async def listen(self, hear: Callable[[dict[str, Any]], object], opened: Callable[[], object]) -> None:
        """Hand on raw messages until the connection ends."""


class Player(Protocol):
    """What moves the time of a feed that is played."""

    async def play(self, settle: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Play to the end; ``settle`` waits until everything so far was taken."""


class _Link:
    """A wire, its tracks, and how the connection stands."""

    def __init__(self, wire: Wire, clock: ExchangeClock) -> None:
        self.wire, self.clock = wire, clock
        self.tracks: dict[Series, Track] = {}
        self.listening: asyncio.Task[None] | None = None
        self.since = -float("inf")
        self.short = 0
        self.up = self.looking = False

    def renew(self) -> None:
        """End the connection; another one is made."""
        if self.listening is not None:
            self.listening.cancel()


class Feed:
    """Closed candles, faults and revisions, in the order in which they came: an async iterator.

    Of each series the candles come in order and each once. A feed is entered with ``async with``, which reads markets
    and clocks, and refuses to begin where this machine's clock differs from an exchange's by more than two seconds.

    Parameters
    ----------
    wires
        Connections.
    follows
        Series, each carried by one of the wires, and where they begin.
    settings
        Waits.
    time
        The time that it runs on.
    player
        Moves that time, where it is not this machine's; the feed ends with it.
    """

    def __init__(
        self,
        wires: Sequence[Wire],
        follows: Iterable[Follow],
        settings: FeedSettings | None = None,
        *,
        time: Ticking | None = None,
        player: Player | None = None,
    ) -> None:
        self._settings, self._time, self._player = settings or FeedSettings(), time or MachineTime(), player
        self._items: deque[Item] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._clocks = {wire.exchange: ExchangeClock(self._time, self._settings) for wire in wires}
        self._links = [_Link(wire, self._clocks[wire.exchange]) for wire in wires]
        self._asks = 0
        self._ended = False
        self._error: BaseException | None = None
        self._filled, self._still, self._stirred = asyncio.Event(), asyncio.Event(), asyncio.Event()
        carried = {one: link for link in self._links for one in link.wire.series}
        for follow in follows:
            if follow.series not in carried:
                raise InvalidSettingError(f"no connection carries {follow.series}")
            link = carried[follow.series]
            emit, kinds = partial(self._emit_from, link), {"flagged": link.wire.flagged, "pushes": link.wire.pushes}
            link.tracks[follow.series] = Track(follow, self._settings, emit, **kinds, audits=player is None)

    @property
    def time(self) -> Ticking:
        """The time that it runs on."""
        return self._time

    @property
    def phases(self) -> Mapping[Series, Phase]:
        """Where each series is."""
        return {series: track.phase for link in self._links for series, track in link.tracks.items()}

    @property
    def clock_is_right(self) -> bool:
        """Whether this machine's clock agrees with every exchange's; entries stop while it does not."""
        return all(clock.agrees for clock in self._clocks.values())

    @property
    def clocks_off(self) -> Mapping[str, float]:
        """How far this machine's clock is ahead of each exchange's, ms, by the exchange's name."""
        return {name: clock.off for name, clock in self._clocks.items() if clock.known}

    async def __aenter__(self) -> Self:
        try:
            for link in self._links:
                await link.wire.open()
                if not link.clock.known:
                    await link.clock.measure(link.wire.time)
                    refuse_offset(round(self._time.wall()), round(link.clock.now()))
        except BaseException:
            await self._close()
            raise
        self._spawn(self._watch())
        for link in self._links:
            self._spawn(self._keep(link))
        if self._player is not None:
            self._spawn(self._play(self._player))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        if not await self._fill():
            raise StopAsyncIteration
        return self._items.popleft()

    async def batch(self) -> list[Item]:
        """Wait until something is there, and return all of it; nothing at the end of what is played."""
        await self._fill()
        found = list(self._items)
        self._items.clear()
        return found

    async def _fill(self) -> bool:
        """Wait for an item; return whether there is one."""
        while not self._items:
            if self._error is not None:
                raise self._error
            if self._ended:
                return False
            self._filled.clear()
            self._look_still(waiting=True)
            await self._filled.wait()
        self._still.clear()
        return True

    def _emit_from(self, link: _Link, item: Item) -> None:
        if isinstance(item, Fault) and item.kind is FaultKind.FUTURE:  # which clock is wrong?
            link.clock.doubted = True
            self._stir()
        self._emit(item)

    def _emit(self, item: Item) -> None:
        self._items.append(item)
        self._still.clear()
        self._filled.set()

    # -- played time

    async def _play(self, player: Player) -> None:
        await player.play(self._settle)
        self._ended = True
        self._filled.set()

    async def _settle(self) -> None:
        """Wait until no question is open and all that was passed on has been worked off."""
        while True:
            await asyncio.sleep(0)  # the watch looks at what is due
            if self._stirred.is_set():
                continue
            await self._still.wait()
            if not self._stirred.is_set():
                return

    def _look_still(self, *, waiting: bool) -> None:
        if waiting and not self._asks and not self._items:
            self._still.set()

    # -- connections

    async def _keep(self, link: _Link) -> None:
        """Connect again and again."""
        while True:
            link.listening = asyncio.ensure_future(
                link.wire.listen(partial(self._hear, link), partial(self._opened, link))
            )
            try:
                await asyncio.wait({link.listening})
            finally:
                link.listening.cancel()
            link.up, text = False, self._why(link.listening)
            now = link.clock.now()
            for track in link.tracks.values():
                track.broken(now)
                if text:
                    self._emit_of(track, FaultKind.DISCONNECTED, text)
            self._stir()
            if text:
                await self._wait_to_connect(link)

    def _why(self, task: asyncio.Task[None]) -> str:
        """Return why a connection ended; nothing where it was to be renewed."""
        if task.cancelled():
            return ""
        error = task.exception()
        if error is not None and not isinstance(error, BrokenStreamError):
            raise error
        return str(error) or "the connection ended"

    async def _wait_to_connect(self, link: _Link) -> None:
        stood = self._time.steady() - link.since
        link.short = 0 if stood > _STOOD else link.short + 1
        link.since = self._time.steady()
        if link.short:
            await self._look_for_gone(link)
        first, most = self._settings.reconnect_first, self._settings.reconnect_most
        await self._time.wait(1000.0 * min(most, first * 2.0 ** min(link.short, 16)))

    def _opened(self, link: _Link) -> None:
        link.up, link.since = True, self._time.steady()
        now = link.clock.now()
        for track in link.tracks.values():
            track.opened(now)
        self._stir()

    def _hear(self, link: _Link, message: dict[str, Any]) -> None:
        now = link.clock.now()
        try:
            klines = read_klines(link.wire.exchange, message, contract=link.wire.contract)
        except ValueError as error:
            for track in link.tracks.values():
                self._emit_of(track, FaultKind.INVALID, str(error))
            return
        for kline in klines:
            series = link.wire.names.get((kline.market, kline.interval))
            if series not in link.tracks:
                continue
            track = link.tracks[series]
            due = track.due
            track.hear(kline, now)
            if track.due < due:
                self._stir()

    # -- time and REST

    def _stir(self) -> None:
        self._stirred.set()

    async def _watch(self) -> None:
        """Do what is due, of all series."""
        while True:
            self._stirred.clear()
            wait = min([self._serve_link(link) for link in self._links], default=_MINUTE)
            alarm = self._time.call_at(self._time.steady() + max(wait, 0.0), self._stir)
            await self._stirred.wait()
            alarm.cancel()

    def _serve_link(self, link: _Link) -> float:
        """Do what is due; return in how many ms there may be more."""
        now = link.clock.now()
        silent = False
        for track in link.tracks.values():
            if track.due > now:
                continue
            silent |= track.tick(now)
            if track.ask_at <= now and not track.asking:
                track.asking, track.ask_at = True, float("inf")
                self._ask(self._fill_up(link, track))
            span = track.to_audit(now)
            if span is not None:
                self._spawn(self._audit(link, track, *span))
        self._doubt(link, now, silent=silent)
        if link.clock.measure_due:
            self._spawn(self._set_clock(link))
        due = min((track.due for track in link.tracks.values()), default=now + _MINUTE)
        return min(max(due - now, 0.0), _MINUTE)

    def _doubt(self, link: _Link, now: float, *, silent: bool) -> None:
        """Make a new connection where this one brings nothing, or is old and nothing is about to close."""
        tracks = [track for track in link.tracks.values() if track.phase is not Phase.HALTED]
        deaf = [track for track in tracks if track.deaf(now)]
        if deaf or (silent and tracks and all(track.silent for track in tracks)):
            link.renew()
        elif link.up and self._is_old(link) and all(track.quiet(now) for track in tracks):
            link.up = False
            link.renew()
        if silent:
            self._spawn(self._look_for_gone(link))

    def _is_old(self, link: _Link) -> bool:
        return link.wire.pushes and self._time.steady() - link.since > self._settings.fresh_after * 1000.0

    def _ask(self, question: Coroutine[Any, Any, None]) -> None:
        self._asks += 1
        self._still.clear()
        self._spawn(question)

    async def _fill_up(self, link: _Link, track: Track) -> None:
        """Ask REST for what has closed and not come."""
        asked = link.clock.now()
        end = track.reach(asked)
        try:
            if end <= track.expected:
                track.answered((), end, asked, asked, last=True)
            else:
                async for page in link.wire.pages(track.series, track.expected, end, round(asked)):
                    reached = page.answered[1]
                    track.answered(_rows(page), reached, asked, link.clock.now(), last=reached >= end)
        except InvalidSettingError as error:
            track.failed(str(error), link.clock.now())
            await self._look_for_gone(link)
        except BacktestError as error:
            track.failed(str(error), link.clock.now())
        finally:
            track.asking = False
            self._asks -= 1
            self._look_still(waiting=not self._filled.is_set())
            self._stir()

    async def _audit(self, link: _Link, track: Track, start: int, end: int) -> None:
        """Compare what was acted on with REST."""
        rows: list[Row] = []
        with suppress(BacktestError):  # another time
            async for page in link.wire.pages(track.series, start, end, round(link.clock.now())):
                rows += _rows(page)
            track.audited(rows, start, end, link.clock.now())

    async def _look_for_gone(self, link: _Link) -> None:
        """Halt the series whose market is gone."""
        if link.looking:
            return
        link.looking = True
        try:
            with suppress(BacktestError):
                for series in await link.wire.gone():
                    if series in link.tracks:
                        link.tracks[series].halt(f"{series.exchange} has stopped trading {series.symbol}")
        finally:
            link.looking = False

    async def _set_clock(self, link: _Link) -> None:
        """Measure an exchange's clock, and raise or end the alarm."""
        before = link.clock.wrong
        with suppress(BacktestError):
            await link.clock.measure(link.wire.time)
        link.clock.judge()
        if link.clock.wrong == before:
            return
        for other in self._links:
            if other.clock is link.clock:
                for track in other.tracks.values():
                    self._emit_of(track, FaultKind.CLOCK, link.clock.text, over=before)

    # -- tasks

    def _emit_of(self, track: Track, kind: FaultKind, text: str, *, over: bool = False) -> None:
        if track.phase is not Phase.HALTED:
            self._emit(Fault(track.series, kind, text=text, over=over))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
            self._filled.set()

    async def _close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for link in self._links:
            if link.listening is not None:
                await asyncio.gather(link.listening, return_exceptions=True)
            await link.wire.close()


def exchange_feed(
    follows: Sequence[Follow],
    settings: FeedSettings | None = None,
    *,
    access: Mapping[str, Access] | None = None,
    time: Ticking | None = None,
    wrap: Callable[[Wire], Wire] = lambda wire: wire,
) -> Feed:
    """Return a feed from exchanges, as their candles close.

    Parameters
    ----------
    follows
        Series, of one exchange or of several.
    settings
        Waits.
    access
        How to reach an exchange, by its name; its requests are tried twice, as the feed itself asks again.
    time
        The time that it runs on.
    wrap
        Wraps each connection, for a recorder say.

    Raises
    ------
    InvalidSettingError
        For series that cannot be followed.
    """
    chosen = settings or FeedSettings()
    by_exchange: dict[str, list[Series]] = {}
    for follow in follows:
        by_exchange.setdefault(follow.series.exchange, []).append(follow.series)
    wires: list[Wire] = []
    for name, series in by_exchange.items():
        reach = (access or {}).get(name) or Access(retry=Retry(attempts=2))
        wires += [wrap(stream) for stream in streams(series, reach, chosen.keep_alive)]
    return Feed(wires, follows, chosen, time=time)


def _rows(page: Page) -> list[Row]:
    return [(int(row[0]), *row[1:6]) for row in page.rows.tolist()]
