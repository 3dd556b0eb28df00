"""Sweeps in other processes, on this machine and on a Dask cluster: the same bytes, whatever dies on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import (
    Candles,
    Field,
    InvalidSettingError,
    Market,
    Strategy,
    SubscriberProfile,
    VenueAssumptions,
    run_each,
    run_many,
)
from backtest.runner.loading import load_strategy
from backtest.runner.run import histories_of
from backtest.study.crew import crew_of
from backtest.study.shipping import Shipped
from backtest.study.task import Job, Parts, Task
from tests.certificates import dask_environment
from tests.command_line import ROOT, Done, backtest, in_process_of_its_own
from tests.dask_room import cluster

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest import Call, Moment

STRATEGY = '''
import os
import signal
import time
from pathlib import Path

from backtest import Field, Strategy, indicators as ta

ONCE = os.environ.get("DIE_ONCE")


class Dip(Strategy):
    """Buy a fall below an average; what happens to its process is a matter of the environment."""

    length: int = Field(20, ge=2)
    stop: float = Field(0.05, gt=0)

    def indicators(self, candles):
        time.sleep(float(os.environ.get("SLOW", "0")))
        if self.length == 12 and ONCE and not Path(ONCE).exists():
            Path(ONCE).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.length == 13 and "DIE_ALWAYS" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.length == 14 and "HANG" in os.environ:
            time.sleep(1e6)
        return {"mean": ta.sma(candles.close, self.length)}

    def triggers(self, candles, ind):
        return ta.crossed_below(candles.close, 0.9 * ind["mean"])

    def on_candle(self, now):
        if not now.signals:
            yield now.market(targets=[1.1 * now.close], stop_loss=(1 - self.stop) * now.close, invest=10)
'''
GRID = ("--grid", "length=10:17:1", "--grid", "stop=0.03,0.05")
WRITTEN = ("sweep.csv", "sweep.parquet")


@pytest.fixture
def strategy(tmp_path: Path) -> Path:
    file = tmp_path / "dip.py"
    file.write_text(STRATEGY, "utf-8")
    return file


def sweep(strategy: Path, out: Path | None, *more: object, candles: str = "sample:ETH/USD:1d") -> Done:
    where = () if out is None else ("--out", out)
    return backtest("sweep", strategy, "--candles", candles, *GRID, *where, *more)


def same(one: Path, two: Path) -> bool:
    return all((one / name).read_bytes() == (two / name).read_bytes() for name in WRITTEN)


def parts_of(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("part-*.parquet")}


def test_processes_write_the_same_bytes_though_one_of_them_dies(
    strategy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sweep(strategy, tmp_path / "one").status == 0
    monkeypatch.setenv("DIE_ONCE", str(tmp_path / "died"))
    done = sweep(strategy, tmp_path / "two", "--jobs", 2, "--parts", tmp_path / "parts")
    assert done.status == 0, done.err
    assert (tmp_path / "died").exists()
    assert same(tmp_path / "one", tmp_path / "two")
    before = parts_of(tmp_path / "parts")
    assert len(before) == 8
    cut = tmp_path / "parts" / next(iter(before))
    cut.write_bytes(cut.read_bytes()[:-100])  # as a disk may: it counts as not there
    assert sweep(strategy, tmp_path / "three", "--parts", tmp_path / "parts").status == 0
    assert same(tmp_path / "one", tmp_path / "three")
    after = parts_of(tmp_path / "parts")
    assert [name for name in after if after[name] != before[name]] == [cut.name]
    assert sweep(strategy, tmp_path / "four", "--parts", (tmp_path / "parts").as_uri()).status == 0
    assert same(tmp_path / "one", tmp_path / "four")
    assert parts_of(tmp_path / "parts") == after  # a URL and a path are one folder
    assert sweep(strategy, None, "--parts", (tmp_path / "anew").as_uri(), "--jobs", 2).status == 0
    assert set(parts_of(tmp_path / "anew")) == set(after)


def test_a_row_given_twice_stands_in_each_of_its_places(strategy: Path) -> None:
    kind = load_strategy(str(strategy))
    candles = Candles.sample("ETH/USD", "1d").slice(0, 500)
    grid: dict[str, list[Any]] = {"length": [11, 11, 12, 11], "stop": [0.03]}
    alone = run_many(kind, grid, candles, ledger=False)
    many = run_many(kind, grid, candles, workers=2, ledger=False)
    assert many.figures.tobytes() == alone.figures.tobytes()
    assert many.daily.tobytes() == alone.daily.tobytes()
    assert not np.isnan(many.figures).any()
    assert many.refused == alone.refused == {}


def test_a_row_that_kills_its_process_is_listed_and_loses_no_other(
    strategy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = load_strategy(str(strategy))
    candles = Candles.sample("ETH/USD", "1d").slice(0, 500)
    grid = [{"length": 11}, {"length": 13}, {"length": 15}]
    alone = run_many(kind, grid, candles, ledger=False)
    monkeypatch.setenv("DIE_ALWAYS", "")
    many = run_many(kind, grid, candles, workers=2, ledger=False)
    assert list(many.refused) == [1]
    assert "two processes died while they ran it" in many.refused[1]
    assert many.figures[[0, 2]].tobytes() == alone.figures[[0, 2]].tobytes()


def task_of(kind: type[Strategy], candles: Candles, folder: Path, rows: list[dict[str, Any]]) -> Task:
    from backtest.study.measured import Account

    parts = Parts(str(folder))
    account = Account(histories_of(candles), "candle", SubscriberProfile.anny(), VenueAssumptions(), 0)
    job = Job.of(Shipped.of(kind), account, parts)
    return Task.of(parts, parts.put_job(job), job.identity, rows)


def test_a_task_that_takes_too_long_ends_its_process(strategy: Path, tmp_path: Path) -> None:
    candles = Candles.sample("ETH/USD", "1d").slice(0, 100)
    task = task_of(load_strategy(str(strategy)), candles, tmp_path / "parts", [{"length": 14, "stop": 0.05}])
    code = f"from backtest.study.worker import work\nwork({json.dumps(asdict(task))!r}, 0.5)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT), "HANG": "1"}, check=False, timeout=120
    )
    assert done.returncode == 1
    assert not parts_of(tmp_path / "parts")


def test_a_task_is_below_a_kilobyte(strategy: Path, tmp_path: Path) -> None:
    candles = Candles.sample("ETH/USD", "1d")
    rows = [{"length": length, "stop": stop / 100} for length in range(10, 26) for stop in range(1, 13)]
    task = task_of(load_strategy(str(strategy)), candles, tmp_path, rows)
    assert len(json.dumps(asdict(task))) < 1_000
    assert task.parameters() == rows


def test_a_cluster_gives_the_same_bytes_and_its_scheduler_s_death_loses_nothing_that_was_done(
    strategy: Path, tmp_path: Path
) -> None:
    assert sweep(strategy, tmp_path / "one").status == 0
    other = {"SLOW": "0.2"}
    with cluster([{"DIE_ONCE": str(tmp_path / "died"), **other}, {"SLOW": "0.4", **other}]) as (address, scheduler):
        done = sweep(strategy, tmp_path / "two", "--cluster", address)
        assert done.status == 0, done.err
        assert same(tmp_path / "one", tmp_path / "two")
        markets = [Candles.sample(symbol, "1d").slice(0, 500) for symbol in ("LTC/USD", "ETH/USD")]
        here, there = (
            run_each(load_strategy(str(strategy)), {"length": [15]}, markets, workers=workers, ledger=False)
            for workers in (1, address)
        )
        assert there.markets == ("ETH/USD", "LTC/USD")
        assert there.figures.tobytes() == here.figures.tobytes()
        folder = tmp_path / "parts"

        def kill() -> None:
            while not parts_of(folder):
                time.sleep(0.01)
            scheduler.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        done = sweep(strategy, None, "--cluster", address, "--parts", folder)
        killer.join()
        assert done.status == 3
        assert f"the scheduler {address} is gone; the parts that were written are kept" in done.err
    before = parts_of(folder)
    assert 1 <= len(before) < 8
    done = sweep(strategy, tmp_path / "three", "--parts", folder)
    assert done.status == 0, done.err
    assert same(tmp_path / "one", tmp_path / "three")
    assert {name: at for name, at in parts_of(folder).items() if name in before} == before


def test_a_cluster_with_certificates_gives_the_same_bytes_and_knows_those_of_another_authority(
    strategy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sweep(strategy, tmp_path / "one").status == 0
    others = dask_environment(tmp_path / "others")
    for name, value in dask_environment(tmp_path / "ours").items():
        monkeypatch.setenv(name, value)
    with cluster([{}], "tls") as (address, _):
        asked = ("sweep", strategy, "--candles", "sample:ETH/USD:1d", *GRID, "--cluster", address)
        there = ("--parts", tmp_path / "parts", "--out", tmp_path / "two")
        done = in_process_of_its_own(*map(str, (*asked, *there)))
        assert done.status == 0, done.err
        assert same(tmp_path / "one", tmp_path / "two")
        done = in_process_of_its_own(*map(str, asked))
        assert done.status == 2
        assert "a cluster of several machines needs --parts" in done.err
        for name, value in others.items():
            monkeypatch.setenv(name, value)
        done = in_process_of_its_own(*map(str, (*asked, *there)))
        assert done.status == 3
        assert done.err.startswith(f"error: no scheduler answers at {address}: TLS certificate does not match")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("tcp://10.1.2.3:8786", "neither encrypted nor does it ask who is there.*tls://HOST:8786"),
        ("tcp://cluster.example:8786", "neither encrypted"),
        ("10.1.2.3:8786", "a cluster is written tls://HOST:8786"),
        ("http://127.0.0.1:8786", "a cluster is written tls://HOST:8786"),
    ],
)
def test_a_cluster_that_anybody_could_reach_is_refused(address: str, sentence: str) -> None:
    with pytest.raises(InvalidSettingError, match=sentence):
        run_many(Local, {"length": [5, 6]}, Candles.sample("ETH/USD", "1d"), workers=address)


def test_a_scheduler_that_is_not_there_is_said_in_one_sentence(strategy: Path) -> None:
    done = sweep(strategy, None, "--cluster", "tcp://127.0.0.1:1")
    assert done.status == 3
    assert done.err.startswith("error: no scheduler answers at tcp://127.0.0.1:1")
    assert done.err.count("\n") == 1
    done = sweep(strategy, None, "--cluster", "tls://127.0.0.1:1")
    assert done.status == 2
    assert "tls:// needs certificates: name them in DASK_DISTRIBUTED__COMM__TLS__CA_FILE" in done.err
    done = sweep(strategy, None, "--cluster", "tcp://127.0.0.1:1", "--jobs", 2)
    assert done.status == 2
    assert "--jobs 2 are processes on this machine" in done.err


class Local(Strategy):
    """At the top of a module that is no strategy file."""

    length: int = Field(20, ge=2)

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if not now.signals and now.position % self.length == 0:
            yield now.market(targets=[1.1 * now.close], stop_loss=0.9 * now.close, invest=10)


def test_what_a_process_cannot_have_is_refused_in_one_sentence(tmp_path: Path) -> None:
    class Inner(Local):
        pass

    candles = Candles.sample("ETH/USD", "1d").slice(0, 100)
    with pytest.raises(InvalidSettingError, match="Inner cannot be sent to another process: it is defined inside"):
        run_many(Inner, {"length": [5, 6]}, candles, workers=2)
    lonely = tmp_path / "needs.py"
    (tmp_path / "beside.py").write_text("VALUE = 1\n", "utf-8")
    lonely.write_text(f"from beside import VALUE\n{STRATEGY}", "utf-8")
    sys.path.insert(0, str(tmp_path))
    try:
        kind = load_strategy(str(lonely))
        assert Shipped.of(kind).unpacked() is not kind
    finally:
        sys.path.remove(str(tmp_path))
    text = Shipped("Dip", f"import not_installed_anywhere\n{STRATEGY}")
    with pytest.raises(InvalidSettingError, match=r"No module named 'not_installed_anywhere'.*must be installed there"):
        text.unpacked()


def test_detail_funding_and_several_markets_travel_too() -> None:
    hours = Candles.sample("BTC/USD", "1h")
    days = hours.resample("1d")
    finer = hours.between(int(days.time[0]), int(days.close_time[-1]))
    rates = np.column_stack([days.time[:300], np.full(300, 1e-4)])
    profile = SubscriberProfile.anny(balance=5_000.0, slippage=0.0012)
    told: dict[str, Any] = {
        "market": Market("BTC/USD", tick="0.5", step="0.001"),
        "profile": profile,
        "assumptions": VenueAssumptions(fill_without_volume=True),
    }
    grid = {"length": [5, 40]}
    with crew_of(2) as crew:
        for candles, more in (
            (days, {**told, "detail": {"BTC/USD": finer}, "funding": rates}),
            ({symbol: Candles.sample(symbol, "1d") for symbol in ("BTC/USD", "ETH/USD")}, {}),
        ):
            here, there = (run_many(Local, grid, candles, workers=n, ledger=False, **more) for n in (1, crew))
            assert here.table["trades"].min() > 0
            assert here.figures.tobytes() == there.figures.tobytes()
            assert here.daily.tobytes() == there.daily.tobytes()


def test_a_strategy_whose_file_changed_since_it_was_loaded_is_sent_as_it_was_loaded(strategy: Path) -> None:
    kind = load_strategy(str(strategy))
    strategy.write_text("this is no Python", "utf-8")
    assert Shipped.of(kind).text == STRATEGY


NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in CELLS:
    shell.run_cell(cell, store_history=True).raise_error()
"""
CELLS = [
    """
import threading
import numpy as np
from backtest import Candles, Field, Strategy, run_many
from backtest import indicators as ta
lock = threading.Lock()
""",
    """
WIDTH = (0.9, 1.1)

def level(close, side):
    return close * WIDTH[side]
""",
    """
class Dip(Strategy):
    length: int = Field(20, ge=2)

    def indicators(self, candles):
        return {"mean": ta.sma(candles.close, self.length)}

    def on_candle(self, now):
        if not now.signals and now.close < now["mean"]:
            yield now.market(targets=[level(now.close, 1)], stop_loss=level(now.close, 0), invest=10)

class Locked(Dip):
    def on_event(self, now, event):
        with lock:
            return ()
""",
    """
candles = Candles.sample("ETH/USD", "1d").slice(0, 500)
one, two = (run_many(Dip, {"length": [10, 20]}, candles, workers=n, ledger=False) for n in (1, 2))
assert one.figures.tobytes() == two.figures.tobytes() and one.table.trades.min() > 0
try:
    run_many(Locked, {"length": [10, 20]}, candles, workers=2)
except Exception as error:
    print(error)
""",
]


def test_a_strategy_of_a_notebook_runs_in_other_processes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"CELLS = {CELLS!r}\n{NOTEBOOK}"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": os.devnull, "BACKTEST_TRIALS": "off"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.strip() == (
        "Locked cannot be sent to another process: it uses lock, a lock that its source text does not make; put the strategy "
        "in a file of its own, or run the sweep in one process"
    )


def test_a_store_that_cannot_be_written_is_read_by_other_processes(strategy: Path, tmp_path: Path) -> None:
    from backtest.market_data.columns import columns_of
    from backtest.market_data.series import Series
    from backtest.market_data.store import Store

    root = tmp_path / "store"
    candles = Candles.sample("ETH/USD", "1d").slice(0, 600)
    span = (int(candles.time[0]), int(candles.close_time[-1]))
    Store(root).add(Series("binance", "ETH/USDT", "1d"), columns_of(candles), asked=[span], source="binance")
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}
    source = "store:binance:ETH/USDT:1d"
    try:
        one = sweep(strategy, tmp_path / "one", "--store", root, candles=source)
        two = sweep(strategy, tmp_path / "two", "--store", root, "--jobs", 2, candles=source)
        assert (one.status, two.status) == (0, 0), one.err + two.err
        assert same(tmp_path / "one", tmp_path / "two")
        assert {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]} == before
    finally:
        for path in before:
            path.chmod(0o755)
