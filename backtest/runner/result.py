"""Result: what a subscriber would have got, and how much of it is assumption."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.model.assumptions import VenueAssumptions
from backtest.model.profile import SubscriberProfile
from backtest.model.progress import progress
from backtest.report import text
from backtest.report.interval import Interval
from backtest.runner.checks.verdict import Checks
from backtest.runner.folder import load_tables, save_tables
from backtest.runner.frames import events_frame, events_of, fills_frame, trades_columns
from backtest.runner.loading import load_strategy
from backtest.runner.manifest import calls_of, figures_of, refusals_of, tables_of
from backtest.runner.record import StrategyRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from backtest.model.candles import Candles
    from backtest.model.events import Event
    from backtest.report.chart_frame import ChartFrame
    from backtest.report.comparison import Comparison
    from backtest.report.listed import SignalStory
    from backtest.report.statistic import Statistics
    from backtest.report.subscribers import Subscribers
    from backtest.report.tables import ResultTables
    from backtest.runner.breakdowns import Breakdowns
    from backtest.runner.call_log import CallLog
    from backtest.runner.decision import Decision, Refusal
    from backtest.runner.finished import Finished
    from backtest.runner.luck import Luck
    from backtest.runner.replaying import Replay
    from backtest.runner.trade_records import TradeRecords
    from backtest.strategy import Strategy

__all__ = ["Result"]


class Result:
    """A finished run, or one that was saved.

    Cheap figures (:attr:`trades`, :attr:`equity`, :attr:`fills`) come from the one mode that was run. Statistics, display
    and :meth:`save` show every return beside its three-mode interval (L2.3) and run the other two modes when first asked.

    Attributes
    ----------
    strategy
        What decided: the strategy, or the call log in its place. Of a loaded result a record of class and parameters,
        unless its file was named.
    profile, assumptions
        On which the signals were executed.
    """

    strategy: Strategy | CallLog | StrategyRecord
    profile: SubscriberProfile
    assumptions: VenueAssumptions

    def __init__(self, run: Finished) -> None:
        """Keep one finished mode."""
        self.strategy, self.profile, self.assumptions = run.strategy, run.profile, run.assumptions
        self._run: Finished | None = run

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, strategy: str | os.PathLike[str] | None = None) -> Result:
        """Return a result as :meth:`save` wrote it.

        Parameters
        ----------
        folder
            Where it was saved.
        strategy
            The strategy's file, ``FILE.py`` or ``FILE.py:Class``, which is then executed; None leaves
            :attr:`strategy` a record of class and parameters, and executes nothing.

        Raises
        ------
        InvalidSettingError
            Where the folder holds no result, or one of another format; or where the file holds another strategy than the
            one that made it.
        """
        tables = load_tables(folder)
        result = cls.__new__(cls)
        result._run = None
        result.tables = tables
        result.profile = SubscriberProfile.from_dict(dict(tables.manifest["profile"]))
        result.assumptions = VenueAssumptions.from_listed(tables.assumptions)
        record = StrategyRecord(**tables.manifest["strategy"])
        result.strategy = record
        if strategy is not None:
            chosen = load_strategy(os.fspath(strategy))(**record.parameters)
            record.check(chosen)
            result.strategy = chosen
        return result

    # ------------------------------------------------------------ what happened

    @cached_property
    def trades(self) -> pd.DataFrame:
        """One row a trade, first fill to flat; open ones last, with ``exit_time`` NaT. Times are UTC, money is quote."""
        columns = trades_columns(self._run.venue) if self._run else self.tables.trades
        return _with_times(columns, "entry_time", "exit_time")

    @cached_property
    def fills(self) -> pd.DataFrame:
        """One row a fill, with the rule that made it."""
        return _with_times(fills_frame(self._run.venue) if self._run else self.tables.fills, "time")

    @cached_property
    def equity(self) -> pd.Series:
        """Equity at each close, quote currency; its index is the close time, UTC."""
        return self._equity.copy(deep=False)  # pandas copies it once somebody writes into it

    @cached_property
    def _equity(self) -> pd.Series:
        """The same where the engine wrote it."""
        import pandas as pd

        if self._run:
            equity, index = self._run.execution.venue.equity, self._run.execution.close_index()
        else:
            time, equity = self.tables.equity["time"].to_numpy(), self.tables.equity["equity"].to_numpy()
            index = pd.DatetimeIndex(time.view("M8[ms]"), tz="UTC", name="time")
        return pd.Series(equity, index=index, name="equity", copy=False)

    @cached_property
    def records(self) -> TradeRecords:
        """The trades as numeric arrays: candles of entry and exit, prices, quantity, PnL; no table is made for them."""
        from backtest.runner.trade_records import records_of, records_of_tables

        return records_of(self._run.execution.venue) if self._run else records_of_tables(self.tables)

    @cached_property
    def events(self) -> list[Event]:
        """Everything that happened, in order; a notebook shows a table, ``.frame`` is one."""
        from backtest.report.listed import Events

        return Events(events_of(events_frame(self._run.venue) if self._run else self.tables.events))

    @cached_property
    def calls(self) -> list[Decision]:
        """The calls in order: ``at`` (close time, UTC ms) and ``call``, the very objects that live would send."""
        from backtest.report.listed import Calls

        return Calls(self._run.execution.decisions if self._run else calls_of(self.tables.calls))

    @property
    def refused(self) -> list[Refusal]:
        """The calls that the desk refused and that are never sent, since their prices were out of order (L3.8)."""
        return self._run.execution.refusals if self._run else refusals_of(self.tables.refused)

    @property
    def finished(self) -> Finished:
        """The run behind it, with its candles and calls, for whoever walks them again.

        Raises
        ------
        InvalidSettingError
            For a loaded result, which has none.
        """
        if self._run is None:
            raise InvalidSettingError("a loaded result cannot be walked again: run it anew")
        return self._run

    # ------------------------------------------------------------ how sure

    @cached_property
    def total_return(self) -> dict[str, float]:
        """Total return as a fraction in each intrabar mode, each a run of its own (L2.3)."""
        return dict(self._run.total_return if self._run else self.tables.manifest["total_return"])

    @cached_property
    def ambiguous(self) -> dict[str, float]:
        """Candles whose journeys differ, the trades they touch, and the share of all PnL in those trades (L2.3)."""
        return dict(self._run.ambiguous if self._run else self.tables.manifest["ambiguous"])

    @cached_property
    def checks(self) -> Checks:
        """Whether the strategy looks ahead, keeps state, or needs more history than it will have live."""
        if self._run:
            return self._run.checks
        return Checks.from_dict(self.tables.manifest.get("checks") or {})

    def luck(self, kinds: Sequence[str] | None = None, *, draws: int | None = None, seed: int = 0) -> Luck:
        """Return what chance alone would have given in place of this run.

        Parameters
        ----------
        kinds
            ``"random entries"``, ``"shifted times"``, ``"permuted candles"``; None: all of them.
        draws
            Of each kind; None: 200, or none where later calls answer what happened.
        seed
            Of the draws: the same every time.

        Raises
        ------
        InvalidSettingError
            For a loaded result, which has no strategy to run again.
        """
        from backtest.runner.luck import KINDS, luck_of

        if not self._run:
            raise InvalidSettingError(
                "a loaded result cannot be drawn again; its luck stands in its report: run it anew"
            )
        return luck_of(self._run, KINDS if kinds is None else kinds, draws, seed)

    @cached_property
    def stats(self) -> Statistics:
        """Statistics of the account beside buy and hold, and the venue's own marketplace figures."""
        from backtest.report.metrics import statistics

        return statistics(self._figures if self._run else self.tables)

    @cached_property
    def _figures(self) -> ResultTables:
        assert self._run is not None  # noqa: S101 - what was loaded has its tables
        return figures_of(self._run)

    @cached_property
    def tables(self) -> ResultTables:
        """The run as tables: all that a report sees of it, and what :meth:`save` writes."""
        assert self._run is not None  # noqa: S101 - what was loaded has its tables
        return tables_of(self._run, self._figures)

    @cached_property
    def breakdowns(self) -> Breakdowns:
        """The result taken apart, each part a pandas table: by exit, target, side, hour, month; MAE and MFE; costs; and more."""
        from backtest.runner.breakdowns import Breakdowns, walked_by

        histories = self._run.histories if self._run else None
        return Breakdowns(self.tables, lambda: walked_by(self.tables, histories), lambda: self._replay)

    def subscribers(
        self,
        profiles: Mapping[str, SubscriberProfile] | None = None,
        *,
        drawn: int = 40,
        seed: int = 0,
        latencies: Sequence[int] = (),
        min_cost: float | None = None,
        detail: Mapping[str, Candles] | Candles | None = None,
        funding: Mapping[str, ArrayLike] | ArrayLike | None = None,
    ) -> Subscribers:
        """Return what many subscribers would have got of the same calls, and the venue's own figures.

        Each account is walked by the engine: everything sold at target 1, equal parts, trailing take profit, stop on close,
        no stop, a small balance, a candle late, other fees and slippage; and ``drawn`` subscribers who chose at random.

        Parameters
        ----------
        profiles
            More subscribers, by name.
        drawn, seed
            How many are drawn, and of which seed: the same every time.
        latencies
            More subscribers, so many ms late. Less than a candle can only be seen with detail candles (L1.2).
        min_cost
            Least order in quote currency, where the market does not say: a small balance lies near it.
        detail, funding
            Of a loaded result, which keeps neither: finer candles and funding rates, by symbol where there are several.

        Raises
        ------
        InvalidSettingError
            For latencies that the candles cannot tell apart, a result without calls, or a number that is none.
        """
        from backtest.runner.subscribers import subscribers_of

        replay = self._replay if detail is None and funding is None else self._replay_with(detail, funding)
        asked: dict[str, Any] = {"latencies": latencies, "min_cost": min_cost}
        return subscribers_of(replay, profiles=profiles, drawn=drawn, seed=seed, **asked)

    def _replay_with(self, detail: Any, funding: Any) -> Replay:
        from backtest.model.candles import Candles
        from backtest.runner.by_symbol import by_symbol, rates_of
        from backtest.runner.replaying import replay_of_tables

        replay = replay_of_tables(self.tables, self.profile, self.assumptions)
        series = {history.candles.symbol: history.candles for history in replay.histories}
        fine, rates = by_symbol(detail, Candles, series, "detail"), rates_of(funding, series)
        return replay_of_tables(self.tables, self.profile, self.assumptions, detail=fine, funding=rates)

    @cached_property
    def _replay(self) -> Replay:
        from backtest.runner.replaying import replay_of, replay_of_tables

        if self._run:
            return replay_of(self._run)
        return replay_of_tables(self.tables, self.profile, self.assumptions)

    def compare(self, other: Result, *more: Result) -> Comparison:
        """Return this result beside others: figures side by side, equity on one chart, the trades that differ.

        Parameters
        ----------
        other, more
            Each is compared with this one.
        """
        from backtest.report.comparison import comparison_of

        results = (self, other, *more)
        for one in results:
            if not isinstance(one, Result):
                raise InvalidSettingError(f"a result is compared with a Result, was {one!r:.60}")
        return comparison_of([one.tables for one in results], [one.stats for one in results])

    # ------------------------------------------------------------ to look at

    def plot(self, *, symbol: str | None = None, last: int | None = None, ax: Axes | None = None) -> Figure:
        """Return a figure: price with entries, targets, stops and exits; equity; drawdown.

        Parameters
        ----------
        symbol
            Whose price is drawn; None takes the first by name.
        last
            How many trades back the chart reaches; None draws every candle.
        ax
            Axes of a figure of your own, on which the price is drawn; equity and drawdown are left out then.
        """
        from backtest.report.charts import overview_chart, price_on

        if ax is not None:
            return price_on(ax, self.tables, symbol, last=last)
        return overview_chart(self.tables, symbol, last=last)

    def chart(self, *, height: int = 560) -> ChartFrame:
        """Return the interactive chart, as a notebook shows it: zoom by wheel and drag, n and p from trade to trade.

        Parameters
        ----------
        height
            Of its frame, in pixels.
        """
        from backtest.report.chart_frame import ChartFrame

        return ChartFrame(self.tables, height)

    def signal(self, signal: str | int) -> SignalStory:
        """Return the life of one signal: its steps with their rules, and its picture.

        Parameters
        ----------
        signal
            As for :meth:`explain`.

        Raises
        ------
        InvalidSettingError
            Where no signal, or more than one, is meant.
        """
        from backtest.report.listed import SignalStory

        return SignalStory(self.tables, self.tables.signal(str(signal)))

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write one self-contained HTML page that makes no network request; return its path."""
        from pathlib import Path

        from backtest.report.page import write_page
        from backtest.runner.sections import sections_of

        with progress("report", 3) as bar:
            tables, stats = self._with_luck(), self.stats
            bar.advance()
            sections = sections_of(self.tables, self.breakdowns, self.subscribers)
            bar.advance()
            write_page(tables, path, stats, sections)
            bar.advance()
        return Path(path)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write manifest, tables and calls; the same inputs give byte-identical files. Return the folder."""
        return save_tables(self._with_luck(), folder)

    def _with_luck(self) -> ResultTables:
        """Return the tables with what luck alone would have given in their manifest, where the run is checked."""
        from backtest.runner.luck import KINDS

        if self._run and self._run.level != "off" and "luck" not in self.tables.manifest:
            told = {"luck": list(self.luck(KINDS[:1]).lines)}
            self.tables = replace(self.tables, manifest={**self.tables.manifest, **told})
        return self.tables

    def explain(self, signal: str | int) -> str:
        """Return the timeline of a signal, level by level, with the rule that made each step.

        Parameters
        ----------
        signal
            Its ref, its number in the order of creation from 1, or an ending that only it has.

        Raises
        ------
        InvalidSettingError
            Where no signal, or more than one, is meant.
        """
        from backtest.report.explain import explain_text

        return explain_text(self.tables, str(signal))

    def _repr_html_(self) -> str:
        from backtest.report.notebook import repr_html

        return repr_html(self.tables, self.stats)

    def __repr__(self) -> str:
        tables = self.tables
        interval = Interval(**self.total_return).shown(self.profile.intrabar)
        return (
            f"<Result {tables.name} on {', '.join(tables.symbols)}: {text.plural(len(self.trades), 'trade')}, "
            f"total return {interval}>"
        )


def _with_times(columns: Any, *names: str) -> pd.DataFrame:
    """Return columns, or a frame, as a table whose columns of UTC ms are UTC times; -1 becomes NaT."""
    import pandas as pd

    shown: dict[str, Any] = dict(columns.items())
    for name in names:
        stamps = np.array(columns[name], np.int64).view("M8[ms]")
        stamps[stamps.view(np.int64) < 0] = np.datetime64("NaT")
        shown[name] = pd.DatetimeIndex(stamps, tz="UTC")
    return pd.DataFrame(shown)
