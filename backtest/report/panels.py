"""Panels: what is drawn on one pair of axes, price with the marks of signals, equity, drawdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.ticker import LogLocator, NullFormatter

from backtest.model.events import EventKind, Mark
from backtest.report.canvas import INK, days, number_axis, plain, thin, time_axis
from backtest.report.daily import daily_equity
from backtest.report.equity import drawdowns, equity_path, hold_path
from backtest.report.levels import Levels, Step, signal_levels
from backtest.report.metrics import scaled_hold

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from backtest.report.tables import ResultTables

    Window = tuple[int, int]

__all__ = ["beside_panel", "drawdown_panel", "equity_panel", "price_panel"]

BLUE, ORANGE, GREEN, VERMILLION, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
"""Okabe and Ito's colours, told apart by every eye; shapes tell the marks apart once more."""

MARKS: dict[Mark, tuple[tuple[str, str, str], ...]] = {
    Mark.ENTRY: (("long entry", "^", BLUE), ("short entry", "v", ORANGE)),
    Mark.TARGET: (("target", "o", GREEN),),
    Mark.STOP: (("stop", "X", VERMILLION),),
    Mark.LIQUIDATED: (("liquidated", "D", VERMILLION),),
    Mark.CANCELED: (("canceled", "s", PURPLE),),
}
"""Label, shape and colour of each mark; an entry has those of a long and of a short."""
_CANDLES_DRAWN = 400
_LEVELS_DRAWN = 20


def price_panel(
    axes: Axes, tables: ResultTables, symbol: str, window: Window, only: dict[str, Window] | None = None
) -> None:
    """Draw the price of a symbol from ``window[0]`` to ``window[1]`` with the fills of its signals.

    Up to 20 trades show their targets (dotted) and stop (stepped); up to 400 candles are drawn as candles, filled where
    they fell. ``only`` names signals and their lives: then they alone are shown, their entry zones too.

    Parameters
    ----------
    axes
        On which it is drawn.
    tables
        The result.
    symbol
        Whose price.
    window
        First and last instant, UTC ms.
    only
        By signal, its life from and until (UTC ms): then they alone are shown, their entry zones too.
    """
    time = tables.column(symbol, "time")
    candles = tables.candles[symbol].iloc[slice(*np.searchsorted(time, window))]
    (_candles if len(candles) <= _CANDLES_DRAWN else _line)(axes, candles, tables.step(symbol))
    fills = tables.fills[tables.fills["symbol"] == symbol]
    fills = fills[(fills["time"] >= window[0]) & (fills["time"] <= window[1])]
    lives = _lives(tables, symbol, window) if only is None else only
    if only is not None:
        fills = fills[fills["signal"].isin(list(only))]
    if len(lives) <= _LEVELS_DRAWN:
        levels = signal_levels(tables)
        for name, life in lives.items():
            _levels(axes, levels.get(name, Levels()), life, zone=only is not None)
    middle = _middle(tables, symbol, fills["time"].to_numpy(np.int64))
    shorts = set(tables.trades.loc[tables.trades["side"] < 0, "signal"])
    if _marks(axes, fills, middle, shorts):
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=6, borderaxespad=0.2, handletextpad=0.2)
    axes.set_title(f"{plain(symbol)} price")
    number_axis(axes)
    time_axis(axes, window)


def equity_panel(axes: Axes, tables: ResultTables, window: Window) -> None:
    """Draw equity on its own scale, over the whole run with the initial balance as a thin line.

    Parameters
    ----------
    axes
        On which it is drawn.
    tables
        The result.
    window
        First and last instant, UTC ms.
    """
    time, values = _curve(tables, window)
    rows = thin(values)
    if window == tables.span:
        axes.axhline(tables.balance, color=INK, linewidth=0.8)
    axes.plot(days(time[rows]), values[rows], color=BLUE)
    axes.set_title(f"Equity{f' ({plain(tables.quote)})' if tables.quote else ''}")
    number_axis(axes)
    time_axis(axes, window)


def beside_panel(axes: Axes, tables: ResultTables) -> None:
    """Draw strategy and comparable buy and hold as growth of 1, by the day; logarithmic beyond threefold.

    Buy and hold is drawn as much invested as the strategy was on the average, and as volatile: beside the whole of it, a
    strategy that invests a tenth would be a flat line.

    Parameters
    ----------
    axes
        On which it is drawn.
    tables
        The result.
    """
    path, held = equity_path(tables), hold_path(tables)
    ends, values = daily_equity(path.time, path.close)
    curves = [(values / tables.balance, BLUE, "-", "strategy")]
    beside = {
        "hold_at_exposure": (INK, "--", "hold, as much invested"),
        "hold_at_volatility": (INK, ":", "as volatile"),
    }
    for key, (_, growth) in scaled_hold(tables.balance, path, held).items():
        curves.append((growth, *beside[key]))
    least, most = (f(np.concatenate([[1.0], *(curve for curve, *_ in curves)])) for f in (np.min, np.max))
    if 0.0 < 3.0 * least < most:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
    for curve, color, dash, label in reversed(curves):
        rows = thin(curve)
        axes.plot(days(ends[rows]), curve[rows], color=color, linestyle=dash, label=label)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.2)
    axes.set_title(f"Growth of 1 beside buy and hold{' (logarithmic)' if axes.get_yscale() == 'log' else ''}")
    number_axis(axes)
    time_axis(axes, tables.span)


def drawdown_panel(axes: Axes, tables: ResultTables, window: Window) -> None:
    """Draw how far equity lay below its highest close so far, in percent, as the largest drawdown counts it.

    Parameters
    ----------
    axes
        On which it is drawn.
    tables
        The result.
    window
        First and last instant, UTC ms.
    """
    path = equity_path(tables)
    time = path.time
    inside = slice(*np.searchsorted(time, (window[0], window[1] + 1)))
    depth = 100.0 * drawdowns(tables.balance, path.close, path.worst)[inside]
    rows = thin(depth)
    x = days(time[inside][rows])
    axes.fill_between(x, depth[rows], 0.0, color=BLUE, alpha=0.3, linewidth=0.0)
    axes.plot(x, depth[rows], color=BLUE, linewidth=0.9)
    axes.set_title("Drawdown (%)")
    time_axis(axes, window)


def _line(axes: Axes, candles: pd.DataFrame, step: int) -> None:
    close = candles["close"].to_numpy()
    rows = thin(close)
    axes.plot(days(candles["time"].to_numpy()[rows] + step), close[rows], color=INK, linewidth=0.9)


def _candles(axes: Axes, candles: pd.DataFrame, step: int) -> None:
    opened, high, low, close = (candles[name].to_numpy() for name in ("open", "high", "low", "close"))
    half = 0.35 * float(days(step))
    middle = days(candles["time"].to_numpy() + step // 2)
    bottom, top = np.minimum(opened, close), np.maximum(opened, close)
    for start, end in ((low, bottom), (top, high)):
        wicks = np.column_stack([middle, start, middle, end]).reshape(-1, 2, 2)
        axes.add_collection(LineCollection([*wicks], colors=INK, linewidths=0.8))
    corners = [middle - half, bottom, middle + half, bottom, middle + half, top, middle - half, top]
    faces = ["none" if rose else INK for rose in close >= opened]
    boxes = np.column_stack(corners).reshape(-1, 4, 2)
    axes.add_collection(PolyCollection([*boxes], facecolors=faces, edgecolors=INK, linewidths=0.8))
    axes.autoscale_view()


def _lives(tables: ResultTables, symbol: str, window: Window) -> dict[str, Window]:
    """Return the trades that touch the window, each from its first candle to the end of its last."""
    trades = tables.trades[tables.trades["symbol"] == symbol]
    ends = trades["exit_time"].where(~trades["open"].to_numpy(bool), tables.span[1])
    some = (ends >= window[0]) & (trades["entry_time"] <= window[1])
    chosen = zip(trades["signal"][some], trades["entry_time"][some], ends[some], strict=True)
    return {str(name): (int(first), int(end) + tables.step(symbol)) for name, first, end in chosen}


def _middle(tables: ResultTables, symbol: str, time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the middle of the candle in which each instant lies: a fill's place inside it is not known."""
    opened = tables.column(symbol, "time")
    rows = np.searchsorted(opened, time, "right") - 1
    middles: NDArray[np.int64] = opened[rows] + tables.step(symbol) // 2
    return middles


def _levels(axes: Axes, levels: Levels, life: Window, *, zone: bool) -> None:
    if zone and levels.entry:
        low, high = levels.entry[0], levels.entry[-1]
        width = 0.0 if low < high else 1.0
        axes.fill_between(days(np.array(life)), low, high, color=BLUE, alpha=0.15, linewidth=width)
    for steps in levels.targets.values():
        _steps(axes, steps, life, color=GREEN, linestyle=":", linewidth=1.1)
    _steps(axes, levels.stop, life, color=VERMILLION, linestyle="-", linewidth=1.0)


def _steps(axes: Axes, steps: list[Step], life: Window, **style: Any) -> None:
    """Draw a level over a life; what stood before it began counts from its beginning."""
    before = [step for step in steps if step.time <= life[0]][-1:]
    path = [*before, *(step for step in steps if life[0] < step.time < life[1])]
    if path:
        x = [*(max(step.time, life[0]) for step in path), life[1]]
        y = [*(step.price for step in path), path[-1].price]
        axes.plot(days(np.array(x)), y, drawstyle="steps-post", **style)


def _marks(axes: Axes, fills: pd.DataFrame, middle: NDArray[np.int64], shorts: set[str]) -> bool:
    """Mark every fill; on a chart of many they are small."""
    size, alpha = (46, 0.95) if len(fills) <= 120 else (14, 0.8)
    is_short, marked = fills["signal"].isin(shorts).to_numpy(), False
    for mark, styles in MARKS.items():
        of_mark = fills["kind"].isin([kind.value for kind in EventKind if kind.mark is mark]).to_numpy()
        for short, (label, marker, color) in enumerate(styles):
            some = of_mark & (is_short == bool(short)) if len(styles) > 1 else of_mark
            if some.any():
                x, y = days(middle[some]), fills["price"].to_numpy(np.float64)[some]
                axes.scatter(x, y, s=size, marker=marker, color=color, label=label, linewidths=0, zorder=3, alpha=alpha)
                marked = True
    return marked


def _curve(tables: ResultTables, window: Window) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    time = tables.equity["time"].to_numpy(np.int64)
    rows = slice(*np.searchsorted(time, (window[0], window[1] + 1)))
    return time[rows], tables.equity["equity"].to_numpy(np.float64)[rows]
