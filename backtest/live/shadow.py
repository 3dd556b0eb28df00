"""Shadow: what the shadow book of a seat looks like, as plain values for whoever watches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.model.events import EventKind

if TYPE_CHECKING:
    from backtest.live.seat import Seat
    from backtest.model.signal import LiveSignal

__all__ = ["shadow_of"]

_KINDS = list(EventKind)
_SHOWN = np.array([kind.is_fill or kind is EventKind.STOP_MOVED for kind in _KINDS])
_POINTS = 240
_EVENTS = 200
"""Of one signal, the newest."""


def shadow_of(seat: Seat) -> dict[str, Any]:
    """Return the account and the living signals of a strategy, as JSON holds them; times are UTC ms.

    To be called by the thread that decides: the engine's records change under any other one.
    """
    venue = seat.session.venue
    living = [one for place in seat.places.values() for one in venue.living(place.stream.symbol)]
    events = _events(seat, {one.ref for one in living}) if living else {}
    equity, times = venue.equity, venue.equity_time
    chosen = np.unique(np.linspace(0, max(0, len(equity) - 1), min(_POINTS, len(equity))).astype(np.int64))
    return {
        "identity": seat.strategy.identity,
        "strategy": type(seat.strategy).__name__,
        "timeframe": seat.place[1],
        "symbols": [place.stream.symbol for place in seat.places.values()],
        "balance": seat.profile.balance,
        "equity": float(equity[-1]) if len(equity) else seat.profile.balance,
        "curve": [[int(times[k]), round(float(equity[k]), 8)] for k in chosen],
        "signals": [_signal(one, events.get(one.ref, [])) for one in living],
    }


def _signal(one: LiveSignal, events: list[list[Any]]) -> dict[str, Any]:
    return {
        "ref": str(one.ref),
        "side": int(one.side),
        "status": one.status.value,
        "stop": one.stop,
        "trailing": bool(one.trailing),
        "targets": list(one.targets),
        "average": one.average_entry,
        "quantity": one.open_quantity,
        "events": events,
    }


def _events(seat: Seat, wanted: set[str]) -> dict[str, list[list[Any]]]:
    """Return fills and moves of the stop of some signals: time, kind, price, target (0 for none), quantity."""
    venue = seat.session.venue
    names = {k: ref for k, ref in enumerate(venue.refs) if ref in wanted}
    records = venue.event_records
    mine = records[np.isin(records["signal"], list(names)) & _SHOWN[records["kind"]]]
    found: dict[str, list[list[Any]]] = {ref: [] for ref in names.values()}
    for one in mine:
        price = float(one["price"])
        row = [
            int(one["time"]),
            _KINDS[int(one["kind"])].value,
            price if math.isfinite(price) else None,
            int(one["target"]),
        ]
        found[names[int(one["signal"])]].append([*row, float(one["quantity"])])
    return {ref: rows[-_EVENTS:] for ref, rows in found.items()}
