"""A plan gives the same calls in a whole run, candle by candle, in both lanes and beside another market."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from backtest import (
    BreakEvenAt,
    Candles,
    DcaLadder,
    Event,
    EventKind,
    Market,
    Moment,
    MovingTarget,
    PercentBelowHighest,
    Plan,
    Session,
    SignalTable,
    Strategy,
    SubscriberProfile,
    TakeProfit,
    TimeStop,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest import Call, Decision, Indicators

HOUR = 3_600_000
MARKET = Market("BTC/USDT", tick="0.01")
PROFILE = SubscriberProfile.anny(slippage=0.0005)
PLANS = {
    "break-even": Plan(parts=(BreakEvenAt(target=1),)),
    "moving target": Plan(parts=(MovingTarget(from_target=1),)),
    "percent below highest": Plan(parts=(PercentBelowHighest(percent=1.5, step_percent=0.25),)),
    "time in candles": Plan(parts=(TimeStop(candles=7),)),
    "time in ms": Plan(parts=(TimeStop(milliseconds=5 * HOUR + 1),)),
    "ladder": Plan(parts=(DcaLadder(levels=3, step_percent=0.4, step_scale=1.3, size_scale=1.5),)),
    "all": Plan(
        parts=(
            BreakEvenAt(target=1),
            MovingTarget(),
            PercentBelowHighest(percent=2.5),
            TimeStop(candles=20),
            DcaLadder(levels=2, step_percent=0.5),
        )
    ),
}


class Crossing(Strategy):
    """Enter at every fifth candle, long or short, split now and then; the plan does the rest."""

    side: Literal["long", "short"] = "long"
    stacked: bool = False
    plan: Plan = Plan()

    def triggers(self, candles: Candles, ind: Indicators) -> Any:
        return np.arange(len(candles)) % 5 == 2

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.signals and not self.stacked:
            return
        s = 1 if self.side == "long" else -1
        near, far = now.close * (1 + 0.001 * s), now.close * (1 - 0.002 * s)
        targets = tuple(now.close * (1 + step * s) for step in (0.01, 0.02, 0.035))
        bounds = (min(near, far), max(near, far))
        yield now.create(entry=bounds, targets=targets, stop_loss=now.close * (1 - 0.02 * s), invest=4, side=self.side)


class CrossingTable(Crossing):
    """The same creates as columns."""

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        at = np.flatnonzero(self.triggers(candles, ind))
        close, s = candles.close[at], 1 if self.side == "long" else -1
        near, far = close * (1 + 0.001 * s), close * (1 - 0.002 * s)
        return SignalTable(
            at=at,
            entry_price_min=np.minimum(near, far),
            entry_price_max=np.maximum(near, far),
            targets=tuple(close * (1 + step * s) for step in (0.01, 0.02, 0.035)),
            stop_loss=close * (1 - 0.02 * s),
            invest=4,
            side=self.side,
            while_open="stack" if self.stacked else "skip",
        )


class Answering(Crossing):
    """A strategy that answers events itself beside its plan."""

    def on_event(self, now: Moment, event: Event) -> Iterable[Call]:
        if event.kind is EventKind.TARGET_HIT and event.target == 2 and event.open_quantity:
            yield TakeProfit(event.signal, "market", 100.0)


def walk(seed: int, n: int = 400, symbol: str = "BTC/USDT", minutes: int = 60, *, gaps: bool = False) -> Candles:
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.006, n)))
    opened = np.r_[100.0, close[:-1]]
    high = np.maximum(opened, close) * (1.0 + rng.uniform(0.0, 0.004, n))
    low = np.minimum(opened, close) * (1.0 - rng.uniform(0.0, 0.004, n))
    time = 60_000 * minutes * np.arange(n, dtype=np.int64)
    kept = rng.uniform(size=n) > (0.1 if gaps else -1.0)
    o, h, l, c = (column[kept].copy() for column in (opened, high, low, close))  # noqa: E741
    return Candles(symbol, "1h" if minutes == 60 else f"{minutes}m", time[kept], o, h, l, c, np.ones(len(o)))


def live(strategy: Strategy, candles: Candles, profile: SubscriberProfile = PROFILE) -> list[Decision]:
    """Return the calls of a session that is fed one candle at a time."""
    session = Session(strategy, candles.slice(0, 0), market=MARKET, profile=profile)
    rows = zip(
        *(getattr(candles, name).tolist() for name in ("time", "open", "high", "low", "close", "volume")), strict=True
    )
    return [decision for row in rows for decision in session.close(*row)]


def planned(decisions: list[Decision]) -> int:
    return sum(type(decision.call).__name__ != "CreateSignal" for decision in decisions)


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_run_and_a_session_send_the_same_calls(plan: Plan, side: Literal["long", "short"]) -> None:
    candles = walk(3, 120)
    for stacked in (False, True):
        strategy = Crossing(plan=plan, side=side, stacked=stacked)
        calls = run(strategy, candles, market=MARKET, profile=PROFILE).calls
        assert calls == live(strategy, candles)
        assert planned(calls) > 3


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_both_lanes_send_the_same_calls(plan: Plan) -> None:
    candles = walk(4, 120)
    for stacked in (False, True):
        table = CrossingTable(plan=plan, stacked=stacked)
        found = {lane: run(table, candles, market=MARKET, profile=PROFILE, lane=lane) for lane in ("table", "candle")}
        assert found["table"].calls == found["candle"].calls
        assert found["table"].equity.equals(found["candle"].equity)
        assert found["table"].calls == live(table, candles)


@pytest.mark.parametrize("latency", [0, 20 * 60_000, 90 * 60_000])
def test_gaps_and_latency_change_nothing_of_it(latency: int) -> None:
    profile = PROFILE.model_copy(update={"latency_ms": latency})
    candles = walk(5, 200, gaps=True)
    strategy = Crossing(plan=PLANS["all"], stacked=True)
    calls = run(strategy, candles, market=MARKET, profile=profile).calls
    assert calls == live(strategy, candles, profile)
    assert planned(calls) > 20


def test_a_strategy_may_answer_beside_its_plan() -> None:
    strategy, candles = Answering(plan=PLANS["all"], stacked=True), walk(6, 200)
    calls = run(strategy, candles, market=MARKET, profile=PROFILE).calls
    assert calls == live(strategy, candles)
    assert {"TakeProfit", "UpdatePrices", "Cancel", "Dca"} <= {type(decision.call).__name__ for decision in calls}


def test_a_prefix_of_the_candles_gives_a_prefix_of_the_calls() -> None:
    strategy, candles = Crossing(plan=PLANS["all"], stacked=True), walk(7, 300)
    calls = run(strategy, candles, market=MARKET, profile=PROFILE).calls
    for n in (1, 57, 111, 238, 299):
        prefix = run(strategy, candles.slice(0, n), market=MARKET, profile=PROFILE).calls
        assert prefix == [decision for decision in calls if decision.at <= int(candles.close_time[n - 1])]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_another_market_on_the_account_changes_nothing(plan: Plan) -> None:
    candles, other = walk(8, gaps=True), walk(9, symbol="ETH/USDT")
    strategy = Crossing(plan=plan)
    markets = {"BTC/USDT": MARKET, "ETH/USDT": Market("ETH/USDT", tick="0.01")}
    both = run(strategy, {"BTC/USDT": candles, "ETH/USDT": other}, market=markets, profile=PROFILE).calls
    for series in (candles, other):
        alone = run(strategy, series, market=markets[series.symbol], profile=PROFILE).calls
        mine = [d for d in both if (getattr(d.call, "ref", None) or d.call.signal).startswith(series.symbol)]  # type: ignore[union-attr]
        assert mine == alone


def test_detail_candles_leave_the_closes_of_a_plan_alone() -> None:
    fine = walk(10, n=2400, minutes=10)
    candles = fine.resample("1h")
    strategy = Crossing(plan=PLANS["time in candles"])
    calls = run(strategy, candles, market=MARKET, profile=PROFILE, detail=fine).calls
    assert planned(calls) > 3
    closes = set(candles.close_time.tolist())
    assert all(decision.at in closes for decision in calls)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_no_signal_gets_more_calls_than_its_plan_states(plan: Plan) -> None:
    calls = [d.call for d in run(Crossing(plan=plan, stacked=True), walk(11), market=MARKET, profile=PROFILE).calls]
    for create in calls:
        if type(create).__name__ == "CreateSignal":
            sent = sum(getattr(call, "signal", None) == create.ref for call in calls)  # type: ignore[union-attr]
            assert sent <= plan.most_calls(create)  # type: ignore[arg-type]
