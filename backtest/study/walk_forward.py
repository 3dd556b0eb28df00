"""Walk-forward: choose parameters on one stretch of candles, judge them on the next, again and again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.model.candles import Candles
from backtest.report import text
from backtest.report.daily import daily_equity, simple_returns
from backtest.report.metrics import YEAR
from backtest.report.selection import sharpe_of
from backtest.runner.run import run
from backtest.study.crew import staff
from backtest.study.stitched import Part, stitched
from backtest.study.sweep import run_many

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.result import Result
    from backtest.strategy import Strategy

__all__ = ["Fold", "WalkForward", "span_ms", "walk_forward"]

_UNITS = {"h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


@dataclass(frozen=True, slots=True)
class Fold:
    """One choice and its test.

    Attributes
    ----------
    train
        Open time of the first training candle and close time of the last, UTC ms.
    test
        Close times between which the chosen parameters decide, UTC ms, the end not included.
    parameters
        What was chosen.
    in_sample, out_of_sample
        Sharpe ratios a year of the chosen set in training, and of the stitched account in the test part; NaN where
        nothing moved.
    """

    train: tuple[int, int]
    test: tuple[int, int]
    parameters: Mapping[str, Any]
    in_sample: float
    out_of_sample: float


@dataclass(frozen=True, eq=False)
class WalkForward:
    """Folds, and one run over all test parts on one account.

    Attributes
    ----------
    folds
        In order of time.
    rows
        How many sets of parameters each fold chose from.
    by
        The figure by which it chose.
    result
        The stitched out-of-sample run, with figures and report of its own; it begins with the first test part.
    """

    folds: tuple[Fold, ...]
    rows: int
    by: str
    result: Result
    _names: tuple[str, ...] = field(default=(), repr=False)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a fold: its spans, what was chosen, and the Sharpe ratios in and out of sample."""
        import pandas as pd

        stamps = {
            "train_start": [fold.train[0] for fold in self.folds],
            "train_end": [fold.train[1] for fold in self.folds],
            "test_start": [fold.test[0] for fold in self.folds],
            "test_end": [fold.test[1] for fold in self.folds],
        }
        columns: dict[str, Any] = {
            name: pd.DatetimeIndex(np.array(values, np.int64).view("M8[ms]"), tz="UTC")
            for name, values in stamps.items()
        }
        columns |= {name: [fold.parameters[name] for fold in self.folds] for name in self._names}
        columns["in_sample"] = [fold.in_sample for fold in self.folds]
        columns["out_of_sample"] = [fold.out_of_sample for fold in self.folds]
        return pd.DataFrame(columns)

    @property
    def verdict(self) -> str:
        """One sentence: what choosing was worth."""
        inside = np.array([fold.in_sample for fold in self.folds])
        outside = np.array([fold.out_of_sample for fold in self.folds])
        positive = int((outside > 0.0).sum())
        known = inside[np.isfinite(inside)]
        mean = f"{float(known.mean()):.2f}" if len(known) else "n/a"
        interval = self.result.total_return
        return (
            f"{text.plural(len(self.folds), 'fold')} of {text.plural(self.rows, 'set')}, chosen by {self.by}: Sharpe in "
            f"sample {mean}, positive out of sample in {positive} of {len(self.folds)}; stitched total return "
            f"{text.percent(min(interval.values()), signed=True)} to {text.percent(max(interval.values()), signed=True)}"
        )

    def __repr__(self) -> str:
        return f"{self.verdict}\n{self.table.to_string(float_format=_two_places)}"

    def _repr_html_(self) -> str:
        return f"<p>{self.verdict}</p>{self.table.to_html(float_format=_two_places)}"


def _two_places(value: float) -> str:
    return f"{value:.2f}"


def span_ms(written: str) -> int:
    """Return the milliseconds of ``"180d"``, ``"12h"`` or ``"4w"``.

    Raises
    ------
    InvalidSettingError
        For anything else.
    """
    found = re.fullmatch(r"(\d+)([hdw])", written.strip())
    if found is None or int(found[1]) == 0:
        raise InvalidSettingError(f"a span is written 180d, 12h or 4w, was {written!r}")
    return int(found[1]) * _UNITS[found[2]]


def walk_forward(  # noqa: PLR0913 - the arguments of run_many, and those of the folds
    strategy: type[Strategy] | Strategy,
    grid: Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]],
    candles: Candles | Mapping[str, Candles],
    *,
    train: str = "180d",
    test: str = "30d",
    anchored: bool = False,
    embargo: str | None = None,
    by: str = "sharpe",
    market: Market | Mapping[str, Market] | None = None,
    profile: SubscriberProfile | None = None,
    assumptions: VenueAssumptions | None = None,
    workers: int | str = 1,
) -> WalkForward:
    """Choose parameters on each training part and run them over the test part behind it, stitched into one account.

    Indicators of a test part are computed over all candles before it, so it is warm from its first candle. A position
    open at the end of a part lives on and is managed with the next parameters.

    Parameters
    ----------
    strategy, grid, candles, market, profile, assumptions, workers
        As in :func:`backtest.run_many`.
    train, test
        Lengths, ``"180d"``. The parts follow each other by the length of a test part; what is left at the end is not used.
    anchored
        Whether every training part begins with the first candle; else it rolls.
    embargo
        Left out between training and test, where labels overlap.
    by
        ``"sharpe"``, ``"total_return"``, ``"final_equity"`` or ``"max_drawdown"``.

    Raises
    ------
    InvalidSettingError
        Where the candles do not hold one training and one test part, naming their length.
    """
    series = {candles.symbol: candles} if isinstance(candles, Candles) else dict(candles)
    kind = strategy if isinstance(strategy, type) else type(strategy)
    rows = grid if isinstance(grid, Mapping) else list(grid)
    spans = _spans(series, span_ms(train), span_ms(test), span_ms(embargo) if embargo else 0, anchored=anchored)
    chosen: list[Strategy] = []
    best: list[float] = []
    names: tuple[str, ...] = ()
    count = 0
    with staff(workers, {}) as crew:
        for (begin, end), _ in spans:
            part = {symbol: one.between(begin, end) for symbol, one in series.items()}
            many = run_many(
                strategy,
                rows,
                {symbol: one for symbol, one in part.items() if len(one)},
                market=market,
                profile=profile,
                assumptions=assumptions,
                workers=crew,
                ledger=False,
            )
            row, names, count = many.best(by), many.names, len(many)
            chosen.append(many.chosen(row))
            best.append(float(many.column("sharpe")[row]))
    parts = [
        Part(start=start, end=end, parameters={name: getattr(one, name) for name in kind.model_fields})
        for one, (_, (start, end)) in zip(chosen, spans, strict=True)
    ]
    first, last = spans[0][1][0], spans[-1][1][1]
    judged = {symbol: one.between(first - one.milliseconds, last) for symbol, one in series.items()}
    whole = run(
        stitched(kind, parts, series),
        {symbol: one for symbol, one in judged.items() if len(one)},
        market=market,
        profile=profile,
        assumptions=assumptions,
    )
    outside = _sharpes(whole, [tested for _, tested in spans])
    folds = tuple(
        Fold(trained, tested, {name: getattr(one, name) for name in names}, inside, after)
        for (trained, tested), one, inside, after in zip(spans, chosen, best, outside, strict=True)
    )
    return WalkForward(folds, count, by, whole, names)


_Span = tuple[int, int]


def _spans(
    series: Mapping[str, Candles], train: int, test: int, embargo: int, *, anchored: bool
) -> list[tuple[_Span, _Span]]:
    """Return training and test span of each fold, UTC ms."""
    first = min(int(one.time[0]) for one in series.values())
    last = max(int(one.close_time[-1]) for one in series.values())
    spans = []
    start = first + train + embargo
    while start + test <= last:
        begin = first if anchored else start - embargo - train
        spans.append(((begin, start - embargo), (start, start + test)))
        start += test
    if not spans:
        days = _UNITS["d"]
        raise InvalidSettingError(
            f"the candles cover {(last - first) / days:.1f} days; one training part of {train / days:g}, an embargo of "
            f"{embargo / days:g} and a test part of {test / days:g} need more: give shorter parts or more candles"
        )
    return spans


def _sharpes(result: Result, spans: Sequence[tuple[int, int]]) -> list[float]:
    """Return the Sharpe ratio a year of each test part of one account."""
    import pandas as pd

    time = pd.DatetimeIndex(result.equity.index).as_unit("ms").asi8
    equity = result.equity.to_numpy(np.float64)
    ends, values = daily_equity(time, equity)
    returns: NDArray[np.float64] = simple_returns(result.profile.balance, values)
    found = []
    for start, end in spans:
        mine = returns[(ends > start) & (ends <= end)]
        moved = len(mine) > 1 and float(np.ptp(mine)) > 1e-15
        found.append(float(sharpe_of(mine)) * float(np.sqrt(YEAR)) if moved else float("nan"))
    return found
