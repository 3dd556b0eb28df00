"""Shown: the tables of a sweep as they are printed and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError, StorageError, did_you_mean
from backtest.report import text
from backtest.report.daily import simple_returns
from backtest.report.statistic import SHORT
from backtest.report.yearly import sharpe
from backtest.study.measured import FIGURES

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "COLUMNS",
    "SELECTED",
    "check_settings",
    "highest",
    "ranked",
    "require_figure",
    "save_tables",
    "sharpe_of_days",
    "shown",
    "top",
]

COLUMNS = (*FIGURES, "sharpe")
"""What rows are ranked by."""

SELECTED = (
    "A best row is picked after the fact: the more rows are tried, the better the best looks by chance alone (multiple "
    "testing). Judge it on candles that had no part in the choice."
)
_SHOWN = 10
_MB = 1_000_000


def check_settings(workers: object, keep: int) -> int:
    """Return the bytes of ``keep`` megabytes, once it and ``workers`` were seen to be numbers that can be.

    Parameters
    ----------
    workers
        A number of processes; all else is judged where it is used.
    keep
        Megabytes of indicators.
    """
    if isinstance(workers, int):
        _require_whole("workers", workers, 1)
    _require_whole("keep", keep, 0)
    return keep * _MB


def _require_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidSettingError(f"{name} is a whole number from {least}, was {value!r}")


def require_figure(by: str) -> None:
    """Refuse what is no figure of a row."""
    if by not in COLUMNS:
        raise InvalidSettingError(f"by was {by!r}; there are {', '.join(COLUMNS)}.{did_you_mean(by, COLUMNS)}")


def highest(figures: Floats, ran: NDArray[np.bool_]) -> int:
    """Return the position of the highest figure of those that ran, counted through; one without a figure comes last.

    Parameters
    ----------
    figures
        float64 of any shape.
    ran
        bool of the same shape.
    """
    order = np.where(np.isnan(figures), -np.finfo(np.float64).max, figures)
    return int(np.argmax(np.where(ran, order, -np.inf)))


def sharpe_of_days(balance: float, values: Floats, *, least: int = SHORT) -> float:
    """Return the Sharpe ratio a year of daily equity; NaN below ``least`` days, and where it is not defined.

    Parameters
    ----------
    balance
        Before the first day.
    values
        (days,) float64, equity at the end of each.
    least
        Days.
    """
    if len(values) < least or not (values > 0.0).all():
        return float("nan")
    returns = simple_returns(balance, values)
    if np.ptp(returns) == 0.0:
        return float("nan")
    return sharpe(returns)


def top(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the highest returns of those that ran."""
    ran = table[table["total_return"].notna()]
    return ran.sort_values("total_return", ascending=False, kind="stable").head(_SHOWN)


def shown(rows: pd.DataFrame, first: Sequence[str], returns: Sequence[Sequence[float]]) -> pd.DataFrame:
    """Return rows as they are shown, with the interval of each (L2.3).

    Parameters
    ----------
    rows
        With the columns of :data:`FIGURES`.
    first
        The columns that stand before the figures.
    returns
        The total return of each row in each reading of the candles.
    """
    words: dict[str, Any] = {
        "total_return": [text.percent(one, signed=True) for one in rows["total_return"]],
        "lowest": [text.percent(min(one), signed=True) for one in returns],
        "highest": [text.percent(max(one), signed=True) for one in returns],
        "final_equity": [text.money(one) for one in rows["final_equity"]],
        "max_drawdown": [text.percent(one) for one in rows["max_drawdown"]],
    }
    return rows.assign(**words)[[*first, "total_return", "lowest", "highest", *FIGURES[1:]]]


def ranked(intrabar: str) -> str:
    """Return the sentence that says in which reading of the candles rows are ranked."""
    return (
        f"Ranked by the {intrabar} reading of the candles, in which all rows were run; lowest and highest are those of the "
        "three readings, computed for the rows shown."
    )


def save_tables(
    folder: str | os.PathLike[str],
    table: pd.DataFrame,
    names: Sequence[str],
    heatmap: Callable[[str, str], pd.DataFrame],
    by: str,
    more: Mapping[str, pd.DataFrame] | None = None,
) -> list[Path]:
    """Write ``sweep.csv``, ``sweep.parquet`` and, for two numeric parameters and more, ``heatmap.png``.

    Parameters
    ----------
    folder
        Made where it is not there.
    table
        One line a row.
    names
        The parameters.
    heatmap
        Of two of them.
    by
        The figure of the heatmap.
    more
        Other tables, by name of the file.

    Raises
    ------
    StorageError
        Where the disk refuses.
    """
    out = Path(folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
        written = [out / "sweep.csv", out / "sweep.parquet"]
        table.to_csv(written[0], index=False)
        table.to_parquet(written[1], index=False)
        for name, one in (more or {}).items():
            written.append(out / name)
            one.to_csv(written[-1], index=False)
        numeric = [name for name in names if len(set(table[name])) > 1 and table[name].dtype.kind in "if"]
        if len(numeric) > 1:
            from backtest.report.canvas import png
            from backtest.report.heatmap import heatmap_chart

            written.append(out / "heatmap.png")
            written[-1].write_bytes(png(heatmap_chart(heatmap(numeric[0], numeric[1]), by)))
    except OSError as error:
        raise StorageError(f"the sweep cannot be written to {out}: {error.strerror}") from None
    return written
