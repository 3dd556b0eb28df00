"""The documentation, executed: each program and command as printed, each name of the package, the site as it is built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import backtest
from backtest.model.rule import Rule
from tests.command_line import ROOT, days, in_process_of_its_own, write
from tests.loopback_exchange import HOUR, Loopback, last
from tests.printed import assert_printed, blocks, execute

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = ROOT / "docs"
PAGES = {str(path.relative_to(DOCS)): path.read_text("utf-8") for path in sorted(DOCS.rglob("*.md"))}
PROGRAMS = [name for name, text in PAGES.items() if any(block.language == "python" for block in blocks(text))]
SHELLS = [name for name, text in PAGES.items() if any(block.language == "sh" for block in blocks(text))]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder like a fresh clone, with a file of the reader's own."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "strategies", folder / "strategies", ignore=shutil.ignore_patterns("__pycache__"))
    for text in PAGES.values():
        for block in blocks(text):
            if block.file:
                (folder / block.file).write_text(block.text, "utf-8")
    write(days(), folder / "prices.csv")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.mark.parametrize("page", PROGRAMS)
def test_the_programs_of_a_page_run_in_its_order(page: str, clone: Path) -> None:
    """One after the other in one process, as in a notebook; what a page says that they print, they print."""
    programs = [block for block in blocks(PAGES[page]) if block.language == "python"]
    done = in_process_of_its_own("\n".join(block.text for block in programs), prefix=("-c",), cwd=clone)
    assert (done.status, done.err) == (0, "")
    for block in programs:
        if block.printed:
            assert_printed(block.printed, done.out)


@pytest.mark.usefixtures("clone")
@pytest.mark.parametrize("page", SHELLS)
def test_the_commands_of_a_page(page: str) -> None:
    with Loopback(last(24 * HOUR) - 40 * 24 * HOUR) as exchange:
        for block in blocks(PAGES[page]):
            if block.language == "sh":
                execute(block, exchange)


def test_every_public_name_has_its_place_in_the_reference() -> None:
    shown = set(re.findall(r"^::: backtest\.(\w+)", "\n".join(PAGES.values()), re.MULTILINE))
    assert set(backtest.__all__) - shown - {"Field"} == set()


@pytest.fixture(scope="module")
def site() -> Path:
    """The site, built as `make docs` builds it."""
    done = subprocess.run([sys.executable, "-m", "tools.docs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "griffe" not in done.stdout + done.stderr  # a docstring that cannot be read
    return ROOT / "build" / "site"


def test_the_site_has_every_rule_with_a_drawing_and_asks_no_other_host(site: Path) -> None:
    pages = {path: path.read_text("utf-8") for path in site.rglob("*.html")}
    rules = "".join(text for path, text in pages.items() if path.parent.name == "rules")
    assert [rule.value for rule in Rule if f"<strong>{rule.value}</strong>" not in rules] == []
    assert rules.count("<img") > 40
    for path, text in pages.items():
        asked = re.findall(
            r"""(?:<script[^>]*src|<link[^>]*rel="?stylesheet"?[^>]*href|<img[^>]*src|<iframe[^>]*src)=["']?(https?:[^"' >]+)""",
            text,
        )
        assert asked == [], path
    commands = pages[site / "commands.html"]
    assert "backtest walk-forward" in commands
    assert "--draws" in commands
    assert "report.html" in pages[site / "index.html"]
    assert (site / "report.html").stat().st_size > 10_000
    assert (site / "search.json").stat().st_size > 10_000
