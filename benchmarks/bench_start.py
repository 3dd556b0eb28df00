"""Measure whole processes: python benchmarks/bench_start.py. Minimum and median of ten, everything cached.

Byte code among it, as it is where a package was installed: PYTHONDONTWRITEBYTECODE is not passed on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from timing import Times, machine

ROUNDS = 10
FIRST = """
import time
from backtest import Candles, run
from strategies.breakout import Breakout
result = run(Breakout(), Candles.sample("BTC/USD", "1h"))
result.trades, result.equity
print(time.process_time())
result.stats
print(time.process_time())
"""


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
    first = {name: Times() for name in ("  to trades and equity", "  to result.stats")}
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPATH"] = str(root)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS + 1):
            for name, words in tasks.items():
                start = time.perf_counter()
                subprocess.run(words, check=True, capture_output=True, cwd=folder, env=env)
                if turn:  # the first fills the caches
                    times[name].seconds.append(time.perf_counter() - start)
            words = [sys.executable, "-c", FIRST]
            said = subprocess.run(words, check=True, capture_output=True, text=True, cwd=folder, env=env).stdout
            for found, seconds in zip(first.values(), said.split(), strict=True):
                if turn:
                    found.seconds.append(float(seconds))
    print(f"{'':20s} {'min ms':>10s} {'median ms':>10s}   whole process, from {root.name}")
    for name, found in times.items():
        print(f"{name:20s} {found}")
    print("first result of a new process, of processor")
    for name, found in first.items():
        print(f"{name:24s} {found}")


if __name__ == "__main__":
    main()
