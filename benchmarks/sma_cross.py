"""The strategies that are timed: one rule, written for each lane, and one with everything that follows an entry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest import (
    Call,
    Candles,
    Dca,
    Event,
    EventKind,
    Field,
    Indicators,
    Moment,
    SignalTable,
    Strategy,
    TrailingStop,
)
from backtest import indicators as ta

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PAIRS", "AtOnce", "EveryCandle", "Managed", "Many", "SmaCross"]


def _pairs(n: int) -> list[dict[str, int]]:
    """Return the pairs of averages that the peers were measured on: 1,000 of all, in a random order with a seed."""
    every = [{"fast": fast, "slow": slow} for fast in range(5, 60) for slow in range(fast + 5, 200, 5)]
    return [every[k] for k in np.random.default_rng(1).permutation(len(every))[:n]]


PAIRS = _pairs(1_000)


class SmaCross(Strategy):
    """Buy when SMA(fast) crosses above SMA(slow), out at +2 % or -1 %, one position at a time."""

    fast: int = Field(20, ge=2)
    slow: int = Field(50, ge=3)
    target: float = Field(0.02, gt=0)
    stop: float = Field(0.01, gt=0)

    def indicators(self, candles: Candles) -> Indicators:
        """Return the two averages."""
        return {"fast": ta.sma(candles.close, self.fast), "slow": ta.sma(candles.close, self.slow)}

    def triggers(self, candles: Candles, ind: Indicators) -> np.ndarray[Any, Any]:
        """Return where they cross."""
        return ta.crossed_above(ind["fast"], ind["slow"])

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        """Return all creates at once."""
        at = np.flatnonzero(self.triggers(candles, ind))
        close = candles.close[at]
        return SignalTable(
            at=at,
            entry_price_max=close * 1.01,
            targets=(close * (1.0 + self.target),),
            stop_loss=close * (1.0 - self.stop),
            invest=10.0,
        )

    def on_candle(self, now: Moment) -> Iterable[Call]:
        """Return the create of one close."""
        if not now.signals:
            price = now.close
            yield now.create(
                entry=price * 1.01,
                targets=(price * (1.0 + self.target),),
                stop_loss=price * (1.0 - self.stop),
                invest=10.0,
            )


class EveryCandle(Strategy):
    """The same rule, asked at every candle: the cross is looked for in Python."""

    def indicators(self, candles: Candles) -> Indicators:
        """Return the two averages."""
        return {"fast": ta.sma(candles.close, 20), "slow": ta.sma(candles.close, 50)}

    def on_candle(self, now: Moment) -> Iterable[Call] | None:
        """Return the create of one close."""
        if not (now["fast"] > now["slow"] and now.previous("fast") <= now.previous("slow")) or now.signals:
            return None
        price = now.close
        return now.create(entry=price * 1.01, targets=(price * 1.02,), stop_loss=price * 0.99, invest=10.0)


def _three_targets(candles: Candles, at: np.ndarray[Any, Any]) -> SignalTable:
    """Return the creates that the managed strategies share."""
    close = candles.close[at]
    return SignalTable(
        at=at,
        entry_price_max=close * 1.005,
        targets=(close * 1.01, close * 1.02, close * 1.03),
        stop_loss=close * 0.985,
        invest=10.0,
    )


class Managed(SmaCross):
    """The same entries with three targets; each first fill adds a trailing stop and two DCA levels, by ``on_event``."""

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        """Return all creates at once."""
        return _three_targets(candles, np.flatnonzero(self.triggers(candles, ind)))

    def on_event(self, now: Moment, event: Event) -> Iterable[Call]:
        """Return what follows an entry."""
        if event.kind is EventKind.ENTERED and event.price is not None:
            price = event.price
            yield TrailingStop(event.signal, trailing_stop_price=price * 0.985, trailing_stop_limit_price=price * 0.98)
            yield Dca(event.signal, buy_price=price * 0.995, multiplier=0.5)
            yield Dca(event.signal, buy_price=price * 0.99, multiplier=0.5)


class AtOnce(SmaCross):
    """Like :class:`Managed`, with everything sent at the close of the create: the trailing stop waits for the fill."""

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        """Return all creates at once, and what follows each."""
        at = np.flatnonzero(self.triggers(candles, ind))
        close = candles.close[at]
        return replace(
            _three_targets(candles, at),
            trailing_stop_price=close * 0.985,
            trailing_stop_limit_price=close * 0.98,
            dca=((close * 0.995, 0.5), (close * 0.99, 0.5)),
        )


class Many(Strategy):
    """So many signals, evenly over the candles, with no indicator: the account and the engine alone."""

    count: int = Field(100, ge=1)

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        """Return all creates at once."""
        at = np.linspace(10, len(candles) - 10, self.count).astype(np.int64)
        close = candles.close[at]
        return SignalTable(
            at=at,
            entry_price_max=close * 1.01,
            targets=(close * 1.02,),
            stop_loss=close * 0.99,
            invest=0.4,
            while_open="stack",
        )
