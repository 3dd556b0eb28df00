"""TitledTable: a table with its title, what it says and the units of its columns, for console, notebook and page."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from backtest.report import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from rich.console import RenderableType

__all__ = ["LEFT", "TitledTable", "frame_of", "render_tables", "tables_html"]

LEFT = frozenset({"text", "time", "day"})
"""Units of columns that are read from the left; all others are figures."""

_WORDS = {"pnl": "PnL", "mae": "MAE", "mfe": "MFE", "r": "R"}
"""How words of column names are spelt in a title."""

_SHOWN = 40
"""Rows of a table that console and notebook show; its frame has all."""

_HEAD = 12
"""Characters of a head over figures that a terminal leaves unbroken."""


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
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    for one in tables:
        parts += [Text(one.title, style="bold"), Padding(Text(one.note(most), style="dim"), (0, 0, 0, 2))]
        if not len(one.frame):
            parts.append(Text(""))
            continue
        made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
        figures = set(one.figures)
        cells = list(one.cells(most))
        for k, name in enumerate(one.head):
            # A figure is never broken; its head is, at words, or it would leave no room to the columns of text.
            widest = max([_HEAD, *(len(row[k]) for row in cells)])
            head = "\n".join(wrap(name, widest, break_long_words=False)) if k in figures else name
            made.add_column(
                Text(head), justify="right" if k in figures else "left", no_wrap=k in figures, overflow="fold"
            )
        for row in cells:
            made.add_row(*(Text(cell) for cell in row))
        parts.append(made)
    return Group(*parts)


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
