"""The interactive chart in a real browser: what is packed arrives, it is moved by hand, and it lives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest.report.chart import (
    Account,
    ChartInput,
    Fill,
    Indicator,
    Prices,
    SignalLife,
    Trip,
    chart_of,
    pack,
    scripts,
    sheet,
)
from tests.browser import browser, needs_browser, opened
from tests.unit.test_report_tables import sample_tables

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

__all__ = ["browser"]  # a fixture

pytestmark = needs_browser
HOUR = 3_600_000


def page_of(folder: Path, chart: ChartInput | None, plain: Any = None) -> Path:
    """Write a page that holds the chart alone and waits until it stands."""
    given = "Promise.resolve(JSON.parse(document.getElementById('plain').textContent))"
    if chart is not None:
        given = "SignalChart.unpack(document.getElementById('packed').textContent)"
    parts = [
        "<!doctype html><title>chart</title><link rel=icon href='data:,'>",
        f"<style>{sheet()}</style><div id=chart></div>",
        f"<script type=text/plain id=packed>{'' if chart is None else pack(chart)}</script>",
        f"<script type=application/json id=plain>{json.dumps(plain)}</script>",
        *(f"<script>{script}</script>" for script in scripts()),
        f"<script>window.ready = {given}.then(function (data) {{ window.data = data; window.chart = SignalChart.mount(",
        "document.getElementById('chart'), data, {hash: true, keys: true}); return true; });</script>",
    ]
    (folder / "chart.html").write_text("".join(parts), "utf-8")
    return folder / "chart.html"


def prices(n: int, *, tick: float, seed: int = 3, indicators: tuple[Indicator, ...] = ()) -> Prices:
    rng = np.random.default_rng(seed)
    close = np.round(1000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, n)))) * tick
    opened_at = np.r_[close[:1], close[:-1]]
    high, low = np.maximum(opened_at, close) + 3 * tick, np.minimum(opened_at, close) - 2 * tick
    time = np.arange(n, dtype=np.int64) * HOUR + 1_700_000_000_000 // HOUR * HOUR
    time[n // 2 :] += 5 * HOUR  # a gap
    return Prices("BTC/USDT", "1h", HOUR, time, opened_at, high, low, close, indicators)


DECODED = """() => { const s = new SignalChart.Series(data.markets[0], data), out = {};
  for (const [name, values] of Object.entries(s.levels[0].columns)) out[name] = Array.from(values, x => x === x ? x : null);
  return out; }"""


@pytest.mark.parametrize("tick", [1e-9, 0.01, 1.0, 1 / 3, 250_000.0])
def test_what_is_packed_is_unpacked(tick: float, browser: Browser, tmp_path: Path) -> None:
    n = 37
    curve = np.r_[np.full(5, np.nan), np.linspace(40.0, 60.0, n - 6), np.nan]
    given = prices(n, tick=tick, indicators=(Indicator("rsi", curve),))
    equity = 10_000.0 + np.cumsum(np.random.default_rng(1).normal(0.0, 20.0, n)).round(2)
    account = Account(given.time + HOUR, equity, equity - 1.25, equity + 2.5, -np.linspace(0.0, 0.3, n))
    with opened(browser, page_of(tmp_path, ChartInput((given,), account))) as tab:
        tab.run("ready")
        got = tab.run(DECODED)
    assert got["time"] == given.time.tolist()
    for name in ("open", "high", "low", "close"):
        np.testing.assert_allclose(got[name], getattr(given, name), rtol=1e-6)
    np.testing.assert_allclose(got["equity"], equity, atol=0.006)
    np.testing.assert_allclose(np.array(got["highest"]) - np.array(got["lowest"]), 3.75, atol=0.02)
    np.testing.assert_allclose(got["drawdown"], -np.linspace(0.0, 30.0, n), atol=0.006)
    known = np.array([np.nan if x is None else x for x in got["indicator0"]])
    np.testing.assert_allclose(known, curve, rtol=1e-4)


def test_a_coarse_grain_keeps_the_extremes_and_a_fine_one_is_loaded_by_zoom(browser: Browser, tmp_path: Path) -> None:
    n = 20_000
    with opened(browser, page_of(tmp_path, ChartInput((prices(n, tick=0.01),)))) as tab:
        tab.run("ready")
        levels = tab.run(
            "new SignalChart.Series(data.markets[0], data).levels.map(l => [l.factor, l.n, Math.max(...l.columns.high),"
            " Math.min(...l.columns.low), l.columns.close[l.n - 1]])"
        )
        assert [row[0] for row in levels] == [1, 4, 16]
        assert len({tuple(row[2:]) for row in levels}) == 1
        whole = tab.run("chart.view()")
        tab.page.locator(".sc-plot").hover()
        for _ in range(12):
            tab.page.mouse.wheel(0, -400)
        tab.page.wait_for_timeout(60)
        near = tab.run("chart.view()")
        assert near[1] - near[0] < (whole[1] - whole[0]) / 100
        assert whole[0] < near[0] < near[1] < whole[1]


def test_what_is_not_drawn_of_very_many_candles_is_said(browser: Browser, tmp_path: Path) -> None:
    n = 1_000_001
    one = prices(10, tick=0.0001)
    time = np.arange(n, dtype=np.int64) * 60_000
    opened_at, high, low, close = (np.resize(x, n) for x in (one.open, one.high, one.low, one.close))
    many = Prices("BTC/USDT", "1m", 60_000, time, opened_at, high, low, close)
    with opened(browser, page_of(tmp_path, ChartInput((many,)))) as tab:
        tab.run("ready")
        assert "Each bar of BTC/USDT is 4 candles." in tab.page.inner_text(".sc-notice")
        assert tab.run("data.markets[0].n") == 250_001


def test_signals_are_flown_to_by_key_by_address_and_by_call(browser: Browser, tmp_path: Path) -> None:
    tables = sample_tables(1500)
    with opened(browser, page_of(tmp_path, chart_of(tables)), at="#signal-3") as tab:
        tab.run("ready")
        assert tab.run("chart.selected()") == 3
        tab.page.keyboard.press("n")
        assert tab.run("[chart.selected(), location.hash]") == [4, "#signal-4"]
        tab.page.keyboard.press("p")
        tab.page.keyboard.press("p")
        assert tab.run("chart.selected()") == 2
        assert "Signal 2, BTC/USDT: " in tab.page.locator(".sc-says").inner_text()
        entered = int(tables.trades["entry_time"].iloc[6])
        assert tab.run("chart.flyTo(7)") is True
        tab.page.wait_for_timeout(60)
        view = tab.run("chart.view()")
        assert view[0] < entered < view[1]
        assert tab.run("chart.flyTo(700)") is False
        assert tab.run("chart.selected()") == 7


def test_it_lives(browser: Browser, tmp_path: Path) -> None:
    first = 1_700_000_000_000 // HOUR * HOUR

    def candle(i: int, close: float = 100.0) -> dict[str, float]:
        return {"time": first + i * HOUR, "open": 100.0, "high": 101.0, "low": 99.0, "close": close}

    plain = {
        "quote": "USDT",
        "signals": [],
        "markets": [
            {"symbol": "BTC/USDT", "timeframe": "1h", "step": HOUR, "candles": [candle(i) for i in range(3)]},
            {"symbol": "币安/USDT", "timeframe": "1h", "step": HOUR, "candles": []},
        ],
    }
    life = SignalLife(
        1, "one", "BTC/USDT", 1, first + HOUR, None, (99.5, 100.5),
        stop=((first + HOUR, 95.0), (first + 2 * HOUR, 98.0)), targets=(((first + HOUR, 110.0),),),
        fills=(Fill(first + HOUR, 100.0, "entered"), Fill(first + 2 * HOUR, 99.0, "dca_filled")),
        trips=(Trip(first + HOUR, None, 99.5),),
    )  # fmt: skip
    with opened(browser, page_of(tmp_path, None, plain)) as tab:
        tab.run("ready")
        was = tab.run("chart.view()")
        tab.run(f"chart.append({json.dumps(candle(3))})")
        tab.run(f"chart.append({json.dumps(candle(3, 100.5))})")
        tab.run(f"chart.append({json.dumps(candle(1, 5.0))})")  # long gone
        tab.run(f"chart.append({json.dumps(candle(0))}, '币安/USDT')")
        tab.page.wait_for_timeout(60)
        now = tab.run("chart.view()")
        assert now[1] - was[1] == HOUR  # it follows
        tab.run(f"chart.setSignals([{json.dumps(life.to_dict())}])")
        assert tab.run("chart.flyTo(1)") is True
        assert "DCA" in tab.page.locator(".sc-key").inner_text()
        tab.run("chart.theme('dark')")
        assert tab.run("getComputedStyle(document.querySelector('.sc-stage')).backgroundColor") == "rgb(18, 21, 27)"
        tab.run("chart.market('币安/USDT')")
        tab.run(f"{json.dumps([candle(i) for i in range(1, 2000)])}.forEach(one => chart.append(one))")
        tab.page.wait_for_timeout(60)
        tab.run("chart.destroy()")
        assert tab.run("document.getElementById('chart').children.length") == 0
