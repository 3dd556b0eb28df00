"""ResultTables: a finished run as its saved tables, all that a report ever sees of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.model.timeframe import milliseconds
from backtest.report.interval import MODES, Interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["ResultTables", "body_of"]


@dataclass(frozen=True, eq=False)
class ResultTables:
    """One run: what was asked, and what came out of it.

    Attributes
    ----------
    manifest
        Plain JSON: ``strategy``, ``profile``, ``assumptions``, ``market``, ``candles`` (provenance), ``versions``,
        ``total_return`` (by mode, absent until computed), ``ambiguous``, ``warnings``, ``emitted``.
    candles
        By symbol: ``time`` (open, UTC ms), ``open, high, low, close, volume``.
    trades
        One row a trade, first fill to flat, or still open (``exit_time`` -1, ``average_exit`` NaN).
    fills, events
        One row each, in the order in which they happened.
    equity
        ``time`` (close of the candle, UTC ms) and ``equity``, quote currency; and ``lowest, highest`` of the three readings
        of the candles, where they were computed.
    calls
        ``method, path, body, at, ref`` of each Signal API request, as it would be sent.
    refused
        ``at, ref, kind, field, value, reason, rule, call`` of each call that the desk refused (L3.8).
    indicators
        By symbol, the columns that the strategy computed over the candles, by name; a row a candle.

    Notes
    -----
    Money is in quote currency, returns and ``invest`` are fractions, times are int64 UTC milliseconds.
    """

    manifest: Mapping[str, Any]
    candles: Mapping[str, pd.DataFrame]
    trades: pd.DataFrame
    fills: pd.DataFrame
    equity: pd.DataFrame
    events: pd.DataFrame
    calls: list[dict[str, Any]]
    refused: list[dict[str, Any]] = field(default_factory=list)
    indicators: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def symbols(self) -> list[str]:
        """Symbols by name."""
        return sorted(self.candles)

    @property
    def name(self) -> str:
        """Name of the strategy, or of the call log that was replayed."""
        return str(self.manifest.get("strategy", {}).get("name") or "replay")

    @property
    def mode(self) -> str:
        """The intrabar mode in which these trades were made."""
        return str(self.manifest.get("profile", {}).get("intrabar", "pessimistic"))

    @property
    def balance(self) -> float:
        """Initial balance, quote currency."""
        return float(self.manifest.get("profile", {}).get("balance", 10_000.0))

    @property
    def quote(self) -> str:
        """The currency of money in this result; empty where the symbols do not share one."""
        quotes = {symbol.partition("/")[2].partition(":")[0] for symbol in self.candles}
        return quotes.pop() if len(quotes) == 1 else ""

    @property
    def interval(self) -> Interval | None:
        """Total return under the three modes, None where it was not computed."""
        returns = self.manifest.get("total_return") or {}
        if any(returns.get(mode) is None for mode in MODES):
            return None
        return Interval(*(float(returns[mode]) for mode in MODES))

    @property
    def warnings(self) -> list[str]:
        """Sentences that the run wants to be read."""
        return [str(sentence) for sentence in self.manifest.get("warnings") or []]

    @property
    def assumptions(self) -> list[dict[str, Any]]:
        """Readings of the venue: ``name, value, status, rule, text``."""
        return [dict(one) for one in self.manifest.get("assumptions") or []]

    @cached_property
    def span(self) -> tuple[int, int]:
        """Open of the first candle and close of the last, UTC ms; (0, 0) without candles."""
        ends = [(int(t[0]), int(t[-1]) + self.step(s)) for s in self.symbols if len(t := self.column(s, "time"))]
        return (min(first for first, _ in ends), max(last for _, last in ends)) if ends else (0, 0)

    def step(self, symbol: str) -> int:
        """Return the length of a candle of this symbol, in ms."""
        named = (self.manifest.get("candles") or {}).get(symbol, {}).get("timeframe")
        if named:
            return milliseconds(named)
        distances = np.diff(self.column(symbol, "time"))
        return int(distances.min()) if len(distances) else milliseconds("1d")

    def column(self, symbol: str, name: str) -> NDArray[Any]:
        """Return one column of a symbol's candles.

        Parameters
        ----------
        symbol
            One of :attr:`symbols`.
        name
            ``time``, ``open``, ``high``, ``low``, ``close`` or ``volume``.
        """
        values: NDArray[Any] = self.candles[symbol][name].to_numpy()
        return values

    def signal(self, name: str) -> str:
        """Return the full name of a signal: its own, its number in the order of creation from 1, or its only ending.

        Raises
        ------
        InvalidSettingError
            Where no signal, or more than one, is meant.
        """
        known = [str(one) for one in dict.fromkeys(self.events["signal"])]
        if name in known:
            return name
        if name.isdecimal() and 1 <= int(name) <= len(known):
            return known[int(name) - 1]
        ending = [one for one in known if name and one.endswith(name)]
        if len(ending) == 1:
            return ending[0]
        none = (
            "the one signal of this result has none"
            if len(known) == 1
            else f"the {len(known)} signals of this result have none"
        )
        what = f"{len(ending)} signals end like this" if ending else none
        raise InvalidSettingError(f"signal was {name!r}; {what}.{did_you_mean(name, known)}")


def body_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a recorded call, which may be kept as the JSON text that is sent."""
    body = call.get("body") or {}
    return dict(json.loads(body)) if isinstance(body, str | bytes) else dict(body)
