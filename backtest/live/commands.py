"""Commands: what a person asks of a running emitter, through a socket beside the journal that only its owner may use.

One line of JSON asks, one line answers. Where no emitter runs, nobody listens, and whoever asks writes the journal
himself.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from backtest.errors import BacktestError, InvalidSettingError, StorageError, VenueUnavailableError
from backtest.live.clock import WallClock
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.notices import NoticeKind
from backtest.live.person import Canceled, canceled, plan_cancels, resolve, stop_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from backtest.live.sender import Sender

__all__ = ["Commands", "ask", "resolved", "socket_of"]

_LONGEST_PATH, _MOST_BYTES = 100, 65_536
_SECONDS, _LEAVE_SECONDS = 600.0, 5.0
_WAITING = (State.PLANNED, State.SENDING)


class Commands:
    """Takes ``resolve``, ``cancel-all`` and ``stop-entries`` while the emitter runs; answers ``state`` and ``notices``.

    ``{"do": "state"}`` is answered with :meth:`backtest.live.loop.Loop.state`, ``{"do": "notices", "after": 0}`` with the
    last notices, each with its ``number``, behind that number.

    Parameters
    ----------
    sender
        Running, on the journal that is meant.
    account
        Fingerprint of the key, for the cancels.
    state
        Returns what is known beside the journal.
    """

    def __init__(self, sender: Sender, account: str, state: Callable[[], dict[str, Any]] = dict) -> None:
        self._sender, self._account, self._state = sender, account, state
        self._journal = sender.emitter.journal
        self._path = socket_of(self._journal.path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._over = threading.Event()
        self._answering: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._serve, name="commands", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._path.unlink(missing_ok=True)  # of an emitter that was killed: the journal's lock is ours
            with _address(self._path) as address:
                self._listener.bind(address)
            self._path.chmod(0o600)
            self._listener.listen(4)
        except OSError as error:
            raise StorageError(f"the socket {self._path} cannot be made: {error.strerror or error}") from None
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(2.0)
        end = time.monotonic() + _LEAVE_SECONDS
        for each in self._answering:  # the journal is closed behind this
            each.join(max(0.0, end - time.monotonic()))
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._answering = [each for each in self._answering if each.is_alive()]
            self._answering.append(threading.Thread(target=self._answer, args=(connection,), daemon=True))
            self._answering[-1].start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10.0)
            if _user(connection) != os.geteuid():
                return
            try:
                found = self._do(json.loads(_line(connection)))
            except BacktestError as error:
                found = {"error": str(error), "exit": error.exit_status}
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                found = {"error": f"no command: {error}", "exit": 2}
            connection.settimeout(10.0)
            connection.sendall(json.dumps(found).encode() + b"\n")

    def _do(self, asked: dict[str, Any]) -> dict[str, Any]:
        now, command = self._sender.emitter.wall(), asked["do"]
        if command == "resolve":
            found = resolve(self._journal, asked["intent"], State(asked["state"]), now, asked.get("parent"))
            self._sender.wake()
            sentence = f"{found.kind} of {found.ref} is {asked['state']}: a person decided"
            self._sender.emitter.notices.tell(NoticeKind.UNKNOWN, now, sentence, over=True)
            left = len(self._journal.intents(State.UNKNOWN))
            return {"kind": found.kind, "id": found.id, "ref": found.ref, "unknown": left}
        if command == "cancel-all":
            return {"canceled": [asdict(one) for one in self._cancel_all(now, ended=bool(asked.get("ended")))]}
        if command == "stop-entries":
            path = stop_entries(self._journal.path, stop=bool(asked["stop"]))
            self._sender.wake()
            return {"file": str(path)}
        if command == "state":
            return self._state()
        if command == "notices":
            told = self._sender.emitter.notices.since(int(asked.get("after", 0)))
            return {"notices": [{"number": number, **notice.to_dict()} for number, notice in told]}
        known = "resolve, cancel-all, stop-entries, state and notices"
        raise InvalidSettingError(f"the emitter takes {known}, was {command!r}")

    def _cancel_all(self, now: int, *, ended: bool) -> list[Canceled]:
        rows = plan_cancels(self._journal, self._account, now, ended=ended, max_lag=self._sender.emitter.client.max_lag)
        end = time.monotonic() + 60.0 * (2 + len(rows) // self._sender.emitter.settings.per_minute)
        while True:
            self._sender.wait(1.0)
            found = canceled(self._journal, rows)
            if not any(one.state in _WAITING for one in found) or time.monotonic() > end or self._over.wait(0.05):
                return found


def ask(journal: Path, *, seconds: float = _SECONDS, **command: Any) -> dict[str, Any] | None:
    """Ask the emitter that runs on a journal; None where none does.

    Parameters
    ----------
    journal
        Path of the journal.
    seconds
        How long its answer may take.
    command
        ``do="resolve"`` and so on.

    Raises
    ------
    InvalidSettingError
        What the emitter refused.
    VenueUnavailableError
        Where it listens but does not answer.
    """
    path = socket_of(journal)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        try:
            with _address(path) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise StorageError(f"the socket {path} cannot be used: {error.strerror}") from None
        try:
            connection.sendall(json.dumps(command).encode() + b"\n")
            found = json.loads(_line(connection))
        except (OSError, ValueError):
            raise VenueUnavailableError(f"the emitter at {path} did not answer; look at emit status") from None
    if "error" in found:
        raise InvalidSettingError(found["error"])
    return dict(found)


def resolved(journal: Path, intent: str, state: State, parent: str | None = None) -> dict[str, Any]:
    """Keep a person's decision about an unknown, whether an emitter runs or not; return what was decided.

    Parameters
    ----------
    journal
        Path of the journal.
    intent, state, parent
        See :func:`backtest.live.person.resolve`.

    Raises
    ------
    InvalidSettingError
        Where there is no such unknown, or the name belongs to another signal.
    """
    done = ask(journal, do="resolve", intent=intent, state=state.value, parent=parent)
    if done is not None:
        return done
    now = WallClock().now()
    with Journal.reopen(journal, now) as book:
        book.recover(now)
        found = resolve(book, intent, state, now, parent)
        unknown = len(book.intents(State.UNKNOWN))
    return {"kind": found.kind, "id": found.id, "ref": found.ref, "unknown": unknown}


def socket_of(journal: Path) -> Path:
    """Return the socket beside a journal."""
    path = journal.resolve()
    return path.with_name(f"{path.name}.sock")


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Give a name of a socket that the system takes: a long path is reached through its folder."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _line(connection: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\n") and len(found) < 64 * _MOST_BYTES:
        piece = connection.recv(_MOST_BYTES)
        if not piece:
            break
        found += piece
    return found


def _user(connection: socket.socket) -> int:
    """Return who is at the other end."""
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(user)
