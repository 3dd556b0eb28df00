"""Packing: what a chart shows as one short text, integer steps in byte planes under gzip.

A price is a whole number of ticks. Of each candle are kept its open less the close before, its close less its open, and the
lengths of its two wicks: small numbers, most of whose higher bytes are 0. All first bytes of a column come first, then all
second bytes, and gzip finds the rest. The bytes are written as text of 91 characters, thirteen bits a pair, which is a
thirteenth shorter than base64: 525,600 candles take about 2 MB, as JSON they take 7 MB.
"""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from backtest.report.chart.shapes import Prices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.report.chart.shapes import Account, ChartInput, Indicator

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = ["pack", "pack_plain"]

_MOST = 1_000_000
"""Candles of one market up to which each is kept; of more, four become one until they are fewer."""
_ALPHABET = np.frombuffer(bytes(range(35, 126)).translate(bytes.maketrans(b"&<", b"!~")), np.uint8)
"""91 characters that are plain text to HTML, in a script too."""
_EXACT = 2.0**52
_DEPTH = 1e4
"""A drawdown is kept to a hundredth of a percent."""
_MANY = 200_000
"""Rows from which on a column is kept as exactly as it can be seen: prices to a hundredth of what a candle measures, and
never below the tick."""


@dataclass(slots=True)
class _Columns:
    """Columns of whole numbers, one after the other, and where each lies."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def put(self, values: Integers) -> list[int]:
        """Keep whole numbers of 0 and more; return where they lie and how many bytes each takes."""
        width = max(1, (int(values.max(initial=0)).bit_length() + 7) // 8)
        planes = [((values >> (8 * k)) & 255).astype(np.uint8).tobytes() for k in range(width)]
        at, self.size = self.size, self.size + width * len(values)
        self.parts += planes
        return [at, width]

    def steps(self, values: Integers) -> list[int]:
        """Keep whole numbers by their differences, the first from 0."""
        return self.put(_folded(np.diff(values, prepend=0)))


def pack(chart: ChartInput) -> Markup:
    """Return what a chart shows as text without a ``<`` or an ``&``; the same input gives the same text.

    Parameters
    ----------
    chart
        What is drawn.
    """
    columns = _Columns()
    told: dict[str, Any] = {
        "quote": chart.quote,
        "note": "",
        "markets": (markets := [_market(prices, columns) for prices in chart.markets]),
        "account": None if chart.account is None else _account(chart.account, columns),
        "signals": [replace(life, stop=()).to_dict() for life in chart.signals],
    }
    told["stops"] = _stops(chart, {one["symbol"]: one["decimals"] for one in told["markets"]}, columns)
    told["note"] = " ".join(filter(None, [chart.note, *(_coarse(one) for one in markets)]))
    return pack_plain(told, b"".join(columns.parts))


def pack_plain(told: dict[str, Any], columns: bytes = b"") -> Markup:
    """Return JSON, and columns that it points into, as text without ``<`` or ``&``; ``SignalChart.unpack`` reads it.

    Parameters
    ----------
    told
        Plain JSON without NaN.
    columns
        Bytes behind it.
    """
    head = json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")
    whole = len(head).to_bytes(4, "little") + head + columns
    return _text(gzip.compress(whole, 6, mtime=0))


def _text(content: bytes) -> Markup:
    """Return bytes as their number, a colon, and two characters for every thirteen bits."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    pairs = np.pad(bits, (0, -len(bits) % 13)).reshape(-1, 13) @ (1 << np.arange(12, -1, -1, dtype=np.int64))
    written = _ALPHABET[np.column_stack(np.divmod(pairs, 91)).ravel()].tobytes().decode("ascii")
    return Markup(f"{len(content)}:{written}")  # noqa: S704 - its alphabet has nothing that is markup


def _coarse(market: dict[str, Any]) -> str:
    """Return what is not drawn of so many candles; nothing of fewer."""
    if market["merged"] > 1:
        return f"Each bar of {market['symbol']} is {market['merged']} candles."
    return f"Prices of {market['symbol']} are drawn to {10.0 ** -market['decimals']:g}." if market["rounded"] else ""


def _market(prices: Prices, columns: _Columns) -> dict[str, Any]:
    merged = 1
    while len(prices.time) > _MOST:
        prices, merged = _merged(prices), 4 * merged
    decimals = _decimals(prices.open, prices.high, prices.low, prices.close)
    seen = _seen(float(np.median(prices.high - prices.low))) if len(prices.time) > _MANY else decimals
    rounded, decimals = seen < decimals, min(decimals, seen)
    opened, high, low, close = (_ticks(x, decimals) for x in (prices.open, prices.high, prices.low, prices.close))
    before = np.r_[0, close[:-1]]
    return {
        "symbol": prices.symbol,
        "timeframe": prices.timeframe,
        "merged": merged,
        "rounded": rounded,
        "decimals": decimals,
        **_times(prices.time, prices.step),
        "open": columns.put(_folded(opened - before)),
        "close": columns.put(_folded(close - opened)),
        "high": columns.put(high - np.maximum(opened, close)),
        "low": columns.put(np.minimum(opened, close) - low),
        "indicators": [
            _indicator(one, prices, decimals, columns) for one in prices.indicators if np.isfinite(one.values).any()
        ],
    }


def _account(account: Account, columns: _Columns) -> dict[str, Any]:
    most = float(np.max(np.abs(account.highest), initial=0.0))
    digits = 5 if len(account.time) > _MANY else 6
    decimals = 2 if most == 0.0 else int(np.clip(digits - math.floor(math.log10(most)), 0, 18))
    equity, lowest, highest = (_ticks(x, decimals) for x in (account.equity, account.lowest, account.highest))
    steps = np.diff(account.time)
    return {
        "decimals": decimals,
        **_times(account.time, int(steps.min()) if len(steps) else 1),
        "equity": columns.steps(equity),
        "below": columns.steps(np.maximum(equity - lowest, 0)),
        "above": columns.steps(np.maximum(highest - equity, 0)),
        "drawdown": columns.steps(np.round(-account.drawdown * _DEPTH).astype(np.int64)),
    }


def _indicator(curve: Indicator, prices: Prices, price_decimals: int, columns: _Columns) -> dict[str, Any]:
    values = np.asarray(curve.values, np.float64)
    known = np.isfinite(values)
    rows = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    filled = np.where(
        rows < 0, values[int(known.argmax())], values[np.maximum(rows, 0)]
    )  # a hole repeats what came before
    size = float(np.median(np.abs(filled)))
    decimals = 4 if size == 0.0 else int(np.clip(6 - math.ceil(math.log10(size)), 0, 15))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.median(values[known] / prices.close[known]))
    is_price = 0.5 < ratio < 2.0
    if len(values) > _MANY:
        decimals = max(0, price_decimals - 1) if is_price else max(0, decimals - 2)
    return {
        "name": curve.name,
        "decimals": decimals,
        "pane": "price" if is_price else "below",
        "values": columns.steps(_ticks(filled, decimals)),
        "holes": None if known.all() else columns.put((~known).astype(np.int64)),
    }


def _stops(chart: ChartInput, decimals: dict[str, int], columns: _Columns) -> dict[str, Any]:
    """Keep the steps of all stops, of which a trailing one has thousands: how many each signal has, their times and prices."""
    each = np.array([len(life.stop) for life in chart.signals], np.int64)
    steps = np.array([step for life in chart.signals for step in life.stop], np.float64).reshape(-1, 2)
    time = steps[:, 0].astype(np.int64)
    scales = np.array([10.0 ** decimals.get(life.symbol, 8) for life in chart.signals])
    exact = np.clip(np.round(steps[:, 1] * np.repeat(scales, each)), -_EXACT, _EXACT).astype(np.int64)
    unit = int(np.gcd.reduce(time)) if len(time) else 1
    return {
        "unit": unit,
        "n": len(steps),
        "each": columns.put(each),
        "time": columns.steps(time // max(1, unit)),
        "price": columns.steps(exact),
    }


def _times(time: Integers, step: int) -> dict[str, Any]:
    """Return first time, step, and the rows that follow at another distance, with that distance."""
    apart = np.diff(time)
    gaps = np.flatnonzero(apart != step)
    return {
        "n": len(time),
        "start": int(time[0]) if len(time) else 0,
        "step": step,
        "gaps": [[int(row) + 1, int(apart[row])] for row in gaps],
    }


def _merged(prices: Prices) -> Prices:
    """Return candles of which each is four."""
    starts = np.arange(0, len(prices.time), 4)
    last = np.r_[starts[1:], len(prices.time)] - 1
    return Prices(
        prices.symbol,
        prices.timeframe,
        4 * prices.step,
        prices.time[starts],
        prices.open[starts],
        np.maximum.reduceat(prices.high, starts),
        np.minimum.reduceat(prices.low, starts),
        prices.close[last],
        tuple(type(one)(one.name, one.values[last]) for one in prices.indicators),
    )


def _decimals(*columns: Floats) -> int:
    """Return how many decimals hold the prices exactly; of prices without a tick, seven digits of the smallest."""
    for decimals in range(13):
        if all(_holds(x, decimals) for x in columns):
            return decimals
    least = min(float(np.min(np.abs(x))) for x in columns)
    most = max(float(np.max(np.abs(x))) for x in columns)
    wanted = 8 if least == 0.0 else 7 - math.ceil(math.log10(least))
    return int(np.clip(wanted, 0, max(0, 15 - math.ceil(math.log10(max(most, 1e-12))))))


def _seen(measure: float) -> int:
    """Return how many decimals show a hundredth of a measure; any number of them where it is 0."""
    return 99 if measure <= 0.0 else max(0, math.ceil(-math.log10(measure / 100.0)))


def _holds(values: Floats, decimals: int) -> bool:
    scaled = values * 10.0**decimals
    return bool(np.all(np.abs(scaled) < _EXACT) and np.allclose(np.round(scaled), scaled, rtol=1e-12, atol=1e-6))


def _ticks(values: Floats | np.float64, decimals: int) -> Integers:
    whole: Integers = np.clip(np.round(np.asarray(values) * 10.0**decimals), -_EXACT, _EXACT).astype(np.int64)
    return whole


def _folded(values: Integers) -> Integers:
    """Return numbers of either sign as 0 and more: 0, -1, 1, -2 ... become 0, 1, 2, 3 ..."""
    folded: Integers = (values << 1) ^ (values >> 63)
    return folded
