"""Look-ahead: whether what a strategy says at a close changes once later candles are there.

Causality can be tested on any window: ``f(x[a:c])`` must equal ``f(x[a:c + h])[: c - a]``, so the cost does not grow with
history. What differs is confirmed on the whole prefix ``x[:c]``.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import BacktestError
from backtest.runner.checks.verdict import Finding, Verdict
from backtest.runner.checks.windows import AHEAD, LOOK_BACK, Computed, closes_to_check, compute, unseen_share

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from backtest.model.calls import Call
    from backtest.model.candles import Candles
    from backtest.runner.checks.surroundings import Surroundings
    from backtest.strategy import Strategy

    CallsOf = Callable[[Strategy, Candles], Sequence[tuple[int, Call]]]
    """The calls of a run over candles alone: close time and call."""

__all__ = ["Subject", "look_ahead"]

_ROUNDING = 1e-9
_CALL_CLOSES = 64
_CALL_BACK, _CALL_AHEAD = 300, 128
"""The windows in which the engine is run: shorter, since it costs more than the columns."""
_CONFIRMED = 3
"""How many suspect closes are computed again over the whole history."""

_NEXT = "it reads later candles: shift(-n), a centred window, bfill, or a higher candle before it closed"
_WHOLE = "it uses a figure of the whole series: a mean, deviation, scaler, rank or filter fitted on all candles"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked: a strategy as it was before the run, over the candles of one market.

    Attributes
    ----------
    made
        (k,) int64, positions of the candles at whose close the run made a call.
    calls_of
        Runs a copy of the strategy over candles alone and returns its calls.
    around
        Of the strategy, as they were before the run.
    """

    strategy: Strategy
    candles: Candles
    lane: str
    made: NDArray[np.int64]
    calls_of: CallsOf
    around: Surroundings | None = None


@dataclass(frozen=True, slots=True)
class _Difference:
    """The first cell that differs between a window and the same window with a future."""

    name: str
    row: int
    known: float
    later: float
    rows: int
    last: int

    def rounding(self) -> bool:
        return bool(abs(self.known - self.later) <= _ROUNDING * max(abs(self.known), abs(self.later)))


def look_ahead(subject: Subject) -> Finding:
    """Return whether indicators, triggers, table rows or calls of a strategy depend on candles after their close."""
    signals, others = closes_to_check(subject.made, len(subject.candles))
    looked = np.union1d(signals, others)
    if len(looked) == 0:
        return Finding("look-ahead", Verdict.NOTHING, "there are too few candles")
    suspects, rounding = [], None
    for close in looked.tolist():
        found = _columns_differ(subject, close, LOOK_BACK)
        if isinstance(found, str):
            return Finding("look-ahead", Verdict.FAIL, f"{found} ({_at(subject, close)})")
        if found is None:
            continue
        if found.rounding():
            rounding = rounding or (close, found)
        else:
            suspects.append((close, found))
    told = _confirmed(subject, suspects) or _calls_differ(subject, signals)
    if told is not None:
        return Finding("look-ahead", Verdict.FAIL, told)
    if len(signals) == 0:
        return Finding(
            "look-ahead",
            Verdict.NOTHING,
            f"there was no signal; its columns were equal at {len(looked)} closes",
        )
    return _believed(subject, suspects[0] if suspects else None, rounding, len(signals), len(looked))


def _confirmed(subject: Subject, suspects: Sequence[tuple[int, _Difference]]) -> str | None:
    """Return a sentence where a suspect close differs over the whole history too; the middle ones are asked first."""
    middle = len(suspects) // 2
    for close, _ in [*suspects[middle:], *suspects[:middle]][:_CONFIRMED]:
        again = _columns_differ(subject, close, None)
        if isinstance(again, _Difference) and not again.rounding():
            return _differs(subject, close, again)
    return None


def _believed(
    subject: Subject,
    begins: tuple[int, _Difference] | None,
    rounding: tuple[int, _Difference] | None,
    signals: int,
    looked: int,
) -> Finding:
    """Return the finding of a strategy that does not look ahead."""
    clean = _clean(subject, signals, looked)
    if begins is not None:
        close, found = begins
        return Finding(
            "look-ahead",
            Verdict.NOTE,
            f"{found.name} depends on where history begins ({_at(subject, close)}): live it begins elsewhere; {clean}",
        )
    if rounding is not None:
        close, found = rounding
        return Finding(
            "look-ahead",
            Verdict.NOTE,
            f"{found.name} moves by rounding alone once later candles are there ({_at(subject, close)}), as matrix "
            f"products and FFTs do; {clean}",
        )
    return Finding("look-ahead", Verdict.PASS, clean)


def _clean(subject: Subject, signals: int, looked: int) -> str:
    total = len(np.unique(subject.made))
    unseen = unseen_share(total, signals)
    odds = (
        "all closes with calls among them"
        if unseen == 0.0
        else f"a leak that touches 5 % of them would go unseen with {100.0 * unseen:.1f} %"
    )
    return f"equal with and without {AHEAD} later candles at {looked} closes, {signals} of {total} with calls ({odds})"


def _columns_differ(subject: Subject, close: int, look_back: int | None) -> _Difference | str | None:
    """Return the first cell at or before a close that later candles change; a sentence where only one length works."""
    stop = close + 1
    start = 0 if look_back is None else max(0, stop - look_back)
    end = len(subject.candles) if look_back is None else min(len(subject.candles), stop + AHEAD)
    known = compute(subject.strategy, subject.candles.slice(start, stop), subject.lane, subject.around)
    later = compute(subject.strategy, subject.candles.slice(start, end), subject.lane, subject.around)
    if known.refused or later.refused:
        return None if known.refused else f"it refuses candles once later ones are there: {later.refused}"
    return _first_difference(known, later, stop - start)


def _first_difference(known: Computed, later: Computed, n: int) -> _Difference | None:
    worst: _Difference | None = None
    for name, column in known.columns.items():
        other = later.columns.get(name)
        if other is None:
            return _Difference(f"{name} (missing once later candles are there)", n - 1, np.nan, np.nan, 1, n - 1)
        differs = ~((column == other[:n]) | (np.isnan(column) & np.isnan(other[:n])))
        if not differs.any():
            continue
        rows = np.flatnonzero(differs)
        gap = np.abs(column[rows] - other[rows])
        scale = np.maximum(np.abs(column[rows]), np.abs(other[rows]))
        large = rows[~(gap <= _ROUNDING * scale)]
        row = int(large[0]) if len(large) else int(rows[0])
        one = _Difference(name, row, float(column[row]), float(other[row]), len(rows), n - 1 - row)
        if worst is None or (worst.rounding() and not one.rounding()):
            worst = one
    return worst


def _differs(subject: Subject, close: int, found: _Difference) -> str:
    cause = _WHOLE if found.rows > (close + 1) // 2 else _NEXT
    candle = np.datetime64(int(subject.candles.time[found.row]), "ms")
    return (
        f"{found.name} of {type(subject.strategy).__name__} was {found.known:.6g} for the candle of {candle}Z as known at "
        f"the {_at(subject, close)} and {found.later:.6g} once later candles were there; {cause}"
    )


def _at(subject: Subject, close: int) -> str:
    moment = np.datetime64(int(subject.candles.time[close] + subject.candles.milliseconds), "ms")
    return f"close of {moment}Z"


def _calls_differ(subject: Subject, signals: NDArray[np.int64]) -> str | None:
    """Return a sentence where the calls up to a close change with later candles, in a window and in the whole prefix."""
    chosen = signals
    if len(signals) > _CALL_CLOSES:
        chosen = signals[np.linspace(0, len(signals) - 1, _CALL_CLOSES).round().astype(np.int64)]
    confirmed = 0
    for close in chosen.tolist():
        stop = close + 1
        start, end = max(0, stop - _CALL_BACK), min(len(subject.candles), stop + _CALL_AHEAD)
        first = _first_call(subject, close, start, end)
        if first is None:
            continue
        if confirmed < _CONFIRMED:
            confirmed += 1
            whole = _first_call(subject, close, 0, len(subject.candles))
            if whole is not None:
                return whole
    return None


def _first_call(subject: Subject, close: int, start: int, end: int) -> str | None:
    until = int(subject.candles.time[close]) + subject.candles.milliseconds
    known = _calls(subject, start, close + 1)
    later = _calls(subject, start, end)
    if known is None or later is None:
        return None
    later = [one for one in later if one[0] <= until]
    for k in range(max(len(known), len(later))):
        mine, other = (calls[k] if k < len(calls) else None for calls in (known, later))
        if mine != other:
            at, _ = mine or other or (until, None)
            return (
                f"the calls of {type(subject.strategy).__name__} at the close of {np.datetime64(at, 'ms')}Z change once "
                f"later candles are there: {_shown(mine, other)} became {_shown(other, mine)}; it keeps something of later candles "
                "between its functions"
            )
    return None


def _calls(subject: Subject, start: int, stop: int) -> list[tuple[int, Call]] | None:
    if subject.around is not None:
        subject.around.restore()
    try:
        return [*subject.calls_of(copy.deepcopy(subject.strategy), subject.candles.slice(start, stop))]
    except (BacktestError, ValueError, IndexError):
        return None


def _shown(one: tuple[int, Call] | None, other: tuple[int, Call] | None) -> str:
    """Return a call by its kind and the first field in which it differs from another."""
    if one is None:
        return "no call"
    call, beside = one[1], None if other is None else other[1]
    if type(call) is not type(beside):
        return type(call).__name__
    for part in fields(call):
        if getattr(call, part.name) != getattr(beside, part.name):
            return f"{type(call).__name__} with {part.name} {getattr(call, part.name)}"
    return type(call).__name__
