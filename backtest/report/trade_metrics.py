"""Statistics of trades: closed ones judged, open ones listed apart (L12.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.report.statistic import FEW, VERY_FEW, Statistic

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["few", "trade_rows"]

_TRADES = {
    "trades": ("Trades closed", "count", "trades whose position went back to zero"),
    "open_trades": ("Trades open", "count", "positions at the last close, in no figure below except costs"),
    "win_rate": ("Win rate", "fraction", "closed trades with PnL above 0 over closed trades, after fees and funding"),
    "average_return": ("Average return", "return", "mean over closed trades of PnL over the margin committed"),
    "weighted_return": (
        "Average return, weighted",
        "return",
        "sum of PnL over sum of the margins committed, of closed trades: large ones count for more",
    ),
    "median_return": ("Median return", "return", "median over closed trades of PnL over the margin committed"),
    "best_return": ("Best trade", "return", "highest PnL over margin of a closed trade"),
    "worst_return": ("Worst trade", "return", "lowest PnL over margin of a closed trade"),
    "profit_factor": ("Profit factor", "ratio", "sum of gains over sum of losses of closed trades"),
    "expectancy": ("Expectancy", "gain", "mean PnL of a closed trade, after fees and funding"),
    "average_holding": ("Average holding time", "ms", "mean time from entry to exit of closed trades, by candle"),
    "fees": ("Fees", "money", "paid at all fills, those of open trades included"),
    "funding": ("Funding", "money", "paid (above 0) or received (below 0) on all positions"),
    "ambiguous_trades": ("Ambiguous trades", "count", "trades with a fill that another reading of its candle changes"),
}


def trade_rows(trades: pd.DataFrame) -> list[Statistic]:
    """Return the statistics of the trades; averages are None, with the reason, where there is nothing to average."""
    closed = trades[~trades["open"].to_numpy(bool)]
    figures, reason = _figures(trades, closed), {}
    if len(closed) == 0:
        reason = {key: "no trade was closed" for key, one in figures.items() if one is None}
    elif figures["profit_factor"] is None:
        reason = {"profit_factor": "no closed trade lost"}
    return [
        Statistic(
            key,
            label,
            figures[key],
            unit,
            definition,
            "Trades",
            reason=reason.get(key, ""),
            note=few(len(closed)) if key == "trades" else "",
        )
        for key, (label, unit, definition) in _TRADES.items()
    ]


def few(closed: int) -> str:
    """Return how little so many closed trades say; empty for enough."""
    if closed >= FEW:
        return ""
    return f"under {VERY_FEW}: says next to nothing" if closed < VERY_FEW else f"under {FEW}: says little"


def _figures(trades: pd.DataFrame, closed: pd.DataFrame) -> dict[str, float | None]:
    pnl, gained = closed["pnl"].to_numpy(np.float64), closed["return"].to_numpy(np.float64)
    held = (closed["exit_time"] - closed["entry_time"]).to_numpy(np.float64)
    committed = float(closed["margin"].sum())
    losses = -float(pnl[pnl < 0.0].sum())
    return {
        "trades": len(closed),
        "open_trades": len(trades) - len(closed),
        "win_rate": _over(np.mean, (pnl > 0.0).astype(np.float64)),
        "average_return": _over(np.mean, gained),
        "weighted_return": float(pnl.sum()) / committed if committed > 0.0 else None,
        "median_return": _over(np.median, gained),
        "best_return": _over(np.max, gained),
        "worst_return": _over(np.min, gained),
        "profit_factor": float(pnl[pnl > 0.0].sum()) / losses if losses > 0.0 else None,
        "expectancy": _over(np.mean, pnl),
        "average_holding": _over(np.mean, held),
        "fees": float(trades["fees"].sum()),
        "funding": float(trades["funding"].sum()),
        "ambiguous_trades": int(trades["ambiguous"].to_numpy(bool).sum()),
    }


def _over(figure: Callable[[Floats], np.floating], values: Floats) -> float | None:
    return float(figure(values)) if len(values) else None
