"""Latency of the live loop: from a closing message's arrival to the first byte of its call at a venue.

python benchmarks/bench_live.py [ROUNDS]     30 closes, with 1, 20 and 200 series and 8 calls at each close

Everything is real but two things: messages come as text from this process (what a socket and ccxt add before is not in the
figures), and the venue is a bare socket in a process of its own that answers at once. Creates of an account go one after
another, so that the eighth waits for seven answers; the first one is printed apart.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from backtest import Call, Market, Moment, Strategy, SubscriberProfile
from backtest.engine.warm import warm
from backtest.live.emitter import Emitter
from backtest.live.feed import Feed
from backtest.live.journal import Journal
from backtest.live.loop import Loop
from backtest.live.schema import Run
from backtest.live.seat import Seat
from backtest.live.sender import Sender
from backtest.live.settings import EmitSettings
from backtest.live.ticking import PlayedTime, TickingClock
from backtest.live.track import Follow
from backtest.market_data.pages import Page
from backtest.market_data.series import Series
from backtest.venue.client import Client
from backtest.venue.credentials import Credentials
from backtest.venue.rate import RateLimit
from backtest.wire.answer import performed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from multiprocessing.connection import Connection

MINUTE, START, CALLS = 60_000, 1_709_510_400_000, 8


class Eight(Strategy):
    """Eight creates at each close, of one market or of the first eight; none is ever filled."""

    each: int = 1

    def on_candle(self, now: Moment) -> Iterable[Call]:
        """Enter far below."""
        price = now.close
        if self.each > 1 or int(now.symbol[1:4]) < CALLS:
            for _ in range(self.each):
                yield now.create(
                    entry=price * 0.5, targets=(price * 2.0,), stop_loss=price * 0.4, invest=0.1, ttl=MINUTE
                )


class _Push:
    """A connection in this process, as binance would fill it."""

    exchange, contract, pushes, flagged = "binance", False, True, True

    def __init__(self, series: list[Series], played: PlayedTime) -> None:
        self.series = tuple(series)
        self.names = {(one.symbol.replace("/", ""), "1m"): one for one in series}
        self.played = played
        self.arrived: dict[str, int] = {}
        self.hear: Any = None

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def time(self) -> float:
        return self.played.steady()

    async def pages(self, series: Series, start: int, end: int, now: int) -> AsyncIterator[Page]:
        times = np.arange(start, end, MINUTE, dtype=np.float64)
        yield Page(
            np.column_stack([times, *(np.full(len(times), value) for value in (100, 101, 99, 100, 1))]), (start, end)
        )

    async def gone(self) -> set[Series]:
        return set()

    async def listen(self, hear: Any, opened: Any) -> None:
        self.hear = hear
        opened()
        await asyncio.Event().wait()

    def burst(self, minute: int) -> None:
        """Let a candle of every series close."""
        t = START + minute * MINUTE
        k = {"t": t, "i": "1m", "o": "100", "h": "101", "l": "99", "c": "100", "v": "1", "x": True}
        texts = [(m, json.dumps({"e": "kline", "s": m, "k": {**k, "s": m}})) for m, _ in self.names]
        for market, text in texts:
            self.arrived[market] = time.monotonic_ns()
            self.hear(json.loads(text))


def venue(pipe: Connection) -> None:
    """Answer every call at once, and remember when its first byte came."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        pipe.send(listener.getsockname()[1])
        came: list[tuple[int, str]] = []

        def serve(one: socket.socket, number: int) -> None:
            with one, suppress(OSError):
                text = one.recv(65_536)
                first = time.monotonic_ns()
                head, _, body = text.partition(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                )
                while len(body) < length:
                    body += one.recv(65_536)
                answer = json.dumps(performed(f"p{number}")).encode()
                one.sendall(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
                    + f"content-length: {len(answer)}\r\n\r\n".encode()
                    + answer
                )
                came.append((first, json.loads(body)["coin"]))

        def accept() -> None:
            for number in range(10**9):
                one, _ = listener.accept()
                threading.Thread(target=serve, args=(one, number), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        while pipe.recv() != "end":
            pipe.send([came.pop(0) for _ in range(len(came))])  # one may come meanwhile


async def measure(count: int, rounds: int, port: int, pipe: Connection) -> None:
    """Print the latencies with so many series."""
    played = PlayedTime(START + 1)
    series = [Series("binance", f"A{number:03}/USDT", "1m") for number in range(count)]
    secrets = {
        "ANNY_API_KEY": "bench-key",
        "ANNY_API_SECRET": "bench-secret",
        "ANNY_BASE_URL": f"http://127.0.0.1:{port}",
    }
    credentials, clock, limits = Credentials.load(environment=secrets), TickingClock(played), EmitSettings()
    markets = {one: Market(one.symbol, "0.01", "0.00001", exchange="BINANCE") for one in series}
    push, stop = _Push(series, played), threading.Event()
    firsts, all_calls = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        Journal(Path(folder) / "emit.sqlite", Run("live", credentials.fingerprint, START)) as journal,
        Client(credentials, rate=RateLimit(10**6, clock.seconds)) as client,
    ):
        emitter = Emitter(journal, client, clock, limits, clock.now)
        strategy = Eight(each=CALLS if count == 1 else 1)
        seat = Seat(
            strategy,
            SubscriberProfile.anny(),
            markets,
            journal,
            account=credentials.fingerprint,
            start=START,
            since=START,
        )
        follows = [Follow(one, START) for one in series]
        async with Feed([push], follows, time=played) as feed:
            with Sender(emitter) as sender:
                task = asyncio.ensure_future(Loop(feed, [seat], sender).run(stop))
                while push.hear is None or any(phase != "live" for phase in feed.phases.values()):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                for minute in range(rounds + 3):
                    played.reach(START + (minute + 1) * MINUTE + 100)
                    push.burst(minute)
                    found: list[tuple[int, str]] = []
                    while len(found) < CALLS:
                        await asyncio.sleep(0.02)
                        pipe.send("more")
                        found += pipe.recv()
                    took = sorted((first - push.arrived[f"{coin}USDT"]) / 1e6 for first, coin in found)
                    if minute >= 3:
                        firsts.append(took[0])
                        all_calls += took
                    await asyncio.to_thread(sender.wait, 10.0)
                stop.set()
                await task
    first, last = (np.percentile(times, [50, 99]) for times in (firsts, all_calls))
    print(f"| {count} | {first[0]:.0f} ms | {first[1]:.0f} | {last[0]:.0f} | {last[1]:.0f} |", flush=True)


def main() -> None:
    """Measure with 1, 20 and 200 series."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    warm()
    print("| series | first call p50 | p99 | all calls p50 | p99 |\n|---|---|---|---|---|", flush=True)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=venue, args=(theirs,), daemon=True)
    process.start()
    port = ours.recv()
    for count in (1, 20, 200):
        asyncio.run(measure(count, rounds, port, ours))
    ours.send("end")


if __name__ == "__main__":
    main()
