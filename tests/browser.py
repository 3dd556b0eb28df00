"""Chromium for the tests of pages: the one that is installed, started once a module, every tab witnessed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

__all__ = ["CHROMIUM", "Tab", "browser", "needs_browser", "opened"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install chromium, the pages were not opened"),
]


@dataclass
class Tab:
    """A page, what it asked the network for, and what it complained of."""

    page: Page
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def run(self, code: str) -> Any:
        return self.page.evaluate(code)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu", "--disable-dev-shm-usage"])
        yield started
        started.close()


@contextmanager
def opened(browser: Browser, file: Path, *, at: str = "", **context: Any) -> Iterator[Tab]:
    """Open a file in a context of its own, and fail where it asked for anything else or complained."""
    own = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **context})
    try:
        tab = Tab(own.new_page())
        tab.page.on("request", lambda one: tab.requested.append(one.url))
        tab.page.on("console", lambda one: tab.complaints.append(one.text))
        tab.page.on("pageerror", lambda one: tab.complaints.append(str(one)))
        tab.page.on("dialog", lambda one: tab.complaints.append(one.message))
        tab.page.goto(file.as_uri() + at)
        yield tab
        outside = [one for one in tab.requested if not one.startswith(("data:", "blob:", file.as_uri()))]
        assert not outside, outside
        assert not tab.complaints, tab.complaints
    finally:
        own.close()
