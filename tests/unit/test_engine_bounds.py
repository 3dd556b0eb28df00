"""The engine's functions fit on a page, so that a rule can be read at once; ruff holds how many ways lead through them."""

from __future__ import annotations

import ast
import tokenize
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.command_line import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_LINES, MOST_COLUMNS, MOST_WAYS = 60, 120, 15
FILES = sorted((ROOT / "backtest" / "engine").rglob("*.py"))
SENTENCES = (
    (tokenize.STRING, tokenize.COMMENT, tokenize.FSTRING_MIDDLE)
    if hasattr(tokenize, "FSTRING_MIDDLE")
    else (
        tokenize.STRING,
        tokenize.COMMENT,
    )
)


def functions(file: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def lines_of(function: ast.FunctionDef) -> int:
    """Return its lines from ``def`` to its end, without those of its docstring."""
    first, end = function.lineno, function.end_lineno or function.lineno
    head = function.body[0]
    words = isinstance(head, ast.Expr) and isinstance(head.value, ast.Constant) and isinstance(head.value.value, str)
    return end - first + 1 - ((head.end_lineno or 0) - head.lineno + 1 if words else 0)


def wide_lines(file: Path) -> list[int]:
    """Return the lines whose code, without sentences in strings and comments, ends behind the last column."""
    with tokenize.open(file) as text:
        tokens = [token for token in tokenize.generate_tokens(text.readline) if token.type not in SENTENCES]
    return sorted({token.end[0] for token in tokens if token.string.strip() and token.end[1] > MOST_COLUMNS})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT / "backtest" / "engine").as_posix())
def test_every_function_of_the_engine_fits_on_a_page(file: Path) -> None:
    long = {one.name: lines_of(one) for one in functions(file) if lines_of(one) > MOST_LINES}
    assert not long
    assert not [line for line in wide_lines(file) if line_has_code_beyond(file, line)]


def line_has_code_beyond(file: Path, number: int) -> bool:
    """Whether what stands behind the last column is more than what closes a sentence in a string."""
    behind = file.read_text("utf-8").splitlines()[number - 1][MOST_COLUMNS:]
    return any(sign.isalnum() for sign in behind)


def test_ruff_holds_how_many_ways_lead_through_a_function() -> None:
    """Its own bound is stricter; no file of the engine is let off."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    assert "C901" not in lint["ignore"]
    assert lint.get("mccabe", {}).get("max-complexity", 10) <= MOST_WAYS
    let_off = {place: rules for place, rules in lint["per-file-ignores"].items() if "engine" in place}
    assert not [place for place, rules in let_off.items() if "C901" in rules]
