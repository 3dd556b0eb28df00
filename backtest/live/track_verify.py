"""Verify: a track record held against an earlier copy or head of it, and its prices against candles."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.live.track_record import figures_of, hash_of, read_record
from backtest.model.profile import SubscriberProfile
from backtest.model.timeframe import milliseconds
from backtest.report import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from backtest.live.track_record import Record
    from backtest.model.candles import Candles

__all__ = ["Verified", "verify_record"]

_LEAST_DIGITS = 16
_TOLERANCE = 1e-9
_DAY = 86_400_000
_FIGURES = ("signals", "ended", "won", "pnl", "fraction")


@dataclass(frozen=True)
class Verified:
    """A record that holds.

    Attributes
    ----------
    record
        Itself.
    since
        How many of its lines an earlier copy or head pins; 0 where none was given.
    prices, unchecked
        How many fill prices lie within their candles, and of how many there are no candles.
    """

    record: Record
    since: int
    prices: int
    unchecked: int

    @property
    def sentence(self) -> str:
        """All of it, for people."""
        record, figures = self.record, figures_of(self.record.entries)
        parts = [f"{record.path}: {text.plural(len(record.lines), 'line')}, the chain is whole"]
        if self.since:
            parts.append(f"the first {self.since} as they were")
        signals = text.plural(figures["signals"], "signal")
        parts.append(
            f"{signals}, {figures['ended']} ended, {text.percent(figures['fraction'], signed=True)} of capital"
        )
        if self.prices or self.unchecked:
            lacking = f", no candles for {self.unchecked}" if self.unchecked else ""
            parts.append(f"{text.plural(self.prices, 'fill')} within the candles{lacking}")
        return "; ".join(parts) + f"\nhead  {record.head}"


def verify_record(
    path: Path, since: str | None = None, candles_of: Callable[[str, str, str, int, int], Candles | None] | None = None
) -> Verified:
    """Hold a track record against what was known of it earlier, against candles, and against itself.

    Parameters
    ----------
    path
        Of the record.
    since
        An earlier copy's file, or a head: at least 16 of its hex digits.
    candles_of
        Returns candles of an exchange's symbol and timeframe between two open times, UTC ms, both included; None where there are none.

    Raises
    ------
    InvalidSettingError
        Naming the first line that does not hold, and why.
    """
    record = read_record(path)
    pinned = _pinned(record, since) if since is not None else 0
    _check_figures(record)
    checked, unchecked = _check_prices(record, candles_of) if candles_of is not None else (0, 0)
    return Verified(record, pinned, checked, unchecked)


def _pinned(record: Record, since: str) -> int:
    """Return how many lines something earlier pins, if all of them are as they were."""
    if re.fullmatch(rf"[0-9a-fA-F]{{{_LEAST_DIGITS},64}}", since) and not Path(since).exists():
        found = [number for number, line in enumerate(record.lines, 1) if hash_of(line).startswith(since.lower())]
        if not found:
            raise InvalidSettingError(
                f"no line of {record.path} has the head {since[:_LEAST_DIGITS]}...: what was published under that head was "
                "altered, removed or rebuilt since"
            )
        return found[0]
    if not os.path.isfile(since):  # noqa: PTH113 - pathlib's raises for a name that is too long
        raise InvalidSettingError(
            f"--since was {since[:80]!r}, which is neither a file nor a head: {_LEAST_DIGITS} to 64 hex digits"
        )
    earlier = read_record(Path(since))
    for number, line in enumerate(earlier.lines, 1):
        if number > len(record.lines):
            raise InvalidSettingError(
                f"line {number} of {since} is not in {record.path}, which ends with line {number - 1}: lines were removed"
            )
        if line != record.lines[number - 1]:
            raise InvalidSettingError(
                f"line {number} of {record.path} is not as it was in {since}: "
                f"{_difference(earlier.entries[number - 1], record.entries[number - 1])}"
            )
    return len(earlier.lines)


def _difference(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first value of two lines that differs."""
    for name in dict.fromkeys([*earlier, *now]):
        one, two = earlier.get(name), now.get(name)
        if isinstance(one, dict) and isinstance(two, dict) and one != two:
            return _difference(one, two)
        if one != two:
            return f"{name} was {_shown(one)}, now it is {_shown(two)}"
    return "what it follows is another line"


def _shown(value: object) -> str:
    """Return a value as it is, in short; escaped where a terminal would take it for something else."""
    text = str(value)[:60]
    return text if text.isprintable() else ascii(text)


def _check_figures(record: Record) -> None:
    """Refuse figures that do not follow from the lines above them, and what was sent by or came of nothing."""
    entries, named, created = record.entries, set[str](), set[tuple[str, str]]()
    for number, entry in enumerate(entries, 1):
        key = (entry.get("strategy", ""), entry.get("ref", ""))
        if entry["kind"] == "strategy":
            named.add(entry["strategy"])
        elif key[0] not in {"", *named}:
            raise InvalidSettingError(
                f"line {number} of {record.path} is of strategy {key[0][:12]}, which no line before it names"
            )
        if entry["kind"] == "sent":
            created.add(key)
        if entry["kind"] == "result" and key not in created:
            raise InvalidSettingError(f"line {number} of {record.path} is the result of {key[1]}, which no line sent")
        if entry["kind"] != "figures":
            continue
        figures = figures_of(entries[: number - 1])
        for name in _FIGURES:
            if not math.isclose(entry[name], figures[name], rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
                raise InvalidSettingError(
                    f"line {number} of {record.path} says {name} {entry[name]}, the lines above it make {figures[name]}"
                )


def _check_prices(record: Record, candles_of: Callable[[str, str, str, int, int], Candles | None]) -> tuple[int, int]:
    """Refuse a fill outside of its candle, its slippage allowed; return how many lie within, and how many have none."""
    profiles = {
        entry["strategy"]: _profile(record, number, entry)
        for number, entry in enumerate(record.entries, 1)
        if entry["kind"] == "strategy"
    }
    fills: dict[tuple[str, str, str], list[tuple[int, str, dict[str, Any]]]] = {}
    for number, entry in enumerate(record.entries, 1):
        if entry["kind"] == "result":
            exchange, symbol, timeframe = entry["series"]
            fills.setdefault((exchange, symbol, timeframe), []).extend(
                (number, entry["strategy"], fill) for fill in entry["fills"]
            )
    checked = unchecked = 0
    for (exchange, symbol, timeframe), mine in fills.items():
        times = [fill["time"] for _, _, fill in mine]
        span = milliseconds(timeframe)
        for number, _, fill in mine:
            if fill["time"] % min(span, _DAY):
                raise InvalidSettingError(
                    f"line {number} of {record.path} has {symbol} filled at {fill['time']} (UTC ms), when no candle of {timeframe} "
                    "opens"
                )
        candles = candles_of(exchange, symbol, timeframe, min(times), max(times)) if times else None
        for number, strategy, fill in mine:
            row = _row(candles, fill["time"])
            if candles is None or row is None:
                unchecked += 1
                continue
            most = 1.0 + profiles[strategy].slippage_for(symbol.partition("/")[0]) + _TOLERANCE
            low, high = float(candles.low[row]) / most, float(candles.high[row]) * most
            if not low <= fill["price"] <= high:
                raise InvalidSettingError(
                    f"line {number} of {record.path} has {symbol} filled at {fill['price']} on {text.when(fill['time'])}, "
                    f"when it traded between {candles.low[row]} and {candles.high[row]}"
                )
            checked += 1
    return checked, unchecked


def _profile(record: Record, number: int, entry: Mapping[str, Any]) -> SubscriberProfile:
    try:
        return SubscriberProfile.from_dict(entry["profile"])
    except InvalidSettingError as error:
        raise InvalidSettingError(f"line {number} of {record.path}: {error}") from None


def _row(candles: Candles | None, time: int) -> int | None:
    if candles is None:
        return None
    row = int(np.searchsorted(candles.time, time))
    return row if row < len(candles) and candles.time[row] == time else None
