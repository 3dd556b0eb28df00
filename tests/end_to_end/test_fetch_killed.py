"""A fetch that dies at any moment: the store stays readable, and the next run completes it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from backtest.market_data.exchange import Access
from backtest.market_data.fetch import fetch
from backtest.market_data.job import Wish
from backtest.market_data.series import Series
from backtest.market_data.store import Store
from backtest.market_data.upkeep import repair, verify
from tests.loopback_exchange import Loopback, Query, Reply, last

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MINUTE = 60_000
PAGE = 100  # rows in an answer
SERIES = Series("binance", "BTC/USDT", "1m")

# Fetches once, so that all is loaded; then each line of stdin forks a child that fetches into the folder it names, and
# the next line kills it.
FORKING = """
import gc, os, sys
from backtest.market_data.exchange import Access
from backtest.market_data.fetch import fetch
from backtest.market_data.job import Wish
from backtest.market_data.store import Store
url, start, end, batch = sys.argv[1], *map(int, sys.argv[2:])
def bring(folder, first):
    wish = Wish(["BTC/USDT"], ["1m"], start=first, end=end)
    fetch(wish, exchange="binance", store=Store(folder), access=Access(url, limited=False), batch=batch)
bring(sys.stdin.readline().strip(), end - 60000)
gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        bring(line.strip(), start)
        os._exit(0)
    sys.stdin.readline()
    os.kill(child, 9)
    _, status = os.waitpid(child, 0)
    print(status, flush=True)
"""


@dataclass
class Doorkeeper(Loopback):
    """An exchange that answers so many requests for candles as it was told, and lets the others wait."""

    def __post_init__(self) -> None:
        self.door = threading.Semaphore(1_000)
        self.answered = threading.Semaphore(0)

    def admit(self, requests: int) -> None:
        """Answer so many more; those that are waiting are sent away."""
        self.door.release(100)
        self.door, self.answered = threading.Semaphore(requests), threading.Semaphore(0)

    def answer(self, path: str, query: Query) -> Reply:
        door, answered = self.door, self.answered
        if "klines" in path:
            door.acquire()
        reply = super().answer(path, query)
        if "klines" in path:
            answered.release()
        return reply


@pytest.fixture
def server() -> Iterator[Doorkeeper]:
    today = last(86_400_000)
    gaps = [(today - 2_000 * MINUTE, today - 1_900 * MINUTE)]
    with Doorkeeper(today - 3_200 * MINUTE, gaps, cap=PAGE) as doorkeeper:
        yield doorkeeper


def readable(store: Store, truth: dict[int, float]) -> int:
    """Every candle that the store has is a true one, and no file is damaged."""
    candles = store.candles(SERIES)
    assert dict(zip(candles.time.tolist(), candles.close.tolist(), strict=True)).items() <= truth.items()
    assert not [finding for finding in verify(store, SERIES) if finding.kind == "damaged"]
    return len(candles)


def answered(store: Store) -> int:
    """How many ms the store knows that its exchange has answered for."""
    return sum(end - start for start, end in store.manifest(SERIES).asked)


def wait_for_a_write(store: Store, known: int) -> None:
    """Return when the store knows more answers than it did."""
    deadline = time.monotonic() + 60
    while answered(store) <= known:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_thirty_kills_at_random_moments(server: Doorkeeper, tmp_path: Path) -> None:
    """Five kills for each of six stores: by turns in the middle of reading or writing, and right after a write.

    The exchange stops answering before the last page, so every run is killed before its end; and as every other one is
    killed only after it has kept something, a store dies with more and more in it.
    """
    end = last(86_400_000)
    start = end - 3_300 * MINUTE
    expected = server.rows("1m", start, end - 1)
    truth = dict(zip(expected[:, 0].astype(int).tolist(), expected[:, 4].tolist(), strict=True))
    dice = random.Random(20240131)
    arguments = [sys.executable, "-c", FORKING, server.url("binance"), str(start), str(end), str(PAGE)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(arguments, **pipes) as parent:  # type: ignore[call-overload]
        print(tmp_path / "warm", file=parent.stdin, flush=True)
        assert parent.stdout.readline() == "ready\n"
        for place in [tmp_path / f"store-{number}" for number in range(6)]:
            kept, moments = [0], [0]
            for attempt in range(5):
                # an empty answer is asked for again and again, so that a write may take some more
                requests = dice.randrange(5, 9) if attempt % 2 else dice.randrange(1, 7)
                server.admit(requests)
                print(place, file=parent.stdin, flush=True)
                if attempt % 2:
                    wait_for_a_write(Store(place), moments[-1])
                else:
                    for _ in range(dice.randrange(1, requests + 1)):
                        assert server.answered.acquire(timeout=60)
                    time.sleep(dice.uniform(0.0, 0.02))
                print("kill", file=parent.stdin, flush=True)
                assert parent.stdout.readline() == "9\n"  # killed, not ended
                kept.append(readable(Store(place), truth))
                moments.append(answered(Store(place)))
            assert (kept, moments) == (sorted(kept), sorted(moments))  # no kill loses what an earlier run had kept
            assert len(set(moments)) >= 3
            assert kept[-1] < len(truth)
        parent.stdin.close()
    server.admit(1_000)
    access = Access(server.url("binance"), limited=False)
    for folder in sorted(tmp_path.glob("store-*")):
        fetch(Wish(["BTC/USDT"], ["1m"], start=start, end=end), exchange="binance", store=Store(folder), access=access)
        assert readable(Store(folder), truth) == len(truth)
        left = {f"{path.name} was deleted" for path in folder.rglob(".unfinished-*")}
        assert set(repair(Store(folder), SERIES, force=True)) == left
        assert not list(folder.rglob(".unfinished-*"))
        assert not [finding for finding in verify(Store(folder), SERIES) if finding.serious]


def test_ctrl_c_keeps_what_is_complete(server: Doorkeeper, tmp_path: Path) -> None:
    script = (
        "import sys, typer\nfrom backtest.cli import fetch\n"
        "app = typer.Typer()\nfetch.register(app)\n"
        "app.command('nothing')(lambda: None)\napp()"
    )
    since = str(np.datetime64(server.listed, "ms"))
    options = ["--timeframe", "1m", "--since", since, "--store", str(tmp_path), "--url", server.url("binance")]
    command = [sys.executable, "-c", script, "fetch", "BTC/USDT", "--exchange", "binance", *options]
    server.admit(5)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while len([path for path, _ in server.log if "klines" in path]) < 7:  # two pieces wait for their next page
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told == f"stopped; {5 * PAGE} rows were kept, the same command goes on from there\n"
    assert len(Store(tmp_path).candles(SERIES)) == 5 * PAGE
