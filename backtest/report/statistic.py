"""Statistic: one number with its unit, its definition and, where it has no value, the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.report import text
from backtest.report.interval import MODES

if TYPE_CHECKING:
    from backtest.report.interval import Interval

__all__ = ["FEW", "SHORT", "VERY_FEW", "Statistic", "Statistics", "undefined"]

SHORT = 90
"""Below so many days a yearly or monthly figure says more about its formula than about the run, and is not given."""

VERY_FEW, FEW = 10, 30
"""Below so many closed trades the figures say next to nothing, and little."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number of a report.

    Attributes
    ----------
    key, label, group
        ``"sharpe"``, ``"Sharpe ratio"``, ``"Account"``.
    value
        None where it is not defined; never NaN, never infinite.
    unit
        ``return`` (fraction, signed), ``fraction``, ``money``, ``gain`` (money, signed), ``ratio``, ``count``, ``ms``,
        ``days`` or ``per day``.
    definition
        How it is computed, in one sentence.
    hold
        The same number of buy and hold, where it makes sense.
    reason
        Why there is no value.
    note
        What to keep in mind when reading the value; empty mostly.
    """

    key: str
    label: str
    value: float | None
    unit: str
    definition: str
    group: str
    hold: float | None = None
    reason: str = ""
    note: str = ""

    def name(self, quote: str) -> str:
        """Return the label, with the currency of an amount in brackets."""
        return f"{self.label} ({quote})" if quote and self.unit in {"money", "gain"} else self.label

    @property
    def aside(self) -> str:
        """The reason or the note in brackets, with a space before them; empty mostly."""
        return f" ({self.reason or self.note})" if self.reason or self.note else ""

    @property
    def shown(self) -> str:
        """The value as people read it."""
        return text.value(self.value, self.unit)

    @property
    def hold_shown(self) -> str:
        """The value of buy and hold as people read it; empty where there is none."""
        return "" if self.hold is None else text.value(self.hold, self.unit)


class Statistics(dict[str, float | None]):
    """The statistics of a run: values by key, with everything else in :attr:`rows`.

    A ``dict``, so that ``pandas.DataFrame({"one": one.stats, "other": other.stats})`` is a table of figures.

    Attributes
    ----------
    rows
        Every statistic, in the order in which it is shown.
    interval
        Total return under the three intrabar modes (L2.3); None where it was not computed.
    mode
        The mode in which the trades were made.
    """

    def __init__(self, rows: tuple[Statistic, ...], interval: Interval | None = None, mode: str = MODES[0]) -> None:
        super().__init__((row.key, row.value) for row in rows)
        self.rows, self.interval, self.mode = rows, interval, mode

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statistics) and (self.rows, self.interval, self.mode) == (
            other.rows,
            other.interval,
            other.mode,
        )

    __hash__ = None  # like any dict

    def __repr__(self) -> str:
        wide = max((len(row.label) for row in self.rows), default=0)
        lines = [f"{row.label:<{wide}}  {row.shown:>16}  {row.hold_shown:>16}".rstrip() for row in self.rows]
        return "\n".join([f"{'':<{wide}}  {'strategy':>16}  {'buy and hold':>16}", *lines, self.interval_sentence])

    def _repr_html_(self) -> str:
        from backtest.report.fragments import fragment

        rows = [[row.group, row.label, row.shown, row.hold_shown, row.definition + row.aside] for row in self.rows]
        head = ["", "figure", "strategy", "buy and hold", "how"]
        return fragment("lines", title=self.interval_sentence, head=head, rows=rows)

    def row(self, key: str) -> Statistic:
        """Return the statistic of this key with its unit and definition."""
        for row in self.rows:
            if row.key == key:
                return row
        raise KeyError(key)

    @property
    def groups(self) -> dict[str, list[Statistic]]:
        """The statistics by group, in order."""
        groups: dict[str, list[Statistic]] = {}
        for row in self.rows:
            groups.setdefault(row.group, []).append(row)
        return groups

    @property
    def interval_sentence(self) -> str:
        """The interval of the total return, in one sentence."""
        if self.interval is None:
            return f"Total return under one reading of the candles only ({self.mode}); the other two were not computed."
        return f"Total return {self.interval.shown(self.mode)}; the figures here are {self.mode}."

    def to_dict(self) -> dict[str, float | None]:
        """Return plain JSON values by key."""
        return dict(self)


def undefined(number: float) -> float | None:
    """Return the number, or None where it is NaN or infinite."""
    return float(number) if math.isfinite(number) else None
