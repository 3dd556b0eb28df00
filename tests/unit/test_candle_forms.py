"""Candle files as people have them: read as they are meant, or refused with line, column, value and the way out."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from backtest.errors import BacktestError, InvalidCandlesError
from backtest.model.candles import Candles

if TYPE_CHECKING:
    from pathlib import Path

START, HOUR, DAY = 1_704_067_200_000, 3_600_000, 86_400_000
HEADER = "date,open,high,low,close,volume\n"
NAME = "BTC_USDT-1h.csv"


def lines(times: list[object], values: str = "2,4,1,3,7") -> str:
    return "".join(f"{time},{values}\n" for time in times)


def hours(n: int = 4, unit: float = 1000) -> list[object]:
    return [int((START + HOUR * k) // unit) for k in range(n)]


def zipped(**members: str) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return whole.getvalue()


COINMARKETCAP = (
    "timeOpen;timeClose;timeHigh;timeLow;name;open;high;low;close;volume;marketCap;timestamp\n"
    '"2024-01-02T00:00:00.000Z";"2024-01-02T23:59:59.999Z";"x";"y";"2781";2;4;1;3;7;9;"2024-01-02T23:59:59.999Z"\n'
    '"2024-01-01T00:00:00.000Z";"2024-01-01T23:59:59.999Z";"x";"y";"2781";2;4;1;3;7;9;"2024-01-01T23:59:59.999Z"\n'
)
OKX = "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm\n"
READ: dict[str, tuple[str, str | bytes, dict[str, Any], dict[str, Any]]] = {
    # name: file, content, options, what is expected of the candles
    "Binance Vision in ms": ("BTCUSDT-1h-2024-01.csv", lines([*hours(4, 1)], "2,4,1,3,7,0,9,1,2,3,0"), {}, {"n": 4}),
    "Binance Vision in us": ("BTCUSDT-1h-2025-01.csv", lines([t * 1000 for t in [START]], "2,4,1,3,7,0,9"), {}, {"n": 1}),
    "two units one after another": (
        NAME,
        lines([START, START + HOUR, (START + 2 * HOUR) * 1000, (START + 3 * HOUR) * 1000]),
        {},
        {"n": 4, "timeframe": "1h"},
    ),
    "Binance Vision in a zip": (
        "BTCUSDT-1h-2024-01.zip",
        zipped(**{"BTCUSDT-1h-2024-01__csv": lines([*hours(4, 1)], "2,4,1,3,7,0,9,1,2,3,0")}),
        {},
        {"n": 4, "symbol": "BTC/USDT"},
    ),
    "LEAN's minutes": (
        "20240101_trade.zip",
        zipped(**{"20240101_btcusd_minute_trade__csv": lines([0, 60_000, 120_000])}),
        {},
        {"n": 3, "symbol": "BTC/USD", "timeframe": "1m", "first": START},
    ),
    "LEAN's hours": (
        "adausdt_trade_perp.zip",
        zipped(adausdt_hour_trade_perp__csv=lines(["20240101 00:00", "20240101 01:00"])),
        {},
        {"n": 2, "symbol": "ADA/USDT:USDT", "timeframe": "1h", "first": START},
    ),
    "freqtrade's JSON": (
        "BTC_USDT-1h.json.gz",
        gzip.compress(json.dumps([[START + HOUR * k, 2, 4, 1, 3, 7] for k in range(4)]).encode()),
        {},
        {"n": 4},
    ),
    "objects in JSON": (
        "BTC_USDT-1h.json",
        json.dumps([{"t": START + HOUR * k, "o": "2", "h": "4", "l": "1", "c": "3", "v": "7"} for k in range(4)]),
        {},
        {"n": 4},
    ),
    "no header and no volume": (NAME, lines(hours(4), "2,4,1,3"), {}, {"n": 4, "volume": 0.0, "volume_known": False}),
    "a zone west of Greenwich": (NAME, HEADER + lines(["2023/12/31 19:30 -0430", "2023/12/31 20:30 -0430"]), {}, {"n": 2}),
    "Date and Time": (NAME, "Date,Time,Open,High,Low,Close,Volume\n" + lines(["2024-01-01,00:00", "2024-01-01,01:00"]), {}, {"n": 2}),
    "MetaTrader": (
        NAME,
        ("<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2024.01.01\t00:00:00\t2\t4\t1\t3\t11\t7\t1\n2024.01.01\t01:00:00\t2\t4\t1\t3\t11\t7\t1\n"),
        {},
        {"n": 2},
    ),
    "MetaTrader without a header": (NAME, lines(["2024.01.01,00:00", "2024.01.01,01:00"]), {}, {"n": 2}),
    "CoinMarketCap": ("BTC_USDT.csv", COINMARKETCAP, {}, {"n": 2, "timeframe": "1d", "first": START}),
    "CoinMarketCap's closing time": (
        "BTC_USDT.csv",
        COINMARKETCAP,
        {"columns": {"close_time": "timestamp"}},
        {"n": 2, "timeframe": "1d", "first": START},
    ),
    "closing times on the grid": (
        NAME,
        "close_time,open,high,low,close,volume\n" + lines(hours(3)),
        {"columns": {"close_time": "close_time"}},
        {"n": 3, "first": START - HOUR},
    ),
    "yfinance": (
        "x.csv",
        ("Price,Close,High,Low,Open,Volume\nTicker,BTC-USD,BTC-USD,BTC-USD,BTC-USD,BTC-USD\nDate,,,,,\n"
        "2024-01-01,3,4,1,2,7\n2024-01-02,3,4,1,2,7\n"),
        {},
        {"n": 2, "symbol": "BTC/USD", "timeframe": "1d"},
    ),
    "OKX's contracts": (
        "x.csv",
        OKX + "".join(f"BTC-USDT-SWAP,2,4,1,3,700,7,21,{START + HOUR * k},1\n" for k in range(3)),
        {},
        {"n": 3, "symbol": "BTC/USDT:USDT"},
    ),
    "OKX's spot": (
        "x.csv",
        OKX + "".join(f"BTC-USDT,2,4,1,3,7,21,21,{START + HOUR * k},1\n" for k in range(3)),
        {},
        {"n": 3, "symbol": "BTC/USDT"},
    ),
    "Investing.com": (
        "BTC_USD.csv",
        ('"Date","Price","Open","High","Low","Vol.","Change %"\n"Jan 02, 2024","3,000.5","2,000.0","4,000.0","1,000.0","7.00K","1%"\n'
        '"Jan 01, 2024","3,000.5","2,000.0","4,000.0","1,000.0","7.00K","1%"\n'),
        {},
        {"n": 2, "timeframe": "1d", "volume": 7000.0, "close": 3000.5},
    ),
    "CoinAPI": (
        NAME,
        ("time_period_start;time_period_end;time_open;time_close;price_open;price_high;price_low;price_close;volume_traded\n"
        "2024-01-01T00:00:00.0000000Z;2024-01-01T01:00:00.0000000Z;2024-01-01T00:00:03.5Z;2024-01-01T00:59:58.1Z;2;4;1;3;7\n"),
        {},
        {"n": 1, "first": START},
    ),
    "semicolons and decimal commas": (
        NAME,
        "\ufeffdate;open;high;low;close;volume\r\n2024-01-01 00:00:00;2000;4000,5;1000;3000,25;7,000\r\n".replace("\r\n", "\n"),
        {},
        {"n": 1, "close": 3000.25, "volume": 7.0},
    ),
    "decimal sign said": (
        NAME,
        HEADER.replace(",", ";") + "2024-01-01;2;4;1;3;6,091\n",
        {"decimal": ","},
        {"n": 1, "volume": 6.091},
    ),
    "days first said": ("BTC_USDT.csv", HEADER + lines(["01/02/2024", "02/02/2024"]), {"dates": "dmy"}, {"n": 2, "first": START + 31 * DAY}),
    "days first seen": ("BTC_USDT.csv", HEADER + lines(["12/01/2024", "13/01/2024"]), {}, {"n": 2, "first": START + 11 * DAY}),
    "months first seen": ("BTC_USDT.csv", HEADER + lines(["01/12/2024", "01/13/2024"]), {}, {"n": 2, "first": START + 11 * DAY}),
    "named columns": (
        NAME,
        "When,First,Top,Bottom,Last,Amount\n" + lines(hours(3)),
        {"columns": {"time": "When", "open": "First", "high": "Top", "low": "Bottom", "close": "Last", "volume": "Amount"}},
        {"n": 3},
    ),
    "named date and time": (
        NAME,
        "Day,Clock,Open,High,Low,Close,Volume\n" + lines(["2024-01-01,00:00", "2024-01-01,01:00"]),
        {"columns": {"time": "Day+Clock"}},
        {"n": 2},
    ),
    "lines above the header, blank lines, empty lines of a spreadsheet": (
        NAME,
        "# made by hand\nhttps://example.org\n\n" + HEADER + lines(hours(2)) + "\n,,,,,\n\n",
        {},
        {"n": 2},
    ),
    "a comma behind every row": (NAME, HEADER + lines(hours(2), "2,4,1,3,7,"), {}, {"n": 2}),
    "sep=": (NAME, "sep=;\n" + (HEADER + lines(hours(2))).replace(",", ";"), {}, {"n": 2}),
    "UTF-16": (NAME, ("date\topen\thigh\tlow\tclose\tvolume\n" + lines(hours(2)).replace(",", "\t")).encode("utf-16"), {}, {"n": 2}),
    "an index without a name": (NAME, ",Open,High,Low,Close,Volume\n" + lines(["2024-01-01", "2024-01-02"]), {"timeframe": "1d"}, {"n": 2}),
    "snapped": (
        "BTC_USDT-1m.csv",
        HEADER + lines([START, START + 60_000, START + 134_789, START + 194_789, START + 240_000]),
        {"snap": True},
        {"n": 5, "gaps": 0},
    ),
    "no volume": (NAME, "date,open,high,low,close\n" + lines(hours(3), "2,4,1,3"), {}, {"n": 3, "volume": 0.0, "volume_known": False}),
    "empty volumes": (NAME, HEADER + lines(hours(3), "2,4,1,3,"), {}, {"n": 3, "volume": 0.0, "volume_known": False}),
}  # fmt: skip


@pytest.mark.parametrize("case", READ, ids=lambda name: name.replace(" ", "-"))
def test_what_is_read(case: str, tmp_path: Path) -> None:
    name, content, options, wanted = READ[case]
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    candles = Candles.from_csv(file, **options)
    assert len(candles) == wanted["n"]
    assert candles.time[0] == wanted.get("first", START)
    assert candles.close[0] == wanted.get("close", 3.0)
    assert candles.volume[0] == wanted.get("volume", 7.0)
    for attribute in ("symbol", "timeframe", "gaps", "volume_known"):
        assert getattr(candles, attribute) == wanted.get(attribute, getattr(candles, attribute)), attribute


REFUSED: dict[str, tuple[str, str | bytes, dict[str, Any], str]] = {
    "day numbers of a spreadsheet": (
        "BTC_USDT.csv", HEADER + lines([45292, 45293]), {}, r"line 2 has the time 45292, which looks like a day number .* \(2024-01-01\)"
    ),
    "milliseconds of the day": (NAME, lines([0, 3_600_000, 7_200_000]), {}, "line 1 has the time 0, which is less than a day"),
    "before 2009": (NAME, HEADER + lines(["1999-01-01", "1999-01-02"]), {}, "line 2 has the time '1999-01-01', .* between 2009 and 2100"),
    "closing times alone": (
        NAME, "close_time,open,high,low,close,volume\n" + lines(hours(3)), {}, "only 'close_time', at which candles end: say --columns close_time="
    ),
    "closing times by their size": (
        NAME, HEADER + lines([START + HOUR * k - 1 for k in range(1, 5)]), {}, r"those at which 1h candles end .* --columns close_time=NAME"
    ),
    "closing times in whole seconds": (
        NAME, HEADER + lines([START // 1000 + 3600 * k - 1 for k in range(1, 5)]), {}, r"those at which 1h candles end .* --columns close_time=NAME"
    ),
    "a header among the rows": (NAME, HEADER + lines(hours(2)) + HEADER + lines(hours(2)), {}, "line 4 repeats the names of the columns"),
    "a header with other names": (
        NAME, HEADER + lines(hours(2)) + "a,b,c,d,e,f\n", {}, "line 4 has the time 'a'"
    ),
    "a number that is none": (NAME, HEADER + lines(hours(1)) + "1704070800,2,4,x,3,7\n", {}, "line 3: column low holds 'x', which is no number: repair or drop"),
    "an empty cell": (NAME, HEADER + "\n" + lines(hours(1)) + "1704070800,2,4,,3,7\n", {}, r"line 4 \(2024-01-01T01:00:00.000Z\) has low nan"),
    "a volume that is missing once": (NAME, HEADER + lines(hours(1)) + "1704070800,2,4,1,3,\n", {}, "line 3 .* has volume nan"),
    "a candle that contradicts itself": (NAME, HEADER + lines(hours(1)) + "1704070800,2,4,3,3,7\n", {}, r"line 3 \(2024-01-01T01.*\) was open 2.0, high 4.0, low 3.0"),
    "one cell too many": (NAME, HEADER + lines(hours(1)) + "1704070800,2,4,1,3,7,9\n", {}, "line 3 has 7 cells where there are 6 columns, separated by comma"),
    "one cell too few": (NAME, HEADER + lines(hours(1)) + "1704070800,2,4,1,3\n", {}, "line 3 has 5 cells where there are 6 columns"),
    "a number that may be two": (NAME, HEADER.replace(",", ";") + "2024-01-01;2;4;1;3;6,091\n", {}, "line 2: column volume holds '6,091', which may be 6.091 or 6091, .*--decimal"),
    "points that may be either": (NAME, HEADER + lines(["2024-01-01", "2024-01-02"], "2.000,4.000,1.000,3.000,7"), {}, "line 2: column open holds '2.000', which may be 2.000 or 2000"),
    "two decimal signs": (
        NAME, HEADER.replace(",", ";") + "2024-01-01;2,5;4.25;1;3;7\n", {}, r"line 2: column high holds '4.25', with a decimal point, but .* line 2: column open holds '2,5', with"
    ),
    "a date that may be two": ("BTC_USDT.csv", HEADER + lines(["01/02/2024", "02/02/2024"]), {}, "line 2 has the time '01/02/2024', whose day and month may be swapped.*--dates dmy"),
    "dates in two orders": ("BTC_USDT.csv", HEADER + lines(["31/01/2024", "02/13/2024"]), {}, "'31/01/2024', with the day first, but .* '02/13/2024', with the month first"),
    "a day that is none": ("BTC_USDT.csv", HEADER + lines(["2024-02-30"]), {"timeframe": "1d"}, "line 2 has the time '2024-02-30'"),
    "a zone by name": (NAME, HEADER + lines(["2024-01-01 00:00 EST"]), {}, "line 2 has the time '2024-01-01 00:00 EST'"),
    "times rounded by a spreadsheet": (NAME, HEADER + lines(["1.70407E+12", "1.70407E+12"]), {}, "line 2 has the time '1.70407E.12'"),
    "rows a month apart": ("BTC_USDT.csv", HEADER + lines(["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"]), {}, "rows are a month apart; months are of different lengths"),
    "rows off the grid": ("BTC_USDT-1m.csv", HEADER + lines([START, START + 74_789, START + 120_000]), {}, "line 4 .* opens 45.211 s after .* 1 of 3 rows are off the grid of 1m, by up to 14.789 s: --snap"),
    "rows that snap to one": ("BTC_USDT-1m.csv", HEADER + lines([START, START + 60_000, START + 110_000, START + 129_000, START + 180_000]), {"snap": True}, "two candles would be moved to 2024-01-01T00:02"),
    "no names of columns": (NAME, "when,what\n1,2\n", {}, "line 1 was 'when,what'; it needs a line with the names of the columns"),
    "only volumes in quote": (NAME, "date,open,high,low,close,Volume USDT\n" + lines(hours(2)), {}, "no column 'volume'; .* found were: date, .*Volume USDT; say which it is with --columns volume="),
    "a column that is not there": (NAME, HEADER + lines(hours(2)), {"columns": {"open": "opening"}}, "columns says open=opening, but there is no column 'opening', found were: date"),
    "a price twice": (NAME, "date,open,high,low,close,Close,volume\n" + lines(hours(2), "2,4,1,3,2,7"), {}, "2 columns may be 'close': 'close', 'Close'"),
    "two tickers": ("x.csv", "Price,Close,Close,High,Low,Open\nTicker,A,B,A,A,A\nDate,,,,,\n2024-01-01,1,1,1,1,1\n", {}, r"holds 2 symbols \(A, B\)"),
    "an unfinished candle": ("x.csv", OKX + f"BTC-USDT,2,4,1,3,7,21,21,{START},1\nBTC-USDT,2,4,1,3,7,21,21,{START + HOUR},0\n", {}, "line 3 is a candle that had not closed"),
    "no text": (NAME, bytes(range(256)) * 20, {}, "cannot be read: it is no text"),
    "nothing": (NAME, "", {}, "cannot be read: it is empty"),
    "several files in a zip": ("x.zip", zipped(a__csv="1", b__csv="2"), {}, r"holds 2 files with candles \(a.csv, b.csv"),
    "a zip of something else": ("x.zip", zipped(readme__md="1"), {}, "holds readme.md; unpack it"),
    "no zip": ("x.zip", "date", {}, "it is no zip archive"),
    "a gzip that was cut off": ("BTC_USDT-1h.csv.gz", gzip.compress((HEADER + lines(hours(99))).encode())[:-30], {}, "it is damaged or cut off"),
    "no gzip": ("BTC_USDT-1h.csv.gz", HEADER, {}, "it is not packed with gzip"),
    "an inverse contract": (NAME, HEADER + lines(hours(2)), {"symbol": "BTC/USD:BTC"}, "BTC/USD:BTC is an inverse contract, settled in BTC"),
    "JSON of something else": ("BTC_USDT-1h.json", '{"a": 1}', {}, "a list of .* was expected"),
    "JSON that was cut off": ("BTC_USDT-1h.json", "[[1,2", {}, r"it is no JSON \(line 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda name: name.replace(" ", "-"))
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    name, content, options, sentence = REFUSED[case]
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BacktestError, match=sentence) as raised:
        Candles.from_csv(file, **options)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_status == 2


@pytest.mark.parametrize(
    ("unit", "sentence"), [(1000, r"opens 3\.6 s after the row before"), (1e-3, "no candle is from then")]
)
def test_the_constructor_takes_milliseconds_only(unit: float, sentence: str) -> None:
    price = np.ones(4)
    with pytest.raises(InvalidCandlesError, match=sentence):
        Candles("BTC/USDT", "1h", np.array(hours(4, unit)), price, price, price, price, price)


def test_a_frame_is_the_same_door() -> None:
    table = pd.DataFrame({"open": [2.0, 2], "high": [4.0, 4], "low": [1.0, 1], "close": [3.0, 3], "volume": [7.0, 7]})
    with pytest.raises(InvalidCandlesError, match="row 0 has the time 45292, which looks like a day number"):
        Candles.from_pandas(table.assign(date=[45292, 45293]), symbol="BTC/USDT")
    ends = pd.DatetimeIndex(["2024-01-01T01:00Z", "2024-01-01T02:00Z"], name="close_time")
    with pytest.raises(InvalidCandlesError, match="no opening time, only 'close_time'"):
        Candles.from_pandas(table.set_index(ends), symbol="BTC/USDT")
    opens = table.set_index(ends).assign(open_time=pd.DatetimeIndex(["2024-01-01T00:00Z", "2024-01-01T01:00Z"]))
    assert Candles.from_pandas(opens, symbol="BTC/USDT").time[0] == START
