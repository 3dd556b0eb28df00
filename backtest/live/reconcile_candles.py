"""Candles that were acted on, held against those that a store has now: revised, late, missing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.model.candles import Candles
from backtest.model.timeframe import milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backtest.live.schema import Seen
    from backtest.live.snapshot import Place, Snapshot

    Range = tuple[int, int]

__all__ = ["CandleDifference", "CandleFault", "Effect", "SeriesReport", "Stored", "compare_series", "corrected"]

LATE_MS = 5_000
"""From this lag on a candle is late: after it the feed takes one for missing."""
_NAMES = ("open", "high", "low", "close", "volume")
Row = tuple[float, ...]


class CandleFault(StrEnum):
    """What is wrong with a candle."""

    REVISED = "revised"
    """The store has other values than those that were acted on."""
    MISSING = "missing"
    """It was missing when its close was decided; the store has it."""
    LATE = "late"
    """It came more than five seconds after its close."""
    UNSTORED = "not in the store"
    """It was acted on, and the store has none."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store has of a series.

    Attributes
    ----------
    candles
        In the span that was asked for.
    unasked
        Parts of it that were never fetched, UTC ms.
    """

    candles: Candles
    unasked: Sequence[Range] = ()


@dataclass(frozen=True, slots=True)
class Effect:
    """What a backtest decides otherwise with the store's candle in place of the one that was acted on.

    Attributes
    ----------
    calls
        How many calls are others, or were not made.
    pnl
        What they and other fills make, quote currency.
    """

    calls: int
    pnl: float


@dataclass(frozen=True, slots=True)
class CandleDifference:
    """One candle at fault.

    Attributes
    ----------
    symbol, timeframe, time
        Which candle; its opening, UTC ms.
    fault
        What is wrong.
    history
        Whether it closed before the account's start: indicators saw it, nothing was decided on it.
    acted, stored
        Open, high, low, close and volume as they were acted on and as the store has them; None where there is none.
    lag
        Milliseconds from its close to its arrival; None where that is unknown.
    noticed
        When a running emission found that it had changed, UTC ms; None where it did not.
    effects
        By strategy, of those that would have decided or fared otherwise.
    """

    symbol: str
    timeframe: str
    time: int
    fault: CandleFault
    history: bool = False
    acted: Row | None = None
    stored: Row | None = None
    lag: int | None = None
    noticed: int | None = None
    effects: Mapping[str, Effect] = field(default_factory=dict)

    @property
    def changed(self) -> list[str]:
        """Names of the values that differ."""
        if self.acted is None or self.stored is None:
            return []
        return [name for name, one, two in zip(_NAMES, self.acted, self.stored, strict=True) if one != two]


@dataclass(frozen=True)
class SeriesReport:
    """One series, as it was acted on and as it is stored.

    Attributes
    ----------
    exchange, symbol, timeframe
        Which series.
    first, last
        Open times of the first and the last candle that were looked at, UTC ms.
    seen, equal
        Candles acted on, and those of them that the store has with the same values.
    differences
        All that are at fault, by time.
    lags
        Milliseconds from close to arrival: median, 95th percentile and most; empty where unknown.
    unasked
        Parts of the span that the store was never asked for, UTC ms.
    stored
        Whether there was a store to compare with.
    """

    exchange: str
    symbol: str
    timeframe: str
    first: int
    last: int
    seen: int
    equal: int
    differences: Sequence[CandleDifference]
    lags: Sequence[float] = ()
    unasked: Sequence[Range] = ()
    stored: bool = True

    def count(self, fault: CandleFault) -> int:
        """Return how many candles have a fault."""
        return sum(one.fault is fault for one in self.differences)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        found = asdict(self)
        found["differences"] = [
            {**asdict(one), "fault": one.fault.value, "changed": one.changed} for one in self.differences
        ]
        return found


def compare_series(journal: Snapshot, place: Place, stored: Stored | None, since: int) -> SeriesReport:
    """Hold the candles of a series that were acted on against a store's.

    Parameters
    ----------
    journal, place
        What was acted on.
    stored
        What the store has; None where there is none to compare with.
    since
        Open time of the first candle that indicators saw, UTC ms.
    """
    _, symbol, timeframe = place
    span, acted = milliseconds(timeframe), journal.acted(place, since)
    noticed = {one.seen.time: one.seen.arrived for one in journal.sightings[place] if one.revision}
    there = {} if stored is None else _rows_of(stored.candles)
    differences: list[CandleDifference] = []
    equal = 0
    for seen in acted:
        row = None if seen.open is None else _values(seen)
        lag = seen.arrived - seen.time - span if seen.arrived and seen.source != "history" else None
        one = CandleDifference(
            symbol,
            timeframe,
            seen.time,
            CandleFault.LATE,
            history=seen.source == "history" and bool(seen.arrived),
            acted=row,
            stored=there.get(seen.time),
            lag=lag,
            noticed=noticed.get(seen.time),
        )
        if lag is not None and lag > LATE_MS:
            differences.append(one)
        fault = None if stored is None else _fault(row, one.stored)
        equal += row is not None and row == one.stored
        if fault is not None:
            differences.append(replace(one, fault=fault))
    lags = [
        each.arrived - each.time - span for each in acted if each.arrived and each.source not in {"history", "missing"}
    ]
    first, last = (acted[0].time, acted[-1].time) if acted else (since, since)
    return SeriesReport(
        *place,
        first,
        last,
        sum(each.open is not None for each in acted),
        equal,
        differences,
        [float(np.quantile(lags, q)) for q in (0.5, 0.95, 1.0)] if lags else (),
        () if stored is None else stored.unasked,
        stored is not None,
    )


def corrected(candles: Candles, differences: Sequence[CandleDifference], symbol: str) -> Candles:
    """Return candles as the store has those that are at fault; what the store lacks stays as it was acted on.

    Parameters
    ----------
    candles
        As they were acted on.
    differences
        Those that are put in place.
    symbol
        Of the candles; differences of others are passed over.
    """
    mine = [one for one in differences if one.symbol == symbol and one.fault in _STORED and one.stored is not None]
    if not mine:
        return candles
    rows = _rows_of(candles) | {one.time: one.stored for one in mine if one.stored is not None}
    times = np.array(sorted(rows), np.int64)
    table = np.array([rows[time] for time in times.tolist()], np.float64).reshape(-1, 5)
    columns: dict[str, Any] = {name: table[:, k].copy() for k, name in enumerate(_NAMES)}
    return Candles(
        symbol,
        candles.timeframe,
        time=times,
        **columns,
        exchange=candles.exchange,
        volume_known=candles.volume_known,
    )


_STORED = frozenset({CandleFault.REVISED, CandleFault.MISSING})


def _fault(acted: Row | None, stored: Row | None) -> CandleFault | None:
    if acted is None:
        return None if stored is None else CandleFault.MISSING
    if stored is None:
        return CandleFault.UNSTORED
    return None if acted == stored else CandleFault.REVISED


def _values(seen: Seen) -> Row:
    return tuple(float(value) for value in seen.row[1:] if value is not None)


def _rows_of(candles: Candles) -> dict[int, Row]:
    columns = [getattr(candles, name).tolist() for name in _NAMES]
    return dict(zip(candles.time.tolist(), zip(*columns, strict=True), strict=True))
