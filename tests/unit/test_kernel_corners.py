"""Corners of the kernel that a fault was planted in and no other test noticed, each with what the rules make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import (
    Call,
    Cancel,
    Candles,
    Event,
    EventKind,
    Indicators,
    Moment,
    SignalTable,
    Strategy,
    TrailingStop,
    run,
)
from tests.agreement import disagreement
from tests.builders import HOUR, call, create, limit, scenario, story

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

pytestmark = pytest.mark.jit_off

STILL = (100, 100, 100, 100)


def holds(values: dict[str, Any], *told: str) -> None:
    """Assert what happens to the signal, and that the oracle says so, too."""
    assert disagreement(values) is None
    assert story(values) == [*told]


def test_an_entry_lives_at_the_open_a_millisecond_before_its_end() -> None:
    prices = [STILL, (90, 95, 90, 95)]
    one = create(targets=(120,), ttl_buy_order=HOUR + 1, **limit(90))
    other = create(0, "s2", targets=(120,), ttl_buy_order=HOUR, **limit(90))
    values = scenario(prices, one, other)
    holds(values, "0 created", "1 entered: 11.111111 at 90", "open")
    assert story(values, "s2") == ["0 created", "1 expired", "expired"]


def test_a_trailing_stop_is_met_by_the_candle_that_moves_it() -> None:
    """The low of 101 is far above the stop at 98; only the high of 110 brings it to 107, where it is met (L8.4)."""
    prices = [STILL, STILL, (101, 101, 101, 101), (101, 110, 101, 104)]
    trail = call("trailingstop", 1, trailing_stop_price=97, trailing_stop_limit_price=90)
    holds(
        scenario(prices, create(targets=(130,)), trail),
        "0 created",
        "0 entered: 10 at 100",
        "1 stop_moved: 97",
        "2 stop_moved: 98",
        "3 trailing_hit: 10 at 107",
        "3 closed",
        "closed",
    )


@pytest.mark.parametrize(
    ("invest", "told"), [(6, ["2 created", "2 entered: 5.940594 at 101", "open"]), (6.005, ["2 refused", "refused"])]
)
def test_what_a_closed_signal_held_is_free_again_to_the_last_cent(invest: float, told: list[str]) -> None:
    prices = [STILL, (101, 101, 101, 101), (101, 101, 101, 101)]
    later = create(2, "s2", entry_price_max=101, invest=invest)
    held = create(0, "s0", invest=4)
    values = scenario(prices, held, create(targets=(101,), invest=5), later, allocation_limit=10)
    assert disagreement(values) is None
    assert story(values, "s2") == told


@pytest.mark.parametrize("before", [3, 7, 40, 120])  # in each of the ways in which quiet candles are passed
@pytest.mark.parametrize(
    ("last", "told"), [((100, 100, 90, 100), "stop_hit: 10 at 90"), ((100, 120, 100, 100), "target_hit 1: 10 at 120")]
)
def test_a_level_is_met_where_a_candle_only_just_reaches_it(before: int, last: tuple[int, ...], told: str) -> None:
    values = scenario([*[STILL] * before, last, STILL], create(targets=(120,), stop_loss=90))
    holds(values, "0 created", "0 entered: 10 at 100", f"{before} {told}", f"{before} closed", "closed")


def test_a_trailing_stop_of_a_short_is_met_by_the_candle_that_moves_it() -> None:
    prices = [STILL, STILL, (99, 99, 99, 99), (99, 99, 90, 96)]
    short = create(type="short", account="MARGIN", margin_type="ISOLATED", targets=(70,))
    trail = call("trailingstop", 1, trailing_stop_price=103, trailing_stop_limit_price=110)
    told = ["0 created", "0 entered: 10 at 100", "1 stop_moved: 103", "2 stop_moved: 102"]
    holds(scenario(prices, short, trail), *told, "3 trailing_hit: 10 at 93", "3 closed", "closed")


def test_a_trailing_stop_comes_onto_the_tick_away_from_the_price() -> None:
    """Three below 101.3 is 98.3: it stands at 98 where ticks are a half, so a low of 98.2 leaves it (L8.1)."""
    prices = [STILL, STILL, (101.3, 101.3, 101.3, 101.3), (101, 101, 98.2, 101), (101, 101, 98, 101)]
    trail = call("trailingstop", 1, trailing_stop_price=97, trailing_stop_limit_price=90)
    values = scenario(prices, create(targets=(130,)), trail, tick="0.5")
    told = ["0 created", "0 entered: 10 at 100", "1 stop_moved: 97", "2 stop_moved: 98"]
    holds(values, *told, "4 trailing_hit: 10 at 98", "4 closed", "closed")


class EachCandle(Strategy):
    """A market order at every close, out at the next high or low."""

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        """One row a candle; most find a signal that lives."""
        close = candles.close
        return SignalTable(
            at=np.arange(len(close)), entry_price_max=close * 1.01, targets=(close + 2,), stop_loss=close - 2, invest=5
        )

    def on_candle(self, now: Moment) -> Iterator[Call]:
        """The same, close by close."""
        if not now.signals:
            yield now.create(entry=now.close * 1.01, targets=(now.close + 2,), stop_loss=now.close - 2, invest=5)


def test_the_rows_of_two_markets_are_decided_as_close_by_close() -> None:
    steps = np.cumsum(np.random.default_rng(5).normal(0, 1, (2, 60)), axis=1)
    candles = {}
    for symbol, step in zip(("BTC/USDT", "ETH/USDT"), np.round(100 + steps, 2), strict=True):
        opened = np.r_[100.0, step[:-1]]
        high, low = np.maximum(opened, step) + 0.5, np.minimum(opened, step) - 0.5
        candles[symbol] = Candles(symbol, "1h", np.arange(60) * HOUR, opened, high, low, step, np.ones(60))
    table, asked = (run(EachCandle(), candles, lane=lane, checks="off") for lane in ("table", "candle"))
    assert len(table.trades) > 20
    assert table.calls == asked.calls
    assert table.trades.equals(asked.trades)
    assert table.equity.equals(asked.equity)


class Leaver(Strategy):
    """A trailing stop behind a market order, and out of it as soon as the stop stands at 101."""

    def triggers(self, candles: Candles, ind: Indicators) -> NDArray[np.bool_]:
        """At the first close."""
        found = np.zeros(len(candles), np.bool_)
        found[0] = True
        return found

    def on_candle(self, now: Moment) -> Iterator[Call]:
        """Begin."""
        one = now.create(entry=now.close, targets=(300,), stop_loss=90, invest=5)
        yield one
        yield TrailingStop(one.ref, trailing_stop_price=97, trailing_stop_limit_price=90)

    def on_event(self, now: Moment, event: Event) -> Iterator[Call]:
        """Leave."""
        if event.kind is EventKind.STOP_MOVED and event.price == 101:
            yield Cancel(event.signal)


@pytest.mark.parametrize("symbols", [("BTC/USDT",), ("BTC/USDT", "ETH/USDT")])
def test_an_event_is_told_at_the_close_that_brought_it(symbols: tuple[str, ...]) -> None:
    close = np.r_[100.0, 100.0, 101.0 + np.arange(30)]  # the stop is raised by each candle, three below
    candles = {
        symbol: Candles(symbol, "1h", np.arange(32) * HOUR, close, close, close, close, np.ones(32))
        for symbol in symbols
    }
    calls = run(Leaver(), candles, checks="off").calls
    assert [(made.at // HOUR, type(made.call).__name__) for made in calls] == [
        *[(1, "CreateSignal"), (1, "TrailingStop")] * len(symbols),
        *[(6, "Cancel")] * len(symbols),
    ]


def test_a_stop_may_be_moved_at_the_open_of_the_first_candle() -> None:
    """What is traded there is its open: a stop of 95 is below it (L1.3)."""
    change = call("updateprice", 0, entry_price_max=100, exit_price_1=120, stop_loss=95)
    values = scenario([STILL, (100, 100, 96, 100), (100, 100, 94, 94)], create(targets=(120,)), change)
    told = ["0 created", "0 updated", "0 entered: 10 at 100", "2 stop_hit: 10 at 95"]
    holds(values, *told, "2 closed", "closed")


class TwoTargets(Strategy):
    """One create at the first close."""

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        """Out at 102 and 104."""
        at = np.zeros(1, np.int64)
        return SignalTable(at=at, entry_price_max=101.0, targets=(102.0, 104.0, 110.0), stop_loss=90.0, invest=5)


def test_a_trade_counts_the_targets_that_it_hit() -> None:
    close = np.r_[100.0, 100.0, 103.0, 105.0, 80.0]
    candles = Candles("BTC/USDT", "1h", np.arange(5) * HOUR, close, close, close, close, np.ones(5))
    assert run(TwoTargets(), candles, checks="off").trades["targets_hit"].tolist() == [2]


@pytest.mark.parametrize(
    ("least", "told"),
    [
        ({"min_amount": "10"}, ["0 created", "0 entered: 10 at 100", "open"]),
        ({"min_amount": "10.00001"}, ["0 refused", "refused"]),
        ({"min_cost": "1000"}, ["0 created", "0 entered: 10 at 100", "open"]),
        ({"min_cost": "1000.01"}, ["0 refused", "refused"]),
    ],
)
def test_an_order_may_be_as_small_as_the_market_allows(least: dict[str, str], told: list[str]) -> None:
    holds(scenario([STILL, STILL], create(targets=(120,)), **least), *told)


def test_a_new_signal_is_at_risk_until_its_first_target() -> None:
    """Each risks 10 % of 10 %; two of them are above 1.5 % of the account (L14.2)."""
    first, second = create(targets=(120,), stop_loss=90), create(1, "s2", targets=(120,), stop_loss=90)
    values = scenario([STILL, STILL, STILL], first, second, risk_limit=1.5)
    assert disagreement(values) is None
    assert story(values, "s2") == ["1 refused", "refused"]


def test_a_target_before_the_entry_ends_a_signal_where_it_shall() -> None:
    prices = [STILL, (100, 121, 100, 100), (100, 100, 90, 95)]
    values = scenario(prices, create(targets=(120,), **limit(90)), assumptions={"cancel_if_target_first": True})
    holds(values, "0 created", "1 canceled", "canceled")
