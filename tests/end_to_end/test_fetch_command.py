"""The commands ``fetch`` and ``data`` as a user runs them, and what they load."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from backtest.cli import data, fetch
from backtest.errors import BacktestError, DataUnavailableError, InvalidSettingError
from backtest.market_data.exchange import Access
from backtest.market_data.load import load_funding
from backtest.market_data.series import Series
from backtest.market_data.store import Store
from backtest.model.candles import Candles
from tests.loopback_exchange import HOUR, Loopback, last

if TYPE_CHECKING:
    from pathlib import Path

DAY = 24 * HOUR


def run(*arguments: str, status: int = 0) -> str:
    app = typer.Typer()
    fetch.register(app)
    data.register(app)
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, BacktestError):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.output


def day(moment: int) -> str:
    return str(np.datetime64(moment, "ms").astype("M8[D]"))


def test_fetch_today_and_again_tomorrow_then_look_at_it(tmp_path: Path) -> None:
    today = last(DAY)
    gap = (today - 5 * DAY, today - 5 * DAY + 3 * HOUR)
    with Loopback(today - 20 * DAY, [gap]) as server:
        options = ["--exchange", "BINANCE", "--store", str(tmp_path), "--url", server.url("binance")]
        timeframes, until = ["-t", "1h", "-t", "1d"], ["--until", day(today - DAY)]
        first = run("fetch", "BTC/USDT", *timeframes, "--since", day(today - 30 * DAY), *until, *options)
        assert "binance BTC/USDT 1h: 453 new, 453 held from" in first
        assert "binance BTC/USDT 1d: 19 new" in first
        second = run("fetch", "BTC/USDT", "-t", "1h", *options)
        assert f"binance BTC/USDT 1h: {len(server.candles()) - 453} new" in second
    listed = run("data", "list", "--store", str(tmp_path))
    assert "binance   BTC/USDT  1h" in listed
    shown = run("data", "show", "btcusdt", "-e", "binance", "--store", str(tmp_path))
    assert "3 candles, the exchange has none" in shown
    assert "rows from binance" in shown
    verified = run("data", "verify", "--store", str(tmp_path), status=3)  # the loopback's days are not its hours
    assert "binance BTC/USDT 1h: whole, 1 to know" in verified
    assert "its 1h candles say" in verified


def test_loading_fetches_what_is_missing_also_inside_a_running_loop(tmp_path: Path) -> None:
    today = last(DAY)
    options: dict[str, Any] = {"exchange": "okx", "store": tmp_path}

    async def notebook(access: Access) -> Candles:
        return Candles.load("BTC/USDT:USDT", "1h", start=today - 3 * DAY, end=today, fetch=access, **options)

    with Loopback(today - 20 * DAY) as server:
        access = Access(server.url("okx"), limited=False)
        first = Candles.load("BTC/USDT:USDT", "1h", start=today - 2 * DAY, end=today, fetch=access, **options)
        asked = len(server.log)
        again = Candles.load("BTC/USDT:USDT", "1h", start=today - 2 * DAY, end=today, fetch=access, **options)
        assert len(server.log) == asked  # nothing was missing
        assert again.hash == first.hash
        assert len(first) == 48
        assert len(asyncio.run(notebook(access))) == 72
        rates = load_funding("BTC/USDT:USDT", start=today - 3 * DAY, end=today, fetch=access, **options)
        assert len(rates) == 9
    assert len(Candles.load("BTC/USDT:USDT", "1h", **options)) == 72


def test_repair_fetches_what_a_damaged_file_held(tmp_path: Path) -> None:
    today = last(DAY)
    with Loopback(today - 20 * DAY) as server:
        options = ["-e", "binance", "--store", str(tmp_path), "--url", server.url("binance")]
        run("fetch", "BTC/USDT", "--since", day(today - 10 * DAY), "--until", day(today), *options)
        series = Series("binance", "BTC/USDT", "1h")
        whole = Store(tmp_path).candles(series).hash
        for file in (tmp_path / series.folder).glob("*.parquet"):
            file.write_bytes(file.read_bytes()[:99])
        assert "damaged" in run("data", "verify", "--store", str(tmp_path), status=3)
        with pytest.raises(DataUnavailableError, match=r"parquet is damaged .*`backtest data repair BTC/USDT"):
            run("fetch", "BTC/USDT", *options)
        told = run("data", "repair", "BTC/USDT", *options)
        assert "rows count as never fetched" in told
        assert "240 rows were fetched" in told
        assert Store(tmp_path).candles(series).hash == whole
        assert "nothing to repair" in run("data", "repair", "BTC/USDT", *options)


def test_import_takes_files_in_whole_or_not_at_all(tmp_path: Path) -> None:
    good, bad = tmp_path / "ETH_USDT-1h.csv", tmp_path / "ETH_USDT-4h.csv"
    good.write_text("date,open,high,low,close,volume\n2024-01-01 01:00,1,2,1,2,3\n2024-01-01 00:00,1,2,1,2,3\n")
    bad.write_text(good.read_text() + "2023-12-31,1,0.5,1,2,3\n")
    options = ["-e", "kraken", "--store", str(tmp_path / "store")]
    assert "2 rows of kraken ETH/USDT 1h, 2 new" in run("data", "import", str(good), *options)
    assert "2 rows of kraken ETH/USDT 1h, 0 new" in run("data", "import", str(good), *options)
    with pytest.raises(BacktestError, match=r"2023-12-31.*high 0\.5"):
        run("data", "import", str(bad), *options)
    with pytest.raises(InvalidSettingError, match="does not say where its candles were traded: give --exchange"):
        run("data", "import", str(good), "--store", str(tmp_path / "store"))
    assert len(Store(tmp_path / "store").series()) == 1


def test_files_of_freqtrade_keep_their_kind(tmp_path: Path) -> None:
    import pandas as pd

    date = pd.date_range("2024-01-01", periods=6, freq="8h", tz="UTC")
    frame = pd.DataFrame({"date": date, "open": 1e-4, "high": 0.0, "low": 0.0, "close": 0.0, "volume": 0.0})
    frame.to_feather(tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather")
    frame.assign(open=2.0, high=3.0, low=1.0, close=2.0).to_feather(tmp_path / "BTC_USDT_USDT-8h-mark.feather")
    files = [str(path) for path in sorted(tmp_path.glob("*.feather"))]
    told = run("data", "import", *files, "-e", "binance", "--store", str(tmp_path / "store"))
    assert "6 rows of binance BTC/USDT:USDT funding, 6 new" in told
    assert "6 rows of binance BTC/USDT:USDT 8h mark, 6 new" in told


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"open": float("nan")}, "row 0 has a funding rate that is no number, nan"),
        ({"date": "2024-01-01"}, "has funding rates whose times do not ascend"),
        ({"open": None}, "needs columns date and open"),
    ],
)
def test_funding_files_that_are_none_are_refused(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=3, freq="8h", tz="UTC"), "open": 1e-4})
    frame = frame.drop(columns="open") if change == {"open": None} else frame.assign(**change)
    frame.to_feather(tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather")
    with pytest.raises(BacktestError, match=sentence):
        run("data", "import", str(next(tmp_path.iterdir())), "-e", "binance", "--store", str(tmp_path / "store"))


def test_revised_and_refused_candles_are_shown_and_taken_when_asked(tmp_path: Path) -> None:
    today = last(DAY)
    with Loopback(today - 3 * DAY, wrong={today - DAY: [1.0, 0.5, 1.0, 1.0, 1.0]}) as server:
        options = ["-e", "binance", "--store", str(tmp_path), "--url", server.url("binance")]
        span = ["--since", day(today - 2 * DAY), "--until", day(today)]
        assert "47 new, 47 held" in run("fetch", "BTC/USDT", *span, *options)
        server.wrong[today - HOUR] = [7.0, 7.0, 7.0, 7.0, 7.0]
        assert "1 revised, 1 refused as contradictory" in run("fetch", "BTC/USDT", "--again", *span, *options)
        shown = run("data", "show", "BTC/USDT", *options[:4])
        assert "1 candle(s) from" in shown
        assert "later told differently, in revised-1.parquet" in shown
        assert "refused" in shown
        told = run("data", "repair", "BTC/USDT", "--take-revisions", "--no-fetch", *options[:4])
    assert "the old ones are in replaced-1.parquet" in told
    assert Store(tmp_path).candles(Series("binance", "BTC/USDT", "1h")).close[-1] == 7.0


def test_a_terminal_sees_bars_with_rows_and_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    today = last(DAY)
    with Loopback(today - 300 * DAY, delay=0.05) as server:
        options = ["-e", "binance", "--store", str(tmp_path), "--url", server.url("binance")]
        shown = run("fetch", "BTC/USDT", "--since", day(today - 300 * DAY), *options)
    assert "binance BTC/USDT 1h" in shown
    assert " rows " in shown


def test_an_empty_store_says_how_to_fill_it(tmp_path: Path) -> None:
    assert "is empty: backtest fetch" in run("data", "list", "--store", str(tmp_path))
    with pytest.raises(InvalidSettingError, match="has no binance BTC/USDT 1h"):
        run("data", "show", "BTC/USDT", "-e", "binance", "--store", str(tmp_path))
    with pytest.raises(InvalidSettingError, match="has no okx"):
        run("data", "verify", "-e", "okx", "--store", str(tmp_path))


def test_candles_from_the_store_need_neither_ccxt_nor_pandas(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np\n"
        "from backtest.market_data import load, quality, upkeep, importing, files\n"
        "heavy = {'ccxt', 'pandas', 'pyarrow', 'fsspec', 'aiohttp', 'typer'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from backtest.market_data.store import Store\n"
        "from backtest.market_data.series import Series\n"
        "from backtest.market_data.columns import columns_of\n"
        "from backtest.model.candles import Candles\n"
        "c = Candles('A/B', '1h', 3600000 * np.arange(9), *[np.ones(9)] * 5)\n"
        "Store(sys.argv[1]).add(Series('x', 'A/B', '1h'), columns_of(c), asked=[(0, 32400000)], source='x')\n"
        "assert Candles.load('A/B', '1h', exchange='x', store=sys.argv[1]).hash == c.hash\n"
        "assert 'ccxt' not in sys.modules and 'fsspec' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
