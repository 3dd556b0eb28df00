"""Curve: the equity of a run at its closes, or what it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine import native

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Curve"]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Equity at closes, of which most callers need a few only.

    Attributes
    ----------
    points
        (n,) equity at each close, quote currency; None where it is not written.
    close
        (n,) the closes of an only market, quote currency; empty where there are points.
    made_of
        (k,) of ``STRETCH``: equity is ``fixed + units * close`` from each ``row`` on, the first of which is 0; empty likewise.
    """

    points: Floats | None
    close: Floats
    made_of: NDArray[Any]

    def __len__(self) -> int:
        return len(self.close if self.points is None else self.points)

    def at(self, rows: NDArray[np.int64]) -> Floats:
        """Return equity at some of the closes.

        Parameters
        ----------
        rows
            (m,) int64: positions of the closes.
        """
        if self.points is not None:
            return self.points[rows]
        noted = self.made_of[self.made_of["row"].searchsorted(rows, "right") - 1]
        fixed, units = noted["fixed"], noted["units"]
        return np.where(units == 0.0, fixed, fixed + units * self.close[rows])

    @property
    def final(self) -> float:
        """Equity at the last close, quote currency."""
        return float(self.at(np.array([len(self) - 1]))[0])

    def values(self) -> Floats:
        """(n,) float64: equity at each close, quote currency."""
        if self.points is not None:
            return self.points
        values = np.empty(len(self))
        self.write(values, 0)
        return values

    def write(self, values: Floats, low: int) -> None:
        """Write equity at each close of an only market from a row on.

        Parameters
        ----------
        values
            (n or more,) float64, contiguous; what lies before and behind is left.
        low
            Position of the first close.
        """
        made_of, close = self.made_of, self.close
        native.write_stretches(
            made_of.ctypes.data, len(made_of), close.ctypes.data, values.ctypes.data, low, len(close)
        )
