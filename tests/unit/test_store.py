"""The store: rows go in, stay in, and come out as they were."""

from __future__ import annotations

import json
import multiprocessing
import resource
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest.errors import BacktestError, DataUnavailableError, InvalidSettingError, StorageError
from backtest.market_data.columns import columns_of
from backtest.market_data.series import FUNDING, Series
from backtest.market_data.store import Added, Store
from backtest.model.candles import Candles

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600_000
START = 1_577_836_800_000 - 500 * HOUR  # 500 hours before 2020
SERIES = Series("binance", "BTC/USDT", "1h")


def candles(first: int, last: int, *, lift: float = 0.0) -> Candles:
    n = np.arange(first, last)
    close = np.asarray(100.0 + n % 50 + lift, np.float64)
    return Candles("BTC/USDT", "1h", START + n * HOUR, close - 1, close + 2, close - 2, close, n / 8, "binance")


def add(store: Store, first: int, last: int, *, lift: float = 0.0, source: str = "binance") -> Added:
    asked = [(START + first * HOUR, START + last * HOUR)]
    return store.add(SERIES, columns_of(candles(first, last, lift=lift)), asked=asked, source=source)


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path if request.param == "local" else f"memory://{tmp_path}")


def test_rows_come_out_as_they_went_in_over_years_and_parts(store: Store) -> None:
    assert add(store, 400, 600) == Added(200, 0)
    assert add(store, 700, 1000) == Added(300, 0)  # append
    assert add(store, 0, 450) == Added(400, 0)  # prepend, overlapping
    assert add(store, 550, 800) == Added(100, 0)  # fill
    assert store.candles(SERIES).hash == candles(0, 1000).hash
    assert store.years(SERIES) == [2019, 2020]
    assert store.series() == [SERIES]
    assert store.reconcile(SERIES) == []


def test_a_range_reads_only_its_candles(store: Store) -> None:
    add(store, 0, 1000)
    part = store.candles(SERIES, START + 490 * HOUR, START + 510 * HOUR)
    assert part.hash == candles(490, 510).hash
    assert len(store.candles(SERIES, START + 5000 * HOUR)) == 0
    assert len(store.candles(Series("okx", "BTC/USDT", "1h"))) == 0


def test_the_manifest_tells_source_hash_rows_gaps_and_what_was_asked(store: Store) -> None:
    add(store, 0, 100, source="binance")
    add(store, 110, 200, source="file:x.csv")
    manifest = store.manifest(SERIES)
    assert [(f.source, f.rows) for f in manifest.fetches] == [("binance", 100), ("file:x.csv", 90)]
    assert manifest.years["2019"].rows == 190
    assert manifest.years["2019"].gaps == ((START + 100 * HOUR, START + 110 * HOUR),)
    assert len(manifest.years["2019"].sha256) == 64
    assert store.missing(SERIES, START, START + 200 * HOUR) == [(START + 100 * HOUR, START + 110 * HOUR)]
    gap = manifest.gaps(store.candles(SERIES).time, HOUR)[0]
    assert (gap.candles, gap.asked) == (10, False)
    store.add(SERIES, columns_of(candles(0, 0)), asked=[(START, START + 200 * HOUR)], source="binance")
    assert store.manifest(SERIES).gaps(store.candles(SERIES).time, HOUR)[0].asked


def test_a_revised_candle_is_kept_apart_and_told_once(store: Store) -> None:
    add(store, 0, 100)
    assert add(store, 10, 20, lift=3.0) == Added(0, 10)
    assert add(store, 15, 22, lift=3.0) == Added(0, 2)  # five of them are known
    assert store.candles(SERIES).hash == candles(0, 100).hash
    revisions = store.manifest(SERIES).revisions
    assert [(r.file, r.rows) for r in revisions] == [("revised-1.parquet", 10), ("revised-2.parquet", 2)]
    kept = store.read(SERIES, ["revised-1.parquet"])
    np.testing.assert_array_equal(kept["close"], candles(10, 20, lift=3.0).close)


def test_minus_zero_volume_is_zero_so_that_equal_candles_are_equal_bytes(store: Store) -> None:
    one = np.ones(1)
    for sign in (0.0, -0.0):
        made = Candles("BTC/USDT", "1h", np.array([START]), one, one, one, one, np.array([sign]))
        store.add(SERIES, columns_of(made), asked=[(START, START + HOUR)], source="binance")
    assert np.signbit(store.candles(SERIES).volume).tolist() == [False]


def test_funding_rates_have_a_series_of_their_own(store: Store) -> None:
    series = Series("BINANCE", "BTC/USDT:USDT", "", FUNDING)
    time = START + 8 * HOUR * np.arange(5)
    columns = {"time": time, "rate": np.linspace(-1e-4, 1e-4, 5)}
    store.add(series, columns, asked=[(START, START + 40 * HOUR)], source="binance")
    np.testing.assert_array_equal(store.columns(series)["rate"], columns["rate"])
    assert store.series() == [series]
    assert series.folder == "binance/BTC_USDT_USDT/funding"


@pytest.mark.parametrize("keep", [0, 3, 100, 4000, -9])
def test_a_file_cut_off_anywhere_is_one_sentence(keep: int, tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0, 400)
    file = tmp_path / SERIES.folder / "2019.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:keep])
    add(store, 600, 700)  # another year
    way_out = r"1h/2019.parquet is damaged .*`backtest data repair BTC/USDT --exchange binance --timeframe 1h`"
    with pytest.raises(DataUnavailableError, match=way_out) as raised:
        store.candles(SERIES)
    with pytest.raises(DataUnavailableError, match=way_out):
        store.reconcile(SERIES)
    assert raised.value.exit_status == 3
    assert "\n" not in str(raised.value)
    with pytest.raises(DataUnavailableError):
        add(store, 300, 500)
    assert file.read_bytes() == whole[:keep]


def test_a_damaged_manifest_is_one_sentence(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0, 10)
    (tmp_path / SERIES.folder / "manifest.json").write_text('{"format": 1, "asked"')
    with pytest.raises(DataUnavailableError, match=r"manifest\.json is damaged"):
        add(store, 0, 20)
    (tmp_path / SERIES.folder / "manifest.json").write_text(json.dumps({"format": 7}))
    with pytest.raises(DataUnavailableError, match="has format 7, this version reads 1"):
        store.candles(SERIES)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0, 100)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*2019.parquet: File too large; nothing was changed"):
            add(store, 100, 400)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.candles(SERIES).hash == candles(0, 100).hash
    assert sorted(path.name for path in (tmp_path / SERIES.folder).iterdir()) == [
        ".lock", "2019.parquet", "manifest.json",
    ]  # fmt: skip


def test_a_disk_that_fills_up_says_which_years_were_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        told = (
            r"2020\.parquet: File too large; the rows of 2019 were written, those of 2020 were not: run the same again"
        )
        with pytest.raises(StorageError, match=told):
            add(store, 0, 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.missing(SERIES, START, START + 2000 * HOUR) == [(START, START + 2000 * HOUR)]
    assert add(store, 0, 2000) == Added(1500, 0)
    assert store.candles(SERIES).hash == candles(0, 2000).hash


def test_a_root_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        add(Store(tmp_path / "store"), 0, 1)
    assert Store(tmp_path / "store").series() == []


def write_in_turns(root: str, offset: int) -> None:
    for first in range(offset, 400, 40):
        add(Store(root), first, first + 20)


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_in_turns, args=(str(tmp_path), offset)) for offset in (0, 20)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert Store(tmp_path).candles(SERIES).hash == candles(0, 400).hash
    assert sum(fetch.rows for fetch in Store(tmp_path).manifest(SERIES).fetches) == 400


def test_what_a_crash_left_behind_is_not_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0, 50)
    (tmp_path / SERIES.folder / ".unfinished-2019.parquet-abc").write_bytes(b"PAR1half")
    assert store.candles(SERIES).hash == candles(0, 50).hash
    (tmp_path / SERIES.folder / "manifest.json").unlink()  # died between the file and its manifest
    assert add(store, 0, 50) == Added(0, 0)
    assert store.manifest(SERIES).years["2019"].rows == 50


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("bin ance", "BTC/USDT", "1h"), "an exchange is named by its letters"),
        (("binance", "../../etc", "1h"), "symbol is written BASE/QUOTE"),
        (("binance", "BTC", "1h"), "symbol is written BASE/QUOTE"),
        (("binance", "BTC/USDT", "60"), "timeframe was '60'"),
        (("binance", "BTC/USDT", "1h", "index"), "kind is"),
    ],
)
def test_names_that_cannot_be_are_refused(arguments: Any, sentence: str) -> None:
    with pytest.raises(InvalidSettingError, match=sentence):
        Series(*arguments)


def test_exchanges_have_one_name_however_they_are_written() -> None:
    assert [Series(n, "A/B", "1h").exchange for n in ("BINANCE", "gateio", "Gate.io", "okex", "huobi", " KuCoin ")] == [
        "binance", "gate", "gate", "okx", "htx", "kucoin",
    ]  # fmt: skip


@pytest.mark.parametrize("series", [SERIES, Series("okx", "A/B:C", "5m", "mark"), Series("okx", "A/B:C", "", FUNDING)])
def test_a_folder_names_its_series(series: Series) -> None:
    assert Series.of_folder(series.folder) == series
    assert Series.of_folder("okx/readme/1h") is None


def test_an_unknown_kind_of_store_is_one_sentence() -> None:
    with pytest.raises(InvalidSettingError, match="the store nowhere://x cannot be opened"):
        Store("nowhere://x")


def test_a_file_url_is_a_local_store(tmp_path: Path) -> None:
    add(Store(f"file://{tmp_path}"), 0, 5)
    assert len(Store(tmp_path).candles(SERIES)) == 5


def test_a_later_writer_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backtest.market_data.disk._PATIENCE", 0.1)
    store = Store(tmp_path)
    with store.disk.lock(SERIES.folder), pytest.raises(BacktestError, match="another process has been writing"):
        add(store, 0, 1)
    assert add(store, 0, 1) == Added(1, 0)
