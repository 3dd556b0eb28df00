"""What exchanges do to live emission, seen at the venue: over HTTP come the calls that a backtest decides, and no other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from backtest import run
from backtest.live.commands import ask
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.model.rows import candles_of_rows
from backtest.runner.loading import load_strategy
from backtest.wire import body_of, json_bytes, kind_of
from tests.candle_exchange import MINUTE
from tests.end_to_end.test_live_loop import PARAMETERS, START, STRATEGY, Live, entry, live, received, run_test
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from backtest import Strategy


def wanted(here: Live, strategy: Strategy, exchange: str, minutes: Mapping[str, Iterable[int]]) -> list[str]:
    """The calls of a backtest over the exchange's own candles, told what became of the calls, as lines by signal."""
    tables = {}
    for base, chosen in minutes.items():
        rows = [here.exchange.row(base, "1m", START + minute * MINUTE) for minute in chosen]
        tables[f"{base}/USDT"] = replace(candles_of_rows(f"{base}/USDT", "1m", rows), exchange=exchange)
    calls = run(strategy, tables, outcomes=here.path).calls
    return [
        f"{kind_of(one.call)} {json_bytes(body_of(one.call, getattr(one.call, 'signal', None))).decode()}"
        for one in calls
    ]


def kept(here: Live, *bases: str, states: tuple[State, ...] = ()) -> list[str]:
    """The calls that the journal has about these bases."""
    with Journal(here.path) as journal:
        found = journal.intents(*states)
    return [f"{one.kind} {one.body}" for one in found if one.symbol.partition("/")[0] in bases]


async def seen(here: Live, minute: int, bases: Iterable[str]) -> None:
    """Wait until the journal has seen a close of these."""
    wait = {f"{base}/USDT" for base in bases}
    async with asyncio.timeout(120):
        while True:
            assert here.task is not None
            if here.task.done():
                here.task.result()
            with Journal(here.path) as journal:
                done = {one.symbol for one in journal.cursors() if one.time >= START + (minute + 1) * MINUTE}
            if wait <= done:
                return
            await asyncio.sleep(0.01)


async def sent(here: Live) -> None:
    """Wait until nothing waits to be sent: entries go one after another, and time may not pass them by."""
    async with asyncio.timeout(120):
        while kept(here, *here.exchange.bases, states=(State.PLANNED, State.SENDING)):  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.02)


def test_two_exchanges_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        where = [("binance", ("BTC",)), ("okx", ("ETH",))]
        entries = [entry(STRATEGY, PARAMETERS, bases, name) for name, bases in where]
        async with live(tmp_path, history=0, minutes=80, bases=("BTC", "ETH"), entries=entries) as (here, paper):
            await here.begin()
            for minute in range(70):
                if minute == 20:  # one of them goes away and comes by REST
                    await here.exchange.cut(next(one for one in here.exchange.connections if one.dialect == "okx"))
                for name, bases in where:
                    if minute != 20 or name == "binance":
                        await here.close(minute, *bases, dialect=name)
                if minute == 20:
                    here.time.reach(START + 21 * MINUTE + 4_500)
                    await here.connected(3)
                    await here.exchange.subscribed(2)
                    await here.kept(minute, "ETH")
            await here.end()
            strategy = load_strategy(STRATEGY)(**PARAMETERS)
            for name, (base,) in where:
                want = wanted(here, strategy, name, {base: range(70)})
                assert len(want) > 2
                assert kept(here, base) == want
            sent = kept(here, "BTC", "ETH", states=(State.ACKED,))
            assert len(sent) > 5
            assert sorted(received(here, paper)) == sorted(sent)
            assert {'"exchange":"BINANCE"', '"exchange":"OKX"'} <= {part for line in sent for part in line.split(",")}

    run_test(test())


def test_a_tick_that_changed_is_told_at_the_next_start_and_holds_from_there_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path, history=0, minutes=90) as (here, paper):
            await here.begin()
            for minute in range(30):
                await here.close(minute)
            await here.end()
            here.exchange.tick = "0.05"
            await here.begin()
            for minute in range(30, 80):
                await here.close(minute)
            await here.end()
            told = [sentence for sentence in here.told if "changed its rules" in sentence]
            assert len(told) == 1
            assert "binance BTC/USDT 1m: the exchange changed its rules: tick 0.01 is 0.05; they hold from" in told[0]
            want = wanted(here, load_strategy(STRATEGY)(**PARAMETERS), "binance", {"BTC": range(80)})
            assert kept(here, "BTC") == want
            assert sorted(received(here, paper)) == sorted(kept(here, "BTC", states=(State.ACKED,)))
            with Journal(here.path) as journal:
                late = [one for one in journal.intents() if one.creates and one.candle > START + 31 * MINUTE]
            prices = [price for one in late for price in one.prices.values()]
            assert prices
            assert all(round(float(price) * 100) % 5 == 0 for price in prices)

    run_test(test())


EACH = """
from backtest import Strategy


class Each(Strategy):
    def on_candle(self, now):
        if not now.signals and int(now.symbol[1:4]) % 20 == 0:
            c = now.close
            yield now.create(entry=c * 1.001, targets=[c * 1.05], stop_loss=c * 0.95, invest=0.1, ttl=120_000)
"""


def test_two_hundred_markets_close_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        file = tmp_path / "each.py"
        file.write_text(EACH)
        bases = tuple(f"C{number:03}" for number in range(200))
        entries = [entry(str(file), {}, bases)]
        async with live(tmp_path, history=0, minutes=5, bases=bases, entries=entries) as (here, paper):
            await here.begin()
            for minute in range(2):
                here.time.reach(START + (minute + 1) * MINUTE + 100)
                for base in bases:
                    row = here.exchange.row(base, "1m", START + minute * MINUTE)
                    assert await here.exchange.push("binance", base, row, closed=True) == 1
                await seen(here, minute, bases)
                await sent(here)
            await here.end()
            want = wanted(here, load_strategy(str(file))(), "binance", {base: range(2) for base in bases})
            assert kept(here, *bases) == want
            assert len(want) == 10
            with Journal(here.path) as journal:
                assert {one.state for one in journal.intents()} == {State.ACKED}
            came = received(here, paper)
            assert sorted(came) == sorted(want)
            assert [one for one in came if one.startswith("create")] == [
                one for one in want if one.startswith("create")
            ]

    run_test(test())


def test_a_delisted_market_leaves_the_other_one_alone_over_a_restart_too(tmp_path: Path) -> None:
    async def test() -> None:
        entries = [entry(STRATEGY, PARAMETERS, ("BTC", "ETH"))]
        async with live(tmp_path, history=0, minutes=80, bases=("BTC", "ETH"), entries=entries) as (here, paper):
            await here.begin()
            for minute in range(25):
                await here.close(minute)
            here.exchange.delisted.add("BTC")
            here.exchange.missing |= {("BTC", START + k * MINUTE) for k in range(25, 80)}
            minute = 25
            while not any("has stopped trading BTC/USDT" in sentence for sentence in here.told):
                here.time.reach(START + (minute + 1) * MINUTE + 100)
                await here.exchange.push(
                    "binance", "ETH", here.exchange.row("ETH", "1m", START + minute * MINUTE), closed=True
                )
                here.time.reach(START + (minute + 1) * MINUTE + 6_000)
                await seen(here, minute, ["ETH"])
                minute += 1
            state = await asyncio.to_thread(ask, here.path, do="state")
            assert state is not None
            assert {one["symbol"]: one["phase"] for one in state["series"]} == {
                "BTC/USDT": "halted",
                "ETH/USDT": "live",
            }
            for later in range(minute, minute + 20):
                await here.close(later, "ETH")
            await here.end()
            gone = {"BTC": range(25), "ETH": range(minute + 20)}
            strategy = load_strategy(STRATEGY)(**PARAMETERS)
            assert kept(here, "BTC", "ETH") == wanted(here, strategy, "binance", gone)
            # who restarts without it goes on with the account as it is
            only = here.service.settings.model_copy(
                update={"strategy": (here.service.settings.strategy[0].model_copy(update={"markets": ("ETH/USDT",)}),)}
            )
            here.service = replace(here.service, settings=only)
            here.exchange.bases = ("ETH",)
            await here.begin()
            for later in range(minute + 20, minute + 40):
                await here.close(later, "ETH")
            await here.end()
            gone = {"BTC": range(25), "ETH": range(minute + 40)}
            assert kept(here, "BTC", "ETH") == wanted(here, strategy, "binance", gone)
            assert sorted(received(here, paper)) == sorted(kept(here, "BTC", "ETH", states=(State.ACKED,)))

    run_test(test())


def test_a_clock_ninety_seconds_off_sends_no_entry_and_goes_on_when_it_is_right(tmp_path: Path) -> None:
    async def test() -> None:
        async with live(tmp_path, history=40, minutes=90) as (here, paper):
            await here.begin()
            minute = 0
            while not kept(here, "BTC", states=(State.ACKED,)):
                await here.close(minute)
                minute += 1
            before = len(received(here, paper))
            here.time.skew = -90_000.0
            while not kept(here, "BTC", states=(State.BLOCKED,)):
                await here.close(minute)
                minute += 1
            assert not any(line.startswith("create") for line in received(here, paper)[before:])
            await here.told_of("this machine's clock is 90.0 s behind the exchange's")
            here.time.skew = 0.0
            known = len(kept(here, "BTC", states=(State.ACKED,)))
            while not any(one.startswith("create") for one in kept(here, "BTC", states=(State.ACKED,))[known:]):
                await here.close(minute)
                minute += 1
            await here.end()
            said = [sentence for sentence in here.told if "this machine's clock" in sentence]
            assert "this machine's clock is 90.0 s behind the exchange's" in said[0]
            assert any("clock is over" in sentence for sentence in said)
            assert sorted(received(here, paper)) == sorted(kept(here, "BTC", states=(State.ACKED,)))

    run_test(test())
