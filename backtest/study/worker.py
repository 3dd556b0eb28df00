"""Worker: one task after another in a process of its own (``python -m backtest.study.worker``, or a worker of Dask).

On standard input a task a line, as JSON; on standard output its answer: empty for done, else the name of an error, a space,
and why the task cannot be done here. What strategies print goes to standard error.
"""

from __future__ import annotations

import faulthandler
import json
import os
import socket
import sys
import threading
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING

from backtest.errors import BacktestError, DataUnavailableError, InvalidSettingError, StorageError
from backtest.study.measured import Measured
from backtest.study.task import Parts, Task, code_key

if TYPE_CHECKING:
    from backtest.strategy import Strategy
    from backtest.study.measured import Account

__all__ = ["about", "failure", "line_of", "work", "work_told"]

_MARKETS = 4  # that are kept in memory
_ALONE = threading.Lock()  # a worker of Dask with several threads has one timeout and one memory of indicators
_loaded: OrderedDict[str, tuple[type[Strategy], Account]] = OrderedDict()


def work(task: str, timeout: float) -> str:
    """Do a task and write its part; return "", or what :func:`failure` reads where it cannot be done.

    A task that takes longer than ``timeout`` seconds ends this process, from outside of the interpreter, which may be
    inside compiled code for good: whoever sent it notices and goes on with others.

    Parameters
    ----------
    task
        A :class:`Task` as JSON.
    timeout
        Seconds.
    """
    with _ALONE, Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        faulthandler.dump_traceback_later(timeout, exit=True, file=nowhere)
        try:
            _do(Task(**json.loads(task)))
        except Exception as error:  # noqa: BLE001 - what no row is to blame for ends the sweep with this sentence
            if not isinstance(error, BacktestError):
                error = InvalidSettingError(f"{type(error).__name__}: {error}")
            return f"{type(error).__name__} {error} (worker {os.getpid()} on {socket.gethostname()})"
        finally:
            faulthandler.cancel_dump_traceback_later()
    return ""


def work_told(task: str, timeout: float) -> tuple[str, str]:
    """Return the address of this worker of Dask, and what :func:`work` returned.

    Parameters
    ----------
    task, timeout
        As there.
    """
    from distributed import get_worker

    return str(get_worker().address), work(task, timeout)


def failure(answer: str) -> BacktestError:
    """Return the error that an answer tells of."""
    name, _, sentence = answer.partition(" ")
    kinds: dict[str, type[BacktestError]] = {one.__name__: one for one in (DataUnavailableError, StorageError)}
    return kinds.get(name, InvalidSettingError)(sentence)


def _do(task: Task) -> None:
    parts = Parts(task.place)
    kind, account = _account(parts, task.job)
    rows = [kind(**row) for row in task.parameters()]
    parts.write(task.part, Measured.of(account, rows))


def _account(parts: Parts, name: str) -> tuple[type[Strategy], Account]:
    """Return strategy and markets of a job, loaded once."""
    found = _loaded.get(name)
    if found is None:
        job = parts.job(name)
        if job.code != code_key():
            raise BacktestError(
                f"this worker has another backtest, numpy or TA-Lib than the sweep was started with (code {code_key()}, "
                f"not {job.code}): install the same versions on all machines"
            )
        found = job.strategy.unpacked(), job.account(parts)
        _loaded[name] = found
        while len(_loaded) > _MARKETS:
            _loaded.popitem(last=False)
    _loaded.move_to_end(name)
    return found


def about() -> str:
    """Return the code that this process would run, :func:`code_key`."""
    return code_key()


def _serve(tasks: IO[str], answers: IO[str]) -> None:
    for line in tasks:
        told = json.loads(line)
        answer = work(json.dumps(told["task"]), told["timeout"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def line_of(task: Task, timeout: float) -> str:
    """Return what is written to a worker's standard input.

    Parameters
    ----------
    task
        To do.
    timeout
        Seconds.
    """
    return json.dumps({"task": asdict(task), "timeout": timeout}) + "\n"


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a strategy prints is no answer
    _serve(sys.stdin, answers)
