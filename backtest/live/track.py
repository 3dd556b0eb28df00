"""Track: one series of a feed, which candle is next, and what is known of it. No waiting and no network in here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from backtest.live.feed_settings import FeedSettings
    from backtest.market_data.klines import Kline, Row
    from backtest.market_data.series import Series

__all__ = ["Closed", "Fault", "FaultKind", "Follow", "Item", "Phase", "Revision", "Source", "Track"]


class Phase(StrEnum):
    """Where a series is."""

    PRIMING = "priming"
    """What came before is being asked for by REST; nothing newer is passed on."""
    LIVE = "live"
    GAP = "gap"
    """A candle is overdue, or a later one came first."""
    HALTED = "halted"
    """Its market is gone; nothing more will come."""


class Source(StrEnum):
    """Where a candle came from."""

    WEBSOCKET = "websocket"
    REST = "rest"


class FaultKind(StrEnum):
    """What is wrong with a series."""

    MISSING = "missing"
    """The candle that opened at ``at`` has not come, and never will: the next one may be walked."""
    GAP = "gap"
    """A later candle came before the one that opened at ``at``."""
    FUTURE = "future"
    """A candle closes later than the exchange's clock; it was refused."""
    INVALID = "invalid"
    """A candle contradicts itself or opens between two candles; it was refused."""
    DISCONNECTED = "disconnected"
    UNREACHABLE = "unreachable"
    """REST does not answer."""
    DEAF = "deaf"
    """The connection stands, candles close, and it brings none: a new one is made."""
    SILENT = "silent"
    """No candle has closed for two timeframes."""
    CLOCK = "clock"
    """This machine's clock differs from the exchange's: entries must stop."""
    DELISTED = "delisted"
    """The market is gone; the series is halted."""


@dataclass(frozen=True, slots=True)
class Follow:
    """A series that a feed follows.

    Attributes
    ----------
    since
        Open time of the first candle wanted, UTC ms.
    resumes
        Whether it goes on behind a candle that was passed on before: then the very first ones can be missing. Else
        the series begins with the first candle that there is.
    """

    series: Series
    since: int
    resumes: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed candle: passed on once, in order, and never revised.

    Attributes
    ----------
    row
        Open time in UTC ms, open, high, low, close, volume.
    arrived
        When it came, UTC ms by the exchange's clock.
    """

    series: Series
    row: Row
    source: Source
    arrived: int

    @property
    def lag(self) -> int:
        """Milliseconds from its close to its arrival; the exchange's own share of them included."""
        return self.arrived - self.row[0] - self.series.length


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a series, or that this is over.

    Attributes
    ----------
    at
        Open time of the candle that it is about, UTC ms; 0 for none.
    text
        What happened, for people.
    over
        Whether it has ended.
    """

    series: Series
    kind: FaultKind
    at: int = 0
    text: str = ""
    over: bool = False


@dataclass(frozen=True, slots=True)
class Revision:
    """A candle that was acted on and is another one now, which changes nothing any more.

    Attributes
    ----------
    at
        Its open time, UTC ms.
    old, new
        As it was acted on, and as it is now; None for one that was missing, and for one that is there no longer.
    lag
        Milliseconds from its close until this was seen.
    """

    series: Series
    at: int
    old: Row | None
    new: Row | None
    lag: int


Item = Closed | Fault | Revision

_NEVER = math.inf
_REMEMBERED = 64
"""Candles kept for comparison with messages where there is no audit that lets them go."""


class Track:
    """One series: takes what was heard and what REST answered, passes on closed candles in order.

    Times are UTC ms by the exchange's clock.

    Parameters
    ----------
    follow
        The series, and where it begins.
    settings
        Waits.
    emit
        Takes what is passed on.
    flagged, pushes, audits
        Whether the exchange's messages say that a candle is closed, whether there are messages at all, and whether
        what was acted on is compared later.
    """

    def __init__(
        self,
        follow: Follow,
        settings: FeedSettings,
        emit: Callable[[Item], object],
        *,
        flagged: bool,
        pushes: bool,
        audits: bool,
    ) -> None:
        self.series, self.span = follow.series, follow.series.length
        self.phase = Phase.PRIMING
        self.expected = follow.since
        self.asking = False
        self.ask_at = -_NEVER
        self.silent = False
        self._again = False
        self._flagged, self._pushes, self._audits, self._emit = flagged, pushes, audits, emit
        self._begun = follow.resumes
        self._grace = settings.grace_of(self.series.exchange) * 1000.0
        self._late = max(settings.late_after * 1000.0, self._grace)
        self._future = settings.future * 1000.0
        self._audit_after, self._audit_every = settings.audit_after * 1000.0, settings.audit_every * 1000.0
        self._held: dict[int, tuple[Row, Source]] = {}
        self._forming: Row | None = None
        self._connected = False
        self._heard = self._candle = -_NEVER
        self._failures = 0
        self._acted: dict[int, Row | None] = {}
        self._audit_at, self._audit_next = _NEVER, -_NEVER
        self._deaf_rest = 0

    # -- the connection

    def opened(self, now: float) -> None:
        """Take note of a new connection: what came before it is asked for first."""
        if self.phase is Phase.HALTED:
            return
        self._connected, self._forming, self._heard, self._deaf_rest = True, None, now, 0
        self.phase, self._again = Phase.PRIMING, self.asking
        self.ask_at = now

    def broken(self, now: float) -> None:
        """Take note that the connection ended; REST goes on."""
        self._connected, self._forming = False, None
        if self.phase is not Phase.HALTED:
            self._schedule(now)

    def halt(self, text: str) -> None:
        """Pass on nothing more."""
        if self.phase is not Phase.HALTED:
            self.phase, self.ask_at, self._audit_at = Phase.HALTED, _NEVER, _NEVER
            self._emit(Fault(self.series, FaultKind.DELISTED, text=text))

    # -- what was heard

    def hear(self, kline: Kline, now: float) -> None:
        """Take a candle of a message."""
        if self.phase is Phase.HALTED:
            return
        if kline.closed is None:
            self._heard = now
            self._hear_unflagged(kline.row, now)
        elif kline.closed:
            self._heard = now
            self._take(kline.row, now)

    def _hear_unflagged(self, row: Row, now: float) -> None:
        """Keep the newest state of a candle; the next candle's first message shows that it was the last one."""
        if row[0] > now + self._future:
            self._refuse_future(row, now)
            return
        before = self._forming
        if before is not None and row[0] < before[0]:
            return
        self._forming = row
        if before is not None and self.expected <= before[0] < row[0]:
            self._take(before, now)
        if row[0] > self.expected and self.phase is Phase.LIVE:
            self._open_gap(now)

    def _take(self, row: Row, now: float) -> None:
        """Take a closed candle from the connection."""
        time = row[0]
        if time + self.span > now + self._future:
            self._refuse_future(row, now)
        elif not _sound(row) or (time - self.expected) % self.span:
            self._emit(Fault(self.series, FaultKind.INVALID, time, f"{row[1:]}"))
            self.ask_at = min(self.ask_at, now)
        elif time < self.expected:
            self._compare(row, now)
        elif time == self.expected and self.phase is not Phase.PRIMING:
            self._deliver(row, Source.WEBSOCKET, now)
            self._drain(now, 0, now)
            self.phase = Phase.GAP if self._held else Phase.LIVE
            self._schedule(now)
        else:
            self._held[time] = (row, Source.WEBSOCKET)
            self._open_gap(now)

    def _open_gap(self, now: float) -> None:
        if self.phase is Phase.LIVE:
            self.phase = Phase.GAP
            self._emit(Fault(self.series, FaultKind.GAP, self.expected))
            self.ask_at = min(self.ask_at, now)

    def _refuse_future(self, row: Row, now: float) -> None:
        late = (row[0] + self.span - now) / 1000.0
        self._emit(Fault(self.series, FaultKind.FUTURE, row[0], f"closes {late:.1f} s after the exchange's clock"))

    def _compare(self, row: Row, now: float) -> None:
        """Record a revision of a candle that was acted on."""
        time = row[0]
        if time in self._acted and not _same(self._acted[time], row):
            self._emit(Revision(self.series, time, self._acted[time], row, round(now - time - self.span)))
            self._acted[time] = row

    # -- what REST answered

    def reach(self, now: float) -> int:
        """Return the open time behind the last candle that can have closed: how far REST is asked."""
        return self.expected + max(0, math.floor((now - self.expected) / self.span)) * self.span

    def answered(self, rows: Iterable[Row], end: int, asked: float, now: float, *, last: bool) -> None:
        """Take candles that opened from the expected one up to ``end``, exclusive; what is not among them is not there.

        Parameters
        ----------
        rows
            Ascending, closed and sound.
        end
            Open time up to which this is all that there is.
        asked, now
            When the question was sent, and the time at its answer.
        last
            Whether nothing more was asked for.
        """
        if self.phase is Phase.HALTED:
            return
        if self._failures:
            self._emit(Fault(self.series, FaultKind.UNREACHABLE, over=True))
        self._failures = 0
        for row in rows:
            if not self._begun:  # a new series begins with the first candle that there is
                self._begun, self.expected = True, row[0]
            final = row[0] + self.span + self._grace <= now
            if row[0] >= self.expected and final and not (row[0] - self.expected) % self.span:
                self._held.setdefault(row[0], (row, Source.REST))
        if not self._begun and last:
            self._begun, self.expected = True, min([end, *self._held])
        self._drain(asked, end, now)
        if last and self._again:  # asked before the connection stood, which is too early to know what came before it
            self._again, self.ask_at = False, now
        elif last:
            self._deaf_rest = 0 if self.phase is Phase.PRIMING else self._deaf_rest
            self.phase = Phase.GAP if self._held else Phase.LIVE
            self._schedule(asked)

    def failed(self, text: str, now: float) -> None:
        """Take note that REST did not answer; it is asked again, ever more seldom."""
        if self.phase is Phase.HALTED:
            return
        if not self._failures:
            self._emit(Fault(self.series, FaultKind.UNREACHABLE, self.expected, text))
        self._failures += 1
        self.ask_at = now + min(30_000.0, 500.0 * 2.0 ** min(self._failures, 10))

    def _drain(self, asked: float, end: int, now: float) -> None:
        """Pass on what follows without a hole; what was asked for late enough and is not there is missing for good."""
        for time in [time for time in self._held if time < self.expected]:
            del self._held[time]
        while True:
            if self.expected in self._held:
                self._deliver(*self._held.pop(self.expected), now)
            elif self.expected < end and self.expected + self.span + self._late <= asked:
                self._emit(Fault(self.series, FaultKind.MISSING, self.expected))
                self._remember(self.expected, None, now)
                self.expected += self.span
            else:
                return

    def _deliver(self, row: Row, source: Source, now: float) -> None:
        if self.silent:
            self.silent = False
            self._emit(Fault(self.series, FaultKind.SILENT, row[0], over=True))
        self._begun = True
        self.expected = row[0] + self.span
        self._candle = max(self._candle, float(self.expected))
        self._deaf_rest = self._deaf_rest + 1 if source is Source.REST else 0
        self._emit(Closed(self.series, row, source, round(now)))
        self._remember(row[0], row, now)

    def _remember(self, time: int, row: Row | None, now: float) -> None:
        """Keep what was acted on until it is compared; history was final when it came."""
        if now - time - self.span >= self._audit_after:
            return
        self._acted[time] = row
        if self._audits:
            if self._audit_at == _NEVER:
                self._plan_audit(time)
        elif len(self._acted) > _REMEMBERED:
            del self._acted[min(self._acted)]

    # -- time

    @property
    def due(self) -> float:
        """When :meth:`tick` has something to do."""
        if self.phase is Phase.HALTED:
            return _NEVER
        return min(self.ask_at, self._audit_at, _NEVER if self.silent else self._candle + self._patience)

    @property
    def _patience(self) -> float:
        return 2.0 * self.span + 2.0 * self._grace

    def tick(self, now: float) -> bool:
        """Raise the alarm where no candle has closed for two timeframes; return whether that was now."""
        self._candle = now if self._candle == -_NEVER else self._candle  # the first look at the clock
        if self.phase is Phase.HALTED or self.silent or now < self._candle + self._patience:
            return False
        self.silent = True
        self._emit(Fault(self.series, FaultKind.SILENT, self.expected, "no candle has closed for two timeframes"))
        return True

    def quiet(self, now: float) -> bool:
        """Return whether nothing is about to close, and nothing has just closed."""
        margin = self._margin
        return self.phase is Phase.LIVE and self.expected + margin < now < self.expected + self.span - margin

    @property
    def _margin(self) -> float:
        """How far from a close nothing is done that could wait, ms."""
        return min(10_000.0, self.span / 4.0)

    def deaf(self, now: float) -> bool:
        """Return whether REST has had to bring candles for two timeframes in which the connection brought none."""
        if not (self._connected and self._pushes) or self._deaf_rest < 2 or now < self._heard + self._patience:
            return False
        self._deaf_rest, self._heard = 0, now
        self._emit(Fault(self.series, FaultKind.DEAF, self.expected, "candles close, the connection brings none"))
        return True

    def _schedule(self, since: float) -> None:
        """Order the next question to REST after that of ``since``: when the candle is overdue, and when it is missing."""
        close = self.expected + self.span
        pushed = self._connected and self._pushes and self._flagged
        first = close + (2.0 * self._grace if pushed else self._grace)
        late = close + self._late
        if self.phase is Phase.PRIMING and not self.asking:
            self.ask_at = since
        else:
            self.ask_at = first if since < first else late if since < late else since + 1000.0

    # -- the audit

    def to_audit(self, now: float) -> tuple[int, int] | None:
        """Return the open times of candles that are to be compared, end exclusive; None for none."""
        if now < self._audit_at:
            return None
        self._audit_at = self._audit_next = now + self._audit_every
        ripe = [time for time in self._acted if time + self.span + self._audit_after <= now]
        return (min(ripe), max(ripe) + self.span) if ripe else None

    def audited(self, rows: Iterable[Row], start: int, end: int, now: float) -> None:
        """Compare what was acted on with what REST says now, and forget it."""
        found = {row[0]: row for row in rows}
        for time in [time for time in self._acted if start <= time < end]:
            old, new = self._acted.pop(time), found.get(time)
            if not _same(old, new):
                self._emit(Revision(self.series, time, old, new, round(now - time - self.span)))
        self._audit_at = _NEVER
        if self._acted:
            self._plan_audit(min(self._acted))

    def _plan_audit(self, time: int) -> None:
        """Let a candle be compared once it is ripe, but not beside a close: there calls come first."""
        at, margin = max(time + self.span + self._audit_after, self._audit_next), self._margin
        into = (at - time) % self.span
        if into < margin:
            at += margin - into
        elif into > self.span - margin:
            at += self.span - into + margin
        self._audit_at = at


def _sound(row: Row) -> bool:
    _, o, h, l, c, v = row  # noqa: E741
    return 0.0 < l <= o <= h < math.inf and l <= c <= h and 0.0 <= v < math.inf  # NaN is in no order


def _same(old: Row | None, new: Row | None) -> bool:
    """Return whether two candles are the same; volumes may differ in the last digits of how they were written."""
    if old is None or new is None:
        return old is new
    return old[:5] == new[:5] and math.isclose(old[5], new[5], rel_tol=1e-9)
