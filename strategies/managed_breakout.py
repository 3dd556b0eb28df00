"""ManagedBreakout: buy a new high; what happens to the position afterwards is a plan, not code."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from backtest import (
    BreakEvenAt,
    Call,
    Candles,
    Field,
    Indicators,
    Moment,
    MovingTarget,
    Plan,
    SignalTable,
    Strategy,
    TimeStop,
)
from backtest import indicators as ta


class ManagedBreakout(Strategy):
    """Buy a new high; what happens to the position afterwards is a plan, not code."""

    lookback: int = Field(48, ge=2, description="candles that set the level to break")
    risk: float = Field(2.0, gt=0, description="stop distance, in ATR(14)")
    invest: float = Field(10.0, gt=0, le=100, description="percent of the portfolio a signal")
    plan: Plan = Field(
        Plan(parts=(BreakEvenAt(target=1), MovingTarget(from_target=2), TimeStop(candles=96))),
        description="break-even at the first target, then the target before, out after four days",
    )

    def indicators(self, candles: Candles) -> Indicators:
        """Return the level to break and the ATR."""
        return {"level": ta.previous(ta.highest(candles.high, self.lookback)), "atr": ta.atr(candles, 14)}

    def triggers(self, candles: Candles, ind: Indicators) -> np.ndarray:
        """Ask at closes above the highest high of the candles before, where the stop still lies above 0."""
        risk = self.risk * ind["atr"]
        return (candles.close > ind["level"]) & (risk > 0.0) & (risk < 0.9 * candles.close)

    def on_candle(self, now: Moment) -> Iterable[Call]:
        """One signal at a time: in just under the close, out at two, three and four times the risk."""
        if now.signals:
            return
        risk = self.risk * now["atr"]
        yield now.create(
            entry=(now.close * 0.999, now.close),
            targets=(now.close + 2.0 * risk, now.close + 3.0 * risk, now.close + 4.0 * risk),
            stop_loss=now.close - risk,
            invest=self.invest,
            ttl=4 * (now.close_time - now.time),
        )

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        """Return the same creates as columns: the plan manages these too."""
        at = np.flatnonzero(self.triggers(candles, ind))
        close, risk = candles.close[at], self.risk * ind["atr"][at]
        return SignalTable(
            at=at,
            entry_price_min=close * 0.999,
            entry_price_max=close,
            targets=(close + 2.0 * risk, close + 3.0 * risk, close + 4.0 * risk),
            stop_loss=close - risk,
            invest=self.invest,
            ttl_buy_order=4 * candles.milliseconds,
        )
