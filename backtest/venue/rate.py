"""Rate: how many requests a minute the client allows itself, below what the venue allows."""

from __future__ import annotations

import time
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["RateLimit"]

_WINDOW = 60.0


class RateLimit:
    """A sliding window of one minute, as the venue has it.

    Parameters
    ----------
    per_minute
        Most requests in any 60 seconds; the venue's least plan allows 10.
    clock
        Returns seconds. On recorded candles it is the candles' time.

    Raises
    ------
    InvalidSettingError
        Unless ``per_minute`` is a whole number above 0.
    """

    def __init__(self, per_minute: int = 8, clock: Callable[[], float] = time.monotonic) -> None:
        if type(per_minute) is not int or per_minute < 1:
            raise InvalidSettingError(f"the rate limit is a whole number of requests a minute, was {per_minute!r}")
        self.per_minute = per_minute
        self._clock = clock
        self._sent: deque[float] = deque(maxlen=per_minute)
        self._lock = Lock()

    @property
    def left(self) -> int:
        """How many requests are allowed now."""
        with self._lock:
            now = self._clock()
            return self.per_minute - sum(now < sent + _WINDOW for sent in self._sent)

    def remember(self, ages: Iterable[float]) -> None:
        """Count requests that were made before, by another process say.

        Parameters
        ----------
        ages
            How long ago each was made, in seconds, the oldest first.
        """
        with self._lock:
            now = self._clock()
            self._sent.extend(now - max(0.0, age) for age in ages)

    def delay(self) -> float:
        """Return the seconds until one more request is allowed; 0 for now."""
        with self._lock:
            return self._delay(self._clock())

    def take(self) -> float:
        """Count one request and return 0, or count none and return the seconds to wait."""
        with self._lock:
            now = self._clock()
            wait = self._delay(now)
            if wait == 0.0:
                self._sent.append(now)
            return wait

    def _delay(self, now: float) -> float:
        if len(self._sent) < self.per_minute:
            return 0.0
        return max(0.0, self._sent[0] + _WINDOW - now)
