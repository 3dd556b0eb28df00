"""Measure sweeps in processes: python benchmarks/bench_scale.py [--pairs N] [--most PROCESSES] [--rounds N].

The same pairs of averages over one year of made minutes in this process, and in one, two and more processes of their own, which
were started before and have loaded the market. Aim: two processes do 1.8 times the work of one.

With --rounds instead: 50 pairs on each of eight markets of a store (five years of made hours) in one command, against a
command for each market, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from made import hours, minutes
from sma_cross import PAIRS, SmaCross
from timing import in_turns, machine

from backtest import SubscriberProfile, VenueAssumptions, run_many
from backtest.market_data.columns import columns_of
from backtest.market_data.series import Series
from backtest.market_data.store import Store
from backtest.runner.run import histories_of
from backtest.study.crew import crew_of
from backtest.study.measured import Account
from backtest.study.shipping import Shipped
from backtest.study.task import Job, Parts, Task


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--most", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=0)
    given = parser.parse_args()
    print(machine())
    if given.rounds:
        commands(given.rounds)
        return
    year, pairs = minutes(), PAIRS[: given.pairs]
    run_many(SmaCross, PAIRS[:2], year, ledger=False)
    began, busy = time.perf_counter(), time.process_time()
    here = run_many(SmaCross, pairs, year, ledger=False)
    wall, cpu = (
        1e3 * (one - two) / len(pairs)
        for one, two in zip((time.perf_counter(), time.process_time()), (began, busy), strict=True)
    )
    print(f"in this process: {wall:.2f} ms a pair ({cpu:.2f} of processor), {3.6e6 / cpu:,.0f} pairs a core-hour")
    print(f"2,000,000 such pairs: {2e6 * cpu / 3.6e6:.1f} core-hours")
    first = 0.0
    for jobs in range(1, given.most + 1):
        with crew_of(jobs) as crew:
            run_many(SmaCross, PAIRS[: 8 * jobs], year, workers=crew, ledger=False)  # they start and load the market
            began = time.perf_counter()
            there = run_many(SmaCross, pairs, year, workers=crew, ledger=False)
            wall = 1e3 * (time.perf_counter() - began) / len(pairs)
        assert there.figures.tobytes() == here.figures.tobytes()
        first = first or wall
        print(f"{jobs} processes: {wall:.2f} ms a pair, {first / wall:.2f} times one; aim 1.8 at two")
    with tempfile.TemporaryDirectory() as folder:
        parts = Parts(folder)
        account = Account(histories_of(year), "table", SubscriberProfile.anny(), VenueAssumptions(), 0)
        job = Job.of(Shipped.of(SmaCross), account, parts)
        rows = [SmaCross(**pair).parameters for pair in PAIRS[:190]]
        task = Task.of(parts, parts.put_job(job), job.identity, rows)
        print(f"a task of {len(rows)} rows is {len(json.dumps(asdict(task))):,} bytes")


def commands(rounds: int) -> None:
    """Print what one command over eight markets takes, and eight commands of one market each.

    Parameters
    ----------
    rounds
        How often, in turns.
    """
    with tempfile.TemporaryDirectory() as folder:
        symbols = [f"MADE{k}/USDT" for k in range(8)]
        for k, symbol in enumerate(symbols):
            candles = hours(symbol, 5 * 8_760, seed=k)
            span = (int(candles.time[0]), int(candles.close_time[-1]))
            Store(folder).add(Series("binance", symbol, "1h"), columns_of(candles), asked=[span], source="made")

        def sweep(markets: list[str], *, jobs: int = 1) -> None:
            words = ["sweep", str(Path(__file__).with_name("sma_cross.py")) + ":SmaCross", "--store", folder]
            words += ["--grid", "fast=5:14:1", "--grid", "slow=20:60:10", "--exchange", "binance", "--timeframe", "1h"]
            words += [word for market in markets for word in ("--market", market)]
            environment = {**os.environ, "BACKTEST_TRIALS": "off", "PYTHONPATH": str(Path(__file__).parents[1])}
            subprocess.run(
                [sys.executable, "-m", "backtest", *words, "--jobs", str(jobs)],
                env=environment,
                stdout=subprocess.DEVNULL,
                check=True,
            )

        times = in_turns(
            {
                "one command": lambda: sweep(symbols),
                "one command, two jobs": lambda: sweep(symbols, jobs=2),
                "eight commands": lambda: [sweep([one]) for one in symbols],
            },
            rounds,
        )
    print(f"8 markets x 50 rows, ms{'':>18} least     median")
    for name, one in times.items():
        print(f"{name:<24} {one}")
    print(f"eight commands over one, medians: {times['eight commands'].median / times['one command'].median:.1f}")


if __name__ == "__main__":
    main()
