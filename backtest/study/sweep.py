"""Sweep: one strategy with many sets of parameters over the same candles."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError, StorageError, did_you_mean
from backtest.model.assumptions import VenueAssumptions
from backtest.model.profile import SubscriberProfile
from backtest.model.progress import tracked
from backtest.report import text
from backtest.report.daily import simple_returns
from backtest.report.selection import effective_trials
from backtest.report.statistic import SHORT
from backtest.report.yearly import YEAR, sharpe
from backtest.runner.run import histories_of, lane_of, run
from backtest.runner.trials import family_of, record, span_of
from backtest.strategy import Strategy
from backtest.study.crew import TIMEOUT, Crew, crew_of
from backtest.study.judged import Judgement, judgement, plateau
from backtest.study.measured import FIGURES, Account, Measured
from backtest.study.task import Job, Origin, Parts, Task, plain_rows

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.runner.result import Result

    Floats = NDArray[np.float64]

__all__ = ["ResultMany", "run_many"]

SHOWN = 10
SELECTED = (
    "A best row is picked after the fact: the more rows are tried, the better the best looks by chance alone (multiple "
    "testing). Judge it on candles that had no part in the choice."
)
_MB = 1_000_000


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
    rows = _rows(strategy, grid)
    strategies = _strategies(strategy, rows)
    if isinstance(workers, int):
        _require_whole("workers", workers, 1)
    _require_whole("keep", keep, 0)
    profile, assumptions = profile or SubscriberProfile.anny(), assumptions or VenueAssumptions()
    histories = histories_of(candles, market, detail, funding)
    good = [k for k, one in enumerate(strategies) if isinstance(one, Strategy)]
    made = [one for one in strategies if isinstance(one, Strategy)]
    refused = {k: one for k, one in enumerate(strategies) if isinstance(one, str)}
    if not made:
        raise InvalidSettingError(f"none of {text.plural(len(rows), 'row')} can run; row 0: {refused[0]}")
    account = Account(histories, lane_of(made[0], lane), profile, assumptions, keep * _MB)
    longest = max(len(history.candles) for history in histories)
    order = _order([rows[k] for k in good], max(1, account.kept // (8 * longest) - 4))
    if workers == 1 and parts is None:
        measured = Measured.of(account, [made[k] for k in order])
    else:
        measured = _spread(account, [made[k] for k in order], workers, parts, timeout, origins)
    refused |= {good[order[k]]: reason for k, reason in measured.refused.items()}
    if len(refused) == len(rows):
        raise InvalidSettingError(f"none of {text.plural(len(rows), 'row')} can run; row 0: {refused[0]}")
    figures = np.full((len(rows), len(FIGURES)), np.nan)
    daily = np.full((len(rows), measured.daily.shape[1]), np.nan)
    places = [good[k] for k in order]
    figures[places], daily[places] = measured.figures, measured.daily
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
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    kept = [one if isinstance(one, Strategy) else None for one in strategies]
    many = ResultMany(kept, tuple(rows), names, profile, figures, daily, dict(sorted(refused.items())), again)
    if ledger:
        many.record([history.candles for history in histories])
    return many


@dataclass(frozen=True, eq=False)
class ResultMany:
    """The rows of a sweep, in the order of its grid. The best of them is a selected one (multiple testing).

    Attributes
    ----------
    strategies
        The strategy of each row; None where its parameters are refused.
    rows
        The parameters of each row, as the grid gave them.
    names
        The parameters that the grid set.
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

    strategies: Sequence[Strategy | None]
    rows: tuple[Mapping[str, Any], ...]
    names: tuple[str, ...]
    profile: SubscriberProfile
    figures: Floats
    daily: Floats
    refused: Mapping[int, str]
    _again: Callable[[Strategy], Result]
    _known: dict[int, tuple[float, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.strategies)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a set: its parameters, then ``total_return``, ``trades``, ``final_equity`` and ``max_drawdown``."""
        import pandas as pd

        columns: dict[str, Any] = {name: [self._value(k, name) for k in range(len(self))] for name in self.names}
        columns |= {name: self.figures[:, k] for k, name in enumerate(FIGURES)}
        columns["trades"] = np.nan_to_num(columns["trades"]).astype(np.int64)
        if self.refused:
            columns["refused"] = [self.refused.get(k, "") for k in range(len(self))]
        return pd.DataFrame(columns)

    def _value(self, row: int, name: str) -> Any:
        one = self.strategies[row]
        return self.rows[row].get(name) if one is None else getattr(one, name)

    @cached_property
    def sharpe(self) -> pd.Series:
        """Sharpe ratio of each row: daily returns, 365 days a year, riskless rate 0; NaN below 90 days or without one."""
        import pandas as pd

        return pd.Series(
            [_sharpe(self.profile.balance, values) for values in self.daily], name="sharpe", dtype=np.float64
        )

    def chosen(self, row: int) -> Strategy:
        """Return the strategy of a row.

        Raises
        ------
        InvalidSettingError
            For a row that is not there, or whose parameters were refused.
        """
        if row not in range(len(self)):
            raise InvalidSettingError(f"there are {len(self)} rows, from 0 to {len(self) - 1}; asked for {row!r}")
        one = self.strategies[row]
        if one is None:
            raise InvalidSettingError(f"row {row} did not run: {self.refused[row]}")
        return one

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
        values = self.column(by)
        ran = np.array([k not in self.refused for k in range(len(self))])
        order = np.where(np.isnan(values), -np.finfo(np.float64).max, values)  # no figure: last of those that ran
        return int(np.argmax(np.where(ran, order, -np.inf)))

    def column(self, by: str) -> Floats:
        """Return (rows,) float64, one of the figures or ``"sharpe"`` a year; NaN where a row did not run.

        For ranking: a Sharpe ratio of less than 90 days ranks, though :attr:`sharpe` does not show it.
        """
        known = (*FIGURES, "sharpe")
        if by not in known:
            raise InvalidSettingError(f"by was {by!r}; there are {', '.join(known)}.{did_you_mean(by, known)}")
        if by != "sharpe":
            return np.asarray(self.figures[:, FIGURES.index(by)])
        return np.array([_sharpe(self.profile.balance, values, least=2) for values in self.daily])

    def judge(self, by: str = "sharpe") -> Judgement:
        """Return how much of the best row is choice: DSR and PBO over the rows that ran."""
        ran = [k for k in range(len(self)) if k not in self.refused]
        return judgement(self.profile.balance, self.daily[ran], ran.index(self.best(by)))

    def plateau(self, by: str = "sharpe") -> int | None:
        """Return the row whose neighbours in the grid are best with it; None where no row has a neighbour."""
        return plateau(self.column(by), [{name: self._value(k, name) for name in self.names} for k in range(len(self))])

    def heatmap(self, x: str, y: str, by: str = "sharpe") -> pd.DataFrame:
        """Return a figure by two parameters, the best over all others; rows are values of ``y``, columns of ``x``."""
        for name in (x, y):
            if name not in self.names:
                raise InvalidSettingError(
                    f"the grid has no parameter {name!r}; it has {', '.join(self.names)}.{did_you_mean(name, self.names)}"
                )
        table = self.table.assign(figure=self.column(by))
        return table.pivot_table("figure", y, x, aggfunc="max")

    def told(self, by: str = "sharpe") -> str:
        """Return the best rows, the plateau, what luck alone would give, and what did not run, as text."""
        best, flat = self.best(by), self.plateau(by)
        lines = [repr(self), f"best by {by}: row {best} ({_named(self.rows[best])})"]
        if flat is not None:
            same = "the best row itself" if flat == best else f"row {flat} ({_named(self.rows[flat])})"
            lines.append(f"plateau (best with its neighbours): {same}")
        lines.append(self.judge(by).sentence)
        lines += [f"row {k} ({_named(self.rows[k])}) did not run: {reason}" for k, reason in self.refused.items()]
        return "\n".join(lines)

    def save(self, folder: str | os.PathLike[str], *, by: str = "sharpe") -> list[Path]:
        """Write ``sweep.csv``, ``sweep.parquet`` and, for two numeric parameters and more, ``heatmap.png``."""
        out = Path(folder)
        try:
            out.mkdir(parents=True, exist_ok=True)
            table = self.table.assign(sharpe=self.column("sharpe"))
            written = [out / "sweep.csv", out / "sweep.parquet"]
            table.to_csv(written[0], index=False)
            table.to_parquet(written[1], index=False)
            numeric = [name for name in self.names if len(set(table[name])) > 1 and table[name].dtype.kind in "if"]
            if len(numeric) > 1:
                from backtest.report.canvas import png
                from backtest.report.heatmap import heatmap_chart

                written.append(out / "heatmap.png")
                written[2].write_bytes(png(heatmap_chart(self.heatmap(numeric[0], numeric[1], by), by)))
        except OSError as error:
            raise StorageError(f"the sweep cannot be written to {out}: {error.strerror}") from None
        return written

    def record(self, candles: Sequence[Candles]) -> str:
        """Add the sweep to the ledger of trials; return why it could not be written, or ""."""
        ran = [one for one in self.strategies if one is not None]
        returns = [simple_returns(self.profile.balance, one) for one in self.daily if (one > 0.0).all()]
        sharpes = (self.column("sharpe") / np.sqrt(YEAR)).tolist()
        effective = effective_trials(np.array(returns).T) if len(returns) > 1 else float(len(returns))
        variant = "|".join(one.identity for one in ran)
        return record(family_of(ran[0]), span_of(candles), variant, sharpes=sharpes, effective=effective)

    def __repr__(self) -> str:
        top = self._top()
        shown = f"the {len(top)} highest total returns of" if len(top) < len(self) else "all"
        name = next(type(one).__name__ for one in self.strategies if one is not None)
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
        ran = self.table.drop(index=list(self.refused)).drop(columns="refused", errors="ignore")
        top = ran.sort_values("total_return", ascending=False, kind="stable").head(SHOWN)
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


def _strategies(strategy: type[Strategy] | Strategy, rows: Sequence[Mapping[str, Any]]) -> list[Strategy | str]:
    """Return the strategy of each row, or why its parameters are refused; all of them, before anything runs.

    Raises
    ------
    InvalidSettingError
        For a parameter that the strategy does not have: every row would fail.
    """
    kind = strategy if isinstance(strategy, type) else type(strategy)
    base = {} if isinstance(strategy, type) else {name: getattr(strategy, name) for name in kind.model_fields}
    made: list[Strategy | str] = []
    for k, row in enumerate(rows):
        try:
            made.append(kind(**{**base, **row}))
        except InvalidSettingError as error:
            if any(name not in kind.model_fields for name in row):
                raise InvalidSettingError(f"row {k} of the grid ({_named(row)}): {error}") from None
            made.append(str(error))
    return made


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
    account: Account,
    strategies: Sequence[Strategy],
    workers: int | str | Crew,
    place: str | None,
    timeout: float,
    origins: Mapping[str, Origin] | None,
) -> Measured:
    """Run strategies in other processes, which write parts, and return what the parts say, in the order given.

    A row that is given twice is run once and stands in each of its places: equal tasks would write one part.
    """
    given = [json.dumps(row) for row in plain_rows(strategies)]
    texts = list(dict.fromkeys(given))
    places, rows = {one: k for k, one in enumerate(texts)}, [json.loads(one) for one in texts]
    with crew_of(workers, timeout) as crew, _place(place, far=crew.far) as folder:
        parts = Parts(folder)
        job = Job.of(type(strategies[0]), account, parts, origins)
        name, identity = parts.put_job(job), job.identity
        each = _rows_a_task(account, len(rows))
        spans = [(first, min(first + each, len(rows))) for first in range(0, len(rows), each)]
        found: dict[tuple[int, int], Measured] = {}
        lost: dict[int, str] = {}
        while spans:
            tasks = {span: Task.of(parts, name, identity, rows[slice(*span)]) for span in spans}
            there = parts.names()
            done = {span: one for span, task in tasks.items() if task.part in there and (one := parts.read(task.part))}
            found |= done
            asked = {task.part: span for span, task in tasks.items() if span not in done}
            spans = []
            wanted = crew.finish([tasks[span] for span in asked.values()])
            for task, written in tracked("sweep", wanted, len(asked)):
                span = asked[task.part]
                if written:
                    found[span] = _required(parts, task)
                elif span[1] - span[0] > 1:
                    middle = (span[0] + span[1]) // 2
                    spans += [(span[0], middle), (middle, span[1])]
                else:
                    lost[span[0]] = (
                        f"two processes died while they ran it: killed, out of memory, or longer than {timeout:g} s"
                    )
    whole, at = _whole(found, lost, len(rows)), [places[one] for one in given]
    refused = {k: whole.refused[row] for k, row in enumerate(at) if row in whole.refused}
    return Measured(whole.figures[at], whole.daily[at], refused)


def _required(parts: Parts, task: Task) -> Measured:
    found = parts.read(task.part)
    if found is None:
        raise StorageError(
            f"a worker wrote {task.part} where this machine does not see it: {parts} must be a folder that all machines share"
        )
    return found


def _whole(found: Mapping[tuple[int, int], Measured], lost: Mapping[int, str], count: int) -> Measured:
    """Return parts as one, in the order of the rows."""
    days = next((one.daily.shape[1] for one in found.values()), 0)
    whole = Measured(np.full((count, len(FIGURES)), np.nan), np.full((count, days), np.nan), dict(lost))
    for (first, last), one in found.items():
        whole.figures[first:last], whole.daily[first:last] = one.figures, one.daily
        whole.refused.update({first + k: reason for k, reason in one.refused.items()})
    return whole


def _rows_a_task(account: Account, rows: int) -> int:
    """Return how many rows make a task of about a second; a matter of the sweep alone, so that it is cut alike again."""
    candles = sum(len(history.candles) for history in account.histories)
    second = 100_000_000 if account.lane == "table" else 2_000_000
    return max(1, min(second // max(1, candles), -(-rows // 8)))


@contextlib.contextmanager
def _place(given: str | None, *, far: bool) -> Iterator[str]:
    """Yield the folder of parts; without one, a folder that is gone afterwards."""
    if given is not None:
        yield given if "://" in given else str(Path(given).absolute())
        return
    if far:
        raise InvalidSettingError(
            "a cluster of several machines needs --parts (parts=...): a folder that all of them share, or a URL such as "
            "s3://bucket/sweep"
        )
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        yield folder


def _sharpe(balance: float, values: Floats, *, least: int = SHORT) -> float:
    """Return the Sharpe ratio of daily equity; NaN below ``least`` days, and where it is not defined."""
    if len(values) < least or not (values > 0.0).all():
        return float("nan")
    returns = simple_returns(balance, values)
    if np.ptp(returns) == 0.0:
        return float("nan")
    return sharpe(returns)
