"""The interval of the total return: lowest first, naming its mode where that is not the run's own (L2.3, L2.7)."""

from __future__ import annotations

import pytest

from backtest.report.headline import ambiguity
from backtest.report.interval import Interval
from tests.unit.test_report_tables import changed, sample_tables

CASES = {
    "the run's own is the lowest": ((-0.1, 0.0, 0.2), "pessimistic", "-10.00 % to +20.00 % (optimistic)"),
    "the run's own is the highest": ((-0.1, 0.0, 0.2), "optimistic", "-10.00 % (pessimistic) to +20.00 %"),
    "the run's own lies between": (
        (-0.1, 0.0, 0.2),
        "candle",
        "-10.00 % (pessimistic) to +20.00 % (optimistic), candle 0.00 %",
    ),
    "the pessimistic is the highest": ((0.16, 0.121, 0.13), "pessimistic", "+12.10 % (candle) to +16.00 %"),
    "two share a bound": ((-0.1, 0.2, 0.2), "pessimistic", "-10.00 % to +20.00 % (candle and optimistic)"),
    "the run's own shares a bound": ((0.2, 0.2, -0.1), "candle", "-10.00 % (optimistic) to +20.00 %"),
    "all agree": ((0.05, 0.05, 0.05), "candle", "+5.00 % in every reading of the candles"),
}


@pytest.mark.parametrize(("returns", "mode", "shown"), CASES.values(), ids=CASES)
def test_the_lowest_comes_first_and_other_modes_are_named(
    returns: tuple[float, float, float], mode: str, shown: str
) -> None:
    assert Interval(*returns).shown(mode) == shown


def test_modes_stand_in_the_order_of_their_returns() -> None:
    assert Interval(0.16, 0.121, 0.13).by_return == ["candle", "optimistic", "pessimistic"]
    assert Interval(0.16, 0.121, 0.13).bounds == (0.121, 0.16)


def test_digits_are_as_many_as_asked_for() -> None:
    assert Interval(0.0, 0.0, 0.00001234).shown("candle", digits=4) == "0.0000 % to +0.0012 % (optimistic)"


@pytest.mark.parametrize("candles", [0, 4])
def test_trailing_stops_tighter_than_the_candle_are_told_beside_the_interval(candles: int) -> None:
    counts = {"candles": candles, "trades": 2, "pnl_share": 0.1, "tight_candles": 1}
    said = ambiguity(changed(sample_tables(50), ambiguous=counts))
    assert said.endswith(
        "In 1 candle a trailing stop was closer than the candle is long: not even the interval is a bound there, and finer "
        "candles (detail) would decide."
    )
    assert "not even" not in ambiguity(changed(sample_tables(50), ambiguous={**counts, "tight_candles": 0}))
