"""Measure what detail candles are worth: python benchmarks/bench_detail.py [FILE_1M ...].

Decisions on 1h candles, walked with 5m and with 1m detail and, in each intrabar mode, without any. Each file has the 1m
candles of one symbol (CSV, Parquet or Feather); without files a made year is taken. The same signals are sent in every
run, so that trades can be compared one by one; the truth is the run with 1m detail, journey by colour. What is printed
is in basis points of a trade's entry value: the mean difference (who only reads totals sees that) and the mean size of
the difference (who reads single trades sees this).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from made import minutes

from backtest import (
    Candles,
    Field,
    Indicators,
    SignalTable,
    Strategy,
    SubscriberProfile,
    TrailingTakeProfit,
    run,
)
from backtest import indicators as ta
from backtest.market_data.files import read_candles

if TYPE_CHECKING:
    import pandas as pd

MODES = ("pessimistic", "candle", "optimistic")
FREE = {"maker_fee": 0.0, "taker_fee": 0.0, "balance": 1_000_000.0, "stop_order": "market"}
"""No fees and plenty of balance: what differs is the inside of the candle, and every signal is carried."""


class Ladder(Strategy):
    """Long at every third close and short at the one after, stop and targets in ATR; signals may overlap."""

    stop: float = Field(0.75, gt=0, description="in ATR(14)")
    targets: tuple[float, ...] = Field((0.75,), min_length=1, description="in ATR(14)")
    every: int = Field(3, ge=2)

    def indicators(self, candles: Candles) -> Indicators:
        """Return the average true range."""
        return {"atr": ta.atr(candles, 14)}

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        """Return all creates at once."""
        at = np.arange(20, len(candles) - 1)
        at = at[at % self.every < 2]
        side = np.where(at % self.every == 0, 1, -1)
        close, atr = candles.close[at], ind["atr"][at]
        return SignalTable(
            at=at,
            side=side,
            entry_price_min=close - 0.2 * atr,
            entry_price_max=close + 0.2 * atr,
            targets=tuple(close + side * far * atr for far in self.targets),
            stop_loss=close - side * self.stop * atr,
            invest=0.1,
            account="FUTURES",
            while_open="stack",
        )


VARIANTS = {
    "one target": (Ladder(), {}),
    "two targets, stop to break even at the first": (
        Ladder(targets=(0.5, 1.5)),
        {"trailing_take_profit": TrailingTakeProfit(from_target=1, stop_to="break_even")},
    ),
}


def outcomes(
    strategy: Strategy, candles: Candles, detail: Candles | None, mode: str, extra: dict[str, object]
) -> pd.DataFrame:
    """Return pnl over entry value by signal, closed trades only."""
    profile = SubscriberProfile.from_dict({"name": "free", "slippage": 0.0, "intrabar": mode, **FREE, **extra})
    result = run(strategy, candles, profile=profile, detail=detail)
    trades = result.trades
    trades = trades[~trades["open"]]
    value = trades["pnl"] / (trades["average_entry"] * trades["quantity"])
    frame = value.groupby(trades["signal"]).sum().to_frame("value")
    frame["ambiguous"] = trades.groupby("signal")["ambiguous"].any()
    return frame


def compare(name: str, coarse: Candles, fine: Candles, five: Candles) -> None:
    """Print one symbol."""
    for title, (strategy, extra) in VARIANTS.items():
        truth = outcomes(strategy, coarse, fine, "candle", extra)
        mean = 1e4 * truth["value"].mean()
        print(f"{name}, {title}: {len(truth):,} trades, {mean:+.2f} bp a trade in truth")
        print(f"  {'walked':24s} {'off by':>9s} {'size':>9s} {'trades that differ':>19s} {'ambiguous':>10s}")
        for label, detail in (("1h alone", None), ("1h with 5m", five), ("1h with 1m", fine)):
            for mode in MODES:
                found = outcomes(strategy, coarse, detail, mode, extra)
                ours, right = found["value"].align(truth["value"], join="inner")
                apart = 1e4 * (ours - right)
                print(
                    f"  {label + ', ' + mode:24s} {apart.mean():+9.2f} {apart.abs().mean():9.2f} "
                    f"{(apart.abs() > 0.01).mean():19.1%} {found['ambiguous'].mean():10.1%}"
                )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="1m candles, one symbol each")
    given = parser.parse_args()
    series = [read_candles(file) for file in given.files] or [minutes()]
    for fine in series:
        if fine.timeframe != "1m":
            parser.error(f"{fine.symbol} has {fine.timeframe} candles; 1m ones are needed")
        compare(fine.symbol, fine.resample("1h"), fine, fine.resample("5m"))


if __name__ == "__main__":
    main()
