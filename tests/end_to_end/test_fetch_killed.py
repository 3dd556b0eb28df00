"""A fetch that dies at any moment: the store stays readable, and the next run completes it."""

from __future__ import annotations

import random
import select
import signal
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING

import numpy as np
import pytest

from backtest.market_data.exchange import Access
from backtest.market_data.fetch import fetch
from backtest.market_data.job import Wish
from backtest.market_data.series import Series
from backtest.market_data.store import Store
from backtest.market_data.upkeep import repair, verify
from tests.loopback_exchange import Loopback, now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MINUTE = 60_000
SERIES = Series("binance", "BTC/USDT", "1m")

# Imports ccxt once; then each line of stdin forks a child that fetches into the folder it names, the next one kills it.
FORKING = """
import os, sys
import ccxt.async_support, pyarrow.parquet
from backtest.market_data.exchange import Access
from backtest.market_data.fetch import fetch
from backtest.market_data.job import Wish
from backtest.market_data.store import Store
url, start, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        wish = Wish(["BTC/USDT"], ["1m"], start=start, end=end)
        fetch(wish, exchange="binance", store=Store(line.strip()), access=Access(url, limited=False), batch=1000)
        print("done", flush=True)
        os._exit(0)
    sys.stdin.readline()
    os.kill(child, 9)
    _, status = os.waitpid(child, 0)
    print(status, flush=True)
"""


@pytest.fixture
def server() -> Iterator[Loopback]:
    today = now() - now() % 86_400_000
    gaps = [(today - 5_000 * MINUTE, today - 4_500 * MINUTE)]
    with Loopback(today - 7_500 * MINUTE, gaps, delay=0.004) as loopback:
        yield loopback


def readable(store: Store, truth: dict[int, float]) -> int:
    """Every candle that the store has is a true one, and no file is damaged."""
    candles = store.candles(SERIES)
    assert dict(zip(candles.time.tolist(), candles.close.tolist(), strict=True)).items() <= truth.items()
    assert not [finding for finding in verify(store, SERIES) if finding.kind == "damaged"]
    return len(candles)


def wait_for(server: Loopback, requests: int, stream: IO[str]) -> None:
    """Return when so many requests have come, or the run has ended before."""
    while len(server.log) < requests and not select.select([stream], [], [], 0.002)[0]:
        pass


def test_thirty_kills_at_random_moments(server: Loopback, tmp_path: Path) -> None:
    end = now() - now() % 86_400_000
    start = end - 8_000 * MINUTE
    expected = server.rows("1m", start, end - 1)
    truth = dict(zip(expected[:, 0].astype(int).tolist(), expected[:, 4].tolist(), strict=True))
    dice = random.Random(20240131)
    arguments = [sys.executable, "-c", FORKING, server.url("binance"), str(start), str(end)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    folders, killed, kept = 0, 0, set()
    with subprocess.Popen(arguments, **pipes) as parent:  # type: ignore[call-overload]
        place, attempts = tmp_path / "0", 0
        while attempts < 30:
            attempts += 1
            print(place, file=parent.stdin, flush=True)
            wait_for(server, len(server.log) + dice.randrange(4, 12), parent.stdout)
            time.sleep(dice.uniform(0.0, 0.03))
            print("kill", file=parent.stdin, flush=True)
            told = parent.stdout.readline().strip()
            finished = told == "done" and parent.stdout.readline().strip() == "0"
            killed += not finished
            kept.add(readable(Store(place), truth))
            if finished:
                folders += 1
                assert readable(Store(place), truth) == len(truth)
                place = tmp_path / str(folders)
        parent.stdin.close()
    assert killed >= 15
    assert len(kept) >= 5  # they died at different moments
    access = Access(server.url("binance"), limited=False)
    for folder in sorted(tmp_path.iterdir()):
        fetch(Wish(["BTC/USDT"], ["1m"], start=start, end=end), exchange="binance", store=Store(folder), access=access)
        assert readable(Store(folder), truth) == len(truth)
        left = [path.name for path in sorted(folder.rglob(".unfinished-*"))]
        assert repair(Store(folder), SERIES, force=True) == [f"{name} was deleted" for name in left]
        assert not [finding for finding in verify(Store(folder), SERIES) if finding.serious]


def test_ctrl_c_keeps_what_is_complete(tmp_path: Path) -> None:
    script = (
        "import sys, typer\nfrom backtest.cli import fetch\n"
        "app = typer.Typer()\nfetch.register(app)\n"
        "app.command('nothing')(lambda: None)\napp()"
    )
    listed = now() - 40_000 * MINUTE
    with Loopback(listed, delay=0.02) as server:
        since = str(np.datetime64(listed, "ms").astype("M8[s]"))
        options = ["--timeframe", "1m", "--since", since, "--store", str(tmp_path), "--url", server.url("binance")]
        command = [sys.executable, "-c", script, "fetch", "BTC/USDT", "--exchange", "binance", *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            while len([path for path, _ in server.log if "klines" in path]) < 20:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "rows were kept, the same command goes on from there" in told
        assert "Traceback" not in told
        kept = len(Store(tmp_path).candles(SERIES))
        assert 5_000 <= kept < 40_000
