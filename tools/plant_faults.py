"""Plant small faults, one at a time, and list those that no test of their room notices (``make mutants ROOM=wire``).

A seeded sample, so that a room takes minutes, in a copy of the tree. A fault that means the same as before (an equivalent)
is no gap: read the list before writing tests. The libraries do not fit: mutmut leaves decorated functions out, of which the
kernel consists, and cosmic-ray needs one under the LGPL.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {
    "wire": "tests/unit/test_wire_*.py tests/unit/test_openapi.py",
    "model": "tests/unit/test_calls.py tests/unit/test_candles.py tests/unit/test_lint.py tests/unit/test_scenario_errors.py "
    "tests/unit/test_scenarios.py",
    "live": "tests/unit/test_emit*.py tests/unit/test_journal*.py tests/unit/test_feed*.py tests/property/test_intents.py",
    "venue": "tests/unit/test_client*.py tests/unit/test_server.py tests/unit/test_paper_venue.py",
    "market_data": "tests/unit/test_market_data_*.py tests/unit/test_store*.py tests/end_to_end/test_fetch_faults.py",
    "report": "tests/unit/test_report_*.py tests/unit/test_metrics.py tests/unit/test_result.py tests/unit/test_selection.py",
    "engine/kernel": "tests/unit/test_scenarios.py tests/property/test_against_oracle.py",
}
"""The tests of a room, by its folder in the package."""

OTHER: dict[type[ast.AST], Any] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
"""The operator that takes another's place."""

MINUTES = 5.0
"""Longest that the tests of one fault may take: a fault that makes them hang is noticed by that."""


def main() -> int:
    """Plant, test, and print what was not noticed; exit status 1 where more than a tenth was not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--faults", type=int, default=40, help="how many to plant")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        copy_tree(tree)
        found = plant(tree, chosen.room, chosen.faults, chosen.seed)
    survived = [line for line, noticed in found if not noticed]
    for line in survived:
        print(f"not noticed  {line}")
    print(f"{chosen.room}: {len(found) - len(survived)} of {len(found)} faults were noticed")
    return int(len(survived) > len(found) / 10)


def copy_tree(target: Path) -> None:
    """Copy what git knows, as it stands."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target / name)


def plant(tree: Path, room: str, faults: int, seed: int) -> list[tuple[str, bool]]:
    """Plant a sample of faults in a room; return each with whether a test noticed it."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *_tests(tree, room)]
    environment = {**os.environ, "PYTHONPATH": str(tree), "BACKTEST_CHECKS": "off", "BACKTEST_TRIALS": "off"}
    if room == "engine/kernel":
        environment["NUMBA_DISABLE_JIT"] = "1"  # compiled anew it would take a minute a fault

    def passes() -> bool:
        try:
            done = subprocess.run(
                command, cwd=tree, env=environment, timeout=MINUTES * 60.0, check=False, capture_output=True
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    if not passes():
        raise SystemExit(f"the tests of {room} fail without a fault: {' '.join(command)}")
    planned = [
        (path, number)
        for path in sorted((tree / "backtest" / room).rglob("*.py"))
        for number in range(len(places(ast.parse(path.read_text()))))
    ]
    found = []
    for path, number in sorted(random.Random(seed).sample(planned, min(faults, len(planned)))):
        source = path.read_text()
        line, what, changed = fault(source, number)
        path.write_text(changed)
        noticed = not passes()
        path.write_text(source)
        text = source.splitlines()[line - 1].strip()
        found.append((f"{path.relative_to(tree)}:{line} {what}: {text}", noticed))
    return found


def _tests(tree: Path, room: str) -> list[str]:
    return sorted(str(path.relative_to(tree)) for pattern in ROOMS[room].split() for path in tree.glob(pattern))


def places(module: ast.Module) -> list[ast.AST]:
    """Return the nodes that a fault can be planted in; annotations, docstrings and imports are no code that runs."""
    idle = {
        id(inner)
        for node in ast.walk(module)
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if part is not None
        for inner in ast.walk(part)
    }
    return [node for node in ast.walk(module) if id(node) not in idle and _kind(node) is not None]


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


def fault(source: str, number: int) -> tuple[int, str, str]:
    """Return line and kind of a fault by its number, and the source with it."""
    module = ast.parse(source)
    node: Any = places(module)[number]
    what = _kind(node) or ""
    if isinstance(node, ast.Compare):
        node.ops[0] = OTHER[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = OTHER[type(node.op)]()
    elif isinstance(node, ast.Constant):
        node.value = _next(node.value)
    else:
        module = _Replaced(node).visit(module)
    return node.lineno, what, ast.unparse(ast.fix_missing_locations(module))


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
