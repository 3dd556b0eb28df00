"""Journals of an emission that went on for a while, written through the journal's own door, for tests."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

from backtest.live.intent import Intent, State
from backtest.live.journal import Journal
from backtest.live.schema import Decided, Run, Seen, Stream
from backtest.model.calls import CreateSignal, UpdatePrices
from backtest.model.events import SignalRef
from backtest.venue.verdict import Meaning, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOUR = 3_600_000
START = 1_709_510_400_000  # 2024-03-04T00:00Z, a Monday
RUN = Run("paper", "7f3a9c41d2e00000", START)
STRATEGY = "5" * 64
ACKED = Verdict(Meaning.ACKED)
LOST = Verdict(Meaning.LOST, "the answer never came", error="ReadTimeout")


def create(ref: str, symbol: str, price: float, **changes: Any) -> CreateSignal:
    """A long whose stop lies 4 % below and whose targets lie 3 and 6 % above."""
    coin, _, quote = symbol.partition("/")
    tag = f"ref:{hashlib.sha256(ref.encode()).hexdigest()[:12]}"
    given: dict[str, Any] = {
        "coin": coin,
        "trade_market": quote,
        "exchange": "BINANCE",
        "invest": 5,
        "entry_price_min": round(price * 0.99, 4),
        "entry_price_max": round(price, 4),
        "targets": (round(price * 1.03, 4), round(price * 1.06, 4)),
        "stop_loss": round(price * 0.96, 4),
        "attachment_description": tag,
        "ref": SignalRef(ref),
    }
    return CreateSignal(**{**given, **changes})


def rows(symbol: str, count: int, source: str = "rest") -> list[Seen]:
    """Candles of one hour each, a calm wave, another one for each symbol."""
    level, found, last = 50.0 + sum(map(ord, symbol)) % 100, list[Seen](), 0.0
    for k in range(count):
        close = round(level * (1.0 + 0.05 * math.sin(k / 9.0 + level) + 0.01 * math.sin(k * 1.7)), 4)
        last = last or close
        high, low = max(last, close) * 1.004, min(last, close) * 0.996
        time = START + k * HOUR
        found.append(Seen(time, last, round(high, 4), round(low, 4), close, 10.0, source, time + HOUR + 700))
        last = close
    return found


def stream(symbol: str, strategy: str = STRATEGY) -> Stream:
    """One strategy on one symbol."""
    return Stream(RUN.account, strategy, symbol, "1h", "binance")


def send(journal: Journal, intent: Intent, verdict: Verdict, parent: str | None = None, at: int | None = None) -> None:
    """Let a call be sent and end so."""
    moment = intent.candle + 900 if at is None else at
    journal.begin([intent], moment)
    state = {Meaning.ACKED: State.ACKED, Meaning.LOST: State.UNKNOWN, Meaning.REJECTED: State.REJECTED}[verdict.meaning]
    if parent is not None:
        verdict = Verdict(verdict.meaning, parent_signal_id=parent)
    journal.finish(intent, verdict, state, moment + 120)


def parent(number: int) -> str:
    """The venue's name of a signal."""
    return f"{number:024x}"


def seeded(
    path: Path,
    symbols: Sequence[str] = ("BTC/USDT", "ETH/USDT"),
    *,
    count: int = 1,
    candles: int = 72,
    unknown: int = 1,
) -> None:
    """Write a journal: on each symbol signals that live with a stop that moved, then unknowns, then one that expired."""
    with Journal(path, RUN) as journal:
        number = 0
        for symbol in symbols:
            seen, mine = rows(symbol, candles), stream(symbol)
            first = seen[: candles // 2]
            closes = first[-1].time + HOUR
            level = first[-1].close or 1.0
            calls = [create(f"{symbol}-{closes}-{k}", symbol, level * (1.0 - 0.001 * k)) for k in range(count)]
            made = journal.keep([Decided(mine, closes, calls, first, anchor=START)], closes + 800)
            for intent in made:
                number += 1
                send(journal, intent, ACKED, parent(number))
            later = seen[candles // 2 :]
            end = later[-1].time + HOUR
            moved = [UpdatePrices(SignalRef(call.ref), stop_loss=round(level * 0.98, 4)) for call in calls[:1]]
            for intent in journal.keep([Decided(mine, end, moved, later, anchor=START)], end + 800):
                send(journal, intent, ACKED)
        for k in range(unknown):
            symbol = symbols[k % len(symbols)]
            at = START + candles * HOUR
            call = create(f"{symbol}-{at}-{90 + k}", symbol, rows(symbol, candles)[-1].close or 1.0)
            last = rows(symbol, candles)[-1:]
            for intent in journal.keep([Decided(stream(symbol), at, [call], last, anchor=START)], at + 800):
                send(journal, intent, LOST)
        at, symbol = START + candles * HOUR, symbols[0]
        late = create(f"{symbol}-{at}-99", symbol, 100.0)
        last = rows(symbol, candles)[-1:]
        for intent in journal.keep([Decided(stream(symbol), at, [late], last, anchor=START)], at + 800):
            journal.drop([(intent, State.EXPIRED, "its time had passed before the venue could be reached")], at + HOUR)
