"""Warm: compile the kernel once, so that the first run after set-up need not wait (``python -m backtest.engine.warm``)."""

from __future__ import annotations

from backtest.engine.feed import Feed
from backtest.engine.simulator import SimulatedVenue
from backtest.model.candles import Candles
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile

__all__ = ["warm"]


def warm() -> None:
    """Run one candle through each entry point of the kernel; numba keeps what it compiled beside the source."""
    hour = Candles("BTC/USDT", "1h", [0], [1.0], [1.0], [1.0], [1.0], [0.0])  # type: ignore[arg-type]
    half = Candles("BTC/USDT", "30m", [0, 1_800_000], *([[1.0, 1.0]] * 4), [0.0, 0.0])  # type: ignore[arg-type]
    market, profile = Market("BTC/USDT"), SubscriberProfile.anny()
    for detail in (None, half):
        venue = SimulatedVenue([Feed(market, hour, detail)], profile)
        venue.advance()
        venue.settle_tables(0)
        venue.equity_now  # noqa: B018 - compiled on first use


if __name__ == "__main__":
    print("compiling the engine, once; this takes about a minute", flush=True)  # noqa: T201
    warm()
