"""What makes the figures say something else than they seem to stands above them, on console, notebook and page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rich.console import Console

from backtest import Candles, Result, Strategy, SubscriberProfile, run
from backtest.report.console import render_result
from backtest.report.headline import alarms
from tests.command_line import backtest
from tests.unit.test_report_page import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest import Call, Moment

DAY = 86_400_000
START = 1_700_006_400_000  # a midnight
FREE = SubscriberProfile.exchange(maker_fee=0.0, taker_fee=0.0, stop_order="market")


class Loser(Strategy):
    """Loses a tenth of the initial balance every second day."""

    ttl: int | None = DAY

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.position % 2 == 0:
            yield now.create(entry=101.0, targets=[150.0], stop_loss=50.0, invest=20, ttl=self.ttl)


class Once(Strategy):
    """Sends one create at a price that never comes, and nothing while it lives."""

    entry: float = 50.0
    targets: tuple[float, ...] = (60.0,)

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if not now.signals and now.position >= 10:
            yield now.create(entry={self.entry: 100}, targets=list(self.targets), stop_loss=40.0, invest=10)


def days(rows: list[tuple[float, float, float, float]], symbol: str = "BTC/USDT") -> Candles:
    o, h, l, c = np.array(rows, np.float64).T.copy()  # noqa: E741
    return Candles(symbol, "1d", START + DAY * np.arange(len(rows)), o, h, l, c, np.ones(len(rows)))


def flat(n: int, symbol: str = "BTC/USDT") -> Candles:
    return days([(100.0, 101.0, 99.0, 100.0)] * n, symbol)


def falling(n: int) -> Candles:
    """Bought at 100, stopped at 50, every second day."""
    return days([(100.0, 101.0, 99.0, 100.0), (100.0, 100.0, 49.0, 100.0)] * (n // 2))


def shown(result: Result, folder: Path) -> tuple[str, str, str]:
    console = Console(file=io.StringIO(), width=200)
    console.print(render_result(result.tables, result.stats))
    page = Reader(result.report(folder / "page.html").read_text("utf-8")).text
    return console.file.getvalue(), result._repr_html_(), page  # type: ignore[attr-defined]


def test_an_account_that_ran_out_is_a_headline(tmp_path: Path) -> None:
    result = run(Loser(), falling(200), profile=FREE)
    refused = [event for event in result.events if event.reason == "the free balance does not carry it"]
    since = np.datetime64(refused[0].time, "ms").astype("M8[D]")
    said = f"Free balance ran out on {since}; 100 % of later creates refused."
    assert alarms(result.tables)[0] == said
    for page in shown(result, tmp_path):
        assert said in page


def test_dead_months_are_said_where_yearly_figures_average_them_in() -> None:
    result = run(Loser(), falling(200), profile=FREE)
    last = np.datetime64(int(result.tables.trades["exit_time"].max()), "ms").astype("M8[D]")
    end = np.datetime64(START, "ms").astype("M8[D]") + 200
    idle = (end - last).astype(int)
    assert any(
        sentence.startswith(f"No position was held from {last} to {end}, {idle} of 200 days: the yearly figures")
        for sentence in alarms(result.tables)
    )


def test_a_run_that_trades_all_along_has_no_headline() -> None:
    result = run(Loser(), falling(200), profile=FREE.model_copy(update={"basis": "equity"}))
    assert len(result.trades) == 100
    assert alarms(result.tables) == []


class Greedy(Strategy):
    """Asks for more than there is once, and for little ever after."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.position % 10 == 0:
            for invest in (60, 60) if now.position == 0 else (3,):
                yield now.create(entry=101.0, targets=[150.0], stop_loss=50.0, invest=invest)


def test_one_refusal_among_many_creates_is_no_headline() -> None:
    result = run(Greedy(), flat(100), profile=FREE)
    assert result.stats["signals_refused"] == 1
    assert not [one for one in alarms(result.tables) if "ran out" in one]


def test_a_signal_that_waits_for_ever_is_a_headline(tmp_path: Path) -> None:
    result = run(Once(), flat(200), profile=FREE)
    said = "Signal 1 waited from 2023-11-26 to the end: no other was made meanwhile."
    assert alarms(result.tables) == [said]
    assert result.stats["signals_waiting"] == 1
    assert result.stats["longest_wait"] == (200 - 11) * DAY
    for page in shown(result, tmp_path):
        assert said in page


def test_a_wait_that_ended_says_when() -> None:
    rows = [(100.0, 101.0, 99.0, 100.0)] * 60 + [(100.0, 100.0, 45.0, 100.0)] + [(100.0, 101.0, 99.0, 100.0)] * 20
    result = run(Once(targets=(200.0,)), days(rows), profile=FREE)
    assert alarms(result.tables)[0] == ("Signal 1 waited from 2023-11-26 to 2024-01-14: no other was made meanwhile.")


def test_the_wait_of_each_market_is_told_with_its_symbol() -> None:
    both = {one.symbol: one for one in (flat(100), flat(100, "ETH/USDT"))}
    told = alarms(run(Once(), both, profile=FREE).tables)
    assert [sentence.split(" waited")[0] for sentence in told] == ["Signal 1 of BTC/USDT", "Signal 2 of ETH/USDT"]


@pytest.mark.parametrize(
    ("trades", "said"),
    [
        (9, "Only 9 trades closed (under 10: says next to nothing)."),
        (29, "Only 29 trades closed (under 30: says little)."),
        (30, None),
    ],
)
def test_too_few_trades_are_flagged_everywhere(trades: int, said: str | None, tmp_path: Path) -> None:
    result = run(Loser(), falling(2 * trades), profile=FREE.model_copy(update={"balance": 10_000.0, "basis": "equity"}))
    assert len(result.trades) == trades
    few = [sentence for sentence in alarms(result.tables) if sentence.startswith("Only")]
    assert few == ([said] if said else [])
    if said:
        for page in shown(result, tmp_path):
            assert said in page


class Muddled(Strategy):
    """Sends a create whose stop lies above it at every second close, else one without a target above it."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        target, stop = (120.0, 110.0) if now.position % 3 else (90.0, 80.0)
        yield now.create(entry=100.0, targets=[target], stop_loss=stop, invest=10)


def test_calls_that_the_desk_refused_are_counted_by_field_and_not_as_the_markets() -> None:
    warnings = run(Muddled(), flat(30), profile=FREE).tables.warnings
    (told,) = [one for one in warnings if "refused" in one]
    assert told.startswith("30 calls were refused at the desk and never sent (20 for stop_loss, 10 for exit_price_1); ")
    assert "the first, about BTC/USDT-" in told


def test_creates_that_the_account_refused_are_counted_apart() -> None:
    warnings = run(Greedy(), flat(100), profile=FREE).tables.warnings
    assert [one for one in warnings if "refused" in one] == [
        "1 create was refused by the market or the account; see the events of kind refused."
    ]


SYMBOLS = [f"C{number}/USDT" for number in range(9)]


def test_warnings_that_differ_by_symbol_only_are_one_line() -> None:
    many = {symbol: flat(40, symbol) for symbol in SYMBOLS}
    warnings = run(Once(), many, profile=FREE).tables.warnings
    named = "C0/USDT, C1/USDT, C2/USDT, C3/USDT, C4/USDT, C5/USDT and 3 more"
    assert f"No tick was given for {named}, so prices were not rounded as the exchange would." in warnings
    assert len([one for one in warnings if "tick" in one]) == 1


def test_candles_without_volume_are_counted() -> None:
    series = flat(40)
    volume = np.ones(40)
    volume[[3, 7]] = 0.0
    some = Candles("BTC/USDT", "1d", series.time, series.open, series.high, series.low, series.close, volume)
    none = Candles("BTC/USDT", "1d", series.time, series.open, series.high, series.low, series.close, np.zeros(40))
    assert "Candles of volume 0, in which nothing trades: 2 of BTC/USDT." in run(Once(), some).tables.warnings
    unknown = "The volumes of BTC/USDT are not known: every candle is taken to trade."
    assert unknown in run(Once(), none).tables.warnings
    assert not [one for one in run(Once(), flat(40)).tables.warnings if "olume" in one]


def test_the_console_says_it_above_the_figures(tmp_path: Path) -> None:
    strategy = tmp_path / "once.py"
    strategy.write_text(
        "from backtest import Strategy\n\n\nclass Once(Strategy):\n"
        "    def on_candle(self, now):\n        if not now.signals:\n"
        "            yield now.create(entry={now.close * 0.01: 100}, targets=[now.close], invest=10)\n",
        "utf-8",
    )
    done = backtest("run", strategy, "--candles", "sample:BTC/USD:1d")
    assert done.status == 0
    assert "waited from" in done.out
    assert done.out.index("no other was made") < done.out.index("Initial equity")
