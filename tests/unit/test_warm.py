"""Warm: what set-up compiles is all that any run needs, so that nobody waits for the compiler later."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from backtest import Candles, Market, SubscriberProfile, run
from backtest.engine import native
from backtest.engine.warm import warm
from backtest.runner.session import Session
from strategies.breakout import Breakout

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(
    bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="nothing is compiled without numba's compiler"
)
DAYS = Candles.sample("BTC/USD", "1d").between("2017-07-01", "2018-01-01")
HOURS = Candles.sample("BTC/USD", "1h").between("2017-07-01", "2018-01-01")


def again(name: str) -> None:
    raise AssertionError(f"{name} is compiled after set-up")


def candle_by_candle() -> None:
    session = Session(Breakout(lookback=5), DAYS, market=Market("BTC/USD"), profile=SubscriberProfile.anny())
    assert session.venue.equity_now > 0.0


def with_detail() -> None:
    run(Breakout(lookback=5), DAYS, detail=HOURS)


def with_detail_that_is_never_complete() -> None:
    run(Breakout(lookback=5), DAYS, detail=HOURS.slice(0, 3))


def two_symbols() -> None:
    other = Candles.sample("ETH/USD", "1d").between("2017-07-01", "2018-01-01")
    run(Breakout(lookback=5), {one.symbol: one for one in (DAYS, other)})


def with_funding() -> None:
    rates = np.column_stack([DAYS.time, np.full(len(DAYS), 0.0001)])
    run(Breakout(lookback=5), DAYS, funding=rates)


def both_lanes() -> None:
    for lane in ("table", "candle"):
        assert run(Breakout(lookback=5), DAYS, lane=lane).total_return


@pytest.mark.parametrize(
    "door",
    [both_lanes, candle_by_candle, with_detail, with_detail_that_is_never_complete, two_symbols, with_funding],
    ids=lambda door: door.__name__.replace("_", "-"),
)
def test_nothing_is_compiled_after_set_up(door: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    warm()
    for name in native.__all__:
        monkeypatch.delitem(vars(native), name)  # warm has linked each of them; as in a new process, none is
    monkeypatch.setattr(native, "_of_kernel", again)
    door()
    assert {"advance_one", "advance_together"} & set(vars(native))
