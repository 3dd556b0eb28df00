"""Search: rows of a grid chosen one batch after another by what the rows before them gave (TPE, by optuna)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.study.crew import staff
from backtest.study.sweep import ResultMany, run_many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.strategy import Strategy

__all__ = ["search_many"]

_BATCH = 16


def search_many(  # noqa: PLR0913 - the arguments of run_many, and those of the search
    strategy: type[Strategy] | Strategy,
    grid: Mapping[str, Sequence[Any]],
    candles: Candles | Mapping[str, Candles],
    *,
    market: Market | Mapping[str, Market] | None = None,
    profile: SubscriberProfile | None = None,
    by: str = "sharpe",
    trials: int = 100,
    seed: int = 0,
    workers: int | str = 1,
    **more: Any,
) -> ResultMany:
    """Try at most ``trials`` rows of a grid, asking a tree-structured Parzen estimator where to look next.

    Batches of 16 are asked for and told in one process, in memory and seeded, so the rows are the same at any number of
    workers. A row is tried once. The result is that of a sweep over the rows that were tried.

    Parameters
    ----------
    strategy, candles, market, profile, workers
        As in :func:`backtest.run_many`.
    more
        Its ``parts``, ``timeout`` and ``origins``.
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
        Where optuna is not installed, or nothing shall be tried.
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
    with staff(workers, more) as crew:

        def tried(rows: list[dict[str, Any]], *, ledger: bool) -> ResultMany:
            told = {"market": market, "profile": profile, "workers": crew, "ledger": ledger, **more}
            return run_many(strategy, rows, candles, **told)

        while len(seen) < most:
            asked = [study.ask(choices) for _ in range(min(_BATCH, most - len(seen)))]
            places = [tuple(trial.params[name] for name in grid) for trial in asked]
            fresh = [*dict.fromkeys(place for place in places if place not in seen)]
            if not fresh:  # it asks for what it knows: the next rows of the grid that were not tried
                fresh = _untried(seen, grid, len(asked))
            rows = [{name: grid[name][k] for name, k in zip(grid, place, strict=True)} for place in fresh]
            many = tried(rows, ledger=False)
            seen |= dict(zip(fresh, many.column(by).tolist(), strict=True))
            for trial, place in zip(asked, places, strict=True):
                value = seen[place]
                failed = not np.isfinite(value)
                study.tell(trial, None if failed else value, state=optuna.trial.TrialState.FAIL if failed else None)
        rows = [{name: grid[name][k] for name, k in zip(grid, place, strict=True)} for place in seen]
        return tried(rows, ledger=True)


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
