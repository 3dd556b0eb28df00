"""Warm-up: with how much history a strategy decides as with all of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import BacktestError
from backtest.runner.checks.verdict import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backtest.model.calls import Call
    from backtest.model.candles import Candles
    from backtest.runner.checks.lookahead import Subject

__all__ = ["LENGTHS", "warm_up"]

LENGTHS = (100, 200, 300, 500, 1_000, 2_000)
"""Candles of history that are tried."""

_CLOSES = 32
_SAME = 1e-9
_NAMES = frozenset({"ref", "attachment_description"})


@dataclass(slots=True)
class _Count:
    """How the decisions with a shorter history differ."""

    missed: int = 0
    invented: int = 0
    priced: int = 0
    looked: int = 0

    def __str__(self) -> str:
        parts = ((self.missed, "missed"), (self.invented, "invented"), (self.priced, "priced otherwise"))
        return ", ".join(f"{count} {what}" for count, what in parts if count)


def warm_up(subject: Subject, decide: Callable[[Candles], Sequence[Call]]) -> tuple[Finding, int | None]:
    """Return how many candles of history the strategy needs, and that number; None where no length suffices.

    The first row without NaN is no warm-up: an average of 200 still moves a price at 500. So the calls at up to 32 closes
    (half of them with calls, the rest drawn at random) are decided with 100 to 2,000 candles and held against those with
    all of them, while nothing lives.

    Parameters
    ----------
    subject
        Strategy and candles; ``made`` says where calls were made.
    decide
        Returns the calls of the last close of candles (:func:`backtest.runner.checks.deciding.calls_at_last`).
    """
    n = len(subject.candles)
    rng = np.random.default_rng(n)
    lengths = [length for length in LENGTHS if length <= n // 2]
    far = lengths[-1] if lengths else LENGTHS[0]
    made = subject.made[subject.made >= far]
    if not lengths or len(made) == 0:
        return Finding("warm-up", Verdict.NOTHING, f"no call has {far:,} candles before it"), None
    chosen = np.unique(rng.choice(made, min(_CLOSES // 2, len(made)), replace=False))
    others = np.unique(rng.integers(far, n, _CLOSES // 2))
    counts = {length: _Count() for length in lengths}
    for close in np.union1d(chosen, others).tolist():
        try:
            whole = decide(subject.candles.slice(0, close + 1))
        except BacktestError:
            continue
        for length, count in counts.items():
            _compare(count, whole, subject.candles.slice(close + 1 - length, close + 1), decide)
    enough = [length for length in lengths if not str(counts[length])]
    good = next((length for length in enough if all(longer in enough for longer in lengths if longer >= length)), None)
    return _told(counts, good), good


def _compare(count: _Count, whole: Sequence[Call], part: Candles, decide: Callable[[Candles], Sequence[Call]]) -> None:
    count.looked += 1
    try:
        short: Sequence[Call] = decide(part)
    except (BacktestError, ValueError, IndexError):
        short = ()
    count.missed += max(0, len(whole) - len(short))
    count.invented += max(0, len(short) - len(whole))
    count.priced += sum(not _same(mine, other) for mine, other in zip(whole, short, strict=False))


def _same(mine: Call, other: Call) -> bool:
    if type(mine) is not type(other):
        return False
    return all(
        part.name in _NAMES or _equal(getattr(mine, part.name), getattr(other, part.name)) for part in fields(mine)
    )


def _equal(mine: object, other: object) -> bool:
    if isinstance(mine, tuple) and isinstance(other, tuple):
        return len(mine) == len(other) and all(map(_equal, mine, other))
    if isinstance(mine, float) and isinstance(other, float):
        return abs(mine - other) <= _SAME * max(abs(mine), abs(other))
    return mine == other


def _told(counts: dict[int, _Count], good: int | None) -> Finding:
    *_, longest = counts
    looked = counts[longest].looked
    if good is None:
        return Finding(
            "warm-up",
            Verdict.NOTE,
            f"no history suffices: with {longest:,} candles {counts[longest]} of the calls at {looked} closes; "
            "something runs since the start (a cumulative sum, VWAP or OBV): live it begins elsewhere",
        )
    shorter = [length for length in counts if length < good and str(counts[length])]
    told = f"; with {shorter[-1]:,} candles {counts[shorter[-1]]}" if shorter else ""
    return Finding(
        "warm-up", Verdict.PASS, f"{good:,} candles of history decide as all of them do at {looked} closes{told}"
    )
