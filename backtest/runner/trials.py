"""Trials: how many variants of a strategy were tried over the same candles, counted, not confessed.

One SQLite file, ``trials.sqlite`` in the folder of the candle store (``data/candles``), where that folder is there.
``BACKTEST_TRIALS`` names another file, or says ``off``. A row is one run or one sweep; a run that was made before adds
nothing. A write that fails is a sentence in the result, never an error.
"""

from __future__ import annotations

import hashlib
import math
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.model.candles import Candles
    from backtest.strategy import Strategy

__all__ = ["Tried", "family_of", "ledger_path", "record", "span_of", "tried"]

VARIABLE = "BACKTEST_TRIALS"
_ROOT = Path("data/candles")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS trial (
    family TEXT NOT NULL, span TEXT NOT NULL, variant TEXT NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL,
    sharpe REAL, variance REAL, effective REAL, PRIMARY KEY (family, span, variant)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Tried:
    """What the ledger knows of a strategy family on a span of candles.

    Attributes
    ----------
    count
        Variants that were run.
    effective
        What they are worth as independent trials: the effective number of each sweep and one a run.
    variance
        Of the daily Sharpe ratios across them; NaN for fewer than two.
    problem
        Why the ledger could not be read or written, or "".
    """

    count: int = 0
    effective: float = 0.0
    variance: float = math.nan
    problem: str = ""


def ledger_path() -> Path | None:
    """Return the file of the ledger; None where it is off, or where there is no store to keep it in."""
    named = os.environ.get(VARIABLE, "")
    if named:
        return None if named.lower() == "off" else Path(named)
    return _ROOT / "trials.sqlite" if _ROOT.is_dir() else None


def family_of(strategy: Strategy) -> str:
    """Return what the variants of a strategy have in common: the name of its class."""
    return type(strategy).__name__


def span_of(candles: Sequence[Candles]) -> str:
    """Return the data that trials share: symbols, timeframe, and the first and last day (UTC).

    Parameters
    ----------
    candles
        One series a market.
    """
    parts = []
    for one in sorted(candles, key=lambda each: each.symbol):
        days = [str(np.datetime64(int(one.time[k]), "ms").astype("M8[D]")) for k in (0, -1)] if len(one) else []
        parts.append(f"{one.symbol} {one.timeframe} {'..'.join(days)}")
    return "; ".join(parts)


def record(
    family: str,
    span: str | Sequence[str],
    variant: str,
    *,
    sharpes: Sequence[float],
    effective: float | None = None,
    path: Path | None = None,
) -> str:
    """Add a run or a sweep to the ledger; return why it could not be written, or "".

    Parameters
    ----------
    family, span
        As :func:`family_of` and :func:`span_of` name them. Of a sweep over several markets the span of each: whoever
        picks one of its rows picks from all of them, so all of them count on each.
    variant
        What makes it one of its own: the strategy's identity, or those of a whole sweep.
    sharpes
        The daily Sharpe ratios: one for a run, one a row for a sweep; NaN where it is not defined.
    effective
        Effective number of trials of a sweep.
    path
        Of the ledger; None: :func:`ledger_path`.
    """
    path = path or ledger_path()
    if path is None:
        return ""
    known = np.array([value for value in sharpes if math.isfinite(value)])
    row = (
        hashlib.sha256(variant.encode()).hexdigest(),
        "run" if len(sharpes) == 1 else "sweep",
        len(sharpes),
        float(known.mean()) if len(known) else None,
        float(known.var(ddof=0)) if len(known) else None,
        float(len(sharpes)) if effective is None else effective,
    )
    try:
        with closing(sqlite3.connect(path, timeout=2.0, isolation_level=None)) as ledger:
            ledger.execute("PRAGMA synchronous=OFF")  # a lost row after a power cut is no harm, a slow run is
            ledger.execute(_SCHEMA)
            ledger.executemany(
                "INSERT OR REPLACE INTO trial VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(family, one, *row) for one in ([span] if isinstance(span, str) else span)],
            )
    except sqlite3.Error as error:
        return f"the ledger of trials {path} could not be written: {error}"
    return ""


def tried(family: str, span: str, path: Path | None = None) -> Tried:
    """Return what the ledger knows of a family on a span.

    Parameters
    ----------
    family, span
        As :func:`family_of` and :func:`span_of` name them.
    path
        Of the ledger; None: :func:`ledger_path`.
    """
    path = path or ledger_path()
    if path is None or not path.is_file():
        return Tried()
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)) as ledger:
            rows = ledger.execute(
                "SELECT count, sharpe, variance, effective FROM trial WHERE family = ? AND span = ?", (family, span)
            ).fetchall()
    except sqlite3.Error as error:
        return Tried(problem=f"the ledger of trials {path} could not be read: {error}")
    known = [(count, mean, variance) for count, mean, variance, _ in rows if mean is not None]
    total = sum(count for count, _, _ in known)
    spread = math.nan
    if total > 1:  # variance of the whole from those of the parts
        mean = sum(count * one for count, one, _ in known) / total
        spread = sum(count * (variance + (one - mean) ** 2) for count, one, variance in known) / (total - 1)
    return Tried(sum(row[0] for row in rows), sum(row[3] for row in rows), spread)
