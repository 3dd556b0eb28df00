"""The engine against the oracle: every event, price, quantity and fee, cash and equity, in all three modes.

``BACKTEST_EXAMPLES=20000`` tries so many more seeds than the suite does.
"""

from __future__ import annotations

import itertools
import os
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine import memory
from tests.agreement import disagreement
from tests.builders import HOUR, QUIET, call, create, hour, limit, scenario
from tests.random_scenarios import any_scenario, margin_calls, one_symbol, several_symbols

if TYPE_CHECKING:
    from collections.abc import Iterator

GRID = tuple(range(97, 104))
EVERY_CANDLE = [
    (opened, high, low, close)
    for low, high in itertools.combinations_with_replacement(GRID, 2)
    for opened, close in itertools.product(range(low, high + 1), repeat=2)
]
PAIR: dict[str, Any] = {"trailing_stop_price": 98.5, "trailing_stop_limit_price": 98}
SHORT: dict[str, Any] = {"type": "short", "account": "MARGIN", "margin_type": "ISOLATED"}
FUTURES: dict[str, Any] = {"account": "FUTURES", "leverage": 40}

SETUPS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "a split entry": (
        [create(entry_price_min=98, entry_price_max=99, invest_entry_min=50, invest_entry_max=50, targets=(101, 102), stop_loss=97)],
        {"slippage": 0.002, "taker_fee": 0.001},
    ),
    "a range entered from both sides": (
        [create(1, entry_price_min=99, entry_price_max=101, targets=(102, 103), stop_loss=98, ttl_buy_order=HOUR // 2)],
        {},
    ),
    "a position with stop limit and two targets": (
        [create(targets=(101, 103), stop_loss=99)],
        {"stop_order": "limit", "stop_limit_margin": 0.01, "target_shares": [50], "trailing_take_profit": {"from_target": 1, "stop_to": "break_even"}},
    ),
    "a trailing stop": ([create(stop_loss=97), call("trailingstop", 1, **PAIR)], {"slippage": 0.001}),
    "a take profit call and its trailing stop": (
        [create(stop_loss=97), call("takeprofit", 0, order_type="limit", sell_price=101, sell_amount_relative=50, **PAIR)],
        {},
    ),
    "a short with a DCA before its stop": (
        [create(entry_price_max=100, targets=(98, 97), stop_loss=102, **SHORT), call("dca", 0, buy_price=101, multiplier=1.5)],
        {"maker_fee": 0.0005},
    ),
    "an entry that expires inside the candle": (
        [create(**limit(99), targets=(101,), stop_loss=97, ttl_buy_order=HOUR + HOUR // 2), call("dca", 0, buy_price=98, multiplier=1)],
        {},
    ),
    "a position near its liquidation": (
        [create(targets=(103,), stop_loss=97, **FUTURES), call("dca", 1, buy_price=99, multiplier=0.5)],
        {"maintenance_margin_rate": 0.005},
    ),
    "a cross position near its liquidation": (
        [create(targets=(103,), **FUTURES | {"margin_type": "CROSS", "invest": 99}), create(0, "s2", **limit(99), invest=1)],
        {"maintenance_margin_rate": 0.005, "funding": [[hour(1), 0.001]]},
    ),
    "a long and a short at the same prices": (
        [create(targets=(102,), stop_loss=98), create(0, "s2", entry_price_max=100, targets=(98,), stop_loss=102, type="short")],
        {"stop_trigger": "close"},
    ),
    "a rebuy with a trailing stop after a sale of everything": (
        [
            create(stop_loss=97),
            call("takeprofit", 0, order_type="limit", sell_price=101, sell_amount_relative=100),
            call("rebuy", 0, buy_price_min=98, buy_price_max=99, **PAIR),
        ],
        {"taker_fee": 0.001},
    ),
    "an update that trades at once": (
        [create(targets=(102, 103), stop_loss=98), call("updateprice", 1, stop_loss=99, exit_price_1=100, exit_price_3=103.5, allow=True)],
        {"take_profit_at": 3},
    ),
}  # fmt: skip


def scenarios_of(name: str) -> Iterator[dict[str, Any]]:
    """Yield the set-up with every candle as its second."""
    calls, more = SETUPS[name]
    for candle in EVERY_CANDLE:
        settled = (candle[3],) * 4
        yield scenario([QUIET, candle, settled], *calls, **more)


@pytest.mark.parametrize("name", SETUPS)
def test_every_candle_on_seven_prices_agrees(name: str) -> None:
    for values in scenarios_of(name):
        assert disagreement(values) is None, values["candles"]["rows"]


@pytest.mark.parametrize(
    "name", ["a position with stop limit and two targets", "a trailing stop", "a long and a short at the same prices"]
)
def test_a_candle_agrees_where_only_signals_that_can_act_are_walked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MANY", 1)
    for values in itertools.islice(scenarios_of(name), 0, None, 3):
        assert disagreement(values) is None, values["candles"]["rows"]


def test_there_is_every_candle_of_seven_prices() -> None:
    assert len(EVERY_CANDLE) == len(set(EVERY_CANDLE)) == 336


@settings(deadline=None, derandomize=True, max_examples=250, database=None)
@given(r=st.randoms(note_method_calls=False))
def test_a_scenario_of_one_symbol_agrees(r: random.Random) -> None:
    assert disagreement(one_symbol(r)) is None


@settings(deadline=None, derandomize=True, max_examples=150, database=None)
@given(r=st.randoms(note_method_calls=False))
def test_a_scenario_of_several_symbols_agrees(r: random.Random) -> None:
    assert disagreement(several_symbols(r)) is None


@pytest.mark.parametrize("hundred", range(6))
def test_a_hundred_seeds_of_one_symbol_agree(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        assert disagreement(one_symbol(random.Random(seed))) is None, seed


@pytest.mark.parametrize("hundred", range(4))
def test_a_hundred_seeds_of_several_symbols_agree(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        assert disagreement(several_symbols(random.Random(seed))) is None, seed


@pytest.mark.parametrize("hundred", range(4))
def test_a_hundred_seeds_of_accounts_at_their_end_agree(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        assert disagreement(margin_calls(random.Random(seed))) is None, seed


@pytest.mark.jit_off
def test_some_seeds_agree_whether_compiled_or_not() -> None:
    for seed in range(90):
        assert disagreement(one_symbol(random.Random(seed))) is None, seed
    for seed in range(60):
        assert disagreement(several_symbols(random.Random(seed))) is None, seed
    for seed in range(40):
        assert disagreement(margin_calls(random.Random(seed))) is None, seed


@pytest.mark.skipif("BACKTEST_EXAMPLES" not in os.environ, reason="BACKTEST_EXAMPLES=20000 runs so many more")
def test_many_more_seeds_agree() -> None:
    for seed in range(10_000, 10_000 + int(os.environ["BACKTEST_EXAMPLES"])):
        assert disagreement(any_scenario(random.Random(seed))) is None, seed
