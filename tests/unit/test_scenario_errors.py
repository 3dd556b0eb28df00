"""A scenario that breaks a rule of the API is refused in one sentence that names call and field."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from backtest.errors import BacktestError, InvalidSettingError, InvalidSignalError
from backtest.runner.scenario import Scenario, replay, replay_file
from tests import oracle
from tests.builders import QUIET, START, call, create, limit, scenario

if TYPE_CHECKING:
    from pathlib import Path

Body = dict[str, Any]
PAIR: Body = {"trailing_stop_price": 95, "trailing_stop_limit_price": 94}
V1: Body = {
    "coin": "BTC",
    "trade_market": "USDT",
    "exchange": "BINANCE",
    "invest": 10,
    "buy_price_min": "99",
    "buy_price_max": "100",
    "sell_price_1": "105",
}
SPLIT: Body = {"entry_price_min": 98, "entry_price_max": 100}


def without(entry: Body, name: str) -> Body:
    return entry | {"body": {k: v for k, v in entry["body"].items() if k != name}}


def v1(**changes: Any) -> Body:
    body = {name: value for name, value in (V1 | changes).items() if value is not None}
    return {"at": START, "ref": "s1", "call": "create_v1", "body": body}


def raw(entry: Body, **changes: Any) -> Body:
    return entry | {"body": entry["body"] | changes}


BROKEN: dict[str, tuple[Body | list[Body], str]] = {
    # a missing field
    "coin is missing": (without(create(), "coin"), "coin"),
    "exchange is missing": (without(create(), "exchange"), "exchange"),
    "invest is missing in V2": (create(invest=None), "invest"),
    "invest is missing in V1": (v1(invest=None), "invest"),
    "the upper bound is missing": (create(entry_price_max=None), "entry_price_max"),
    "the first target is missing": (create(targets=()), "exit_price_1"),
    "V1 has no lower bound": (v1(buy_price_min=None), "buy_price_min"),
    "V1 has no target": (v1(sell_price_1=None), "sell_price_1"),
    "a DCA has no multiplier": (call("dca", 1, buy_price=90), "multiplier"),
    "a DCA has no price": (call("dca", 1, multiplier=1), "buy_price"),
    "a rebuy has no bound": (call("rebuy", 1, buy_price_min=90), "buy_price_max"),
    "a trailing stop has no limit": (call("trailingstop", 1, trailing_stop_price=95), "trailing_stop_limit_price"),
    "a take profit has no amount": (call("takeprofit", 1, order_type="market"), "sell_amount_relative"),
    "a take profit has no type": (call("takeprofit", 1, sell_amount_relative=100), "order_type"),
    "a limit take profit has no price": (
        call("takeprofit", 1, order_type="limit", sell_amount_relative=100),
        "sell_price",
    ),
    # an unknown field
    "a create has an unknown field": (create(stop=95), "stop"),
    "an update has an unknown field": (call("updateprice", 1, take_profit="105"), "take_profit"),
    "a cancel has an unknown field": (call("cancel", 1, reason="late"), "reason"),
    "V1 has a field of V2": (v1(leverage=5), "leverage"),
    "V2 has a field of V1": (create(sell_price_1=105), "sell_price_1"),
    # a price that is no decimal string
    "a price is a number": (raw(create(), entry_price_max=100), "entry_price_max"),
    "a price has an exponent": (raw(create(), stop_loss="9e1"), "stop_loss"),
    "a price has a sign": (raw(create(), stop_loss="-90"), "stop_loss"),
    "a price is zero": (raw(create(), stop_loss="0.00"), "stop_loss"),
    "a price has a comma": (raw(create(), exit_price_1="120,5"), "exit_price_1"),
    "a price is empty": (raw(call("dca", 1, multiplier=1), buy_price=""), "buy_price"),
    "a price is not a number": (raw(call("updateprice", 1), stop_loss="nan"), "stop_loss"),
    "a price has a space": (raw(call("updateprice", 1), stop_loss=" 95"), "stop_loss"),
    # numbers out of range
    "invest is text": (create(invest="10"), "invest"),
    "invest is zero": (create(invest=0), "invest"),
    "a multiplier is zero": (call("dca", 1, buy_price=90, multiplier=0), "multiplier"),
    "an amount is over 100": (
        call("takeprofit", 1, order_type="market", sell_amount_relative=101),
        "sell_amount_relative",
    ),
    "a TTL is negative": (create(ttl_buy_order=-1), "ttl_buy_order"),
    "leverage is below 1": (create(leverage=0.5), "leverage"),
    "the type is unknown": (create(type="buy"), "type"),
    "the account is unknown": (create(account="MARGINS"), "account"),
    # the entry
    "a share has no price": (create(entry_price_max=100, invest_entry_min=50, invest_entry_max=50), "invest_entry_min"),
    "the middle share has no price": (create(**SPLIT, invest_entry_min=50, invest_entry_mid=50), "invest_entry_mid"),
    "shares sum to less than 100": (create(**SPLIT, invest_entry_min=50, invest_entry_max=40), "invest_entry"),
    "shares sum to more than 100": (create(**SPLIT, invest_entry_min=50, invest_entry_max=60), "invest_entry"),
    "the middle is outside the bounds": (create(**SPLIT, entry_price_mid=97), "entry_price_mid"),
    "the bounds are crossed": (create(entry_price_min=101, entry_price_max=100), "entry_price_min"),
    "the bounds of a rebuy are crossed": (call("rebuy", 1, buy_price_min=95, buy_price_max=94), "buy_price_min"),
    # stop and targets
    "the stop is at the far bound": (create(**SPLIT, stop_loss=98), "stop_loss"),
    "the stop is inside the range": (create(**SPLIT, stop_loss=99), "stop_loss"),
    "the stop of a short is below": (create(type="short", targets=(90,), stop_loss=95), "stop_loss"),
    "target 1 is at the near bound": (create(targets=(100,)), "exit_price_1"),
    "target 2 is before target 1": (create(targets=(110, 105)), "exit_price_2"),
    "target 3 equals target 1, 2 is absent": (
        raw(create(targets=(110,)), exit_price_3="110"),
        "exit_price_3",
    ),
    "the target of a short is above": (create(type="short", targets=(120,)), "exit_price_1"),
    "V1 has targets out of order": (v1(sell_price_2="104"), "sell_price_2"),
    "V2 has a sixth target": (create(targets=(101, 102, 103, 104, 105, 106)), "exit_price_6"),
    # trailing pairs
    "a trailing limit is better than its trigger": (
        call("trailingstop", 1, trailing_stop_price=95, trailing_stop_limit_price=95.5),
        "trailing_stop_limit_price",
    ),
    "a short's trailing limit is better than its trigger": (
        [
            create(type="short", targets=(90,)),
            call("trailingstop", 1, trailing_stop_price=105, trailing_stop_limit_price=104),
        ],
        "trailing_stop_limit_price",
    ),
    "a partial take profit has no pair": (
        call("takeprofit", 1, order_type="market", sell_amount_relative=50),
        "trailing_stop_price",
    ),
    "a take profit has half a pair": (
        call("takeprofit", 1, order_type="market", sell_amount_relative=50, trailing_stop_price=95),
        "trailing_stop_limit_price",
    ),
    "a rebuy has half a pair": (
        call("rebuy", 1, buy_price_min=90, buy_price_max=95, trailing_stop_limit_price=85),
        "trailing_stop",
    ),
    "a take profit's limit is better than its trigger": (
        call("takeprofit", 1, order_type="market", sell_amount_relative=50)
        | {
            "body": {
                "order_type": "market",
                "sell_amount_relative": 50,
                "trailing_stop_price": "95",
                "trailing_stop_limit_price": "96",
            }
        },
        "trailing_stop_limit_price",
    ),
    # refs
    "a ref is created twice": ([create(), create(1)], "ref"),
    "a ref is never created": ([create(), call("cancel", 1, "s2")], "ref"),
    # the entry of the log
    "the call is unknown": (call("buy", 1), "call"),
    "at is missing": ({"ref": "s1", "call": "cancel", "body": {}}, "at"),
    "at is text": ({"at": "now", "ref": "s1", "call": "cancel", "body": {}}, "at"),
    "ref is missing": ({"at": START, "call": "cancel", "body": {}}, "ref"),
    "body is missing": ({"at": START, "ref": "s1", "call": "cancel"}, "body"),
    "the log has an unknown field": (call("cancel", 1) | {"comment": "x"}, "comment"),
    "the symbol has no candles": (create(coin="ETH"), "coin"),
}


def broken(name: str) -> dict[str, Any]:
    calls = BROKEN[name][0]
    if isinstance(calls, dict):
        calls = [calls] if calls.get("call", "").startswith("create") else [create(), calls]
    return scenario([QUIET, QUIET], *calls)


@pytest.mark.parametrize("name", BROKEN)
def test_the_sentence_names_call_and_field(name: str) -> None:
    values = broken(name)
    with pytest.raises(BacktestError) as caught:
        Scenario.from_dict(copy.deepcopy(values)).run()
    message = str(caught.value)
    assert BROKEN[name][1] in message
    assert "\n" not in message
    assert caught.value.exit_status == 2
    if name != "the symbol has no candles":
        assert message.startswith(f"call {len(values['calls'])}"), message


@pytest.mark.parametrize("name", BROKEN)
def test_the_oracle_refuses_it_too(name: str) -> None:
    with pytest.raises(oracle.ScenarioError):
        oracle.replay(broken(name))


NAMELESS = {
    "the call is unknown",
    "at is missing",
    "at is text",
    "ref is missing",
    "body is missing",
    "the log has an unknown field",
    "the symbol has no candles",
    "a ref is created twice",
    "a ref is never created",
}


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in NAMELESS])
def test_the_sentence_names_the_kind_of_call(name: str) -> None:
    values = broken(name)
    with pytest.raises(InvalidSignalError, match=values["calls"][-1]["call"]):
        Scenario.from_dict(values)


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field of the scenario": ({"candels": {}}, "candels"),
    "an unknown field of the profile": ({"profile": {"slipage": 0.1}}, "slipage"),
    "an unknown mode": ({"profile": {"intrabar": "lucky"}}, "intrabar"),
    "a negative fee": ({"profile": {"maker_fee": -0.1}}, "maker_fee"),
    "no balance": ({"profile": {"balance": 0}}, "balance"),
    "target shares over 100": ({"profile": {"target_shares": [60, 50]}}, "target_shares"),
    "a negative target share": ({"profile": {"target_shares": [-1]}}, "target_shares"),
    "a percent without its sign": ({"profile": {"take_profit_at": "4"}}, "take_profit_at"),
    "a percent of nothing": ({"profile": {"take_profit_at": "0%"}}, "take_profit_at"),
    "a seventh target": ({"profile": {"take_profit_at": 7}}, "take_profit_at"),
    "a distance without percent": (
        {"profile": {"trailing_take_profit": {"from_target": 1, "stop_to": "distance"}}},
        "trailing_take_profit",
    ),
    "an unknown stop_to": (
        {"profile": {"trailing_take_profit": {"from_target": 1, "stop_to": "entry"}}},
        "trailing_take_profit",
    ),
    "a profile that is a list": ({"profile": [1]}, "profile"),
    "an unknown assumption": ({"assumptions": {"fees": True}}, "fees"),
    "an assumption that is no switch": ({"assumptions": {"buys_survive_take_profit": 1}}, "buys_survive_take_profit"),
    "an unknown field of the market": ({"market": {"symbol": "BTC/USDT", "ticks": "1"}}, "ticks"),
    "a market without symbol": ({"market": {}}, "symbol"),
    "a symbol without a slash": ({"market": {"symbol": "BTCUSDT"}}, "symbol"),
    "a tick that is no number": ({"market": {"symbol": "BTC/USDT", "tick": "fine"}}, "tick"),
    "a tick beyond all prices": ({"market": {"symbol": "BTC/USDT", "tick": "1e400"}}, "tick"),
    "a step too fine to count": ({"market": {"symbol": "BTC/USDT", "step": "1e-400"}}, "step"),
    "a flag for a target": ({"profile": {"take_profit_at": True}}, "take_profit_at"),
    "a latency beyond all times": ({"profile": {"latency_ms": 2**70}}, "latency_ms"),
    "market and markets": ({"markets": []}, "markets"),
    "no candles": ({"candles": None}, "candles"),
    "candles without timeframe": ({"candles": {"rows": []}}, "timeframe"),
    "a row that is too short": ({"candles": {"timeframe": "1h", "rows": [[START, 1, 1]]}}, "row 0"),
    "a row at no time": ({"candles": {"timeframe": "1h", "rows": [[float("nan"), 1, 1, 1, 1]]}}, "row 0"),
    "a row at the end of time": ({"candles": {"timeframe": "1h", "rows": [[float("inf"), 1, 1, 1, 1]]}}, "row 0"),
    "a row between two milliseconds": ({"candles": {"timeframe": "1h", "rows": [[0.5, 1, 1, 1, 1]]}}, "row 0"),
    "a price too large to hold": ({"candles": {"timeframe": "1h", "rows": [[0, 1, 10**400, 1, 1]]}}, "candles"),
    "a call at the end of time": ({"calls": [create() | {"at": 2**70}]}, "at"),
    "a row with text": ({"candles": {"timeframe": "1h", "rows": [[START, 1, 1, 1, "1"]]}}, "row 0"),
    "a candle that contradicts itself": ({"candles": {"timeframe": "1h", "rows": [[START, 9, 8, 7, 8, 1]]}}, "row 0"),
    "funding that is no table": ({"funding": ["high"]}, "funding"),
    "funding out of order": ({"funding": [[5, 0.1], [4, 0.1]]}, "funding"),
    "detail that is coarser": ({"detail": {"timeframe": "4h", "rows": []}}, "detail"),
    "calls that are no list": ({"calls": {"s1": []}}, "calls"),
    "a call that is no object": ({"calls": ["create"]}, "call 1"),
    "allow_marketable of a cancel": (
        {"calls": [create(), call("cancel", 1) | {"allow_marketable": True}]},
        "allow_marketable",
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_cannot_be_used_is_named(name: str) -> None:
    changes, field = SETTINGS[name]
    with pytest.raises(BacktestError) as caught:
        Scenario.from_dict(scenario([QUIET], create()) | changes)
    assert field in str(caught.value)
    assert caught.value.exit_status == 2


MARKETS: dict[str, tuple[Any, str]] = {
    "an empty list": ([], "markets is empty"),
    "a text": ("BTC", "markets is a list"),
    "a list of texts": (["BTC"], "each of markets"),
    "one symbol twice": ([{"market": {"symbol": "BTC/USDT"}, "candles": {"timeframe": "1h", "rows": []}}] * 2, "twice"),
    "one without candles": ([{"symbol": "BTC/USDT"}], "candles of BTC/USDT are missing"),
}


@pytest.mark.parametrize("name", MARKETS)
def test_markets_that_cannot_be_used_are_refused(name: str) -> None:
    markets, words = MARKETS[name]
    with pytest.raises(InvalidSettingError, match=words):
        Scenario.from_dict({"markets": markets})


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"profile": {"slipage": 0.1}}, "slippage"),
        ({"candels": {}}, "candles"),
        ({"market": {"symbol": "BTC/USDT", "min_amout": 1}}, "min_amount"),
        ({"assumptions": {"cancel_entries": True}}, "cancel_entries_at_first_target"),
        ({"calls": [call("dcaa", 0)]}, "dca"),
        ({"calls": [call("cancel", 0) | {"allow_marketabel": True}]}, "allow_marketable"),
    ],
)
def test_a_misspelled_name_is_met_with_the_right_one(wrong: dict[str, Any], right: str) -> None:
    with pytest.raises(BacktestError, match=f'Did you mean "{right}"'):
        Scenario.from_dict(scenario([QUIET], create()) | wrong)


@pytest.mark.parametrize("wrong", [{"extra": 1}, {"at": "soon"}, {"body": []}, {"at": 2**70}])
def test_an_entry_that_is_none_is_named_as_far_as_it_goes(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidSignalError, match=r"^call 2 \(cancel s1\): "):
        Scenario.from_dict(scenario([QUIET], create(), call("cancel", 1) | wrong))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match="there is no scenario file"):
        replay_file(tmp_path / "absent.json")


def test_markets_may_be_a_list_or_an_object_by_symbol(tmp_path: Path) -> None:
    plain = scenario([(100, 101, 94, 97)], create(**limit(98)))
    entry = {"market": plain["market"], "candles": plain["candles"]}
    rest = {"profile": plain["profile"], "calls": plain["calls"], "funding": {"BTC/USDT": [[START, 0.01]]}}
    flat = {**plain["market"], "candles": plain["candles"]}
    path = tmp_path / "one.json"
    results = []
    for markets in ([entry], [flat], {"BTC/USDT": entry}):
        path.write_text(json.dumps({"markets": markets, **rest}), "utf-8")
        results.append(replay_file(path))
    assert results[0] == results[1] == results[2]
    assert results[0]["signals"][0]["status"] == "open"


@pytest.mark.parametrize("key", ["invest", "slippage", "calls"])
def test_a_key_given_twice_is_refused_by_its_name(tmp_path: Path, key: str) -> None:
    text = json.dumps(scenario([(100, 101, 94, 97)], create(**limit(98))))
    assert f'"{key}": ' in text
    at = text.index(f'"{key}": ')
    path = tmp_path / "twice.json"
    path.write_text(f'{text[:at]}"{key}": 1, {text[at:]}', "utf-8")
    message = rf"^scenario .*twice\.json: key '{key}' stands twice in one object; give it once$"
    with pytest.raises(InvalidSettingError, match=message):
        replay_file(path)


def test_instants_in_seconds_are_refused_naming_the_unit() -> None:
    entry = create() | {"at": START // 1000}
    with pytest.raises(
        InvalidSignalError, match=r"call 1: at is UTC milliseconds, was \d+, which are seconds: \d+ is 20"
    ):
        Scenario.from_dict(scenario([QUIET], entry))


def test_a_call_before_its_create_does_nothing_and_is_noted() -> None:
    early = call("cancel", 0) | {"at": START - 1}
    read = Scenario.from_dict(scenario([QUIET], create(), early))
    (note,) = read.notes()
    assert note.startswith("call 2 (cancel s1) was sent at ")
    assert "before its create (call 1, " in note
    assert replay(read)["signals"][0]["status"] == "open"
    assert Scenario.from_dict(scenario([QUIET], create())).notes() == []
