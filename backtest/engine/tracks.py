"""Tracks: the candles of one market where the kernel reads them, with room for those to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from backtest.engine import native
from backtest.engine.codes import COARSE
from backtest.engine.records import BLOCK
from backtest.model.timeframe import nearest_multiple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from backtest.engine.history import MarketHistory
    from backtest.model.candles import Candles

__all__ = ["Track", "as_bytes", "closes_of", "with_room"]

_COLUMNS = ("time", "open", "high", "low", "close", "kind")
_MINUTE = 60_000  # on which funding is charged (L13.3)
_LEAST = 1024  # rows of room where some are added

_BOUNDS: WeakKeyDictionary[Candles, tuple[NDArray[np.float64], NDArray[np.float64]]] = WeakKeyDictionary()


class Track:
    """The columns of one market, each contiguous, so that the kernel takes them by their addresses.

    Where several markets are walked together, a candle in which nothing trades (L2.6) is flat at the last price: a market
    whose candles went by unseen has the close of the last of them.

    Parameters
    ----------
    history
        The market with its candles.
    fill_without_volume
        Whether a candle of volume 0 trades.
    flat
        Whether candles in which nothing trades are made flat.
    """

    def __init__(self, history: MarketHistory, *, fill_without_volume: bool, flat: bool) -> None:
        rows = history.rows(fill_without_volume=fill_without_volume)
        self.time, self.open, self.high, self.low, self.close, self.kind = (
            np.ascontiguousarray(getattr(rows, name)) for name in _COLUMNS
        )
        self.still = np.ascontiguousarray(rows.still, np.int64)
        self.filled = len(self.time)
        self.detailed = history.detail is not None
        self.funding_times = nearest_multiple(np.ascontiguousarray(history.funding[:, 0], np.int64), _MINUTE)
        self.funding_rates = np.ascontiguousarray(history.funding[:, 1], np.float64)
        self._span = history.fine_span
        self._apart, self._even = _distance(self.time, self._span)
        self._first = int(self.time[0]) if self.filled else 0
        self._last = np.nan
        self._flat = flat
        if flat:
            self._flatten()
        self.floors, self.ceilings = self._bounds(history.candles)

    def _flatten(self) -> None:
        """Make the candles in which nothing trades flat at the last price; before the first trade it is the first open."""
        if not self.filled:
            return
        if len(self.still):
            traded = np.arange(self.filled)
            traded[self.still] = -1
            np.maximum.accumulate(traded, out=traded)
            last = np.where(traded < 0, self.open[0], self.close[traded])[self.still]
            for name in ("high", "low", "close"):
                column = getattr(self, name).copy()
                column[self.still] = last
                setattr(self, name, column)
        self._last = float(self.close[-1])

    def _bounds(self, candles: Candles) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest low and the highest high of each whole block, kept for other runs over the same candles."""
        shared = self.low is candles.low and self.high is candles.high
        found = _BOUNDS.get(candles) if shared else None
        if found is None:
            n = self.filled // BLOCK
            found = np.empty(n), np.empty(n)
            native.bound_blocks(*(column.ctypes.data for column in (self.low, self.high, *found)), n)
            if shared:
                _BOUNDS[candles] = found
        return found

    def opened_by(self, instant: int) -> int:
        """Return how many candles have opened at an instant, UTC ms."""
        if not self._even or not self.filled:
            return int(self.time[: self.filled].searchsorted(instant, "right"))
        return min(max((instant - self._first) // self._span + 1, 0), self.filled)

    def append(self, candle: Sequence[float], *, still: bool) -> bool:
        """Add a candle that closed; return whether columns lie elsewhere now (:meth:`describe`).

        Parameters
        ----------
        candle
            Open time (UTC ms), open, high, low and close (quote currency).
        still
            Whether nothing trades in it.
        """
        k = self.filled
        moved = still or k == len(self.time)
        if k == len(self.time):
            for name in _COLUMNS:
                setattr(self, name, with_room(getattr(self, name), max(_LEAST, 2 * k)))
        time, opened, high, low, close = candle
        if not k:
            self._first = int(time)
        else:
            distance = int(time) - int(self.time[k - 1])
            self._even = self._even and distance == self._span
            self._apart = self._apart if distance >= self._span else 1
        if still:
            self.still = np.append(self.still, k)
            if self._flat:
                high = low = close = opened if np.isnan(self._last) else self._last
        self._last = close
        self.time[k], self.open[k], self.high[k], self.low[k], self.close[k], self.kind[k] = (
            time,
            opened,
            high,
            low,
            close,
            COARSE,
        )
        self.filled += 1
        return moved

    def forget(self) -> None:
        """Drop the candles: those that were walked are not needed any more."""
        for name in _COLUMNS:
            setattr(self, name, np.zeros(_LEAST, getattr(self, name).dtype))
        self.still, self.filled = self.still[:0].copy(), 0
        self.floors = self.ceilings = np.empty(0)
        self._apart, self._even = self._span, True

    def describe(self, record: Any) -> None:
        """Write into a ``TRACK`` record where the columns lie."""
        for name in (*_COLUMNS, "still", "funding_times", "funding_rates", "floors", "ceilings"):
            column = getattr(self, name)
            assert column.flags.c_contiguous and column.dtype.isnative  # noqa: PT018, S101
            record[name] = column.ctypes.data
        record["n_still"], record["n_funding"] = len(self.still), len(self.funding_times)
        record["rows"], record["even"], record["apart"] = self.extent
        record["detailed"], record["n_blocks"] = self.detailed, len(self.floors)

    @property
    def extent(self) -> tuple[int, bool, int]:
        """How many candles there are, whether none is missing, and how far two are apart at least, ms."""
        return self.filled, self._even and self.filled > 0, self._apart


def _distance(time: NDArray[np.int64], span: int) -> tuple[int, bool]:
    """Return how far two open times are apart at least, as far as it helps, and whether no candle is missing."""
    n = len(time)
    if not n or int(time[-1]) - int(time[0]) == (n - 1) * span:
        return span, True
    return (span if int(np.diff(time).min()) >= span else 1), False


def with_room(old: NDArray[Any], size: int) -> NDArray[Any]:
    """Return a longer copy of an array, zeros behind what it holds."""
    new = np.zeros(size, old.dtype)
    as_bytes(new)[: old.nbytes] = as_bytes(np.ascontiguousarray(old))
    return new


def as_bytes(rows: NDArray[Any]) -> NDArray[np.uint8]:
    """Return what an array holds as bytes: numpy copies records field by field, forty times slower."""
    return rows.view(np.uint8)


def closes_of(histories: Sequence[MarketHistory]) -> tuple[NDArray[np.int64], int]:
    """Return the closes of all markets, each once, ascending, and how far two of them are apart at least."""
    span = histories[0].candles.milliseconds
    series = [history.candles.time for history in histories if len(history.candles)]
    if not series:
        return np.empty(0, np.int64), span
    start = min(int(time[0]) for time in series)
    if any(history.candles.milliseconds != span for history in histories) or not all(
        _on_grid(one, start, span) for one in series
    ):
        return np.unique(np.concatenate([history.candles.close_time for history in histories])), 1
    seen = np.zeros(max((int(time[-1]) - start) // span for time in series) + 1, np.bool_)
    for time in series:  # on one grid they need no sorting
        first, last = (int(time[0]) - start) // span, (int(time[-1]) - start) // span
        seen[slice(first, last + 1) if last - first + 1 == len(time) else (time - start) // span] = True
    return (np.flatnonzero(seen) + 1) * span + start, span


def _on_grid(time: NDArray[np.int64], start: int, span: int) -> bool:
    """Whether open times are whole spans behind a start: without gaps the first one says so."""
    if (int(time[0]) - start) % span:
        return False
    whole = int(time[-1]) - int(time[0]) == (len(time) - 1) * span
    return whole or not bool(((time - start) % span).any())
