"""Calls: the seven things one can say to a venue, each valid or not there.

Prices are floats in quote currency per unit of base; string prices exist only in :mod:`backtest.wire`. Names are the
API's. What the API would refuse for its own content raises :class:`InvalidSignalError` with the field's API name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from backtest.errors import InvalidSignalError
from backtest.model.events import SignalRef

if TYPE_CHECKING:
    from backtest.model.finding import Finding
    from backtest.model.grid import Grid
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
    "create_directions",
    "later_side_check",
    "rounded_pair",
]

_NONE = SignalRef("")


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
        for name in ("coin", "trade_market", "exchange"):
            text = getattr(self, name)
            if not (isinstance(text, str) and text and text == text.strip()):
                raise InvalidSignalError(f"{name} is a text such as BTC, was {text!r}", name)
        _one_of("type", self.type, ("long", "short", None))
        _one_of("account", self.account, ("SPOT", "MARGIN", "FUTURES", None))
        _one_of("margin_type", self.margin_type, ("ISOLATED", "CROSS", None))
        _one_of("entry_mode", self.entry_mode, ("range", None))
        if self.version == 1:
            self._check_version_1()
        elif self.version != 2:
            raise InvalidSignalError(f"version is 2 or 1, was {self.version!r}", "version")
        self._check_numbers()
        self._check_attachments()
        self._check_entry()
        self._check_split()
        self._check_targets()
        self._check_stop()

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
        return any(share is not None for share in (self.invest_entry_min, self.invest_entry_mid, self.invest_entry_max))

    @property
    def near_bound(self) -> float:
        """The entry bound that the market reaches first: the upper one of a long, the lower one of a short."""
        return self.entry_price_max if self.side > 0 or self.entry_price_min is None else self.entry_price_min

    @property
    def far_bound(self) -> float:
        """The entry bound nearest to the stop."""
        return self.entry_price_max if self.side < 0 or self.entry_price_min is None else self.entry_price_min

    def rounded(self, market: Market) -> CreateSignal:
        """Return the call with every price on the market's tick, never in the provider's own favour (L3.6).

        Raises
        ------
        InvalidSignalError
            Where the prices contradict each other once they are on the tick.
        """
        ways = create_directions(self.side, split=self.is_split, lone=self.entry_price_min is None)
        grid, away = market.price_grid, _toward(market.price_grid, self.side)
        moved: dict[str, Any] = {name: _toward(grid, way)(getattr(self, name)) for name, way in ways.items()}
        return replace(self, targets=tuple(away(price) for price in self.targets), **moved)

    def lint(self, market: Market, profile: SubscriberProfile, **context: Any) -> list[Finding]:
        """Return what is wrong with this signal before it is sent; see :func:`backtest.model.lint.lint`.

        ``context`` may give ``later`` (the calls that follow it), ``prices``, ``median_range``, ``timeframe`` and
        ``has_detail``.
        """
        from backtest.model.lint import lint

        return lint(self, market, profile, **context)

    def _name(self, field: str) -> str:
        """Return the API's name of a V2 field in this version."""
        if self.version == 1:
            return field.replace("entry_price", "buy_price").replace("exit_price", "sell_price")
        return field

    def _check_numbers(self) -> None:
        if self.invest is None:
            raise InvalidSignalError("invest is missing; give the percent of the portfolio", "invest")
        _positive("invest", self.invest)
        if self.leverage is not None and not (_is_number(self.leverage) and 1.0 <= self.leverage < math.inf):
            raise InvalidSignalError(f"leverage is at least 1, was {self.leverage!r}", "leverage")
        if self.ttl_buy_order is not None and not (_is_whole(self.ttl_buy_order) and self.ttl_buy_order > 0):
            raise InvalidSignalError(
                f"ttl_buy_order is a whole number of ms above 0, was {self.ttl_buy_order!r}", "ttl_buy_order"
            )

    def _check_attachments(self) -> None:
        for name in ("attachment_image1_url", "attachment_image2_url", "attachment_description"):
            text = getattr(self, name)
            if not isinstance(text, str | None):
                raise InvalidSignalError(f"{name} is a text, was {text!r}", name)
        if self.attachment_description is not None and len(self.attachment_description) > 1000:
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

    def _check_entry(self) -> None:
        high, low, mid = self.entry_price_max, self.entry_price_min, self.entry_price_mid
        _positive(self._name("entry_price_max"), high)
        if low is not None:
            _positive(self._name("entry_price_min"), low)
            if low > high:
                name = self._name("entry_price_min")
                raise InvalidSignalError(
                    f"{name} may not exceed {self._name('entry_price_max')} {high}, was {low}", name
                )
        if mid is not None:
            _positive("entry_price_mid", mid)
            if not (low is None or low <= mid) or not mid <= high:
                raise InvalidSignalError(
                    f"entry_price_mid lies between the bounds {low} and {high}, was {mid}", "entry_price_mid"
                )

    def _check_split(self) -> None:
        if not self.is_split:
            return
        total = 0.0
        for part in ("min", "mid", "max"):
            share = getattr(self, f"invest_entry_{part}")
            if share is None:
                continue
            if not (_is_number(share) and 0.0 <= share <= 100.0):
                raise InvalidSignalError(
                    f"invest_entry_{part} is a percent from 0 to 100, was {share!r}", f"invest_entry_{part}"
                )
            if share > 0.0 and getattr(self, f"entry_price_{part}") is None:
                raise InvalidSignalError(
                    f"invest_entry_{part} {share} needs entry_price_{part}", f"invest_entry_{part}"
                )
            total += share
        if not math.isclose(total, 100.0, abs_tol=1e-9):
            raise InvalidSignalError(
                f"invest_entry_min, invest_entry_mid and invest_entry_max sum to 100, was {total:g}", "invest_entry_max"
            )

    def _check_targets(self) -> None:
        most = 5 if self.version == 2 else 6
        if len(self.targets) > most:
            name = self._name(f"exit_price_{most + 1}")
            raise InvalidSignalError(
                f"{name} does not exist in version {self.version}, which has {most} targets"
                + ("; version=1 has six" if most < 6 else ""),
                name,
            )
        if not self.targets or self.targets[0] is None:
            name = self._name("exit_price_1")
            raise InvalidSignalError(f"{name} is missing; a signal needs a target", name)
        before, what = self.near_bound, "the near entry bound"
        for number, price in enumerate(self.targets, 1):
            if price is None:
                continue
            name = self._name(f"exit_price_{number}")
            _positive(name, price)
            if not self.side * price > self.side * before:
                raise InvalidSignalError(
                    f"{name} of a {self.type or 'long'} lies {'above' if self.side > 0 else 'below'} {what} {before}, was {price}",
                    name,
                )
            before, what = price, name

    def _check_stop(self) -> None:
        if self.stop_loss is None:
            return
        _positive("stop_loss", self.stop_loss)
        if not self.side * self.stop_loss < self.side * self.far_bound:
            word = "below" if self.side > 0 else "above"
            raise InvalidSignalError(
                f"stop_loss of a {self.type or 'long'} lies {word} its far entry bound {self.far_bound}, was {self.stop_loss}",
                "stop_loss",
            )


@dataclass(frozen=True, slots=True)
class TakeProfit:
    """``POST .../call/takeprofit``: sell part of the position (L9).

    ``sell_amount_relative`` is percent of the position, 1 to 100; below 100 both trailing prices are required: the stop
    for what remains.
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
        if self.sell_price is not None:
            _positive("sell_price", self.sell_price)
        _check_pair(self.trailing_stop_price, self.trailing_stop_limit_price)
        if self.sell_amount_relative < 100.0 and self.trailing_stop_price is None:
            raise InvalidSignalError(
                f"trailing_stop_price and trailing_stop_limit_price are required when sell_amount_relative is below 100, was {self.sell_amount_relative}",
                "trailing_stop_price",
            )

    def rounded(self, market: Market, side: int) -> TakeProfit:
        """Return the call with its prices on the tick (L3.6)."""
        stop, limit = rounded_pair(market.price_grid, side, self.trailing_stop_price, self.trailing_stop_limit_price)
        return replace(
            self,
            sell_price=_toward(market.price_grid, side)(self.sell_price),
            trailing_stop_price=stop,
            trailing_stop_limit_price=limit,
        )


@dataclass(frozen=True, slots=True)
class TrailingStop:
    """``POST .../call/trailingstop``: replace the stop by one that ratchets (L8)."""

    signal: SignalRef
    trailing_stop_price: float
    trailing_stop_limit_price: float

    def __post_init__(self) -> None:
        _positive("trailing_stop_price", self.trailing_stop_price)
        _positive("trailing_stop_limit_price", self.trailing_stop_limit_price)

    def rounded(self, market: Market, side: int) -> TrailingStop:
        """Return the call with its prices on the tick (L3.6)."""
        stop, limit = rounded_pair(market.price_grid, side, self.trailing_stop_price, self.trailing_stop_limit_price)
        assert stop is not None and limit is not None  # noqa: S101, PT018
        return replace(self, trailing_stop_price=stop, trailing_stop_limit_price=limit)


@dataclass(frozen=True, slots=True)
class Rebuy:
    """``POST .../call/rebuy``: buy again inside a zone (L10.2). ``invest`` is percent; None: the signal's own."""

    signal: SignalRef
    buy_price_min: float
    buy_price_max: float
    invest: float | None = None
    trailing_stop_price: float | None = None
    trailing_stop_limit_price: float | None = None

    def __post_init__(self) -> None:
        _positive("buy_price_min", self.buy_price_min)
        _positive("buy_price_max", self.buy_price_max)
        if self.buy_price_min > self.buy_price_max:
            raise InvalidSignalError(
                f"buy_price_min may not exceed buy_price_max {self.buy_price_max}, was {self.buy_price_min}",
                "buy_price_min",
            )
        if self.invest is not None:
            _positive("invest", self.invest)
        _check_pair(self.trailing_stop_price, self.trailing_stop_limit_price)

    def rounded(self, market: Market, side: int) -> Rebuy:
        """Return the call with its prices on the tick, the zone inwards (L3.6)."""
        grid = market.price_grid
        low, high = grid.up(self.buy_price_min), grid.down(self.buy_price_max)
        if low > high:
            raise InvalidSignalError(
                f"buy_price_min {self.buy_price_min} and buy_price_max {self.buy_price_max} hold no multiple of the tick {market.tick}",
                "buy_price_min",
            )
        stop, limit = rounded_pair(grid, side, self.trailing_stop_price, self.trailing_stop_limit_price)
        return replace(
            self, buy_price_min=low, buy_price_max=high, trailing_stop_price=stop, trailing_stop_limit_price=limit
        )


@dataclass(frozen=True, slots=True)
class Dca:
    """``POST .../call/dca``: a limit buy of ``multiplier`` x the original investment at ``buy_price`` (L10.1)."""

    signal: SignalRef
    buy_price: float
    multiplier: float

    def __post_init__(self) -> None:
        _positive("buy_price", self.buy_price)
        _positive("multiplier", self.multiplier)

    def rounded(self, market: Market, side: int) -> Dca:
        """Return the call with its price on the tick (L3.6)."""
        grid = market.price_grid
        return replace(self, buy_price=grid.down(self.buy_price) if side > 0 else grid.up(self.buy_price))


@dataclass(frozen=True, slots=True)
class UpdatePrices:
    """``PUT .../updateprice``: change what is given, leave the rest (L11).

    A minimum above the maximum is refused when it acts (L11.1): either may be the one already known.
    ``allow_marketable`` is ours and never sent: without it a stop or target that would trade at once is refused (L11.2).
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
        for name in ("entry_price_min", "entry_price_max", *(f"exit_price_{k}" for k in range(1, 7)), "stop_loss"):
            price = getattr(self, name)
            if price is not None:
                _positive(name, price)

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
        grid = market.price_grid
        ways = create_directions(side, split=split, lone=lone)
        away = _toward(grid, side)
        moved: dict[str, Any] = {f"exit_price_{k}": away(price) for k, price in enumerate(self.targets, 1)}
        return replace(
            self,
            entry_price_min=_toward(grid, ways["entry_price_min"])(self.entry_price_min),
            entry_price_max=_toward(grid, ways["entry_price_max"])(self.entry_price_max),
            stop_loss=_toward(grid, ways["stop_loss"])(self.stop_loss),
            **moved,
        )


@dataclass(frozen=True, slots=True)
class Cancel:
    """``DELETE .../cancel``: kill all orders and sell the position at market (L12.1)."""

    signal: SignalRef


Call = CreateSignal | TakeProfit | TrailingStop | Rebuy | Dca | UpdatePrices | Cancel


def create_directions(side: int, *, split: bool, lone: bool) -> dict[str, int]:
    """Return which way each price of a create rounds, +1 up and -1 down (L3.6); targets round towards ``side``.

    ``lone``: an entry without a minimum, whose maximum is the near bound on both sides (L4.1).
    """
    return {
        "entry_price_min": -side if split else 1,
        "entry_price_mid": -side,
        "entry_price_max": -side if split or lone else -1,
        "stop_loss": -side,
    }


def later_side_check(call: Call, side: int) -> None:
    """Refuse a trailing limit that is better than its trigger, which only the signal's side can tell.

    Raises
    ------
    InvalidSignalError
        Naming ``trailing_stop_limit_price``.
    """
    if (
        not isinstance(call, TakeProfit | TrailingStop | Rebuy)
        or call.trailing_stop_price is None
        or call.trailing_stop_limit_price is None
    ):
        return
    if side * call.trailing_stop_limit_price > side * call.trailing_stop_price:
        word = "exceed" if side > 0 else "be below"
        raise InvalidSignalError(
            f"trailing_stop_limit_price of a {'long' if side > 0 else 'short'} may not {word} its trigger {call.trailing_stop_price}, was {call.trailing_stop_limit_price}",
            "trailing_stop_limit_price",
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _positive(name: str, value: float) -> None:
    if not (_is_number(value) and 0.0 < value < math.inf):
        raise InvalidSignalError(f"{name} is a finite number above 0, was {value!r}", name)


def _one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise InvalidSignalError(f"{name} is one of {', '.join(str(k) for k in known if k)}, was {value!r}", name)


def _check_pair(stop: float | None, limit: float | None) -> None:
    for name, price in (("trailing_stop_price", stop), ("trailing_stop_limit_price", limit)):
        if price is not None:
            _positive(name, price)
    if (stop is None) != (limit is None):
        missing = "trailing_stop_price" if stop is None else "trailing_stop_limit_price"
        raise InvalidSignalError(f"{missing} is missing; the two trailing prices come together", missing)


class _toward:  # noqa: N801 - a function with a direction
    """Round a price up (+1) or down (-1); None stays None."""

    __slots__ = ("direction", "grid")

    def __init__(self, grid: Grid, direction: int) -> None:
        self.grid, self.direction = grid, direction

    def __call__(self, price: float | None) -> float | None:
        if price is None:
            return None
        return self.grid.up(price) if self.direction > 0 else self.grid.down(price)


def rounded_pair(grid: Grid, side: int, stop: float | None, limit: float | None) -> tuple[float | None, float | None]:
    """Round a trigger away from the market and its limit towards the trigger (L3.6)."""
    trigger = _toward(grid, -side)(stop)
    leg = _toward(grid, side)(limit)
    if trigger is not None and leg is not None and side * leg > side * trigger:
        leg = trigger
    return trigger, leg
