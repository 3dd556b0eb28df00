"""File names: what they say counts where all of it is understood; a name that is not asks for the symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backtest.errors import InvalidSettingError
from backtest.market_data.symbol import NamedFile, from_file_name, from_value, given_symbol, unified
from backtest.model.candles import Candles

if TYPE_CHECKING:
    from pathlib import Path

ROWS = "time,open,high,low,close,volume\n" + "".join(f"{1_704_067_200 + 3600 * n},2,4,1,3,{n + 1}\n" for n in range(9))
NOTHING = NamedFile(None, None)


@pytest.mark.parametrize(
    ("stem", "symbol", "timeframe", "kind", "day"),
    [
        ("BTC_USDT-1h", "BTC/USDT", "1h", "", ""),
        ("BTC_USDT_1h", "BTC/USDT", "1h", "", ""),
        ("BTC-USDT-1h", "BTC/USDT", "1h", "", ""),
        ("BTCUSDT_1h", "BTC/USDT", "1h", "", ""),
        ("BTC_USDT_USDT-1h-futures", "BTC/USDT:USDT", "1h", "futures", ""),
        ("BTC_USDT-5m-spot", "BTC/USDT", "5m", "", ""),
        ("BTC_USDT_USDT-8h-mark", "BTC/USDT:USDT", "8h", "mark", ""),
        ("BTC_USDT_USDT-8h-funding_rate", "BTC/USDT:USDT", "8h", "funding_rate", ""),
        ("BTC_USDT_USDT-1h-index", "BTC/USDT:USDT", "1h", "index", ""),
        ("BTC_USDT_USDT-1h-premiumIndex", "BTC/USDT:USDT", "1h", "premiumIndex", ""),
        ("BTC_USDT-1h-foo", "BTC/USDT", "1h", "foo", ""),
        ("BTC_USD_BTC-1h-futures", "BTC/USD:BTC", "1h", "futures", ""),
        ("kPEPE_USDC_USDC-1h", "kPEPE/USDC:USDC", "1h", "", ""),
        ("1000PEPEUSDT-1h", "1000PEPE/USDT", "1h", "", ""),
        ("BTCUSDT-1h-2024-01", "BTC/USDT", "1h", "", ""),
        ("BTCUSDT-1m-2024-01-15", "BTC/USDT", "1m", "", ""),
        ("BTCUSD_PERP-1h-2024-01", "BTC/USD:BTC", "1h", "", ""),
        ("BTC_USDT_2024", "BTC/USDT", None, "", ""),
        ("Binance_BTCUSDT_1h", "BTC/USDT", "1h", "", ""),
        ("Binance_BTCUSDT_2024_minute", "BTC/USDT", "1m", "", ""),
        ("bitstamp_BTCUSD_d", "BTC/USD", "1d", "", ""),
        ("XBTUSD_60", "BTC/USD", "1h", "", ""),
        ("XBTUSD_1440", "BTC/USD", "1d", "", ""),
        ("XDGUSD_5", "DOGE/USD", "5m", "", ""),
        ("ETHXBT_15", "ETH/BTC", "15m", "", ""),
        ("XXBTZUSD_60", "BTC/USD", "1h", "", ""),
        ("BTC_USDT-60m", "BTC/USDT", "1h", "", ""),
        ("BTC_USDT-1D", "BTC/USDT", "1d", "", ""),
        ("BTCUSDT_M15", "BTC/USDT", "15m", "", ""),
        ("BTC_USDT-1Mo", "BTC/USDT", "1Mo", "", ""),
        ("BTC_USDT-1M", "BTC/USDT", "1M", "", ""),
        ("SOL-USDT-SWAP-1h", "SOL/USDT:USDT", "1h", "", ""),
        ("adausdt_trade_perp", "ADA/USDT:USDT", None, "", ""),
        ("20221001_adausdt_minute_trade_perp", "ADA/USDT:USDT", "1m", "", "20221001"),
        ("20161007_btcusd_minute_trade", "BTC/USD", "1m", "", "20161007"),
        ("FDUSDUSDT-1h", "FDUSD/USDT", "1h", "", ""),
        ("BTCFDUSD-1h", "BTC/FDUSD", "1h", "", ""),
        ("BTCTUSD-1h", "BTC/TUSD", "1h", "", ""),
        ("BCHUSD_d", "BCH/USD", "1d", "", ""),
        ("BTC-USD", "BTC/USD", None, "", ""),
    ],
)
def test_a_name_says(stem: str, symbol: str, timeframe: str | None, kind: str, day: str) -> None:
    assert from_file_name(stem) == NamedFile(symbol, timeframe, kind, day)


@pytest.mark.parametrize(
    "stem",
    [
        "prices", "candles", "FDUSD", "PYUSD", "FDUSD-1h", "my_data", "industry", "PARASOL", "2024", "btc_ohlcv", "d",
        "FOOTUSD-1h", "BTCUSD_date_time_iso", "ETH_USDT_daily_serial", "BTCUSDT-aggTrades-2024-01", "ETHUSDTM-1h",
        "20161007_btcusd_minute_quote", "export_of_BTCUSDT_1h", "BTC_ABC-1h", "BTCUSDT_240329-1h-2024-01",
    ],
)  # fmt: skip
def test_a_name_that_is_not_understood_says_nothing(stem: str) -> None:
    assert from_file_name(stem) == NOTHING


@pytest.mark.parametrize(
    ("text", "symbol"),
    [("BTC-USDT-SWAP", "BTC/USDT:USDT"), ("BTC-USD-SWAP", "BTC/USD:BTC"), ("BTCUSD", "BTC/USD"), ("AAPL", None),
     ("Bitcoin", None), ("X/Y", None), ("XBT/USD", "BTC/USD"), ("kPEPE-USDC", "kPEPE/USDC")],
)  # fmt: skip
def test_a_column_says_its_symbol(text: str, symbol: str | None) -> None:
    assert from_value(text) == symbol


def test_symbols_keep_their_own_small_letters() -> None:
    assert unified("kPEPE/USDC:USDC") == "kPEPE/USDC:USDC"
    assert [given_symbol(text) for text in ("btc/usdt", "BTCUSDT", "BTC-USDT")] == ["BTC/USDT"] * 3
    with pytest.raises(InvalidSettingError, match=r"BASE/QUOTE, such as .*, was 'BTC'"):
        given_symbol("BTC")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "BTC_USDT_USDT-1h-mark.csv",
            "holds candles of the mark price, not of trades: `backtest data import` takes it",
        ),
        ("BTC_USDT_USDT-8h-funding_rate.csv", "holds funding rates, not of trades"),
        ("BTC_USDT_USDT-1h-index.csv", "holds candles of the index price, not of trades"),
        ("BTC_USDT_USDT-1h-premiumIndex.csv", "holds candles of the premium, not of trades"),
        ("BTC_USD_BTC-1h-futures.csv", "BTC/USD:BTC is an inverse contract, .* take one .* such as BTC/USD:USD"),
        ("BTC_USDT-1Mo.csv", "timeframe was '1Mo'; months are of different lengths and not supported"),
        ("BTC_USDT-4h.csv", "the file name says 4h, but its rows are 3600 s apart"),
        ("FDUSD.csv", "does not say which symbol it holds: give it, --symbol BTC/USDT"),
    ],
)
def test_a_file_of_another_kind_is_refused(name: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(ROWS)
    with pytest.raises(Exception, match=sentence) as raised:
        Candles.from_csv(tmp_path / name)
    assert name in str(raised.value)


def test_a_kind_that_nobody_knows_is_refused_where_freqtrade_would_write_it(tmp_path: Path) -> None:
    (tmp_path / "BTC_USDT-1h-foo.json").write_text("[[1704067200000, 2, 4, 1, 3, 1]]")
    with pytest.raises(InvalidSettingError, match=r"ends in 'foo', which is no kind of candles .*: say --symbol"):
        Candles.from_csv(tmp_path / "BTC_USDT-1h-foo.json")
    assert Candles.from_csv(tmp_path / "BTC_USDT-1h-foo.json", symbol="BTC/USDT").timeframe == "1h"
    (tmp_path / "BTC_USDT-1h-cleaned.csv").write_text(ROWS)
    assert Candles.from_csv(tmp_path / "BTC_USDT-1h-cleaned.csv").symbol == "BTC/USDT"


def test_the_timeframe_of_a_name_goes_before_the_most_frequent_distance(tmp_path: Path) -> None:
    seldom = (
        ROWS.splitlines()[0] + "\n" + "".join(f"{1_704_067_200 + 3600 * n},2,4,1,3,1\n" for n in (0, 2, 4, 5, 7, 9))
    )
    (tmp_path / "XBTUSD_60.csv").write_text(seldom)
    candles = Candles.from_csv(tmp_path / "XBTUSD_60.csv")
    assert (candles.symbol, candles.timeframe, candles.gaps) == ("BTC/USD", "1h", 4)
