"""Timing: tasks taken in turns, so that a busy moment of the machine meets all of them alike."""

from __future__ import annotations

import gc
import os
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Times", "in_turns", "machine"]


@dataclass(slots=True)
class Times:
    """Wall times of one task, in seconds."""

    seconds: list[float] = field(default_factory=list)

    @property
    def least(self) -> float:
        """The minimum, in ms: what the work takes when nothing else runs."""
        return 1e3 * min(self.seconds)

    @property
    def median(self) -> float:
        """The median, in ms: what it took on this machine."""
        return 1e3 * statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"{self.least:10.2f} {self.median:10.2f}"


def in_turns(tasks: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Return the times of each task: one call of all to warm up, then ``rounds`` times all of them, one after another."""
    times = {name: Times() for name in tasks}
    for task in tasks.values():
        task()
    for _ in range(rounds):
        for name, task in tasks.items():
            gc.collect()
            start = time.perf_counter()
            task()
            times[name].seconds.append(time.perf_counter() - start)
    return times


def machine() -> str:
    """Return what was measured on, and how busy it was."""
    import platform

    import numba
    import numpy as np
    import talib

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}, TA-Lib {talib.__version__}"
    return f"{cores} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}; {versions}"
