"""``backtest venue`` as processes of their own: the token, the ledger and the port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from backtest.venue.serving import listen
from tests.command_line import ROOT, backtest
from tests.paper_room import KEY, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest


@contextmanager
def served(folder: Path, *options: str) -> Iterator[list[str]]:
    """Start a venue and give the lines up to its address, from which it is reached."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "COV_CORE_", "ANNY_"))}
    env |= {"PYTHONPATH": str(ROOT), "ANNY_API_KEY": KEY, "ANNY_API_SECRET": SECRET}
    command = [sys.executable, "-u", "-m", "backtest", "venue", "--port", "0", "--db", str(folder / "db"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=env) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline().strip()]
        while lines[-1] and not lines[-1].startswith("paper venue at "):
            lines.append(server.stdout.readline().strip())
        yield lines
        server.send_signal(signal.SIGINT)
        assert server.wait(120) in {0, 130}


def clock(lines: list[str], token: str | None) -> int | list[Any]:
    """Return the status of a refusal, or how far the candles are."""
    url = f"{lines[-1].split()[3].rstrip(',')}/paper/clock"
    try:
        with urlopen(Request(url, headers={} if token is None else {"paper-token": token})) as answer:
            found: list[Any] = json.load(answer)["clock"]
            return found
    except HTTPError as error:
        with error:
            return error.code


def test_a_token_is_made_where_none_is_set_and_a_ledger_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path) as lines:
        made = lines[0].removeprefix("export ANNY_PAPER_TOKEN=")
        assert len(made) == 32
        assert (clock(lines, None), clock(lines, made[:-1]), clock(lines, made)) == (403, 403, [])
        for name, value in (("ANNY_API_KEY", KEY), ("ANNY_API_SECRET", SECRET), ("ANNY_PAPER_TOKEN", "mine")):
            monkeypatch.setenv(name, value)
        (tmp_path / "same").symlink_to(tmp_path / "db")
        second = backtest("venue", "--port", "0", "--db", tmp_path / "same")
        assert (second.status, second.out) == (2, "")
        assert second.err.startswith(f"error: another process writes the ledger {tmp_path / 'same'}; ")


def test_no_token_is_said_or_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path, "--no-token") as lines:
        assert len(lines) == 1
        assert clock(lines, None) == []
    for name, value in (("ANNY_API_KEY", KEY), ("ANNY_API_SECRET", SECRET)):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ANNY_PAPER_TOKEN", raising=False)
    opened = backtest("venue", "--host", "0.0.0.0", "--no-token", "--db", tmp_path / "db")
    assert (opened.status, opened.out) == (2, "")
    assert "0.0.0.0 is open to others" in opened.err
    monkeypatch.setenv("ANNY_PAPER_TOKEN", "mine")
    both = backtest("venue", "--no-token", "--db", tmp_path / "db")
    assert (both.status, "--no-token was said and ANNY_PAPER_TOKEN is set" in both.err) == (2, True)


def test_a_port_in_use_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ANNY_API_KEY", KEY), ("ANNY_API_SECRET", SECRET), ("ANNY_PAPER_TOKEN", "mine")):
        monkeypatch.setenv(name, value)
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = backtest("venue", "--port", port, "--db", tmp_path / "db")
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith(f"error: cannot serve on 127.0.0.1:{port}: ")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "db").exists()
