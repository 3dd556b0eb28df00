"""Alerts: the notices that a person must hear of, sent to a webhook or, through apprise, to a phone.

Nothing here can block emission: the bus of notices calls each target in a thread of its own, what fails is tried again
there, and what cannot be delivered is said to the log and left.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from backtest.live.apprise_service import AppriseService
from backtest.live.notices import Notice, NoticeKind
from backtest.market_data.disk import replace_private
from backtest.venue.webhook import Delivery, Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from backtest.live.notices import Notices
    from backtest.live.settings import AlertSettings

__all__ = ["ALERT_URL", "WANTS", "Alerts", "Apprised", "Sent", "Target", "Telling", "targets_from", "tried", "worded"]

ALERT_URL = "BACKTEST_ALERT_URL"
"""Variable with the addresses, apart by spaces: https ones are webhooks, all others are apprise's."""

_WAITS = (0.0, 2.0, 10.0, 30.0, 120.0, 600.0)
"""Seconds before each try."""

WANTS: Mapping[NoticeKind, str] = {
    NoticeKind.STARTED: "Nothing, if you or the service manager started it.",
    NoticeKind.STOPPED: "Start it again if you did not stop it; what lives is protected by the stops at the venue.",
    NoticeKind.UNKNOWN: "Look at the venue for the tag, then say what you found: backtest emit resolve, or the dashboard.",
    NoticeKind.CREDENTIALS: "Check key and secret with the vendor, then start again; only cancels are sent until then.",
    NoticeKind.REJECTED: "Read the field that the venue names; the call is lost, the next one is not held back.",
    NoticeKind.RAISED: "Mend the strategy and start again; close what lives by hand or with backtest emit cancel-all.",
    NoticeKind.DELISTED: "Close what lives on the market at the venue, and take it out of the settings.",
    NoticeKind.SILENT: "See whether the exchange is down; nothing is decided on this series until candles come.",
    NoticeKind.UNREACHABLE: "See whether this machine reaches the exchange; missed candles are fetched once it does.",
    NoticeKind.CLOCK: "Set this machine's clock (NTP); no entry is sent until it is right.",
    NoticeKind.RULES: "See whether the strategy's sizes and prices still fit the market.",
    NoticeKind.CODE: "Nothing, if you changed the strategy.",
    NoticeKind.DROPPED: "Look at the log; some notices were not sent.",
    NoticeKind.CHANGED: "Decide whether the signal that was sent on the old candle should be closed.",
    NoticeKind.DRIFT: "Look at the dashboard for what was not sent, and why; raise limits or lower the number of signals.",
    NoticeKind.SUMMARY: "Nothing.",
}
"""What each alarm wants of a person; a kind that is not here is no alarm."""


class Target(Protocol):
    """Where an alarm goes."""

    name: str
    """For people; nothing secret."""

    def send(self, title: str, text: str, notice: Notice) -> Delivery:
        """Try once, and say what became of it; it takes a while, and never raises."""


class Telling(Webhook):
    """An alarm as JSON: ``title``, ``text``, and the notice's own ``kind``, ``time``, ``sentence``, ``series``, ``over``."""

    def send(self, title: str, text: str, notice: Notice) -> Delivery:
        """Post it."""
        return self.post({"title": title, "text": text, **notice.to_dict()})


class Apprised(AppriseService):
    """An alarm through apprise."""

    def send(self, title: str, text: str, notice: Notice) -> Delivery:
        """Let apprise send it."""
        import apprise

        kind = apprise.NotifyType.INFO if notice.over else apprise.NotifyType.WARNING
        return self.notify(text, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)


def targets_from(environment: Mapping[str, str] | None = None) -> list[Target]:
    """Return where alarms go: the addresses in ``BACKTEST_ALERT_URL``.

    Parameters
    ----------
    environment
        None takes the process's own.

    Raises
    ------
    InvalidSettingError
        For an address that cannot be used; it is not shown.
    """
    urls = (os.environ if environment is None else environment).get(ALERT_URL, "").split()
    return [Telling(url) if url.partition(":")[0].lower() in {"http", "https"} else Apprised(url) for url in urls]


class Sent:
    """When each alarm was last sent, in a file beside the journal: a process that starts again and again sends it once.

    Parameters
    ----------
    path
        Of the file; None keeps it in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._lock = path, threading.Lock()
        self._times: dict[str, float] = {}
        with suppress(OSError, ValueError):
            found = json.loads(path.read_text("utf-8")) if path is not None else {}
            self._times = {str(k): float(v) for k, v in found.items()} if isinstance(found, dict) else {}

    @classmethod
    def beside(cls, journal: Path) -> Sent:
        """Return those of a journal."""
        path = journal.resolve()
        return cls(path.with_name(f"{path.name}.alerts"))

    def last(self, key: str) -> float:
        """Return when it was sent, seconds since 1970; minus infinity for never."""
        return self._times.get(key, -float("inf"))

    def note(self, key: str, moment: float) -> None:
        """Keep that it was sent; a disk that refuses is no reason to stay silent.

        Parameters
        ----------
        key
            Of the alarm.
        moment
            Seconds since 1970.
        """
        with self._lock:
            self._times[key] = moment
            self._times = {k: at for k, at in self._times.items() if at > moment - 7 * 86_400.0}
            if self._path is None:
                return
            with suppress(OSError):
                replace_private(self._path, json.dumps(self._times))


class Alerts:
    """Sends the alarms among the notices to each target; the same one again only after a while, with how often it came.

    Parameters
    ----------
    targets
        Where they go.
    settings
        Which kinds, and how long the same alarm waits.
    who
        Begins each title: mode and account.
    sent
        When what was sent before.
    log
        Hears, in a sentence, what could not be delivered.
    wall
        Returns seconds since 1970.
    waits
        Seconds before each try.
    remind_every
        Seconds between looks at what was held back.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        settings: AlertSettings,
        *,
        who: str = "",
        sent: Sent | None = None,
        log: Callable[[str], object] = lambda _: None,
        wall: Callable[[], float] = time.time,
        waits: Sequence[float] = _WAITS,
        remind_every: float = 5.0,
    ) -> None:
        self._remind_every = remind_every
        self._over = threading.Event()
        way = _Way(settings, who, sent or Sent(), log, self._over, wall, waits)
        self._lanes = [_Lane(one, way) for one in targets]
        self._thread = threading.Thread(target=self._remind, name="alerts", daemon=True)

    def follow(self, notices: Notices) -> None:
        """Hear what is told from now on: each target in a thread of its own."""
        for lane in self._lanes:
            notices.subscribe(lane.take)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()  # what is told after this is tried once

    def _remind(self) -> None:
        while not self._over.wait(self._remind_every):
            for lane in self._lanes:
                lane.remind()


@dataclass(frozen=True, slots=True)
class _Way:
    """What all lanes share; see :class:`Alerts`."""

    settings: AlertSettings
    who: str
    sent: Sent
    log: Callable[[str], object]
    over: threading.Event
    wall: Callable[[], float]
    waits: Sequence[float]


class _Lane:
    """What goes to one target."""

    def __init__(self, target: Target, way: _Way) -> None:
        self._target, self._way = target, way
        self._held: dict[str, tuple[Notice, int]] = {}
        """By alarm: the last one that was held back, and how many were."""
        self._lock = threading.Lock()

    def take(self, notice: Notice) -> None:
        """Send a notice if it is an alarm and was not sent just now."""
        if notice.kind not in WANTS or notice.kind in self._way.settings.leave_out:
            return
        key = self._key(notice)
        with self._lock:
            before = self._held.pop(key, (notice, 0))[1]
            if not self._is_due(key):
                self._held[key] = notice, before + 1
                return
            self._way.sent.note(key, self._way.wall())
        self._send(notice, before)

    def remind(self) -> None:
        """Send what was held back and whose time has come."""
        with self._lock:
            due = [key for key in self._held if self._is_due(key)]
            found = [self._held.pop(key) for key in due]
            for key in due:
                self._way.sent.note(key, self._way.wall())
        for notice, count in found:
            self._send(notice, count - 1)

    def _is_due(self, key: str) -> bool:
        return self._way.wall() - self._way.sent.last(key) >= self._way.settings.again_after

    def _key(self, notice: Notice) -> str:
        """Name the alarm: of one target, one kind, the same series."""
        about = ",".join(f"{s.exchange} {s.symbol} {s.timeframe}" for s in notice.series)
        return "|".join((self._target.name, notice.kind.value, "over" if notice.over else "", about))

    def _send(self, notice: Notice, before: int) -> None:
        title, text = worded(notice, self._way.who, before)
        found = Delivery()
        for wait in self._way.waits:
            if wait and self._way.over.wait(wait):
                break
            found = self._target.send(title, text, notice)
            if not found.failed:
                return
            if not found.again:
                break
        self._way.log(f"the alarm {notice.kind.value!r} could not be sent to {self._target.name}: {found.failed}")


def worded(notice: Notice, who: str, before: int = 0) -> tuple[str, str]:
    """Return title and text of an alarm.

    Parameters
    ----------
    notice
        What happened.
    who
        Begins the title.
    before
        How many like it were held back since the last one.
    """
    state = "over" if notice.over else ""
    title = " ".join(part for part in (who, notice.kind.value.replace("_", " "), state) if part)
    lines = [notice.sentence]
    if before:
        lines.append(f"{before} more like it came since the last one that was sent.")
    if not notice.over:
        lines.append(WANTS[notice.kind])
    return title, "\n".join(lines)


def tried(targets: Sequence[Target], who: str) -> list[tuple[str, str]]:
    """Send a test to each target, once; return the name of each with why it failed, or an empty string.

    Parameters
    ----------
    targets
        Where.
    who
        Begins the title.
    """
    notice = Notice(NoticeKind.STARTED, int(time.time() * 1000), "this is a test: alarms of this emission arrive here")
    return [(one.name, one.send(f"{who} test".strip(), notice.sentence, notice).failed) for one in targets]
