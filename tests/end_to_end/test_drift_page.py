"""The page of a drift report, in Chromium: it asks for nothing, fits every width, and hostile names stay text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backtest import Candles, Market, SubscriberProfile
from backtest.live.reconcile import reconcile
from backtest.live.reconcile_page import drift_html
from backtest.live.snapshot import snapshot
from backtest.runner.loading import load_strategy
from tests.browser import browser, needs_browser, opened  # noqa: F401 - a fixture
from tests.command_line import BREAKOUT, backtest
from tests.end_to_end.test_reconcile import HISTORY, one_of
from tests.journal_room import JournalRoom, alike, shorter

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "<img src=x onerror=alert(1)>"
pytestmark = needs_browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drift")
    whole = shorter(Candles.sample("BTC/USD", "1h"), 3000, HISTORY + 300)
    text = Path(BREAKOUT).read_text("utf-8")
    file = folder / "breakout.py"
    field = f'    said: str = Field({HOSTILE!r}, description="text")\n'
    file.write_text(text.replace("    lookback: int", f"{field}    lookback: int", 1), "utf-8")
    strategy = load_strategy(str(file))(lookback=24)
    market = Market("BTC/USDT", tick="0.01")
    one = replace(alike(whole, "BTC/USDT"), exchange="binance")
    emission = JournalRoom(
        folder / "journal.sqlite", strategy, {one.symbol: one}, {one.symbol: market}, SubscriberProfile.anny(), HISTORY
    )
    emission.refusal = HOSTILE
    picked, refused = one_of("create_v2", 1), one_of("create_v2", 2)
    emission.emit(lambda intent: "expired" if picked(intent) else "rejected" if refused(intent) else "acked")
    arguments = ("--strategy", file, "-p", "lookback=24", "--tick", "0.01", "--out", folder / "out")
    done = backtest("reconcile", emission.path, *arguments)
    assert done.status == 0, done.err
    assert str(folder / "out" / "drift.html") in done.out
    return folder / "out" / "drift.html"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_fits_and_asks_for_nothing(browser: Browser, page: Path, width: int, theme: str) -> None:  # noqa: F811
    with opened(browser, page, viewport={"width": width, "height": 900}, color_scheme=theme) as tab:
        tab.page.wait_for_selector("html.ready")
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.run("document.querySelectorAll('img').length") == 0
        text = tab.page.inner_text("body")
        assert "calls equal; 1 expired" in text
        assert text.count(HOSTILE) >= 2  # a parameter of the strategy, and what the venue said
        assert tab.page.locator("[data-table=calls_1] tbody tr").count() >= 1


def test_the_figures_beside_the_page_are_those_of_json(page: Path) -> None:
    figures = json.loads((page.parent / "drift.json").read_text("utf-8"))
    assert figures["verdict"][0] in page.read_text("utf-8")
    assert figures["strategies"][0]["name"] == "Breakout"


def test_the_page_of_recorded_candles_says_no_lag(tmp_path: Path) -> None:
    whole = alike(shorter(Candles.sample("BTC/USD", "1h"), 3000, HISTORY + 60), "BTC/USDT")
    one, market = replace(whole, exchange="binance"), Market("BTC/USDT", tick="0.01")
    strategy, path = load_strategy(str(BREAKOUT))(lookback=24), tmp_path / "journal.sqlite"
    emission = JournalRoom(path, strategy, {one.symbol: one}, {one.symbol: market}, SubscriberProfile.anny(), HISTORY)
    emission.emit()
    drift = reconcile(snapshot(path), [], lambda _, known: known or market, lambda *_: None, None)
    of_recorded = [
        replace(each, lines=tuple(replace(line, lag=None) for line in each.lines)) for each in drift.strategies
    ]
    assert all(each.lines for each in of_recorded)
    html = drift_html(replace(drift, strategies=of_recorded))
    assert "every call is equal" in html
    assert "From a close to the answer" not in html
    assert "From a close to the answer" in drift_html(drift)
