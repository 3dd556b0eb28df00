"""The forecast of the rate limit: which creates would have expired, and with how much money."""

from __future__ import annotations

from backtest.live.forecast import Forecast, forecast
from backtest.live.intent import Intent, intents_of
from backtest.live.schema import Stream
from backtest.model.calls import Call, Cancel, CreateSignal, UpdatePrices
from backtest.model.events import SignalRef

MINUTE = 60_000
START = 1_700_000_040_000


def create(ref: str) -> CreateSignal:
    return CreateSignal(
        coin="BTC",
        trade_market="USDT",
        exchange="BINANCE",
        invest=5.0,
        entry_price_max=100.0,
        targets=(110.0,),
        stop_loss=90.0,
        ref=SignalRef(ref),
    )


def calls(close: int, *made: Call, strategy: str = "a", timeframe: str = "1m") -> list[Intent]:
    return intents_of(Stream("", strategy, "BTC/USDT", timeframe), START + close * MINUTE, made)


def made(*refs: str) -> list[CreateSignal]:
    return [create(ref) for ref in refs]


def test_nothing_can_be_said_without_calls() -> None:
    found = forecast([], 8, {})
    assert (found.busiest_calls, found.expired, found.pnl) == (0, 0, 0.0)
    assert found.sentence == "no call was made, so the limit cannot be judged"


def test_what_is_over_the_rate_expires_with_its_money() -> None:
    pnl = {("a", "1"): 10.0, ("a", "2"): -3.0, ("a", "3"): 4.5}
    found = forecast(calls(0, *made("1", "2", "3")), 2, pnl)
    assert found == Forecast(2, 3, 3, START, 3, 1, 4.5, 11.5)
    assert found.sentence == (
        "busiest minute 2023-11-14 22:14 with 3 calls; at 2 calls a minute 1 of 3 creates would have expired, "
        "with +4.50 of the +11.50 made"
    )


def test_a_longer_candle_lets_the_next_minute_help() -> None:
    assert forecast(calls(0, *made("1", "2", "3"), timeframe="2m"), 2, {}).expired == 0
    assert forecast(calls(0, *made("1", "2", "3", "4", "5"), timeframe="2m"), 2, {}).expired == 1


def test_the_window_slides_over_closes() -> None:
    later = [*calls(0, create("1")), *calls(1, *made("2", "3")), *calls(2, create("4"))]
    assert forecast(later, 2, {}).expired == 0
    assert forecast(later, 1, {}).expired == 1, "the one of the second close, which the first leaves no room"


def test_exits_go_before_entries_and_entries_of_one_signal_before_what_follows() -> None:
    first = calls(0, *made("1", "2"))
    second = calls(1, create("3"), create("4"), Cancel(SignalRef("1")), UpdatePrices(SignalRef("2"), stop_loss=91.0))
    found = forecast([*first, *second], 2, {("a", "3"): 1.0, ("a", "4"): 2.0})
    assert (found.expired, found.expired_pnl) == (2, 3.0)
    one = calls(0, create("1"), UpdatePrices(SignalRef("1"), stop_loss=91.0))
    assert forecast(one, 1, {}).expired == 0


def test_what_follows_an_expired_create_takes_no_room() -> None:
    first = calls(0, *made("1", "2"))  # the second expires at a rate of 1
    after = calls(1, Cancel(SignalRef("2")), create("3"))
    assert forecast([*first, *after], 1, {}).expired == 1


def test_strategies_share_the_rate_and_not_their_signals() -> None:
    both = [*calls(0, create("1")), *calls(0, create("1"), strategy="b")]
    found = forecast(both, 1, {("a", "1"): 1.0, ("b", "1"): 2.0})
    assert (found.busiest_calls, found.expired, found.expired_pnl) == (2, 1, 2.0)
