"""Review: ``review.csv``, in which a person sees every reading and decides where the grammar would not."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.channel.clean import LONGEST
from backtest.errors import InvalidSettingError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["COLUMNS", "Decision", "escaped", "read_decisions", "rows_of", "seen"]

COLUMNS = ("id", "time", "text", "reading", "reason", "decision")
_WORDS = ("drop", "keep", "as")
_FORMULA = re.compile("'*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_LARGEST = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about a message.

    Attributes
    ----------
    kind
        ``drop``: leave it out; ``keep``: its text is as it was posted, and its prices are meant; ``as``: read another text
        in its place.
    text
        Of ``as``.
    shown
        The text that was decided about.
    cell
        As it was written.
    """

    kind: str
    text: str
    shown: str
    cell: str


def seen(text: str) -> str:
    """Return a text as ``review.csv`` shows it: not longer than a message can be, and without what no file should hold."""
    found = "".join(
        letter if letter in "\n\t" or letter.isprintable() else "\ufffd" for letter in text.strip()[:LONGEST]
    )
    return f"{found} [...]" if len(text.strip()) > LONGEST else found


def escaped(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def read_decisions(path: Path) -> Mapping[str, Decision]:
    """Return the decisions of a ``review.csv`` by the id of their message; none where there is no file.

    Raises
    ------
    InvalidSettingError
        For a file that is no review, and for a decision that is none.
    """
    if not path.exists():
        return {}
    found: dict[str, Decision] = {}
    limit = csv.field_size_limit(_LARGEST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            rows = csv.DictReader(stream, delimiter=max(",;\t", key=first.count))
            missing = [name for name in ("id", "text", "decision") if name not in (rows.fieldnames or ())]
            if missing:
                raise InvalidSettingError(
                    f"{path} has no column {missing[0]}: it is no review; move it away, or use another folder"
                )
            for row in rows:
                cell = _plain((row["decision"] or "").strip())
                if cell:
                    decided = _decision(f"{path} line {rows.line_num}", cell, _plain(row["text"] or ""))
                    if found.setdefault(str(row["id"]), decided) != decided:
                        raise InvalidSettingError(f"{path} line {rows.line_num}: message {row['id']} is decided twice")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidSettingError(f"{path} cannot be read: {error}") from None
    finally:
        csv.field_size_limit(limit)
    return found


def _decision(where: str, cell: str, shown: str) -> Decision:
    word, _, text = cell.partition(" ")
    kind = word.lower().rstrip(":")
    if kind not in _WORDS or (kind == "as") != bool(text.strip()):
        raise InvalidSettingError(
            f"{where}: a decision is drop, keep, or as and the text to read in its place, was {cell[:60]!r}."
            f"{did_you_mean(kind, _WORDS)}"
        )
    return Decision(kind, text.strip(), shown, cell)


def rows_of(rows: Iterable[tuple[str, ...]]) -> list[list[str]]:
    """Return the rows of ``review.csv`` with every cell escaped, its columns first."""
    return [list(COLUMNS), *([escaped(cell) for cell in row] for row in rows)]
