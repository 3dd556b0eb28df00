"""Fetch: what a store lacks, from an exchange; what is complete is kept, whatever ends the run."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from backtest.errors import DataUnavailableError
from backtest.market_data.exchange import connect
from backtest.market_data.job import Job, Outcome, Wish, jobs
from backtest.market_data.pages import Page, pages
from backtest.market_data.rules import read_rules, write_market

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from backtest.market_data.exchange import Access
    from backtest.market_data.manifest import Refused
    from backtest.market_data.ranges import Range
    from backtest.market_data.series import Series
    from backtest.market_data.store import Store

__all__ = ["Outcome", "Progress", "Wish", "fetch"]

T = TypeVar("T")
_PARALLEL = 8
_FLUSH_SECONDS = 10.0


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
    batch: int = 250_000,
) -> list[Outcome]:
    """Fetch what the store lacks of a wish.

    All series share the exchange's rate limit. Rows are written while they come; a Ctrl-C, a crash or a failure keeps
    what is complete, and the next run goes on from there. One series that fails does not stop the others.

    Parameters
    ----------
    batch
        Rows of a series that are collected before they are written; ten seconds are waited at most.

    Returns
    -------
    list of Outcome
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
) -> list[Outcome]:
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    async with connect(name, wish.symbols, access) as exchange:
        planned = jobs(wish, exchange, store)
        for symbol in dict.fromkeys(job.outcome.series.symbol for job in planned):
            if not exchange.market(symbol).get("inverse"):
                write_market(store, exchange.name, await read_rules(exchange, symbol), moment)
        if progress is not None:
            for job in planned:
                progress.begin(job.outcome.series, sum(end - start for start, end in job.ranges))
        limit = asyncio.Semaphore(_PARALLEL)
        work = [_fetch_one(job, limit, _Buffer(store, job, exchange.name, moment, batch), progress) for job in planned]
        for failure in await asyncio.gather(*work, return_exceptions=True):
            if failure is not None:
                raise failure
    outcomes = [job.outcome for job in planned]
    if all(store.is_empty(o.series, o.start, o.end) for o in outcomes):
        first = outcomes[0]
        raise DataUnavailableError(
            f"{exchange.name} has no rows of {first.series} from {_day(first.start)} to {_day(first.end)}: "
            "it may have listed the symbol later"
        )
    return outcomes


class _Buffer:
    """Pages on their way to the store: taken out on the event loop, written by a thread or at the end of a run."""

    def __init__(self, store: Store, job: Job, source: str, moment: str, batch: int) -> None:
        self._store, self._job, self._source, self._moment = store, job, source, moment
        self._batch = batch
        self._writing = threading.Lock()
        self._pages: list[Page] = []
        self._since = time.monotonic()

    @property
    def full(self) -> bool:
        rows = sum(len(page.rows) for page in self._pages)
        return rows >= self._batch or (bool(self._pages) and time.monotonic() - self._since > _FLUSH_SECONDS)

    def put(self, page: Page) -> None:
        self._pages.append(page)

    def take(self) -> tuple[list[Page], list[Refused]]:
        source = self._job.source
        taken = self._pages, source.refused
        self._pages, source.refused, self._since = [], [], time.monotonic()
        return taken

    def write(self, taken: list[Page], refused: list[Refused]) -> None:
        if not taken:
            return
        outcome = self._job.outcome
        columns = self._job.source.columns(
            np.concatenate([page.rows for page in sorted(taken, key=lambda page: page.answered)])
        )
        asked = [_proved(page, self._job.settled) for page in taken]
        with self._writing:
            added = self._store.add(
                outcome.series, columns, asked=asked, source=self._source, at=self._moment, refused=refused
            )
            outcome.rows += added.rows
            outcome.revised += added.revised
            outcome.refused += len({candle.time for candle in refused})


async def _fetch_one(job: Job, limit: asyncio.Semaphore, buffer: _Buffer, progress: Progress | None) -> None:
    """Fetch the pieces of a job side by side, so that the rate limit, not the way to the server, sets the pace."""

    async def piece(start: int, end: int) -> None:
        async with limit:
            async for page in pages(job.source, start, end):
                buffer.put(page)
                if progress is not None:
                    progress.advance(job.outcome.series, page.answered[1] - page.answered[0], len(page.rows))
                if buffer.full:
                    await asyncio.to_thread(buffer.write, *buffer.take())

    try:
        work = [piece(start, end) for start, end in job.pieces(_PARALLEL)]
        for failure in await asyncio.gather(*work, return_exceptions=True):
            if failure is not None:
                raise failure
    finally:  # also when cancelled: what is complete is kept
        buffer.write(*buffer.take())


def _proved(page: Page, settled: int) -> Range:
    """Return the stretch that a page settles: the absence of rows proves nothing about the last few minutes."""
    start, end = page.answered
    return (start, end) if len(page.rows) else (start, max(start, min(end, settled)))


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
