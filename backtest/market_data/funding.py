"""Funding: the rates that a perpetual charged, for L13.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import DTypeLike, NDArray

__all__ = ["FundingRates"]


@dataclass(frozen=True, slots=True)
class FundingRates:
    """Funding rates of one symbol, oldest first.

    Attributes
    ----------
    symbol, exchange
        ``"BTC/USDT:USDT"``, ``"binance"``.
    time
        (n,) int64, when they were charged, UTC ms, ascending; not always 8 h apart.
    rate
        (n,) float64, fraction of the notional; a long pays a positive one.
    """

    symbol: str
    time: NDArray[np.int64]
    rate: NDArray[np.float64]
    exchange: str = ""

    def __len__(self) -> int:
        return len(self.time)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[np.float64]:  # noqa: FBT001
        """Return (n, 2) float64, time and rate, as ``run(..., funding=...)`` takes it."""
        import numpy as np

        return np.column_stack([self.time, self.rate]).astype(dtype or np.float64, copy=bool(copy))

    def to_pandas(self) -> pd.Series:
        """Return the rates indexed by their UTC time."""
        import pandas as pd

        index = pd.DatetimeIndex(self.time.view("M8[ms]"), tz="UTC", name="time")
        return pd.Series(self.rate, index=index, name="rate")
