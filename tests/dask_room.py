"""A Dask scheduler and its workers as processes of their own, on loopback, for tests; each worker a host of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from tests.command_line import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_SCHEDULER = """
import asyncio, sys
from distributed import Scheduler
async def serve():
    async with Scheduler(host="127.0.0.1", port=0, protocol=sys.argv[1], dashboard=False) as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()
asyncio.run(serve())
"""
_WORKERS = """
import asyncio, json, sys
from contextlib import AsyncExitStack
from distributed import Nanny
async def serve():
    async with AsyncExitStack() as stack:
        told = dict(nthreads=1, dashboard_address=None, memory_limit=0)
        made = [Nanny(sys.argv[1], host=host, env=env, **told) for host, env in json.loads(sys.argv[2])]
        await asyncio.gather(*(stack.enter_async_context(one) for one in made))
        print("ready", flush=True)
        await asyncio.gather(*(one.finished() for one in made))
if __name__ == "__main__":
    asyncio.run(serve())
"""


def _started(code: str, *words: str, root: Path = ROOT) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "COV_CORE_"))}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
        env={**kept, "PYTHONPATH": str(root), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"},
    )


@contextmanager
def cluster(workers: Sequence[Mapping[str, str]], protocol: str = "tcp") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield the address of a scheduler, whose workers have these environments, and the scheduler's process."""
    with ExitStack() as stack:
        scheduler = stack.enter_context(_running(_started(_SCHEDULER, protocol)))
        address = _line(scheduler)
        stack.enter_context(joined(address, workers))
        yield address, scheduler


@contextmanager
def joined(address: str, workers: Sequence[Mapping[str, str]], root: Path = ROOT, first: int = 1) -> Iterator[None]:
    """Have workers with these environments on a cluster: the hosts 127.0.0.1 and so on from the first, the package of a root."""
    told = [(f"127.0.0.{first + k}", env) for k, env in enumerate(workers)]
    with _running(_started(_WORKERS, address, json.dumps(told), root=root)) as process:
        assert _line(process) == "ready"
        yield


@contextmanager
def _running(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # with those that it started: they are of its group
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
