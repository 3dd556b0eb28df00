"""Canvas: a matplotlib figure that needs no pyplot, looks the same everywhere and saves to the same bytes."""

from __future__ import annotations

import io
import re
import warnings
from contextlib import contextmanager
from datetime import UTC
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from backtest.report import text
from backtest.report.daily import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["INK", "Chart", "canvas", "days", "neutral", "number_axis", "plain", "png", "svg", "thin", "time_axis"]

INK = "#767676"
"""Grey that reads on white and on black (contrast 4.5 both ways)."""

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titley": 1.0,  # measuring where a title fits costs a second of a page
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.2,
    "svg.fonttype": "path",
    "svg.hashsalt": "backtest",
    "text.color": INK,
    "timezone": "UTC",
    "xtick.color": INK,
    "ytick.color": INK,
}


class Chart(Figure):
    """A figure that a notebook shows as it is, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        return png(self)


@contextmanager
def neutral() -> Iterator[None]:
    """Draw with our own settings, whatever the user's matplotlib is set to."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a symbol in a script that the font has not is drawn as boxes
            yield


def canvas(
    width: float, height: float, shares: tuple[int, ...] = (1,), *, titled: bool = False
) -> tuple[Chart, list[Axes]]:
    """Return an empty figure and its axes, top to bottom on one time axis.

    Margins are fixed, so that charts under each other line up (and draw in half the time of a layout that measures).

    Parameters
    ----------
    width, height
        In inches.
    shares
        Heights of the axes, relative to each other.
    titled
        Whether there is room for a line above them all.
    """
    figure = Chart(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.subplots_adjust(
        left=0.95 / width,
        right=1.0 - 0.3 / width,
        top=1.0 - (0.65 if titled else 0.35) / height,
        bottom=0.5 / height,
        hspace=0.4 * len(shares) / height,
    )
    axes = figure.subplots(len(shares), 1, sharex=True, height_ratios=shares, squeeze=False)
    return figure, [one[0] for one in axes]


def svg(figure: Figure) -> str:
    """Return the figure as an SVG element, the same text every time."""
    buffer = io.StringIO()
    with neutral():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    whole = buffer.getvalue()
    # a hundredth of a point is finer than a screen: half of the bytes were digits behind it
    return re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), whole[whole.index("<svg") :])


def png(figure: Figure, dpi: int = 100) -> bytes:
    """Return the figure as PNG on a transparent ground, the same bytes every time.

    Parameters
    ----------
    figure
        What is drawn.
    dpi
        Dots an inch.
    """
    buffer = io.BytesIO()
    with neutral():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None}, transparent=True)
    return buffer.getvalue()


def days(time: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Return UTC milliseconds as matplotlib counts time: days since 1970."""
    return np.asarray(time, np.float64) / DAY


def time_axis(axes: Axes, window: tuple[int, int]) -> None:
    """Write the x axis as UTC dates and times, from one instant (UTC ms) to another.

    Parameters
    ----------
    axes
        Whose horizontal axis shows time.
    window
        First and last instant, UTC ms.
    """
    if window[0] < window[1]:
        axes.set_xlim(float(days(window[0])), float(days(window[1])))
    locator = AutoDateLocator(tz=UTC, minticks=4, maxticks=10)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, tz=UTC)  # type: ignore[no-untyped-call]
    formatter.offset_formats = [f"{part} UTC".strip() for part in formatter.offset_formats]
    axes.xaxis.set_major_formatter(formatter)


def plain(name: str) -> str:
    """Return a name that matplotlib does not read as mathematics, without what cannot be printed."""
    return "".join(one if one.isprintable() else "?" for one in name).replace("$", r"\$")


def number_axis(axes: Axes) -> None:
    """Write the y axis in full numbers, thousands apart, never with an exponent or an offset."""
    axes.yaxis.set_major_formatter(lambda level, _: text.price(level) if abs(level) < 1_000.0 else f"{level:,.10g}")


def thin(values: NDArray[np.float64], most: int = 2_000) -> NDArray[np.int64]:
    """Return the rows to draw: all, or the lowest and highest of each of ``most / 2`` stretches, first and last kept.

    A line through them looks like the whole line, spikes included.

    Parameters
    ----------
    values
        (n,) one curve.
    most
        About how many rows may stay.
    """
    n = len(values)
    if n <= most:
        return np.arange(n)
    stretches = np.array_split(np.arange(n), most // 2)
    rows = [0, n - 1]
    for stretch in stretches:
        part = values[stretch]
        rows += [int(stretch[0]) + int(part.argmin()), int(stretch[0]) + int(part.argmax())]
    return np.unique(rows)
