"""History: the candles of one market as the engine walks them, detail candles in place of coarse ones (L2.4)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.codes import FINE, FINE_LAST
from backtest.errors import InvalidSettingError
from backtest.model.timeframe import milliseconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.model.candles import Candles
    from backtest.model.market import Market

__all__ = ["MarketHistory", "Rows"]


@dataclass(frozen=True, slots=True)
class Rows:
    """The candles that are walked, in time order.

    ``kind``: (n,) uint8, 0 a candle of its own, 1 a detail candle, 2 the last detail candle of a coarse one, whose close
    is judged (L7.2). ``still``: positions of the candles in which nothing trades (L2.6), ascending.
    """

    time: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    kind: NDArray[np.uint8]
    still: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MarketHistory:
    """One market with its candles, and what else the engine needs to walk them.

    Attributes
    ----------
    market, candles
        Decisions, equity points and close-triggered stops stay on these candles.
    detail
        Finer candles; where those of a coarse candle are complete they are walked in its place.
    funding
        (k, 2) float64: time in UTC ms, rate as a fraction (L13.3); empty without. Exchanges stamp them some ms late: a
        rate belongs to the minute nearest to its time.
    """

    market: Market
    candles: Candles
    detail: Candles | None = None
    funding: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))

    def __post_init__(self) -> None:
        if self.detail is None:
            return
        fine, coarse = milliseconds(self.detail.timeframe), milliseconds(self.candles.timeframe)
        if fine >= coarse or coarse % fine:
            raise InvalidSettingError(
                f"detail candles are a divisor of the timeframe {self.candles.timeframe}, were {self.detail.timeframe}"
            )

    @property
    def fine_span(self) -> int:
        """Length of a detail candle in ms; of a candle without detail."""
        return milliseconds(self.detail.timeframe if self.detail is not None else self.candles.timeframe)

    def complete(self) -> NDArray[np.bool_]:
        """(n,) bool: whether all detail candles of a candle are there (L2.4)."""
        if self.detail is None:
            return np.zeros(len(self.candles), bool)
        each = self.candles.milliseconds // self.fine_span
        first = np.searchsorted(self.detail.time, self.candles.time, "left")
        last = np.searchsorted(self.detail.time, self.candles.time + self.candles.milliseconds, "left")
        aligned = np.zeros(len(self.candles), bool)
        inside = first < len(self.detail)
        aligned[inside] = self.detail.time[first[inside]] == self.candles.time[inside]
        # unique ascending times: the right number of rows, the first one aligned, means an unbroken row of them
        counted = (last - first) == each
        if counted.any() and len(self.detail):
            step = np.r_[np.diff(self.detail.time) != self.fine_span, False].astype(np.int64)
            broken = np.r_[0, np.cumsum(step)]
            counted &= (broken[np.maximum(last - 1, 0)] - broken[np.minimum(first, len(self.detail))]) == 0
        return np.asarray(aligned & counted)

    def rows(self, *, fill_without_volume: bool = False) -> Rows:
        """Return the candles to walk; with ``fill_without_volume`` all of them trade."""
        rows = self._walked()
        if fill_without_volume:
            return replace(rows, still=rows.still[:0])
        return rows

    def _walked(self) -> Rows:
        candles, detail = self.candles, self.detail
        complete = self.complete() if detail is not None else None
        if detail is None or complete is None or not complete.any():
            return Rows(
                candles.time,
                candles.open,
                candles.high,
                candles.low,
                candles.close,
                _coarse(len(candles)),
                candles.untraded,
            )
        owner = np.searchsorted(candles.time, detail.time, "right") - 1
        used = (owner >= 0) & complete[np.maximum(owner, 0)]
        used &= detail.time < candles.time[np.maximum(owner, 0)] + candles.milliseconds
        whole = ~complete
        time = np.r_[candles.time[whole], detail.time[used]]
        order = np.argsort(time, kind="stable")
        ends = detail.time[used] + self.fine_span == candles.time[owner[used]] + candles.milliseconds
        kind = np.r_[np.zeros(int(whole.sum()), np.uint8), np.where(ends, FINE_LAST, FINE).astype(np.uint8)]
        columns = [
            np.r_[getattr(candles, name)[whole], getattr(detail, name)[used]][order]
            for name in ("open", "high", "low", "close")
        ]
        still = np.r_[_still(candles)[whole], _still(detail)[used]][order]
        # the close of a coarse candle in which nothing traded is judged by nobody
        coarse = np.r_[np.flatnonzero(whole), owner[used]][order]
        traded = np.bincount(coarse, ~still, len(candles)) > 0
        kind = np.where((kind[order] == FINE_LAST) & ~traded[coarse], FINE, kind[order]).astype(np.uint8)
        return Rows(time[order], columns[0], columns[1], columns[2], columns[3], kind, np.flatnonzero(still))


@lru_cache(maxsize=8)
def _coarse(n: int) -> NDArray[np.uint8]:
    """Return the kinds of candles without detail: read-only, and the same for each run over as many."""
    kind = np.zeros(n, np.uint8)
    kind.flags.writeable = False
    return kind


def _still(candles: Candles) -> NDArray[np.bool_]:
    """Return in which candles nothing trades (L2.6)."""
    still = np.zeros(len(candles), bool)
    still[candles.untraded] = True
    return still
