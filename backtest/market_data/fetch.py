"""Fetch: what a store lacks, from an exchange; what is complete is kept, whatever ends the run."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from backtest.errors import DataUnavailableError, StorageError
from backtest.market_data.columns import empty
from backtest.market_data.exchange import connect
from backtest.market_data.job import Fetched, Job, Wish, jobs
from backtest.market_data.market_rules import read_rules, write_market
from backtest.market_data.pages import Page, pages
from backtest.market_data.ranges import without

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from concurrent.futures import Executor, Future

    from backtest.market_data.exchange import Access, Exchange
    from backtest.market_data.manifest import Refused
    from backtest.market_data.ranges import Range
    from backtest.market_data.series import Series
    from backtest.market_data.store import Store

__all__ = ["Fetched", "Progress", "Wish", "fetch"]

T = TypeVar("T")
_PARALLEL = 16
_DAY = 86_400_000
_FLUSH_SECONDS = 10.0
_WRITING_SHARE = 0.05
"""Part of the time that writing one series may take."""


class Progress(Protocol):
    """Who watches a download."""

    def begin(self, series: Series, length: int) -> None:
        """Take note that ``length`` ms of a series will be asked for."""

    def advance(self, series: Series, length: int, rows: int) -> None:
        """Take note of another answer: the ms that it covers, and its rows."""


def fetch(
    wish: Wish,
    *,
    exchange: str,
    store: Store,
    progress: Progress | None = None,
    access: Access | None = None,
    batch: int = 1_000_000,
) -> list[Fetched]:
    """Fetch what the store lacks of a wish.

    All series share the exchange's rate limit. Rows are written while they come; a Ctrl-C, a crash or a failure keeps
    what is complete, and the next run goes on from there. One series that fails does not stop the others.

    Parameters
    ----------
    batch
        Rows of a series that are collected before they are written. They are written after ten seconds too, or later
        where writing takes long.

    Returns
    -------
    list of Fetched
        One for each series, in the order of the wish.

    Raises
    ------
    InvalidSettingError
        For an unknown exchange, symbol, timeframe or kind, a range in the future, or one that the exchange no longer
        serves.
    DataUnavailableError
        Where the exchange does not answer, or has nothing in the range.
    StorageError
        Where the disk refuses.
    """
    return _run(_fetch(wish, exchange, store, progress, access, batch))


async def _fetch(
    wish: Wish, name: str, store: Store, progress: Progress | None, access: Access | None, batch: int
) -> list[Fetched]:
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with ThreadPoolExecutor(1, "store") as thread:  # one: the series share a disk
        async with connect(name, wish.symbols, access) as exchange, _undisturbed():
            planned = jobs(wish, exchange, store)
            exchange.one_first()
            if progress is not None:
                for job in planned:
                    progress.begin(job.outcome.series, sum(end - start for start, end in job.ranges))
            limit = asyncio.Semaphore(_PARALLEL)
            symbols = dict.fromkeys(job.outcome.series.symbol for job in planned)
            buffers = [_Buffer(store, job, exchange.name, moment, batch, thread) for job in planned]
            work = [_keep_rules(exchange, symbol, store, moment, thread) for symbol in symbols]
            work += [_fetch_one(buffer, limit, progress) for buffer in buffers]
            await _all(work)
    outcomes = [job.outcome for job in planned]
    if all(store.is_empty(o.series, o.start, o.end) for o in outcomes):
        first = outcomes[0]
        raise DataUnavailableError(
            f"{exchange.name} has no rows of {first.series} from {_day(first.start)} to {_day(first.end)}: "
            "it may have listed the symbol later"
        )
    return outcomes


@asynccontextmanager
async def _undisturbed() -> AsyncIterator[None]:
    """Keep Python's collector from ccxt's million objects, which lists that come by thousands have it walk all the time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _keep_rules(exchange: Exchange, symbol: str, store: Store, moment: str, thread: Executor) -> None:
    """Keep the rules of a market beside its candles."""
    market = await read_rules(exchange, symbol)
    await asyncio.wrap_future(thread.submit(write_market, store, exchange.name, market, moment))


class _Buffer:
    """Pages of a job on their way to the store: a thread writes them while the next ones come."""

    def __init__(self, store: Store, job: Job, source: str, moment: str, batch: int, thread: Executor) -> None:
        self.job = job
        self._store, self._source, self._moment = store, source, moment
        self._batch, self._thread = batch, thread
        self._pages: list[Page] = []
        self._rows = 0
        self._due = time.monotonic() + _FLUSH_SECONDS
        self._writes: list[Future[None]] = []
        self._empties: list[Range] = []

    def put(self, page: Page) -> None:
        """Take a page; where enough have come and the last ones are written, begin to write.

        Raises
        ------
        StorageError
            Where the disk refused the last ones.
        """
        self._pages.append(page)
        self._rows += len(page.rows)
        enough = self._rows >= self._batch or time.monotonic() > self._due
        if enough and all(write.done() for write in self._writes):
            for write in self._writes:
                write.result()
            self._writes.clear()
            self._begin()

    async def drain(self) -> None:
        """Write the rest, while the event loop goes on."""
        self._begin()
        self._writes.append(self._thread.submit(self._settle))
        await asyncio.shield(asyncio.gather(*map(asyncio.wrap_future, self._writes)))

    def close(self) -> None:
        """Write what is left and wait for it, on the way out of a run that was stopped."""
        self._begin()
        for write in self._writes:
            write.result()

    def _begin(self) -> None:
        source = self.job.source
        taken, refused = self._pages, source.refused
        self._pages, source.refused, self._rows, self._due = [], [], 0, math.inf
        if taken:
            self._writes.append(self._thread.submit(self._write, taken, refused))

    def _write(self, taken: list[Page], refused: list[Refused]) -> None:
        began = time.monotonic()
        outcome = self.job.outcome
        columns = self.job.source.columns(
            np.concatenate([page.rows for page in sorted(taken, key=lambda page: page.answered)])
        )
        asked = [_proved(page, self.job.settled) for page in taken]
        if not self.job.tried:  # what is empty counts once it is known where the rows begin
            rest = [(int(page.rows[0, 0]), page.answered[1]) for page in taken if len(page.rows)]
            self._empties += [part for whole in asked for part in without(whole, rest)]
            asked = rest
        try:
            added = self._store.add(
                outcome.series, columns, asked=asked, source=self._source, at=self._moment, refused=refused
            )
        finally:  # a file is written anew each time: the larger it is, the more rarely
            now = time.monotonic()
            self._due = now + max(_FLUSH_SECONDS, (now - began) / _WRITING_SHARE)
        outcome.rows += added.rows
        outcome.revised += added.revised
        outcome.refused += len({candle.time for candle in refused})
        length = outcome.series.length
        if 0 < length < _DAY:
            outcome.off_grid += int((columns["time"] % length != 0).sum())

    def _settle(self) -> None:
        """Say where the served rows begin, and count what was empty behind their beginning as asked for."""
        series, outcome = self.job.outcome.series, self.job.outcome
        first = min((year.first for year in self._store.manifest(series).years.values()), default=None)
        if first is None:
            return
        if not self.job.tried:
            parts = [(max(first, a), min(b, self.job.settled)) for a, b in self._empties if b > first]
            if parts:
                nothing = empty(self.job.source.names)
                self._store.add(series, nothing, asked=parts, source=self._source, at=self._moment)
        lacking = self._store.missing(series, outcome.start, min(first, outcome.end))
        if lacking and outcome.start < first:
            outcome.notes.append(
                f"the first candle served is that of {_minute(first)}; what lies before it counts as never fetched"
            )


async def _fetch_one(buffer: _Buffer, limit: asyncio.Semaphore, progress: Progress | None) -> None:
    """Fetch the pieces of a job side by side, so that the rate limit, not the way to the server, sets the pace."""
    job = buffer.job

    async def piece(start: int, end: int) -> None:
        found = pages(job.source, start, end)
        while True:
            async with limit:  # page by page, so that every series gets its turn
                page = await anext(found, None)
            if page is None:
                return
            buffer.put(page)
            if progress is not None:
                progress.advance(job.outcome.series, page.answered[1] - page.answered[0], len(page.rows))

    try:
        await _all([piece(start, end) for start, end in job.pieces(_PARALLEL)])
        await buffer.drain()
    except StorageError as error:
        outcome = job.outcome
        raise StorageError(
            f"{str(error).removesuffix('; nothing was changed')}; {outcome.rows:,} rows of {outcome.series} were written, "
            "those that came after them were not: run the same again when the disk takes them"
        ) from error
    except BaseException:  # also when cancelled: what is complete is kept
        buffer.close()
        raise


async def _all(work: list[Coroutine[Any, Any, None]]) -> None:
    """Let each come to its end, then raise the first failure."""
    for failure in await asyncio.gather(*work, return_exceptions=True):
        if failure is not None:
            raise failure


def _proved(page: Page, settled: int) -> Range:
    """Return the stretch that a page settles: the absence of rows proves nothing about the last few minutes."""
    start, end = page.answered
    return (start, end) if len(page.rows) else (start, max(start, min(end, settled)))


def _minute(moment: int) -> str:
    return str(np.datetime64(moment, "ms").astype("M8[m]")) + "Z"


def _day(moment: int) -> str:
    return str(np.datetime64(moment, "ms").astype("M8[D]"))


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, also inside a notebook, whose own loop is running; a Ctrl-C cancels it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[T] | None]] = []

    async def watched() -> T:
        started.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await work

    with ThreadPoolExecutor(1, "fetch") as pool:
        done = pool.submit(asyncio.run, watched())
        try:
            return done.result()
        except KeyboardInterrupt:
            for loop, task in started:
                loop.call_soon_threadsafe(task.cancel if task is not None else loop.stop)
            raise
