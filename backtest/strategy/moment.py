"""Moment: all that a strategy knows at a close."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Protocol

from backtest.errors import InvalidSettingError, InvalidSignalError, did_you_mean
from backtest.model.timeframe import milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.model.calls import CreateSignal
    from backtest.model.candles import Candles
    from backtest.model.events import SignalRef
    from backtest.model.market import Market
    from backtest.model.signal import LiveSignal

__all__ = ["Moment", "View"]

_SIDES = {"long": 1, "short": -1}


class View(Protocol):
    """What a moment asks of whoever runs the strategy."""

    symbol: str
    market: Market
    candles: Candles
    time: memoryview[int]
    span: int
    columns: Mapping[str, memoryview[float]]
    ind: Mapping[str, memoryview[float]]

    def living(self) -> tuple[LiveSignal, ...]:
        """Return the living signals, those returned at this close included."""
        ...

    def candles_of(self, timeframe: str, position: int) -> Candles:
        """Return the higher candles that have closed at a position."""
        ...

    def create(self, close_time: int, fields: dict[str, Any]) -> CreateSignal:
        """Return a create, rounded, with its ref and tag."""
        ...

    def create_of(self, ref: SignalRef) -> CreateSignal:
        """Return the create of a signal, one returned at this close included."""
        ...


class Moment:
    """One close, as a strategy sees it: candle *t* and everything before it, nothing after (L1.2).

    ``now.close`` and its like are the numbers of the candle that has just closed; ``now["atr"]`` is an indicator's value
    at it.

    Examples
    --------
    >>> from backtest import Candles, Strategy, run
    >>> class Once(Strategy):
    ...     def on_candle(self, now):
    ...         if now.position == 3 and now.close > now.previous("close") and not now.signals:
    ...             c = now.close
    ...             yield now.create(entry=(0.99 * c, c), targets=[1.1 * c], stop_loss=0.9 * c, invest=10, ttl="2d")
    >>> calls = run(Once(), Candles.sample("LTC/USD", "1d")).calls
    >>> [type(made.call).__name__ for made in calls]
    ['CreateSignal']
    """

    __slots__ = ("_view", "position")

    def __init__(self, view: View, position: int) -> None:
        self._view = view
        self.position = position

    def __getitem__(self, name: str) -> float:
        """Return an indicator's value at this candle; NaN until it is warm."""
        try:
            return self._view.ind[name][self.position]
        except KeyError:
            raise InvalidSettingError(
                f"there is no indicator {name!r}; there are {', '.join(self._view.ind)}.{did_you_mean(name, self._view.ind)}"
            ) from None

    def previous(self, name: str, k: int = 1) -> float:
        """Return an indicator's value, or a candle's column (``"close"``), ``k`` candles before; NaN before the first."""
        if k < 0:
            raise InvalidSettingError(f"previous looks back by at least 0 candles, was {k}; the future is not known")
        column = self._view.ind.get(name) or self._view.columns.get(name)
        if column is None:
            known = [*self._view.ind, *self._view.columns]
            raise InvalidSettingError(
                f"there is no column {name!r}; there are {', '.join(known)}.{did_you_mean(name, known)}"
            )
        return column[self.position - k] if self.position >= k else float("nan")

    @property
    def symbol(self) -> str:
        """Symbol of the candles."""
        return self._view.symbol

    @property
    def market_rules(self) -> Market:
        """Tick, step and limits."""
        return self._view.market

    @property
    def time(self) -> int:
        """Open time of the candle, UTC ms."""
        return self._view.time[self.position]

    @property
    def close_time(self) -> int:
        """The instant of this moment, UTC ms."""
        return self._view.time[self.position] + self._view.span

    @property
    def previous_close_time(self) -> int:
        """The close before this one, UTC ms; at the first candle its open."""
        time, position = self._view.time, self.position
        return int(time[position - 1]) + self._view.span if position else int(time[0])

    @property
    def open(self) -> float:
        """Open of the candle, quote currency."""
        return self._view.columns["open"][self.position]

    @property
    def high(self) -> float:
        """High of the candle."""
        return self._view.columns["high"][self.position]

    @property
    def low(self) -> float:
        """Low of the candle."""
        return self._view.columns["low"][self.position]

    @property
    def close(self) -> float:
        """Close of the candle."""
        return self._view.columns["close"][self.position]

    @property
    def volume(self) -> float:
        """Volume of the candle, base currency."""
        return self._view.columns["volume"][self.position]

    @property
    def candles(self) -> Candles:
        """All closed candles, this one the last."""
        return self._view.candles.slice(0, self.position + 1)

    def candles_of(self, timeframe: str) -> Candles:
        """Return the candles of a higher timeframe that have closed by now, the newest last; never an unfinished one."""
        return self._view.candles_of(timeframe, self.position)

    @property
    def signals(self) -> tuple[LiveSignal, ...]:
        """The living signals of this symbol, pending ones included, those returned at this close too."""
        return self._view.living()

    def create_of(self, ref: SignalRef) -> CreateSignal:
        """Return the create of a signal of this strategy as it was sent: its entry and all its targets.

        Raises
        ------
        InvalidSignalError
            If it was never created.
        """
        return self._view.create_of(ref)

    def create(  # noqa: PLR0913 - the fields of the API
        self,
        *,
        entry: float | tuple[float, float] | Mapping[float, float],
        targets: Sequence[float],
        invest: float,
        stop_loss: float | None = None,
        side: Literal["long", "short"] = "long",
        ttl: int | str | None = None,
        account: Literal["SPOT", "MARGIN", "FUTURES"] | None = None,
        leverage: float | None = None,
        margin_type: Literal["ISOLATED", "CROSS"] | None = None,
        description: str | None = None,
        version: Literal[1, 2] = 2,
        allow_no_stop: bool = False,
    ) -> CreateSignal:
        """Return a create for this market, its prices on the tick, with its ref and tag.

        Parameters
        ----------
        entry
            One price (the near bound), a range ``(low, high)``, or a split ``{price: percent}`` of up to three prices.
        targets, stop_loss
            Prices in quote currency.
        invest
            Percent of each subscriber's portfolio.
        ttl
            Life of the entry orders, in ms or as a timeframe (``"4h"``).

        Raises
        ------
        InvalidSignalError
            Naming candle, field and value.
        """
        fields = {
            **entry_fields(entry),
            "targets": _sequence(targets),
            "invest": invest,
            "stop_loss": stop_loss,
            "side": _SIDES.get(side, side),
            "ttl_buy_order": milliseconds(ttl) if isinstance(ttl, str) else ttl,
            "account": account,
            "leverage": leverage,
            "margin_type": margin_type,
            "attachment_description": description,
            "version": version,
            "allow_no_stop": allow_no_stop,
        }
        return self._view.create(self.close_time, fields)

    def market(  # noqa: PLR0913 - the fields of the API
        self,
        *,
        targets: Sequence[float],
        invest: float,
        within: float = 0.5,
        stop_loss: float | None = None,
        side: Literal["long", "short"] = "long",
        ttl: int | str | None = None,
        account: Literal["SPOT", "MARGIN", "FUTURES"] | None = None,
        leverage: float | None = None,
        margin_type: Literal["ISOLATED", "CROSS"] | None = None,
        description: str | None = None,
        allow_no_stop: bool = False,
    ) -> CreateSignal:
        """Return a create that is filled at the next open, at up to ``within`` percent worse than this close.

        The API has no market order for an entry. This is a range with one bound (L4.1): a long buys at the first price at
        or below ``close * (1 + within / 100)``, a short sells at the first one at or above ``close * (1 - within / 100)``.
        That is the next open, unless it lies beyond the bound; then the entry waits for the price to come back, for one
        candle. Slippage ends at the bound.

        Parameters
        ----------
        within
            Percent of the close, above 0.
        ttl
            Life of the entry, in ms or as a timeframe; None: one candle.
        targets, invest, stop_loss, side, account, leverage, margin_type, description, allow_no_stop
            As in :meth:`create`. The stop lies beyond the bound, the targets lie beyond it on the other side.

        Raises
        ------
        InvalidSettingError
            Unless ``within`` lies between 0 and 100.
        InvalidSignalError
            Naming candle, field and value.
        """
        return self.create(
            entry=self.close * worse(within, 1 if side == "long" else -1),
            targets=targets,
            invest=invest,
            stop_loss=stop_loss,
            side=side,
            ttl=self._view.span if ttl is None else ttl,
            account=account,
            leverage=leverage,
            margin_type=margin_type,
            description=description,
            allow_no_stop=allow_no_stop,
        )


def _sequence(targets: Sequence[float]) -> tuple[float, ...]:
    try:
        return tuple(targets)
    except TypeError:
        raise InvalidSignalError(f"targets is a list of prices, was {targets!r}", "exit_price_1") from None


def worse(within: float, side: int) -> float:
    """Return the factor by which a price gets ``within`` percent worse for an entry of a side, +1 or -1."""
    if not 0.0 < within < 100.0:
        raise InvalidSettingError(f"within is a percent between 0 and 100, was {within!r}")
    return 1.0 + side * within / 100.0


def entry_fields(entry: float | tuple[float, float] | Mapping[float, float] | object) -> dict[str, Any]:
    """Return the API's entry fields of one price, a range or a split."""
    if isinstance(entry, Real):
        return {"entry_price_max": entry}
    if isinstance(entry, tuple) and len(entry) == 2:
        return {"entry_price_min": entry[0], "entry_price_max": entry[1]}
    if not isinstance(entry, Mapping):
        raise InvalidSignalError(
            f"entry is a price, (low, high) or {{price: percent}}, was {entry!r}", "entry_price_max"
        )
    prices = sorted(entry)
    places = {1: ("max",), 2: ("min", "max"), 3: ("min", "mid", "max")}.get(len(prices))
    if places is None:
        raise InvalidSignalError(f"a split entry has one to three prices, had {len(prices)}", "entry_price_max")
    fields = {f"entry_price_{place}": price for place, price in zip(places, prices, strict=True)}
    fields |= {f"invest_entry_{place}": entry[price] for place, price in zip(places, prices, strict=True)}
    return fields
