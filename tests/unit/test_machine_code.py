"""Machine code: what numba compiled once is called by later processes without it, and damaged files are made again."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from backtest.engine.warm import warm
from backtest.model.machine_code import function_of
from tests.command_line import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="nothing is compiled without numba's compiler"
)
FIRST_RESULT = """
import sys
from backtest import Candles, run
from backtest.model.sound import passed
from strategies.breakout import Breakout

candles = Candles.sample("BTC/USD", "1d")
assert passed([getattr(candles, name) for name in ("time", "open", "high", "low", "close", "volume")], 1)[0]
result = run(Breakout(lookback=5), candles)
print(result.total_return, bool(result.stats), len(result.trades), sorted({"numba", "scipy", "matplotlib"} & set(sys.modules)))
"""


def first_result(**env: str) -> str:
    """Return what a process of its own says of a run, coverage left out: it would import more."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "COV_CORE_"))}
    command = [sys.executable, "-c", FIRST_RESULT]
    done = subprocess.run(
        command, capture_output=True, text=True, env=kept | {"PYTHONPATH": str(ROOT)} | env, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_first_result_needs_no_compiler_once_the_engine_is_compiled() -> None:
    warm()
    first_result()  # the candles' own pass may be compiled here
    assert first_result().endswith("[]")


def adding(first: int, second: int) -> int:
    return first + second


def halving(first: int, odd: bool) -> float:
    return first / 2 if odd else 0.5


def leaving(first: int) -> None:
    first + 1


def refusing(first: int) -> int:
    if first < 0:
        raise ValueError
    return first


def made(function: Any, *takes: str) -> tuple[Any, Sequence[str]]:
    from numba import njit

    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)(function), takes  # type: ignore[call-overload]


def never() -> tuple[Any, Sequence[str]]:
    raise AssertionError("compiled again")


def test_a_function_takes_and_gives_numbers(tmp_path: Path) -> None:
    add = function_of("add", tmp_path, lambda: made(adding, "int64", "int64"))
    assert add(40, 2) == 42
    assert add(-(2**62), -1) == -(2**62) - 1
    half = function_of("half", tmp_path, lambda: made(halving, "int64", "boolean"))
    assert (half(3, True), half(3, False)) == (1.5, 0.5)
    assert function_of("leave", None, lambda: made(leaving, "int64"))(1) is None


@pytest.mark.parametrize("given", [(1,), (1, 2, 3), (1, 2.0), ("1", 2), (1, None)])
def test_other_arguments_are_refused(tmp_path: Path, given: tuple[object, ...]) -> None:
    add = function_of("add", tmp_path, lambda: made(adding, "int64", "int64"))
    with pytest.raises(TypeError):
        add(*given)
    with pytest.raises(OverflowError):
        add(2**63, 1)


def test_what_is_kept_is_not_compiled_again(tmp_path: Path) -> None:
    function_of("add", tmp_path, lambda: made(adding, "int64", "int64"))
    assert function_of("add", tmp_path, never)(1, 2) == 3


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:0], lambda data: data[:-1] + b"x"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: Any) -> None:
    function_of("add", tmp_path, lambda: made(adding, "int64", "int64"))
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert function_of("add", tmp_path, lambda: made(adding, "int64", "int64"))(1, 2) == 3
    assert function_of("add", tmp_path, never)(1, 2) == 3


def test_another_compiler_finds_nothing_of_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backtest.model import machine_code

    function_of("add", tmp_path, lambda: made(adding, "int64", "int64"))
    monkeypatch.setattr(machine_code, "version", lambda package: f"{package} of tomorrow")
    machine_code._machine.cache_clear()
    with pytest.raises(AssertionError, match="compiled again"):
        function_of("add", tmp_path, never)
    machine_code._machine.cache_clear()


def test_what_raises_all_the_same_is_an_error_of_the_engine(tmp_path: Path) -> None:
    refuse = function_of("refuse", tmp_path, lambda: made(refusing, "int64"))
    assert refuse(1) == 1
    with pytest.raises(SystemError):
        refuse(-1)
