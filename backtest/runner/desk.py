"""Desk: one strategy on one market; it turns a close into calls, the same in a backtest, on paper and live."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

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
    call_order,
    placed_call,
    require_version,
)
from backtest.model.events import Event, SignalRef, Status
from backtest.model.intake import Condition, create_on_tick, create_relations, first_broken, leverage_condition
from backtest.model.signal import LiveSignal
from backtest.runner.decision import Decision, Refusal
from backtest.strategy.moment import Moment
from backtest.strategy.plan import plan_of
from backtest.wire.tag import signal_tag, tag_of, tagged, with_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from backtest.engine.simulator import SimulatedVenue
    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.runner.shadow import Shadow
    from backtest.strategy import Indicators, SignalTable, Strategy
    from backtest.strategy.plan import Plan

    Made = Decision | Refusal
    _Judged = tuple[CreateSignal, tuple[int, int], Condition | None, bool]

__all__ = ["Desk", "columns_of", "hears_events", "refusal_reason", "row_fields", "table_rows", "taken"]


class Desk:
    """Asks the strategy at a close and makes its calls final: rounded, named, tagged and in order.

    Everything that could differ between backtest and live happens here, once, before the fork (parity rule 3): a call
    whose prices are out of order is refused here too, alone, and the run goes on (L3.8).

    Parameters
    ----------
    strategy
        Whom to ask.
    candles, market
        Of which symbol; candles are shown again with :meth:`bind` as they come.
    venue
        The engine that knows what lives, and to which :meth:`send` gives what was made.
    strict
        Whether the first call that would be refused is an error instead.
    """

    def __init__(
        self, strategy: Strategy, candles: Candles, market: Market, venue: SimulatedVenue, *, strict: bool = False
    ) -> None:
        self.strategy, self.market, self.venue, self.strict = strategy, market, venue, strict
        self.shadow: Shadow | None = None
        """Where it is given, calls are held there until it is known what became of them."""
        self.symbol, self.timeframe, self.span = candles.symbol, candles.timeframe, candles.milliseconds
        self.plan, self.answers_events = plan_of(strategy), strategy.has("on_event")
        self.hears_events = hears_events(strategy)
        self._returned: list[Call] = []
        self._made: list[Made] = []
        self._judged: dict[int, _Judged] = {}  # by the identity of the create
        self._born: dict[SignalRef, CreateSignal] = {}
        self._refused: set[SignalRef] = set()
        self._stops: dict[SignalRef, float | None] = {}
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
            name: _view(column) for name, column in columns_of(ind, len(candles)).items()
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
        if self._living is None and self.shadow is None and not self.venue.has_living(self.symbol):
            self._living = ()
        elif self._living is None:
            creates = [self.venue.create_of(ref) for ref in self.venue.pending(self.symbol)]
            if self.shadow is not None:
                creates += self.shadow.waiting(self.symbol)
            self._living = (*self.venue.living(self.symbol), *[self._unborn(create, 0) for create in creates])
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
    ) -> list[Made]:
        """Return the final calls of one close: ``on_event`` in event order, then ``on_candle`` or rows of the table.

        A table with ``while_open="skip"`` makes nothing of a row while a signal of the market lives.

        Parameters
        ----------
        position
            Of the candle that has closed.
        events
            Of this market since the last close, in order (L1.4).
        asked
            Whether ``on_candle`` is asked.
        table, rows
            A signal table, and which of its rows decide at this close.

        Raises
        ------
        InvalidSignalError
            For a fault of the strategy's code, naming the candle, the field and the value.
        """
        now = Moment(self, position)
        self._close_time = self.time[position] + self.span
        try:
            if self.answers_events:
                for event in events:
                    self._take(self.strategy.on_event(now, event))
            if table is not None:
                self._take_rows(table, rows)
            if asked:
                self._take(self.strategy.on_candle(now))
            if self.plan is not None:
                self._manage(self.plan, now, events)
            return self._ordered() if len(self._made) > 1 else self._made
        except InvalidSignalError as error:
            raise self.named(error, self._close_time) from None
        finally:
            self._clear()

    def collect(self, position: int, returned: Iterable[Call] | None) -> list[Made]:
        """Make final what ``on_candle`` returned; for the hot loop, which has called it already."""
        if returned is None:
            self._clear()
            return []
        self._close_time = self.time[position] + self.span
        try:
            self._take(returned)
            if self.plan is not None:
                self._manage(self.plan, Moment(self, position), ())
            return self._ordered() if len(self._made) > 1 else self._made
        except InvalidSignalError as error:
            raise self.named(error, self._close_time) from None
        finally:
            self._clear()

    def send(self, made: Iterable[Made]) -> None:
        """Give what was made to the venue; what was refused is refused there, where it would have acted."""
        if self.shadow is not None:
            self.shadow.hold(made)
            self.forget()
            return
        for one in made:
            if isinstance(one, Decision):
                self.venue.send(one.call, one.at)
            else:
                self.venue.refuse(one.call, one.at, one.reason if one.rule == "L3.8" else None)
        self.forget()

    def recall(self, made: Made) -> None:
        """Send what was made before, and remember of it what later closes need."""
        self.remember(made)
        self.send((made,))

    def remember(self, made: Made) -> None:
        """Take note of what later closes need of something that was made before, and is sent already or about to be."""
        if isinstance(made, Refusal):
            if isinstance(made.call, CreateSignal):
                self._refused.add(made.signal)
        elif not isinstance(made.call, CreateSignal):
            self._note_stop(made.call, self.venue.create_of(made.signal))

    def create(self, close_time: int, fields: dict[str, Any]) -> CreateSignal:
        """Return a create of this market with its prices on the tick, its ref and its tag.

        Parameters
        ----------
        close_time
            Of the candle that decides, UTC ms.
        fields
            As :meth:`Moment.create` gives them; absent ones None.
        """
        found, broken, after = taken(fields, self.market)
        number = len(self._born)
        create = self.numbered_create(close_time, found, number)
        self._judged[id(create)] = create, (close_time, number), broken, after
        return create

    def refs(self, close_times: Iterable[int], numbers: Iterable[int]) -> list[SignalRef]:
        """Return our names of creates: each has a number, from 0, among those of its close."""
        return [self._ref(at, number) for at, number in zip(close_times, numbers, strict=True)]

    def numbered_create(self, close_time: int, fields: dict[str, Any], number: int) -> CreateSignal:
        """Return the create of a given number among those of a close; ``fields`` as :func:`taken` made them."""
        market, tag = self.market, self._tag(close_time, number)
        named = {
            **fields,
            "coin": market.coin,
            "trade_market": market.trade_market,
            "exchange": market.exchange,
            "ref": self._ref(close_time, number),
            "attachment_description": tagged(fields.get("attachment_description"), tag),
        }
        if market.attachments_url and named.get("attachment_image1_url") is None:
            named["attachment_image1_url"] = self._picture(tag)
        return CreateSignal(**named)

    def next_ask(self, close_time: int) -> int | None:
        """Return the next instant after a close at which the plan must be asked, events or not; None: never."""
        return None if self.plan is None else self.plan.asks_at(self.living(), close_time, self.span)

    def _manage(self, plan: Plan, now: Moment, events: Sequence[Event]) -> None:
        """Add what the strategy's plan wants at this close, after the strategy's own calls."""
        for call in plan.at_close(now, tuple(self._returned), events):
            self._add(call)

    def _clear(self) -> None:
        """Forget what belongs to one close only."""
        if self._born or self._made or self._judged:
            self._returned, self._made, self._judged, self._born = [], [], {}, {}

    def _ordered(self) -> list[Made]:
        """Order the calls of this close; one about a signal created at this close follows its create."""
        last = call_order(CreateSignal)
        return sorted(
            self._made,
            key=lambda made: (
                last
                if not isinstance(made.call, CreateSignal) and made.call.signal in self._born
                else call_order(type(made.call))
            ),
        )

    def _take_rows(self, table: SignalTable, rows: Iterable[int]) -> None:
        for k in rows:
            if table.while_open == "skip" and self.living():
                continue
            create = self.create(self._close_time, row_fields(table, k))
            self._take_create(create)
            for call in table.calls_after(k, create.ref):
                self._take_later(call)

    def _take(self, returned: Iterable[Call] | None) -> None:
        if returned is None:
            return
        single = isinstance(returned, Call)  # a lane may return one call instead of yielding it
        for call in (returned,) if single else returned:
            self._add(call)

    def _add(self, call: object) -> None:
        if isinstance(call, CreateSignal):
            self._take_create(call)
        elif isinstance(call, TakeProfit | TrailingStop | Rebuy | Dca | UpdatePrices | Cancel):
            self._take_later(call)
        else:
            raise InvalidSettingError(
                f"{type(self.strategy).__name__} returned {call!r}; a strategy returns calls such as now.create(...) "
                "or UpdatePrices(...)"
            )

    def create_of(self, ref: SignalRef) -> CreateSignal:
        """Return the create of a signal, one returned at this close included.

        Raises
        ------
        InvalidSignalError
            If it was never created.
        """
        return self._born[ref] if ref in self._born else self.venue.create_of(ref)

    def _take_create(self, call: CreateSignal) -> None:
        """Give a create its place among those of this close; one made by hand is rounded and addressed here."""
        place = self._close_time, len(self._born)
        judged = self._judged.get(id(call))
        if judged is None:
            call, broken, after = self._by_hand(call)
            call = self._renamed(call, place)
        else:
            _, named, broken, after = judged
            if named != place:
                call = self._renamed(call, place)
        self._born[call.ref] = call
        if broken is not None:
            self._refused.add(call.ref)
            self._refuse(call, broken, after_rounding=after)
            return
        self._returned.append(call)
        self._made.append(Decision(self._close_time, call))

    def _by_hand(self, call: CreateSignal) -> tuple[CreateSignal, Condition | None, bool]:
        """Judge a create that :meth:`create` did not make, or that was changed since."""
        if (call.coin, call.trade_market) != (self.market.coin, self.market.trade_market):
            raise InvalidSignalError(
                f"coin and trade_market were {call.symbol}; this strategy runs on {self.market.coin}/{self.market.trade_market}",
                "coin",
            )
        _require(leverage_condition(call.leverage, call.account))
        placed = call.rounded(self.market)
        broken = first_broken(placed.relations())
        return placed, broken, broken is not None and first_broken(call.relations()) is None

    def _renamed(self, call: CreateSignal, place: tuple[int, int]) -> CreateSignal:
        """Return a create with the ref and the tag of a close and of its number there; unchanged where it has them."""
        ref = self._ref(*place)
        if call.ref == ref:
            return call
        text = call.attachment_description
        if call.ref:
            text = (text or "").rpartition("ref:")[0].rstrip()
        tag, url = self._tag(*place), call.attachment_image1_url
        if self.market.attachments_url and (
            url is None or url == self._picture(tag_of(call.attachment_description) or "")
        ):
            url = self._picture(tag)
        return with_tag(replace(call, ref=ref, attachment_description=text or None, attachment_image1_url=url), tag)

    def _take_later(self, call: TakeProfit | TrailingStop | Rebuy | Dca | UpdatePrices | Cancel) -> None:
        """Make a call about a signal final; one about a create that was refused at this close vanishes with it."""
        ref, create = call.signal, self.create_of(call.signal)
        if ref in self._refused:
            if ref not in self._born:
                reason = f"INVALID_INPUT_CONTENT: signal {ref} was refused when it was created"
                self._made.append(Refusal(self._close_time, call, "ref", None, reason, "L11.3"))
            return
        placed = placed_call(call, create, self.market)
        broken = first_broken(self._relations(placed, create))
        if broken is not None:
            is_rounded = first_broken(self._relations(call, create)) is None
            self._refuse(placed, broken, after_rounding=is_rounded)
            return
        self._note_stop(placed, create)
        self._returned.append(placed)
        self._made.append(Decision(self._close_time, placed))

    def _relations(self, call: Call, create: CreateSignal) -> Iterator[Condition]:
        """Return the order in which the prices of a later call must stand."""
        if isinstance(call, Dca | Rebuy):
            return call.relations(create.side, self._stops.get(create.ref, create.stop_loss))
        return iter(()) if isinstance(call, Cancel | CreateSignal) else call.relations(create.side)

    def _note_stop(self, call: Call, create: CreateSignal) -> None:
        """Keep the farthest stop that may be in force, before which a later buy is certainly not reached.

        None where a trailing stop may stand anywhere, even farther away (L8.2), or where the create had no stop: an update
        that brings one may be refused by the venue.
        """
        if isinstance(call, UpdatePrices) and call.stop_loss is not None:
            stop = self._stops.get(create.ref, create.stop_loss)
            if stop is not None and create.side * call.stop_loss < create.side * stop:
                self._stops[create.ref] = call.stop_loss
        elif isinstance(call, TrailingStop | TakeProfit | Rebuy) and call.trailing_stop_price is not None:
            self._stops[create.ref] = None

    def _refuse(self, call: Call, broken: Condition, *, after_rounding: bool) -> None:
        reason = refusal_reason(broken, self.market, after_rounding=after_rounding)
        if self.strict:
            raise InvalidSignalError(reason, broken.field)
        self._made.append(Refusal(self._close_time, call, broken.field, broken.value, reason))

    def _ref(self, close_time: int, number: int) -> SignalRef:
        return SignalRef(f"{self.symbol}-{close_time}-{number}")

    def _tag(self, close_time: int, number: int) -> str:
        return signal_tag(self.strategy.identity, self.symbol, self.timeframe, close_time, number)

    def _picture(self, tag: str) -> str:
        """Return where the picture of a signal will be."""
        return f"{self.market.attachments_url}/{tag}.png"

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

    def named(self, error: InvalidSignalError, close_time: int) -> InvalidSignalError:
        """Return an error with the strategy, the symbol and the close (UTC ms) at which it happened."""
        when = np.datetime64(int(close_time), "ms")
        return InvalidSignalError(
            f"{type(self.strategy).__name__} on {self.symbol} at the close of {when}Z: {error}", error.field
        )


def hears_events(strategy: Strategy) -> bool:
    """Whether a strategy, or its plan, wants to be asked at closes that brought events."""
    return strategy.has("on_event") or plan_of(strategy) is not None


def taken(fields: Mapping[str, Any], market: Market) -> tuple[dict[str, Any], Condition | None, bool]:
    """Bring the fields of a create onto the tick (L3.6) and judge the order of its prices (L3.8).

    Parameters
    ----------
    fields
        As :meth:`Moment.create` and :func:`row_fields` give them: ``side`` is +1 or -1, absent fields are None.
    market
        Whose tick.

    Returns
    -------
    tuple
        The fields of :class:`CreateSignal`, prices on the tick; the first relation between prices that does not hold, or
        None; and whether that one held before the prices came onto the tick.

    Raises
    ------
    InvalidSignalError
        For a price or size that is no number, an unknown side or version, a description that is no text, or leverage on
        SPOT.
    """
    found = {name: value for name, value in fields.items() if value is not None}
    side = found.pop("side", 1)
    if side not in _SIDES:
        raise InvalidSignalError(f'side is "long" or "short", was {side!r}', "type")
    prices = {name: _price(name, found.pop(name)) for name in _PRICES if name in found}
    targets = []
    for k, price in enumerate(found.pop("targets", ()), 1):
        targets.append(name := f"exit_price_{k}")
        if price is not None:
            prices[name] = _price(name, price)
    split = not found.keys().isdisjoint(_SHARES)
    placed = create_on_tick(market.price_grid, prices, side, split=split)
    broken, after, version = None, False, found.get("version", 2)
    _require_kinds(found, version)
    if "entry_price_max" in placed:
        broken = first_broken(create_relations(placed, side, version=version))
    if broken is not None:
        after = first_broken(create_relations(prices, side, version=version)) is None
    if "leverage" in found:
        _require(leverage_condition(found["leverage"], found.get("account")))
    found["type"] = "long" if side > 0 else "short"
    found["targets"] = tuple([placed.pop(name, None) for name in targets])
    found["invest"] = float(found["invest"]) if "invest" in found else None
    if "ttl_buy_order" in found:
        found["ttl_buy_order"] = int(found["ttl_buy_order"])
    found.update(placed)
    return found, broken, after


def refusal_reason(broken: Condition, market: Market, *, after_rounding: bool) -> str:
    """Return the sentence of a refusal; ``after_rounding`` says that the market's tick did it."""
    return f"{broken.sentence}, after rounding to the tick {market.tick}" if after_rounding else broken.sentence


_PRICES = ("entry_price_min", "entry_price_mid", "entry_price_max", "stop_loss")
_SHARES = ("invest_entry_min", "invest_entry_mid", "invest_entry_max")
_SIZES = ("invest", "leverage", *_SHARES)
_SIDES = (1, -1)


def _require(broken: Condition) -> None:
    if broken.broken:
        raise InvalidSignalError(broken.sentence, broken.field)


def _require_kinds(found: Mapping[str, Any], version: Any) -> None:
    """Refuse what is no number, no text or no version, before anything is computed with it."""
    require_version(version)
    for name in _SIZES:
        if type(size := found.get(name, 1.0)) is not float:
            _price(name, size)
    text = found.get("attachment_description")
    if text is not None and not isinstance(text, str):
        raise InvalidSignalError(f"attachment_description is text, was {text!r}", "attachment_description")


def _price(name: str, value: Any) -> float:
    """Return a price as a float; refuse what cannot be rounded, NaN and infinity included."""
    try:
        price = float(value)
    except (TypeError, ValueError):
        price = math.nan
    if not -math.inf < price < math.inf:
        raise InvalidSignalError(f"{name} is a finite number above 0, was {value!r}", name)
    return price


def _view(column: NDArray[Any]) -> memoryview[Any]:
    """Return a column as a memoryview: reading one number from it is three times faster than from numpy."""
    return memoryview(column)  # type: ignore[arg-type]


def columns_of(ind: Indicators, n: int) -> dict[str, NDArray[np.float64]]:
    """Return indicators as contiguous columns.

    Parameters
    ----------
    ind
        As a strategy returned them.
    n
        How many candles there are.

    Raises
    ------
    InvalidSettingError
        For one that has not one value for each candle.
    """
    return {name: _column(name, column, n) for name, column in ind.items()}


def _column(name: str, column: Any, n: int) -> NDArray[np.float64]:
    values = np.ascontiguousarray(column, np.float64)
    if values.shape != (n,):
        raise InvalidSettingError(
            f"indicator {name!r} has shape {values.shape}; it needs one value for each of the {n} candles"
        )
    return values


def table_rows(table: SignalTable, position: int) -> range:
    """Return which rows of a table decide at one candle."""
    rows = table.rows
    if not len(rows) or rows[-1] < position:  # as at nearly every close of a session
        return range(0)
    first = int(rows.searchsorted(position))
    return range(first, first if first == len(rows) else int(rows.searchsorted(position, "right")))


def row_fields(table: SignalTable, k: int) -> dict[str, Any]:
    """Return the fields of one row of a table, as :meth:`Moment.create` gives them."""
    return {
        **table.row(k),
        "account": table.account,
        "margin_type": table.margin_type,
        "version": table.version,
        "allow_no_stop": table.allow_no_stop,
    }
