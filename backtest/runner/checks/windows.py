"""Windows: at which closes a strategy is looked at, and what it computes over a piece of the candles."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import BacktestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.model.candles import Candles
    from backtest.runner.checks.surroundings import Surroundings
    from backtest.strategy import SignalTable, Strategy

__all__ = ["AHEAD", "LOOK_BACK", "Computed", "closes_to_check", "compute", "unseen_share"]

LOOK_BACK = 600
"""Candles of a window."""

AHEAD = 256
"""Candles of the future that are added to it."""

_SIGNAL_CLOSES, _OTHER_CLOSES = 128, 32
_TABLE_FIELDS = (
    "entry_price_max", "entry_price_min", "entry_price_mid", "stop_loss", "invest", "invest_entry_min",
    "invest_entry_mid", "invest_entry_max", "leverage", "ttl_buy_order", "trailing_stop_price",
    "trailing_stop_limit_price",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Computed:
    """What a strategy computes over some candles before it decides: columns by name, one value a candle.

    Attributes
    ----------
    columns
        (n,) float64 each: its indicators, its triggers as 0 and 1, and the fields of its table, NaN where it has no row.
    refused
        The sentence with which it refused the candles, or "".
    """

    columns: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    refused: str = ""


def closes_to_check(made: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions at which a run of ``n`` candles is looked at: those with calls, and some others.

    Parameters
    ----------
    made
        (k,) int64, ascending positions of the candles at whose close a call was made.
    n
        Number of candles; it is the seed too, so that a verdict does not depend on the machine.

    Returns
    -------
    tuple
        Up to 128 positions with calls and up to 32 without; a position needs at least one candle behind it.
    """
    rng = np.random.default_rng(n)
    made = np.unique(made[(made >= 0) & (made < n - 1)])
    chosen = made if len(made) <= _SIGNAL_CLOSES else np.sort(rng.choice(made, _SIGNAL_CLOSES, replace=False))
    others = np.setdiff1d(np.arange(max(0, n - 1)), made, assume_unique=True)
    some = others if len(others) <= _OTHER_CLOSES else np.sort(rng.choice(others, _OTHER_CLOSES, replace=False))
    return chosen, some


def unseen_share(signals: int, looked_at: int, touched: float = 0.05) -> float:
    """Return the probability that a leak which touches a share of the signals touches none that was looked at.

    Parameters
    ----------
    signals, looked_at
        How many there are, and how many of them, drawn without replacement, were found clean.
    touched
        Share of the signals that the leak changes.
    """
    bad = int(np.ceil(touched * signals))
    if looked_at >= signals or signals == 0:
        return 0.0
    k = np.arange(looked_at)
    return float(np.prod(np.maximum(0.0, 1.0 - bad / (signals - k))))


def compute(strategy: Strategy, candles: Candles, lane: str, around: Surroundings | None) -> Computed:
    """Compute indicators, triggers and table of a fresh copy of a strategy, in its surroundings as they were.

    Parameters
    ----------
    strategy
        As it was before the run; it is copied.
    candles
        All that the copy may see.
    lane
        ``"table"`` or ``"candle"``.
    around
        Put back before, so that nothing is remembered from other candles.
    """
    if around is not None:
        around.restore()
    fresh = copy.deepcopy(strategy)
    try:
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):  # the run itself has said them
            found = _columns(fresh, candles, lane)
    except (BacktestError, ValueError, IndexError) as error:  # too few candles for it, say: the same at both lengths
        return Computed(refused=f"{type(error).__name__}: {error}")
    return Computed(found)


def _columns(strategy: Strategy, candles: Candles, lane: str) -> dict[str, NDArray[np.float64]]:
    n = len(candles)
    ind = strategy.indicators(candles)
    found = {f"indicator {name!r}": _column(values, n) for name, values in ind.items()}
    if lane == "table":
        found |= _table_columns(strategy.signals(candles, ind), n)
    elif strategy.has("triggers"):
        triggers = strategy.triggers(candles, ind)
        if triggers is not None:
            found["triggers"] = _column(triggers, n)
    return found


def _column(values: Any, n: int) -> NDArray[np.float64]:
    column = np.asarray(values, np.float64)
    return column if column.shape == (n,) else np.full(n, np.nan)


def _table_columns(table: SignalTable, n: int) -> dict[str, NDArray[np.float64]]:
    """Return the rows of a table as columns over the candles; where a candle has several rows, the last one counts."""
    rows = table.rows
    found = {"signals: rows": np.bincount(rows, minlength=n)[:n].astype(np.float64)}
    values: dict[str, Any] = {name: table.column(name) for name in _TABLE_FIELDS}
    values |= {f"targets[{k}]": table.target(k) for k in range(len(table.targets))}
    values |= {f"dca[{k}][{part}]": table.level(k, part) for k in range(len(table.dca)) for part in range(2)}
    values["side"] = table.sides()
    for name, value in values.items():
        if value is not None:
            column = np.full(n, np.nan)
            column[rows] = value
            found[f"signals: {name}"] = column
    return found
