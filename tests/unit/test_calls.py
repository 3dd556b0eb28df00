"""Calls: what the Signal API would refuse for its own content cannot be built."""

from __future__ import annotations

import math
from typing import Any

import pytest

from backtest.errors import InvalidSignalError
from backtest.model.calls import Cancel, CreateSignal, Dca, Rebuy, TakeProfit, TrailingStop, UpdatePrices, require_order
from backtest.model.calls import later_side_check as check_side
from backtest.model.events import SignalRef
from backtest.model.intake import first_broken
from backtest.model.market import Market

REF = SignalRef("s1")
LONG: dict[str, Any] = {
    "coin": "BTC",
    "trade_market": "USDT",
    "exchange": "BINANCE",
    "invest": 10,
    "entry_price_min": 99.0,
    "entry_price_max": 100.0,
    "targets": (105.0, 110.0),
    "stop_loss": 95.0,
}
SHORT = LONG | {"type": "short", "targets": (94.0, 90.0), "stop_loss": 104.0}
V1 = LONG | {"version": 1}
TAKE: dict[str, Any] = {"signal": REF, "order_type": "market", "sell_amount_relative": 100.0}

REFUSED: dict[str, tuple[type[Any], dict[str, Any], str]] = {
    "coin empty": (CreateSignal, LONG | {"coin": ""}, "coin"),
    "coin with a space after it": (CreateSignal, LONG | {"coin": "BTC "}, "coin"),
    "exchange that is no text": (CreateSignal, LONG | {"exchange": 5}, "exchange"),
    "type unknown": (CreateSignal, LONG | {"type": "buy"}, "type"),
    "account unknown": (CreateSignal, LONG | {"account": "spot"}, "account"),
    "margin type unknown": (CreateSignal, LONG | {"margin_type": "BOTH"}, "margin_type"),
    "entry mode unknown": (CreateSignal, LONG | {"entry_mode": "limit"}, "entry_mode"),
    "version 3": (CreateSignal, LONG | {"version": 3}, "version"),
    "invest absent": (CreateSignal, LONG | {"invest": None}, "invest"),
    "invest of zero": (CreateSignal, LONG | {"invest": 0}, "invest"),
    "invest NaN": (CreateSignal, LONG | {"invest": math.nan}, "invest"),
    "invest a bool": (CreateSignal, LONG | {"invest": True}, "invest"),
    "leverage below 1": (CreateSignal, LONG | {"leverage": 0.9}, "leverage"),
    "leverage infinite": (CreateSignal, LONG | {"leverage": math.inf}, "leverage"),
    "leverage as text": (CreateSignal, LONG | {"leverage": "10"}, "leverage"),
    "ttl of zero": (CreateSignal, LONG | {"ttl_buy_order": 0}, "ttl_buy_order"),
    "ttl a float": (CreateSignal, LONG | {"ttl_buy_order": 1.5}, "ttl_buy_order"),
    "ttl a bool": (CreateSignal, LONG | {"ttl_buy_order": True}, "ttl_buy_order"),
    "image that is no text": (CreateSignal, LONG | {"attachment_image2_url": 5}, "attachment_image2_url"),
    "description that is no text": (CreateSignal, LONG | {"attachment_description": 5}, "attachment_description"),
    "description too long": (CreateSignal, LONG | {"attachment_description": "x" * 1001}, "attachment_description"),
    "entry NaN": (CreateSignal, LONG | {"entry_price_max": math.nan}, "entry_price_max"),
    "entry negative": (CreateSignal, LONG | {"entry_price_min": -1.0}, "entry_price_min"),
    "entry as text": (CreateSignal, LONG | {"entry_price_max": "100"}, "entry_price_max"),
    "bounds crossed": (CreateSignal, LONG | {"entry_price_min": 100.5}, "entry_price_min"),
    "middle above the bounds": (CreateSignal, LONG | {"entry_price_mid": 101.0}, "entry_price_mid"),
    "middle below the bounds": (CreateSignal, LONG | {"entry_price_mid": 98.0}, "entry_price_mid"),
    "share as text": (CreateSignal, LONG | {"invest_entry_max": "100"}, "invest_entry_max"),
    "share over 100": (CreateSignal, LONG | {"invest_entry_max": 101}, "invest_entry_max"),
    "share without its price": (CreateSignal, LONG | {"invest_entry_mid": 100}, "invest_entry_mid"),
    "shares short of 100": (CreateSignal, LONG | {"invest_entry_min": 60, "invest_entry_max": 30}, "invest_entry_max"),
    "six targets in V2": (CreateSignal, LONG | {"targets": tuple(range(101, 107))}, "exit_price_6"),
    "seven targets in V1": (CreateSignal, V1 | {"targets": tuple(range(101, 108))}, "sell_price_7"),
    "no target": (CreateSignal, LONG | {"targets": ()}, "exit_price_1"),
    "first target left out": (CreateSignal, LONG | {"targets": (None, 110.0)}, "exit_price_1"),
    "target at the near bound": (CreateSignal, LONG | {"targets": (100.0,)}, "exit_price_1"),
    "targets in the wrong order": (CreateSignal, LONG | {"targets": (105.0, None, 104.0)}, "exit_price_3"),
    "target infinite": (CreateSignal, LONG | {"targets": (math.inf,)}, "exit_price_1"),
    "stop at the far bound": (CreateSignal, LONG | {"stop_loss": 99.0}, "stop_loss"),
    "stop NaN": (CreateSignal, LONG | {"stop_loss": math.nan}, "stop_loss"),
    "short with a target above": (CreateSignal, SHORT | {"targets": (99.0,)}, "exit_price_1"),
    "short with a stop below": (CreateSignal, SHORT | {"stop_loss": 100.0}, "stop_loss"),
    "V1 without its lower bound": (CreateSignal, V1 | {"entry_price_min": None}, "buy_price_min"),
    "V1 with leverage": (CreateSignal, V1 | {"leverage": 2.0}, "leverage"),
    "V1 with a split": (CreateSignal, V1 | {"invest_entry_max": 100}, "invest_entry_max"),
    "V1 names its own bounds": (CreateSignal, V1 | {"entry_price_min": 101.0}, "buy_price_min"),
    "V1 names its own targets": (CreateSignal, V1 | {"targets": (99.0,)}, "sell_price_1"),
    "order type unknown": (TakeProfit, TAKE | {"order_type": "stop"}, "order_type"),
    "amount below 1": (TakeProfit, TAKE | {"sell_amount_relative": 0.99}, "sell_amount_relative"),
    "amount as text": (TakeProfit, TAKE | {"sell_amount_relative": "50"}, "sell_amount_relative"),
    "amount NaN": (TakeProfit, TAKE | {"sell_amount_relative": math.nan}, "sell_amount_relative"),
    "limit without a price": (TakeProfit, TAKE | {"order_type": "limit"}, "sell_price"),
    "sell price of zero": (TakeProfit, TAKE | {"sell_price": 0.0}, "sell_price"),
    "part without its stop": (TakeProfit, TAKE | {"sell_amount_relative": 50.0}, "trailing_stop_price"),
    "half a pair": (TakeProfit, TAKE | {"trailing_stop_price": 95.0}, "trailing_stop_limit_price"),
    "the other half": (TakeProfit, TAKE | {"trailing_stop_limit_price": 95.0}, "trailing_stop_price"),
    "trailing price NaN": (
        TrailingStop,
        {"signal": REF, "trailing_stop_price": math.nan, "trailing_stop_limit_price": 1.0},
        "trailing_stop_price",
    ),
    "trailing limit negative": (
        TrailingStop,
        {"signal": REF, "trailing_stop_price": 1.0, "trailing_stop_limit_price": -1.0},
        "trailing_stop_limit_price",
    ),
    "rebuy crossed": (Rebuy, {"signal": REF, "buy_price_min": 2.0, "buy_price_max": 1.0}, "buy_price_min"),
    "rebuy for nothing": (Rebuy, {"signal": REF, "buy_price_min": 1.0, "buy_price_max": 2.0, "invest": 0}, "invest"),
    "rebuy with half a pair": (
        Rebuy,
        {"signal": REF, "buy_price_min": 1.0, "buy_price_max": 2.0, "trailing_stop_price": 0.5},
        "trailing_stop_limit_price",
    ),
    "DCA at zero": (Dca, {"signal": REF, "buy_price": 0.0, "multiplier": 1.0}, "buy_price"),
    "DCA infinite": (Dca, {"signal": REF, "buy_price": 1.0, "multiplier": math.inf}, "multiplier"),
    "update NaN": (UpdatePrices, {"signal": REF, "exit_price_6": math.nan}, "exit_price_6"),
}


@pytest.mark.parametrize(("kind", "fields", "field"), REFUSED.values(), ids=REFUSED)
def test_refused_call_names_the_field(kind: type[Any], fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSignalError) as caught:
        require_order(kind(**fields))
    assert caught.value.field == field
    assert field in str(caught.value)


OUT_OF_ORDER = (
    "entry negative",
    "bounds crossed",
    "V1 names its own bounds",
    "middle above the bounds",
    "target at the near bound",
    "targets in the wrong order",
    "stop at the far bound",
    "rebuy crossed",
    "DCA at zero",
)


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_a_call_whose_prices_are_out_of_order_is_there_and_says_so(name: str) -> None:
    kind, fields, field = REFUSED[name]
    call = kind(**fields)
    broken = first_broken(call.relations() if kind is CreateSignal else call.relations(1))
    assert broken is not None
    assert not broken.is_error
    assert (broken.field, getattr(call, field, None) in (None, broken.value)) == (field, True)


LATER: dict[str, tuple[Any, int, str | None]] = {
    "trailing limit above its trigger": (TrailingStop(REF, 95.0, 96.0), 1, "trailing_stop_limit_price"),
    "the same is right for a short": (TrailingStop(REF, 95.0, 96.0), -1, None),
    "update whose minimum exceeds its maximum": (UpdatePrices(REF, 101.0, 100.0), 1, "entry_price_min"),
    "update with targets out of order": (
        UpdatePrices(REF, exit_price_1=105.0, exit_price_3=104.0),
        1,
        "exit_price_3",
    ),
    "update with its stop at its target": (UpdatePrices(REF, exit_price_2=105.0, stop_loss=105.0), 1, "stop_loss"),
    "update with a stop above the entry": (UpdatePrices(REF, entry_price_max=100.0, stop_loss=101.0), 1, None),
    "take profit of a short": (
        TakeProfit(REF, "market", 50.0, None, None, 95.0, 94.0),
        -1,
        "trailing_stop_limit_price",
    ),
}


@pytest.mark.parametrize(("call", "side", "field"), LATER.values(), ids=LATER)
def test_the_order_of_a_later_call_depends_on_the_side(call: Any, side: int, field: str | None) -> None:
    broken = first_broken(call.relations(side))
    assert (None if broken is None else broken.field) == field


@pytest.mark.parametrize(
    ("price", "side", "broken"), [(95.0, 1, True), (95.1, 1, False), (95.0, -1, True), (94.9, -1, False)]
)
def test_a_later_buy_lies_before_the_stop(price: float, side: int, broken: bool) -> None:
    assert (first_broken(Dca(REF, price, 1.0).relations(side, 95.0)) is not None) == broken
    zone = (price - 1.0, price) if side > 0 else (price, price + 1.0)
    assert (first_broken(Rebuy(REF, *zone).relations(side, 95.0)) is not None) == broken
    assert first_broken(Dca(REF, price, 1.0).relations(side, None)) is None


@pytest.mark.parametrize(
    "fields",
    [
        LONG,
        SHORT,
        V1,
        V1 | {"targets": tuple(range(101, 107))},
        LONG | {"entry_price_min": None, "stop_loss": None},
        LONG | {"entry_price_min": 100.0},
        LONG | {"entry_price_mid": 99.5, "invest_entry_min": 25, "invest_entry_mid": 25, "invest_entry_max": 50},
        LONG | {"invest_entry_min": 33.3, "invest_entry_max": 66.7, "invest_entry_mid": 0},
        LONG | {"targets": (105.0, None, 110.0)},
        LONG | {"type": None},
    ],
)
def test_valid_create_is_there(fields: dict[str, Any]) -> None:
    create = CreateSignal(**fields)
    assert create.symbol == "BTC/USDT"
    assert create.side == (-1 if fields.get("type") == "short" else 1)


def test_lone_maximum_is_the_near_bound_on_both_sides() -> None:
    for fields in (LONG, SHORT):
        create = CreateSignal(**fields | {"entry_price_min": None})
        assert create.near_bound == create.far_bound == 100.0
    assert (CreateSignal(**LONG).near_bound, CreateSignal(**LONG).far_bound) == (100.0, 99.0)
    assert (CreateSignal(**SHORT).near_bound, CreateSignal(**SHORT).far_bound) == (99.0, 100.0)


@pytest.mark.parametrize(("side", "limit", "refused"), [(1, 96.0, True), (1, 95.0, False), (-1, 94.0, True)])
def test_trailing_limit_is_never_better_than_its_trigger(side: int, limit: float, refused: bool) -> None:
    call = TrailingStop(REF, 95.0, limit)
    if not refused:
        check_side(call, side)
        return
    with pytest.raises(InvalidSignalError, match="trailing_stop_limit_price") as caught:
        check_side(call, side)
    assert caught.value.field == "trailing_stop_limit_price"


def test_calls_without_a_trailing_stop_have_no_side() -> None:
    for call in (CreateSignal(**LONG), Cancel(REF), TakeProfit(**TAKE), Rebuy(REF, 1.0, 2.0)):
        check_side(call, 1)


# L3.6: on a tick of 1, never in the provider's own favour
MARKET = Market("BTC/USDT", tick="1")
UNEVEN = LONG | {
    "entry_price_min": 98.4,
    "entry_price_max": 100.6,
    "targets": (105.2, None, 110.0),
    "stop_loss": 95.9,
}
UNEVEN_SHORT = UNEVEN | {"type": "short", "targets": (94.8,), "stop_loss": 104.1}


def test_long_rounds_its_range_inwards_targets_up_and_the_stop_down() -> None:
    create = CreateSignal(**UNEVEN).rounded(MARKET)
    assert (create.entry_price_min, create.entry_price_max) == (99.0, 100.0)
    assert create.targets == (106.0, None, 110.0)
    assert create.stop_loss == 95.0


def test_short_rounds_its_range_inwards_targets_down_and_the_stop_up() -> None:
    create = CreateSignal(**UNEVEN_SHORT).rounded(MARKET)
    assert (create.entry_price_min, create.entry_price_max) == (99.0, 100.0)
    assert create.targets == (94.0,)
    assert create.stop_loss == 105.0


def test_split_entries_round_away_from_the_market() -> None:
    split = {"entry_price_mid": 99.5, "invest_entry_min": 50, "invest_entry_mid": 25, "invest_entry_max": 25}
    long = CreateSignal(**UNEVEN | split).rounded(MARKET)
    assert (long.entry_price_min, long.entry_price_mid, long.entry_price_max) == (98.0, 99.0, 100.0)
    short = CreateSignal(**UNEVEN_SHORT | split).rounded(MARKET)
    assert (short.entry_price_min, short.entry_price_mid, short.entry_price_max) == (99.0, 100.0, 101.0)


def test_lone_bound_of_a_short_rounds_up() -> None:
    lone = CreateSignal(**UNEVEN_SHORT | {"entry_price_min": None}).rounded(MARKET)
    assert lone.entry_price_max == 101.0


def test_range_that_holds_no_tick_is_crossed_once_it_is_rounded() -> None:
    with pytest.raises(InvalidSignalError, match="entry_price_min"):
        require_order(CreateSignal(**LONG | {"entry_price_min": 99.2, "entry_price_max": 99.8}).rounded(MARKET))
    with pytest.raises(InvalidSignalError, match="buy_price_min"):
        require_order(Rebuy(REF, 99.2, 99.8).rounded(MARKET, 1))


@pytest.mark.parametrize(("version", "field"), [(1, "buy_price_max"), (2, "entry_price_max")])
def test_price_that_a_coarse_tick_brings_to_0_has_the_name_of_its_version(version: int, field: str) -> None:
    fields = SHORT | {"version": version, "entry_price_min": 0.3, "entry_price_max": 0.4, "targets": (0.2,)}
    broken = first_broken(CreateSignal(**fields).rounded(Market("BTC/USDT", tick="1")).relations())
    assert broken is not None
    assert broken.field == field


def test_later_calls_round_by_the_side_of_their_signal() -> None:
    take = TakeProfit(REF, "limit", 50.0, 105.2, None, 95.9, 95.2)
    assert take.rounded(MARKET, 1) == TakeProfit(REF, "limit", 50.0, 106.0, None, 95.0, 95.0)
    assert TrailingStop(REF, 95.9, 93.2).rounded(MARKET, 1) == TrailingStop(REF, 95.0, 94.0)
    assert TrailingStop(REF, 104.1, 106.9).rounded(MARKET, -1) == TrailingStop(REF, 105.0, 106.0)
    assert Rebuy(REF, 89.5, 91.5).rounded(MARKET, 1) == Rebuy(REF, 90.0, 91.0)
    assert Dca(REF, 90.5, 1.5).rounded(MARKET, 1) == Dca(REF, 90.0, 1.5)
    assert Dca(REF, 109.5, 1.5).rounded(MARKET, -1) == Dca(REF, 110.0, 1.5)


def test_update_rounds_its_bounds_as_the_entry_does() -> None:
    update = UpdatePrices(REF, 98.4, 100.6, exit_price_2=105.2, stop_loss=95.9)
    assert update.rounded(MARKET, 1) == UpdatePrices(REF, 99.0, 100.0, exit_price_2=106.0, stop_loss=95.0)
    split = update.rounded(MARKET, 1, split=True)
    assert (split.entry_price_min, split.entry_price_max) == (98.0, 100.0)
    lone = UpdatePrices(REF, entry_price_max=100.6).rounded(MARKET, -1, lone=True)
    assert lone.entry_price_max == 101.0
    assert update.targets == (None, 105.2, None, None, None, None)
