"""The parts of a management plan: each is data, and says which stop, cancel or DCA it wants."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backtest.model.calls import Dca
from backtest.model.events import EventKind, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backtest.model.calls import Call, CreateSignal
    from backtest.model.events import Event
    from backtest.model.signal import LiveSignal
    from backtest.strategy.moment import Moment

__all__ = ["BreakEvenAt", "DcaLadder", "MovingTarget", "PercentBelowHighest", "TimeStop"]

_Price = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)  # few have a plan


class BreakEvenAt(_Part):
    """When target ``target`` is hit, move the stop to where the position ends without a loss.

    ``include_fees`` adds ``fee`` (a fraction, of the entry and of the exit) to the average entry; a strategy does not
    know the fees of its subscribers, so the plan states the one that it covers. Where the market has already fallen
    back to that price by the close, the stop stays where it is.

    Examples
    --------
    >>> BreakEvenAt(target=2, include_fees=False)
    BreakEvenAt(kind='break_even_at', target=2, include_fees=False, fee=0.001)
    """

    kind: Literal["break_even_at"] = "break_even_at"
    target: int = Field(1, ge=1, le=6)
    include_fees: bool = True
    fee: float = Field(0.001, ge=0.0, lt=0.5, description="rate of one side, a fraction")

    def stop(self, now: Moment, signal: LiveSignal, events: Sequence[Event]) -> float | None:
        """Return break-even after the target was hit."""
        if signal.average_entry is None or self.target not in _hits(events):
            return None
        fee = self.fee if self.include_fees else 0.0
        return signal.average_entry * ((1.0 + fee) / (1.0 - fee)) ** signal.side

    def most_calls(self, create: CreateSignal) -> int:
        """Return 1 if the signal can live on after that target, else 0."""
        return int(self.target in _numbers(create)[:-1])


class MovingTarget(_Part):
    """From target ``from_target`` on, each target that is hit moves the stop to the target before it.

    Before the first target lies the average entry, without fees, as in the subscribers' own trailing take profit (L6.5).

    Examples
    --------
    >>> MovingTarget(from_target=2)
    MovingTarget(kind='moving_target', from_target=2)
    """

    kind: Literal["moving_target"] = "moving_target"
    from_target: int = Field(2, ge=1, le=6)

    def stop(self, now: Moment, signal: LiveSignal, events: Sequence[Event]) -> float | None:
        """Return the target before the highest one that was hit in this candle."""
        reached = [number for number in _hits(events) if number >= self.from_target]
        if not reached:
            return None
        targets = now.create_of(signal.ref).targets[: max(reached) - 1]
        before = [price for price in targets if price is not None]
        return before[-1] if before else signal.average_entry

    def most_calls(self, create: CreateSignal) -> int:
        """Return the number of targets that move the stop and do not end the signal."""
        return sum(number >= self.from_target for number in _numbers(create)[:-1])


class PercentBelowHighest(_Part):
    """Keep the stop ``percent`` below the highest close since the entry, moved in steps.

    It compiles to ``updateprice`` at the closes of candles and not to the API's trailing stop: an update says a percent
    exactly (how a trailing stop's distance is kept is not documented, L8.1), may be repeated without harm, and its
    fills do not depend on the path inside a candle. The price is that it moves at closes only. Highest counts from the
    near entry bound and in steps of ``step_percent``, so that a signal needs a limited number of calls.
    """

    kind: Literal["percent_below_highest"] = "percent_below_highest"
    percent: float = Field(gt=0.0, lt=100.0)
    step_percent: float = Field(0.5, gt=0.0, lt=100.0, description="least gain that moves the stop")

    def stop(self, now: Moment, signal: LiveSignal, events: Sequence[Event]) -> float | None:
        """Return the stop below this close; that of a higher close before it is in force already."""
        if signal.status is not Status.OPEN:
            return None
        near = now.create_of(signal.ref).near_bound
        steps = max(0, self._steps(signal.side * math.log(now.close / near)))
        highest = near * math.pow(1.0 + self.step_percent / 100.0, signal.side * steps)
        return highest * (1.0 - signal.side * self.percent / 100.0)

    def most_calls(self, create: CreateSignal) -> int:
        """Return the steps between the near entry bound and the last target, and the first stop."""
        last = [price for price in create.targets if price is not None][-1]
        return 1 + self._steps(create.side * math.log(last / create.near_bound))

    def _steps(self, gain: float) -> int:
        return math.floor(gain / math.log1p(self.step_percent / 100.0) + 1e-9)


class TimeStop(_Part):
    """Cancel a signal that has not ended ``candles`` candles, or ``milliseconds``, after its create acted.

    It is judged at closes, once, at the first one at or after that instant; what is open is sold at market (L12.1).

    Examples
    --------
    >>> TimeStop(candles=48)
    TimeStop(kind='time_stop', candles=48, milliseconds=None)
    """

    kind: Literal["time_stop"] = "time_stop"
    candles: int | None = Field(None, ge=1)
    milliseconds: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> TimeStop:
        if (self.candles is None) == (self.milliseconds is None):
            raise ValueError("a time stop has either candles or milliseconds")
        return self

    def due(self, signal: LiveSignal, span: int) -> int:
        """Return when the time is over, UTC ms; ``span`` is the length of a candle."""
        return signal.created + (self.milliseconds or (self.candles or 0) * span)

    def is_over(self, now: Moment, signal: LiveSignal) -> bool:
        """Whether the time ran out since the close before this one."""
        return now.previous_close_time < self.due(signal, now.close_time - now.time) <= now.close_time

    def most_calls(self, create: CreateSignal) -> int:
        """Return 1: the cancel."""
        return 1


class DcaLadder(_Part):
    """Buy more in steps below the entry: ``levels`` DCAs that lie ready from the create on.

    The first lies ``step_percent`` below the far entry bound, each further step is ``step_scale`` times the one before;
    ``prices`` names them instead. Each DCA is ``size`` times the original investment, each further one ``size_scale``
    times the one before (L10.1). Levels that the entry already covers, and those that cannot be reached before the
    create's stop, are left out.

    Examples
    --------
    >>> from backtest import CreateSignal
    >>> address = {"coin": "BTC", "trade_market": "USDT", "exchange": "BINANCE", "ref": "BTC/USDT-0-0"}
    >>> create = CreateSignal(**address, invest=5, entry_price_max=100.0, targets=(110.0,), stop_loss=95.0)
    >>> [call.buy_price for call in DcaLadder(levels=3, step_percent=2.0).opening(create)]
    [98.0, 96.0]
    """

    kind: Literal["dca_ladder"] = "dca_ladder"
    levels: int | None = Field(None, ge=1, le=50, description="None: three, or as many as there are prices")
    step_percent: float | None = Field(None, gt=0.0, lt=100.0)
    prices: tuple[_Price, ...] | None = Field(None, min_length=1, max_length=50)
    step_scale: float = Field(1.0, gt=0.0)
    size: float = Field(1.0, gt=0.0, description="multiplier of the first DCA")
    size_scale: float = Field(1.0, gt=0.0)

    @model_validator(mode="after")
    def _steps_or_prices(self) -> DcaLadder:
        if (self.step_percent is None) == (self.prices is None):
            raise ValueError("a DCA ladder has either step_percent or prices")
        if self.prices is not None and self.levels not in (None, len(self.prices)):
            raise ValueError(f"levels was {self.levels} and there are {len(self.prices)} prices; leave levels out")
        depth = sum(self._offsets())
        if depth >= 100.0:
            raise ValueError(f"the last DCA would lie {depth:g} % below the entry; a ladder ends above 0")
        return self

    def opening(self, create: CreateSignal) -> Iterator[Call]:
        """Yield the DCAs of a create, the nearest first."""
        side, stop = create.side, create.stop_loss
        for number, price in enumerate(self._levels(create)):
            is_below = side * price < side * create.far_bound
            if price > 0.0 and is_below and (stop is None or side * price > side * stop):
                yield Dca(create.ref, price, self.size * self.size_scale**number)

    def most_calls(self, create: CreateSignal) -> int:
        """Return the number of DCAs that are sent."""
        return len(list(self.opening(create)))

    def _levels(self, create: CreateSignal) -> list[float]:
        if self.prices is not None:
            return list(self.prices)
        depth, levels = 0.0, []
        for step in self._offsets():
            depth += step
            levels.append(create.far_bound * (1.0 - create.side * depth / 100.0))
        return levels

    def _offsets(self) -> list[float]:
        if self.step_percent is None:
            return []  # prices are given instead
        return [self.step_percent * self.step_scale**number for number in range(self.levels or 3)]


def _hits(events: Sequence[Event]) -> list[int]:
    return [event.target for event in events if event.kind is EventKind.TARGET_HIT and event.target is not None]


def _numbers(create: CreateSignal) -> list[int]:
    """Return the numbers of the targets that a create has."""
    return [number for number, price in enumerate(create.targets, 1) if price is not None]
