"""A management plan is data: what each part wants, what is sent, and how often at most."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from backtest import (
    BreakEvenAt,
    Candles,
    DcaLadder,
    Event,
    EventKind,
    InvalidSettingError,
    Market,
    MovingTarget,
    PercentBelowHighest,
    Plan,
    SubscriberProfile,
    TimeStop,
    run,
)
from backtest.model.calls import Call, Cancel, CreateSignal, Dca, TakeProfit, TrailingStop, UpdatePrices
from backtest.model.events import Leg, SignalRef, Status
from backtest.model.rule import Rule
from backtest.model.signal import LiveSignal
from backtest.strategy import Moment, Strategy, plan_of
from strategies.managed_breakout import ManagedBreakout

if TYPE_CHECKING:
    from backtest.strategy.moment import View
    from backtest.strategy.plan import Part

HOUR = 3_600_000
REF = SignalRef("s1")
MARKET = Market("BTC/USDT", tick="0.01")
LONG = CreateSignal(
    coin="BTC", trade_market="USDT", exchange="BINANCE", invest=10, entry_price_min=99.0, entry_price_max=100.0,
    targets=(104.0, 108.0, None, 112.0), stop_loss=90.0, ref=REF,
)  # fmt: skip
SHORT = CreateSignal(
    coin="BTC", trade_market="USDT", exchange="BINANCE", invest=10, entry_price_min=100.0, entry_price_max=101.0,
    targets=(96.0, 92.0, 88.0), stop_loss=110.0, type="short", ref=REF,
)  # fmt: skip


def signal(create: CreateSignal = LONG, **changes: Any) -> LiveSignal:
    fields: dict[str, Any] = {
        "ref": create.ref,
        "symbol": "BTC/USDT",
        "side": create.side,
        "status": Status.OPEN,
        "stop": create.stop_loss,
        "trailing": False,
        "targets": create.targets,
        "average_entry": 100.0,
        "open_quantity": 1.0,
        "created": 0,
    }
    return LiveSignal(**fields | changes)


def moment(close: float, *living: LiveSignal, at: int = 1, gap: int = 1, create: CreateSignal = LONG) -> Moment:
    """Return the close of candle ``at``, which opened ``gap`` candles after the one before."""
    times = [k * HOUR for k in range(at)] + [(at - 1 + gap) * HOUR]
    desk = SimpleNamespace(
        market=MARKET,
        time=times,
        span=HOUR,
        columns={"close": [close] * (at + 1)},
        living=lambda: living,
        create_of=lambda _: create,
    )
    return Moment(cast("View", desk), at)


def hit(target: int, ref: SignalRef = REF) -> Event:
    return Event(0, ref, "BTC/USDT", EventKind.TARGET_HIT, 104.0, 1.0, 0.0, target, 100.0, 1.0, Leg.FIRST, Rule.L6_1)


def stop_of(part: Part, close: float, *events: Event, create: CreateSignal = LONG, **state: Any) -> float | None:
    calls = Plan(parts=(part,)).calls_for(moment(close, create=create), signal(create, **state), events)
    assert len(calls) <= 1
    return cast("UpdatePrices", calls[0]).stop_loss if calls else None


STOPS: dict[str, tuple[Part, float, list[int], dict[str, Any], float | None]] = {
    "break-even with fees": (BreakEvenAt(), 105.0, [1], {}, 100.2),
    "break-even without fees": (BreakEvenAt(include_fees=False), 105.0, [1], {}, 100.0),
    "break-even of a short": (BreakEvenAt(), 95.0, [1], {"create": SHORT}, 99.81),
    "break-even with fees of its own": (BreakEvenAt(fee=0.01), 105.0, [1], {}, 102.02),
    "another target": (BreakEvenAt(target=2), 105.0, [1], {}, None),
    "two targets in one candle": (BreakEvenAt(target=1), 109.0, [1, 2], {}, 100.2),
    "no target": (BreakEvenAt(), 105.0, [], {}, None),
    "the market is back already": (BreakEvenAt(), 100.2, [1], {}, None),
    "the stop is better already": (BreakEvenAt(), 105.0, [1], {"stop": 100.2}, None),
    "a ratchet is left alone": (BreakEvenAt(), 105.0, [1], {"trailing": True}, None),
    "nothing is bought": (BreakEvenAt(), 105.0, [1], {"status": Status.WAITING, "average_entry": None}, None),
    "without a stop": (BreakEvenAt(), 105.0, [1], {"stop": None}, 100.2),
    "the target before": (MovingTarget(), 109.0, [2], {}, 104.0),
    "a number left out": (MovingTarget(), 113.0, [4], {}, 108.0),
    "the highest of two": (MovingTarget(), 113.0, [2, 4], {}, 108.0),
    "not from there yet": (MovingTarget(), 105.0, [1], {}, None),
    "before the first lies the entry": (MovingTarget(from_target=1), 105.0, [1], {}, 100.0),
    "the target before, short": (MovingTarget(), 91.0, [2], {"create": SHORT}, 96.0),
    "percent below the near bound": (PercentBelowHighest(percent=5), 100.4, [], {}, 95.0),
    "percent below a step": (PercentBelowHighest(percent=5), 100.6, [], {}, 95.47),
    "percent below ten steps": (PercentBelowHighest(percent=5), 105.2, [], {}, 99.85),
    "a close under the entry": (PercentBelowHighest(percent=5), 96.0, [], {}, 95.0),
    "a close under the stop": (PercentBelowHighest(percent=5), 94.0, [], {}, None),
    "it never goes back": (PercentBelowHighest(percent=5), 101.0, [], {"stop": 99.85}, None),
    "percent above the lowest": (PercentBelowHighest(percent=5, step_percent=1), 98.0, [], {"create": SHORT}, 102.94),
    "it waits for the entry": (PercentBelowHighest(percent=5), 105.0, [], {"status": Status.WAITING}, None),
    "pending": (PercentBelowHighest(percent=5), 105.0, [], {"status": Status.PENDING}, None),
}


@pytest.mark.parametrize(("part", "close", "hits", "state", "expected"), STOPS.values(), ids=STOPS)
def test_each_part_moves_the_stop_as_it_says(
    part: Part, close: float, hits: list[int], state: dict[str, Any], expected: float | None
) -> None:
    assert stop_of(part, close, *(hit(number) for number in hits), **state) == expected


def test_the_best_stop_of_all_parts_is_one_call() -> None:
    plan = Plan(parts=(BreakEvenAt(target=2), MovingTarget(), PercentBelowHighest(percent=5)))
    assert plan.calls_for(moment(109.0), signal(), [hit(2)]) == [UpdatePrices(REF, stop_loss=104.0)]
    assert plan.calls_for(moment(103.9), signal(), [hit(2)]) == [UpdatePrices(REF, stop_loss=100.2)]
    assert plan.calls_for(moment(100.1), signal(), [hit(2)]) == [UpdatePrices(REF, stop_loss=95.0)]


@pytest.mark.parametrize("part", [TimeStop(candles=3), TimeStop(milliseconds=3 * HOUR)])
def test_time_is_over_once(part: TimeStop) -> None:
    plan = Plan(parts=(part,))
    cancels = [at for at in range(8) if plan.calls_for(moment(100.0, at=at), signal())]
    assert cancels == [2]  # created at the open of candle 0: over at the close of candle 2
    assert plan.calls_for(moment(100.0, at=2), signal()) == [Cancel(REF)]
    assert plan.calls_for(moment(100.0, at=2), signal(status=Status.WAITING)) == [Cancel(REF)]
    assert plan.calls_for(moment(100.0, at=2), signal(status=Status.PENDING)) == []


def test_time_that_runs_out_in_a_gap_or_at_the_first_candle_is_noticed() -> None:
    plan = Plan(parts=(TimeStop(candles=3),))
    assert plan.calls_for(moment(100.0, at=1, gap=9), signal()) == [Cancel(REF)]
    assert Plan(parts=(TimeStop(milliseconds=1),)).calls_for(moment(100.0, at=0), signal()) == [Cancel(REF)]


def test_a_plan_says_when_it_must_be_asked() -> None:
    both = Plan(parts=(TimeStop(candles=3), PercentBelowHighest(percent=5)))
    assert both.watches_closes
    assert both.asks_at([signal()], HOUR, HOUR) == HOUR + 1
    assert both.asks_at([signal(status=Status.WAITING)], HOUR, HOUR) == 3 * HOUR
    assert both.asks_at([signal(status=Status.WAITING)], 3 * HOUR, HOUR) is None
    assert both.asks_at([signal(status=Status.PENDING)], HOUR, HOUR) is None
    assert not Plan(parts=(BreakEvenAt(), MovingTarget(), DcaLadder(step_percent=1))).watches_closes


def prices(ladder: DcaLadder, create: CreateSignal = LONG) -> list[tuple[float, float]]:
    return [(round(dca.buy_price, 6), dca.multiplier) for dca in cast("list[Dca]", list(ladder.opening(create)))]


def test_a_ladder_has_levels_that_widen_and_grow() -> None:
    assert prices(DcaLadder(step_percent=2)) == [(97.02, 1.0), (95.04, 1.0), (93.06, 1.0)]
    scaled = DcaLadder(levels=3, step_percent=1, step_scale=2, size=0.5, size_scale=2)
    assert prices(scaled) == [(98.01, 0.5), (96.03, 1.0), (92.07, 2.0)]
    assert prices(DcaLadder(step_percent=2), SHORT) == [(103.02, 1.0), (105.04, 1.0), (107.06, 1.0)]


def test_levels_that_the_entry_covers_or_the_stop_hides_are_left_out() -> None:
    assert prices(DcaLadder(step_percent=4)) == [(95.04, 1.0), (91.08, 1.0)]
    assert prices(DcaLadder(prices=(99.5, 98.0, 90.0), size_scale=2)) == [(98.0, 2.0)]


def test_the_ladder_follows_its_create_and_nothing_else() -> None:
    plan = Plan(parts=DcaLadder(step_percent=4))
    returned: list[Call] = [LONG, Cancel(SignalRef("s0"))]
    assert [call.signal for call in cast("list[Dca]", plan.at_close(moment(100.0), returned, ()))] == [REF, REF]


LEFT: dict[str, tuple[list[Call], list[Call]]] = {
    "nothing returned": ([], [UpdatePrices(REF, stop_loss=100.2)]),
    "canceled at this close": ([Cancel(REF)], []),
    "stop moved at this close": ([UpdatePrices(REF, stop_loss=101.0)], []),
    "trailing from this close": ([TrailingStop(REF, 99.0, 98.0)], []),
    "targets moved at this close": ([UpdatePrices(REF, exit_price_2=109.0)], [UpdatePrices(REF, stop_loss=100.2)]),
    "another signal canceled": ([Cancel(SignalRef("s0"))], [UpdatePrices(REF, stop_loss=100.2)]),
    "profit taken": ([TakeProfit(REF, "market", 100.0)], [UpdatePrices(REF, stop_loss=100.2)]),
}


@pytest.mark.parametrize(("returned", "expected"), LEFT.values(), ids=LEFT)
def test_what_the_strategy_does_comes_first(returned: list[Call], expected: list[Call]) -> None:
    plan = Plan(parts=(BreakEvenAt(),))
    assert plan.at_close(moment(105.0, signal()), returned, [hit(1), hit(2, SignalRef("s0"))]) == expected


MOST = {
    "break-even": (BreakEvenAt(), LONG, 1),
    "break-even at the last target": (BreakEvenAt(target=4), LONG, 0),
    "break-even at a target that is not there": (BreakEvenAt(target=3), LONG, 0),
    "moving target": (MovingTarget(), LONG, 1),
    "moving target from the first": (MovingTarget(from_target=1), LONG, 2),
    "percent below highest": (PercentBelowHighest(percent=5, step_percent=1), LONG, 12),
    "percent above lowest": (PercentBelowHighest(percent=5, step_percent=4), SHORT, 4),
    "time": (TimeStop(candles=1), LONG, 1),
    "ladder": (DcaLadder(step_percent=4), LONG, 2),
}


@pytest.mark.parametrize(("part", "create", "most"), MOST.values(), ids=MOST)
def test_a_plan_states_how_many_calls_it_may_send(part: Part, create: CreateSignal, most: int) -> None:
    assert Plan(parts=(part,)).most_calls(create) == most


BROKEN: dict[str, Any] = {
    "two of a kind": lambda: Plan(parts=(BreakEvenAt(), BreakEvenAt(target=2))),
    "no time": TimeStop,
    "two times": lambda: TimeStop(candles=1, milliseconds=1),
    "no step": DcaLadder,
    "step and prices": lambda: DcaLadder(step_percent=1, prices=(1.0,)),
    "levels and prices": lambda: DcaLadder(levels=2, prices=(1.0,)),
    "a ladder into the ground": lambda: DcaLadder(levels=4, step_percent=25),
    "an unknown field": lambda: BreakEvenAt.model_validate({"targets": 1}),
    "no number": lambda: PercentBelowHighest(percent=float("nan")),
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_a_plan_that_means_nothing_cannot_be_made(make: Any) -> None:
    with pytest.raises(ValueError, match="validation error"):
        make()


def test_a_plan_is_a_parameter_like_any_other() -> None:
    plan = Plan(parts=(DcaLadder(prices=(90.0,)), TimeStop(candles=5)))
    strategy = ManagedBreakout(plan=plan)
    assert plan_of(strategy) == plan
    assert strategy.identity != ManagedBreakout().identity
    again = ManagedBreakout(**json.loads(json.dumps(strategy.parameters)))
    assert (again, again.identity) == (strategy, strategy.identity)
    with pytest.raises(InvalidSettingError, match=r"parameter plan\S* of ManagedBreakout"):
        ManagedBreakout(plan={"parts": [{"kind": "time_stops"}]})


def test_a_strategy_without_parts_has_no_plan() -> None:
    assert plan_of(ManagedBreakout(plan=Plan())) is None
    assert plan_of(Strategy()) is None


class Buy(Strategy):
    """Buy once, at the first close."""

    plan: Plan = Plan()

    def on_candle(self, now: Moment) -> Any:
        if now.position == 0:
            yield now.create(entry=100.0, targets=(104.0, 108.0), stop_loss=90.0, invest=10)


def candles(*rows: tuple[float, float, float, float]) -> Candles:
    o, h, l, c = np.array(rows, np.float64).T.copy()  # noqa: E741
    return Candles("BTC/USDT", "1h", HOUR * np.arange(len(rows)), o, h, l, c, np.ones(len(rows)))


PROFILE = SubscriberProfile.exchange(maker_fee=0.001, taker_fee=0.001, stop_order="market")
FLAT = (100.0, 100.0, 100.0, 100.0)


def told(plan: Plan, *rows: tuple[float, float, float, float]) -> list[tuple[str, float | None]]:
    result = run(Buy(plan=plan), candles(FLAT, FLAT, *rows), market=MARKET, profile=PROFILE)
    return [(event.kind.value, event.price) for event in result.events][2:]


def test_break_even_loses_nothing_after_fees() -> None:
    events = told(Plan(parts=BreakEvenAt()), (100, 105, 100, 105), (105, 105, 99, 99), FLAT)
    assert events[:4] == [("target_hit", 104.0), ("updated", None), ("stop_moved", 100.2), ("stop_hit", 100.2)]
    result = run(Buy(plan=Plan(parts=BreakEvenAt(target=1))), candles(FLAT, FLAT, (100, 105, 100, 105), (105, 105, 99, 99)),
                 market=MARKET, profile=PROFILE)  # fmt: skip
    assert result.trades["pnl"][0] > 0.0


def test_a_signal_that_takes_too_long_is_sold() -> None:
    assert told(Plan(parts=TimeStop(candles=2)), FLAT, FLAT, FLAT) == [("canceled", 100.0)]
    assert told(Plan(parts=TimeStop(candles=4)), FLAT, FLAT) == []


def test_a_ladder_lies_ready_in_the_candle_of_the_entry() -> None:
    result = run(Buy(plan=Plan(parts=DcaLadder(levels=2, step_percent=2))), candles(FLAT, (100, 100, 95, 97), FLAT),
                 market=MARKET, profile=PROFILE)  # fmt: skip
    assert [(e.kind.value, e.price) for e in result.events if e.quantity] == [
        ("entered", 100.0),
        ("dca_filled", 98.0),
        ("dca_filled", 96.0),
    ]


def test_the_shipped_strategy_keeps_its_plan() -> None:
    series = Candles.sample("BTC/USD", "1h").slice(0, 4000)
    table, candle = run(ManagedBreakout(), series), run(ManagedBreakout(), series, lane="candle")
    assert table.calls == candle.calls
    assert len(table.trades) > 20
    most = {
        d.call.ref: ManagedBreakout().plan.most_calls(d.call) for d in table.calls if isinstance(d.call, CreateSignal)
    }
    later = [decision.call.signal for decision in table.calls if not isinstance(decision.call, CreateSignal)]
    assert all(later.count(ref) <= limit for ref, limit in most.items())
    assert {"UpdatePrices", "Cancel"} <= {type(decision.call).__name__ for decision in table.calls}
    assert not [event for event in table.events if event.kind is EventKind.REFUSED]
