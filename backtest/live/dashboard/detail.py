"""Detail: one signal with its levels through time, its calls, and the candles of its market for the chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backtest.live.dashboard.view import CallLine, SignalLine
from backtest.live.intent import State
from backtest.live.schema import Stream
from backtest.model.timeframe import milliseconds
from backtest.report.chart import Fill, SignalLife

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.live.dashboard.reading import Reading
    from backtest.live.intent import Intent
    from backtest.live.journal import Journal
    from backtest.live.schema import Seen

__all__ = ["Detail", "detail"]

_CANDLES = 1_500
_LIVES = 6
"""Signals of one market that are drawn together; of more only the one that is looked at."""
_STANDS = {State.ACKED, State.LANDED, State.UNKNOWN, State.SENDING}
_MOVED = "stop_moved"


@dataclass(frozen=True)
class Detail:
    """What the page shows of the signal that is looked at.

    Attributes
    ----------
    line
        The signal.
    calls
        About it, oldest first.
    stops
        Steps of its stop: since when (UTC ms), at which price.
    chart
        As the chart's ``mount`` takes it: its market, and the signals that live there.
    number
        That of the signal on the chart.
    left
        How many more live on its market and are not drawn.
    """

    line: SignalLine
    calls: tuple[CallLine, ...]
    stops: tuple[tuple[int, float], ...]
    chart: dict[str, Any]
    number: int
    left: int


def detail(reading: Reading, key: str) -> Detail | None:
    """Return a living signal by its key; None where there is none.

    Parameters
    ----------
    reading
        Of the journal.
    key
        See :func:`backtest.live.dashboard.reading.key_of`.

    Raises
    ------
    BacktestError
        Where the journal cannot be read.
    """
    journal, said = reading.journal(), reading.state() or {}
    lines = reading.signals(journal, said, journal.cursors())
    chosen = next((line for line in lines if line.key == key), None)
    if chosen is None:
        return None
    here = [line for line in lines if line.symbol == chosen.symbol and line.timeframe == chosen.timeframe]
    shown = sorted(here if len(here) <= _LIVES else [chosen], key=lambda line: (line.opened, line.ref))
    events = {
        (book["identity"], one["ref"]): one["events"] for book in said.get("shadows", []) for one in book["signals"]
    }
    calls = journal.intents_of_signal(chosen.identity, chosen.ref)
    lives = [
        _life(
            number, line, journal.intents_of_signal(line.identity, line.ref), events.get((line.identity, line.ref), [])
        )
        for number, line in enumerate(shown, 1)
    ]
    number = shown.index(chosen) + 1
    chart = {"quote": chosen.symbol.partition("/")[2], "markets": _markets(journal, chosen)}
    return Detail(
        chosen,
        tuple(_line(journal, one) for one in calls),
        lives[number - 1].stop,
        {**chart, "signals": [life.to_dict() for life in lives]},
        number,
        len(here) - len(shown),
    )


def _line(journal: Journal, intent: Intent) -> CallLine:
    attempts = [one["at"] for one in journal.attempts(intent)]
    delay = attempts[0] - intent.candle if attempts else None
    what = (intent.id[:12], intent.kind, intent.symbol, intent.ref, intent.state.value, journal.note(intent))
    return CallLine(*what, intent.candle, attempts[-1] if attempts else intent.candle, delay)


def _life(number: int, line: SignalLine, calls: Sequence[Intent], events: Sequence[Sequence[Any]]) -> SignalLife:
    stops: list[tuple[int, float]] = []
    targets: dict[int, list[tuple[int, float]]] = {}
    for call in calls:
        if call.state not in _STANDS or not (call.creates or call.kind == "updateprice"):
            continue
        for name, price in call.prices.items():
            if name == "stop_loss":
                stops.append((call.candle, float(price)))
            elif name.startswith(("exit_price_", "sell_price_")):
                targets.setdefault(int(name.rpartition("_")[2]), []).append((call.candle, float(price)))
    stops += [(int(event[0]), float(event[2])) for event in events if event[1] == _MOVED and event[2] is not None]
    fills = [
        Fill(int(time), float(price), str(kind), int(target), float(quantity))
        for time, kind, price, target, quantity in events
        if kind != _MOVED and price is not None and quantity > 0.0
    ]
    return SignalLife(
        number,
        line.ref,
        line.symbol,
        line.side,
        line.opened,
        None,
        line.entry,
        tuple(sorted(stops, key=lambda step: step[0])),
        tuple(tuple(targets[n]) for n in sorted(targets)),
        tuple(fills),
        outcome=line.state,
    )


def _markets(journal: Journal, line: SignalLine) -> list[dict[str, Any]]:
    stream = Stream("", line.identity, line.symbol, line.timeframe, line.exchange)
    step = milliseconds(line.timeframe)
    cursor = journal.cursor(*stream.key)
    since = 0 if cursor is None else max(cursor.anchor, cursor.time - _CANDLES * step)
    seen = [one for one in journal.seen(stream, since) if one.open is not None]
    names = ("time", "open", "high", "low", "close")
    candles = [{name: getattr(one, name) for name in names} for one in seen]
    market = {"symbol": line.symbol, "timeframe": line.timeframe, "step": step, "decimals": _decimals(seen, line)}
    return [{**market, "candles": candles}]


def _decimals(seen: Sequence[Seen], line: SignalLine) -> int:
    """Return how many decimals the prices of a market have."""
    prices = [one.close for one in seen[-50:] if one.close is not None] + [level.price for level in line.targets]
    texts = [f"{price:.10f}".rstrip("0").partition(".")[2] for price in prices]
    return min(8, max((len(text) for text in texts), default=2))
