"""Sweep: one strategy with many sets of parameters over the same candles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import BacktestError, InvalidSettingError, did_you_mean
from backtest.indicators import keeping
from backtest.model.assumptions import VenueAssumptions
from backtest.model.profile import SubscriberProfile
from backtest.report import text
from backtest.report.daily import daily_equity, simple_returns
from backtest.report.equity import dips, drawdowns
from backtest.report.metrics import YEAR
from backtest.report.statistic import SHORT
from backtest.runner.execute import execute, prepare
from backtest.runner.frames import traded_of
from backtest.runner.run import feeds_of, lane_of, run
from backtest.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from backtest.engine.feed import Feed
    from backtest.engine.simulator import SimulatedVenue
    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.runner.result import Result

    Floats = NDArray[np.float64]

__all__ = ["ResultMany", "run_many"]

FIGURES = ("total_return", "trades", "final_equity", "max_drawdown")
SHOWN = 10
SELECTED = (
    "A best row is picked after the fact: the more rows are tried, the better the best looks by chance alone (multiple "
    "testing). Judge it on candles that had no part in the choice."
)
_MB = 1_000_000


def run_many(  # noqa: PLR0913 - the arguments of run, and three of its own
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
    workers: int = 1,
    keep: int = 128,
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
        Processes (joblib); 1 runs everything in this one.
    keep
        Megabytes of indicators kept for rows to come, by function, arguments and candles. They are read-only while a
        sweep runs. Whatever is kept, a row's figures are those of :func:`backtest.run`, to the last bit.

    Returns
    -------
    ResultMany
        One row a set, in the order of the grid.

    Raises
    ------
    InvalidSettingError
        For an unknown parameter (with "did you mean") or one out of range, before anything runs.
    InvalidSignalError
        For a call that the API would refuse, naming the row.
    """
    rows = _rows(strategy, grid)
    strategies = _strategies(strategy, rows)
    _require_whole("workers", workers, 1)
    _require_whole("keep", keep, 0)
    profile, assumptions = profile or SubscriberProfile.anny(), assumptions or VenueAssumptions()
    feeds = feeds_of(candles, market, detail, funding)
    limit = keep * _MB // workers
    order = _order(rows, max(1, limit // (8 * max(len(feed.candles) for feed in feeds)) - 4))
    walk = partial(_walk, feeds, lane_of(strategies[0], lane), profile, assumptions, limit)
    figures, daily = _spread(walk, strategies, order, workers)
    again = partial(
        run,
        candles=candles,
        market=market,
        profile=profile,
        assumptions=assumptions,
        detail=detail,
        funding=funding,
        lane=lane,
    )
    return ResultMany(
        strategies, tuple(dict.fromkeys(name for row in rows for name in row)), profile, figures, daily, again
    )


@dataclass(frozen=True, eq=False)
class ResultMany:
    """The rows of a sweep, in the order of its grid. The best of them is a selected one (multiple testing).

    Attributes
    ----------
    strategies
        The strategy of each row.
    names
        The parameters that the grid set.
    profile
        On which all rows were run, in its intrabar mode.
    figures
        (rows, 4): total return (fraction), trades (open ones included), final equity (quote currency), and the largest
        drawdown (fraction, at most 0), as the statistics of a result define it.
    daily
        (rows, days): equity at the end of each UTC day.
    """

    strategies: Sequence[Strategy]
    names: tuple[str, ...]
    profile: SubscriberProfile
    figures: Floats
    daily: Floats
    _again: Callable[[Strategy], Result]
    _known: dict[int, tuple[float, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.strategies)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a set: its parameters, then ``total_return``, ``trades``, ``final_equity`` and ``max_drawdown``."""
        import pandas as pd

        columns: dict[str, Any] = {name: [getattr(one, name) for one in self.strategies] for name in self.names}
        columns |= {name: self.figures[:, k] for k, name in enumerate(FIGURES)}
        columns["trades"] = columns["trades"].astype(np.int64)
        return pd.DataFrame(columns)

    @cached_property
    def sharpe(self) -> pd.Series:
        """Sharpe ratio of each row: daily returns, 365 days a year, riskless rate 0; NaN below 90 days or without one."""
        import pandas as pd

        return pd.Series(
            [_sharpe(self.profile.balance, values) for values in self.daily], name="sharpe", dtype=np.float64
        )

    def result(self, row: int) -> Result:
        """Run one row again and return its whole result, the three-mode interval included.

        Raises
        ------
        InvalidSettingError
            Where there is no such row; they count from 0.
        """
        if row not in range(len(self)):
            raise InvalidSettingError(f"there are {len(self)} rows, from 0 to {len(self) - 1}; asked for {row!r}")
        return self._again(self.strategies[row])

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
        known = (*FIGURES, "sharpe")
        if by not in known:
            raise InvalidSettingError(f"by was {by!r}; there are {', '.join(known)}.{did_you_mean(by, known)}")
        values = (self.sharpe if by == "sharpe" else self.table[by]).to_numpy(np.float64)
        return int(np.argmax(np.where(np.isnan(values), -np.inf, values)))

    def __repr__(self) -> str:
        top = self._top()
        shown = f"the {len(top)} highest total returns of" if len(top) < len(self) else "all"
        name = type(self.strategies[0]).__name__
        return f"{name}: {shown} {text.plural(len(self), 'row')}\n{top.to_string()}\n{self._ranked}\n{SELECTED}"

    def _repr_html_(self) -> str:
        return f"{self._top().to_html()}<p>{text.plural(len(self), 'row')}. {self._ranked} {SELECTED}</p>"

    @property
    def _ranked(self) -> str:
        return (
            f"Ranked by the {self.profile.intrabar} reading of the candles, in which all rows were run; lowest and highest "
            "are those of the three readings, computed for the rows shown."
        )

    def _top(self) -> pd.DataFrame:
        """Return the rows with the highest returns, as they are shown, with the interval of each (L2.3)."""
        top = self.table.sort_values("total_return", ascending=False, kind="stable").head(SHOWN)
        returns = [self._returns(row) for row in top.index]
        shown = {
            "total_return": [text.percent(one, signed=True) for one in top["total_return"]],
            "lowest": [text.percent(min(one), signed=True) for one in returns],
            "highest": [text.percent(max(one), signed=True) for one in returns],
            "final_equity": [text.money(one) for one in top["final_equity"]],
            "max_drawdown": [text.percent(one) for one in top["max_drawdown"]],
        }
        return top.assign(**shown)[[*self.names, "total_return", "lowest", "highest", *FIGURES[1:]]]

    def _returns(self, row: int) -> tuple[float, ...]:
        """Return the total return of a row in each reading, computed when it is first shown."""
        if row not in self._known:
            self._known[row] = tuple(self.result(row).total_return.values())
        return self._known[row]


def _rows(strategy: Any, grid: Any) -> list[dict[str, Any]]:
    """Return the parameters of each row."""
    kind = strategy if isinstance(strategy, type) else type(strategy)
    if not issubclass(kind, Strategy):
        raise InvalidSettingError(f"run_many takes a strategy or its class, was {strategy!r}")
    if isinstance(grid, Mapping):
        values = {}
        for name, given in grid.items():
            if isinstance(given, str | bytes | Mapping) or not hasattr(given, "__iter__"):
                raise InvalidSettingError(f"the grid has a list of values for each parameter; {name} was {given!r}")
            values[name] = [_plain(value) for value in given]
            if not values[name]:
                raise InvalidSettingError(f"the grid has no value for {name}")
        rows = [dict(zip(values, row, strict=True)) for row in product(*values.values())]
    else:
        rows = []
        for row in grid if hasattr(grid, "__iter__") and not isinstance(grid, str) else ():
            if not isinstance(row, Mapping):
                raise InvalidSettingError(f"row {len(rows)} of the grid is parameters by name, was {row!r}")
            rows.append({name: _plain(value) for name, value in row.items()})
    if not rows:
        raise InvalidSettingError("the grid is empty; it is lists of values by parameter, or a list of rows")
    return rows


def _require_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidSettingError(f"{name} is a whole number from {least}, was {value!r}")


def _plain(value: Any) -> Any:
    """Return a number of numpy as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _strategies(strategy: type[Strategy] | Strategy, rows: Sequence[Mapping[str, Any]]) -> list[Strategy]:
    """Return the strategy of each row; all of them, before anything runs."""
    kind = strategy if isinstance(strategy, type) else type(strategy)
    base = {} if isinstance(strategy, type) else {name: getattr(strategy, name) for name in kind.model_fields}
    made = []
    for k, row in enumerate(rows):
        try:
            made.append(kind(**{**base, **row}))
        except InvalidSettingError as error:
            raise InvalidSettingError(f"row {k} of the grid ({_named(row)}): {error}") from None
    return made


def _title(strategy: Strategy) -> str:
    return f"{type(strategy).__name__}({_named(strategy.parameters)})"


def _named(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in row.items())


def _order(rows: Sequence[Mapping[str, Any]], most: int) -> list[int]:
    """Return the order in which rows find the indicators of others still kept.

    The parameter with the most values changes slowest; within one of its values the others go round no more than
    ``most`` values each, so that as many columns serve again before they are dropped.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    ranks: dict[str, dict[str, int]] = {name: {} for name in names}
    for row in rows:
        for name, rank in ranks.items():
            rank.setdefault(repr(row.get(name)), len(rank))
    slowest_first = sorted(names, key=lambda name: -len(ranks[name]))

    def place(k: int) -> tuple[list[int], list[int]]:
        ranked = [ranks[name][repr(rows[k].get(name))] for name in slowest_first]
        return [rank // most for rank in ranked[1:]], ranked

    return sorted(range(len(rows)), key=place)


def _spread(
    walk: Callable[[Sequence[Strategy]], tuple[Floats, Floats]],
    strategies: Sequence[Strategy],
    order: Sequence[int],
    workers: int,
) -> tuple[Floats, Floats]:
    """Walk the rows in an order that suits the kept indicators, in one process or several; return them as given."""
    if workers == 1:
        parts = [walk([strategies[k] for k in order])]
    else:
        try:
            from joblib import Parallel, delayed
        except ImportError:
            raise InvalidSettingError("workers needs joblib: pip install 'signal-backtest[study]'") from None
        chunks = [chunk.tolist() for chunk in np.array_split(np.asarray(order), min(workers, len(order)))]
        parts = Parallel(n_jobs=len(chunks))(delayed(walk)([strategies[k] for k in chunk]) for chunk in chunks)
    figures, daily = (np.concatenate(part) for part in zip(*parts, strict=True))
    back = np.argsort(order)
    return figures[back], daily[back]


def _walk(
    feeds: Sequence[Feed],
    lane: str,
    profile: SubscriberProfile,
    assumptions: VenueAssumptions,
    limit: int,
    strategies: Sequence[Strategy],
) -> tuple[Floats, Floats]:
    """Run strategies one after another; return the figures of each and its equity at the end of each day."""
    figures = np.empty((len(strategies), len(FIGURES)))
    daily = np.empty((len(strategies), 0))
    ends: NDArray[np.int64] | None = None
    with keeping([feed.candles for feed in feeds], limit):
        for k, strategy in enumerate(strategies):
            try:
                venue = execute(
                    strategy, [prepare(strategy, feed, lane=lane) for feed in feeds], profile, assumptions
                ).venue
            except BacktestError as error:
                error.args = (f"{_title(strategy)}: {error}",)
                raise
            except ValueError as error:
                if "read-only" not in str(error):
                    raise
                raise InvalidSettingError(
                    f"{_title(strategy)} wrote into an indicator, which other rows of a sweep share: copy it first"
                ) from error
            equity = venue.equity
            if ends is None:
                ends = daily_equity(venue.equity_time, np.arange(len(equity), dtype=np.float64))[1].astype(np.int64)
                daily = np.empty((len(strategies), len(ends)))
            daily[k] = equity[ends]
            fallen = _deepest(venue, profile.balance)
            trades = len(venue.trade_records) + len(venue.open_records)
            figures[k] = equity[-1] / profile.balance - 1.0, trades, equity[-1], fallen
    return figures, daily


def _deepest(venue: SimulatedVenue, balance: float) -> float:
    """Return the largest drawdown as :func:`backtest.report.metrics.statistics` defines it."""
    time, worst = np.asarray(venue.equity_time), np.array(venue.equity)
    for feed in venue.feeds:
        candles = feed.candles
        dip, _ = dips(candles.time, candles.high, candles.low, candles.close, traded_of(venue, candles.symbol))
        np.subtract.at(worst, np.searchsorted(time, candles.close_time), dip)
    return float(drawdowns(balance, np.asarray(venue.equity), worst).min())


def _sharpe(balance: float, values: Floats) -> float:
    """Return mean over standard deviation of daily returns, times the root of a year's days."""
    if len(values) < SHORT or not (values > 0.0).all():
        return float("nan")
    returns = simple_returns(balance, values)
    if np.ptp(returns) == 0.0:
        return float("nan")
    return float(np.mean(returns) / np.std(returns, ddof=1) * np.sqrt(YEAR))
