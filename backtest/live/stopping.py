"""Stopping: a first Ctrl-C or SIGTERM ends emission after the call that is on its way, a second one at once."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["interrupted_by_signal", "stopped_by_signal"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupted_by_signal() -> Iterator[None]:
    """Let both signals end what only looks, with ``KeyboardInterrupt``; outside the main thread they are nobody's."""

    def hear(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _heard_by(hear):
        yield


@contextmanager
def _heard_by(hear: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, hear) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopped_by_signal() -> Iterator[threading.Event]:
    """Give an event that the first signal sets; nothing is interrupted by it, so that no outcome is lost.

    What is on its way at the second one is found ``sending`` at the next start. Outside the main thread, which alone hears
    signals, the event is nobody's. The main thread asks the event and never waits for it: a signal that found it there,
    with the event's lock in its hand, would wait for itself.
    """
    stop, heard = threading.Event(), list[int]()

    def hear(number: int, _: FrameType | None) -> None:
        heard.append(number)
        if len(heard) > 1:  # the event may be not set yet: this can be within the first one's call
            os._exit(128 + number)
        stop.set()

    with _heard_by(hear):
        yield stop
