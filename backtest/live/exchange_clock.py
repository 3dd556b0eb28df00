"""Exchange clock: what time it is at an exchange, by its own answer and a clock of ours that nobody sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from backtest.live.feed_settings import FeedSettings
    from backtest.live.ticking import Ticking

__all__ = ["ExchangeClock"]

_TRIES = 3
_QUICK = 500.0
_NOT_SOONER = 10_000.0


class ExchangeClock:
    """Goes on from the exchange's last answer by our steady clock: setting ours does not move it.

    Attributes
    ----------
    known
        Whether it was ever measured.
    wrong
        Whether this machine's clock differs by more than it may.
    doubted
        Whether something was seen that asks for a measurement: a candle from the future.
    """

    def __init__(self, time: Ticking, settings: FeedSettings) -> None:
        self._time = time
        self._most, self._every = settings.clock_off * 1000.0, settings.clock_every * 1000.0
        self._ahead = 0.0
        self._measured = -float("inf")
        self._tried = -float("inf")
        self.known = self.wrong = self.doubted = False

    def now(self) -> float:
        """Return the time at the exchange, UTC ms."""
        return self._time.steady() + self._ahead

    @property
    def off(self) -> float:
        """How far this machine's clock is ahead of the exchange's, ms."""
        return self._time.wall() - self.now()

    @property
    def agrees(self) -> bool:
        """Whether this machine's clock is right as far as anybody knows: one that was just set is not measured yet."""
        return not self.wrong and not self._odd

    @property
    def _odd(self) -> bool:
        return self.known and abs(self.off) > self._most

    @property
    def text(self) -> str:
        """How far off, for people."""
        way = "ahead of" if self.off > 0 else "behind"
        return f"this machine's clock is {abs(self.off) / 1000.0:.1f} s {way} the exchange's"

    @property
    def measure_due(self) -> bool:
        """Whether to measure: every hour, and where something is odd."""
        now = self._time.steady()
        odd = self.doubted or self.wrong or self._odd
        if now - self._tried < (_NOT_SOONER if odd else self._every):
            return False
        self._tried = now
        return True

    async def measure(self, ask: Callable[[], Awaitable[float]]) -> None:
        """Ask for the exchange's clock, up to three times until an answer comes quickly; the quickest counts."""
        best = float("inf")
        self._tried = self._time.steady()
        for _ in range(_TRIES):
            sent = self._time.steady()
            there = await ask()
            took = self._time.steady() - sent
            if took < best:
                best = took
                self._ahead = there - (sent + took / 2.0)
            if took <= _QUICK:
                break
        self.known, self.doubted = True, False

    def judge(self) -> None:
        """Compare this machine's clock."""
        self.wrong = abs(self.off) > self._most
