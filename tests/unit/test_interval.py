"""The interval of the total return: lowest first, naming its mode where that is not the run's own (L2.3, L2.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backtest import Candles, Strategy, TrailingStop, run
from backtest.report.headline import ambiguity
from backtest.report.interval import Interval
from tests.unit.test_report_tables import changed, sample_tables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest import Call, Moment

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


class Tight(Strategy):
    """Trails its stop so close that a day is many times as long."""

    width: float = 0.005

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if not now.signals:
            yield now.create(entry=now.close * 1.01, targets=[now.close * 2], stop_loss=now.close * 0.8, invest=10)
        for signal in now.signals:
            if signal.open_quantity and not signal.trailing:
                stop = now.close * (1.0 - self.width)
                yield TrailingStop(signal.ref, stop, stop * 0.999)


def test_a_result_counts_candles_longer_than_a_trailing_distance_and_names_the_lowest_mode() -> None:
    days = Candles.sample("BTC/USD", "1d").between("2017-01-01", "2017-07-01")
    tight, wide = run(Tight(), days), run(Tight(width=0.6), days)
    assert tight.ambiguous["tight_candles"] > 50
    assert "not even the interval is a bound" in ambiguity(tight.tables)
    returns = tight.total_return
    assert min(returns, key=lambda mode: returns[mode]) == "candle"  # the mode called pessimistic is not the lowest
    assert "% (candle) to " in repr(tight)
    assert wide.ambiguous["tight_candles"] == 0
    assert "not even" not in ambiguity(wide.tables)
