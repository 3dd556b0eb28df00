"""A run changes nothing outside itself, and says so where a strategy remembers what it may not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import PrivateAttr

from backtest import Candles, Field, InvalidSettingError, Market, Session, Strategy, SubscriberProfile, run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest import Call, Moment

HOUR = 3_600_000
COUNT = {"asked": 0}


def candles(n: int = 40) -> Candles:
    rng = np.random.default_rng(5)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, n)))
    opened = np.r_[100.0, close[:-1]]
    high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
    return Candles("BTC/USDT", "1h", HOUR * np.arange(n), opened, high, low, close, np.ones(n))


def a_create(now: Moment) -> Call:
    c = now.close
    return now.create(entry=(0.999 * c, c), targets=(1.02 * c,), stop_loss=0.98 * c, invest=5, ttl="2h")


class Remembering(Strategy):
    """Five signals at most, remembered in a private attribute and in a field that can change."""

    seen: list[int] = Field([])
    _made: int = PrivateAttr(default=0)

    def on_candle(self, now: Moment) -> Iterable[Call]:
        self.seen.append(now.time)
        if self._made < 5:
            self._made += 1
            yield a_create(now)


class Global(Strategy):
    """The same, remembered in the module."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        COUNT["asked"] += 1
        if COUNT["asked"] <= 3:
            yield a_create(now)


class SelfAttribute(Strategy):
    def on_candle(self, now: Moment) -> None:
        self.count = 1


class Lock(Strategy):
    _lock: Any = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        self._lock = threading.Lock()

    def on_candle(self, now: Moment) -> None:
        return None


def test_a_run_leaves_the_object_as_it_was_given() -> None:
    strategy = Remembering()
    first, second = run(strategy, candles()), run(strategy, candles())
    assert (strategy._made, strategy.seen) == (0, [])
    assert first.calls == second.calls
    assert len(first.calls) == 5
    assert first.total_return == second.total_return
    session = Session(strategy, candles(), market=Market("BTC/USDT"), profile=SubscriberProfile.anny())
    assert (strategy._made, strategy.seen) == (0, [])
    assert session.strategy.identity == strategy.identity


def test_passes_that_agree_say_nothing_of_state() -> None:
    result = run(Remembering(), candles())
    assert not any("state" in warning for warning in result.tables.warnings)


def test_a_strategy_that_remembers_between_passes_is_named_with_the_first_call_that_differs() -> None:
    COUNT["asked"] = 0
    result = run(Global(), candles())
    at = np.datetime64(result.calls[0].at, "ms")
    assert result.tables.warnings[0] == (
        f"Global keeps state: at the close of {at}Z, before any candle was ambiguous, it made CreateSignal "
        f"{result.calls[0].call.ref} in mode pessimistic and no call in mode candle; "  # type: ignore[union-attr]
        "no figure of this run can be relied on."
    )


def test_setting_an_attribute_is_refused_in_one_sentence() -> None:
    with pytest.raises(
        InvalidSettingError, match="SelfAttribute sets its own 'count' while it runs; a strategy keeps no"
    ):
        run(SelfAttribute(), candles())


def test_what_cannot_be_copied_is_refused() -> None:
    with pytest.raises(InvalidSettingError, match="Lock cannot be copied"):
        run(Lock(), candles())


class Holding(Strategy):
    level: Any = None

    def on_candle(self, now: Moment) -> None:
        return None


def test_a_parameter_that_is_no_plain_value_is_refused_in_one_sentence() -> None:
    with pytest.raises(InvalidSettingError, match="a parameter of Holding is no plain value") as caught:
        run(Holding(level=np.zeros(3)), candles())
    assert "\n" not in str(caught.value)


def test_a_field_without_a_type_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(
        InvalidSettingError, match="strategy Bare has a field that is none: lookback has no type"
    ) as caught:
        type("Bare", (Strategy,), {"lookback": 48, "__module__": __name__})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"fee": 0.001}, r"profile has no field 'fee'; .* Did you mean"),
        ({"maker_fee": 2.0}, r"profile maker_fee was 2.0: it should be less than 1"),
        ({"trailing_take_profit": {"from_target": 1}}, "profile trailing_take_profit.stop_to is missing"),
        ({"trailing_take_profit": {"from_target": 1, "stop": 1}}, "profile trailing_take_profit.stop"),
        ({"balance": "much"}, "profile balance was 'much'"),
    ],
)
def test_a_profile_is_refused_in_our_words(values: dict[str, Any], sentence: str) -> None:
    for make in (SubscriberProfile, SubscriberProfile.anny):
        with pytest.raises(InvalidSettingError, match=sentence):
            make(**values)
