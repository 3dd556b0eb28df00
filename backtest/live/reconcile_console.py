"""Drift report for a terminal: money by kind of difference, calls and candles at fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from backtest.live.reconcile_calls import CallFault
from backtest.live.reconcile_candles import CandleFault
from backtest.live.reconcile_words import call_words, candle_words, effect_words, group_words, lag_words
from backtest.report import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from backtest.live.reconcile import Drift
    from backtest.live.reconcile_candles import SeriesReport
    from backtest.live.reconcile_report import StrategyReport

__all__ = ["render_drift"]

_SHOWN = 15


def render_drift(drift: Drift) -> RenderableType:
    """Return what a terminal shows of a drift report below its verdict; print it with ``rich.console.Console().print``."""
    parts: list[RenderableType] = [
        Text(f"{drift.mode} account {drift.account}, up to {text.when(drift.until)} UTC", style="dim")
    ]
    for one in drift.strategies:
        parts += _strategy(one)
    parts += _candles(drift.series)
    parts += [Padding(Text(note, style="yellow"), (0, 0, 0, 2)) for note in drift.notes]
    return Group(*parts)


def _strategy(one: StrategyReport) -> list[RenderableType]:
    name = f"{one.name or 'Strategy'} {one.identity[:12]}"
    money = _table(
        f"{name}: the subscriber's account, {one.quote}", "", "calls", "signals", one.quote, "of capital", right=4
    )
    money.add_row(
        "as sent", "", "", text.money(one.sent, signed=True), text.percent(one.sent / one.balance, signed=True)
    )
    for label, gain in (("backtest, candles acted on", one.backtest), ("backtest, candles of the store", one.stored)):
        if gain is not None:
            shown = text.money(gain, signed=True), text.percent(gain / one.balance, signed=True)
            money.add_row(label, "", "", *shown)
    for cost in one.costs:
        shown = text.money(cost.money, signed=True), text.percent(cost.fraction, signed=True)
        money.add_row(Text(group_words(cost.group)), str(cost.calls), str(cost.signals), *shown)
    parts: list[RenderableType] = [money]
    if not one.asked:
        parts.append(
            Padding(
                Text("No strategy was asked: calls are held against those that were decided. --strategy names it."),
                (0, 2),
            )
        )
    other = [line for line in one.lines if line.fault is not CallFault.EQUAL]
    if other:
        calls = _table(f"{text.plural(len(other), 'call')} not equal", "close, UTC", "signal", "call", "what")
        for line in other[:_SHOWN]:
            calls.add_row(
                *(Text(cell, overflow="fold") for cell in (text.when(line.at), line.ref, line.kind, call_words(line)))
            )
        parts += [calls, *_more(len(other))]
    return parts


def _candles(series: Sequence[SeriesReport]) -> list[RenderableType]:
    faults = [CandleFault.REVISED, CandleFault.MISSING, CandleFault.LATE, CandleFault.UNSTORED]
    names = ("seen", "equal", *(fault.value for fault in faults), "median, 95 % and most lag")
    table = _table("Candles acted on, beside the store's", "series", *names, right=len(names))
    for one in series:
        counts = [f"{one.count(fault):,}" for fault in faults]
        equal = f"{one.equal:,}" if one.stored else "n/a"
        table.add_row(Text(f"{one.symbol} {one.timeframe}"), f"{one.seen:,}", equal, *counts, lag_words(one))
    parts: list[RenderableType] = [table]
    found = [each for one in series for each in one.differences]
    if found:
        each = _table(f"{text.plural(len(found), 'candle')} at fault", "opened, UTC", "series", "what", "effect")
        for one_ in sorted(found, key=lambda one: (not one.effects, one.time))[:_SHOWN]:
            cells = text.when(one_.time), f"{one_.symbol} {one_.timeframe}", candle_words(one_), effect_words(one_)
            each.add_row(*(Text(cell, overflow="fold") for cell in cells))
        parts += [each, *_more(len(found))]
    return parts


def _table(title: str, *columns: str, right: int = 0) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), title=Text(title), title_justify="left")
    for number, name in enumerate(columns):
        is_number = number >= len(columns) - right
        table.add_column(Text(name), justify="right" if is_number else "left", overflow="fold")
    return table


def _more(count: int) -> list[RenderableType]:
    left = count - _SHOWN
    return [Padding(Text(f"and {left:,} more; --out and --json have all", style="dim"), (0, 2))] if left > 0 else []
