"""The real ccxt client of exchanges beyond the seven, and answers that look like an end and are none."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from backtest.errors import DataUnavailableError, InvalidSettingError, StorageError
from backtest.market_data.fetch import fetch
from backtest.market_data.job import Fetched, Wish
from backtest.market_data.load import load_candles
from backtest.market_data.market_rules import read_market
from backtest.market_data.series import Series
from backtest.market_data.store import Store
from tests.end_to_end.test_fetch_exchanges import DAY, access, assert_held, midnight, until
from tests.loopback_exchange import HOUR, Fault, now
from tests.loopback_others import Others

if TYPE_CHECKING:
    from pathlib import Path

SYMBOLS = {"htx": "BTC/USDT:USDT", "bitget": "BTC/USDT", "hyperliquid": "BTC/USDC:USDC"}


def bring(server: Others, exchange: str, store: Store, wish: Wish) -> Fetched:
    return fetch(wish, exchange=exchange, store=store, access=access(server, exchange))[0]


@pytest.mark.parametrize("exchange", SYMBOLS)
def test_months_arrive_whole_with_holes_longer_than_a_page(exchange: str, tmp_path: Path) -> None:
    today = midnight()
    listed = today - 150 * DAY + 5 * HOUR
    gaps = [(listed + 400 * HOUR, listed + 407 * HOUR), (listed + 30 * DAY, listed + 50 * DAY)]
    with Others(listed, gaps) as server:
        store = Store(tmp_path)
        wish = Wish([SYMBOLS[exchange]], ["1h"], start=today - 180 * DAY, end=today)
        outcome = bring(server, exchange, store, wish)
        assert_held(store, outcome.series, server.rows("1h", listed, until(wish)))
        assert store.missing(outcome.series, listed, today) == []
        assert store.missing(outcome.series, today - 180 * DAY, today) == [(today - 180 * DAY, listed)]
        assert "the first candle served is that of" in " ".join(outcome.notes)
        asked = len(server.log)
        assert bring(server, exchange, store, Wish([SYMBOLS[exchange]], ["1h"], end=today)).rows == 0
        assert not [query for _, query in server.log[asked:] if {"period", "granularity", "interval"} & query.keys()]


def test_a_server_that_answers_with_its_newest_rows_only_is_not_believed(tmp_path: Path) -> None:
    today = midnight()
    with Others(today - 300 * DAY, deaf=True) as server:
        store = Store(tmp_path)
        wish = Wish(["BTC/USDT:USDT"], ["1h"], start=today - 200 * DAY, end=today)
        outcome = bring(server, "htx", store, wish)
        held = store.candles(outcome.series)
        assert 1900 < len(held) <= 2000
        assert store.missing(outcome.series, today - 200 * DAY, today) == [(today - 200 * DAY, int(held.time[0]))]
        assert "what lies before it counts as never fetched" in outcome.notes[0]


@pytest.mark.parametrize("exchange", ["bitget", "okx", "kucoin", "binance"])
def test_empty_answers_at_random_lose_nothing(exchange: str, tmp_path: Path) -> None:
    today = midnight()
    with Others(today - 100 * DAY, empty=0.15) as server:
        store = Store(tmp_path)
        wish = Wish(["BTC/USDT"], ["1h"], start=today - 130 * DAY, end=today)
        outcome = bring(server, exchange, store, wish)
        assert_held(store, outcome.series, server.rows("1h", today - 100 * DAY, until(wish)))


@pytest.mark.parametrize("exchange", ["okx", "kucoin"])
def test_newest_first_pages_shorter_than_asked_hide_no_day(exchange: str, tmp_path: Path) -> None:
    today = midnight()
    with Others(today - 400 * DAY, [(today - 300 * DAY, today - 200 * DAY)], cap=37) as server:
        store = Store(tmp_path)
        wish = Wish(["BTC/USDT"], ["1h"], start=today - 500 * DAY, end=today)
        outcome = bring(server, exchange, store, wish)
        assert_held(store, outcome.series, server.rows("1h", today - 400 * DAY, until(wish)))


def test_what_is_no_longer_kept_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    today = midnight()
    with Others(today - 900 * DAY) as server:
        store = Store(tmp_path)
        for exchange, symbol, most in (("hyperliquid", "BTC/USDC:USDC", "5,000"), ("gate", "BTC/USDT", "10,000")):
            with pytest.raises(InvalidSettingError, match=f"{exchange} serves only its newest {most} candles, 1h ones"):
                bring(server, exchange, store, Wish([symbol], ["1h"], start=today - 800 * DAY))
        assert not [query for _, query in server.log if {"interval"} & query.keys()]
        outcome = bring(server, "hyperliquid", store, Wish(["BTC/USDC:USDC"], ["1h"], end=today))
        assert len(store.candles(outcome.series)) > 4900


def test_a_store_that_stopped_too_long_ago_goes_on_and_says_what_is_lost(tmp_path: Path) -> None:
    today = midnight()
    with Others(today - 900 * DAY, kept=20_000) as server:
        store = Store(tmp_path)
        series = Series("hyperliquid", "BTC/USDC:USDC", "1h")
        old = server.rows("1h", today - 600 * DAY, today - 590 * DAY - 1)
        columns = dict(zip(("time", "open", "high", "low", "close", "volume"), old.T.copy(), strict=True))
        columns["time"] = columns["time"].astype(np.int64)
        store.add(series, columns, asked=[(today - 600 * DAY, today - 590 * DAY)], source="hyperliquid")
        outcome = bring(server, "hyperliquid", store, Wish(["BTC/USDC:USDC"], ["1h"], end=today))
        assert "can no longer be fetched" in outcome.notes[0]
        assert outcome.rows > 4900


def test_a_candle_some_milliseconds_off_the_grid_is_kept_and_counted(tmp_path: Path) -> None:
    today = midnight()
    late = {today - 30 * HOUR: 5, today - 20 * HOUR: -5}
    with Others(today - 60 * DAY, late=late) as server:
        store = Store(tmp_path)
        wish = Wish(["BTC/USDC:USDC"], ["1h"], start=today - 10 * DAY, end=today)
        outcome = bring(server, "hyperliquid", store, wish)
        assert (outcome.rows, outcome.off_grid) == (240, 2)
        held = load_candles("BTC/USDC:USDC", "1h", exchange="hyperliquid", store=store)
        assert sorted(set((held.time % HOUR).tolist())) == [0, 5, HOUR - 5]


def test_a_symbol_with_small_letters_loads_as_it_was_stored(tmp_path: Path) -> None:
    today = midnight()
    with Others(today - 60 * DAY) as server:
        store = Store(tmp_path)
        outcome = bring(
            server, "hyperliquid", store, Wish(["kPEPE/USDC:USDC"], ["1h"], start=today - 5 * DAY, end=today)
        )
        assert outcome.series.symbol == "KPEPE/USDC:USDC"  # as ccxt spells it
        for text in ("kPEPE/USDC:USDC", "kpepe/usdc:usdc", "KPEPE_USDC_USDC"):
            assert len(load_candles(text, "1h", exchange="hyperliquid", store=store)) == 120


def test_the_rules_of_htx_are_in_base_currency(tmp_path: Path) -> None:
    today = midnight()
    with Others(today - 60 * DAY) as server:
        store = Store(tmp_path)
        bring(server, "htx", store, Wish(["BTC/USDT:USDT"], ["1h"], start=today - DAY, end=today))
        market = read_market(store, "htx", "BTC/USDT:USDT")
        assert market is not None
        assert (market.step, market.min_amount, market.tick) == ("0.001", 0.001, "0.1")
        assert market.max_leverage > 1


@pytest.mark.parametrize("verb", ["418", "429"])
def test_a_ban_ends_every_request_of_every_symbol(verb: str, tmp_path: Path) -> None:
    banned = [Fault("klines", int(verb), "{}", {"Retry-After": "3600"}, times=9999)]
    with Others(now() - 900 * DAY, faults=banned) as server:
        spans = ["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w"]
        wish = Wish(["BTC/USDT", "ETH/USDT"], spans, start=now() - 800 * DAY)
        with pytest.raises(DataUnavailableError, match=r"binance asks to wait 3600 s before the next request"):
            bring(server, "binance", Store(tmp_path), wish)
        assert len([path for path, _ in server.log if "klines" in path]) == 1


def test_a_ban_in_the_middle_keeps_what_is_complete(tmp_path: Path) -> None:
    banned = [Fault("klines", 418, "{}", {"Retry-After": "3600"}, times=9999, skip=6)]
    with Others(now() - 900 * DAY, faults=banned) as server:
        store = Store(tmp_path)
        with pytest.raises(DataUnavailableError, match="what is complete is kept"):
            bring(server, "binance", store, Wish(["BTC/USDT"], ["1m"], start=now() - 400 * DAY))
        refused = len([path for path, _ in server.log if "klines" in path]) - 6
        assert refused <= 16  # those that were under way
        assert len(store.candles(Series("binance", "BTC/USDT", "1m"))) == 6000


@pytest.mark.parametrize("command", ["BTC/USD:BTC", "ETH/USD:ETH"])
def test_inverse_contracts_are_refused(command: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match="is an inverse contract, settled in"):
        load_candles(command, "1h", exchange="binance", store=Store(tmp_path))


def test_one_series_without_rows_does_not_fail_the_others(tmp_path: Path) -> None:
    today = midnight()
    with Others(today - 10 * DAY) as server:
        store = Store(tmp_path)
        nothing = [Fault("symbol=ETHUSDT", 200, "[]", times=9999)]
        server.faults += nothing
        wish = Wish(["BTC/USDT", "ETH/USDT"], ["1h"], start=today - 5 * DAY, end=today)
        found = fetch(wish, exchange="binance", store=store, access=access(server, "binance"))
        assert [outcome.rows for outcome in found] == [120, 0]


def test_an_empty_answer_near_now_is_not_the_last_word(tmp_path: Path) -> None:
    moment = now()
    with Others(moment - 10 * DAY) as server:
        store = Store(tmp_path)
        server.gaps.append((moment - 3 * 60_000, moment + HOUR))
        outcome = bring(server, "binance", store, Wish(["BTC/USDT"], ["1m"], start=moment - 3 * HOUR))
        first = len(store.candles(outcome.series))
        server.gaps.clear()
        again = bring(server, "binance", store, Wish(["BTC/USDT"], ["1m"]))
        assert again.rows >= 2
        assert len(store.candles(outcome.series)) == first + again.rows
        assert store.candles(outcome.series).gaps == 0


class Counter:
    """Watches a download and adds up what it is told."""

    def __init__(self) -> None:
        self.begun = self.covered = self.rows = self.pages = 0

    def begin(self, series: Series, length: int) -> None:
        assert series.timeframe
        self.begun += length

    def advance(self, series: Series, length: int, rows: int) -> None:
        assert series.timeframe
        self.pages, self.covered, self.rows = self.pages + 1, self.covered + length, self.rows + rows


class FullFor(Counter):
    """A disk that takes nothing from the first page on, until so many have come."""

    def __init__(self, pages: int) -> None:
        super().__init__()
        self.until, self.limit = pages, resource.getrlimit(resource.RLIMIT_FSIZE)

    def advance(self, series: Series, length: int, rows: int) -> None:
        super().advance(series, length, rows)
        full = (10_000, self.limit[1])
        time.sleep(0.02)  # the thread that writes gets its turn
        resource.setrlimit(resource.RLIMIT_FSIZE, full if self.pages < self.until else self.limit)


def test_a_write_that_fails_in_the_middle_is_told_though_later_ones_would_not(tmp_path: Path) -> None:
    today = midnight()
    with Others(today - 500 * DAY, delay=0.05, cap=100) as server:
        disk = FullFor(110)
        wish = Wish(["BTC/USDT"], ["1h"], start=today - 500 * DAY, end=today)
        try:
            with pytest.raises(
                StorageError, match=r"File too large; [\d,]+ rows of binance BTC/USDT 1h were written, those"
            ):
                fetch(
                    wish,
                    exchange="binance",
                    store=Store(tmp_path),
                    access=access(server, "binance"),
                    progress=disk,
                    batch=100,
                )
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, disk.limit)
        done = fetch(wish, exchange="binance", store=Store(tmp_path), access=access(server, "binance"))[0]
        assert_held(Store(tmp_path), done.series, server.rows("1h", today - 500 * DAY, until(wish)))


def test_progress_adds_up_and_refused_candles_are_counted_once(tmp_path: Path) -> None:
    today = midnight()
    wrong = {today - 10 * HOUR: [2.0, 1.0, 3.0, 2.0, 1.0]}
    with Others(today - 50 * DAY, wrong=wrong) as server:
        watched = Counter()
        wish = Wish(["BTC/USDT"], ["1h"], start=today - 40 * DAY, end=today)
        found = fetch(
            wish,
            exchange="binance",
            store=Store(tmp_path),
            access=access(server, "binance"),
            progress=watched,
            batch=100,
        )[0]
        assert (watched.begun, watched.covered, watched.rows) == (40 * DAY, 40 * DAY, 40 * 24 - 1)
        assert (found.rows, found.refused) == (40 * 24 - 1, 1)


@pytest.mark.parametrize("exchange", ["gate", "mexc"])
def test_the_volume_of_contracts_is_in_base_currency(exchange: str, tmp_path: Path) -> None:
    today = midnight()
    with Others(today - 50 * DAY) as server:
        wish = Wish(["BTC/USDT:USDT"], ["1h"], start=today - 40 * DAY, end=today)
        outcome = bring(server, exchange, Store(tmp_path), wish)
        rows = server.rows("1h", today - 40 * DAY, until(wish))
        rows[:, 5] = np.round(rows[:, 5] * 8000 * 0.0001, 12)  # the server counts contracts of 0.0001
        assert_held(Store(tmp_path), outcome.series, rows)
