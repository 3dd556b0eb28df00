"""Checking: all checks of one finished run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.history import MarketHistory
from backtest.errors import BacktestError
from backtest.model.calls import CreateSignal
from backtest.runner.checks.deciding import calls_at_last, session_calls
from backtest.runner.checks.lookahead import Subject, look_ahead
from backtest.runner.checks.state import keeps_state
from backtest.runner.checks.verdict import Checks, Finding, Verdict
from backtest.runner.checks.warmup import warm_up
from backtest.runner.checks.windows import LOOK_BACK
from backtest.runner.execute import execute, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.model.calls import Call
    from backtest.model.candles import Candles
    from backtest.runner.checks.checked import Checked, Level
    from backtest.strategy import Strategy

__all__ = ["check_run"]

_PARITY = {"auto": 300, "full": 2_000}
"""Candles over which a session is held against a run."""


def check_run(run: Checked, level: Level) -> Checks:
    """Check a strategy after a run: look-ahead, warm-up, state and parity, each market by itself.

    Parameters
    ----------
    run
        What was run.
    level
        ``"auto"``, ``"full"`` (a longer stretch for parity) or ``"off"``.
    """
    if level == "off":
        return Checks("off")
    findings: list[Finding] = []
    lengths: list[int | None] = []
    for history in run.histories:
        found, length = _check_market(run, history, level)
        lengths.append(length)
        findings += [_of(one, history.candles.symbol) for one in found] if len(run.histories) > 1 else found
    findings.append(keeps_state(_subject(run, run.histories[0]), run.changed))
    if run.around is not None:
        run.around.restore()
    known = [one for one in lengths if one is not None]
    return Checks(level, _merged(findings), max(known) if known and len(known) == len(lengths) else None)


def _subject(run: Checked, history: MarketHistory) -> Subject:
    candles = history.candles
    closes = {
        one.at
        for one in run.execution.decisions
        if _ref(one.call).rpartition("-")[0].rpartition("-")[0] == candles.symbol
    }
    made = np.searchsorted(candles.close_time, np.array(sorted(closes), np.int64))
    return Subject(run.strategy, candles, run.lane, made, partial(_calls, run, history), run.around)


def _ref(call: Call) -> str:
    """Return ``SYMBOL-closeMs-n`` of a call's signal."""
    return call.ref if isinstance(call, CreateSignal) else call.signal


def _check_market(run: Checked, history: MarketHistory, level: str) -> tuple[list[Finding], int | None]:
    subject = _subject(run, history)
    ahead = look_ahead(subject)
    if ahead.verdict is Verdict.FAIL:  # warm-up and parity would only say it again
        return [ahead], None
    warm, length = warm_up(subject, partial(_decide, run, history))
    return [ahead, warm, _parity(run, subject, history, _PARITY[level])], length


def _of(finding: Finding, symbol: str) -> Finding:
    return Finding(finding.check, finding.verdict, f"{symbol}: {finding.sentence}")


def _merged(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return one finding a check and verdict: equal verdicts of several markets are told of the first, with a count."""
    groups: dict[tuple[str, Verdict], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.check, one.verdict), []).append(one)
    return tuple(
        one[0]
        if len(one) == 1
        else Finding(one[0].check, one[0].verdict, f"{one[0].sentence}; and {len(one) - 1} more markets alike")
        for one in groups.values()
    )


def _calls(run: Checked, history: MarketHistory, strategy: Strategy, candles: Candles) -> list[tuple[int, Call]]:
    """Run a strategy over candles of one market alone; return its calls with their close times."""
    alone = MarketHistory(history.market, candles)
    done = execute(strategy, [prepare(strategy, alone, lane=run.lane)], run.profile, run.assumptions)
    return [(one.at, one.call) for one in done.decisions]


def _decide(run: Checked, history: MarketHistory, candles: Candles) -> Sequence[Call]:
    if run.around is not None:
        run.around.restore()
    return calls_at_last(run.strategy, candles, run.lane, history.market, run.profile)


def _parity(run: Checked, subject: Subject, history: MarketHistory, most: int) -> Finding:
    """Hold the calls of a session, which sees candle after candle, against those of a run over the same candles."""
    n = len(subject.candles)
    middle = int(subject.made[len(subject.made) // 2]) if len(subject.made) else n // 2
    start = max(0, min(middle - most // 2, n - most))
    part = subject.candles.slice(max(0, start - LOOK_BACK // 2), start + most)
    try:
        whole = list(subject.calls_of(subject.strategy.model_copy(deep=True), part))
        live = session_calls(subject.strategy, part, history.market, run.profile, run.assumptions)
    except (BacktestError, ValueError, IndexError) as error:
        return Finding("parity", Verdict.NOTHING, f"over {len(part)} candles: {error}")
    if whole == live:
        return Finding(
            "parity", Verdict.PASS, f"candle by candle it makes the same {len(live)} calls over {len(part):,} candles"
        )
    k = next((k for k, (a, b) in enumerate(zip(whole, live, strict=False)) if a != b), min(len(whole), len(live)))
    at = min(calls[k][0] for calls in (whole, live) if k < len(calls))
    return Finding(
        "parity",
        Verdict.FAIL,
        f"candle by candle it makes other calls than over all candles at once, first at the close of "
        f"{np.datetime64(at, 'ms')}Z: it looks ahead or keeps state",
    )
