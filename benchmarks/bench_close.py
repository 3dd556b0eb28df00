"""What a close costs: one `Session.close` of the breakout, with 5,000 candles of history before it.

python benchmarks/bench_close.py [CLOSES]     1,000 closes, in processor time of this thread

Wall times say little on a shared machine; what other processes do hardly moves these.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from backtest import Market, Session, SubscriberProfile
from backtest.runner.window import rows_of
from benchmarks.made import hours
from benchmarks.timing import machine
from strategies.breakout import Breakout

HISTORY = 5_000


def main() -> None:
    """Walk the history, then measure each close."""
    closes = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    candles = hours("BTC/USDT", HISTORY + closes, seed=5)
    session = Session(
        Breakout(),
        candles.slice(0, HISTORY),
        market=Market(candles.symbol),
        profile=SubscriberProfile.anny(),
    )
    took, calls = [], 0
    for row in rows_of(candles)[HISTORY:]:
        start = time.thread_time_ns()
        made = session.close(*row)
        took.append((time.thread_time_ns() - start) / 1e3)
        calls += len(made)
    least, median, high = np.percentile(took, [1, 50, 99])
    print(machine())
    print(f"{closes} closes, {calls} calls; us: 1st percentile {least:.0f}, median {median:.0f}, 99th {high:.0f}")


if __name__ == "__main__":
    main()
