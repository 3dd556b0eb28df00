"""Grouped trades: closed trades by how they ended, by side, symbol, target, hour and the like, and their distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.model.events import EventKind
from backtest.report.daily import DAY
from backtest.report.positions import positions_of
from backtest.report.titled import frame_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from backtest.report.tables import ResultTables

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = [
    "by_added",
    "by_exit",
    "by_hour",
    "by_side",
    "by_symbol",
    "by_target",
    "by_weekday",
    "distribution",
    "holding_bins",
    "return_bins",
    "streak_lengths",
    "streaks",
    "winners_losers",
]

_HOUR = DAY // 24
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SPANS = (
    ("under 1 h", _HOUR),
    ("1 to 4 h", 4 * _HOUR),
    ("4 to 24 h", DAY),
    ("1 to 3 days", 3 * DAY),
    ("3 to 7 days", 7 * DAY),
    ("7 to 30 days", 30 * DAY),
    ("30 days and more", None),
)
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_BINS = 12
"""At most so many bars of the distribution of returns."""


def closed_of(tables: ResultTables) -> pd.DataFrame:
    """Return the closed trades in the order of their ends."""
    closed = tables.trades[~tables.trades["open"].to_numpy(bool)]
    return closed.sort_values("exit_time", kind="stable")


def grouped(closed: pd.DataFrame, labels: Sequence[Any], order: Sequence[Any], name: str) -> pd.DataFrame:
    """Return the figures of closed trades by a label.

    Parameters
    ----------
    closed
        The closed trades.
    labels
        One a trade.
    order
        The labels in the order in which they are shown; those without a trade are left out.
    name
        Of the column of labels.

    Returns
    -------
    DataFrame
        ``trades``, ``share`` of all closed trades, ``win_rate`` (PnL above 0), ``pnl`` (sum, quote currency, after costs),
        ``average_return`` (mean of PnL over margin), ``profit_factor`` (gains over losses, ``<NA>`` where none lost) and
        ``average_holding`` (ms).
    """
    tags = np.array([*labels, ""], object)[:-1]
    pnl, gained = closed["pnl"].to_numpy(np.float64), closed["return"].to_numpy(np.float64)
    held = (closed["exit_time"] - closed["entry_time"]).to_numpy(np.float64)
    rows: dict[str, list[Any]] = {
        key: []
        for key in (name, "trades", "share", "win_rate", "pnl", "average_return", "profit_factor", "average_holding")
    }
    for label in order:
        own = tags == label
        if not own.any():
            continue
        lost = -float(pnl[own & (pnl < 0.0)].sum())
        values = (
            label,
            int(own.sum()),
            float(own.mean()),
            float((pnl[own] > 0.0).mean()),
            float(pnl[own].sum()),
            float(gained[own].mean()),
            float(pnl[own & (pnl > 0.0)].sum()) / lost if lost > 0.0 else None,
            float(held[own].mean()),
        )
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
    return frame_of(rows, optional=("profit_factor",))


def by_exit(tables: ResultTables) -> pd.DataFrame:
    """Return closed trades by the fill that ended them: ``target_hit``, ``stop_hit``, ``trailing_hit`` and so on."""
    closed = closed_of(tables)
    return grouped(closed, closed["exit"].to_list(), [kind.value for kind in EventKind], "exit")


def by_side(tables: ResultTables) -> pd.DataFrame:
    """Return closed trades by side, long and short."""
    closed = closed_of(tables)
    return grouped(closed, np.where(closed["side"] > 0, "long", "short").tolist(), ("long", "short"), "side")


def by_symbol(tables: ResultTables) -> pd.DataFrame:
    """Return closed trades by symbol."""
    closed = closed_of(tables)
    return grouped(closed, closed["symbol"].to_list(), tables.symbols, "symbol")


def by_weekday(tables: ResultTables) -> pd.DataFrame:
    """Return closed trades by the weekday (UTC) on which their position began."""
    closed = closed_of(tables)
    days = (closed["entry_time"].to_numpy(np.int64) // DAY + 3) % 7  # the epoch began on a Thursday
    return grouped(closed, [_WEEKDAYS[day] for day in days.tolist()], _WEEKDAYS, "weekday")


def by_hour(tables: ResultTables) -> pd.DataFrame:
    """Return closed trades by the hour (UTC) in which their position began, from 0 to 23."""
    closed = closed_of(tables)
    hours = closed["entry_time"].to_numpy(np.int64) // _HOUR % 24
    return grouped(closed, hours.tolist(), range(24), "hour")


def by_target(tables: ResultTables) -> pd.DataFrame:
    """Return the targets by their number: how often each was sold at, and what that realised.

    ``reached``: sales at this target; ``share``: trades with one, over all trades; ``realised``: sum of side x (price -
    average entry) x quantity of these sales, quote currency, before costs.
    """
    positions, fills = positions_of(tables), tables.fills
    is_target = (fills["kind"] == EventKind.TARGET_HIT.value).to_numpy(bool)[positions.fill]
    number = fills["target"].to_numpy(np.int64)[positions.fill]
    rows: dict[str, list[Any]] = {"target": [], "reached": [], "share": [], "realised": []}
    for target in np.unique(number[is_target]).tolist():
        own = is_target & (number == target)
        rows["target"].append(int(target))
        rows["reached"].append(int(own.sum()))
        rows["share"].append(len(np.unique(positions.trade[own])) / len(tables.trades))
        rows["realised"].append(float(positions.realised[own].sum()))
    return frame_of(rows)


def by_added(tables: ResultTables, kind: EventKind) -> pd.DataFrame:
    """Return closed trades by how often a DCA or a rebuy added to them.

    Parameters
    ----------
    tables
        The result.
    kind
        ``EventKind.DCA_FILLED`` or ``EventKind.REBOUGHT``.
    """
    positions, closed = positions_of(tables), closed_of(tables)
    own = (tables.fills["kind"] == kind.value).to_numpy(bool)[positions.fill]
    counts = np.bincount(positions.trade[own], minlength=len(tables.trades))
    place = np.flatnonzero(~tables.trades["open"].to_numpy(bool))
    place = place[np.argsort(tables.trades["exit_time"].to_numpy(np.int64)[place], kind="stable")]
    return grouped(closed, counts[place].tolist(), sorted(set(counts[place].tolist())), "fills")


def winners_losers(tables: ResultTables, moved: pd.DataFrame) -> pd.DataFrame:
    """Return winners (PnL above 0), losers (below 0) and trades that broke even, apart.

    Parameters
    ----------
    tables
        The result.
    moved
        Of :func:`backtest.report.excursions.excursions`.

    Returns
    -------
    DataFrame
        ``trades``; ``pnl`` and ``average_pnl`` (quote currency, after costs); ``average_return``, ``median_return``,
        ``best``, ``worst`` (PnL over margin); ``average_holding`` (ms); ``average_mae``, ``average_mfe`` (fractions of
        the price).
    """
    trades, closed = tables.trades, ~tables.trades["open"].to_numpy(bool)
    pnl, gained = trades["pnl"].to_numpy(np.float64), trades["return"].to_numpy(np.float64)
    held = (trades["exit_time"] - trades["entry_time"]).to_numpy(np.float64)
    adverse, favourable = moved["mae"].to_numpy(np.float64), moved["mfe"].to_numpy(np.float64)
    rows: list[dict[str, Any]] = []
    for label, some in (("winners", pnl > 0.0), ("losers", pnl < 0.0), ("even", pnl == 0.0)):
        own = some & closed
        if own.any():
            rows.append(
                {
                    "trades_that": label,
                    "trades": int(own.sum()),
                    "pnl": float(pnl[own].sum()),
                    "average_pnl": float(pnl[own].mean()),
                    "average_return": float(gained[own].mean()),
                    "median_return": float(np.median(gained[own])),
                    "best": float(gained[own].max()),
                    "worst": float(gained[own].min()),
                    "average_holding": float(held[own].mean()),
                    "average_mae": float(adverse[own].mean()),
                    "average_mfe": float(favourable[own].mean()),
                }
            )
    names = list(rows[0]) if rows else ["trades_that", "trades"]
    return frame_of({name: [row[name] for row in rows] for name in names})


def streak_lengths(won: Bools) -> list[tuple[bool, int]]:
    """Return the runs of equal outcomes in their order: whether they won, and how long they are."""
    if len(won) == 0:
        return []
    begins = np.flatnonzero(np.r_[True, won[1:] != won[:-1]])
    lengths = np.diff(np.r_[begins, len(won)])
    return [(bool(won[k]), int(n)) for k, n in zip(begins, lengths, strict=True)]


def streaks(tables: ResultTables) -> pd.DataFrame:
    """Return the runs of winners (PnL above 0) and of the others, in the order in which trades ended.

    ``runs``; ``longest`` and ``average`` (trades); ``now``: length of the run with which the candles ended, 0 where that is
    one of the other kind.
    """
    runs = streak_lengths((closed_of(tables)["pnl"] > 0.0).to_numpy(bool))
    rows: dict[str, list[Any]] = {"streak": [], "runs": [], "longest": [], "average": [], "now": []}
    for label, wins in (("winners", True), ("losers", False)):
        own = [length for won, length in runs if won is wins]
        if own:
            values = (label, len(own), max(own), sum(own) / len(own), runs[-1][1] if runs[-1][0] is wins else 0)
            for column, value in zip(rows.values(), values, strict=True):
                column.append(value)
    return frame_of(rows)


def return_bins(tables: ResultTables) -> pd.DataFrame:
    """Return how the returns of closed trades (PnL over margin) are spread: ``low <= return < high``, the last one closed.

    Bars of one round width, at most twelve, one bound at 0.
    """
    gained = closed_of(tables)["return"].to_numpy(np.float64)
    rows: dict[str, list[Any]] = {"low": [], "high": [], "trades": [], "share": []}
    if len(gained):
        edges = _edges(float(gained.min()), float(gained.max()))
        counts = np.histogram(gained, edges)[0]
        rows = {
            "low": edges[:-1].tolist(),
            "high": edges[1:].tolist(),
            "trades": counts.tolist(),
            "share": (counts / len(gained)).tolist(),
        }
    return frame_of(rows)


def _edges(low: float, high: float) -> Floats:
    """Return the bounds of bars that hold all values, multiples of one round width."""
    spread = max(high - low, abs(high), abs(low), 1e-6)
    raw = spread / (_BINS - 2)
    unit = 10.0 ** np.floor(np.log10(raw))
    width = next(unit * step for step in (1.0, 2.0, 2.5, 5.0, 10.0) if unit * step >= raw * (1.0 - 1e-12))
    first, last = np.floor(low / width), np.floor(high / width) + 1.0
    edges: Floats = np.arange(first, last + 1.0) * width
    return edges


def holding_bins(tables: ResultTables) -> pd.DataFrame:
    """Return how the holding times of closed trades are spread, from the candle of the entry to that of the exit."""
    closed = closed_of(tables)
    held = (closed["exit_time"] - closed["entry_time"]).to_numpy(np.int64)
    labels = [name for name, _ in _SPANS]
    limits = [limit for _, limit in _SPANS if limit is not None]
    place = np.searchsorted(limits, held, "right")
    return grouped(closed, [labels[k] for k in place.tolist()], labels, "held")


def distribution(tables: ResultTables, moved: pd.DataFrame) -> pd.DataFrame:
    """Return quantiles of closed trades: ``return``, ``pnl``, ``holding`` (ms), ``mae``, ``mfe`` and ``r``.

    Quantiles lie between values linearly. R is ``<NA>`` where no trade had a stop to measure it by.

    Parameters
    ----------
    tables
        The result.
    moved
        Of :func:`backtest.report.excursions.excursions`.
    """
    trades, closed = tables.trades, ~tables.trades["open"].to_numpy(bool)
    if not closed.any():
        return frame_of({"quantile": []})
    risked = moved["r"].to_numpy(np.float64, na_value=np.nan)[closed]
    risked = risked[np.isfinite(risked)]
    values = {
        "return": trades["return"].to_numpy(np.float64)[closed],
        "pnl": trades["pnl"].to_numpy(np.float64)[closed],
        "holding": (trades["exit_time"] - trades["entry_time"]).to_numpy(np.float64)[closed],
        "mae": moved["mae"].to_numpy(np.float64)[closed],
        "mfe": moved["mfe"].to_numpy(np.float64)[closed],
    }
    columns: dict[str, Any] = {"quantile": list(_QUANTILES)}
    columns |= {name: np.quantile(column, _QUANTILES).tolist() for name, column in values.items()}
    columns["r"] = np.quantile(risked, _QUANTILES).tolist() if len(risked) else [None] * len(_QUANTILES)
    return frame_of(columns, optional=("r",))
