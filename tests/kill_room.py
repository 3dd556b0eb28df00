"""The process that the kill tests kill: a journal, an emitter and a real client, on a plan of scripted calls."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from backtest import Market, Moment, Strategy, SubscriberProfile
from backtest.errors import BacktestError
from backtest.live.clock import CandleClock, WallClock
from backtest.live.emitter import Emitter
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.schema import Decided, Run, Stream
from backtest.live.seat import Seat
from backtest.live.sender import Sender
from backtest.live.settings import EmitSettings
from backtest.live.track import Closed, Source
from backtest.market_data.series import Series
from backtest.model.calls import Call, Cancel, CreateSignal, TakeProfit, UpdatePrices
from backtest.model.events import SignalRef
from backtest.venue.client import Client
from backtest.venue.failpoint import arm
from backtest.venue.paper_client import PaperClient
from backtest.venue.rate import RateLimit
from backtest.venue.timeouts import Timeouts
from tests.outlet_room import outlet
from tests.paper_room import credentials

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

HOUR = 3_600_000
START = 1_700_002_800_000
PATIENT = Timeouts(connect=5.0, pool=5.0, read=10.0, write=10.0, total=30.0)
"""Nothing here waits for an answer that never comes: on a busy machine no answer may look lost."""
STREAM = Stream(credentials().fingerprint, "a" * 64, "BTC/USDT", "1h")
COINS = ("BTC", *(f"C{number:02}" for number in range(1, 20)))
RESOLVED = "resolved-by-a-test"

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.kill_preload"])


@dataclass(frozen=True)
class Job:
    """What one process does: the closes up to ``closes``, from where its journal stands."""

    journal: Path
    url: str
    closes: int
    failpoint: str = ""
    resolve: str = ""
    base: int = 0
    """Where it is given: when the first candle of twenty markets opens; the sender has a thread of its own then."""

    outlet: str = ""
    """Kind of the outlet that takes the calls in the venue's place, and what it says."""

    since: int = 0
    """Behind which effect those of this journal are."""


def script(close: int) -> list[Call]:
    """Return the calls of one close: every three closes a signal with its later calls, in the order of the desk."""
    born = START + (close - close % 3) * HOUR
    coin = COINS[0]
    ref = SignalRef(f"{coin}/USDT-{born}-0")
    if close % 3 == 0:
        return [
            CreateSignal(
                coin=coin,
                trade_market="USDT",
                exchange="BINANCE",
                invest=1.0,
                entry_price_max=100.0,
                targets=(110.0 + len(COINS) * close,),
                stop_loss=90.0,
                ref=ref,
            )
        ]
    if close % 3 == 1:
        return [UpdatePrices(ref, stop_loss=90.0 + close / 100.0), TakeProfit(ref, "market", 100.0)]
    return [Cancel(ref)]


def work(job: Job) -> int:
    """Do a job in this process; return its exit status."""
    arm(job.failpoint)
    try:
        with Journal(job.journal, Run("paper", STREAM.account, 0)) as journal:
            return _emit(job, journal)
    except BacktestError as error:
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # K13 fills the disk for this output too
        os.write(1, f"{error}\n".encode())
        return error.exit_status


def _emit(job: Job, journal: Journal) -> int:
    return _emit_beside(job, journal) if job.base else _emit_in_order(job, journal)


def _emit_beside(job: Job, journal: Journal) -> int:
    """Emit for twenty markets: a seat that hears what became of its calls, and the sender in a thread of its own.

    Closes lie ahead of the wall's clock, so that no call expires. A start holds what the strategy decides against the
    journal, so that nothing that a kill left may be otherwise than it was told.
    """
    clock = WallClock()
    with Client(credentials(job.url), rate=RateLimit(100_000), timeouts=PATIENT) as client:
        emitter = Emitter(journal, client, clock, EmitSettings(tries=4, backoff_first=0.01), clock.now)
        emitter.recover()
        if job.resolve == "look":
            with PaperClient(job.url) as control:
                look_up(journal, control.effects(job.since))
        seat = Seat(
            Scripted(base=job.base),
            SubscriberProfile.anny(),
            {Series("binance", f"{coin}/USDT", "1h"): Market(f"{coin}/USDT") for coin in COINS},
            journal,
            account=STREAM.account,
            start=job.base,
            since=job.base,
        )
        seat.restore()
        since = max(place.since for place in seat.places.values())
        with Sender(emitter) as sender:
            for time in range(max(since, job.base), job.base + job.closes * HOUR, HOUR):
                for series in seat.places:
                    seat.take(Closed(series, (time, 99.0, 99.5, 98.5, 99.0, 1.0), Source.WEBSOCKET, time + HOUR))
                emitter.plan(seat.decide())
                _wait(journal, sender)
            _wait(journal, sender)
    return 4 if journal.intents(State.UNKNOWN) else 0


class Scripted(Strategy):
    """A signal every three closes on each market; what lives of it one and two closes later is moved, sold, canceled."""

    base: int

    def on_candle(self, now: Moment) -> Iterable[Call]:
        """Say what the script has for this close, about what lives."""
        number = (now.close_time - self.base) // HOUR - 1
        market = COINS.index(now.symbol.partition("/")[0])
        born = self.base + (number - number % 3 + 1) * HOUR
        mine = [one.ref for one in now.signals if int(one.ref.split("-")[-2]) == born]
        if number % 3 == 0:
            target = 110.0 + len(COINS) * number + market
            yield now.create(entry=100.0, targets=(target,), stop_loss=90.0, invest=1.0)
        elif number % 3 == 1:
            for ref in mine:
                yield UpdatePrices(ref, stop_loss=90.0 + number / 100.0)
                if market % 2 == 0:
                    yield TakeProfit(ref, "market", 100.0)
        else:
            for ref in mine:
                yield Cancel(ref)


def look_up(journal: Journal, effects: list[dict[str, Any]]) -> None:
    """Do what a person does with unknowns: look at the venue, and say what is there."""
    counts = counted(journal, effects)
    made = {json.loads(e["body"]).get("exit_price_1"): e["parent_signal_id"] for e in effects}
    for intent in journal.intents(State.UNKNOWN):
        landed = counts[intent.id] > 0
        parent = made[json.loads(intent.body)["exit_price_1"]] if landed and intent.creates else None
        journal.resolve(intent, State.LANDED if landed else State.NOT_LANDED, 0, parent)


def _wait(journal: Journal, sender: Sender) -> None:
    """Wait until nothing is planned but what waits for a person."""
    while True:
        assert sender.wait(120.0)
        lost = {(row.strategy, row.ref) for row in journal.signals("unknown")}
        if all(intent.signal in lost for intent in journal.intents(State.PLANNED)):
            return
        time.sleep(0.005)


def _emit_in_order(job: Job, journal: Journal) -> int:
    clock = CandleClock()
    rate = RateLimit(10_000, clock.seconds)
    with (
        outlet(job.outlet, job.url, rate)
        if job.outlet
        else Client(credentials(job.url), rate=rate, timeouts=PATIENT) as client
    ):
        stream = replace(STREAM, max_lag=client.max_lag)
        emitter = Emitter(journal, client, clock, EmitSettings(tries=4, backoff_first=0.01), _wall)
        emitter.recover()
        if job.resolve:
            for intent in journal.intents(State.UNKNOWN):
                journal.resolve(intent, State(job.resolve), _wall(), RESOLVED if job.resolve == "landed" else None)
        before = journal.cursor(*STREAM.key)
        for close in range(job.closes):
            at = START + close * HOUR
            if before is not None and at < before.time:
                continue
            clock.reach(at)
            emitter.plan([Decided(stream, at, script(close), anchor=START)])
            emitter.drain(at + HOUR)
    return 4 if journal.intents(State.UNKNOWN) else 0


def _wall() -> int:
    return time.time_ns() // 1_000_000


def _enter(job: Job, output: str) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os._exit(work(job))


def start(job: Job) -> ForkServerProcess:
    """Start a process of its own for a job."""
    process = _context.Process(target=_enter, args=(job, f"{job.journal}.out"), daemon=True)
    process.start()
    return process


def run(job: Job) -> int:
    """Run a job in a process of its own; return its exit status, -9 where it was killed."""
    process = start(job)
    process.join(300.0)  # on a busy machine; what hangs fails the test anyway
    assert process.exitcode is not None
    code = process.exitcode
    process.close()
    return code


def effects_by_intent(journal: Path, effects: list[dict[str, Any]]) -> dict[str, int]:
    """Return how often each intent of a journal took effect; an effect without an intent fails."""
    with Journal(journal) as book:
        return counted(book, effects)


def counted(book: Journal, effects: list[dict[str, Any]]) -> dict[str, int]:
    """Return how often each intent of an open journal took effect; an effect without an intent fails."""
    intents = book.intents()
    names = {signal.parent_signal_id: signal.ref for signal in book.signals()}
    tags = {json.loads(i.body)["exit_price_1"]: i for i in intents if i.creates}
    later = {(i.kind, i.ref): i for i in intents if not i.creates}
    found = {intent.id: 0 for intent in intents}
    parents: dict[str, str] = {}
    for effect in effects:
        body = json.loads(effect["body"])
        if effect["kind"].startswith("create"):
            intent = tags[body["exit_price_1"]]
            parents[effect["parent_signal_id"]] = intent.ref
        else:
            intent = later[effect["kind"], names.get(effect["parent_signal_id"]) or parents[effect["parent_signal_id"]]]
        found[intent.id] += 1
    return found
