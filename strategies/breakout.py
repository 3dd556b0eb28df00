"""Breakout: buy a new high, half out at twice the risk, the rest behind a break-even stop."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from backtest import Call, Candles, Event, EventKind, Field, Indicators, Moment, SignalTable, Strategy, UpdatePrices
from backtest import indicators as ta


class Breakout(Strategy):
    """Buy a new high, half out at twice the risk, the rest behind a break-even stop."""

    lookback: int = Field(48, ge=2, description="candles that set the level to break")
    risk: float = Field(2.0, gt=0, description="stop distance, in ATR(14)")
    invest: float = Field(10.0, gt=0, le=100, description="percent of the portfolio a signal")

    def indicators(self, candles: Candles) -> Indicators:
        """Return the level to break and the ATR."""
        return {"level": ta.previous(ta.highest(candles.high, self.lookback)), "atr": ta.atr(candles, 14)}

    def triggers(self, candles: Candles, ind: Indicators) -> np.ndarray:
        """Ask at closes above the highest high of the candles before."""
        return (candles.close > ind["level"]) & (ind["atr"] > 0.0)

    def on_candle(self, now: Moment) -> Iterable[Call]:
        """One signal at a time: in just under the close, out at twice and three times the risk."""
        if now.signals:
            return
        risk = self.risk * now["atr"]
        if not risk < 0.9 * now.close:
            return
        yield now.create(
            entry=(now.close * 0.999, now.close),
            targets=(now.close + 2.0 * risk, now.close + 3.0 * risk),
            stop_loss=now.close - risk,
            invest=self.invest,
            ttl=4 * (now.close_time - now.time),
        )

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        """Return the same creates as columns: the fast lane."""
        at = np.flatnonzero(self.triggers(candles, ind))
        close, risk = candles.close[at], self.risk * ind["atr"][at]
        near = risk < 0.9 * close
        at, close, risk = at[near], close[near], risk[near]
        return SignalTable(
            at=at,
            entry_price_min=close * 0.999,
            entry_price_max=close,
            targets=(close + 2.0 * risk, close + 3.0 * risk),
            stop_loss=close - risk,
            invest=self.invest,
            ttl_buy_order=4 * candles.milliseconds,
        )

    def on_event(self, now: Moment, event: Event) -> Iterable[Call]:
        """After the first target the stop moves to break-even, if the rest lives on and the market stands above it."""
        if event.kind is not EventKind.TARGET_HIT or event.target != 1:
            return
        lives = any(signal.ref == event.signal for signal in now.signals)
        if lives and event.average_entry is not None and event.average_entry < now.close:
            yield UpdatePrices(event.signal, stop_loss=event.average_entry)
