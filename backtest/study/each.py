"""Each: a sweep over many markets, each on an account of its own, judged together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import BacktestError, DataUnavailableError, InvalidSettingError, did_you_mean
from backtest.model.assumptions import VenueAssumptions
from backtest.model.candles import Candles
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from backtest.report import text
from backtest.report.daily import DAY, returns_of_days
from backtest.report.selection import EffectiveTrials, SharpeSample, sharpe_of
from backtest.report.yearly import YEAR
from backtest.runner.by_symbol import by_symbol
from backtest.runner.run import histories_of, lane_of, run
from backtest.runner.trials import family_of, record
from backtest.study.averaged import MeanReturns, mean_returns
from backtest.study.crew import TIMEOUT
from backtest.study.grid import Grid, named
from backtest.study.judged import Judgement, judgement_of_returns, plateau
from backtest.study.measured import FIGURES, Account
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
from backtest.study.spread import Lot, spread

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from backtest.runner.result import Result
    from backtest.strategy import Strategy
    from backtest.study.crew import Crew
    from backtest.study.spread import Ran
    from backtest.study.task import Origin

    Floats = NDArray[np.float64]

__all__ = ["AccountEach", "Gained", "Given", "ResultEach", "run_each"]

_LEAST_DAYS = 3
"""UTC days below which nothing can be said of the returns of days."""

_NAMED = 3
"""Markets whose reasons stand in one sentence."""

_LISTED = 10
"""Markets, or rows, that are told of one by one."""


@dataclass(frozen=True, slots=True)
class Given:
    """One market of a sweep, loaded.

    Attributes
    ----------
    candles, market, detail, funding
        As :func:`backtest.run` takes those of one symbol.
    origin
        Where other processes find the candles; None: they are laid into the folder of parts.
    """

    candles: Candles
    market: Market | None = None
    detail: Candles | None = None
    funding: Any = None
    origin: Origin | None = None


def run_each(  # noqa: PLR0913 - the arguments of run_many
    strategy: type[Strategy] | Strategy,
    grid: Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]],
    candles: Mapping[str, Candles | Callable[[], Candles | Given]] | Iterable[Candles],
    *,
    market: Mapping[str, Market] | None = None,
    profile: SubscriberProfile | None = None,
    assumptions: VenueAssumptions | None = None,
    detail: Mapping[str, Candles] | None = None,
    funding: Mapping[str, ArrayLike] | None = None,
    lane: str | None = None,
    workers: int | str = 1,
    keep: int = 128,
    ledger: bool = True,
    parts: str | None = None,
    timeout: float = TIMEOUT,
) -> ResultEach:
    """Run a strategy once for each set of parameters on each of many markets, each market on an account of its own.

    Where :func:`backtest.run_many` puts several markets on one account, this is a sweep of each alone, by one crew of
    processes for all. A row on a market is that of ``run_many`` on that market, to the last bit. **The best of them is
    selected from all rows of all markets**, and judged so.

    Parameters
    ----------
    strategy, grid, profile, assumptions, lane, workers, keep, parts, timeout
        As in :func:`backtest.run_many`.
    candles
        By the name of the market, or a list, named by symbol. In place of candles there may be a function that loads
        them: it is called when the market's turn comes, so that not all have to fit in memory.
    market, detail, funding
        As in :func:`backtest.run`, by the same names.
    ledger
        Whether the sweep is added to the ledger of trials, all rows of all markets on each of them.

    Returns
    -------
    ResultEach
        By name of the market, then in the order of the grid.

    Raises
    ------
    InvalidSettingError
        As :func:`backtest.run_many`, and for a name that is given twice.
    DataUnavailableError
        Where none of the markets loads. One that does not, as it is missing, damaged, or below three days, is listed in
        :attr:`ResultEach.refused` with its reason and loses no other.

    Examples
    --------
    >>> from backtest import Candles, load_strategy, run_each
    >>> candles = [Candles.sample(symbol, "1d") for symbol in ("ETH/USD", "LTC/USD")]
    >>> each = run_each(load_strategy("strategies/breakout.py"), {"lookback": [24, 48]}, candles, ledger=False)
    >>> each.table[["market", "row", "lookback"]].values.tolist()
    [['ETH/USD', 0, 24], ['ETH/USD', 1, 48], ['LTC/USD', 0, 24], ['LTC/USD', 1, 48]]
    """
    asked = Grid.of(strategy, grid).runnable()
    accounts = AccountEach(
        candles,
        market=market,
        profile=profile,
        assumptions=assumptions,
        detail=detail,
        funding=funding,
        lane=lane,
        kept=check_settings(workers, keep),
    )
    accounts.run(asked, workers=workers, parts=parts, timeout=timeout)
    return accounts.result(ledger=ledger)


class AccountEach:
    """What rows are run on: an account for each of many markets. What came of rows is kept, until all of it is asked for.

    Parameters
    ----------
    candles, market, profile, assumptions, detail, funding, lane
        As in :func:`run_each`.
    kept
        Bytes of indicators.
    """

    def __init__(
        self,
        candles: Mapping[str, Candles | Callable[[], Candles | Given]] | Iterable[Candles],
        *,
        market: Mapping[str, Market] | None = None,
        profile: SubscriberProfile | None = None,
        assumptions: VenueAssumptions | None = None,
        detail: Mapping[str, Candles] | None = None,
        funding: Mapping[str, ArrayLike] | None = None,
        lane: str | None = None,
        kept: int = 0,
    ) -> None:
        self._profile, self._assumptions = profile or SubscriberProfile.anny(), assumptions or VenueAssumptions()
        self._lane, self._kept = lane, kept
        self._sources = _sources(candles, market, detail, funding)
        self._gathered = _Gathered(self._profile.balance)

    def run(self, grid: Grid, *, workers: int | str | Crew, parts: str | None, timeout: float) -> Gained:
        """Run the rows of a grid on each market, and return what they gained there.

        Parameters
        ----------
        grid
            The rows.
        workers, parts, timeout
            As in :func:`run_each`.
        """
        gained = self._gathered.begin(grid)
        if grid.made:
            chosen = lane_of(grid.made[0], self._lane)
            lots = [self._lot(name, load, chosen) for name, load in self._sources.items()]
            spread(lots, grid, gained.take, workers=workers, place=parts, timeout=timeout)
        return gained

    def _lot(self, name: str, load: Callable[[], Given], lane: str) -> Lot:
        def loaded() -> tuple[Account, Mapping[str, Origin]]:
            given = load()
            histories = histories_of(given.candles, given.market, given.detail, given.funding)
            _refuse_short(given.candles)
            origins = {} if given.origin is None else {given.candles.symbol: given.origin}
            return Account(histories, lane, self._profile, self._assumptions, self._kept), origins

        return Lot(name, loaded)

    def _again(self, name: str, strategies: Sequence[Strategy]) -> list[Result]:
        given = self._sources[name]()
        return [
            run(
                one,
                given.candles,
                market=given.market,
                profile=self._profile,
                assumptions=self._assumptions,
                detail=given.detail,
                funding=given.funding,
                lane=self._lane,
            )
            for one in strategies
        ]

    def result(self, *, ledger: bool) -> ResultEach:
        """Return all rows that were run.

        Parameters
        ----------
        ledger
            Whether they are added to the ledger of trials.

        Raises
        ------
        DataUnavailableError
            Where no market was loaded.
        InvalidSettingError
            Where no row ran.
        """
        each = self._gathered.result(self._profile, self._again)
        if ledger:
            each.record(list(self._gathered.spans.values()))
        return each


def _sources(candles: Any, market: Any, detail: Any, funding: Any) -> dict[str, Callable[[], Given]]:
    """Return what loads each market, by name, in the order of names."""
    named_so: dict[str, Any] = {}
    if isinstance(candles, Mapping):
        named_so = dict(candles)
    elif isinstance(candles, Candles):
        named_so = {candles.symbol: candles}
    else:
        for one in candles if hasattr(candles, "__iter__") and not isinstance(candles, str) else ():
            name = one.symbol if isinstance(one, Candles) else ""
            if name in named_so:
                raise InvalidSettingError(
                    f"there are two series of {name}; give candles by name, {{name: candles}}, to sweep both"
                )
            named_so[name] = one
    if not named_so:
        raise InvalidSettingError("candles are those of each market, by name or as a list; there were none")
    for name, one in named_so.items():
        if not isinstance(one, Candles) and not callable(one):
            raise InvalidSettingError(
                f"candles are Candles or a function that loads them, was {type(one).__name__} of {name or 'a list'}"
            )
    markets, fine = by_symbol(market, Market, named_so, "market"), by_symbol(detail, Candles, named_so, "detail")
    rates = by_symbol(funding, np.ndarray, named_so, "funding")

    def load(name: str) -> Given:
        one = named_so[name]
        found = one if isinstance(one, Candles) else one()
        if isinstance(found, Given):
            return found
        return Given(found, markets.get(name), fine.get(name), rates.get(name))

    return {name: lambda name=name: load(name) for name in sorted(named_so)}  # type: ignore[misc]


def _refuse_short(candles: Candles) -> None:
    days = (int(candles.close_time[-1]) - 1) // DAY - (int(candles.close_time[0]) - 1) // DAY + 1
    if days < _LEAST_DAYS:
        raise DataUnavailableError(
            f"{candles.symbol} is too short: {text.plural(len(candles), 'candle')} of {candles.timeframe} on "
            f"{text.plural(days, 'day')}, and a row is judged by the returns of at least {_LEAST_DAYS} days"
        )


class Gained:
    """What the rows of one grid gained on each market: no equity of days, so that two thousand markets fit.

    Parameters
    ----------
    grid
        The rows.
    balance
        Before the first day.
    trials
        Takes each row of each market.
    spans
        Takes the data that trials share, by market.
    """

    def __init__(self, grid: Grid, balance: float, trials: EffectiveTrials, spans: dict[str, str]) -> None:
        self.grid = grid
        self.arrays: dict[str, tuple[Floats, Floats, Floats]] = {}
        self.days: dict[str, int] = {}
        self.refused: dict[str, dict[int, str]] = {}
        self.unloaded: dict[str, BacktestError] = {}
        self.means = MeanReturns(len(grid.rows))
        self._balance, self._trials, self._spans = balance, trials, spans

    def take(self, ran: Ran) -> None:
        """Reduce one market."""
        if ran.measured is None:
            self.unloaded[ran.name] = ran.error or DataUnavailableError("it was not loaded")
            return
        rows, places = len(self.grid.rows), self.grid.places
        refused = {**self.grid.refused, **{places[k]: why for k, why in ran.measured.refused.items()}}
        figures, sharpes = np.full((rows, len(FIGURES)), np.nan), np.full(rows, np.nan)
        moments = np.full((rows, 3), np.nan)
        figures[places] = ran.measured.figures
        returns, at = [], []
        for k, daily in zip(places, ran.measured.daily, strict=True):
            if k in refused:
                continue
            at.append(k)
            returns.append(returns_of_days(self._balance, daily))
            sharpes[k] = sharpe_of_days(self._balance, daily, least=2)
            sample = SharpeSample.of(returns[-1])
            moments[k] = (0.0, np.nan, np.nan) if sample is None else (sample.sharpe, sample.skew, sample.kurtosis)
        if at:
            columns = np.array(returns).T
            self._trials.add(columns, ran.first_day)
            self.means.add(columns, at, ran.first_day)
            self._spans[ran.name] = ran.span
        self.arrays[ran.name] = figures, sharpes, moments
        self.days[ran.name] = ran.measured.daily.shape[1]
        self.refused[ran.name] = dict(sorted(refused.items()))

    def medians(self, by: str) -> Floats:
        """Return (rows,) float64, the median of a figure over the markets; NaN for a row that ran nowhere."""
        require_figure(by)
        if not self.arrays:
            return np.full(len(self.grid.rows), np.nan)
        figures, sharpes, _ = (np.array(one) for one in zip(*self.arrays.values(), strict=True))
        return _medians(_column(figures, sharpes, by), ~np.isnan(figures[:, :, 0]))


class _Gathered:
    """What came of one grid after another."""

    def __init__(self, balance: float) -> None:
        self._balance = balance
        self._trials = EffectiveTrials()
        self._all: list[Gained] = []
        self.spans: dict[str, str] = {}

    def begin(self, grid: Grid) -> Gained:
        """Return what takes the markets of the next grid."""
        self._all.append(Gained(grid, self._balance, self._trials, self.spans))
        return self._all[-1]

    def result(
        self, profile: SubscriberProfile, again: Callable[[str, Sequence[Strategy]], list[Result]]
    ) -> ResultEach:
        """Return all of it.

        Parameters
        ----------
        profile
            On which all rows were run.
        again
            Runs strategies on a market once more.
        """
        grid = Grid.joined([one.grid for one in self._all])
        rows = len(grid.rows)
        names = sorted({name for one in self._all for name in (*one.arrays, *one.unloaded)})
        refused: dict[str, str] = {}
        refused_rows: dict[tuple[str, int], str] = {}
        markets, arrays = [], []
        for name in names:
            whys = self._whys(name)
            if not any(name in one.arrays for one in self._all):
                refused[name] = str(next(one.unloaded[name] for one in self._all if name in one.unloaded))
            elif len(whys) == rows:
                refused[name] = f"none of {text.plural(rows, 'row')} can run; row 0: {whys[0]}"
            else:
                markets.append(name)
                refused_rows.update({(name, k): why for k, why in whys.items()})
                arrays.append([self._array(name, k) for k in range(3)])
        if not markets:
            loaded = any(one.arrays for one in self._all)
            raise _none_of(refused, "no row ran on any of" if loaded else "", grid)
        figures, sharpes, moments = (np.array(one) for one in zip(*arrays, strict=True))
        days = {name: count for one in self._all for name, count in one.days.items()}
        return ResultEach(
            grid,
            profile,
            tuple(markets),
            figures,
            sharpes,
            moments,
            tuple(days[name] for name in markets),
            self._trials.value,
            mean_returns([one.means for one in self._all]),
            refused,
            refused_rows,
            again,
        )

    def _whys(self, name: str) -> dict[int, str]:
        """Return why rows did not run on a market, by row."""
        found, first = {}, 0
        for one in self._all:
            rows = len(one.grid.rows)
            unloaded = dict.fromkeys(range(rows), str(one.unloaded[name])) if name in one.unloaded else one.grid.refused
            found.update({first + k: why for k, why in one.refused.get(name, unloaded).items()})
            first += rows
        return found

    def _array(self, name: str, which: int) -> Floats:
        """Return one of the arrays of a market, over all rows."""
        parts = []
        if len(self._all) == 1:  # not copied: it may be large
            return self._all[0].arrays[name][which]
        for one in self._all:
            rows = len(one.grid.rows)
            nothing: Floats = np.full(((rows, len(FIGURES)), (rows,), (rows, 3))[which], np.nan)
            parts.append(one.arrays[name][which] if name in one.arrays else nothing)
        return np.concatenate(parts)


def _none_of(refused: Mapping[str, str], what: str, grid: Grid) -> BacktestError:
    """Return the error that says why there is nothing."""
    if not refused:
        return InvalidSettingError(f"none of {text.plural(len(grid.rows), 'row')} can run; row 0: {grid.refused[0]}")
    count = text.plural(len(refused), "market")
    reasons = "; ".join(f"{name}: {why.removesuffix('.')}" for name, why in list(refused.items())[:_NAMED])
    more = f"; and {len(refused) - _NAMED:,} more" if len(refused) > _NAMED else ""
    if what:
        return InvalidSettingError(f"{what} {count}: {reasons}{more}")
    return DataUnavailableError(f"none of {count} can be loaded: {reasons}{more}")


def _column(figures: Floats, sharpes: Floats, by: str) -> Floats:
    return sharpes if by == "sharpe" else np.asarray(figures[:, :, FIGURES.index(by)])


def _medians(values: Floats, ran: NDArray[np.bool_]) -> Floats:
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
        return _column(self.figures, self.sharpes, by)

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
        return _medians(self.column(by), self._ran)

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
