"""Any valid call, to its body and back, is the same call."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.model.calls import Call, Cancel, CreateSignal, Dca, Rebuy, TakeProfit, TrailingStop, UpdatePrices
from backtest.model.events import SignalRef
from backtest.wire import body_of, call_from_body, endpoint_of, json_bytes, kind_of, read_object, with_ref

REF = SignalRef("BTC/USDT-1700002800000-0")
DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")

prices = st.floats(1e-12, 1e12)
percents = st.floats(0.01, 100.0)
words = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12)
descriptions = st.text(st.characters(exclude_categories=["Cs"]), max_size=1000)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


@st.composite
def creates(draw: st.DrawFn) -> CreateSignal:
    version = draw(st.sampled_from([1, 2]))
    side = draw(st.sampled_from([1, -1]))
    count = draw(st.integers(1, 5 if version == 2 else 6))
    ladder = sorted(draw(st.lists(prices, min_size=count + 4, max_size=count + 4, unique=True)), reverse=side < 0)
    stop, low, middle, high = sorted(ladder[:4], reverse=side < 0)
    if side < 0:
        low, high = high, low
    gaps = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    targets = [
        price if k in {0, count - 1} or kept else None
        for k, (price, kept) in enumerate(zip(ladder[4:], gaps, strict=True))
    ]
    kind: dict[str, Any] = {"version": 1} if version == 1 else draw(version_2(low, middle))
    return CreateSignal(
        coin=draw(words),
        trade_market=draw(words),
        exchange=draw(words),
        invest=draw(percents),
        entry_price_max=high,
        targets=tuple(targets),
        type="short" if side < 0 else draw(st.sampled_from(["long", None])),
        stop_loss=draw(maybe(st.just(stop))),
        ttl_buy_order=draw(maybe(st.integers(1, 2**53))),
        attachment_image1_url=draw(maybe(descriptions)),
        attachment_image2_url=draw(maybe(descriptions)),
        attachment_description=draw(maybe(descriptions)),
        ref=REF,
        **{"entry_price_min": low, **kind},
    )


@st.composite
def version_2(draw: st.DrawFn, low: float, middle: float) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "account": draw(maybe(st.sampled_from(["SPOT", "MARGIN", "FUTURES"]))),
        "leverage": draw(maybe(st.floats(1.0, 125.0))),
        "margin_type": draw(maybe(st.sampled_from(["ISOLATED", "CROSS"]))),
        "entry_mode": draw(maybe(st.just("range"))),
    }
    shares = draw(st.sampled_from([None, (100, None, None), (None, None, 100.0), (25, 25, 50), (12.5, 0, 87.5)]))
    fields["entry_price_min"] = low if shares else draw(maybe(st.just(low)))
    fields["entry_price_mid"] = middle if shares and shares[1] else None
    if shares:
        fields |= {f"invest_entry_{part}": share for part, share in zip(("min", "mid", "max"), shares, strict=True)}
    return fields


@st.composite
def later_calls(draw: st.DrawFn) -> Call:
    pair = draw(maybe(st.tuples(prices, prices))) or (None, None)
    low, high = sorted((draw(prices), draw(prices)))
    amount = draw(st.floats(1.0, 100.0) if pair[0] else st.just(100.0))
    market = st.builds(TakeProfit, st.just(REF), st.just("market"), st.just(amount), maybe(prices), maybe(words))
    calls: list[Call] = [
        TakeProfit(REF, "limit", amount, draw(prices), draw(maybe(words)), *pair),
        TrailingStop(REF, draw(prices), draw(prices)),
        Rebuy(REF, low, high, draw(maybe(percents)), *pair),
        Dca(REF, draw(prices), draw(st.floats(0.01, 10.0))),
        UpdatePrices(REF, low, high, *(draw(maybe(prices)) for _ in range(7))),
        Cancel(REF),
    ]
    if pair[0] is None:
        calls.append(draw(market))
    return draw(st.sampled_from(calls))


@settings(deadline=None, derandomize=True, database=None)
@given(creates() | later_calls())
def test_call_survives_the_wire(call: Call) -> None:
    parent = None if isinstance(call, CreateSignal) else "abc/123 é"
    request = endpoint_of(call, parent)
    assert call_from_body(kind_of(call), read_object(request.body), REF) == call


@settings(deadline=None, derandomize=True, database=None)
@given(creates() | later_calls())
def test_prices_are_plain_decimals_and_numbers_have_no_exponent(call: Call) -> None:
    body = body_of(call, None if isinstance(call, CreateSignal) else REF)
    for name, value in body.items():
        if "price" in name or name == "stop_loss":
            assert isinstance(value, str)
            assert DECIMAL.fullmatch(value)
    raw = json_bytes(body)
    numbers: list[str] = []

    def note(text: str) -> float:
        numbers.append(text)
        return float(text)

    assert json.loads(raw, parse_float=note, parse_int=note) == body
    assert all(DECIMAL.fullmatch(number) for number in numbers)


@settings(deadline=None, derandomize=True, database=None)
@given(later_calls(), words)
def test_sent_body_compares_equal_once_the_parent_is_our_ref(call: Call, parent: str) -> None:
    sent = endpoint_of(call, parent).body
    assert with_ref(sent, {parent: REF}) == endpoint_of(call, REF).body
    assert with_ref(sent, {}) == sent


@settings(deadline=None, derandomize=True, database=None)
@given(creates())
def test_create_compares_as_it_was_sent(call: CreateSignal) -> None:
    sent = endpoint_of(call).body
    assert with_ref(sent, {"abc123": REF}) == sent
