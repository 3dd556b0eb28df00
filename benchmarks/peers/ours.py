"""Our side of the comparison: the table lane, in one intrabar mode."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(1, str(Path(__file__).parents[1]))

from protocol import columns, serve
from sma_cross import SmaCross

from backtest import Candles, SubscriberProfile, run, run_many

if TYPE_CHECKING:
    from collections.abc import Sequence

# The peers fill at the next open without slippage, and so does this profile.
PROFILE = SubscriberProfile.exchange(maker_fee=0.001, taker_fee=0.001, stop_order="market")
CANDLES = Candles("BTC/USDT", "1m", **columns())


def once() -> tuple[int, float]:
    """Run, and ask for trades as numbers and for equity."""
    result = run(SmaCross(), CANDLES, profile=PROFILE)
    return len(result.records.pnl), float(result.equity.iloc[-1])


def labelled() -> int:
    """Run, and ask for trades as people read them: ours have names and times from the beginning."""
    return len(run(SmaCross(), CANDLES, profile=PROFILE).trades)


def many(pairs: Sequence[tuple[int, int]]) -> int:
    """Run pairs."""
    found = run_many(SmaCross, [{"fast": fast, "slow": slow} for fast, slow in pairs], CANDLES, profile=PROFILE)
    return int(found.figures[:, 1].sum())


serve(version("signal-backtest"), once, many, labelled)
