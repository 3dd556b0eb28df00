"""Candle files of several programs are read, ours is written; what cannot be read is one sentence."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from backtest.errors import InvalidCandlesError, InvalidSettingError, StorageError
from backtest.market_data.files import read_candles, write_candles
from backtest.market_data.sample import sample_candles, sample_market
from backtest.market_data.symbol import NamedFile, from_file_name, to_file_name, unified
from backtest.model.candles import Candles

if TYPE_CHECKING:
    from pathlib import Path

START = 1_704_067_200_000
ROWS = "2024-01-01 00:00,1,4,0.5,2,10\n2024-01-01 01:00,2,4,0.5,3,11\n"
HEADER = "date,open,high,low,close,volume\n"
DOWNLOADED = (
    "Timestamps are UTC timezone,https://www.CryptoDataDownload.com\n"
    "date,symbol,open,high,low,close,volume_btc,volume\n"
    "2019-10-17 09-AM,BTCUSD,2,4,1,3,61.25,492394.56\n"
    "2019-10-17 08-AM,BTCUSD,2,4,1,3,370.45,2971610.86\n"
)


@pytest.fixture
def candles() -> Candles:
    n = np.arange(10)
    price = np.asarray(100.0 + n, np.float64)
    return Candles("BTC/USDT", "4h", START + 4 * 3_600_000 * n, price, price + 1, price - 1, price, n / 3, "okx")


def test_our_file_says_everything(candles: Candles, tmp_path: Path) -> None:
    write_candles(candles, tmp_path / "x.parquet")
    read = read_candles(tmp_path / "x.parquet")
    assert (read.hash, read.symbol, read.timeframe, read.exchange) == (candles.hash, "BTC/USDT", "4h", "okx")
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_the_same_candles_are_the_same_bytes(candles: Candles, tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        write_candles(candles, tmp_path / name)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "symbol", "timeframe"),
    [
        ("BTC_USDT-1h.csv", HEADER + ROWS, "BTC/USDT", "1h"),
        ("Binance_ETHUSDT_1h.csv", HEADER + ROWS, "ETH/USDT", "1h"),
        (
            "BTCUSDT-1h-2024-01.csv",
            "1704067200000,1,4,0.5,2,10,0,0,1\n1704070800000,2,4,0.5,3,11,0,0,1\n",
            "BTC/USDT",
            "1h",
        ),
        ("download.csv", DOWNLOADED, "BTC/USD", "1h"),
        ("BTC-USDT-1h.csv", "\ufeff" + HEADER + ROWS, "BTC/USDT", "1h"),
    ],
)
def test_csv_of_several_programs(name: str, content: str, symbol: str, timeframe: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    candles = read_candles(tmp_path / name)
    assert (candles.symbol, candles.timeframe, len(candles)) == (symbol, timeframe, 2)
    assert candles.time[0] < candles.time[1]


def test_the_base_volume_of_a_download_is_taken(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(DOWNLOADED)
    assert read_candles(tmp_path / "x.csv").volume.tolist() == [370.45, 61.25]


def test_compressed_csv_and_json_and_feather(candles: Candles, tmp_path: Path) -> None:
    (tmp_path / "BTC_USDT-1h.csv.gz").write_bytes(gzip.compress((HEADER + ROWS).encode()))
    (tmp_path / "BTC_USDT-1h.json").write_text(
        json.dumps([[START, 1, 2, 0.5, 1, 3], [START + 3_600_000, 1, 2, 0.5, 1, 3]])
    )
    candles.to_pandas().reset_index(names="date").to_feather(tmp_path / "BTC_USDT_USDT-4h-futures.feather")
    assert len(read_candles(tmp_path / "BTC_USDT-1h.csv.gz")) == 2
    assert len(read_candles(tmp_path / "BTC_USDT-1h.json")) == 2
    feather = read_candles(tmp_path / "BTC_USDT_USDT-4h-futures.feather")
    assert (feather.symbol, feather.close.tolist()) == ("BTC/USDT:USDT", candles.close.tolist())


def test_arguments_go_before_what_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "BTC_USDT-1h.csv").write_text(HEADER + ROWS)
    candles = read_candles(tmp_path / "BTC_USDT-1h.csv", symbol="X/Y", timeframe="30m", exchange="kraken")
    assert (candles.symbol, candles.timeframe, candles.exchange) == ("X/Y", "30m", "kraken")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "BTC_USDT-1h.cvs",
            "",
            "candles are read from .csv, .parquet, .feather or .json files, also in .gz or .zip, was 'BTC_USDT-1h.cvs'",
        ),
        ("x.parquet", "no parquet", "x.parquet cannot be read: "),
        ("x.feather", "no feather", "x.feather cannot be read: "),
        ("x.json", '{"a": 1}', "x.json cannot be read: a list of"),
        ("x.json", "[", "x.json cannot be read: "),
        ("x.csv", "", "x.csv cannot be read: "),
        (
            "prices.csv",
            HEADER + ROWS,
            'does not say which symbol it holds: give it, --symbol BTC/USDT (symbol="BTC/USDT")',
        ),
        ("x.csv", DOWNLOADED.replace("BTCUSD", "ETHUSD", 1), "holds 2 symbols"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(name: str, content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidSettingError) as raised:
        read_candles(tmp_path / name)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_status == 2


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "BTC_USDT-1h.csv").write_text("")
    with pytest.raises(InvalidSettingError, match=r'there is no such file\. Did you mean "BTC_USDT-1h\.csv"'):
        read_candles(tmp_path / "BTC_USD-1h.csv")
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(InvalidSettingError, match="it is no file"):
        read_candles(tmp_path / "x.csv")


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "BTC_USDT-1h.csv").write_text("date,open,close\n2024-01-01,1,2\n")
    with pytest.raises(InvalidCandlesError, match="there is no column 'high'"):
        read_candles(tmp_path / "BTC_USDT-1h.csv")


def test_writing_refuses_another_ending_and_a_folder_that_cannot_be(candles: Candles, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match=r"end the name in \.parquet"):
        write_candles(candles, tmp_path / "x.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_candles(candles, tmp_path / "file" / "x.parquet")


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("BTC/USDT", "BTC/USDT"), ("btc-usdt", "BTC/USDT"), ("BTC_USDT", "BTC/USDT"), ("BTCUSDT", "BTC/USDT"),
        ("ETHBTC", "ETH/BTC"), ("1000PEPE_USDT_USDT", "1000PEPE/USDT:USDT"), ("BTC/USDT:USDT", "BTC/USDT:USDT"),
        ("BTC", None), ("", None), ("USDT", None),
    ],
)  # fmt: skip
def test_symbols_are_recognised_as_they_are_written(text: str, symbol: str | None) -> None:
    assert unified(text) == symbol


def test_file_names_say_symbol_timeframe_and_kind() -> None:
    assert from_file_name("BTC_USDT_USDT-8h-funding_rate") == NamedFile("BTC/USDT:USDT", "8h", "funding_rate")
    assert from_file_name("candles") == NamedFile(None, None)
    assert to_file_name("BTC/USDT:USDT") == "BTC_USDT_USDT"


@pytest.mark.parametrize(
    ("symbol", "timeframe"), [("BTC/USD", "1h"), ("BTC/USD", "1d"), ("ETH/USD", "1d"), ("LTC/USD", "1d")]
)
def test_the_sample_is_there(symbol: str, timeframe: str) -> None:
    candles = sample_candles(symbol, timeframe)
    assert (candles.symbol, candles.timeframe) == (symbol, timeframe)
    assert len(candles) > 700
    assert sample_market(symbol).tick == "0.01"


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (lambda: sample_candles("BTC/USDT", "1h"), 'was .BTC/USDT.. Did you mean "BTC/USD"'),
        (lambda: sample_candles("BTC/USD", "2h"), "the sample has BTC/USD in 1h, 1d, was .2h."),
        (lambda: sample_market("XRP/USD"), "the sample has BTC/USD, ETH/USD, LTC/USD"),
    ],
)
def test_what_the_sample_has_not_is_named(request_: Any, sentence: str) -> None:
    with pytest.raises(InvalidSettingError, match=sentence):
        request_()


def test_a_frame_from_the_sample_is_what_pandas_reads() -> None:
    candles = sample_candles("BTC/USD", "1d")
    assert isinstance(candles.to_pandas().index, pd.DatetimeIndex)
