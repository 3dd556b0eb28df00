"""Desk: one strategy on one market; it turns a close into calls, the same in a backtest, on paper and live."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.book import call_order
from backtest.errors import InvalidSettingError, InvalidSignalError
from backtest.model.calls import (
    Call,
    Cancel,
    CreateSignal,
    Dca,
    Rebuy,
    TakeProfit,
    TrailingStop,
    UpdatePrices,
    create_directions,
    later_side_check,
)
from backtest.model.events import Event, SignalRef, Status
from backtest.model.signal import LiveSignal
from backtest.strategy.moment import Moment
from backtest.strategy.plan import plan_of
from backtest.wire.tag import signal_tag, tagged, with_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from backtest.engine.simulator import SimulatedVenue
    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.strategy import Indicators, SignalTable, Strategy

__all__ = ["Desk", "created_fields", "final_call", "hears_events", "row_fields", "table_rows"]


class Desk:
    """Asks the strategy at a close and makes its calls final: rounded, named, tagged and in order.

    Everything that could differ between backtest and live happens here, once, before the fork (parity rule 3).
    """

    def __init__(self, strategy: Strategy, candles: Candles, market: Market, venue: SimulatedVenue) -> None:
        self.strategy, self.market, self.venue = strategy, market, venue
        self.symbol, self.timeframe, self.span = candles.symbol, candles.timeframe, candles.milliseconds
        self.plan, self.answers_events = plan_of(strategy), strategy.has("on_event")
        self.hears_events = hears_events(strategy)
        self._returned: list[Call] = []
        self._close_time = 0
        self._living: tuple[LiveSignal, ...] | None = None
        self.bind(candles, {})

    def bind(self, candles: Candles, ind: Indicators) -> None:
        """Show the desk its candles and indicators, whole in a backtest, the prefix so far in a live session."""
        self.candles = candles
        self._higher: dict[str, Candles] = {}
        self.time: memoryview[int] = _view(candles.time)
        self.columns: Mapping[str, memoryview[float]] = {
            name: _view(getattr(candles, name)) for name in ("open", "high", "low", "close", "volume")
        }
        self.ind: Mapping[str, memoryview[float]] = {
            name: _view(_column(name, column, len(candles))) for name, column in ind.items()
        }

    def candles_of(self, timeframe: str, position: int) -> Candles:
        """Return the higher candles that have closed when the candle at a position closes."""
        if timeframe not in self._higher:
            self._higher[timeframe] = self.candles.resample(timeframe)
        higher = self._higher[timeframe]
        return higher.slice(0, int(np.searchsorted(higher.close_time, self.time[position] + self.span, "right")))

    def forget(self) -> None:
        """Ask anew what lives: the venue went on."""
        self._living = None

    def living(self) -> tuple[LiveSignal, ...]:
        """Return the living signals, pending ones and those returned at this close included."""
        if self._living is None:
            pending = [self._unborn(self.venue.create_of(ref), 0) for ref in self.venue.pending(self.symbol)]
            self._living = (*self.venue.living(self.symbol), *pending)
        if self._returned:
            return (
                *self._living,
                *(self._unborn(call, self._close_time) for call in self._returned if isinstance(call, CreateSignal)),
            )
        return self._living

    def decide(
        self,
        position: int,
        events: Sequence[Event],
        *,
        asked: bool,
        table: SignalTable | None = None,
        rows: Iterable[int] = (),
    ) -> list[Call]:
        """Return the final calls of one close: ``on_event`` in event order, then ``on_candle`` or rows of the table.

        A table with ``while_open="skip"`` makes nothing of a row while a signal of the market lives.

        Raises
        ------
        InvalidSignalError
            Naming the candle, the field and the value.
        """
        now = Moment(self, position)
        self._start(position)
        try:
            if self.answers_events:
                for event in events:
                    self._take(self.strategy.on_event(now, event))
            if table is not None:
                self._take_rows(table, rows)
            if asked:
                self._take(self.strategy.on_candle(now))
            self._manage(position, events)
            return self._finish()
        except InvalidSignalError as error:
            raise self._named(error) from None
        finally:
            self._returned = []

    def collect(self, position: int, returned: Iterable[Call] | None) -> list[Call]:
        """Make final what ``on_candle`` returned; for the hot loop, which has called it already."""
        if returned is None:
            return []
        self._start(position)
        try:
            self._take(returned)
            self._manage(position, ())
            return self._finish()
        except InvalidSignalError as error:
            raise self._named(error) from None
        finally:
            self._returned = []

    def create(self, close_time: int, fields: dict[str, Any]) -> CreateSignal:
        """Return a create of this market with its prices on the tick, its ref and its tag."""
        return self.numbered_create(close_time, fields, sum(isinstance(call, CreateSignal) for call in self._returned))

    def refs(self, close_times: Iterable[int], numbers: Iterable[int]) -> list[SignalRef]:
        """Return our names of creates: each has a number, from 0, among those of its close."""
        symbol = self.symbol
        return [SignalRef(f"{symbol}-{at}-{number}") for at, number in zip(close_times, numbers, strict=True)]

    def numbered_create(self, close_time: int, fields: dict[str, Any], number: int) -> CreateSignal:
        """Return the create of a given number among those of a close."""
        market = self.market
        final = created_fields(fields, market)
        final["attachment_description"] = tagged(final.get("attachment_description"), self._tag(close_time, number))
        return CreateSignal(
            coin=market.coin,
            trade_market=market.trade_market,
            exchange=market.exchange,
            ref=self.refs((close_time,), (number,))[0],
            **final,
        )

    def next_ask(self, close_time: int) -> int | None:
        """Return the next instant after a close at which the plan must be asked, events or not; None: never."""
        return None if self.plan is None else self.plan.asks_at(self.living(), close_time, self.span)

    def _manage(self, position: int, events: Sequence[Event]) -> None:
        """Add what the strategy's plan wants at this close, after the strategy's own calls."""
        if self.plan is not None:
            for call in self.plan.at_close(Moment(self, position), tuple(self._returned), events):
                self._add(call)

    def _start(self, position: int) -> None:
        self._returned = []
        self._close_time = self.time[position] + self.span

    def _finish(self) -> list[Call]:
        """Order the calls of this close; one about a signal created at this close follows its create."""
        if len(self._returned) < 2:
            return self._returned
        born = {call.ref for call in self._returned if isinstance(call, CreateSignal)}
        last = call_order(CreateSignal)
        return sorted(
            self._returned,
            key=lambda call: (
                last if not isinstance(call, CreateSignal) and call.signal in born else call_order(type(call))
            ),
        )

    def _take_rows(self, table: SignalTable, rows: Iterable[int]) -> None:
        for k in rows:
            if table.while_open == "skip" and self.living():
                continue
            create = self.create(self._close_time, row_fields(table, k))
            self._add(create)
            for call in table.calls_after(k, create.ref):
                self._add(call)

    def _take(self, returned: Iterable[Call] | None) -> None:
        if returned is None:
            return
        single = isinstance(returned, Call)  # a lane may return one call instead of yielding it
        for call in (returned,) if single else returned:
            self._add(call)

    def _add(self, call: object) -> None:
        if isinstance(call, CreateSignal):
            self._returned.append(self._numbered(call))
            return
        if not isinstance(call, TakeProfit | TrailingStop | Rebuy | Dca | UpdatePrices | Cancel):
            raise InvalidSettingError(
                f"{type(self.strategy).__name__} returned {call!r}; a strategy returns calls such as now.create(...) "
                "or UpdatePrices(...)"
            )
        self._returned.append(final_call(call, self.create_of(call.signal), self.market))

    def create_of(self, ref: SignalRef) -> CreateSignal:
        """Return the create of a signal, one returned at this close included."""
        for call in self._returned:
            if isinstance(call, CreateSignal) and call.ref == ref:
                return call
        return self.venue.create_of(ref)

    def _numbered(self, call: CreateSignal) -> CreateSignal:
        """Give a create its place among those of this close; one made by hand is rounded and addressed here."""
        number = sum(isinstance(other, CreateSignal) for other in self._returned)
        (ref,) = self.refs((self._close_time,), (number,))
        if call.ref == ref:
            return call
        if (call.coin, call.trade_market) != (self.market.coin, self.market.trade_market):
            raise InvalidSignalError(
                f"coin and trade_market were {call.symbol}; this strategy runs on {self.market.coin}/{self.market.trade_market}",
                "coin",
            )
        text = (
            (call.attachment_description or "").rpartition("ref:")[0].rstrip()
            if call.ref
            else call.attachment_description
        )
        return with_tag(
            replace(call.rounded(self.market), ref=ref, attachment_description=text or None),
            self._tag(self._close_time, number),
        )

    def _tag(self, close_time: int, number: int) -> str:
        return signal_tag(self.strategy.identity, self.symbol, self.timeframe, close_time, number)

    def _unborn(self, call: CreateSignal, created: int) -> LiveSignal:
        targets = (*call.targets, *([None] * (6 - len(call.targets))))
        return LiveSignal(
            call.ref,
            self.symbol,
            call.side,
            Status.PENDING,
            call.stop_loss,
            trailing=False,
            targets=targets,
            average_entry=None,
            open_quantity=0.0,
            created=created,
        )

    def _named(self, error: InvalidSignalError) -> InvalidSignalError:
        when = np.datetime64(int(self._close_time), "ms")
        return InvalidSignalError(
            f"{type(self.strategy).__name__} on {self.symbol} at the close of {when}Z: {error}", error.field
        )


def hears_events(strategy: Strategy) -> bool:
    """Whether a strategy, or its plan, wants to be asked at closes that brought events."""
    return strategy.has("on_event") or plan_of(strategy) is not None


def final_call(
    call: TakeProfit | TrailingStop | Rebuy | Dca | UpdatePrices | Cancel, create: CreateSignal, market: Market
) -> Call:
    """Return a call about a signal with its prices on the tick, its trailing limit held against the signal's side."""
    later_side_check(call, create.side)
    if isinstance(call, Cancel):
        return call
    if isinstance(call, UpdatePrices):
        return call.rounded(market, create.side, split=create.is_split, lone=create.entry_price_min is None)
    return call.rounded(market, create.side)


def created_fields(fields: dict[str, Any], market: Market) -> dict[str, Any]:
    """Return the fields of a create with prices on the tick (L3.6); ``side`` +1 or -1 becomes ``type``."""
    fields = {name: value for name, value in fields.items() if value is not None}
    side = fields.pop("side", 1)
    if side not in (1, -1):
        raise InvalidSignalError(f'side is "long" or "short", was {side!r}', "type")
    grid = market.price_grid
    split = any(name.startswith("invest_entry_") for name in fields)
    gain = grid.up if side > 0 else grid.down
    for name, way in create_directions(side, split=split, lone="entry_price_min" not in fields).items():
        if name in fields:
            price = _price(name, fields[name])
            fields[name] = grid.up(price) if way > 0 else grid.down(price)
    fields["targets"] = tuple(
        None if price is None else gain(_price(f"exit_price_{k}", price))
        for k, price in enumerate(fields.get("targets", ()), 1)
    )
    fields["invest"] = float(fields["invest"]) if "invest" in fields else None
    if "ttl_buy_order" in fields:
        fields["ttl_buy_order"] = int(fields["ttl_buy_order"])
    return {**fields, "type": "long" if side > 0 else "short"}


def _price(name: str, value: Any) -> float:
    """Return a price as a float; refuse what cannot be rounded, NaN and infinity included."""
    try:
        price = float(value)
    except (TypeError, ValueError):
        price = float("nan")
    if not 0.0 < price < float("inf"):
        raise InvalidSignalError(f"{name} is a finite number above 0, was {value!r}", name)
    return price


def _view(column: NDArray[Any]) -> memoryview[Any]:
    """Return a column as a memoryview: reading one number from it is three times faster than from numpy."""
    return memoryview(column)  # type: ignore[arg-type]


def _column(name: str, column: Any, n: int) -> NDArray[np.float64]:
    values = np.ascontiguousarray(column, np.float64)
    if values.shape != (n,):
        raise InvalidSettingError(
            f"indicator {name!r} has shape {values.shape}; it needs one value for each of the {n} candles"
        )
    return values


def table_rows(table: SignalTable, position: int) -> range:
    """Return which rows of a table decide at one candle."""
    first, last = np.searchsorted(table.rows, [position, position + 1])
    return range(int(first), int(last))


def row_fields(table: SignalTable, k: int) -> dict[str, Any]:
    """Return the fields of one row of a table, as :meth:`Moment.create` gives them."""
    return {
        **table.row(k),
        "account": table.account,
        "margin_type": table.margin_type,
        "version": table.version,
        "allow_no_stop": table.allow_no_stop,
    }
