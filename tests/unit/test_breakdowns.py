"""Every breakdown once more, from the saved fills and candles alone, by other code; and second opinions where they agree."""

from __future__ import annotations

import datetime as dt
import math
import statistics as plain
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from backtest import Candles, Dca, InvalidSettingError, Market, Rebuy, Result, Strategy, SubscriberProfile, run
from backtest.report.grouped import grouped
from backtest.report.titled import render_tables
from strategies.breakout import Breakout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from backtest import Call, Moment

ENTRIES = {"entered", "rebought", "dca_filled"}
DAY = 86_400_000


class Ladder(Strategy):
    """Long and short on futures with two targets, a DCA and a rebuy; every fifth expires unbought."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.signals or now.position % 20:
            return
        side = 1 if now.position % 40 else -1
        far = 0.75 if now.position % 100 == 0 else 1.0
        create = now.create(
            entry=now.close * (1 + side * 0.001) if far == 1.0 else {now.close * (1 - side * 0.25): 100},
            targets=[now.close * (1 + side * x) for x in (0.03, 0.08)],
            stop_loss=now.close * (1 - side * (0.12 if far == 1.0 else 0.4)), invest=25,
            side="long" if side > 0 else "short", account="FUTURES", leverage=2, ttl="2d",
        )  # fmt: skip
        yield create
        if far == 1.0:
            yield Dca(create.ref, now.close * (1 - side * 0.04), 1.5)
            low, high = sorted((now.close * (1 - side * 0.08), now.close * (1 - side * 0.09)))
            yield Rebuy(create.ref, low, high, invest=5)


@pytest.fixture(scope="module", params=["spot", "futures", "two symbols"])
def result(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A saved result, loaded again: nothing but tables."""
    if request.param == "spot":
        made = run(Breakout(lookback=24, invest=40), Candles.sample("BTC/USD", "1h").slice(0, 4000), checks="off")
    elif request.param == "futures":
        market = Market("BTC/USD", exchange="BINANCE", tick="0.01", max_leverage=10)
        days = Candles.sample("BTC/USD", "1d").between("2014-06-01", "2017-06-01")
        made = run(Ladder(), days, market=market, checks="off")
    else:
        series = {
            name: Candles.sample(name, "1d").between("2017-01-01", "2018-12-01") for name in ("BTC/USD", "ETH/USD")
        }
        made = run(Breakout(lookback=5, invest=30), series, checks="off")
    return Result.load(made.save(tmp_path_factory.mktemp("saved") / "run"))


def trades_again(result: Result) -> list[dict[str, Any]]:
    """Put the fills together into trades, first fill to flat, in plain loops."""
    living: dict[str, dict[str, Any]] = {}
    done = []
    for fill in result.tables.fills.to_dict("records"):
        enters = fill["kind"] in ENTRIES
        new = {
            "signal": fill["signal"],
            "symbol": fill["symbol"],
            "side": 1 if fill["buy"] == enters else -1,
            "entry": fill["time"],
        }
        trade = living.setdefault(
            fill["signal"], new | {"held": 0.0, "cost": 0.0, "cash": 0.0, "kinds": [], "realised": []}
        )
        value = fill["price"] * fill["quantity"]
        trade["cash"] += (-value if enters else value) * trade["side"] - fill["fee"]
        gain = 0.0
        if enters:
            trade["held"], trade["cost"] = trade["held"] + fill["quantity"], trade["cost"] + value
        else:
            mean = trade["cost"] / trade["held"]
            gain = trade["side"] * (fill["price"] - mean) * fill["quantity"]
            trade["held"], trade["cost"] = trade["held"] - fill["quantity"], trade["cost"] - mean * fill["quantity"]
        trade["kinds"].append((fill["kind"], fill["target"]))
        trade["realised"].append(gain)
        if trade["held"] < 1e-9 * fill["quantity"]:
            done.append(trade | {"exit": fill["time"], "by": fill["kind"]})
            del living[fill["signal"]]
    return done


def expected_group(trades: list[dict[str, Any]], key: str) -> dict[Any, tuple[int, float, float]]:
    found: dict[Any, list[float]] = {}
    for trade in trades:
        found.setdefault(trade[key], []).append(trade["cash"])
    return {label: (len(pnl), sum(one > 0 for one in pnl) / len(pnl), sum(pnl)) for label, pnl in found.items()}


def test_closed_trades_by_what_they_were(result: Result) -> None:
    trades = trades_again(result)
    assert len(trades) > 20
    weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    for trade in trades:
        entered = dt.datetime.fromtimestamp(trade["entry"] / 1000, dt.UTC)
        kinds = [kind for kind, _ in trade["kinds"]]
        trade |= {
            "weekday": weekdays[entered.weekday()],
            "hour": entered.hour,
            "long": "long" if trade["side"] > 0 else "short",
        }
        trade |= {"dca": kinds.count("dca_filled"), "rebuy": kinds.count("rebought")}
    apart: Any = result.breakdowns
    for frame, label, key in (
        (apart.by_exit, "exit", "by"), (apart.by_side, "side", "long"), (apart.by_symbol, "symbol", "symbol"),
        (apart.by_weekday, "weekday", "weekday"), (apart.by_hour, "hour", "hour"), (apart.by_dca, "fills", "dca"),
        (apart.by_rebuy, "fills", "rebuy"),
    ):  # fmt: skip
        expected = expected_group(trades, key)
        assert set(frame[label]) == set(expected)
        for row in frame.to_dict("records"):
            got = (row["trades"], row["win_rate"], row["pnl"])
            assert got == pytest.approx(expected[row[label]], rel=1e-6, abs=1e-6)
            pnl = [trade["cash"] for trade in trades if trade[key] == row[label]]
            lost = -sum(one for one in pnl if one < 0)
            if lost:
                assert row["profit_factor"] == pytest.approx(sum(one for one in pnl if one > 0) / lost, rel=1e-6)
            else:
                assert row["profit_factor"] is None or np.isnan(float(row["profit_factor"] or math.nan))
        assert frame["share"].sum() == pytest.approx(1.0)


def test_gains_and_losses_of_less_than_1_are_gains_and_losses() -> None:
    closed = pd.DataFrame(
        {
            "pnl": [0.5, -0.25, 0.75, 0.0],
            "return": [0.1, -0.1, 0.2, 0.0],
            "entry_time": [0] * 4,
            "exit_time": [3_600_000] * 4,
        }
    )
    by = grouped(closed, ["a", "a", "b", "b"], ["a", "b"], "side")
    assert by["profit_factor"].iloc[0] == 2.0
    assert pd.isna(by["profit_factor"].iloc[1])  # nothing was lost
    assert list(by["win_rate"]) == [0.5, 0.5]


def test_targets_by_number(result: Result) -> None:
    reached: dict[int, list[float]] = {}
    for trade in trades_again(result):
        for (kind, target), gain in zip(trade["kinds"], trade["realised"], strict=True):
            if kind == "target_hit":
                reached.setdefault(target, []).append(gain)
    frame: Any = result.breakdowns.by_target
    if result.trades["open"].any():
        frame = frame[:0] if not reached else frame
    assert frame["target"].tolist() == sorted(reached)
    if not result.trades["open"].any():
        assert frame["reached"].tolist() == [len(reached[target]) for target in sorted(reached)]
        assert frame["realised"].tolist() == pytest.approx(
            [sum(reached[target]) for target in sorted(reached)], rel=1e-6
        )


def test_winners_losers_and_streaks(result: Result) -> None:
    trades = sorted(trades_again(result), key=lambda trade: trade["exit"])
    apart: Any = result.breakdowns.winners_losers.set_index("trades_that")
    for label, some in (
        ("winners", [t for t in trades if t["cash"] > 0]),
        ("losers", [t for t in trades if t["cash"] < 0]),
    ):
        row = apart.loc[label]
        assert row["trades"] == len(some)
        assert row["average_pnl"] == pytest.approx(plain.mean(t["cash"] for t in some), rel=1e-6)
        assert row["average_holding"] == pytest.approx(plain.mean(t["exit"] - t["entry"] for t in some))
    closed = result.trades[~result.trades["open"]].sort_values("exit_time", kind="stable")
    told = "".join("w" if won else "l" for won in closed["pnl"] > 0)
    streaks: Any = result.breakdowns.streaks.set_index("streak")
    for label, letter, other in (("winners", "w", "l"), ("losers", "l", "w")):
        runs = [len(run) for run in told.split(other) if run]
        assert streaks.loc[label, ["runs", "longest", "average"]].tolist() == [len(runs), max(runs), plain.mean(runs)]
        assert streaks.loc[label, "now"] == (runs[-1] if told.endswith(letter) else 0)


def day_ends(result: Result) -> tuple[list[dt.date], list[float]]:
    """Return the UTC days and the equity at the end of each; a close at midnight belongs to the day before."""
    ends: dict[int, float] = {}
    for time, value in zip(result.tables.equity["time"], result.tables.equity["equity"], strict=True):
        ends[(int(time) - 1) // DAY] = float(value)
    known, days, values = result.profile.balance, [], []
    for day in range(min(ends), max(ends) + 1):
        known = ends.get(day, known)
        days.append(dt.date(1970, 1, 1) + dt.timedelta(days=day))
        values.append(known)
    return days, values


def test_months_come_from_equity(result: Result) -> None:
    days, values = day_ends(result)
    last: dict[tuple[int, int], float] = {}
    for day, value in zip(days, values, strict=True):
        last[day.year, day.month] = value
    before, expected = result.profile.balance, {}
    for key, value in last.items():
        expected[key], before = value / before - 1.0, value
    frame: Any = result.breakdowns.months
    got = {
        (int(row["of"]), 1 + k): float(value)
        for row in frame.to_dict("records")
        for k, value in enumerate(list(row.values())[1:13])
        if value is not None and not math.isnan(float(value))
    }
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-12)
    for row in frame.to_dict("records"):
        months = [1.0 + change for (year, _), change in expected.items() if year == row["of"]]
        assert row["year"] == pytest.approx(math.prod(months) - 1.0, rel=1e-9, abs=1e-12)


def test_the_worst_drawdowns_are_the_deepest_falls(result: Result) -> None:
    frame: Any = result.breakdowns.drawdowns
    assert frame["depth"].iloc[0] == pytest.approx(result.stats["max_drawdown"])
    assert frame["depth"].is_monotonic_increasing
    equity = result.equity
    for row in frame.to_dict("records"):
        high = result.profile.balance
        if row["high"] >= equity.index[0]:
            high = max(high, float(equity[: row["high"]].max()))
            assert float(equity[row["high"]]) == pytest.approx(high) or row["high"] == equity.index[0]
        end = row["regained"] if row["regained"] == row["regained"] else equity.index[-1]
        assert (equity[row["high"] : end].iloc[1:-1] <= high + 1e-9).all()
        if row["regained"] == row["regained"]:
            assert float(equity[row["regained"]]) >= high - 1e-9
        assert float(equity[row["low"]]) / high - 1.0 >= row["depth"] - 1e-12
        assert row["fell"] == (row["low"] - row["high"]).total_seconds() * 1000


def test_single_figures_in_plain_words(result: Result) -> None:
    figures: Any = result.breakdowns.figures["value"]
    pnl = [trade["cash"] for trade in trades_again(result)]
    won, lost = [one for one in pnl if one > 0], [-one for one in pnl if one < 0]
    days, values = day_ends(result)
    mine = [b / a - 1.0 for a, b in zip([result.profile.balance, *values], values, strict=False)]
    gains, losses = sum(one for one in mine if one > 0), -sum(one for one in mine if one < 0)
    equity, high, depths = [float(one) for one in result.equity], result.profile.balance, [0.0]
    for value in equity:
        if value >= high:
            high = value
            depths += [0.0] if depths[-1] < 0 else []
        else:
            depths[-1] = min(depths[-1], value / high - 1.0)
    falls = [one for one in depths if one < 0]
    traded = sum(fill["price"] * fill["quantity"] for fill in result.tables.fills.to_dict("records"))
    span = (result.tables.span[1] - result.tables.span[0]) / DAY
    expected = {
        "payoff": plain.mean(won) / plain.mean(lost),
        "sqn": math.sqrt(len(pnl)) * plain.mean(pnl) / plain.stdev(pnl),
        "omega": gains / losses,
        "average_drawdown": plain.mean(falls),
        "drawdown_count": len(falls),
        "turnover": traded / plain.mean(equity) / (span / 365.0),
    }
    assert len(days) > 90
    assert {key: figures[key] for key in expected} == pytest.approx(expected, rel=1e-5)


def test_a_second_opinion_where_definitions_agree(result: Result) -> None:
    import empyrical
    import pandas as pd
    import quantstats.stats as other

    from backtest.report.equity import hold_path

    days, values = day_ends(result)
    index = pd.DatetimeIndex(days)
    mine = pd.Series(values, index).pct_change().fillna(values[0] / result.profile.balance - 1.0)
    held = hold_path(result.tables)
    theirs = {(int(time) - 1) // DAY: float(value) for time, value in zip(held.time, held.close, strict=True)}
    market = pd.Series([theirs[(day - dt.date(1970, 1, 1)).days] for day in days], index)
    market = market.pct_change().fillna(market.iloc[0] / result.profile.balance - 1.0)
    figures: Any = result.breakdowns.figures["value"]
    greeks = other.greeks(mine, market, 365, prepare_returns=False)
    assert figures["beta"] == pytest.approx(greeks["beta"], rel=1e-9)
    assert figures["alpha"] == pytest.approx(greeks["alpha"], rel=1e-9)
    assert figures["beta"] == pytest.approx(empyrical.beta(mine, market), rel=1e-9)
    assert figures["omega"] == pytest.approx(empyrical.omega_ratio(mine, annualization=365), rel=1e-9)
    pnl = (
        result.trades.loc[~result.trades["open"]].sort_values("exit_time", kind="stable")["pnl"].reset_index(drop=True)
    )
    assert figures["payoff"] == pytest.approx(other.payoff_ratio(pnl, prepare_returns=False), rel=1e-9)
    streaks: Any = result.breakdowns.streaks.set_index("streak")["longest"]
    assert streaks["winners"] == other.consecutive_wins(pnl, prepare_returns=False)
    months: Any = other.monthly_returns(mine, eoy=False, prepare_returns=False)
    ours: Any = result.breakdowns.months.set_index("of")
    for year, row in months.iterrows():
        known = [(a, b) for a, b in zip(ours.loc[int(str(year))].iloc[:12], row, strict=True) if not pd.isna(a)]
        assert [float(a) for a, _ in known] == pytest.approx([float(b) for _, b in known], abs=1e-12)


def test_distributions_hold_every_trade_once(result: Result) -> None:
    apart, closed = result.breakdowns, result.trades[~result.trades["open"]]
    bins: Any = apart.returns
    assert bins["trades"].sum() == len(closed) == apart.holding["trades"].sum()
    assert len(bins) <= 14
    for row in bins.to_dict("records"):
        assert row["trades"] == ((closed["return"] >= row["low"]) & (closed["return"] < row["high"])).sum()
    assert (
        0.0 in [round(edge, 12) for edge in (*bins["low"], bins["high"].iloc[-1])]
        or (closed["return"] > 0).all()
        or (closed["return"] < 0).all()
    )
    spread: Any = apart.distribution.set_index("quantile")
    assert spread.loc[0.5, "return"] == pytest.approx(plain.median(closed["return"]))
    assert spread.loc[1.0, "pnl"] == closed["pnl"].max()


def test_exposure_by_month_averages_to_the_statistic(result: Result) -> None:
    frame: Any = result.breakdowns.exposure
    assert frame["entered"].sum() == len(result.trades)
    stamps = sorted({int(time) for table in result.tables.candles.values() for time in table["time"]})
    counts: dict[str, int] = {}
    for time in stamps:
        month = dt.datetime.fromtimestamp(time / 1000, dt.UTC).strftime("%Y-%m")
        counts[month] = counts.get(month, 0) + 1
    share = sum(row["held"] * counts[row["month"]] for row in frame.to_dict("records")) / len(stamps)
    assert share == pytest.approx(result.stats["exposure"])
    assert (frame["most_invested"] >= frame["invested"]).all()


def test_signals_that_bought_nothing_are_counted_from_the_events(result: Result) -> None:
    frame, stats = result.breakdowns.unfilled, result.stats
    counted = frame.groupby("became")["signals"].sum().to_dict()
    assert counted.get("expired", 0) == stats["signals_expired"]
    assert counted.get("refused", 0) == stats["signals_refused"]
    assert counted.get("pending", 0) == stats["signals_pending"]
    assert frame["signals"].sum() == (stats["signals_sent"] or 0) - (stats["signals_filled"] or 0)


def test_costs_are_walked_again(result: Result) -> None:
    frame: Any = result.breakdowns.costs.set_index("times")
    assert frame.index.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert frame.loc[1.0, "total_return"] == pytest.approx(result.total_return[result.profile.intrabar])
    assert frame.loc[1.0, "max_drawdown"] == pytest.approx(result.stats["max_drawdown"])
    assert frame.loc[1.0, "pnl"] == pytest.approx(sum(trade["cash"] for trade in trades_again(result)), rel=1e-6)
    assert frame.loc[0.0, "fees"] == 0.0
    assert frame["total_return"].is_monotonic_decreasing
    figures: Any = result.breakdowns.figures
    gain = frame.loc[0.0, "total_return"] * result.profile.balance
    if gain > 0:
        assert figures.loc["break_even_side", "value"] == pytest.approx(gain / frame.loc[0.0, "turnover"])
    else:
        assert figures.loc["break_even_side", "reason"] == "it loses even without costs"


def test_dearer_costs_are_those_of_a_run_with_them() -> None:
    hours = Candles.sample("BTC/USD", "1h").slice(0, 3000)
    base = run(Breakout(lookback=24), hours, checks="off")
    dear = SubscriberProfile.anny(maker_fee=0.002, taker_fee=0.002, slippage=0.002)
    again = run(Breakout(lookback=24), hours, profile=dear, checks="off")
    if [made.at for made in base.calls] == [made.at for made in again.calls]:  # the strategy saw the same fills
        assert base.breakdowns.costs["total_return"][2] == pytest.approx(again.total_return["pessimistic"])
    assert base.breakdowns.costs["total_return"][2] < base.breakdowns.costs["total_return"][1]


def test_entries_one_candle_late() -> None:
    hours = Candles.sample("BTC/USD", "1h").slice(0, 3000)
    result = run(Breakout(lookback=24), hours, checks="off")
    frame: Any = result.breakdowns.late.set_index("calls")
    later = run(Breakout(lookback=24), hours, profile=SubscriberProfile.anny(latency_ms=3_600_000), checks="off")
    assert frame.loc["as sent", "total_return"] == result.total_return["pessimistic"]
    assert frame.loc["all calls one candle late", "trades"] <= frame.loc["as sent", "trades"]
    assert len(later.trades) > 0


class Silent(Strategy):
    """Nothing, or one signal that is never bought, or one that stays open."""

    entry: float = 0.0

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if self.entry and now.position == 0:
            price = now.close * self.entry
            yield now.create(entry={price: 100}, targets=[price * 9], stop_loss=price * 0.01, invest=10)


@pytest.mark.parametrize("candles", [1, 2, 200])
@pytest.mark.parametrize("entry", [0.0, 0.2, 0.999], ids=["no call", "never bought", "only open"])
@pytest.mark.parametrize("balance", [1e-9, 10_000.0])
def test_next_to_nothing_makes_tables_without_nan(candles: int, entry: float, balance: float) -> None:
    series = Candles.sample("ETH/USD", "1d").slice(0, candles)
    named: Any = Candles(
        "币安人生/USDT", "1d", series.time, series.open, series.high, series.low, series.close, series.volume
    )
    result = run(Silent(entry=entry), named, profile=SubscriberProfile.anny(balance=balance), checks="off")
    shown = check_no_nan(result)
    assert "no trade was closed" in shown


def test_equity_that_is_gone_makes_tables_without_nan() -> None:
    class Gone(Strategy):
        def on_candle(self, now: Moment) -> Iterable[Call]:
            if now.position == 0:
                yield now.create(
                    entry=(now.close * 0.5, now.close * 2), targets=[now.close * 9], allow_no_stop=True, invest=100,
                    account="FUTURES", leverage=50, margin_type="ISOLATED",
                )  # fmt: skip

    series = Candles.sample("BTC/USD", "1d").between("2017-12-10", "2018-12-31")
    market = Market("BTC/USD", tick="0.01", max_leverage=100)
    result = run(Gone(), series, market=market, checks="off")
    assert float(result.equity.iloc[-1]) < 1.0
    check_no_nan(result)


def check_no_nan(result: Result) -> str:
    import pandas as pd
    from rich.console import Console

    apart: Any = result.breakdowns
    for table in apart.tables:
        for name, column in table.frame.items():
            assert not isinstance(column.dtype, np.dtype) or column.dtype.kind != "f" or np.isfinite(column).all(), name
            assert isinstance(column.dtype, pd.Float64Dtype) or "nan" not in [str(one) for one in column], name
    missing = apart.figures[apart.figures["value"].isna()]
    assert (missing["reason"] != "").all()
    console = Console(width=200, record=True, file=StringIO())
    console.print(render_tables(apart.tables))
    shown: str = console.export_text() + apart._repr_html_()
    assert not any(word in shown for word in ("nan", "NaN", "inf ", "<NA>", "NaT"))
    return shown


def test_a_hostile_name_stays_text() -> None:
    series = Candles.sample("ETH/USD", "1d").slice(0, 100)
    columns = (series.time, series.open, series.high, series.low, series.close, series.volume)
    result = run(Breakout(lookback=5), Candles("<img src=x onerror=alert(1)>/USDT", "1d", *columns), checks="off")
    assert len(result.trades) > 0
    assert "<img src=x" not in result.breakdowns._repr_html_()


def test_a_breakdown_is_found_by_name(result: Result) -> None:
    assert result.breakdowns.table("by_exit").title == "By exit"
    with pytest.raises(InvalidSettingError, match=r"no breakdown 'by_exits'.*by_exit, .*Did you mean"):
        result.breakdowns.table("by_exits")
    assert {"by_exit", "excursions", "months", "costs"} <= set(dir(result.breakdowns))


def test_a_saved_result_gives_the_same_tables(tmp_path: Path) -> None:
    made = run(Breakout(lookback=24), Candles.sample("BTC/USD", "1h").slice(0, 2000), checks="off")
    loaded = Result.load(made.save(tmp_path / "run"))
    for one, other in zip(made.breakdowns.tables, loaded.breakdowns.tables, strict=True):
        assert one.cells() == other.cells(), one.key


def test_a_narrow_terminal_breaks_no_figure_and_no_word(result: Result) -> None:
    from rich.console import Console

    for one in [*result.breakdowns.tables, *result.subscribers(drawn=4, min_cost=5).tables]:
        for width in (60, 80):
            console = Console(width=width, record=True, file=StringIO())
            console.print(render_tables([one]))
            below = console.export_text()
            assert max(map(len, below.splitlines())) <= width
            for row in one.cells(40):
                for k, cell in enumerate(row):
                    kept = [cell] if k in one.figures else cell.split()
                    assert all(part in below or len(part) > width // 2 for part in kept), (one.key, width, cell)
            heads = one.head if len(one.frame) else []
            assert all(word in below for name in heads for word in name.split() if len(word) < width // 2), one.key
