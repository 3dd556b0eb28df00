"""Made candles: seeded, BTC-like minutes whose highs and lows are exact Brownian-bridge extremes."""

from __future__ import annotations

import numpy as np

from backtest import Candles

__all__ = ["YEAR", "hours", "minutes"]

YEAR = 525_600
_SEEDS = {YEAR: 20240101, 5 * YEAR: 20240105}


def minutes(n: int = YEAR, *, volatility: float = 0.60, first: float = 30_000.0, seed: int | None = None) -> Candles:
    """Return ``n`` one-minute candles: open is the previous close, prices on a tick of 0.01, the same every time."""
    rng = np.random.default_rng(_SEEDS.get(n, n) if seed is None else seed)
    scale = volatility / np.sqrt(525_600.0)
    steps = rng.standard_normal(n) * scale - 0.5 * scale * scale
    close = np.round(np.exp(np.log(first) + np.cumsum(steps)), 2)
    open_ = np.empty(n)
    open_[0], open_[1:] = first, close[:-1]
    x = np.log(close / open_)
    up, down = rng.random(n), rng.random(n)
    high = np.maximum(
        np.round(open_ * np.exp((x + np.sqrt(x * x - 2 * scale * scale * np.log(up))) / 2), 2), np.maximum(open_, close)
    )
    low = np.minimum(
        np.round(open_ * np.exp((x - np.sqrt(x * x - 2 * scale * scale * np.log(down))) / 2), 2),
        np.minimum(open_, close),
    )
    volume = np.round(np.exp(rng.standard_normal(n) * 0.8 + np.log(10.0)), 4)
    start = np.datetime64("2023-01-01" if n != 5 * YEAR else "2019-01-01", "ms").astype(np.int64)
    return Candles("BTC/USDT", "1m", start + 60_000 * np.arange(n), open_, high, low, close, volume)


def hours(symbol: str, n: int, *, seed: int) -> Candles:
    """Return ``n`` hourly candles of another symbol: made minutes, an hour each taken as one."""
    fine = minutes(n, volatility=0.60 * np.sqrt(60.0), first=100.0, seed=seed)
    return Candles(
        symbol, "1h", fine.time[0] + 3_600_000 * np.arange(n), fine.open, fine.high, fine.low, fine.close, fine.volume
    )
