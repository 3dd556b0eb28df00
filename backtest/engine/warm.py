"""Warm: compile the kernel once, so that the first run after set-up need not wait (``python -m backtest.engine.warm``)."""

from __future__ import annotations

import numpy as np

from backtest.engine.history import MarketHistory
from backtest.engine.records import CALL
from backtest.engine.simulator import SimulatedVenue
from backtest.model.calls import CreateSignal
from backtest.model.candles import Candles
from backtest.model.events import SignalRef
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile

__all__ = ["warm"]


def warm() -> None:
    """Run one candle through each entry point of the kernel; numba keeps what it compiled beside the source."""
    one, two = np.ones(1), np.ones(2)
    hour = Candles("BTC/USDT", "1h", np.zeros(1, np.int64), one, one, one, one, one)
    half = Candles("BTC/USDT", "30m", np.array([0, 1_800_000]), two, two, two, two, two)
    signal = CreateSignal(
        ref=SignalRef("warm"),
        coin="BTC",
        trade_market="USDT",
        exchange="BINANCE",
        invest=10.0,
        entry_price_max=1.0,
        targets=(2.0,),
    )
    market, profile = Market("BTC/USDT"), SubscriberProfile.anny()
    for detail in (None, half):
        venue = SimulatedVenue([MarketHistory(market, hour, detail)], profile)
        venue.send_table(0, np.zeros(0, CALL), width=1, conditional=True)
        venue.send(signal, 0)
        venue.advance()
        venue.settle_tables(0)
        venue.equity, venue.equity_now  # noqa: B018 - compiled on first use
        venue.forget_walked()


if __name__ == "__main__":
    print("compiling the engine, once; this takes some minutes", flush=True)  # noqa: T201
    warm()
