"""Charts of a run: price with entries, targets, stops and exits; equity beside buy and hold; drawdown. Times in UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.model.events import EventKind
from backtest.report.canvas import INK, Chart, canvas, neutral, plain
from backtest.report.panels import beside_panel, drawdown_panel, equity_panel, price_panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from backtest.report.tables import ResultTables

__all__ = ["account_chart", "overview_chart", "price_chart", "price_on", "signal_chart"]

_ENDED = {kind.value for kind in EventKind if kind.ends}


def overview_chart(tables: ResultTables, symbol: str | None = None, *, last: int | None = None) -> Chart:
    """Return price, equity and drawdown under each other, over the whole run or its ``last`` trades.

    Parameters
    ----------
    symbol
        Whose price is drawn; None takes the first by name.
    last
        How many trades back the window reaches; None draws every candle.

    Raises
    ------
    InvalidSettingError
        For a symbol that the result has not, or a ``last`` below 1.
    """
    symbol = _known(tables, symbol)
    window = _window(tables, symbol, last)
    with neutral():
        figure, (top, middle, bottom) = canvas(11.0, 8.0, (3, 2, 1), titled=True)
        price_panel(top, tables, symbol, window)
        equity_panel(middle, tables, window)
        drawdown_panel(bottom, tables, window)
        figure.suptitle(_headline(tables), x=0.95 / 11.0, y=0.985, ha="left", fontsize=11)
    return figure


def price_on(axes: Axes, tables: ResultTables, symbol: str | None = None, *, last: int | None = None) -> Figure:
    """Draw the price of one symbol with what the signals did on axes of the caller's, and return their figure.

    Parameters
    ----------
    axes
        On which it is drawn.
    tables
        The result.
    symbol, last
        As for :func:`overview_chart`.
    """
    symbol = _known(tables, symbol)
    price_panel(axes, tables, symbol, _window(tables, symbol, last))
    return axes.get_figure(root=True)  # type: ignore[return-value]  # axes of a figure


def price_chart(
    tables: ResultTables, symbol: str | None = None, *, last: int | None = None, marked: bool = True
) -> Chart:
    """Return the price of one symbol with what the signals did there; see :func:`overview_chart`.

    Parameters
    ----------
    tables
        The result.
    symbol, last
        As for :func:`overview_chart`.
    marked
        Whether fills are marked: thousands of them hide the price.
    """
    symbol = _known(tables, symbol)
    with neutral():
        figure, (axes,) = canvas(11.0, 4.2)
        price_panel(axes, tables, symbol, _window(tables, symbol, last), None if marked else {})
    return figure


def account_chart(tables: ResultTables) -> Chart:
    """Return equity, its growth beside that of buy and hold, and its drawdown."""
    with neutral():
        figure, (top, middle, bottom) = canvas(11.0, 6.8, (2, 2, 1))
        equity_panel(top, tables, tables.span)
        beside_panel(middle, tables)
        drawdown_panel(bottom, tables, tables.span)
    return figure


def signal_chart(tables: ResultTables, signal: str, *, ax: Axes | None = None) -> Figure:
    """Return the life of one signal on its candles, its entry zone shaded (named as in :meth:`ResultTables.signal`).

    Parameters
    ----------
    tables
        The result.
    signal
        As for :meth:`ResultTables.signal`.
    ax
        Axes to draw on; None makes a figure.
    """
    name = tables.signal(signal)
    life = tables.events[tables.events["signal"] == name]
    symbol, first = str(life["symbol"].iloc[0]), int(life["time"].iloc[0])
    ended = set(life["kind"]) & _ENDED or life["kind"].iloc[0] == EventKind.REFUSED
    end = int(life["time"].iloc[-1]) if ended else tables.span[1]
    margin = max(10 * tables.step(symbol), (end - first) // 5)
    own, window = {name: (first, end + tables.step(symbol))}, (first - margin, end + margin)
    if ax is not None:
        price_panel(ax, tables, symbol, window, own)
        return ax.get_figure(root=True)  # type: ignore[return-value]  # axes of a figure
    with neutral():
        figure, (axes,) = canvas(9.0, 3.8)
        price_panel(axes, tables, symbol, window, own)
        key = f"{plain(name)}; dotted: targets, line: stop, shaded: entry zone"
        figure.text(0.95 / 9.0, 0.02, key, ha="left", va="bottom", fontsize=9, color=INK)
    return figure


def _headline(tables: ResultTables) -> str:
    name = plain(tables.name)
    if tables.interval is None:
        return f"{name}: one reading of the candles only ({tables.mode})"
    return f"{name}: total return {tables.interval.shown(tables.mode)}; drawn: {tables.mode}"


def _known(tables: ResultTables, symbol: str | None) -> str:
    known = tables.symbols
    if symbol is None and known:
        return known[0]
    if symbol not in known:
        near = did_you_mean(symbol or "", known)
        raise InvalidSettingError(f"symbol was {symbol!r}; this result has {', '.join(known) or 'no candles'}.{near}")
    return str(symbol)


def _window(tables: ResultTables, symbol: str, last: int | None) -> tuple[int, int]:
    if last is None:
        return tables.span
    if isinstance(last, bool) or last < 1:
        raise InvalidSettingError(f"last is a number of trades of at least 1, was {last!r}")
    trades = tables.trades[tables.trades["symbol"] == symbol].sort_values("entry_time").tail(last)
    if trades.empty:
        return tables.span
    ends = trades["exit_time"].where(~trades["open"].to_numpy(bool), tables.span[1])
    first, end = int(trades["entry_time"].iloc[0]), int(ends.max())
    margin = max(5 * tables.step(symbol), (end - first) // 20)
    return max(first - margin, tables.span[0]), min(end + margin, tables.span[1])
