"""Verify finds what is wrong with a series; repair sets it right and loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from backtest.errors import StorageError
from backtest.market_data.columns import columns_of
from backtest.market_data.manifest import Refused
from backtest.market_data.series import Series
from backtest.market_data.store import Store
from backtest.market_data.upkeep import repair, take_revisions, verify
from tests.unit.test_store import HOUR, SERIES, START, add, candles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    add(made, 0, 1000)
    return made


def kinds(store: Store, series: Series = SERIES) -> list[str]:
    return [finding.kind for finding in verify(store, series) if finding.serious]


def test_a_whole_series_has_no_findings(store: Store) -> None:
    assert kinds(store) == []
    assert repair(store, SERIES) == []


def test_a_file_cut_in_half_is_set_aside_and_its_rows_are_missing(store: Store, tmp_path: Path) -> None:
    file = tmp_path / SERIES.folder / "2020.parquet"
    file.write_bytes(file.read_bytes()[:5000])
    assert kinds(store) == ["damaged"]
    assert repair(store, SERIES) == [
        "2020.parquet was damaged: it is now 2020.parquet.damaged-1, its rows count as never fetched"
    ]
    assert (tmp_path / SERIES.folder / "2020.parquet.damaged-1").stat().st_size == 5000
    assert store.missing(SERIES, START, START + 1000 * HOUR) == [(START + 500 * HOUR, START + 1000 * HOUR)]
    add(store, 500, 1000)
    assert store.candles(SERIES).hash == candles(0, 1000).hash
    assert kinds(store) == []
    assert repair(store, SERIES, force=True) == ["2020.parquet.damaged-1 was deleted"]


def test_a_remote_store_is_repaired_like_a_local_one(tmp_path: Path) -> None:
    remote = Store(f"memory://{tmp_path}")
    add(remote, 0, 1000)
    file = f"{SERIES.folder}/2020.parquet"
    remote.disk.write(file, bytes(remote.disk.read(file) or b"")[:5000])
    assert kinds(remote) == ["damaged"]
    assert "it is now 2020.parquet.damaged-1" in repair(remote, SERIES)[0]
    assert remote.disk.size(f"{file}.damaged-1") == 5000
    assert repair(remote, SERIES, force=True) == ["2020.parquet.damaged-1 was deleted"]
    assert remote.years(SERIES) == [2019]


def test_a_remote_store_that_does_not_answer_is_one_sentence() -> None:
    remote = Store("http://127.0.0.1:9/candles")
    for work in (remote.series, lambda: remote.manifest(SERIES), lambda: add(remote, 0, 1)):
        with pytest.raises(StorageError, match=r"cannot (read|write) http://127\.0\.0\.1:9/candles"):
            work()
    with pytest.raises(StorageError, match="cannot write"):
        remote.disk.write("a", b"")


def test_a_flipped_bit_is_found_by_the_hash(store: Store, tmp_path: Path) -> None:
    file = tmp_path / SERIES.folder / "2019.parquet"
    data = bytearray(file.read_bytes())
    place = data.index(np.float64(candles(0, 1000).close[7]).tobytes()) + 1
    data[place] ^= 1
    file.write_bytes(bytes(data))
    assert len(store.candles(SERIES)) == 1000  # it reads
    assert kinds(store) == ["damaged"]


def test_a_manifest_behind_its_file_is_made_again(store: Store, tmp_path: Path) -> None:
    manifest = tmp_path / SERIES.folder / "manifest.json"
    behind = manifest.read_bytes()
    add(store, 1000, 1100)
    manifest.write_bytes(behind)  # as if the run had died between the two
    assert kinds(store) == ["manifest"]
    assert repair(store, SERIES) == ["manifest.json was behind 2020.parquet: it now tells its 600 rows"]
    assert kinds(store) == []


def test_a_damaged_manifest_is_made_again_from_the_files(store: Store, tmp_path: Path) -> None:
    manifest = tmp_path / SERIES.folder / "manifest.json"
    manifest.write_text("{")
    assert kinds(store) == ["damaged"]
    done = repair(store, SERIES)
    assert (
        done[0]
        == "manifest.json was damaged: it is now manifest.json.damaged-1, a new one was made from the candle files"
    )
    assert store.missing(SERIES, START, START + 1001 * HOUR) == [(START + 1000 * HOUR, START + 1001 * HOUR)]
    assert kinds(store) == []


def test_gaps_are_told_with_their_cause(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0, 10)
    add(store, 20, 30)
    assert kinds(store) == ["gap"]
    store.add(SERIES, columns_of(candles(0, 0)), asked=[(START, START + 30 * HOUR)], source="binance")
    found = [f for f in verify(store, SERIES) if f.kind == "gap"]
    assert [(f.serious, f.count, f.text) for f in found] == [(False, 10, "the exchange has none")]


def test_revisions_are_taken_only_when_asked_and_the_old_candles_stay(store: Store) -> None:
    add(store, 495, 505, lift=5.0)
    assert kinds(store) == ["revised"]
    told = take_revisions(store, SERIES)
    assert told == ["10 candles were replaced by those of revised-1.parquet, the old ones are in replaced-1.parquet"]
    held = store.candles(SERIES)
    np.testing.assert_array_equal(held.close[495:505], candles(495, 505, lift=5.0).close)
    np.testing.assert_array_equal(held.close[:495], candles(0, 495).close)
    assert len(held) == 1000
    old = store.read(SERIES, ["replaced-1.parquet"])
    np.testing.assert_array_equal(old["close"], candles(495, 505).close)
    assert kinds(store) == []
    assert take_revisions(store, SERIES) == []
    assert add(store, 495, 505).revised == 10  # the exchange changed its mind back: told again


def test_refused_candles_are_told(store: Store) -> None:
    wrong = [Refused(START, "high 1, low 2")]
    store.add(SERIES, columns_of(candles(0, 0)), asked=[(START, START + HOUR)], source="binance", refused=wrong)
    assert ("refused", "high 1, low 2") in [(f.kind, f.text) for f in verify(store, SERIES)]
    assert kinds(store) == []


def test_coarse_candles_are_compared_with_finer_ones(store: Store) -> None:
    coarse = store.candles(SERIES).resample("4h")
    series = Series("binance", "BTC/USDT", "4h")
    asked = [(int(coarse.time[0]), int(coarse.close_time[-1]))]
    store.add(series, columns_of(coarse), asked=asked, source="binance")
    assert kinds(store, series) == []
    wrong = Store(store.disk.source(".") + "/wrong")
    columns = {**columns_of(coarse), "high": coarse.high + np.where(np.arange(len(coarse)) == 9, 1.0, 0.0)}
    wrong.add(series, columns, asked=asked, source="binance")
    wrong.add(SERIES, store.columns(SERIES), asked=asked, source="binance")
    found = [f for f in verify(wrong, series) if f.serious]
    assert [(f.kind, f.count, f.time) for f in found] == [("spike", 1, int(coarse.time[9]))]
    assert "its 1h candles say" in found[0].text
