"""Measure the engine: python benchmarks/bench_main.py [--rounds N] [--only TEXT].

Candles in memory to trades and equity, warm, in milliseconds: minimum and median of tasks taken in turns. Cold start and
peak memory are measured in processes of their own. Nothing here compares with other libraries: see bench_peers.py.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from made import YEAR, hours, minutes
from sma_cross import PAIRS, AtOnce, EveryCandle, Managed, Many, SmaCross
from timing import Times, in_turns, machine

from backtest import Candles, SubscriberProfile, VenueAssumptions, run, run_many
from backtest.engine.simulator import SimulatedVenue
from backtest.runner.execute import prepare
from backtest.runner.run import histories_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from backtest import Result, Strategy

SYMBOLS, HOURS, SIGNALS = 200, 8_760, 20_000
COLUMNS = ("time", "open", "high", "low", "close", "volume")


def bare_loop(open_, high, low, close, crossed, target, stop):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Trade the same rule without anything that an account needs: the floor for any engine."""
    trades, pnl, entry, floor, goal = 0, 0.0, 0.0, 0.0, 0.0
    inside = waiting = False
    for k in range(len(close)):
        if waiting:
            entry, inside, waiting = open_[k], True, False
        if inside:
            price = 0.0
            if low[k] <= floor:
                price = min(open_[k], floor)
            elif high[k] >= goal:
                price = max(open_[k], goal)
            if price > 0.0:
                pnl += price - entry
                trades += 1
                inside = False
        if crossed[k] and not inside:
            waiting, floor, goal = True, close[k] * (1.0 - stop), close[k] * (1.0 + target)
    return trades, pnl


def finished(strategy: Strategy, candles: Candles | dict[str, Candles], **options: object) -> Result:
    """Return a result of which trades and equity were asked."""
    result = run(strategy, candles, **options)  # type: ignore[arg-type]
    assert result.trades is not None
    assert result.equity is not None
    return result


def engine_alone(candles: Candles) -> Callable[[], SimulatedVenue]:
    """Return a task: a table that is made already, to fills and equity."""
    profile, assumptions, histories = SubscriberProfile.anny(), VenueAssumptions(), histories_of(candles)
    records = prepare(SmaCross(), histories[0], lane="table").records

    def walk() -> SimulatedVenue:
        venue = SimulatedVenue(histories, profile, assumptions)
        venue.send_table(0, records, width=1, conditional=True)
        venue.advance()
        return venue

    return walk


def walks(candles: Candles, plain: Result, managed: Result, rounds: int) -> dict[str, Times]:
    """Return the times of the compiled walk alone: all calls of a run are sent before it begins."""
    histories = histories_of(candles)
    times = {"plain": Times(), "managed": Times()}
    for _ in range(rounds):
        for name, result in (("plain", plain), ("managed", managed)):
            venue = SimulatedVenue(histories, SubscriberProfile.anny())
            for decision in result.calls:
                venue.send(decision.call, decision.at)
            start = time.perf_counter()
            venue.advance()
            times[name].seconds.append(time.perf_counter() - start)
            assert len(venue.trade_records) + len(venue.open_records) == len(result.trades)
    return times


def main_lines(rounds: int) -> None:
    """Print the lines of one year and of five."""
    from numba import njit  # a cold start, which this file measures too, needs none

    loop: Any = njit(cache=True)(bare_loop)
    year, five, strategy, managed = minutes(), minutes(5 * YEAR), SmaCross(), Managed()
    ind = strategy.indicators(year)
    crossed = strategy.triggers(year, ind)
    o, h, l, c = year.open, year.high, year.low, year.close  # noqa: E741
    once = finished(managed, year)
    tasks: dict[str, Callable[[], object]] = {
        "TA-Lib's two averages alone": lambda: strategy.indicators(year),
        "bare numba loop": lambda: loop(o, h, l, c, crossed, 0.02, 0.01),
        "engine alone, table to fills": engine_alone(year),
        "one mode": lambda: finished(strategy, year),
        "three modes": lambda: finished(strategy, year).total_return,
        "managed: trailing, 3 targets, 2 DCA, at the create": lambda: finished(AtOnce(), year),
        "2,628,000 candles, one mode": lambda: finished(strategy, five),
    }
    times = in_turns(tasks, rounds)
    print(f"{'':50s} {'min ms':>10s} {'median ms':>10s}")
    for name, found in times.items():
        print(f"{name:50s} {found}")
    each = {name: 1e6 * found.least / YEAR for name, found in times.items()}
    bare, alone, one = (times[name] for name in ("bare numba loop", "engine alone, table to fills", "one mode"))
    print(
        f"ns a candle: bare loop {each['bare numba loop']:.2f}, engine alone {each['engine alone, table to fills']:.2f}"
    )
    print(f"engine over bare loop: {alone.least / bare.least:.1f} (median {alone.median / bare.median:.1f}); aim 4")
    long, busy = times["2,628,000 candles, one mode"], times["managed: trailing, 3 targets, 2 DCA, at the create"]
    print(f"five years over one: {long.least / one.least:.2f} (median {long.median / one.median:.2f}); aim 5.5")
    print(f"managed over one mode: {busy.least / one.least:.1f} (median {busy.median / one.median:.1f}); aim 2")
    slow = in_turns({"managed": lambda: finished(managed, year)}, 1)["managed"]
    print(f"{'managed by on_event, which hears every ratchet':50s} {slow}")
    sent = walks(year, run(strategy, year), once, rounds)
    print(f"{'walk alone, calls sent before: plain':50s} {sent['plain']}")
    print(f"{'walk alone, calls sent before: managed':50s} {sent['managed']}")
    ratio = sent["managed"].least / sent["plain"].least, sent["managed"].median / sent["plain"].median
    print(f"managed walk over plain walk: {ratio[0]:.1f} (median {ratio[1]:.1f})")
    print(
        f"trades: bare loop {loop(o, h, l, c, crossed, 0.02, 0.01)[0]}, one mode {len(run(strategy, year).trades)}, managed {len(once.trades)}, its calls {len(once.calls)}"
    )


def simple_lane(rounds: int) -> None:
    """Print what it costs to ask Python."""
    year = minutes()
    every, seldom = EveryCandle(), SmaCross()
    asked = int(seldom.triggers(year, seldom.indicators(year)).sum())
    times = in_turns(
        {
            "on_candle at each of 525,600 candles": lambda: finished(every, year),
            "on_candle at triggers": lambda: finished(seldom, year, lane="candle"),
            "the same in the table lane": lambda: finished(seldom, year),
        },
        rounds,
    )
    for name, found in times.items():
        print(f"{name:50s} {found}")
    lane, table = times["on_candle at triggers"], times["the same in the table lane"]
    trades = len(run(seldom, year).trades)
    print(
        f"asked {asked:,} times, {trades:,} creates: {1e3 * lane.least / asked:.1f} us a trigger in all, {1e3 * (lane.least - table.least) / asked:.1f} us over the table lane; aim 15"
    )


def many_symbols(rounds: int) -> None:
    """Print 200 symbols on one account."""
    candles = {f"C{k:03d}/USDT": hours(f"C{k:03d}/USDT", HOURS, seed=k) for k in range(SYMBOLS)}
    strategy = Many(count=SIGNALS // SYMBOLS)
    found = in_turns({"one": lambda: finished(strategy, candles)}, rounds)["one"]
    result = run(strategy, candles)
    kinds = [event.kind.value for event in result.events]
    print(f"{'200 symbols x 8,760 candles, 20,000 signals':50s} {found}")
    print(f"created {kinds.count('created'):,}, refused {kinds.count('refused'):,}, trades {len(result.trades):,}")


def cold(rounds: int) -> None:
    """Print whole processes: interpreter, imports, candles read, one result."""
    with tempfile.TemporaryDirectory() as folder:
        year = minutes()
        for name in COLUMNS:
            np.save(Path(folder) / f"{name}.npy", getattr(year, name))
        times, inside = Times(), Times()
        for _ in range(rounds + 1):
            start = time.perf_counter()
            said = child("cold", folder)
            times.seconds.append(time.perf_counter() - start)
            inside.seconds.append(float(said.split()[0]))
    times.seconds, inside.seconds = times.seconds[1:], inside.seconds[1:]
    print(f"{'cold: new process to the result':50s} {times}")
    print(f"{'  of which after importing numpy':50s} {inside}")


def cold_child(folder: str) -> None:
    """Print the seconds from here to the figures of the first line, then the trades."""
    start = time.perf_counter()
    columns = [np.load(Path(folder) / f"{name}.npy") for name in COLUMNS]
    result = finished(SmaCross(), Candles("BTC/USDT", "1m", *columns))
    print(time.perf_counter() - start, len(result.trades))


def sweep() -> None:
    """Print a sweep of 1,000 pairs and its peak memory, in a process of its own."""
    print(child("sweep"))


def sweep_child() -> None:
    """Sweep and print."""
    year = minutes()
    run_many(SmaCross, PAIRS[:2], year)
    before = peak()
    start, busy = time.perf_counter(), time.process_time()
    many = run_many(SmaCross, PAIRS, year)
    wall, cpu = time.perf_counter() - start, time.process_time() - busy
    print(
        f"{len(many):,} pairs: {wall:.2f} s, {1e3 * wall / len(many):.2f} ms a pair ({1e3 * cpu / len(many):.2f} of processor); aim 3.2"
    )
    print(
        f"trades {int(many.table['trades'].sum()):,}; peak memory {peak():,} MB, {before:,} before the sweep; aim 500"
    )


def peak() -> int:
    """Return the peak memory of this process in MB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024 // 1_000_000  # type: ignore[index]


def child(*arguments: str) -> str:
    """Return what this file prints in a process of its own."""
    command = [sys.executable, __file__, "--child", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="main, lane, symbols, cold or sweep")
    parser.add_argument("--child", nargs="+", default=[], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        cold_child(given.child[1]) if given.child[0] == "cold" else sweep_child()
        return
    print(machine())
    few = max(3, given.rounds // 3)
    parts: dict[str, Callable[[], None]] = {
        "main": lambda: main_lines(given.rounds),
        "lane": lambda: simple_lane(few),
        "symbols": lambda: many_symbols(few),
        "cold": lambda: cold(few),
        "sweep": sweep,
    }
    for name, part in parts.items():
        if given.only in ("", name):
            part()


if __name__ == "__main__":
    main()
