"""Log: the sentences of a running emission, coloured in a terminal, as lines of JSON in a service."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import structlog

from backtest.live.notices import NoticeKind

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from typing import TextIO

    from backtest.live.notices import Notice
    from backtest.venue.redaction import Redactor

__all__ = ["Log"]

_BAD = frozenset({NoticeKind.UNKNOWN, NoticeKind.CREDENTIALS, NoticeKind.RAISED, NoticeKind.CHANGED})
_PLAIN = frozenset({NoticeKind.STARTED, NoticeKind.STOPPED, NoticeKind.CODE, NoticeKind.SUMMARY})


class Log:
    """Writes one line for each thing that happens.

    Parameters
    ----------
    file
        Where to; standard error by default.
    redactor
        Takes secrets out of every line.
    coloured
        For a person, and not as JSON; None for a terminal only.
    """

    def __init__(
        self, file: TextIO | None = None, redactor: Redactor | None = None, *, coloured: bool | None = None
    ) -> None:
        out = file or sys.stderr
        is_terminal = out.isatty() if coloured is None else coloured
        self._redactor = redactor
        stamp = structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S" if is_terminal else "iso", utc=not is_terminal)
        shown: Any = (
            structlog.dev.ConsoleRenderer(colors=True, pad_event_to=0)
            if is_terminal
            else structlog.processors.JSONRenderer(ensure_ascii=False)
        )
        self._line = structlog.wrap_logger(
            structlog.PrintLogger(out),
            processors=[structlog.processors.add_log_level, stamp, self._clean, shown],
            wrapper_class=structlog.BoundLogger,
        )
        self._is_terminal = is_terminal

    def notice(self, notice: Notice) -> None:
        """Write a notice; for :meth:`backtest.live.notices.Notices.subscribe`."""
        series = [f"{one.exchange} {one.symbol} {one.timeframe}" for one in notice.series]
        more: dict[str, Any] = {"kind": notice.kind.value}
        if series and not self._is_terminal:
            more["series"] = series
        if notice.over:
            more["over"] = True
        self._level(notice)(notice.sentence, **more)

    def warning(self, sentence: str) -> None:
        """Write what went wrong beside emission."""
        self._line.warning(sentence)

    def info(self, sentence: str, **more: Any) -> None:
        """Write what may be good to know."""
        self._line.info(sentence, **more)

    def _level(self, notice: Notice) -> Callable[..., Any]:
        if notice.over or notice.kind in _PLAIN:
            return self._line.info  # type: ignore[no-any-return]
        return self._line.error if notice.kind in _BAD else self._line.warning  # type: ignore[no-any-return]

    def _clean(self, _: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Take secrets, and what would steer a terminal, out of every text."""
        for name, value in line.items():
            if isinstance(value, str):
                text = self._redactor.clean(value) if self._redactor is not None else value
                line[name] = "".join(c if c.isprintable() else " " for c in text)
        return line
