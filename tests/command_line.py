"""The command line as a user calls it, in this process or in one of its own, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np

from backtest.cli import main
from backtest.model.candles import Candles

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

ROOT = Path(__file__).parent.parent
BREAKOUT = str(ROOT / "strategies" / "breakout.py")
HEAVY = (
    "numba",
    "talib",
    "pandas",
    "pyarrow",
    "scipy",
    "ccxt",
    "httpx",
    "matplotlib",
    "jinja2",
    "distributed",
    "optuna",
    "apprise",
    "structlog",
    "prometheus_client",
    "sqlite3",
)
"""What neither `import backtest` nor `backtest --help` may load: each is imported where its result is shown."""

START = "import sys; from backtest.cli import main; sys.argv[0] = 'backtest'; sys.exit(main())"
"""What a Python of its own is given with ``-c``, for a command in a process of its own."""
UNPRIVILEGED = (
    [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override"]
)
"""What stands before a command for which permission bits are to hold: without these rights they do for root too."""


@dataclass(frozen=True)
class Done:
    """What a command left: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


def backtest(*arguments: object) -> Done:
    """Run ``backtest ARGUMENTS`` in this process, through the same function as the installed command."""
    out, err, status = StringIO(), StringIO(), 0
    with patch.object(sys, "argv", ["backtest", *map(str, arguments)]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Done(status, out.getvalue(), err.getvalue())


def in_process_of_its_own(
    *arguments: str, cwd: Path | None = None, coverage: bool = False, prefix: Sequence[str] = ("-m", "backtest")
) -> Done:
    """Run ``python -m backtest ARGUMENTS`` in a new process; coverage would change what it imports and how long it takes."""
    kept = {k: v for k, v in os.environ.items() if coverage or not k.startswith(("COVERAGE_", "COV_CORE_"))}
    kept["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, *prefix, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=kept,
        timeout=300,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def loaded_by(code: str, names: Sequence[str], cwd: Path | None = None) -> set[str]:
    """Return which of some modules a new process has loaded once it has run a piece of code."""
    code = f"{code}\nimport sys\nprint('LOADED', *(n for n in {list(names)!r} if n in sys.modules), flush=True)"
    done = in_process_of_its_own(code, prefix=("-c",), cwd=cwd)
    assert done.status == 0, done.err
    return set(done.out.splitlines()[-1].split()[1:])


def days(count: int = 300) -> pd.DataFrame:
    """Return real daily candles of BTC/USD as a table with a time column in UTC ms."""
    candles = Candles.sample("BTC/USD", "1d").between("2017-01-01").slice(0, count)
    frame = candles.to_pandas().reset_index(drop=True)
    frame.insert(0, "time", np.asarray(candles.time))
    return frame


def strategy_file(folder: Path, body: str, name: str = "Mine") -> Path:
    """Write a strategy whose ``on_candle`` is one piece of code, and return its file."""
    file = folder / f"{name.lower()}.py"
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    file.write_text(
        f"from backtest import Strategy\n\n\nclass {name}(Strategy):\n    def on_candle(self, now):\n{lines}\n", "utf-8"
    )
    return file


def write(frame: pd.DataFrame, file: Path) -> Path:
    """Write a table in the kind that a file's name ends in, and return the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".csv":
        frame.to_csv(file, index=False)
    elif file.suffix == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_feather(file)
    return file


def without_coverage() -> dict[str, str]:
    """Return the environment without coverage, which could not write its own file where nothing may be written."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "COV_CORE_"))}
