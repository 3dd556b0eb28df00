"""Through time: the account by month, its worst drawdowns, how much of it was invested, and what was never bought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.report.daily import daily_equity
from backtest.report.equity import drawdowns, equity_path
from backtest.report.held import held_rows, opens_of
from backtest.report.signal_metrics import signals_of
from backtest.report.titled import frame_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from backtest.report.equity import EquityPath
    from backtest.report.tables import ResultTables

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = ["MONTHS", "exposure_by_month", "month_returns", "unfilled_signals", "worst_drawdowns"]

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def month_returns(tables: ResultTables) -> pd.DataFrame:
    """Return the return of each UTC month, a row a year: equity at its end over equity at its beginning, less 1.

    The first month begins with the initial balance, the first and the last may be parts of one. ``year`` is the column
    of the year's own return, which compounds the months. ``<NA>`` outside the candles, and once equity is gone.
    """
    path = equity_path(tables)
    ends, values = daily_equity(path.time, path.close)
    columns: dict[str, list[Any]] = {"of": []} | {name: [] for name in (*MONTHS, "year")}
    if len(values):
        month = (ends - 1).view("M8[ms]").astype("M8[M]").astype(np.int64)
        last = np.flatnonzero(np.r_[month[1:] != month[:-1], True])
        level = np.r_[tables.balance, values[last]]
        made = {int(m): _change(a, b) for m, a, b in zip(month[last], level[:-1], level[1:], strict=True)}
        for year in range(int(month[0]) // 12, int(month[-1]) // 12 + 1):
            own = [made.get(12 * year + k) for k in range(12)]
            inside = np.flatnonzero(month[last] // 12 == year)
            columns["of"].append(1970 + year)
            for name, value in zip(MONTHS, own, strict=True):
                columns[name].append(value)
            columns["year"].append(_change(level[inside[0]], level[inside[-1] + 1]))
    return frame_of(columns, optional=(*MONTHS, "year"))


def _change(before: float, after: float) -> float | None:
    return float(after / before - 1.0) if before > 0.0 else None


def worst_drawdowns(tables: ResultTables, most: int = 5) -> pd.DataFrame:
    """Return the deepest drawdowns, each a stretch in which equity lay below its highest close so far.

    Equity counts at every close, and at the worst price of each candle for what was held all through it, as in the
    statistic of the largest one. ``high`` is the close from which it fell, ``low`` the close of its deepest candle,
    ``regained`` the close that was there again (NaT: not until the end); ``depth`` a fraction below the high; ``fell``,
    ``lasted`` and ``recovered`` are the times from high to low, from high to the end of the drawdown, and from low to it.

    Parameters
    ----------
    tables
        The result.
    most
        How many are listed, the deepest first.
    """
    import pandas as pd

    path = equity_path(tables)
    depth, n = drawdowns(tables.balance, path.close, path.worst), len(path.time)
    before = (
        np.maximum(np.r_[tables.balance, np.maximum.accumulate(path.close)[:-1]], tables.balance) if n else path.close
    )
    ends = np.flatnonzero(path.close >= before)  # a close that is there again ends what fell before it
    first = np.unique(np.r_[0, ends + 1])
    first = first[first < n]
    deepest = np.minimum.reduceat(depth, first) if n else depth
    order = np.lexsort((first, deepest))[:most]
    order = order[deepest[order] < 0.0]
    after = np.r_[first[1:], n][order] - 1  # the last row of each
    first = first[order]
    low = np.array([a + int(np.argmin(depth[a : b + 1])) for a, b in zip(first, after, strict=True)], np.int64)
    instants = np.r_[tables.span[0], path.time]  # of row k: k + 1
    over = ~np.isin(after, ends)
    high_at, low_at, end = instants[first], path.time[low], path.time[after]
    regained = end.view("M8[ms]").copy()
    regained[over] = np.datetime64("NaT")
    return pd.DataFrame(
        {
            "depth": depth[low],
            "high": pd.DatetimeIndex(high_at.view("M8[ms]"), tz="UTC"),
            "low": pd.DatetimeIndex(low_at.view("M8[ms]"), tz="UTC"),
            "regained": pd.DatetimeIndex(regained, tz="UTC"),
            "fell": low_at - high_at,
            "lasted": end - high_at,
            "recovered": frame_of({"x": np.where(over, np.nan, end - low_at)}, optional=("x",))["x"],
        }
    )


def exposure_by_month(tables: ResultTables, path: EquityPath | None = None) -> pd.DataFrame:
    """Return how much was at stake in each UTC month.

    ``held``: share of candles in which a position was held at some time; ``invested`` and ``most_invested``: mean and
    highest notional of the positions over equity, at the closes; ``entered``: trades that began.

    Parameters
    ----------
    tables
        The result.
    path
        Its equity, where it is known already.
    """
    import pandas as pd

    path = equity_path(tables) if path is None else path
    line = opens_of(tables)
    if len(line) == 0:
        return frame_of({"month": []})
    held, month = held_rows(tables, line), _month(line)
    closed_in = _month(path.time - 1)
    entered = _month(tables.trades["entry_time"].to_numpy(np.int64))
    rows: dict[str, list[Any]] = {"month": [], "held": [], "invested": [], "most_invested": [], "entered": []}
    for one in np.unique(month).tolist():
        own = path.invested[closed_in == one]
        rows["month"].append(pd.Timestamp(np.datetime64(one, "M")).strftime("%Y-%m"))
        rows["held"].append(float(held[month == one].mean()))
        rows["invested"].append(float(own.mean()) if len(own) else 0.0)
        rows["most_invested"].append(float(own.max()) if len(own) else 0.0)
        rows["entered"].append(int((entered == one).sum()))
    return frame_of(rows)


def _month(time: Integers) -> Integers:
    months: Integers = time.view("M8[ms]").astype("M8[M]").astype(np.int64)
    return months


def unfilled_signals(tables: ResultTables) -> pd.DataFrame:
    """Return the signals that bought nothing, by what became of them and why.

    ``became``: refused (as a create), expired, invalidated (its stop was reached first), canceled, waiting at the end, or
    pending (no candle to act on); ``signals``; ``share`` of all signals sent; ``first`` and ``last``: when they were made,
    UTC.
    """
    import pandas as pd

    found, events = signals_of(tables), tables.events
    last = dict(zip(events["signal"], events["kind"], strict=True))
    seen: dict[tuple[str, str], list[int]] = {}
    for k, name in enumerate(found.names):
        if found.filled[k]:
            continue
        if found.refused[k]:
            key = ("refused", found.reason[k])
        else:
            key = ("waiting at the end" if found.lives[k] else str(last[name]), "")
        seen.setdefault(key, []).append(int(found.made[k]))
    acted = set(found.names)
    creates = [call for call in tables.calls if str(call.get("path", "")).endswith("/signal")]
    pending = [int(call["at"]) for call in creates if str(call.get("ref")) not in acted]
    if pending:
        seen["pending", "no candle followed on which it could act"] = pending
    total = len(acted) + len(pending)
    keys = sorted(seen, key=lambda key: (-len(seen[key]), key))
    stamps = np.array([[min(seen[key]), max(seen[key])] for key in keys], np.int64).reshape(-1, 2)
    return pd.DataFrame(
        {
            "became": [became for became, _ in keys],
            "why": [why for _, why in keys],
            "signals": np.array([len(seen[key]) for key in keys], np.int64),
            "share": np.array([len(seen[key]) / total for key in keys], np.float64),
            "first": pd.DatetimeIndex(np.ascontiguousarray(stamps[:, 0]).view("M8[ms]"), tz="UTC"),
            "last": pd.DatetimeIndex(np.ascontiguousarray(stamps[:, 1]).view("M8[ms]"), tz="UTC"),
        }
    )
