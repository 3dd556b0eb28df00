"""Interval: the total return under the three readings of a candle's inside (L2.3)."""

from __future__ import annotations

from typing import NamedTuple

from backtest.report import text

__all__ = ["MODES", "Interval"]

MODES = ("pessimistic", "candle", "optimistic")
"""The three readings of a candle's inside (L2.2)."""


class Interval(NamedTuple):
    """The total return under the three intrabar modes, each a run of its own, as fractions.

    The interval is the lowest and the highest of the three: with tight trailing stops the mode called pessimistic can be
    the highest.
    """

    pessimistic: float
    candle: float
    optimistic: float

    @property
    def lowest(self) -> float:
        """The lower bound."""
        return min(self)

    @property
    def highest(self) -> float:
        """The upper bound."""
        return max(self)

    @property
    def by_return(self) -> list[str]:
        """The modes, that with the lowest return first."""
        return sorted(MODES, key=lambda mode: self._asdict()[mode])

    def shown(self, mode: str, digits: int = 2) -> str:
        """Return the interval as people read it, lowest first.

        Parameters
        ----------
        mode
            The run's own; a bound that is not its return names the modes that have it.
        digits
            After the point of a percent.
        """
        own = self._asdict()[mode]

        def percent(one: float) -> str:
            return text.percent(one, signed=True, digits=digits)

        if self.lowest == self.highest:
            return f"{percent(own)} in every reading of the candles"
        bounds = " to ".join(f"{percent(bound)}{self._named(bound, own)}" for bound in self.bounds)
        between = "" if own in self.bounds else f", {mode} {percent(own)}"
        return bounds + between

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest."""
        return self.lowest, self.highest

    def _named(self, bound: float, own: float) -> str:
        named = [mode for mode, value in self._asdict().items() if value == bound]
        return "" if bound == own else f" ({' and '.join(named)})"
