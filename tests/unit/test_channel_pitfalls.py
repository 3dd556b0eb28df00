"""Texts that look like a plain signal or a plain close and are another thing: refused, each for its reason."""

from __future__ import annotations

import pytest

from backtest.channel.conventions import ChannelRules
from backtest.channel.message import Message
from backtest.channel.prices import Prices
from backtest.channel.reading import Read, Reading

START = 1_700_000_040_000
RULES = ChannelRules(
    exchange="BINANCE", quote="USDT", invest=5, account="SPOT", decimal=".", dash="range", entries="equal",
    without_stop="send", stop_to_entry="near", unreplied="newest", unchecked="accept",
)  # fmt: skip
SIGNAL = "#BTC/USDT long\nEntry 42000\nTP1 43000\nTP2 44000\nSL 41000"


def read(*texts: str) -> Read:
    """Return what became of the last of several messages, each of which answers the first."""
    reading = Reading(RULES, Prices())
    for k, text in enumerate(texts, 1):
        found = reading.take(Message(str(k), START + 60_000 * k, text, reply_to="1" if k > 1 else None))
    return found


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("#XRP/USDT long entry .52 TP .55 SL .49", "no digit before its decimal sign"),
        ("#BTC/USDT long\nBuy above $42500\nTP 43500\nSL 41800", "waits for a breakout (above 42500)"),
        ("#BTC/USDT long\nBuy on a breakout at 42500, TP 43500 SL 41800", "waits for a breakout"),
        ("#BTC/USDT long\nEntry: >42500\nTP 43500\nSL 41800", "beyond a price (>42500)"),
        ("#BTC/USDT long\nEntry: 42500+\nTP 43500\nSL 41800", "and more (42500+)"),
        (f"{SIGNAL}\nonly on a daily close above entry", "waits for a close beyond a price"),
        ("#BTC/USDT long\nEntry: 42500\nTP1: 43000 ✅\nTP2: 44000\nSL 41800", "was reached"),
        ("#BTC/USDT long\nEntry: 42500\nTP1: 43000\nTP2: open\nSL 41800", "target 2 has no price"),
        ("#BTC/USDT long\nEntry: 42500\nTP 43000\nSL: for members", "speaks of a stop"),
        ("#BTC/USDT long\nEntry: 42500\n🛑 41800\nTP 43000", "🛑 before 41800 says that it is a stop"),
        ("#BTC/USDT long\nEntry 1: 42000 (20%)\nEntry 2: 41500 (80%)\nTP 43000\nSL 41000", "20 %, 80 %"),
        ("#XRP/USDT SELL 0.52 BUY 0.49", "sells first and buys then"),
        (f"Skip this one!\n{SIGNAL}", "'skip'"),
        (f"Cancel this:\n{SIGNAL}", "'cancel'"),
        (f"Entry missed ❌\n{SIGNAL}", "'missed'"),
        (f"Half size\n{SIGNAL}", "'half'"),
        (f"прошлый сигнал\n{SIGNAL}", "'прошлый'"),
        (f"señal anterior\n{SIGNAL}", "'anterior'"),
        (f"Our call last week:\n{SIGNAL}", "'week'"),
        (f"Competitor posted this\n{SIGNAL}", "'competitor'"),
        (f"Another one in the bag\n{SIGNAL}", "'bag'"),
    ],
)
def test_what_only_looks_like_a_signal_is_refused(text: str, because: str) -> None:
    found = read(text)
    assert (found.kind, found.calls) == ("unreadable", ())
    assert because in found.reason


@pytest.mark.parametrize(
    "text", ["closing 50%", "Close 33.3%", "Close position 50%", "Закрываем 50%", "cerramos 50%", "We are close 🔥"]
)
def test_what_only_sounds_like_an_end_ends_nothing(text: str) -> None:
    found = read(SIGNAL, text)
    assert (found.kind, found.calls) == ("unreadable", ())


@pytest.mark.parametrize("text", ["Close now", "closing 100%", "Close now +50%", "Close with 50% profit"])
def test_an_end_that_tells_its_profit_is_an_end(text: str) -> None:
    assert read(SIGNAL, text).kind == "cancel"


@pytest.mark.parametrize(
    "text",
    [
        "#BTC/USDT long\n✅ Entry: 42000\n✅ TP1: 43000\n✅ TP2: 44000\n⛔ SL: 41000",
        "#BTC/USDT long\nEntry 1: 42000 (50%)\nEntry 2: 41500 (50%)\nTP 43000\nSL 41000",
        "BUY #BTCUSDT 42000\nSELL 43000 44000",
    ],
)
def test_the_plain_forms_beside_them_are_still_read(text: str) -> None:
    assert read(text).kind == "create"
