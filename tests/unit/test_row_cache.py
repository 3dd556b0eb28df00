"""The cache beside the store: the same rows, sooner; never rows that Parquet does not have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest import BacktestError, Candles, InvalidCandlesError
from backtest.errors import DataUnavailableError
from backtest.market_data.cache import LEAST_ROWS
from backtest.market_data.columns import columns_of
from backtest.market_data.series import Series
from backtest.market_data.store import Store
from backtest.market_data.upkeep import verify
from backtest.model.candles import least_distance
from backtest.model.sound import passed

MINUTE = 60_000
START = 1_577_836_800_000 - 50_000 * MINUTE  # 50,000 minutes before 2020
SERIES = Series("binance", "BTC/USDT", "1m")


def candles(first: int, last: int, *, lift: float = 0.0, symbol: str = "BTC/USDT") -> Candles:
    n = np.arange(first, last)
    close = np.asarray(100.0 + n % 50 + lift, np.float64)
    return Candles(symbol, "1m", START + n * MINUTE, close - 1, close + 2, close - 2, close, 1.0 + n / 8, "binance")


def add(store: Store, one: Candles) -> None:
    asked = [(int(one.time[0]), int(one.close_time[-1]))]
    store.add(Series("binance", one.symbol, "1m"), columns_of(one), asked=asked, source="binance")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    add(made, candles(0, LEAST_ROWS + 20_000))
    return made


def cache(store: Store, symbol: str = "BTC_USDT") -> Path:
    return Path(str(store)) / "binance" / symbol / "1m" / ".cache" / "rows.arrow"


def is_mapped(found: Candles) -> bool:
    """Whether its memory is that of a file."""
    address: int = found.close.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text("utf-8").splitlines():
        low, high = (int(part, 16) for part in line.split()[0].split("-"))
        if low <= address < high:
            return line.rstrip().endswith("rows.arrow")
    return False


def test_the_second_load_maps_the_rows_of_the_first(store: Store) -> None:
    first = store.candles(SERIES)
    assert cache(store).is_file()
    second = store.candles(SERIES)
    assert not is_mapped(first)
    assert is_mapped(second)
    assert second.hash == first.hash == candles(0, LEAST_ROWS + 20_000).hash
    assert not second.close.flags.writeable
    part = store.candles(SERIES, START + 40 * MINUTE, START + 90_000 * MINUTE)
    assert is_mapped(part)
    assert part.hash == candles(40, 90_000).hash
    assert len(store.candles(SERIES, START + 10**7 * MINUTE)) == 0
    assert verify(store, SERIES) == []
    assert store.series() == [SERIES]


def test_a_short_series_and_a_part_are_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, candles(0, LEAST_ROWS - 1))
    store.candles(SERIES)
    assert not cache(store).exists()
    add(store, candles(LEAST_ROWS - 1, LEAST_ROWS + 60_000))
    assert len(store.candles(SERIES, START + 50_000 * MINUTE)) == LEAST_ROWS + 10_000  # of two years
    assert not cache(store).exists()


def test_new_rows_count_at_once(store: Store) -> None:
    store.candles(SERIES)
    add(store, candles(LEAST_ROWS + 20_000, LEAST_ROWS + 30_000))
    grown = store.candles(SERIES)
    assert not is_mapped(grown)
    assert grown.hash == candles(0, LEAST_ROWS + 30_000).hash
    assert is_mapped(store.candles(SERIES))


def test_another_file_of_the_same_size_and_time_counts_at_once(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    add(other, candles(0, LEAST_ROWS + 20_000, lift=1.0))
    store.candles(SERIES)
    for year in (2019, 2020):
        ours, theirs = (Path(str(one)) / SERIES.folder / f"{year}.parquet" for one in (store, other))
        about = ours.stat()
        theirs.replace(ours)
        os.utime(ours, ns=(about.st_atime_ns, about.st_mtime_ns))
        assert ours.stat().st_size == about.st_size
    assert store.candles(SERIES).close[0] == candles(0, 1, lift=1.0).close[0]


def test_damage_of_a_year_is_told_though_the_cache_is_whole(store: Store) -> None:
    store.candles(SERIES)
    file = Path(str(store)) / SERIES.folder / "2020.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataUnavailableError, match=r"2020.parquet is damaged"):
        store.candles(SERIES)


@pytest.mark.parametrize("place", [0.0, 0.001, 0.3, 0.6, 0.9, 0.9999, 1.0])
def test_a_damaged_cache_is_as_none(store: Store, place: float) -> None:
    truth = store.candles(SERIES)
    file = cache(store)
    data = bytearray(file.read_bytes())
    data[min(int(place * len(data)), len(data) - 1)] ^= 4
    file.write_bytes(data)
    assert store.candles(SERIES).hash == truth.hash


@pytest.mark.parametrize("left", [0, 8, 5_000, 4_000_000])
def test_a_cache_that_was_cut_off_is_as_none(store: Store, left: int) -> None:
    truth = store.candles(SERIES)
    data = cache(store).read_bytes()
    cache(store).unlink()  # another inode: what is mapped stays
    cache(store).write_bytes(data[:left])
    assert store.candles(SERIES).hash == truth.hash
    assert is_mapped(store.candles(SERIES))


def test_rows_of_a_cache_that_contradict_themselves_are_as_none(store: Store) -> None:
    """Even where the checksum fits: somebody may have written the file."""
    from backtest.market_data.cache import _mapped, _write

    truth = store.candles(SERIES)
    columns, told = _mapped(cache(store))
    broken = {name: values.copy() for name, values in columns.items()}
    broken["low"][77] = broken["high"][77] + 1.0
    told["checksum"] = passed(list(broken.values()), least_distance("1m"))[1]
    cache(store).unlink()
    _write(str(cache(store)), broken, told)
    assert store.candles(SERIES).hash == truth.hash


def test_where_no_cache_can_be_written_parquet_is_read(store: Store) -> None:
    cache(store).parent.write_text("in the way", "utf-8")
    for _ in range(2):
        found = store.candles(SERIES)
        assert not is_mapped(found)
        assert found.hash == candles(0, LEAST_ROWS + 20_000).hash


def test_a_crash_leaves_a_file_that_nobody_reads(store: Store) -> None:
    cache(store).parent.mkdir()
    left = cache(store).parent / ".unfinished-abc"
    left.write_bytes(b"half")
    store.candles(SERIES)
    assert is_mapped(store.candles(SERIES))


def test_caches_are_bounded_and_the_oldest_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, rows = Store(tmp_path), LEAST_ROWS + 100
    names = [f"C{k}/USDT" for k in range(3)]
    monkeypatch.setenv("BACKTEST_CACHE_GB", str(2.5 * rows * 48 / (1 << 30)))
    for k, name in enumerate(names):
        add(store, candles(0, rows, symbol=name))
        store.candles(Series("binance", name, "1m"))
        os.utime(cache(store, f"C{k}_USDT"), ns=(k, k))
    assert [cache(store, f"C{k}_USDT").exists() for k in range(3)] == [False, True, True]
    monkeypatch.setenv("BACKTEST_CACHE_GB", "0")
    add(store, candles(0, rows, symbol="D/USDT"))
    store.candles(Series("binance", "D/USDT", "1m"))
    assert not cache(store, "D_USDT").exists()


VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, float("nan"), float("inf"), -1.0])


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 3), *[VALUES] * 5), min_size=1, max_size=4))
def test_the_compiled_pass_and_the_sentences_agree(rows: list[tuple[float, ...]]) -> None:
    time = np.cumsum([int(row[0]) for row in rows]) * 30_000
    columns: list[Any] = [time, *(np.array([row[k] for row in rows]) for k in range(1, 6))]
    try:
        Candles("A/USDT", "1m", *columns)
    except InvalidCandlesError:
        sound = False
    else:
        sound = True
    assert passed(columns, least_distance("1m"))[0] == sound


@settings(max_examples=100, deadline=None)
@given(column=st.integers(0, 5), row=st.integers(0, 99), bit=st.integers(0, 63))
def test_any_flipped_bit_changes_the_checksum(column: int, row: int, bit: int) -> None:
    columns = [*columns_of(candles(0, 100)).values()]
    before = passed(columns, 1)[1]
    changed = columns[column].copy()
    changed.view(np.uint64)[row] ^= np.uint64(1) << np.uint64(bit)
    columns[column] = changed
    assert passed(columns, 1)[1] != before


def test_a_long_series_with_a_broken_row_is_refused_by_its_number() -> None:
    whole = candles(0, 250_000)
    low = whole.low.copy()
    low[200_123] = whole.high[200_123] + 1.0
    with pytest.raises(BacktestError, match="row 200123"):
        Candles("BTC/USDT", "1m", whole.time, whole.open, whole.high, low, whole.close, whole.volume)
