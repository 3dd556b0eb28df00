"""Of a result: what the chart shows of a saved run."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.model.events import EventKind
from backtest.report import text
from backtest.report.chart.shapes import Account, ChartInput, Fill, Indicator, Prices, SignalLife, Trip
from backtest.report.equity import drawdowns, equity_path
from backtest.report.explain import signal_outcomes
from backtest.report.levels import Levels, Step, signal_levels

if TYPE_CHECKING:
    from backtest.report.tables import ResultTables

__all__ = ["chart_of"]

_CANDLES = 1_000_000
"""Candles of all markets together that a page can hold; of more, the markets that traded most."""
_SIGNALS = 5_000
_VALUES = 1_000_000
"""Values of indicators that a page can hold."""
_ENDS = {kind.value for kind in EventKind if kind.ends} | {EventKind.REFUSED.value}


def chart_of(tables: ResultTables) -> ChartInput:
    """Return candles, account, indicators and signals of a run, and a sentence about what there was no room for.

    Parameters
    ----------
    tables
        The result.
    """
    symbols, notes = _symbols(tables)
    names = [str(one) for one in dict.fromkeys(tables.events["signal"])]
    numbered = list(enumerate(names, 1))[-_SIGNALS:]
    if len(numbered) < len(names):
        notes.append(f"Of {len(names):,} signals the newest {len(numbered):,} are drawn.")
    markets, left = [], _VALUES
    for symbol in symbols:
        prices = _prices(tables, symbol, left)
        left -= sum(len(one.values) for one in prices.indicators)
        markets.append(prices)
    missing = sum(len(_curves(tables, one.symbol)) - len(one.indicators) for one in markets)
    if missing:
        notes.append(f"{text.plural(missing, 'indicator')} had no room.")
    return ChartInput(tuple(markets), _account(tables), _lives(tables, numbered), tables.quote, " ".join(notes))


def _symbols(tables: ResultTables) -> tuple[list[str], list[str]]:
    """Return the markets to draw, those that traded most first, and what is said of the others."""
    traded = tables.trades["symbol"].value_counts().to_dict()
    known = [symbol for symbol in tables.symbols if len(tables.column(symbol, "time"))]
    ordered = sorted(known, key=lambda symbol: (-int(traded.get(symbol, 0)), symbol))
    room = _CANDLES
    chosen: list[str] = []
    for symbol in ordered:
        size = len(tables.column(symbol, "time"))
        if not chosen or size <= room:
            chosen.append(symbol)
            room -= size
    left = len(ordered) - len(chosen)
    return chosen, [
        f"{text.plural(left, 'more symbol')} had no room: those that traded most are drawn."
    ] if left else []


def _prices(tables: ResultTables, symbol: str, room: int) -> Prices:
    opened, high, low, close = (
        tables.column(symbol, name).astype(np.float64) for name in ("open", "high", "low", "close")
    )
    curves = _curves(tables, symbol)
    return Prices(
        symbol,
        str((tables.manifest.get("candles") or {}).get(symbol, {}).get("timeframe", "")),
        tables.step(symbol),
        tables.column(symbol, "time").astype(np.int64),
        opened,
        high,
        low,
        close,
        tuple(curves[: max(0, room // max(1, len(close)))]),
    )


def _curves(tables: ResultTables, symbol: str) -> list[Indicator]:
    frame = tables.indicators.get(symbol)
    if frame is None:
        return []
    columns = [Indicator(str(name), frame[name].to_numpy(np.float64)) for name in frame.columns]
    return [one for one in columns if np.isfinite(one.values).any()]


def _account(tables: ResultTables) -> Account | None:
    path = equity_path(tables)
    if not len(path.time):
        return None
    frame = tables.equity
    lowest, highest = (
        frame[name].to_numpy(np.float64) if name in frame.columns else path.close for name in ("lowest", "highest")
    )
    return Account(path.time, path.close, lowest, highest, drawdowns(tables.balance, path.close, path.worst))


def _lives(tables: ResultTables, numbered: list[tuple[int, str]]) -> tuple[SignalLife, ...]:
    names = [name for _, name in numbered]
    levels, outcomes = signal_levels(tables), signal_outcomes(tables, names)
    events = tables.events[tables.events["signal"].isin(names)]
    made: dict[str, tuple[int, str]] = {}
    until: dict[str, int] = {}
    for time, name, symbol, kind in zip(
        events["time"], events["signal"], events["symbol"], events["kind"], strict=True
    ):
        made.setdefault(str(name), (int(time), str(symbol)))
        if kind in _ENDS:
            until[str(name)] = int(time)
    fills, trips = _fills(tables, names), _trips(tables, names)
    sides = dict(zip(tables.trades["signal"], tables.trades["side"], strict=True))
    return tuple(
        _life(
            number,
            name,
            made[name],
            until.get(name),
            levels.get(name) or Levels(int(sides.get(name, 1))),
            fills=tuple(fills[name]),
            trips=tuple(trips[name]),
            outcome=outcomes[name],
        )
        for number, name in numbered
    )


def _life(number: int, name: str, made: tuple[int, str], until: int | None, levels: Levels, **rest: Any) -> SignalLife:
    targets = tuple(_finite(levels.targets[k]) for k in sorted(levels.targets))
    return SignalLife(
        number,
        name,
        made[1],
        levels.side,
        made[0],
        until,
        tuple(price for price in levels.entry if math.isfinite(price)),
        _finite(levels.stop),
        targets,
        **rest,
    )


def _finite(steps: list[Step]) -> tuple[tuple[int, float], ...]:
    return tuple((int(time), float(price)) for time, price in steps if math.isfinite(price))


def _fills(tables: ResultTables, names: list[str]) -> dict[str, list[Fill]]:
    found: dict[str, list[Fill]] = defaultdict(list)
    own = tables.fills[tables.fills["signal"].isin(names)]
    columns = (own[name] for name in ("signal", "time", "price", "kind", "target", "quantity"))
    for signal, time, price, kind, target, quantity in zip(*columns, strict=True):
        found[str(signal)].append(Fill(int(time), float(price), str(kind), _whole(target), _known(quantity, 7) or 0.0))
    return found


def _trips(tables: ResultTables, names: list[str]) -> dict[str, list[Trip]]:
    found: dict[str, list[Trip]] = defaultdict(list)
    for row in tables.trades[tables.trades["signal"].isin(names)].to_dict("records"):
        is_open = bool(row["open"])
        found[str(row["signal"])].append(
            Trip(
                int(row["entry_time"]),
                None if is_open else int(row["exit_time"]),
                _known(row["average_entry"], 10) or 0.0,
                None if is_open else _known(row["average_exit"], 10),
                None if is_open else _known(row["pnl"], 7),
                None if is_open else _known(row["return"], 6),
                str(row["exit"]).replace("_", " "),
                bool(row["ambiguous"]),
            )
        )
    return found


def _known(number: Any, digits: int) -> float | None:
    """Return a number with so many digits that count, which a hover can show; None for what is not finite."""
    return float(f"{number:.{digits}g}") if math.isfinite(number) else None


def _whole(number: Any) -> int:
    return int(number) if math.isfinite(number) else 0
