"""Verify finds what is wrong with a series; repair sets it right and loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from backtest.errors import DataUnavailableError, StorageError
from backtest.market_data.columns import columns_of
from backtest.market_data.load import load_candles
from backtest.market_data.manifest import Refused
from backtest.market_data.series import Series
from backtest.market_data.store import Store
from backtest.market_data.upkeep import repair, take_revisions, verify
from tests.unit.test_store import HOUR, SERIES, START, add, candles

if TYPE_CHECKING:
    from collections.abc import Callable
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
    with pytest.raises(DataUnavailableError, match=r"2019\.parquet is damaged .*`backtest data repair BTC/USDT"):
        store.candles(SERIES)
    assert kinds(store) == ["damaged"]


def swapped(folder: Path) -> None:
    one, other = (folder / f"{year}.parquet" for year in (2019, 2020))
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)


def shorter(folder: Path) -> None:
    store = Store(folder.parents[2] / "older")
    add(store, 0, 700)
    (folder / "2020.parquet").write_bytes((folder.parents[2] / "older" / SERIES.folder / "2020.parquet").read_bytes())


def gone(folder: Path) -> None:
    (folder / "2020.parquet").unlink()


def all_gone(folder: Path) -> None:
    gone(folder)
    (folder / "2019.parquet").unlink()


def of_another(folder: Path) -> None:
    other = Series("binance", "ETH/USDT", "1h")
    store = Store(folder.parents[2] / "older")
    store.add(other, columns_of(candles(0, 1000, lift=9.0)), asked=[(START, START + 1000 * HOUR)], source="binance")
    (folder / "2020.parquet").write_bytes((folder.parents[2] / "older" / other.folder / "2020.parquet").read_bytes())


@pytest.mark.parametrize(
    ("harm", "kind", "told", "lost"),
    [
        (
            shorter,
            "lost",
            r"2020\.parquet has 200 of the 500 rows that were written, as an older copy would",
            (500, 1000),
        ),
        (gone, "lost", r"2020\.parquet is gone, with 500 rows", (500, 1000)),
        (all_gone, "lost", r"2019\.parquet is gone, with 500 rows", (0, 1000)),
        (swapped, "damaged", r"2019\.parquet holds rows of 2020 to 2020: files were swapped", (0, 1000)),
        (of_another, "damaged", "", (500, 1000)),
    ],
)
def test_a_file_that_is_not_the_one_that_was_written(
    harm: Callable[[Path], None], kind: str, told: str, lost: tuple[int, int], store: Store, tmp_path: Path
) -> None:
    harm(tmp_path / SERIES.folder)
    assert kind in kinds(store)
    if told:
        with pytest.raises(DataUnavailableError, match=rf"{told}; `backtest data repair BTC/USDT .*` sets that right"):
            load_candles("BTC/USDT", "1h", exchange="binance", store=store, incomplete=True)
    if kind == "lost":  # a fetch does what a repair does
        other = Store(tmp_path)
        assert other.series() == [SERIES]
        assert "counts as never fetched" in other.reconcile(SERIES)[0]
    else:
        assert "damaged" in " ".join(repair(store, SERIES))
    assert store.missing(SERIES, START, START + 1000 * HOUR) == [(START + lost[0] * HOUR, START + lost[1] * HOUR)]
    add(store, *lost)
    assert store.candles(SERIES).hash == candles(0, 1000).hash
    assert kinds(store) == []
    assert repair(store, SERIES) == []


def test_rows_put_beside_an_older_file_do_not_hide_what_it_lost(store: Store, tmp_path: Path) -> None:
    shorter(tmp_path / SERIES.folder)
    add(store, 900, 1000)
    assert store.missing(SERIES, START, START + 1000 * HOUR) == [(START + 500 * HOUR, START + 900 * HOUR)]
    assert "lost" not in kinds(store)


def test_repair_takes_a_lost_year_out_of_what_was_asked_in_a_remote_store_too(tmp_path: Path) -> None:
    remote = Store(f"memory://{tmp_path}")
    add(remote, 0, 700)
    older = bytes(remote.disk.read(f"{SERIES.folder}/2020.parquet") or b"")
    add(remote, 700, 1000)
    remote.disk.write(f"{SERIES.folder}/2020.parquet", older)
    assert remote.reconcile(SERIES) == []  # it would have to send the files
    assert "200 of the 500 rows" in repair(remote, SERIES)[0]
    assert remote.missing(SERIES, START, START + 1000 * HOUR) == [(START + 500 * HOUR, START + 1000 * HOUR)]


def test_a_manifest_that_is_gone_is_told(store: Store, tmp_path: Path) -> None:
    (tmp_path / SERIES.folder / "manifest.json").unlink()
    with pytest.raises(DataUnavailableError, match=r"its manifest\.json is gone; `backtest data repair BTC/USDT"):
        load_candles("BTC/USDT", "1h", exchange="binance", store=store)
    assert repair(store, SERIES)[0] == "manifest.json was gone, a new one was made from the candle files"
    assert len(load_candles("BTC/USDT", "1h", exchange="binance", store=store)) == 1000
    assert kinds(store) == []


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
