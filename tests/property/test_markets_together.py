"""Several markets on one account: however far they look ahead and however small the buffers are, the same comes out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from backtest.engine import memory
from backtest.engine.history import MarketHistory
from backtest.engine.simulator import SimulatedVenue
from backtest.model.calls import Cancel, CreateSignal, Dca, TrailingStop
from backtest.model.candles import Candles
from backtest.model.events import SignalRef
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from tests.agreement import disagreement
from tests.builders import HOUR, block, create, scenario, story
from tests.random_scenarios import several_symbols

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from backtest.model.calls import Call

TINY = {
    "signals": 2,
    "orders": 4,
    "events": 130,
    "scratch_events": 100,
    "trades": 20,
    "scratch_trades": 20,
    "stretches": 1,
}
TICK = 0.01
COLUMNS = ("open", "high", "low", "close", "volume")


@pytest.fixture
def stressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look one candle ahead, and let every buffer get full in the middle of an instant."""
    monkeypatch.setattr(memory, "AHEAD", 1)
    monkeypatch.setattr(memory, "SEGMENTS", 0)
    monkeypatch.setattr(memory, "ROOMS", TINY)
    monkeypatch.setattr(memory, "MANY", 1)


@dataclass
class Case:
    """Markets, a profile and calls with the instants at which they are sent."""

    histories: list[MarketHistory]
    profile: SubscriberProfile
    calls: list[tuple[int, Call]]


def rounded(prices: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(TICK, np.round(prices / TICK) * TICK)


def candles_of(rng: np.random.Generator, symbol: str, n: int, start: int, length: int = HOUR) -> Candles:
    """Return a random walk, with gaps and with candles in which nothing trades."""
    close = 100 * np.exp(np.cumsum(rng.normal(0, rng.choice([0.004, 0.02]), n)))
    opened = np.r_[100.0, close[:-1]] * np.exp(rng.normal(0, 0.004, n) * (rng.random(n) < 0.3))
    high = np.maximum(opened, close) * (1 + np.abs(rng.normal(0, 0.004, n)))
    low = np.minimum(opened, close) * (1 - np.abs(rng.normal(0, 0.004, n)))
    volume = np.where(rng.random(n) < rng.choice([0, 0, 0.3, 0.9]), 0.0, 1.0)
    kept = (rng.random(n) >= rng.choice([0, 0.05])) | (np.arange(n) == 0)
    columns = [start + np.arange(n) * length, *(rounded(one) for one in (opened, high, low, close)), volume]
    timeframe = "1h" if length == HOUR else "15m"
    return Candles(symbol, timeframe, *(column[kept] for column in columns))


def with_detail(rng: np.random.Generator, symbol: str, n: int, start: int) -> tuple[Candles, Candles]:
    """Return hours and the quarters of which they are made; a few quarters are missing."""
    fine = candles_of(rng, symbol, 4 * n, start, HOUR // 4)
    hours = np.unique(fine.time // HOUR * HOUR)
    parts = [np.flatnonzero(fine.time // HOUR * HOUR == hour) for hour in hours]
    columns = [
        np.array([fine.open[part[0]] for part in parts]),
        np.array([fine.high[part].max() for part in parts]),
        np.array([fine.low[part].min() for part in parts]),
        np.array([fine.close[part[-1]] for part in parts]),
        np.array([fine.volume[part].sum() for part in parts]),
    ]
    opened, high, low, close, volume = columns
    return Candles(symbol, "1h", hours, opened, high, low, close, volume), fine


def price(value: float) -> float:
    return float(rounded(np.array([value]))[0].round(2))


def calls_of(rng: np.random.Generator, candles: Candles, count: int, cross: float) -> list[tuple[int, Call]]:
    """Return creates and what follows some of them, at closes of the candles."""
    coin = candles.symbol.split("/")[0]
    made: list[tuple[int, Call]] = []
    for k in range(count):
        at = int(rng.integers(0, len(candles) - 1))
        last, when, side = float(candles.close[at]), int(candles.close_time[at]), 1 if rng.random() < 0.7 else -1
        ref, near = SignalRef(f"{coin}{k}"), price(last * (1 + side * rng.uniform(-0.01, 0.003)))
        account: Literal["FUTURES", "MARGIN"] = "FUTURES" if rng.random() < 0.7 else "MARGIN"
        create = CreateSignal(
            ref=ref,
            coin=coin,
            trade_market="USDT",
            exchange="BINANCE",
            invest=float(rng.choice([2, 10, 30])),
            type="long" if side > 0 else "short",
            entry_price_max=near,
            targets=(price(near * (1 + side * 0.01)), price(near * (1 + side * 0.04))),
            stop_loss=price(near * (1 - side * rng.uniform(0.01, 0.05))),
            account=account,
            leverage=float(rng.choice([1, 5, 20])),
            margin_type="CROSS" if rng.random() < cross else "ISOLATED",
            ttl_buy_order=int(rng.integers(1, 40)) * HOUR // 2 if rng.random() < 0.5 else None,
        )
        made.append((when, create))
        later = int(candles.close_time[min(len(candles) - 1, at + int(rng.integers(0, 30)))])
        kind = rng.integers(0, 4)
        if kind == 0:
            made.append((later, Dca(ref, buy_price=price(near * (1 - side * 0.01)), multiplier=0.5)))
        elif kind == 1:
            made.append((later, Cancel(ref)))
        else:
            stop = price(last * (1 - side * 0.01))
            made.append((later, TrailingStop(ref, trailing_stop_price=stop, trailing_stop_limit_price=stop)))
    return made


def case(seed: int, *, detail: bool = True, rows: int = 400) -> Case:
    """Return a random case of one to five markets, of 40 rows or more."""
    rng = np.random.default_rng(seed)
    cross, n = float(rng.choice([0, 0.2, 0.7])), int(rng.choice([40, rows]))
    histories, calls = [], []
    for k in range(int(rng.integers(1, 6))):
        symbol, start = f"{'ABCDE'[k] * 3}/USDT", int(rng.choice([0, 0, 7])) * HOUR
        start += HOUR // 2 if detail and rng.random() < 0.15 else 0
        fine = None
        if detail and start % HOUR == 0 and rng.random() < 0.25:
            candles, fine = with_detail(rng, symbol, n, start)
        else:
            candles = candles_of(rng, symbol, n, start)
        times = np.arange(start, start + n * HOUR, 8 * HOUR) + 3
        rates = rng.normal(0.0002, 0.002, len(times))
        funding = np.column_stack([times, rates]) if rng.random() < 0.5 else np.empty((0, 2))
        histories.append(MarketHistory(Market(symbol, tick="0.01"), candles, fine, funding))
        calls += calls_of(rng, candles, int(rng.integers(1, n // 8)), cross)
    profile = SubscriberProfile(
        basis=rng.choice(["initial", "equity"]),
        intrabar=rng.choice(["pessimistic", "candle", "optimistic"]),
        latency_ms=int(rng.choice([0, 0, HOUR])),
        stop_trigger=rng.choice(["order", "close"]),
        taker_fee=0.001,
        max_open=int(rng.choice([4, 100])),
        risk_limit=float(rng.choice([5, 1000])),
        allocation_limit=300,
    )
    return Case(histories, profile, sorted(calls, key=lambda pair: pair[0]))


def whole(given: Case) -> SimulatedVenue:
    """Return the venue that walked everything at once, all calls sent before."""
    venue = SimulatedVenue(given.histories, given.profile)
    for at, call in given.calls:
        venue.send(call, at)
    venue.advance()
    return venue


def by_steps(given: Case) -> SimulatedVenue:
    """Return the venue that was stopped every few closes and where a call is due, which is sent at its close."""
    venue, waiting = SimulatedVenue(given.histories, given.profile, want_events=True), list(given.calls)
    end = max(int(history.candles.close_time[-1]) for history in given.histories)
    for stop in sorted({at for at, _ in waiting} | set(range(HOUR, end + HOUR, 5 * HOUR)) | {end}):
        before, reached = -1, 0
        while before < reached < stop or before < 0:  # it stops at each close that brought events, too
            before, reached = reached, venue.advance(stop)
        while waiting and waiting[0][0] <= stop:
            at, call = waiting.pop(0)
            venue.send(call, at)
        assert len(given.histories) == 1 or not len(venue.equity) or venue.equity_now == venue.equity[-1]
    return venue


def live(given: Case) -> SimulatedVenue:
    """Return the venue to which each candle was given when it closed."""
    empty = [
        MarketHistory(history.market, history.candles.slice(0, 0), None, history.funding) for history in given.histories
    ]
    venue, waiting = SimulatedVenue(empty, given.profile), list(given.calls)
    rows = sorted(
        (int(history.candles.time[k]), q, k)
        for q, history in enumerate(given.histories)
        for k in range(len(history.candles))
    )
    while rows:
        now = rows[0][0]
        while waiting and waiting[0][0] <= now:
            at, call = waiting.pop(0)
            venue.send(call, at)
        while rows and rows[0][0] == now:
            _, q, k = rows.pop(0)
            candles = given.histories[q].candles
            venue.append(candles.symbol, now, *(float(getattr(candles, name)[k]) for name in COLUMNS))
        venue.advance()
        assert len(given.histories) == 1 or not len(venue.equity) or venue.equity_now == venue.equity[-1]
    return venue


def told(venue: SimulatedVenue) -> dict[str, Any]:
    """Return all that came out, to the bit."""
    names = ("cash", "reserved", "margin", "allocated", "realised", "fees", "funding", "ambiguous", "tight", "living")
    return {
        "events": venue.event_records.tobytes(),
        "trades": venue.trade_records.tobytes(),
        "outcomes": venue.outcomes().tobytes(),
        "equity": venue.equity.tobytes(),
        "closes": venue.equity_time.tobytes(),
        "account": [venue.account[name] for name in names],
    }


@pytest.mark.usefixtures("stressed")
def test_the_oracle_agrees_with_a_look_ahead_of_one_candle_and_tiny_buffers() -> None:
    for seed in range(700, 800):
        assert disagreement(several_symbols(random.Random(seed))) is None, seed


def test_neither_look_ahead_nor_buffers_change_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    n_events = 0
    for seed in range(40):
        given = case(seed)
        plain = told(whole(given))
        n_events += len(plain["events"])
        with monkeypatch.context() as tiny:
            tiny.setattr(memory, "AHEAD", 1)
            tiny.setattr(memory, "SEGMENTS", 0)
            tiny.setattr(memory, "ROOMS", TINY)
            tiny.setattr(memory, "MANY", seed % 7)
            assert told(whole(given)) == plain, seed
    assert n_events > 100_000


@pytest.mark.jit_off
@pytest.mark.usefixtures("stressed")
def test_a_few_cases_walk_alike_whether_compiled_or_not() -> None:
    for seed in range(6):
        given = case(seed, rows=40)
        assert told(whole(given)) == told(
            live(given) if not any(history.detail for history in given.histories) else whole(given)
        )
    for seed in range(900, 912):
        assert disagreement(several_symbols(random.Random(seed))) is None, seed


@pytest.mark.parametrize("walk", [by_steps, live])
def test_candles_may_come_a_few_at_a_time(walk: Callable[[Case], SimulatedVenue]) -> None:
    for seed in range(60, 90):
        given = case(seed, detail=False)
        assert told(walk(given)) == told(whole(given)), seed


@pytest.mark.jit_off
def test_a_coarse_close_is_judged_in_quarters_without_volume_beside_a_cross_position() -> None:
    """The quarters behind the one that closes below the stop trade nothing; a cross position is walked at each that does."""
    quarters = [(100, 100, 100, 100)] * 4 + [(100, 100, 97, 97)] + [(97, 97, 97, 97)] * 3 + [(99, 99, 99, 99)] * 4
    values = scenario(
        [(100, 100, 100, 100), (100, 100, 97, 97), (99, 99, 99, 99)],
        create(stop_loss=98),
        create(0, "s2", account="FUTURES", margin_type="CROSS", leverage=1, invest=1),
        stop_trigger="close",
        detail=block(quarters, timeframe="15m"),
    )
    for row in values["detail"]["rows"][5:8]:
        row[5] = 0
    assert disagreement(values) is None
    assert story(values) == ["0 created", "0 entered: 10 at 100", "2 stop_hit: 10 at 99", "2 closed", "closed"]


def test_a_copy_walks_on_by_itself() -> None:
    import copy

    given = case(3)
    venue = SimulatedVenue(given.histories, given.profile)
    for at, call in given.calls:
        venue.send(call, at)
    venue.advance(20 * HOUR)
    other = copy.deepcopy(venue)
    venue.advance()
    assert told(other) != told(venue)
    other.advance()
    assert told(other) == told(venue) == told(whole(given))


def test_equity_at_some_closes_is_that_of_the_whole_column() -> None:
    for seed in range(90, 120):
        venue = whole(case(seed))
        rows = np.random.default_rng(seed).integers(0, len(venue.equity_time), 20)
        some, last = venue.curve.at(rows), venue.curve.final  # before the column is written
        assert some.tobytes() == venue.equity[rows].tobytes(), seed
        assert last == venue.equity[-1] == venue.equity_now, seed
