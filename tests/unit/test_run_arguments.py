"""What ``run`` refuses before it starts: one sentence with the value and the way out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from backtest import Candles, InvalidSettingError, Market, run
from strategies.breakout import Breakout


@dataclass
class Case:
    """Arguments of run beside the usual ones, and what the refusal says."""

    says: str
    strategy: Any = field(default_factory=Breakout)
    candles: Any = None
    more: dict[str, Any] = field(default_factory=dict)


ONES = np.ones(3)
HOURS = Candles("BTC/USDT", "1h", 3_600_000 * np.arange(3), ONES, ONES, ONES, ONES, ONES)
CASES = {
    "a class for an object": Case("the class Breakout; make one of it: Breakout", strategy=Breakout),
    "a name for a strategy": Case("strategy is a Strategy, was 'breakout.py'", strategy="breakout.py"),
    "a list of candles": Case("candles are Candles or those by symbol, was list", candles=[HOURS]),
    "no candles": Case("there are no candles to run over", candles={}),
    "no candle": Case("there is no candle of BTC/USDT to run over", candles=HOURS.slice(0, 0)),
    "a wrong name": Case("candles of BTC/USDT were given under the name ETH/USDT", candles={"ETH/USDT": HOURS}),
    "a preset's name": Case("profile is a SubscriberProfile, was 'anny'", more={"profile": "anny"}),
    "assumptions as a mapping": Case("assumptions is a VenueAssumptions, was {}", more={"assumptions": {}}),
    "a market's name": Case("market is a Market or those by symbol, was str", more={"market": "BTC/USDT"}),
    "a market without candles": Case(
        "market was given for ETH/USDT, of which there are no candles",
        more={"market": {"ETH/USDT": Market("ETH/USDT")}},
    ),
    "funding in one column": Case("funding of BTC/USDT is a list of", more={"funding": np.zeros(3)}),
    "an unknown lane": Case("lane was 'tabel'; Breakout has table and candle", more={"lane": "tabel"}),
}


@pytest.mark.parametrize("case", CASES, ids=lambda name: name.replace(" ", "-"))
def test_arguments_that_cannot_be_used(case: str) -> None:
    one = CASES[case]
    with pytest.raises(InvalidSettingError) as refusal:
        run(one.strategy, HOURS if one.candles is None else one.candles, **one.more)
    assert one.says in str(refusal.value)
    assert "\n" not in str(refusal.value)
