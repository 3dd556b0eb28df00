"""Drift report as a page in the style of the report, with its figures beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backtest.live.reconcile_calls import CallFault, changes_of
from backtest.live.reconcile_candles import CandleFault
from backtest.live.reconcile_words import call_words, candle_words, effect_words, group_words, lag_words
from backtest.market_data.disk import write_atomic
from backtest.report import text
from backtest.report.page import Fact, PageTable, Section, sections_html

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from backtest.live.reconcile import Drift
    from backtest.live.reconcile_candles import SeriesReport
    from backtest.live.reconcile_report import Fill, StrategyReport

__all__ = ["drift_html", "write_drift"]

_FAULTS = (CandleFault.REVISED, CandleFault.MISSING, CandleFault.LATE, CandleFault.UNSTORED)
_MOST = 5_000


def write_drift(drift: Drift, folder: Path) -> Path:
    """Write the page and the figures of a drift report into a folder; return the page's path.

    Raises
    ------
    StorageError
        Where the disk refuses.
    """
    write_atomic(folder / "drift.json", json.dumps(drift.to_dict(), indent=1).encode())
    write_atomic(folder / "drift.html", drift_html(drift).encode(errors="xmlcharrefreplace"))
    return folder / "drift.html"


def drift_html(drift: Drift) -> str:
    """Return the page: verdict, money, calls, signals and fills of each strategy, then candles."""
    several = len(drift.strategies) > 1
    sections = [
        part for number, one in enumerate(drift.strategies, 1) for part in _strategy(one, number, several=several)
    ]
    lines = drift.verdict.split("\n")
    is_grave = drift.exit_status != 0
    return sections_html(
        "Live beside the backtest",
        f"{drift.mode} account {drift.account}, up to {text.when(drift.until)} UTC",
        [*sections, _candles(drift.series)],
        sentences=[*([] if is_grave else lines), *drift.notes],
        grave=lines if is_grave else (),
        facts=[fact for one in drift.strategies for fact in _facts(one, drift.series, several=several)],
    )


def _facts(one: StrategyReport, series: Sequence[SeriesReport], *, several: bool) -> list[Fact]:
    head = f"{one.name or one.identity[:12]}: " if several else ""
    equal, drift = one.count(CallFault.EQUAL), one.sent - one.backtest
    found = [
        Fact(f"{head}calls", f"{equal:,} of {one.expected:,} equal", _tone(equal == one.expected == len(one.lines))),
        _gain(f"{head}as sent", one.sent, one),
        _gain(f"{head}backtest, candles acted on", one.backtest, one),
    ]
    if one.stored is not None:
        found.append(_gain(f"{head}backtest, candles of the store", one.stored, one))
    about = "what was sent less what the backtest makes"
    found.append(
        Fact(f"{head}difference", text.percent(drift / one.balance, signed=True), _tone(abs(drift) < 1e-9), about)
    )
    if not several and any(each.stored for each in series):
        faults = sum(each.count(fault) for each in series for fault in _FAULTS)
        found.append(
            Fact("candles at fault", f"{faults:,} of {sum(each.seen for each in series):,}", _tone(not faults))
        )
    return found


def _tone(fine: bool) -> str:  # noqa: FBT001 - one word of it
    return "good" if fine else "fair"


def _gain(label: str, gain: float, one: StrategyReport) -> Fact:
    about = f"{text.money(gain, signed=True)} {one.quote} after costs"
    return Fact(label, text.percent(gain / one.balance, signed=True), "good", about)


def _strategy(one: StrategyReport, number: int, *, several: bool) -> list[Section]:
    name = f"{one.name or one.identity[:12]}: " if several else ""
    asked = "" if one.asked else " No strategy was asked: calls are held against those that were decided."
    about = f"Strategy {one.name} {one.identity[:12]}, {_parameters(one)}.{asked}"
    return [
        Section(f"money-{number}", f"{name}Money", about, [_costs(one, number)]),
        Section(f"calls-{number}", f"{name}Calls", "", [_calls(one, number), *_stored_calls(one, number)]),
        Section(f"signals-{number}", f"{name}Signals", "", [_signals(one, number)]),
        Section(f"fills-{number}", f"{name}Fills", "", [_fills(one, number)], folded=True),
    ]


def _parameters(one: StrategyReport) -> str:
    return ", ".join(f"{name} {value}" for name, value in one.parameters.items()) or "parameters unknown"


def _costs(one: StrategyReport, number: int) -> PageTable:
    rows: list[list[Any]] = [
        [group_words(cost.group), cost.calls, cost.signals, cost.money, cost.fraction] for cost in one.costs
    ]
    total = one.sent - one.backtest
    rows.append(["in sum", None, None, total, total / one.balance])
    return PageTable(
        f"costs_{number}",
        "What the differences cost",
        f"On the subscriber's account of {text.money(one.balance)} {one.quote}: by the first thing that went otherwise with each "
        "signal. In sum they are the difference of the two accounts.",
        ["difference", "calls", "signals", f"gain, {one.quote}", "return"],
        [1, 2, 3, 4],
        [
            [r[0], _count(r[1]), _count(r[2]), text.money(r[3], signed=True), text.percent(r[4], signed=True)]
            for r in rows
        ],
        rows,
    )


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _calls(one: StrategyReport, number: int) -> PageTable:
    other = [line for line in one.lines if line.fault is not CallFault.EQUAL]
    lags = sorted(line.lag for line in one.lines if line.lag is not None)
    about = ""  # a rehearsal on recorded candles knows no lag
    if lags:
        median, most = (text.duration(lag) for lag in (lags[len(lags) // 2], lags[-1]))
        about = f"From a close to the answer: {median} in the median, {most} at most."
    return PageTable(
        f"calls_{number}",
        "Calls that are not equal",
        about,
        ["close, UTC", "symbol", "signal", "call", "what"],
        [],
        [[text.when(line.at), line.symbol, line.ref, line.kind, call_words(line)] for line in other[:_MOST]],
        [[line.at, line.symbol, line.ref, line.kind, call_words(line)] for line in other[:_MOST]],
        empty="every call is equal",
    )


def _stored_calls(one: StrategyReport, number: int) -> list[PageTable]:
    if one.stored_calls is None:
        return []
    rows: list[list[Any]] = [
        [at, ref.rsplit("-", 2)[0], ref, kind, _changed(acted, stored)]
        for at, kind, ref, acted, stored in one.stored_calls[:_MOST]
    ]
    return [
        PageTable(
            f"stored_calls_{number}",
            "Calls that the store's candles change",
            "The same backtest, once on the candles acted on and once on those of the store.",
            ["close, UTC", "symbol", "signal", "call", "what"],
            [],
            [[text.when(row[0]), *row[1:]] for row in rows],
            rows,
            empty="the backtest makes the same calls on both",
        )
    ]


def _changed(acted: str | None, stored: str | None) -> str:
    if acted is None or stored is None:
        return "only on the candles of the store" if acted is None else "only on the candles acted on"
    return changes_of(acted, stored)


def _signals(one: StrategyReport, number: int) -> PageTable:
    shown = sorted(one.money, key=lambda each: -abs(each.difference))[:_MOST]
    raw: list[list[Any]] = [
        [each.ref, each.sent, each.backtest, each.difference, each.stored, group_words(each.group)] for each in shown
    ]
    return PageTable(
        f"signals_{number}",
        "What each signal made",
        "After costs, an open one at the last price; the largest differences first.",
        [
            "signal",
            *(f"gain {name}, {one.quote}" for name in ("as sent", "backtest", "difference", "store's candles")),
            "why",
        ],
        [1, 2, 3, 4],
        [[row[0], *("" if v is None else text.money(v, signed=True) for v in row[1:5]), row[5]] for row in raw],
        raw,
        empty="no signal was made",
    )


def _fills(one: StrategyReport, number: int) -> PageTable:
    rows: list[list[Any]] = [
        [ref, whose, fill.time, fill.kind.replace("_", " "), fill.price, fill.quantity, fill.fee]
        for ref, (sent, backtest) in one.fills.items()
        for whose, fill in _both(sent, backtest)
    ][:_MOST]
    return PageTable(
        f"fills_{number}",
        "Fills that differ",
        "Those of the shadow book, from the calls that were sent, and those of the backtest.",
        ["signal", "whose", "candle, UTC", "fill", "price", "quantity", "fee"],
        [4, 5, 6],
        [[*row[:2], text.when(row[2]), row[3], *(text.price(value, 8) for value in row[4:])] for row in rows],
        rows,
        empty="every fill is equal",
    )


def _both(sent: Sequence[Fill], backtest: Sequence[Fill]) -> list[tuple[str, Fill]]:
    return [*(("sent", fill) for fill in sent), *(("backtest", fill) for fill in backtest)]


def _candles(series: Sequence[SeriesReport]) -> Section:
    counts = [[one.count(fault) for fault in _FAULTS] for one in series]
    equal = [one.equal if one.stored else None for one in series]
    rows: list[list[Any]] = [
        [f"{one.symbol} {one.timeframe}", one.seen, same, *count, lag_words(one)]
        for one, same, count in zip(series, equal, counts, strict=True)
    ]
    summary = PageTable(
        "candles",
        "Candles acted on, beside the store's",
        "Late is one that came more than five seconds after its close.",
        ["series", "seen", "equal", *(fault.value for fault in _FAULTS), "median, 95 % and most lag"],
        [1, 2, 3, 4, 5, 6],
        [[row[0], *("n/a" if v is None else f"{v:,}" for v in row[1:7]), row[7]] for row in rows],
        rows,
    )
    found = [each for one in series for each in one.differences]
    found.sort(key=lambda one: (not one.effects, one.time))
    cells: list[list[Any]] = [
        [one.time, one.symbol, one.timeframe, candle_words(one), effect_words(one)] for one in found[:_MOST]
    ]
    each = PageTable(
        "candle_faults",
        "Candles at fault",
        "The effect is that of the store's candle put in place alone; the money is what the backtest then makes more.",
        ["opened, UTC", "symbol", "timeframe", "what", "effect"],
        [],
        [[text.when(row[0]), *row[1:]] for row in cells],
        cells,
        empty="every candle is as it was acted on",
        rest=f"{len(found) - _MOST:,} more are in drift.json" if len(found) > _MOST else "",
    )
    return Section("candles-section", "Candles", "", [summary, each])
