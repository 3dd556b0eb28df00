"""Grid: the rows of a sweep, the strategy of each, and the order in which they are run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.report import text
from backtest.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Grid", "named", "order_of"]


@dataclass(frozen=True, slots=True)
class Grid:
    """The rows of a sweep.

    Attributes
    ----------
    rows
        The parameters of each row, as they were given.
    strategies
        The strategy of each; None where its parameters are refused.
    refused
        Why they are, by row.
    """

    rows: tuple[Mapping[str, Any], ...]
    strategies: tuple[Strategy | None, ...]
    refused: Mapping[int, str]

    @classmethod
    def of(cls, strategy: Any, grid: Any) -> Grid:
        """Return the rows of a grid: values by parameter, or one mapping a row.

        Parameters
        ----------
        strategy
            A class, or an instance whose parameters hold where the grid says nothing.
        grid
            As :func:`backtest.run_many` takes it.

        Raises
        ------
        InvalidSettingError
            For a grid of nothing, and a parameter that the strategy does not have.
        """
        rows = _rows(strategy, grid)
        made = _strategies(strategy, rows)
        refused = {k: one for k, one in enumerate(made) if isinstance(one, str)}
        return cls(tuple(rows), tuple(one if isinstance(one, Strategy) else None for one in made), refused)

    @classmethod
    def joined(cls, grids: Sequence[Grid]) -> Grid:
        """Return the rows of several grids, one after another."""
        rows = tuple(row for one in grids for row in one.rows)
        made = tuple(strategy for one in grids for strategy in one.strategies)
        whys = [one.refused.get(k) for one in grids for k in range(len(one.rows))]
        return cls(rows, made, {k: why for k, why in enumerate(whys) if why is not None})

    def runnable(self) -> Grid:
        """Return this grid.

        Raises
        ------
        InvalidSettingError
            Where no row can run.
        """
        if len(self.refused) == len(self.rows):
            raise InvalidSettingError(self.none_ran(self.refused))
        return self

    def none_ran(self, refused: Mapping[int, str]) -> str:
        """Return the sentence that says why no row could run, by the first of the reasons of all rows."""
        return f"none of {text.plural(len(self.rows), 'row')} can run; row 0: {refused[0]}"

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that the grid sets."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def places(self) -> list[int]:
        """The rows that have a strategy."""
        return [k for k, one in enumerate(self.strategies) if one is not None]

    @property
    def made(self) -> list[Strategy]:
        """The strategies that there are."""
        return [one for one in self.strategies if one is not None]

    def value(self, row: int, name: str) -> Any:
        """Return a parameter of a row, as its strategy has it.

        Parameters
        ----------
        row
            Which.
        name
            Of the parameter.
        """
        one = self.strategies[row]
        return self.rows[row].get(name) if one is None else getattr(one, name)

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """The parameters of each row, as its strategy has them."""
        return [{name: self.value(row, name) for name in self.names} for row in range(len(self.rows))]

    def chosen(self, row: int) -> Strategy:
        """Return the strategy of a row.

        Raises
        ------
        InvalidSettingError
            For a row that is not there, or whose parameters were refused.
        """
        if row not in range(len(self.rows)):
            last = len(self.rows) - 1
            raise InvalidSettingError(f"there are {last + 1} rows, from 0 to {last}; asked for {row!r}")
        one = self.strategies[row]
        if one is None:
            raise InvalidSettingError(f"row {row} did not run: {self.refused[row]}")
        return one

    def heatmap(self, x: str, y: str, figures: NDArray[np.float64]) -> pd.DataFrame:
        """Return figures by two parameters, the best over all others; rows are values of ``y``, columns of ``x``.

        Parameters
        ----------
        x, y
            Names of parameters.
        figures
            (rows,) float64, one a row.
        """
        import pandas as pd

        for name in (x, y):
            if name not in self.names:
                raise InvalidSettingError(
                    f"the grid has no parameter {name!r}; it has {', '.join(self.names)}.{did_you_mean(name, self.names)}"
                )
        rows = range(len(self.rows))
        table = pd.DataFrame({name: [self.value(row, name) for row in rows] for name in dict.fromkeys((x, y))})
        return table.assign(figure=figures).pivot_table("figure", y, x, aggfunc="max")


def _rows(strategy: Any, grid: Any) -> list[dict[str, Any]]:
    """Return the parameters of each row."""
    kind = strategy if isinstance(strategy, type) else type(strategy)
    if not issubclass(kind, Strategy):
        raise InvalidSettingError(f"a sweep takes a strategy or its class, was {strategy!r}")
    if isinstance(grid, Mapping):
        values = {}
        for name, given in grid.items():
            if isinstance(given, str | bytes | Mapping) or not hasattr(given, "__iter__"):
                raise InvalidSettingError(f"the grid has a list of values for each parameter; {name} was {given!r}")
            values[name] = [_plain(value) for value in given]
            if not values[name]:
                raise InvalidSettingError(f"the grid has no value for {name}")
        rows = [dict(zip(values, row, strict=True)) for row in product(*values.values())]
    else:
        rows = []
        for row in grid if hasattr(grid, "__iter__") and not isinstance(grid, str) else ():
            if not isinstance(row, Mapping):
                raise InvalidSettingError(f"row {len(rows)} of the grid is parameters by name, was {row!r}")
            rows.append({name: _plain(value) for name, value in row.items()})
    if not rows:
        raise InvalidSettingError("the grid is empty; it is lists of values by parameter, or a list of rows")
    return rows


def _plain(value: Any) -> Any:
    """Return a number of numpy as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _strategies(strategy: type[Strategy] | Strategy, rows: Sequence[Mapping[str, Any]]) -> list[Strategy | str]:
    """Return the strategy of each row, or why its parameters are refused; all of them, before anything runs.

    Raises
    ------
    InvalidSettingError
        For a parameter that the strategy does not have: every row would fail.
    """
    kind = strategy if isinstance(strategy, type) else type(strategy)
    base = {} if isinstance(strategy, type) else {name: getattr(strategy, name) for name in kind.model_fields}
    made: list[Strategy | str] = []
    for k, row in enumerate(rows):
        try:
            made.append(kind(**{**base, **row}))
        except InvalidSettingError as error:
            if any(name not in kind.model_fields for name in row):
                raise InvalidSettingError(f"row {k} of the grid ({named(row)}): {error}") from None
            made.append(str(error))
    return made


def named(row: Mapping[str, Any]) -> str:
    """Return the parameters of a row as text."""
    return ", ".join(f"{name}={value!r}" for name, value in row.items())


def order_of(rows: Sequence[Mapping[str, Any]], most: int) -> list[int]:
    """Return the order in which rows find the indicators of others still kept.

    Rows that share a value, or share one with rows that do, come together: the others cannot need what these computed. Among
    them the parameter with the most values changes slowest; within one of its values the others go round no more than
    ``most`` values each, so that as many columns serve again before they are dropped.

    Parameters
    ----------
    rows
        The parameters of each.
    most
        Columns that are kept.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    values = [[repr(row.get(name)) for name in names] for row in rows]
    return [k for part in _kin(values) for k in _ordered(values, part, most)]


def _kin(rows: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return the positions of rows, those together that share a value, or share one with rows that do.

    A parameter that is the same in all rows says nothing.
    """
    varied = [name for name, column in enumerate(zip(*rows, strict=True)) if len(set(column)) > 1]
    above: dict[tuple[int, str], tuple[int, str]] = {}

    def head(value: tuple[int, str]) -> tuple[int, str]:
        while above.setdefault(value, value) != value:
            above[value] = above[above[value]]
            value = above[value]
        return value

    for row in rows:
        for name in varied[1:]:
            above[head((name, row[name]))] = head((varied[0], row[varied[0]]))
    parts: dict[tuple[int, str] | None, list[int]] = {}
    for k, row in enumerate(rows):
        parts.setdefault(head((varied[0], row[varied[0]])) if varied else None, []).append(k)
    return list(parts.values())


def _ordered(rows: Sequence[Sequence[str]], part: Sequence[int], most: int) -> list[int]:
    """Return the positions of a part of the rows in the order of :func:`order_of`."""
    ranks: list[dict[str, int]] = [{} for _ in rows[part[0]]]
    for k in part:
        for rank, value in zip(ranks, rows[k], strict=True):
            rank.setdefault(value, len(rank))
    slowest_first = sorted(range(len(ranks)), key=lambda name: -len(ranks[name]))

    def place(k: int) -> tuple[list[int], list[int]]:
        ranked = [ranks[name][rows[k][name]] for name in slowest_first]
        return [rank // most for rank in ranked[1:]], ranked

    return sorted(part, key=place)
