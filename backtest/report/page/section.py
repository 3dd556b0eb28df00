"""Section: a part of the page, a title with tables; what it shows is data, and one template draws all of them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


_HALF, _WRAPS = 82, 40
"""Characters that fit into a row of half the page, and in a cell from which on it may wrap."""


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
        """Whether it needs the whole width."""
        widths = [
            max([min(9, len(name)), *(len(row[k]) for row in self.shown[:40])]) for k, name in enumerate(self.head)
        ]
        wrapped = [width for width in widths if width > _WRAPS]
        return (
            len(widths) > 9
            or (bool(wrapped) and len(widths) > 3)
            or (not wrapped and sum(widths) + len(widths) > _HALF)
        )

    @property
    def is_long(self) -> bool:
        """Whether it is left out of print."""
        return len(self.shown) > 16

    @property
    def is_dense(self) -> bool:
        """Whether its columns stand close together."""
        return not self.is_wide and len(self.head) > 5

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
            "dense": self.is_dense,
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
    numbers
        Of the signals, by name: set by the page.
    """

    key: str
    title: str
    about: str = ""
    tables: Sequence[PageTable | Titled] = ()
    folded: bool = False
    numbers: Mapping[str, int] = field(default_factory=dict)

    @property
    def made(self) -> list[PageTable]:
        """The tables as the template draws them; what several say of themselves is said once, by :attr:`said`."""
        made = [one if isinstance(one, PageTable) else page_table(one, self.numbers) for one in self.tables]
        shared = self._shared
        return [replace(one, about="") if one.about in shared else one for one in made]

    @property
    def said(self) -> list[str]:
        """The sentences under the title: its own, and what several tables say of themselves."""
        return [sentence for sentence in (self.about, *self._shared) if sentence]

    @property
    def _shared(self) -> list[str]:
        counts = Counter(one.about for one in self.tables)
        return [about for about, count in counts.items() if count > 2 and about]


def page_table(one: Titled, numbers: Mapping[str, int] | None = None) -> PageTable:
    """Return a table of breakdowns as a table of the page.

    Parameters
    ----------
    one
        The table.
    numbers
        Of the signals, by name: a column ``signal`` shows and links them.
    """
    numbers = numbers or {}
    names = [str(name) for name in one.frame.columns]
    raw = [[_plain(value) for value in row] for row in one.frame.itertuples(index=False, name=None)]
    shown, signals = one.cells(), []
    if names[:1] == ["signal"] and numbers:
        signals = [numbers.get(str(row[0]), 0) for row in raw]
        shown = [
            [f"signal {number}" if number else row[0], *row[1:]] for number, row in zip(signals, shown, strict=True)
        ]
    heat = one.figures if one.key == "months" else []
    head = [label or name for label, name in zip(one.head, names, strict=True)]
    return PageTable(one.key, one.title, one.about, head, one.figures, shown, raw, signals, empty=one.empty, heat=heat)


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
