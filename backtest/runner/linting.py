"""Linting: the findings of all signals of a run, one sentence a kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from backtest.model.calls import CreateSignal
from backtest.model.events import SignalRef
from backtest.model.finding import Finding
from backtest.model.lint import lint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.engine.history import MarketHistory
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.decision import Decision

__all__ = ["Linted", "lint_decisions", "lint_sentences"]


@dataclass(frozen=True, slots=True)
class Linted:
    """One kind of finding: how many signals of a run have it, and the first of them."""

    finding: Finding
    count: int
    first: SignalRef

    @property
    def sentence(self) -> str:
        """What is wrong, without a full stop."""
        signals = "1 signal" if self.count == 1 else f"{self.count} signals, the first"
        return f"{signals} {self.first}: {self.finding.sentence}"


def lint_sentences(
    decisions: Sequence[Decision], histories: Sequence[MarketHistory], profile: SubscriberProfile
) -> list[str]:
    """Return one sentence for each kind of finding."""
    found = lint_decisions(decisions, histories, profile)
    return [f"Lint ({one.finding.severity}, {one.finding.code}): {one.sentence}." for one in found]


def lint_decisions(
    decisions: Sequence[Decision], histories: Sequence[MarketHistory], profile: SubscriberProfile
) -> list[Linted]:
    """Return each kind of finding, by its code.

    Each signal is judged once, together with every call that followed it; the last price of a later call is the close
    before it.
    """
    followed: dict[SignalRef, list[Decision]] = {}
    for decision in decisions:
        if not isinstance(decision.call, CreateSignal):
            followed.setdefault(decision.call.signal, []).append(decision)
    decisions_at = {one.call.ref: one.at for one in decisions if isinstance(one.call, CreateSignal)}
    twins = _twins(decisions)
    about = {
        (history.market.coin, history.market.trade_market): (history, _median_range(history)) for history in histories
    }
    first: dict[str, tuple[SignalRef, Finding]] = {}
    count: dict[str, int] = {}
    for create in (decision.call for decision in decisions):
        if not isinstance(create, CreateSignal):
            continue
        history, median_range = about[create.coin, create.trade_market]
        later = followed.get(create.ref, ())
        found = lint(
            create,
            history.market,
            profile,
            later=[decision.call for decision in later],
            prices=[_last_price(history, decision.at) for decision in later],
            median_range=median_range,
            timeframe=history.candles.timeframe,
            has_detail=history.detail is not None,
        )
        found += _early(decisions_at.get(create.ref), later)
        if create.ref in twins:
            found.append(twins[create.ref])
        for code, finding in {one.code: one for one in reversed(found)}.items():
            first.setdefault(code, (create.ref, finding))
            count[code] = count.get(code, 0) + 1
    return [Linted(finding, count[code], ref) for code, (ref, finding) in sorted(first.items())]


def _twins(decisions: Sequence[Decision]) -> dict[SignalRef, Finding]:
    """Return the creates that say what an earlier one of the same close says: both are opened."""
    closes: dict[int, list[CreateSignal]] = {}
    for one in decisions:
        if isinstance(one.call, CreateSignal):
            closes.setdefault(one.at, []).append(one.call)
    found: dict[SignalRef, Finding] = {}
    for creates in closes.values():
        said: dict[CreateSignal, SignalRef] = {}
        for create in creates if len(creates) > 1 else ():
            bare = replace(create, ref=SignalRef(""), attachment_description=None)
            twin = said.setdefault(bare, create.ref)
            if twin != create.ref:
                sentence = f"every field is that of {twin}, made at the same close: a subscriber opens both"
                found[create.ref] = Finding("twins", "invest", "warn", sentence)
    return found


def _early(at: int | None, later: Sequence[Decision]) -> list[Finding]:
    """Return that calls about a signal were sent before it was created, and did nothing (L11.3)."""
    early = [one for one in later if at is not None and one.at < at]
    if not early:
        return []
    were, did = ("1 call was", "it") if len(early) == 1 else (f"{len(early)} calls were", "they")
    sentence = f"{were} sent before the create, the first a {type(early[0].call).__name__}: {did} did nothing"
    return [Finding("before_create", "ref", "warn", sentence)]


def _median_range(history: MarketHistory) -> float:
    candles = history.candles
    return float(np.median((candles.high - candles.low) / candles.close))


def _last_price(history: MarketHistory, at: int) -> float:
    """Return the close of the last candle that had closed at an instant, or the first open."""
    candles = history.candles
    closed = int(np.searchsorted(candles.time, at - candles.milliseconds, "right"))
    return float(candles.close[closed - 1] if closed else candles.open[0])
