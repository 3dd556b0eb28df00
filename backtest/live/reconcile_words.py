"""Words of a drift report: its verdict in one line, and the names of what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.live.reconcile_calls import CallFault, Cause
from backtest.live.reconcile_candles import CandleFault
from backtest.report import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.live.reconcile_calls import CallLine
    from backtest.live.reconcile_candles import CandleDifference, SeriesReport
    from backtest.live.reconcile_report import StrategyReport

__all__ = ["call_words", "candle_words", "effect_words", "group_words", "lag_words", "verdict"]

_NOTHING = 1e-9
_GROUPS = {
    CallFault.LATE.value: "came late to the venue",
    CallFault.REFUSED.value: "refused by the venue",
    CallFault.BLOCKED.value: "held back",
    CallFault.SUPERSEDED.value: "superseded by another one",
    CallFault.UNKNOWN.value: "of unknown outcome",
    CallFault.LOST.value: "lost on the way",
    CallFault.WAITING.value: "waiting to be sent",
    "follows": "decided otherwise because of these",
    "code": "not as the code decides now",
    "person": "asked for by a person",
    "account": "equal, with other amounts",
}


def group_words(group: str) -> str:
    """Return a group of differences in words that follow a number."""
    return _GROUPS.get(group, group)


def call_words(line: CallLine) -> str:
    """Return what a call is beside the backtest's, and why."""
    why = {
        Cause.NONE: "",
        Cause.FOLLOWS: "because of what became of earlier calls",
        Cause.CODE: "the code decides otherwise now",
        Cause.PERSON: "",
    }[line.cause]
    return ", ".join(part for part in (line.fault.value, line.note, why) if part)


def candle_words(one: CandleDifference) -> str:
    """Return what is wrong with a candle, with the values that differ."""
    acted, stored = one.acted or (), one.stored or ()
    names = ("open", "high", "low", "close", "volume")
    changes = [
        f"{name} {text.price(before)} became {text.price(after)}"
        for name, before, after in zip(names, acted, stored, strict=False)
        if name in one.changed
    ]
    if one.fault is CandleFault.LATE:
        changes = [f"by {text.duration(one.lag)}"]
    when = [f"noticed {text.when(one.noticed)}"] if one.noticed is not None else []
    return ", ".join([f"{one.fault.value}{' in the history' if one.history else ''}", *changes, *when])


def effect_words(one: CandleDifference) -> str:
    """Return what the store's candle alone would have changed."""
    found = []
    for effect in one.effects.values():
        calls = f"{text.plural(effect.calls, 'call')} otherwise" if effect.calls else "fills otherwise"
        found.append(f"{calls}, {text.money(effect.pnl, signed=True)}")
    return "; ".join(found) or ("" if one.fault in {CandleFault.LATE, CandleFault.UNSTORED} else "none")


def lag_words(one: SeriesReport) -> str:
    """Return from close to arrival: median, 95th percentile and most."""
    return ", ".join(text.duration(round(lag)) for lag in one.lags) or "unknown"


def verdict(report: StrategyReport, series: Sequence[SeriesReport], *, several: bool) -> str:
    """Return what became of a strategy's calls, and what its candles became, in one line.

    Parameters
    ----------
    report
        Of the strategy.
    series
        Of all candles.
    several
        Whether the line begins with the strategy's name.
    """
    equal = report.count(CallFault.EQUAL)
    head = f"{report.name or report.identity[:12]}: " if several else ""
    parts = [f"{head}{equal:,} of {text.plural(report.expected, 'call')} equal"]
    if not report.same_identity:
        parts.append(
            f"the strategy asked is not the journal's {report.identity[:12]}: another class or other parameters"
        )
    elif report.code_differs and report.same_code is False:
        parts.append("the strategy's file is not the one that emitted")
    for cost in report.costs:
        number = f"{cost.calls:,}" if cost.calls else text.plural(cost.signals, "signal")
        parts.append(f"{number} {group_words(cost.group)} {_priced(cost.money, cost.fraction)}")
    if len(report.costs) > 1:
        total = report.sent - report.backtest
        parts.append(f"in sum {text.percent(total / report.balance, signed=True)}")
    mine = {line.symbol for line in report.lines}
    looked = [one for one in series if one.symbol in mine] or list(series)
    return "; ".join([*parts, *_candles(report, looked)])


def _candles(report: StrategyReport, series: Sequence[SeriesReport]) -> list[str]:
    """Return what is to be said of candles, or that nothing is."""
    if not any(one.stored for one in series):
        return ["candles were not held against a store"]
    parts = []
    late = sum(one.count(CandleFault.LATE) for one in series)
    if late:
        parts.append(f"{text.plural(late, 'candle')} came late")
    revised, missing = (sum(one.count(f) for one in series) for f in (CandleFault.REVISED, CandleFault.MISSING))
    was = []
    if revised:
        was.append(f"{text.plural(revised, 'candle')} {'was' if revised == 1 else 'were'} revised later")
    if missing:
        was.append(f"{text.plural(missing, 'candle')} {'was' if missing == 1 else 'were'} missing then")
    if was:
        parts.append(f"{' and '.join(was)}, {_effect(report)}")
    unstored = sum(one.count(CandleFault.UNSTORED) for one in series)
    if unstored:
        parts.append(f"{text.plural(unstored, 'candle')} {'is' if unstored == 1 else 'are'} not in the store")
    return parts or ["every candle as it was acted on"]


def _effect(report: StrategyReport) -> str:
    if report.stored is None or report.stored_calls is None:
        return "with an effect that was not looked at"
    calls, money = len(report.stored_calls), report.backtest - report.stored
    if not calls and abs(money) <= _NOTHING:
        return "without effect"
    changed = (
        f"which {'changes' if calls == 1 else 'change'} {text.plural(calls, 'call')}"
        if calls
        else "which change fills only"
    )
    return f"{changed} and {_priced(money, money / report.balance)}"


def _priced(money: float, fraction: float) -> str:
    """Return what a difference made: what the subscriber got less what he should have got."""
    if abs(money) <= _NOTHING:
        return "without effect"
    word = "cost" if money < 0.0 else "brought"
    return f"{word} {text.percent(fraction, signed=True)} of capital"
