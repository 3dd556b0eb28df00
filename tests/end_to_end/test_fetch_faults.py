"""What can go wrong between an exchange and the store: nothing is lost, and the user reads one sentence."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from backtest.errors import BacktestError, DataUnavailableError, InvalidSettingError, StorageError
from backtest.market_data.exchange import Access
from backtest.market_data.fetch import fetch
from backtest.market_data.job import Wish
from backtest.market_data.load import load_candles
from backtest.market_data.retry import Retry
from backtest.market_data.store import Store
from tests.loopback_exchange import HOUR, Fault, Loopback, last, now

if TYPE_CHECKING:
    from pathlib import Path

DAY = 24 * HOUR
EXCHANGES = ("binance", "bybit", "okx", "kraken", "kucoin", "gate", "mexc")
CANDLES = r"(?i)(klines?|candles|candlesticks|OHLC)\?"
PASSING = {
    "too many requests": Fault(CANDLES, 429, "{}", {"Retry-After": "0.05"}),
    "a ban for a moment": Fault(CANDLES, 418, "{}", {"Retry-After": "0.05"}),
    "maintenance": Fault(CANDLES, 503, "<html>down</html>"),
    "a dropped connection": Fault(CANDLES, 200, cut=True),
    "a page of HTML": Fault(CANDLES, 200, "<html>oops"),
    "nothing at all": Fault(CANDLES, 200, " "),
    "null": Fault(CANDLES, 200, "null"),
    "an empty object": Fault(CANDLES, 200, "{}"),
    "half an answer": Fault(CANDLES, 200, '[[1700000000000,"1","2'),
}


def bring(server: Loopback, exchange: str, store: Store, wish: Wish, **retry: float) -> int:
    patience = Retry(attempts=int(retry.get("attempts", 4)), first_wait=0.002)
    access = Access(server.url(exchange), limited=False, retry=patience)
    return fetch(wish, exchange=exchange, store=store, access=access)[0].rows


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_passing_fault_is_outlived(exchange: str, tmp_path: Path) -> None:
    start = last(HOUR) - 600 * HOUR
    faults = [replace(fault) for fault in PASSING.values()]
    with Loopback(start - 100 * HOUR, faults=faults, cap=250) as server:
        store = Store(tmp_path)
        if exchange == "kraken":
            server.cap = 720
        rows = bring(server, exchange, store, Wish(["BTC/USDT"], ["1h"], start=start), attempts=len(faults) + 1)
        assert all(fault.times == 0 for fault in faults)
        assert rows == len(server.candles(low=start))


@pytest.mark.parametrize("name", ["too many requests", "maintenance", "a page of HTML", "null", "a dropped connection"])
@pytest.mark.parametrize("exchange", ["binance", "bybit", "okx", "kucoin"])
def test_a_fault_that_stays_ends_in_one_sentence_and_keeps_what_came(exchange: str, name: str, tmp_path: Path) -> None:
    start = last(HOUR) - 5000 * HOUR
    with Loopback(start, faults=[replace(PASSING[name], skip=3, times=99)]) as server:
        store = Store(tmp_path)
        wish = Wish(["BTC/USDT"], ["1h"], start=start)
        sentence = f"{exchange} gave no usable answer for BTC/USDT 1h from 20"
        with pytest.raises(DataUnavailableError, match=sentence) as raised:
            bring(server, exchange, store, wish, attempts=2)
        assert "\n" not in str(raised.value)
        kept = len(store.candles(store.series()[0]))
        assert kept > 0
        server.faults = []
        assert bring(server, exchange, store, wish) == len(server.candles(low=start)) - kept


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_geo_block_is_said_at_once(exchange: str, tmp_path: Path) -> None:
    with Loopback(0, faults=[Fault(".", 451, '{"msg":"restricted location"}', times=99)]) as server:
        with pytest.raises(DataUnavailableError, match=f"{exchange} does not serve this network"):
            bring(server, exchange, Store(tmp_path), Wish(["BTC/USDT"], ["1h"], start=now() - HOUR * 10))
        assert len(server.log) <= 4  # not asked again


def test_retry_after_is_obeyed_and_a_long_one_ends_the_run(tmp_path: Path) -> None:
    start = last(HOUR) - 30 * HOUR
    with Loopback(start, faults=[Fault(CANDLES, 429, "{}", {"Retry-After": "1"})]) as server:
        began = time.monotonic()
        assert bring(server, "binance", Store(tmp_path / "a"), Wish(["BTC/USDT"], ["1h"], start=start)) == 30
        assert time.monotonic() - began >= 1.0
        server.faults = [Fault(CANDLES, 418, "{}", {"Retry-After": "259200"})]
        with pytest.raises(DataUnavailableError, match="binance asks to wait 259200 s"):
            bring(server, "binance", Store(tmp_path / "b"), Wish(["BTC/USDT"], ["1h"], start=start))


def test_a_contradictory_candle_is_left_out_and_told(tmp_path: Path) -> None:
    start = last(HOUR) - 30 * HOUR
    broken = start + 7 * HOUR
    with Loopback(start, wrong={broken: [100.0, 90.0, 95.0, 100.0, 1.0]}) as server:
        store = Store(tmp_path)
        assert bring(server, "binance", store, Wish(["BTC/USDT"], ["1h"], start=start)) == 29
        manifest = store.manifest(store.series()[0])
        assert [candle.time for candle in manifest.refused] == [broken]
        assert "high 90.0" in manifest.refused[0].why


def test_an_exchange_gone_mad_is_not_believed(tmp_path: Path) -> None:
    start = last(HOUR) - 30 * HOUR
    wrong = {start + n * HOUR: [0.0, 0.0, 0.0, 0.0, 0.0] for n in range(20)}
    with Loopback(start, wrong=wrong) as server, pytest.raises(DataUnavailableError, match="contradict themselves"):
        bring(server, "okx", Store(tmp_path), Wish(["BTC/USDT"], ["1h"], start=start))


def test_revised_candles_are_reported_and_kept_apart(tmp_path: Path) -> None:
    start = last(HOUR) - 30 * HOUR
    with Loopback(start) as server:
        store = Store(tmp_path)
        wish = Wish(["BTC/USDT"], ["1h"], start=start, again=True)
        bring(server, "binance", store, wish)
        before = store.candles(store.series()[0])
        server.wrong = {start + 3 * HOUR: [500.0, 500.0, 500.0, 500.0, 1.0]}
        access = Access(server.url("binance"), limited=False)
        assert [fetch(wish, exchange="binance", store=store, access=access)[0].revised for _ in range(2)] == [1, 0]
        after = store.candles(store.series()[0])
        np.testing.assert_array_equal(before.close, after.close[: len(before)])
        assert store.manifest(store.series()[0]).revisions[0].first == start + 3 * HOUR


@pytest.mark.parametrize(
    ("exchange", "wish", "sentence"),
    [
        ("binanse", Wish(["BTC/USDT"], ["1h"], start=0), 'there is no exchange .binanse.*Did you mean "binance"'),
        ("binance", Wish(["BTC/USD"], ["1h"], start=0), 'does not trade .BTC/USD.*Did you mean "BTC/USDT"'),
        (
            "binance",
            Wish(["BTC/USDT"], ["60m"], start=0),
            r'timeframe was .60m.; binance has 1s, 1m, .* Did you mean "1h"',
        ),
        ("binance", Wish(["BTC/USDT"], ["1h"]), "say since when"),
        ("binance", Wish(["BTC/USDT"], ["1h"], start=2 * now()), "lies in the future"),
        (
            "binance",
            Wish(["BTC/USDT"], ["1h"], start=DAY, end=0),
            "start of a range lies before its end, was 1970-01-02",
        ),
        ("binance", Wish(["BTC/USDT"], ["1h"], ["mark"], start=0), "perpetuals have, such as BTC/USDT:USDT"),
    ],
)
def test_a_bad_request_is_one_sentence_before_any_candle(
    exchange: str, wish: Wish, sentence: str, tmp_path: Path
) -> None:
    with Loopback(0) as server:
        with pytest.raises(InvalidSettingError, match=sentence) as raised:
            bring(server, exchange, Store(tmp_path), wish)
        assert raised.value.exit_status == 2
        assert not [path for path, query in server.log if "interval" in query]
    assert Store(tmp_path).series() == []


def test_a_range_before_the_listing_is_said(tmp_path: Path) -> None:
    wish = Wish(["BTC/USDT"], ["1h"], start=now() - 3000 * HOUR, end=now() - 2000 * HOUR)
    with Loopback(now() - 30 * HOUR) as server, pytest.raises(DataUnavailableError, match="listed the symbol later"):
        bring(server, "gate", Store(tmp_path), wish)


def test_a_range_asked_by_mistake_is_not_continued_from(tmp_path: Path) -> None:
    listed = last(DAY) - 10 * DAY
    with Loopback(listed) as server:
        store = Store(tmp_path)
        bring(server, "binance", store, Wish(["BTC/USDT"], ["1h"], start=listed, end=listed + DAY))
        with pytest.raises(DataUnavailableError, match="listed the symbol later"):
            bring(server, "binance", store, Wish(["BTC/USDT"], ["1h"], start=listed - 90 * DAY, end=listed - 80 * DAY))
        assert len(load_candles("BTC/USDT", "1h", exchange="binance", store=store)) == 24
        asked = len(server.log)
        assert bring(server, "binance", store, Wish(["BTC/USDT"], ["1h"], end=listed + 2 * DAY)) == 24
        starts = [int(query["startTime"]) for _, query in server.log[asked:] if "startTime" in query]
        assert min(starts) == listed + DAY


def test_a_disk_that_fills_up_keeps_what_was_written(tmp_path: Path) -> None:
    start = last(HOUR) - 3000 * HOUR
    wish = Wish(["BTC/USDT"], ["1h"], start=start)
    with Loopback(start - HOUR, cap=50, delay=0.01) as server:
        store, access = Store(tmp_path), Access(server.url("binance"), limited=False)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
        try:
            with pytest.raises(
                StorageError, match=r"cannot write .*\.parquet: File too large; [\d,]+ rows of .* were written"
            ):
                fetch(wish, exchange="binance", store=store, access=access, batch=50)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        kept = len(store.candles(store.series()[0]))
        assert 0 < kept < 1000
        assert bring(server, "binance", store, wish) == len(server.candles(low=start)) - kept


def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    access = Access("http://127.0.0.1:9", limited=False, retry=Retry(attempts=2, first_wait=0.01))
    with pytest.raises(
        BacktestError, match="binance gave no usable answer for its list of markets in 2 attempts"
    ) as raised:
        fetch(Wish(["BTC/USDT"], ["1h"], start=0), exchange="binance", store=Store(tmp_path), access=access)
    assert raised.value.exit_status == 3


@pytest.mark.parametrize(
    ("pattern", "status", "body", "sentence"),
    [
        ("exchangeInfo", 200, '{"symbols": []}', "its list of markets .* an answer without a single market"),
        ("exchangeInfo", 200, "<html>", "its list of markets in 1 attempts"),
        ("/time", 200, "{}", "its clock .* an answer without a time"),
        ("klines", 200, '[["1700000000000", "1", "2"]]', "1 rows of which none was asked for"),
        ("klines", 200, '[{"a": 1}]', "1 rows of which none was asked for"),
        ("klines", 200, '[["9700000000000", "1", "2"]]', "listed the symbol later"),
        ("klines", 200, '{"a": {"b": []}}', "a broken answer: "),
        ("klines", 403, "<html>blocked", "a block of this network or country looks the same"),
        ("klines", 401, '{"code": -2015, "msg": "Invalid API-key"}', "does not give BTC/USDT 1h .* without an account"),
        ("klines", 400, '{"code": -1121, "msg": "Invalid symbol."}', "binance refused the request for BTC/USDT 1h"),
    ],
)
def test_an_answer_that_is_no_answer_is_one_sentence(
    pattern: str, status: int, body: str, sentence: str, tmp_path: Path
) -> None:
    with Loopback(0, faults=[Fault(pattern, status, body, times=99)]) as server:
        with pytest.raises(BacktestError, match=sentence) as raised:
            bring(server, "binance", Store(tmp_path), Wish(["BTC/USDT"], ["1h"], start=now() - HOUR * 10), attempts=1)
        assert "\n" not in str(raised.value)


def test_without_ccxt_the_way_to_get_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ccxt.async_support", None)
    with pytest.raises(InvalidSettingError, match=r"candles from an exchange need ccxt: pip install"):
        fetch(Wish(["BTC/USDT"], ["1h"], start=0), exchange="binance", store=Store(tmp_path))


def test_ctrl_c_in_a_notebook_keeps_what_is_complete(tmp_path: Path) -> None:
    start = last(HOUR) - 20_000 * HOUR

    async def cell(server: Loopback) -> None:  # a notebook's loop is running while a cell fetches
        bring(server, "binance", Store(tmp_path), Wish(["BTC/USDT"], ["1h"], start=start))

    with Loopback(start, delay=0.05) as server:

        def interrupt() -> None:
            while len(server.log) < 14:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        loop = asyncio.new_event_loop()
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(cell(server))
        loop.close()
    assert 0 < len(Store(tmp_path).candles(Store(tmp_path).series()[0])) < 20_000
