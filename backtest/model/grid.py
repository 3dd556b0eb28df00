"""Grid: the tick of a price or the step of a quantity, and the one way to round to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, overload

import numpy as np

from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TOLERANCE", "Grid", "decimal_text"]

TOLERANCE = 1e-6
"""A value within this share of a tick is on the tick (L3.6)."""

_DIGITS = 18  # beyond, numbers as floats do not count single ticks


@dataclass(frozen=True, slots=True)
class Grid:
    """The multiples of a decimal number: a market's price tick or quantity step (L3.6).

    A grid value is computed as ``n * mantissa / scale`` with integers, and a division of two exact doubles is correctly
    rounded: the result *is* the double nearest to the decimal number, so ``repr`` prints it without float noise.

    Attributes
    ----------
    size
        The distance between two values as decimal text, ``"0.01"``; ``"0"`` rounds nothing.
    mantissa, scale
        ``size == mantissa / scale``, both integers held as floats; ``mantissa`` 0 for no grid.

    Raises
    ------
    InvalidSettingError
        Unless ``size`` is a finite decimal number that is not negative.
    """

    size: str
    mantissa: float = field(init=False)
    scale: float = field(init=False)

    def __post_init__(self) -> None:
        try:
            value = Decimal(self.size)
        except (InvalidOperation, TypeError, ValueError):
            value = Decimal("nan")
        if not value.is_finite() or value < 0:
            raise InvalidSettingError(
                f'a tick or step is a decimal number of at least 0, such as "0.01", was {self.size!r}'
            )
        exponent = int(value.normalize().as_tuple().exponent)
        if value and not (exponent >= -_DIGITS and value.adjusted() <= _DIGITS):
            raise InvalidSettingError(
                f"a tick or step lies between 1e-{_DIGITS} and 1e{_DIGITS}, was {self.size[:40]!r}"
            )
        places = max(0, -exponent)
        object.__setattr__(self, "mantissa", float(int(value.scaleb(places))))
        object.__setattr__(self, "scale", float(10**places))

    @overload
    def down(self, value: float) -> float: ...
    @overload
    def down(self, value: NDArray[np.float64]) -> NDArray[np.float64]: ...
    def down(self, value: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
        """Return the nearest grid value at or below ``value``."""
        if self.mantissa == 0.0:
            return value
        if isinstance(value, np.ndarray):
            return np.floor(value * self.scale / self.mantissa + TOLERANCE) * self.mantissa / self.scale
        return math.floor(value * self.scale / self.mantissa + TOLERANCE) * self.mantissa / self.scale

    @overload
    def up(self, value: float) -> float: ...
    @overload
    def up(self, value: NDArray[np.float64]) -> NDArray[np.float64]: ...
    def up(self, value: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
        """Return the nearest grid value at or above ``value``."""
        if self.mantissa == 0.0:
            return value
        if isinstance(value, np.ndarray):
            return np.ceil(value * self.scale / self.mantissa - TOLERANCE) * self.mantissa / self.scale
        return math.ceil(value * self.scale / self.mantissa - TOLERANCE) * self.mantissa / self.scale


def decimal_text(value: float) -> str:
    """Return the shortest decimal text of a float, never with an exponent: ``0.00000123``, ``65000``.

    The text reads back to the same float.
    """
    text = format(Decimal(repr(float(value))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
