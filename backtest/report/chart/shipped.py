"""Shipped: the scripts and the sheet of the chart, as they lie in ``assets``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["scripts", "sheet"]

_FOLDER = Path(__file__).with_name("assets")
_SCRIPTS = ("lightweight-charts.js", "data.js", "marks.js", "chart.js")


@cache
def scripts() -> tuple[str, ...]:
    """Return the scripts in the order in which a page holds them: the library, then ours."""
    return tuple((_FOLDER / name).read_text("utf-8") for name in _SCRIPTS)


@cache
def sheet() -> str:
    """Return the style sheet of the chart; it names nothing outside of ``.sc``."""
    return (_FOLDER / "chart.css").read_text("utf-8")
