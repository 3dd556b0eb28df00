"""What was fetched is used: rules, finer candles and funding rates of the store in ``backtest run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from backtest.cli import calls
from backtest.cli import run as verb
from backtest.errors import BacktestError, DataUnavailableError
from backtest.market_data.exchange import Access
from backtest.market_data.fetch import fetch
from backtest.market_data.job import Wish
from backtest.market_data.store import Store
from backtest.runner.result import Result
from tests.loopback_exchange import HOUR, Loopback, last

if TYPE_CHECKING:
    from pathlib import Path

DAY = 24 * HOUR
STRATEGY = """
from backtest import Strategy

class Hold(Strategy):
    def on_candle(self, now):
        if not now.signals:
            close = now.close + 0.003
            yield now.create(
                entry=(0.99 * close, 1.01 * close), targets=[2 * close], stop_loss=0.6 * close, invest=10, leverage=2,
                account="FUTURES",
            )
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with hours of four days, minutes of the last three, and funding rates; a strategy beside it."""
    made = tmp_path_factory.mktemp("used")
    today = last(DAY)
    (made / "hold.py").write_text(STRATEGY)
    with Loopback(today - 9 * DAY) as server:
        access = Access(server.url("bybit"), limited=False)
        for wish in (
            Wish(["BTC/USDT:USDT"], ["1h"], ["", "funding"], start=today - 4 * DAY, end=today),
            Wish(["BTC/USDT:USDT"], ["1m"], start=today - 3 * DAY, end=today),
        ):
            fetch(wish, exchange="bybit", store=Store(made / "store"), access=access)
    return made


def run(folder: Path, *options: str, command: str = "run", candles: str = "store:bybit:BTC/USDT:USDT:1h") -> str:
    app = typer.Typer()
    verb.register(app)
    calls.register(app)
    arguments = [command, str(folder / "hold.py"), "--candles", candles, "--store", str(folder / "store"), *options]
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, BacktestError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_run_takes_rules_detail_and_funding_from_the_store(folder: Path) -> None:
    told = run(folder, "--out", str(folder / "out"))
    assert "BTC/USDT:USDT: the store has 4,320 candles of 1m as detail and 12 funding rates" in told
    assert "BTC/USDT:USDT: the store has 4,320" not in run(folder, "--detail", "none")
    assert Result.load(folder / "out").trades.funding.sum() != 0.0


def test_calls_round_to_the_tick_of_the_store(folder: Path) -> None:
    price = run(folder, "--last", "1", command="calls").partition('"entry_price_min":"')[2].partition('"')[0]
    assert 0 < len(price.partition(".")[2]) <= 2


def test_funding_of_a_part_is_no_funding(folder: Path) -> None:
    today = last(DAY)
    with Loopback(today - 9 * DAY) as server:
        wish = Wish(["BTC/USDT:USDT"], ["1h"], start=today - 6 * DAY, end=today)
        fetch(wish, exchange="bybit", store=Store(folder / "store"), access=Access(server.url("bybit"), limited=False))
    with pytest.raises(DataUnavailableError, match=r"lacks bybit BTC/USDT:USDT funding from .* --funding --since"):
        run(folder)


def test_a_name_that_the_store_has_not_brings_the_nearest(folder: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r'has no bibit .* Did you mean "bybit BTC/USDT:USDT 1h"'):
        run(folder, candles="store:bibit:BTC/USDT:USDT:1h")
