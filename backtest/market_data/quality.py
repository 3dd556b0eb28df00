"""Quality: what is odd about candles. It reports; it repairs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.market_data.ranges import holes
from backtest.model.timeframe import week_offset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from backtest.market_data.manifest import Gap
    from backtest.model.candles import Candles

__all__ = ["Finding", "check", "compare", "off_grid"]

_HOUR, _DAY = 3_600_000, 86_400_000
_SPIKE = 0.25
_PRICE_TOLERANCE = 1e-9
_VOLUME_TOLERANCE = 1e-6
_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about candles that a person should know.

    Attributes
    ----------
    kind
        ``gap``, ``zero volume``, ``spike``, ``misaligned``, ``differs``, ``not compared``.
    time, count
        Open time of the first candle concerned, UTC ms, and how many are.
    text
        What is odd, with values.
    serious
        False for what belongs to the market: an outage of the exchange, an hour without a trade.
    """

    kind: str
    time: int
    count: int
    text: str
    serious: bool = True


def check(candles: Candles, gaps: Sequence[Gap] | None = None) -> list[Finding]:
    """Return what is odd about candles in themselves.

    Parameters
    ----------
    gaps
        As the store's manifest tells them, with their cause; None finds them in the times.
    """
    if len(candles) == 0:
        return []
    return [*_gaps(candles, gaps), *_misplaced(candles), *_silent(candles), *_spikes(candles)]


def off_grid(candles: Candles) -> tuple[int, int]:
    """Return how many candles open off the grid of their timeframe, and by how many ms at most.

    Days that all begin at the same hour, as some exchanges have them, have a grid of their own.
    """
    if len(candles) == 0:
        return 0, 0
    length = candles.milliseconds
    into = (candles.time - week_offset(candles.timeframe)) % length
    if length >= _DAY and len(np.unique(into)) == 1 and into[0] % _HOUR == 0:
        return 0, 0
    away = np.minimum(into, length - into)
    return int((away > 0).sum()), int(away.max())


def compare(coarse: Candles, fine: Candles) -> list[Finding]:
    """Return where coarse candles differ from finer ones put together; only complete sets of finer ones count.

    A high or low beyond what the finer candles reached is a spike that their exchange never traded.

    Raises
    ------
    InvalidSettingError
        Unless the coarse timeframe is a multiple of the fine one.
    """
    ratio, rest = divmod(coarse.milliseconds, fine.milliseconds)
    if rest or ratio < 2:
        raise InvalidSettingError(f"{coarse.timeframe} candles cannot be compared with {fine.timeframe} ones")
    offset = week_offset(coarse.timeframe)
    opened, first, counts = np.unique(
        (fine.time - offset) // coarse.milliseconds * coarse.milliseconds + offset,
        return_index=True,
        return_counts=True,
    )
    common, mine, theirs = np.intersect1d(coarse.time, opened, assume_unique=True, return_indices=True)
    whole = counts[theirs] == ratio
    mine, first = mine[whole], first[theirs][whole]
    found = []
    if len(common) < len(coarse) or not whole.all():
        left = len(coarse) - int(whole.sum())
        found.append(
            Finding("not compared", int(coarse.time[0]), left, f"no complete {fine.timeframe} candles", serious=False)
        )
    if len(first) == 0:
        return found
    rows = first[:, None] + np.arange(ratio)
    expected = {
        "open": fine.open[first],
        "high": fine.high[rows].max(axis=1),
        "low": fine.low[rows].min(axis=1),
        "close": fine.close[first + ratio - 1],
        "volume": fine.volume[rows].sum(axis=1),
    }
    for name, values in expected.items():
        found += _differences(coarse, mine, name, values, fine.timeframe)
    return found


def _differences(
    coarse: Candles, rows: NDArray[np.intp], name: str, expected: NDArray[np.float64], timeframe: str
) -> list[Finding]:
    tolerance = _VOLUME_TOLERANCE if name == "volume" else _PRICE_TOLERANCE
    have = getattr(coarse, name)[rows]
    differ = np.abs(have - expected) > tolerance * np.maximum(np.abs(expected), np.abs(have)) + 1e-12
    if not differ.any():
        return []
    row = int(np.argmax(differ))
    text = f"{name} {have[row]:.10g}, its {timeframe} candles say {expected[row]:.10g}"
    beyond = (name == "high" and have[row] > expected[row]) or (name == "low" and have[row] < expected[row])
    return [Finding("spike" if beyond else "differs", int(coarse.time[rows[row]]), int(differ.sum()), text)]


def _gaps(candles: Candles, gaps: Sequence[Gap] | None) -> list[Finding]:
    if gaps is None:
        length = candles.milliseconds
        found = holes(candles.time, length)
        return [Finding("gap", a, max(1, (b - a) // length), "missing, cause unknown") for a, b in found]
    return [
        Finding("gap", g.start, g.candles, "the exchange has none" if g.asked else "never fetched", serious=not g.asked)
        for g in gaps
    ]


def _misplaced(candles: Candles) -> list[Finding]:
    count, most = off_grid(candles)
    if not count:
        return []
    into = (candles.time - week_offset(candles.timeframe)) % candles.milliseconds
    text = f"open off the grid of {candles.timeframe}, by up to {most / 1000:g} s"
    return [Finding("misaligned", int(candles.time[int(np.argmax(into > 0))]), count, text)]


def _silent(candles: Candles) -> list[Finding]:
    silent = candles.volume == 0.0
    if not silent.any():
        return []
    row, share = int(np.argmax(silent)), float(silent.mean())
    if share == 1.0:
        return [
            Finding(
                "zero volume",
                int(candles.time[0]),
                len(candles),
                "volumes are unknown: every candle trades",
                serious=False,
            )
        ]
    return [
        Finding(
            "zero volume",
            int(candles.time[row]),
            int(silent.sum()),
            f"{share:.2%} of all candles",
            serious=share > 0.05,
        )
    ]


def _spikes(candles: Candles) -> list[Finding]:
    """Find wicks far beyond their own body and both neighbours: one wrong trade, more often than a market."""
    if len(candles) < 3:
        return []
    body_high, body_low = np.maximum(candles.open, candles.close), np.minimum(candles.open, candles.close)
    around_high = np.maximum.reduce([body_high[1:-1], candles.high[:-2], candles.high[2:]])
    around_low = np.minimum.reduce([body_low[1:-1], candles.low[:-2], candles.low[2:]])
    up = candles.high[1:-1] > around_high * (1.0 + _SPIKE)
    down = candles.low[1:-1] < around_low * (1.0 - _SPIKE)
    found = []
    for name, spikes in (("high", up), ("low", down)):
        if spikes.any():
            row = int(np.argmax(spikes)) + 1
            text = f"{name} {getattr(candles, name)[row]:.10g} is {_SPIKE:.0%} beyond its body and both neighbours"
            found.append(Finding("spike", int(candles.time[row]), int(spikes.sum()), text))
    return found
