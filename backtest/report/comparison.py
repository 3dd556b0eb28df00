"""Comparison: results side by side: their figures, their equity on one chart, and the trades that differ."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.report import headline, text
from backtest.report.titled import TitledTable, frame_of, tables_html

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import pandas as pd

    from backtest.report.canvas import Chart
    from backtest.report.statistic import Statistics
    from backtest.report.tables import ResultTables

__all__ = ["Comparison", "comparison_of"]

_SAME = 1e-9
"""Relative difference of prices, quantities and PnL up to which they are equal."""

_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results side by side; the first is what the others are compared with.

    Attributes
    ----------
    names
        Of the results: strategy or call log, numbered where two have the same.
    results
        The results as tables.
    statistics
        Of each.
    """

    names: tuple[str, ...]
    results: tuple[ResultTables, ...]
    statistics: tuple[Statistics, ...]

    @cached_property
    def figures(self) -> pd.DataFrame:
        """The statistics, one a row, a column a result; ``<NA>`` where one has no value (``stats.row(key)`` says why)."""
        first = self.statistics[0]
        columns: dict[str, Any] = {"figure": list(first)}
        for name, stats in zip(self.names, self.statistics, strict=True):
            columns[name] = [stats.get(key) for key in first]
        return frame_of(columns, optional=self.names).set_index("figure")

    @cached_property
    def equity(self) -> pd.DataFrame:
        """Growth of each from 1, at every close that any of them has (UTC); ``NaN`` before a result begins."""
        import pandas as pd

        curves = {}
        for name, one in zip(self.names, self.results, strict=True):
            time = pd.DatetimeIndex(one.equity["time"].to_numpy(np.int64).view("M8[ms]"), tz="UTC", name="time")
            curves[name] = pd.Series(one.equity["equity"].to_numpy(np.float64) / one.balance, index=time)
        joined = pd.DataFrame(curves)
        last = {name: curve.index[-1] for name, curve in curves.items() if len(curve)}
        filled = joined.ffill()
        for name, end in last.items():
            filled.loc[filled.index > end, name] = np.nan
        return filled

    @cached_property
    def trades(self) -> pd.DataFrame:
        """The trades in which another result differs from the first, the largest difference of PnL first.

        A trade is the same by its signal, and its number within that. ``other``: which result; ``what``: only in one of
        them, or what is unequal (exit, prices, quantity, PnL); ``pnl_first``, ``pnl_other`` (quote currency, after costs,
        ``<NA>`` where it has no such trade) and ``difference``, other less first.
        """
        rows = [
            row
            for name, other in zip(self.names[1:], self.results[1:], strict=True)
            for row in _differing(self.results[0], other, name)
        ]
        rows.sort(key=lambda row: -abs(row["difference"]))
        names = ("other", "signal", "symbol", "entered", "what", "pnl_first", "pnl_other", "difference")
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in names}
        columns["entered"] = _times(columns["entered"])
        return frame_of(columns, optional=("pnl_first", "pnl_other"))

    @property
    def sentences(self) -> list[str]:
        """What was compared, and how much of it differs."""
        found = [f"{name}: {headline.subject(one)}; {headline.interval_line(one)}." for name, one in self._pairs]
        for name, other in zip(self.names[1:], self.results[1:], strict=True):
            own = self.trades[self.trades["other"] == name]
            whole = max(len(self.results[0].trades), len(other.trades))
            verb = "differs" if len(own) == 1 else "differ"
            found.append(
                f"{self.names[0]} and {name}: {text.plural(len(own), 'trade')} {verb}, of at most {whole:,}."
                if len(own)
                else f"{self.names[0]} and {name} made the same {text.plural(whole, 'trade')}."
            )
            found += [f"{name} {what}." for what in _unlike(self.results[0], other)]
        return found

    @property
    def _pairs(self) -> list[tuple[str, ResultTables]]:
        return list(zip(self.names, self.results, strict=True))

    @property
    def tables(self) -> list[TitledTable]:
        """The tables with their titles, in the order in which reports show them."""
        first = self.statistics[0]
        shown: dict[str, Any] = {"figure": [row.label for row in first.rows]}
        for name, stats in zip(self.names, self.statistics, strict=True):
            known = {row.key: row.shown for row in stats.rows}
            shown[name] = [known.get(row.key, text.MISSING) for row in first.rows]
        shown["how"] = [row.definition for row in first.rows]
        money = {"entered": "time", "pnl_first": "gain", "pnl_other": "gain", "difference": "gain"}
        labels = {"pnl_first": f"PnL {self.names[0]}", "pnl_other": "PnL of the other"}
        trades = self.trades if len(self.names) > 2 else self.trades.drop(columns="other")
        return [
            TitledTable("figures", "Figures side by side", "Each in its own intrabar mode.", frame_of(shown), dict.fromkeys(self.names, "shown")),
            TitledTable("trades", "Trades that differ", "By signal and number within it, the largest difference of PnL first.", trades, money, labels, "all trades are equal"),
        ]  # fmt: skip

    def plot(self) -> Chart:
        """Return a figure: the growth of each from 1 on one chart."""
        from backtest.report.canvas import Chart, days, neutral, plain

        with neutral():
            figure = Chart(figsize=(11.0, 4.2))
            axes = figure.add_axes((0.07, 0.12, 0.9, 0.78))
            for k, (name, one) in enumerate(self._pairs):
                time = one.equity["time"].to_numpy(np.int64)
                growth = one.equity["equity"].to_numpy(np.float64) / one.balance
                label = (
                    f"{plain(name)} {text.percent(float(growth[-1]) - 1.0, signed=True)}"
                    if len(growth)
                    else plain(name)
                )
                axes.plot(days(time), growth, lw=1.2, color=_COLOURS[k % len(_COLOURS)], label=label)
            axes.xaxis_date()
            axes.set_ylabel("growth of 1")
            axes.grid(visible=True, alpha=0.3)
            axes.legend(loc="upper left", frameon=False)
        return figure

    def report(self, path: Any) -> Any:
        """Write one self-contained HTML page that makes no network request; return its path.

        Raises
        ------
        StorageError
            Where the disk refuses.
        """
        from pathlib import Path

        from backtest.market_data.disk import write_atomic

        write_atomic(path, self._page().encode(errors="xmlcharrefreplace"))
        return Path(path)

    def _page(self) -> str:
        from backtest.report.fragments import fragment

        return fragment(
            "page",
            title=" and ".join(self.names),
            lines=self.sentences,
            picture=self._picture(),
            tables=self.tables,
            most=2_000,
        )

    def _picture(self) -> str:
        from backtest.report.canvas import png

        return base64.b64encode(png(self.plot(), dpi=80)).decode()

    def __repr__(self) -> str:
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        from backtest.report.fragments import fragment

        said = fragment(
            "lines",
            title=" and ".join(self.names),
            lines=self.sentences,
            picture=self._picture(),
            says="Growth of each from 1",
        )
        return said + tables_html(self.tables, most=20)


def comparison_of(results: Sequence[ResultTables], statistics: Sequence[Statistics]) -> Comparison:
    """Return results side by side.

    Parameters
    ----------
    results
        At least one; the first is what the others are compared with.
    statistics
        Of each.
    """
    named = [one.name for one in results]
    names = [f"{name} {k}" if named.count(name) > 1 else name for k, name in enumerate(named, 1)]
    return Comparison(tuple(names), tuple(results), tuple(statistics))


def _numbered(tables: ResultTables) -> dict[tuple[str, int], dict[Hashable, Any]]:
    """Return the trades by their signal and number within it."""
    found: dict[tuple[str, int], dict[Hashable, Any]] = {}
    counts: dict[str, int] = {}
    for row in tables.trades.sort_values("entry_time", kind="stable").to_dict("records"):
        name = str(row["signal"])
        counts[name] = counts.get(name, 0) + 1
        found[name, counts[name]] = row
    return found


def _differing(first: ResultTables, other: ResultTables, name: str) -> list[dict[str, Any]]:
    mine, theirs = _numbered(first), _numbered(other)
    rows = []
    for key in dict.fromkeys([*mine, *theirs]):
        a, b = mine.get(key), theirs.get(key)
        what = _unequal(a, b) if a and b else f"only in the {'first' if a else 'other'}"
        if not what:
            continue
        one: Any = a or b
        pnl = [None if row is None else float(row["pnl"]) for row in (a, b)]
        rows.append(
            {
                "other": name,
                "signal": key[0],
                "symbol": str(one["symbol"]),
                "entered": int(one["entry_time"]),
                "what": what,
                "pnl_first": pnl[0],
                "pnl_other": pnl[1],
                "difference": (pnl[1] or 0.0) - (pnl[0] or 0.0),
            }
        )
    return rows


def _unequal(a: dict[Hashable, Any], b: dict[Hashable, Any]) -> str:
    found = []
    if a["exit"] != b["exit"]:
        words = [str(row["exit"]).replace("_", " ") or "open" for row in (a, b)]
        found.append(f"ended by {words[0]}, by {words[1]}")
    elif a["exit_time"] != b["exit_time"]:
        found.append("another exit time")
    if a["entry_time"] != b["entry_time"]:
        found.append("another entry time")
    for column, label in (
        ("average_entry", "entry"),
        ("average_exit", "exit price"),
        ("quantity", "quantity"),
        ("pnl", "PnL"),
    ):
        if not np.isclose(a[column], b[column], rtol=_SAME, atol=0.0, equal_nan=True):
            if column == "pnl" and found:
                continue
            found.append(f"another {label}")
    return ", ".join(found)


def _unlike(first: ResultTables, other: ResultTables) -> list[str]:
    """Return in what two results are not alike, so that their figures are not those of one thing changed."""
    found = []
    if first.span != other.span or first.symbols != other.symbols:
        found.append("was run over other candles")
    if first.mode != other.mode:
        found.append(f"shows another reading of the candles ({other.mode}, not {first.mode})")
    mine, theirs = (dict(one.manifest.get("profile") or {}) for one in (first, other))
    changed = [f"{key} {theirs.get(key)}, not {mine[key]}" for key in mine if mine[key] != theirs.get(key)]
    kept = [one for one in changed if not one.startswith(("name ", "intrabar "))]
    ours, others = (dict((one.manifest.get("strategy") or {}).get("parameters") or {}) for one in (first, other))
    kept += [f"{key} {others[key]}, not {ours[key]}" for key in ours if key in others and ours[key] != others[key]]
    if kept:
        found.append(f"has {text.some(kept)}")
    return found


def _times(stamps: list[int]) -> Any:
    import pandas as pd

    return pd.DatetimeIndex(np.array(stamps, np.int64).view("M8[ms]"), tz="UTC")
