"""Channel: a strategy, its candles and market, and the subscriber for whom it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.engine.history import MarketHistory
from backtest.errors import InvalidSettingError
from backtest.model.assumptions import VenueAssumptions
from backtest.model.candles import Candles
from backtest.model.market import Market
from backtest.runner.linting import lint_decisions
from backtest.runner.run import run
from backtest.runner.session import Session
from backtest.runner.window import Row, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from backtest.model.profile import SubscriberProfile
    from backtest.runner.lived import Lived
    from backtest.runner.result import Result
    from backtest.runner.shadow import Outcomes
    from backtest.strategy import Strategy

__all__ = ["Channel"]


@dataclass(frozen=True)
class Channel:
    """What is emitted: a strategy on one market, or on several with one account, for a subscriber.

    Attributes
    ----------
    candles, market
        Of one market, or by symbol; all of one timeframe and one exchange.
    profile, assumptions
        Of the subscriber.
    """

    strategy: Strategy
    candles: Candles | Mapping[str, Candles]
    market: Market | Mapping[str, Market]
    profile: SubscriberProfile
    assumptions: VenueAssumptions = VenueAssumptions()  # noqa: RUF009 - frozen

    @property
    def series(self) -> dict[str, Candles]:
        """The candles by symbol, in the engine's order."""
        found = {self.candles.symbol: self.candles} if isinstance(self.candles, Candles) else self.candles
        return dict(sorted(found.items()))

    @property
    def markets(self) -> dict[str, Market]:
        """The markets by symbol, in the engine's order."""
        return {
            symbol: self.market if isinstance(self.market, Market) else self.market[symbol] for symbol in self.series
        }

    @property
    def timeframe(self) -> str:
        """Of all candles."""
        return next(iter(self.series.values())).timeframe

    @property
    def exchange(self) -> str:
        """The one that all signals name.

        Raises
        ------
        InvalidSettingError
            Where there are several: each is a channel of its own.
        """
        named = sorted({market.exchange for market in self.markets.values()})
        if len(named) > 1:
            raise InvalidSettingError(f"all markets of one emission are of one exchange, were of {' and '.join(named)}")
        return named[0]

    def instants(self) -> list[tuple[int, dict[str, Row]]]:
        """Return the open times of all candles in order, UTC ms, each with the candle of every market that has one."""
        found: dict[int, dict[str, Row]] = {}
        for symbol, candles in self.series.items():
            for row in rows_of(candles):
                found.setdefault(row[0], {})[symbol] = row
        return sorted(found.items())

    def session(self, outcomes: Outcomes | None = None) -> Session:
        """Return a fresh session; ``outcomes`` tells its shadow book what becomes of the calls, None: they all get there."""
        empty = {symbol: one.slice(0, 0) for symbol, one in self.series.items()}
        options = {"market": self.markets, "profile": self.profile, "assumptions": self.assumptions}
        return Session(self.strategy, empty, **options, outcomes=outcomes)  # type: ignore[arg-type]  # each fits its own

    def again(self, lived: Lived) -> Result:
        """Run the strategy once more over what an emission of it lived through."""
        return run(self.strategy, profile=self.profile, assumptions=self.assumptions, outcomes=lived)

    def backtest(self, warn: Callable[[str], object]) -> Result:
        """Return the run that emission is to equal; ``warn`` hears what is refused, and what lint says of the rest."""
        options = {"market": self.markets, "profile": self.profile, "assumptions": self.assumptions}
        result = run(self.strategy, self.series, **options)  # type: ignore[arg-type]  # each fits its own
        if result.refused:
            first, number = result.refused[0], len(result.refused)
            were = "1 call is refused" if number == 1 else f"{number:,} calls are refused"
            warn(f"{were} at the desk and not sent; the first, about {first.signal}: {first.reason}")
        for one in lint_decisions(result.calls, self._histories(), self.profile):
            warn(f"{one.sentence} ({one.finding.code})")
        return result

    def _histories(self) -> list[MarketHistory]:
        return [MarketHistory(market, self.series[symbol]) for symbol, market in self.markets.items()]
