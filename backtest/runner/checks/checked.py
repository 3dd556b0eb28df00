"""Checked: what the checks get of a run. They themselves are imported where they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.engine.history import MarketHistory
    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.checks.surroundings import Surroundings
    from backtest.runner.execute import Execution
    from backtest.strategy import Strategy

__all__ = ["Checked", "Level"]

Level = Literal["auto", "full", "off"]


@dataclass(frozen=True, slots=True)
class Checked:
    """A finished run, as the checks see it.

    Attributes
    ----------
    strategy
        As it was before the run.
    histories
        The markets with their candles.
    lane
        ``"table"`` or ``"candle"``.
    profile, assumptions
        Of the run.
    execution
        The run, with its calls.
    around, changed
        Its surroundings before the run, and what differed in them afterwards.
    """

    strategy: Strategy
    histories: Sequence[MarketHistory]
    lane: str
    profile: SubscriberProfile
    assumptions: VenueAssumptions
    execution: Execution
    around: Surroundings | None = None
    changed: Sequence[str] = ()
