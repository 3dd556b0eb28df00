"""What an outlet is sent says the signal that it can carry, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.channel.calls import calls_of_order
from backtest.channel.conventions import ChannelRules
from backtest.channel.order import order_of
from backtest.model.calls import CreateSignal
from backtest.model.events import SignalRef
from backtest.venue.outlet.carried import carry
from backtest.venue.outlet.cornix import CORNIX, cornix_text
from backtest.venue.outlet.settings import OutletSettings
from backtest.venue.outlet.template import OutletTemplate

RULES = ChannelRules(
    exchange="BINANCE", quote="USDT", invest="message", account="by leverage", decimal=".", dash="range", entries="equal",
    more_targets="first", without_stop="send", bare_btc_prices="coin",
)  # fmt: skip


@st.composite
def creates(draw: st.DrawFn) -> CreateSignal:
    """Return a create in any shape that the API has."""
    side, digits = draw(st.sampled_from([1, -1])), draw(st.integers(0, 8))
    base = draw(st.integers(1_000, 99_999))
    count = draw(st.integers(1, 5))
    steps = sorted(draw(st.sets(st.integers(1, base // 4), min_size=4 + count, max_size=4 + count)))
    stop, *entries = [float(f"{(base + side * step) / 10**digits:.{digits}f}") for step in steps]
    entries, targets = sorted(entries[:3]), entries[3:]
    shape = draw(st.sampled_from(["one", "range", "split", "third", "unequal"]))
    fields: dict[str, Any] = {"entry_price_max": entries[-1]}
    if shape != "one":
        fields["entry_price_min"] = entries[0]
    if shape in {"third", "unequal"}:
        fields |= {
            "entry_price_mid": entries[1],
            "invest_entry_min": 33.33,
            "invest_entry_mid": 33.34,
            "invest_entry_max": 33.33,
        }
    if shape == "unequal":
        fields |= {"invest_entry_min": 60.0, "invest_entry_mid": 30.0, "invest_entry_max": 10.0}
    if shape == "split":
        fields |= {"invest_entry_min": 50.0, "invest_entry_max": 50.0}
    if side < 0 or draw(st.booleans()):
        margin = draw(st.sampled_from(["ISOLATED", "CROSS"]))
        fields |= {"account": "FUTURES", "leverage": float(draw(st.integers(1, 50))), "margin_type": margin}
    else:
        fields["account"] = "SPOT"
    return CreateSignal(
        coin=draw(st.sampled_from(["BTC", "NEAR", "1000PEPE", "TO", "A", "SELL"])),
        trade_market="USDT",
        exchange="BINANCE",
        invest=float(draw(st.integers(1, 40))),
        targets=tuple(targets),
        stop_loss=draw(st.sampled_from([stop, None])),
        type="long" if side > 0 else "short",
        ttl_buy_order=draw(st.sampled_from([None, 60_000])),
        ref=SignalRef("1"),
        **fields,
    )


@settings(max_examples=120, deadline=None)
@given(create=creates())
def test_the_free_text_reads_back_as_the_signal_that_it_carries(create: CreateSignal) -> None:
    carried, lost = carry(create, CORNIX)
    assert isinstance(carried, CreateSignal)
    (found,) = calls_of_order(order_of(cornix_text(carried), RULES), "1", RULES)
    assert isinstance(found, CreateSignal)
    plain = replace(carried, allow_no_stop=found.allow_no_stop, entry_mode=None)
    if not plain.is_split:
        low = plain.entry_price_min
        plain = replace(plain, entry_price_mid=None, entry_price_min=None if low == plain.entry_price_max else low)
    assert found == plain, cornix_text(carried)
    assert {one.field for one in lost} >= ({"ttl_buy_order"} if create.ttl_buy_order else set())


@settings(max_examples=60, deadline=None)
@given(create=creates(), kind=st.sampled_from(["3commas", "traderspost"]), confirmed=st.booleans())
def test_the_json_of_a_template_says_prices_of_the_signal(create: CreateSignal, kind: str, confirmed: bool) -> None:
    known = {"3commas": ("order", "take_profit", "stop_loss"), "traderspost": ("absolute_exits",)}[kind]
    outlet = OutletSettings(name="x", kind=kind, values={"bot_uuid": "b"}, confirmed=known if confirmed else ())
    carried, _ = carry(create, outlet.says)
    assert isinstance(carried, CreateSignal)
    found = json.loads(OutletTemplate(outlet).message(carried, "", 1_700_000_000_000, 's"ecret'))
    side, near = create.side, create.near_bound
    if kind == "traderspost":
        assert found["limitPrice"] == near
        take = found["takeProfit"].get("limitPrice") or near * (1.0 + side * found["takeProfit"]["percent"] / 100.0)
        assert abs(take - create.targets[0]) <= 1e-7 * near
        return
    assert found["secret"] == 's"ecret'
    assert found["action"] == ("enter_long" if side > 0 else "enter_short")
    assert ("order" in found, "take_profit" in found) == (confirmed, confirmed)
    if not confirmed:
        return
    assert float(found["order"]["price"]) == near
    steps = found["take_profit"]["steps"]
    assert abs(sum(step["volume_percent"] for step in steps) - 100.0) < 1e-9
    for step, target in zip(steps, create.targets, strict=True):
        assert abs(near * (1.0 + side * step["price_percent"] / 100.0) - target) <= 1e-7 * near
    if create.stop_loss is not None:
        percent = found["stop_loss"]["trigger_price_percent"]
        assert abs(near * (1.0 - side * percent / 100.0) - create.stop_loss) <= 1e-7 * near
