"""Candles: what they refuse, and how they are cut, put together and handed on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest.errors import InvalidCandlesError, InvalidSettingError
from backtest.model.candles import Candles
from backtest.model.rows import candles_of_rows

HOUR = 3_600_000
MIDNIGHT = 1_704_067_200_000  # 2024-01-01, a Monday


def made(n: int = 48, timeframe: str = "1h", start: int = MIDNIGHT, **columns: Any) -> Candles:
    step = {"1h": HOUR, "1d": 24 * HOUR, "1m": 60_000}[timeframe]
    close = np.asarray(100.0 + np.arange(n) % 7, np.float64)
    usual = {
        "time": start + step * np.arange(n),
        "open": close - 1,
        "high": close + 2,
        "low": close - 3,
        "close": close,
    }
    return Candles("BTC/USDT", timeframe, **{**usual, "volume": np.ones(n), **columns})


def with_value(name: str, row: int, value: float) -> Candles:
    column = getattr(made(), name).copy()
    column[row] = value
    return made(**{name: column})


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("high", 50.0, "row 5 .*high 50.0"),
        ("low", 200.0, "row 5 .*low 200.0"),
        ("open", 500.0, "row 5 .*open 500.0"),
        ("close", float("nan"), "row 5 .*close nan"),
        ("volume", -1.0, "row 5 .*volume -1.0"),
        ("volume", float("inf"), "row 5 .*volume inf"),
        ("high", float("inf"), "row 5 .*high inf"),
        ("low", 0.0, "row 5 .*low 0.0.*candles need finite numbers with 0 < low"),
    ],
)
def test_a_row_that_contradicts_itself_is_named(name: str, value: float, sentence: str) -> None:
    with pytest.raises(InvalidCandlesError, match=sentence):
        with_value(name, 5, value)


@pytest.mark.parametrize(
    ("order", "sentence"),
    [([0, 2, 1], "row 2 .*is older than the row before"), ([0, 1, 1], "row 2 .*has the time of the row before")],
)
def test_times_must_be_unique_and_ascend(order: list[int], sentence: str) -> None:
    with pytest.raises(InvalidCandlesError, match=sentence):
        made(3, time=MIDNIGHT + HOUR * np.array(order))


def test_columns_of_other_lengths_or_kinds_are_refused() -> None:
    with pytest.raises(InvalidCandlesError, match="column volume has 3 rows, time has 48"):
        made(volume=np.ones(3))
    with pytest.raises(InvalidCandlesError, match="column close holds something that is no number"):
        made(3, close=["1", "x", "3"])
    with pytest.raises(InvalidCandlesError, match="needs one dimension"):
        made(close=np.ones((2, 2)))
    with pytest.raises(InvalidSettingError, match="timeframe was '1x'"):
        Candles("BTC/USDT", "1x", *[np.empty(0)] * 6)  # type: ignore[arg-type]


def test_columns_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        made().close[0] = 1.0


def test_a_row_that_is_none_is_shown_by_its_first_hundred_characters() -> None:
    with pytest.raises(InvalidCandlesError) as caught:
        candles_of_rows("BTC/USDT", "1h", [["x" * 200]])
    assert f"row 0 was ['{'x' * 98}; it is [time in ms" in str(caught.value)


@pytest.mark.parametrize(
    ("last", "sentence"), [(86_399_999, "is less than a day"), (86_400_000, "is in none of seconds")]
)
def test_times_of_less_than_a_day_are_told_from_wrong_ones(last: int, sentence: str) -> None:
    prices = {name: [3.0, 3.0] for name in ("open", "high", "low", "close", "volume")}
    with pytest.raises(InvalidCandlesError, match=f"has the time {last}, which {sentence}"):
        Candles.from_pandas(pd.DataFrame({"time": [last, last + HOUR], **prices}), symbol="BTC/USDT", timeframe="1h")


def test_no_candles_are_candles() -> None:
    empty = made(0)
    assert (len(empty), empty.gaps, len(empty.resample("4h"))) == (0, 0, 0)


def test_resampling_shows_only_complete_candles() -> None:
    coarse = made(47).resample("4h")
    assert len(coarse) == 11  # the last three hours are no four
    fine = made(47)
    np.testing.assert_array_equal(coarse.time, fine.time[:44:4])
    np.testing.assert_array_equal(coarse.open, fine.open[:44:4])
    np.testing.assert_array_equal(coarse.close, fine.close[3:44:4])
    np.testing.assert_array_equal(coarse.high, fine.high[:44].reshape(-1, 4).max(axis=1))
    np.testing.assert_array_equal(coarse.low, fine.low[:44].reshape(-1, 4).min(axis=1))
    np.testing.assert_array_equal(coarse.volume, np.full(11, 4.0))


def test_resampling_a_prefix_gives_a_prefix() -> None:
    whole = made(100, time=MIDNIGHT + HOUR * np.delete(np.arange(103), [30, 31, 47]))
    for length in range(1, 100):
        part, all_of_it = whole.slice(0, length).resample("4h"), whole.resample("4h")
        assert part.hash == all_of_it.slice(0, len(part)).hash
        assert len(part) == 0 or part.close_time[-1] <= whole.close_time[length - 1]


def test_weeks_begin_on_monday_and_a_week_entered_late_is_not_shown() -> None:
    weeks = made(21, "1d", MIDNIGHT - 24 * HOUR).resample("1w")
    assert weeks.time.tolist() == [MIDNIGHT, MIDNIGHT + 7 * 24 * HOUR]


def test_resampling_to_no_multiple_is_refused() -> None:
    with pytest.raises(InvalidSettingError, match="1h candles cannot be resampled to 90m"):
        made().resample("90m")


@pytest.mark.parametrize("start", [MIDNIGHT + 5 * HOUR, "2024-01-01T05:00", datetime(2024, 1, 1, 5, tzinfo=UTC)])
def test_a_range_is_named_by_number_text_or_datetime(start: Any) -> None:
    part = made().between(start, "2024-01-01 09:00")
    assert part.time.tolist() == [MIDNIGHT + n * HOUR for n in (5, 6, 7, 8)]
    assert np.shares_memory(part.close, made().close) is False
    with pytest.raises(InvalidSettingError, match="a date is written 2024-01-31"):
        made().between("first of May")


def test_gaps_are_counted() -> None:
    assert made(10, time=MIDNIGHT + HOUR * np.r_[0:5, 8:13]).gaps == 3


@pytest.mark.parametrize("seed", range(5))
def test_an_instant_lies_in_the_last_candle_that_opened_by_then(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(60, 40, replace=False))
    late = rng.integers(0, 900, 40) * (seed % 2)  # exchanges stamp some a part of a second late
    candles = made(40, time=MIDNIGHT + HOUR * rows + late)
    at = MIDNIGHT + rng.integers(-3 * HOUR, 64 * HOUR, 500)
    at[:40] = candles.time
    wanted = [sum(1 for opened in candles.time if opened <= instant) - 1 for instant in at]
    assert candles.row_at(at).tolist() == wanted
    assert made(0, time=np.empty(0, np.int64)).row_at(at[:2]).tolist() == [-1, -1]


def test_pandas_and_back() -> None:
    candles = made()
    again = Candles.from_pandas(candles.to_pandas(), symbol="BTC/USDT")
    assert (again.hash, again.timeframe) == (candles.hash, "1h")


def test_equal_data_has_an_equal_hash() -> None:
    assert made().hash == made().hash
    assert made().hash != with_value("volume", 3, 2.0).hash
    assert made(10).hash != made(11).hash


@pytest.mark.parametrize(("volume", "known"), [(np.zeros(48), False), (np.r_[np.zeros(47), 1.0], True)])
def test_volumes_that_are_all_0_are_unknown(volume: Any, known: bool) -> None:
    candles = made(volume=volume)
    assert candles.volume_known is known
    beginning = candles.slice(0, 8)
    assert beginning.volume_known is known
    assert not beginning.volume.any()
    assert candles.between(None, MIDNIGHT + 8 * HOUR).volume_known is known
    assert [beginning.resample(timeframe).volume_known for timeframe in ("1h", "4h")] == [known, known]


def test_whether_volumes_are_known_may_be_told() -> None:
    told, seen = made(volume=np.zeros(48), volume_known=True), made(volume=np.zeros(48))
    assert (told.volume_known, seen.volume_known) == (True, False)
    assert told.hash != seen.hash  # other candles trade
    assert made(volume_known=True).hash == made().hash
