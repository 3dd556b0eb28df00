"""What is wrong with a signal before it is sent: one row a rule, and how often a run breaks it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backtest.errors import InvalidSignalError
from backtest.model.calls import Call, Cancel, CreateSignal, Dca, Rebuy, TakeProfit, TrailingStop, UpdatePrices
from backtest.model.candles import Candles
from backtest.model.events import SignalRef
from backtest.model.lint import lint, lint_refusals
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from backtest.model.sizing import Sizing
from backtest.runner.decision import Decision
from backtest.runner.linting import lint_sentences
from backtest.runner.log_replay import replay_calls
from backtest.runner.run import histories_of
from backtest.runner.scenario import LoggedCall

REF = SignalRef("s1")
LONG: dict[str, Any] = {
    "coin": "BTC",
    "trade_market": "USDT",
    "exchange": "BINANCE",
    "invest": 10.0,
    "entry_price_min": 99.0,
    "entry_price_max": 100.0,
    "targets": (105.0, 110.0),
    "stop_loss": 95.0,
    "ref": REF,
}
SHORT = LONG | {"type": "short", "targets": (94.0, 90.0), "stop_loss": 104.0}
TEN = {"account": "FUTURES", "leverage": 10.0}
MARKET = Market("BTC/USDT", tick="0.01", max_leverage=20.0)
DEAR = Market("BTC/USDT", tick="0.01", step="0.01", min_cost=400.0)
ANNY = SubscriberProfile.anny()

ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, str, str]]]] = {
    "nothing wrong": (LONG, {}, []),
    "nothing wrong with a short": (SHORT, {}, []),
    "no stop": (LONG | {"stop_loss": None}, {}, [("no_stop", "stop_loss", "warn")]),
    "no stop under a risk limit": (
        LONG | {"stop_loss": None, "allow_no_stop": True},
        {"profile": SubscriberProfile.anny(risk_limit=5)},
        [("no_stop", "stop_loss", "warn")],
    ),
    "a range that holds no tick": (
        LONG | {"entry_price_min": 99.991, "entry_price_max": 99.999},
        {},
        [("invalid", "entry_price_min", "refuse")],
    ),
    "a stop that meets the entry on the tick": (
        LONG | {"entry_price_min": 99.0, "entry_price_max": 99.5, "stop_loss": 98.9999999999},
        {},
        [("stop_wrong_side", "stop_loss", "refuse")],
    ),
    "stop beyond liquidation": (
        LONG | TEN | {"stop_loss": 90.5},
        {},
        [("stop_beyond_liquidation", "stop_loss", "warn")],
    ),
    "stop just before liquidation": (LONG | TEN | {"stop_loss": 90.51}, {}, []),
    "stop of a short beyond liquidation": (
        SHORT | TEN | {"stop_loss": 109.0, "entry_price_min": 99.5},
        {},
        [("stop_beyond_liquidation", "stop_loss", "warn")],
    ),
    "cross margin has no level of its own": (LONG | TEN | {"stop_loss": 80.0, "margin_type": "CROSS"}, {}, []),
    "spot is never liquidated": (LONG | {"stop_loss": 1.0}, {}, []),
    "leverage is lowered to the market's": (LONG | {"account": "MARGIN", "leverage": 99.0, "stop_loss": 96.0}, {}, []),
    "target inside the costs": (
        LONG | {"targets": (100.3, 105.0)},
        {},
        [("target_inside_costs", "exit_price_1", "warn")],
    ),
    "target just outside": (LONG | {"targets": (100.31, 105.0)}, {}, []),
    "target of a short inside the costs": (
        SHORT | {"targets": (98.71, 90.0)},
        {},
        [("target_inside_costs", "exit_price_1", "warn")],
    ),
    "a split entry pays no slippage": (
        LONG | {"targets": (100.21,), "invest_entry_min": 50, "invest_entry_max": 50},
        {},
        [],
    ),
    "version 1 has its own names": (
        LONG | {"version": 1, "targets": (100.1,)},
        {},
        [("target_inside_costs", "sell_price_1", "warn")],
    ),
    "entry below the minimum": (
        LONG | {"invest": 3.0},
        {"market": DEAR},
        [("entry_below_minimum", "entry_price_max", "warn")],
    ),
    "one part of a split below the minimum": (
        LONG | {"invest_entry_min": 20, "invest_entry_max": 80},
        {"market": DEAR},
        [("entry_below_minimum", "entry_price_min", "warn")],
    ),
    "target part below the minimum": (
        LONG | {"targets": (105.0, 110.0, 115.0)},
        {"market": DEAR},
        [("target_below_minimum", f"exit_price_{number}", "warn") for number in (1, 2)],
    ),
    "what remains is below the minimum": (
        LONG,
        {"market": DEAR, "profile": SubscriberProfile.anny(target_shares=(80, 20))},
        [("target_below_minimum", "exit_price_1", "warn")],
    ),
    "a target without a share is no finding": (
        LONG | {"targets": (105.0, 110.0, 115.0)},
        {"market": DEAR, "profile": SubscriberProfile.anny(target_shares=(50, 0, 50))},
        [],
    ),
    "all is sold at the first": (LONG, {"market": DEAR, "profile": SubscriberProfile.anny(take_profit_at=1)}, []),
    "ttl shorter than a candle": (
        LONG | {"ttl_buy_order": 3_599_999},
        {"timeframe": "1h"},
        [("ttl_short", "ttl_buy_order", "warn")],
    ),
    "ttl of a candle": (LONG | {"ttl_buy_order": 3_600_000}, {"timeframe": "1h"}, []),
    "invest over 100": (LONG | {"invest": 101.0}, {}, [("capital_over_100", "invest", "warn")]),
    "DCAs and rebuys over 100": (
        LONG | {"invest": 20.0},
        {"later": [Dca(REF, 98.0, 1.5), Rebuy(REF, 96.0, 97.0), Rebuy(REF, 96.0, 97.0, 31.0)]},
        [("capital_over_100", "invest", "warn")],
    ),
    "over the allocation limit": (
        LONG | {"invest": 20.0},
        {"later": [Dca(REF, 98.0, 1.5)], "profile": SubscriberProfile.anny(allocation_limit=49)},
        [("capital_over_limit", "invest", "warn")],
    ),
    "at the allocation limit": (
        LONG | {"invest": 20.0},
        {"later": [Dca(REF, 98.0, 1.5)], "profile": SubscriberProfile.anny(allocation_limit=50)},
        [],
    ),
    "DCA at the stop": (LONG, {"later": [Dca(REF, 95.0, 1.0)]}, [("dca_beyond_stop", "buy_price", "refuse")]),
    "DCA of a short at the stop": (
        SHORT,
        {"later": [Dca(REF, 104.0, 1.0)]},
        [("dca_beyond_stop", "buy_price", "refuse")],
    ),
    "DCA under a stop that was raised": (
        LONG,
        {"later": [UpdatePrices(REF, stop_loss=99.0), Cancel(REF), Dca(REF, 98.0, 1.0)]},
        [("dca_beyond_stop", "buy_price", "warn")],
    ),
    "DCA under a stop judged at the close, which one subscriber's profile does not decide": (
        LONG,
        {"later": [Dca(REF, 94.0, 1.0)], "profile": SubscriberProfile.anny(stop_trigger="close")},
        [("dca_beyond_stop", "buy_price", "refuse")],
    ),
    "DCA under every stop that may be in force": (
        LONG,
        {"later": [UpdatePrices(REF, stop_loss=94.0), UpdatePrices(REF, stop_loss=97.0), Dca(REF, 93.9, 1.0)]},
        [("dca_beyond_stop", "buy_price", "refuse")],
    ),
    "DCA under the create's stop, which a lower one replaced": (
        LONG,
        {"later": [UpdatePrices(REF, stop_loss=93.0), Dca(REF, 94.0, 1.0)]},
        [],
    ),
    "a trailing pair the wrong way round": (
        LONG,
        {"later": [TrailingStop(REF, 96.0, 97.0)]},
        [("trailing_pair", "trailing_stop_limit_price", "refuse")],
    ),
    "no time to live": (LONG, {"timeframe": "1h"}, [("ttl_missing", "ttl_buy_order", "warn")]),
    "an update that changes nothing": (
        LONG,
        {"later": [UpdatePrices(REF, stop_loss=96.0)] * 3 + [UpdatePrices(REF, exit_price_1=105.0)]},
        [("repeats", "stop_loss", "warn")],
    ),
    "a stop sent again after a trailing stop replaced it": (
        LONG,
        {"later": [TrailingStop(REF, 96.0, 95.0), UpdatePrices(REF, stop_loss=95.0)]},
        [],
    ),
    "rebuy under a trailing stop": (
        LONG,
        {"later": [TrailingStop(REF, 97.0, 96.0), Rebuy(REF, 96.0, 96.5)]},
        [("rebuy_beyond_stop", "buy_price_max", "warn")],
    ),
    "rebuy of a short": (
        SHORT,
        {"later": [Rebuy(REF, 103.0, 105.0), Rebuy(REF, 104.0, 105.0)]},
        [("rebuy_beyond_stop", "buy_price_min", "refuse")],
    ),
    "DCA beyond liquidation": (
        LONG | TEN | {"stop_loss": None},
        {"later": [Dca(REF, 90.0, 1.0)]},
        [("no_stop", "stop_loss", "warn"), ("dca_beyond_liquidation", "buy_price", "warn")],
    ),
    "a nearer DCA lowers the liquidation": (
        LONG | TEN | {"stop_loss": None},
        {"later": [Dca(REF, 95.0, 2.0), Dca(REF, 90.0, 1.0)]},
        [("no_stop", "stop_loss", "warn")],
    ),
    "DCA below the minimum": (
        LONG,
        {"later": [Dca(REF, 98.0, 0.3)], "market": DEAR},
        [("dca_below_minimum", "buy_price", "warn")],
    ),
    "a stop moved beyond the market": (
        LONG,
        {"later": [UpdatePrices(REF, stop_loss=101.0)], "prices": [101.0]},
        [("stop_wrong_side", "stop_loss", "warn")],
    ),
    "a stop that may trade at once": (
        LONG,
        {"later": [UpdatePrices(REF, stop_loss=101.0, allow_marketable=True)], "prices": [101.0]},
        [],
    ),
    "a tight trail": (
        LONG,
        {"later": [TrailingStop(REF, 98.5, 98.0)], "prices": [100.0], "median_range": 0.008},
        [("trail_tight", "trailing_stop_price", "warn")],
    ),
    "a tight trail with detail candles": (
        LONG,
        {"later": [TrailingStop(REF, 98.5, 98.0)], "prices": [100.0], "median_range": 0.008, "has_detail": True},
        [],
    ),
    "a wide trail": (
        LONG,
        {"later": [TrailingStop(REF, 98.4, 98.0)], "prices": [100.0], "median_range": 0.0079},
        [],
    ),
    "a trail behind its take profit": (
        LONG,
        {"later": [TakeProfit(REF, "limit", 50.0, 106.0, None, 105.0, 104.0)], "median_range": 0.005},
        [("trail_tight", "trailing_stop_price", "warn")],
    ),
    "a trail behind its rebuy": (
        SHORT,
        {"later": [Rebuy(REF, 101.0, 102.0, 1.0, 101.5, 103.0)], "median_range": 0.005},
        [("trail_tight", "trailing_stop_price", "warn")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "context", "expected"), ROWS.values(), ids=ROWS)
def test_each_rule_finds_what_breaks_it(
    fields: dict[str, Any], context: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    found = CreateSignal(**fields).lint(**{"market": MARKET, "profile": ANNY, **context})
    assert [(one.code, one.field, one.severity) for one in found] == expected
    assert all(one.field in one.sentence and not one.sentence.endswith(".") for one in found)


def test_a_call_that_nobody_could_take_is_explained() -> None:
    with pytest.raises(InvalidSignalError, match="below 100, was 50"):
        TakeProfit(REF, "market", 50.0)
    (found,) = CreateSignal(**LONG | {"stop_loss": 100.5}).lint(MARKET, ANNY)
    assert (found.code, found.field, found.severity) == ("stop_wrong_side", "stop_loss", "refuse")
    assert found.sentence == "stop_loss of a long lies below its far entry bound 99.0, was 100.5"


def test_live_refuses_a_signal_without_a_stop_unless_it_says_so() -> None:
    naked = CreateSignal(**LONG | {"stop_loss": None})
    assert [one.code for one in lint_refusals(naked, MARKET, ANNY)] == ["no_stop"]
    assert "allow_no_stop=True" in lint(naked, MARKET, ANNY)[0].sentence
    assert lint_refusals(CreateSignal(**LONG | {"stop_loss": None, "allow_no_stop": True}), MARKET, ANNY) == []
    assert lint_refusals(CreateSignal(**LONG | {"targets": (100.1,)}), MARKET, ANNY) == []
    refused = lint_refusals(CreateSignal(**LONG), MARKET, ANNY, later=[Dca(REF, 94.0, 1.0)])
    assert [one.code for one in refused] == ["dca_beyond_stop"]


def series(n: int = 20) -> Candles:
    flat = np.full(n, 100.0)
    return Candles("BTC/USDT", "1h", 3_600_000 * np.arange(n), flat, flat + 1.0, flat - 1.0, flat, np.ones(n))


def calls(n: int, fields: dict[str, Any], *later: Call) -> list[LoggedCall]:
    creates = [LoggedCall(3_600_000 * (k + 1), CreateSignal(**fields | {"ref": SignalRef(f"s{k}")})) for k in range(n)]
    return [*creates, *(LoggedCall(3_600_000 * 5, call) for call in later)]


def test_a_run_tells_each_kind_once_with_its_count() -> None:
    later = TrailingStop(SignalRef("s2"), 97.0, 96.0)
    result = replay_calls(calls(3, LONG | {"stop_loss": None, "targets": (100.2, 110.0)}, later), series())
    told = [sentence for sentence in result.tables.warnings if sentence.startswith("Lint")]
    assert told[0].startswith("Lint (warn, no_stop): 3 signals, the first s0: stop_loss is missing")
    assert told[1].startswith("Lint (warn, target_inside_costs): 3 signals, the first s0: exit_price_1 100.2 lies")
    assert told[2].startswith("Lint (warn, trail_tight): 1 signal s2: trailing_stop_price 97 trails 3.00% behind 100")
    assert told[3].startswith("Lint (warn, ttl_missing): 3 signals, the first s0: ttl_buy_order is missing")
    assert len(told) == 4


def test_twins_and_calls_before_their_create_are_told() -> None:
    create = CreateSignal(**LONG | {"ttl_buy_order": 3_600_000})
    at = 3_600_000 * 5
    log = [
        LoggedCall(at, replace(create, ref=SignalRef("a"), attachment_description="ref:0123456789ab")),
        LoggedCall(at, replace(create, ref=SignalRef("b"), attachment_description="ref:ba9876543210")),
        LoggedCall(at, replace(create, ref=SignalRef("c"), invest=11.0)),
        LoggedCall(at + 1, replace(create, ref=SignalRef("d"))),
        LoggedCall(at - 1, UpdatePrices(SignalRef("a"), stop_loss=96.0)),
    ]
    told = lint_sentences([Decision(one.at, one.call) for one in log], histories_of(series()), ANNY)
    assert told == [
        "Lint (warn, before_create): 1 signal a: 1 call was sent before the create, the first a UpdatePrices: it did nothing.",
        "Lint (warn, twins): 1 signal b: every field is that of a, made at the same close: a subscriber opens both.",
    ]


SIZED: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {
    "the dearer fee is inside the allocation": ({}, {"maker_fee": 0.01, "taker_fee": 0.002}, 1000.0 / 1.01),
    "whichever of the two it is": ({}, {"maker_fee": 0.002, "taker_fee": 0.01}, 1000.0 / 1.01),
    "leverage pays it on the notional": (TEN, {"maker_fee": 0.0, "taker_fee": 0.01}, 1000.0 / 1.1 * 10.0),
    "leverage on MARGIN too": (TEN | {"account": "MARGIN"}, {"maker_fee": 0.0, "taker_fee": 0.0}, 10_000.0),
    "none on SPOT": ({"leverage": 10.0}, {"maker_fee": 0.0, "taker_fee": 0.0}, 1000.0),
    "no more than the market has": (
        TEN | {"leverage": 99.0},
        {"maker_fee": 0.0, "taker_fee": 0.0},
        20_000.0,
    ),
}


@pytest.mark.parametrize(("fields", "profile", "notional"), SIZED.values(), ids=SIZED)
def test_what_a_percent_buys(fields: dict[str, Any], profile: dict[str, Any], notional: float) -> None:
    sizing = Sizing(CreateSignal(**LONG | fields), MARKET, SubscriberProfile.anny(**profile))
    assert sizing.notional(10.0) == pytest.approx(notional, rel=1e-12)
    assert sizing.quantity(10.0, 100.0) == pytest.approx(notional / 100.0, abs=1e-8)


def test_an_order_of_nothing_is_too_small_without_any_minimum() -> None:
    sizing = Sizing(CreateSignal(**LONG), MARKET, ANNY)
    assert sizing.is_too_small(0.0, 100.0)
    assert not sizing.is_too_small(1e-8, 100.0)
    exact = Sizing(CreateSignal(**LONG), DEAR, ANNY)
    assert not exact.is_too_small(4.0, 100.0)  # at the minimum
    assert exact.is_too_small(3.99, 100.0)


@pytest.mark.parametrize(("least", "price"), [({"min_amount": 4.0}, 100.0), ({"min_cost": 400.0}, 100.0)])
def test_what_the_last_digits_lack_of_a_minimum_is_no_lack(least: dict[str, Any], price: float) -> None:
    sizing = Sizing(CreateSignal(**LONG), replace(MARKET, **least), ANNY)
    assert not sizing.is_too_small(4.0 * (1.0 - 5e-10), price)
    assert sizing.is_too_small(4.0 * (1.0 - 2e-9), price)


@pytest.mark.parametrize(("chosen", "numbers"), [(None, [1, 2, 3]), (2, [1, 2]), (1, [1]), ("4%", [1, 2, 3])])
def test_the_target_that_sells_all_is_the_last_that_counts(chosen: Any, numbers: list[int]) -> None:
    create = CreateSignal(**LONG | {"targets": (105.0, 110.0, 115.0)})
    parts = Sizing(create, MARKET, SubscriberProfile.anny(take_profit_at=chosen)).target_parts()
    assert [part[0] for part in parts] == numbers
    whole = Sizing(create, MARKET, ANNY).quantity(create.invest or 0.0, 100.0)
    assert sum(part[2] for part in parts) == pytest.approx(whole, abs=1e-7)


def test_many_signals_with_nothing_wrong_give_no_finding() -> None:
    decisions = [Decision(one.at, one.call) for one in calls(500, LONG | {"ttl_buy_order": 3_600_000})]
    assert lint_sentences(decisions, histories_of(series()), ANNY) == []
