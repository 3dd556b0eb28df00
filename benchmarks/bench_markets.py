"""Measure many markets on one account: python benchmarks/bench_markets.py [--rounds N].

The engine alone, calls sent before: 20 markets on one account over the sum of the same markets each on an account of its
own, in processor time, both taken in turns. Aims: 1.8, and 2 where trailing stops ratchet.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from made import hours
from timing import machine

from backtest import Market, SubscriberProfile
from backtest.engine.history import MarketHistory
from backtest.engine.simulator import SimulatedVenue
from backtest.model.calls import CreateSignal, TrailingStop
from backtest.model.events import SignalRef

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest import Candles
    from backtest.model.calls import Call

MARKETS, ROWS = 20, 131_400  # fifteen years of hours


def calls_of(candles: Candles, signals: int, *, trailing: bool) -> list[tuple[int, Call]]:
    """Return creates evenly over the candles, each with a trailing stop if asked for."""
    coin = candles.symbol.split("/")[0]
    made: list[tuple[int, Call]] = []
    for k, at in enumerate(np.linspace(10, len(candles) - 200, signals).astype(int).tolist()):
        price, when, ref = float(candles.close[at]), int(candles.close_time[at]), SignalRef(f"{coin}-{k}")
        create = CreateSignal(
            ref=ref,
            coin=coin,
            trade_market="USDT",
            exchange="BINANCE",
            invest=0.5,
            entry_price_max=price * 1.01,
            targets=(price * (1.3 if trailing else 1.02),),
            stop_loss=price * 0.97,
        )
        made.append((when, create))
        if trailing:
            stop = TrailingStop(ref, trailing_stop_price=price * 0.97, trailing_stop_limit_price=price * 0.96)
            made.append((when, stop))
    return made


def walked(histories: Sequence[MarketHistory], calls: Sequence[tuple[int, Call]]) -> tuple[float, int]:
    """Return the seconds of a walk over one account, its equity included, and its events."""
    venue = SimulatedVenue(histories, SubscriberProfile.anny())
    for at, call in calls:
        venue.send(call, at)
    start = time.process_time()
    venue.advance()
    assert len(venue.equity)
    return time.process_time() - start, len(venue.event_records)


def line(name: str, series: Sequence[Candles], signals: int, rounds: int, *, trailing: bool) -> None:
    """Print one case."""
    histories = [MarketHistory(Market(one.symbol), one) for one in series]
    calls = [calls_of(one, signals, trailing=trailing) for one in series]
    every = sorted((pair for mine in calls for pair in mine), key=lambda pair: pair[0])
    together, alone = [], []
    for _ in range(rounds + 1):
        seconds, events = walked(histories, every)
        together.append(seconds)
        alone.append(sum(walked([history], mine)[0] for history, mine in zip(histories, calls, strict=True)))
    ratios = [one / other for one, other in zip(together[1:], alone[1:], strict=True)]
    least = min(together[1:]) / min(alone[1:])
    print(
        f"{name:40s} {1e3 * min(together[1:]):8.2f} {1e3 * min(alone[1:]):8.2f} {least:6.2f} {statistics.median(ratios):8.2f} {events:9,}"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print(machine())
    series = [hours(f"C{k:03d}/USDT", ROWS, seed=k) for k in range(MARKETS)]
    print(f"{'20 markets x 131,400 candles':40s} {'ms':>8s} {'alone':>8s} {'ratio':>6s} {'median':>8s} {'events':>9s}")
    line("100 signals each", series, 100, rounds, trailing=False)
    line("1,000 signals each", series, 1_000, rounds, trailing=False)
    line("100 each, trailing stops that ratchet", series, 100, rounds, trailing=True)


if __name__ == "__main__":
    main()
