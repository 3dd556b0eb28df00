"""The report page in a real browser: nothing is requested, nothing complains, everything can be read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from backtest.report.page import write_page
from tests.unit.test_report_page import HOSTILE, hostile
from tests.unit.test_report_tables import sample_tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backtest.report.tables import ResultTables

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="NO BROWSER: install chromium, the report page was not opened"),
]


class Tab:
    """A page in Chromium, driven over the pipe of its debugging protocol."""

    def __init__(self, to: int, back: int) -> None:
        self.to, self.back, self.number, self.rest = to, back, 0, b""
        self.events: list[dict[str, Any]] = []
        self.session = ""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Log", "Runtime", "Page"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        os.write(self.to, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while (answer := self.receive()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def receive(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            part = os.read(self.back, 1 << 16)
            assert part, "the browser went away"
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return dict(json.loads(message))

    def open(self, file: Path) -> None:
        self.ask("Page.navigate", url=file.as_uri())
        while not self.seen("Page.loadEventFired"):
            self.events.append(self.receive())
        time.sleep(0.2)  # whatever a page starts after its load event
        self.run("0")

    def run(self, code: str) -> Any:
        return self.ask("Runtime.evaluate", expression=code, returnByValue=True)["result"].get("value")

    def seen(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event.get("method") == method]

    @property
    def requested(self) -> set[str]:
        """Addresses that were asked for, pictures inside the page left out."""
        addresses = {one["request"]["url"] for one in self.seen("Network.requestWillBeSent")}
        return {one for one in addresses if not one.startswith("data:")}

    @property
    def complaints(self) -> list[dict[str, Any]]:
        methods = (
            "Log.entryAdded",
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Page.javascriptDialogOpening",
        )
        return [one for method in methods for one in self.seen(method)]


@contextmanager
def chromium(folder: Path) -> Iterator[Tab]:
    read_there, write_here = os.pipe()
    read_here, write_there = os.pipe()
    flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --remote-debugging-pipe --no-first-run"
    shell = f'exec "$0" {flags} --user-data-dir="$1" 3<&{read_there} 4>&{write_there}'
    process = subprocess.Popen(
        ["/bin/bash", "-c", shell, str(BROWSER), str(folder / "profile")],
        pass_fds=(read_there, write_there),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_there)
    os.close(write_there)
    try:
        yield Tab(write_here, read_here)
    finally:
        os.close(write_here)
        process.terminate()
        process.wait(30)
        os.close(read_here)


def opened(tables: ResultTables, folder: Path, tab: Tab) -> str:
    file = folder / "report.html"
    write_page(tables, file)
    tab.open(file)
    assert tab.requested == {file.as_uri()}
    assert tab.complaints == []
    text = tab.run("document.body.innerText")
    assert isinstance(text, str)
    return text


def test_the_page_asks_for_nothing_and_shows_everything(tmp_path: Path) -> None:
    tables = sample_tables(1500)
    with chromium(tmp_path) as tab:
        text = opened(tables, tmp_path, tab)
        for sentence in (
            "Breakout",
            "Total return, optimistic",
            "12 candles were ambiguous",
            "Sharpe ratio",
            "POST /v2/signal",
        ):
            assert sentence in text
        pictures = tab.run("[...document.images].map(one => one.complete && one.naturalWidth > 0)")
        assert pictures == [True, True, True]
        assert tab.run("getComputedStyle(document.body).maxWidth") != "none"  # the policy lets our own sheet in
        assert tab.run("document.documentElement.scrollWidth <= innerWidth") is True


def test_the_witness_would_see_a_request_and_a_complaint(tmp_path: Path) -> None:
    page = "<!doctype html><img src='http://127.0.0.1:9/x.png'><script>console.error('no')</script>"
    (tmp_path / "bad.html").write_text(page)
    with chromium(tmp_path) as tab:
        tab.open(tmp_path / "bad.html")
        assert "http://127.0.0.1:9/x.png" in tab.requested
        assert tab.complaints


def test_a_link_of_a_trade_opens_its_signal(tmp_path: Path) -> None:
    with chromium(tmp_path) as tab:
        text = opened(sample_tables(1500), tmp_path, tab)
        why = "A range entry buys the whole allocation"
        assert why not in text
        tab.run("document.querySelector('#signal-3').open = true")
        assert why in tab.run("document.body.innerText")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    with chromium(tmp_path) as tab:
        text = opened(hostile(), tmp_path, tab)
        assert HOSTILE in text
        assert tab.run("document.scripts.length") == 0
        assert tab.run("document.title").startswith(HOSTILE)


def test_on_a_phone_figures_keep_their_lines_and_charts_stay_readable(tmp_path: Path) -> None:
    with chromium(tmp_path) as tab:
        tab.ask("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
        opened(sample_tables(1500), tmp_path, tab)
        assert tab.run("document.documentElement.scrollWidth <= innerWidth") is True
        figures = "[...document.querySelectorAll('.figures td:last-child')]"
        assert tab.run(f"Math.min(...{figures}.map(one => one.getBoundingClientRect().width))") > 250
        assert tab.run(f"Math.max(...{figures}.map(one => one.getBoundingClientRect().right))") <= 390
        charts = "[...document.querySelectorAll('.chart img')].filter(one => one.getBoundingClientRect().width > 0)"
        assert tab.run(f"Math.min(...{charts}.map(one => one.getBoundingClientRect().width))") > 600
