"""Frames: the engine's records as tables, times in UTC milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.codes import KINDS, LEGS, RULES
from backtest.model.events import Event, EventKind, Leg, SignalRef, Trade
from backtest.model.rule import Rule
from backtest.report.equity import Traded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from backtest.engine.simulator import SimulatedVenue

__all__ = ["equity_frame", "events_frame", "events_of", "fills_frame", "traded_of", "trades_columns", "trades_frame"]

_KIND_NAMES = np.array([kind.value for kind in KINDS], object)
_LEG_NAMES = np.array([leg.value for leg in LEGS], object)
_IS_FILL = np.array([kind.is_fill for kind in KINDS])
_IS_ENTRY = np.array([kind.trade is Trade.ENTERS for kind in KINDS])


def trades_frame(venue: SimulatedVenue) -> pd.DataFrame:
    """Return one row a trade, closed ones in the order of their end, then those still open (``exit_time`` -1)."""
    import pandas as pd

    return pd.DataFrame(trades_columns(venue))


def trades_columns(venue: SimulatedVenue) -> dict[str, Any]:
    """Return the columns of :func:`trades_frame`."""
    closed = venue.trade_records
    still = venue.open_records
    signal = np.r_[closed["signal"], np.array([s.id for s in still], np.int64)]
    realised = _both(closed["realised"], [s.t_realised for s in still])
    fees = _both(closed["fees"], [s.t_fees for s in still])
    funding = _both(closed["funding"], [s.t_funding for s in still])
    margin = _both(closed["margin"], [s.t_margin for s in still])
    pnl = realised - fees - funding
    n_open = len(still)
    refs, exits = venue.refs, np.concatenate([closed["exit"], np.full(n_open, len(KINDS))])
    return {
        "signal": _texts([refs[k] for k in signal.tolist()]),
        "symbol": _words(venue.symbols, venue.markets_of[signal]),
        "side": np.r_[closed["side"], np.array([s.side for s in still], np.int64)],
        "entry_time": np.r_[closed["entry_time"], np.array([s.t_time for s in still], np.int64)],
        "exit_time": np.r_[closed["exit_time"], np.full(n_open, -1)],
        "quantity": _both(closed["quantity"], [s.t_quantity for s in still]),
        "average_entry": _both(closed["average_entry"], [s.t_value / s.t_quantity for s in still]),
        "average_exit": _both(closed["average_exit"], [np.nan] * n_open),
        "realised": realised,
        "fees": fees,
        "funding": funding,
        "pnl": pnl,
        "margin": margin,
        "return": pnl / margin,
        "invest": _both(closed["invest"], [s.t_invest for s in still]),
        "exit": _words([*(kind.value for kind in KINDS), ""], exits),
        "targets_hit": np.r_[closed["hits"], np.array([s.t_hits for s in still], np.int64)],
        "ambiguous": np.r_[closed["ambiguous"], np.array([s.t_ambiguous for s in still], np.int64)].astype(bool),
        "open": np.r_[np.zeros(len(closed), bool), np.ones(n_open, bool)],
    }


def events_frame(venue: SimulatedVenue) -> pd.DataFrame:
    """Return one row an event, in the order in which they happened."""
    import pandas as pd

    e = venue.event_records
    return pd.DataFrame(
        {
            "time": e["time"].copy(),
            "signal": _refs(venue)[e["signal"]],
            "symbol": _symbols(venue)[e["signal"]],
            "kind": _KIND_NAMES[e["kind"]],
            "price": e["price"].copy(),
            "quantity": e["quantity"].copy(),
            "fee": e["fee"].copy(),
            "target": e["target"].copy(),
            "average_entry": e["average"].copy(),
            "open_quantity": e["open"].copy(),
            "leg": _LEG_NAMES[e["leg"]],
            "rule": _rules(e["rule"]),
            "reason": _reasons(venue, e["reason"]),
        }
    )


def fills_frame(venue: SimulatedVenue) -> pd.DataFrame:
    """Return one row a fill, in the order in which they happened; ``buy`` tells what the exchange saw."""
    import pandas as pd

    e = venue.event_records
    e = e[_IS_FILL[e["kind"]] & (e["quantity"] > 0.0)]
    sides = venue.sides
    enters = _IS_ENTRY[e["kind"]]
    return pd.DataFrame(
        {
            "time": e["time"].copy(),
            "signal": _refs(venue)[e["signal"]],
            "symbol": _symbols(venue)[e["signal"]],
            "kind": _KIND_NAMES[e["kind"]],
            "buy": enters == (sides[e["signal"]] > 0),
            "price": e["price"].copy(),
            "quantity": e["quantity"].copy(),
            "fee": e["fee"].copy(),
            "target": e["target"].copy(),
            "maker": e["maker"].astype(bool),
            "rule": _rules(e["rule"]),
            "leg": _LEG_NAMES[e["leg"]],
        }
    )


def traded_of(venue: SimulatedVenue, symbol: str) -> Traded:
    """Return the fills of one symbol as plain columns.

    Parameters
    ----------
    venue
        At the end of a run.
    symbol
        One of its markets.
    """
    e = venue.event_records
    kind, quantity = e["kind"], e["quantity"]
    at = np.flatnonzero(_IS_FILL[kind] & (quantity > 0.0))
    signal = e["signal"][at]
    if len(venue.symbols) > 1:
        own = venue.markets_of[signal] == venue.symbols.index(symbol)
        at, signal = at[own], signal[own]
    return Traded(
        time=e["time"][at],
        signal=signal,
        enters=_IS_ENTRY[kind[at]],
        long=venue.sides[signal] > 0,
        quantity=quantity[at],
    )


def equity_frame(venue: SimulatedVenue) -> pd.DataFrame:
    """Return ``time`` (close, UTC ms) and ``equity`` of every candle."""
    import pandas as pd

    return pd.DataFrame({"time": np.asarray(venue.equity_time), "equity": np.asarray(venue.equity)})


def events_of(frame: pd.DataFrame) -> list[Event]:
    """Return the events of a table as objects."""
    rows = frame.to_dict("list")
    return [
        Event(
            time=int(time),
            signal=SignalRef(signal),
            symbol=symbol,
            kind=EventKind(kind),
            price=None if price != price else float(price),
            quantity=float(quantity),
            fee=float(fee),
            target=int(target) or None,
            average_entry=None if average != average else float(average),
            open_quantity=float(open_),
            leg=Leg(leg),
            rule=Rule(rule),
            reason=reason,
        )
        for time, signal, symbol, kind, price, quantity, fee, target, average, open_, leg, rule, reason in zip(
            *rows.values(), strict=True
        )
    ]


def _texts(values: Any) -> Any:
    """Return a column of texts as pandas keeps them; made here, it need not be looked through value by value."""
    import pandas as pd
    import pyarrow as pa

    return pd.array(pa.array(values, pa.large_string()), dtype="str")


def _words(names: Sequence[str], codes: NDArray[np.int64]) -> Any:
    """Return the texts that codes stand for, likewise."""
    import pyarrow as pa

    return _texts(pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names)).cast(pa.large_string()))


def _both(closed: NDArray[np.float64], still: list[float]) -> NDArray[np.float64]:
    return np.concatenate([closed, np.array(still, np.float64)])


def _refs(venue: SimulatedVenue) -> NDArray[np.object_]:
    return np.array([*venue.refs, ""], object)[:-1]


def _symbols(venue: SimulatedVenue) -> NDArray[np.object_]:
    return np.array([*venue.symbols, ""], object)[:-1][venue.markets_of]


def _reasons(venue: SimulatedVenue, codes: NDArray[np.int64]) -> NDArray[np.object_]:
    unique, where = np.unique(codes, return_inverse=True)
    return np.array([*(venue.reason_of(int(code)) for code in unique), ""], object)[:-1][where]


def _rules(codes: NDArray[np.int64]) -> NDArray[np.object_]:
    unique, where = np.unique(codes, return_inverse=True)
    return np.array([*(RULES[int(code)].value for code in unique), ""], object)[:-1][where]
