"""ResultEach: the rows of a sweep on each of many markets, shown, judged and saved."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.report import text
from backtest.report.selection import SharpeSample, sharpe_of
from backtest.report.yearly import YEAR
from backtest.runner.trials import family_of, record
from backtest.study.grid import named
from backtest.study.judged import Judgement, judgement_of_returns, plateau
from backtest.study.measured import FIGURES
from backtest.study.shown import SELECTED, highest, ranked, require_figure, save_tables, shown, top

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from backtest.model.profile import SubscriberProfile
    from backtest.runner.result import Result
    from backtest.strategy import Strategy
    from backtest.study.grid import Grid

    Floats = NDArray[np.float64]

__all__ = ["ResultEach", "column_of", "medians_of"]

_LISTED = 10
"""Markets, or rows, that are told of one by one."""


def column_of(figures: Floats, sharpes: Floats, by: str) -> Floats:
    """Return (markets, rows) float64, a figure by its name, or the Sharpe ratio."""
    return sharpes if by == "sharpe" else np.asarray(figures[:, :, FIGURES.index(by)])


def medians_of(values: Floats, ran: NDArray[np.bool_]) -> Floats:
    """Return (rows,) float64, the medians over the markets on which rows ran; what is not defined counts as 0."""
    known = np.where(ran, np.nan_to_num(values), np.nan)
    return np.array([float(np.median(one[~np.isnan(one)])) if (~np.isnan(one)).any() else np.nan for one in known.T])


@dataclass(frozen=True, eq=False)
class ResultEach:
    """The rows of a sweep on each of many markets, by name of the market. The best is a selected one (multiple testing).

    Attributes
    ----------
    grid
        The rows: their parameters, and the strategy of each.
    profile
        On which all rows were run, each market on an account of its own, in its intrabar mode.
    markets
        Those on which rows ran, by name.
    figures
        (markets, rows, 4): as :attr:`ResultMany.figures`; NaN where a row did not run.
    sharpes
        (markets, rows): Sharpe ratio a year of the returns of days; NaN where it is not defined.
    moments
        (markets, rows, 3): Sharpe ratio a day, skew and kurtosis of the returns of days.
    days
        UTC days of each market.
    trials
        What all rows of all markets are worth as independent trials.
    means
        (days, rows): the returns of days of each row, averaged over the markets that have the day and on which it ran: those of
        an account that holds all markets in equal parts, made equal again each day. Days on which each row that ran anywhere
        has one; NaN for the others.
    refused
        Why a market has no rows: it did not load, or none ran.
    refused_rows
        Why a row did not run on a market.
    """

    grid: Grid
    profile: SubscriberProfile
    markets: tuple[str, ...]
    figures: Floats
    sharpes: Floats
    moments: Floats
    days: tuple[int, ...]
    trials: float
    means: Floats
    refused: Mapping[str, str]
    refused_rows: Mapping[tuple[str, int], str]
    _again: Callable[[str, Sequence[Strategy]], list[Result]]
    _known: dict[tuple[str, int], tuple[float, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.markets) * len(self.grid.rows)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One line a row of a market: ``market``, ``row``, its parameters, then the figures of a sweep."""
        import pandas as pd

        rows, markets = len(self.grid.rows), len(self.markets)
        columns: dict[str, Any] = {
            "market": [name for name in self.markets for _ in range(rows)],
            "row": np.tile(np.arange(rows), markets),
        }
        columns |= {name: [self.grid.value(k, name) for k in range(rows)] * markets for name in self.grid.names}
        columns |= {name: self.figures[:, :, k].reshape(-1) for k, name in enumerate(FIGURES)}
        columns["trades"] = np.nan_to_num(columns["trades"]).astype(np.int64)
        if self.refused_rows:
            columns["refused"] = [self.refused_rows.get((name, k), "") for name in self.markets for k in range(rows)]
        return pd.DataFrame(columns)

    def column(self, by: str) -> Floats:
        """Return (markets, rows) float64, one of the figures or ``"sharpe"`` a year; NaN where a row did not run."""
        require_figure(by)
        return column_of(self.figures, self.sharpes, by)

    def best(self, by: str = "sharpe") -> tuple[str, int]:
        """Return market and row with the highest figure: selected from all of them, so believe less than it shows.

        Parameters
        ----------
        by
            As in :meth:`ResultMany.best`.
        """
        market, row = self._best(by)
        return self.markets[market], row

    def _best(self, by: str) -> tuple[int, int]:
        market, row = divmod(highest(self.column(by), self._ran), len(self.grid.rows))
        return market, row

    @property
    def _ran(self) -> NDArray[np.bool_]:
        """(markets, rows) bool: whether a row ran."""
        return ~np.isnan(self.figures[:, :, 0])

    def judge(self, by: str = "sharpe") -> Judgement:
        """Return how much of the best is choice: DSR over the rows of all markets together."""
        market, row = self._best(by)
        daily, skew, kurtosis = self.moments[market, row].tolist()
        sample = None if np.isnan(skew) and daily == 0.0 else SharpeSample(daily, self.days[market], skew, kurtosis)
        return Judgement.of(
            sample,
            self.moments[:, :, 0][self._ran],
            self.trials,
            days=self.days[market],
            markets=len(self.markets),
        )

    def medians(self, by: str = "sharpe") -> Floats:
        """Return (rows,) float64, the median of a figure over the markets; NaN for a row that ran nowhere.

        A Sharpe ratio that is not defined, as nothing was traded, counts as 0.
        """
        return medians_of(self.column(by), self._ran)

    @cached_property
    def sharpes_of_means(self) -> Floats:
        """(rows,) float64: Sharpe ratio a year of :attr:`means`; 0 where nothing moved, NaN for a row that ran nowhere."""
        found = np.full(len(self.grid.rows), np.nan)
        ran = self._ran.any(axis=0)
        found[ran] = sharpe_of(self.means[:, ran]) * np.sqrt(YEAR) if len(self.means) > 2 else 0.0
        return found

    def best_for_all(self) -> int:
        """Return the row that one would run on all markets: that with the highest Sharpe ratio of :attr:`means`."""
        return highest(self.sharpes_of_means, ~np.isnan(self.sharpes_of_means))

    def judge_for_all(self) -> Judgement:
        """Return how much of :meth:`best_for_all` is choice: DSR, and PBO of this very choice (CSCV over :attr:`means`)."""
        ran = np.flatnonzero(self._ran.any(axis=0))
        at = int(np.searchsorted(ran, self.best_for_all()))
        return judgement_of_returns(self.means[:, ran], at, markets=len(self.markets))

    @cached_property
    def by_row(self) -> pd.DataFrame:
        """One line a row: its parameters, then over the markets on which it ran: how many, what share gained, medians.

        ``sharpe_of_mean`` is :attr:`sharpes_of_means`.
        """
        import pandas as pd

        rows, ran = range(len(self.grid.rows)), self._ran
        columns: dict[str, Any] = {"row": np.arange(len(rows))}
        columns |= {name: [self.grid.value(k, name) for k in rows] for name in self.grid.names}
        count = ran.sum(axis=0)
        columns["markets"] = count
        columns["gained"] = np.divide(
            (self.figures[:, :, 0] > 0.0).sum(axis=0), count, out=np.full(len(rows), np.nan), where=count > 0
        )
        columns |= {f"median_{name}": self.medians(name) for name in (FIGURES[0], FIGURES[1], FIGURES[3], "sharpe")}
        columns["sharpe_of_mean"] = self.sharpes_of_means
        return pd.DataFrame(columns)

    def plateau(self, by: str = "sharpe") -> int | None:
        """Return the row whose neighbours in the grid have the best medians with it; None where no row has one."""
        return plateau(self.medians(by), self.grid.parameters)

    def heatmap(self, x: str, y: str, by: str = "sharpe") -> pd.DataFrame:
        """Return the median of a figure over the markets by two parameters, the best over all others."""
        return self.grid.heatmap(x, y, self.medians(by))

    def result(self, market: str, row: int) -> Result:
        """Run one row on one market again and return its whole result, the three-mode interval included.

        Parameters
        ----------
        market
            By name.
        row
            Of the grid.

        Raises
        ------
        InvalidSettingError
            For a market or row that did not run.
        """
        if market not in self.markets:
            why = f": {self.refused[market]}" if market in self.refused else ""
            raise InvalidSettingError(
                f"no row ran on market {market!r}{why}.{'' if why else did_you_mean(market, self.markets)}"
            )
        return self._again(market, [self.grid.chosen(row)])[0]

    def told(self, by: str = "sharpe") -> str:
        """Return the best rows, the best over all markets, what luck alone would give, and what did not run, as text."""
        (market, row), medians, rows = self.best(by), self.medians(by), self.grid.rows
        lines = [repr(self), f"best by {by}: {market}, row {row} ({named(rows[row])})", self.judge(by).sentence]
        steady = highest(medians, ~np.isnan(medians))
        lines.append(
            f"best over the markets (median {by}): row {steady} ({named(rows[steady])}), {medians[steady]:.4g} on "
            f"{text.plural(len(self.markets), 'market')}"
        )
        flat = self.plateau(by)
        if flat is not None:
            same = "that row itself" if flat == steady else f"row {flat} ({named(rows[flat])})"
            lines.append(f"plateau of the medians (best with its neighbours): {same}")
        if len(self.markets) > 1 and len(rows) > 1:
            one = self.best_for_all()
            lines.append(
                f"one row for all (mean of their daily returns): row {one} ({named(rows[one])}), Sharpe ratio "
                f"{self.sharpes_of_means[one]:.4g}"
            )
            lines.append(self.judge_for_all().sentence)
        where: dict[tuple[int, str], list[str]] = {}
        for (name, k), why in self.refused_rows.items():
            where.setdefault((k, why), []).append(name)
        failed = [
            f"row {k} ({named(rows[k])}) did not run{self._on(names)}: {why}"
            for (k, why), names in sorted(where.items())
        ]
        lines += _first(failed, "more rows did not run on some markets: column refused of sweep.csv (--out)")
        left = [f"market {name} is left out: {why}" for name, why in self.refused.items()]
        return "\n".join([*lines, *_first(left, "more markets are left out: left-out.csv (--out) names them all")])

    def _on(self, names: Sequence[str]) -> str:
        """Return where a row did not run."""
        if len(names) == len(self.markets):
            return ""
        more = f" and {len(names) - _LISTED:,} more markets" if len(names) > _LISTED else ""
        return f" on {', '.join(names[:_LISTED])}{more}"

    def save(self, folder: str | os.PathLike[str], *, by: str = "sharpe") -> list[Path]:
        """Write ``sweep.csv``, ``sweep.parquet``, ``rows.csv`` (:attr:`by_row`) and what else there is.

        For two numeric parameters and more ``heatmap.png``; ``left-out.csv`` where a market is.
        """
        import pandas as pd

        table = self.table.assign(sharpe=self.sharpes.reshape(-1))
        more = {"rows.csv": self.by_row}
        if self.refused:
            more["left-out.csv"] = pd.DataFrame({"market": list(self.refused), "reason": list(self.refused.values())})
        return save_tables(folder, table, self.grid.names, lambda x, y: self.heatmap(x, y, by), by, more)

    def record(self, spans: Sequence[str]) -> str:
        """Add the sweep to the ledger of trials on each market; return why it could not be written, or ""."""
        made = self.grid.made
        variant = "|".join([*(one.identity for one in made), *self.markets])
        sharpes = (self.sharpes.reshape(-1) / np.sqrt(YEAR)).tolist()
        return record(family_of(made[0]), spans, variant, sharpes=sharpes, effective=self.trials)

    def __repr__(self) -> str:
        best, name = self._top(), type(self.grid.made[0]).__name__
        which = f"the {len(best)} highest total returns of" if len(best) < len(self) else "all"
        on = f"on {text.plural(len(self.markets), 'market')}"
        table = best.to_string(index=False)
        return f"{name} {on}: {which} {text.plural(len(self), 'row')}\n{table}\n{ranked(self.profile.intrabar)}\n{SELECTED}"

    def _repr_html_(self) -> str:
        count = f"{text.plural(len(self), 'row')} on {text.plural(len(self.markets), 'market')}"
        return f"{self._top().to_html(index=False)}<p>{count}. {ranked(self.profile.intrabar)} {SELECTED}</p>"

    def _top(self) -> pd.DataFrame:
        """Return the rows with the highest returns, as they are shown; each market of them is loaded once."""
        best = top(self.table)
        keys = [(str(name), int(row)) for name, row in zip(best["market"], best["row"], strict=True)]
        for market in dict.fromkeys(name for name, _ in keys):
            rows = [row for name, row in keys if name == market and (name, row) not in self._known]
            made = [one for row in rows if (one := self.grid.strategies[row]) is not None]
            results = self._again(market, made) if made else []
            self._known.update(
                {(market, row): tuple(one.total_return.values()) for row, one in zip(rows, results, strict=True)}
            )
        return shown(best, ["market", "row", *self.grid.names], [self._known[key] for key in keys])


def _first(lines: Sequence[str], rest: str) -> list[str]:
    """Return the first of some lines, and how many more there are."""
    more = [f"{len(lines) - _LISTED:,} {rest}"] if len(lines) > _LISTED else []
    return [*lines[:_LISTED], *more]
