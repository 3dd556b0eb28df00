"""Measure against other libraries: python benchmarks/bench_peers.py [--rounds N] [--sweep N].

Each library runs in a process and an environment of its own (benchmarks/.peers, made with pip on the first run). All are
kept warm and take turns in one run, on the same candles and the same rule; how many trades each made is compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from made import YEAR, minutes
from sma_cross import PAIRS
from timing import machine

HERE = Path(__file__).parent
ROOMS = HERE / ".peers"
SLOW = 1_000.0
"""Milliseconds a run from which a peer is measured in every fifth round only."""


@dataclass
class Peer:
    """A library in a process of its own."""

    name: str
    script: str
    packages: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    why: str = ""
    times: list[float] = field(default_factory=list)
    sweeps: list[float] = field(default_factory=list)
    version: str = ""
    trades: int = 0
    process: subprocess.Popen[str] | None = None

    def python(self) -> str:
        """Return the interpreter of its environment, made if it is not there."""
        if not self.packages:
            return sys.executable
        room = ROOMS / self.script.removesuffix("_peer.py")
        python, ready = room / "bin" / "python", room / ".ready"
        if not ready.exists() or ready.read_text() != " ".join(self.packages):
            print(f"installing {' '.join(self.packages)} into {room.relative_to(HERE.parent)}", flush=True)
            ROOMS.mkdir(exist_ok=True)
            (ROOMS / ".gitignore").write_text("*\n")
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(room)], check=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *self.packages]
            subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
            ready.write_text(" ".join(self.packages))
        return str(python)

    def start(self, folder: str) -> None:
        """Start it and wait until it is warm."""
        command = [self.python(), str(HERE / "peers" / self.script), folder, *self.arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.version = self._answer()["version"]

    def ask(self, word: str) -> dict[str, Any]:
        """Return its answer to a word."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """End it."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait(60)

    def _answer(self) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):
                found: dict[str, Any] = json.loads(line[1:])
                return found
        raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")


def peers() -> list[Peer]:
    """Return all sides, ours first."""
    vectorbt = ("vectorbt==1.2.0", "vectorbt-rust==1.2.0", "pyarrow")
    return [
        Peer("ours, table lane", "ours.py"),
        Peer(
            "raptorbt",
            "raptorbt_peer.py",
            ("raptorbt==0.13.4", "pandas"),
            why="another rule: it also sells on the cross down, without which it would trade once",
        ),
        Peer("vectorbt, Rust", "vectorbt_peer.py", vectorbt, ("rust",)),
        Peer("vectorbt, numba", "vectorbt_peer.py", vectorbt, ("numba",)),
        Peer("backtesting.py", "backtesting_peer.py", ("backtesting==0.6.6",)),
    ]


def write_candles(folder: str) -> None:
    """Write the candles and the pairs that all sides read."""
    candles = minutes(YEAR)
    for name in ("time", "open", "high", "low", "close", "volume"):
        np.save(Path(folder) / f"{name}.npy", getattr(candles, name))
    (Path(folder) / "pairs.json").write_text(json.dumps([[pair["fast"], pair["slow"]] for pair in PAIRS]))


def started(folder: str) -> list[Peer]:
    """Return the sides that could be started; say loudly which could not."""
    found = []
    for peer in peers():
        try:
            peer.start(folder)
        except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
            print(f"NOT MEASURED: {peer.name}: {error}")
            continue
        found.append(peer)
    return found


def measure(sides: list[Peer], rounds: int, pairs: int) -> None:
    """Let all sides take turns."""
    for turn in range(rounds):
        for peer in sides:
            if turn % 5 and peer.times and peer.times[0] > SLOW:
                continue
            answer = peer.ask("run")
            peer.times.append(answer["ms"])
            peer.trades = answer["trades"]
    for _ in range(3 if pairs else 0):
        for peer in sides:
            if peer.script != "backtesting_peer.py" and "numba" not in peer.arguments:
                peer.sweeps.append(peer.ask(f"sweep {pairs}")["ms"])


def show(sides: list[Peer], pairs: int) -> None:
    """Print the table."""
    ours = sides[0]
    print(
        f"{'':18s} {'version':>9s} {'min ms':>9s} {'median':>9s} {'/ ours':>7s} {'median':>7s} {'trades':>7s}  difference"
    )
    for peer in sides:
        least, middle = min(peer.times), statistics.median(peer.times)
        ratios = least / min(ours.times), middle / statistics.median(ours.times)
        apart = peer.trades / ours.trades - 1.0
        note = f"{apart:+.2%}" + (f": {peer.why or 'NOT EXPLAINED'}" if abs(apart) > 0.01 else "")
        print(
            f"{peer.name:18s} {peer.version:>9s} {least:9.1f} {middle:9.1f} {ratios[0]:7.1f} {ratios[1]:7.1f} {peer.trades:7,d}  {note}"
        )
    for peer in sides:
        if peer.sweeps:
            ratios = (
                min(peer.sweeps) / min(ours.sweeps),
                statistics.median(peer.sweeps) / statistics.median(ours.sweeps),
            )
            print(
                f"{peer.name:18s} {pairs} pairs: {min(peer.sweeps):7.2f} ms a pair, median {statistics.median(peer.sweeps):7.2f}, {ratios[0]:.1f} and {ratios[1]:.1f} times ours"
            )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sweep", type=int, default=100, metavar="PAIRS", help="0: none")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_candles(folder)
        sides = started(folder)
        try:
            print(machine())
            measure(sides, given.rounds, given.sweep)
            show(sides, given.sweep)
        finally:
            for peer in sides:
                peer.stop()


if __name__ == "__main__":
    main()
