"""Section: a part of the page, a title with tables; what it shows is data, and one template draws all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = ["PageTable", "Section", "Titled", "page_table"]


class Titled(Protocol):
    """A table as breakdowns, subscribers and comparisons make it."""

    @property
    def key(self) -> str:
        """``"by_exit"``."""

    @property
    def title(self) -> str:
        """``"By exit"``."""

    @property
    def about(self) -> str:
        """How its figures are computed."""

    @property
    def frame(self) -> pd.DataFrame:
        """The table itself."""

    @property
    def empty(self) -> str:
        """Why there is no row, where there is none."""

    @property
    def head(self) -> list[str]:
        """The titles of the columns."""

    @property
    def figures(self) -> list[int]:
        """Positions of the columns that hold figures."""

    def cells(self, most: int | None = None) -> list[list[str]]:
        """Return the rows as people read them."""


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table of the page.

    Attributes
    ----------
    key, title, about
        ``"by_exit"``, ``"By exit"``, and how its figures are computed.
    head
        Titles of the columns.
    figures
        Positions of the columns that hold figures, set to the right.
    shown
        (rows, columns) texts as people read them.
    raw
        (rows, columns) what is sorted by and written to CSV: numbers, texts, or None.
    signals
        Numbers of the signals that the rows are about; empty, or one a row (0: none).
    empty
        What is said where there is no row.
    rest
        What is said under it, about rows that are not in it.
    heat
        Positions of columns whose cells are coloured by their sign and size.
    """

    key: str
    title: str
    about: str
    head: list[str]
    figures: list[int]
    shown: list[list[str]]
    raw: list[list[Any]]
    signals: list[int] = field(default_factory=list)
    empty: str = "nothing to show"
    rest: str = ""
    heat: list[int] = field(default_factory=list)

    @property
    def is_wide(self) -> bool:
        """Whether it takes the whole width."""
        return len(self.head) > 4

    def heats(self, row: int) -> dict[int, str]:
        """Return the classes of coloured cells in a row: ``up1`` to ``up4``, ``down1`` to ``down4``, by position."""
        sizes = [abs(one[k]) for one in self.raw for k in self.heat if isinstance(one[k], int | float)]
        most = max(sizes, default=0.0)
        found = {}
        for k in self.heat:
            value = self.raw[row][k]
            if most > 0.0 and isinstance(value, int | float) and value != 0.0:
                found[k] = ("up" if value > 0.0 else "down") + str(min(4, 1 + int(4.0 * abs(value) / most)))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return what the page's script sorts, filters and writes as CSV."""
        told = {
            "key": self.key,
            "head": self.head,
            "figures": self.figures,
            "shown": self.shown,
            "raw": self.raw,
            "signals": self.signals,
        }
        return told | ({"heats": [self.heats(i) for i in range(len(self.raw))]} if self.heat else {})


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    key, title, about
        ``"breakdowns"``, ``"Breakdowns"``, and a sentence under the title.
    tables
        What it shows, in order; tables of breakdowns as they are.
    folded
        Whether it opens only when asked.
    """

    key: str
    title: str
    about: str = ""
    tables: Sequence[PageTable | Titled] = ()
    folded: bool = False

    @property
    def made(self) -> list[PageTable]:
        """The tables as the template draws them."""
        return [one if isinstance(one, PageTable) else page_table(one) for one in self.tables]


def page_table(one: Titled) -> PageTable:
    """Return a table of breakdowns as a table of the page."""
    months = one.key == "months"
    return PageTable(
        one.key,
        one.title,
        one.about,
        one.head,
        one.figures,
        one.cells(),
        [[_plain(value) for value in row] for row in one.frame.itertuples(index=False, name=None)],
        empty=one.empty,
        heat=one.figures if months else [],
    )


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: what is not defined is None, a time its text."""
    import pandas as pd

    if isinstance(value, str | bool):
        return value
    if value is None or pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    number = float(value)
    return (int(number) if number.is_integer() and abs(number) < 1e15 else number) if math.isfinite(number) else None
