"""What a page prints for its readers: its commands, programs and the output it promises, found and executed."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.command_line import backtest

if TYPE_CHECKING:
    from tests.loopback_exchange import Loopback

FENCE = re.compile(r"^```(\w*) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that it names, its text and the printed lines under it."""

    language: str
    file: str
    text: str
    printed: str


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found = [match.groups() for match in FENCE.finditer(text)]
    following = [*found[1:], ("", "", "")][: len(found)]
    return [
        Block(language, file, text, after[2] if after[0] == "text" else "")
        for (language, file, text), after in zip(found, following, strict=True)
    ]


def execute(block: Block, exchange: Loopback) -> None:
    """Run a block's commands in this process, the exchange faked at the wire, and check what they print."""
    printed = ""
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        if words[0] in {"make", "source", "export", "curl"} or words[:2] == ["backtest", "venue"]:
            continue  # below
        assert words[0] == "backtest", line
        more = ["--url", exchange.url("binance")] if words[1] == "fetch" else []
        done = backtest(*words[1:], *more)
        assert done.status == 0, (line, done)
        printed += done.out
    assert_printed(block.printed, printed)


def assert_printed(shown: str, printed: str) -> None:
    """Check that the lines of an excerpt stand in the output in their order; `...` leaves some out."""
    rest = [line.rstrip() for line in printed.splitlines()]
    for line in shown.splitlines():
        if line.strip() == "...":
            continue
        assert line.rstrip() in rest, f"not printed (any more): {line!r}\n{printed}"
        rest = rest[rest.index(line.rstrip()) + 1 :]
