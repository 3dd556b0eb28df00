"""TitledTable: a table with its title, what it says and the units of its columns, for console, notebook and page."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from backtest.report import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

__all__ = ["LEFT", "TitledTable", "frame_of", "render_tables", "tables_html"]

LEFT = frozenset({"text", "time", "day"})
"""Units of columns that are read from the left; all others are figures."""

_WORDS = {"pnl": "PnL", "mae": "MAE", "mfe": "MFE", "r": "R"}
"""How words of column names are spelt in a title."""

_SHOWN = 40
"""Rows of a table that console and notebook show; its frame has all."""

_HEAD = 12
"""Characters of a head over figures that a terminal leaves unbroken."""

_LABEL = 3
"""The part of a terminal's width, one in so many, up to which the words of a first column stand on one line."""


@dataclass(frozen=True, eq=False)
class TitledTable:
    """One table of a report.

    Attributes
    ----------
    key, title
        ``"by_exit"``, ``"By exit"``.
    about
        How its figures are computed, in a sentence or two.
    frame
        The table; a figure that is not defined is ``<NA>``, never NaN.
    units
        Of each column by name: those of :class:`backtest.report.statistic.Statistic`, ``price``, ``percentile``,
        ``shown`` (a figure as text), ``text``, ``time`` (a UTC time) or ``day``; a column without one is text.
    labels
        What a column is called where its name does not say it.
    empty
        Why there is no row, where there is none.
    """

    key: str
    title: str
    about: str
    frame: pd.DataFrame
    units: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    empty: str = "nothing to show"

    @property
    def head(self) -> list[str]:
        """The titles of the columns."""
        return [self.labels.get(str(name)) or _spelt(str(name)) for name in self.frame.columns]

    @property
    def figures(self) -> list[int]:
        """Positions of the columns that hold figures, set to the right."""
        return [k for k, name in enumerate(self.frame.columns) if self.units.get(str(name), "text") not in LEFT]

    def cells(self, most: int | None = None) -> list[list[str]]:
        """Return the rows as people read them; what is not defined is ``n/a``.

        Parameters
        ----------
        most
            How many rows; None returns all.
        """
        shown = self.frame if most is None else self.frame.head(most)
        columns = [[_cell(one, self.units.get(str(name), "text")) for one in shown[name]] for name in shown.columns]
        return [list(row) for row in zip(*columns, strict=True)]

    def note(self, most: int | None = None) -> str:
        """Return what stands under the title; also how many rows are left out of ``most``."""
        left = 0 if most is None else max(len(self.frame) - most, 0)
        if not len(self.frame):
            return f"{self.about} No row: {self.empty}."
        return f"{self.about} The first {most:,} of {text.plural(len(self.frame), 'row')}." if left else self.about

    def __repr__(self) -> str:
        return f"{self.title}\n{self.note()}\n{self.frame.to_string(max_rows=_SHOWN)}"

    def _repr_html_(self) -> str:
        return tables_html([self])


def frame_of(columns: Mapping[str, Sequence[Any] | Any], *, optional: Sequence[str] = ()) -> pd.DataFrame:
    """Return columns as a table.

    Parameters
    ----------
    columns
        Values by name.
    optional
        Columns of floats in which None or NaN means that a figure is not defined; they become nullable ``Float64``.
    """
    import numpy as np
    import pandas as pd

    made: dict[str, Any] = {}
    for name, values in columns.items():
        if name in optional:
            numbers = np.array([np.nan if one is None else one for one in values], np.float64)
            missing = ~np.isfinite(numbers)
            made[name] = pd.arrays.FloatingArray(np.where(missing, 0.0, numbers), missing)
        else:
            made[name] = values
    return pd.DataFrame(made)


def _spelt(name: str) -> str:
    return " ".join(_WORDS.get(word, word) for word in name.split("_"))


_FORMS: dict[str, Callable[[Any], str]] = {
    "text": str,
    "shown": str,
    "percentile": lambda value: f"{100.0 * float(value):g} %",
    "time": lambda value: f"{value:%Y-%m-%d %H:%M}",
    "day": lambda value: f"{value:%Y-%m-%d}",
    "price": lambda value: text.price(float(value), 8),
}


def _cell(value: Any, unit: str) -> str:
    import pandas as pd

    if value is None or (not isinstance(value, str) and bool(pd.isna(value))):
        return text.MISSING if unit not in LEFT else ""
    form = _FORMS.get(unit)
    return text.value(float(value), unit) if form is None else form(value)


def render_tables(tables: Sequence[TitledTable], *, most: int = _SHOWN) -> RenderableType:
    """Return what a terminal shows of tables, one under the other.

    Parameters
    ----------
    tables
        In their order.
    most
        Rows that are shown of each.
    """
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = []
    for one in tables:
        parts += [Text(one.title, style="bold"), Padding(Text(one.note(most), style="dim"), (0, 0, 0, 2))]
        parts.append(_Fitted(one, one.cells(most)) if len(one.frame) else Text(""))
    return Group(*parts)


class _Fitted:
    """A table as wide as the terminal: columns that find no room stand below, behind the first column once more.

    No figure and no word is ever broken or cut, unless the first column and one other are too wide together.
    """

    def __init__(self, table: TitledTable, cells: Sequence[Sequence[str]]) -> None:
        figures, columns = set(table.figures), list(zip(*cells, strict=True))
        widest = [max(map(len, column)) for column in columns]
        # A figure's head is broken, but at words alone, or it would leave no room to the columns of text.
        self._head = [
            "\n".join(wrap(name, max(_HEAD, widest[k]), break_long_words=False)) if k in figures else name
            for k, name in enumerate(table.head)
        ]
        self._cells, self._figures = cells, figures
        lines = [[*head.split("\n"), *column] for head, column in zip(self._head, columns, strict=True)]
        self._whole = [max(map(len, each)) for each in lines]
        self._least = [
            whole
            if k in figures or table.units.get(name) == "time"
            else max(len(word) for line in lines[k] for word in ["", *line.split()])
            for k, (name, whole) in enumerate(zip(map(str, table.frame.columns), self._whole, strict=True))
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        room = options.max_width
        least = [*self._least]
        least[0] = max(least[0], min(self._whole[0], room // _LABEL))
        shown = [0]
        for k in range(1, len(least)):
            if len(shown) > 1 and self._wide(least[c] for c in (*shown, k)) > room:
                yield self._part(shown, least, room)
                shown = [0]
            shown.append(k)
        yield self._part(shown, least, room)

    @staticmethod
    def _wide(columns: Iterable[int]) -> int:
        """Return how wide a table is: a space before each column, one behind it, and one between two."""
        each = [*columns]
        return sum(each) + 2 * len(each)

    def _part(self, columns: Sequence[int], least: Sequence[int], room: int) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        left = max(0, room - self._wide(least[k] for k in columns))
        made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
        for k in columns:
            more = min(left, self._whole[k] - least[k])
            left -= more
            made.add_column(
                Text(self._head[k]),
                justify="right" if k in self._figures else "left",
                overflow="fold",
                width=least[k] + more,
            )
        for row in self._cells:
            made.add_row(*(Text(row[k]) for k in columns))
        return made


def tables_html(tables: Sequence[TitledTable], *, most: int = _SHOWN) -> str:
    """Return what a notebook shows of tables; every text is escaped.

    Parameters
    ----------
    tables
        In their order.
    most
        Rows that are shown of each.
    """
    from backtest.report.fragments import fragment

    return fragment("tables", tables=tables, most=most)
