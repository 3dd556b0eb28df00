"""Notices: what a person should know of a running emission, and whoever passes it on: terminal, alerts, dashboard."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from backtest.market_data.series import Series

__all__ = ["Notice", "NoticeKind", "Notices"]

_KEPT = 500
_LEAST_WAIT = 0.01


class NoticeKind(StrEnum):
    """What a notice is about."""

    STARTED = "started"
    STOPPED = "stopped"
    UNKNOWN = "unknown"
    """The outcome of a call cannot be proved; it awaits a person. Over: a person has decided."""
    CREDENTIALS = "credentials"
    """The venue refused the credentials; nothing but cancels is sent any more."""
    REJECTED = "rejected"
    """The venue refused a call."""
    EXPIRED = "expired"
    """The time of a call had passed before it could be sent."""
    BLOCKED = "blocked"
    """A limit, a stop or an unknown held a call back for good."""
    REFUSED = "refused"
    """The desk refused a call, as its prices are out of order (L3.8)."""
    RAISED = "raised"
    """A strategy raised; its markets are halted."""
    DELISTED = "delisted"
    """A market is gone; its series is halted."""
    SILENT = "silent"
    """No candle has closed for two timeframes."""
    DEAF = "deaf"
    """A connection brought nothing while candles closed; a new one is made."""
    DISCONNECTED = "disconnected"
    UNREACHABLE = "unreachable"
    """An exchange's REST does not answer."""
    CLOCK = "clock"
    """This machine's clock differs from an exchange's; entries stop until that is over."""
    FUTURE = "future"
    """A candle that closes later than the exchange's clock was refused."""
    INVALID = "invalid"
    """A candle that contradicts itself was refused."""
    REVISION = "revision"
    """A candle that was acted on is another one now."""
    CHANGED = "changed"
    """On a candle as it is now, a call would have been another one."""
    DRIFT = "drift"
    """More of a day's calls than a threshold were not sent as they were decided."""
    SUMMARY = "summary"
    """What a day came to."""
    RULES = "rules"
    """An exchange changed the rules of a market: tick, step or minimums."""
    CODE = "code"
    """Changed code was accepted and decides from now on."""
    DROPPED = "dropped"
    """Whoever takes the notices is too slow: the oldest were left out."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that a person should know.

    Attributes
    ----------
    kind
        What it is about.
    time
        UTC ms by the clock that the emission runs on.
    sentence
        All of it, for a person; no secret, no line break.
    series
        Which series it is about; empty for the whole emission.
    over
        Whether that has ended.
    """

    kind: NoticeKind
    time: int
    sentence: str
    series: tuple[Series, ...] = ()
    over: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        named = [{"exchange": s.exchange, "symbol": s.symbol, "timeframe": s.timeframe} for s in self.series]
        kept = {"kind": self.kind.value, "time": self.time, "sentence": self.sentence}
        return {**kept, "series": named, "over": self.over}


class Notices:
    """Passes notices on to everyone who subscribed, each in a thread of its own.

    :meth:`tell` never waits and never raises, whatever its subscribers do: a slow one loses its oldest notices (and is told
    so), one that raises goes on with the next. At the end of the ``with`` what was told is passed on, for ``patience``
    seconds at most.

    Parameters
    ----------
    patience
        Seconds.

    Examples
    --------
    >>> heard = []
    >>> with Notices() as notices:
    ...     notices.subscribe(heard.append)
    ...     notices.tell(NoticeKind.STARTED, 0, "emission started")
    >>> [notice.sentence for notice in heard]
    ['emission started']
    """

    def __init__(self, patience: float = 5.0) -> None:
        self._patience = patience
        self._subscribers: list[_Subscriber] = []
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, Notice]] = deque(maxlen=_KEPT)
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def subscribe(self, take: Callable[[Notice], object], *, most: int = 1000) -> None:
        """Let somebody hear what is told from now on, in order.

        Parameters
        ----------
        take
            Called with each notice, in a thread of its own; it may take its time, and what it raises is dropped.
        most
            How many may wait for it.
        """
        with self._lock:
            self._subscribers.append(_Subscriber(take, most))

    def tell(
        self, kind: NoticeKind, moment: int, sentence: str, series: tuple[Series, ...] = (), *, over: bool = False
    ) -> None:
        """Pass a notice on to all; any thread may.

        Parameters
        ----------
        kind, moment, sentence, series, over
            See :class:`Notice`; ``moment`` is its time.
        """
        notice = Notice(kind, moment, " ".join(sentence.split()), series, over)
        with self._lock:
            self._count += 1
            self._kept.append((self._count, notice))
            for subscriber in self._subscribers:
                subscriber.put(notice)

    def since(self, number: int = 0) -> list[tuple[int, Notice]]:
        """Return the last few hundred notices, numbered from 1, behind the one of a number."""
        with self._lock:
            return [(each, notice) for each, notice in self._kept if each > number]

    def close(self) -> None:
        """Wait until all was passed on, for as long as there is patience, and let everyone go."""
        end = time.monotonic() + self._patience
        for subscriber in self._subscribers:
            subscriber.end(max(_LEAST_WAIT, end - time.monotonic()))


class _Subscriber:
    """Somebody who hears notices, and those that wait for him."""

    def __init__(self, take: Callable[[Notice], object], most: int) -> None:
        self._take, self._waiting = take, deque[Notice](maxlen=most)
        self._dropped, self._over = 0, False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="notices", daemon=True)
        self._thread.start()

    def put(self, notice: Notice) -> None:
        with self._changed:
            self._dropped += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(notice)
            self._changed.notify()

    def end(self, seconds: float) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join(seconds)

    def _next(self) -> Notice | None:
        """Wait for a notice; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over)
            if self._dropped:
                number, self._dropped = self._dropped, 0
                sentence = f"{number} older notices were left out: whoever takes them is too slow"
                return Notice(NoticeKind.DROPPED, self._waiting[0].time, sentence)
            return self._waiting.popleft() if self._waiting else None

    def _work(self) -> None:
        while (notice := self._next()) is not None:
            try:
                self._take(notice)
            except Exception:  # noqa: BLE001, S112 - whoever listens must not be able to stop what he listens to
                continue
