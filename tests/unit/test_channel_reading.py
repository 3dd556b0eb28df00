"""What a message is about, when it counts, and by what it is priced: the walk over a channel's history."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import Candles
from backtest.channel.conventions import ChannelRules
from backtest.channel.message import Message
from backtest.channel.prices import Prices
from backtest.channel.reading import Read, Reading
from backtest.channel.review import Decision
from backtest.errors import InvalidSettingError
from backtest.model.calls import CreateSignal, UpdatePrices

if TYPE_CHECKING:
    from collections.abc import Mapping

START = 1_700_000_040_000  # a whole minute
MINUTE = 60_000
RULES = ChannelRules(
    exchange="BINANCE", quote="USDT", invest=5, account="SPOT", decimal=".", dash="range", without_stop="send",
    stop_to_entry="near", market="first minute", latency="30s", edited_within="5m", unreplied="newest", unchecked="accept",
)  # fmt: skip
LONG = "Long BTC/USDT entry 100 TP 110, 120 SL 90"


def series(rows: list[tuple[float, float, float, float]], timeframe: str = "1m", first: int = START) -> Candles:
    span = {"1m": MINUTE, "1h": 60 * MINUTE}[timeframe]
    table = np.array(rows, np.float64)
    time = first + span * np.arange(len(rows), dtype=np.int64)
    opens, highs, lows, closes = (table[:, k].copy() for k in range(4))
    return Candles("BTC/USDT", timeframe, time, opens, highs, lows, closes, np.ones(len(rows)))


def read(
    *texts: str | tuple[str, dict[str, Any]],
    prices: Prices | None = None,
    decisions: Mapping[str, Decision] | None = None,
    **rules: Any,
) -> list[Read]:
    """Read messages that came a minute apart; ids begin at 1."""
    reading = Reading(RULES.model_copy(update=rules), prices or Prices(), decisions or {})
    found = []
    for number, one in enumerate(texts, 1):
        text, more = one if isinstance(one, tuple) else (one, {})
        found.append(reading.take(replace(Message(str(number), START + number * MINUTE, text), **more)))
    return found


def answer(to: int, text: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return text, {"reply_to": str(to), **more}


def test_an_answer_belongs_to_the_signal_through_any_number_of_answers() -> None:
    found = read(LONG, answer(1, "TP1 hit ✅"), answer(2, "🔥"), answer(3, "Stop to entry"), answer(4, "Close now"))
    assert [one.kind for one in found] == ["create", "report", "chatter", "update", "cancel"]
    assert [one.about for one in found[1:]] == ["1"] * 4
    (update,) = found[3].calls
    assert isinstance(update, UpdatePrices)
    assert update.stop_loss == 100.0


def test_a_signal_that_answers_another_one_begins_a_thread_of_its_own() -> None:
    found = read(LONG, answer(1, "Long ETH/USDT entry 10 TP 12 SL 9"), answer(2, "Close now"))
    assert [one.about for one in found] == ["", "", "2"]


def test_a_signal_that_answers_its_own_pair_is_refused() -> None:
    _, second = read(LONG, answer(1, "Long BTC/USDT entry 101 TP 110 SL 90"))
    assert "whether it is new or corrects it" in second.reason


def test_what_comes_after_the_end_is_refused() -> None:
    *_, last = read(LONG, answer(1, "Cancel"), answer(1, "SL to entry"))
    assert last.reason == "its signal 1 was ended by message 2"


def test_an_answer_to_what_does_not_count_is_refused_with_its_reason() -> None:
    _, second = read("Long BTC/USDT entry 100 TP 110 SL 5%", answer(1, "Close now"))
    assert "which is no signal that counts: it gives 5%" in second.reason


def test_later_answers_see_what_earlier_ones_moved() -> None:
    found = read(LONG, answer(1, "TP2 115"), answer(1, "SL to TP2"))
    assert found[2].kind == "unreadable"  # beyond the last target, which is 115 now
    assert "115" in found[2].reason


def test_without_an_answer_it_is_the_newest_living_signal_of_its_pair() -> None:
    texts = (
        LONG,
        "Long BTC/USDT entry 101 TP 111 SL 91",
        "BTC/USDT: stop to entry",
        "BTC/USDT cancel",
        "BTC/USDT: stop to 95",
    )
    found = read(*texts)
    assert [one.about for one in found[2:]] == ["2", "2", "1"]
    assert "the rule unreplied is not set" in read(*texts, unreplied=None)[2].reason
    assert "the rule unreplied refuses" in read(*texts, unreplied="refuse")[2].reason
    assert "names no pair" in read(LONG, "stop to entry")[1].reason


@pytest.mark.parametrize(
    ("after", "within", "kind", "words"),
    [
        (90_000, 300_000, "create", ""),
        (300_001, 300_000, "unreadable", "edited 5 min after it was sent: not counted"),
        (21 * 3_600_000, 300_000, "unreadable", "edited 21 h after it was sent: not counted"),
        (90_000, None, "unreadable", "the rule edited_within is not set"),
    ],
)
def test_an_edited_message_counts_from_its_edit_or_not(after: int, within: int | None, kind: str, words: str) -> None:
    (found,) = read((LONG, {"edited": START + MINUTE + after}), edited_within=within)
    assert found.kind == kind
    assert words in found.reason
    if kind == "create":
        assert found.at == START + MINUTE + after


def test_an_answer_before_its_edited_signal_stood_is_refused() -> None:
    found = read((LONG, {"edited": START + MINUTE + 200_000}), answer(1, "Close now"))
    assert "before its signal 1 stood as it is exported" in found[1].reason


def test_an_edited_chat_message_is_chatter_all_the_same() -> None:
    (found,) = read(("Good morning", {"edited": START + 10**9}))
    assert found.kind == "chatter"


ROWS = [
    (100.0, 101.0, 99.0, 100.5),
    (100.5, 103.0, 98.0, 102.0),
    (102.0, 104.0, 101.5, 103.0),
    (103.0, 105.0, 102.5, 104.0),
]


def test_an_entry_at_market_is_the_first_minute_after_message_and_latency() -> None:
    prices = Prices(minutes={"BTC/USDT": series(ROWS)})
    (found,) = read("Long BTC/USDT now, TP 110, SL 90", prices=prices)  # sent at minute 1, due half a minute later
    (create,) = found.calls
    assert isinstance(create, CreateSignal)
    assert (create.entry_price_min, create.entry_price_max) == (102.0, 104.0)
    (short,) = read(
        "Short BTC/USDT now, TP 90, SL 110", prices=prices, account="FUTURES", leverage=1.0, margin_type="CROSS"
    )
    (create,) = short.calls
    assert isinstance(create, CreateSignal)
    assert (create.entry_price_min, create.entry_price_max) == (101.5, 102.0)


@pytest.mark.parametrize(
    ("rules", "words"),
    [({"market": None}, "the rule market"), ({"latency": None}, "the rule latency"), ({}, "no candle of 1m")],
)
def test_an_entry_at_market_needs_its_rules_and_minutes(rules: dict[str, Any], words: str) -> None:
    (found,) = read("Long BTC/USDT now, TP 110, SL 90", **rules)
    assert words in found.reason


def test_minutes_are_of_one_minute() -> None:
    with pytest.raises(InvalidSettingError, match="candles of 1m"):
        Prices(minutes={"BTC/USDT": series(ROWS, "1h")})


@pytest.mark.parametrize(
    ("factor", "kind"), [(0.49, "unreadable"), (0.51, "create"), (1.99, "create"), (2.01, "unreadable")]
)
def test_an_entry_lies_within_half_and_twice_the_close(factor: float, kind: str) -> None:
    held = Prices({"BTC/USDT": series([(100.0, 100.0, 100.0, 100.0)] * 3)})
    entry = 100.0 * factor
    text = f"Long BTC/USDT entry {entry:.2f} TP {entry * 1.1:.2f} SL {entry * 0.9:.2f}"
    (found,) = read(text, prices=held, unchecked=None)
    assert found.kind == kind
    decided = {"1": Decision("keep", "", text, "keep")}
    assert read(text, prices=held, unchecked=None, decisions=decided)[0].kind == "create"


def test_a_signal_without_candles_needs_a_rule() -> None:
    assert "the rule unchecked is not set" in read(LONG, unchecked=None)[0].reason
    assert "the rule unchecked refuses" in read(LONG, unchecked="refuse")[0].reason
    assert "unchecked" in read(LONG)[0].marks


def test_a_signal_after_its_entry_was_passed_is_marked() -> None:
    went = Prices(
        {"BTC/USDT": series([(100.0, 100.0, 99.0, 99.5), (104.0, 105.0, 104.0, 105.0)], first=START - MINUTE)}
    )
    assert "passed" in read(LONG, prices=went)[0].marks
    never = Prices({"BTC/USDT": series([(104.0, 105.0, 104.0, 105.0)] * 2, first=START - MINUTE)})
    assert "passed" not in read(LONG, prices=never)[0].marks


@pytest.mark.parametrize(
    ("text", "rules", "words"),
    [
        (LONG, {"exchange": None}, "exchange"),
        (LONG, {"invest": None}, "invest"),
        (LONG, {"account": None}, "account"),
        (LONG, {"invest": "message"}, "does not say how much"),
        (LONG, {"account": "FUTURES"}, "leverage"),
        (f"{LONG} 5x", {}, "the rule account is SPOT"),
        ("Short BTC/USDT entry 100 TP 90 SL 110", {}, "it is a short"),
        ("Long BTC/USDT entry 100 TP 110", {"without_stop": "refuse"}, "refuses such signals"),
        ("Long BTC/USDT entry 100, 95 TP 110 SL 90", {}, "the rule entries"),
        ("Long BTC/USDT entry 100 DCA 95 TP 110 SL 90", {}, "dca_multiplier"),
    ],
)
def test_a_rule_that_is_not_set_is_named(text: str, rules: dict[str, Any], words: str) -> None:
    (found,) = read(text, **rules)
    assert found.kind == "unreadable"
    assert words in found.reason
