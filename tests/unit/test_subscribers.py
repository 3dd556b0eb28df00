"""The same calls for many subscribers: each account is a run of its own, the draws are seeded, refusals are sentences."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import (
    Candles,
    CreateSignal,
    InvalidSettingError,
    Market,
    Result,
    Strategy,
    SubscriberProfile,
    TrailingTakeProfit,
    replay_calls,
    run,
)
from backtest.report.titled import render_tables
from backtest.runner.scenario import LoggedCall
from strategies.breakout import Breakout
from tests.command_line import backtest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from dataclasses import replace
    from pathlib import Path

    from backtest import Call, Moment
else:
    from dataclasses import replace

HOURS = Candles.sample("BTC/USD", "1h").slice(0, 2400)


@pytest.fixture(scope="module")
def result() -> Result:
    return run(Breakout(lookback=24), HOURS, checks="off")


@pytest.fixture(scope="module")
def saved(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return result.save(tmp_path_factory.mktemp("subscribers") / "run")


def replayed(result: Result, profile: SubscriberProfile, calls: list[LoggedCall] | None = None) -> Result:
    """Replay the calls of a result through the public door."""
    log = [LoggedCall(made.at, made.call) for made in result.calls] if calls is None else calls
    return replay_calls(log, HOURS, profile=profile)


def test_each_subscriber_is_a_replay_of_the_same_calls(result: Result) -> None:
    table: Any = result.subscribers(drawn=0).table.set_index("subscriber")
    profiles: dict[str, dict[str, Any]] = {
        "as in the result": {},
        "all at target 1": {"take_profit_at": 1},
        "half at target 1": {"target_shares": (50.0,)},
        "all at the last target": {"target_shares": (0.0,)},
        "trailing, to break-even": {"trailing_take_profit": TrailingTakeProfit(from_target=1, stop_to="break_even")},
        "stop on close": {"stop_trigger": "close"},
        "twice the fees": {"maker_fee": 0.002, "taker_fee": 0.002},
        "twice the slippage": {"slippage": 0.002},
        "one candle late": {"latency_ms": 3_600_000},
        "equity as basis": {"basis": "equity"},
    }
    for name, changes in profiles.items():
        other = replayed(result, SubscriberProfile.anny(**changes))
        row = table.loc[name]
        assert row["total_return"] == pytest.approx(other.total_return["pessimistic"], rel=1e-9), name
        assert row["max_drawdown"] == pytest.approx(other.stats["max_drawdown"], rel=1e-9), name
        for key in ("trades", "win_rate", "average_return", "fees"):
            assert row[key] == pytest.approx(other.stats[key], rel=1e-9), name
        assert row["refused"] == other.stats["signals_refused"], name
    assert table.loc["as in the result", "total_return"] == result.total_return["pessimistic"]
    assert table.loc["small balance", "reason"] == "no least order of the market is known: give min_cost"


def test_who_takes_no_stop_has_none(result: Result) -> None:
    bare = []
    for made in result.calls:
        call = made.call
        if isinstance(call, CreateSignal):
            bare.append(LoggedCall(made.at, replace(call, stop_loss=None, allow_no_stop=True)))
    other = replayed(result, SubscriberProfile.anny(), bare)  # the updates of this strategy move nothing but the stop
    table: Any = result.subscribers(drawn=0).table.set_index("subscriber")
    assert "stop_hit" not in set(other.trades["exit"])
    assert table.loc["no stop", "total_return"] == pytest.approx(other.total_return["pessimistic"], rel=1e-12)


def test_the_draws_are_seeded_and_their_quantiles_are_those_of_the_table(result: Result) -> None:
    one, again, other = (result.subscribers(drawn=8, seed=seed) for seed in (3, 3, 4))
    assert one.drawn_table.equals(again.drawn_table)
    assert not one.drawn_table.equals(other.drawn_table)
    gained = one.drawn_table["total_return"].to_numpy(np.float64)
    assert len(gained) == 8
    assert one.median == pytest.approx(float(np.median(gained)))
    assert one.tenth_percentile == pytest.approx(float(np.quantile(gained, 0.1)))


def test_what_a_choice_costs_is_the_difference_of_two_medians(result: Result) -> None:
    many = result.subscribers(drawn=30)
    drawn: Any = many.drawn_table
    assert len(many.costs) > 5
    assert many.costs["difference"].is_monotonic_increasing
    for row in many.costs.to_dict("records"):
        name, _, value = str(row["choice"]).partition(": ")
        own = drawn[name] == value
        assert row["subscribers"] == own.sum() >= 3
        with_it, without = drawn.loc[own, "total_return"].median(), drawn.loc[~own, "total_return"].median()
        assert row["difference"] == pytest.approx(float(with_it - without))
    named: Any = many.table.dropna(subset=["total_return"])
    dearest = named.loc[named["difference"].astype(float).idxmin(), "subscriber"]
    assert any(f"{dearest!r} costs most" in sentence for sentence in many.sentences)


def test_the_venue_s_figures_in_plain_words(result: Result) -> None:
    frame: Any = result.subscribers(drawn=0).marketplace
    for column, changes in (("backtested", {}), ("backtested, target 1", {"take_profit_at": 1})):
        other = replayed(result, SubscriberProfile.anny(**changes))
        closed = other.trades[~other.trades["open"]]
        share = closed["return"] * closed["invest"]
        days = (int(HOURS.close_time[-1]) - int(HOURS.time[0])) / 86_400_000
        worst = share.groupby(closed["exit_time"].dt.floor("D")).sum().min()
        expected = {
            "cumulative": share.sum(),
            "monthly_return": share.sum() / (days / (365 / 12)),
            "win_ratio": (closed["pnl"] > 0).mean(),
            "daily_drawdown": min(worst, 0.0),
            "signals": len(closed),
            "frequency": len(closed) / days,
            "reached": (closed["targets_hit"] > 0).mean(),
            "direct_losses": ((closed["targets_hit"] == 0) & (closed["pnl"] < 0)).mean(),
        }
        assert {key: float(frame.loc[key, column]) for key in expected} == pytest.approx(expected)


class Crowd(Strategy):
    """More at once than the account carries."""

    every: int = 24

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.position % self.every == 0:
            yield now.market(targets=[now.close * 1.02], stop_loss=now.close * 0.9, invest=40)


def test_aggregated_counts_the_signals_that_were_refused() -> None:
    crowded = run(Crowd(), HOURS, checks="off")
    assert crowded.stats["signals_refused"]
    frame: Any = crowded.subscribers(drawn=0).marketplace
    sent, closed = crowded.stats["signals_sent"] or 0, crowded.stats["trades"]
    assert frame.loc["signals", "backtested"] == closed
    assert frame.loc["signals", "aggregated"] > frame.loc["signals", "backtested"]
    alone = run(Crowd(), HOURS, profile=SubscriberProfile.anny(balance=10_000), checks="off")
    each = {str(made.signal): made for made in alone.calls if isinstance(made.call, CreateSignal)}
    assert len(each) == sent
    total = 0.0
    for made in each.values():  # one signal at a time has the balance for itself
        single = replay_calls([LoggedCall(made.at, made.call)], HOURS)
        closed_ones = single.trades[~single.trades["open"]]
        total += float((closed_ones["return"] * closed_ones["invest"]).sum())
    assert frame.loc["cumulative", "aggregated"] == pytest.approx(total, rel=1e-6)


def test_a_small_balance_cannot_sell_in_parts() -> None:
    market = Market("BTC/USD", tick="0.01", min_cost=10.0, coin="BTC", trade_market="USDT")
    result = run(Breakout(lookback=24), HOURS, market=market, checks="off")
    table: Any = result.subscribers(drawn=0).table.set_index("subscriber")
    balance = 1.5 * 10.0 * 100.0 / 10.0
    other = replay_calls(
        [LoggedCall(made.at, made.call) for made in result.calls], HOURS, market=market,
        profile=SubscriberProfile.anny(balance=balance),
    )  # fmt: skip
    assert table.loc["small balance", "total_return"] == pytest.approx(other.total_return["pessimistic"], rel=1e-9)
    assert table.loc["small balance", "difference"] != 0.0


def test_seconds_late_need_candles_that_show_them(result: Result) -> None:
    with pytest.raises(
        InvalidSettingError,
        match=r"a latency of 2 s cannot be told from another in 1h candles of BTC/USD: give detail candles",
    ):
        result.subscribers(latencies=[2_000, 30_000])
    assert result.subscribers(drawn=0, latencies=[7_200_000]).table["subscriber"].iloc[-1] == "2 h late"


def test_latencies_are_told_apart_where_detail_shows_them() -> None:
    days = HOURS.slice(13).resample("1d")
    result = run(Crowd(every=5), days, detail=HOURS, checks="off")
    many = result.subscribers(drawn=0, latencies=[3_600_000, 43_200_000])
    gained = many.table.set_index("subscriber")["total_return"]
    assert len({gained["as in the result"], gained["1 h late"], gained["12 h late"]}) == 3


def test_a_saved_result_says_what_it_has_not_kept(tmp_path: Path) -> None:
    days = HOURS.slice(13).resample("1d")
    result = run(Breakout(lookback=5), days, detail=HOURS, checks="off")
    loaded = Result.load(result.save(tmp_path / "run"))
    without = loaded.subscribers(drawn=0)
    assert without.sentences[-1].startswith("A saved result does not keep the 1h detail candles of BTC/USD")
    again = loaded.subscribers(drawn=0, detail=HOURS)
    assert again.missing == ""
    assert again.table.equals(result.subscribers(drawn=0).table)


def test_more_subscribers_by_name(result: Result) -> None:
    mine = SubscriberProfile.exchange(maker_fee=0.0, taker_fee=0.0)
    table: Any = result.subscribers({"me": mine}, drawn=0).table.set_index("subscriber")
    assert table.loc["me", "fees"] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drawn": -1}, "drawn is a whole number from 0 to 10,000, was -1"),
        ({"drawn": True}, "drawn is a whole number from 0 to 10,000, was True"),
        ({"seed": 0.5}, "seed is a whole number"),
        ({"latencies": [-5]}, "a latency is a whole number of ms of at least 0, was -5"),
        ({"min_cost": float("nan")}, "min_cost is an amount of quote currency of at least 0, was nan"),
        ({"detail": 3}, "detail is a Candles or those by symbol, was int"),
    ],
)
def test_bad_settings_are_one_sentence(result: Result, options: Any, message: str) -> None:
    with pytest.raises(InvalidSettingError, match=message):
        result.subscribers(**options)


def test_without_a_call_there_are_no_subscribers() -> None:
    class Silent(Strategy):
        def on_candle(self, now: Moment) -> Iterable[Call]:
            return ()

    with pytest.raises(InvalidSettingError, match="nothing was sent"):
        run(Silent(), HOURS.slice(0, 5), checks="off").subscribers()


def test_the_command_shows_the_tables_of_a_saved_run(saved: Path, tmp_path: Path) -> None:
    done = backtest("subscribers", saved, "--drawn", 5, "--seed", 1, "--min-cost", 10, "--out", tmp_path / "out")
    assert done.status == 0, done.err
    for words in (
        "As the venue shows it before one joins",
        "all at target 1",
        "5 drawn subscribers: median",
        "costs most",
    ):
        assert words in " ".join(done.out.split()), words
    assert "nan" not in done.out.lower()
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["choices.csv", "drawn.csv", "marketplace.csv", "subscribers.csv"]
    again = backtest("subscribers", saved, "--drawn", 5, "--seed", 1, "--min-cost", 10)
    assert again.out == done.out.replace(done.out[done.out.rindex("tables  ") :], "") or again.out in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere holds no result"),
        (["RUN", "--late", "2s"], "a latency of 2 s cannot be told from another in 1h candles"),
        (["RUN", "--late", "soon"], "timeframe was 'soon'"),
        (["RUN", "--drawn", "-3"], "drawn is a whole number"),
    ],
)
def test_the_command_refuses_in_one_sentence(saved: Path, arguments: list[str], message: str) -> None:
    done = backtest("subscribers", *[saved if one == "RUN" else one for one in arguments])
    assert done.status == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_narrow_terminal_breaks_heads_over_figures_and_no_words(result: Result) -> None:
    from rich.console import Console

    console = Console(width=80, record=True, file=StringIO())
    console.print(render_tables(result.subscribers(drawn=0).tables[:1]))
    lines = console.export_text().splitlines()
    assert any(line.split() == ["aggregated,", "backtested,"] for line in lines)
    assert any(line.split()[:1] == ["Cumulative"] for line in lines)
    assert max(map(len, lines)) <= 80
