"""Search: rows of a grid chosen one batch after another by what the rows before them gave (TPE, by optuna)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.study.crew import TIMEOUT, crew_of
from backtest.study.each import AccountEach
from backtest.study.grid import Grid
from backtest.study.measured import Measured
from backtest.study.shown import check_settings, require_figure
from backtest.study.spread import folder_of
from backtest.study.sweep import OneAccount, ResultMany

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from backtest.model.candles import Candles
    from backtest.strategy import Strategy
    from backtest.study.crew import Crew
    from backtest.study.each import Given
    from backtest.study.result_each import ResultEach

    Floats = NDArray[np.float64]

__all__ = ["search_each", "search_many"]

_BATCH = 16


def search_many(  # noqa: PLR0913 - the arguments of run_many, and those of the search
    strategy: type[Strategy] | Strategy,
    grid: Mapping[str, Sequence[Any]],
    candles: Candles | Mapping[str, Candles],
    *,
    by: str = "sharpe",
    trials: int = 100,
    seed: int = 0,
    workers: int | str = 1,
    keep: int = 128,
    ledger: bool = True,
    parts: str | None = None,
    timeout: float = TIMEOUT,
    **account: Any,
) -> ResultMany:
    """Try at most ``trials`` rows of a grid, asking a tree-structured Parzen estimator where to look next.

    Batches of 16 are asked for and told in one process, in memory and seeded, so the rows are the same at any number of
    workers, and a search with ``parts`` goes on where it was. A row is tried once. The result is that of a sweep over the
    rows that were tried; one that cannot run is listed, and the search looks elsewhere.

    Parameters
    ----------
    strategy, candles, workers, keep, ledger, parts, timeout
        As in :func:`backtest.run_many`.
    account
        Its ``market``, ``profile``, ``assumptions``, ``detail``, ``funding``, ``lane`` and ``origins``.
    grid
        Values by parameter.
    by
        The figure to make large.
    trials
        Rows to try.
    seed
        Of the estimator.

    Raises
    ------
    InvalidSettingError
        Where optuna is not installed, or nothing shall be tried, and as :func:`backtest.run_many`.
    """
    require_figure(by)
    place = OneAccount(candles, kept=check_settings(workers, keep), **account)
    grids: list[Grid] = []
    came: list[Measured] = []
    with _kept(workers, parts, timeout) as (crew, folder):

        def tried(batch: Grid) -> Floats:
            grids.append(batch)
            came.append(place.run(batch, workers=crew, parts=folder, timeout=timeout))
            if len(came[-1].refused) == len(batch.rows):
                return np.full(len(batch.rows), np.nan)
            return place.result(batch, came[-1]).column(by)

        _search(strategy, grid, tried, trials=trials, seed=seed)
    whole = Grid.joined(grids)
    ends = np.cumsum([len(one.rows) for one in grids]).tolist()
    batches = ((range(end - len(one.figures), end), one) for end, one in zip(ends, came, strict=True))
    many = place.result(whole, Measured.placed(batches, len(whole.rows), {}))
    if ledger:
        many.record(place.candles)
    return many


def search_each(  # noqa: PLR0913 - the arguments of run_each, and those of the search
    strategy: type[Strategy] | Strategy,
    grid: Mapping[str, Sequence[Any]],
    candles: Mapping[str, Candles | Callable[[], Candles | Given]] | Iterable[Candles],
    *,
    by: str = "sharpe",
    trials: int = 100,
    seed: int = 0,
    workers: int | str = 1,
    keep: int = 128,
    ledger: bool = True,
    parts: str | None = None,
    timeout: float = TIMEOUT,
    **accounts: Any,
) -> ResultEach:
    """Try at most ``trials`` rows of a grid on each of many markets, each market on an account of its own.

    What is made large is the **median of the figure over the markets** on which a row ran, so that no single market leads the
    search. Everything else is as in :func:`search_many`.

    Parameters
    ----------
    strategy, candles, workers, keep, ledger, parts, timeout
        As in :func:`backtest.run_each`.
    accounts
        Its ``market``, ``profile``, ``assumptions``, ``detail``, ``funding`` and ``lane``.
    grid, by, trials, seed
        As in :func:`search_many`.

    Raises
    ------
    InvalidSettingError
        As :func:`search_many` and :func:`backtest.run_each`.
    DataUnavailableError
        Where none of the markets loads.
    """
    require_figure(by)
    places = AccountEach(candles, kept=check_settings(workers, keep), **accounts)
    with _kept(workers, parts, timeout) as (crew, folder):

        def tried(batch: Grid) -> Floats:
            gained = places.run(batch, workers=crew, parts=folder, timeout=timeout)
            if batch.made and not gained.arrays:
                places.result(ledger=False)  # says why no market was loaded
            return gained.medians(by)

        _search(strategy, grid, tried, trials=trials, seed=seed)
    return places.result(ledger=ledger)


@contextmanager
def _kept(workers: int | str, parts: str | None, timeout: float) -> Iterator[tuple[int | Crew, str | None]]:
    """Yield workers that were started once, and one folder for all batches."""
    if workers == 1 and parts is None:
        yield 1, None
        return
    with crew_of(workers, timeout) as crew, folder_of(parts, far=crew.far) as folder:
        yield crew, folder


def _search(
    strategy: type[Strategy] | Strategy,
    grid: Mapping[str, Sequence[Any]],
    tried: Callable[[Grid], Floats],
    *,
    trials: int,
    seed: int,
) -> None:
    """Try rows of a grid, batch after batch.

    Parameters
    ----------
    strategy, grid
        As of the search.
    tried
        Runs the rows of a batch and returns (rows,) float64, what is to be large; NaN for a row that did not run.
    trials, seed
        As of the search.
    """
    if trials < 1:
        raise InvalidSettingError(f"trials is a number from 1, was {trials}")
    try:
        import optuna
    except ImportError:
        raise InvalidSettingError("--search tpe needs optuna: pip install 'signal-backtest[study]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    choices: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.IntDistribution(0, len(values) - 1) for name, values in grid.items()
    }
    most = min(trials, int(np.prod([len(values) for values in grid.values()])))
    seen: dict[tuple[int, ...], float] = {}
    while len(seen) < most:
        asked = [study.ask(choices) for _ in range(min(_BATCH, most - len(seen)))]
        places = [tuple(trial.params[name] for name in grid) for trial in asked]
        fresh = [*dict.fromkeys(place for place in places if place not in seen)]
        if not fresh:  # it asks for what it knows: the next rows of the grid that were not tried
            fresh = _untried(seen, grid, len(asked))
        rows = [{name: grid[name][k] for name, k in zip(grid, place, strict=True)} for place in fresh]
        seen |= dict(zip(fresh, tried(Grid.of(strategy, rows)).tolist(), strict=True))
        for trial, place in zip(asked, places, strict=True):
            value = seen[place]
            failed = not np.isfinite(value)
            study.tell(trial, None if failed else value, state=optuna.trial.TrialState.FAIL if failed else None)


def _untried(
    seen: Mapping[tuple[int, ...], float], grid: Mapping[str, Sequence[Any]], count: int
) -> list[tuple[int, ...]]:
    found = []
    for place in np.ndindex(*(len(values) for values in grid.values())):
        if place not in seen:
            found.append(place)
        if len(found) == count:
            break
    return found
