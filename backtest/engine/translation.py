"""Translation: calls become records, records become events and living signals. Prices are on the tick before they come here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from backtest.engine.codes import (
    C_CANCEL,
    C_CREATE,
    C_DCA,
    C_REBUY,
    C_TAKE_PROFIT,
    C_TRAILING,
    C_UPDATE,
    FUTURES,
    KINDS,
    LEGS,
    MARGIN,
    NO_STOP,
    RULES,
    SPOT,
    STATUSES,
    T_LIVE,
    TRAILING,
)
from backtest.engine.records import PACKED_LIVING, TARGETS
from backtest.model.calls import (
    Call,
    Cancel,
    CreateSignal,
    Dca,
    Rebuy,
    TakeProfit,
    TrailingStop,
    UpdatePrices,
)
from backtest.model.events import Event, SignalRef
from backtest.model.signal import LiveSignal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["PRICE_FIELDS", "SIZE_FIELDS", "events_of", "live_signals", "write_call", "write_create"]

_ACCOUNTS = {None: int(SPOT), "SPOT": int(SPOT), "MARGIN": int(MARGIN), "FUTURES": int(FUTURES)}
_CREATE, _NO_STOP, _TRAILING, _T_LIVE = map(int, (C_CREATE, NO_STOP, TRAILING, T_LIVE))  # numpy's compare slowly
_NAN = math.nan
_ABSENT = (_NAN,) * TARGETS
_PRICES = ("price", "trail", "trail_limit", "low", "mid", "high", "stop", "invest", "targets")
_NO_LATER_CALL = (0.0, 0, 0.0, 0.0, 0.0, 0.0, 0, 0)  # from price on: those of later calls, and no reason
PRICE_FIELDS: Mapping[str, str] = {
    "entry_price_min": "low",
    "entry_price_mid": "mid",
    "entry_price_max": "high",
    "stop_loss": "stop",
}
"""Prices of a create by the API's names, and their fields in a call record; targets are an array there."""

SIZE_FIELDS: Mapping[str, str] = {
    "invest": "invest",
    "leverage": "leverage",
    "ttl_buy_order": "ttl",
    "invest_entry_min": "share_low",
    "invest_entry_mid": "share_mid",
    "invest_entry_max": "share_high",
}
"""The numbers of a create that are no prices, likewise."""


def _number(value: float | None) -> float:
    return _NAN if value is None else value


def write_create(calls: NDArray[Any], place: int, sent: tuple[int, int, int, int], call: CreateSignal) -> None:
    """Write a create, its prices on the tick, whole into a call record: field by field by name takes numpy much longer.

    Parameters
    ----------
    calls
        (n,) call records.
    place
        Which of them.
    sent
        What it does not say itself: ``at``, ``arrival``, ``market`` and ``signal``.
    call
        The create.
    """
    prices = (call.entry_price_min, call.entry_price_mid, call.entry_price_max, call.stop_loss)
    invest, low, mid, high, stop, *targets = [
        _NAN if number is None else number for number in (call.invest, *prices, *call.targets)
    ]
    calls[place] = (
        *sent,
        _CREATE,
        call.side,
        _ACCOUNTS[call.account],
        call.margin_type == "CROSS" and call.account in {"MARGIN", "FUTURES"},
        1.0 if call.leverage is None else call.leverage,
        invest,
        int(call.ttl_buy_order or 0),
        call.is_split,
        low,
        mid,
        high,
        call.invest_entry_min or 0.0,
        call.invest_entry_mid or 0.0,
        call.invest_entry_max or 0.0,
        (*targets, *_ABSENT[len(targets) :]),
        stop,
        *_NO_LATER_CALL,
    )


def write_call(r: Any, call: Call) -> None:
    """Write a later call, its prices on the tick, into a call record (attributes of one are slow)."""
    for name in _PRICES:
        r[name] = _NAN
    if isinstance(call, Cancel):
        r["kind"] = C_CANCEL
    elif isinstance(call, UpdatePrices):
        r["kind"], r["marketable"] = C_UPDATE, call.allow_marketable
        r["low"], r["high"], r["stop"] = (
            _number(call.entry_price_min),
            _number(call.entry_price_max),
            _number(call.stop_loss),
        )
        r["targets"] = [_number(price) for price in call.targets]
    elif isinstance(call, Dca):
        r["kind"], r["price"], r["multiplier"] = C_DCA, call.buy_price, call.multiplier
    elif isinstance(call, CreateSignal):
        raise TypeError("a create is a row of its own")
    else:
        r["trail"], r["trail_limit"] = _number(call.trailing_stop_price), _number(call.trailing_stop_limit_price)
        _write_order(r, call)


def _write_order(r: Any, call: TakeProfit | TrailingStop | Rebuy) -> None:
    """Write what a call with a trailing pair has besides."""
    if isinstance(call, TakeProfit):
        r["kind"], r["limit"], r["amount"] = C_TAKE_PROFIT, call.order_type == "limit", call.sell_amount_relative
        r["price"] = _number(call.sell_price)
    elif isinstance(call, Rebuy):  # a zone without a tick inside is crossed, and refused when it acts (L3.6)
        r["kind"], r["invest"] = C_REBUY, _number(call.invest)
        r["low"], r["high"] = call.buy_price_min, call.buy_price_max
    else:
        r["kind"] = C_TRAILING


def events_of(
    events: NDArray[Any], refs: Sequence[SignalRef], symbol_of: Callable[[int], str], reason_of: Callable[[int], str]
) -> list[Event]:
    """Return the events of event records.

    Parameters
    ----------
    events
        (n,) event records.
    refs
        Our names of all signals, by position.
    symbol_of, reason_of
        Return the symbol of a signal by its position, and the sentence of a reason.
    """
    return [
        Event(
            time,
            refs[signal],
            symbol_of(signal),
            KINDS[kind],
            None if price != price else price,
            quantity,
            fee,
            target or None,
            None if average != average else average,
            held,
            LEGS[leg],
            RULES[rule],
            reason_of(reason),
        )
        for time, signal, kind, price, quantity, fee, target, average, held, leg, rule, reason, _, _ in events.tolist()
    ]  # fields as in EVENT


def live_signals(signals: NDArray[Any], refs: Sequence[SignalRef], symbol: str) -> list[LiveSignal]:
    """Return the living signals of signal records; ``refs``: our names of all signals, by position."""
    found = []
    living = PACKED_LIVING.iter_unpack(signals.tobytes())
    for number, side, status, created, protection, stop, held, average, *levels in living:
        p1, p2, p3, p4, p5, p6, s1, s2, s3, s4, s5, s6 = levels  # prices and states, in a loop a third slower
        targets = (
            p1 if s1 == _T_LIVE else None,
            p2 if s2 == _T_LIVE else None,
            p3 if s3 == _T_LIVE else None,
            p4 if s4 == _T_LIVE else None,
            p5 if s5 == _T_LIVE else None,
            p6 if s6 == _T_LIVE else None,
        )
        found.append(
            LiveSignal(
                refs[number],
                symbol,
                side,
                STATUSES[status],
                None if protection == _NO_STOP else stop,
                protection == _TRAILING,
                targets,
                average if held > 0.0 else None,
                held,
                created,
            )
        )
    return found
