"""Statistics against their definitions, and the cases in which they have none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from backtest.report import yearly
from backtest.report.daily import DAY, daily_equity
from backtest.report.equity import drawdowns, equity_path, hold_path, longest_drawdown
from backtest.report.metrics import exposure, statistics
from backtest.report.selection import SharpeSample
from tests.unit.test_report_tables import HOUR, START, TRADE_COLUMNS, changed, sample_tables

if TYPE_CHECKING:
    from backtest.report.tables import ResultTables

ROOT = Path(__file__).parents[2]


def curve(*values: float, step: int = DAY) -> ResultTables:
    """A run of one candle a step, whose equity at each close is given."""
    n = len(values)
    time = START + np.arange(n, dtype=np.int64) * step
    prices = {name: np.linspace(100.0, 110.0, n) for name in ("open", "high", "low", "close")}
    tables = sample_tables(2)
    manifest = {**tables.manifest, "candles": {"BTC/USDT": {"timeframe": "1d" if step == DAY else "1h"}}}
    frame = pd.DataFrame({"time": time, **prices, "volume": np.ones(n)})
    equity = pd.DataFrame({"time": time + step, "equity": np.array(values, float)})
    return replace(tables, manifest=manifest, candles={"BTC/USDT": frame}, equity=equity, trades=trades())


def trades(*rows: dict[str, Any]) -> pd.DataFrame:
    plain = {
        "signal": "s",
        "symbol": "BTC/USDT",
        "side": 1,
        "quantity": 1.0,
        "average_entry": 100.0,
        "average_exit": 101.0,
    }
    plain |= {"realised": 0.0, "fees": 1.0, "funding": 0.5, "margin": 100.0, "invest": 0.1, "exit": "stop_hit"}
    plain |= {"targets_hit": 0, "ambiguous": False, "open": False, "entry_time": START, "exit_time": START + HOUR}
    full = [{**plain, "return": row["pnl"] / 100.0, **row} for row in rows]
    return pd.DataFrame(full, columns=TRADE_COLUMNS).astype({"entry_time": "int64", "exit_time": "int64", "open": bool})


def test_a_day_ends_with_the_last_equity_known_by_midnight() -> None:
    time = np.array([START + HOUR, START + DAY, START + DAY + HOUR, START + 3 * DAY + HOUR])
    ends, values = daily_equity(time, np.array([1.0, 2.0, 3.0, 4.0]))
    assert (ends - START).tolist() == [DAY, 2 * DAY, 3 * DAY, 4 * DAY]
    assert values.tolist() == [2.0, 3.0, 3.0, 4.0]  # the day without candles carries


def test_ratios_by_their_formulas() -> None:
    rng = np.random.default_rng(4)
    values = 10_000.0 * np.exp(np.cumsum(rng.normal(0.0004, 0.01, 100)))
    stats = statistics(curve(*values))
    returns = values / np.r_[10_000.0, values[:-1]] - 1.0
    down = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2)) * np.sqrt(365.0)
    cagr = (values[-1] / 10_000.0) ** (365.0 / 100.0) - 1.0
    deepest = min(value / max(10_000.0, *values[: k + 1]) - 1.0 for k, value in enumerate(values))
    expected = {
        "final_equity": values[-1],
        "total_return": values[-1] / 10_000.0 - 1.0,
        "cagr": cagr,
        "volatility": returns.std(ddof=1) * np.sqrt(365.0),
        "sharpe": returns.mean() / returns.std(ddof=1) * np.sqrt(365.0),
        "sortino": returns.mean() * 365.0 / down,
        "calmar": cagr / -deepest,
        "max_drawdown": deepest,
    }
    assert {key: stats[key] for key in expected} == pytest.approx(expected)


def test_hourly_equity_is_judged_by_days() -> None:
    rng = np.random.default_rng(3)
    hourly = 10_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, 24 * 100)))
    by_hour, by_day = statistics(curve(*hourly, step=HOUR)), statistics(curve(*hourly[23::24]))
    for key in ("sharpe", "sortino", "volatility", "cagr"):
        assert by_hour[key] == by_day[key]
    deepest, calmar, cagr = (np.float64(by_hour[key] or 0.0) for key in ("max_drawdown", "calmar", "cagr"))
    assert deepest < np.float64(by_day["max_drawdown"] or 0.0)  # an hour is seen that midnight does not show
    assert calmar == pytest.approx(cagr / -deepest)


EQUAL, RISING = (10_000.0,) * 90, tuple(np.linspace(10_010.0, 12_000.0, 90).tolist())
UNDEFINED: dict[str, tuple[tuple[float, ...], str, str]] = {
    "89 days have no Sharpe ratio": (RISING[:89], "sharpe", "needs 90 days, had 89"),
    "one day has no yearly growth": ((10_100.0,), "cagr", "needs 90 days, had 1"),
    "89 days have no monthly return": (RISING[:89], "monthly_return", "needs 90 days, had 89"),
    "equal days have no Sharpe ratio": (EQUAL, "sharpe", "every day returned the same"),
    "no losing day, no Sortino ratio": (RISING, "sortino", "no day lost"),
    "no drawdown, no Calmar ratio": (RISING, "calmar", "there was no drawdown"),
    "growth beyond floats": ((*RISING[:89], 1e300), "cagr", "too large to compute"),
    "ruin has no ratios": ((10_000.0, 0.0, 5.0), "sharpe", "equity fell to 0 or below, and returns need it above"),
    "no candles": ((), "total_return", "no candles"),
}


@pytest.mark.parametrize(("values", "key", "reason"), UNDEFINED.values(), ids=UNDEFINED)
def test_what_is_not_defined_is_none_with_a_reason(values: tuple[float, ...], key: str, reason: str) -> None:
    row = statistics(curve(*values)).row(key)
    assert (row.value, row.reason, row.shown) == (None, reason, "n/a")


@pytest.mark.parametrize("values", [case[0] for case in UNDEFINED.values()], ids=UNDEFINED)
def test_every_statistic_is_finite_or_has_a_reason(values: tuple[float, ...]) -> None:
    for row in statistics(curve(*values)).rows:
        assert (row.value is None) == bool(row.reason), row
        assert row.value is None or np.isfinite(row.value)
        assert row.definition
        assert row.unit


def test_yearly_and_monthly_figures_need_ninety_days() -> None:
    short, long = (statistics(curve(*np.linspace(10_100.0, 9_000.0, n))) for n in (89, 90))
    yearly = ("cagr", "volatility", "sharpe", "sortino", "calmar", "monthly_return")
    assert [short[key] for key in yearly] == [None] * 6
    assert all(long[key] is not None for key in yearly)
    assert short["total_return"] == pytest.approx(-0.1)
    assert short["max_drawdown"] == pytest.approx(9_000.0 / 10_100.0 - 1.0)


@pytest.mark.parametrize(("closed", "note"), [(9, "under 10: says next to nothing"), (29, "under 30: says little")])
def test_few_trades_are_flagged(closed: int, note: str) -> None:
    assert statistics(replace(curve(10_000.0), trades=trades(*[{"pnl": 1.0}] * closed))).row("trades").note == note


def test_enough_trades_are_not_flagged() -> None:
    assert statistics(replace(curve(10_000.0), trades=trades(*[{"pnl": 1.0}] * 30))).row("trades").note == ""


def test_a_drawdown_from_the_start_counts() -> None:
    stats = statistics(curve(9_000.0, 9_500.0, 10_000.0, 9_999.0, 11_000.0))
    assert stats["max_drawdown"] == pytest.approx(-0.1)
    assert stats["longest_drawdown"] == 3 * DAY  # from the start to the close that is back at 10,000


@pytest.mark.parametrize("values", [(10_000.0, 0.0), (10_000.0, 0.0, 5.0), (10_000.0, -3.0)])
def test_where_nothing_is_left_the_drawdown_is_whole(values: tuple[float, ...]) -> None:
    row = statistics(curve(*values)).row("max_drawdown")
    assert (row.value, row.shown) == (-1.0, "-100.00 %")


def test_the_longest_drawdown_may_last_to_the_end() -> None:
    hours = HOUR * np.arange(1, 7)
    assert longest_drawdown(1.0, 0, hours, np.array([2.0, 1.0, 2.0, 1.0, 1.5, 1.9])) == 3 * HOUR
    assert longest_drawdown(1.0, 0, hours, np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])) == 6 * HOUR
    assert longest_drawdown(1.0, 0, hours[:0], np.array([])) == 0
    assert drawdowns(1.0, np.array([])).tolist() == []


def test_buy_and_hold_takes_equal_parts_from_the_first_open() -> None:
    tables = sample_tables(100, symbols=("BTC/USDT", "ETH/USDT"))
    late = tables.candles["ETH/USDT"].iloc[40:].reset_index(drop=True)
    tables = replace(tables, candles={**tables.candles, "ETH/USDT": late})
    btc, eth = (tables.candles[symbol] for symbol in tables.symbols)
    worth = [5_000.0 * btc["close"][0] / btc["open"][0] + 5_000.0]
    worth += [
        5_000.0 * btc["close"][i] / btc["open"][0] + 5_000.0 * eth["close"][i - 40] / eth["open"][0] for i in (40, 99)
    ]
    held = hold_path(tables)
    np.testing.assert_allclose(held.close[[0, 40, 99]], worth)
    lows = 5_000.0 * btc["low"][99] / btc["open"][0] + 5_000.0 * eth["low"][59] / eth["open"][0]
    assert held.worst[99] == pytest.approx(lows)


def test_buy_and_hold_stands_beside_the_account() -> None:
    row = statistics(curve(10_000.0, 10_100.0, 10_200.0)).row("total_return")
    assert (row.value, row.hold) == pytest.approx((0.02, 0.10))
    assert (row.shown, row.hold_shown) == ("+2.00 %", "+10.00 %")


def test_exposure_counts_candles_with_a_position() -> None:
    tables = curve(*[10_000.0] * 10, step=HOUR)
    spans = [(1, 2), (2, 3), (8, -1)]  # rows; -1 is still open
    rows = [
        {"pnl": 1.0, "entry_time": START + a * HOUR, "exit_time": START + b * HOUR if b > 0 else -1} for a, b in spans
    ]
    assert exposure(replace(tables, trades=trades(*rows))) == pytest.approx(0.5)  # rows 1, 2, 3, 8 and 9
    assert exposure(tables) == 0.0


def test_trades_are_judged_when_closed_and_open_ones_stand_apart() -> None:
    rows = trades(
        {"pnl": 30.0},
        {"pnl": -10.0, "exit_time": START + 3 * HOUR, "ambiguous": True},
        {"pnl": -5.0},
        {"pnl": 0.0},
        {"pnl": 500.0, "open": True, "exit_time": -1},
    )
    stats = statistics(replace(curve(10_000.0, 10_010.0), trades=rows))
    expected = {
        "trades": 4,
        "open_trades": 1,
        "win_rate": 0.25,
        "average_return": 0.0375,
        "weighted_return": 0.0375,
        "median_return": -0.025,
        "best_return": 0.3,
        "worst_return": -0.1,
        "profit_factor": 2.0,
        "expectancy": 3.75,
        "average_holding": 1.5 * HOUR,
        "fees": 5.0,
        "funding": 2.5,
        "ambiguous_trades": 1,
    }
    assert {key: stats[key] for key in expected} == pytest.approx(expected)


def test_no_trade_and_no_loss_have_reasons() -> None:
    none = statistics(curve(10_000.0, 10_000.0))
    assert none.row("win_rate").reason == none.row("profit_factor").reason == "no trade was closed"
    winner = statistics(replace(curve(10_000.0, 10_000.0), trades=trades({"pnl": 1.0})))
    assert winner.row("profit_factor").reason == "no closed trade lost"
    assert winner["profit_factor"] is None


def test_the_marketplace_adds_up_without_compounding() -> None:
    rows = trades(
        {"pnl": 10.0, "exit_time": START + 1},
        {"pnl": -20.0, "exit_time": START + DAY + 1},
        {"pnl": -10.0, "exit_time": START + DAY + HOUR},
        {"pnl": 40.0, "exit_time": START + 2 * DAY, "invest": 0.2},
        {"pnl": -90.0, "exit_time": -1, "open": True},
    )
    stats = statistics(replace(curve(*[10_000.0] * 146), trades=rows))  # 146 days are 4.8 months
    expected = {
        "cumulative": 0.01 - 0.02 - 0.01 + 0.08,
        "monthly_return": 0.06 / 4.8,
        "win_ratio": 0.5,
        "daily_drawdown": -0.03,
        "signals": 4,
        "frequency": 4 / 146,
    }
    assert {key: stats[key] for key in expected} == pytest.approx(expected)


def test_a_trade_that_made_nothing_is_no_win() -> None:
    stats = statistics(replace(curve(10_000.0), trades=trades({"pnl": 0.0}, {"pnl": 10.0})))
    assert stats["win_ratio"] == stats["win_rate"] == 0.5


def test_a_span_of_an_hour_has_a_frequency() -> None:
    hour = replace(curve(10_000.0, step=HOUR), trades=trades({"pnl": 1.0}))
    assert statistics(hour)["frequency"] == pytest.approx(24.0)
    none = statistics(replace(curve(), trades=trades()))
    assert (none["frequency"], none.row("frequency").reason) == (None, "no candles")


def test_the_smallest_loss_makes_a_profit_factor() -> None:
    stats = statistics(replace(curve(10_000.0), trades=trades({"pnl": 1.0}, {"pnl": -0.5})))
    assert stats["profit_factor"] == pytest.approx(2.0)


def test_an_open_trade_may_be_ambiguous_too() -> None:
    rows = trades({"pnl": 1.0}, {"pnl": 1.0, "open": True, "exit_time": -1, "ambiguous": True})
    assert statistics(replace(curve(10_000.0), trades=rows))["ambiguous_trades"] == 1


def test_buy_and_hold_is_always_in_the_market() -> None:
    stats = statistics(curve(10_000.0, 10_100.0))
    assert (stats.row("exposure").hold, stats.row("invested").hold) == (1.0, 1.0)
    none = statistics(curve())
    assert (none.row("exposure").hold, none.row("invested").hold) == (None, None)


def test_a_drawdown_at_a_low_counts_what_was_held_all_through() -> None:
    """Bought at 100 in the first candle, half sold in the third: lows of 90, 80 and 85."""
    n = 4
    time = START + HOUR * np.arange(n, dtype=np.int64)
    low = np.array([90.0, 80.0, 85.0, 60.0])
    flat = np.full(n, 100.0)
    frame = pd.DataFrame({"time": time, "open": flat, "high": flat, "low": low, "close": flat, "volume": np.ones(n)})
    fills = pd.DataFrame(
        [
            {"time": START, "kind": "entered", "buy": True, "quantity": 10.0},
            {"time": START + 2 * HOUR, "kind": "target_hit", "buy": False, "quantity": 6.0},
            {"time": START + 3 * HOUR, "kind": "stop_hit", "buy": False, "quantity": 4.0},
        ]
    ).assign(signal="s", symbol="BTC/USDT", price=100.0, fee=0.0, target=0, rule="L4.1", leg="gap")
    tables = replace(curve(*[10_000.0] * n, step=HOUR), candles={"BTC/USDT": frame}, fills=fills)
    path = equity_path(tables)
    assert path.worst.tolist() == [10_000.0, 9_800.0, 9_940.0, 10_000.0]
    assert path.invested.tolist() == [0.1, 0.1, 0.04, 0.0]
    assert statistics(tables)["max_drawdown"] == pytest.approx(-0.02)


def test_a_low_is_measured_from_the_highs_before_it() -> None:
    """The candle that closes at a new high fell before: from the old one."""
    close, worst = np.array([10_000.0, 11_000.0, 10_500.0]), np.array([10_000.0, 9_900.0, 10_450.0])
    depths = drawdowns(10_000.0, close, worst)
    assert depths.tolist() == pytest.approx([0.0, -0.01, 10_450.0 / 11_000.0 - 1.0])
    assert drawdowns(10_000.0, close).tolist() == pytest.approx([0.0, 0.0, 10_500.0 / 11_000.0 - 1.0])


def test_a_short_falls_at_the_highs() -> None:
    time = START + HOUR * np.arange(2, dtype=np.int64)
    flat, high = np.full(2, 100.0), np.array([150.0, 110.0])
    frame = pd.DataFrame({"time": time, "open": flat, "high": high, "low": flat, "close": flat, "volume": flat})
    fills = pd.DataFrame([{"time": START, "kind": "entered", "buy": False, "quantity": 10.0}]).assign(
        signal="s", symbol="BTC/USDT", price=100.0, fee=0.0, target=0, rule="L4.1", leg="gap"
    )
    tables = replace(curve(10_000.0, 10_000.0, step=HOUR), candles={"BTC/USDT": frame}, fills=fills)
    assert equity_path(tables).worst.tolist() == [10_000.0, 9_900.0]


def test_statistics_are_a_mapping_with_details() -> None:
    stats = statistics(sample_tables(400))
    assert dict(stats) == stats.to_dict()
    assert len(stats) == len(stats.rows)
    assert list(stats.groups) == ["Account", "Trades", "Signals", "Hold, scaled", "Marketplace"]
    with pytest.raises(KeyError):
        stats["sharp"]


def test_no_total_return_is_printed_without_its_interval() -> None:
    tables = sample_tables(400)
    shown = changed(tables, total_return={"pessimistic": -0.1, "candle": 0.0, "optimistic": 0.2})
    assert "Total return -10.00 % to +20.00 % (optimistic); the figures here are pessimistic." in repr(
        statistics(shown)
    )
    assert "the other two were not computed" in repr(statistics(changed(tables, total_return=None)))


def test_days_that_are_too_few_are_never_rounded_up_to_enough() -> None:
    hours = statistics(curve(*np.linspace(10_010.0, 12_000.0, 24 * 90 - 1), step=HOUR))
    assert hours.row("monthly_return").reason == "needs 90 days, had 89.9"


def test_importing_it_loads_no_heavy_library() -> None:
    heavy = {"empyrical", "pandas", "scipy", "matplotlib"}
    code = f"import sys, backtest.report.metrics; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_statistics_load_no_scipy() -> None:
    code = (
        "import sys; from tests.unit.test_metrics import curve; from backtest.report.metrics import statistics;"
        "assert statistics(curve(*range(10_000, 10_100)))['sharpe'] is not None;"
        "sys.exit(bool({'empyrical', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, cwd=ROOT).returncode == 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_second_opinion_on_the_figures_a_year_and_the_shape_of_returns() -> None:
    import empyrical
    from scipy import stats

    for seed in range(20):
        rng = np.random.default_rng(seed)
        returns = rng.standard_t(3, 90 + 40 * seed) * 0.02 + 0.001
        for ours, theirs in (
            (yearly.cagr, empyrical.cagr),
            (yearly.volatility, empyrical.annual_volatility),
            (yearly.sharpe, empyrical.sharpe_ratio),
            (yearly.sortino, empyrical.sortino_ratio),
        ):
            assert ours(returns) == pytest.approx(theirs(returns, annualization=365), rel=1e-12)
        sample = SharpeSample.of(returns)
        assert sample is not None
        assert sample.skew == pytest.approx(stats.skew(returns), rel=1e-12)
        assert sample.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-12)
