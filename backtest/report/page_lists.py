"""The long parts of the page: trades, signals step by step, calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backtest.report import text
from backtest.report.explain import TimelineStep, signal_outcomes, timelines
from backtest.report.html import Html, details, join, table, tag

if TYPE_CHECKING:
    from collections.abc import Hashable

    from backtest.report.tables import ResultTables

__all__ = ["calls_part", "signals_part", "trades_part"]

_TRADES = 2_000
_SIGNALS = 200
_CALLS = 12


def trades_part(tables: ResultTables) -> Html:
    """Return every trade, the newest first; of very many the newest."""
    trades = tables.trades.sort_values("entry_time", kind="stable").iloc[::-1]
    of, in_ = (f", {unit}" if unit else "" for unit in (_base(tables), tables.quote))
    head = ["entered, UTC", "closed, UTC", "symbol", "side", f"quantity{of}", f"entry{in_}", f"exit{in_}", "by"]
    head += ["targets", f"fees{in_}", f"PnL{in_}", "return"]
    detailed = _numbered(tables)
    rows = [_trade(row, detailed) for row in trades.head(_TRADES).to_dict("records")]
    parts: list[Html | str] = [tag("h2", "Trades", id="trades")]
    if not rows:
        return join([*parts, tag("p", "No signal was ever filled.")])
    note = "PnL is after fees and funding, return is PnL over the margin committed."
    if trades["ambiguous"].any():
        note += " ? marks trades that another reading of a candle changes."
    parts += [tag("p", note, class_="soft"), table(head, rows, right=(4, 5, 6, 8, 9, 10, 11))]
    return join([*parts, _rest(len(trades), _TRADES, "trade", "trades.parquet")])


def _base(tables: ResultTables) -> str:
    """Return the currency that was traded, where it is one."""
    bases = {symbol.partition("/")[0] for symbol in tables.symbols}
    return bases.pop() if len(bases) == 1 else ""


def _trade(row: dict[Hashable, Any], detailed: dict[str, int]) -> list[Html | str]:
    number = detailed.get(str(row["signal"]))
    entered = tag("span", text.when(int(row["entry_time"])), class_="t")
    closed = not row["open"]
    return [
        tag("a", entered, href=f"#signal-{number}") if number else entered,
        tag("span", text.when(int(row["exit_time"])) if closed else "open", class_="t"),
        str(row["symbol"]),
        "long" if row["side"] > 0 else "short",
        text.price(row["quantity"], 7),
        text.price(row["average_entry"], 8),
        text.price(row["average_exit"], 8) if closed else "",
        tag("span", str(row["exit"]).replace("_", " ") + (" ?" if row["ambiguous"] else ""), class_="t"),
        str(row["targets_hit"]),
        text.money(row["fees"]),
        text.money(row["pnl"], signed=True) if closed else "",
        text.percent(row["return"], signed=True) if closed else "",
    ]


def signals_part(tables: ResultTables) -> Html:
    """Return the newest signals, each a timeline that opens when asked."""
    numbers = _numbered(tables)
    steps, outcomes = timelines(tables, list(numbers)), signal_outcomes(tables, list(numbers))
    parts: list[Html | str] = [tag("h2", "Signals, step by step", id="signals")]
    note = "Each step names the rule of the signal lifecycle that made it. Fill times are the open of their candle."
    parts.append(tag("p", note, class_="soft"))
    lives = [
        details(f"{number}. {name}: {outcomes[name]}", _steps(steps[name]), id=f"signal-{number}")
        for name, number in reversed(numbers.items())
    ]
    parts.append(tag("div", *lives, class_="list"))
    return join([*parts, _rest(len(set(tables.events["signal"])), _SIGNALS, "signal", "events.parquet")])


def _steps(steps: list[TimelineStep]) -> Html:
    rows = [
        [
            tag("span", text.when(step.time), class_="t"),
            tag("span", step.leg, class_="t"),
            step.what,
            step.rule,
            step.reason,
        ]
        for step in steps
    ]
    return table(["time", "where", "what", "rule", "why"], rows)


def calls_part(tables: ResultTables) -> Html:
    """Return the last calls, each as the request that would be sent."""
    parts: list[Html | str] = [tag("h2", "Calls", id="calls")]
    if not tables.calls:
        return join([*parts, tag("p", "The strategy made no calls.")])
    note = "As they would be sent to the Signal API, without the two headers that carry the secrets."
    parts.append(tag("p", f"{text.plural(len(tables.calls), 'call')}. {note}", class_="soft"))
    for call in reversed(tables.calls[-_CALLS:]):
        parts.append(tag("p", f"{text.when(int(call['at']))}  {call.get('ref') or ''}", class_="soft"))
        fields = (part for field in _body(call.get("body")).split(",") for part in (",", tag("wbr"), field))
        parts.append(tag("pre", f"{call['method']} {call['path']}\n", *list(fields)[2:]))
    return join([*parts, _rest(len(tables.calls), _CALLS, "call", "calls.jsonl")])


def _body(body: Any) -> str:
    if isinstance(body, bytes):
        return body.decode()
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _numbered(tables: ResultTables) -> dict[str, int]:
    """Return the newest signals with their number in the order of creation."""
    known = [str(one) for one in dict.fromkeys(tables.events["signal"])]
    return dict(list(zip(known, range(1, len(known) + 1), strict=True))[-_SIGNALS:])


def _rest(total: int, shown: int, noun: str, file: str) -> Html:
    if total <= shown:
        return Html("")
    return tag(
        "p",
        f"The newest {shown:,} of {text.plural(total, noun)}; all are in {file} of the saved result.",
        class_="soft",
    )
