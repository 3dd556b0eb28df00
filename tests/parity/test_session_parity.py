"""A session of many markets on one account, restored or lived through, says what a whole run says, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import (
    BreakEvenAt,
    Candles,
    Event,
    EventKind,
    InvalidCandlesError,
    InvalidSettingError,
    Market,
    Moment,
    PercentBelowHighest,
    Plan,
    Session,
    Strategy,
    SubscriberProfile,
    TimeStop,
    UpdatePrices,
    run,
)
from backtest import indicators as ta
from backtest.runner.window import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backtest import Call, Decision, Indicators, Refusal

HOUR = 3_600_000
SYMBOLS = ("ADA/USDT", "BTC/USDT", "ETH/USDT")
MARKETS = {symbol: Market(symbol, tick="0.2") for symbol in SYMBOLS}
PROFILES = {
    "spot": SubscriberProfile.anny(slippage=0.0005, max_open=2),
    "late": SubscriberProfile.anny(slippage=0.0005, latency_ms=HOUR, intrabar="candle", basis="equity"),
}


class Managed(Strategy):
    """Buy a new high on borrowed money; a plan and an answer to events move the stop."""

    lookback: int = 6
    account: Any = None
    plan: Plan = Plan(parts=(BreakEvenAt(), PercentBelowHighest(percent=1.5), TimeStop(candles=15)))

    def indicators(self, candles: Candles) -> Indicators:
        return {"high": ta.previous(ta.highest(candles.high, self.lookback))}

    def triggers(self, candles: Candles, ind: Indicators) -> Any:
        return candles.close > ind["high"]

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.signals:
            return
        c = now.close
        yield now.create(
            entry=(c * 0.9985, c),  # on a coarse tick sometimes empty: refused (L3.8)
            targets=(c * 1.01, c * 1.03),
            stop_loss=c * 0.98,
            invest=20,
            account=self.account,
            leverage=None if self.account is None else 10,
            margin_type=None if self.account is None else "CROSS",
            ttl="3h",
        )

    def on_event(self, now: Moment, event: Event) -> Iterable[Call]:
        if event.kind is EventKind.TARGET_HIT and event.open_quantity:
            yield UpdatePrices(event.signal, stop_loss=now.close * 0.99)


STRATEGIES = {"spot": Managed(), "cross": Managed(account="FUTURES"), "plan alone": Managed(lookback=3)}


def walk(seed: int, symbol: str, n: int = 200) -> Candles:
    """Return candles with holes, so that markets miss instants that others have."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.008, n)))
    opened = np.r_[100.0, close[:-1]]
    high = np.maximum(opened, close) * (1.0 + rng.uniform(0.0, 0.004, n))
    low = np.minimum(opened, close) * (1.0 - rng.uniform(0.0, 0.004, n))
    kept = rng.uniform(size=n) > 0.1
    o, h, l, c = (column[kept] for column in (opened, high, low, close))  # noqa: E741
    return Candles(symbol, "1h", (HOUR * np.arange(n))[kept], o, h, l, c, np.ones(len(o)))


def three(n: int = 200) -> dict[str, Candles]:
    return {symbol: walk(seed, symbol, n) for seed, symbol in enumerate(SYMBOLS)}


def instants(series: dict[str, Candles]) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = {symbol: {row[0]: row for row in rows_of(candles)} for symbol, candles in series.items()}
    for time in sorted({time for own in rows.values() for time in own}):
        yield time, {symbol: own[time] for symbol, own in rows.items() if time in own}


def empty(series: dict[str, Candles]) -> dict[str, Candles]:
    return {symbol: candles.slice(0, 0) for symbol, candles in series.items()}


Said = tuple[list["Decision"], list["Refusal"], list[Event]]


def say(session: Session, said: Said, decisions: list[Decision]) -> None:
    said[0].extend(decisions)
    said[1].extend(session.refused)
    said[2].extend(session.events)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_candles_in_any_order_give_what_the_whole_run_gives(strategy: Strategy, profile: SubscriberProfile) -> None:
    series = three()
    result = run(strategy, series, market=MARKETS, profile=profile)
    session = Session(strategy, empty(series), market=MARKETS, profile=profile)
    said: Said = ([], [], [])
    rng = np.random.default_rng(1)
    for time, rows in instants(series):
        assert session.awaited(time) == list(SYMBOLS)
        for symbol in rng.permutation(SYMBOLS).tolist():
            if symbol in rows:
                say(session, said, session.close(*rows[symbol], symbol=symbol))
            else:
                say(session, said, session.missing(time, symbol))
        assert session.awaited(time) == []
    assert len({event.symbol for event in said[2]}) == 3
    assert said == (result.calls, result.refused, result.events)
    assert said[1]
    assert session.venue.equity_now == result.equity.iloc[-1]
    assert session.venue.equity.tolist() == result.equity.tolist()


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("many", [True, False], ids=["many", "one"])
def test_a_restored_session_goes_on_as_if_it_had_lived_through_it(many: bool, profile: SubscriberProfile) -> None:
    strategy = STRATEGIES["cross"]
    series = three() if many else {"BTC/USDT": walk(4, "BTC/USDT")}
    lived = Session(strategy, empty(series), market=MARKETS, profile=profile)
    said: Said = ([], [], [])
    steps = list(instants(series))
    for cut in (0, 60, 131):
        made: list[Any] = []
        lived = Session(strategy, empty(series), market=MARKETS, profile=profile)
        for time, rows in steps[:cut]:
            made += lived.walk(time, rows)
            made += lived.refused
        past = {symbol: candles.between(0, steps[cut][0]) for symbol, candles in series.items()}
        made.sort(key=lambda one: one.at)
        restored = Session.restore(strategy, past, made, market=MARKETS, profile=profile)
        assert restored.venue.equity_now == lived.venue.equity_now
        for symbol in series:
            assert restored.venue.living(symbol) == lived.venue.living(symbol)
            assert restored.venue.pending(symbol) == lived.venue.pending(symbol)
        said = ([], [], [])
        for time, rows in steps[cut:]:
            assert restored.walk(time, rows) == lived.walk(time, rows)
            assert (restored.events, restored.refused) == (lived.events, lived.refused)
            say(lived, said, [])
        assert restored.venue.equity_now == lived.venue.equity_now
        assert said[2]


def test_history_is_walked_like_everything_else() -> None:
    series = three(120)
    whole = Session(STRATEGIES["spot"], series, market=MARKETS, profile=PROFILES["spot"])
    steps = Session(STRATEGIES["spot"], empty(series), market=MARKETS, profile=PROFILES["spot"])
    for time, rows in instants(series):
        steps.walk(time, rows)
    assert whole.venue.refs == steps.venue.refs
    assert whole.venue.equity_now == steps.venue.equity_now
    assert whole.candles_of("ADA/USDT").hash == series["ADA/USDT"].hash


def test_an_anchor_moves_what_indicators_see_and_nothing_else() -> None:
    series = three()
    session = Session(STRATEGIES["spot"], empty(series), market=MARKETS, profile=PROFILES["spot"])
    plain = Session(STRATEGIES["spot"], empty(series), market=MARKETS, profile=PROFILES["spot"])
    moved = 0
    for time, rows in instants(series):
        assert session.walk(time, rows) == plain.walk(time, rows)  # six candles are all that the indicators look back
        assert session.events == plain.events
        for symbol in SYMBOLS:
            candles = session.candles_of(symbol)
            if len(candles) < 60:
                continue
            if session.venue.has_living(symbol):
                with pytest.raises(InvalidSettingError, match="stays while one of its signals lives"):
                    session.move_anchor(symbol, int(candles.time[-30]))
            else:
                session.move_anchor(symbol, int(candles.time[-30]))
                assert session.anchor_of(symbol) == candles.time[-30]
                assert len(session.candles_of(symbol)) == 30
                moved += 1
    assert moved > 9
    assert session.venue.equity_now == plain.venue.equity_now
    free = next(symbol for symbol in SYMBOLS if not session.venue.has_living(symbol))
    with pytest.raises(InvalidSettingError, match="lies within its candles"):
        session.move_anchor(free, HOUR * 1000)


def test_a_session_of_one_market_has_an_anchor_too() -> None:
    candles = walk(7, "BTC/USDT")
    session = Session(Managed(), candles.slice(0, 0), market=MARKETS["BTC/USDT"], profile=PROFILES["spot"])
    said: list[Decision] = []
    moves = 0
    for row in rows_of(candles):
        said += session.close(*row)
        if len(session.candles) >= 50 and not session.venue.has_living("BTC/USDT"):
            session.move_anchor("BTC/USDT", int(session.candles.time[-20]))
            moves += 1
    assert moves > 3
    assert said == run(Managed(), candles, market=MARKETS["BTC/USDT"], profile=PROFILES["spot"]).calls


def test_what_comes_too_late_or_twice_or_for_nobody_is_refused_and_changes_nothing() -> None:
    series = three(20)
    session = Session(Managed(), empty(series), market=MARKETS, profile=PROFILES["spot"])
    row = (0, 100.0, 101.0, 99.0, 100.0, 1.0)
    session.close(*row, symbol="BTC/USDT")
    for symbol, words, error in (
        ("BTC/USDT", "BTC/USDT had its candle of 1970-01-01T00:00:00.000Z before", InvalidCandlesError),
        ("BTC/USD", 'Did you mean "BTC/USDT"', InvalidSettingError),
        (None, "say of which market", InvalidSettingError),
    ):
        with pytest.raises(error, match=words):
            session.close(*row, symbol=symbol)
    with pytest.raises(InvalidCandlesError, match="high"):
        session.close(0, 100.0, 99.0, 98.0, 100.0, 1.0, symbol="ETH/USDT")
    session.close(HOUR, *row[1:], symbol="ETH/USDT")  # an hour early: it waits for the others
    assert session.awaited(0) == ["ADA/USDT", "ETH/USDT"]
    session.missing(0, "ADA/USDT")
    assert session.candles_of("BTC/USDT").time.tolist() == []
    session.missing(0, "ETH/USDT")
    assert session.candles_of("BTC/USDT").time.tolist() == [0]
    with pytest.raises(InvalidCandlesError, match="walked already; nothing is inserted later"):
        session.close(*row, symbol="ADA/USDT")
    with pytest.raises(InvalidSettingError, match="one timeframe"):
        Session(
            Managed(),
            {**series, "BTC/USDT": series["BTC/USDT"].resample("4h")},
            market=MARKETS,
            profile=PROFILES["spot"],
        )
    with pytest.raises(InvalidSettingError, match="market is given by symbol"):
        Session(Managed(), series, market=MARKETS["BTC/USDT"], profile=PROFILES["spot"])
