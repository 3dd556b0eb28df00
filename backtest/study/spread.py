"""Spread: the rows of a sweep over its lots, run in this process or by the tasks of one crew.

A lot is one account: a market, or several that share it. A sweep of one lot and one of two thousand are the same work: each
lot is loaded when its turn comes, cut into tasks, and handed over as soon as all of its rows are there.
"""

from __future__ import annotations

import json
import tempfile
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import BacktestError, InvalidSettingError, StorageError
from backtest.model.progress import progress
from backtest.report import text
from backtest.report.daily import DAY
from backtest.runner.trials import span_of
from backtest.study.crew import crew_of
from backtest.study.grid import order_of
from backtest.study.measured import Measured
from backtest.study.shipping import Shipped
from backtest.study.task import Job, Parts, Task, plain_rows
from backtest.study.worker import failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from backtest.model.progress import Progress
    from backtest.strategy import Strategy
    from backtest.study.crew import Crew
    from backtest.study.grid import Grid
    from backtest.study.measured import Account
    from backtest.study.task import Origin

__all__ = ["Lot", "Ran", "folder_of", "spread"]

_Rows = tuple[int, int]
_REFUSALS = 5
"""Lots in a row at which a disk may refuse: then it is gone, and would be waited for at each of thousands."""


@dataclass(frozen=True, slots=True)
class Lot:
    """One account that every row of a sweep is run on.

    Attributes
    ----------
    name
        Of its market.
    load
        Loads its candles and returns the account, and by symbol where other processes find its candles. Called when its
        turn comes; what it returns is let go of once the tasks are made.
    """

    name: str
    load: Callable[[], tuple[Account, Mapping[str, Origin]]]


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a lot.

    Attributes
    ----------
    name
        Of the lot.
    measured
        Its rows that have a strategy, in the order of the grid; None where it did not load.
    first_day
        Number of its first UTC day, counted from 1970.
    span
        The data that its trials share.
    error
        Why it did not load.
    """

    name: str
    measured: Measured | None
    first_day: int = 0
    span: str = ""
    error: BacktestError | None = None


def spread(
    lots: Sequence[Lot],
    grid: Grid,
    take: Callable[[Ran], object],
    *,
    workers: int | str | Crew,
    place: str | None,
    timeout: float,
) -> None:
    """Run the rows of a grid over lots, and hand over what came of each, in the order of the lots.

    A row that is given twice is run once and stands in each of its places: equal tasks would write one part.

    Parameters
    ----------
    lots
        The accounts.
    grid
        The rows, those without a strategy left out.
    take
        Called with what came of each lot, which is not kept here.
    workers
        As :func:`backtest.run_many` takes it; 1 without a place runs all in this process.
    place
        Folder or URL of the parts.
    timeout
        Seconds that a task may take.

    Raises
    ------
    InvalidSettingError
        For a strategy that cannot be sent to another process, or a crew that cannot be had.
    StorageError
        Where the cluster or the disk is gone, or parts are not to be seen here.
    """
    made, rows = grid.made, [grid.rows[k] for k in grid.places]
    if workers == 1 and place is None:
        gone = _Refusals()
        with _bar(len(lots), len(made)) as bar:
            for lot in lots:
                ran = _here(lot, made, rows, bar)
                gone.count(ran.error)
                take(ran)
        return
    given = [json.dumps(row) for row in plain_rows(made)]
    with (
        crew_of(workers, timeout) as crew,
        folder_of(place, far=crew.far) as folder,
        _bar(len(lots), len(set(given))) as bar,
    ):
        _Sweep(lots, type(made[0]), rows, given, take, Parts(folder), bar).run(crew, timeout)


def _bar(lots: int, rows: int) -> Progress:
    """Return how far a sweep is, in rows."""
    return progress("rows" if lots == 1 else f"{lots:,} markets x {text.plural(rows, 'row')}", lots * rows)


class _Refusals:
    """Counts lots in a row at which the disk refused.

    A file that cannot be read is its market's alone, a store that does not answer is not.
    """

    def __init__(self) -> None:
        self._row = 0

    def count(self, error: BacktestError | None) -> None:
        """Count what came of a lot.

        Raises
        ------
        StorageError
            The error itself, where it was one too many.
        """
        self._row = self._row + 1 if isinstance(error, StorageError) else 0
        if error is not None and self._row >= _REFUSALS:
            raise error


def _here(lot: Lot, made: Sequence[Strategy], rows: Sequence[Mapping[str, Any]], bar: Progress) -> Ran:
    """Run a lot in this process."""
    try:
        account, _ = lot.load()
    except BacktestError as error:
        bar.advance(len(made))
        return Ran(lot.name, None, error=error)
    order = _order(account, rows)
    ran = Measured.of(account, [made[k] for k in order], bar.advance)
    at = np.argsort(order)
    return Ran(lot.name, ran.rows(at.tolist()), *_extent(account))


def _order(account: Account, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the order in which the rows of a lot are run."""
    longest = max(len(history.candles) for history in account.histories)
    return order_of(rows, max(1, account.kept // (8 * longest) - 4))


def _extent(account: Account) -> tuple[int, str]:
    """Return number of the first day, and the data that trials share."""
    candles = [history.candles for history in account.histories]
    return min((int(one.close_time[0]) - 1) // DAY for one in candles), span_of(candles)


class _Work:
    """The rows of one lot on their way: those that are there, and those that are not yet.

    Parameters
    ----------
    name
        Of the lot.
    texts
        Its rows as JSON, in the order in which they are run.
    first_day, span
        As of what will have run.
    """

    def __init__(self, name: str, texts: Sequence[str], first_day: int, span: str) -> None:
        self.name, self.error = name, None
        self.texts = texts
        self.rows: list[dict[str, Any]] = [json.loads(one) for one in texts]
        self.found: dict[_Rows, Measured] = {}
        self.lost: dict[int, str] = {}
        self.open: set[_Rows] = set()
        self.job = self.identity = ""
        self._extent = first_day, span

    error: BacktestError | None

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is awaited."""
        return self.error is not None or not self.open

    def ran(self, given: Sequence[str]) -> Ran:
        """Return what came of it, in the order of the grid."""
        if self.error is not None:
            return Ran(self.name, None, error=self.error)
        places = {one: k for k, one in enumerate(self.texts)}
        parts = ((range(first, last), one) for (first, last), one in self.found.items())
        whole = Measured.placed(parts, len(self.rows), self.lost)
        return Ran(self.name, whole.rows([places[one] for one in given]), *self._extent)


class _Sweep:
    """Tasks of lots, given to a crew as it takes them."""

    def __init__(
        self,
        lots: Sequence[Lot],
        kind: type[Strategy],
        rows: Sequence[Mapping[str, Any]],
        given: Sequence[str],
        take: Callable[[Ran], object],
        parts: Parts,
        bar: Progress,
    ) -> None:
        self._lots, self._rows, self._given, self._take, self._bar = lots, rows, given, take, bar
        self._shipped, self._parts = Shipped.of(kind), parts
        self._there = parts.names()
        self._works: deque[_Work] = deque()
        self._asked: dict[str, list[tuple[_Work, _Rows]]] = {}
        self._again: list[tuple[_Work, _Rows]] = []
        self._refusals = _Refusals()

    def run(self, crew: Crew, timeout: float) -> None:
        """Do it all; a task with which processes died is cut in halves until one row is left."""
        tasks = self._first()
        while True:
            for task, answer in crew.finish(tasks):
                for work, span in self._asked.pop(task.part):
                    self._done(work, span, task, answer, timeout)
                self._hand_over()
            self._hand_over()
            if not self._again:
                return
            again, self._again = self._again, []
            tasks = (task for work, span in again for task in self._wanted(work, [span]))

    def _first(self) -> Iterator[Task]:
        """Yield the tasks of each lot in its turn."""
        for lot in self._lots:
            try:
                account, origins = lot.load()
            except BacktestError as error:
                self._works.append(_Work(lot.name, (), 0, ""))
                self._fail(self._works[-1], error, len(set(self._given)))
                self._hand_over()
                continue
            texts = list(dict.fromkeys(self._given[k] for k in _order(account, self._rows)))
            work = _Work(lot.name, texts, *_extent(account))
            job = Job.of(self._shipped, account, self._parts, origins)
            work.job, work.identity = self._parts.put_job(job), job.identity
            each = _rows_a_task(account, len(texts), len(self._lots))
            del account, origins
            spans = [(first, min(first + each, len(texts))) for first in range(0, len(texts), each)]
            work.open.update(spans)
            self._works.append(work)
            yield from self._wanted(work, spans)
            self._hand_over()

    def _wanted(self, work: _Work, spans: Iterable[_Rows]) -> Iterator[Task]:
        """Yield the tasks of some rows whose part is not there."""
        for span in spans:
            if work.error is not None:
                return
            task = Task.of(self._parts, work.job, work.identity, work.rows[slice(*span)])
            if task.part in self._asked:  # the same market under another name
                self._asked[task.part].append((work, span))
                continue
            found = self._parts.read(task.part) if task.part in self._there else None
            if found is not None:
                self._found(work, span, found)
                continue
            self._asked[task.part] = [(work, span)]
            yield task

    def _done(self, work: _Work, span: _Rows, task: Task, answer: str | None, timeout: float) -> None:
        """Take what a task of a lot came to."""
        if work.error is not None:
            return
        if answer is None and span[1] - span[0] > 1:
            middle = (span[0] + span[1]) // 2
            halves = (span[0], middle), (middle, span[1])
            work.open.remove(span)
            work.open.update(halves)
            self._again += [(work, half) for half in halves]
        elif answer is None:
            work.open.remove(span)
            work.lost[span[0]] = (
                f"two processes died while they ran it: killed, out of memory, or longer than {timeout:g} s"
            )
            self._bar.advance()
        elif answer:
            left = sum(last - first for first, last in work.open)
            self._fail(work, failure(answer), left)
        else:
            self._there.add(task.part)
            self._found(work, span, self._required(task))

    def _found(self, work: _Work, span: _Rows, measured: Measured) -> None:
        work.open.remove(span)
        work.found[span] = measured
        self._refusals.count(None)
        self._bar.advance(span[1] - span[0])

    def _fail(self, work: _Work, error: BacktestError, left: int) -> None:
        work.error = error
        self._refusals.count(error)
        self._bar.advance(left)

    def _hand_over(self) -> None:
        """Hand over the lots that are over, in their order."""
        while self._works and self._works[0].is_over:
            self._take(self._works.popleft().ran(self._given))

    def _required(self, task: Task) -> Measured:
        found = self._parts.read(task.part)
        if found is None:
            raise StorageError(
                f"a worker wrote {task.part} where this machine does not see it: {self._parts} must be a folder that all "
                "machines share"
            )
        return found


def _rows_a_task(account: Account, rows: int, lots: int) -> int:
    """Return how many rows make a task: about a second of them, or an eighth of the sweep where that is less.

    A matter of the sweep alone, not of who runs it, so that it is cut alike again.
    """
    candles = sum(len(history.candles) for history in account.histories)
    second = 100_000_000 if account.lane == "table" else 2_000_000
    return max(1, min(second // max(1, candles), -(-rows * lots // 8)))


@contextmanager
def folder_of(given: str | None, *, far: bool) -> Iterator[str]:
    """Yield the folder of parts; without one, a folder that is gone afterwards.

    Parameters
    ----------
    given
        Folder or URL.
    far
        Whether other machines must see it.

    Raises
    ------
    InvalidSettingError
        Where they must, and none was given.
    """
    if given is not None:
        yield given if "://" in given else str(Path(given).absolute())
        return
    if far:
        raise InvalidSettingError(
            "a cluster of several machines needs --parts (parts=...): a folder that all of them share, or a URL such as "
            "s3://bucket/sweep"
        )
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        yield folder
