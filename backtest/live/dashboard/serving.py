"""Serving: the dashboard in this process, and as a child of an emitter that it can neither slow nor crash."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError
from backtest.live.dashboard.app import dashboard_app
from backtest.live.dashboard.gate import TOKEN, Gate
from backtest.live.dashboard.reading import Reading
from backtest.venue.credentials import without_credentials
from backtest.venue.serving import PaperServer, listen

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["PORT", "Beside", "address_of", "serve_dashboard"]

PORT = 8799
_AGAIN_SECONDS = 5.0
_END_SECONDS = 5.0


def address_of(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``, ``PORT`` or ``HOST``.

    Raises
    ------
    InvalidSettingError
        For anything else.
    """
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = ("127.0.0.1", text) if text.isdigit() else (text, str(PORT))
    if not port.isdigit() or int(port) > 65_535 or not host:
        raise InvalidSettingError(f"the dashboard's address is HOST:PORT such as 127.0.0.1:{PORT}, was {text!r}")
    return host.strip("[]"), int(port)


def serve_dashboard(path: Path, listener: socket.socket, gate: Gate, *, lives_with: int | None = None) -> None:
    """Serve until a signal ends it.

    Parameters
    ----------
    path
        Of the journal.
    listener
        Bound already.
    gate
        Who may look.
    lives_with
        A file descriptor whose end is the end of the dashboard too; None for none.
    """
    reading = Reading(path)
    server = PaperServer(dashboard_app(reading, gate), listener)
    if lives_with is not None:
        threading.Thread(target=_end_with, args=(lives_with,), daemon=True).start()
    try:
        server.run()
    finally:
        reading.close()


def _end_with(descriptor: int) -> None:
    with suppress(OSError):
        os.read(descriptor, 1)
    os._exit(0)


class Beside:
    """The dashboard in a process of its own beside an emitter; one that ends is started again.

    Parameters
    ----------
    path
        Of the journal.
    address
        ``HOST:PORT``.
    names
        Other names that lead there, through a proxy.
    warn
        Hears when the process ended.

    Raises
    ------
    InvalidSettingError
        For an address that others can reach, without a token.
    StorageError
        Where the address is taken.
    """

    def __init__(
        self, path: Path, address: str, names: Collection[str] = (), warn: Callable[[str], object] = lambda _: None
    ) -> None:
        host, port = address_of(address)
        self.gate = Gate(host, os.environ.get(TOKEN) or None, names)
        self._path, self._names, self._warn = path, names, warn
        self._listener = listen(host, port)
        served = self._listener.getsockname()
        self.url = f"http://[{served[0]}]:{served[1]}" if ":" in served[0] else f"http://{served[0]}:{served[1]}"
        self._host = host
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="dashboard", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for end in ("terminate", "kill"):  # the address must be free for whoever starts next
            process = self._process
            if process is not None and process.poll() is None:
                getattr(process, end)()
            self._thread.join(_END_SECONDS)
        self._listener.close()

    def _keep(self) -> None:
        while not self._over.is_set():
            ended = self._run()
            if not self._over.is_set():
                self._warn(f"the dashboard ended with status {ended}; it is started again")
                self._over.wait(_AGAIN_SECONDS)

    def _run(self) -> int:
        own = [f"--name={name}" for name in self._names]
        host = f"[{self._host}]" if ":" in self._host else self._host
        command = [sys.executable, "-m", "backtest", "dashboard", str(self._path), "--listen", host, *own]
        number = self._listener.fileno()
        with subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--socket", str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**without_credentials(), TOKEN: self.gate.token},
            pass_fds=(number,),
            start_new_session=True,
        ) as process:
            self._process = process
            if self._over.is_set():  # it ended while this one was made
                process.kill()
            return process.wait()
