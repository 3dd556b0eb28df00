"""Subscribers, as tables: what many accounts made of the same calls, and which choice costs most."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.report import text
from backtest.report.titled import TitledTable, frame_of, tables_html

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from backtest.report.statistic import Statistic

__all__ = ["ACCOUNT_UNITS", "Subscribers"]

ACCOUNT_UNITS = {
    "total_return": "return",
    "max_drawdown": "return",
    "trades": "count",
    "win_rate": "fraction",
    "average_return": "return",
    "profit_factor": "ratio",
    "pnl": "gain",
    "fees": "money",
    "refused": "count",
}
"""Figures of an account that carried out calls, in the order in which they are shown, and their units."""

_DRAWN = ("max_drawdown", "trades", "refused")
"""Figures of drawn subscribers that are shown beside their total return and their choices."""

_FEWEST = 3
"""Drawn subscribers on each side below which a choice is not judged."""


@dataclass(frozen=True, eq=False)
class Subscribers:
    """What many subscribers would have got of the same calls.

    Every account was walked by the engine, in the intrabar mode of the result.

    Attributes
    ----------
    named, drawn
        Figures of each account by name: ``subscriber``, ``total_return`` and so on, or a ``reason`` where there are none.
    choices
        What each drawn subscriber chose, by the name of the choice.
    market
        The venue's own figures: aggregated and backtested, as called and with everything sold at target 1.
    mode
        The intrabar mode.
    seed
        Of the draws.
    missing
        What the result had and these accounts had not, in a sentence; empty mostly.
    """

    named: Sequence[Mapping[str, Any]]
    drawn: Sequence[Mapping[str, Any]]
    choices: Sequence[Mapping[str, str]]
    market: Mapping[str, Sequence[Statistic]]
    mode: str
    seed: int
    missing: str = ""

    @cached_property
    def table(self) -> pd.DataFrame:
        """The named subscribers, one a row; ``difference``: total return less that of the result's own subscriber.

        Returns, drawdown and rates are fractions; ``pnl`` (closed trades) and ``fees`` are in quote currency. ``<NA>`` with
        a ``reason`` where a subscriber could not be walked.
        """
        return self._frame(self.named)

    @cached_property
    def drawn_table(self) -> pd.DataFrame:
        """The drawn subscribers, one a row, with what each of them chose."""
        frame = self._frame(self.drawn).drop(columns="reason")
        for name in dict.fromkeys(key for one in self.choices for key in one):
            frame[name] = [one.get(name, "") for one in self.choices]
        return frame

    def _frame(self, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        base = float(self.named[0]["total_return"])
        columns: dict[str, Any] = {"subscriber": [str(row["subscriber"]) for row in rows]}
        columns |= {name: [row.get(name) for row in rows] for name in ACCOUNT_UNITS}
        gained = columns["total_return"]
        columns["difference"] = [None if one is None else one - base for one in gained]
        columns["reason"] = [str(row.get("reason", "")) for row in rows]
        return frame_of(columns, optional=(*ACCOUNT_UNITS, "difference"))

    @property
    def median(self) -> float | None:
        """Median total return of the drawn subscribers, a fraction; None without any."""
        return self._quantile(0.5)

    @property
    def tenth_percentile(self) -> float | None:
        """The total return, a fraction, that nine of ten drawn subscribers reached; None without any."""
        return self._quantile(0.1)

    def _quantile(self, share: float) -> float | None:
        values = [float(row["total_return"]) for row in self.drawn]
        return float(np.quantile(values, share)) if values else None

    @cached_property
    def costs(self) -> pd.DataFrame:
        """What each choice costs: median total return of the drawn subscribers with it, and of those without.

        ``choice``, ``subscribers`` with it, ``median_with``, ``median_without`` (fractions) and ``difference``, the dearest
        first. A choice that fewer than three made, or did not make, is left out.
        """
        gained = np.array([float(row["total_return"]) for row in self.drawn])
        rows: list[tuple[str, int, float, float, float]] = []
        for name in dict.fromkeys(key for one in self.choices for key in one):
            values = np.array([one.get(name, "") for one in self.choices], object)
            for value in dict.fromkeys(values.tolist()):
                own = values == value
                if min(own.sum(), (~own).sum()) < _FEWEST:
                    continue
                inside, outside = float(np.median(gained[own])), float(np.median(gained[~own]))
                rows.append((f"{name}: {value}", int(own.sum()), inside, outside, inside - outside))
        rows.sort(key=lambda row: row[-1])
        names = ("choice", "subscribers", "median_with", "median_without", "difference")
        return frame_of({name: [row[k] for row in rows] for k, name in enumerate(names)})

    @cached_property
    def marketplace(self) -> pd.DataFrame:
        """The venue's own figures, one a row, as a subscriber sees them before joining; ``<NA>`` where not defined."""
        first = next(iter(self.market.values()))
        columns: dict[str, Any] = {"figure": [row.key for row in first]}
        columns |= {name: [row.value for row in rows] for name, rows in self.market.items()}
        return frame_of(columns, optional=tuple(self.market)).set_index("figure")

    @property
    def sentences(self) -> list[str]:
        """What stands out, one sentence each."""
        found = []
        if self.drawn:
            found.append(
                f"{text.plural(len(self.drawn), 'drawn subscriber')}: median {text.percent(self.median, signed=True)}, 10th "
                f"percentile {text.percent(self.tenth_percentile, signed=True)} (the result: "
                f"{text.percent(float(self.named[0]['total_return']), signed=True)}, {self.mode})."
            )
        walked = [row for row in self.named[1:] if row.get("total_return") is not None]
        if walked:
            worst = min(walked, key=lambda row: float(row["total_return"]))
            lost = float(worst["total_return"]) - float(self.named[0]["total_return"])
            if lost < 0.0:
                found.append(
                    f"Of the single choices {worst['subscriber']!r} costs most: {text.percent(lost, signed=True)} of the "
                    "balance against the result."
                )
            else:
                found.append("No single choice costs anything against the result.")
            deepest = min(walked, key=lambda row: float(row["max_drawdown"]))
            found.append(
                f"The largest drawdown is that of {deepest['subscriber']!r}: {text.percent(deepest['max_drawdown'])} (the "
                f"result: {text.percent(self.named[0]['max_drawdown'])})."
            )
        if len(self.costs) and float(self.costs["difference"].iloc[0]) < 0.0:
            row = self.costs.iloc[0]
            found.append(
                f"Among the drawn ones '{row['choice']}' costs most: median {text.percent(row['median_with'], signed=True)} with, "
                f"{text.percent(row['median_without'], signed=True)} without."
            )
        return found + ([self.missing] if self.missing else [])

    @property
    def tables(self) -> list[TitledTable]:
        """The tables with their titles, in the order in which reports show them."""
        units = ACCOUNT_UNITS | {"difference": "return"}
        first = next(iter(self.market.values()))
        shown: dict[str, Any] = {"figure": [row.label for row in first]}
        shown |= {name: [row.shown for row in rows] for name, rows in self.market.items()}
        shown["how"] = [row.definition + row.aside for row in first]
        choices = {"subscribers": "count", "median_with": "return", "median_without": "return", "difference": "return"}
        named = self.table if self.table["reason"].any() else self.table.drop(columns="reason")
        order = [
            "subscriber",
            "total_return",
            "difference",
            *(name for name in ACCOUNT_UNITS if name != "total_return"),
        ]
        return [
            TitledTable("marketplace", "As the venue shows it before one joins", "Not compounded, closed signals only. Aggregated counts every signal sent; backtested drops those that limits or balance refused.", frame_of(shown), dict.fromkeys(self.market, "shown")),
            TitledTable("subscribers", "The same calls, other subscribers", " ".join(self.sentences), named[[*order, *(name for name in named.columns if name == "reason")]], units),
            TitledTable("choices", "What each choice costs", f"Median total return of the {len(self.drawn)} drawn subscribers (seed {self.seed}) with and without it.", self.costs, choices, empty="too few were drawn"),
            TitledTable("drawn", "Drawn subscribers", f"Seed {self.seed}: the same every time.", self.drawn_table.drop(columns=[name for name in order[2:] if name not in _DRAWN]), units, empty="none was drawn"),
        ]  # fmt: skip

    def __repr__(self) -> str:
        return "\n".join(["<Subscribers>", *self.sentences])

    def _repr_html_(self) -> str:
        return tables_html(self.tables, most=20)
