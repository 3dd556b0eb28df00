"""Crew: the processes that do the tasks of a sweep, on this machine or on a Dask cluster.

Both take the same tasks and lose none: a worker that dies is replaced and its task given out once more; a task with which
two workers died is told to whoever sent it, as one that may have been the reason. So is a task given out once more that a
worker says it cannot do: of a cluster's machines one may lack what the others have.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from backtest.errors import InvalidSettingError, StorageError
from backtest.report import text
from backtest.study.worker import about, failure, line_of, work_told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from backtest.study.task import Task

_LOG = logging.getLogger(__name__)

__all__ = ["TIMEOUT", "Crew", "crew_of", "staff"]

TIMEOUT = 600.0
"""Seconds that a task may take; the first one of a worker loads the market and perhaps compiles the engine."""

_TRIES = 2
_AHEAD = 2
"""Tasks that are given out for each worker: the one that it does, and the next."""
_LEAST = 16
"""Tasks that are given to a cluster at least: workers may come to it later."""
_LOOK = 5.0
"""Seconds between two looks at who is on the cluster."""
_STRIKES = 3
"""Tasks in a row that a machine could not do and another one could, until it is given no more."""
_COMMANDS = "`DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=1 dask scheduler ...` and `dask worker ADDRESS --nthreads 1 --nanny ...`"


class Crew(Protocol):
    """Processes that do tasks.

    Attributes
    ----------
    far
        Whether they may be on other machines, which see no folder of this one.
    """

    far: bool

    def finish(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, str | None]]:
        """Yield each task once it is over, and what its worker answered.

        The answer is empty where the part is written, None where two workers died, else what
        :func:`backtest.study.worker.failure` makes an error of: two workers could not do it.
        Tasks are taken as there are workers for them, so that the next ones are made while these are done.

        Raises
        ------
        StorageError
            Where the cluster is gone.
        """

    def close(self) -> None:
        """Let go of the processes."""


@contextmanager
def crew_of(workers: int | str | Crew, timeout: float = TIMEOUT) -> Iterator[Crew]:
    """Yield a crew, closed at the end if it was made here.

    Parameters
    ----------
    workers
        How many processes on this machine, the address of a Dask scheduler, or a crew.
    timeout
        Seconds that a task may take.

    Raises
    ------
    InvalidSettingError
        For an address that is not to be trusted, and for a cluster on which one bad task would end others.
    """
    if not isinstance(workers, int | str):
        yield workers
        return
    if not timeout > 0.0:
        raise InvalidSettingError(f"timeout is a number of seconds above 0, was {timeout!r}")
    crew: Crew = _Local(workers, timeout) if isinstance(workers, int) else _Cluster(workers, timeout)
    try:
        yield crew
    finally:
        crew.close()


@contextmanager
def staff(workers: int | str | Crew, options: Mapping[str, Any]) -> Iterator[int | Crew]:
    """Yield what several sweeps one after another may be given as ``workers``, started once.

    Parameters
    ----------
    workers
        As :func:`crew_of` takes it.
    options
        Of the sweeps; their ``parts`` and ``timeout`` count.
    """
    if workers == 1 and options.get("parts") is None:
        yield 1
        return
    with crew_of(workers, options.get("timeout", TIMEOUT)) as crew:
        yield crew


class _Local:
    """Processes on this machine, one task at a time each."""

    far = False

    def __init__(self, jobs: int, timeout: float) -> None:
        self._jobs, self._timeout = jobs, timeout
        self._idle: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
        self._all: list[subprocess.Popen[str]] = []
        self._lock, self._closed = threading.Lock(), False

    def finish(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, str | None]]:
        """Yield each task once it is over."""
        pool, left = ThreadPoolExecutor(self._jobs), iter(tasks)
        waiting: dict[Future[str | None], Task] = {}
        try:
            while True:
                for task in islice(left, _AHEAD * self._jobs - len(waiting)):
                    waiting[pool.submit(self._do, task)] = task
                if not waiting:
                    return
                for one in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(one), one.result()
        except BaseException:
            self.close()  # threads that wait for a worker wait no longer
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _do(self, task: Task) -> str | None:
        """Return the answer of a worker, None where one died at the last try."""
        answer = None
        for _ in range(_TRIES):
            worker = self._worker()
            answer = _asked(worker, line_of(task, self._timeout))
            if answer is None:
                worker.wait()
                _let_go(worker)
                continue
            self._idle.put(worker)
            if not answer:
                break
        return answer

    def _worker(self) -> subprocess.Popen[str]:
        with contextlib.suppress(queue.Empty):
            return self._idle.get_nowait()
        with self._lock:
            if self._closed:
                raise StorageError("the sweep was ended")
            # a group of its own: Ctrl-C is this process's to answer
            worker = subprocess.Popen(
                [sys.executable, "-m", "backtest.study.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                process_group=0,
                env={
                    **os.environ,
                    "BACKTEST_PROGRESS": "off",
                    "PYTHONPATH": os.pathsep.join(one or str(Path.cwd()) for one in sys.path),
                },
            )
            self._all.append(worker)
        return worker

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._closed = True
            workers, self._all = self._all, []
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait()
            _let_go(worker)


def _asked(worker: subprocess.Popen[str], line: str) -> str | None:
    """Return a worker's answer; None where it is dead."""
    assert worker.stdin is not None  # noqa: S101 - it was made with pipes
    assert worker.stdout is not None  # noqa: S101
    try:
        worker.stdin.write(line)
        worker.stdin.flush()
        told = worker.stdout.readline()
    except (OSError, ValueError):
        return None
    if not told.endswith("\n"):
        return None
    answer: str = json.loads(told)
    return answer


def _let_go(worker: subprocess.Popen[str]) -> None:
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


@dataclass(frozen=True, slots=True)
class _Sent:
    """A task on a cluster, the hosts whose workers said that they cannot do it, and the workers it was kept to since."""

    task: Task
    refused: tuple[str, ...] = ()
    kept_to: tuple[str, ...] = ()


class _Cluster:
    """The workers of a Dask scheduler, which come and go."""

    def __init__(self, address: str, timeout: float) -> None:
        _refuse_unsafe(address)
        self.far = address.startswith("tls:")
        try:
            from distributed import Client, Security
        except ImportError:
            raise InvalidSettingError("a cluster needs distributed: pip install 'signal-backtest[cluster]'") from None
        self._address, self._timeout = address, timeout
        if self.far and Security().get_connection_args("client")["ssl_context"] is None:
            raise InvalidSettingError(
                "tls:// needs certificates: name them in DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
                "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
            )
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # a sentence of ours says what it traces
        self._workers: dict[str, str] = {}
        self._out: set[str] = set()
        self._strikes: dict[str, int] = {}
        self._why = ""
        self._looked, self._deserted = 0.0, False
        try:
            self._client = Client(address, timeout=5, set_as_default=False)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise StorageError(f"no scheduler answers at {address}: {_line(error)}") from None
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        """Refuse a cluster of other versions, and one on which a bad task ends more than itself."""
        found = self._found()
        if not found:
            raise StorageError(f"the scheduler {self._address} has no worker: start some with {_COMMANDS}")
        for fault in _unfit(found).values():
            raise InvalidSettingError(fault)
        try:
            self._client.get_versions(check=True)
            allowed = self._client.run_on_scheduler(_allowed_failures)
        except (ValueError, ImportError, AttributeError) as error:
            raise InvalidSettingError(
                f"the machines of {self._address} differ ({_line(error)}): install the same versions on scheduler and workers"
            ) from None
        if allowed > 1:
            raise InvalidSettingError(
                f"the scheduler {self._address} gives a task that kills workers to {allowed + 1} of them; start it with "
                "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=1"
            )
        for fault in self._foreign(found).values():
            raise InvalidSettingError(fault)
        self._workers = {name: str(one["host"]) for name, one in found.items()}
        self._looked = time.monotonic()

    def _found(self) -> dict[str, Any]:
        """Return what the scheduler knows of each worker, by address, without those that were left out."""
        found = self._client.scheduler_info(n_workers=-1)["workers"]
        return {name: one for name, one in found.items() if name not in self._out}

    def _foreign(self, names: Iterable[str]) -> dict[str, str]:
        """Return which workers have other code than this machine, and what to do; forget those that left meanwhile."""
        faults, asked = {}, list(names)
        codes = self._client.run(about, workers=asked, on_error="return") if asked else {}
        for name, code in codes.items():
            if isinstance(code, OSError):
                self._workers.pop(name, None)
            elif isinstance(code, BaseException):
                faults[name] = f"worker {name} cannot run backtest ({_line(code)}): install the same versions"
            elif code != about():
                faults[name] = (
                    f"worker {name} has another backtest, numpy or TA-Lib than this machine (code {code}, not {about()}): "
                    "install the same versions"
                )
        return faults

    def _look(self) -> bool:
        """See now and then who came and who left; a worker that came late must be as those were that were there."""
        if time.monotonic() - self._looked < _LOOK:
            return False
        found = self._found()
        came = {name: one for name, one in found.items() if name not in self._workers}
        self._workers = {name: str(one["host"]) for name, one in found.items()}
        if came:
            self._leave_out({**_unfit(came), **self._foreign(came)})
        self._looked = time.monotonic()
        if not self._workers and not self._deserted:
            _LOG.warning("the scheduler %s has no worker left: the sweep waits until one comes", self._address)
        self._deserted = not self._workers
        return True

    def _stranded(self, waiting: Mapping[Any, _Sent]) -> list[Any]:
        """Return the futures of tasks that were kept to workers which left since, each cancelled."""
        found = [one for one, sent in waiting.items() if sent.kept_to and self._workers.keys().isdisjoint(sent.kept_to)]
        for one in found:
            one.cancel()
        return found

    def _leave_out(self, faults: Mapping[str, str]) -> None:
        """Give some workers no more tasks, and say why."""
        if not faults:
            return
        for fault in faults.values():
            _LOG.warning("left out: %s", fault)
        self._out.update(faults)
        self._workers = {name: host for name, host in self._workers.items() if name not in self._out}
        with contextlib.suppress(OSError, ValueError):  # it may be gone
            self._client.retire_workers(workers=list(faults), close_workers=True)

    def finish(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, str | None]]:
        """Yield each task once it is over."""
        from distributed.client import ClosedClientError

        left, done = iter(tasks), queue.SimpleQueue[Any]()
        waiting: dict[Any, _Sent] = {}
        while True:
            room = max(_LEAST, _AHEAD * len(self._workers)) - len(waiting)
            fresh = [_Sent(task) for task in islice(left, max(0, room))]
            try:
                if self._look():
                    fresh += [waiting.pop(one) for one in self._stranded(waiting)]
                for sent in fresh:
                    self._give(sent, waiting, done)
                if not waiting:
                    return
                try:
                    future = done.get(timeout=_LOOK)
                except queue.Empty:
                    continue
                if future not in waiting:
                    continue
                sent = waiting.pop(future)
                answer = self._answer(future, sent)
                future.release()
                if isinstance(answer, _Sent):
                    self._give(answer, waiting, done)
                    continue
            except (OSError, CancelledError, ClosedClientError):  # the connection broke while an answer was on its way
                raise self._gone() from None
            yield sent.task, answer

    def _give(self, sent: _Sent, waiting: dict[Any, _Sent], done: queue.SimpleQueue[Any]) -> None:
        """Send a task, to another machine than those that could not do it if there is one."""
        others = tuple(name for name, host in self._workers.items() if sent.refused and host not in sent.refused)
        future = self._client.submit(
            work_told,
            json.dumps(asdict(sent.task)),
            self._timeout,
            key=f"{sent.task.part}-{uuid4().hex[:8]}",
            pure=False,
            workers=list(others) or None,  # without others allowed: an idle machine that lacks something would steal it
        )
        waiting[future] = _Sent(sent.task, sent.refused, others)
        future.add_done_callback(done.put)

    def _answer(self, future: Any, sent: _Sent) -> str | _Sent | None:
        """Return what came of a task, or the task where it is to be given out once more."""
        from distributed.scheduler import KilledWorker

        if future.status == "finished":
            name, answer = future.result()
            if not answer:
                self._blame(sent.refused, name)
                return ""
            host = self._workers.get(name, name)
            if self._leaves_foreign():
                return sent
            if len(sent.refused) + 1 < _TRIES:
                self._why = str(failure(answer))
                return _Sent(sent.task, (*sent.refused, host))
            return str(answer)
        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                return None
            if self._leaves_foreign():
                return sent
            raise StorageError(f"the cluster {self._address} failed: {_line(error)}")
        raise self._gone()

    def _leaves_foreign(self) -> bool:
        """Whether there were workers with other code, which are left out now."""
        faults = self._foreign(self._found())
        self._leave_out(faults)
        return bool(faults)

    def _blame(self, hosts: Sequence[str], name: str) -> None:
        """Count that machines could not do what a worker did; leave out one that fails again and again."""
        able = self._workers.get(name, name)
        self._strikes.pop(able, None)
        for host in set(hosts) - {able}:
            self._strikes[host] = self._strikes.get(host, 0) + 1
            if self._strikes[host] >= _STRIKES:
                theirs = [one for one, at in self._workers.items() if at == host]
                fault = f"{text.plural(_STRIKES, 'task')} in a row could be done elsewhere only: {self._why}"
                self._leave_out({one: f"worker {one}, {fault}" for one in theirs})

    def _gone(self) -> StorageError:
        return StorageError(
            f"the scheduler {self._address} is gone; the parts that were written are kept: start it and the sweep again"
        )

    def close(self) -> None:
        """Let go of the cluster, which goes on."""
        with contextlib.suppress(Exception):  # it may be gone
            self._client.close(timeout=2)


def _unfit(workers: Mapping[str, Any]) -> dict[str, str]:
    """Return which workers would end others' tasks with their own, and how to start them, by address."""
    return {
        name: f"worker {name} has {one['nthreads']} threads{'' if one.get('nanny') else ' and no nanny'}; a task that "
        f"kills its process must end no other and be given out again, so start {_COMMANDS}"
        for name, one in workers.items()
        if one["nthreads"] != 1 or not one.get("nanny")
    }


def _allowed_failures(dask_scheduler: Any = None) -> int:
    return int(dask_scheduler.allowed_failures)


def _refuse_unsafe(address: str) -> None:
    """Refuse an address at which somebody else could run code on the workers, or hear what is sent."""
    parts = urlsplit(address)
    if parts.scheme not in {"tls", "tcp"} or not parts.hostname:
        raise InvalidSettingError(f"a cluster is written tls://HOST:8786, was {address!r}")
    if parts.scheme == "tls":
        return
    loopback = parts.hostname == "localhost"
    with contextlib.suppress(ValueError):
        loopback = loopback or ipaddress.ip_address(parts.hostname).is_loopback
    if not loopback:
        raise InvalidSettingError(
            f"{address} is neither encrypted nor does it ask who is there: whoever reaches it runs code on every worker; "
            "use tls://HOST:8786 with certificates, or an SSH tunnel to tcp://127.0.0.1:8786"
        )


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
