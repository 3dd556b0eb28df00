"""Prices: what the market did when a message was posted, to hold a reading against."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import InvalidSettingError, InvalidSignalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backtest.channel.order import Order
    from backtest.model.candles import Candles

__all__ = ["Prices"]

_LEAST, _MOST = 0.5, 2.0
"""Times the close within which an entry is believed."""

_BEFORE = 86_400_000
_LATE = 300_000
"""How long before a message an entry counts as passed, and how late the first minute may be, ms."""


@dataclass(frozen=True)
class Prices:
    """Candles by pair, for plausibility and for entries at market.

    Attributes
    ----------
    candles
        By ``BASE/QUOTE``, of any timeframe.
    minutes
        By ``BASE/QUOTE``, of one minute, for entries at market.

    Raises
    ------
    InvalidSettingError
        For minutes that are none.
    """

    candles: Mapping[str, Candles] = field(default_factory=dict)
    minutes: Mapping[str, Candles] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pair, one in self.minutes.items() if isinstance(self.minutes, dict) else ():
            if one.milliseconds != 60_000:
                raise InvalidSettingError(
                    f"entries at market are priced by candles of 1m, those of {pair} were of {one.timeframe}"
                )

    def close(self, pair: str, at: int) -> float | None:
        """Return the close of the last candle that had closed at an instant (UTC ms); None where there is none near."""
        candles = self.candles.get(pair)
        if candles is None:
            return None
        k = int(np.searchsorted(candles.close_time, at, "right")) - 1
        if k < 0 or at - int(candles.close_time[k]) > 3 * candles.milliseconds:
            return None
        return float(candles.close[k])

    def check(self, order: Order, at: int) -> bool:
        """Refuse a signal whose entry lies nowhere near the market; return whether there was a close to hold it against.

        Parameters
        ----------
        order
            As read.
        at
            When its message stood, UTC ms.

        Raises
        ------
        InvalidSignalError
            For an entry beyond 0.5 to 2 times the close.
        """
        close = self.close(f"{order.coin}/{order.quote}", at)
        if close is None:
            return False
        for price in order.entries or order.targets[:1]:
            if not _LEAST * close <= price <= _MOST * close:
                raise InvalidSignalError(
                    f"{price:.12g} is {price / close:.3g} times the close {close:.12g} of that time: a unit or a decimal point is not what it seems"
                )
        return True

    def passed(self, order: Order, at: int) -> bool:
        """Whether the market had traded at the entry in the day before, and stood beyond it when the message came.

        Parameters
        ----------
        order
            As read; one at market never is.
        at
            When its message stood, UTC ms.
        """
        pair = f"{order.coin}/{order.quote}"
        close, candles = self.close(pair, at), self.candles.get(pair)
        if close is None or candles is None or order.at_market:
            return False
        low, high = min(order.entries), max(order.entries)
        near = high if order.side > 0 else low
        if order.side * close <= order.side * near:
            return False
        closes = candles.close_time
        first, last = np.searchsorted(closes, [at - _BEFORE, at], "right")
        part = slice(int(first), int(last))
        return bool(np.any((candles.low[part] <= high) & (candles.high[part] >= low)))

    def at_market(self, order: Order, at: int, latency: int) -> Order:
        """Return an order at market as a range: from the open of the first minute to its worst price.

        Parameters
        ----------
        order
            At market.
        at
            When its message stood, UTC ms.
        latency
            From message to order, ms.

        Raises
        ------
        InvalidSignalError
            Where there is no such minute.
        """
        candles = self.minutes.get(f"{order.coin}/{order.quote}")
        due = at + latency
        k = -1 if candles is None else int(np.searchsorted(candles.time, due))
        if candles is None or k >= len(candles) or int(candles.time[k]) - due > _LATE:
            raise InvalidSignalError(
                f"it buys at market, and there is no candle of 1m of {order.coin}/{order.quote} after it: give them with --market"
            )
        worst = candles.high[k] if order.side > 0 else candles.low[k]
        bounds = sorted({float(candles.open[k]), float(worst)})
        return replace(order, entries=tuple(bounds), is_range=len(bounds) > 1)
