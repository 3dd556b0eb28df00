"""Attending: whoever watches over a running emission: log, alarms, the day's summary, the service manager."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from backtest.live.alerts import Alerts, Sent, targets_from
from backtest.live.clock import WallClock
from backtest.live.daily import Daily
from backtest.live.notices import NoticeKind, Notices
from backtest.live.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backtest.live.log import Log
    from backtest.live.settings import LiveSettings

__all__ = ["Attendance", "attended"]


class Attendance(NamedTuple):
    """What an emission is given.

    Attributes
    ----------
    notices
        Hear what a person should know.
    beat
        To be called after each pass of decisions.
    """

    notices: Notices
    beat: Callable[[], object]


@contextmanager
def attended(settings: LiveSettings, who: str, log: Log) -> Iterator[Attendance]:
    """Watch over an emission for as long as the ``with`` lasts; a start that fails is told like a stop.

    Parameters
    ----------
    settings
        Which alarms, and the journal.
    who
        Mode and account, for the titles of alarms.
    log
        Where every notice goes.

    Raises
    ------
    InvalidSettingError
        For an address of alarms that cannot be used.
    """
    targets, wall, watchdog = targets_from(), WallClock(), Watchdog()
    journal = settings.account.journal
    alerts = Alerts(targets, settings.alerts, who=who, sent=Sent.beside(journal), log=log.warning)
    with Notices() as notices:
        notices.subscribe(log.notice)
        alerts.follow(notices)
        with alerts, Daily(journal, notices, settings.alerts, wall.now):
            try:
                yield Attendance(notices, watchdog.beat)
            except Exception as error:
                if not any(notice.kind is NoticeKind.STOPPED for _, notice in notices.since()):
                    notices.tell(NoticeKind.STOPPED, wall.now(), f"emission did not start: {error}")
                raise
            finally:
                watchdog.stop()
