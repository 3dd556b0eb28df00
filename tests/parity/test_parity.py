"""One strategy, one truth: candle by candle it says what it says over a whole run, byte for byte."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backtest.model.calls import CreateSignal
from backtest.model.candles import Candles
from backtest.model.profile import SubscriberProfile
from backtest.runner.loading import load_strategy
from backtest.runner.run import market_of, run
from backtest.runner.session import Session
from backtest.wire import endpoint_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from backtest.model.events import Event
    from backtest.runner.decision import Decision
    from backtest.strategy import Strategy

FOLDER = Path(__file__).parent.parent.parent / "strategies"
STRATEGIES = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}
SAMPLES = {
    "BTC 1h": ("BTC/USD", "1h"),
    "BTC 1d": ("BTC/USD", "1d"),
    "ETH 1d": ("ETH/USD", "1d"),
    "LTC 1d": ("LTC/USD", "1d"),
}
DAILY = [name for name in SAMPLES if name.endswith("1d")]
COLUMNS = ("time", "open", "high", "low", "close", "volume")
DAY = 86_400_000
PROFILES = {
    "anny": SubscriberProfile.anny(),
    "late": SubscriberProfile.anny(latency_ms=DAY, intrabar="candle", basis="equity", stop_trigger="close"),
}

Bytes = tuple[int, str, str, bytes]


@cache
def strategy(name: str) -> type[Strategy]:
    return load_strategy(str(STRATEGIES[name]))


@cache
def sample(name: str) -> Candles:
    return Candles.sample(*SAMPLES[name])


def as_bytes(decisions: Iterable[Decision]) -> list[Bytes]:
    """Return the calls as they would be sent; our ref stands for the id that only the venue can give."""
    sent = []
    for decision in decisions:
        call = decision.call
        request = endpoint_of(call, None if isinstance(call, CreateSignal) else call.signal)
        sent.append((decision.at, request.method, request.path, request.body))
    return sent


def candle_by_candle(name: str, candles: Candles, profile: SubscriberProfile) -> tuple[list[Bytes], list[Event]]:
    """Return what a live session would have sent and heard."""
    session = Session(strategy(name)(), candles.slice(0, 0), market=market_of(candles), profile=profile)
    decisions: list[Decision] = []
    events: list[Event] = []
    for row in zip(*(getattr(candles, column).tolist() for column in COLUMNS), strict=True):
        decisions += session.close(*row)
        events += session.events
    return as_bytes(decisions), events


def assert_parity(name: str, candles: Candles, profile: SubscriberProfile) -> None:
    result = run(strategy(name)(), candles, profile=profile)
    calls, events = candle_by_candle(name, candles, profile)
    assert calls
    assert calls == as_bytes(result.calls)
    assert events == result.events


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_session_over_twenty_thousand_hours_is_the_whole_run(name: str) -> None:
    assert_parity(name, sample("BTC 1h"), PROFILES["anny"])


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("days", DAILY)
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_session_over_days_is_the_whole_run(name: str, days: str, profile: str) -> None:
    assert_parity(name, sample(days), PROFILES[profile])


def two_lanes() -> list[str]:
    return [name for name in STRATEGIES if strategy(name).has("signals") and strategy(name).has("on_candle")]


def test_a_shipped_strategy_has_both_lanes() -> None:
    assert "breakout" in two_lanes()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("candles", SAMPLES)
@pytest.mark.parametrize("name", two_lanes())
def test_both_lanes_give_the_same_calls_and_events(name: str, candles: str, profile: str) -> None:
    lanes = [
        run(strategy(name)(), sample(candles), profile=PROFILES[profile], lane=lane) for lane in ("table", "candle")
    ]
    assert as_bytes(lanes[0].calls) == as_bytes(lanes[1].calls)
    assert lanes[0].events == lanes[1].events
    assert lanes[0].equity.equals(lanes[1].equity)


def together(names: Sequence[str]) -> dict[str, Candles]:
    return {sample(name).symbol: sample(name) for name in names}


@pytest.mark.parametrize("name", two_lanes())
def test_both_lanes_agree_over_several_symbols_on_one_account(name: str) -> None:
    lanes = [run(strategy(name)(), together(DAILY), lane=lane) for lane in ("table", "candle")]
    assert len({decision.call.symbol for decision in lanes[0].calls if isinstance(decision.call, CreateSignal)}) == 3
    assert as_bytes(lanes[0].calls) == as_bytes(lanes[1].calls)
    assert lanes[0].events == lanes[1].events


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_order_in_which_symbols_are_given_is_nothing(name: str) -> None:
    one, other = (run(strategy(name)(), together(names)) for names in (DAILY, DAILY[::-1]))
    assert as_bytes(one.calls) == as_bytes(other.calls)
    assert one.events == other.events
    assert one.equity.equals(other.equity)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_symbol_says_beside_others_what_it_says_alone(name: str) -> None:
    alone, beside = run(strategy(name)(), sample("ETH 1d")), run(strategy(name)(), together(DAILY))
    mine = [decision for decision in beside.calls if about(decision).startswith("ETH/USD")]
    assert as_bytes(mine) == as_bytes(alone.calls)


def about(decision: Decision) -> str:
    call = decision.call
    return call.ref if isinstance(call, CreateSignal) else call.signal


@pytest.mark.parametrize("share", [0.2, 0.5, 0.83, 0.999])
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_prefix_of_the_candles_gives_a_prefix_of_the_calls(name: str, share: float) -> None:
    candles = sample("BTC 1h")
    whole = as_bytes(run(strategy(name)(), candles).calls)
    prefix = candles.slice(0, int(share * len(candles)))
    calls = as_bytes(run(strategy(name)(), prefix).calls)
    end = int(prefix.close_time[-1])
    assert calls == [call for call in whole if call[0] <= end]
