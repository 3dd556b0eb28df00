"""EmaCross: buy when the fast average crosses above the slow one, exits at multiples of the ATR."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from backtest import Call, Cancel, Candles, Field, Indicators, Moment, Strategy
from backtest import indicators as ta


class EmaCross(Strategy):
    """Buy when the fast average crosses above the slow one, exits at multiples of the ATR."""

    fast: int = Field(20, ge=2, description="candles of the fast average")
    slow: int = Field(50, ge=3, description="candles of the slow average")
    target: float = Field(4.0, gt=0, description="target distance, in ATR(14)")
    stop: float = Field(2.0, gt=0, description="stop distance, in ATR(14)")
    invest: float = Field(10.0, gt=0, le=100, description="percent of the portfolio a signal")

    def indicators(self, candles: Candles) -> Indicators:
        """Return both averages and the ATR."""
        return {
            "fast": ta.ema(candles.close, self.fast),
            "slow": ta.ema(candles.close, self.slow),
            "atr": ta.atr(candles, 14),
        }

    def triggers(self, candles: Candles, ind: Indicators) -> np.ndarray:
        """Ask where the averages cross, either way."""
        return ta.crossed_above(ind["fast"], ind["slow"]) | ta.crossed_below(ind["fast"], ind["slow"])

    def on_candle(self, now: Moment) -> Iterable[Call]:
        """Buy on the cross above, close what lives on the cross below."""
        if now["fast"] < now["slow"]:
            for signal in now.signals:
                yield Cancel(signal.ref)
            return
        atr = now["atr"]
        if now.signals or not 0.0 < self.stop * atr < now.close:
            return
        yield now.create(
            entry=now.close,
            targets=(now.close + self.target * atr,),
            stop_loss=now.close - self.stop * atr,
            invest=self.invest,
            ttl=4 * (now.close_time - now.time),
        )
