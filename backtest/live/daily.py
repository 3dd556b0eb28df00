"""Daily: how a day went by the journal, and an alarm where too much of it was not sent as it was decided."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backtest.errors import BacktestError
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.notices import NoticeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from backtest.live.notices import Notices
    from backtest.live.settings import AlertSettings

__all__ = ["DAY", "Daily", "Drift", "drift_of"]

DAY = 86_400_000
_LOOK_SECONDS = 60.0
_LEAST = 3
"""Calls that were not sent as decided; fewer are no drift, however few there were in all."""
_ASTRAY = (State.EXPIRED, State.BLOCKED, State.REJECTED, State.UNKNOWN, State.NOT_LANDED, State.ABANDONED)


@dataclass(frozen=True, slots=True)
class Drift:
    """How many calls of a span were decided, and how many of them were not sent as decided, by what became of them.

    A call that a newer one made pointless (superseded) is left out: the venue has the wish that counts.
    """

    decided: int
    astray: Mapping[State, int]

    @property
    def share(self) -> float:
        """The part that went astray, from 0 to 1."""
        return sum(self.astray.values()) / self.decided if self.decided else 0.0

    @property
    def text(self) -> str:
        """For people."""
        if not self.decided:
            return "no call"
        what = ", ".join(f"{count} {state.value.replace('_', ' ')}" for state, count in self.astray.items())
        sent = self.decided - sum(self.astray.values())
        return f"{sent} of {self.decided} calls sent as decided" + (f" ({what})" if what else "")


def drift_of(tally: Mapping[State, int]) -> Drift:
    """Return the drift of calls that were counted."""
    decided = sum(count for state, count in tally.items() if state is not State.SUPERSEDED)
    return Drift(decided, {state: tally[state] for state in _ASTRAY if tally.get(state)})


class Daily:
    """Looks once a minute, in a thread of its own and through a connection that only reads.

    Parameters
    ----------
    path
        Of the journal.
    notices
        Hear the summary of each UTC day when it is over, and of drift.
    settings
        The threshold.
    now
        Returns UTC ms.
    """

    def __init__(self, path: Path, notices: Notices, settings: AlertSettings, now: Callable[[], int]) -> None:
        self._path, self._notices, self._settings, self._now = path, notices, settings, now
        self._over = threading.Event()
        self._day = now() // DAY
        self._drifts = False
        self._thread = threading.Thread(target=self._work, name="daily", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(2.0)

    def look(self, journal: Journal) -> None:
        """Say what is to be said now."""
        now = self._now()
        day, self._day = self._day, now // DAY
        if self._day > day:
            self._notices.tell(NoticeKind.SUMMARY, now, summary(journal, (self._day - 1) * DAY))
        drift = drift_of(journal.tally(now - DAY))
        drifts = drift.share > self._settings.drift and sum(drift.astray.values()) >= _LEAST
        if drifts != self._drifts:
            self._drifts = drifts
            sentence = f"of the last 24 hours {drift.text}: {100.0 * drift.share:.1f} % went astray"
            limit = f"{100.0 * self._settings.drift:g} % may"
            self._notices.tell(NoticeKind.DRIFT, now, f"{sentence}, {limit}", over=not drifts)

    def _work(self) -> None:
        journal: Journal | None = None
        while not self._over.wait(_LOOK_SECONDS):
            try:
                journal = journal or Journal(self._path)
                self.look(journal)
            except BacktestError:  # the emitter meets the same disk, and says so
                continue
        if journal is not None:
            journal.close()


def summary(journal: Journal, start: int) -> str:
    """Return one sentence about the UTC day that began at ``start`` (UTC ms)."""
    import numpy as np

    seen, missing, revised = journal.candles_tally(start)
    tally: Mapping[State, int] = journal.tally(start, start + DAY)
    unknown = len(journal.intents(State.UNKNOWN))
    parts: list[Any] = [
        f"{np.datetime64(start, 'ms').astype('datetime64[D]')}: {drift_of(tally).text}",
        f"{journal.open_signals()} signals open",
        f"{unknown} unknown" + (" await a person" if unknown else ""),
        f"{seen:,} candles, {missing} missing, {revised} revised later",
    ]
    return "; ".join(parts)
