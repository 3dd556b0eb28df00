"""Layout: which place of a row as sent ccxt reads as what, so that the other thousand rows are read at once.

ccxt reads each value of each row by a chain of calls, which takes half of the time in which a fast exchange sends them.
What it makes of one answer tells where it looks.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backtest.market_data.response import note_times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["read_at_once"]


class Layout(NamedTuple):
    """Places in a row of time, open, high, low, close and volume, and the ms in a unit of its time."""

    places: tuple[int, ...]
    unit: int


def read_at_once(client: Any) -> None:
    """Make a ccxt client read candles by their layout, to the result that it had; where none is plain, as before.

    A layout is learnt from the first answer in which every value is found in one place alone. Of each answer the first
    and the last row are compared with what ccxt makes of them.
    """
    slowly, known = client.parse_ohlcvs, _Known(client.parse_ohlcv)

    def parse_ohlcvs(
        rows: Any, market: Any = None, timeframe: str = "1m", since: Any = None, limit: Any = None, *rest: Any
    ) -> Any:
        table = None if since is None or limit is None or any(rest) else known.read(rows, market)
        if table is None:
            _note(client, rows, market)
            return slowly(rows, market, timeframe, since, limit, *rest)
        note_times(float(table[:, 0].min()), float(table[:, 0].max()))
        ascending = table[np.argsort(table[:, 0], kind="stable")]
        return ascending[ascending[:, 0] >= since][:limit]

    client.parse_ohlcvs = parse_ohlcvs


def _note(client: Any, rows: Any, market: Any) -> None:
    """Note the times of the first and the last row of an answer, as ccxt leaves out what lies outside of the range."""
    if isinstance(rows, list) and rows:
        with suppress(Exception):  # what cannot be read is told when it is read
            ends = np.array([client.parse_ohlcv(row, market)[:5] for row in (rows[0], rows[-1])], np.float64)
            if np.isfinite(ends).all():
                note_times(ends[:, 0].min(), ends[:, 0].max())


class _Known:
    """The layout that was learnt last."""

    def __init__(self, parse: Callable[[Any, Any], Sequence[Any]]) -> None:
        self._parse = parse
        self._layout: Layout | None = None

    def read(self, rows: Any, market: Any) -> NDArray[np.float64] | None:
        """Return rows as ccxt reads them, in the order in which they came; None where no layout is known to fit."""
        if not isinstance(rows, list) or set(map(type, rows)) != {list}:
            return None
        with suppress(TypeError, ValueError, IndexError, OverflowError):
            if self._layout is None or (table := self._read(self._layout, rows, market)) is None:
                read = np.array([self._parse(row, market) for row in rows], np.float64)
                self._layout = _learnt(rows, read)
                return read
            return table
        return None

    def _read(self, layout: Layout, rows: list[list[Any]], market: Any) -> NDArray[np.float64] | None:
        if len(rows[0]) <= max(layout.places):
            return None
        columns = list(zip(*rows, strict=True))
        table = np.column_stack([_numbers(columns[place]) for place in layout.places])
        table[:, 0] *= layout.unit
        ends = np.array([self._parse(rows[0], market), self._parse(rows[-1], market)], np.float64)
        return table if np.array_equal(table[[0, -1]], ends) else None


def _learnt(rows: list[list[Any]], read: NDArray[np.float64]) -> Layout | None:
    """Return the only layout under which ``rows`` are what ccxt ``read``; None where there is none or more than one."""
    sent = [_numbers(column) for column in zip(*rows, strict=True)]
    for unit in (1, 1000):
        wanted = [read[:, 0] / unit, *read.T[1:]]
        found = [[place for place, column in enumerate(sent) if np.array_equal(column, values)] for values in wanted]
        if all(len(places) == 1 for places in found):
            return Layout(tuple(places[0] for places in found), unit)
    return None


def _numbers(column: Sequence[Any]) -> NDArray[np.float64]:
    """Return a column as numbers; one that is not, such as of flags, is no candidate."""
    try:
        return np.fromiter(map(float, column), np.float64, len(column))
    except (TypeError, ValueError):
        return np.empty(0)
