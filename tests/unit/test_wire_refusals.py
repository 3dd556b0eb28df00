"""Every rule of a body's content, one row for each: what is wrong, the field that is named, missing or wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backtest.errors import InvalidSignalError
from backtest.model.calls import CreateSignal, TakeProfit, UpdatePrices
from backtest.model.events import SignalRef
from backtest.wire import MissingFieldError, body_of, call_from_body, endpoint_of, read_object, result_type_of

GONE = object()
MARKET = {"coin": "BTC", "trade_market": "USDT", "exchange": "BINANCE", "invest": 10}
BODIES: dict[str, dict[str, Any]] = {
    "create_v2": MARKET
    | {"entry_price_min": "65000", "entry_price_max": "66000", "exit_price_1": "70000", "stop_loss": "62000"},
    "create_v1": MARKET
    | {"buy_price_min": "65000", "buy_price_max": "66000", "sell_price_1": "70000", "stop_loss": "62000"},
    "takeprofit": {
        "order_type": "limit",
        "sell_price": "72000",
        "sell_amount_relative": 50,
        "trailing_stop_price": "68000",
        "trailing_stop_limit_price": "67500",
    },
    "trailingstop": {"trailing_stop_price": "64000", "trailing_stop_limit_price": "63500"},
    "rebuy": {"buy_price_min": "60000", "buy_price_max": "61000"},
    "dca": {"buy_price": "58000", "multiplier": 1.5},
    "updateprice": {"stop_loss": "63000"},
    "cancel": {},
}

SPLIT = {"invest_entry_min": 50, "invest_entry_max": 50}

# kind, what is changed, field that is named
WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "price with an exponent": ("create_v2", {"entry_price_max": "6.6e4"}, "entry_price_max"),
    "price as a number": ("create_v2", {"entry_price_max": 66000}, "entry_price_max"),
    "price as a bool": ("create_v2", {"entry_price_max": True}, "entry_price_max"),
    "price with a sign": ("create_v2", {"stop_loss": "+62000"}, "stop_loss"),
    "negative price": ("create_v2", {"stop_loss": "-62000"}, "stop_loss"),
    "price of zero": ("create_v2", {"stop_loss": "0.00"}, "stop_loss"),
    "price with spaces": ("create_v2", {"stop_loss": " 62000"}, "stop_loss"),
    "price with a line feed": ("create_v2", {"stop_loss": "62000\n"}, "stop_loss"),
    "price with a thousands comma": ("create_v2", {"stop_loss": "62,000"}, "stop_loss"),
    "price without whole digits": ("create_v2", {"stop_loss": ".5"}, "stop_loss"),
    "price without fraction digits": ("create_v2", {"stop_loss": "62000."}, "stop_loss"),
    "price NaN": ("create_v2", {"stop_loss": "NaN"}, "stop_loss"),
    "price Infinity": ("create_v2", {"stop_loss": "Infinity"}, "stop_loss"),
    "price in other digits": ("create_v2", {"stop_loss": "٦٢٠٠٠"}, "stop_loss"),
    "price in hexadecimal": ("create_v2", {"stop_loss": "0x10"}, "stop_loss"),
    "price with an underscore": ("create_v2", {"stop_loss": "62_000"}, "stop_loss"),
    "price empty": ("create_v2", {"stop_loss": ""}, "stop_loss"),
    "price of a thousand digits": ("create_v2", {"stop_loss": "1" * 1000}, "stop_loss"),
    "price null": ("create_v2", {"stop_loss": None}, "stop_loss"),
    "required null": ("create_v2", {"coin": None}, "coin"),
    "invest as text": ("create_v2", {"invest": "10"}, "invest"),
    "invest as a bool": ("create_v2", {"invest": True}, "invest"),
    "invest NaN": ("create_v2", {"invest": float("nan")}, "invest"),
    "invest of zero": ("create_v2", {"invest": 0}, "invest"),
    "invest beyond a double": ("create_v2", {"invest": 10**400}, "invest"),
    "invest as an object": ("create_v2", {"invest": {}}, "invest"),
    "coin empty": ("create_v2", {"coin": ""}, "coin"),
    "coin with spaces": ("create_v2", {"coin": " BTC"}, "coin"),
    "coin as a number": ("create_v2", {"coin": 1}, "coin"),
    "exchange as bytes": ("create_v2", {"exchange": b"BINANCE"}, "exchange"),
    "exchange as a list": ("create_v2", {"exchange": ["BINANCE"]}, "exchange"),
    "leverage below 1": ("create_v2", {"leverage": 0.5}, "leverage"),
    "leverage as text": ("create_v2", {"leverage": "10"}, "leverage"),
    "account in lower case": ("create_v2", {"account": "spot"}, "account"),
    "margin type unknown": ("create_v2", {"margin_type": "CROSSED"}, "margin_type"),
    "entry mode undocumented": ("create_v2", {"entry_mode": "limit"}, "entry_mode"),
    "type unknown": ("create_v2", {"type": "buy"}, "type"),
    "type in upper case": ("create_v2", {"type": "LONG"}, "type"),
    "ttl with a fraction": ("create_v2", {"ttl_buy_order": 1.5}, "ttl_buy_order"),
    "ttl of zero": ("create_v2", {"ttl_buy_order": 0}, "ttl_buy_order"),
    "ttl as text": ("create_v2", {"ttl_buy_order": "60000"}, "ttl_buy_order"),
    "ttl beyond 64 bits": ("create_v2", {"ttl_buy_order": 2**63}, "ttl_buy_order"),
    "description of 1001 characters": ("create_v2", {"attachment_description": "x" * 1001}, "attachment_description"),
    "description as a number": ("create_v2", {"attachment_description": 5}, "attachment_description"),
    "description of half a character": (
        "create_v2",
        {"attachment_description": "\ud800"},
        "attachment_description",
    ),
    "image as a bool": ("create_v2", {"attachment_image1_url": False}, "attachment_image1_url"),
    "sixth target in V2": ("create_v2", {"exit_price_6": "90000"}, "exit_price_6"),
    "unknown field": ("create_v2", {"stop_los": "62000"}, "stop_los"),
    "V1 field in V2": ("create_v2", {"buy_price_min": "65000"}, "buy_price_min"),
    "parent of a create": ("create_v2", {"parent_signal_id": "abc123"}, "parent_signal_id"),
    "bounds crossed": ("create_v2", {"entry_price_min": "66001"}, "entry_price_min"),
    "middle outside the bounds": ("create_v2", {"entry_price_mid": "64000"}, "entry_price_mid"),
    "stop on the wrong side": ("create_v2", {"stop_loss": "65000"}, "stop_loss"),
    "target not beyond the bound": ("create_v2", {"exit_price_1": "66000"}, "exit_price_1"),
    "targets out of order": ("create_v2", {"exit_price_3": "69000"}, "exit_price_3"),
    "short with the stop of a long": ("create_v2", {"type": "short", "exit_price_1": "60000"}, "stop_loss"),
    "share over 100": ("create_v2", {"invest_entry_max": 101}, "invest_entry_max"),
    "share below 0": ("create_v2", {"invest_entry_max": -1}, "invest_entry_max"),
    "shares that sum to 90": ("create_v2", {"invest_entry_min": 50, "invest_entry_max": 40}, "invest_entry_max"),
    "lone share that is not 100": ("create_v2", {"invest_entry_min": 50}, "invest_entry_max"),
    "share without its price": ("create_v2", SPLIT | {"entry_price_min": GONE}, "invest_entry_min"),
    "formatted text": ("create_v1", {"formatted_text": {"coin": "BTC"}}, "formatted_text"),
    "formatted text alone": ("create_v1", {"formatted_text": {}, "coin": GONE}, "formatted_text"),
    "seventh target in V1": ("create_v1", {"sell_price_7": "90000"}, "sell_price_7"),
    "leverage in V1": ("create_v1", {"leverage": 2}, "leverage"),
    "V2 field in V1": ("create_v1", {"entry_price_min": "65000"}, "entry_price_min"),
    "V1 bounds crossed": ("create_v1", {"buy_price_min": "66001"}, "buy_price_min"),
    "V1 target not beyond the bound": ("create_v1", {"sell_price_1": "66000"}, "sell_price_1"),
    "V1 price as a number": ("create_v1", {"sell_price_1": 70000}, "sell_price_1"),
    "order type unknown": ("takeprofit", {"order_type": "stop"}, "order_type"),
    "amount below 1": ("takeprofit", {"sell_amount_relative": 0.5}, "sell_amount_relative"),
    "amount over 100": ("takeprofit", {"sell_amount_relative": 101}, "sell_amount_relative"),
    "amount as text": ("takeprofit", {"sell_amount_relative": "50"}, "sell_amount_relative"),
    "symbol as a number": ("takeprofit", {"symbol": 1}, "symbol"),
    "trailing price with a sign": ("trailingstop", {"trailing_stop_price": "-1"}, "trailing_stop_price"),
    "rebuy bounds crossed": ("rebuy", {"buy_price_min": "61001"}, "buy_price_min"),
    "rebuy invest of zero": ("rebuy", {"invest": 0}, "invest"),
    "multiplier of zero": ("dca", {"multiplier": 0}, "multiplier"),
    "multiplier as text": ("dca", {"multiplier": "1.5"}, "multiplier"),
    "update of the middle": ("updateprice", {"entry_price_mid": "65000"}, "entry_price_mid"),
    "update of a seventh target": ("updateprice", {"exit_price_7": "90000"}, "exit_price_7"),
    "our own key in the body": ("updateprice", {"allow_marketable": True}, "allow_marketable"),
    "field in a cancel": ("cancel", {"reason": "done"}, "reason"),
    "parent as a number": ("cancel", {"parent_signal_id": 5}, "parent_signal_id"),
    "parent empty": ("cancel", {"parent_signal_id": ""}, "parent_signal_id"),
}

# kind, what is changed, field that is named
MISSING: dict[str, tuple[str, dict[str, Any], str]] = {
    **{
        f"{kind} without {field}": (kind, {field: GONE}, field)
        for kind, field in (
            *(("create_v2", name) for name in (*MARKET, "entry_price_max", "exit_price_1")),
            *(("create_v1", name) for name in (*MARKET, "buy_price_min", "buy_price_max", "sell_price_1")),
            *(("takeprofit", name) for name in ("order_type", "sell_amount_relative")),
            *(("trailingstop", name) for name in ("trailing_stop_price", "trailing_stop_limit_price")),
            *(("rebuy", name) for name in ("buy_price_min", "buy_price_max")),
            *(("dca", name) for name in ("buy_price", "multiplier")),
        )
    },
    "limit take profit without a price": ("takeprofit", {"sell_price": GONE}, "sell_price"),
    "partial take profit without its stop": (
        "takeprofit",
        {"trailing_stop_price": GONE, "trailing_stop_limit_price": GONE},
        "trailing_stop_price",
    ),
    "half a pair": ("takeprofit", {"trailing_stop_limit_price": GONE}, "trailing_stop_limit_price"),
    "rebuy with half a pair": ("rebuy", {"trailing_stop_price": "58000"}, "trailing_stop_limit_price"),
}


def changed(kind: str, change: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (BODIES[kind] | change).items() if value is not GONE}


@pytest.mark.parametrize("kind", BODIES)
def test_unchanged_body_is_accepted(kind: str) -> None:
    call_from_body(kind, BODIES[kind], "s1")


@pytest.mark.parametrize(("kind", "change", "field"), WRONG.values(), ids=WRONG)
def test_wrong_content_names_the_field(kind: str, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSignalError) as caught:
        call_from_body(kind, changed(kind, change), "s1")
    assert caught.value.field == field
    assert field in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert result_type_of(caught.value) == "INVALID_INPUT_CONTENT"


@pytest.mark.parametrize(("kind", "change", "field"), MISSING.values(), ids=MISSING)
def test_missing_field_is_named(kind: str, change: dict[str, Any], field: str) -> None:
    with pytest.raises(MissingFieldError, match=field) as caught:
        call_from_body(kind, changed(kind, change), "s1")
    assert caught.value.field == field
    assert result_type_of(caught.value) == "INVALID_INPUT_MISSING"


@pytest.mark.parametrize("kind", [kind for kind in BODIES if not kind.startswith("create")])
def test_venue_requires_the_parent(kind: str) -> None:
    with pytest.raises(MissingFieldError, match="parent_signal_id"):
        call_from_body(kind, BODIES[kind], "s1", require_parent=True)


def test_misspelt_field_is_told_its_neighbour() -> None:
    with pytest.raises(InvalidSignalError, match='Did you mean "stop_loss"'):
        call_from_body("create_v2", changed("create_v2", {"stop_loss": GONE, "stop_los": "62000"}), "s1")
    with pytest.raises(MissingFieldError, match=r'entry_price_max is missing.*Did you mean "entry_price_max"'):
        call_from_body("create_v2", changed("create_v2", {"entry_price_max": GONE, "entry_price_mx": "1"}), "s1")


def test_sixth_target_is_told_the_version_that_has_it() -> None:
    with pytest.raises(InvalidSignalError, match="does not exist in version 2, which has 5 targets; version 1 has six"):
        call_from_body("create_v2", changed("create_v2", {"exit_price_6": "90000"}), "s1")
    for kind in ("create_v1", "takeprofit"):
        with pytest.raises(InvalidSignalError, match=f"exit_price_6 is no field of {kind}"):
            call_from_body(kind, changed(kind, {"exit_price_6": "90000"}), "s1")
    with pytest.raises(InvalidSignalError, match="stop_los is no field of create_v2"):
        call_from_body("create_v2", changed("create_v2", {"stop_los": "62000"}), "s1")


@pytest.mark.parametrize(("kind", "field"), [("create_v2", "invest"), ("rebuy", "invest"), ("dca", "multiplier")])
def test_number_too_large_for_a_double_is_not_finite(kind: str, field: str) -> None:
    body = changed(kind, {field: "@"})
    raw = json.dumps(body).replace('"@"', "1e400").encode()  # which Python reads as an infinity
    with pytest.raises(InvalidSignalError, match=f"{field} is a finite number, was Infinity"):
        call_from_body(kind, read_object(raw), "s1")


def test_unknown_kind_is_told_its_neighbour() -> None:
    with pytest.raises(InvalidSignalError, match='Did you mean "takeprofit"'):
        call_from_body("take_profit", {}, "s1")


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_body_that_is_no_object_is_refused(body: Any) -> None:
    with pytest.raises(InvalidSignalError, match="JSON object"):
        call_from_body("cancel", body, "s1")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1]",
        b"null",
        b"\xff{}",
        b'{"invest": NaN}',
        b'{"invest": -Infinity}',
        b"[" * 100_000,
        b'{"n":' + b"1" * 5000 + b"}",
    ],
)
def test_text_that_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidSignalError, match="the body is"):
        read_object(raw)


def test_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(InvalidSignalError, match="stop_loss stands twice"):
        read_object(b'{"stop_loss":"1","coin":"BTC","stop_loss":"2"}')


def test_whole_float_is_a_whole_number() -> None:
    call = call_from_body("create_v2", changed("create_v2", {"ttl_buy_order": 60000.0}), "s1")
    assert isinstance(call, CreateSignal)
    assert call.ttl_buy_order == 60000
    assert isinstance(call.ttl_buy_order, int)


def test_allow_marketable_comes_from_beside_the_body() -> None:
    call = call_from_body("updateprice", {"stop_loss": "1"}, "s1", allow_marketable=True)
    assert call == UpdatePrices(SignalRef("s1"), stop_loss=1.0, allow_marketable=True)
    assert "allow_marketable" not in body_of(call, "abc")


def test_parent_belongs_to_later_calls_only() -> None:
    create, cancel = call_from_body("create_v2", BODIES["create_v2"], "s1"), call_from_body("cancel", {}, "s1")
    with pytest.raises(InvalidSignalError, match="parent_signal_id"):
        body_of(create, "abc123")
    with pytest.raises(InvalidSignalError, match="parent_signal_id"):
        body_of(cancel)


def test_parent_cannot_leave_its_place_in_the_path() -> None:
    cancel = call_from_body("cancel", {}, "s1")
    assert endpoint_of(cancel, "a/../b?c#d é").path == "/v1/signal/a%2F..%2Fb%3Fc%23d%20%C3%A9/cancel"
    for step in (".", ".."):
        with pytest.raises(InvalidSignalError, match="parent_signal_id"):
            endpoint_of(cancel, step)


def test_what_python_lets_through_is_refused_before_it_is_sent() -> None:
    call = TakeProfit(SignalRef("s1"), "market", 100.0, symbol=" BTC/USDT ")
    with pytest.raises(InvalidSignalError, match="symbol is a text without spaces"):
        body_of(call, "abc123")
