"""Measure sweeps in processes: python benchmarks/bench_scale.py [--pairs N] [--most PROCESSES] [--rounds N] [--markets N].

The same pairs of averages over one year of made minutes in this process, and in one, two and more processes of their own, which
were started before and have loaded the market. Aim: two processes do 1.8 times the work of one.

With --markets instead: twelve rows of the shipped breakout on each of so many markets of 600 made hours, in one command: in its
own process, with two more, and on a Dask scheduler with two workers; processor time and peak memory of each process.

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
    parser.add_argument("--markets", type=int, default=0)
    given = parser.parse_args()
    print(machine())
    if given.markets:
        thousands(given.markets)
        return
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


def thousands(markets: int) -> None:
    """Print what one command over many small markets takes.

    Parameters
    ----------
    markets
        How many.
    """
    root = Path(__file__).parents[1]
    environment = {**os.environ, "BACKTEST_TRIALS": "off", "PYTHONPATH": str(root)}
    with tempfile.TemporaryDirectory() as folder:
        for k in range(markets):
            candles = hours(f"M{k:04}/USDT", 600, seed=k)
            span = (int(candles.time[0]), int(candles.close_time[-1]))
            series = Series("binance", candles.symbol, "1h")
            Store(f"{folder}/store").add(series, columns_of(candles), asked=[span], source="made")
        words = [sys.executable, "-m", "backtest", "sweep", str(root / "strategies" / "breakout.py"), "--market", "*"]
        words += ["--exchange", "binance", "--timeframe", "1h", "--store", f"{folder}/store"]
        words += ["--grid", "lookback=12:72:12", "--grid", "risk=1,2"]
        dask = [sys.executable, "-m", "distributed.cli"]
        address = "tcp://127.0.0.1:8799"
        beside = [
            [f"{dask[-1]}.dask_scheduler", "--host", "127.0.0.1", "--port", "8799", "--no-dashboard"],
            [f"{dask[-1]}.dask_worker", address, "--nworkers", "2", "--nthreads", "1", "--nanny", "--no-dashboard"],
        ]
        made = []
        for name, more in (
            ("one process", []),
            ("--jobs 2", ["--jobs", "2", "--parts", f"{folder}/parts"]),
            ("--jobs 2, all parts there", ["--jobs", "2", "--parts", f"{folder}/parts"]),
            ("--cluster, two workers", ["--cluster", address, "--parts", f"{folder}/far"]),
        ):
            others = [
                subprocess.Popen(
                    [*dask[:2], *one],
                    env={**environment, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"},
                    stderr=subprocess.DEVNULL,
                )
                for one in (beside if "cluster" in name else [])
            ]
            if others:
                time.sleep(10)
            out = Path(folder) / f"out-{len(made)}"
            began = time.perf_counter()
            command = subprocess.Popen([*words, *more, "--out", str(out)], env=environment, stdout=subprocess.DEVNULL)
            seen = _watched(command, others)
            wall = time.perf_counter() - began
            for one in others:
                one.terminate()
                one.wait()
            made.append((out / "sweep.parquet").read_bytes())
            told = ", ".join(f"{cpu:.0f} s {rss:,} MB" for cpu, rss in seen if cpu > 0.5)
            print(f"{name:<26} {wall:6.0f} s; processor time and peak memory of each process: {told}")
        assert len(set(made)) == 1
        files = [one.stat().st_size for one in Path(folder, "parts").iterdir()]
        print(f"{12 * markets:,} rows; {len(files):,} files of parts, {sum(files) / 1e6:.0f} MB")


def _watched(command: subprocess.Popen[bytes], others: list[subprocess.Popen[bytes]]) -> list[tuple[float, int]]:
    """Wait for a command; return processor seconds and peak MB of it, of its processes and of those beside it."""
    seen: dict[int, tuple[float, int]] = {}
    before: dict[int, float] = {}
    while command.poll() is None:
        for pid in [pid for one in (command, *others) for pid in _tree(one.pid)]:
            try:
                spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
                cpu = (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")
                seen[pid] = cpu - before.setdefault(pid, cpu), int(status["VmHWM"].split()[0]) // 1024
            except (OSError, KeyError):  # it ended meanwhile
                continue
        time.sleep(0.2)
    return list(seen.values())


def _tree(pid: int) -> list[int]:
    """Return a process and all that it started."""
    try:
        under = [int(one) for file in Path(f"/proc/{pid}/task").glob("*/children") for one in file.read_text().split()]
    except OSError:
        return []
    return [pid, *(each for one in under for each in _tree(one))]


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
