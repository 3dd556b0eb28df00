"""The README, executed: every command as printed, every program, every line of output, every link."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from tests.command_line import ROOT, backtest, days, in_process_of_its_own, write
from tests.loopback_exchange import HOUR, Loopback, last
from tests.printed import Block, assert_printed, blocks, execute

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (ROOT / "README.md").read_text("utf-8")


BLOCKS = blocks(README)
SHELL = [block for block in BLOCKS if block.language == "sh"]
COMMANDS = [line for block in SHELL for line in block.text.splitlines()]
EXPORTS = {
    name: value
    for line in COMMANDS
    if line.startswith("export ")
    for name, _, value in (word.partition("=") for word in shlex.split(line)[1:])
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder like a fresh clone, with the files that the README tells to write, and a file of the reader's own."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "strategies", folder / "strategies", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "scenarios", folder / "tests" / "scenarios")
    for block in BLOCKS:
        if block.file:
            (folder / block.file).write_text(block.text, "utf-8")
    write(days(), folder / "prices.csv")
    before = Path.cwd()
    os.chdir(folder)
    with patch.dict(os.environ, EXPORTS):  # one shell: what the README exports holds for every command
        yield folder
    os.chdir(before)


def test_the_readme_has_what_a_reader_needs() -> None:
    assert "python" in {block.language for block in BLOCKS}
    assert [block.file for block in BLOCKS if block.file] == ["create.json", "channel.csv", "posts.csv", "channel.toml"]
    assert [line for line in COMMANDS if line.split()[0] not in {"make", "export", "backtest", "curl"}] == []
    assert any(reads(block, earlier) for at, block in enumerate(SHELL) for earlier in SHELL[:at])
    for verb in ("run", "explain", "calls", "emit", "reconcile", "venue", "fetch", "data", "replay", "channel"):
        assert any(line.startswith(f"backtest {verb} ") for line in COMMANDS), verb


@pytest.mark.parametrize("number", range(len(SHELL)), ids=lambda number: SHELL[number].text.split("\n", 1)[0])
def test_every_command_as_printed(clone: Path, number: int) -> None:
    """One test a block; a block that reads what an earlier one wrote has that run first, where it did not yet."""
    with Loopback(last(24 * HOUR) - 40 * 24 * HOUR) as exchange:
        for earlier in SHELL[:number]:
            if reads(SHELL[number], earlier) and not all((clone / path).exists() for path in written(earlier)):
                execute(earlier, exchange)
        execute(SHELL[number], exchange)
    assert [path for path in written(SHELL[number]) if not (clone / path).exists()] == []


def test_what_writes_may_be_said_again_in_any_order(clone: Path) -> None:
    """Backwards through the blocks that write results and journals, each in a shell in which all others were said."""
    writing = [block for block in SHELL if written(block) and "backtest fetch" not in block.text]
    assert len(writing) > 3
    with Loopback(last(24 * HOUR) - HOUR) as exchange:
        for block in [*writing[:1], *reversed(writing)]:
            execute(block, exchange)
    assert [path for block in writing for path in written(block) if not (clone / path).exists()] == []


def written(block: Block) -> set[str]:
    """Return what the commands of a block are told to write."""
    return set(re.findall(r"--(?:out|chart|journal) (\S+)", block.text))


def reads(block: Block, earlier: Block) -> bool:
    """Whether a block names what an earlier one is told to write."""
    return any(re.search(rf"(?<!--out ){re.escape(path)}(?!\S)", block.text) for path in written(earlier))


def test_the_programs_run(clone: Path) -> None:
    programs = [block for block in BLOCKS if block.language == "python"]
    for program in programs:
        done = in_process_of_its_own(program.text, prefix=("-c",), cwd=clone)
        assert (done.status, done.err) == (0, "")
        assert program.printed
        assert_printed(program.printed, done.out)


def test_the_paper_venue_is_served_and_asked_as_printed(clone: Path) -> None:
    block = next(block for block in SHELL if "backtest venue" in block.text)
    lines = [shlex.split(line) for line in block.text.splitlines()]
    secrets = dict(word.split("=") for words in lines if words[0] == "export" for word in words[1:])
    words = next(words for words in lines if words[0] == "backtest")
    words[words.index("--port") + 1] = "0"  # whichever is free, where tests run side by side
    create, ask = (shlex.split(line) for line in COMMANDS if line.startswith("curl"))
    env = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")} | secrets
    command = [sys.executable, "-u", "-m", *words]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=clone,
        env=env | {"PYTHONPATH": str(ROOT)},
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[3].rstrip(",")
        assert url.startswith("http://127.0.0.1:")
        assert "candles wait for the first call" in server.stdout.readline()
        assert curl(create, url, clone)["payload"]["result"] == "success"
        assert "candles were fed" in server.stdout.readline()
        kinds = [event["kind"] for event in curl(ask, url, clone)["events"]]
        server.send_signal(signal.SIGINT)
        assert server.wait(120) in {0, 130}
    assert (kinds[:2], kinds[-1]) == (["created", "entered"], "closed")
    assert (clone / "out" / "venue.sqlite").is_file()


def curl(words: list[str], url: str, folder: Path) -> dict[str, Any]:
    """Run a printed line of curl against the venue that was really started, and return the JSON of its answer."""
    aimed = [word.replace("http://127.0.0.1:8787", url) for word in words]
    done = subprocess.run(aimed, capture_output=True, check=True, cwd=folder)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_live_sends_nothing_and_says_what_is_missing(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANNY_API_KEY", "ANNY_API_SECRET", "ANNY_BASE_URL", "ANNY_SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)
    named = ("--market", "BTC/USDT", "--exchange", "binance", "--timeframe", "1h", "--url", "http://127.0.0.1:9")
    done = backtest("emit", clone / "strategies" / "breakout.py", "--live", *named)
    assert done.status == 2
    assert "MISSING credentials" in done.out
    assert "MISSING exchange binance" in done.out
    assert "nothing was sent" in done.err


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, re.MULTILINE))
def test_the_targets_of_make_exist(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "page",
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "data/README.md", "benchmarks/README.md"],
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    folder = (ROOT / page).parent
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [link for link in links if not (folder / link).exists()] == []


def test_paths_of_the_layout_exist() -> None:
    layout = README[README.index("## Layout") :]
    for path in re.findall(r"^\| `([^`]+)`", layout, re.MULTILINE):
        assert (ROOT / path).exists(), path
