"""The real ccxt client of seven exchanges against a loopback server: years of candles arrive whole."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from backtest.errors import InvalidSettingError
from backtest.market_data.exchange import Access
from backtest.market_data.fetch import fetch
from backtest.market_data.job import Wish
from backtest.market_data.market_rules import read_market
from backtest.market_data.retry import Retry
from backtest.market_data.series import FUNDING, Series
from backtest.market_data.store import Store
from tests.loopback_exchange import HOUR, Fault, Loopback, now

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DAY = 24 * HOUR
WINDOWED = ("okx", "kucoin", "gate", "mexc")
PAGED = ("binance", "bybit", *WINDOWED)
PERPETUALS = ("binance", "bybit", "okx")


@cache
def midnight() -> int:
    """Return the beginning of the day on which the tests began: the clock is read once, however long they take."""
    moment = now()
    return moment - moment % DAY


def until(wish: Wish) -> int:
    """Return the last instant that a wish asks for: with an end, no hour can end between a fetch and its test."""
    assert wish.end is not None
    return wish.end - 1


def access(server: Loopback, exchange: str) -> Access:
    return Access(server.url(exchange), limited=False, retry=Retry(attempts=4, first_wait=0.01))


def bring(server: Loopback, exchange: str, store: Store, wish: Wish) -> Series:
    return fetch(wish, exchange=exchange, store=store, access=access(server, exchange))[0].series


def assert_held(store: Store, series: Series, expected: NDArray[np.float64]) -> None:
    held = store.candles(series)
    assert len(held) == len(expected)
    found = (held.time, held.open, held.high, held.low, held.close, held.volume)
    for column, values in zip(found, expected.T, strict=True):
        np.testing.assert_array_equal(column, values)


@pytest.mark.parametrize("exchange", PAGED)
def test_years_arrive_complete_with_gaps_and_a_listing_in_the_middle(exchange: str, tmp_path: Path) -> None:
    today = midnight()
    served = 300 if exchange == "gate" else 900  # gate serves its newest 10,000 candles
    listed = today - served * DAY + 5 * HOUR
    gaps = [(listed + 400 * HOUR, listed + 407 * HOUR), (listed + 200 * DAY, listed + 290 * DAY)]
    with Loopback(listed, gaps) as server:
        store = Store(tmp_path)
        wish = Wish(["BTC/USDT"], ["1h"], start=listed - (100 if exchange == "gate" else 1000) * DAY, end=today)
        series = bring(server, exchange, store, wish)
        assert_held(store, series, server.rows("1h", listed, until(wish)))
        missing = [(gap.start, gap.end) for gap in store.manifest(series).gaps(store.candles(series).time, HOUR)]
        assert missing == gaps
        assert all(gap.asked for gap in store.manifest(series).gaps(store.candles(series).time, HOUR))


@pytest.mark.parametrize("exchange", PAGED)
def test_short_pages_lose_nothing(exchange: str, tmp_path: Path) -> None:
    listed = midnight() - 40 * DAY
    with Loopback(listed, [(listed + 100 * HOUR, listed + 103 * HOUR)], cap=37) as server:
        store = Store(tmp_path)
        wish = Wish(["BTC/USDT"], ["1h"], start=listed - 10 * DAY, end=midnight())
        series = bring(server, exchange, store, wish)
        assert_held(store, series, server.rows("1h", listed, until(wish)))


@pytest.mark.parametrize("exchange", [*PAGED, "kraken"])
@pytest.mark.parametrize("skew", [-90_000, 90_000])
def test_the_open_candle_is_dropped_by_the_exchange_clock(exchange: str, skew: int, tmp_path: Path) -> None:
    with Loopback(midnight() - DAY, skew=skew) as server:
        store = Store(tmp_path)
        before = min(now(), server.clock())
        series = bring(server, exchange, store, Wish(["BTC/USDT"], ["1m"], start=before - 3 * HOUR))
        last = int(store.candles(series).time[-1])
        assert before - 2 * 60_000 < last <= min(now(), server.clock()) - 60_000


@pytest.mark.parametrize("exchange", [*PAGED, "kraken"])
def test_a_second_run_asks_only_for_what_is_new(exchange: str, tmp_path: Path) -> None:
    with Loopback(midnight() - 20 * DAY) as server:
        store = Store(tmp_path)
        series = bring(server, exchange, store, Wish(["BTC/USDT"], ["1h"], start=midnight() - 10 * DAY))
        asked = len(server.log)
        bring(server, exchange, store, Wish(["BTC/USDT"], ["1h"]))
        pages = [path for path, query in server.log[asked:] if {"interval", "bar", "type"} & query.keys()]
        assert len(pages) <= 1  # an hour may have ended between the two runs
        assert_held(store, series, server.candles(low=midnight() - 10 * DAY))


@pytest.mark.parametrize("exchange", PERPETUALS)
def test_perpetuals_come_with_mark_candles_and_funding(exchange: str, tmp_path: Path) -> None:
    listed = midnight() - 200 * DAY + HOUR
    with Loopback(listed) as server:
        store = Store(tmp_path)
        wish = Wish(["BTC/USDT:USDT"], ["1h"], ["", "mark", FUNDING], start=listed - 100 * DAY, end=midnight())
        traded, mark, funding = (
            o.series for o in fetch(wish, exchange=exchange, store=store, access=access(server, exchange))
        )
        expected = server.rows("1h", listed, until(wish))
        assert_held(store, traded, expected)
        expected[:, 5] = 0.0
        assert_held(store, mark, expected)
        rates = store.columns(funding)
        np.testing.assert_array_equal(np.column_stack([rates["time"], rates["rate"]]), server.rates(0, until(wish)))


def test_several_symbols_and_timeframes_come_in_one_run(tmp_path: Path) -> None:
    with Loopback(midnight() - 3 * DAY) as server:
        store = Store(tmp_path)
        wish = Wish(["BTC/USDT", "ethusdt"], ["1h", "1d"], start=midnight() - 5 * DAY)
        outcomes = fetch(wish, exchange="BINANCE", store=store, access=access(server, "binance"))
        assert [str(o.series) for o in outcomes] == [
            "binance BTC/USDT 1h", "binance BTC/USDT 1d", "binance ETH/USDT 1h", "binance ETH/USDT 1d",
        ]  # fmt: skip
        assert store.series() == sorted(o.series for o in outcomes)
        assert not [path for path, _ in server.log if "fapi" in path or "dapi" in path]  # spot alone was asked for


def test_kraken_says_what_it_keeps_before_the_download(tmp_path: Path) -> None:
    with Loopback(midnight() - 900 * DAY) as server:
        store = Store(tmp_path)
        with pytest.raises(InvalidSettingError, match="serves only its newest 720 candles, 1h ones from"):
            bring(server, "kraken", store, Wish(["BTC/USDT"], ["1h"], start=midnight() - 100 * DAY))
        assert not [path for path, _ in server.log if path.endswith("OHLC")]
        assert store.series() == []
        series = bring(server, "kraken", store, Wish(["BTC/USDT"], ["1h"]))
        assert len(store.candles(series)) in {718, 719, 720}


@pytest.mark.parametrize(
    ("exchange", "symbol", "tick", "step", "leverage", "maintenance"),
    [
        ("binance", "BTC/USDT", "0.01", "0.00001", 100.0, 0.005),
        ("bybit", "BTC/USDT:USDT", "0.01", "0.001", 100.0, 0.004),
        ("okx", "BTC/USDT:USDT", "0.1", "0.001", 10.0, 0.004),  # 0.1 contracts of 0.01 BTC
        ("mexc", "BTC/USDT", "0.01", "0.000001", 100.0, 0.005),
    ],
)
def test_market_rules_are_kept_with_the_candles(
    exchange: str, symbol: str, tick: str, step: str, leverage: float, maintenance: float, tmp_path: Path
) -> None:
    with Loopback(midnight() - 2 * DAY) as server:
        store = Store(tmp_path)
        bring(server, exchange, store, Wish([symbol], ["1h"], start=midnight() - DAY))
        market = read_market(store, exchange.upper(), symbol)
    assert market is not None
    assert (market.tick, market.step, market.max_leverage) == (tick, step, leverage)
    assert (market.maintenance_margin_rate, market.exchange) == (maintenance, exchange.upper())
    assert (market.coin, market.trade_market) == ("BTC", "USDT")


def test_rules_without_leverage_tiers_are_worth_having(tmp_path: Path) -> None:
    with Loopback(midnight() - 2 * DAY, faults=[Fault("risk-limit", 200, '{"retCode": 10016}', times=99)]) as server:
        store = Store(tmp_path)
        bring(server, "bybit", store, Wish(["BTC/USDT:USDT"], ["1h"], start=midnight() - DAY))
        market = read_market(store, "bybit", "BTC/USDT:USDT")
    assert market is not None
    assert (market.step, market.maintenance_margin_rate) == ("0.001", 0.005)
