"""Crew: the processes that do the tasks of a sweep, on this machine or on a Dask cluster.

Both take the same tasks and lose none: a worker that dies is replaced and its task given out once more; a task with which
two workers died is told to whoever sent it, as one that may have been the reason.
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
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from backtest.errors import InvalidSettingError, StorageError
from backtest.study.worker import about, line_of, work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from backtest.study.task import Task

__all__ = ["TIMEOUT", "Crew", "crew_of", "staff"]

TIMEOUT = 600.0
"""Seconds that a task may take; the first one of a worker loads the market and perhaps compiles the engine."""

_TRIES = 2
_AHEAD = 2
"""Tasks that are given out for each worker: the one that it does, and the next."""
_LEAST = 16
"""Tasks that are given to a cluster at least: workers may come to it later."""
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

        The answer is empty where the part is written, else the sentence why it cannot be; None where two workers died.
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
        """Return the answer of a worker, None where two died."""
        for _ in range(_TRIES):
            worker = self._worker()
            answer = _asked(worker, line_of(task, self._timeout))
            if answer is not None:
                self._idle.put(worker)
                return answer
            worker.wait()
            _let_go(worker)
        return None

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


class _Cluster:
    """The workers of a Dask scheduler."""

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
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            raise StorageError(f"the scheduler {self._address} has no worker: start some with {_COMMANDS}")
        for name, one in workers.items():
            if one["nthreads"] != 1 or not one.get("nanny"):
                raise InvalidSettingError(
                    f"worker {name} has {one['nthreads']} threads{'' if one.get('nanny') else ' and no nanny'}; a task that "
                    f"kills its process must end no other and be given out again, so start {_COMMANDS}"
                )
        try:
            self._client.get_versions(check=True)
            allowed = self._client.run_on_scheduler(_allowed_failures)
            codes = self._client.run(about)
        except (ValueError, ImportError, AttributeError) as error:
            raise InvalidSettingError(
                f"the machines of {self._address} differ ({_line(error)}): install the same versions on scheduler and workers"
            ) from None
        if allowed > 1:
            raise InvalidSettingError(
                f"the scheduler {self._address} gives a task that kills workers to {allowed + 1} of them; start it with "
                "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=1"
            )
        for name, code in codes.items():
            if code != about():
                raise InvalidSettingError(
                    f"worker {name} has another backtest, numpy or TA-Lib than this machine (code {code}, not {about()}): "
                    "install the same versions"
                )

    def finish(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, str | None]]:
        """Yield each task once it is over."""
        from distributed import as_completed as each_completed
        from distributed.client import ClosedClientError

        run, left = uuid4().hex[:8], iter(tasks)
        ahead = _AHEAD * len(self._client.scheduler_info(n_workers=-1)["workers"])
        each = each_completed([], loop=self._client.loop)
        waiting: dict[Any, Task] = {}
        while True:
            fresh = list(islice(left, max(0, max(_LEAST, ahead) - len(waiting))))
            try:
                for task in fresh:
                    told, key = json.dumps(asdict(task)), f"{task.part}-{run}"
                    future = self._client.submit(work, told, self._timeout, key=key, pure=False)
                    waiting[future] = task
                    each.add(future)
                if not waiting:
                    return
                future = next(each)
                over = waiting.pop(future), self._answer(future)
                future.release()
            except (OSError, CancelledError, ClosedClientError):  # the connection broke while an answer was on its way
                raise self._gone() from None
            yield over

    def _answer(self, future: Any) -> str | None:
        from distributed.scheduler import KilledWorker

        if future.status == "finished":
            return str(future.result())
        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                return None
            raise StorageError(f"the cluster {self._address} failed: {_line(error)}")
        raise self._gone()

    def _gone(self) -> StorageError:
        return StorageError(
            f"the scheduler {self._address} is gone; the parts that were written are kept: start it and the sweep again"
        )

    def close(self) -> None:
        """Let go of the cluster, which goes on."""
        with contextlib.suppress(Exception):  # it may be gone
            self._client.close(timeout=2)


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
