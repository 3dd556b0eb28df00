"""The paper venue's inside: calls executed on the candles it is fed, and all of it again after a restart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from backtest.engine.feed import Feed
from backtest.engine.simulator import SimulatedVenue
from backtest.errors import InvalidCandlesError, InvalidSettingError, InvalidSignalError
from backtest.model.candles import Candles
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from backtest.venue.ledger import Ledger
from backtest.venue.paper import PaperVenue
from backtest.wire import call_from_body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOUR = 3_600_000
START = 1_700_002_800_000
BTC = Market("BTC/USDT", tick="0.01")
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
    venue.subscribe("anny", PROFILE, {})
    yield venue
    venue.ledger.close()


def accept(venue: PaperVenue, kind: str, body: dict[str, Any], parent: str | None = None) -> str:
    named = body if parent is None else {"parent_signal_id": parent, **body}
    return venue.accept(kind, json.dumps(named).encode(), parent)


def rehearse(venue: PaperVenue) -> str:
    venue.feed(BTC, "1h", ROWS[:1])
    parent = accept(venue, "create_v2", CREATE)
    venue.feed(BTC, "1h", ROWS[1:3])
    accept(venue, "updateprice", {"stop_loss": "96"}, parent)
    venue.feed(BTC, "1h", ROWS[3:])
    return parent


def test_fills_are_those_of_a_backtest(venue: PaperVenue) -> None:
    parent = rehearse(venue)
    columns = {name: [row[k] for row in ROWS] for k, name in enumerate(("open", "high", "low", "close", "volume"), 1)}
    candles = Candles("BTC/USDT", "1h", [row[0] for row in ROWS], **columns)  # type: ignore[arg-type]  # lists will do
    engine = SimulatedVenue([Feed(BTC, candles)], SubscriberProfile.anny())
    engine.send(call_from_body("create_v2", CREATE, parent), START + HOUR)
    engine.send(call_from_body("updateprice", {"stop_loss": "96"}, parent), START + 3 * HOUR)
    engine.advance()
    book = venue.subscribers["anny"].books["BTC/USDT"]
    assert book.events == engine.new_events()
    assert [event.kind.value for event in book.events][-1] == "closed"
    assert book.venue.equity_now == engine.equity_now


def test_restart_rebuilds_everything(venue: PaperVenue) -> None:
    parent = rehearse(venue)
    venue.subscribe("late", PROFILE | {"name": "late", "slippage": 0.0}, {})
    living = accept(venue, "create_v2", CREATE | {"entry_price_max": "90", "stop_loss": "80"})
    venue.ledger.close()
    again = PaperVenue(Ledger(venue.ledger.path))
    assert [s.summary() for s in again.subscribers.values()] == [s.summary() for s in venue.subscribers.values()]
    for name in ("anny", "late"):
        books = (venue.subscribers[name].books, again.subscribers[name].books)
        assert books[0]["BTC/USDT"].events == books[1]["BTC/USDT"].events
    assert again.clock == {"BTC/USDT": START + 5 * HOUR}
    with pytest.raises(InvalidSignalError, match="ended"):
        accept(again, "updateprice", {"stop_loss": "96"}, parent)
    assert accept(again, "updateprice", {"stop_loss": "81"}, living) == living
    again.ledger.close()


@pytest.mark.parametrize(("allowed", "end"), [(False, "refused"), (True, "closed")])
def test_a_stop_beyond_the_market_sells_only_where_that_was_allowed(venue: PaperVenue, allowed: bool, end: str) -> None:
    venue.feed(BTC, "1h", ROWS[:1])
    parent = accept(venue, "create_v2", CREATE)
    venue.feed(BTC, "1h", ROWS[1:2])
    raw = json.dumps({"parent_signal_id": parent, "stop_loss": "104"}).encode()
    venue.accept("updateprice", raw, parent, allow_marketable=allowed)
    venue.feed(BTC, "1h", ROWS[2:3])
    venue.ledger.close()
    again = PaperVenue(Ledger(venue.ledger.path))  # kept: a restart decides the same
    for one in (venue, again):
        events = one.subscribers["anny"].books["BTC/USDT"].events
        kinds = [event.kind.value for event in events if event.time == START + 2 * HOUR]
        assert end in kinds, kinds
    again.ledger.close()


def test_calls_before_any_candle_act_on_the_first(venue: PaperVenue) -> None:
    parent = accept(venue, "create_v2", CREATE | {"entry_price_max": "100"})
    venue.feed(BTC, "1h", ROWS[:1])
    events = venue.subscribers["anny"].books["BTC/USDT"].events
    assert [(event.signal, event.kind.value, event.time) for event in events] == [
        (parent, "created", START),
        (parent, "entered", START),
    ]


def test_calls_for_markets_without_candles_are_kept_only(venue: PaperVenue) -> None:
    venue.feed(BTC, "1h", ROWS[:1])
    parent = accept(venue, "create_v2", CREATE | {"coin": "ETH"})
    accept(venue, "cancel", {}, parent)
    assert venue.subscribers["anny"].books["BTC/USDT"].events == []
    assert [effect.at for effect in venue.ledger.effects()] == [0, 0]


def test_same_candles_again_change_nothing(venue: PaperVenue) -> None:
    rehearse(venue)
    before = venue.subscribers["anny"].summary()
    assert venue.feed(BTC, "1h", ROWS) == 0
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
    venue.feed(BTC, "1h", ROWS[:1])
    with pytest.raises(InvalidCandlesError):
        venue.feed(BTC, "1h", rows)
    assert venue.clock == {"BTC/USDT": START + HOUR}


def test_market_and_profile_may_not_change(venue: PaperVenue) -> None:
    venue.feed(BTC, "1h", ROWS[:1])
    with pytest.raises(InvalidSettingError, match="timeframe"):
        venue.feed(BTC, "4h", ROWS[1:])
    with pytest.raises(InvalidSettingError, match="timeframe"):
        venue.feed(Market("BTC/USDT", tick="0.1"), "1h", ROWS[1:])
    venue.subscribe("anny", PROFILE, {})
    with pytest.raises(InvalidSettingError, match="another name"):
        venue.subscribe("anny", PROFILE | {"balance": 5.0}, {})


def test_trailing_limit_better_than_its_trigger_is_refused(venue: PaperVenue) -> None:
    parent = accept(venue, "create_v2", CREATE)
    with pytest.raises(InvalidSignalError, match="trailing_stop_limit_price"):
        accept(venue, "trailingstop", {"trailing_stop_price": "95", "trailing_stop_limit_price": "96"}, parent)
    assert len(venue.ledger.effects()) == 1
