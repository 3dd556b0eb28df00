"""The report page in Chromium: how large it is, when its chart is painted, how smoothly it zooms, and what it holds."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from made import YEAR, minutes
from playwright.sync_api import sync_playwright
from sma_cross import AtOnce
from timing import machine

from backtest import Candles, load_strategy, run
from backtest.report.page import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from backtest import Result

ROUNDS = 5
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

ZOOM = """() => new Promise(done => {
  const plot = document.querySelector('.sc-plot'), box = plot.getBoundingClientRect(), frames = [];
  let n = 0, last = performance.now();
  const turn = now => {
    frames.push(now - last);
    last = now;
    if (++n > 240) return done(frames.slice(1));
    plot.dispatchEvent(new WheelEvent('wheel', {deltaY: n % 120 < 60 ? -120 : 120, clientX: box.left + 700, clientY: box.top + 90,
      bubbles: true, cancelable: true}));
    requestAnimationFrame(turn);
  };
  requestAnimationFrame(turn);
})"""
"""In by a factor of 10^7 at most, out again, twice: one turn of the wheel a frame."""


def measured(browser: Browser, file: Path) -> dict[str, Any]:
    """Open the page once, zoom in and out, and return what it took."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def busy() -> float:
        """Return the processor time of the page's main thread, ms: unlike a clock it does not count what others did."""
        told = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        return 1e3 * float(told["ThreadTime"])

    page.goto(file.as_uri())
    page.wait_for_selector("html.ready")
    while not page.evaluate("performance.getEntriesByName('painted').length"):  # its policy forbids wait_for_function
        page.wait_for_timeout(20)
    page.wait_for_timeout(300)
    opening = busy()
    painted = page.evaluate("performance.getEntriesByName('painted')[0].startTime")
    frames = sorted(page.evaluate(ZOOM))
    zooming = (busy() - opening) / len(frames)
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")
    page.close()
    return {
        "painted": painted,
        "median": statistics.median(frames),
        "p95": frames[int(0.95 * len(frames))],
        "worst": frames[-1],
        "opening": opening,
        "zooming": zooming,
        "heap": (used["usedSize"] + used.get("backingStorageSize", 0)) / 1e6,
    }


def line(name: str, result: Result, browser: Browser, folder: Path) -> None:
    """Print one line about the page of a result."""
    file = folder / f"{name}.html"
    tables, stats = result.tables, result.stats
    start = time.perf_counter()
    write_page(tables, file, stats)
    wrote = time.perf_counter() - start
    rounds = [measured(browser, file) for _ in range(ROUNDS)]
    least, most = ({key: f(one[key] for one in rounds) for key in rounds[0]} for f in (min, max))
    print(
        f"{name:28} {len(tables.trades):7,} trades  {file.stat().st_size / 1e6:5.2f} MB  written {wrote:5.1f} s  "
        f"painted {least['painted']:5.0f} to {most['painted']:5.0f} ms (busy {least['opening']:5.0f})  frame busy "
        f"{least['zooming']:4.1f}, median {least['median']:4.1f} "
        f"p95 {least['p95']:4.1f} to {most['p95']:4.1f} worst {most['worst']:5.1f} ms  heap {most['heap']:5.1f} MB"
    )


def main() -> None:
    """Print one line for each result."""
    print(machine())
    cases = {
        "525,600 minutes": run(AtOnce(fast=40, slow=120), minutes(YEAR), checks="off"),
        "20,111 hours": run(load_strategy("strategies/breakout.py")(), Candles.sample("BTC/USD", "1h"), checks="off"),
    }
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu"])
        for name, result in cases.items():
            line(name, result, browser, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
