"""Compiled code: an engine that was edited, or installed over another, never runs what the old one left compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.command_line import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="nothing is compiled without numba's compiler"
)
# An entry point that freezes a code through a rule of another file, as those of the engine do, compiled in a second.
PROBE = """
from backtest.engine.codes import E_TARGET, L6_1, R_NONE
from backtest.engine.kernel.compiled import kept
from backtest.engine.kernel.ledger import note
from backtest.engine.kernel.state import View


@kept
def tell(account, book, signal):
    view = View(account, book, account, account)
    note(view, signal, E_TARGET, L6_1, R_NONE)
"""
ASK = """
import numpy as np
from backtest.engine.codes import KINDS
from backtest.engine.kernel.probe import tell
from backtest.engine.records import ACCOUNT, BOOK, EVENT, SIGNAL

events, account = np.zeros(1, EVENT), np.zeros(1, ACCOUNT)[0]
account.events, account.event_room = events.ctypes.data, 1
tell(account, np.zeros(1, BOOK)[0], np.zeros(1, SIGNAL)[0])
print(KINDS[events[0].kind], "compiled" if tell.stats.cache_misses else "kept")
"""


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """Return the engine of an installation of its own, with one entry point more."""
    shutil.copytree(ROOT / "backtest", tmp_path / "backtest", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "backtest" / "engine"
    (folder / "kernel" / "probe.py").write_text(PROBE, "utf-8")
    return folder


def told_by(engine: Path) -> str:
    """Return the word of an event in a new process, and whether the entry point was compiled or kept."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "COV_CORE_", "NUMBA_"))}
    home = engine.parents[1]
    env = kept | {"PYTHONPATH": str(home), "HOME": str(home / "home"), "XDG_CACHE_HOME": str(home / "home" / "cache")}
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=home, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def folders(root: Path) -> list[str]:
    return [folder.name for folder in root.glob("kernel-*")]


def test_an_event_that_is_added_to_a_warm_engine_gets_its_own_word(engine: Path) -> None:
    events = engine.parent / "model" / "events.py"  # codes.py takes its numbers from there
    before = events.read_text("utf-8")
    assert told_by(engine) == "target_hit compiled"
    assert told_by(engine) == "target_hit kept"
    events.write_text(before.replace("    TARGET_HIT =", '    WARNED = "warned"\n    TARGET_HIT =', 1), "utf-8")
    assert told_by(engine) == "target_hit compiled"
    events.write_text(before, "utf-8")  # the version before again: what it compiled is still there
    assert told_by(engine) == "target_hit kept"


def test_a_code_that_is_edited_where_it_stands_is_compiled_anew(engine: Path) -> None:
    assert told_by(engine) == "target_hit compiled"
    codes = engine / "codes.py"
    codes.write_text(codes.read_text("utf-8") + "\nE_TARGET, E_STOP_MOVED = E_STOP_MOVED, E_TARGET\n", "utf-8")
    assert told_by(engine) == "stop_moved compiled"


def test_a_rule_in_another_file_is_part_of_what_is_compiled(engine: Path) -> None:
    assert told_by(engine) == "target_hit compiled"
    ledger = engine / "kernel" / "ledger.py"
    text = ledger.read_text("utf-8")
    ledger.write_text(text.replace(".kind = kind", ".kind = kind + 1"), "utf-8")
    assert told_by(engine) == "stop_moved compiled"


def test_what_old_versions_compiled_is_removed_but_for_the_newest_few(engine: Path) -> None:
    for number in range(6):
        old = engine / "__pycache__" / f"kernel-{number}"
        old.mkdir(parents=True)
        os.utime(old, (number, number))
    told_by(engine)
    kept = folders(engine / "__pycache__")
    assert len(kept) == 4
    assert {"kernel-3", "kernel-4", "kernel-5"} < set(kept)


def test_where_nothing_can_be_written_beside_the_source_the_users_own_folder_keeps_it(engine: Path) -> None:
    (engine / "__pycache__").write_text("no folder", "utf-8")
    assert told_by(engine) == "target_hit compiled"
    assert told_by(engine) == "target_hit kept"
    assert len(folders(engine.parents[1] / "home" / "cache" / "numba")) == 1


def test_where_nothing_can_be_written_at_all_the_engine_still_runs(engine: Path) -> None:
    (engine / "__pycache__").write_text("no folder", "utf-8")
    (engine.parents[1] / "home").write_text("no folder", "utf-8")
    assert told_by(engine) == told_by(engine) == "target_hit compiled"
