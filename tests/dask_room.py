"""A Dask scheduler and its workers as processes of their own, on loopback, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.command_line import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
        made = [Nanny(sys.argv[1], nthreads=1, dashboard_address=None, memory_limit=0, env=one) for one in json.loads(sys.argv[2])]
        await asyncio.gather(*(stack.enter_async_context(one) for one in made))
        print("ready", flush=True)
        await asyncio.gather(*(one.finished() for one in made))
if __name__ == "__main__":
    asyncio.run(serve())
"""


def _started(code: str, *words: str) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "COV_CORE_"))}
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
        env={**kept, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"},
    )


@contextmanager
def cluster(workers: Sequence[Mapping[str, str]], protocol: str = "tcp") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield the address of a scheduler, whose workers have these environments, and the scheduler's process."""
    processes = [_started(_SCHEDULER, protocol)]
    try:
        address = _line(processes[0])
        processes.append(_started(_WORKERS, address, json.dumps(list(workers))))
        assert _line(processes[1]) == "ready"
        yield address, processes[0]
    finally:
        for one in processes:
            # with those that it started: they are of its group
            with suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
        for one in processes:
            one.wait()
            assert one.stdout is not None
            one.stdout.close()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
