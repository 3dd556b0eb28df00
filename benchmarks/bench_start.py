"""Measure whole processes: python benchmarks/bench_start.py. Minimum and median of ten, everything cached."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from timing import Times, machine

ROUNDS = 10


def main() -> None:
    """Measure in turns."""
    root = Path(__file__).parents[1]
    command = str(Path(sys.executable).with_name("backtest"))
    tasks = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import backtest": [sys.executable, "-c", "import backtest"],
        "backtest --help": [command, "--help"],
        "backtest demo": [command, "demo"],
    }
    times = {name: Times() for name in tasks}
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS + 1):
            for name, words in tasks.items():
                start = time.perf_counter()
                subprocess.run(words, check=True, capture_output=True, cwd=folder, env=None)
                if turn:  # the first fills the caches
                    times[name].seconds.append(time.perf_counter() - start)
    print(f"{'':20s} {'min ms':>10s} {'median ms':>10s}   whole process, from {root.name}")
    for name, found in times.items():
        print(f"{name:20s} {found}")


if __name__ == "__main__":
    main()
