"""The dashboard in a real browser: it lives by itself, it can be used by keyboard, and no other page can use it."""

from __future__ import annotations

import asyncio
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.notices import NoticeKind
from backtest.live.person import stop_file_of
from tests.browser import browser, needs_browser
from tests.candle_exchange import CandleExchange
from tests.command_line import ROOT
from tests.dashboards import END, TOKEN, emitting, held, served, shadow, wait_for
from tests.fast_disk import MEMORY, fast_folder
from tests.journals import seeded
from tests.raw_server import RawServer, answer, http

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Frame, Page

__all__ = ["browser", "fast_folder"]  # fixtures

pytestmark = needs_browser
PATIENCE = 120.0
"""Seconds, for a machine that does much else meanwhile; nothing here waits longer than it must."""
HOSTILE = "<img src=x onerror=alert(1)>/USDT"


@dataclass
class Tab:
    """A page, what it asked for and what it complained of."""

    page: Page
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def run(self, code: str) -> Any:
        return self.page.evaluate(code)

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)


@contextmanager
def tab(browser: Browser, url: str, **context: Any) -> Iterator[Tab]:
    """Open a page; it may ask for nothing outside of ``url``, and complain of nothing but a server that is away."""
    own = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **context})
    try:
        own.set_default_timeout(1000.0 * PATIENCE)
        own.set_default_navigation_timeout(1000.0 * PATIENCE)
        here = Tab(own.new_page())
        here.page.on("request", lambda one: here.requested.append(one.url))
        here.page.on("pageerror", lambda one: here.complaints.append(str(one)))
        here.page.on("dialog", lambda one: here.complaints.append(one.message))
        here.page.on(
            "console", lambda one: here.complaints.append(one.text) if one.type in {"error", "warning"} else None
        )
        here.page.goto(url)
        yield here
        outside = [one for one in here.requested if not one.startswith((url, "data:", "blob:"))]
        assert not outside, outside
        kept = [one for one in here.complaints if "ERR_CONNECTION_REFUSED" not in one and "ERR_INCOMPLETE" not in one]
        assert not kept, kept
    finally:
        own.close()


def comes(page: Page, what: str) -> None:
    """Wait until an expression is true; the page's policy forbids what playwright's own waiting does."""

    def so() -> bool:
        page.wait_for_timeout(20)
        return bool(page.evaluate(what))

    wait_for(so, PATIENCE)


def serious(page: Page) -> list[str]:
    """What axe finds that keeps somebody out."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


# ------------------------------------------------------------ beside a paper run


class Exchange(threading.Thread):
    """An exchange in a thread of its own, whose markets close each second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.url: queue.Queue[str] = queue.Queue()
        self.over = threading.Event()

    def steady(self) -> float:
        return time.time() * 1000.0

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        async with CandleExchange(self) as exchange:
            self.url.put(exchange.url("binance"))
            while not self.over.is_set():
                await asyncio.sleep(1.0 - time.time() % 1.0)
                last = int(time.time()) * 1000 - 1000
                for base in exchange.bases:
                    await exchange.push("binance", base, exchange.row(base, "1s", last), closed=True, timeframe="1s")


STRATEGY = """
from backtest import Strategy


class Often(Strategy):
    def on_candle(self, now):
        if len(now.signals) < 5:
            yield now.create(entry=now.close, targets=[now.close * 2], stop_loss=now.close / 2, invest=5)
"""


def emission(folder: Path, url: str, port: int) -> tuple[subprocess.Popen[bytes], str]:
    """Start one with a dashboard, and return the address of that."""
    (folder / "often.py").write_text(STRATEGY)
    command = [sys.executable, "-m", "backtest", "emit", str(folder / "often.py"), "--paper", "--url", url]
    markets = ["--market", "BTC/USDT", "--market", "ETH/USDT", "--exchange", "binance", "--timeframe", "1s"]
    where = ["--journal", str(folder / "emit.sqlite"), "--dashboard", f"127.0.0.1:{port}", "--per-minute", "10000"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BACKTEST_DASHBOARD_TOKEN": TOKEN}
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([*command, *markets, *where], stderr=file, env=environment)
    found = wait_for(lambda: re.search(r"dashboard at (http://\S+)", log.read_text()), PATIENCE)
    return process, found[1]


def test_it_lives_with_a_paper_run_and_finds_it_again_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    exchange = Exchange()
    exchange.start()
    address = exchange.url.get(timeout=PATIENCE)
    process, url = emission(tmp_path, address, 0)
    try:
        with tab(browser, url) as here:
            here.run("window.mark = 'not loaded again'")
            comes(here.page, "document.querySelectorAll('#rows tr').length > 0")
            comes(here.page, "document.querySelector('#top').innerText.includes('heartbeat')")
            comes(here.page, "document.querySelector('#strategies').innerText.includes('Often')")
            comes(here.page, "document.querySelector('#calls').innerText.includes('acked')")
            comes(here.page, "document.querySelector('#chart canvas')")
            newest = here.run("document.querySelector('#series time').dataset.at")
            comes(here.page, f"document.querySelector('#series time')?.dataset.at > {newest}")
            newest = here.run("document.querySelector('#series time').dataset.at")
            process.terminate()
            assert process.wait(PATIENCE) == 0
            comes(here.page, "document.querySelector('#link').innerText.includes('trying again')")
            process, again = emission(tmp_path, address, int(url.rpartition(":")[2]))
            assert again == url
            comes(here.page, "document.querySelector('#link').innerText === ''")
            comes(here.page, "document.querySelector('#top').innerText.includes('heartbeat')")
            comes(here.page, f"document.querySelector('#series time')?.dataset.at > {newest}")
            assert here.run("window.mark") == "not loaded again"
    finally:
        process.terminate()
        process.wait(PATIENCE)
        exchange.over.set()


# ------------------------------------------------------------ how it is used


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A journal of 500 living signals, one of its markets with a name of an attacker."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else tmp_path_factory.mktemp("many")))
    path = folder / "emit.sqlite"
    symbols = [HOSTILE, *(f"{base}/USDT" for base in ("ADA", "BTC", "DOT", "ETH", "LTC", "SOL", "UNI", "XLM", "XRP"))]
    seeded(path, symbols, count=50, unknown=2)
    yield path
    shutil.rmtree(folder)


def state(path: Path) -> dict[str, Any]:
    """What an emitter says of the signals that live in a journal."""
    with Journal(path) as journal:
        rows = journal.signals("living")
    book = [held(row.ref, float(row.wished["entry_price_max"])) for row in rows]
    return {"shadows": [shadow(book, strategy="<b onmouseover=alert(2)>Mine</b>")]}


def test_five_hundred_signals_by_keyboard_and_hostile_names_stay_text(browser: Browser, many: Path) -> None:
    with (
        emitting(many, state(many)) as (_, bus),
        served(many, now=END + 5_000) as board,
        tab(browser, board.url) as here,
    ):
        bus.tell(NoticeKind.RAISED, END, "<script>alert(3)</script> raised")
        page = here.page
        page.wait_for_selector("#chart canvas")
        assert here.run("document.querySelectorAll('#rows tr').length") == 502
        assert HOSTILE in here.text("#rows")
        assert "<b onmouseover=alert(2)>Mine</b>" in here.text("#strategies")
        assert (
            here.run("document.querySelectorAll('#rows img, #strategies b[onmouseover], #notices script').length") == 0
        )
        scroll = "document.querySelector('.tall')"
        assert here.run(f"{scroll}.scrollHeight > 10 * {scroll}.clientHeight")
        page.keyboard.press("/")
        page.keyboard.type("eth")
        assert here.run("[...document.querySelectorAll('#rows tr')].filter(row => !row.hidden).length") == 50
        page.keyboard.press("Escape")
        for key in "jjk":
            page.keyboard.press(key)
        chosen = here.run("document.querySelector('#rows tr.chosen').dataset.key")
        first = "[...document.querySelectorAll('#rows tr')].findIndex(row => row.classList.contains('open'))"
        assert chosen == here.run(f"document.querySelectorAll('#rows tr')[{first} + 1].dataset.key")
        assert here.run("document.activeElement.closest('tr').dataset.key") == chosen
        comes(page, f"location.search === '?signal={chosen}'")
        page.get_by_role("button", name="Gain").press("Enter")
        gains = here.run("[...document.querySelectorAll('#rows tr')].map(row => Number(row.dataset.gain || -9))")
        assert gains == sorted(gains, reverse=True)
        # the market of the attacker, on the chart too
        page.locator("#rows tr", has_text="<img").first.click()
        comes(page, "document.querySelector('#detail').innerText.includes('<img')")
        comes(page, "document.querySelector('#chart').innerText.includes('<img')")
        assert here.run("document.querySelectorAll('#chart img, #detail img').length") == 0


@pytest.fixture(scope="module")
def few() -> Iterator[Path]:
    """A journal with a bit of everything."""
    with tempfile.TemporaryDirectory() as folder:
        seeded(Path(folder) / "emit.sqlite", [HOSTILE, "BTC/USDT"], count=3, unknown=2)
        yield Path(folder) / "emit.sqlite"


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_can_use_it_on_a_desk_and_on_a_phone(browser: Browser, few: Path, theme: Any, width: int) -> None:
    look = {"color_scheme": theme, "viewport": {"width": width, "height": 844}}
    said = {**state(few), "hold": "this machine's clock differs"}
    with emitting(few, said), served(few, now=END + 5_000) as board, tab(browser, board.url, **look) as here:
        here.page.wait_for_selector("#chart canvas")
        here.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert here.run("document.documentElement.scrollWidth <= innerWidth")
        assert here.run("[...document.querySelectorAll('.tall')].every(each => each.scrollWidth <= each.clientWidth)")
        assert serious(here.page) == []


def test_what_somebody_types_is_not_drawn_over(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "emit.sqlite"
    seeded(path, unknown=2)
    with emitting(path) as (journal, _), served(path) as board, tab(browser, board.url) as here:
        page = here.page
        first, second = journal.intents(State.UNKNOWN)
        card = page.locator(".card").first
        card.locator("details.form summary").click()
        card.get_by_label("not at the venue").check()
        card.locator("input[name=token]").fill(TOKEN)
        journal.resolve(second, State.ABANDONED, END)
        comes(page, "document.querySelector('#tiles .tile:nth-child(2) b').innerText === '1'")
        assert card.locator("input[name=token]").input_value() == TOKEN
        card.locator("input[name=confirm]").fill(first.id[:6])
        card.get_by_role("button", name="Keep the decision").click()
        page.wait_for_selector(".said")
        assert "is not_landed; 0 unknown left" in here.text(".said")
        assert page.locator(".card").count() == 0


def test_a_page_of_another_origin_presses_no_button(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "emit.sqlite"
    seeded(path, unknown=0)
    with emitting(path), served(path) as board:
        tries = """<!doctype html><title>prize</title><iframe name=hole></iframe>
            <form method=post target=hole action="URL/do/stop-entries"><input name=token value="TOKEN">
            <input name=confirm value=stop></form><script>
            document.forms[0].submit();
            const form = new URLSearchParams({token: "TOKEN", confirm: "stop"});
            const tries = [fetch("URL/do/stop-entries", {method: "POST", mode: "no-cors", body: form}),
              fetch("URL/do/stop-entries", {method: "POST", body: form}), fetch("URL/"), fetch("URL/metrics")];
            Promise.allSettled(tries).then(all => {
              window.read = all.filter(one => one.status === "fulfilled" && one.value.type !== "opaque").length; });
            const stream = new EventSource("URL/events");
            stream.addEventListener("patch", () => { window.heard = true; });
            stream.onerror = () => { window.ended = true; };
            </script>"""
        page_text = tries.replace("URL/", f"{board.url}/").replace("TOKEN", TOKEN)
        html = http("200 OK", page_text.encode(), "content-type: text/html", "connection: close")
        with RawServer(answer(html, close=True)) as evil:
            page = browser.new_context().new_page()
            # on another port of this machine, and under another name
            for origin in (evil.url, evil.url.replace("127.0.0.1", "localhost")):
                page.goto(origin)
                comes(page, "window.read !== undefined && window.ended")
                assert page.evaluate("[window.read, window.heard]") == [0, None]
                frame = page.frame("hole")
                assert frame is not None
                wait_for(lambda frame=frame: "Host or Origin" in _content(frame) or "error" in frame.url)
            page.context.close()
        assert not stop_file_of(path).exists()
        assert board.ask("/do/stop-entries", {"token": TOKEN, "confirm": "stop"}).status == 303  # it would have worked
        assert stop_file_of(path).exists()


def _content(frame: Frame) -> str:
    """Return what a frame shows; nothing while it is on its way to another page."""
    from playwright.sync_api import Error

    try:
        return frame.content()
    except Error:
        return ""


def test_the_token_is_asked_for_once_where_others_can_reach_it(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "emit.sqlite"
    seeded(path)
    with served(path, host="0.0.0.0") as board, tab(browser, board.url) as here:
        here.complaints.clear()  # the browser tells of the 401
        assert serious(here.page) == []
        here.page.get_by_label("Token").fill(TOKEN)
        here.page.get_by_label("Token").press("Enter")
        here.page.wait_for_selector("#rows tr")
        comes(here.page, "document.querySelector('#link').innerText === ''")
