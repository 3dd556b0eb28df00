"""RsiDip: buy an oversold dip in three steps, each lower and larger than the one before."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from backtest import Call, Candles, Field, Indicators, Moment, Strategy
from backtest import indicators as ta


class RsiDip(Strategy):
    """Buy an oversold dip in three steps, each lower and larger than the one before."""

    period: int = Field(14, ge=2, description="candles of the RSI")
    oversold: float = Field(25.0, gt=0, lt=50, description="RSI under which a dip is bought")
    spacing: float = Field(1.0, gt=0, description="distance between the entries, in ATR(14)")
    invest: float = Field(12.0, gt=0, le=100, description="percent of the portfolio a signal")

    def indicators(self, candles: Candles) -> Indicators:
        """Return RSI and ATR."""
        return {"rsi": ta.rsi(candles.close, self.period), "atr": ta.atr(candles, 14)}

    def triggers(self, candles: Candles, ind: Indicators) -> np.ndarray:
        """Ask where the RSI falls under the threshold."""
        return (ind["rsi"] < self.oversold) & (ind["atr"] > 0.0)

    def on_candle(self, now: Moment) -> Iterable[Call]:
        """Split the entry over three limits; a third out at each of three targets."""
        step = self.spacing * now["atr"]
        first = now.close - 0.25 * step
        if now.signals or not 4.0 * step < first:
            return
        yield now.create(
            entry={first: 20.0, first - step: 30.0, first - 2.0 * step: 50.0},
            targets=(first + step, first + 2.0 * step, first + 4.0 * step),
            stop_loss=first - 4.0 * step,
            invest=self.invest,
            ttl="1d",
        )
