"""Sweeps whose parts and candles lie in an object store: whole or not at all, whoever dies, and machines that differ."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from backtest import Candles
from backtest.market_data.columns import columns_of
from backtest.market_data.series import Series
from backtest.market_data.store import Store
from tests.command_line import Done, backtest
from tests.dask_room import cluster, joined
from tests.object_store import ObjectStore, forget_connections, object_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("s3fs")

STRATEGY = """
import os
import signal
import time
from pathlib import Path

from backtest import Field, Strategy, indicators as ta

ONCE, UNTIL = os.environ.get("DIE_ONCE"), os.environ.get("UNTIL")


class Dip(Strategy):
    length: int = Field(20, ge=2)

    def indicators(self, candles):
        if ONCE and not Path(ONCE).exists():
            Path(ONCE).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        while UNTIL and candles.symbol == "M7/USDT" and not Path(UNTIL).exists():
            time.sleep(0.01)
        return {"mean": ta.sma(candles.close, self.length)}

    def on_candle(self, now):
        if not now.signals and now.close < 0.9 * now["mean"]:
            yield now.market(targets=[1.1 * now.close], stop_loss=0.95 * now.close, invest=10)
"""
MARKETS = [f"M{k}/USDT" for k in range(8)]
WRITTEN = ("sweep.csv", "sweep.parquet", "rows.csv")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with object_store(monkeypatch) as store:
        yield store


@pytest.fixture
def strategy(tmp_path: Path) -> Path:
    file = tmp_path / "dip.py"
    file.write_text(STRATEGY, "utf-8")
    return file


def fill(root: object, count: int = 8) -> None:
    candles = Candles.sample("ETH/USD", "1d")
    for k, symbol in enumerate(MARKETS[:count]):
        part = candles.slice(20 * k, 20 * k + 200)
        span = (int(part.time[0]), int(part.close_time[-1]))
        Store(str(root)).add(Series("binance", symbol, "1d"), columns_of(part), asked=[span], source="binance")


def sweep(strategy: Path, store: object, *more: object) -> Done:
    asked = ("--market", "*", "--exchange", "binance", "--timeframe", "1d", "--grid", "length=10")
    return backtest("sweep", strategy, *asked, "--store", store, *more)


def same(one: Path, two: Path) -> bool:
    return all((one / name).read_bytes() == (two / name).read_bytes() for name in WRITTEN)


def test_parts_in_a_bucket_are_whole_though_workers_die_and_connections_break(
    strategy: Path, bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "store", 3)
    fill("s3://bucket/candles", 3)
    assert sweep(strategy, tmp_path / "store", "--out", tmp_path / "one").status == 0
    monkeypatch.setenv("DIE_ONCE", str(tmp_path / "died"))
    bucket.cut = 1
    done = sweep(
        strategy, "s3://bucket/candles", "--parts", "s3://bucket/parts", "--jobs", 2, "--out", tmp_path / "two"
    )
    assert done.status == 0, done.err
    assert (tmp_path / "died").exists()
    assert bucket.cut == 0
    assert same(tmp_path / "one", tmp_path / "two")
    parts = bucket.keys("parts/part-")
    assert len(parts) == 3
    held = bucket.buckets["bucket"]
    held[parts[0]] = held[parts[0]][:-50]
    kept = {name: held[name] for name in parts[1:]}
    done = sweep(strategy, "s3://bucket/candles", "--parts", "s3://bucket/parts", "--out", tmp_path / "three")
    assert done.status == 0, done.err
    assert same(tmp_path / "one", tmp_path / "three")
    assert all(held[name] is kept[name] for name in kept)  # nothing was put twice
    assert bucket.keys("parts/part-") == parts


def test_a_bucket_that_cannot_be_had_is_one_sentence_and_none_is_made(
    strategy: Path, bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "store", 1)
    done = sweep(strategy, tmp_path / "store", "--parts", "s3://buckett/parts")
    assert (done.status, done.err.count("\n")) == (3, 1)
    assert "there is no bucket 'buckett' for s3://buckett/parts: make it first, or name another" in done.err
    done = sweep(strategy, "s3://buckett/candles")
    assert (done.status, done.err.count("\n")) == (3, 1)
    assert "there is no bucket 'buckett'" in done.err
    assert list(bucket.buckets) == ["bucket"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stranger")
    forget_connections()
    done = sweep(strategy, tmp_path / "store", "--parts", "s3://bucket/parts")
    assert (done.status, done.err.count("\n")) == (3, 1)
    assert "cannot read s3://bucket/parts/: AccessDenied" in done.err


def test_machines_that_come_and_go_or_lack_what_others_have_change_no_byte(
    strategy: Path,
    bucket: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("backtest.study.crew._LOOK", 0.1)
    fill("s3://bucket/candles")
    assert sweep(strategy, "s3://bucket/candles", "--out", tmp_path / "one").status == 0
    older = tmp_path / "older" / "backtest" / "study"
    older.mkdir(parents=True)
    for folder in (older, older.parent):
        (folder / "__init__.py").touch()
    (older / "worker.py").write_text("def about():\n    return 'older'\n", "utf-8")
    until = tmp_path / "until"
    with cluster([{"AWS_ACCESS_KEY_ID": "stranger"}, {"UNTIL": str(until)}]) as (address, _):

        def come_late() -> None:
            while not bucket.keys("parts/part-"):
                time.sleep(0.01)
            with joined(address, [{}], root=tmp_path / "older", first=3):
                while "another backtest" not in caplog.text:
                    time.sleep(0.01)
            until.touch()

        late = threading.Thread(target=come_late)
        late.start()
        asked = ("--parts", "s3://bucket/parts", "--cluster", address, "--out", tmp_path / "two")
        done = sweep(strategy, "s3://bucket/candles", *asked)
        late.join()
    assert done.status == 0, done.err
    assert same(tmp_path / "one", tmp_path / "two")
    assert "127.0.0.1:" in caplog.text
    assert "3 tasks in a row could be done elsewhere only: cannot read s3://bucket/parts/job-" in caplog.text
    assert "worker tcp://127.0.0.3:" in caplog.text
