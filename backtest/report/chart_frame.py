"""ChartFrame: the interactive chart of a result as a notebook shows it, a page of its own in a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.report.chart import chart_of, pack, scripts, sheet
from backtest.report.fragments import fragment
from backtest.report.policy import policy_of

if TYPE_CHECKING:
    from backtest.report.tables import ResultTables

__all__ = ["ChartFrame"]

_MOUNT = """\
SignalChart.unpack(document.getElementById("packed").textContent).then(function (data) {
  SignalChart.mount(document.getElementById("chart"), data, { height: HEIGHT, keys: true });
});
"""
_SHEET = "body { margin: 0; background: light-dark(#fff, #16181c); } :root { color-scheme: light dark; }"


@dataclass(frozen=True, eq=False)
class ChartFrame:
    """The interactive chart: candles with entry zones, targets, stops and fills, equity, drawdown, indicators.

    Attributes
    ----------
    tables
        The result.
    height
        Of the frame, in pixels.
    """

    tables: ResultTables
    height: int = 560

    @property
    def page(self) -> str:
        """The page in the frame: it loads nothing, and its scripts are allowed by their hashes."""
        code = [*scripts(), _MOUNT.replace("HEIGHT", str(max(self.height - 80, 200)))]
        style = _SHEET + sheet()
        return fragment(
            "chart",
            policy=policy_of(style, code),
            style=style,
            packed=pack(chart_of(self.tables)),
            code=code,
            title=self.tables.name,
        )

    def __repr__(self) -> str:
        return f"<ChartFrame of {self.tables.name}: a notebook shows it>"

    def _repr_html_(self) -> str:
        return fragment("frame", page=self.page, height=self.height, title=f"Chart of {self.tables.name}")
