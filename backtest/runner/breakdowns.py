"""Breakdowns: a result taken apart, each part a pandas table with its formula and its units."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from backtest.model.events import EventKind
from backtest.report import grouped, through_time
from backtest.report.excursions import Walked, excursions, walked_candles
from backtest.report.quality import quality_rows
from backtest.report.subscribers import ACCOUNT_UNITS
from backtest.report.titled import TitledTable, frame_of, tables_html
from backtest.runner.costed import break_even_rows, costs_table, late_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from backtest.report.statistic import Statistic
    from backtest.report.tables import ResultTables
    from backtest.runner.replaying import Replay

__all__ = ["Breakdowns", "walked_by"]

_GROUP = {
    "trades": "count",
    "share": "fraction",
    "win_rate": "fraction",
    "pnl": "gain",
    "average_return": "return",
    "profit_factor": "ratio",
    "average_holding": "ms",
}
_GROUPED = (
    "Closed trades; win rate: PnL above 0; PnL after costs, in quote currency; return: PnL over margin; profit factor: gains over "
    "losses."
)
_ACCOUNT = ACCOUNT_UNITS | {"turnover": "money"}
_NO_TRADE = "no trade was closed"


class Breakdowns:
    """A result taken apart: every attribute is a pandas table, made when first asked for.

    Figures that are not defined are ``<NA>``, never NaN; in :attr:`figures` the reason stands beside them. Money is in
    quote currency, returns, shares and rates are fractions, durations milliseconds, times UTC. All figures are those of
    the intrabar mode of the result; its interval stands in ``result.total_return``.

    Parameters
    ----------
    tables
        The result.
    walked
        Returns the candles that were walked, by symbol (:class:`backtest.report.excursions.Walked`).
    replay
        Returns what was sent, for costs and late entries, which walk the candles again.
    """

    def __init__(
        self, tables: ResultTables, walked: Callable[[], dict[str, Walked]], replay: Callable[[], Replay]
    ) -> None:
        self._tables, self._walked, self._replay = tables, walked, replay

    @cached_property
    def by_exit(self) -> pd.DataFrame:
        """Closed trades by the fill that ended them: trades, share, win rate, PnL, average return, profit factor, holding."""
        return grouped.by_exit(self._tables)

    @cached_property
    def by_target(self) -> pd.DataFrame:
        """Targets by number: sales there, share of all trades with one, and what they realised before costs."""
        return grouped.by_target(self._tables)

    @cached_property
    def by_dca(self) -> pd.DataFrame:
        """Closed trades by how many DCA orders were filled in them."""
        return grouped.by_added(self._tables, EventKind.DCA_FILLED)

    @cached_property
    def by_rebuy(self) -> pd.DataFrame:
        """Closed trades by how many rebuys were filled in them."""
        return grouped.by_added(self._tables, EventKind.REBOUGHT)

    @cached_property
    def by_side(self) -> pd.DataFrame:
        """Closed trades by side, long and short."""
        return grouped.by_side(self._tables)

    @cached_property
    def by_symbol(self) -> pd.DataFrame:
        """Closed trades by symbol."""
        return grouped.by_symbol(self._tables)

    @cached_property
    def by_weekday(self) -> pd.DataFrame:
        """Closed trades by the weekday (UTC) of their entry."""
        return grouped.by_weekday(self._tables)

    @cached_property
    def by_hour(self) -> pd.DataFrame:
        """Closed trades by the hour (UTC) of their entry."""
        return grouped.by_hour(self._tables)

    @cached_property
    def months(self) -> pd.DataFrame:
        """Return of each month, a row a year: equity at its end over equity at its beginning, less 1; ``year`` compounds."""
        return through_time.month_returns(self._tables)

    @cached_property
    def drawdowns(self) -> pd.DataFrame:
        """The five deepest drawdowns with their dates: depth (fraction), and how long they fell, lasted and recovered (ms)."""
        return through_time.worst_drawdowns(self._tables)

    @cached_property
    def distribution(self) -> pd.DataFrame:
        """Quantiles of return, PnL, holding time, MAE, MFE and R over closed trades."""
        return grouped.distribution(self._tables, self.excursions)

    @cached_property
    def returns(self) -> pd.DataFrame:
        """How the returns of closed trades (PnL over margin) are spread: bars of one width."""
        return grouped.return_bins(self._tables)

    @cached_property
    def holding(self) -> pd.DataFrame:
        """Closed trades by how long they were held."""
        return grouped.holding_bins(self._tables)

    @cached_property
    def excursions(self) -> pd.DataFrame:
        """MAE, MFE and R of every trade, entry and exit candle walked (:func:`backtest.report.excursions.excursions`)."""
        return excursions(self._tables, self._walked())

    @cached_property
    def streaks(self) -> pd.DataFrame:
        """Runs of winners and of losers: how many, the longest, the average, the one at the end."""
        return grouped.streaks(self._tables)

    @cached_property
    def winners_losers(self) -> pd.DataFrame:
        """Winners and losers apart: PnL, returns, holding time, MAE and MFE."""
        return grouped.winners_losers(self._tables, self.excursions)

    @cached_property
    def exposure(self) -> pd.DataFrame:
        """Exposure by month: share of candles with a position, mean and highest invested over equity, trades begun."""
        return through_time.exposure_by_month(self._tables)

    @cached_property
    def unfilled(self) -> pd.DataFrame:
        """Signals that bought nothing: refused, expired, invalidated, canceled, waiting, pending, with the reason."""
        return through_time.unfilled_signals(self._tables)

    @cached_property
    def costs(self) -> pd.DataFrame:
        """The same calls at 0, 1, 2 and 3 times the fees and the slippage, each walked through the engine."""
        return costs_table(self._replay())

    @cached_property
    def late(self) -> pd.DataFrame:
        """The same calls with entries one candle late, and with all calls one candle late, walked through the engine."""
        return late_table(self._replay())

    @cached_property
    def figures(self) -> pd.DataFrame:
        """Payoff, SQN, R, Omega, alpha, beta, average drawdown, turnover, break-even costs: value, definition, reason."""
        rows = self.rows
        columns = {
            "figure": [row.key for row in rows],
            "value": [row.value for row in rows],
            "unit": [row.unit for row in rows],
            "definition": [row.definition for row in rows],
            "reason": [row.reason for row in rows],
        }
        return frame_of(columns, optional=("value",)).set_index("figure")

    @cached_property
    def rows(self) -> list[Statistic]:
        """The single figures as statistics, each with label, unit, definition and reason."""
        return [*self._quality, *break_even_rows(self.costs, self._tables.balance)]

    @cached_property
    def _quality(self) -> list[Statistic]:
        return quality_rows(self._tables, self.excursions)

    @property
    def tables(self) -> list[TitledTable]:
        """Every breakdown as a titled table, in the order in which reports show them."""
        return self.some()

    def some(self, *, walks: bool = True) -> list[TitledTable]:
        """Return the breakdowns as titled tables; without ``walks`` those that need none: no costs, no late entries."""
        told = [*self._of_groups(), *self._of_trades(), *self._of_time()]
        rows = self.rows if walks else self._quality
        return [*self._of_figures(rows), *told, *(self._of_walks() if walks else [])]

    def table(self, key: str) -> TitledTable:
        """Return one breakdown with its title.

        Raises
        ------
        InvalidSettingError
            For a name that none has.
        """
        from backtest.errors import InvalidSettingError, did_you_mean

        found = {one.key: one for one in self.tables}
        if key not in found:
            raise InvalidSettingError(
                f"there is no breakdown {key!r}; there are {', '.join(found)}.{did_you_mean(key, found)}"
            )
        return found[key]

    def _of_figures(self, rows: list[Statistic]) -> list[TitledTable]:
        quote = self._tables.quote
        shown = frame_of(
            {
                "figure": [row.name(quote) for row in rows],
                "value": [row.shown for row in rows],
                "definition": [row.definition + row.aside for row in rows],
            }
        )
        return [
            TitledTable("figures", "More figures", "Of closed trades and of daily returns.", shown, {"value": "shown"})
        ]

    def _of_groups(self) -> list[TitledTable]:
        titles = {
            "by_exit": "By exit",
            "by_dca": "By DCA fills",
            "by_rebuy": "By rebuys",
            "by_side": "By side",
            "by_symbol": "By symbol",
            "by_weekday": "By weekday of the entry, UTC",
            "by_hour": "By hour of the entry, UTC",
            "holding": "By holding time",
        }
        made = []
        for key, title in titles.items():
            frame = getattr(self, key)
            if key == "by_exit":
                frame = frame.assign(exit=[str(one).replace("_", " ") for one in frame["exit"]])
            made.append(
                TitledTable(key, title, _GROUPED, frame, _GROUP | {"hour": "count", "fills": "count"}, empty=_NO_TRADE)
            )
        about = "Sales at each target; share of all trades that had one; realised before costs."
        units = {"target": "count", "reached": "count", "share": "fraction", "realised": "gain"}
        made.insert(
            1, TitledTable("by_target", "By target", about, self.by_target, units, empty="no target was reached")
        )
        return made

    def _of_trades(self) -> list[TitledTable]:
        group = {
            "trades": "count",
            "pnl": "gain",
            "average_pnl": "gain",
            "average_return": "return",
            "median_return": "return",
            "best": "return",
            "worst": "return",
            "average_holding": "ms",
            "average_mae": "return",
            "average_mfe": "return",
        }
        spread = {"quantile": "percentile", "return": "return", "pnl": "gain", "holding": "ms", "mae": "return"}
        spread |= {"mfe": "return", "r": "ratio"}
        runs = {"runs": "count", "longest": "count", "average": "ratio", "now": "count"}
        bars = {"low": "return", "high": "return", "trades": "count", "share": "fraction"}
        moved = self.excursions.sort_values("mae", kind="stable")
        columns = ["signal", "symbol", "entry_time", "exit_time", "return", "mae", "mfe", "r"]
        units = {
            "entry_time": "time",
            "exit_time": "time",
            "return": "return",
            "mae": "return",
            "mfe": "return",
            "r": "ratio",
        }
        certain = (
            ""
            if moved["exact"].all()
            else (" Finer candles were walked than are here: of the candles of a fill only what is certain counts.")
        )
        walked = (
            "Against (MAE) and for (MFE) the average entry, before fees, in the part of each candle in which the position was "
            f"there; R: PnL after costs over the risk at the first stop.{certain}"
        )
        return [
            TitledTable("winners_losers", "Winners and losers", _GROUPED, self.winners_losers, group, empty=_NO_TRADE),
            TitledTable("streaks", "Streaks", "Runs in the order in which trades ended.", self.streaks, runs, empty=_NO_TRADE),
            TitledTable("distribution", "Distribution", f"Quantiles over closed trades. {walked}", self.distribution, spread, empty=_NO_TRADE),
            TitledTable("returns", "Returns, how they are spread", "Low included, high not.", self.returns, bars, empty=_NO_TRADE),
            TitledTable("excursions", "MAE, MFE and R, the deepest first", walked, moved[columns], units, empty="no trade"),
        ]  # fmt: skip

    def _of_time(self) -> list[TitledTable]:
        months: dict[str, Any] = dict.fromkeys([*through_time.MONTHS, "year"], "return") | {"of": "text"}
        fell = {"depth": "return", "high": "time", "low": "time", "regained": "time"}
        fell |= dict.fromkeys(("fell", "lasted", "recovered"), "ms")
        stake = {"held": "fraction", "invested": "fraction", "most_invested": "fraction", "entered": "count"}
        never = {"signals": "count", "share": "fraction", "first": "time", "last": "time"}
        return [
            TitledTable("months", "Months", "Equity at the end over equity at the beginning, less 1; UTC.", self.months, months, {"of": ""}, "no candle"),
            TitledTable("drawdowns", "Worst drawdowns", "Below the highest close: at each close, and at the worst price of what was held all candle.", self.drawdowns, fell, empty="there was no drawdown"),
            TitledTable("exposure", "Exposure by month", "Held: share of candles with a position; invested: notional over equity at the closes.", self.exposure, stake, empty="no candle"),
            TitledTable("unfilled", "Signals that bought nothing", "Share of all signals sent.", self.unfilled, never, empty="every signal bought something"),
        ]  # fmt: skip

    def _of_walks(self) -> list[TitledTable]:
        missing = self._replay().missing
        about = f"The same calls, walked again. {missing}".strip()
        return [
            TitledTable("costs", "At other costs", f"Fees and slippage times 0 to 3. {about}", self.costs, _ACCOUNT | {"times": "ratio"}),
            TitledTable("late", "A candle late", f"Entries, or all calls, one candle later. {about}", self.late, _ACCOUNT),
        ]  # fmt: skip

    def __dir__(self) -> list[str]:
        return sorted(name for name in object.__dir__(self) if not name.startswith("_") or name.endswith("__"))

    def __repr__(self) -> str:
        names = [name for name in dir(self) if isinstance(vars(type(self)).get(name), cached_property)]
        return f"<Breakdowns: {', '.join(names)}>"

    def _repr_html_(self) -> str:
        return tables_html([one for one in self.tables if one.key != "excursions"])


def walked_by(tables: ResultTables, histories: Sequence[Any] | None) -> dict[str, Walked]:
    """Return the candles that were walked, by symbol; fine ones where there are histories that have them.

    Parameters
    ----------
    tables
        The result.
    histories
        Its markets; None of a saved one, whose detail candles are not kept.
    """
    if histories is None:
        return walked_candles(tables)
    import numpy as np

    filled = any(one["name"] == "fill_without_volume" and one["value"] for one in tables.assumptions)
    found = {}
    for history in histories:
        rows = history.rows(fill_without_volume=filled)
        trades = np.ones(len(rows.time), bool)
        trades[rows.still] = False
        found[history.candles.symbol] = Walked(
            rows.time[trades], rows.open[trades], rows.high[trades], rows.low[trades], rows.close[trades]
        )
    return found
