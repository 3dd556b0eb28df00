"""The wheel: built without a network, installed into an empty environment, and used there, away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command_line import HEAVY, ROOT, Done

WHEELHOUSE = ROOT / ".wheelhouse"
pytestmark = [
    pytest.mark.package,
    pytest.mark.skipif(not WHEELHOUSE.is_dir(), reason="NO WHEELHOUSE: say make setup, the wheel was not tried"),
]


@dataclass(frozen=True)
class Environment:
    """An environment of its own that holds the wheel and what it requires, and nothing of the checkout."""

    wheel: Path
    folder: Path

    def run(self, command: str, *arguments: str) -> Done:
        """Run a command of the environment in an empty folder; without numba's compiler, which would take a minute."""
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        return run(self.folder / "bin" / command, *arguments, cwd=elsewhere, NUMBA_DISABLE_JIT="1")


def run(*command: object, cwd: Path = ROOT, **more: str) -> Done:
    """Run a command that sees neither the checkout nor any index or setting of pip."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "COV_CORE_", "PIP_", "PYTHON"))}
    env = kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELHOUSE)} | more
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=cwd, env=env, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Build in isolation, the build backend out of the wheelhouse too, and install with everything that is required."""
    folder = tmp_path_factory.mktemp("package")
    pip = (sys.executable, "-m", "pip")
    built = run(*pip, "wheel", ".", "--quiet", "--no-deps", "--wheel-dir", folder / "dist")
    assert built.status == 0, built.err
    (wheel,) = (folder / "dist").iterdir()
    made = run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    assert made.status == 0, made.err
    python = folder / "venv" / "bin" / "python"
    # peewee comes as source alone, and nothing here uses what it would compile
    into = (*pip, "--python", python, "install", "--quiet", "--no-compile", wheel)
    installed = run(*into, NO_SQLITE="1")
    assert installed.status == 0, installed.err
    return Environment(wheel, folder / "venv")


def test_the_wheel_holds_the_package_the_sample_and_no_more(environment: Environment) -> None:
    names = zipfile.ZipFile(environment.wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "backtest",
        "-".join(environment.wheel.name.split("-")[:2]) + ".dist-info",
    }
    sample = {name.removeprefix("backtest/_sample/") for name in names if name.startswith("backtest/_sample/")}
    committed = {
        file.relative_to(ROOT / "data" / "sample").as_posix() for file in (ROOT / "data" / "sample").rglob("*.*")
    }
    assert sample == committed | {"breakout.py"}
    assert "backtest/py.typed" in names
    licences = {Path(name).name for name in names if "/licenses/" in name}
    assert licences == {
        "LICENSE",
        "README.md",
        "LICENSE-lightweight-charts.txt",
        "NOTICE-lightweight-charts.txt",
    }
    assets = {
        name.removeprefix("backtest/report/chart/assets/")
        for name in names
        if name.startswith("backtest/report/chart/assets/")
    }
    assert {"lightweight-charts.js", "data.js", "marks.js", "chart.js", "chart.css"} <= assets


def test_it_is_the_wheel_that_is_tried(environment: Environment) -> None:
    done = environment.run("python", "-c", "import backtest; print(backtest.__file__)")
    assert (done.status, done.err) == (0, "")
    assert Path(done.out.strip()).is_relative_to(environment.folder)


def test_the_help_needs_no_more_than_is_required(environment: Environment) -> None:
    done = environment.run("backtest", "--help")
    assert (done.status, done.err) == (0, "")
    assert "demo" in done.out


def test_importing_the_installed_package_loads_nothing_heavy(environment: Environment) -> None:
    code = f"import sys, backtest\nprint(sorted(name for name in {HEAVY!r} if name in sys.modules))"
    assert environment.run("python", "-c", code) == Done(0, "[]\n", "")


def test_every_public_name_is_there(environment: Environment) -> None:
    code = "import backtest\nfor name in backtest.__all__:\n    getattr(backtest, name)"
    assert environment.run("python", "-c", code) == Done(0, "", "")


def test_the_demo_runs_on_the_sample_of_the_wheel(environment: Environment) -> None:
    done = environment.run("backtest", "demo")
    assert (done.status, done.err) == (0, "")
    out = environment.folder / "elsewhere" / "out" / "demo"
    assert done.out.rstrip().endswith("report  out/demo/report.html")
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert manifest["strategy"]["name"] == "Breakout"
    assert (out / "report.html").stat().st_size > 10_000
    assert len((out / "calls.jsonl").read_text("utf-8").splitlines()) > 100


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("venue", "--port", "0"), "live"),
        (("emit", "status"), "live"),
        (("fetch", "BTC/USDT", "--exchange", "binance", "--timeframe", "1h", "--since", "2024-01-01"), "exchange"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value,
)
def test_what_an_extra_brings_is_named_without_it(
    arguments: tuple[str, ...], extra: str, environment: Environment
) -> None:
    done = environment.run("backtest", *arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert done.err.endswith(f'pip install "signal-backtest[{extra}]"\n')
    assert done.err.count("\n") == 1
