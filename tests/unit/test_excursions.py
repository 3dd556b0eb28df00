"""How far a trade went against and for itself: single candles worked out by hand, and a whole run walked in plain loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import Candles, Dca, Market, Result, Strategy, SubscriberProfile, TrailingTakeProfit, run
from strategies.breakout import Breakout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from backtest import Call, Moment

HOUR = 3_600_000
ENTRIES = {"entered", "rebought", "dca_filled"}


class Once(Strategy):
    """One signal at the first close."""

    fields: Any = None
    dca: Any = None

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.position == 0:
            create = now.create(**{"invest": 10, **self.fields})
            yield create
            if self.dca is not None:
                yield Dca(create.ref, *self.dca)


def held(rows: list[Any], fields: dict[str, Any], **options: Any) -> Result:
    """Run one signal over hours that follow one flat candle at 100, without costs, in mode candle unless told."""
    table = np.array([(100.0, 100.0, 100.0, 100.0), *rows], np.float64).T
    time = 1_600_000_000_000 // HOUR * HOUR + HOUR * np.arange(len(rows) + 1)
    candles = Candles("BTC/USDT", "1h", time, table[0], table[1], table[2], table[3], np.ones(len(time)))
    dca = options.pop("dca", None)
    free: dict[str, Any] = {
        "maker_fee": 0.0,
        "taker_fee": 0.0,
        "slippage": 0.0,
        "stop_order": "market",
        "intrabar": "candle",
    }
    profile = SubscriberProfile(**free | options)
    futures = {"account": "FUTURES"} if fields.get("side") == "short" else {}
    return run(
        Once(fields=fields | futures, dca=dca), candles, market=Market("BTC/USDT"), profile=profile, checks="off"
    )


AT_OPEN = {"entry": (90.0, 110.0)}
CASES: dict[str, Any] = {
    "up-first: the high before the stop counts": (
        [(100, 103, 99, 101), (101, 104, 95, 96)],
        {"entry": (98.0, 110.0), "targets": [120.0], "stop_loss": 97.0}, {}, (97 / 100 - 1, 0.04),
    ),
    "down-first: the high after the stop does not": (
        [(100, 103, 99, 101), (101, 104, 95, 96)],
        {"entry": (98.0, 110.0), "targets": [120.0], "stop_loss": 97.0}, {"intrabar": "pessimistic"}, (97 / 100 - 1, 0.03),
    ),
    "a high before the entry does not count": (
        [(100, 105, 96, 97), (97, 99, 97, 98)],
        {"entry": {98.0: 100}, "targets": [120.0], "stop_loss": 90.0}, {}, (96 / 98 - 1, 99 / 98 - 1),
    ),
    "a high beyond the target does not count": (
        [(100, 104, 98, 103)], {**AT_OPEN, "targets": [112.0], "stop_loss": 80.0}, {"take_profit_at": "2%"}, (-0.02, 0.02),
    ),
    "a short is the mirror image": (
        [(100, 104, 95, 103), (103, 103, 100, 101)],
        {"entry": {102.0: 100}, "targets": [80.0], "stop_loss": 110.0, "side": "short"}, {}, (1 - 104 / 102, 1 - 100 / 102),
    ),
    "a stop in the gap: nothing after it counts": (
        [(100, 101, 99, 100), (95, 99, 90, 98)],
        {"entry": (98.0, 110.0), "targets": [120.0], "stop_loss": 97.0}, {}, (-0.05, 0.01),
    ),
    "a stop on the third leg: both extremes count": (
        [(100, 103, 96, 101)], {"entry": (95.0, 101.0), "targets": [102.5, 120.0], "stop_loss": 90.0},
        {"trailing_take_profit": TrailingTakeProfit(from_target=1, stop_to="distance", distance_percent=1.0)},
        (-0.04, 0.03),
    ),
    "a DCA moves the average": (
        [(100, 100, 96, 96), (96, 97, 90, 92)],
        {"entry": (98.0, 110.0), "targets": [130.0], "stop_loss": 80.0}, {"dca": (95.0, 1.0)},
        (90 / (20 / (10 / 100 + 10 / 95)) - 1, 0.0),
    ),
    "a range from above": (
        [(100, 103, 95, 96)], {"entry": (97.0, 98.0), "targets": [120.0], "stop_loss": 90.0}, {}, (95 / 98 - 1, 0.0),
    ),
    "a range from below": (
        [(100, 105, 99, 104)], {"entry": (102.0, 103.0), "targets": [120.0], "stop_loss": 90.0}, {}, (0.0, 105 / 102 - 1),
    ),
    "a range from below with slippage": (
        [(100, 105, 99, 104)], {"entry": (102.0, 103.0), "targets": [120.0], "stop_loss": 90.0}, {"slippage": 0.005},
        (0.0, 105 / 102.51 - 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_candle_by_hand(case: str) -> None:
    rows, fields, options, expected = CASES[case]
    result = held(rows, dict(fields), **options)
    moved = result.breakdowns.excursions
    assert len(moved) == 1
    assert (moved["mae"].item(), moved["mfe"].item()) == pytest.approx(expected, abs=1e-9)


def corners(row: Any, *, up_first: bool) -> list[float]:
    return (
        [row["open"], row["high"], row["low"], row["close"]]
        if up_first
        else [row["open"], row["low"], row["high"], row["close"]]
    )


def journey(row: Any, fills: list[Any], mode: str) -> tuple[list[float], list[float]]:
    """Return the corners of a candle in order, and the place of each fill between them.

    By colour in mode ``candle``; otherwise the journey on whose legs all fills lie, in the direction in which a long meets
    them: a target is sold at on the way up, everything else happens on the way down.
    """
    for up_first in [row["close"] < row["open"]] if mode == "candle" else [True, False]:
        path, places = corners(row, up_first=up_first), []
        for fill in fills:
            if not str(fill["leg"]).startswith("leg"):
                places.append(-0.5 if fill["leg"] == "gap" else 0.1)
                continue
            recorded = int(str(fill["leg"])[-1])
            legs = [1, 2, 3] if mode == "candle" else [recorded]
            places += [
                k - 0.5
                for k in legs
                if min(path[k - 1 : k + 1]) - 1e-9 <= fill["price"] <= max(path[k - 1 : k + 1]) + 1e-9
                and (path[k] > path[k - 1]) == (fill["kind"] == "target_hit")
            ][:1]
        if len(places) == len(fills):
            return path, places
    raise AssertionError("no journey has these fills")


def by_hand(result: Result) -> dict[tuple[str, int], tuple[float, float]]:
    """Walk each trade of a long-only run without slippage candle by candle, corner by corner."""
    rows = {int(row["time"]): row for row in result.tables.candles["BTC/USD"].to_dict("records")}
    times, fills = sorted(rows), result.tables.fills.to_dict("records")
    by_time: dict[int, list[Any]] = {}
    for fill in fills:
        by_time.setdefault(fill["time"], []).append(fill)
    found = {}
    for trade in result.tables.trades.to_dict("records"):
        end = trade["exit_time"] if not trade["open"] else times[-1]
        own = [fill for fill in fills if fill["signal"] == trade["signal"]]
        quantity = cost = 0.0
        low = high = 0.0
        for time in times[times.index(trade["entry_time"]) : times.index(end) + 1]:
            inside = by_time.get(time, [])
            path, places = journey(rows[time], inside, result.profile.intrabar)
            steps: list[tuple[float, Any]] = [(float(k), None) for k in range(4)]
            steps += [(place, fill) for place, fill in zip(places, inside, strict=True) if fill in own]
            for place, step in sorted(steps, key=lambda step: step[0]):
                price = path[int(place)] if step is None else step["price"]
                if quantity > 0.0:
                    low, high = min(low, price / (cost / quantity) - 1), max(high, price / (cost / quantity) - 1)
                if step is not None and step["kind"] in ENTRIES:
                    quantity, cost = quantity + step["quantity"], cost + price * step["quantity"]
                elif step is not None:
                    cost -= cost / quantity * step["quantity"]
                    quantity -= step["quantity"]
                    quantity = 0.0 if quantity < 1e-9 else quantity
        found[trade["signal"], trade["entry_time"]] = low, high
    return found


@pytest.mark.parametrize("intrabar", ["pessimistic", "candle"])
def test_a_whole_run_walked_in_plain_loops(intrabar: str, tmp_path: Path) -> None:
    profile = SubscriberProfile.anny(slippage=0.0, intrabar=intrabar)
    result = run(Breakout(lookback=24), Candles.sample("BTC/USD", "1h").slice(0, 3000), profile=profile, checks="off")
    result = Result.load(result.save(tmp_path / "run"))
    expected = by_hand(result)
    assert len(expected) > 40
    moved = result.breakdowns.excursions
    assert moved["exact"].all()
    for row, trade in zip(moved.to_dict("records"), result.tables.trades.to_dict("records"), strict=True):
        assert (row["mae"], row["mfe"]) == pytest.approx(expected[trade["signal"], trade["entry_time"]], abs=1e-9)
        if not trade["open"]:
            assert row["r"] == pytest.approx(trade["pnl"] / row["risk"])


def test_the_risk_is_the_distance_to_the_first_stop() -> None:
    rows = [(100.0, 101.0, 99.0, 100.0), (100.0, 100.0, 80.0, 85.0)]
    moved = held(rows, {**AT_OPEN, "targets": [120.0], "stop_loss": 85.0}).breakdowns.excursions
    assert moved["risk"].item() == pytest.approx(15.0 * 10.0)
    assert moved["r"].item() == pytest.approx(-1.0)


def test_without_a_stop_there_is_no_r() -> None:
    rows = [(100.0, 101.0, 99.0, 100.0), (100.0, 130.0, 99.0, 125.0)]
    result = held(rows, {**AT_OPEN, "targets": [120.0], "allow_no_stop": True})
    assert result.breakdowns.excursions["r"].isna().all()
    assert result.breakdowns.figures.loc["average_r", "reason"] == "no trade had a stop beyond its entry"


def test_finer_candles_are_walked_where_they_were_and_said_to_be_missing_where_not(tmp_path: Path) -> None:
    hours = Candles.sample("BTC/USD", "1h").slice(13, 4000)
    days = hours.resample("1d")
    result = run(Breakout(lookback=5), days, detail=hours, checks="off")
    fine = result.breakdowns.excursions
    coarse = Result.load(result.save(tmp_path / "run")).breakdowns.excursions
    assert fine["exact"].all()
    assert not coarse["exact"].any()
    assert (coarse["mae"] >= fine["mae"] - 1e-12).all()  # what is certain of days, never more than there was
    assert (coarse["mfe"] <= fine["mfe"] + 1e-12).all()
    assert (coarse["mae"] > fine["mae"]).any()
