"""State: whether a strategy remembers something besides what it returns."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import BacktestError
from backtest.runner.checks.verdict import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.model.calls import Call
    from backtest.runner.checks.lookahead import Subject

__all__ = ["keeps_state"]

_SHOWN = 3


def keeps_state(subject: Subject, changed: Sequence[str]) -> Finding:
    """Return whether a strategy wrote into itself or its surroundings, and whether that changes its calls.

    Parameters
    ----------
    subject
        The strategy as it was before the run, and its candles.
    changed
        Names of what differs after the run (:meth:`Surroundings.changed`), and of the instance that was run.
    """
    if not changed:
        return Finding("state", Verdict.PASS, "it changed nothing of itself, its class or its module")
    names = ", ".join(changed[:_SHOWN]) + (f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else "")
    if subject.around is not None:
        subject.around.restore()
    one = copy.deepcopy(subject.strategy)
    try:
        first, second = (list(subject.calls_of(one, subject.candles)) for _ in range(2))
    except BacktestError as error:
        return Finding("state", Verdict.FAIL, f"it changed {names}; run a second time it fails: {error}")
    if first == second:
        return Finding("state", Verdict.NOTE, f"it changed {names}, which made no difference to its calls")
    at = _first_other(first, second)
    return Finding(
        "state",
        Verdict.FAIL,
        f"it keeps state in {names}: run a second time, its calls differ from the close of {np.datetime64(at, 'ms')}Z on; "
        "a strategy is a pure function of candles, indicators and living signals: a restart live would forget it",
    )


def _first_other(first: Sequence[tuple[int, Call]], second: Sequence[tuple[int, Call]]) -> int:
    for mine, other in zip(first, second, strict=False):
        if mine != other:
            return min(mine[0], other[0])
    longer = first if len(first) > len(second) else second
    return longer[min(len(first), len(second))][0]
