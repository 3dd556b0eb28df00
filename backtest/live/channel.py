"""Channel: a strategy, its candles and market, and the subscriber for whom it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.engine.feed import Feed
from backtest.model.assumptions import VenueAssumptions
from backtest.runner.execute import prepare
from backtest.runner.linting import lint_decisions
from backtest.runner.passes import walk_pass
from backtest.runner.run import lane_of, run
from backtest.runner.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.execute import Execution
    from backtest.runner.result import Result
    from backtest.runner.shadow import Outcomes
    from backtest.strategy import Strategy

__all__ = ["Channel"]


@dataclass(frozen=True)
class Channel:
    """What is emitted: a strategy on one market, for a subscriber."""

    strategy: Strategy
    candles: Candles
    market: Market
    profile: SubscriberProfile
    assumptions: VenueAssumptions = VenueAssumptions()  # noqa: RUF009 - frozen

    def session(self, outcomes: Outcomes | None = None) -> Session:
        """Return a fresh session; ``outcomes`` tells its shadow book what becomes of the calls, None: they all get there."""
        options = {"market": self.market, "profile": self.profile, "assumptions": self.assumptions}
        return Session(self.strategy, self.candles.slice(0, 0), **options, outcomes=outcomes)  # type: ignore[arg-type]  # each fits its own

    def again(self, count: int, outcomes: Outcomes) -> Execution:
        """Run the strategy once more over the first candles, with what became of its calls.

        Parameters
        ----------
        count
            Of candles.
        outcomes
            What was told.
        """
        feed = Feed(self.market, self.candles.slice(0, count))
        prepared = [prepare(self.strategy, feed, lane=lane_of(self.strategy))]
        return walk_pass(self.strategy, prepared, self.profile, self.assumptions, outcomes=outcomes)

    def backtest(self, warn: Callable[[str], object]) -> Result:
        """Return the run that emission is to equal; ``warn`` hears what is refused, and what lint says of the rest."""
        options = {"market": self.market, "profile": self.profile, "assumptions": self.assumptions}
        result = run(self.strategy, self.candles, **options)  # type: ignore[arg-type]  # each fits its own
        if result.refused:
            first, number = result.refused[0], len(result.refused)
            were = "1 call is refused" if number == 1 else f"{number:,} calls are refused"
            warn(f"{were} at the desk and not sent; the first, about {first.signal}: {first.reason}")
        for one in lint_decisions(result.calls, [Feed(self.market, self.candles)], self.profile):
            warn(f"{one.sentence} ({one.finding.code})")
        return result
