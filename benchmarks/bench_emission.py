"""Emission under load: signals through journal, emitter and a paper venue in a process of its own.

python benchmarks/bench_emission.py [SIGNALS] [LIVING]     10,000 signals, 100 of them living at any time

Every close makes one signal and cancels the oldest. Printed: calls a second, and the time from the candle's close (the
strategy is about to be asked) to the venue's receipt, journal included, for the first and the last tenth of the run too:
it must not grow with the journal. Before the first call of a close two commits wait for the disk, before the last one
four; what one of them takes on this disk is printed beside. The run fails unless the venue got exactly the backtest's
calls, none lost, doubled or reordered.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from backtest import Call, Cancel, Candles, Market, Moment, Session, SignalRef, Strategy, SubscriberProfile
from backtest.live import channel as channels
from backtest.live.channel import Channel
from backtest.live.emission import rehearse
from backtest.live.settings import EmitSettings
from backtest.venue.credentials import Credentials
from backtest.venue.paper_client import PaperClient

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from backtest import Decision
    from backtest.runner.window import Row

HOUR, START = 3_600_000, 1_700_002_800_000
SECRETS = {"ANNY_API_KEY": "bench-key", "ANNY_API_SECRET": "bench-secret"}
VENUE = "import typer; from backtest.cli import venue; app = typer.Typer(); venue.register(app); app()"


class Steady(Strategy):
    """One new signal a close; the oldest goes when there are enough."""

    living: int = 100

    def on_candle(self, now: Moment) -> Iterable[Call]:
        """Enter far below, so that signals live until they are canceled."""
        oldest = now.close_time - self.living * HOUR
        if oldest > START:
            yield Cancel(SignalRef(f"{now.symbol}-{oldest}-0"))
        price = now.close
        yield now.create(entry=price * 0.6, targets=(price * 2.0,), stop_loss=price * 0.4, invest=0.5)


class Timed(Session):
    """Remembers when each close was there."""

    closes: list[int]

    def walk(self, time: int, rows: Mapping[str, Row | None]) -> list[Decision]:
        """Note the time, then decide."""
        start = time_ns()
        decisions = super().walk(time, rows)
        self.closes.extend([start] * len(decisions))
        return decisions


def candles(count: int) -> Candles:
    """Return a quiet walk around 100."""
    draw = np.random.default_rng(7)
    close = np.round(100.0 + np.cumsum(draw.normal(0.0, 0.02, count)), 2)
    open_ = np.r_[100.0, close[:-1]]
    high, low = np.maximum(open_, close) + 0.05, np.minimum(open_, close) - 0.05
    return Candles("BTC/USDT", "1h", START + HOUR * np.arange(count), open_, high, low, close, np.ones(count))


def commit_times(folder: str, count: int = 300) -> NDArray[np.float64]:
    """Return the ms that single commits take which are on disk when they return."""
    database = sqlite3.connect(f"{folder}/commits.sqlite", isolation_level=None)
    database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE kept (body TEXT);")
    times = np.empty(count)
    for k in range(count):
        start = time.perf_counter()
        database.execute("INSERT INTO kept VALUES (?)", ("x" * 500,))
        times[k] = time.perf_counter() - start
    database.close()
    return times * 1e3


def told(name: str, times: NDArray[np.float64]) -> str:
    """Return a line about times in ms."""
    p50, p99 = np.percentile(times, [50, 99])
    return f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def main() -> None:
    """Run and print."""
    signals, living = (
        (int(text) for text in (*sys.argv[1:], "10000", "100")[:2]) if len(sys.argv) != 2 else (int(sys.argv[1]), 100)
    )
    channel = Channel(
        Steady(living=living), candles(signals), Market("BTC/USDT", tick="0.01"), SubscriberProfile.anny()
    )
    closes: list[int] = []
    Timed.closes = closes
    channels.Session = Timed  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        commits = commit_times(folder)
        paths = {"PYTHONPATH": str(Path(__file__).parents[1])}
        argv = [sys.executable, "-c", VENUE, "--port", "0", "--no-token", "--db", f"{folder}/venue.sqlite"]
        with subprocess.Popen(argv, env={**os.environ, **SECRETS, **paths}, stdout=subprocess.PIPE, text=True) as venue:
            assert venue.stdout is not None
            url = venue.stdout.readline().split()[3].rstrip(",")
            credentials = Credentials.load(environment={**SECRETS, "ANNY_BASE_URL": url})
            start = time.perf_counter()
            done = rehearse(channel, credentials, Path(folder) / "journal.sqlite", EmitSettings(per_minute=100_000))
            took = time.perf_counter() - start
            with PaperClient(url) as control:
                effects = control.effects()
            venue.terminate()
    received = np.array([effect["received_ns"] for effect in effects])
    if not done.report.equal or done.report.lost:
        sys.exit(done.report.text())
    delay = (received - np.array(closes)) / 1e6
    last = np.r_[np.diff(closes) != 0, True]
    first = np.r_[True, np.diff(closes) != 0]
    print(done.report.text())
    print(
        f"{signals} signals, {living} living, {len(effects)} calls in {took:.1f} s: {len(effects) / took:.0f} calls/s"
    )
    for name, part in (("first", delay[first]), ("last", delay[last])):
        tenth = max(1, len(part) // 10)
        print(told(f"candle close to the venue's receipt, {name} call of a close", part))
        print(told("    of the first tenth", part[:tenth]) + ";" + told(" of the last", part[-tenth:]))
    print(told("one commit on this disk", commits))


if __name__ == "__main__":
    main()
