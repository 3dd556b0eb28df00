"""What may be wrong when live emission starts: one sentence, an exit status that says whose fault it is, nothing lost."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from backtest.live.journal import Journal
from backtest.live.schema import Run
from tests.candle_exchange import CandleExchange
from tests.command_line import BREAKOUT, ROOT, START, UNPRIVILEGED, Done, backtest, without_coverage
from tests.paper_room import KEY, SECRET, credentials, paper_room
from tests.raw_server import RawServer, answer, http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Wall:
    """This machine's time, as an exchange has it."""

    def steady(self) -> float:
        return time.time() * 1000.0


@pytest.fixture(scope="module")
def exchange() -> Iterator[str]:
    """An exchange that works, in a thread of its own."""
    ready, over, urls = threading.Event(), threading.Event(), list[str]()

    async def serve() -> None:
        async with CandleExchange(Wall()) as found:
            urls.append(found.url("binance"))
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30.0)
    yield urls[0]
    over.set()
    thread.join(10.0)


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANNY_API_KEY", KEY)
    monkeypatch.setenv("ANNY_API_SECRET", SECRET)


def arguments(url: str, journal: Path) -> list[object]:
    where = ["--market", "BTC/USDT", "--exchange", "binance", "--timeframe", "1m", "--paper"]
    return ["emit", BREAKOUT, *where, "--url", url, "--journal", journal]


def one_sentence(done: Done) -> str:
    """The only sentence that is an error; beside it stands the line of the log that says the same."""
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert [other for other in done.err.splitlines() if not other.startswith("{")] == [line], "no traceback"
    assert done.out == ""
    return line.removeprefix("error: ")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def nobody() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}/binance"


def test_no_network_at_the_start(tmp_path: Path) -> None:
    with nobody() as url:
        done = backtest(*arguments(url, tmp_path / "emit.sqlite"))
    assert done.status == 3
    assert "binance" in one_sentence(done)
    assert not (tmp_path / "emit.sqlite").exists()


def test_a_venue_that_answers_nonsense_at_the_start(
    exchange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nonsense in (http("200 OK", "<html>hello</html>"), b"nonsense\r\n\r\n", http("500 Oops", {"what": 1})):
        with RawServer(answer(nonsense, close=True)) as server:
            monkeypatch.setenv("ANNY_BASE_URL", server.url)
            done = backtest(*arguments(exchange, tmp_path / "emit.sqlite"))
        assert done.status in {2, 3}, done
        assert "venue" in one_sentence(done)
    with Journal(tmp_path / "emit.sqlite") as journal:
        journal.verify()
        assert journal.intents() == []


def test_a_venue_that_is_not_there(exchange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with nobody() as url:
        monkeypatch.setenv("ANNY_BASE_URL", url.removesuffix("/binance"))
        done = backtest(*arguments(exchange, tmp_path / "emit.sqlite"))
    assert done.status == 3
    assert "venue" in one_sentence(done)


def test_a_journal_of_another_account(exchange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "emit.sqlite"
    Journal(path, Run("paper", "0123456789abcdef", 0)).close()
    before = digest(path)
    with paper_room(tmp_path / "venue.sqlite") as url:
        monkeypatch.setenv("ANNY_BASE_URL", url)
        done = backtest(*arguments(exchange, path))
    assert done.status == 2
    assert "is the journal of account 0123456789abcdef, the key given is that of" in one_sentence(done)
    assert digest(path) == before


def test_a_journal_that_another_process_writes(exchange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "emit.sqlite"
    with paper_room(tmp_path / "venue.sqlite") as url, Journal(path, Run("paper", "0123456789abcdef", 0)):
        monkeypatch.setenv("ANNY_BASE_URL", url)
        done = backtest(*arguments(exchange, path))
    assert done.status == 2
    assert "writes the journal" in one_sentence(done)


@pytest.mark.parametrize("where", ["a-file/emit.sqlite", "/proc/emit.sqlite"])
def test_a_disk_that_takes_no_journal(
    where: str, exchange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").write_text("no folder")
    with paper_room(tmp_path / "venue.sqlite") as url:
        monkeypatch.setenv("ANNY_BASE_URL", url)
        done = backtest(*arguments(exchange, tmp_path / where))
    assert done.status in {2, 3}
    assert "emit.sqlite" in one_sentence(done)


def test_a_full_disk_at_the_start_keeps_what_was_there(exchange: str, tmp_path: Path) -> None:
    path = tmp_path / "emit.sqlite"
    with paper_room(tmp_path / "venue.sqlite") as url:
        environment = {**without_coverage(), "ANNY_BASE_URL": url}
        found = subprocess.run(
            [sys.executable, "-c", START, *map(str, arguments(exchange, path))],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
            check=False,
        )
    assert found.returncode == 3, found.stderr
    assert "emit.sqlite" in one_sentence(Done(found.returncode, found.stdout, found.stderr))


@pytest.mark.skipif(
    bool(UNPRIVILEGED) and shutil.which("setpriv") is None, reason="root writes everywhere without setpriv"
)
@pytest.mark.parametrize(("mode", "kept"), [("--paper", False), ("--paper", True), ("--live", True)])
def test_a_place_that_is_read_only(mode: str, kept: bool, exchange: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    path = place / "emit.sqlite"
    with paper_room(tmp_path / "venue.sqlite") as url:
        if kept:
            Journal(path, Run(mode.removeprefix("--"), credentials().fingerprint, 1)).close()
        before = {one.name: digest(one) for one in place.iterdir()}
        for one in place.iterdir():
            one.chmod(0o444)
        place.chmod(0o555)
        try:
            found = subprocess.run(
                [
                    *UNPRIVILEGED,
                    sys.executable,
                    "-c",
                    START,
                    *map(str, [*(mode if one == "--paper" else one for one in arguments(exchange, path))]),
                ],
                cwd=ROOT,
                env={**without_coverage(), "ANNY_BASE_URL": url, "ANNY_CONFIRM_ACCOUNT": credentials().fingerprint},
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
        finally:
            place.chmod(0o755)
    assert found.returncode == 3, found.stderr
    assert "Traceback" not in found.stderr
    if mode == "--paper":
        assert str(path) in one_sentence(Done(found.returncode, found.stdout, found.stderr))
    else:
        (line,) = [line for line in found.stdout.splitlines() if line.startswith("MISSING journal")]
        assert str(path) in line
        assert "error: live emission was not started, nothing was sent" in found.stderr
    assert {one.name: digest(one) for one in place.iterdir()} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_conditions_are_looked_at_says_that_nothing_was_sent(tmp_path: Path, number: int) -> None:
    asked = threading.Event()

    def silent(server: RawServer, _: socket.socket) -> None:
        asked.set()
        server.over.wait(60.0)

    path = tmp_path / "emit.sqlite"
    with RawServer(silent) as server:
        given = ["--live" if one == "--paper" else one for one in arguments(f"{server.url}/binance", path)]
        with subprocess.Popen(
            [sys.executable, "-c", START, *map(str, given)],
            cwd=ROOT,
            env={**without_coverage(), "ANNY_BASE_URL": server.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert asked.wait(60.0)
            process.send_signal(number)
            out, err = process.communicate(timeout=60.0)
    assert (process.returncode, out) == (0, "")
    assert err == "stopped while the conditions of going live were looked at; nothing was sent\n"
    assert not path.exists()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = backtest("venue", "--port", port, "--no-token", "--db", tmp_path / "venue.sqlite")
    assert done.status in {2, 3}
    assert str(port) in one_sentence(done)
