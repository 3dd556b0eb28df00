"""Result: what a subscriber would have got, and how much of it is assumption."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.settings import MODES
from backtest.runner.execute import Execution, Prepared, execute
from backtest.runner.frames import events_frame, events_of, fills_frame, trades_columns, trades_frame

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.events import Event
    from backtest.model.profile import SubscriberProfile
    from backtest.report.statistic import Statistics
    from backtest.report.tables import ResultTables
    from backtest.runner.log_replay import CallLog
    from backtest.runner.session import Decision
    from backtest.strategy import Strategy

__all__ = ["Result"]


class Result:
    """A finished run.

    Cheap figures (:attr:`trades`, :attr:`equity`, :attr:`fills`) come from the one mode that was run. Statistics, display
    and :meth:`save` show every return beside its three-mode interval (L2.3) and run the other two modes when first asked.
    """

    def __init__(
        self,
        strategy: Strategy | CallLog,
        prepared: Sequence[Prepared],
        profile: SubscriberProfile,
        assumptions: VenueAssumptions,
        execution: Execution,
        walk: Callable[..., Execution] = execute,
    ) -> None:
        """Keep one finished mode; ``walk(strategy, prepared, profile, assumptions)`` makes the other two."""
        self.strategy, self.profile, self.assumptions = strategy, profile, assumptions
        self._prepared, self._execution, self._walk = prepared, execution, walk
        self._loaded: ResultTables | None = None

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Result:
        """Return a result as :meth:`save` wrote it; its tables are all there, its strategy is a record only.

        Raises
        ------
        InvalidSettingError
            Where the folder holds no result, or one of another format.
        """
        from backtest.runner.folder import load_tables

        result = cls.__new__(cls)
        result._loaded = load_tables(folder)
        return result

    # ------------------------------------------------------------ what happened

    @cached_property
    def trades(self) -> pd.DataFrame:
        """One row a trade, first fill to flat; open ones last, with ``exit_time`` NaT. Times are UTC, money is quote."""
        columns = self.tables.trades if self._loaded else trades_columns(self._named())
        return _with_times(columns, "entry_time", "exit_time")

    @cached_property
    def fills(self) -> pd.DataFrame:
        """One row a fill, with the rule that made it."""
        return _with_times(self.tables.fills if self._loaded else fills_frame(self._named()), "time")

    @cached_property
    def equity(self) -> pd.Series:
        """Equity at each close, quote currency; its index is the close time, UTC."""
        import pandas as pd

        if self._loaded:
            time, equity = self._loaded.equity["time"].to_numpy(), self._loaded.equity["equity"].to_numpy()
            index = pd.DatetimeIndex(time.view("M8[ms]"), tz="UTC", name="time")
        else:
            equity, index = self._execution.venue.equity, self._execution.close_index()
        return pd.Series(equity, index=index, name="equity")

    @cached_property
    def events(self) -> list[Event]:
        """Everything that happened, in order."""
        return events_of(self.tables.events if self._loaded else events_frame(self._named()))

    @property
    def calls(self) -> list[Decision]:
        """The calls in order: ``at`` (close time, UTC ms) and ``call``, the very objects that live would send."""
        if self._loaded:
            from backtest.runner.folder import calls_of

            return calls_of(self._loaded.calls)
        return self._execution.decisions

    def _named(self) -> Any:
        self._execution.name_signals()
        return self._execution.venue

    # ------------------------------------------------------------ how sure

    @cached_property
    def total_return(self) -> dict[str, float]:
        """Total return as a fraction in each intrabar mode, each a run of its own (L2.3)."""
        if self._loaded:
            return {mode: float(value) for mode, value in self._loaded.manifest["total_return"].items()}
        found = {}
        for mode in MODES:
            run = self._execution
            if mode != self.profile.intrabar:
                run = self._walk(
                    self.strategy, self._prepared, self.profile.model_copy(update={"intrabar": mode}), self.assumptions
                )
            found[mode] = float(run.venue.equity[-1]) / self.profile.balance - 1.0
        return found

    @cached_property
    def ambiguous(self) -> dict[str, float]:
        """Candles whose journeys differ, the trades they touch, and the share of all PnL in those trades (L2.3)."""
        if self._loaded:
            return dict(self._loaded.manifest["ambiguous"])
        trades = trades_frame(self._named())
        touched = trades["ambiguous"].to_numpy(bool)
        pnl = np.abs(trades["pnl"].to_numpy(np.float64))
        total = float(pnl.sum())
        return {
            "candles": int(self._execution.venue.account.ambiguous),
            "trades": int(touched.sum()),
            "pnl_share": float(pnl[touched].sum()) / total if total else 0.0,
        }

    @cached_property
    def stats(self) -> Statistics:
        """Statistics of the account beside buy and hold, and the venue's own marketplace figures."""
        from backtest.report.metrics import statistics

        return statistics(self.tables)

    @cached_property
    def tables(self) -> ResultTables:
        """The run as tables: all that a report sees of it, and what :meth:`save` writes."""
        if self._loaded:
            return self._loaded
        from backtest.runner.folder import tables_of

        return tables_of(self, self._prepared, self._named())

    # ------------------------------------------------------------ to look at

    def plot(self, *, symbol: str | None = None, last: int | None = None) -> Figure:
        """Return a figure: price with entries, targets, stops and exits; equity; drawdown.

        ``symbol`` chooses one of several; ``last`` shows the last so many trades only.
        """
        from backtest.report.charts import overview_chart

        return overview_chart(self.tables, symbol, last=last)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write one self-contained HTML page that makes no network request; return its path."""
        from pathlib import Path

        from backtest.report.page import write_page

        write_page(self.tables, path, self.stats)
        return Path(path)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write manifest, tables and calls; the same inputs give byte-identical files. Return the folder."""
        from backtest.runner.folder import save_tables

        return save_tables(self.tables, folder)

    def explain(self, signal: str) -> str:
        """Return the timeline of a signal, level by level, with the rule that made each step.

        ``signal`` is its ref, its number in the order of creation from 1, or an ending that only it has.
        """
        from backtest.report.explain import explain_text

        return explain_text(self.tables, signal)

    def _repr_html_(self) -> str:
        from backtest.report.notebook import repr_html

        return repr_html(self.tables, self.stats)

    def __repr__(self) -> str:
        tables = self.tables
        interval = " .. ".join(f"{value:+.2%}" for value in self.total_return.values())
        return f"<Result {tables.name} on {', '.join(tables.symbols)}: {len(self.trades)} trades, total return {interval} (pessimistic .. candle .. optimistic)>"


def _with_times(columns: Any, *names: str) -> pd.DataFrame:
    """Return columns, or a frame, as a table whose columns of UTC ms are UTC times; -1 becomes NaT."""
    import pandas as pd

    shown: dict[str, Any] = dict(columns.items())
    for name in names:
        stamps = np.array(columns[name], np.int64).view("M8[ms]")
        stamps[stamps.view(np.int64) < 0] = np.datetime64("NaT")
        shown[name] = pd.DatetimeIndex(stamps, tz="UTC")
    return pd.DataFrame(shown)
