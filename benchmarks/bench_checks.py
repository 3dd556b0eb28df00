"""Checks: what look-ahead, warm-up, state and parity of a run cost, in processor time, by strategy and length."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from backtest import Candles, Strategy, load_strategy, run
from backtest.runner.checks.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 3
SHIPPED = ("breakout", "ema_cross", "managed_breakout", "rsi_dip")


def minutes(n: int) -> Candles:
    """Return a random walk of one-minute candles."""
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 5e-4, n)))
    opened = np.r_[100.0, close[:-1]]
    high, low = np.maximum(opened, close) * 1.0002, np.minimum(opened, close) * 0.9998
    return Candles("BTC/USDT", "1m", np.arange(n) * 60_000, opened, high, low, close, np.ones(n), "binance")


def spent(work: Callable[[], object]) -> float:
    """Return processor milliseconds."""
    start = time.process_time()
    work()
    return 1e3 * (time.process_time() - start)


def main() -> None:
    """Print one line a strategy and length."""
    series = {"20,111 hours": Candles.sample("BTC/USD", "1h"), "525,600 minutes": minutes(525_600)}
    for length, candles in series.items():
        for name in SHIPPED:
            strategy: Strategy = load_strategy(f"strategies/{name}.py")()
            found = []
            for _ in range(ROUNDS + 1):
                result = run(strategy, candles, checks="auto")
                result.calls  # noqa: B018 - made into objects before the clock starts
                found.append(spent(lambda result=result: result.checks))  # type: ignore[misc]
            print(f"{length:>16} {name:18} median {statistics.median(found[1:]):7.0f} ms")
    strategy = load_strategy("strategies/breakout.py")()
    found = [spent(lambda: Surroundings(strategy).changed()) for _ in range(200)]
    print(f"state: names what changed in {statistics.median(found):.2f} ms")


if __name__ == "__main__":
    main()
