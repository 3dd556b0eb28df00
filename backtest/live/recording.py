"""Recording: what a feed heard, as JSON lines, and feeds played from such lines or from candles."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import DataUnavailableError, InvalidSettingError
from backtest.live.feed import Feed
from backtest.live.ticking import MachineTime, PlayedTime
from backtest.live.track import Follow
from backtest.market_data.klines import FLAGGED
from backtest.market_data.pages import Page
from backtest.market_data.series import Series
from backtest.market_data.stream import BrokenStreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
    from typing import TextIO

    from backtest.live.feed import Wire
    from backtest.live.feed_settings import FeedSettings
    from backtest.live.ticking import Ticking
    from backtest.model.candles import Candles

    Settle = Callable[[], Coroutine[Any, Any, None]]

__all__ = ["Recorder", "candle_feed", "recorded_feed"]

Event = tuple[float, "Callable[[], object]"]


class Recorder:
    """Writes what the connections of a feed brought: messages, answers of REST, clocks, and how connections stood.

    Parameters
    ----------
    out
        Where the lines go; whoever opened it closes it.
    follows
        What the feed follows.
    time
        The time that the feed runs on.
    """

    def __init__(self, out: TextIO, follows: Sequence[Follow], time: Ticking | None = None) -> None:
        self._out, self._follows, self._time = out, {follow.series: follow for follow in follows}, time or MachineTime()
        self._wires = 0

    def wrap(self, wire: Wire) -> Wire:
        """Return a connection that is written down; for ``exchange_feed(wrap=recorder.wrap)``."""
        self._wires += 1
        return _Written(wire, self, self._wires - 1)

    def write(self, wire: int, **line: Any) -> None:
        """Write one line."""
        self._out.write(json.dumps({"at": self._time.steady(), "wire": wire, **line}, separators=(",", ":")) + "\n")

    def follow(self, series: Series) -> list[Any]:
        """Return where a series begins, for the first line of its connection."""
        follow = self._follows[series]
        return [series.symbol, series.timeframe, follow.since, follow.resumes]


class _Written:
    """A connection with a recorder on it."""

    def __init__(self, wire: Wire, recorder: Recorder, number: int) -> None:
        self._wire, self._recorder, self._number = wire, recorder, number
        self.series, self.exchange, self.contract = wire.series, wire.exchange, wire.contract
        self.pushes, self.flagged, self.names = wire.pushes, wire.flagged, wire.names

    async def open(self) -> None:
        await self._wire.open()
        self._write(
            exchange=self.exchange,
            contract=self.contract,
            pushes=self.pushes,
            names=[[*name, series.symbol, series.timeframe] for name, series in self.names.items()],
            follows=[self._recorder.follow(series) for series in self.series],
        )

    async def close(self) -> None:
        await self._wire.close()

    async def time(self) -> float:
        there = await self._wire.time()
        self._write(clock=there)
        return there

    async def pages(self, series: Series, start: int, end: int, now: int) -> AsyncIterator[Page]:
        about = {"rest": [series.symbol, series.timeframe], "from": start, "to": end}
        try:
            async for page in self._wire.pages(series, start, end, now):
                self._write(**about, rows=page.rows.tolist(), reached=page.answered[1])
                yield page
        except DataUnavailableError as error:
            self._write(**about, failed=str(error))
            raise

    async def gone(self) -> set[Series]:
        found = await self._wire.gone()
        self._write(gone=[[series.symbol, series.timeframe] for series in found])
        return found

    async def listen(self, hear: Callable[[dict[str, Any]], object], opened: Callable[[], object]) -> None:
        def written(message: dict[str, Any]) -> None:
            self._write(message=message)
            hear(message)

        def stood() -> None:
            self._write(opened=True)
            opened()

        try:
            await self._wire.listen(written, stood)
        except BrokenStreamError as error:
            self._write(broken=str(error))
            raise

    def _write(self, **line: Any) -> None:
        self._recorder.write(self._number, **line)


class _Played:
    """A connection of a recording."""

    def __init__(self, header: dict[str, Any], time: PlayedTime) -> None:
        self.exchange, self.contract, self.pushes = header["exchange"], header["contract"], header["pushes"]
        self.flagged = self.exchange in FLAGGED
        self.names = {(m, i): Series(self.exchange, symbol, tf) for m, i, symbol, tf in header["names"]}
        self.series = tuple(self.names.values())
        self.answers: dict[Series, deque[dict[str, Any]]] = {series: deque() for series in self.series}
        self.clock = 0.0
        self.lost: set[Series] = set()
        self._time = time
        self._hear: Callable[[dict[str, Any]], object] = lambda _: None
        self._opened: Callable[[], object] = lambda: None
        self._broken: asyncio.Future[None] | None = None

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def time(self) -> float:
        return self._time.steady() + self.clock

    async def pages(self, series: Series, start: int, end: int, now: int) -> AsyncIterator[Page]:
        moment = start
        while moment < end:
            if not self.answers[series]:
                raise DataUnavailableError(f"the recording has no more answers about {series}")
            line = self.answers[series].popleft()
            if "failed" in line:
                raise DataUnavailableError(line["failed"])
            moment = line["reached"]
            yield Page(np.array(line["rows"], np.float64).reshape(-1, 6), (start, moment))

    async def gone(self) -> set[Series]:
        return self.lost

    async def listen(self, hear: Callable[[dict[str, Any]], object], opened: Callable[[], object]) -> None:
        self._hear, self._opened = hear, opened
        self._broken = asyncio.get_running_loop().create_future()
        await self._broken

    def act(self, line: dict[str, Any]) -> None:
        """Do again what a line says."""
        if "message" in line:
            self._hear(line["message"])
        elif "opened" in line:
            self._opened()
        elif "broken" in line and self._broken is not None and not self._broken.done():
            self._broken.set_exception(BrokenStreamError(line["broken"]))
        elif "clock" in line:
            self.clock = line["clock"] - line["at"]
        elif "gone" in line:
            self.lost |= {Series(self.exchange, *names) for names in line["gone"]}


class _Filed:
    """Candles in place of a connection: each is heard when it closes."""

    exchange, contract, pushes, flagged = "file", False, True, True

    def __init__(self, candles: Mapping[Series, Candles], time: PlayedTime) -> None:
        self.series = tuple(candles)
        self.names = {(str(series), series.timeframe): series for series in candles}
        self._time = time
        columns = ("time", "open", "high", "low", "close", "volume")
        self._tables = {s: np.column_stack([getattr(c, name) for name in columns]) for s, c in candles.items()}
        self._hear: Callable[[dict[str, Any]], object] = lambda _: None

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def time(self) -> float:
        return self._time.steady()

    async def pages(self, series: Series, start: int, end: int, now: int) -> AsyncIterator[Page]:
        table = self._tables[series]
        low, high = np.searchsorted(table[:, 0], [start, end])
        yield Page(table[low:high], (start, end))

    async def gone(self) -> set[Series]:
        return set()

    async def listen(self, hear: Callable[[dict[str, Any]], object], opened: Callable[[], object]) -> None:
        self._hear = hear
        opened()
        await asyncio.Event().wait()

    def closes(self, start: int) -> Iterator[tuple[float, Callable[[], object]]]:
        """Yield when each candle closes that has not closed by ``start``, and what to do then, in order of time."""
        series = list(self.series)
        closes = np.concatenate([self._tables[s][:, 0] + s.length for s in series])
        which = np.concatenate([np.full(len(self._tables[s]), number) for number, s in enumerate(series)])
        row = np.concatenate([np.arange(len(self._tables[s])) for s in series])
        for k in np.lexsort((which, closes)).tolist():
            if closes[k] > start:
                yield float(closes[k]), lambda s=series[which[k]], n=row[k]: self._tell(s, n)  # type: ignore[misc]

    def _tell(self, series: Series, number: int) -> None:
        row = self._tables[series][number].tolist()
        self._hear({"symbol": str(series), "timeframe": series.timeframe, "row": row})


class _Player:
    """Moves time from event to event."""

    def __init__(self, time: PlayedTime, events: Iterator[Event], speed: float | None) -> None:
        self._time, self._events, self._speed = time, events, speed

    async def play(self, settle: Settle) -> None:
        """Play to the end."""
        await settle()
        for moment, act in self._events:
            if moment > self._time.steady():
                await settle()
                await self._reach(moment, settle)
            act()
        await settle()

    async def _reach(self, moment: float, settle: Settle) -> None:
        """Move on to a moment, with what is due on the way."""
        while self._time.steady() < moment:
            upcoming = self._time.upcoming(moment)
            if self._speed is not None:
                await asyncio.sleep((upcoming - self._time.steady()) / 1000.0 / self._speed)
            self._time.reach(upcoming)
            if upcoming < moment:
                await settle()


def recorded_feed(path: Path, settings: FeedSettings | None = None, *, speed: float | None = None) -> Feed:
    """Return a feed that plays a recording: the same candles come out of the same code, in the same order of each series.

    What REST answered is there at once when it is asked for again, so that times of arrival may be earlier.

    Parameters
    ----------
    path
        What a :class:`Recorder` wrote.
    settings
        Waits; other ones than those of the recording ask questions that it has no answers to.
    speed
        How many times faster than it was recorded; None for as fast as it is taken.

    Raises
    ------
    InvalidSettingError
        For a file that is no recording.
    """
    try:
        lines = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
        time = PlayedTime(lines[0]["at"])
        wires = {line["wire"]: _Played(line, time) for line in lines if "exchange" in line}
        follows = [
            Follow(Series(line["exchange"], symbol, timeframe), since, resumes)
            for line in lines
            if "exchange" in line
            for symbol, timeframe, since, resumes in line["follows"]
        ]
        for line in lines:
            wire = wires[line["wire"]]
            if "rest" in line:
                wire.answers[Series(wire.exchange, *line["rest"])].append(line)
            elif "clock" in line and not wire.clock:
                wire.act(line)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InvalidSettingError(f"{path} is no recording of a feed: {type(error).__name__}: {error}") from None
    events = ((line["at"], lambda line=line: wires[line["wire"]].act(line)) for line in lines)
    return Feed(list(wires.values()), follows, settings, time=time, player=_Player(time, events, speed))


def candle_feed(
    candles: Mapping[Series, Candles],
    settings: FeedSettings | None = None,
    *,
    start: int | None = None,
    speed: float | None = None,
) -> Feed:
    """Return a feed of candles that are there already, each as it closed.

    Parameters
    ----------
    candles
        By series.
    settings
        Waits.
    start
        The time at which it begins, UTC ms: what has closed by then comes first, as by REST. None for the first close.
    speed
        How many times faster than they closed; None for as fast as they are taken.

    Raises
    ------
    InvalidSettingError
        Where there are none.
    """
    firsts = {series: int(table.time[0]) for series, table in candles.items() if len(table)}
    if not firsts:
        raise InvalidSettingError("a feed of candles needs candles, there were none")
    begin = min(firsts.values()) if start is None else start
    time = PlayedTime(begin)
    wire = _Filed({series: candles[series] for series in firsts}, time)
    follows = [Follow(series, first) for series, first in firsts.items()]
    return Feed([wire], follows, settings, time=time, player=_Player(time, wire.closes(begin), speed))
