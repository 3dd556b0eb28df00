"""Funding: rates that were given beside candles, checked against them before a run charges them (L13.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.model.candles import Candles

__all__ = ["funding_table"]

_DAY = 86_400_000


def funding_table(rows: Any, candles: Candles) -> NDArray[np.float64]:
    """Return funding rates as the engine takes them.

    Parameters
    ----------
    rows
        (k, 2): time in UTC ms, ascending, and rate as a fraction of the notional.
    candles
        Beside which they are charged.

    Returns
    -------
    ndarray
        (k, 2) float64.

    Raises
    ------
    InvalidSettingError
        For another shape, and for times of which none belongs to the candles: they would be charged as 0 in silence.
    """
    symbol = candles.symbol
    try:
        table = np.asarray(rows, np.float64)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.size == 0 and table.ndim == 2:
        return np.empty((0, 2))
    if table.ndim != 2 or table.shape[1] != 2:
        raise InvalidSettingError(f"funding of {symbol} is a list of [time in ms, rate], was {str(rows)[:60]}")
    if not np.isfinite(table).all() or (np.diff(table[:, 0]) <= 0).any():
        raise InvalidSettingError(f"funding of {symbol} needs finite rates at ascending times (UTC ms)")
    if len(candles) and (table[0, 0] > candles.close_time[-1] or table[-1, 0] < candles.time[0] - _DAY):
        raise InvalidSettingError(
            f"funding of {symbol} lies from {_when(table[0, 0])} to {_when(table[-1, 0])} in UTC milliseconds, its candles "
            f"from {_when(candles.time[0])} to {_when(candles.close_time[-1])}: none of it would be charged"
        )
    return table


def _when(moment: float) -> str:
    try:
        return f"{np.datetime64(int(moment), 'ms').astype('M8[m]')}Z"
    except (OverflowError, ValueError):
        return f"{moment:g}"
