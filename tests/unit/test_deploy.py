"""The files to deploy with: the unit as systemd reads it, the Containerfile by a parse of its own, the page by its table."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backtest.live.alerts import WANTS
from tests.command_line import ROOT, backtest

DEPLOY = ROOT / "docs" / "deploy"
UNIT = (DEPLOY / "signal-backtest.service").read_text("utf-8")
CONTAINER = (DEPLOY / "Containerfile").read_text("utf-8")
KNOWN = {
    *("FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"),
    *("ENTRYPOINT", "CMD"),
}


def instructions() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, lines that go on put together."""
    kept = [line for line in CONTAINER.splitlines() if line.strip() and not line.startswith("#")]
    whole = "\n".join(kept).replace("\\\n", " ")
    stages: list[list[tuple[str, str]]] = []
    for line in whole.splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest.strip()))
    return stages


def options_of(words: list[str]) -> set[str]:
    return {word for word in words if word.startswith("--")}


def offered() -> set[str]:
    """The options that ``backtest emit`` knows."""
    return set(re.findall(r"--[a-z-]+", backtest("emit", "--help").out))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="NO SYSTEMD: the unit was not verified")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "signal-backtest.service"
    unit.write_text(UNIT.replace("/opt/signal-backtest/bin/backtest", str(Path(sys.executable).parent / "backtest")))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    mine = [line for line in done.stderr.splitlines() if "signal-backtest" in line]
    assert mine == []
    assert done.returncode == 0, done.stderr


def test_the_unit_restarts_what_hangs_and_holds_little() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # systemd's names have capitals
    unit.read_string(UNIT)
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert int(service["WatchdogSec"]) >= 20  # a close with a paper venue waits up to 20 s for the sender
    assert int(service["TimeoutStopSec"]) > 20  # the deadline of a call
    assert service["Restart"] == "on-failure"
    assert service["ProtectSystem"] == "strict"
    assert "MemoryDenyWriteExecute" not in service  # the engine is compiled
    words = shlex.split(service["ExecStart"])
    assert options_of(words) <= offered()
    assert not re.search(r"(?m)^Environment=.*(KEY|SECRET|TOKEN|URL)=", UNIT)


def test_the_container_is_not_root_and_keeps_the_journal_on_a_volume() -> None:
    *_, last = instructions()
    names = [name for name, _ in last]
    assert {name for stage in instructions() for name, _ in stage} <= KNOWN
    users = [rest for name, rest in last if name == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "RUN" not in names[names.index("USER") :]
    (volume,) = [json.loads(rest) for name, rest in last if name == "VOLUME"]
    (entry,) = [json.loads(rest) for name, rest in last if name == "ENTRYPOINT"]
    (command,) = [json.loads(rest) for name, rest in last if name == "CMD"]
    assert entry == ["backtest"]
    assert command[0] == "emit"
    assert options_of(command) <= offered()
    assert Path(command[command.index("--journal") + 1]).parent == Path(volume[0])


def test_the_container_builds_from_what_is_there_and_holds_no_secret() -> None:
    stages = instructions()
    made = {rest.partition(" AS ")[2] for name, rest in (stage[0] for stage in stages)}
    for name, rest in (each for stage in stages for each in stage):
        if name == "FROM":
            assert ":" in rest.partition(" ")[0]  # which version
        if name == "COPY" and rest.startswith("--from="):
            assert rest.removeprefix("--from=").partition(" ")[0] in made
        elif name == "COPY":
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), rest
        if name == "RUN":
            checked = subprocess.run(["sh", "-n", "-c", rest], capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stderr
        if name == "ENV":
            assert not re.search(r"(KEY|SECRET|TOKEN|URL)=", rest)
        if name == "HEALTHCHECK":
            program = json.loads(rest.partition(" CMD ")[2])
            compile(program[2], "healthcheck", "exec")
    extras = re.search(r"'\.\[([a-z,]+)\]'", CONTAINER)
    assert extras is not None
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    assert all(re.search(rf"(?m)^{extra} = \[", pyproject) for extra in extras[1].split(","))


def test_the_page_says_what_each_alarm_wants() -> None:
    page = (ROOT / "docs" / "going-live.md").read_text("utf-8")
    said = {name for row in re.findall(r"(?m)^\| (`[a-z`, ]+) \|", page) for name in re.findall(r"`([a-z]+)`", row)}
    assert said == {kind.value for kind in WANTS}
