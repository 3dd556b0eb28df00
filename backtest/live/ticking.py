"""Ticking: the time that a feed runs on, of this machine or of a recording that is played."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from backtest.live.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Alarm", "MachineTime", "PlayedTime", "Ticking", "TickingClock"]


class Alarm(Protocol):
    """What was ordered for later."""

    def cancel(self) -> None:
        """Order it off."""


class Ticking(ABC):
    """Tells the time, twice, and calls later."""

    @abstractmethod
    def wall(self) -> float:
        """Return UTC ms by a clock that somebody may set."""

    @abstractmethod
    def steady(self) -> float:
        """Return ms by a clock that nobody sets: only differences mean anything."""

    @abstractmethod
    def call_at(self, moment: float, function: Callable[[], object]) -> Alarm:
        """Call a function in this event loop once :meth:`steady` has reached ``moment``, ms."""

    async def wait(self, milliseconds: float) -> None:
        """Wait."""
        done = asyncio.Event()
        alarm = self.call_at(self.steady() + milliseconds, done.set)
        try:
            await done.wait()
        finally:
            alarm.cancel()


class MachineTime(Ticking):
    """The machine's."""

    def wall(self) -> float:
        """Return UTC ms."""
        return time.time_ns() / 1e6

    def steady(self) -> float:
        """Return ms of the monotonic clock."""
        return time.monotonic_ns() / 1e6

    def call_at(self, moment: float, function: Callable[[], object]) -> Alarm:
        """Call later."""
        return asyncio.get_running_loop().call_later(max(0.0, moment - self.steady()) / 1000.0, function)


class PlayedTime(Ticking):
    """Time that stands still until it is moved.

    Attributes
    ----------
    skew
        How far the clock on the wall is ahead of the steady one, ms.
    """

    def __init__(self, start: float) -> None:
        self.skew = 0.0
        self._now = float(start)
        self._alarms: list[tuple[float, int, _Played]] = []
        self._numbers = itertools.count()

    def wall(self) -> float:
        """Return UTC ms."""
        return self._now + self.skew

    def steady(self) -> float:
        """Return UTC ms that :attr:`skew` has no part in."""
        return self._now

    def call_at(self, moment: float, function: Callable[[], object]) -> Alarm:
        """Call once :meth:`reach` has come to ``moment``."""
        alarm = _Played(function)
        heapq.heappush(self._alarms, (moment, next(self._numbers), alarm))
        return alarm

    def upcoming(self, moment: float) -> float:
        """Return when the next call is due, or ``moment`` where that is earlier."""
        while self._alarms and self._alarms[0][2].function is None:
            heapq.heappop(self._alarms)
        return min(moment, self._alarms[0][0]) if self._alarms else moment

    def reach(self, moment: float) -> None:
        """Move on to a moment, UTC ms, making the calls that are due on the way; one that has passed changes nothing."""
        while self._alarms and self._alarms[0][0] <= moment:
            due, _, alarm = heapq.heappop(self._alarms)
            self._now = max(self._now, due)
            if alarm.function is not None:
                alarm.function()
        self._now = max(self._now, float(moment))


class _Played:
    def __init__(self, function: Callable[[], object]) -> None:
        self.function: Callable[[], object] | None = function

    def cancel(self) -> None:
        self.function = None


class TickingClock(Clock):
    """What the emitter runs on, of the time that the feed runs on.

    Parameters
    ----------
    time
        A wait of another thread is one of this machine's seconds, also where the time is played.
    """

    def __init__(self, time: Ticking) -> None:
        self._time = time

    def now(self) -> int:
        """Return UTC ms of the clock on the wall."""
        return int(self._time.wall())

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
