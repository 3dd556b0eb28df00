"""The paper venue's inside: calls executed on the candles it is fed, and all of it again after a restart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest.engine.history import MarketHistory
from backtest.engine.simulator import SimulatedVenue
from backtest.errors import InvalidCandlesError, InvalidSettingError, InvalidSignalError
from backtest.model.candles import Candles
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from backtest.venue.ledger import Ledger
from backtest.venue.paper import PaperVenue, Part
from backtest.venue.subscribers import Place, Subscriber
from backtest.wire import call_from_body
from backtest.wire.tag import signal_tag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backtest.model.events import Event

HOUR = 3_600_000
START = 1_700_002_800_000
BTC = Market("BTC/USDT", tick="0.01")
ETH = Market("ETH/USDT", tick="0.01")
BINANCE, OKX = Place("BINANCE", "1h"), Place("OKX", "1h")
ROWS = [
    [START, 100.0, 101.0, 99.0, 100.0, 1.0],
    [START + HOUR, 100.0, 101.0, 97.0, 98.0, 1.0],
    [START + 2 * HOUR, 98.0, 106.0, 97.5, 105.5, 1.0],
    [START + 3 * HOUR, 105.5, 107.0, 93.0, 94.0, 1.0],
    [START + 4 * HOUR, 94.0, 95.0, 93.5, 94.5, 1.0],
]
BASE = {"coin": "BTC", "trade_market": "USDT", "exchange": "BINANCE", "invest": 10}
CREATE = BASE | {"entry_price_max": "99", "exit_price_1": "105", "exit_price_2": "120", "stop_loss": "95"}
PROFILE = SubscriberProfile.anny().to_dict()


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[PaperVenue]:
    venue = PaperVenue(Ledger(tmp_path / "venue.sqlite"))
    venue.subscribe(subscriber("anny"))
    yield venue
    venue.ledger.close()


def subscriber(name: str, place: Place | None = None, strategy: str = "", **changes: Any) -> Subscriber:
    return Subscriber.from_dicts(name, PROFILE | changes, {}, place, strategy)


def feed(venue: PaperVenue, rows: list[list[float]], market: Market = BTC, timeframe: str = "1h", **more: Any) -> int:
    return venue.feed(timeframe, [Part(market, rows, **more)])[market.symbol]


def events(venue: PaperVenue, name: str = "anny") -> list[Event]:
    return list(venue.subscribers[name].events)


def clocks(venue: PaperVenue) -> list[int]:
    return [each["clock"] for each in venue.clock]


def reopened(venue: PaperVenue) -> PaperVenue:
    venue.ledger.close()
    return PaperVenue(Ledger(venue.ledger.path))


def accept(venue: PaperVenue, kind: str, body: dict[str, Any], parent: str | None = None) -> str:
    named = body if parent is None else {"parent_signal_id": parent, **body}
    return venue.accept(kind, json.dumps(named).encode(), parent)


def rehearse(venue: PaperVenue) -> str:
    feed(venue, ROWS[:1])
    parent = accept(venue, "create_v2", CREATE)
    feed(venue, ROWS[1:3])
    accept(venue, "updateprice", {"stop_loss": "96"}, parent)
    feed(venue, ROWS[3:])
    return parent


def test_fills_are_those_of_a_backtest(venue: PaperVenue) -> None:
    parent = rehearse(venue)
    columns = {name: [row[k] for row in ROWS] for k, name in enumerate(("open", "high", "low", "close", "volume"), 1)}
    candles = Candles("BTC/USDT", "1h", [row[0] for row in ROWS], **columns)  # type: ignore[arg-type]  # lists will do
    engine = SimulatedVenue([MarketHistory(BTC, candles)], SubscriberProfile.anny())
    engine.send(call_from_body("create_v2", CREATE, parent), START + HOUR)
    engine.send(call_from_body("updateprice", {"stop_loss": "96"}, parent), START + 3 * HOUR)
    engine.advance()
    assert events(venue) == engine.new_events()
    assert [event.kind.value for event in events(venue)][-1] == "closed"
    assert venue.subscribers["anny"].summary()["equity"] == engine.equity_now


def test_restart_rebuilds_everything(venue: PaperVenue) -> None:
    parent = rehearse(venue)
    venue.subscribe(subscriber("late", slippage=0.0))
    living = accept(venue, "create_v2", CREATE | {"entry_price_max": "90", "stop_loss": "80"})
    again = reopened(venue)
    assert [s.summary() for s in again.subscribers.values()] == [s.summary() for s in venue.subscribers.values()]
    for name in ("anny", "late"):
        assert events(venue, name) == events(again, name)
    assert clocks(again) == [START + 5 * HOUR]
    with pytest.raises(InvalidSignalError, match="ended"):
        accept(again, "updateprice", {"stop_loss": "96"}, parent)
    assert accept(again, "updateprice", {"stop_loss": "81"}, living) == living
    again.ledger.close()


@pytest.mark.parametrize(("allowed", "end"), [(False, "refused"), (True, "closed")])
def test_a_stop_beyond_the_market_sells_only_where_that_was_allowed(venue: PaperVenue, allowed: bool, end: str) -> None:
    feed(venue, ROWS[:1])
    parent = accept(venue, "create_v2", CREATE)
    feed(venue, ROWS[1:2])
    raw = json.dumps({"parent_signal_id": parent, "stop_loss": "104"}).encode()
    venue.accept("updateprice", raw, parent, allow_marketable=allowed)
    feed(venue, ROWS[2:3])
    again = reopened(venue)  # kept: a restart decides the same
    for one in (venue, again):
        kinds = [event.kind.value for event in events(one) if event.time == START + 2 * HOUR]
        assert end in kinds, kinds
    again.ledger.close()


def test_calls_before_any_candle_act_on_the_first(venue: PaperVenue) -> None:
    parent = accept(venue, "create_v2", CREATE | {"entry_price_max": "100"})
    feed(venue, ROWS[:1])
    assert [(event.signal, event.kind.value, event.time) for event in events(venue)] == [
        (parent, "created", START),
        (parent, "entered", START),
    ]


def test_calls_for_markets_without_candles_are_kept_only(venue: PaperVenue) -> None:
    feed(venue, ROWS[:1])
    parent = accept(venue, "create_v2", CREATE | {"coin": "ETH"})
    accept(venue, "cancel", {}, parent)
    assert events(venue) == []
    assert [effect.at for effect in venue.ledger.effects()] == [0, 0]


def test_same_candles_again_change_nothing(venue: PaperVenue) -> None:
    rehearse(venue)
    before = venue.subscribers["anny"].summary()
    assert feed(venue, ROWS) == 0
    assert venue.subscribers["anny"].summary() == before


@pytest.mark.parametrize(
    "rows",
    [
        [[*ROWS[0][:4], 100.5, 1.0]],
        [[START - HOUR, 100.0, 101.0, 99.0, 100.0, 1.0]],
        [[START + HOUR, 100.0, 99.0, 99.0, 100.0, 1.0]],
        [[START + HOUR, 100.0, 101.0, 99.0, 100.0]],
        [[START + HOUR, 100.0, 101.0, 99.0, True, 1.0]],
        [[-1.0, 100.0, 101.0, 99.0, 100.0, 1.0]],
        [[1e300, 100.0, 101.0, 99.0, 100.0, 1.0]],
        [[START + HOUR, 10**400, 101.0, 99.0, 100.0, 1.0]],
    ],
)
def test_candles_that_contradict_are_refused(venue: PaperVenue, rows: list[list[float]]) -> None:
    feed(venue, ROWS[:1])
    with pytest.raises(InvalidCandlesError):
        feed(venue, rows)
    assert clocks(venue) == [START + HOUR]


def test_market_and_profile_may_not_change(venue: PaperVenue) -> None:
    feed(venue, ROWS[:1])
    with pytest.raises(InvalidSettingError, match="another market"):
        feed(venue, ROWS[1:], Market("BTC/USDT", tick="0.1"))
    with pytest.raises(InvalidSettingError, match="another market"):
        feed(venue, ROWS[1:], volume_known=False)
    with pytest.raises(InvalidSettingError, match="stands twice"):
        venue.feed("1h", [Part(BTC, ROWS[1:]), Part(BTC, ROWS[2:])])
    venue.subscribe(subscriber("anny"))
    for other in (subscriber("anny", balance=5.0), subscriber("anny", strategy="a"), subscriber("anny", OKX)):
        with pytest.raises(InvalidSettingError, match="another name"):
            venue.subscribe(other)
    assert clocks(venue) == [START + HOUR]


def test_trailing_limit_better_than_its_trigger_is_refused(venue: PaperVenue) -> None:
    parent = accept(venue, "create_v2", CREATE)
    with pytest.raises(InvalidSignalError, match="trailing_stop_limit_price"):
        accept(venue, "trailingstop", {"trailing_stop_price": "95", "trailing_stop_limit_price": "96"}, parent)
    assert len(venue.ledger.effects()) == 1


# ------------------------------------------------------------ several markets, one account


def walk(hours: int, seed: int) -> list[list[float]]:
    """Return a walk of prices, on the tick."""
    rng, close, rows = np.random.default_rng(seed), 100.0, []
    for hour in range(hours):
        open_ = close
        close = round(open_ * (1.0 + rng.normal(0.0, 0.01)), 2)
        high, low = round(max(open_, close) * 1.004, 2), round(min(open_, close) * 0.996, 2)
        rows.append([START + hour * HOUR, open_, high, low, close, 1.0])
    return rows


def create_at(coin: str, price: float, **more: Any) -> dict[str, Any]:
    prices = {"entry_price_max": 0.998, "exit_price_1": 1.01, "stop_loss": 0.985}
    texts = {name: f"{price * share:.2f}" for name, share in prices.items()}
    return BASE | {"coin": coin, "invest": 60} | texts | more


TABLES = {"BTC/USDT": walk(60, 1), "ETH/USDT": walk(60, 2)}
MARKETS = {"BTC/USDT": BTC, "ETH/USDT": ETH}


def as_candles(symbol: str) -> Candles:
    columns = {name: [row[k] for row in TABLES[symbol]] for k, name in enumerate(("open", "high", "low", "close"), 1)}
    volume = [1.0] * len(TABLES[symbol])
    times = [row[0] for row in TABLES[symbol]]
    return Candles(symbol, "1h", times, **columns, volume=volume)  # type: ignore[arg-type]  # lists will do


def engine_over_both() -> SimulatedVenue:
    return SimulatedVenue(
        [MarketHistory(MARKETS[symbol], as_candles(symbol)) for symbol in MARKETS], SubscriberProfile.anny()
    )


def feed_hour(venue: PaperVenue, hour: int, way: str) -> None:
    rows = {symbol: [table[hour]] for symbol, table in TABLES.items()}
    if way == "together":
        venue.feed("1h", [Part(MARKETS[symbol], mine) for symbol, mine in rows.items()])
        return
    for symbol, mine in rows.items():
        feed(venue, mine, MARKETS[symbol])


@pytest.mark.parametrize("way", ["together", "one after another", "with a restart"])
def test_an_account_over_two_markets_is_that_of_a_backtest(venue: PaperVenue, way: str) -> None:
    engine = engine_over_both()
    for hour in range(60):
        feed_hour(venue, hour, way)
        for symbol in MARKETS if hour % 7 == 0 else ():
            body = create_at(symbol[:3], TABLES[symbol][hour][4])
            parent = accept(venue, "create_v2", body)
            engine.send(call_from_body("create_v2", body, parent), START + (hour + 1) * HOUR)
        if way == "with a restart" and hour % 7 == 0:
            venue = reopened(venue)
    engine.advance()
    found = venue.subscribers["anny"].summary()
    assert events(venue) == engine.new_events()
    assert (found["cash"], found["equity"]) == (engine.account.cash, engine.equity_now)
    assert any(event.kind.value == "refused" for event in events(venue)), "60 % twice are more than one account has"
    venue.ledger.close()


def test_candles_in_chunks_of_a_market_are_the_same(venue: PaperVenue) -> None:
    refs = [accept(venue, "create_v2", create_at(symbol[:3], 100.0)) for symbol in MARKETS]
    for hour in range(0, 60, 10):
        for symbol in reversed(MARKETS):
            feed(venue, TABLES[symbol][hour : hour + 10], MARKETS[symbol])
    engine = engine_over_both()
    for ref, symbol in zip(refs, MARKETS, strict=True):
        engine.send(call_from_body("create_v2", create_at(symbol[:3], 100.0), ref), 0)
    engine.advance()
    assert events(venue) == engine.new_events() != []


def test_an_instant_waits_for_all_its_markets(venue: PaperVenue) -> None:
    feed(venue, TABLES["BTC/USDT"][:1])
    feed(venue, TABLES["ETH/USDT"][:1], ETH)
    accept(venue, "create_v2", create_at("BTC", 150.0, stop_loss="50"))
    before = len(events(venue))
    feed(venue, TABLES["BTC/USDT"][1:3])
    assert len(events(venue)) == before
    assert feed(venue, [], ETH, missing=[START + HOUR]) == 0
    assert [event.time for event in events(venue)[before:]] == [START + HOUR] * (len(events(venue)) - before)
    assert len(events(venue)) > before
    assert clocks(venue) == [START + 3 * HOUR, START + 2 * HOUR]
    again = reopened(venue)
    assert events(again) == events(venue)
    feed(again, [], ETH, gone=True)
    accept(again, "create_v2", create_at("BTC", 150.0, stop_loss="50"))
    feed(again, TABLES["BTC/USDT"][3:30])
    assert events(again)[-1].time == START + 3 * HOUR, "nobody waits for what is gone"
    more = reopened(again)
    assert events(more) == events(again)
    more.ledger.close()


def test_what_is_missing_is_never_there(venue: PaperVenue) -> None:
    feed(venue, TABLES["BTC/USDT"][:2])
    feed(venue, [], missing=[START + 2 * HOUR])
    assert feed(venue, [], missing=[START + 2 * HOUR]) == 0
    for more in ({"rows": [TABLES["BTC/USDT"][2]]}, {"rows": [], "missing": [START]}):
        with pytest.raises(InvalidCandlesError):
            feed(venue, **more)
    row = TABLES["BTC/USDT"][3]
    with pytest.raises(InvalidCandlesError, match="cannot be missing and there"):
        feed(venue, [row], missing=[START + 3 * HOUR])
    assert clocks(venue) == [START + 3 * HOUR]


def test_a_market_that_begins_late_takes_part_from_its_first_candle(venue: PaperVenue) -> None:
    feed(venue, TABLES["BTC/USDT"][:20])
    btc = accept(venue, "create_v2", create_at("BTC", TABLES["BTC/USDT"][19][4]))
    feed(venue, TABLES["BTC/USDT"][20:40])
    feed(venue, TABLES["ETH/USDT"][30:60], ETH)
    eth = accept(venue, "create_v2", create_at("ETH", TABLES["ETH/USDT"][59][4]))
    feed(venue, TABLES["BTC/USDT"][40:])
    feed(venue, [[START + 60 * HOUR, *TABLES["ETH/USDT"][59][1:]]], ETH)
    feed(venue, [[START + 60 * HOUR, *TABLES["BTC/USDT"][59][1:]]])
    signals = venue.subscribers["anny"].summary()["signals"]
    assert [each["parent_signal_id"] for each in signals] == [btc, eth]
    assert len({event.symbol for event in events(venue)}) == 2
    again = reopened(venue)
    assert events(again) == events(venue)
    assert again.subscribers["anny"].summary() == venue.subscribers["anny"].summary()
    again.ledger.close()


def test_exchanges_and_timeframes_are_accounts_of_their_own(venue: PaperVenue) -> None:
    venue.subscribe(subscriber("okx", OKX))
    venue.subscribe(subscriber("4h", Place("BINANCE", "4h")))
    feed(venue, TABLES["BTC/USDT"][:8])
    okx = Market("BTC/USDT", tick="0.01", exchange="OKX")
    feed(venue, TABLES["BTC/USDT"][:8], okx)
    feed(venue, [TABLES["BTC/USDT"][0]], timeframe="4h")
    here = accept(venue, "create_v2", create_at("BTC", 150.0, stop_loss="90"))
    there = accept(venue, "create_v2", create_at("BTC", 150.0, stop_loss="90", exchange="OKX"))
    feed(venue, TABLES["BTC/USDT"][8:])
    feed(venue, TABLES["BTC/USDT"][8:], okx)
    signals = {
        name: [each["parent_signal_id"] for each in one.summary()["signals"]] for name, one in venue.subscribers.items()
    }
    assert signals == {"anny": [here], "okx": [there], "4h": [here]}
    assert {name: bool(one.events) for name, one in venue.subscribers.items()} == {
        "anny": True,
        "okx": True,
        "4h": False,
    }


def test_a_subscriber_may_follow_one_strategy_by_its_tags(venue: PaperVenue) -> None:
    for name in ("first", "second"):
        venue.subscribe(subscriber(name, BINANCE, name * 8))
    feed(venue, TABLES["BTC/USDT"][:5])
    parents = []
    for name, number in (("first", 0), ("second", 3)):
        tag = signal_tag(name * 8, "BTC/USDT", "1h", START + 5 * HOUR, number)
        body = create_at("BTC", 150.0, stop_loss="90", attachment_description=f"ref:{tag}", invest=10)
        parents.append(accept(venue, "create_v2", body))
        accept(venue, "updateprice", {"stop_loss": "91"}, parents[-1])
    accept(venue, "create_v2", create_at("BTC", 150.0, stop_loss="90", invest=10))
    feed(venue, TABLES["BTC/USDT"][5:])
    for one in (venue, reopened(venue)):
        followed = {name: {event.signal for event in events(one, name)} for name in one.subscribers}
        assert followed["first"] == {parents[0]}
        assert followed["second"] == {parents[1]}
        assert len(followed["anny"]) == 3
    one.ledger.close()


def test_volumes_that_mean_nothing_stop_no_trade(venue: PaperVenue) -> None:
    still = [[*row[:5], 0.0] for row in TABLES["BTC/USDT"]]
    feed(venue, still[:1], volume_known=False)
    accept(venue, "create_v2", create_at("BTC", 150.0, stop_loss="90"))
    feed(venue, still[1:], volume_known=False)
    assert "entered" in {event.kind.value for event in events(venue)}
