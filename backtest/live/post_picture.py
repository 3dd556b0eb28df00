"""Pictures of posts: a signal on its candles, when it was sent and when it has ended."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backtest.report.canvas import INK, canvas, neutral, plain
from backtest.report.panels import price_panel
from backtest.report.tables import ResultTables
from backtest.runner.frames import equity_frame, events_frame, fills_frame, trades_frame
from backtest.wire import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.engine.simulator import SimulatedVenue
    from backtest.live.intent import Intent
    from backtest.live.reconcile_replay import Ground

__all__ = ["picture_of", "tables_of_book"]

_BEFORE, _AFTER = 60, 12
"""Candles before a signal, and behind it while it has none."""


def tables_of_book(name: str, ground: Ground, venue: SimulatedVenue, intents: Sequence[Intent]) -> ResultTables:
    """Return what was sent, and what a subscriber then had, as the tables that charts are drawn from.

    Parameters
    ----------
    name
        Of the strategy.
    ground
        Whose candles.
    venue
        The subscriber's account at their end.
    intents
        The calls that were sent.
    """
    import pandas as pd

    columns = ("time", "open", "high", "low", "close", "volume")
    candles = {
        symbol: pd.DataFrame({column: getattr(one, column) for column in columns})
        for symbol, one in ground.candles.items()
    }
    described = {symbol: {"timeframe": one.timeframe} for symbol, one in ground.candles.items()}
    manifest = {"strategy": {"name": name}, "profile": venue.profile.to_dict(), "candles": described}
    return ResultTables(
        manifest=manifest,
        candles=candles,
        trades=trades_frame(venue),
        fills=fills_frame(venue),
        equity=equity_frame(venue),
        events=events_frame(venue),
        calls=[_row(intent) for intent in intents],
    )


def picture_of(tables: ResultTables, symbol: str, ref: str, sent: int, ended: int | None) -> bytes:
    """Return a signal on its candles as PNG: entry zone, targets and stop; of one that has ended its fills too.

    The picture of a signal that lives ends with the candle on which it was decided, however late it is drawn.

    Parameters
    ----------
    tables
        Of all signals.
    symbol, ref
        Of the signal.
    sent
        The close at which it was decided, UTC ms.
    ended
        When the last thing happened to it, UTC ms; None while it lives.
    """
    step = tables.step(symbol)
    if ended is None:
        known = tables.candles[symbol]
        known = known[known["time"] < sent]
        calls = [call for call in tables.calls if call["ref"] == ref][:1]
        none = tables.fills[:0], tables.events[:0], tables.trades[:0]
        candles = {**tables.candles, symbol: known}
        tables = replace(tables, candles=candles, calls=calls, fills=none[0], events=none[1], trades=none[2])
    last = sent + _AFTER * step if ended is None else ended + step
    before = max(_BEFORE * step, (last - sent) // 4)
    after = 2 * step if ended is None else max(_AFTER * step, (last - sent) // 8)
    with neutral():
        figure, (axes,) = canvas(9.0, 4.5)
        price_panel(axes, tables, symbol, (sent - before, last + after), {ref: (sent, last)})
        key = f"{plain(ref)}; dotted: targets, line: stop, shaded: entry zone; UTC"
        figure.text(0.95 / 9.0, 0.02, key, ha="left", va="bottom", fontsize=9, color=INK)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None}, facecolor="white")
    return buffer.getvalue()


def _row(intent: Intent) -> dict[str, Any]:
    endpoint = ENDPOINTS[intent.kind]
    path = endpoint.path.replace("{parent_signal_id}", intent.ref)
    body = json.loads(intent.body)
    return {
        "at": intent.candle,
        "ref": intent.ref,
        "kind": intent.kind,
        "method": endpoint.method,
        "path": path,
        "body": body,
    }
