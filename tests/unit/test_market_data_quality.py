"""What is odd about candles is found and told; what is not is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtest.errors import InvalidSettingError
from backtest.market_data.quality import Finding, check, compare, off_grid
from backtest.market_data.ranges import holes, joined, without
from backtest.model.candles import Candles

HOUR = 3_600_000
START = 1_704_067_200_000


def made(n: int = 100, timeframe: str = "1h", step: int = HOUR, **columns: Any) -> Candles:
    rise = np.asarray(np.arange(n) * 0.1, np.float64)
    usual = {"time": START + step * np.arange(n), "open": 100 + rise, "high": 101 + rise, "low": 99 + rise}
    return Candles("BTC/USDT", timeframe, **{**usual, "close": 100.5 + rise, "volume": np.ones(n), **columns})


def changed(name: str, row: int, value: float, n: int = 100) -> Candles:
    column = getattr(made(n), name).copy()
    column[row] = value
    return made(n, **{name: column})


def told(findings: list[Finding]) -> list[tuple[str, bool, int, int]]:
    return [(f.kind, f.serious, (f.time - START) // HOUR, f.count) for f in findings]


def test_sound_candles_give_no_finding() -> None:
    assert check(made()) == []
    assert check(made(0)) == []


@pytest.mark.parametrize(
    ("candles", "expected"),
    [
        (made(3, time=START + HOUR * np.array([0, 1, 5])), ("gap", True, 2, 3)),
        (made(3, time=START + HOUR * np.array([0, 1, 2]) + 60_000), ("misaligned", True, 0, 3)),
        (made(volume=np.r_[np.ones(97), np.zeros(3)]), ("zero volume", False, 97, 3)),
        (made(volume=np.r_[np.ones(90), np.zeros(10)]), ("zero volume", True, 90, 10)),
        (made(volume=np.zeros(100)), ("zero volume", False, 0, 100)),
        (changed("high", 40, 140.0), ("spike", True, 40, 1)),
        (changed("low", 40, 60.0), ("spike", True, 40, 1)),
    ],
)
def test_each_oddity_is_told_with_its_place_and_number(candles: Candles, expected: tuple[str, bool, int, int]) -> None:
    assert expected in told(check(candles))
    assert len(check(candles)) == 1


def test_days_that_begin_at_another_hour_have_a_grid_of_their_own() -> None:
    days = START + 24 * HOUR * np.arange(9)
    assert check(made(9, "1d", time=days + 16 * HOUR)) == []
    assert off_grid(made(9, "1d", time=days + 16 * HOUR)) == (0, 0)
    assert off_grid(made(9, "1d", time=days + 7_000)) == (9, 7_000)
    weeks = made(9, "1w", time=START + 7 * 24 * HOUR * np.arange(9) - 7_000)
    assert off_grid(weeks) == (9, 7_000)
    assert [(f.kind, f.count, f.text) for f in check(weeks)] == [
        ("misaligned", 9, "open off the grid of 1w, by up to 7 s")
    ]


def test_wicks_beside_each_other_are_a_market() -> None:
    high, low = made().high.copy(), made().low.copy()
    high[[39, 40]], low[[59, 60]] = 150.0, 50.0
    assert check(made(high=high, low=low)) == []


def test_a_volume_that_differs_by_a_little_is_told() -> None:
    fine = made(48)
    coarse = fine.resample("4h")
    volume = coarse.volume * (1.0 + np.where(np.arange(len(coarse)) == 3, 1e-4, 0.0))
    columns: dict[str, Any] = {name: getattr(coarse, name) for name in ("time", "open", "high", "low", "close")}
    other = Candles("BTC/USDT", "4h", **columns, volume=volume)
    assert told(compare(other, fine)) == [("differs", True, 12, 1)]
    assert compare(coarse, fine) == []
    assert told(compare(coarse, fine.slice(0, 4))) == [("not compared", False, 0, 11)]


def test_a_crash_is_no_spike() -> None:
    close = np.r_[np.full(50, 100.0), np.full(50, 60.0)]
    crash = made(open=close, high=close + 1, low=np.r_[close[:49] - 1, 59.0, close[50:] - 1], close=close)
    assert check(crash) == []


def minutes() -> Candles:
    return made(400, "15m", HOUR // 4)


def test_coarse_candles_made_of_the_fine_ones_agree() -> None:
    assert compare(minutes().resample("1h"), minutes()) == []


@pytest.mark.parametrize(
    ("name", "change", "kind"),
    [
        ("high", 1.0, "spike"),
        ("low", -1.0, "spike"),
        ("high", -0.1, "differs"),
        ("close", 0.1, "differs"),
        ("volume", 1.0, "differs"),
    ],
)
def test_a_difference_is_told_once_for_each_column(name: str, change: float, kind: str) -> None:
    coarse = minutes().resample("1h")
    column = getattr(coarse, name).copy()
    column[[7, 9]] += change
    columns = {n: getattr(coarse, n) for n in ("time", "open", "high", "low", "close", "volume")}
    wrong = Candles("BTC/USDT", "1h", **{**columns, name: column})
    assert told(compare(wrong, minutes())) == [(kind, True, 7, 2)]


def test_hours_without_all_their_quarters_are_not_compared() -> None:
    coarse, fine = minutes().resample("1h"), minutes().slice(6, 399)
    assert told(compare(coarse, fine)) == [("not compared", False, 0, 3)]
    assert told(compare(coarse, minutes().slice(0, 3))) == [("not compared", False, 0, 100)]
    with pytest.raises(InvalidSettingError, match="1h candles cannot be compared with 1h ones"):
        compare(coarse, coarse)


def test_ranges_are_joined_and_taken_out() -> None:
    assert joined([(5, 7), (0, 2), (2, 3), (6, 9), (4, 4)]) == [(0, 3), (5, 9)]
    assert without((0, 10), [(2, 3), (5, 20)]) == [(0, 2), (3, 5)]
    assert without((0, 10), [(-5, 0), (10, 12)]) == [(0, 10)]
    assert without((0, 10), [(0, 10)]) == []
    assert holes(np.array([0, 1, 5, 6, 9]), 1) == [(2, 5), (7, 9)]
