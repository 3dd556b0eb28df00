"""Layout: a thousand rows read at once are what ccxt makes of them one by one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from backtest.market_data.layout import read_at_once

ccxt = pytest.importorskip("ccxt.async_support")

START = 1_700_000_000
SPOT = {"symbol": "BTC/USDT", "type": "spot", "spot": True, "inverse": False}
SWAP = {"symbol": "BTC/USDT:USDT", "type": "swap", "swap": True, "inverse": False}
INVERSE = {"symbol": "BTC/USD:BTC", "type": "swap", "swap": True, "inverse": True}


def rows(unit: int, width: int, *, step: int = 1, flag: bool = False) -> list[list[Any]]:
    """Rows as a server sends them; every value of a row is another one."""
    dice = np.random.default_rng(7)
    values = np.round(dice.uniform(1, 9, (50, width - 1)), 4).astype(str).tolist()
    made = [[str((START + 60 * n) * unit), *row] for n, row in enumerate(values)]
    return [[*row[:-1], "true"] if flag else row for row in made][::step]


def both(exchange: str, market: dict[str, Any], *pages: Any, since: int = 0, limit: int = 1000) -> list[int]:
    """Read pages with and without layout, compare, and return how many rows ccxt itself read of each."""
    plain, quick = getattr(ccxt, exchange)(), getattr(ccxt, exchange)()
    parse, calls = quick.parse_ohlcv, Counter[str]()

    def counted(row: Any, market: Any) -> Any:
        calls["row"] += 1
        return parse(row, market)

    quick.parse_ohlcv = counted
    read_at_once(quick)
    counts = []
    for page in pages:
        before = calls["row"]
        expected = plain.parse_ohlcvs(page, market, "1m", since, limit)
        found = quick.parse_ohlcvs(page, market, "1m", since, limit)
        np.testing.assert_array_equal(np.array(found, np.float64), np.array(expected, np.float64))
        counts.append(calls["row"] - before)
    return counts


@pytest.mark.parametrize(
    ("exchange", "market", "page"),
    [
        ("binance", SPOT, rows(1000, 12)),
        ("binance", INVERSE, rows(1000, 12)),
        ("bybit", SPOT, rows(1000, 7, step=-1)),
        ("bybit", INVERSE, rows(1000, 7, step=-1)),
        ("okx", SPOT, rows(1000, 9, step=-1)),
        ("okx", SWAP, rows(1000, 9, step=-1)),
        ("kraken", SPOT, rows(1, 8)),
        ("kucoin", SPOT, rows(1, 7, step=-1)),
        ("kucoin", SWAP, rows(1000, 7)),
        ("gate", SPOT, rows(1, 8, flag=True)),
        ("mexc", SPOT, rows(1000, 8)),
    ],
)
def test_every_exchange_is_read_as_ccxt_reads_it(exchange: str, market: dict[str, Any], page: list[Any]) -> None:
    assert both(exchange, market, page, page, page[::-1]) == [50, 2, 2]


def test_since_and_limit_hold() -> None:
    assert both("okx", SPOT, *[rows(1000, 9, step=-1)] * 2, since=(START + 600) * 1000, limit=7) == [50, 2]


def test_what_lies_in_two_places_is_not_guessed() -> None:
    silent = [[*row[:5], "0.0", "0.0", "0.0", "1"] for row in rows(1000, 9)]
    told = rows(1000, 9)
    assert both("okx", SWAP, silent, [silent[0], *told[1:-1], silent[-1]], told, told) == [50, 50, 2, 2]


def test_one_that_changes_its_rows_is_read_anew() -> None:
    assert both("kucoin", SPOT, rows(1, 7), rows(1000, 7), rows(1000, 7)) == [50, 52, 2]
    assert both("binance", SPOT, rows(1000, 12), rows(1000, 3), rows(1000, 12)) == [50, 50, 50]


@pytest.mark.parametrize(
    "page",
    [
        [],
        None,
        [{"t": "1700000000", "o": "1", "h": "3", "l": "1", "c": "2", "v": "5"}],
        [["1700000000", "1", "2"], ["1700000060"]],
        [["1700000000", "1", "2", "x", "1", "2", "3", "true"]],
        [["1700000000", None, "2", "3", "1", "2", "3", "true"]],
        ["1700000000", "1"],
    ],
)
def test_rows_without_a_layout_are_left_to_ccxt(page: Any) -> None:
    good = rows(1, 8, flag=True)
    both("gate", SPOT, page, good, page, good)


def test_without_since_ccxt_reads_itself() -> None:
    client = ccxt.binance()
    read_at_once(client)
    assert isinstance(client.parse_ohlcvs(rows(1000, 12), SPOT), list)
