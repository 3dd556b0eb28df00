"""Finished: a run that has ended, with all that is needed to walk it again in another reading of the candles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.parameters import MODES
from backtest.runner.checks.verdict import Checks
from backtest.runner.frames import trades_columns
from backtest.runner.passes import state_sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from backtest.engine.curve import Curve
    from backtest.engine.history import MarketHistory
    from backtest.engine.simulator import SimulatedVenue
    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.call_log import CallLog
    from backtest.runner.checks.checked import Checked, Level
    from backtest.runner.execute import Execution, Prepared
    from backtest.strategy import Strategy

__all__ = ["Finished"]


@dataclass(frozen=True, eq=False)
class Finished:
    """One mode of a run, walked to its end.

    Attributes
    ----------
    strategy
        What decided: a strategy, or a call log in its place.
    prepared
        What was computed once over each market's candles.
    profile, assumptions
        On which the signals were executed.
    execution
        The venue as it stands at the end, and the calls.
    walk
        ``walk(strategy, prepared, profile, assumptions)`` makes another mode.
    checked
        What the checks need of a strategy's run; None for a call log.
    level
        How thoroughly it is checked: ``"auto"``, ``"full"`` or ``"off"``.
    ledger_problem
        Why the ledger of trials could not be written, or "".
    """

    strategy: Strategy | CallLog
    prepared: Sequence[Prepared]
    profile: SubscriberProfile
    assumptions: VenueAssumptions
    execution: Execution
    walk: Callable[..., Execution]
    checked: Checked | None = None
    level: Level = "off"
    ledger_problem: str = ""

    @property
    def histories(self) -> list[MarketHistory]:
        """The markets, by name of the symbol."""
        return [part.history for part in self.prepared]

    @property
    def venue(self) -> SimulatedVenue:
        """The venue at the end, its signals named."""
        self.execution.name_signals()
        return self.execution.venue

    @cached_property
    def checks(self) -> Checks:
        """What the checks of the strategy found, made when first asked for."""
        from backtest.runner.checks.checking import check_run

        return Checks("off") if self.checked is None else check_run(self.checked, self.level)

    @cached_property
    def _passes(self) -> tuple[dict[str, float], str | None, list[Curve]]:
        """Total return by mode, what the passes contradict each other in, and the equity of each.

        The other two passes themselves are not kept.
        """
        runs = {}
        for mode in MODES:
            runs[mode] = self.execution
            if mode != self.profile.intrabar:
                profile = self.profile.model_copy(update={"intrabar": mode})
                runs[mode] = self.walk(self.strategy, self.prepared, profile, self.assumptions)
        curves = [run.venue.curve for run in runs.values()]
        found = {mode: curve.final / self.profile.balance - 1.0 for mode, curve in zip(runs, curves, strict=True)}
        return found, state_sentence(runs), curves

    @property
    def total_return(self) -> dict[str, float]:
        """Total return as a fraction in each intrabar mode, each a run of its own (L2.3)."""
        return self._passes[0]

    @cached_property
    def equity_bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n,) equity at each close, the lowest and the highest of the three modes, quote currency."""
        curves = self._passes[2]
        values = [curve.values() for curve in curves]
        lowest, highest = reduce(np.minimum, values), reduce(np.maximum, values)
        curves.clear()  # they may be as long as what they came to
        return lowest, highest

    @property
    def state(self) -> str | None:
        """The sentence about a strategy that keeps state; None where nothing was seen of it."""
        return self._passes[1]

    @cached_property
    def ambiguous(self) -> dict[str, float]:
        """Ambiguous candles, the trades they touch and the share of all PnL in those (L2.3); candles too wide (L2.7)."""
        trades = trades_columns(self.venue)
        touched, pnl = trades["ambiguous"], np.abs(trades["pnl"])
        total = float(pnl.sum())
        return {
            "candles": int(self.execution.venue.account.ambiguous),
            "tight_candles": int(self.execution.venue.account.tight),
            "trades": int(touched.sum()),
            "pnl_share": float(pnl[touched].sum()) / total if total else 0.0,
        }
