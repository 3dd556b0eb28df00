"""What a result says of time that candles cannot show: latency, calls between two candles, funding that was not given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from backtest import Candles, Strategy, SubscriberProfile, replay_calls, run
from backtest.runner.scenario import logged_call
from tests.builders import HOUR, START, call, create

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backtest import Call, Moment, Result

DAY = 24


def flat(n: int = 10 * DAY, span: int = HOUR, timeframe: str = "1h") -> Candles:
    """Return candles at 100 that never move."""
    price = np.full(n, 100.0)
    return Candles("BTC/USDT", timeframe, START + np.arange(n) * span, price, price, price, price, price)


class Hold(Strategy):
    """Buys with the first candle and never sells."""

    def on_candle(self, now: Moment) -> Iterator[Call]:
        if not now.signals:
            yield now.create(entry=(99, 101), targets=[200], stop_loss=50, invest=10, account="FUTURES")


def said(result: Result, word: str) -> list[str]:
    return [one for one in result.tables.manifest["warnings"] if word in one]


@pytest.mark.parametrize(
    ("latency", "sentence"),
    [
        (0, None),
        (HOUR, None),
        (HOUR * 21 // 20, None),  # moved by less than a tenth
        (2_000, "A latency of 2 s cannot be seen in 1h candles (BTC/USDT): it was taken as 0; finer detail candles show it."),
        (HOUR // 2, "A latency of 30 min cannot be seen in 1h candles (BTC/USDT): it was taken as 1 h; finer detail candles show it."),
    ],
)  # fmt: skip
def test_a_latency_that_rounding_moved_is_said(latency: int, sentence: str | None) -> None:
    result = run(Hold(), flat(), profile=SubscriberProfile(latency_ms=latency))
    assert said(result, "latency") == ([] if sentence is None else [sentence])


def test_detail_candles_are_what_latency_is_rounded_to() -> None:
    profile = SubscriberProfile(latency_ms=15 * 60_000)
    assert said(run(Hold(), flat(), profile=profile), "latency")
    fine = flat(4 * 10 * DAY, HOUR // 4, "15m")
    assert not said(run(Hold(), flat(), profile=profile, detail=fine), "latency")


def test_calls_between_two_candles_are_counted() -> None:
    log = [create(), call("updateprice", 2 + 13 / 60, stop_loss=60), call("cancel", 4.5)]
    result = replay_calls([logged_call(f"call {k}", entry) for k, entry in enumerate(log)], flat())
    (sentence,) = said(result, "waited")
    assert sentence == (
        "2 of 3 calls of the log waited for the next open, 38 min 30 s in the middle and 47 min at most: their times are "
        "never rounded."
    )
    assert [(event.time - START) / HOUR for event in result.events if event.kind == "canceled"] == [5.0]


def rates(first: int, last: int, late: int = 3) -> np.ndarray:
    """Return a rate every eight hours, some ms late."""
    times = START + np.arange(8 * first, 8 * last, 8) * HOUR + late
    return np.column_stack([times, np.full(len(times), 0.0001)])


@pytest.mark.parametrize(
    ("first", "last", "share"),
    [(0, 31, None), (1, 31, None), (0, 15, "54 %"), (15, 31, "46 %")],
)
def test_funding_that_leaves_time_uncovered_is_said(first: int, last: int, share: str | None) -> None:
    sentences = said(run(Hold(), flat(), funding=rates(first, last)), "uncovered")
    if share is None:
        assert not sentences
        return
    (sentence,) = sentences
    assert sentence == (
        f"The funding rates of BTC/USDT leave {share} of the time uncovered in which FUTURES positions were open: funding "
        "was taken as 0 there."
    )


def test_a_hole_in_the_rates_is_uncovered() -> None:
    whole = rates(0, 31)
    (sentence,) = said(run(Hold(), flat(), funding=np.delete(whole, np.arange(10, 20), 0)), "uncovered")
    assert "leave 33 % of the time" in sentence
