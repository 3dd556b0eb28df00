"""What the tick or a still market makes impossible is refused alone, and every way of running a strategy refuses the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import (
    Cancel,
    Candles,
    CreateSignal,
    Dca,
    EventKind,
    InvalidSignalError,
    Market,
    Refusal,
    Session,
    SignalTable,
    Status,
    Strategy,
    SubscriberProfile,
    TrailingStop,
    UpdatePrices,
    load_strategy,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest import Call, Decision, Event, Moment, Result

HOUR = 3_600_000
FOLDER = Path(__file__).parent.parent.parent / "strategies"
SHIPPED = sorted(path.stem for path in FOLDER.glob("*.py"))
COARSE = Market("DOGE/BTC", tick="0.00000001")
PROFILES = {
    "at once": SubscriberProfile.anny(slippage=0.0),
    "late": SubscriberProfile.anny(slippage=0.0, latency_ms=2 * HOUR, intrabar="candle"),
}


def walk(seed: int, n: int, *, price: float = 5e-7, symbol: str = "DOGE/BTC", still: bool = True) -> Candles:
    """Return candles whose moves are a few ticks, with stretches in which nothing moves at all."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0.0, 0.03, n) * (rng.uniform(size=n) > 0.3 if still else 1.0)
    close = np.maximum(np.round(price * np.exp(np.cumsum(moves)), 8), 1e-8)
    opened = np.r_[close[0], close[:-1]]
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    return Candles(symbol, "1h", HOUR * np.arange(n, dtype=np.int64), opened, high, low, close, np.ones(n))


class Rash(Strategy):
    """Create at every third candle without a look at the tick; followed by a trailing stop and a DCA."""

    stacked: bool = False
    followed: bool = True

    def triggers(self, candles: Candles, ind: Any) -> Any:
        return np.arange(len(candles)) % 3 == 0

    def signals(self, candles: Candles, ind: Any) -> SignalTable:
        at = np.flatnonzero(self.triggers(candles, ind))
        close = candles.close[at]
        return SignalTable(
            at=at,
            entry_price_min=close * 0.98,
            entry_price_max=close * 0.999,
            targets=(close * 1.02, close * 1.08),
            stop_loss=close * 0.94,
            invest=3,
            while_open="stack" if self.stacked else "skip",
            trailing_stop_price=close * 0.95 if self.followed else None,
            trailing_stop_limit_price=close * 0.951 if self.followed else None,
            dca=((close * 0.955, 0.5),),
            ttl_buy_order=6 * HOUR,
        )

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.signals and not self.stacked:
            return
        create = now.create(
            entry=(now.close * 0.98, now.close * 0.999),
            targets=(now.close * 1.02, now.close * 1.08),
            stop_loss=now.close * 0.94,
            invest=3,
            ttl="6h",
        )
        yield create
        if self.followed:
            yield TrailingStop(create.ref, now.close * 0.95, now.close * 0.951)
        yield Dca(create.ref, now.close * 0.955, 0.5)


class Hearing(Rash):
    """The same, asked at events; a refusal is an event like any other."""

    def on_event(self, now: Moment, event: Event) -> Iterable[Call]:
        if event.kind is EventKind.ENTERED:
            yield UpdatePrices(event.signal, stop_loss=now.close * 0.5, exit_price_1=now.close * 0.4)


def lived(strategy: Strategy, candles: Candles, profile: SubscriberProfile) -> tuple[Any, ...]:
    session = Session(strategy, candles.slice(0, 0), market=COARSE, profile=profile)
    columns = (getattr(candles, name).tolist() for name in ("time", "open", "high", "low", "close", "volume"))
    decisions: list[Decision] = []
    events: list[Event] = []
    refused: list[Refusal] = []
    for row in zip(*columns, strict=True):
        decisions += session.close(*row)
        events += session.events
        refused += session.refused
    return decisions, refused, events


def said(result: Result) -> tuple[Any, ...]:
    return result.calls, result.refused, result.events


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("followed", [True, False])
@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("kind", [Rash, Hearing])
def test_both_lanes_and_a_session_refuse_the_same(
    kind: type[Rash], stacked: bool, followed: bool, profile: SubscriberProfile
) -> None:
    strategy, candles = kind(stacked=stacked, followed=followed), walk(1, 240)
    table, candle = (run(strategy, candles, market=COARSE, profile=profile, lane=lane) for lane in ("table", "candle"))
    assert said(table) == said(candle) == lived(strategy, candles, profile)
    assert table.equity.equals(candle.equity)
    fields = {one.field for one in table.refused}
    assert "exit_price_1" in fields or "entry_price_min" in fields
    assert ("trailing_stop_limit_price" in fields) == followed
    assert any("after rounding to the tick 0.00000001" in one.reason for one in table.refused)
    assert table.calls


@pytest.mark.parametrize("stacked", [True, False])
def test_markets_on_one_account_refuse_the_same_in_both_lanes(stacked: bool) -> None:
    candles = {symbol: walk(seed, 200, symbol=symbol) for seed, symbol in enumerate(("DOGE/BTC", "XLM/BTC"))}
    markets = {symbol: Market(symbol, tick="0.00000001") for symbol in candles}
    table, candle = (
        run(Rash(stacked=stacked), candles, market=markets, profile=PROFILES["at once"], lane=lane)
        for lane in ("table", "candle")
    )
    assert said(table) == said(candle)
    assert {one.signal.partition("-")[0] for one in table.refused} == set(candles)


def test_every_refusal_of_a_run_is_an_event_and_none_is_a_call() -> None:
    result = run(Rash(), walk(2, 300), market=COARSE, profile=PROFILES["at once"])
    told = [event for event in result.events if event.rule == "L3.8"]
    acted = [one for one in result.refused if one.at < int(walk(2, 300).close_time[-1])]
    assert [(event.signal, event.reason) for event in told] == [(one.signal, one.reason) for one in acted]
    assert all(event.kind is EventKind.REFUSED and event.leg == "call" for event in told)
    unmade = {one.signal for one in result.refused if isinstance(one.call, CreateSignal)}
    assert not unmade & {getattr(one.call, "ref", None) or one.call.signal for one in result.calls}  # type: ignore[union-attr]
    assert len({one.signal for one in result.refused}) > 10


@pytest.mark.parametrize("lane", ["table", "candle"])
def test_strict_makes_the_first_refusal_an_error(lane: str) -> None:
    candles = walk(2, 300)
    first = run(Rash(), candles, market=COARSE, lane=lane).refused[0]
    with pytest.raises(InvalidSignalError) as caught:
        run(Rash(), candles, market=COARSE, lane=lane, strict=True)
    when = np.datetime64(first.at, "ms")
    assert str(caught.value) == f"Rash on DOGE/BTC at the close of {when}Z: {first.reason}"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_strategy_lives_through_a_coarse_tick_and_a_still_market(name: str) -> None:
    kind = load_strategy(str(FOLDER / f"{name}.py"))
    for candles in (walk(3, 2000), walk(4, 2000, price=5e-8), still(2000)):
        result = run(kind(), candles, market=COARSE)
        assert len(result.equity) == 2000


def still(n: int) -> Candles:
    flat = np.full(n, 2e-7)
    return Candles("DOGE/BTC", "1h", HOUR * np.arange(n, dtype=np.int64), flat, flat, flat, flat, np.ones(n))


class Stale(Strategy):
    """Talk about a refused signal at later closes, and about a living one with prices out of order."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.time == 0:
            bad = now.create(entry=100.0, targets=(99.0,), stop_loss=90.0, invest=5)
            assert (bad.ref, now.signals) == ("BTC/USDT-3600000-0", ())
            yield bad
            yield Cancel(bad.ref)
            assert now.signals == ()
            good = now.create(entry=100.0, targets=(110.0,), stop_loss=90.0, invest=5)
            assert good.ref == "BTC/USDT-3600000-1"
            yield good
            yield UpdatePrices(good.ref, exit_price_1=120.0, exit_price_2=115.0)
        elif now.time == HOUR:
            assert [one.ref for one in now.signals] == ["BTC/USDT-3600000-1"]
            yield UpdatePrices(now.create_of("BTC/USDT-3600000-0").ref, stop_loss=95.0)  # type: ignore[arg-type]
            yield UpdatePrices(now.signals[0].ref, entry_price_min=101.0, entry_price_max=100.0)
            yield UpdatePrices(now.signals[0].ref, stop_loss=91.0)


def flat(n: int) -> Candles:
    level = np.full(n, 100.0)
    return Candles("BTC/USDT", "1h", HOUR * np.arange(n), level, level + 1, level - 1, level, np.ones(n))


def test_a_refused_create_keeps_its_number_and_later_calls_about_it_are_refused() -> None:
    result = run(Stale(), flat(5), market=Market("BTC/USDT"))
    assert [(one.at, one.signal[-1], one.field, one.rule) for one in result.refused] == [
        (HOUR, "0", "exit_price_1", "L3.8"),
        (HOUR, "1", "exit_price_2", "L3.8"),
        (2 * HOUR, "0", "ref", "L11.3"),
        (2 * HOUR, "1", "entry_price_min", "L3.8"),
    ]
    assert [type(one.call) for one in result.calls] == [CreateSignal, UpdatePrices]
    told = [(event.time, event.signal[-1], event.kind, event.rule) for event in result.events if event.time <= 2 * HOUR]
    assert told[:3] == [
        (HOUR, "0", EventKind.REFUSED, "L3.8"),
        (HOUR, "1", EventKind.CREATED, "L5.4"),
        (HOUR, "1", EventKind.REFUSED, "L3.8"),
    ]
    assert (2 * HOUR, "0", EventKind.REFUSED, "L11.3") in told
    refused = next(event for event in result.events if event.rule == "L11.3")
    assert refused.reason == "INVALID_INPUT_CONTENT: the signal has ended"
    bought = next(event for event in result.events if event.time == 2 * HOUR and event.rule == "L3.8")
    assert (bought.average_entry, bought.open_quantity) != (None, 0.0)


def test_the_account_goes_on_as_if_it_had_not_been_said() -> None:
    session = Session(Stale(), flat(0), market=Market("BTC/USDT"), profile=SubscriberProfile.anny())
    columns = (getattr(flat(5), name).tolist() for name in ("time", "open", "high", "low", "close", "volume"))
    for row in zip(*columns, strict=True):
        session.close(*row)
    refs = [ref for ref in session.venue.refs if session.venue.status(ref) is Status.REFUSED]
    assert refs == ["BTC/USDT-3600000-0"]
    assert [one.ref for one in session.venue.living("BTC/USDT")] == ["BTC/USDT-3600000-1"]
