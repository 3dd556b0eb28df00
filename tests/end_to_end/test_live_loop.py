"""Live emission from websocket to paper venue: exchange, ccxt, feed, strategy, journal, sender, HTTP, venue."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ccxt.pro  # noqa: F401  which takes longer to load than anything here waits for
import pytest

from backtest import Market, SubscriberProfile, run
from backtest.engine.warm import warm
from backtest.errors import InvalidSettingError
from backtest.live.commands import ask
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.notices import Notices
from backtest.live.schema import Stream
from backtest.live.service import Served, Service, serve
from backtest.live.settings import LiveSettings
from backtest.live.ticking import PlayedTime
from backtest.market_data.exchange import Access
from backtest.market_data.retry import Retry
from backtest.model.calls import CreateSignal
from backtest.model.rows import candles_of_rows
from backtest.runner.loading import load_strategy
from backtest.venue.outlet.carried import carry
from backtest.venue.outlet.cornix import CORNIX, cornix_text
from backtest.venue.outlet.door import Outlet
from backtest.venue.paper_client import PaperClient
from backtest.venue.rate import RateLimit
from backtest.wire import body_of, call_from_body, json_bytes, kind_of, with_ref
from tests.candle_exchange import MINUTE, CandleExchange
from tests.outlet_room import receiver, secrets
from tests.outlet_room import settings as outlet_settings
from tests.paper_room import credentials, paper_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
    from pathlib import Path

START = 1_709_510_400_000  # 2024-03-04T00:00Z, a Monday
STRATEGY = "strategies/breakout.py"
PARAMETERS: dict[str, Any] = {"lookback": 5, "risk": 0.5}


def walk(exchange: CandleExchange, minutes: int) -> None:
    """Give the exchange candles of a random walk."""
    for base in exchange.bases:
        chance, last = random.Random(base), 100.0
        for minute in range(-60, minutes):
            close = round(last * (1.0 + chance.uniform(-0.01, 0.011)), 2)
            low, high = sorted((last, close))
            row = (round(high * 1.002, 2), round(low * 0.998, 2), close, round(1.0 + chance.random(), 2))
            exchange.keep(base, (START + minute * MINUTE, last, *row))
            last = close


class Live:
    """An emission that runs, and what the test does to it."""

    def __init__(self, time: PlayedTime, exchange: CandleExchange, service: Service, path: Path) -> None:
        self.time, self.exchange, self.service, self.path = time, exchange, service, path
        self.stop = threading.Event()
        self.good = exchange.bases
        self.told: list[str] = []
        self.task: asyncio.Task[Served] | None = None

    async def begin(self) -> None:
        """Start, and wait until candles are listened to."""
        self.stop = threading.Event()
        before = self.exchange.connected
        self.task = asyncio.ensure_future(serve(self.service, self.stop))
        subscribed = asyncio.ensure_future(self.exchange.subscribed(len(self.exchange.bases), before + 1))
        await asyncio.wait({self.task, subscribed}, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            self.task.result()
        subscribed.result()
        if self.service.history:
            self.time.reach(START + 4_500)  # what closed as it began is asked for once it is final
            await self.kept(-1, *self.good)

    async def end(self) -> Served:
        self.stop.set()
        assert self.task is not None
        return await self.task

    async def connected(self, connections: int) -> None:
        """Wait for another connection that listens."""
        async with asyncio.timeout(120):
            while self.exchange.connected < connections or not any(one.keys for one in self.exchange.connections):
                self.time.reach(self.time.steady() + 1.0)
                await asyncio.sleep(0.005)

    async def told_of(self, words: str) -> None:
        """Wait until a notice says so."""
        async with asyncio.timeout(120):
            while not any(words in sentence for sentence in self.told):  # noqa: ASYNC110 - told by another thread
                await asyncio.sleep(0.005)

    async def rest(self, minute: int) -> None:
        """Let a candle close that the websocket says nothing of."""
        self.time.reach(START + (minute + 1) * MINUTE + 4_500)
        await self.kept(minute)

    async def kept(self, minute: int, *bases: str) -> None:
        """Wait until the journal has seen a close and its calls were sent: time, which stands still, may not pass them by.

        Where that takes long, time creeps on: what fails on a busy machine is tried again by it.
        """
        began = time.monotonic()
        wanted = START + (minute + 1) * MINUTE
        strategy = load_strategy(STRATEGY)(**PARAMETERS)
        async with asyncio.timeout(120):
            while True:
                assert self.task is not None
                if self.task.done():
                    self.task.result()
                if self.path.exists() and self.path.stat().st_size:
                    with Journal(self.path) as journal:
                        keys = [(strategy.identity, f"{base}/USDT", "1m") for base in bases or self.exchange.bases]
                        cursors = [journal.cursor(*key) for key in keys]
                        waiting = journal.intents(State.PLANNED, State.SENDING)
                    if not waiting and all(cursor is not None and cursor.time >= wanted for cursor in cursors):
                        return
                if time.monotonic() > began + 2.0:
                    self.time.reach(self.time.steady() + 1.0)
                await asyncio.sleep(0.005)

    async def close(self, minute: int, *bases: str, dialect: str = "binance") -> None:
        """Let a candle close on the websocket, a tenth of a second after its time."""
        self.time.reach(START + (minute + 1) * MINUTE + 100)
        for base in bases or self.exchange.bases:
            row = self.exchange.row(base, "1m", START + minute * MINUTE)
            assert await self.exchange.push(dialect, base, row, closed=True) == 1
        await self.kept(minute, *bases)


def entry(file: str, parameters: dict[str, Any], bases: tuple[str, ...], exchange: str = "binance") -> dict[str, Any]:
    """A strategy as settings name it."""
    markets = [f"{base}/USDT" for base in bases]
    where = {"exchange": exchange, "markets": markets, "timeframe": "1m"}
    return {"file": file, "parameters": parameters, **where}


@asynccontextmanager
async def live(
    folder: Path,
    *,
    bases: tuple[str, ...] = ("BTC",),
    minutes: int = 60,
    history: int = 20,
    bad: str = "",
    mode: str = "paper",
    entries: list[dict[str, Any]] | None = None,
) -> AsyncIterator[tuple[Live, PaperClient]]:
    await asyncio.to_thread(warm)  # as this does
    played = PlayedTime(START + 100)
    with paper_room(folder / "venue.sqlite") as url:
        async with CandleExchange(played, bases) as exchange:
            walk(exchange, minutes)
            settings = LiveSettings.load(
                None,
                {
                    "limits": {"per_minute": 10_000},
                    "feed": {"reconnect_first": 0.001, "audit_after": 1e9},
                    "account": {"journal": folder / "emit.sqlite"},
                    "strategy": entries
                    or [entry(STRATEGY, PARAMETERS, bases[:-1] if bad else bases)]
                    + ([entry(bad, {}, bases[-1:])] if bad else []),
                },
            )
            access = {
                name: Access(url=exchange.url(name), limited=False, retry=Retry(attempts=1))
                for name in ("binance", "okx")
            }
            told: list[str] = []
            notices = Notices()
            notices.subscribe(lambda notice: told.append(notice.sentence))
            service = Service(
                settings,
                credentials(url),
                mode,
                lambda _: SubscriberProfile.anny(),
                access,
                time=played,
                notices=notices,
                history=history,
            )
            here = Live(played, exchange, service, folder / "emit.sqlite")
            here.told = told
            here.good = bases[:-1] if bad else bases
            with notices, PaperClient(url) as paper:
                yield here, paper


def expected(live: Live, minutes: dict[str, Iterable[int]]) -> list[str]:
    """The calls of a backtest over what closed since the start, with the outcomes that were told, as lines."""
    tables, markets = {}, {}
    for base, chosen in minutes.items():
        symbol = f"{base}/USDT"
        rows = [live.exchange.row(base, "1m", START + minute * MINUTE) for minute in chosen]
        tables[symbol] = candles_of_rows(symbol, "1m", rows)
        markets[symbol] = Market(symbol, "0.01", "0.00001", min_amount=0.00001, min_cost=5.0, exchange="BINANCE")
    strategy = load_strategy(STRATEGY)(**PARAMETERS)
    result = run(strategy, tables, market=markets, profile=SubscriberProfile.anny(), outcomes=live.path)
    return [
        f"{kind_of(one.call)} {json_bytes(body_of(one.call, getattr(one.call, 'signal', None))).decode()}"
        for one in result.calls
    ]


def received(live: Live, paper: PaperClient) -> list[str]:
    """The calls that came to the venue, with our refs."""
    with Journal(live.path) as journal:
        refs = {row.parent_signal_id: row.ref for row in journal.signals() if row.parent_signal_id}
    return [f"{one['kind']} {with_ref(one['body'].encode(), refs).decode()}" for one in paper.received()]


def decided(live: Live, *states: State) -> list[str]:
    """The calls that were decided on, sent or not, in order."""
    with Journal(live.path) as journal:
        return [f"{one.kind} {one.body}" for one in journal.intents(*states)]


def run_test(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_calls_equal_the_backtests_through_every_fault_of_the_feed(tmp_path: Path) -> None:  # noqa: PLR0915
    async def test() -> None:  # noqa: PLR0915  one day in the life of a feed
        async with live(tmp_path, history=0, minutes=120, bases=("BTC", "ETH")) as (here, paper):
            exchange = here.exchange
            await here.begin()
            for minute in range(20):
                await here.close(minute)
            await exchange.drop(1011)
            await here.connected(2)
            await here.close(20)
            await exchange.cut(exchange.connections[0])
            await here.rest(21)
            await here.connected(3)
            await here.close(22)
            for minute in range(23, 26):  # silent, though pings are answered
                await here.rest(minute)
            here.time.reach(START + 27 * MINUTE + 30_000)  # the connection is given up
            await here.kept(26)
            await here.connected(4)
            await here.close(27)
            exchange.accepts = exchange.rest_works = False  # an outage of ten minutes
            await exchange.drop(1011)
            for half in range(57, 77):
                here.time.reach(START + half * MINUTE // 2)
                await asyncio.sleep(0.01)
            exchange.accepts = exchange.rest_works = True
            here.time.reach(START + 38 * MINUTE + 35_000)
            await here.kept(37)
            await here.connected(5)
            for minute in range(38, 45):
                await here.close(minute)
            await here.end()  # a restart, two closes long
            here.time.reach(START + 47 * MINUTE + 20_000)
            await here.begin()
            await here.kept(46)
            await here.close(47)
            here.time.reach(START + 49 * MINUTE + 3_500)  # late
            for base in exchange.bases:
                await exchange.push("binance", base, exchange.row(base, "1m", START + 48 * MINUTE), closed=True)
            await here.kept(48)
            await here.close(49)
            row = exchange.row("BTC", "1m", START + 49 * MINUTE)
            await exchange.push("binance", "BTC", row, closed=True)  # a duplicate
            await exchange.push("binance", "BTC", (*row[:4], row[3], row[5]), closed=True)  # a revision
            future = exchange.row("BTC", "1m", START + 51 * MINUTE)
            await exchange.push("binance", "BTC", future, closed=True)
            here.time.reach(START + 51 * MINUTE + 100)  # a revision of what waits for the other market
            row = exchange.row("BTC", "1m", START + 50 * MINUTE)
            await exchange.push("binance", "BTC", row, closed=True)
            await exchange.push("binance", "BTC", (*row[:4], row[3], row[5]), closed=True)
            await exchange.push("binance", "ETH", exchange.row("ETH", "1m", START + 50 * MINUTE), closed=True)
            await here.kept(50)
            exchange.missing.add(("BTC", START + 51 * MINUTE))
            here.time.reach(START + 52 * MINUTE + 6_000)
            await here.kept(51)
            for minute in range(52, 100):
                await here.close(minute)
            ended = await here.end()
            assert not ended.unknown
            want = expected(here, {"BTC": [k for k in range(100) if k != 51], "ETH": range(100)})
            assert len(want) > 20
            assert decided(here) == want
            sent = decided(here, State.ACKED)
            assert sorted(received(here, paper)) == sorted(sent)
            assert [line for line in received(here, paper) if line.startswith("create")] == [
                line for line in sent if line.startswith("create")
            ]
            assert len(sent) > 10, (len(sent), len(want))
            with Journal(here.path) as journal:
                stream = Stream("", load_strategy(STRATEGY)(**PARAMETERS).identity, "BTC/USDT", "1m", "binance")
                seen = journal.seen(stream)
            assert [(one.time - START) // MINUTE for one in seen] == list(range(100))
            assert [one.source for one in seen].count("missing") == 1
            assert [
                sum(f"the candle of 2024-03-04T00:{minute}:" in one for one in here.told) for minute in (49, 50)
            ] == [1, 1]
            assert candles_revised(here) == 2

    run_test(test())


def candles_revised(here: Live) -> int:
    """How many revisions the journal has."""
    with Journal(here.path) as journal:
        return journal.candles_tally()[2]


def test_live_calls_go_to_whatever_base_url_is_given(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path, history=40, mode="live") as (here, paper):
            await here.begin()
            minute = 0
            while not decided(here, State.ACKED):
                await here.close(minute)
                minute += 1
            state = await asyncio.to_thread(ask, here.path, do="state")
            notices = await asyncio.to_thread(ask, here.path, do="notices")
            await here.end()
            assert state is not None
            assert [one["phase"] for one in state["series"]] == ["live"]
            assert state["series"][0]["closed"] == START + minute * MINUTE
            assert 100 <= state["series"][0]["lag"] < 60_000
            assert (state["clocks"], state["halted"], state["hold"]) == ({"binance": 0}, False, "")
            assert state["passed"] >= state["series"][0]["closed"]
            assert notices is not None
            assert notices["notices"][0]["kind"] == "started"
            assert received(here, paper) == decided(here, State.ACKED)
            with Journal(here.path) as journal:
                run = journal.last_run()
                assert run is not None
                assert run.mode == "live"

    run_test(test())


def test_live_calls_go_to_another_venue_in_its_words(tmp_path: Path) -> None:
    async def test() -> None:
        with receiver() as venue:
            async with live(tmp_path, history=40, mode="live") as (here, _):
                mine = secrets(venue.url)

                def door(seconds: Callable[[], float]) -> Outlet:
                    return Outlet(outlet_settings("cornix", max_lag=60), mine, rate=RateLimit(7, seconds))

                here.service = replace(here.service, credentials=mine, outlet=door)
                await here.begin()
                minute = 0
                while not decided(here, State.ACKED):
                    await here.close(minute)
                    minute += 1
                await here.end()
                with Journal(here.path) as journal:
                    first = next(one for one in journal.intents(State.ACKED) if one.creates)
                    (signal,) = [row for row in journal.signals() if row.ref == first.ref]
                    assert signal.parent_signal_id == "101"
                    assert first.valid_until == first.candle + 60_000
                create = call_from_body(first.kind, json.loads(first.body), first.ref)
                assert isinstance(create, CreateSignal)
                carried, _ = carry(create, CORNIX)
                assert isinstance(carried, CreateSignal)
                assert venue.effects[0]["body"]["text"] == cornix_text(carried)

    run_test(test())


def test_two_markets_go_on_where_the_third_ones_strategy_raises(tmp_path: Path) -> None:
    async def test() -> None:
        bad = tmp_path / "bad.py"
        bad.write_text(BAD)
        async with live(tmp_path, history=30, bases=("AAA", "BBB", "CCC"), bad=str(bad)) as (here, _):
            await here.begin()
            for minute in range(4):
                here.time.reach(START + (minute + 1) * MINUTE + 100)
                for base in here.exchange.bases:
                    await here.exchange.push(
                        "binance", base, here.exchange.row(base, "1m", START + minute * MINUTE), closed=True
                    )
                await here.kept(minute, "AAA", "BBB")
            ended = await here.end()
            (halted,) = ended.halted
            assert halted.startswith(
                "Bad on CCC/USDT 1m raised ZeroDivisionError at the close of 2024-03-04T00:02:00.000Z: "
            )
            assert any(halted in sentence for sentence in here.told)

    run_test(test())


BAD = """
from backtest import Strategy


class Bad(Strategy):
    def on_candle(self, now):
        1 // (now.time // 60_000 % 60 - 1)
        return []
"""


def test_a_wrong_clock_stops_entries_until_it_is_right(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path, history=40) as (here, _):
            await here.begin()
            here.time.skew = -90_000.0
            minute = 0
            while not decided(here):
                await here.close(minute)
                minute += 1
            await here.told_of("this machine's clock is 90.0 s behind the exchange's")
            await here.end()
            with Journal(here.path) as journal:
                (intent,) = journal.intents()
                assert intent.state is State.BLOCKED
                assert journal.note(intent) == "this machine's clock differs from the exchange's"

    run_test(test())


class Wall:
    """This machine's time, as an exchange has it."""

    def steady(self) -> float:
        return time.time() * 1000.0


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGINT,)])
def test_the_command_emits_until_it_is_told_to_stop(signals: tuple[signal.Signals, ...], tmp_path: Path) -> None:
    journal = tmp_path / "emit.sqlite"

    async def test() -> None:
        async with CandleExchange(Wall()) as exchange:
            command = [sys.executable, "-m", "backtest", "emit", STRATEGY, "--param", "lookback=5", "--paper"]
            markets = ["--market", "BTC/USDT", "--market", "ETH/USDT", "--exchange", "binance", "--timeframe", "1s"]
            url = ["--url", exchange.url("binance"), "--journal", str(journal)]
            process = await asyncio.create_subprocess_exec(*command, *markets, *url, stderr=asyncio.subprocess.PIPE)
            ended = asyncio.ensure_future(process.communicate())
            async with asyncio.timeout(120):
                while not ended.done() and not closes(journal):
                    await asyncio.sleep(1.0 - time.time() % 1.0)
                    last = int(time.time()) * 1000 - 1000
                    for base in exchange.bases:
                        row = exchange.row(base, "1s", last)
                        await exchange.push("binance", base, row, closed=True, timeframe="1s")
                for one in signals:
                    process.send_signal(one)
                _, error = await ended
            said = ["paper emission started: Breakout on BTC/USDT, ETH/USDT 1s", "paper emission stopped"]
            lines = [json.loads(line) for line in error.decode().splitlines()]
            assert (process.returncode, [lines[0]["event"], lines[-1]["event"]]) == (0, said)
            assert [lines[0]["kind"], lines[0]["level"], lines[-1]["kind"]] == ["started", "info", "stopped"]
            between = {line["kind"] for line in lines[1:-1]}
            assert between <= {"silent", "deaf", "disconnected", "unreachable", "expired"}, (
                "what a busy machine may bring, where a candle lasts a second"
            )

    run_test(test())
    with Journal(journal) as book:
        book.verify()
        assert book.intents(State.SENDING, State.UNKNOWN) == []


def closes(path: Path) -> bool:
    """Whether both markets have had a close on the websocket."""
    if not path.exists() or not path.stat().st_size:
        return False
    try:
        found = Journal(path)
    except InvalidSettingError:
        return False  # its tables are being made
    with found as journal:
        cursors = journal.cursors()
        streams = [Stream("", one.strategy, one.symbol, one.timeframe, one.exchange) for one in cursors]
        return len(streams) == 2 and all(any(s.source == "websocket" for s in journal.seen(one)) for one in streams)
