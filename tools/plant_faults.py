"""Plant small faults, one at a time, and list those that no test of their room notices (``make mutants ROOM=wire``).

cosmic-ray plants; this chooses a seeded sample, so that a room takes minutes, and works in a copy of the tree. A fault that
means the same as before (an equivalent) is no gap: read the list before writing tests.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

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
    command = f"{sys.executable} -m pytest -q -x -p no:cacheprovider {ROOMS[room]}"
    settings = "\n".join(
        (
            "[cosmic-ray]",
            f'module-path = "backtest/{room}"',
            f"timeout = {MINUTES * 60.0}",
            "excluded-modules = []",
            f"test-command = \"sh -c '{command}'\"",  # the shell spreads the patterns
            "[cosmic-ray.distributor]",
            'name = "local"',
            "",
        )
    )
    (tree / "faults.toml").write_text(settings)
    environment = {**os.environ, "PYTHONPATH": str(tree), "BACKTEST_CHECKS": "off", "BACKTEST_TRIALS": "off"}
    if room == "engine/kernel":
        environment["NUMBA_DISABLE_JIT"] = "1"  # compiled anew for each fault it would take a minute a fault

    def run(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "cosmic_ray.cli", *arguments], cwd=tree, env=environment, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    run("baseline", "faults.toml")
    run("init", "faults.toml", "faults.sqlite")
    keep_some(tree / "faults.sqlite", faults, seed)
    run("exec", "faults.toml", "faults.sqlite")
    return outcomes(tree / "faults.sqlite", tree)


def keep_some(session: Path, faults: int, seed: int) -> None:
    """Leave a seeded sample of the planned faults."""
    with closing(sqlite3.connect(session)) as base, base:
        # An annotation is text alone: another operator between its types means the same.
        query = "SELECT job_id FROM mutation_specs WHERE operator_name NOT LIKE '%BinaryOperator_BitOr_%'"
        names = sorted(row[0] for row in base.execute(query))
        kept = set(random.Random(seed).sample(names, min(faults, len(names))))
        gone = [row for row in base.execute("SELECT job_id FROM mutation_specs").fetchall() if row[0] not in kept]
        base.executemany("DELETE FROM mutation_specs WHERE job_id = ?", gone)
        base.executemany("DELETE FROM work_items WHERE job_id = ?", gone)


def outcomes(session: Path, tree: Path) -> list[tuple[str, bool]]:
    """Return each fault as file, line and kind, with whether it was noticed."""
    query = (
        "SELECT m.module_path, m.start_pos_row, m.operator_name, r.test_outcome FROM mutation_specs m "
        "JOIN work_results r ON r.job_id = m.job_id ORDER BY 1, 2"
    )
    with closing(sqlite3.connect(session)) as base:
        rows = base.execute(query).fetchall()
    found = []
    for module, row, kind, outcome in rows:
        text = (tree / module).read_text().splitlines()[row - 1].strip()
        found.append((f"{module}:{row} {kind.rpartition('/')[2]}: {text}", str(outcome).upper() != "SURVIVED"))
    return found


if __name__ == "__main__":
    sys.exit(main())
