"""Sweep: one strategy with many sets of parameters over the same candles."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.model.assumptions import VenueAssumptions
from backtest.model.profile import SubscriberProfile
from backtest.report import text
from backtest.report.daily import simple_returns
from backtest.report.selection import effective_trials
from backtest.report.yearly import YEAR
from backtest.runner.run import histories_of, lane_of, run
from backtest.runner.trials import family_of, record, span_of
from backtest.study.crew import TIMEOUT
from backtest.study.grid import Grid, named
from backtest.study.judged import Judgement, judgement, plateau
from backtest.study.measured import FIGURES, Account, Measured
from backtest.study.shown import (
    SELECTED,
    check_settings,
    highest,
    ranked,
    require_figure,
    save_tables,
    sharpe_of_days,
    shown,
    top,
)
from backtest.study.spread import Lot, Ran, spread

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.runner.result import Result
    from backtest.strategy import Strategy
    from backtest.study.crew import Crew
    from backtest.study.task import Origin

    Floats = NDArray[np.float64]

__all__ = ["OneAccount", "ResultMany", "run_many"]


def run_many(
    strategy: type[Strategy] | Strategy,
    grid: Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]],
    candles: Candles | Mapping[str, Candles],
    *,
    market: Market | Mapping[str, Market] | None = None,
    profile: SubscriberProfile | None = None,
    assumptions: VenueAssumptions | None = None,
    detail: Candles | Mapping[str, Candles] | None = None,
    funding: ArrayLike | Mapping[str, ArrayLike] | None = None,
    lane: str | None = None,
    workers: int | str | Crew = 1,
    keep: int = 128,
    ledger: bool = True,
    parts: str | None = None,
    timeout: float = TIMEOUT,
    origins: Mapping[str, Origin] | None = None,
) -> ResultMany:
    """Run a strategy once for each set of parameters, over the same candles.

    **The best row of a sweep is a selected row.** Of a thousand sets that are worth nothing, the best still looks good:
    its return is not what it will earn. Choose on one stretch of candles, judge on another, and say how many were tried.

    Parameters
    ----------
    strategy
        A class, or an instance whose parameters hold where the grid says nothing.
    grid
        Values by parameter, of which every combination is run, or one mapping a row.
    candles, market, profile, assumptions, detail, funding, lane
        As in :func:`backtest.run`.
    workers
        Processes on this machine; 1 runs everything in this one. Or the address of a Dask scheduler,
        ``"tls://HOST:8786"``. Both are sent the same tasks, and the figures are the same, to the last bit.
    keep
        Megabytes of indicators that each process keeps for rows to come, by function, arguments and candles. They are
        read-only while a sweep runs. Whatever is kept, a row's figures are those of :func:`backtest.run`, to the last bit.
    ledger
        Whether the sweep is added to the ledger of trials (:mod:`backtest.runner.trials`).
    parts
        Folder, or fsspec URL, in which what was done is kept: the same sweep goes on from there. Machines of a cluster
        must share it. None: a folder of this machine that is deleted in the end.
    timeout
        Seconds that a task, about a second of rows, may take in a process of its own before it counts as lost.
    origins
        By symbol, where other processes find the candles; the others are laid into ``parts``.

    Returns
    -------
    ResultMany
        One row a set, in the order of the grid.

    Raises
    ------
    InvalidSettingError
        For a grid of nothing, or an unknown parameter (with "did you mean"). A row that cannot run, for a parameter out of
        range, an error of the strategy or the death of its process, is listed in :attr:`ResultMany.refused` with its
        reason and loses no other. A strategy that cannot be sent to another process is refused before anything runs.
    StorageError
        Where the cluster is gone; what was done stays in ``parts``.
    """
    asked = Grid.of(strategy, grid).runnable()
    account = OneAccount(
        candles,
        market=market,
        profile=profile,
        assumptions=assumptions,
        detail=detail,
        funding=funding,
        lane=lane,
        kept=check_settings(workers, keep),
        origins=origins,
    )
    measured = account.run(asked, workers=workers, parts=parts, timeout=timeout)
    many = account.result(asked, measured)
    if ledger:
        many.record(account.candles)
    return many


class OneAccount:
    """What rows are run on: one account with its markets.

    Parameters
    ----------
    candles, market, profile, assumptions, detail, funding, lane, origins
        As in :func:`run_many`.
    kept
        Bytes of indicators.
    """

    def __init__(
        self,
        candles: Candles | Mapping[str, Candles],
        *,
        market: Market | Mapping[str, Market] | None = None,
        profile: SubscriberProfile | None = None,
        assumptions: VenueAssumptions | None = None,
        detail: Candles | Mapping[str, Candles] | None = None,
        funding: ArrayLike | Mapping[str, ArrayLike] | None = None,
        lane: str | None = None,
        kept: int = 0,
        origins: Mapping[str, Origin] | None = None,
    ) -> None:
        self._profile, self._assumptions = profile or SubscriberProfile.anny(), assumptions or VenueAssumptions()
        self._histories = histories_of(candles, market, detail, funding)
        self._lane, self._kept, self._origins = lane, kept, origins or {}
        self._again = partial(
            run,
            candles=candles,
            market=market,
            profile=self._profile,
            assumptions=self._assumptions,
            detail=detail,
            funding=funding,
            lane=lane,
        )

    @property
    def candles(self) -> list[Candles]:
        """Those of each market."""
        return [history.candles for history in self._histories]

    def run(self, grid: Grid, *, workers: int | str | Crew, parts: str | None, timeout: float) -> Measured:
        """Run the rows of a grid, and return all of them: those without a strategy did not run.

        Parameters
        ----------
        grid
            The rows.
        workers, parts, timeout
            As in :func:`run_many`.
        """
        if not grid.made:
            return Measured.placed((), len(grid.rows), grid.refused)
        lane = lane_of(grid.made[0], self._lane)
        account = Account(self._histories, lane, self._profile, self._assumptions, self._kept)
        came: list[Ran] = []
        lots = [Lot("", lambda: (account, self._origins))]
        spread(lots, grid, came.append, workers=workers, place=parts, timeout=timeout)
        if came[0].measured is None:
            raise came[0].error or InvalidSettingError("the rows did not run")
        return Measured.placed([(grid.places, came[0].measured)], len(grid.rows), grid.refused)

    def result(self, grid: Grid, measured: Measured) -> ResultMany:
        """Return what came of rows.

        Parameters
        ----------
        grid
            All of them.
        measured
            What :meth:`run` returned of them.

        Raises
        ------
        InvalidSettingError
            Where none ran.
        """
        if len(measured.refused) == len(grid.rows):
            raise InvalidSettingError(grid.none_ran(measured.refused))
        return ResultMany(grid, self._profile, measured.figures, measured.daily, measured.refused, self._again)


@dataclass(frozen=True, eq=False)
class ResultMany:
    """The rows of a sweep, in the order of its grid. The best of them is a selected one (multiple testing).

    Attributes
    ----------
    grid
        The rows: their parameters, and the strategy of each.
    profile
        On which all rows were run, in its intrabar mode.
    figures
        (rows, 4): total return (fraction), trades (open ones included), final equity (quote currency), and the largest
        drawdown (fraction, at most 0), as the statistics of a result define it.
    daily
        (rows, days): equity at the end of each UTC day.
    refused
        Why a row did not run, by row; its figures are NaN.
    """

    grid: Grid
    profile: SubscriberProfile
    figures: Floats
    daily: Floats
    refused: Mapping[int, str]
    _again: Callable[[Strategy], Result]
    _known: dict[int, tuple[float, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.grid.rows)

    @property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        """The parameters of each row, as the grid gave them."""
        return self.grid.rows

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that the grid set."""
        return self.grid.names

    @property
    def strategies(self) -> Sequence[Strategy | None]:
        """The strategy of each row; None where its parameters are refused."""
        return self.grid.strategies

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a set: its parameters, then ``total_return``, ``trades``, ``final_equity`` and ``max_drawdown``."""
        import pandas as pd

        columns: dict[str, Any] = {name: [self.grid.value(k, name) for k in range(len(self))] for name in self.names}
        columns |= {name: self.figures[:, k] for k, name in enumerate(FIGURES)}
        columns["trades"] = np.nan_to_num(columns["trades"]).astype(np.int64)
        if self.refused:
            columns["refused"] = [self.refused.get(k, "") for k in range(len(self))]
        return pd.DataFrame(columns)

    @cached_property
    def sharpe(self) -> pd.Series:
        """Sharpe ratio of each row: daily returns, 365 days a year, riskless rate 0; NaN below 90 days or without one."""
        import pandas as pd

        return pd.Series(
            [sharpe_of_days(self.profile.balance, values) for values in self.daily], name="sharpe", dtype=np.float64
        )

    def chosen(self, row: int) -> Strategy:
        """Return the strategy of a row.

        Raises
        ------
        InvalidSettingError
            For a row that is not there, or whose parameters were refused.
        """
        return self.grid.chosen(row)

    def result(self, row: int) -> Result:
        """Run one row again and return its whole result, the three-mode interval included."""
        return self._again(self.chosen(row))

    def best(self, by: str = "total_return") -> int:
        """Return the row with the highest figure: a selected one, so believe less than it shows.

        Parameters
        ----------
        by
            ``"total_return"``, ``"trades"``, ``"final_equity"``, ``"max_drawdown"`` or ``"sharpe"``, all in the
            intrabar mode of the profile. A row without the figure comes last.

        Raises
        ------
        InvalidSettingError
            For another figure.
        """
        return highest(self.column(by), np.array([k not in self.refused for k in range(len(self))]))

    def column(self, by: str) -> Floats:
        """Return (rows,) float64, one of the figures or ``"sharpe"`` a year; NaN where a row did not run.

        For ranking: a Sharpe ratio of less than 90 days ranks, though :attr:`sharpe` does not show it.
        """
        require_figure(by)
        if by != "sharpe":
            return np.asarray(self.figures[:, FIGURES.index(by)])
        return np.array([sharpe_of_days(self.profile.balance, values, least=2) for values in self.daily])

    def judge(self, by: str = "sharpe") -> Judgement:
        """Return how much of the best row is choice: DSR and PBO over the rows that ran."""
        ran = [k for k in range(len(self)) if k not in self.refused]
        return judgement(self.profile.balance, self.daily[ran], ran.index(self.best(by)))

    def plateau(self, by: str = "sharpe") -> int | None:
        """Return the row whose neighbours in the grid are best with it; None where no row has a neighbour."""
        return plateau(self.column(by), self.grid.parameters)

    def heatmap(self, x: str, y: str, by: str = "sharpe") -> pd.DataFrame:
        """Return a figure by two parameters, the best over all others; rows are values of ``y``, columns of ``x``."""
        return self.grid.heatmap(x, y, self.column(by))

    def told(self, by: str = "sharpe") -> str:
        """Return the best rows, the plateau, what luck alone would give, and what did not run, as text."""
        best, flat = self.best(by), self.plateau(by)
        lines = [repr(self), f"best by {by}: row {best} ({named(self.rows[best])})"]
        if flat is not None:
            same = "the best row itself" if flat == best else f"row {flat} ({named(self.rows[flat])})"
            lines.append(f"plateau (best with its neighbours): {same}")
        lines.append(self.judge(by).sentence)
        lines += [f"row {k} ({named(self.rows[k])}) did not run: {reason}" for k, reason in self.refused.items()]
        return "\n".join(lines)

    def save(self, folder: str | os.PathLike[str], *, by: str = "sharpe") -> list[Path]:
        """Write ``sweep.csv``, ``sweep.parquet`` and, for two numeric parameters and more, ``heatmap.png``."""
        table = self.table.assign(sharpe=self.column("sharpe"))
        return save_tables(folder, table, self.names, lambda x, y: self.heatmap(x, y, by), by)

    def record(self, candles: Sequence[Candles]) -> str:
        """Add the sweep to the ledger of trials; return why it could not be written, or ""."""
        ran = [one for one in self.strategies if one is not None]
        returns = [simple_returns(self.profile.balance, one) for one in self.daily if (one > 0.0).all()]
        sharpes = (self.column("sharpe") / np.sqrt(YEAR)).tolist()
        effective = effective_trials(np.array(returns).T) if len(returns) > 1 else float(len(returns))
        variant = "|".join(one.identity for one in ran)
        return record(family_of(ran[0]), span_of(candles), variant, sharpes=sharpes, effective=effective)

    def __repr__(self) -> str:
        best = self._top()
        which = f"the {len(best)} highest total returns of" if len(best) < len(self) else "all"
        name = next(type(one).__name__ for one in self.strategies if one is not None)
        return f"{name}: {which} {text.plural(len(self), 'row')}\n{best.to_string()}\n{ranked(self.profile.intrabar)}\n{SELECTED}"

    def _repr_html_(self) -> str:
        return (
            f"{self._top().to_html()}<p>{text.plural(len(self), 'row')}. {ranked(self.profile.intrabar)} {SELECTED}</p>"
        )

    def _top(self) -> pd.DataFrame:
        """Return the rows with the highest returns, as they are shown."""
        best = top(self.table)
        return shown(best, self.names, [self._returns(row) for row in best.index])

    def _returns(self, row: int) -> tuple[float, ...]:
        """Return the total return of a row in each reading, computed when it is first shown."""
        if row not in self._known:
            self._known[row] = tuple(self.result(row).total_return.values())
        return self._known[row]
