"""Health: whether an emission decides, told from outside by its control socket and its journal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backtest.live.dashboard.reading import Reading
    from backtest.live.dashboard.view import View

__all__ = ["Health", "health_of", "judged"]

_SILENT = 30_000
"""After how many ms without a pass or an idle look the loop counts as hanging; it looks each second."""


@dataclass(frozen=True, slots=True)
class Health:
    """How an emission is.

    Attributes
    ----------
    status
        ``ok``; ``attention`` where a person is needed though it goes on; ``down`` where nothing is decided.
    reasons
        Why it is not ok.
    last_pass_seconds
        Since the loop last went on; None where no emitter answers.
    feed_age_seconds
        The longest that a series is behind the close that it should have; None where none is followed.
    unknown, open_signals
        Outcomes that await a person, and signals that live or may live.
    """

    status: str
    reasons: tuple[str, ...]
    last_pass_seconds: float | None
    feed_age_seconds: float | None
    unknown: int
    open_signals: int

    @property
    def alive(self) -> bool:
        """Whether it decides: a restart would not help where only a person can."""
        return self.status != "down"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {**asdict(self), "reasons": list(self.reasons)}


def health_of(reading: Reading) -> Health:
    """Return how the emission of a journal is."""
    return judged(reading.view())


def judged(view: View) -> Health:
    """Return how an emission is by what is seen of it."""
    down, attention = [], []
    quiet = None if view.beaten is None else max(0, view.now - view.beaten)
    ages = {one: late for one in view.series if (late := _late(one.closed, one.span, view.now)) is not None}
    if view.trouble:
        down.append(view.trouble)
    elif not view.running:
        down.append("no emitter runs on this journal")
    elif quiet is None or quiet > _SILENT:
        down.append("its loop does not go on")
    if view.unknowns:
        attention.append(f"{len(view.unknowns)} unknown outcomes await a person")
    if view.halted:
        attention.append("the venue refused the credentials")
    attention += [one.halted for one in view.strategies if one.halted]
    attention += [view.hold] if view.hold else []
    attention += [
        f"{one.exchange} {one.symbol} {one.timeframe} is silent" for one, late in ages.items() if late > 2 * one.span
    ]
    return Health(
        "down" if down else "attention" if attention else "ok",
        tuple(down + attention),
        None if quiet is None else quiet / 1000.0,
        max(ages.values()) / 1000.0 if ages else None,
        len(view.unknowns),
        view.open,
    )


def _late(closed: int | None, span: int, now: int) -> int | None:
    """Return how long ago the next close was due, ms; 0 where it is not due yet."""
    return None if closed is None else max(0, now - closed - span)
