"""SignalTable: the creates of many closes as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["SignalTable"]

_NUMBERS = (
    "entry_price_max",
    "entry_price_min",
    "entry_price_mid",
    "stop_loss",
    "invest",
    "invest_entry_min",
    "invest_entry_mid",
    "invest_entry_max",
    "leverage",
    "ttl_buy_order",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class SignalTable:
    """Creates computed at once: one row a create, in order of time.

    Attributes
    ----------
    at
        (k,) int, positions of the deciding candles, ascending; or (n,) bool, one flag a candle. A create decided at the
        close of candle *t* acts from the open of *t + 1*.
    entry_price_max, entry_price_min, entry_price_mid, stop_loss, invest, invest_entry_min, invest_entry_mid, invest_entry_max, leverage, ttl_buy_order
        A number for all rows, or (k,) float64, one a row. None leaves the field out. Units as in
        :class:`backtest.model.calls.CreateSignal`.
    targets
        One number or (k,) column for each target.
    side
        ``"long"`` or ``"short"`` for all rows, or (k,) of +1 and -1.
    while_open
        ``"skip"``: a create is made only where no signal of the symbol lives, pending ones included. ``"stack"``: always.
    account, margin_type, version, allow_no_stop
        For all rows.
    """

    at: ArrayLike
    entry_price_max: ArrayLike
    targets: tuple[ArrayLike, ...]
    invest: ArrayLike
    stop_loss: ArrayLike | None = None
    entry_price_min: ArrayLike | None = None
    entry_price_mid: ArrayLike | None = None
    invest_entry_min: ArrayLike | None = None
    invest_entry_mid: ArrayLike | None = None
    invest_entry_max: ArrayLike | None = None
    leverage: ArrayLike | None = None
    ttl_buy_order: ArrayLike | None = None
    side: ArrayLike = "long"
    while_open: Literal["skip", "stack"] = "skip"
    account: Literal["SPOT", "MARGIN", "FUTURES"] | None = None
    margin_type: Literal["ISOLATED", "CROSS"] | None = None
    version: Literal[1, 2] = 2
    allow_no_stop: bool = False

    def __post_init__(self) -> None:
        at = np.asarray(self.at)
        if at.dtype == np.bool_:
            at = np.flatnonzero(at)
        if at.ndim != 1 or not np.issubdtype(at.dtype, np.integer):
            raise InvalidSettingError("SignalTable.at is a column of candle positions or of true and false")
        if len(at) > 1 and (at[1:] < at[:-1]).any():
            raise InvalidSettingError("SignalTable.at needs ascending positions")
        object.__setattr__(self, "at", at.astype(np.int64, copy=False))
        if self.while_open not in ("skip", "stack"):
            raise InvalidSettingError(f'while_open is "skip" or "stack", was {self.while_open!r}')
        for name in _NUMBERS:
            self.column(name)
        for number in range(len(self.targets)):
            self.target(number)
        self.sides()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def rows(self) -> NDArray[np.int64]:
        """(k,) int64, positions of the deciding candles."""
        return self.at  # type: ignore[return-value]

    def column(self, name: str) -> NDArray[np.float64] | float | None:
        """Return a field as one number, as (k,) float64, or None where it is left out."""
        return self._sized(name, getattr(self, name))

    def target(self, number: int) -> NDArray[np.float64] | float | None:
        """Return target ``number`` (from 0) likewise."""
        return self._sized(f"targets[{number}]", self.targets[number])

    def sides(self) -> NDArray[np.int64] | int:
        """Return +1 or -1 for all rows, or (k,) of them."""
        if isinstance(self.side, str):
            if self.side not in ("long", "short"):
                raise InvalidSettingError(f'side is "long" or "short", was {self.side!r}')
            return 1 if self.side == "long" else -1
        sides = np.asarray(self.side, np.int64)
        if sides.shape != self.rows.shape or not np.isin(sides, (1, -1)).all():
            raise InvalidSettingError("a column of sides has one +1 or -1 for each row")
        return sides

    def row(self, k: int) -> dict[str, Any]:
        """Return the numbers of one row, by field, as Python values."""
        values: dict[str, Any] = {name: _item(self.column(name), k) for name in _NUMBERS}
        values["targets"] = tuple(_item(self.target(number), k) for number in range(len(self.targets)))
        side = self.sides()
        values["side"] = int(side if isinstance(side, int) else side[k])
        return values

    def _sized(self, name: str, value: ArrayLike | None) -> NDArray[np.float64] | float | None:
        if value is None:
            return None
        if isinstance(value, int | float):
            return float(value)
        column = np.asarray(value, np.float64)
        if column.ndim == 0:
            return float(column)
        if column.shape != self.rows.shape:
            raise InvalidSettingError(
                f"SignalTable.{name} has {column.shape} values for {len(self.rows)} rows; select them with [at]"
            )
        return column


def _item(column: NDArray[np.float64] | float | None, k: int) -> float | None:
    return column if column is None or isinstance(column, float) else float(column[k])
