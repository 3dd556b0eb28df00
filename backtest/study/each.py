"""Each: a sweep over many markets, each on an account of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import DataUnavailableError, InvalidSettingError
from backtest.model.assumptions import VenueAssumptions
from backtest.model.candles import Candles
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from backtest.report import text
from backtest.report.daily import DAY
from backtest.runner.by_symbol import by_symbol
from backtest.runner.run import histories_of, lane_of, run
from backtest.study.crew import TIMEOUT
from backtest.study.gathered import Gathered
from backtest.study.grid import Grid
from backtest.study.measured import Account
from backtest.study.shown import check_settings
from backtest.study.spread import Lot, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import ArrayLike

    from backtest.runner.result import Result
    from backtest.strategy import Strategy
    from backtest.study.crew import Crew
    from backtest.study.gathered import Gained
    from backtest.study.result_each import ResultEach
    from backtest.study.task import Origin

__all__ = ["AccountEach", "Given", "run_each"]

_LEAST_DAYS = 3
"""UTC days below which nothing can be said of the returns of days."""


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
        self._gathered = Gathered(self._profile.balance)

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
