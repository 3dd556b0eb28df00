"""Metrics: the figures of an emission as Prometheus reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from backtest.live.dashboard.health import judged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from backtest.live.dashboard.reading import Reading
    from backtest.live.dashboard.view import View

__all__ = ["exposition"]


def exposition(reading: Reading) -> tuple[bytes, str]:
    """Return the figures of this moment, and their media type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(reading.view(), _total(reading)))
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _total(reading: Reading) -> dict[str, int]:
    from backtest.errors import BacktestError

    try:
        return {state.value: count for state, count in reading.journal().tally().items()}
    except BacktestError:
        return {}


class _Figures(Collector):
    """All figures, read once."""

    def __init__(self, view: View, total: dict[str, int]) -> None:
        self._view, self._total = view, total

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        view, health = self._view, judged(self._view)
        yield _gauge("up", "1 where the emitter decides.", float(health.alive))
        if health.last_pass_seconds is not None:
            yield _gauge("last_pass_seconds", "Since the loop last went on.", health.last_pass_seconds)
        yield _gauge("unknown_outcomes", "Calls whose outcome awaits a person.", len(view.unknowns))
        yield _gauge("open_signals", "Signals that live or may live at the venue.", view.open)
        yield _gauge("waiting_calls", "Calls that are planned or on their way.", view.waiting)
        yield _gauge(
            "entries_stopped", "1 while entries are held back.", float(bool(view.stopped or view.hold or view.halted))
        )
        yield _gauge("drift_ratio", "Share of the calls of 24 hours that were not sent as decided.", view.share)
        if view.rate is not None:
            yield _gauge("rate_left", "Calls that the own limit lets out now.", view.rate[0])
        calls = CounterMetricFamily("signal_backtest_calls", "Calls by where they stand.", labels=["state"])
        for state, count in sorted(self._total.items()):
            calls.add_metric([state], count)
        yield calls
        yield from self._by_series()

    def _by_series(self) -> Iterator[Metric]:
        view = self._view
        age = _labelled("feed_age_seconds", "Since the newest candle closed.", "exchange", "symbol", "timeframe")
        lag = _labelled("feed_lag_seconds", "From its close to its arrival.", "exchange", "symbol", "timeframe")
        for one in view.series:
            names = [one.exchange, one.symbol, one.timeframe]
            if one.closed is not None:
                age.add_metric(names, (view.now - one.closed) / 1000.0)
            if one.lag is not None:
                lag.add_metric(names, one.lag / 1000.0)
        clock = _labelled("clock_ahead_seconds", "How far this machine's clock is ahead.", "exchange")
        for name, off in view.clocks:
            clock.add_metric([name], off / 1000.0)
        equity = _labelled("shadow_equity", "Equity of the shadow account, quote currency.", "strategy", "identity")
        for book in view.strategies:
            if book.equity is not None:
                equity.add_metric([book.name, book.identity[:12]], book.equity)
        yield from (age, lag, clock, equity)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"signal_backtest_{name}", text, value=value)


def _labelled(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"signal_backtest_{name}", text, labels=labels)
