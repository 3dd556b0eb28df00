"""The page of the commands, from the command line itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer.main

from backtest.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["commands_page"]

HEAD = """# Commands

Every command tells its options with `--help`, and ends with 0 (done), 2 (bad request), 3 (network, disk or exchange
failed), 4 (an unknown outcome awaits a person) or 130 (interrupted). An error is one sentence on standard error.
"""


def commands_page() -> str:
    """Return the page: each command with its usage, what it does, and a table of its options."""
    root = typer.main.get_command(app)
    return HEAD + "".join(_section(words, command) for words, command in _commands("backtest", root))


def _commands(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
        return
    for name, one in inner.items():
        # What a group does without a verb is a hidden command of its own (backtest emit FILE.py).
        yield from _commands(words if one.hidden else f"{words} {name}", one)


def _section(words: str, command: Any) -> str:
    context = command.make_context(words, [], resilient_parsing=True)
    paragraphs = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    text = "".join(
        f"\n```sh\n{part}\n```\n" if part.startswith("backtest ") else f"\n{_safe(part)}\n" for part in paragraphs
    )
    records = [one.get_help_record(context) for one in command.params if not one.hidden]
    table = "".join(f"| {_code(record[0])} | {_safe(record[1])} |\n" for record in records if record)
    head = "\n| | |\n|---|---|\n" if table else ""
    usage = " ".join([words, *command.collect_usage_pieces(context)])
    return f"\n## {words}\n\n```text\n{usage}\n```\n{text}{head}{table}"


def _code(names: str) -> str:
    """Return the names of an option as code, and what it takes as text: ``--out <path>``."""
    written, _, kind = names.partition(" <")
    return f"`{written.strip()}`" + (f" &lt;{_safe(kind)}" if kind else "")


def _safe(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
