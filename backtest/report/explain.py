"""Explain: the life of one signal, level by level, with the rule that made each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backtest.model.events import EventKind
from backtest.model.rule import Rule
from backtest.report import text
from backtest.report.charts import signal_chart
from backtest.report.tables import body_of

if TYPE_CHECKING:
    from collections.abc import Hashable

    from backtest.report.tables import ResultTables

    _Fill = tuple[str, int, str, float]

__all__ = ["TimelineStep", "explain_text", "signal_chart", "signal_outcomes", "timeline", "timelines"]

_SENTENCES = {rule.value: rule.sentence for rule in Rule}


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """One step in the life of a signal: a call that was sent, or an event that followed.

    Attributes
    ----------
    time
        When the call was sent, or the open of the candle in which the event happened, UTC ms.
    leg
        Where in that candle: ``gap``, ``open``, ``leg 1`` ...; ``sent`` for a call.
    kind
        The event's kind, or the call's method and path.
    what
        What happened, in one sentence with its figures.
    rule, reason
        The rule that made it, ``"L3.4"``, and its sentence; empty for a call.
    average_entry, open_quantity
        Of the position afterwards; None for a call, average None while flat.
    """

    time: int
    leg: str
    kind: str
    what: str
    rule: str = ""
    reason: str = ""
    average_entry: float | None = None
    open_quantity: float | None = None


def timeline(tables: ResultTables, signal: str) -> list[TimelineStep]:
    """Return the steps of one signal in order, calls before the events that they made.

    Parameters
    ----------
    signal
        Its name, its number in the order of creation, or an ending that only it has.

    Raises
    ------
    InvalidSettingError
        Where no signal, or more than one, is meant.
    """
    name = tables.signal(signal)
    return timelines(tables, [name])[name]


def timelines(tables: ResultTables, names: list[str]) -> dict[str, list[TimelineStep]]:
    """Return the timelines of several signals by their full names.

    Parameters
    ----------
    tables
        The result.
    names
        Full names of signals.
    """
    steps: dict[str, list[TimelineStep]] = {name: [] for name in names}
    for call in tables.calls:
        if call.get("ref") in steps:
            steps[str(call["ref"])].append(_call(call))
    buys = _buys(tables, names)
    for row in tables.events[tables.events["signal"].isin(names)].to_dict("records"):
        steps[str(row["signal"])].append(_event(row, buys))
    # a stable sort: a call comes before what it made
    return {name: sorted(own, key=lambda step: step.time) for name, own in steps.items()}


def explain_text(tables: ResultTables, signal: str) -> str:
    """Return the timeline of one signal as plain text, a reason under each step.

    Parameters
    ----------
    tables
        The result.
    signal
        As for :func:`timeline`.
    """
    name = tables.signal(signal)
    lines = [f"{name}: {signal_outcomes(tables, [name])[name]}", ""]
    for step in timeline(tables, name):
        lines.append(f"{text.when(step.time)}  {step.leg:<5}  {step.what}")
        if step.reason:
            lines.append(f"{'':25}{step.rule}: {step.reason}")
    return "\n".join(lines)


def signal_outcomes(tables: ResultTables, names: list[str]) -> dict[str, str]:
    """Return in a few words what became of each signal.

    Parameters
    ----------
    tables
        The result.
    names
        Full names of signals.
    """
    events = tables.events[tables.events["signal"].isin(names)]
    last = dict(zip(events["signal"], events["kind"], strict=True))
    outcomes = {name: f"never bought anything ({str(last.get(name, '')).replace('_', ' ')})" for name in names}
    trades: dict[str, list[str]] = {}
    for trade in tables.trades[tables.trades["signal"].isin(names)].to_dict("records"):
        trades.setdefault(str(trade["signal"]), []).append(_trade(trade, tables.quote))
    return outcomes | {name: "; then ".join(parts) for name, parts in trades.items()}


def _trade(trade: dict[Hashable, Any], quote: str) -> str:
    side = "long" if trade["side"] > 0 else "short"
    doubt = "; another reading of a candle changes it" if trade["ambiguous"] else ""
    if trade["open"]:
        return f"{side} from {text.price(trade['average_entry'])}, still open{doubt}"
    prices = f"{text.price(trade['average_entry'])} to {text.price(trade['average_exit'])}"
    gain = f"{text.money(trade['pnl'], signed=True)} {quote}".rstrip()
    return f"{side} {prices}, {gain} after costs ({text.percent(trade['return'], signed=True)}){doubt}"


def _buys(tables: ResultTables, names: list[str]) -> dict[_Fill, bool]:
    """Return whether a fill bought, by its signal, time, kind and price."""
    fills = tables.fills[tables.fills["signal"].isin(names)]
    keys = zip(fills["signal"], fills["time"], fills["kind"], fills["price"], strict=True)
    return {(str(s), int(t), str(k), float(p)): bool(b) for (s, t, k, p), b in zip(keys, fills["buy"], strict=True)}


def _call(call: dict[str, Any]) -> TimelineStep:
    body = ", ".join(f"{name} {value}" for name, value in body_of(call).items() if name != "parent_signal_id")
    kind = f"{call['method']} {call['path']}"
    return TimelineStep(int(call["at"]), "sent", kind, f"{kind}{f': {body}' if body else ''}")


def _event(row: dict[Hashable, Any], buys: dict[_Fill, bool]) -> TimelineStep:
    kind, price, quantity = str(row["kind"]), _number(row["price"]), float(row["quantity"] or 0.0)
    target = _number(row["target"])
    what = EventKind(kind).words
    what = what.format(target=int(target) if target else "", price=text.price(price))
    bought = buys.get((str(row["signal"]), int(row["time"]), kind, math.nan if price is None else price))
    if bought is not None:
        what += f": {'bought' if bought else 'sold'} {text.price(quantity)} at {text.price(price)}"
        what += f", fee {text.money(float(row['fee']))}"
    if row.get("reason"):
        what += f" ({row['reason']})"
    left, average = float(row["open_quantity"] or 0.0), _number(row["average_entry"])
    if bought is not None:
        what += f"; {text.price(left)} open at {text.price(average)}" if left else "; flat"
    rule = str(row["rule"])
    return TimelineStep(int(row["time"]), str(row["leg"]), kind, what, rule, _SENTENCES.get(rule, ""), average, left)


def _number(value: Any) -> float | None:
    import pandas as pd

    return None if pd.isna(value) else float(value)
