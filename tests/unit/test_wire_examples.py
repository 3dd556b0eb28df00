"""The vendor's own examples, byte for byte in both directions."""

from __future__ import annotations

import pytest

from backtest.model.calls import Call, Cancel, CreateSignal, Dca, Rebuy, TakeProfit, TrailingStop, UpdatePrices
from backtest.model.events import SignalRef
from backtest.wire import body_of, call_from_body, endpoint_of, json_bytes, read_object

S1 = SignalRef("s1")

EXAMPLES: dict[str, tuple[str, str, str, str, Call]] = {
    "V2 spot": (
        "create_v2",
        "POST",
        "/v2/signal",
        (
            '{"coin":"BTC","trade_market":"USDT","exchange":"BINANCE","invest":10,"entry_price_min":"65000",'
            '"entry_price_max":"66000","exit_price_1":"70000","exit_price_2":"75000","stop_loss":"62000","type":"long"}'
        ),
        CreateSignal(
            coin="BTC",
            trade_market="USDT",
            exchange="BINANCE",
            invest=10.0,
            entry_price_min=65000.0,
            entry_price_max=66000.0,
            targets=(70000.0, 75000.0),
            stop_loss=62000.0,
            ref=S1,
        ),
    ),
    "V2 futures": (
        "create_v2",
        "POST",
        "/v2/signal",
        (
            '{"coin":"ETH","trade_market":"USDT","exchange":"BYBIT","invest":5,"account":"FUTURES","leverage":10,'
            '"margin_type":"ISOLATED","entry_price_max":"3800","exit_price_1":"4000","stop_loss":"3650","type":"long"}'
        ),
        CreateSignal(
            coin="ETH",
            trade_market="USDT",
            exchange="BYBIT",
            invest=5.0,
            account="FUTURES",
            leverage=10.0,
            margin_type="ISOLATED",
            entry_price_max=3800.0,
            targets=(4000.0,),
            stop_loss=3650.0,
            ref=S1,
        ),
    ),
    "V2 least": (
        "create_v2",
        "POST",
        "/v2/signal",
        (
            '{"coin":"BTC","trade_market":"USDT","exchange":"BINANCE","invest":10,"entry_price_max":"68000",'
            '"exit_price_1":"72000"}'
        ),
        CreateSignal(
            coin="BTC",
            trade_market="USDT",
            exchange="BINANCE",
            invest=10.0,
            entry_price_max=68000.0,
            targets=(72000.0,),
            type=None,
            ref=S1,
        ),
    ),
    "V1": (
        "create_v1",
        "POST",
        "/v1/signal",
        (
            '{"coin":"ETH","trade_market":"USDT","exchange":"BINANCE","buy_price_min":"3800","buy_price_max":"3850",'
            '"sell_price_1":"4000","sell_price_2":"4200","sell_price_3":"4500","stop_loss":"3600","type":"long",'
            '"invest":10,"attachment_description":"ETH breaking out of resistance"}'
        ),
        CreateSignal(
            coin="ETH",
            trade_market="USDT",
            exchange="BINANCE",
            invest=10.0,
            entry_price_min=3800.0,
            entry_price_max=3850.0,
            targets=(4000.0, 4200.0, 4500.0),
            stop_loss=3600.0,
            attachment_description="ETH breaking out of resistance",
            version=1,
            ref=S1,
        ),
    ),
    "take profit, half at a limit": (
        "takeprofit",
        "POST",
        "/v1/signal/abc123/call/takeprofit",
        (
            '{"parent_signal_id":"abc123","order_type":"limit","sell_price":"72000","sell_amount_relative":50,'
            '"trailing_stop_price":"68000","trailing_stop_limit_price":"67500"}'
        ),
        TakeProfit(
            S1,
            "limit",
            50.0,
            sell_price=72000.0,
            trailing_stop_price=68000.0,
            trailing_stop_limit_price=67500.0,
        ),
    ),
    "take profit, all at market": (
        "takeprofit",
        "POST",
        "/v1/signal/abc123/call/takeprofit",
        '{"parent_signal_id":"abc123","order_type":"market","sell_amount_relative":100}',
        TakeProfit(S1, "market", 100.0),
    ),
    "trailing stop": (
        "trailingstop",
        "POST",
        "/v1/signal/abc123/call/trailingstop",
        '{"parent_signal_id":"abc123","trailing_stop_price":"64000","trailing_stop_limit_price":"63500"}',
        TrailingStop(S1, 64000.0, 63500.0),
    ),
    "rebuy": (
        "rebuy",
        "POST",
        "/v1/signal/abc123/call/rebuy",
        (
            '{"parent_signal_id":"abc123","buy_price_min":"60000","buy_price_max":"61000","invest":5,'
            '"trailing_stop_price":"58000","trailing_stop_limit_price":"57500"}'
        ),
        Rebuy(S1, 60000.0, 61000.0, invest=5.0, trailing_stop_price=58000.0, trailing_stop_limit_price=57500.0),
    ),
    "DCA": (
        "dca",
        "POST",
        "/v1/signal/abc123/call/dca",
        '{"parent_signal_id":"abc123","buy_price":"58000","multiplier":1.5}',
        Dca(S1, 58000.0, 1.5),
    ),
    "update": (
        "updateprice",
        "PUT",
        "/v1/signal/abc123/updateprice",
        '{"parent_signal_id":"abc123","exit_price_1":"73000","stop_loss":"63000"}',
        UpdatePrices(S1, exit_price_1=73000.0, stop_loss=63000.0),
    ),
    "cancel": ("cancel", "DELETE", "/v1/signal/abc123/cancel", '{"parent_signal_id":"abc123"}', Cancel(S1)),
}


EACH = pytest.mark.parametrize(("kind", "method", "path", "text", "call"), EXAMPLES.values(), ids=EXAMPLES)
READ = pytest.mark.parametrize(
    ("kind", "text", "call"), [(kind, text, call) for kind, _, _, text, call in EXAMPLES.values()], ids=EXAMPLES
)


@EACH
def test_vendor_example_comes_out_byte_for_byte(kind: str, method: str, path: str, text: str, call: Call) -> None:
    parent = None if isinstance(call, CreateSignal) else "abc123"
    request = endpoint_of(call, parent)
    assert (request.kind, request.method, request.path, request.body.decode()) == (kind, method, path, text)
    assert json_bytes(body_of(call, parent)) == text.encode()


@READ
def test_vendor_example_reads_back_to_the_call(kind: str, text: str, call: Call) -> None:
    assert call_from_body(kind, read_object(text), "s1", require_parent=True) == call


@READ
def test_scenario_body_leaves_the_parent_out(kind: str, text: str, call: Call) -> None:
    body = read_object(text)
    body.pop("parent_signal_id", None)
    assert call_from_body(kind, body, "s1") == call
