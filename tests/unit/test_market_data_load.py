"""Loading from the store: what is there, what is not and how to get it, one clock, detail, funding, rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest.errors import DataUnavailableError, InvalidCandlesError, InvalidSettingError
from backtest.market_data.columns import columns_of
from backtest.market_data.files import read_candles, write_candles
from backtest.market_data.load import align, detail_for, funding_for, load_candles, load_funding, load_many, load_market
from backtest.market_data.market_rules import market_from_ccxt, read_market, write_market
from backtest.market_data.series import FUNDING, Series
from backtest.market_data.store import Store
from backtest.model.candles import Candles
from backtest.model.market import Market
from backtest.model.timeframe import milliseconds

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600_000
START = 1_704_067_200_000  # 2024-01-01


def made(timeframe: str, first: int, last: int, symbol: str = "BTC/USDT") -> Candles:
    n = np.arange(first, last)
    price = np.asarray(100.0 + n % 9, np.float64)
    time = START + milliseconds(timeframe) * n
    return Candles(symbol, timeframe, time, price, price + 1, price - 1, price, np.ones(len(n)), "binance")


def put(store: Store, candles: Candles) -> None:
    series = Series(candles.exchange, candles.symbol, candles.timeframe)
    asked = [(int(candles.time[0]), int(candles.close_time[-1]))]
    store.add(series, columns_of(candles), asked=asked, source="binance")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made_here = Store(tmp_path)
    put(made_here, made("1h", 0, 100))
    return made_here


def load(store: Store, symbol: str = "BTC/USDT", timeframe: str = "1h", **options: Any) -> Candles:
    return load_candles(symbol, timeframe, **{"exchange": "binance", "store": store, **options})


def test_candles_load_by_the_names_that_people_write(store: Store, tmp_path: Path) -> None:
    whole = made("1h", 0, 100).hash
    assert load(store, "btcusdt", exchange="BINANCE").hash == whole
    assert Candles.load("BTC/USDT", "1h", exchange="binance", store=tmp_path).hash == whole
    part = load(store, start="2024-01-01T10:00", end="2024-01-02")
    assert part.hash == made("1h", 10, 24).hash


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"start": "2023-12-31"},
            r"lacks binance BTC/USDT 1h from 2023-12-31T00:00Z to 2024-01-01T00:00Z: backtest fetch",
        ),
        (
            {"end": "2024-02-01"},
            r"lacks binance BTC/USDT 1h from 2024-01-05T04:00Z to 2024-02-01T00:00Z.*incomplete=True",
        ),
        ({"timeframe": "5m"}, r"has no binance BTC/USDT 5m, only 1h: backtest fetch BTC/USDT .*--timeframe 5m"),
        ({"symbol": "ETH/USDT"}, r"has no binance ETH/USDT 1h: backtest fetch ETH/USDT --exchange binance"),
        ({"exchange": "okx"}, r"has no okx BTC/USDT 1h"),
    ],
)
def test_what_was_never_fetched_is_told_with_the_command(options: dict[str, str], sentence: str, store: Store) -> None:
    with pytest.raises(DataUnavailableError, match=sentence) as raised:
        load(store, **options)
    assert raised.value.exit_status == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"start": "2124-01-01"}, "lies in the future"),
        ({"start": "2024-01-03", "end": "2024-01-02"}, "the start of a range lies before its end"),
        ({"start": "soon"}, "a date is written 2024-01-31"),
        ({"timeframe": "60"}, "timeframe was '60'"),
        ({"symbol": "BTC"}, "symbol is written BASE/QUOTE"),
    ],
)
def test_a_bad_range_or_name_is_refused(options: dict[str, str], sentence: str, store: Store) -> None:
    with pytest.raises(InvalidSettingError, match=sentence):
        load(store, **options)


def test_a_hole_of_ours_is_refused_and_one_of_the_exchange_is_not(store: Store) -> None:
    put(store, made("1h", 110, 120))
    with pytest.raises(
        DataUnavailableError, match="lacks binance BTC/USDT 1h from 2024-01-05T04:00Z to 2024-01-05T14:00Z"
    ):
        load(store)
    assert len(load(store, incomplete=True)) == 110
    nothing = columns_of(made("1h", 0, 0))
    store.add(Series("binance", "BTC/USDT", "1h"), nothing, asked=[(START, START + 120 * HOUR)], source="binance")
    assert load(store).gaps == 10


def test_symbols_are_aligned_on_one_clock(store: Store) -> None:
    put(store, made("1h", 50, 150, "ETH/USDT"))
    both = load_many(["BTC/USDT", "ETH/USDT"], "1h", exchange="binance", store=store)
    assert list(both) == ["BTC/USDT", "ETH/USDT"]
    assert both["BTC/USDT"].time.tolist() == both["ETH/USDT"].time.tolist() == made("1h", 50, 100).time.tolist()
    assert align({}) == {}
    with pytest.raises(InvalidCandlesError, match="A, B have no candle at the same time"):
        align({"A": made("1h", 0, 5), "B": made("1h", 5, 9)})
    with pytest.raises(InvalidSettingError, match="one clock needs one timeframe, was A 1h, B 1m"):
        align({"A": made("1h", 0, 5), "B": made("1m", 5, 9)})


def test_detail_is_the_finest_that_covers(store: Store) -> None:
    candles = load(store)
    assert detail_for(candles, store=store) is None
    put(store, made("15m", 0, 400))
    put(store, made("1m", 0, 60))  # one hour of a hundred
    found = detail_for(candles, store=store)
    assert found is not None
    assert found.hash == made("15m", 0, 400).hash
    put(store, made("5m", 0, 1190))
    found = detail_for(candles.slice(0, 90), store=store)
    assert found is not None
    assert (found.timeframe, found.close_time[-1]) == ("5m", candles.close_time[89])
    nowhere = Candles(
        "BTC/USDT", "1h", *(getattr(candles, n) for n in ("time", "open", "high", "low", "close", "volume"))
    )
    assert detail_for(nowhere, store=store) is None


def test_funding_rates_load(store: Store) -> None:
    time = START + 8 * HOUR * np.arange(9)
    rates = {"time": time, "rate": np.linspace(-1e-4, 1e-4, 9)}
    series = Series("binance", "BTC/USDT:USDT", "", FUNDING)
    store.add(series, rates, asked=[(START, START + 72 * HOUR)], source="binance")
    loaded = load_funding("BTC/USDT:USDT", exchange="binance", store=store, start="2024-01-02", end="2024-01-03")
    assert loaded.time.tolist() == time[3:6].tolist()
    assert len(loaded) == len(loaded.to_pandas()) == 3
    np.testing.assert_array_equal(np.asarray(loaded, np.float64)[:, 1], rates["rate"][3:6])  # as run() takes it
    with pytest.raises(DataUnavailableError, match="backtest fetch ETH/USDT:USDT --exchange binance --funding"):
        load_funding("ETH/USDT:USDT", exchange="binance", store=store)


def test_funding_beside_candles_is_that_of_their_whole_range_or_none(store: Store) -> None:
    perpetual = made("1h", 0, 48, "BTC/USDT:USDT")
    assert funding_for(perpetual, store=store) is None
    assert funding_for(load(store), store=store) is None
    rates = {"time": START + 8 * HOUR * np.arange(6), "rate": np.full(6, 1e-4)}
    series = Series("binance", "BTC/USDT:USDT", "", FUNDING)
    store.add(series, rates, asked=[(START, START + 48 * HOUR)], source="binance")
    found = funding_for(perpetual, store=store)
    assert found is not None
    assert found.time.tolist() == rates["time"].tolist()
    with pytest.raises(DataUnavailableError, match="lacks binance BTC/USDT:USDT funding from 2024-01-03"):
        funding_for(made("1h", 0, 49, "BTC/USDT:USDT"), store=store)


def test_damaged_market_rules_are_one_sentence(store: Store) -> None:
    store.disk.write("binance/BTC_USDT/market.json", b'[{"seen"')
    with pytest.raises(DataUnavailableError, match=r"market\.json is damaged .*: delete it and fetch again"):
        load_market("BTC/USDT", exchange="binance", store=store)


def test_market_rules_load_and_earlier_ones_stay(store: Store) -> None:
    with pytest.raises(DataUnavailableError, match="has no rules of binance BTC/USDT"):
        load_market("BTC/USDT", exchange="binance", store=store)
    for tick, seen in (("0.1", "2024-01-01"), ("0.1", "2024-01-02"), ("0.01", "2024-01-03")):
        write_market(store, "binance", Market("BTC/USDT", tick=tick), seen)
    assert load_market("btcusdt", exchange="BINANCE", store=store).tick == "0.01"
    kept = store.disk.read("binance/BTC_USDT/market.json")
    assert kept is not None
    assert kept.count(b'"seen"') == 2
    assert read_market(store, "okx", "BTC/USDT") is None


def test_contracts_are_counted_in_base_currency() -> None:
    described = {
        "symbol": "BTC/USDT:USDT", "contract": True, "contractSize": 0.01,
        "precision": {"price": 0.1, "amount": 0.1}, "limits": {"amount": {"min": 0.1}, "cost": {"min": None}},
    }  # fmt: skip
    tiers = [
        {"maxLeverage": 125.0, "maintenanceMarginRate": 0.004},
        {"maxLeverage": 50.0, "maintenanceMarginRate": 0.01},
    ]
    market = market_from_ccxt("gate", described, tiers)
    assert (market.tick, market.step, market.min_amount, market.exchange) == ("0.1", "0.001", 0.001, "GATEIO")
    assert (market.max_leverage, market.maintenance_margin_rate) == (125.0, 0.004)
    with pytest.raises(InvalidSettingError, match="is an inverse contract"):
        market_from_ccxt("okx", {**described, "inverse": True})


@pytest.mark.parametrize("noted", [True, False])
def test_whether_volumes_are_known_is_a_matter_of_the_whole_series(noted: bool, store: Store, tmp_path: Path) -> None:
    for symbol, volumes in (("ETH/USDT", np.r_[np.zeros(99), 1.0]), ("SOL/USDT", np.zeros(100))):
        like = made("1h", 0, 100, symbol)
        columns: dict[str, Any] = {**columns_of(like), "volume": volumes}
        put(store, Candles(like.symbol, like.timeframe, **columns, exchange="binance", volume_known=True))
        if not noted:  # a manifest from before this was noted
            path = tmp_path / "binance" / symbol.replace("/", "_") / "1h" / "manifest.json"
            entries = json.loads(path.read_text())
            del entries["volume_known"]
            path.write_text(json.dumps(entries))
    for symbol, known in (("ETH/USDT", True), ("SOL/USDT", False)):
        assert [load(store, symbol, end="2024-01-02", incomplete=n).volume_known for n in (True, False)] == [known] * 2
    both = align({"a": load(store, "ETH/USDT", end="2024-01-02"), "b": load(store, "BTC/USDT", end="2024-01-03")})
    assert both["a"].volume_known


def test_a_file_of_ours_keeps_whether_volumes_are_known(tmp_path: Path) -> None:
    for known in (True, False):
        like = made("1h", 0, 9)
        columns: dict[str, Any] = {**columns_of(like), "volume": np.zeros(9)}
        told = Candles("BTC/USDT", "1h", **columns, volume_known=known)
        write_candles(told, tmp_path / "x.parquet")
        assert read_candles(tmp_path / "x.parquet").volume_known is known


def test_a_symbol_loads_as_it_was_stored_however_it_is_written(store: Store) -> None:
    put(store, made("1h", 0, 9, "kPEPE/USDC:USDC"))
    for text in ("kPEPE/USDC:USDC", "kpepe/usdc:usdc", "KPEPE_USDC_USDC"):
        assert load(store, text).symbol == "kPEPE/USDC:USDC"
    with pytest.raises(
        InvalidSettingError, match=r"BTC/USD:BTC is an inverse contract, settled in BTC: .* such as BTC/USD:USD"
    ):
        load(store, "BTC/USD:BTC")
