"""Corners of the kernel that a fault was planted in and no other test noticed, each with what the rules make of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agreement import disagreement
from tests.builders import HOUR, call, create, limit, scenario, story

pytestmark = pytest.mark.jit_off

STILL = (100, 100, 100, 100)


def holds(values: dict[str, Any], *told: str) -> None:
    """Assert what happens to the signal, and that the oracle says so, too."""
    assert disagreement(values) is None
    assert story(values) == [*told]


def test_an_entry_lives_at_the_open_a_millisecond_before_its_end() -> None:
    prices = [STILL, (90, 95, 90, 95)]
    one = create(targets=(120,), ttl_buy_order=HOUR + 1, **limit(90))
    holds(scenario(prices, one), "0 created", "1 entered: 11.111111 at 90", "open")
    one = create(targets=(120,), ttl_buy_order=HOUR, **limit(90))
    holds(scenario(prices, one), "0 created", "1 expired", "expired")


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
    ("invest", "told"), [(10, ["2 created", "2 entered: 9.9009901 at 101", "open"]), (10.005, ["2 refused", "refused"])]
)
def test_what_a_closed_signal_held_is_free_again_to_the_last_cent(invest: float, told: list[str]) -> None:
    prices = [STILL, (101, 101, 101, 101), (101, 101, 101, 101)]
    later = create(2, "s2", entry_price_max=101, invest=invest)
    values = scenario(prices, create(targets=(101,), invest=5), later, allocation_limit=10)
    assert disagreement(values) is None
    assert story(values, "s2") == told


@pytest.mark.parametrize("before", [3, 7, 40, 120])  # in each of the ways in which quiet candles are passed
@pytest.mark.parametrize(
    ("last", "told"), [((100, 100, 90, 100), "stop_hit: 10 at 90"), ((100, 120, 100, 100), "target_hit 1: 10 at 120")]
)
def test_a_level_is_met_where_a_candle_only_just_reaches_it(before: int, last: tuple[int, ...], told: str) -> None:
    values = scenario([*[STILL] * before, last, STILL], create(targets=(120,), stop_loss=90))
    holds(values, "0 created", "0 entered: 10 at 100", f"{before} {told}", f"{before} closed", "closed")
