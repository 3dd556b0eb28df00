"""Clock: the time that valid-until and the rate limit run on, of the wall or of the candles."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from backtest.errors import DataUnavailableError

__all__ = ["CandleClock", "Clock", "WallClock", "refuse_offset"]


_MOST_OFFSET = 2_000


def refuse_offset(ours: int, theirs: int) -> int:
    """Return how far this machine's clock is ahead of an exchange's, in ms; more than 2 s either way is refused.

    Raises
    ------
    DataUnavailableError
        The clock decides which candle is closed: with a wrong one live does not start.
    """
    offset = ours - theirs
    if abs(offset) > _MOST_OFFSET:
        way = "ahead of" if offset > 0 else "behind"
        seconds = abs(offset) / 1000.0
        raise DataUnavailableError(f"this machine's clock is {seconds:.1f} s {way} the exchange's; set it, by NTP say")
    return offset


class Clock(ABC):
    """Tells the time and waits.

    Attributes
    ----------
    passes
        Whether the time passes by itself, also while nobody sleeps.
    """

    passes = True

    @abstractmethod
    def now(self) -> int:
        """Return UTC ms."""

    @abstractmethod
    def sleep(self, seconds: float) -> None:
        """Wait."""

    def seconds(self) -> float:
        """Return seconds, for a rate limit."""
        return self.now() / 1000.0


class WallClock(Clock):
    """The machine's time."""

    def now(self) -> int:
        """Return UTC ms."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class CandleClock(Clock):
    """The time of recorded candles: it stands still while work is done, and waiting moves it on."""

    passes = False

    def __init__(self, now: int = 0) -> None:
        self._now = float(now)

    def now(self) -> int:
        """Return UTC ms."""
        return int(self._now)

    def seconds(self) -> float:
        """Return seconds, with what is finer than a millisecond."""
        return self._now / 1000.0

    def sleep(self, seconds: float) -> None:
        """Move on at once, never by less than a millisecond: rounding must not stop time."""
        self._now += max(1.0, seconds * 1000.0)

    def reach(self, moment: int) -> None:
        """Move on to a close; a moment that has passed changes nothing."""
        self._now = max(self._now, float(moment))
