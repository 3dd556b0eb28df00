"""Heatmap: a figure of a sweep over two of its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.report.canvas import Chart, neutral

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["heatmap_chart"]

_WORDED = 400
"""Cells up to which each has its number written into it."""


def heatmap_chart(table: pd.DataFrame, by: str) -> Chart:
    """Return a figure with one cell for each pair of values; what did not run stays empty.

    Parameters
    ----------
    table
        Values of one parameter down, of the other across.
    by
        Name of the figure, for the title.
    """
    values = table.to_numpy(np.float64)
    with neutral():
        figure = Chart(figsize=(max(5.0, 0.65 * values.shape[1] + 2.5), max(3.5, 0.45 * values.shape[0] + 1.8)))
        axes = figure.add_axes((0.14, 0.2, 0.68, 0.68))
        image = axes.imshow(values, cmap="viridis", aspect="auto", origin="lower")
        axes.set_xticks(range(values.shape[1]), [f"{value:g}" for value in table.columns], rotation=45, ha="right")
        axes.set_yticks(range(values.shape[0]), [f"{value:g}" for value in table.index])
        axes.set_xlabel(str(table.columns.name))
        axes.set_ylabel(str(table.index.name))
        axes.set_title(f"{by}: look for a plateau, a lone peak is luck", fontsize=10)
        if values.size <= _WORDED:
            middle = np.nanmean(values) if np.isfinite(values).any() else 0.0
            for (row, column), value in np.ndenumerate(values):
                if np.isfinite(value):
                    shade = "black" if value > middle else "white"
                    axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=shade, fontsize=8)
        figure.colorbar(image, cax=figure.add_axes((0.85, 0.2, 0.03, 0.68)))
    return figure
