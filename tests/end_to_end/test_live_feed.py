"""The live feed: real ccxt clients against an exchange on the loopback interface, on played time."""

from __future__ import annotations

import asyncio
import math
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from backtest.errors import DataUnavailableError, InvalidSettingError
from backtest.live.feed import Closed, Fault, FaultKind, Feed, Follow, Item, Phase, Revision, exchange_feed
from backtest.live.feed_settings import FeedSettings
from backtest.live.recording import Recorder, candle_feed, recorded_feed
from backtest.live.ticking import PlayedTime
from backtest.market_data.exchange import Access
from backtest.market_data.retry import Retry
from backtest.market_data.series import Series
from backtest.model.rows import candles_of_rows
from tests.candle_exchange import MINUTE, CandleExchange, price_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from backtest.model.candles import Candles

START = 1_709_510_400_000  # 2024-03-04T00:00Z, a Monday
SIX = ("binance", "bybit", "okx", "gate", "kraken", "kucoin")
FLAGGED = SIX[:4]


class Room:
    """A feed, its exchange, and the time that the test moves."""

    def __init__(self, time: PlayedTime, exchange: CandleExchange, feed: Feed) -> None:
        self.time, self.exchange, self.feed = time, exchange, feed
        self.seen: list[Item] = []

    async def next(self, kind: Callable[[Item], bool] = lambda item: isinstance(item, Closed)) -> Any:
        """The next item of a kind; the others are kept in `seen`."""
        async with asyncio.timeout(120):
            while True:
                item = await anext(self.feed)
                self.seen.append(item)
                if kind(item):
                    return item

    async def rows(self, count: int) -> list[tuple[str, int]]:
        """The next closed candles, by base and number of the minute after the start."""
        found = [await self.next() for _ in range(count)]
        for one in found:
            assert one.row == self.exchange.row(one.series.symbol.partition("/")[0], "1m", one.row[0])
        return [(one.series.symbol.partition("/")[0], (one.row[0] - START) // MINUTE) for one in found]

    async def fault(self, kind: FaultKind) -> Fault:
        found = await self.next(lambda item: isinstance(item, Fault) and item.kind is kind)
        assert isinstance(found, Fault)
        return found

    async def live(self, phase: Phase = Phase.LIVE) -> None:
        """Wait until every series is."""
        async with asyncio.timeout(120):
            while set(self.feed.phases.values()) != {phase}:  # noqa: ASYNC110  a phase is no event
                await asyncio.sleep(0.001)

    def series(self, exchange: str = "binance", base: str = "BTC") -> Series:
        return Series(exchange, f"{base}/USDT", "1m")

    def faults(self) -> list[Fault]:
        return [item for item in self.seen if isinstance(item, Fault)]

    async def waiting(self) -> list[Fault]:
        """Faults that are there already."""
        found: list[Fault] = []
        while True:
            try:
                async with asyncio.timeout(0.01):
                    item = await anext(self.feed)
            except TimeoutError:
                return found
            assert isinstance(item, Fault)
            self.seen.append(item)
            found.append(item)

    async def answered(self) -> None:
        """Wait until every question to REST that was due is answered."""
        await asyncio.sleep(0)
        async with asyncio.timeout(120):
            while self.feed._asks or self.feed._stirred.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def connect(self, connections: int) -> None:
        """Wait for another connection that stands, and for what REST has to say of the time before."""
        async with asyncio.timeout(120):
            while self.exchange.connected < connections:
                self.time.reach(self.time.steady() + 1.0)
                await asyncio.sleep(0.002)
            halted = sum(phase is Phase.HALTED for phase in self.feed.phases.values())
            await self.exchange.subscribed(len(self.feed.phases) - halted, connections)
            while not set(self.feed.phases.values()) <= {Phase.LIVE, Phase.HALTED}:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    def reach(self, minutes: float, seconds: float = 0.0) -> None:
        self.time.reach(START + minutes * MINUTE + seconds * 1000)

    async def close(self, dialect: str, minute: int, *bases: str, **options: Any) -> None:
        """Let a candle close: its last message, then the first one of the next candle."""
        for base in bases or self.exchange.bases:
            row = self.exchange.row(base, "1m", START + minute * MINUTE)
            assert await self.exchange.push(dialect, base, row, closed=True, **options) == 1
            following = price_row(base, START + (minute + 1) * MINUTE)
            await self.exchange.push(dialect, base, (following[0], *following[1:5], 0.0), closed=False, **options)


@asynccontextmanager
async def room(
    *dialects: str,
    bases: tuple[str, ...] = ("BTC", "ETH"),
    since: int = 0,
    contract: bool = False,
    resumes: bool = True,
    connected: int = 1,
    ping_interval: int = 18_000,
    **settings: Any,
) -> AsyncIterator[Room]:
    """A feed that has listened from minute 0 on, its history from minute `since`, half a minute into minute 0."""
    time = PlayedTime(START + MINUTE / 2)
    async with CandleExchange(time, bases) as exchange:
        exchange.ping_interval = ping_interval
        access = {name: Access(url=exchange.url(name), limited=False, retry=Retry(attempts=1)) for name in dialects}
        symbols = [f"{base}/USDT" + (":USDT" if contract else "") for base in bases]
        follows = [
            Follow(Series(name, symbol, "1m"), START + since * MINUTE, resumes)
            for name in dialects
            for symbol in symbols
        ]
        chosen = FeedSettings(**{"reconnect_first": 0.001, "audit_after": 1e9, **settings})
        feed = exchange_feed(follows, chosen, access=access, time=time)
        async with feed:
            here = Room(time, exchange, feed)
            if connected:
                await exchange.subscribed(len(follows), connected)
            await here.live()
            yield here


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


@pytest.mark.parametrize("dialect", SIX)
def test_each_exchange_closes_candles_in_its_own_way(dialect: str) -> None:
    async def test() -> None:
        async with room(dialect, since=-2) as here:
            assert sorted(await here.rows(4)) == [("BTC", -2), ("BTC", -1), ("ETH", -2), ("ETH", -1)]
            for base in here.exchange.bases:  # a candle that forms is none
                await here.exchange.push(dialect, base, here.exchange.row(base, "1m", START), closed=False)
            here.reach(1, 0.1)
            await here.close(dialect, 0)
            assert sorted(await here.rows(2)) == [("BTC", 0), ("ETH", 0)]
            last = here.seen[-1]
            assert isinstance(last, Closed)
            assert (last.source, last.lag) == ("websocket", 100)
            assert here.faults() == []

    run(test())


def test_binance_futures_are_taken_as_late_as_they_come() -> None:
    async def test() -> None:
        async with room("binance", contract=True) as here:
            here.reach(1, 2.0)
            await here.close("binance", 0, contract=True)
            assert sorted(await here.rows(2)) == [("BTC", 0), ("ETH", 0)]
            assert [item.lag for item in here.seen if isinstance(item, Closed)] == [2000, 2000]

    run(test())


@pytest.mark.parametrize("dialect", ["kraken", "kucoin", "mexc"])
def test_without_a_flag_rest_is_asked_at_the_close_and_grace(dialect: str) -> None:
    async def test() -> None:
        async with room(dialect, connected=0 if dialect == "mexc" else 1) as here:
            here.exchange.asked.clear()
            here.reach(1, 1.9)
            await here.answered()
            assert here.exchange.asked == []
            here.reach(1, 2.0)
            assert sorted(await here.rows(2)) == [("BTC", 0), ("ETH", 0)]
            assert {item.source for item in here.seen if isinstance(item, Closed)} == {"rest"}

    run(test())


def test_two_timeframes_of_a_symbol_on_kraken_have_a_connection_each() -> None:
    async def test() -> None:
        time = PlayedTime(START + MINUTE / 2)
        async with CandleExchange(time, ("BTC",)) as exchange:
            follows = [Follow(Series("kraken", "BTC/USDT", frame), START, True) for frame in ("1m", "1h")]
            access = {"kraken": Access(url=exchange.url("kraken"), limited=False)}
            async with exchange_feed(follows, access=access, time=time) as feed:
                await exchange.subscribed(2, connections=2)
                here = Room(time, exchange, feed)
                await here.live()
                here.reach(1)
                for minute in (0, 1):
                    row = price_row("BTC", START + minute * MINUTE)
                    await exchange.push("kraken", "BTC", row, closed=False)
                    await exchange.push("kraken", "BTC", (START, *row[1:]), closed=False, timeframe="1h")
                found = await here.next()
                assert (found.series.timeframe, found.row) == ("1m", price_row("BTC", START))

    run(test())


async def _enter(follows: list[Follow], access: dict[str, Access], time: PlayedTime) -> None:
    await exchange_feed(follows, access=access, time=time).__aenter__()


@pytest.mark.parametrize("dialect", SIX)
@pytest.mark.parametrize("how", [1011, "cut"])
def test_what_closed_while_the_connection_was_gone_comes_first(dialect: str, how: int | str) -> None:
    async def test() -> None:
        async with room(dialect) as here:
            here.exchange.accepts = False
            if how == "cut":
                await here.exchange.cut(here.exchange.connections[0])
            else:
                await here.exchange.drop(1011)
            await here.fault(FaultKind.DISCONNECTED)
            here.time.reach(START + 3.5 * MINUTE)  # nobody asks REST meanwhile, as no time is given to it
            here.exchange.accepts = True
            here.reach(4, 0.0)
            assert sorted(await here.rows(6)) == [(b, k) for b in ("BTC", "ETH") for k in range(3)]
            await here.connect(2)
            here.reach(4, 0.1)
            await here.exchange.push(dialect, "BTC", here.exchange.row("BTC", "1m", START + 3 * MINUTE), closed=False)
            await here.close(dialect, 3)
            assert sorted(await here.rows(2)) == [("BTC", 3), ("ETH", 3)] if dialect in FLAGGED else True

    run(test())


def test_a_row_that_comes_while_rest_is_asked_waits_its_turn() -> None:
    async def test() -> None:
        async with room("binance", bases=("BTC",)) as here:
            here.exchange.rest_works = False
            here.reach(3, 0.1)  # two closes were never sent
            await here.close("binance", 2)
            assert (await here.fault(FaultKind.GAP)).at == START
            await here.fault(FaultKind.UNREACHABLE)
            assert here.feed.phases[here.series()] is Phase.GAP
            here.exchange.rest_works = True
            here.reach(3, 2.5)
            assert await here.rows(3) == [("BTC", 0), ("BTC", 1), ("BTC", 2)]
            assert [item.source for item in here.seen if isinstance(item, Closed)] == ["rest", "rest", "websocket"]
            await here.live()

    run(test())


def test_a_silent_connection_is_noticed_though_its_pings_are_answered() -> None:
    async def test() -> None:
        async with room("okx", bases=("BTC",)) as here:
            for minute in range(1, 3):
                here.reach(minute, 4.0)
                assert await here.rows(1) == [("BTC", minute - 1)]
            here.reach(2, 34.0)
            fault = await here.fault(FaultKind.DEAF)
            assert (fault.series, fault.at) == (here.series("okx"), START + 2 * MINUTE)
            await here.connect(2)
            here.reach(3, 0.1)
            await here.close("okx", 2)
            assert await here.rows(1) == [("BTC", 2)]

    run(test())


@pytest.mark.parametrize("dialect", SIX)
def test_unanswered_pings_end_a_connection(dialect: str) -> None:
    async def test() -> None:
        async with room(dialect, bases=("BTC",), keep_alive=0.05, ping_interval=50) as here:
            here.exchange.pongs = False
            assert "ping-pong" in (await here.fault(FaultKind.DISCONNECTED)).text
            here.exchange.pongs = True
            await here.connect(2)

    run(test())


def test_an_outage_of_ten_minutes_loses_nothing() -> None:
    async def test() -> None:
        async with room("bybit") as here:
            here.exchange.accepts = here.exchange.rest_works = False
            await here.exchange.drop(1011)
            for half_minutes in range(2, 21):
                here.reach(half_minutes / 2, 5.0)
                await here.answered()
            assert {"disconnected", "unreachable", "silent"} == {fault.kind for fault in await here.waiting()}
            here.exchange.accepts = here.exchange.rest_works = True
            here.reach(10, 40.0)
            assert sorted(await here.rows(20)) == [(b, k) for b in ("BTC", "ETH") for k in range(10)]
            for base in here.exchange.bases:
                kept = [item for item in here.seen if isinstance(item, Fault) and base in item.series.symbol]
                over = [fault.kind for fault in kept if fault.over]
                assert over == ["unreachable", "silent"]
            await here.connect(2)
            async with asyncio.timeout(120):
                while len(here.exchange.connections) > 1:  # noqa: ASYNC110 - one that was given up while it dialled
                    await asyncio.sleep(0.002)
            here.reach(11, 0.1)
            await here.close("bybit", 10)
            assert sorted(await here.rows(2)) == [("BTC", 10), ("ETH", 10)]

    run(test())


def test_a_candle_that_has_not_come_in_time_is_missing_for_good() -> None:
    async def test() -> None:
        async with room("gate", bases=("BTC",)) as here:
            here.exchange.missing.add(("BTC", START))
            here.reach(1, 4.0)
            await here.answered()
            assert await here.waiting() == []
            here.reach(1, 5.0)
            assert (await here.fault(FaultKind.MISSING)).at == START
            here.exchange.missing.clear()
            await here.close("gate", 0)  # too late
            found = await here.next(lambda item: isinstance(item, Revision))
            assert found == Revision(here.series("gate"), START, None, here.exchange.row("BTC", "1m", START), 5000)
            here.reach(2, 0.1)
            await here.close("gate", 1)
            assert await here.rows(1) == [("BTC", 1)]

    run(test())


def test_a_duplicate_is_nothing_and_a_revision_is_recorded_only() -> None:
    async def test() -> None:
        async with room("binance", bases=("BTC",)) as here:
            here.reach(1, 0.2)
            await here.close("binance", 0)
            await here.close("binance", 0)
            before = here.exchange.row("BTC", "1m", START)
            after = (*before[:4], before[4] + 0.5, before[5])
            here.reach(1, 0.9)
            assert await here.rows(1) == [("BTC", 0)]
            await here.exchange.push("binance", "BTC", after, closed=True)
            found = await here.next(lambda item: isinstance(item, Revision))
            assert found == Revision(here.series(), START, before, after, 900)
            here.reach(2, 0.1)
            await here.close("binance", 1)
            assert await here.rows(1) == [("BTC", 1)]
            assert here.faults() == []

    run(test())


def test_the_audit_finds_what_changed_since_it_was_acted_on() -> None:
    async def test() -> None:
        async with room("okx", bases=("BTC",), audit_after=30.0, audit_every=60.0) as here:
            for minute in range(2):
                here.reach(minute + 1, 0.1)
                await here.close("okx", minute)
            assert await here.rows(2) == [("BTC", 0), ("BTC", 1)]
            before = here.exchange.row("BTC", "1m", START + MINUTE)
            here.exchange.keep("BTC", after := (*before[:5], before[5] * 2))
            here.reach(2, 30.0)
            found = await here.next(lambda item: isinstance(item, Revision))
            assert (found.at, found.old, found.new, found.lag) == (START + MINUTE, before, after, 30_000)

    run(test())


def test_a_candle_from_the_future_and_a_broken_one_are_refused() -> None:
    async def test() -> None:
        async with room("bybit", bases=("BTC",)) as here:
            here.reach(0, 58.9)  # of 60
            await here.close("bybit", 0)
            assert (await here.fault(FaultKind.FUTURE)).at == START
            here.reach(1, 0.1)
            row = here.exchange.row("BTC", "1m", START)
            await here.exchange.push("bybit", "BTC", (row[0], row[1], row[3], row[2], *row[4:]), closed=True)
            assert (await here.fault(FaultKind.INVALID)).at == START
            await here.exchange.push("bybit", "BTC", row, closed=True)
            assert await here.rows(1) == [("BTC", 0)]

    run(test())


@pytest.mark.parametrize("column", range(1, 6))
def test_a_candle_with_nan_is_neither_acted_on_nor_a_revision(column: int) -> None:
    async def test() -> None:
        async with room("binance", bases=("BTC",)) as here:
            row = here.exchange.row("BTC", "1m", START)
            o, h, l, c, v = (math.nan if k == column else value for k, value in enumerate(row) if k)  # noqa: E741
            broken = (row[0], o, h, l, c, v)
            here.reach(1, 0.1)
            await here.exchange.push("binance", "BTC", broken, closed=True)
            assert (await here.fault(FaultKind.INVALID)).at == START
            await here.exchange.push("binance", "BTC", row, closed=True)
            assert await here.rows(1) == [("BTC", 0)]
            await here.exchange.push("binance", "BTC", broken, closed=True)
            assert (await here.fault(FaultKind.INVALID)).at == START
            assert not any(isinstance(item, Revision) for item in here.seen)

    run(test())


def test_a_clock_that_goes_wrong_raises_the_alarm_and_changes_no_candle() -> None:
    async def test() -> None:
        async with room("binance", bases=("BTC",)) as here:
            here.time.skew = 90_000.0
            assert not here.feed.clock_is_right, "before anybody has asked the exchange"
            here.reach(1, 0.1)
            await here.close("binance", 0)
            assert await here.rows(1) == [("BTC", 0)]
            here.reach(1, 30.1)
            fault = await here.fault(FaultKind.CLOCK)
            assert fault.text == "this machine's clock is 90.0 s ahead of the exchange's"
            assert not here.feed.clock_is_right
            here.reach(2, 0.1)
            await here.close("binance", 1)
            assert await here.rows(1) == [("BTC", 1)]
            here.time.skew = 0.0
            here.reach(2, 40.0)
            assert (await here.fault(FaultKind.CLOCK)).over
            assert here.feed.clock_is_right

    run(test())


def test_a_clock_that_is_wrong_at_the_start_is_refused() -> None:
    async def test() -> None:
        time = PlayedTime(START)
        async with CandleExchange(time, ("BTC",)) as exchange:
            exchange.skew = -3000
            access = {"binance": Access(url=exchange.url("binance"), limited=False)}
            feed = exchange_feed([Follow(Series("binance", "BTC/USDT", "1m"), START)], access=access, time=time)
            with pytest.raises(DataUnavailableError, match=r"clock is 3\.0 s ahead of the exchange's; set it, by NTP"):
                await feed.__aenter__()

    run(test())


@pytest.mark.parametrize("dialect", FLAGGED)
def test_of_a_burst_of_200_closes_none_is_lost(dialect: str) -> None:
    async def test() -> None:
        bases = tuple(f"A{number:03}" for number in range(200))
        async with room(dialect, bases=bases) as here:
            for minute in range(3):
                here.reach(minute + 1, 0.1)
                await here.close(dialect, minute)
                assert sorted(await here.rows(200)) == [(base, minute) for base in bases]
            assert here.exchange.connected == 1

    run(test())


@pytest.mark.parametrize("dialect", ["binance", "okx"])
def test_a_delisted_symbol_halts_alone(dialect: str) -> None:
    async def test() -> None:
        async with room(dialect) as here:
            here.exchange.delisted.add("ETH")
            here.exchange.missing |= {("ETH", START + k * MINUTE) for k in range(9)}
            for minute in range(3):
                here.reach(minute + 1, 0.1)
                await here.close(dialect, minute, "BTC")
                here.reach(minute + 1, 6.0)
                assert await here.rows(1) == [("BTC", minute)]
            fault = await here.fault(FaultKind.DELISTED)
            assert fault.series.symbol == "ETH/USDT"
            assert [phase.value for phase in here.feed.phases.values()] == ["live", "halted"]
            await here.exchange.drop(1011)  # connecting again asks for the one that is left
            await here.connect(2)
            here.reach(4, 0.1)
            await here.close(dialect, 3, "BTC")
            assert await here.rows(1) == [("BTC", 3)]

    run(test())


def test_a_symbol_that_is_gone_at_a_reconnect_takes_no_other_along() -> None:
    async def test() -> None:
        async with room("okx") as here:
            here.reach(0, 50.0)
            here.exchange.delisted.add("ETH")  # the exchange refuses the whole subscription
            await here.exchange.drop(1011)
            await here.connect(3)
            assert (await here.fault(FaultKind.DELISTED)).series.symbol == "ETH/USDT"
            here.reach(1, 0.1)
            await here.close("okx", 0, "BTC")
            assert await here.rows(1) == [("BTC", 0)]

    run(test())


def test_two_exchanges_at_once_do_not_wait_for_each_other() -> None:
    async def test() -> None:
        async with room("binance", "kraken", bases=("BTC",), connected=2) as here:
            await here.exchange.push("kraken", "BTC", here.exchange.row("BTC", "1m", START), closed=False)
            here.reach(1, 0.1)
            await here.close("binance", 0)
            assert (await here.next()).series.exchange == "binance"
            await here.close("kraken", 0)
            assert (await here.next()).series.exchange == "kraken"
            await here.exchange.cut(next(one for one in here.exchange.connections if one.dialect == "kraken"))
            assert (await here.fault(FaultKind.DISCONNECTED)).series.exchange == "kraken"
            here.reach(2, 0.1)
            await here.close("binance", 1)
            assert (await here.next()).series.exchange == "binance"

    run(test())


def test_a_connection_is_replaced_before_it_is_a_day_old() -> None:
    async def test() -> None:
        async with room("bybit", bases=("BTC",), fresh_after=90.0) as here:
            for minute in range(2):
                here.reach(minute + 1, 0.1)
                await here.close("bybit", minute)
                assert await here.rows(1) == [("BTC", minute)]
            assert here.exchange.connected == 1
            here.reach(2, 30.0)
            await here.connect(2)
            here.reach(3, 0.1)
            await here.close("bybit", 2)
            assert await here.rows(1) == [("BTC", 2)]
            assert here.faults() == []

    run(test())


@pytest.mark.parametrize(
    ("symbol", "timeframe", "sentence"),
    [
        ("BTX/USDT", "1m", "does not trade 'BTX/USDT'. Did you mean \"BTC/USDT\"?"),
        ("BTC/USDT", "7m", "timeframe was '7m'; binance has"),
        ("BTC/USD:BTC", "1m", "cannot be followed live"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_a_sentence(symbol: str, timeframe: str, sentence: str) -> None:
    async def test() -> None:
        time = PlayedTime(START)
        async with CandleExchange(time) as exchange:
            access = {"binance": Access(url=exchange.url("binance"), limited=False)}
            with pytest.raises(InvalidSettingError, match=re.escape(sentence)):
                await _enter([Follow(Series("binance", symbol, timeframe), START)], access, time)

    run(test())


@pytest.mark.parametrize("dialect", ["okx", "kraken"])
def test_a_recording_plays_the_same_again(dialect: str, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"

    async def test() -> None:
        time = PlayedTime(START + MINUTE / 2)
        with path.open("w") as out:
            async with CandleExchange(time) as exchange:
                access = {dialect: Access(url=exchange.url(dialect), limited=False, retry=Retry(attempts=1))}
                follows = [Follow(Series(dialect, f"{b}/USDT", "1m"), START - 2 * MINUTE) for b in exchange.bases]
                settings = FeedSettings(audit_after=1e9, reconnect_first=0.001)
                recorder = Recorder(out, follows, time)
                async with exchange_feed(follows, settings, access=access, time=time, wrap=recorder.wrap) as feed:
                    here = Room(time, exchange, feed)
                    await here.connect(1)
                    await here.rows(4)
                    here.reach(1, 0.1)
                    for base in exchange.bases:
                        await exchange.push(dialect, base, exchange.row(base, "1m", START), closed=False)
                    await here.close(dialect, 0)
                    await here.rows(2)
                    exchange.missing.add(("ETH", START + MINUTE))
                    here.reach(2, 4.0)
                    await here.rows(1)
                    here.reach(2, 5.0)
                    await here.fault(FaultKind.MISSING)
                    await exchange.drop(1011)
                    await here.fault(FaultKind.DISCONNECTED)
                    await here.fault(FaultKind.DISCONNECTED)
                    await here.connect(2)
                    here.reach(3, 4.0)
                    await here.rows(2)
        settings = FeedSettings(audit_after=1e9, reconnect_first=0.001)
        async with recorded_feed(path, settings) as played:
            again = [item async for item in played]
        assert _told(again) == _told(here.seen)
        assert len(_told(again)["BTC/USDT"]) == 6

    run(test())


def _told(items: list[Item]) -> dict[str, list[object]]:
    """What was passed on of each series; a played REST answers at once, so that times are another matter."""
    told: dict[str, list[object]] = {}
    for item in items:
        if isinstance(item, Closed):
            told.setdefault(item.series.symbol, []).append((item.row, item.source))
        elif isinstance(item, Fault) and item.kind in {FaultKind.MISSING, FaultKind.DISCONNECTED}:
            told.setdefault(item.series.symbol, []).append((item.kind, item.at))
    return told


def _candles(base: str, minutes: range) -> Candles:
    return candles_of_rows(f"{base}/USDT", "1m", [price_row(base, START + k * MINUTE) for k in minutes])


def test_candles_of_files_are_a_feed_too() -> None:
    async def test() -> None:
        btc, eth = Series("binance", "BTC/USDT", "1m"), Series("okx", "ETH/USDT", "1m")
        holes = [k for k in range(300) if k % 50 != 7]
        rows = [price_row("ETH", START + k * MINUTE) for k in holes]
        candles = {btc: _candles("BTC", range(300)), eth: candles_of_rows("ETH/USDT", "1m", rows)}
        async with candle_feed(candles, start=START + 100 * MINUTE) as feed:
            seen = [item async for item in feed]
        closed = [item for item in seen if isinstance(item, Closed)]
        assert [item.row for item in closed if item.series == eth] == rows
        assert [item.row[0] for item in closed if item.series == btc] == list(
            range(START, START + 300 * MINUTE, MINUTE)
        )
        assert {item.source for item in closed if item.row[0] >= START + 100 * MINUTE} == {"websocket"}
        missing = [item.at for item in seen if isinstance(item, Fault) and item.kind is FaultKind.MISSING]
        assert missing == [START + k * MINUTE for k in range(7, 300, 50)]

    run(test())


def test_what_is_no_recording_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n")
    with pytest.raises(InvalidSettingError, match="text is no recording of a feed: JSONDecodeError"):
        recorded_feed(tmp_path / "text")
    with pytest.raises(InvalidSettingError, match="there were none"):
        candle_feed({})
