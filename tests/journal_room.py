"""Journals of emissions that went as a test wants: calls that meet any fate, candles that come late, other or not at all."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.live.code import code_hash
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.outcomes import JournalOutcomes, told_of
from backtest.live.schema import Code, Decided, Run, Seen, Stream
from backtest.model.candles import Candles
from backtest.runner.session import Session
from backtest.runner.window import rows_of
from backtest.venue.verdict import Meaning, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from backtest.live.intent import Intent
    from backtest.model.calls import Call
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.decision import Decision
    from backtest.strategy import Strategy

    Row = tuple[int, float, float, float, float, float]
    Fate = Callable[[Intent], str]

SECOND = 1_000
CODE = "0" * 64


def alike(candles: Candles, symbol: str, shift: int = 0, scale: float = 1.0) -> Candles:
    """Return candles under another name, of other prices: those of ``shift`` candles later at the times of the first."""
    n = len(candles) - shift
    columns = {name: getattr(candles, name)[shift:] * scale for name in ("open", "high", "low", "close")}
    return Candles(
        symbol, candles.timeframe, candles.time[:n], **columns, volume=candles.volume[shift:], exchange=candles.exchange
    )


class JournalRoom:
    """An emission without a network, on markets of one exchange, written into a real journal.

    Parameters
    ----------
    path
        Of the journal.
    strategy, profile
        Who decides, for whom.
    candles, markets
        By symbol, all beginning at the same time.
    history
        Candles at the beginning on which nothing is decided.
    """

    def __init__(
        self,
        path: Path,
        strategy: Strategy,
        candles: Mapping[str, Candles],
        markets: Mapping[str, Market],
        profile: SubscriberProfile,
        history: int = 100,
    ) -> None:
        self.path, self.strategy, self.profile, self.history = path, strategy, profile, history
        self.candles, self.markets = dict(sorted(candles.items())), dict(markets)
        self.span = next(iter(self.candles.values())).milliseconds
        self.seen_as: dict[tuple[str, int], Row | None] = {}
        """What was seen in place of a candle, by symbol and open time; None: it was missing."""
        self.lag: Callable[[str, int], int] = lambda _symbol, _time: 300
        """Milliseconds from a candle's close to its arrival."""
        self.delay: Callable[[Intent], int] = lambda _intent: 700
        """Milliseconds from a call's close until it is sent."""
        self.added: Callable[[list[Call]], list[Call]] = lambda _calls: []
        """What the emission plans at a close of a market besides the strategy's own calls."""
        self.dropped: Callable[[Decision], bool] = lambda _decision: False
        """Whether a decision is lost before it is planned."""
        self.meddle: Callable[[Journal, int], object] = lambda _journal, _close: None
        """What a person does to the journal before a close."""
        self.refusal = "INVALID_INPUT_CONTENT"
        self.now = 0
        self.account = "account"
        self.parents = 0
        self.first = int(next(iter(self.candles.values())).time[history])

    def emit(self, fate: Fate = lambda _: "acked", until: int | None = None) -> None:
        """Go through the candles, or the first so many of them; each call meets a fate after its close."""
        with Journal(self.path, Run("live", self.account, 0, CODE)) as journal:
            self._emit(journal, fate, until)

    def _emit(self, journal: Journal, fate: Fate, until: int | None) -> None:
        identity = self.strategy.identity
        plain = [json.dumps(value, sort_keys=True) for value in (self.strategy.parameters, self.profile.to_dict())]
        name = type(self.strategy).__name__
        journal.note_code(Code(identity, 0, 0, name, plain[0], code_hash(self.strategy), plain[1], accepted=False))
        streams = {
            symbol: Stream(self.account, identity, symbol, one.timeframe, one.exchange)
            for symbol, one in self.candles.items()
        }
        empty = {symbol: one.slice(0, 0) for symbol, one in self.candles.items()}
        outcomes = JournalOutcomes(journal, identity)
        session = Session(self.strategy, empty, market=self.markets, profile=self.profile, outcomes=outcomes)
        instants: dict[int, dict[str, Row]] = defaultdict(dict)
        for symbol, one in self.candles.items():
            for row in rows_of(one):
                instants[row[0]][symbol] = row
        unkept: dict[str, list[Seen]] = defaultdict(list)
        ordered = sorted(instants.items())
        anchor = ordered[0][0]
        for number, (time, rows) in enumerate(ordered[:until]):
            seen: dict[str, Row | None] = {s: self.seen_as.get((s, time), row) for s, row in rows.items()}
            if number < self.history:
                for symbol, early in seen.items():
                    if early is not None:
                        session.see(symbol, early)
                        unkept[symbol].append(Seen.of(time, early, "history", time + self.span + 1))
                continue
            close = self.now = time + self.span
            self.meddle(journal, close)
            decisions = [one for one in session.walk(time, seen) if not self.dropped(one)]
            told = told_of(session.settled, lambda key: journal.intent_named(identity, *key), close)
            kept = []
            for symbol, stream in streams.items():
                acted = seen.get(symbol)
                arrived = 0 if acted is None else close + self.lag(symbol, time)
                unkept[symbol].append(Seen.of(time, acted, "missing" if acted is None else "websocket", arrived))
                calls = [one.call for one in decisions if one.signal.startswith(f"{symbol}-")]
                calls += self.added(calls)
                ended = [str(event.signal) for event in session.events if event.kind.ends and event.symbol == symbol]
                kept.append(
                    Decided(
                        stream,
                        close,
                        calls,
                        unkept.pop(symbol),
                        told,
                        ended,
                        anchor,
                        (),
                        self.first,
                        self.markets[symbol],
                    )
                )
                told = []
            journal.keep(kept, close + 400)
            for intent in journal.intents(State.PLANNED):
                self.meet(journal, intent, fate(intent))

    def meet(self, journal: Journal, intent: Intent, fate: str) -> None:
        """Let a call meet its fate: a state, or ``planned`` for none yet."""
        if fate == "planned":
            return
        moment = intent.candle + self.delay(intent)
        if fate in {"expired", "blocked"}:
            journal.drop([(intent, State(fate), f"it was {fate}")], intent.candle + self.span)
            return
        journal.begin([intent], moment)
        self.parents += intent.creates
        parent = f"p{self.parents}" if intent.creates else None
        verdict, state = {
            "acked": (Verdict(Meaning.ACKED, status=200, parent_signal_id=parent), State.ACKED),
            "rejected": (Verdict(Meaning.REJECTED, self.refusal, 400), State.REJECTED),
            "unknown": (Verdict(Meaning.LOST, "no answer"), State.UNKNOWN),
            "lost": (Verdict(Meaning.LOST, "no answer"), State.UNKNOWN),
            "later": (Verdict(Meaning.LATER, "429", 429), State.PLANNED),
        }[fate]
        journal.finish(intent, verdict, state, moment + 200)
        if fate == "lost":
            journal.resolve(intent, State.NOT_LANDED, moment + SECOND)


def shorter(candles: Candles, first: int, count: int) -> Candles:
    """Return a part of candles of which volumes are known."""
    part = candles.slice(first, first + count)
    columns: dict[str, Any] = {
        name: np.asarray(getattr(part, name)) for name in ("open", "high", "low", "close", "volume")
    }
    return Candles(part.symbol, part.timeframe, part.time, **columns, exchange=part.exchange, volume_known=True)
