"""Market: what an exchange allows for one symbol, and how a signal for it is addressed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.model.grid import Grid

__all__ = ["Market"]


@dataclass(frozen=True, slots=True)
class Market:
    """Symbol, grids and limits of one market.

    Attributes
    ----------
    symbol
        ``BASE/QUOTE`` (ccxt), of the candles: ``"BTC/USD"``.
    tick, step
        Grids of prices (quote currency) and quantities (base currency), as decimal text; ``"0"`` rounds nothing.
    min_amount, min_cost
        Least quantity (base) and least price x quantity (quote) of an order.
    max_leverage
        Highest leverage that the exchange offers; a signal's leverage is lowered to it (L5.2).
    maintenance_margin_rate
        Fraction of the notional, for liquidation (L13.1).
    exchange, coin, trade_market
        How signals for this market are addressed: ``BINANCE``, ``BTC``, ``USDT``. Coin and trade market default to the
        symbol's two halves.
    attachments_url
        Where the pictures of signals will be: a create without a picture of its own names ``URL/TAG.png``. Empty for none.
        Two markets that differ in it alone are equal.
    """

    symbol: str
    tick: str = "0"
    step: str = "0.00000001"
    min_amount: float = 0.0
    min_cost: float = 0.0
    max_leverage: float = 100.0
    maintenance_margin_rate: float = 0.005
    exchange: str = "BINANCE"
    coin: str = ""
    trade_market: str = ""
    attachments_url: str = field(default="", compare=False)
    price_grid: Grid = field(init=False, repr=False, compare=False)
    quantity_grid: Grid = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        base, slash, quote = self.symbol.partition("/")
        if not (base and slash and quote):
            raise InvalidSettingError(f'symbol is written BASE/QUOTE, such as "BTC/USDT", was {self.symbol!r}')
        for name, least in (
            ("min_amount", 0.0),
            ("min_cost", 0.0),
            ("max_leverage", 1.0),
            ("maintenance_margin_rate", 0.0),
        ):
            value = _number(name, getattr(self, name))
            if not least <= value < math.inf:
                raise InvalidSettingError(f"market {name} is a number of at least {least:g}, was {value}")
            object.__setattr__(self, name, value)
        if not self.maintenance_margin_rate < 1.0:
            raise InvalidSettingError(
                f"market maintenance_margin_rate is a fraction below 1, was {self.maintenance_margin_rate}"
            )
        address = self.attachments_url
        if address and not (
            address.startswith(("https://", "http://")) and address.isprintable() and " " not in address
        ):
            raise InvalidSettingError(f"attachments_url is https://HOST/..., was {address!r}")
        object.__setattr__(self, "attachments_url", address.rstrip("/"))
        object.__setattr__(self, "coin", self.coin or base)
        object.__setattr__(self, "trade_market", self.trade_market or quote.partition(":")[0])
        object.__setattr__(self, "tick", str(self.tick))
        object.__setattr__(self, "step", str(self.step))
        object.__setattr__(self, "price_grid", Grid(self.tick))
        object.__setattr__(self, "quantity_grid", Grid(self.step))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Market:
        """Build a market from plain JSON, for example of a scenario file; unknown keys are refused."""
        known = [name for name in cls.__dataclass_fields__ if not name.endswith("_grid")]
        for name in values:
            if name not in known:
                raise InvalidSettingError(
                    f"market has no field {name!r}; it knows {', '.join(known)}.{did_you_mean(name, known)}"
                )
        if not isinstance(values.get("symbol"), str):
            raise InvalidSettingError(f'market needs a symbol, such as "BTC/USDT", was {values.get("symbol")!r}')
        return cls(**{name: value for name, value in values.items() if value is not None})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; where pictures are, only where that was said."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__ if not name.endswith("_grid")}
        return found if self.attachments_url else {name: v for name, v in found.items() if name != "attachments_url"}


def _number(name: str, value: object) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (OverflowError, TypeError, ValueError):
        found = math.nan
    if math.isnan(found):
        raise InvalidSettingError(f"market {name} is a number, was {str(value)[:40]!r}")
    return found
