"""Session: one strategy on one market, candle by candle, exactly as live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.feed import Feed
from backtest.engine.simulator import SimulatedVenue
from backtest.errors import InvalidCandlesError
from backtest.model.candles import Candles
from backtest.runner.decision import Decision, Refusal
from backtest.runner.desk import Desk, table_rows
from backtest.runner.passes import fresh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.events import Event
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.strategy import Strategy

__all__ = ["Session"]

_COLUMNS = ("time", "open", "high", "low", "close", "volume")


class Session:
    """Feeds closed candles to the engine as a shadow book and asks the strategy at each close.

    Indicators are computed anew over all candles since the first one (the anchor) at every close: prefixes are
    bit-identical to a whole run, sliding windows are not. Nothing after the close is in memory, so a look-ahead in the
    strategy cannot hide here.

    Parameters
    ----------
    candles
        History to begin with, or none: symbol and timeframe of what will come. History is walked, and decided on, by
        :meth:`close` like everything else; this argument only names the series.
    """

    def __init__(
        self,
        strategy: Strategy,
        candles: Candles,
        *,
        market: Market,
        profile: SubscriberProfile,
        assumptions: VenueAssumptions | None = None,
    ) -> None:
        self.strategy, self.market = fresh(strategy), market
        empty = candles.slice(0, 0)
        self._symbol, self._timeframe, self._exchange = candles.symbol, candles.timeframe, candles.exchange
        self._volume_known = candles.volume_known
        self.venue = SimulatedVenue([Feed(market, empty)], profile, assumptions, want_events=False)
        self._desk = Desk(self.strategy, empty, market, self.venue)
        self._table = strategy.has("signals")
        self._n = 0
        self._columns: dict[str, NDArray[Any]] = {
            name: np.zeros(1024, np.int64 if name == "time" else np.float64) for name in _COLUMNS
        }
        self.events: Sequence[Event] = ()
        self.refused: Sequence[Refusal] = ()
        for row in zip(*(getattr(candles, name).tolist() for name in _COLUMNS), strict=True):
            self.close(*row)

    @property
    def candles(self) -> Candles:
        """All candles closed so far."""
        columns: dict[str, Any] = {name: column[: self._n] for name, column in self._columns.items()}
        return Candles(
            self._symbol,
            self._timeframe,
            **columns,
            exchange=self._exchange,
            volume_known=self._volume_known,
            _validated=True,
        )

    def close(self, time: int, open_: float, high: float, low: float, close: float, volume: float) -> list[Decision]:
        """Take one closed candle; return the final calls of its close, already sent to the shadow book.

        Raises
        ------
        InvalidCandlesError
            For a candle that contradicts itself or is not newer than the last one; nothing has changed then.
        """
        self._remember(time, open_, high, low, close, volume)
        self.venue.append(self._symbol, time, open_, high, low, close)
        self.venue.advance()
        self._desk.forget()
        self.events = self.venue.new_events()
        made = self._decide()
        self._desk.send(made)
        self.refused = [one for one in made if isinstance(one, Refusal)]
        return [one for one in made if isinstance(one, Decision)]

    def _decide(self) -> list[Decision | Refusal]:
        candles, strategy, position = self.candles, self.strategy, self._n - 1
        ind = strategy.indicators(candles)
        self._desk.bind(candles, ind)
        if self._table:
            table = strategy.signals(candles, ind)
            return self._desk.decide(position, self.events, asked=False, table=table, rows=table_rows(table, position))
        asked = strategy.has("on_candle")
        if asked:
            triggers = strategy.triggers(candles, ind)
            asked = triggers is None or bool(triggers[position])
        return self._desk.decide(position, self.events, asked=asked)

    def _remember(self, *row: float) -> None:
        time, open_, high, low, close, volume = (np.array([value]) for value in row)
        Candles(self._symbol, self._timeframe, time, open_, high, low, close, volume)  # refuses what contradicts itself
        if self._n and row[0] <= self._columns["time"][self._n - 1]:
            raise InvalidCandlesError(
                f"a candle of {np.datetime64(int(row[0]), 'ms')}Z came after that of {np.datetime64(int(self._columns['time'][self._n - 1]), 'ms')}Z; candles come in order"
            )
        if self._n == len(self._columns["time"]):
            for name, column in self._columns.items():
                self._columns[name] = np.concatenate([column, np.zeros_like(column)])
        for name, value in zip(_COLUMNS, row, strict=True):
            self._columns[name][self._n] = value
        self._n += 1
