"""A DataFrame with its usual column names becomes candles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from backtest.errors import InvalidCandlesError, InvalidSettingError
from backtest.market_data.frame import Reading, from_pandas, timeframe_text

if TYPE_CHECKING:
    from backtest.model.candles import Candles

SECONDS = 1_704_067_200  # 2024-01-01
HOUR = 3_600_000
ISO = ["2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z", "2024-01-01T02:00:00Z"]


def frame(**columns: Any) -> pd.DataFrame:
    values = {
        "open": [1.0, 2.0, 3.0],
        "high": [4.0] * 3,
        "low": [0.5] * 3,
        "close": [2.0, 3.0, 4.0],
        "volume": [1.0] * 3,
    }
    return pd.DataFrame({**columns, **values})


def read(table: pd.DataFrame, **options: Any) -> Candles:
    return from_pandas(table, symbol="BTC/USDT", **options)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_unix_times_are_told_apart_by_their_size(unit: str) -> None:
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = [(SECONDS + n * 3600) * factor for n in range(3)]
    for column in (times, [str(t) for t in times], np.array(times, float) if unit != "ns" else times):
        assert read(frame(time=column)).time.tolist() == [SECONDS * 1000 + n * HOUR for n in range(3)]


@pytest.mark.parametrize("name", ["time", "Date", "DATETIME", "timestamp", "open_time", "Open time", "unix", "ts"])
@pytest.mark.parametrize(
    "times",
    [
        ISO,
        ["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00"],
        ["2024-01-01 12-AM", "2024-01-01 01-AM", "2024-01-01 02-AM"],
        pd.to_datetime(ISO),
        pd.to_datetime(ISO).tz_localize(None),
        pd.to_datetime(ISO).tz_convert("Asia/Tokyo"),
    ],
)
def test_times_are_read_in_their_usual_forms(name: str, times: Any) -> None:
    candles = read(frame(**{name: times}))
    assert candles.time.tolist() == [SECONDS * 1000 + n * HOUR for n in range(3)]
    assert candles.timeframe == "1h"


def test_times_may_stand_in_the_index() -> None:
    for index in (
        pd.DatetimeIndex(ISO),
        pd.Index([SECONDS, SECONDS + 3600, SECONDS + 7200]),
        pd.Index(ISO, name="date"),
    ):
        assert read(frame().set_index(index)).time[0] == SECONDS * 1000


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"volume": "Volume"}, 1.0),
        ({"volume": "vol"}, 1.0),
        ({"volume": "base_volume"}, 1.0),
        ({"open": "OPEN", "close": " Close "}, 1.0),
    ],
)
def test_columns_are_found_by_their_usual_names(names: dict[str, str], expected: float) -> None:
    assert read(frame(time=ISO).rename(columns=names)).volume[0] == expected


def test_the_volume_in_base_currency_goes_first() -> None:
    table = frame(time=ISO, **{"Volume BTC": [7.0] * 3})
    assert read(table).volume.tolist() == [7.0] * 3


def test_newest_first_is_turned_round_and_shuffled_is_refused() -> None:
    table = frame(time=ISO)
    assert read(table[::-1]).close.tolist() == [2.0, 3.0, 4.0]
    with pytest.raises(InvalidCandlesError, match=r"row 1 .*is older than the row before"):
        read(table.iloc[[1, 0, 2]])
    with pytest.raises(InvalidCandlesError, match="has the time of the row before"):
        read(table.iloc[[0, 1, 1, 2]])


def test_tidy_sorts_and_drops_only_exact_repetitions() -> None:
    table = frame(time=ISO)
    assert read(table.iloc[[1, 0, 2, 1]], reading=Reading(tidy=True)).close.tolist() == [2.0, 3.0, 4.0]
    other = table.iloc[[1]].assign(close=3.5)
    with pytest.raises(InvalidCandlesError, match="has the time of the row before"):
        read(pd.concat([table, other]), reading=Reading(tidy=True))


def test_the_timeframe_is_the_most_frequent_distance() -> None:
    times = [SECONDS + 900 * n for n in (0, 1, 2, 6, 7)]
    table = pd.DataFrame({"time": times, **{n: [1.0] * 5 for n in ("open", "high", "low", "close", "volume")}})
    assert read(table).timeframe == "15m"
    assert read(table, timeframe="5m").timeframe == "5m"
    with pytest.raises(
        InvalidCandlesError, match=r"row 1 .*opens 900 s after the row before, less than the timeframe 1h"
    ):
        read(table, timeframe="1h")
    with pytest.raises(InvalidSettingError, match="the timeframe cannot be seen from 1 row"):
        read(table.iloc[:1])


@pytest.mark.parametrize(("length", "text"), [(1000, "1s"), (60_000, "1m"), (5_400_000, "90m"), (604_800_000, "1w")])
def test_lengths_have_names(length: int, text: str) -> None:
    assert timeframe_text(length) == text
    with pytest.raises(InvalidCandlesError, match="whole seconds"):
        timeframe_text(length + 1)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (frame(time=ISO).drop(columns="high"), "there is no column 'high'; .*found were: time, open, low"),
        (frame(), "there is no column 'time'"),
        (frame(time=["a", "b", "c"]), "row 0 has the time 'a'; write 2024-01-31T12:00Z"),
        (frame(time=pd.Series([ISO[0], None, ISO[2]])), "row 1 has no time"),
        (frame(time=ISO).assign(close=["1", "2", "x"]), "row 2: column close holds 'x', which is no number"),
        (frame(time=ISO).assign(close=[1.0, float("nan"), 2.0]), "row 1 .*close nan"),
        (frame(time=ISO).assign(low=[-1.0] * 3), "row 0 .*low -1.0"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(table: pd.DataFrame, sentence: str) -> None:
    with pytest.raises(InvalidCandlesError, match=sentence) as raised:
        read(table)
    assert "\n" not in str(raised.value)


def test_candles_do_not_follow_their_frame() -> None:
    table = frame(time=ISO)
    candles = read(table)
    table.loc[:, "close"] = 3.0
    assert candles.close.tolist() == [2.0, 3.0, 4.0]
