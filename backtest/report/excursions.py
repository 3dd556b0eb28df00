"""Excursions: how far each trade went against and for itself, its candles walked as the engine walked them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backtest.model.events import EventKind, Leg
from backtest.report.levels import signal_levels
from backtest.report.positions import ENTERING, positions_of
from backtest.report.titled import frame_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from backtest.report.positions import Positions
    from backtest.report.tables import ResultTables

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = ["Walked", "excursions", "initial_risks", "walked_candles"]

_LEG = {Leg.CALL: 0, Leg.GAP: 0, Leg.OPEN: 0, Leg.FIRST: 1, Leg.SECOND: 2, Leg.THIRD: 3, Leg.CLOSE: 4}
"""The corners of a candle (open, two extremes, close) that lie before a fill there, the open of its gap or open apart."""

_UNDONE = {Leg.CALL, Leg.GAP}
"""Where a fill happens before the open was traded."""


_STOPS = frozenset((EventKind.STOP_HIT.value, EventKind.TRAILING_HIT.value, EventKind.LIQUIDATED.value))


class Walked(NamedTuple):
    """The candles of one symbol that were walked and in which something traded, oldest first.

    ``time`` (n,) int64, UTC ms; ``open``, ``high``, ``low``, ``close`` (n,) float64, quote currency per unit of base.
    ``exact``: whether fills happened inside these very candles, not inside finer ones that are not there.
    """

    time: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    exact: bool = True


def walked_candles(tables: ResultTables) -> dict[str, Walked]:
    """Return the candles of a result by symbol; those without volume trade nothing (L2.6) and are left out."""
    described = tables.manifest.get("candles") or {}
    filled = any(one["name"] == "fill_without_volume" and one["value"] for one in tables.assumptions)
    found = {}
    for symbol in tables.symbols:
        about = described.get(symbol, {})
        volume = tables.column(symbol, "volume")
        known = bool(about.get("volume_known", volume.any()))
        trades = np.ones(len(volume), bool) if filled or not known else volume > 0.0
        time, opened, high, low, close = (
            tables.column(symbol, name)[trades] for name in ("time", "open", "high", "low", "close")
        )
        detail = int((about.get("detail") or {}).get("complete", 0)) > 0
        found[symbol] = Walked(time, opened, high, low, close, exact=not detail)
    return found


def excursions(tables: ResultTables, walked: Mapping[str, Walked] | None = None) -> pd.DataFrame:
    """Return how far each trade went against (MAE) and for itself (MFE), and what it made of its risk (R).

    From the first fill to the last one, or to the last close of an open trade, every price of the path is held against the
    average entry of that moment, before fees: ``side x (price / average entry - 1)``. MAE is the lowest of them, at most 0,
    and MFE the highest, at least 0, both fractions of the price (Sweeney, "Maximum Adverse Excursion", 1997). Of the candle
    of a fill only that part counts in which the position was there: before an entry and after an exit nothing does. Which
    extreme came first is what the mode says (L2.2): the colour in mode ``candle``, else the journey that was kept, which
    its fills tell. Exit prices count with their slippage.

    R is PnL after costs over the initial risk: quantity of the entry x distance of its average price to the stop in force
    at the first fill, quote currency. ``<NA>`` without a stop, or where it was not beyond the entry.

    Parameters
    ----------
    tables
        The result.
    walked
        The candles that were walked, by symbol, where they are finer than those of the result (detail); None takes
        those of the result.

    Returns
    -------
    DataFrame
        One row a trade, in the order of ``trades``: ``signal, symbol, side, entry_time, exit_time`` (UTC, NaT while open),
        ``return``, ``mae``, ``mfe`` (fractions), ``risk`` (quote currency), ``r``, ``open``, and ``exact``: False where
        finer candles were walked than are there, so that of the candles of a fill only what is certain was counted.
    """
    import pandas as pd

    candles = walked_candles(tables) if walked is None else dict(walked)
    trades = tables.trades
    worst, best, exact = np.zeros(len(trades)), np.zeros(len(trades)), np.ones(len(trades), bool)
    positions = positions_of(tables)
    for symbol in dict.fromkeys(trades["symbol"]):
        own = candles[str(symbol)]
        _walk_symbol(tables, str(symbol), own, positions, (worst, best))
        exact[(trades["symbol"] == symbol).to_numpy(bool)] = own.exact
    risk = initial_risks(tables, positions)
    pnl = trades["pnl"].to_numpy(np.float64)
    entered, left = (trades[name].to_numpy(np.int64) for name in ("entry_time", "exit_time"))
    stamps = left.view("M8[ms]").copy()
    stamps[left < 0] = np.datetime64("NaT")
    columns = {
        "signal": trades["signal"].to_list(),
        "symbol": trades["symbol"].to_list(),
        "side": trades["side"].to_numpy(np.int64),
        "entry_time": pd.DatetimeIndex(entered.view("M8[ms]"), tz="UTC"),
        "exit_time": pd.DatetimeIndex(stamps, tz="UTC"),
        "return": trades["return"].to_numpy(np.float64),
        "mae": worst,
        "mfe": best,
        "risk": risk,
        "r": np.divide(pnl, risk, out=np.full(len(pnl), np.nan), where=risk > 0.0),
        "open": trades["open"].to_numpy(bool),
        "exact": exact,
    }
    return frame_of(columns, optional=("risk", "r"))


def initial_risks(tables: ResultTables, positions: Positions) -> Floats:
    """Return (trades,) what each trade risked at its first stop, quote currency; NaN where it had none beyond its entry.

    Parameters
    ----------
    tables
        The result.
    positions
        Its fills by trade.
    """
    levels, risk = signal_levels(tables), np.full(len(tables.trades), np.nan)
    kinds, times = tables.fills["kind"].to_list(), tables.fills["time"].to_list()
    prices, quantities = tables.fills["price"].to_list(), tables.fills["quantity"].to_list()
    names, sides = tables.trades["signal"].to_list(), tables.trades["side"].to_list()
    begins = np.searchsorted(positions.trade, np.arange(len(risk) + 1))
    first_kind = [EventKind.ENTERED.value, EventKind.REBOUGHT.value, EventKind.DCA_FILLED.value]
    for trade in range(len(risk)):
        rows = positions.fill[begins[trade] : begins[trade + 1]].tolist()
        known = levels.get(str(names[trade]))
        if not rows or known is None or not known.stop:
            continue
        since = times[rows[0]]
        in_force = [step.price for step in known.stop if step.time <= since] or [known.stop[0].price]
        opened = next(kind for kind in first_kind if any(kinds[row] == kind for row in rows))
        bought = [(prices[row], quantities[row]) for row in rows if kinds[row] == opened]
        quantity = sum(size for _, size in bought)
        average = sum(price * size for price, size in bought) / quantity
        distance = sides[trade] * (average - in_force[-1])
        if distance > 0.0:
            risk[trade] = distance * quantity
    return risk


def _walk_symbol(
    tables: ResultTables, symbol: str, candles: Walked, positions: Positions, found: tuple[Floats, Floats]
) -> None:
    """Write the lowest and the highest excursion of the trades of one symbol."""
    fills = tables.fills
    own = (fills["symbol"] == symbol).to_numpy(bool)[positions.fill]
    at = positions.fill[own]
    if len(at) == 0 or len(candles.time) == 0:
        return
    trade, held = positions.trade[own], positions.held[own]
    price = fills["price"].to_numpy(np.float64)[at]
    row = np.maximum(np.searchsorted(candles.time, fills["time"].to_numpy(np.int64)[at], "right") - 1, 0)
    corner, undone = np.full(len(at), 3), np.zeros(len(at), bool)
    up_first = np.zeros(len(candles.time), bool)
    if candles.exact:
        corner, undone = _corners(fills, at)
        up_first = _journeys(tables, at, row, candles, corner)
    same = np.r_[trade[1:] == trade[:-1], False]
    starts = np.flatnonzero(held > 0.0)  # from a fill to the next one of its trade, or to the end
    follows = same[starts]
    ends = np.where(follows, starts + 1, -1)
    first, last = row[starts], np.where(follows, row[ends], len(candles.time) - 1)
    leaves = np.where(follows, np.where(candles.exact, corner[ends] + ((corner[ends] == 0) & ~undone[ends]), 1), 4)
    begins = corner[starts] + ((corner[starts] == 0) & ~undone[starts]) if candles.exact else np.full(len(starts), 3)
    low, high = price[starts].copy(), price[starts].copy()
    for k in range(4):
        corners = _corner(candles, up_first, k)
        in_first = (k >= begins) & ((first < last) | (k < leaves))
        in_last = (first < last) & (k < leaves)
        for some, where in ((in_first, first), (in_last, last)):
            low = np.where(some, np.minimum(low, corners[where]), low)
            high = np.where(some, np.maximum(high, corners[where]), high)
    _whole(candles, first, last, low, high)
    low = np.where(follows, np.minimum(low, price[ends]), low)
    high = np.where(follows, np.maximum(high, price[ends]), high)
    average = positions.average[own][starts]
    side = tables.trades["side"].to_numpy(np.float64)[trade[starts]]
    against, favour = np.where(side > 0.0, low, high), np.where(side > 0.0, high, low)
    np.minimum.at(found[0], trade[starts], side * (against / average - 1.0))
    np.maximum.at(found[1], trade[starts], side * (favour / average - 1.0))


def _corners(fills: pd.DataFrame, at: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """Return how many corners lie before each fill, and whether the open was still to come."""
    legs = fills["leg"].to_numpy(object)[at]
    return np.array([_LEG[leg] for leg in legs], np.int64), np.array([leg in _UNDONE for leg in legs], bool)


def _corner(candles: Walked, up_first: NDArray[np.bool_], k: int) -> Floats:
    """Return the k-th corner of every candle: open, first extreme, second extreme, close."""
    if k in {0, 3}:
        return candles.open if k == 0 else candles.close
    return np.where(up_first == (k == 1), candles.high, candles.low)


def _journeys(
    tables: ResultTables, at: Integers, row: Integers, candles: Walked, corner: Integers
) -> NDArray[np.bool_]:
    """Return (n,) whether each candle went to its high first; where nothing tells it does not matter.

    In mode ``candle`` the colour tells, otherwise the fills: a limit that bought was met on a falling leg, one that sold
    on a rising one; a stop on the leg that goes against its position; a range on the leg that leads from the open into
    it. A candle that has one way out either way is walked down-first by the engine: in mode ``candle`` its fills are put
    (in ``corner``) on the leg on which the colour's journey meets them.
    """
    fills = tables.fills
    kind, buys = fills["kind"].to_numpy(object)[at], fills["buy"].to_numpy(bool)[at]
    maker, price = fills["maker"].to_numpy(bool)[at], fills["price"].to_numpy(np.float64)[at]
    opened = candles.open[row]
    ranged = np.array([one in ENTERING for one in kind], bool) & ~maker
    stops = np.array([one in _STOPS for one in kind], bool)
    rises = np.where(ranged, price > opened, np.where(maker, ~buys, buys))
    # a sale at the market that follows an entry at once tells nothing of its own
    inside = np.flatnonzero((corner >= 1) & (corner <= 3) & (ranged | maker | stops))
    told = rises[inside] == (corner[inside] != 2)
    if tables.mode != "candle":
        up_first: NDArray[np.bool_] = np.zeros(len(candles.time), bool)
        up_first[row[inside]] = told
        return up_first
    by_colour: NDArray[np.bool_] = candles.close < candles.open
    other = inside[told != by_colour[row[inside]]]
    up = rises[other]
    ahead = np.where(up, price[other] >= opened[other], price[other] <= opened[other])
    corner[other] = np.where(up != by_colour[row[other]], 2, np.where(ahead, 1, 3))
    return by_colour


def _whole(candles: Walked, first: Integers, last: Integers, low: Floats, high: Floats) -> None:
    """Lower and raise the extremes of each stretch by the candles that it holds from open to close."""
    some = np.flatnonzero(last - first > 1)
    if len(some) == 0:
        return
    between = np.stack([first[some] + 1, last[some]], axis=1).ravel()
    lows, highs = np.r_[candles.low, np.inf], np.r_[candles.high, -np.inf]
    low[some] = np.minimum(low[some], np.minimum.reduceat(lows, between)[::2])
    high[some] = np.maximum(high[some], np.maximum.reduceat(highs, between)[::2])
