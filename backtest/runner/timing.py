"""Timing: what candles cannot show of latency, of the instants of calls and of funding rates."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from backtest.model.timeframe import nearest_multiple
from backtest.report import text
from backtest.strategy import Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.engine.history import MarketHistory
    from backtest.runner.finished import Finished

    Ints = NDArray[np.int64]

__all__ = ["of_waits", "timing_caveats", "uncovered_share"]

_MOVED = 0.1
"""Share of a latency by which rounding may move it without a word (L1.2)."""

_USUAL = 8 * 3_600_000
"""The longest usual time between two funding rates, ms."""


def timing_caveats(run: Finished) -> list[str]:
    """Return what a reader must know of latency, waiting calls and uncovered funding (L1.2, L13.3)."""
    found = _of_latency(run.profile.latency_ms, run.histories)
    if not isinstance(run.strategy, Strategy) and run.strategy.posted is None:
        found += of_waits(run.venue.waits())
    shares = {history.candles.symbol: uncovered_share(run, history) for history in run.histories}
    found += [
        f"The funding rates of {symbol} leave {text.percent(share, digits=0)} of the time uncovered in which FUTURES positions were open: "
        "funding was taken as 0 there."
        for symbol, share in shares.items()
        if share > 0.0
    ]
    return found


def _of_latency(latency: int, histories: list[MarketHistory]) -> list[str]:
    """Say where rounding to the candles walked moved the latency by more than a tenth of itself."""
    moved: dict[tuple[int, str], list[str]] = {}
    for history in histories:
        fine = history.detail is not None and bool(history.complete().any())
        span = history.fine_span if fine else history.candles.milliseconds
        rounded = nearest_multiple(latency, span)
        if abs(rounded - latency) > _MOVED * latency:
            timeframe = history.detail.timeframe if fine and history.detail is not None else history.candles.timeframe
            moved.setdefault((rounded, timeframe), []).append(history.candles.symbol)
    return [
        f"A latency of {text.duration(latency)} cannot be seen in {timeframe} candles ({text.some(symbols)}): it was "
        f"taken as {text.duration(rounded) if rounded else '0'}; finer detail candles show it."
        for (rounded, timeframe), symbols in moved.items()
    ]


def of_waits(waits: Ints) -> list[str]:
    """Say how many calls of a log found no candle at their instant, and how long they waited for one."""
    late = waits[waits > 0]
    if not len(late):
        return []
    said = (
        f"{len(late):,} of {text.plural(len(waits), 'call')} of the log waited for the next open, "
        f"{text.duration(int(np.median(late)))} in the middle and {text.duration(int(late.max()))} at most: "
        "their times are never rounded."
    )
    return [said]


def uncovered_share(run: Finished, history: MarketHistory) -> float:
    """Return the share of the time with an open FUTURES position for which no funding rate was given (L13.3).

    Parameters
    ----------
    run
        Of which the positions are.
    history
        The market; without any rates the share is 0, which is said elsewhere.

    Returns
    -------
    float
        From 0 to 1.
    """
    times = nearest_multiple(history.funding[:, 0].astype(np.int64), 60_000)
    if not len(times):
        return 0.0
    begins, ends = run.venue.futures_spans(history.candles.symbol)
    held = float((ends - begins).sum())
    if held == 0.0:
        return 0.0
    interval = max(_USUAL, int(np.median(np.diff(times))) if len(times) > 1 else 0)
    first, last = int(history.candles.time[0]), int(history.candles.close_time[-1])
    holes = [(min(first, int(times[0]) - interval), int(times[0]) - interval)]
    holes += [(int(a), int(b) - interval) for a, b in itertools.pairwise(times) if b - a > 1.5 * interval]
    if last >= times[-1] + interval:  # a rate is missing there
        holes.append((int(times[-1]), last))
    missing = 0.0
    for low, high in holes:
        missing += float(np.clip(np.minimum(ends, high) - np.maximum(begins, low), 0, None).sum())
    return missing / held
