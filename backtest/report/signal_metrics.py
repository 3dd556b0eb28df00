"""Statistics of signals: how many were sent, refused, filled, and how long they waited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backtest.model.events import EventKind, Reason, Trade
from backtest.model.rule import Rule
from backtest.report.statistic import Statistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.report.tables import ResultTables

    Bools = NDArray[np.bool_]
    Integers = NDArray[np.int64]

__all__ = ["Signals", "ran_out", "signal_rows", "signals_of"]

_SIGNALS = {
    "signals_sent": ("Signals sent", "count", "creates that the strategy sent, or tried to send"),
    "signals_refused": ("Refused", "count", "creates that the market, the account or the desk refused"),
    "calls_refused_by_desk": ("Calls refused by the desk", "count", "calls that were impossible and never sent (L3.8)"),
    "signals_expired": ("Expired", "count", "signals whose time to live ended before anything was bought"),
    "signals_filled": ("Filled", "count", "signals that bought something"),
    "signals_waiting": (
        "Waiting at the end",
        "count",
        "signals that had bought nothing when the candles ended, and live",
    ),
    "signals_pending": ("Pending at the end", "count", "creates that found no candle on which to act (L1.2)"),
    "longest_wait": (
        "Longest wait",
        "ms",
        "longest time from a create to its first fill or its end, or to the last close",
    ),
}


@dataclass(frozen=True, slots=True)
class Signals:
    """What became of each signal that acted, in the order of its first event.

    Attributes
    ----------
    names, symbols
        (n,) texts.
    made
        (n,) int64, when its create acted or was refused, UTC ms.
    until
        (n,) int64, when it first bought, else when it ended, else the last close.
    filled, refused, lives
        (n,) bool: bought something; was refused as a create; had neither bought nor ended.
    reason
        (n,) texts, why the create was refused; empty for the others.
    expired
        (n,) bool, whether its time to live ended it.
    """

    names: list[str]
    symbols: list[str]
    made: Integers
    until: Integers
    filled: Bools
    refused: Bools
    lives: Bools
    reason: list[str]
    expired: Bools


def signals_of(tables: ResultTables) -> Signals:
    """Return what became of each signal, from the events."""
    events = tables.events
    signal, time = events["signal"].to_list(), events["time"].to_numpy(np.int64)
    numbers = {name: k for k, name in enumerate(dict.fromkeys(signal))}
    of = np.array([numbers[name] for name in signal], np.int64)
    n, kinds = len(numbers), events["kind"]
    first = np.unique(of, return_index=True)[1] if n else np.empty(0, np.int64)

    def earliest(named: list[str]) -> Integers:
        """Return when an event of these kinds first happened to each signal; the largest number where never."""
        some, found = kinds.isin(named).to_numpy(bool), np.full(n, np.iinfo(np.int64).max)
        np.minimum.at(found, of[some], time[some])
        return found

    fills = earliest([kind.value for kind in EventKind if kind.trade is Trade.ENTERS])
    ends = earliest([kind.value for kind in EventKind if kind.ends is not None])
    never = np.iinfo(np.int64).max
    refused = (kinds.iloc[first] == EventKind.REFUSED.value).to_numpy(bool)
    made = time[first]
    until = np.where(refused, made, np.minimum(np.minimum(fills, ends), tables.span[1]))
    filled = fills < never
    return Signals(
        names=list(numbers),
        symbols=events["symbol"].iloc[first].to_list(),
        made=made,
        until=np.maximum(until, made),
        filled=filled,
        refused=refused,
        lives=~filled & (ends == never) & ~refused,
        reason=[str(text) if no else "" for text, no in zip(events["reason"].iloc[first], refused, strict=True)],
        expired=earliest([EventKind.EXPIRED.value]) < never,
    )


def signal_rows(tables: ResultTables) -> list[Statistic]:
    """Return the statistics of the signals; the longest wait is None, with the reason, where none was made."""
    found = signals_of(tables)
    acted = set(found.names)
    pending = {str(call.get("ref")) for call in tables.calls if _creates(call)} - acted
    waits = (found.until - found.made)[~found.refused]
    desk = (tables.events["kind"] == EventKind.REFUSED.value) & (tables.events["rule"] == Rule.L3_8.value)
    figures: dict[str, float | None] = {
        "signals_sent": len(found.names) + len(pending),
        "signals_refused": int(found.refused.sum()),
        "calls_refused_by_desk": int(desk.sum()),
        "signals_expired": int(found.expired.sum()),
        "signals_filled": int(found.filled.sum()),
        "signals_waiting": int(found.lives.sum()),
        "signals_pending": len(pending),
        "longest_wait": int(waits.max()) if len(waits) else None,
    }
    return [
        Statistic(
            key, label, figures[key], unit, what, "Signals", reason="" if figures[key] is not None else "no signal"
        )
        for key, (label, unit, what) in _SIGNALS.items()
    ]


def ran_out(found: Signals) -> tuple[int, float] | None:
    """Return since when creates were refused for want of balance (UTC ms), and their share of all from then on."""
    short = np.array([reason == Reason.BALANCE for reason in found.reason], bool)
    if not short.any():
        return None
    since = int(found.made[short].min())
    later = found.made >= since
    return since, float(short[later].mean())


def _creates(call: dict[str, object]) -> bool:
    return str(call.get("path", "")).endswith("/signal")
