"""Candles: OHLCV columns of one symbol, validated once and never changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidCandlesError, InvalidSettingError
from backtest.model.doors import door
from backtest.model.moment import LAST_CANDLE
from backtest.model.timeframe import milliseconds, week_offset

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from datetime import datetime

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Candles", "least_distance"]

_PRICES = ("open", "high", "low", "close")
_SHOWN = 8
"""Candles up to which a notebook shows all of them."""
_MANY = 200_000
"""Rows from which on the compiled pass is worth loading the compiler's code for."""


@dataclass(frozen=True, eq=False)
class Candles:
    """Open, high, low, close and volume of one symbol, column by column, oldest first.

    Attributes
    ----------
    symbol, timeframe
        ``"BTC/USDT"``, ``"1h"``.
    time
        (n,) int64, open times in UTC milliseconds, strictly ascending, before 2100. A candle covers
        ``[time, time + timeframe)`` (L1.1), so none opens before the one before it has closed, but for a part of a
        second (so times in seconds are refused); gaps are allowed and counted by :attr:`gaps`.
    open, high, low, close
        (n,) float64, quote currency per unit of base; finite, above 0, ``low <= open, close <= high``.
    volume
        (n,) float64, base currency, at least 0.
    exchange
        Where they were traded, ``"binance"``; empty if unknown.
    volume_known
        Whether the volumes are known: then a candle of volume 0 is one in which nothing traded (L2.6), otherwise every
        candle trades. None decides it from the volumes given: all 0 is unknown. Slices, coarser candles, store and files
        keep it, as the beginning of a series cannot tell.

    The columns are read-only. Two slices share memory with their source.

    Raises
    ------
    InvalidCandlesError
        For the first row that breaks one of these rules, naming its number, time and values.
    """

    symbol: str
    timeframe: str
    time: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    exchange: str = ""
    volume_known: bool = field(default=None, kw_only=True)  # type: ignore[assignment]  # None is decided below
    _validated: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", _column(self.time, np.int64, "time"))
        for name in (*_PRICES, "volume"):
            object.__setattr__(self, name, _column(getattr(self, name), np.float64, name))
        if not self._validated:
            milliseconds(self.timeframe)
            _check(self)
            object.__setattr__(self, "_validated", True)
        if self.volume_known not in {True, False}:
            object.__setattr__(self, "volume_known", bool(self.volume.any()))

    def __len__(self) -> int:
        return len(self.time)

    def _repr_html_(self) -> str:
        import html

        import pandas as pd

        what = f"{len(self):,} candles of {self.symbol} {self.timeframe}{f', {self.exchange}' if self.exchange else ''}"
        if len(self) == 0:
            return f"<p><b>{html.escape(what)}</b></p>"
        span = f"{_when(int(self.time[0]))} to {_when(int(self.time[-1]))}, {self.gaps:,} missing between"
        ends = self if len(self) <= _SHOWN else None
        frame = (
            ends.to_pandas()
            if ends is not None
            else pd.concat([self.slice(0, 3).to_pandas(), self.slice(-3).to_pandas()])
        )
        known = "" if self.volume_known else " Volumes are not known."
        return f"<p><b>{html.escape(what)}</b></p><p>{span}.{known}</p>{frame.to_html()}"

    @property
    def milliseconds(self) -> int:
        """Length of one candle in ms."""
        return milliseconds(self.timeframe)

    @property
    def close_time(self) -> NDArray[np.int64]:
        """(n,) int64, the instants at which the candles are known (L1.1), UTC ms."""
        return self.time + self.milliseconds

    @cached_property
    def gaps(self) -> int:
        """Number of candles missing between the first and the last."""
        if len(self) == 0:
            return 0
        return int((self.time[-1] - self.time[0]) // self.milliseconds) + 1 - len(self)

    @cached_property
    def untraded(self) -> NDArray[np.int64]:
        """(k,) int64, positions of the candles in which nothing traded; none where volumes are not known."""
        return np.flatnonzero(self.volume == 0.0) if self.volume_known else np.zeros(0, np.int64)

    def row_at(self, time: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the position of the last candle that opened at or before each instant, -1 before the first.

        Parameters
        ----------
        time
            (k,) int64, UTC ms, in any order.
        """
        if len(self) == 0:
            return np.full(len(time), -1)
        # Most candles lie where their time says; the others are looked for.
        last = len(self) - 1
        rows = np.minimum(np.maximum((time - self.time[0]) // self.milliseconds, -1), last)
        opened, next_open = self.time[np.maximum(rows, 0)], self.time[np.minimum(rows + 1, last)]
        there = ((rows < 0) | (opened <= time)) & ((rows == last) | (time < next_open))
        if not there.all():
            rows[~there] = np.searchsorted(self.time, time[~there], "right") - 1
        return np.asarray(rows)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of symbol, timeframe and columns: the identity of the data in a result."""
        plain = self.volume_known == bool(self.volume.any())  # what the columns say by themselves
        known = "" if plain else f"|volume {'known' if self.volume_known else 'unknown'}"
        digest = hashlib.sha256(f"{self.symbol}|{self.timeframe}|{len(self)}{known}".encode())
        for name in ("time", *_PRICES, "volume"):
            digest.update(np.ascontiguousarray(getattr(self, name)).data)
        return digest.hexdigest()

    @cached_property
    def index(self) -> pd.DatetimeIndex:
        """Open times as a pandas index, UTC."""
        import pandas as pd

        return pd.DatetimeIndex(self.time.view("M8[ms]"), tz="UTC", name="time")

    @cached_property
    def close_index(self) -> pd.DatetimeIndex:
        """Close times as a pandas index, UTC."""
        import pandas as pd

        return pd.DatetimeIndex(self.close_time.view("M8[ms]"), tz="UTC", name="time")

    def slice(self, start: int | None = None, stop: int | None = None) -> Candles:
        """Return rows ``start`` to ``stop`` (positions, as in a list) without copying."""
        part = slice(start, stop)
        columns = {name: getattr(self, name)[part] for name in ("time", *_PRICES, "volume")}
        return self._like(self.timeframe, columns)

    def between(self, start: int | str | datetime | None = None, end: int | str | datetime | None = None) -> Candles:
        """Return the candles that open at or after ``start`` and before ``end`` (UTC ms, ISO text or datetime)."""
        first = 0 if start is None else int(np.searchsorted(self.time, instant(start), "left"))
        last = len(self) if end is None else int(np.searchsorted(self.time, instant(end), "left"))
        return self.slice(first, last)

    def followed_by(self, later: Candles) -> Candles:
        """Return these candles and later ones of the same series.

        Raises
        ------
        InvalidCandlesError
            Where those begin before these end.
        """
        if len(self) and len(later) and later.time[0] <= self.time[-1]:
            raise InvalidCandlesError(
                f"candles of {_when(later.time[0])} do not follow those up to {_when(self.time[-1])}"
            )
        names = ("time", *_PRICES, "volume")
        columns = {name: np.concatenate([getattr(self, name), getattr(later, name)]) for name in names}
        return self._like(self.timeframe, columns)

    def resample(self, timeframe: str) -> Candles:
        """Return coarser candles; only complete ones, so an unfinished candle is never shown.

        A coarse candle counts as complete when the first fine candle of its span is present, unless a hole swallowed it,
        and the last is, or a later one. So a series that begins or ends inside a coarse candle does not show it, and a
        hole inside one is a hole in the source. Weeks start on Monday.

        Raises
        ------
        InvalidSettingError
            Unless the new timeframe is a multiple of the old one.
        """
        fine, coarse = self.milliseconds, milliseconds(timeframe)
        if coarse % fine:
            raise InvalidSettingError(
                f"{self.timeframe} candles cannot be resampled to {timeframe}: it is no multiple of {self.timeframe}"
            )
        if coarse == fine or len(self) == 0:
            return self._like(timeframe, {name: getattr(self, name) for name in ("time", *_PRICES, "volume")})
        offset = week_offset(timeframe)
        bucket = (self.time - offset) // coarse
        first = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]])
        last = np.r_[first[1:], len(self)] - 1
        opened = bucket[first] * coarse + offset
        complete = np.ones(len(first), bool)
        complete[0] = self.time[0] == opened[0]
        complete[-1] &= self.time[-1] + fine >= opened[-1] + coarse
        columns = {
            "time": opened[complete],
            "open": self.open[first][complete],
            "high": np.maximum.reduceat(self.high, first)[complete],
            "low": np.minimum.reduceat(self.low, first)[complete],
            "close": self.close[last][complete],
            "volume": np.add.reduceat(self.volume, first)[complete],
        }
        return self._like(timeframe, columns)

    def shown(self, columns: Mapping[str, NDArray[Any]]) -> Candles:
        """Return candles of the same series on other columns, just as they are.

        A session shows its strategy a new series at every close: making one by its fields takes longer than an indicator.

        Parameters
        ----------
        columns
            By name, sound, contiguous and read-only.
        """
        made = object.__new__(Candles)
        made.__dict__.update(
            symbol=self.symbol,
            timeframe=self.timeframe,
            **columns,
            exchange=self.exchange,
            volume_known=self.volume_known,
            _validated=True,
        )
        return made

    def _like(self, timeframe: str, columns: dict[str, NDArray[Any]]) -> Candles:
        """Return candles of the same series, whose columns are known to be sound."""
        return Candles(
            self.symbol,
            timeframe,
            **columns,
            exchange=self.exchange,
            volume_known=self.volume_known,
            _validated=True,
        )

    @classmethod
    def from_pandas(
        cls, frame: pd.DataFrame, *, symbol: str, timeframe: str | None = None, exchange: str = ""
    ) -> Candles:
        """Build candles from a DataFrame whose columns have their usual names (see :mod:`backtest.market_data.frame`).

        ``timeframe`` None takes the most frequent distance between rows. Strictly descending rows are turned round.
        """
        candles: Candles = door("from_pandas")(frame, symbol=symbol, timeframe=timeframe, exchange=exchange)
        return candles

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str], **options: Any) -> Candles:
        """Read candles from a file as ``--candles`` does: CSV, Parquet, Feather or JSON, packed or not.

        Parameters
        ----------
        path
            The file; its name may tell symbol and timeframe (``BTC_USDT-1h.csv``).
        options
            ``symbol, timeframe, exchange, tidy, columns, decimal, dates, snap``, see
            :func:`backtest.market_data.files.read_candles`.

        Raises
        ------
        InvalidCandlesError, InvalidSettingError
            In one sentence that names line, column and value, and the way out.
        """
        candles: Candles = door("from_csv")(path, **options)
        return candles

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame of the five columns, indexed by the UTC open time."""
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in (*_PRICES, "volume")}, index=self.index)

    @classmethod
    def sample(cls, symbol: str = "BTC/USD", timeframe: str = "1h") -> Candles:
        """Return the sample candles that come with the package: BTC/USD 1h and 1d, ETH/USD 1d, LTC/USD 1d."""
        candles: Candles = door("sample")(symbol, timeframe)
        return candles

    @classmethod
    def load(cls, symbol: str, timeframe: str, **options: Any) -> Candles:
        """Return candles from the store; see :func:`backtest.market_data.load.load_candles` for the options."""
        candles: Candles = door("load")(symbol, timeframe, **options)
        return candles


def instant(moment: int | str | datetime) -> int:
    """Return UTC milliseconds of a number, ISO text or datetime (without a zone: UTC).

    Raises
    ------
    InvalidSettingError
        For text that is no ISO date.
    """
    from datetime import UTC, datetime

    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise InvalidSettingError(f"a date is written 2024-01-31 or 2024-01-31T12:00, was {moment!r}") from None
    if isinstance(moment, datetime):
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    return int(moment)


def _column(values: ArrayLike, dtype: type[np.generic], name: str) -> NDArray[Any]:
    try:
        column = np.ascontiguousarray(values, dtype)
    except (TypeError, ValueError, OverflowError):
        raise InvalidCandlesError(f"column {name} holds something that is no number") from None
    if column.ndim != 1:
        raise InvalidCandlesError(f"column {name} needs one dimension, had {column.ndim}")
    if column.flags.writeable:
        column = column.view()
        column.flags.writeable = False
    return column


def least_distance(timeframe: str) -> int:
    """Return how far, in ms, a candle opens after the one before it at least: the timeframe but for a part of a second."""
    length = milliseconds(timeframe)
    return length - min(999, length // 60)


def _check(candles: Candles) -> None:
    n = len(candles.time)
    for name in (*_PRICES, "volume"):
        if len(getattr(candles, name)) != n:
            raise InvalidCandlesError(f"column {name} has {len(getattr(candles, name))} rows, time has {n}")
    if n == 0:
        return
    if n >= _MANY and candles.time[0] >= 0 and candles.time[-1] < LAST_CANDLE:
        from backtest.model.sound import passed

        columns = [getattr(candles, name) for name in ("time", *_PRICES, "volume")]
        if passed(columns, least_distance(candles.timeframe))[0]:
            return  # what follows says which row is at fault
    distance = np.diff(candles.time)
    if (distance <= 0).any():
        row = int(np.argmax(distance <= 0)) + 1
        what = "has the time of the row before" if distance[row - 1] == 0 else "is older than the row before"
        raise InvalidCandlesError(
            f"row {row} ({_when(candles.time[row])}) {what}; candles need unique ascending times: sort them or drop duplicates",
            row,
        )
    if candles.time[0] < 0 or candles.time[-1] >= LAST_CANDLE:
        row = 0 if candles.time[0] < 0 else n - 1
        raise InvalidCandlesError(
            f"row {row} has the time {candles.time[row]}, in UTC milliseconds {_when(candles.time[row])}: no candle is from then",
            row,
        )
    o, h, l, c, v = candles.open, candles.high, candles.low, candles.close, candles.volume  # noqa: E741
    # each comparison is false for NaN, so one pass refuses it together with the broken row
    good = (l > 0.0) & (l <= o) & (l <= c) & (o <= h) & (c <= h) & (h < np.inf) & (v >= 0.0) & (v < np.inf)
    if not good.all():
        row = int(np.argmin(good))
        values = f"open {o[row]}, high {h[row]}, low {l[row]}, close {c[row]}, volume {v[row]}"
        raise InvalidCandlesError(
            f"row {row} ({_when(candles.time[row])}) was {values}; candles need finite numbers with 0 < low <= open, close <= high and volume >= 0: repair or drop that row",
            row,
        )
    close = distance < least_distance(candles.timeframe)
    if close.any():
        row = int(np.argmax(close)) + 1
        raise InvalidCandlesError(
            f"row {row} ({_when(candles.time[row])}) opens {distance[row - 1] / 1000:g} s after the row before, less than "
            f"the timeframe {candles.timeframe}: give the timeframe of the rows, and times in milliseconds",
            row,
        )


def _when(time: int) -> str:
    try:
        return str(np.datetime64(int(time), "ms")) + "Z"
    except (OverflowError, ValueError):
        return "beyond all years"
