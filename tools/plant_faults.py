"""Plant small faults, one at a time, and list those that no test of their room notices (``make mutants ROOM=wire``).

A seeded sample, in a copy of the tree. The tests run once without a fault, to learn which of them reach which line and how
long each takes; a fault then costs only the tests that reach its line, quickest first, up to the first that fails, in a
process forked from one that has the libraries loaded. A fault that means the same as before (an equivalent) is no gap: read the
list before writing tests. The libraries do not fit: mutmut leaves decorated functions out, of which the kernel consists, and
cosmic-ray needs one under the LGPL.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import coverage
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "mutants"
"""The copy: always the same folder, so that the kernel compiled for it is found again."""

ROOMS = {
    "wire": "unit/test_wire_*.py unit/test_openapi.py unit/test_server.py unit/test_client.py",
    "model": "unit/test_call*.py unit/test_candle*.py unit/test_lint.py unit/test_scenario*.py unit/test_plan.py "
    "unit/test_signal_table.py unit/test_codes.py unit/test_progress.py unit/test_settings.py unit/test_sender.py "
    "unit/test_run_arguments.py unit/test_subscribers.py unit/test_wire_*.py unit/test_posted.py unit/test_row_cache.py parity/test_table_parity.py",
    "live": "unit/test_emit*.py unit/test_journal.py unit/test_notices.py unit/test_alerts.py unit/test_operations.py "
    "unit/test_forecast.py unit/test_sender.py unit/test_shadow.py unit/test_outlets.py unit/test_second_look.py unit/test_track.py unit/test_settings.py "
    "unit/test_deploy.py property/test_intents.py property/test_answers.py parity/test_restart_parity.py "
    "end_to_end/test_dashboard.py end_to_end/test_posts.py end_to_end/test_reconcile.py end_to_end/test_drift_page.py "
    "end_to_end/test_track_record.py end_to_end/test_seat_reconcile.py end_to_end/test_live_*.py end_to_end/test_emit_check.py "
    "end_to_end/test_paper_emission.py",
    "venue": "unit/test_client*.py unit/test_server.py unit/test_paper_venue.py unit/test_outlets.py unit/test_openapi.py "
    "unit/test_subscribers.py unit/test_settings.py unit/test_alerts.py unit/test_journal.py property/test_outlet_text.py property/test_answers.py "
    "end_to_end/test_client_wire.py",
    "market_data": "unit/test_market_data_*.py unit/test_store*.py unit/test_row_cache.py unit/test_candle*.py "
    "property/test_store_*.py end_to_end/test_fetch_faults.py end_to_end/test_fetch_exchanges.py",
    "report": "unit/test_report_*.py unit/test_metrics.py unit/test_result.py unit/test_selection.py unit/test_breakdowns.py "
    "unit/test_comparison.py unit/test_equity_depth.py unit/test_excursions.py unit/test_headlines.py unit/test_interval.py "
    "unit/test_chart_packing.py unit/test_luck.py unit/test_notebook_shows.py unit/test_subscribers.py",
    "engine/kernel": "unit/test_scenarios.py unit/test_kernel_corners.py property/test_against_oracle.py property/test_markets_together.py",
}  # fmt: skip
"""The tests of a room, by its folder in the package."""

CHOSEN = {
    "engine/kernel": ["-m", "jit_off"],
    "live": [
        "-k",
        (
            "not (killed_in_the_middle or until_it_is_told or another_venue or somebody_else or tries_again_what_ended or "
            "same_from_a_file or fits_and_asks or every_fault_of_the_feed or hold_up_nothing or no_network_is or "
            "leave_no_trace or clock_that_is_off)"
        ),
    ],
}
"""Options of pytest that choose among a room's tests: the kernel is not compiled in its own, in live some wait long."""

OTHER: dict[type[ast.AST], Any] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
"""The operator that takes another's place."""

OPTIONS = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
"""Of pytest; the warning is of libraries that are loaded already."""

HANGS = 20.0
"""Seconds beyond five times their usual time after which the tests of a fault are stopped: they noticed it."""

NOT_FOUND = 4
"""Exit status of pytest where a test that was asked for is missing: a fault may move the name of a test's example."""


def main() -> int:
    """Plant, test, and print what was not noticed; exit status 1 where more than a tenth was not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--faults", type=int, default=40, help="how many to plant")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--at", action="append", metavar="FILE:LINE", help="plant every fault of this line instead")
    chosen = parser.parse_args()
    copy_tree(TREE)
    _make_ready(chosen.room)
    reached = Reached.learn(chosen.room)
    survived = []
    planned = _planned(chosen.room, chosen.faults, chosen.seed, chosen.at)
    for place in planned:
        line, noticed = plant(*place, reached)
        print(f"{'noticed    ' if noticed else 'not noticed'}  {line}", flush=True)
        if not noticed:
            survived.append(line)
    print(
        f"{chosen.room}: {len(planned) - len(survived)} of {len(planned)} faults were noticed; the others:",
        *survived,
        sep="\n",
    )
    return int(len(survived) > len(planned) / 10)


def copy_tree(target: Path) -> None:
    """Copy what git knows, as it stands; what was compiled for an earlier copy stays."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for old in target.rglob("*.py"):
        if str(old.relative_to(target)) not in listed:
            old.unlink()
    for name in listed:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target / name)


def _make_ready(room: str) -> None:
    """Make this process one that can be forked for a fault: in the copy, and without the package."""
    os.chdir(TREE)
    sys.path.insert(0, str(TREE))
    sys.dont_write_bytecode = False
    os.environ |= {"PYTHONPATH": str(TREE), "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    if room == "engine/kernel":
        os.environ["NUMBA_DISABLE_JIT"] = "1"  # compiled anew it would take a minute a fault


def _planned(room: str, faults: int, seed: int, at: list[str] | None) -> list[tuple[Path, int]]:
    """Return file and number of the faults to plant."""
    every = [
        (path, number, node.lineno)
        for path in sorted((TREE / "backtest" / room).rglob("*.py"))
        for number, node in enumerate(places(ast.parse(path.read_text())))
    ]
    if at:
        return [(path, number) for path, number, line in every if f"{path.relative_to(TREE)}:{line}" in at]
    return [(path, number) for path, number, _ in sorted(random.Random(seed).sample(every, min(faults, len(every))))]


class Reached:
    """Which tests reach which line, and how long each takes."""

    def __init__(self, lines: dict[str, dict[int, list[str]]], seconds: dict[str, float], apart: set[str]) -> None:
        self.lines = lines
        self.seconds = seconds
        self.apart = apart
        """Tests that start processes, in which no line is seen."""

    @classmethod
    def learn(cls, room: str) -> Reached:
        """Run the tests of a room without a fault."""
        tests = sorted(
            {str(path.relative_to(TREE)) for glob in ROOMS[room].split() for path in TREE.glob(f"tests/{glob}")}
        )
        kept = TREE / "build" / "reached.json"
        kept.parent.mkdir(exist_ok=True)
        status = forked(lambda: _watched(room, tests, kept), most=3600.0, shown=True)
        if status:
            raise SystemExit(f"the tests of {room} fail without a fault (status {status}): {' '.join(tests)}")
        lines, seconds, apart, modules = json.loads(kept.read_text())
        load(modules)
        return cls(
            {name: {int(line): each for line, each in of.items()} for name, of in lines.items()}, seconds, set(apart)
        )

    def tests(self, path: Path, first: int, last: int) -> list[str]:
        """Return the tests that can notice a fault on these lines, quickest first.

        Where only the import reaches them all tests of the file, and where nothing does those that start processes.
        """
        of = self.lines.get(str(path), {})
        found = {test for line in range(first, last + 1) for test in of.get(line, ()) if test}
        found = found or {test for tests in of.values() for test in tests if test} or self.apart
        return sorted(found, key=lambda test: self.seconds.get(test, 0.0))


def load(modules: list[str]) -> None:
    """Import libraries, so that no fault has to: what the tests had loaded, but for the package and its tests."""
    own = {"backtest", "tests", "strategies", "tools", "__main__", "__mp_main__"}
    with warnings.catch_warnings(action="ignore"):
        for name in modules:
            if name.split(".")[0] not in own:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)


class Watch:
    """A plugin of pytest that notes each test's time, its lines and whether it starts processes."""

    def __init__(self, cover: coverage.Coverage) -> None:
        self.cover = cover
        self.now = ""
        self.seconds: dict[str, float] = {}
        self.apart: set[str] = set()
        sys.addaudithook(self._audit)

    def _audit(self, event: str, _: Any) -> None:
        if event in {"subprocess.Popen", "os.fork", "os.posix_spawn"} and self.now:
            self.apart.add(self.now)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        """Note what one test does."""
        self.now = item.nodeid
        self.cover.switch_context(item.nodeid)
        began = time.perf_counter()
        done = yield
        self.seconds[item.nodeid] = time.perf_counter() - began
        self.cover.switch_context("")
        self.now = ""
        return done


def _watched(room: str, tests: list[str], kept: Path) -> int:
    """Run tests and keep what a watch saw."""
    folder = TREE / "backtest" / room
    cover = coverage.Coverage(data_file=None, include=[f"{folder}/*"], config_file=False)
    watch = Watch(cover)
    cover.start()
    status = int(pytest.main([*OPTIONS, *CHOSEN.get(room, []), *tests], plugins=[watch]))
    cover.stop()
    data = cover.get_data()
    lines = {file: data.contexts_by_lineno(file) for file in data.measured_files()}
    kept.write_text(json.dumps([lines, watch.seconds, sorted(watch.apart), sorted(sys.modules)]))
    return status


def forked(work: Callable[[], int], most: float, *, shown: bool = False) -> int:
    """Return the status of a piece of work, done in a process of its own; -1 where it took longer than ``most`` seconds."""
    child = os.fork()
    if not child:
        status = 70
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
            if not shown:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, 1)
                os.dup2(nowhere, 2)
            status = work()
        except BaseException:  # noqa: BLE001 - the parent goes on; this process may not
            traceback.print_exc()
        finally:
            os._exit(status)
    until = time.monotonic() + most
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def plant(path: Path, number: int, reached: Reached) -> tuple[str, bool]:
    """Plant a fault; return it in words, and whether a test noticed it."""
    source = path.read_text()
    first, last, what, changed = fault(source, number)
    tests = reached.tests(path, first, last)
    usual = sum(reached.seconds.get(test, 0.0) for test in tests)
    path.write_text(changed)
    try:
        status = forked(lambda: _first_failure(tests), 5.0 * usual + HANGS) if tests else 0
        if status == NOT_FOUND:
            status = forked(
                lambda: _first_failure(sorted({test.split("::")[0] for test in tests})), 10.0 * usual + HANGS
            )
    finally:
        path.write_text(source)
    text = source.splitlines()[first - 1].strip()
    return f"{path.relative_to(TREE)}:{first} {what}: {text}" + ("" if tests else " (no test reaches it)"), status != 0


def _first_failure(tests: list[str]) -> int:
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    return int(pytest.main(["-x", *OPTIONS, *tests]))


def places(module: ast.Module) -> list[Any]:
    """Return the nodes that a fault can be planted in.

    Annotations, docstrings and imports are no code that runs, and that a dataclass is frozen or has slots is mypy's to hold.
    """
    idle = {
        id(inner)
        for node in ast.walk(module)
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None), _option_of_class(node))
        if part is not None
        for inner in ast.walk(part)
    }
    return [node for node in ast.walk(module) if id(node) not in idle and _kind(node) is not None]


def _option_of_class(node: ast.AST) -> ast.AST | None:
    return node.value if isinstance(node, ast.keyword) and node.arg in {"frozen", "slots"} else None


def _kind(node: ast.AST) -> str | None:
    """Return what would be planted, in words."""
    operator: Any = node.ops[0] if isinstance(node, ast.Compare) else getattr(node, "op", None)
    if not isinstance(node, ast.UnaryOp) and type(operator) in OTHER:
        return f"{type(operator).__name__} -> {OTHER[type(operator)].__name__}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        return f"{type(node.op).__name__} dropped"
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        return f"{node.value} -> {_next(node.value)}"
    if isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return "statement dropped"
    return None


def _next(value: Any) -> Any:
    return not value if isinstance(value, bool) else value + 1


def fault(source: str, number: int) -> tuple[int, int, str, str]:
    """Return first and last line and kind of a fault by its number, and the source with it."""
    module = ast.parse(source)
    node: Any = places(module)[number]
    what, last = _kind(node) or "", node.end_lineno
    if isinstance(node, ast.Compare):
        node.ops[0] = OTHER[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = OTHER[type(node.op)]()
    elif isinstance(node, ast.Constant):
        node.value = _next(node.value)
    else:
        module = _Replaced(node).visit(module)
    return node.lineno, last, what, ast.unparse(ast.fix_missing_locations(module))


class _Replaced(ast.NodeTransformer):
    """Puts an operand in the place of its operation, or ``pass`` in that of a statement."""

    def __init__(self, node: ast.AST) -> None:
        self.node = node

    def visit(self, node: ast.AST) -> Any:
        if node is not self.node:
            return self.generic_visit(node)
        return node.operand if isinstance(node, ast.UnaryOp) else ast.Pass()


if __name__ == "__main__":
    sys.exit(main())
