"""Source: candles or funding rates of one symbol, asked for in the way its exchange answers without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import DataUnavailableError
from backtest.market_data.columns import CANDLE_NAMES, RATE_NAMES, Columns
from backtest.market_data.manifest import Refused
from backtest.market_data.pages import ASKED_TWICE, Reply
from backtest.model.timeframe import week_offset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.market_data.exchange import Exchange
    from backtest.market_data.series import Series
    from backtest.market_data.traits import Traits

__all__ = ["CandleSource", "RateSource"]

_DAY = 86_400_000
_HOUR = 3_600_000


class CandleSource:
    """Closed candles of one series, as the page loop wants them.

    Attributes
    ----------
    refused
        Candles that the exchange sent, twice, and that contradict themselves.
    """

    names = CANDLE_NAMES

    def __init__(self, exchange: Exchange, series: Series, traits: Traits, now: int) -> None:
        self.step = series.length
        self.jumps = traits.jumps
        self._limit = traits.mark_candles if series.kind else traits.candles
        self.window = self._limit * self.step
        self.refused: list[Refused] = []
        self._exchange, self._series, self._traits, self._now = exchange, series, traits, now

    async def ask(self, start: int, end: int) -> Reply:
        """Return closed, sound candles that open in ``[start, end)``."""
        rows, answer = await self._closed(start, end)
        sound = _sound(rows)
        if not sound.all():  # a passing fault of the server, or a candle that is wrong in its books
            rows, answer = await self._closed(start, end)
            sound = _sound(rows)
        if len(rows) and sound.mean() < 0.5:
            raise DataUnavailableError(
                f"{self._series} came with {int((~sound).sum())} of {len(rows)} candles that contradict themselves, "
                f"such as {_text(rows[~sound][0])}: nothing of this answer was kept"
            )
        self.refused += [Refused(int(row[0]), _text(row)) for row in rows[~sound]]
        return answer._replace(rows=rows[sound])

    async def later(self, moment: int, reach: int, end: int) -> int:
        """Look where daily candles are: skip a stretch without them, and doubt one that has some, hundreds of days a request."""
        if self.step >= _DAY or "1d" not in self._exchange.timeframes or end - moment < _DAY:
            return end if self.jumps else reach
        day, days = moment - moment % _DAY, self._limit * _DAY
        while day < end:
            first = await self._first_day(day, min(day + days, end + _DAY))
            if first is not None:
                if first >= moment and first + _DAY <= reach:
                    return moment
                # the day before too, as days need not begin at midnight UTC everywhere
                return min(end, max(reach, first - _DAY))
            day += days
        return end

    def sure(self, rows: NDArray[np.float64], start: int) -> bool:
        """Return whether the first candle that can open at or after ``start`` is there."""
        return bool(rows[0, 0] < start + self.step)

    def after(self, moment: int) -> int:
        """Return the next time on the grid of the timeframe, also after a candle some ms off it."""
        offset = week_offset(self._series.timeframe)
        return (moment - offset) // self.step * self.step + offset + self.step

    def columns(self, rows: NDArray[np.float64]) -> Columns:
        """Return rows as columns of the store."""
        values = [np.ascontiguousarray(rows[:, number]) + 0.0 for number in range(len(self.names))]
        return {**dict(zip(self.names, values, strict=True)), "time": values[0].astype(np.int64)}

    async def _first_day(self, low: int, high: int) -> int | None:
        """Return the first daily candle in ``[low, high)``; an answer may hold the newest of them only."""
        earliest = None
        while low < high:
            days = min(self._limit, -(-(high - low) // _DAY))
            for _ in range(ASKED_TWICE):
                rows, _sent = await self._exchange.candle_rows(self._series, "1d", low, days, self._until(high))
                found = rows[(rows[:, 0] >= low) & (rows[:, 0] < high)]
                if len(found):
                    break
            else:
                return earliest
            earliest = high = int(found[0, 0])
        return earliest

    async def _closed(self, start: int, end: int) -> tuple[NDArray[np.float64], Reply]:
        limit = max(1, min(self._limit, -(-(end - start) // self.step)))
        until = self._until(end) if end - start <= self.window else None
        rows, sent = await self._exchange.candle_rows(self._series, self._series.timeframe, start, limit, until)
        if self._series.kind:
            rows[:, 5] = 0.0  # a mark price has no volume, exchanges send nothing or zero
        time = rows[:, 0]
        inside = rows[(time >= start) & (time < end) & (time + self.step <= self._now)]
        if len(inside) or sent is None or self.jumps:
            return inside, Reply(inside)
        first, last = sent
        return inside, Reply(inside, nothing=last < start, beyond=first if first >= end else 0)

    def _until(self, end: int) -> int | None:
        return None if self._traits.until is None else end + self._traits.until


class RateSource:
    """Funding rates of one perpetual; their distance is whatever the exchange made it at the time."""

    names = RATE_NAMES
    step = 1

    def __init__(self, exchange: Exchange, series: Series, traits: Traits, now: int) -> None:
        self.jumps = exchange.name == "binance"
        self.window = traits.rates * 8 * _HOUR
        self.refused: list[Refused] = []
        self._limit, self._exchange, self._series, self._now = traits.rates, exchange, series, now

    async def ask(self, start: int, end: int) -> Reply:
        """Return the rates that were charged in ``[start, end)``."""
        until = end if end - start <= self.window else None
        rows = await self._exchange.rate_rows(self._series, start, self._limit, until)
        time = rows[:, 0]
        return Reply(rows[(time >= start) & (time < end) & (time <= self._now) & np.isfinite(rows[:, 1])])

    async def later(self, moment: int, reach: int, end: int) -> int:
        """Go on behind the window that was empty."""
        return end if self.jumps else reach

    def after(self, moment: int) -> int:
        """Return the next millisecond."""
        return moment + 1

    def sure(self, rows: NDArray[np.float64], start: int) -> bool:
        """Return whether the answer had room for more."""
        return self.jumps or len(rows) < self._limit

    def columns(self, rows: NDArray[np.float64]) -> Columns:
        """Return rows as columns of the store."""
        return {"time": rows[:, 0].astype(np.int64), "rate": np.ascontiguousarray(rows[:, 1]) + 0.0}


def _sound(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    o, h, l, c, v = (rows[:, number] for number in range(1, 6))  # noqa: E741
    good: Any = (l > 0.0) & (l <= o) & (l <= c) & (o <= h) & (c <= h) & (h < np.inf) & (v >= 0.0) & (v < np.inf)
    return np.asarray(good, bool)


def _text(row: NDArray[np.float64]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(CANDLE_NAMES[1:], row[1:].tolist(), strict=True))
