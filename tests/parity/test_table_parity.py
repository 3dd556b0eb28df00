"""A table's rows, and the calls that follow each, are what the other lane and a session say, one decision at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from backtest import (
    Candles,
    Dca,
    Event,
    EventKind,
    Market,
    Moment,
    Session,
    SignalTable,
    Strategy,
    SubscriberProfile,
    TrailingStop,
    UpdatePrices,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest import Call, Decision, Indicators

HOUR = 3_600_000
MARKETS = {symbol: Market(symbol, tick=tick) for symbol, tick in (("BTC/USDT", "0.05"), ("ETH/USDT", "0.01"))}
PROFILE = SubscriberProfile.anny(slippage=0.0005)


class Followed(Strategy):
    """Enter at some candles, each create with a trailing stop and two DCA levels at the same close."""

    side: Literal["long", "short", "both"] = "long"
    split: bool = False
    stacked: bool = False
    trailing: bool = True
    levels: int = 2

    def triggers(self, candles: Candles, ind: Indicators) -> Any:
        return np.arange(len(candles)) % 4 == 1

    def sides(self, candles: Candles) -> Any:
        if self.side == "both":
            return np.where(np.floor(candles.close * 100.0) % 2 == 0, 1, -1)
        return np.full(len(candles), 1 if self.side == "long" else -1)

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        at = np.flatnonzero(self.triggers(candles, ind))
        close, s = candles.close[at], self.sides(candles)[at]
        edges = close * (1 + 0.001 * s), close * (1 - 0.004 * s)
        return SignalTable(
            at=at,
            entry_price_min=np.minimum(*edges),
            entry_price_max=np.maximum(*edges),
            targets=tuple(close * (1 + step * s) for step in (0.01, 0.02)),
            stop_loss=close * (1 - 0.03 * s),
            invest=5,
            side=s,
            while_open="stack" if self.stacked else "skip",
            trailing_stop_price=close * (1 - 0.012 * s) if self.trailing else None,
            trailing_stop_limit_price=close * (1 - 0.015 * s) if self.trailing else None,
            dca=tuple((close * (1 - 0.005 * (k + 1) * s), 0.5) for k in range(self.levels)),
            invest_entry_min=40 if self.split else None,
            invest_entry_max=60 if self.split else None,
        )

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.signals and not self.stacked:
            return
        s = int(self.sides(now.candles)[-1])
        near, far = now.close * (1 + 0.001 * s), now.close * (1 - 0.004 * s)
        low, high = min(near, far), max(near, far)
        create = now.create(
            entry={low: 40.0, high: 60.0} if self.split else (low, high),
            targets=tuple(now.close * (1 + step * s) for step in (0.01, 0.02)),
            stop_loss=now.close * (1 - 0.03 * s),
            invest=5,
            side="long" if s > 0 else "short",
        )
        yield create
        if self.trailing:
            yield TrailingStop(create.ref, now.close * (1 - 0.012 * s), now.close * (1 - 0.015 * s))
        for k in range(self.levels):
            yield Dca(create.ref, now.close * (1 - 0.005 * (k + 1) * s), 0.5)


class Answering(Followed):
    """The same, with a stop that moves to break-even: Python is asked at events."""

    def on_event(self, now: Moment, event: Event) -> Iterable[Call]:
        if event.kind is EventKind.TARGET_HIT and event.open_quantity and event.average_entry:
            yield UpdatePrices(event.signal, stop_loss=event.average_entry * 0.999)


STRATEGIES = {
    "long": Followed(),
    "short": Followed(side="short"),
    "both sides": Followed(side="both"),
    "split": Followed(side="both", split=True),
    "stacked": Followed(side="both", stacked=True),
    "trailing alone": Followed(side="both", levels=0),
    "levels alone": Followed(side="both", trailing=False, levels=3),
    "answering": Answering(side="both"),
    "answering, stacked": Answering(side="both", stacked=True),
}


def walk(seed: int, n: int, symbol: str = "BTC/USDT") -> Candles:
    rng = np.random.default_rng(seed)
    close = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.006, n))), 2)
    opened = np.r_[100.0, close[:-1]]
    high = np.maximum(opened, close) * (1.0 + rng.uniform(0.0, 0.004, n))
    low = np.minimum(opened, close) * (1.0 - rng.uniform(0.0, 0.004, n))
    return Candles(symbol, "1h", HOUR * np.arange(n, dtype=np.int64), opened, high, low, close, np.ones(n))


def live(strategy: Strategy, candles: Candles) -> tuple[list[Decision], list[Event]]:
    session = Session(strategy, candles.slice(0, 0), market=MARKETS[candles.symbol], profile=PROFILE)
    columns = (getattr(candles, name).tolist() for name in ("time", "open", "high", "low", "close", "volume"))
    decisions: list[Decision] = []
    events: list[Event] = []
    for row in zip(*columns, strict=True):
        decisions += session.close(*row)
        events += session.events
    return decisions, events


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_both_lanes_and_a_session_agree(strategy: Followed) -> None:
    candles = walk(1, 300)
    found = {
        lane: run(strategy, candles, market=MARKETS["BTC/USDT"], profile=PROFILE, lane=lane)
        for lane in ("table", "candle")
    }
    table, candle = found["table"], found["candle"]
    kinds = [type(decision.call).__name__ for decision in table.calls]
    assert kinds.count("TrailingStop") == strategy.trailing * kinds.count("CreateSignal")
    assert kinds.count("Dca") == strategy.levels * kinds.count("CreateSignal") > 0 or strategy.levels == 0
    assert table.calls == candle.calls
    assert table.events == candle.events
    assert table.total_return == candle.total_return
    assert (table.calls, table.events) == live(strategy, candles)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_lanes_agree_over_two_symbols_on_one_account(strategy: Followed) -> None:
    candles = {symbol: walk(seed, 250, symbol) for seed, symbol in enumerate(MARKETS)}
    table, candle = (run(strategy, candles, market=MARKETS, profile=PROFILE, lane=lane) for lane in ("table", "candle"))
    assert len({event.symbol for event in table.events}) == 2
    assert table.calls == candle.calls
    assert table.events == candle.events


def test_what_follows_a_create_happens() -> None:
    kinds = {event.kind for event in run(Followed(side="both"), walk(2, 400), profile=PROFILE).events}
    assert {EventKind.ENTERED, EventKind.DCA_FILLED, EventKind.STOP_MOVED, EventKind.TRAILING_HIT} <= kinds


def test_a_row_that_is_skipped_sends_nothing_of_its_own() -> None:
    calls = run(Followed(), walk(3, 300), profile=PROFILE).calls
    created = {decision.call.ref for decision in calls if hasattr(decision.call, "ref")}
    assert {decision.call.signal for decision in calls if hasattr(decision.call, "signal")} == created
    assert len(created) < 75  # of as many rows
