"""Protocol: a peer in its own process reads words and answers each with one line of JSON.

``run`` times one run from candles in memory to its own numeric records of trades and equity, ``labelled`` the same to a table
of trades with names and times, ``sweep N`` the first N pairs. The arrays come as .npy files, so that the environment of a
peer needs nothing of ours. With ``talib`` on the command line a peer takes TA-Lib's averages in place of its own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "CASH",
    "FAST",
    "FEE",
    "NOTIONAL",
    "SLOW",
    "STOP",
    "TARGET",
    "WITH_TALIB",
    "columns",
    "crossed",
    "serve",
    "talib_average",
]

FAST, SLOW, TARGET, STOP = 20, 50, 0.02, 0.01
FEE, NOTIONAL, CASH = 0.001, 1_000.0, 10_000.0
"""As the profile and the strategy of our side: 10 % of 10,000 a signal, 0.1 % on every fill."""

WITH_TALIB = "talib" in sys.argv[2:]
"""Whether TA-Lib computes the averages."""


def columns() -> dict[str, np.ndarray[Any, Any]]:
    """Return time (UTC ms), open, high, low, close and volume of the folder that the command line names."""
    names = ("time", "open", "high", "low", "close", "volume")
    return {name: np.load(os.path.join(sys.argv[1], f"{name}.npy")) for name in names}  # noqa: PTH118


def talib_average(values: np.ndarray[Any, Any], window: int) -> np.ndarray[Any, Any]:
    """Return TA-Lib's simple moving average."""
    import talib

    found: np.ndarray[Any, Any] = talib.SMA(values, window)
    return found


def crossed(fast: np.ndarray[Any, Any], slow: np.ndarray[Any, Any], *, above: bool = True) -> np.ndarray[Any, Any]:
    """Return where one column crosses another; False while either is not warm."""
    beyond = fast > slow if above else fast < slow
    found = np.zeros(len(fast), bool)
    found[1:] = beyond[1:] & ~beyond[:-1] & ~np.isnan(slow[:-1])
    return found


def serve(
    version: str,
    run: Callable[[], tuple[int, float]],
    sweep: Callable[[Sequence[tuple[int, int]]], int] | None = None,
    labelled: Callable[[], int] | None = None,
) -> None:
    """Answer until there is nothing more to read: ``run`` returns trades and final equity, the others trades."""
    with open(os.path.join(sys.argv[1], "pairs.json")) as file:  # noqa: PTH118, PTH123
        pairs = [(int(fast), int(slow)) for fast, slow in json.load(file)]
    run()
    _say(version=version, words=["run", *(["sweep"] if sweep else []), *(["labelled"] if labelled else [])])
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        wall, busy, count = time.perf_counter(), time.process_time(), 1
        if word == "run":
            trades, equity = run()
        elif word == "labelled" and labelled is not None:
            trades, equity = labelled(), 0.0
        elif sweep is not None:
            count = int(rest)
            trades, equity = sweep(pairs[:count]), 0.0
        else:
            raise SystemExit(f"no {word} here")
        spent = {"ms": time.perf_counter() - wall, "cpu": time.process_time() - busy}
        _say(**{name: 1e3 * value / count for name, value in spent.items()}, trades=trades, equity=equity)


def _say(**answer: Any) -> None:
    print("@" + json.dumps(answer), flush=True)
