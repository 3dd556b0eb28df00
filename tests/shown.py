"""What was shown once and read by a person, kept as text, so that no word and no figure of it changes unnoticed."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

SHOWN = Path(__file__).parent / "shown"


def lines_of(page: str) -> str:
    """Return what a person reads of a page, a line for each block or row of a table."""
    page = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", page)
    broken = re.sub(r"(?i)</?(?:tr|p|h[1-6]|div|li|caption|section|summary|dt|article)\b[^>]*>", "\n", page)
    apart = re.sub(r"(?i)</t[dh]>[ ]*(?=<t[dh])", " | ", broken)
    text = html.unescape(re.sub(r"<[^>]+>", " ", apart))
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line) + "\n"


def is_as_kept(name: str, text: str) -> None:
    """Hold a text against the one that is kept; delete the file to keep another, and read what changed.

    Parameters
    ----------
    name
        Of the file.
    text
        What is shown now.
    """
    file = SHOWN / name
    if not file.exists():
        file.write_text(text, "utf-8")
        pytest.fail(f"{file} was not there and holds what is shown now: read it, and keep it where it is right")
    assert text.splitlines() == file.read_text("utf-8").splitlines()
