"""Window: the candles of one series from its anchor on, as they close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidCandlesError
from backtest.model.candles import Candles

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["COLUMNS", "Row", "Window", "rows_of"]

COLUMNS = ("time", "open", "high", "low", "close", "volume")
Row = tuple[int, float, float, float, float, float]
"""Open time in UTC ms, open, high, low, close, volume."""


def rows_of(candles: Candles) -> list[Row]:
    """Return candles row by row."""
    return list(zip(*(getattr(candles, name).tolist() for name in COLUMNS), strict=True))


class Window:
    """Candles that grow at the end and, when the anchor moves, shrink at the beginning.

    Parameters
    ----------
    like
        Symbol, timeframe and exchange of the series, and whether its volumes are known; its rows are not taken.
    """

    def __init__(self, like: Candles) -> None:
        self._like = like.slice(0, 0)
        self.span = like.milliseconds
        self._n = 0
        self._columns: dict[str, NDArray[Any]] = {}
        self._shown: dict[str, NDArray[Any]] = {}
        self._keep({name: np.zeros(1024, np.int64 if name == "time" else np.float64) for name in COLUMNS})

    def _keep(self, columns: dict[str, NDArray[Any]]) -> None:
        """Take other columns, and views of them through which nothing can be written: a close shows slices of those."""
        self._columns, self._shown = columns, {name: column.view() for name, column in columns.items()}
        for column in self._shown.values():
            column.flags.writeable = False

    def __len__(self) -> int:
        return self._n

    @property
    def last(self) -> int | None:
        """Open time of the newest candle, UTC ms; None before the first."""
        return int(self._columns["time"][self._n - 1]) if self._n else None

    @property
    def anchor(self) -> int | None:
        """Open time of the oldest candle that is kept, UTC ms; None before the first."""
        return int(self._columns["time"][0]) if self._n else None

    @property
    def candles(self) -> Candles:
        """The candles from the anchor on, without copying."""
        return self._like.shown({name: column[: self._n] for name, column in self._shown.items()})

    def check(self, row: Row) -> None:
        """Refuse a candle that contradicts itself or is not newer than the last one.

        Raises
        ------
        InvalidCandlesError
            Naming its time; nothing has changed then.
        """
        time, open_, high, low, close, volume = row
        sound = 0.0 < low <= open_ <= high < np.inf and low <= close <= high and 0.0 <= volume < np.inf
        if not (sound and type(time) is int and time % self.span == 0):  # a chained comparison refuses NaN too
            columns: dict[str, Any] = {name: np.array([value]) for name, value in zip(COLUMNS, row, strict=True)}
            Candles(self._like.symbol, self._like.timeframe, **columns)
        last = self.last
        if last is not None and time <= last:
            raise InvalidCandlesError(
                f"a candle of {np.datetime64(int(time), 'ms')}Z came after that of {np.datetime64(last, 'ms')}Z; candles come in order"
            )

    def append(self, row: Row) -> None:
        """Take a candle that was checked."""
        if self._n == len(self._columns["time"]):
            self._keep({name: np.concatenate([one, np.zeros_like(one)]) for name, one in self._columns.items()})
        for column, value in zip(self._columns.values(), row, strict=True):
            column[self._n] = value
        self._n += 1

    def extend(self, candles: Candles) -> None:
        """Take many candles that are sound, at once."""
        n = len(candles)
        if n:
            columns = {name: np.zeros(max(1024, self._n + n), one.dtype) for name, one in self._columns.items()}
            for name, kept in columns.items():
                kept[: self._n], kept[self._n : self._n + n] = self._columns[name][: self._n], getattr(candles, name)
            self._keep(columns)
            self._n += n

    def drop_before(self, time: int) -> None:
        """Forget the candles that opened before an instant; the memory of the others is their own."""
        first = int(np.searchsorted(self._columns["time"][: self._n], time))
        n = self._n - first
        columns = {name: np.zeros(max(1024, 2 * n), one.dtype) for name, one in self._columns.items()}
        for name, kept in columns.items():
            kept[:n] = self._columns[name][first : self._n]
        self._keep(columns)
        self._n = n
