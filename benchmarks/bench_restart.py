"""A restart of live emission: how long it takes until a journal of so many candles goes on.

python benchmarks/bench_restart.py [CANDLES]     20,000 candles of one market

The shipped breakout on made candles, every call acknowledged. Printed: reading the journal, putting its calls and outcomes
into the engine, asking the code whether it still decides the same, all of it together (:meth:`Seat.restore`), and, to compare,
the strategy walked close by close. The run fails unless the account that was put together equals that of the run which asks the code.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from backtest import Candles, Market, Session, SubscriberProfile
from backtest.engine.warm import warm
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.outcomes import JournalOutcomes, read_lived
from backtest.live.schema import Decided, Run
from backtest.live.seat import Seat
from backtest.live.track import Closed, Source
from backtest.market_data.series import Series
from backtest.runner.lived_walk import walk_lived
from backtest.runner.run import lane_of
from backtest.runner.window import rows_of
from backtest.venue.verdict import Meaning, Verdict
from benchmarks.made import minutes
from strategies.breakout import Breakout

MINUTE = 60_000
PROFILE = SubscriberProfile.anny()


def seat_of(journal: Journal, candles: Candles, start: int) -> Seat:
    """Return a seat on one market whose account starts behind a close, UTC ms."""
    series = Series("binance", candles.symbol, candles.timeframe)
    market = Market(candles.symbol, tick="0.01", exchange="BINANCE")
    first = int(candles.time[0])
    return Seat(Breakout(), PROFILE, {series: market}, journal, account="bench", start=start, since=first)


def fill(journal: Journal, candles: Candles) -> None:
    """Live through all candles; each call is acknowledged at once."""
    seat = seat_of(journal, candles, int(candles.time[0]))
    seat.restore()
    (series,) = seat.places
    unkept: list[Decided] = []
    last = int(candles.time[-1])
    for row in rows_of(candles):
        seat.take(Closed(series, row, Source.WEBSOCKET, row[0] + MINUTE))
        decided = seat.decide()
        unkept += decided
        if row[0] != last and not any(one.calls for one in decided):
            continue
        for intent in journal.keep(unkept, row[0] + MINUTE):
            journal.begin([intent], row[0])
            parent = f"p-{intent.ref}" if intent.creates else None
            journal.finish(intent, Verdict(Meaning.ACKED, status=200, parent_signal_id=parent), State.ACKED, row[0])
        unkept = []


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    warm()
    candles = minutes(count, first=100.0, seed=5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        with Journal(path, Run("paper", "bench", 0)) as journal:
            fill(journal, candles)
        took: dict[str, list[float]] = {}

        def timed(name: str, began: float) -> None:
            took.setdefault(name, []).append((time.perf_counter() - began) * 1e3)

        for _ in range(5):
            began = time.perf_counter()
            with Journal(path, Run("paper", "bench", 0)) as journal:
                timed("open the journal, every row held against its hash", began)
                began = time.perf_counter()
                lived = read_lived(journal, Breakout().identity)
                timed("read candles, calls and outcomes", began)
                began = time.perf_counter()
                outcomes = JournalOutcomes(journal, Breakout().identity)
                session = Session.resumed(Breakout(), lived, outcomes, profile=PROFILE)
                timed("put them into the engine", began)
                began = time.perf_counter()
                again = walk_lived(Breakout(), lived, PROFILE, lane=lane_of(Breakout()))
                timed("ask whether the code decides the same", began)
                seat = seat_of(journal, candles, int(candles.time[-1]) + MINUTE)
                began = time.perf_counter()
                seat.restore()
                timed("restore, all of the last three", began)
        began = time.perf_counter()
        empty = candles.slice(0, 0)
        (one,) = lived.markets.values()
        walked = Session(Breakout(), empty, market=one.market, profile=PROFILE, outcomes=lived)
        for row in rows_of(candles):
            walked.close(*row)
        timed("to compare: the strategy walked close by close", began)
    accounts = {session.venue.equity_now, seat.session.venue.equity_now, again.venue.equity_now}
    print(f"{count:,} candles, {len(lived.made):,} calls, {len(lived.markets[candles.symbol].anchors)} anchors")
    for name, times in took.items():
        print(f"{name}: min {min(times):.0f} ms, median {sorted(times)[len(times) // 2]:.0f} ms")
    if len(accounts) > 1:
        sys.exit(f"NOT EQUAL: {accounts}")


if __name__ == "__main__":
    main()
