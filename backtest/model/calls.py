"""Calls: the seven things one can say to a venue.

Prices are floats in quote currency per unit of base; string prices exist only in :mod:`backtest.wire`. Names are the
API's. A missing field, a number that is none, shares that do not sum and the like raise :class:`InvalidSignalError` with
the field's API name: such a call is not there. Whether its prices stand in the right order (``relations``) is judged where
it is taken in, since the tick and the market decide that too (L3.8): the desk refuses the call, the wire never sends it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from backtest.errors import InvalidSignalError
from backtest.model.events import SignalRef
from backtest.model.intake import (
    Condition,
    bounds_of,
    buy_relations,
    create_on_tick,
    create_relations,
    create_ways,
    first_broken,
    named,
    on_tick,
    pair_on_tick,
    pair_relations,
    price_conditions,
    price_relations,
    size_conditions,
    update_relations,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backtest.model.finding import Finding
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile

__all__ = [
    "Call",
    "Cancel",
    "CreateSignal",
    "Dca",
    "Rebuy",
    "TakeProfit",
    "TrailingStop",
    "UpdatePrices",
    "call_order",
    "later_side_check",
    "placed_call",
    "require_order",
    "require_version",
]

_NONE = SignalRef("")
_TYPES = ("long", "short", None)
_ACCOUNTS = ("SPOT", "MARGIN", "FUTURES")
_MARGINS = ("ISOLATED", "CROSS")
_MODES = ("range",)
_VERSIONS = (2, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSignal:
    """``POST /v2/signal`` or, with ``version=1``, ``POST /v1/signal``.

    Attributes
    ----------
    coin, trade_market, exchange
        ``"BTC"``, ``"USDT"``, ``"BINANCE"``: the market on which subscribers execute.
    invest
        Percent of each subscriber's portfolio. The API lets V1 leave it out; here it is required (L5.1).
    entry_price_max, entry_price_min, entry_price_mid
        Bounds of the entry range, or with ``invest_entry_*`` the prices of a split entry. A lone maximum is the near
        bound on both sides (L4.1).
    invest_entry_min, invest_entry_mid, invest_entry_max
        Split entry: percent of the investment at each price; they sum to 100.
    targets
        ``exit_price_1`` and following: up to 5, version 1 up to 6. None leaves a number out.
    stop_loss
        Beyond the far entry bound. A create without it needs ``allow_no_stop`` to be emitted live.
    type
        ``"long"`` or ``"short"``; None leaves the field out (the venue's default is long).
    account, leverage, margin_type, entry_mode
        Version 2 only; None leaves the field out (``SPOT``, 1, ``ISOLATED``, ``range``).
    ttl_buy_order
        Life of the entry orders in ms.
    ref
        Our name for it, set by the run (``SYMBOL-closeMs-n``); never sent.

    Examples
    --------
    >>> address = {"coin": "BTC", "trade_market": "USDT", "exchange": "BINANCE"}
    >>> create = CreateSignal(**address, invest=10, entry_price_max=100.0, targets=(105.0,), stop_loss=95.0)
    >>> create.side, create.near_bound, create.symbol
    (1, 100.0, 'BTC/USDT')
    >>> CreateSignal(**address, invest=-1, entry_price_max=100.0, targets=(105.0,))
    Traceback (most recent call last):
    backtest.errors.InvalidSignalError: invest is a finite number above 0, was -1
    """

    coin: str
    trade_market: str
    exchange: str
    invest: float | None
    entry_price_max: float
    targets: tuple[float | None, ...]
    entry_price_min: float | None = None
    entry_price_mid: float | None = None
    stop_loss: float | None = None
    type: Literal["long", "short"] | None = "long"
    account: Literal["SPOT", "MARGIN", "FUTURES"] | None = None
    leverage: float | None = None
    margin_type: Literal["ISOLATED", "CROSS"] | None = None
    entry_mode: Literal["range"] | None = None
    invest_entry_min: float | None = None
    invest_entry_mid: float | None = None
    invest_entry_max: float | None = None
    ttl_buy_order: int | None = None
    attachment_image1_url: str | None = None
    attachment_image2_url: str | None = None
    attachment_description: str | None = None
    version: Literal[1, 2] = 2
    allow_no_stop: bool = False
    ref: SignalRef = _NONE

    def __post_init__(self) -> None:
        _require_name("coin", self.coin)
        _require_name("trade_market", self.trade_market)
        _require_name("exchange", self.exchange)
        _one_of("type", self.type, _TYPES)
        if self.account is not None:
            _one_of("account", self.account, _ACCOUNTS)
        if self.margin_type is not None:
            _one_of("margin_type", self.margin_type, _MARGINS)
        if self.entry_mode is not None:
            _one_of("entry_mode", self.entry_mode, _MODES)
        if self.version == 1:
            self._check_version_1()
        else:
            require_version(self.version)
        self._check_numbers()
        self._check_attachments()
        self._check_targets()

    @property
    def symbol(self) -> str:
        """``COIN/TRADE_MARKET``."""
        return f"{self.coin}/{self.trade_market}"

    @property
    def side(self) -> int:
        """+1 for a long, -1 for a short."""
        return -1 if self.type == "short" else 1

    @property
    def is_split(self) -> bool:
        """Whether the entry is split into limit orders (L4.2) instead of a range (L4.1)."""
        return not (self.invest_entry_min is None and self.invest_entry_mid is None and self.invest_entry_max is None)

    @property
    def near_bound(self) -> float:
        """The entry bound that the market reaches first: the upper one of a long, the lower one of a short."""
        return float(bounds_of(self.entry_price_min, self.entry_price_max, self.side)[0])

    @property
    def far_bound(self) -> float:
        """The entry bound nearest to the stop."""
        return float(bounds_of(self.entry_price_min, self.entry_price_max, self.side)[1])

    @property
    def prices(self) -> dict[str, float]:
        """The prices that were set, by the API's names in version 2."""
        found = {name: price for name in _CREATE_PRICES if (price := getattr(self, name)) is not None}
        for number, price in enumerate(self.targets, 1):
            if price is not None:
                found[f"exit_price_{number}"] = price
        return found

    def relations(self) -> Iterator[Condition]:
        """Yield the order in which the prices stand, and where it is broken (L3.8)."""
        return create_relations(self.prices, self.side, version=self.version)

    def rounded(self, market: Market) -> CreateSignal:
        """Return the call with every price on the market's tick, never in the provider's own favour (L3.6).

        Rounding may bring the prices out of order: :meth:`relations` tells.
        """
        placed = create_on_tick(market.price_grid, self.prices, self.side, split=self.is_split)
        targets = tuple(placed.pop(f"exit_price_{number}", None) for number in range(1, len(self.targets) + 1))
        return replace(self, targets=targets, **placed)

    def lint(self, market: Market, profile: SubscriberProfile, **context: Any) -> list[Finding]:
        """Return what is wrong with this signal before it is sent; see :func:`backtest.model.lint.lint`.

        ``context`` may give ``later`` (the calls that follow it), ``prices``, ``median_range``, ``timeframe`` and
        ``has_detail``.
        """
        from backtest.model.lint import lint

        return lint(self, market, profile, **context)

    def _check_numbers(self) -> None:
        if self.invest is None:
            raise InvalidSignalError("invest is missing; give the percent of the portfolio", "invest")
        if self._is_plain():
            return
        prices = self.prices
        sizes = {name: value for name in _SIZES if (value := getattr(self, name)) is not None}
        for name, value in (*prices.items(), *sizes.items()):
            if type(value) is not float:
                _require_number(named(name, self.version), value)
        if self.ttl_buy_order is not None and not _is_whole(self.ttl_buy_order):
            raise InvalidSignalError(
                f"ttl_buy_order is a whole number of ms above 0, was {self.ttl_buy_order!r}", "ttl_buy_order"
            )
        _require(first_broken(price_conditions(prices)) or first_broken(size_conditions(sizes, prices)), self.version)

    def _is_plain(self) -> bool:
        """Whether all numbers are right at a glance, as they are in nearly every create; else each is looked at."""
        if self.leverage is not None or self.is_split:
            return False
        prices = [self.entry_price_max, self.entry_price_min, self.entry_price_mid, self.stop_loss]
        prices.extend(self.targets)
        for price in prices:
            if price is not None and (type(price) is not float or not -math.inf < price < math.inf):
                return False
        ttl = self.ttl_buy_order
        return (
            type(self.invest) is float
            and 0.0 < self.invest < math.inf
            and (ttl is None or (type(ttl) is int and ttl > 0))
        )

    def _check_attachments(self) -> None:
        if self.attachment_image1_url is not None:
            _require_text("attachment_image1_url", self.attachment_image1_url)
        if self.attachment_image2_url is not None:
            _require_text("attachment_image2_url", self.attachment_image2_url)
        if self.attachment_description is not None:
            _require_text("attachment_description", self.attachment_description)
            if len(self.attachment_description) > 1000:
                raise InvalidSignalError(
                    f"attachment_description has at most 1000 characters, had {len(self.attachment_description)}",
                    "attachment_description",
                )

    def _check_version_1(self) -> None:
        for name in (
            "entry_price_mid",
            "account",
            "leverage",
            "margin_type",
            "entry_mode",
            "invest_entry_min",
            "invest_entry_mid",
            "invest_entry_max",
        ):
            if getattr(self, name) is not None:
                raise InvalidSignalError(
                    f"{name} does not exist in version 1 of create signal, was {getattr(self, name)!r}; use version 2",
                    name,
                )
        if self.entry_price_min is None:
            raise InvalidSignalError("buy_price_min is missing; version 1 needs both bounds", "buy_price_min")

    def _check_targets(self) -> None:
        most = 5 if self.version == 2 else 6
        if len(self.targets) > most:
            name = named(f"exit_price_{most + 1}", self.version)
            raise InvalidSignalError(
                f"{name} does not exist in version {self.version}, which has {most} targets"
                + ("; version=1 has six" if most < 6 else ""),
                name,
            )
        if not self.targets or self.targets[0] is None:
            name = named("exit_price_1", self.version)
            raise InvalidSignalError(f"{name} is missing; a signal needs a target", name)


@dataclass(frozen=True, slots=True)
class TakeProfit:
    """``POST .../call/takeprofit``: sell part of the position (L9).

    ``sell_amount_relative`` is percent of the position, 1 to 100; below 100 both trailing prices are required: the stop
    for what remains.

    Examples
    --------
    >>> TakeProfit("BTC/USDT-0-0", "market", 100.0).sell_amount_relative
    100.0
    """

    signal: SignalRef
    order_type: Literal["limit", "market"]
    sell_amount_relative: float
    sell_price: float | None = None
    symbol: str | None = None
    trailing_stop_price: float | None = None
    trailing_stop_limit_price: float | None = None

    def __post_init__(self) -> None:
        _one_of("order_type", self.order_type, ("limit", "market"))
        if not (_is_number(self.sell_amount_relative) and 1.0 <= self.sell_amount_relative <= 100.0):
            raise InvalidSignalError(
                f"sell_amount_relative is a percent from 1 to 100, was {self.sell_amount_relative!r}",
                "sell_amount_relative",
            )
        if self.order_type == "limit" and self.sell_price is None:
            raise InvalidSignalError("sell_price is missing; a limit take profit needs it", "sell_price")
        _require_finite(self, "sell_price")
        _require_pair(self)
        if self.sell_amount_relative < 100.0 and self.trailing_stop_price is None:
            raise InvalidSignalError(
                f"trailing_stop_price and trailing_stop_limit_price are required when sell_amount_relative is below 100, was {self.sell_amount_relative}",
                "trailing_stop_price",
            )

    def rounded(self, market: Market, side: int) -> TakeProfit:
        """Return the call with its prices on the tick (L3.6)."""
        stop, limit = pair_on_tick(market.price_grid, side, self.trailing_stop_price, self.trailing_stop_limit_price)
        return replace(
            self,
            sell_price=on_tick(market.price_grid, self.sell_price, side),
            trailing_stop_price=stop,
            trailing_stop_limit_price=limit,
        )

    def relations(self, side: int) -> Iterator[Condition]:
        """Yield the order in which the prices stand, and where it is broken (L3.8)."""
        yield from price_relations({"sell_price": self.sell_price})
        yield from pair_relations(self.trailing_stop_price, self.trailing_stop_limit_price, side)


@dataclass(frozen=True, slots=True)
class TrailingStop:
    """``POST .../call/trailingstop``: replace the stop by one that ratchets (L8).

    Examples
    --------
    >>> TrailingStop("BTC/USDT-0-0", trailing_stop_price=95.0, trailing_stop_limit_price=94.5).trailing_stop_price
    95.0
    """

    signal: SignalRef
    trailing_stop_price: float
    trailing_stop_limit_price: float

    def __post_init__(self) -> None:
        _require_finite(self, "trailing_stop_price", "trailing_stop_limit_price", missing=False)

    def rounded(self, market: Market, side: int) -> TrailingStop:
        """Return the call with its prices on the tick (L3.6)."""
        stop, limit = pair_on_tick(market.price_grid, side, self.trailing_stop_price, self.trailing_stop_limit_price)
        return replace(self, trailing_stop_price=stop, trailing_stop_limit_price=limit)

    def relations(self, side: int) -> Iterator[Condition]:
        """Yield the order in which the prices stand, and where it is broken (L3.8)."""
        return pair_relations(self.trailing_stop_price, self.trailing_stop_limit_price, side)


@dataclass(frozen=True, slots=True)
class Rebuy:
    """``POST .../call/rebuy``: buy again inside a zone (L10.2). ``invest`` is percent; None: the signal's own.

    Examples
    --------
    >>> Rebuy("BTC/USDT-0-0", buy_price_min=90.0, buy_price_max=92.0, invest=5).buy_price_max
    92.0
    """

    signal: SignalRef
    buy_price_min: float
    buy_price_max: float
    invest: float | None = None
    trailing_stop_price: float | None = None
    trailing_stop_limit_price: float | None = None

    def __post_init__(self) -> None:
        _require_finite(self, "buy_price_min", "buy_price_max", missing=False)
        if self.invest is not None:
            _require_positive("invest", self.invest)
        _require_pair(self)

    def rounded(self, market: Market, side: int) -> Rebuy:
        """Return the call with its prices on the tick, the zone inwards (L3.6); a zone without a tick gets crossed."""
        grid = market.price_grid
        stop, limit = pair_on_tick(grid, side, self.trailing_stop_price, self.trailing_stop_limit_price)
        return replace(
            self,
            buy_price_min=grid.up(self.buy_price_min),
            buy_price_max=grid.down(self.buy_price_max),
            trailing_stop_price=stop,
            trailing_stop_limit_price=limit,
        )

    def relations(self, side: int, stop: float | None = None) -> Iterator[Condition]:
        """Yield the order in which the prices stand, the zone before ``stop`` among them (L3.8)."""
        yield from self.zone_relations()
        near = "buy_price_max" if side > 0 else "buy_price_min"
        yield from buy_relations(near, getattr(self, near), stop, side)
        yield from pair_relations(self.trailing_stop_price, self.trailing_stop_limit_price, side)

    def zone_relations(self) -> Iterator[Condition]:
        """Yield the order of the two bounds, which needs no side."""
        low, high = self.buy_price_min, self.buy_price_max
        yield from price_relations({"buy_price_min": low, "buy_price_max": high})
        yield Condition("buy_price_min", low > high, "may not exceed buy_price_max {0}", low, (high,))


@dataclass(frozen=True, slots=True)
class Dca:
    """``POST .../call/dca``: a limit buy of ``multiplier`` x the original investment at ``buy_price`` (L10.1).

    Examples
    --------
    >>> Dca("BTC/USDT-0-0", buy_price=90.0, multiplier=1.5).multiplier
    1.5
    """

    signal: SignalRef
    buy_price: float
    multiplier: float

    def __post_init__(self) -> None:
        _require_finite(self, "buy_price", missing=False)
        _require_positive("multiplier", self.multiplier)

    def rounded(self, market: Market, side: int) -> Dca:
        """Return the call with its price on the tick (L3.6)."""
        return replace(self, buy_price=on_tick(market.price_grid, self.buy_price, -side))

    def relations(self, side: int, stop: float | None = None) -> Iterator[Condition]:
        """Yield that the price can be reached before ``stop`` (L3.8)."""
        return buy_relations("buy_price", self.buy_price, stop, side)


@dataclass(frozen=True, slots=True)
class UpdatePrices:
    """``PUT .../updateprice``: change what is given, leave the rest (L11).

    A minimum above the maximum is refused when it acts (L11.1): either may be the one already known.
    ``allow_marketable`` is ours and never sent: without it a stop or target that would trade at once is refused (L11.2).

    Examples
    --------
    >>> UpdatePrices("BTC/USDT-0-0", stop_loss=97.0, exit_price_2=112.0).prices
    {'exit_price_2': 112.0, 'stop_loss': 97.0}
    """

    signal: SignalRef
    entry_price_min: float | None = None
    entry_price_max: float | None = None
    exit_price_1: float | None = None
    exit_price_2: float | None = None
    exit_price_3: float | None = None
    exit_price_4: float | None = None
    exit_price_5: float | None = None
    exit_price_6: float | None = None
    stop_loss: float | None = None
    allow_marketable: bool = False

    def __post_init__(self) -> None:
        _require_finite(self, *_UPDATE_PRICES)

    @property
    def prices(self) -> dict[str, float]:
        """The prices that were set, by the API's names."""
        found = {name: getattr(self, name) for name in _UPDATE_PRICES}
        return {name: price for name, price in found.items() if price is not None}

    @property
    def targets(self) -> tuple[float | None, ...]:
        """``exit_price_1`` to ``exit_price_6``."""
        return (
            self.exit_price_1,
            self.exit_price_2,
            self.exit_price_3,
            self.exit_price_4,
            self.exit_price_5,
            self.exit_price_6,
        )

    def rounded(self, market: Market, side: int, *, split: bool = False, lone: bool = False) -> UpdatePrices:
        """Return the call with its prices on the tick (L3.6); how bounds round depends on the signal's entry."""
        ways = create_ways(side, split=split, lone=lone)
        prices = self.prices.items()
        return replace(
            self, **{name: on_tick(market.price_grid, price, ways.get(name, side)) for name, price in prices}
        )

    def relations(self, side: int) -> Iterator[Condition]:
        """Yield the order in which the prices of this update stand, and where it is broken (L3.8)."""
        return update_relations(self.prices, side)


@dataclass(frozen=True, slots=True)
class Cancel:
    """``DELETE .../cancel``: kill all orders and sell the position at market (L12.1).

    Examples
    --------
    >>> Cancel("BTC/USDT-0-0").signal
    'BTC/USDT-0-0'
    """

    signal: SignalRef


Call = CreateSignal | TakeProfit | TrailingStop | Rebuy | Dca | UpdatePrices | Cancel


_CREATE_PRICES = ("entry_price_min", "entry_price_mid", "entry_price_max", "stop_loss")
_UPDATE_PRICES = (
    "entry_price_min",
    "entry_price_max",
    *(f"exit_price_{number}" for number in range(1, 7)),
    "stop_loss",
)
_LATER_PRICES = (
    "sell_price",
    "buy_price",
    "buy_price_min",
    "buy_price_max",
    "trailing_stop_price",
    "trailing_stop_limit_price",
)
_SIZES = ("invest", "leverage", "ttl_buy_order", "invest_entry_min", "invest_entry_mid", "invest_entry_max")
_ORDER = {Cancel: 0, UpdatePrices: 1, TakeProfit: 2, TrailingStop: 2, CreateSignal: 3, Rebuy: 3, Dca: 3}


def call_order(kind: type[Call]) -> int:
    """Return the place of a kind of call among those of one close: cancel, update, exits, entries."""
    return _ORDER[kind]


def placed_call(call: Call, create: CreateSignal, market: Market) -> Call:
    """Return a call with its prices on the market's tick (L3.6).

    Parameters
    ----------
    call
        Any of the seven.
    create
        Of its signal, which tells side and entry; of a create, itself.
    """
    if isinstance(call, Cancel):
        return call
    if isinstance(call, CreateSignal):
        return call.rounded(market)
    if isinstance(call, UpdatePrices):
        return call.rounded(market, create.side, split=create.is_split, lone=create.entry_price_min is None)
    return call.rounded(market, create.side)


def require_order(call: Call) -> None:
    """Refuse a call whose own prices are out of order, as far as that can be told without the side of its signal.

    Raises
    ------
    InvalidSignalError
        Naming the field.
    """
    if isinstance(call, CreateSignal):
        _require(first_broken(call.relations()))
        return
    names = (*_LATER_PRICES, *_UPDATE_PRICES)
    _require(first_broken(price_relations({name: getattr(call, name, None) for name in names})))
    if isinstance(call, Rebuy):
        _require(first_broken(call.zone_relations()))


def later_side_check(call: Call, side: int) -> None:
    """Refuse a trailing limit that is better than its trigger, which only the signal's side can tell.

    Raises
    ------
    InvalidSignalError
        Naming ``trailing_stop_limit_price``.
    """
    if isinstance(call, TakeProfit | TrailingStop | Rebuy):
        _require(first_broken(pair_relations(call.trailing_stop_price, call.trailing_stop_limit_price, side)))


def _require(broken: Condition | None, version: int = 2) -> None:
    if broken is not None:
        broken = broken._replace(field=named(broken.field, version))
        raise InvalidSignalError(broken.sentence, broken.field)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require_number(name: str, value: object) -> None:
    if not _is_number(value):
        raise InvalidSignalError(f"{name} is a finite number above 0, was {value!r}", name)


def _require_positive(name: str, value: float) -> None:
    if not (_is_number(value) and 0.0 < value < math.inf):
        raise InvalidSignalError(f"{name} is a finite number above 0, was {value!r}", name)


def _require_finite(call: object, *names: str, missing: bool = True) -> None:
    """Refuse prices of a call that are no finite numbers; None where ``missing`` says that they may be absent."""
    for name in names:
        price = getattr(call, name)
        if price is None and missing:
            continue
        if not (_is_number(price) and -math.inf < price < math.inf):
            raise InvalidSignalError(f"{name} is a finite number above 0, was {price!r}", name)


def _require_pair(call: TakeProfit | Rebuy) -> None:
    _require_finite(call, "trailing_stop_price", "trailing_stop_limit_price")
    if (call.trailing_stop_price is None) != (call.trailing_stop_limit_price is None):
        missing = "trailing_stop_price" if call.trailing_stop_price is None else "trailing_stop_limit_price"
        raise InvalidSignalError(f"{missing} is missing; the two trailing prices come together", missing)


def require_version(version: object) -> None:
    """Refuse a version of create signal that does not exist."""
    if version not in _VERSIONS:
        raise InvalidSignalError(f"version is 2 or 1, was {version!r}", "version")


def _require_name(name: str, value: object) -> None:
    if not (isinstance(value, str) and value and value == value.strip()):
        raise InvalidSignalError(f"{name} is a text such as BTC, was {value!r}", name)


def _require_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidSignalError(f"{name} is a text, was {value!r}", name)


def _one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise InvalidSignalError(f"{name} is one of {', '.join(str(k) for k in known if k)}, was {value!r}", name)
