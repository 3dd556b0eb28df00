"""Failpoint: where a rehearsal kills this process, named in ``BACKTEST_FAILPOINT``; nothing happens without it.

``K7`` kills at the first time that the point is reached, ``K7:takeprofit`` for a call of that kind, ``K7:takeprofit:3``
at the third time. The points are those of the documentation of live emission, in the order of one call:

K0 evaluated, before the plan is kept; K1 planned; K2 before the attempt is kept; K3 attempt kept, before connecting; K4
connected; K5 half of the body sent; K6 sent; K7 the answer is there, unread; K8 half of it read; K9 read, before the
outcome is kept; K10 outcome kept; K11 in the recovery; K12 in the decision of a person. K13 kills nothing: from there
on the disk is full.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import threading
from typing import TYPE_CHECKING, Any

import httpcore

from backtest.venue.deadline import DeadlineBackend

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["POINTS", "VARIABLE", "about", "arm", "hit", "network_backend"]

VARIABLE = "BACKTEST_FAILPOINT"
POINTS = tuple(f"K{number}" for number in range(14))


class _Armed:
    """What was asked for."""

    def __init__(self, text: str) -> None:
        self.point, _, rest = text.partition(":")
        self.kind, _, times = rest.partition(":")
        self.left = int(times or 1)


class _Sending(threading.local):
    """Which kind of call this thread has on its way."""

    kind = ""


_sending = _Sending()
_armed = _Armed(os.environ.get(VARIABLE, ""))


def arm(text: str) -> None:
    """Arm a point in this process, as the variable does at its start."""
    _armed.__init__(text)  # type: ignore[misc]


def about(kind: str) -> None:
    """Say which kind of call the next points of this thread are about."""
    _sending.kind = kind


def hit(point: str, kinds: Iterable[str] | None = None) -> None:
    """Reach a point: the end of this process, if it is the armed one."""
    if _armed.point == point and _due({_sending.kind} if kinds is None else set(kinds)):
        if point == "K13":
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            return
        os.kill(os.getpid(), signal.SIGKILL)


def _due(kinds: set[str]) -> bool:
    if _armed.kind and _armed.kind not in kinds:
        return False
    _armed.left -= 1
    return _armed.left == 0


def network_backend() -> DeadlineBackend:
    """Return how the client connects: with the points K4 to K8 in the way, where one of them is armed."""
    return _Backend() if _armed.point in {"K4", "K5", "K6", "K7", "K8"} else DeadlineBackend()


class _Backend(DeadlineBackend):
    def connect_tcp(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
        return _Stream(super().connect_tcp(*args, **options))


class _Stream(httpcore.NetworkStream):
    """One connection; headers are its first write of a request, the body its second."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self._writes = 0

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._writes += 1
        if self._writes == 1:
            hit("K4")
        elif self._writes == 2 and _armed.point == "K5":
            self._inner.write(buffer[: len(buffer) // 2], timeout)
            hit("K5")
            buffer = buffer[len(buffer) // 2 :]
        self._inner.write(buffer, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._writes = 0
        hit("K6")
        if _armed.point == "K7":
            select.select([self._inner.get_extra_info("socket")], [], [], timeout)
            hit("K7")
        if _armed.point == "K8":
            max_bytes = 60
        found = self._inner.read(max_bytes, timeout)
        hit("K8")
        return found

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
