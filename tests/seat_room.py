"""An emission without exchange and venue: seats that take candles, a journal, and fates that a call's own id draws."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import TYPE_CHECKING, Any

from backtest import Market, SubscriberProfile
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.notices import Notice, Notices
from backtest.live.schema import Run
from backtest.live.seat import Seat
from backtest.live.track import Closed, Fault, FaultKind, Source
from backtest.market_data.series import Series
from backtest.runner.window import rows_of
from backtest.venue.verdict import Meaning, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from backtest import Candles, Strategy
    from backtest.live.intent import Intent

HOUR = 3_600_000
FATES = ("acked", "acked", "acked", "rejected", "expired", "unknown", "planned")
TABLES = ("seen", "intent", "told", "refusal", "anchor", "rules", "cursor", "signal")


class SeatRoom:
    """One strategy on its candles; everything that is by chance depends on ids and closes, not on what was drawn before.

    Parameters
    ----------
    path
        Of the journal.
    strategy, candles
        Who decides, on what.
    history
        How many candles are history.
    keep
        How many candles indicators see at least.
    fates
        What calls may meet.
    late
        Milliseconds after the last close of history at which the emission starts.
    """

    def __init__(
        self,
        path: Path,
        strategy: Strategy,
        candles: Mapping[str, Candles],
        *,
        history: int = 30,
        keep: int = 100,
        fates: Sequence[str] = FATES,
        tick: str = "0.2",
        late: int = 0,
    ) -> None:
        self.path, self.strategy, self.keep, self.fates = path, strategy, keep, fates
        self.tables = {symbol: {row[0]: row for row in rows_of(one)} for symbol, one in candles.items()}
        self.first = min(min(rows) for rows in self.tables.values())
        self.start = self.first + history * HOUR + late
        self.now, self.tick, self.parents = self.start, tick, 0
        self.attachments = ""
        self.told: list[Notice] = []
        self.journal: Journal
        self.seat: Seat
        self.begin()

    def begin(self, *, accept: bool = False) -> None:
        """Start, as a process does."""
        self.journal = Journal(self.path, Run("paper", "account", self.now))
        markets = {
            Series("binance", symbol, "1h"): Market(
                symbol, tick=self.tick, exchange="BINANCE", attachments_url=self.attachments
            )
            for symbol in self.tables
        }
        where = {"account": "account", "start": self.now, "since": self.first}
        self.seat = Seat(self.strategy, SubscriberProfile.anny(), markets, journal=self.journal, **where)  # type: ignore[arg-type]
        self.seat.keep = self.keep
        with Notices() as notices:
            notices.subscribe(self.told.append)
            self.seat.notices = notices
            try:
                self.seat.restore(accept=accept)
            except BaseException:
                self.journal.close()
                raise

    def restart(self, *, accept: bool = False) -> None:
        """End and start anew."""
        self.journal.close()
        self.begin(accept=accept)

    def close(self, number: int) -> None:
        """Let the candles of an instant close, and the calls meet their fates."""
        self.take(number)
        for intent in self.journal.intents(State.PLANNED):
            self._meet(intent, self.fates[self._chance(intent, number) % len(self.fates)])
        for intent in self.journal.intents(State.UNKNOWN):
            chance = self._chance(intent, number)
            if chance % 4 == 0:
                self._resolve(intent, State.LANDED if chance % 8 else State.NOT_LANDED)

    def take(self, number: int) -> None:
        """Let the candles of an instant close; the calls wait."""
        time = self.first + number * HOUR
        self.now = max(self.now, time + HOUR)
        for series in self.seat.places:
            row = self.tables[series.symbol].get(time)
            item = Fault(series, FaultKind.MISSING, time) if row is None else self._closed(series, row)
            self.seat.take(item)
        self.journal.keep(self.seat.decide(), self.now)

    def _closed(self, series: Series, row: Any) -> Closed:
        return Closed(series, row, Source.WEBSOCKET, row[0] + HOUR + 100)

    def _chance(self, intent: Intent, number: int) -> int:
        return int(hashlib.sha256(f"{intent.id}{number}".encode()).hexdigest()[:8], 16)

    def _meet(self, intent: Intent, fate: str) -> None:
        signal = self.journal.signal(*intent.signal)
        if fate == "planned" or (not intent.creates and (signal is None or signal.state == "dead")):
            return
        if fate == "expired":
            self.journal.drop([(intent, State.EXPIRED, "expired, try later")], self.now)
            return
        self.journal.begin([intent], self.now)
        parent = f"p-{intent.ref}" if intent.creates else None
        verdict, state = {
            "acked": (Verdict(Meaning.ACKED, status=200, parent_signal_id=parent), State.ACKED),
            "rejected": (Verdict(Meaning.REJECTED, "wrong", 400), State.REJECTED),
            "unknown": (Verdict(Meaning.LOST, "lost"), State.UNKNOWN),
        }[fate]
        self.journal.finish(intent, verdict, state, self.now)

    def _resolve(self, intent: Intent, state: State) -> None:
        parent = f"p-{intent.ref}" if intent.creates and state is State.LANDED else None
        self.journal.resolve(intent, state, self.now, parent)

    def rows(self) -> dict[str, list[Any]]:
        """Return what the journal holds, but for hashes, which cover times of starts too."""
        db = sqlite3.connect(self.path)
        db.row_factory = sqlite3.Row
        found = {
            table: [
                {key: value for key, value in dict(row).items() if key != "hash"}
                for row in db.execute(f"SELECT * FROM {table}")
            ]
            for table in TABLES
        }
        db.close()
        return found
