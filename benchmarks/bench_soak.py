"""A compressed soak: weeks of one-minute candles of many markets at full speed, through everything that runs live.

python benchmarks/bench_soak.py [DAYS] [SYMBOLS]     1 day, 20 symbols; 30 days are the whole soak

Candle files, feed, strategy, journal, sender, HTTP and a paper venue in a process of its own; only the exchange's wire is
left out. Every market makes a signal some times a day, with a time to live, and moves its stop once. Printed: what it took,
and the memory of both processes after a tenth of the time, in the middle and at the end: it must not grow. The run fails
unless the venue got exactly the calls of the backtest, each once, and its subscriber has the backtest's fills.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from backtest import Candles, Market, Moment, Strategy, SubscriberProfile, UpdatePrices, run
from backtest.engine.warm import warm
from backtest.live.emitter import Emitter
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.loop import Loop
from backtest.live.recording import candle_feed
from backtest.live.schema import Run
from backtest.live.seat import Seat
from backtest.live.sender import Sender
from backtest.live.settings import EmitSettings
from backtest.live.ticking import TickingClock
from backtest.market_data.files import read_candles
from backtest.market_data.series import Series
from backtest.venue.client import Client
from backtest.venue.credentials import Credentials
from backtest.venue.paper_client import PaperClient
from backtest.venue.rate import RateLimit
from backtest.wire import body_of, json_bytes, kind_of, with_ref
from benchmarks.made import minutes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from backtest import Call, Result

MINUTE, DAY = 60_000, 1_440
SECRETS = {"ANNY_API_KEY": "bench-key", "ANNY_API_SECRET": "bench-secret"}
VENUE = "import typer; from backtest.cli import venue; app = typer.Typer(); venue.register(app); app()"
PROFILE = SubscriberProfile.anny()


class Tidal(Strategy):
    """A signal every few hours at a minute of its own for each market, and its stop moved once."""

    every: int = 240

    def on_candle(self, now: Moment) -> Iterable[Call]:
        """Enter a little below, or move the stop of what was entered."""
        minute = now.close_time // MINUTE
        for signal in now.signals:
            entry, stop = signal.average_entry, signal.stop
            if minute % 30 == 0 and entry and stop and stop < entry * 0.997:
                yield UpdatePrices(signal.ref, stop_loss=entry * 0.998)
        if (minute + sum(map(ord, now.symbol))) % self.every == 0:
            price = now.close
            yield now.create(
                entry=price * 0.9995, targets=(price * 1.004,), stop_loss=price * 0.994, invest=2.0, ttl="2h"
            )


def write_files(folder: Path, days: int, symbols: int) -> list[Path]:
    """Write one file a market, as a feed of candle files reads them."""
    files = []
    for number in range(symbols):
        made = minutes(days * DAY, first=50.0 * (number + 1), seed=number)
        frame = made.to_pandas().reset_index(drop=True)
        frame.insert(0, "time", made.time)
        files.append(folder / f"C{number:02d}.parquet")
        frame.to_parquet(files[-1])
    return files


def read_files(files: Iterable[Path]) -> dict[str, Candles]:
    """Return the candles of the files by symbol."""
    symbols = {file: f"{file.stem}/USDT" for file in files}
    return {
        symbol: read_candles(file, symbol=symbol, timeframe="1m", exchange="binance")
        for file, symbol in symbols.items()
    }


def memory(pid: int | str = "self") -> float:
    """Return the resident memory of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return float(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024.0


class Watch:
    """Samples the memory of both processes while the journal's clock goes on."""

    def __init__(self, venue: int) -> None:
        self._venue, self._over = venue, threading.Event()
        self.samples: list[tuple[float, float, float]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.began = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.5):
            self.samples.append((time.perf_counter() - self.began, memory(), memory(self._venue)))

    def text(self) -> str:
        """Return the memory at three moments."""
        found = np.array(self.samples)
        places = [len(found) // 10, len(found) // 2, len(found) - 1]
        own = " -> ".join(f"{found[k, 1]:.0f}" for k in places)
        venue = " -> ".join(f"{found[k, 2]:.0f}" for k in places)
        return f"memory after a tenth, half, all: emitter {own} MB, venue {venue} MB"


async def emit(seat: Seat, candles: Mapping[str, Candles], emitter: Emitter, paper: PaperClient, start: int) -> int:
    """Go through all candles; return how many instants that were."""
    by_series = {series: candles[series.symbol] for series in seat.places}
    feed = candle_feed(by_series, start=start)
    emitter.clock = TickingClock(feed.time)
    emitter.client.rate = RateLimit(1_000_000, emitter.clock.seconds)
    async with feed:
        with Sender(emitter) as sender:
            await Loop(feed, [seat], sender, paper=paper).run(threading.Event())
    return len(next(iter(candles.values())))


def lines(result: Result) -> Counter[str]:
    """Return the calls of a backtest, as they are sent but for the venue's names."""
    bodies = (body_of(one.call, getattr(one.call, "signal", None)) for one in result.calls)
    return Counter(
        f"{kind_of(one.call)} {json_bytes(body).decode()}" for one, body in zip(result.calls, bodies, strict=True)
    )


def came(journal: Journal, paper: PaperClient) -> Counter[str]:
    """Return the calls that the venue got, with our refs."""
    refs = {row.parent_signal_id: row.ref for row in journal.signals() if row.parent_signal_id}
    return Counter(f"{one['kind']} {with_ref(one['body'].encode(), refs).decode()}" for one in paper.received())


def fills(events: Iterable[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Return what was bought and sold, in order."""
    return sorted(each for each in events if each[3])


@contextmanager
def started(folder: Path) -> Iterator[tuple[int, str]]:
    """Start a venue and give its process and address."""
    argv = [sys.executable, "-c", VENUE, "--port", "0", "--no-token", "--db", str(folder / "venue.sqlite")]
    env = {**os.environ, **SECRETS, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as venue:
        assert venue.stdout is not None
        try:
            yield venue.pid, venue.stdout.readline().split()[3].rstrip(",")
        finally:
            venue.terminate()


def main() -> None:
    """Run and print."""
    days, symbols = (int(text) for text in (*sys.argv[1:], *("1", "20")[len(sys.argv) - 1 :]))
    warm()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        candles = read_files(write_files(folder, days, symbols))
        markets = {symbol: Market(symbol, tick="0.01", exchange="BINANCE") for symbol in candles}
        began = time.perf_counter()
        expected = run(Tidal(), candles, market=markets, profile=PROFILE)
        print(f"backtest: {len(expected.calls):,} calls in {time.perf_counter() - began:.1f} s")
        with started(folder) as (pid, url):
            soak(folder, pid, url, candles, markets, expected)


def soak(
    folder: Path, pid: int, url: str, candles: dict[str, Candles], markets: dict[str, Market], expected: Result
) -> None:
    """Emit, compare, print; end the process where something differs."""
    credentials = Credentials.load(environment={**SECRETS, "ANNY_BASE_URL": url})
    first = min(int(one.time[0]) for one in candles.values())
    series = {Series("binance", symbol, "1m"): market for symbol, market in markets.items()}
    path = folder / "journal.sqlite"
    with (
        Journal(path, Run("paper", credentials.fingerprint, first)) as journal,
        Client(credentials) as client,
        PaperClient(url) as paper,
    ):
        who = {"account": credentials.fingerprint, "start": first, "since": first}
        seat = Seat(Tidal(), PROFILE, series, **who, journal=journal)  # type: ignore[arg-type]  # each fits its own
        paper.subscribe("soak", PROFILE.to_dict(), {}, place=seat.place, strategy=seat.strategy.identity)
        clock: list[int] = []
        emitter = Emitter(journal, client, None, EmitSettings(), lambda: len(clock))  # type: ignore[arg-type]  # set below
        with Watch(pid) as watch:
            closes = asyncio.run(emit(seat, candles, emitter, paper, first))
        took = time.perf_counter() - watch.began
        wanted, found = lines(expected), came(journal, paper)
        unknown = journal.intents(State.UNKNOWN)
        theirs = [(e["time"], e["symbol"], e["kind"], e["quantity"], e["price"]) for e in paper.events("soak")]
        ours = [(e.time, e.symbol, e.kind.value, e.quantity, e.price) for e in expected.events]
    print(
        f"{closes:,} closes of {len(candles)} markets in {took:.0f} s: {closes / took:.0f} closes/s, {sum(found.values()):,} calls"
    )
    print(watch.text())
    print(f"journal {path.stat().st_size / 1e6:.0f} MB, ledger {(folder / 'venue.sqlite').stat().st_size / 1e6:.0f} MB")
    if wanted != found or unknown or fills(theirs) != fills(ours):
        lost, more = wanted - found, found - wanted
        sys.exit(
            f"NO PARITY: {sum(lost.values())} lost, {sum(more.values())} too many, {len(unknown)} unknown, "
            f"{len(fills(theirs))} fills of {len(fills(ours))}"
        )
    print(f"PARITY: {sum(found.values()):,} calls and {len(fills(ours)):,} fills equal")


if __name__ == "__main__":
    main()
