"""Measure against other libraries: make bench-peers, or python benchmarks/bench_peers.py [--rounds N] [--sweep N].

Each library runs in a process and an environment of its own (benchmarks/.peers, made with pip on the first run), once with
its own averages and once with TA-Lib's. All are kept warm and take turns in one run, on the same candles and the same rule;
how many trades each made is compared. Wall times; a run over one pair, then the same to a table with names and times, then
many pairs.
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
    times: dict[str, list[float]] = field(default_factory=lambda: {"run": [], "labelled": [], "sweep": []})
    words: list[str] = field(default_factory=list)
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
        told = self._answer()
        self.version, self.words = told["version"], told["words"]

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
    """Return all sides, ours first: each with its own averages, and with TA-Lib's."""
    another = "another rule: it also sells on the cross down, without which it would trade once"
    talib = "TA-Lib>=0.6.8"
    rust = ("vectorbt==1.2.0", "vectorbt-rust==1.2.0", "pyarrow", talib)
    raptor, phasor = ("raptorbt==0.13.4", "pandas", talib), ("phasor-trader==0.1.0", "numpy", talib)
    others = [
        Peer("phasor-trader", "phasor_peer.py", phasor),
        Peer("raptorbt (both cores)", "raptorbt_peer.py", raptor, why=another),
        Peer("vectorbt, Rust", "vectorbt_peer.py", rust, ("rust",)),
        Peer("vectorbt, numba", "vectorbt_peer.py", rust, ("numba",)),
        Peer("backtesting.py", "backtesting_peer.py", ("backtesting==0.6.6", talib)),
    ]
    found = [Peer("ours", "ours.py")]
    for one in others:
        found.append(one)
        if "numba" not in one.arguments:
            arguments = (*one.arguments, "talib")
            found.append(Peer(f"{one.name}, TA-Lib", one.script, one.packages, arguments, one.why))
    return found


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
    few = max(2, rounds // 5)
    for word, turns in (("run", rounds), ("labelled", few), (f"sweep {pairs}", few if pairs else 0)):
        name = word.partition(" ")[0]
        for turn in range(turns):
            for peer in sides:
                times = peer.times[name]
                if name not in peer.words or (name == "sweep" and "numba" in peer.arguments):
                    continue  # vectorbt's own engine takes seconds a pair
                if times and times[0] > SLOW and turn % 5:
                    continue
                answer = peer.ask(word)
                times.append(answer["ms"])
                if name == "run":
                    peer.trades = answer["trades"]


def show(sides: list[Peer], pairs: int) -> None:
    """Print the tables."""
    ours = sides[0]
    titles = {
        "run": "one run: numeric records of trades, and equity",
        "labelled": "one run: trades with names and times",
        "sweep": f"{pairs} pairs of averages, ms a pair",
    }
    for word, title in titles.items():
        mine = ours.times[word]
        if not mine:
            continue
        print(f"\n{title}")
        print(f"{'':30s} {'version':>9s} {'min ms':>9s} {'median':>9s} {'/ ours':>7s} {'median':>7s}  trades")
        for peer in sides:
            times = peer.times[word]
            if not times:
                continue
            least, middle = min(times), statistics.median(times)
            ratios = least / min(mine), middle / statistics.median(mine)
            print(
                f"{peer.name:30s} {peer.version:>9s} {least:9.2f} {middle:9.2f} {ratios[0]:7.1f} {ratios[1]:7.1f}  "
                f"{_apart(peer, ours) if word == 'run' else ''}"
            )


def _apart(peer: Peer, ours: Peer) -> str:
    """Return how many trades a peer made, and why others than ours."""
    apart = peer.trades / ours.trades - 1.0
    return f"{peer.trades:,d} ({apart:+.2%})" + (f": {peer.why or 'NOT EXPLAINED'}" if abs(apart) > 0.01 else "")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sweep", type=int, default=50, metavar="PAIRS", help="0: none")
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
