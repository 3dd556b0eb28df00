"""Posting: the process that makes the posts beside an emission, started with it, started again where it fails."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from backtest.live.posts import Way
from backtest.venue.credentials import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from backtest.live.settings import LiveSettings

__all__ = ["Posting"]

_AGAIN_SECONDS = 60.0
_END_SECONDS = 30.0


class Posting:
    """Makes posts for as long as the ``with`` lasts, in a process of its own that only reads the journal.

    Emission shares nothing with it: a target that hangs, a picture that takes long or a crash there is not noticed here. Its
    standard input ends when this process does, however that ends, and then it makes the last posts and ends too.

    Parameters
    ----------
    settings
        Of the emission; without a folder and an address nothing is started.
    arguments
        Of ``backtest emit post``, with which it finds the same settings.
    tell
        Hears that the process has failed.

    Raises
    ------
    InvalidSettingError
        For a template with an error, or an address that cannot be used: at the start, not in the night.
    """

    def __init__(self, settings: LiveSettings, arguments: Sequence[str], tell: Callable[[str], object]) -> None:
        self._arguments = [sys.executable, "-m", "backtest", "emit", "post", "--follow", *arguments]
        self._tell, self._over = tell, threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="posting", daemon=True)
        self._wanted = bool(Way.of(settings.posts).targets)

    def __enter__(self) -> Self:
        if self._wanted:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if not self._wanted:
            return
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
        self._thread.join(_END_SECONDS)
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()

    def _watch(self) -> None:
        while not self._over.is_set():
            with self._lock:
                if self._over.is_set():  # else nobody would end what begins now
                    return
                self._process = self._start()
            if self._process is not None:
                self._process.wait()
            if self._over.is_set():
                return
            status = "could not be started" if self._process is None else f"ended with {self._process.returncode}"
            self._tell(f"the process that makes posts {status}; it is started again in {_AGAIN_SECONDS:.0f} s")
            self._over.wait(_AGAIN_SECONDS)

    def _start(self) -> subprocess.Popen[bytes] | None:
        try:
            return subprocess.Popen(  # noqa: S603 - ourselves, with the arguments of this process
                self._arguments, stdin=subprocess.PIPE, env=without_credentials(), start_new_session=True
            )
        except OSError:
            return None
