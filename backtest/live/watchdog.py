"""Watchdog: tells systemd that emission is ready, goes on, or stops; it restarts what falls silent."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Watchdog"]


class Watchdog:
    """Speaks to ``$NOTIFY_SOCKET``; without one every method does nothing.

    ``beat`` is called by the loop that decides, after a pass and never from a thread of its own: a loop that hangs is
    restarted, whatever else in the process is well.

    Parameters
    ----------
    environment
        ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``; None takes the process's own.
    steady
        Returns seconds.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, steady: Callable[[], float] = time.monotonic
    ) -> None:
        found = os.environ if environment is None else environment
        self._address, self._steady = found.get("NOTIFY_SOCKET", ""), steady
        mine = found.get("WATCHDOG_PID") in {None, "", str(os.getpid())}
        micro = found.get("WATCHDOG_USEC", "")
        self._every = int(micro) / 4e6 if mine and micro.isdigit() else 0.0
        """Seconds between two words: a quarter of what systemd waits for; 0 where it waits for none."""
        self._last = -float("inf")
        self._ready = False

    def beat(self) -> None:
        """Say that a pass was made; the first one says that emission is ready."""
        if not self._ready:
            self._ready = True
            self._say("READY=1", "STATUS=emitting")
        now = self._steady()
        if self._every and now - self._last >= self._every:
            self._last = now
            self._say("WATCHDOG=1")

    def stop(self) -> None:
        """Say that it ends on purpose."""
        self._say("STOPPING=1", "STATUS=waiting for the calls on their way")

    def _say(self, *words: str) -> None:
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            # a manager that does not read must not hold up a decision
            sender.sendto("\n".join(words).encode(), socket.MSG_DONTWAIT, name)
