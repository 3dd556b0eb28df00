"""The long parts of the page as data: trades, the steps of signals, calls."""

from __future__ import annotations

import json
import math
from itertools import groupby
from typing import TYPE_CHECKING, Any

from backtest.model.events import EventKind
from backtest.model.rule import Rule
from backtest.report import text
from backtest.report.explain import signal_outcomes, timelines
from backtest.report.page.section import PageTable

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from backtest.report.explain import TimelineStep
    from backtest.report.tables import ResultTables

__all__ = ["last_calls", "refused_table", "signal_steps", "trades_table"]

_TRADES = 10_000
_SIGNALS, _STEPS = 5_000, 10_000
"""Of so many signals at most, and of so many steps together, the page tells the newest."""
_CALLS = 12
_REFUSED = 200
_MOVES = 4
"""Moves of a stop in a row up to which each is told."""
_RULES = {rule.value: rule.sentence for rule in Rule}


def trades_table(tables: ResultTables) -> PageTable:
    """Return every trade, the newest first; of very many the newest."""
    trades = tables.trades.sort_values("entry_time", kind="stable").iloc[::-1]
    of, in_ = (f", {unit}" if unit else "" for unit in (_base(tables), tables.quote))
    head = ["entered, UTC", "closed, UTC", "symbol", "side", f"quantity{of}", f"entry{in_}", f"exit{in_}", "by"]
    head += ["targets", f"fees{in_}", f"PnL{in_}", "return"]
    numbers = {str(name): k for k, name in enumerate(dict.fromkeys(tables.events["signal"]), 1)}
    rows = trades.head(_TRADES).to_dict("records")
    about = "PnL is after fees and funding, return is PnL over the margin committed."
    if trades["ambiguous"].any():
        about += " ? marks trades that another reading of a candle changes."
    return PageTable(
        "trades",
        "Trades",
        about,
        head,
        [4, 5, 6, 8, 9, 10, 11],
        [_trade(row) for row in rows],
        [_raw(row) for row in rows],
        [numbers.get(str(row["signal"]), 0) for row in rows],
        "no signal was ever filled",
        _rest(len(trades), _TRADES, "trade", "trades.parquet"),
    )


def _base(tables: ResultTables) -> str:
    """Return the currency that was traded, where it is one."""
    bases = {symbol.partition("/")[0] for symbol in tables.symbols}
    return bases.pop() if len(bases) == 1 else ""


def _trade(row: dict[Hashable, Any]) -> list[str]:
    closed = not row["open"]
    return [
        text.when(int(row["entry_time"])),
        text.when(int(row["exit_time"])) if closed else "open",
        str(row["symbol"]),
        "long" if row["side"] > 0 else "short",
        text.price(row["quantity"], 7),
        text.price(row["average_entry"], 8),
        text.price(row["average_exit"], 8) if closed else "",
        str(row["exit"]).replace("_", " ") + (" ?" if row["ambiguous"] else ""),
        str(row["targets_hit"]),
        text.money(row["fees"]),
        text.money(row["pnl"], signed=True) if closed else "",
        text.percent(row["return"], signed=True) if closed else "",
    ]


def _raw(row: dict[Hashable, Any]) -> list[Any]:
    closed = not row["open"]
    return [
        text.when(int(row["entry_time"])),
        text.when(int(row["exit_time"])) if closed else None,
        str(row["symbol"]),
        "long" if row["side"] > 0 else "short",
        _number(row["quantity"]),
        _number(row["average_entry"]),
        _number(row["average_exit"]) if closed else None,
        str(row["exit"]) or None,
        int(row["targets_hit"]),
        _number(row["fees"]),
        _number(row["pnl"]) if closed else None,
        _number(row["return"]) if closed else None,
    ]


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def signal_steps(tables: ResultTables) -> dict[str, Any]:
    """Return the lives of the newest signals, and once each sentence that says why.

    Returns
    -------
    dict
        ``signals``: by number its name, outcome and steps ``[time, leg, what, rule]``; ``rules``: the sentence of each;
        ``rest``: what is said of signals that are not in it.
    """
    known = [str(one) for one in dict.fromkeys(tables.events["signal"])]
    numbers = dict(list(zip(known, range(1, len(known) + 1), strict=True))[-_SIGNALS:])
    steps, outcomes = timelines(tables, list(numbers)), signal_outcomes(tables, list(numbers))
    told: dict[int, dict[str, Any]] = {}
    room = _STEPS
    for name, number in reversed(numbers.items()):
        lines = [list(one) for one in _told(steps[name])]
        room -= len(lines)
        if room < 0 and told:
            break
        told[number] = {"name": name, "outcome": outcomes[name], "steps": lines}
    used = sorted({line[3] for one in told.values() for line in one["steps"] if line[3]})
    return {
        "signals": dict(reversed(told.items())),
        "rules": {rule: _RULES.get(rule, "") for rule in used},
        "rest": _rest(len(known), len(told), "signal", "events.parquet"),
    }


def _told(steps: list[TimelineStep]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the steps; of many moves of the stop in a row the first, how many follow, and the last."""
    for _, alike in groupby(steps, key=lambda one: (one.kind, one.rule) if one.kind == EventKind.STOP_MOVED else one):
        run = list(alike)
        ends = [*run[:1], *run[-1:]] if len(run) > _MOVES else run
        for k, one in enumerate(ends):
            if k and len(ends) < len(run):
                yield text.when(run[1].time), "", f"{text.plural(len(run) - 2, 'more move')} of the stop", ""
            yield text.when(one.time), one.leg, one.what, one.rule


def last_calls(tables: ResultTables) -> list[dict[str, str]]:
    """Return the last calls, the newest first, each as the request that would be sent: ``when, ref, line, body``."""
    return [
        {
            "when": text.when(int(call["at"])),
            "ref": str(call.get("ref") or ""),
            "line": f"{call['method']} {call['path']}",
            "body": _body(call.get("body")),
        }
        for call in reversed(tables.calls[-_CALLS:])
    ]


def refused_table(tables: ResultTables) -> PageTable:
    """Return the calls that the desk refused, the newest first."""
    rows = [
        [
            text.when(int(one["at"])),
            str(one["ref"]),
            str(one["kind"]),
            str(one["field"]),
            str(one["reason"]),
            str(one["rule"]),
        ]
        for one in reversed(tables.refused[-_REFUSED:])
    ]
    return PageTable(
        "refused",
        "Refused by the desk",
        "Calls that are never sent, in a backtest, on paper or live.",
        ["at, UTC", "signal", "call", "field", "why", "rule"],
        [],
        rows,
        [list(row) for row in rows],
        rest=_rest(len(tables.refused), _REFUSED, "refusal", "refused.jsonl"),
    )


def _body(body: Any) -> str:
    if isinstance(body, bytes):
        return body.decode()
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _rest(total: int, shown: int, noun: str, file: str) -> str:
    if total <= shown:
        return ""
    return f"The newest {shown:,} of {text.plural(total, noun)}; all are in {file} of the saved result."
