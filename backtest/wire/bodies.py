"""The bodies of the eight endpoints, field for field, in the order of the vendor's examples.

Prices are decimal strings above 0, percent and multipliers JSON numbers. What depends on two fields at once (a limit
take profit needs its price, a stop lies beyond the entry) is a rule of :mod:`backtest.model.calls`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

__all__ = [
    "Body",
    "CancelBody",
    "CreateV1Body",
    "CreateV2Body",
    "DcaBody",
    "RebuyBody",
    "TakeProfitBody",
    "TrailingStopBody",
    "UpdatePricesBody",
]


def _whole(value: Any) -> Any:
    """Take 60000.0 for 60000: JSON has one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Price = Annotated[
    str,
    Field(pattern=r"^(0*[1-9][0-9]*(\.[0-9]+)?|0+\.[0-9]*[1-9][0-9]*)$", max_length=64, examples=["65000.5"]),
]
"""Digits with an optional fraction, above 0: no sign, no exponent, no space, no NaN."""

Number = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Milliseconds = Annotated[int, Field(gt=0, lt=2**63), BeforeValidator(_whole)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^\S(.*\S)?$")]
Text = Annotated[str, Field(max_length=1000)]
Absent = SkipJsonSchema[None]
"""A field that was not sent; an explicit ``null`` is refused, as the vendor's reference does not know it."""


class Body(BaseModel):
    """What every body shares: no unknown field, no coercion."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)  # a run sends nothing


class CreateV2Body(Body):
    """``POST /v2/signal``."""

    coin: Name
    trade_market: Name
    exchange: Name
    invest: Number
    account: Literal["SPOT", "MARGIN", "FUTURES"] | Absent = None
    leverage: Number | Absent = None
    margin_type: Literal["ISOLATED", "CROSS"] | Absent = None
    entry_mode: Literal["range"] | Absent = None
    entry_price_min: Price | Absent = None
    entry_price_mid: Price | Absent = None
    entry_price_max: Price
    exit_price_1: Price
    exit_price_2: Price | Absent = None
    exit_price_3: Price | Absent = None
    exit_price_4: Price | Absent = None
    exit_price_5: Price | Absent = None
    stop_loss: Price | Absent = None
    type: Literal["long", "short"] | Absent = None
    invest_entry_min: Share | Absent = None
    invest_entry_mid: Share | Absent = None
    invest_entry_max: Share | Absent = None
    ttl_buy_order: Milliseconds | Absent = None
    attachment_image1_url: str | Absent = None
    attachment_image2_url: str | Absent = None
    attachment_description: Text | Absent = None


class CreateV1Body(Body):
    """``POST /v1/signal``; ``invest``, optional at the venue, is required here (L5.1), ``formatted_text`` refused."""

    coin: Name
    trade_market: Name
    exchange: Name
    buy_price_min: Price
    buy_price_max: Price
    sell_price_1: Price
    sell_price_2: Price | Absent = None
    sell_price_3: Price | Absent = None
    sell_price_4: Price | Absent = None
    sell_price_5: Price | Absent = None
    sell_price_6: Price | Absent = None
    stop_loss: Price | Absent = None
    type: Literal["long", "short"] | Absent = None
    invest: Number
    ttl_buy_order: Milliseconds | Absent = None
    attachment_image1_url: str | Absent = None
    attachment_image2_url: str | Absent = None
    attachment_description: Text | Absent = None


class LaterBody(Body):
    """A call about a signal that exists: each repeats the id of the path."""

    parent_signal_id: Annotated[str, Field(min_length=1)]


class TakeProfitBody(LaterBody):
    """``POST .../call/takeprofit``."""

    order_type: Literal["limit", "market"]
    sell_price: Price | Absent = None
    sell_amount_relative: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)]
    symbol: Name | Absent = None
    trailing_stop_price: Price | Absent = None
    trailing_stop_limit_price: Price | Absent = None


class TrailingStopBody(LaterBody):
    """``POST .../call/trailingstop``."""

    trailing_stop_price: Price
    trailing_stop_limit_price: Price


class RebuyBody(LaterBody):
    """``POST .../call/rebuy``."""

    buy_price_min: Price
    buy_price_max: Price
    invest: Number | Absent = None
    trailing_stop_price: Price | Absent = None
    trailing_stop_limit_price: Price | Absent = None


class DcaBody(LaterBody):
    """``POST .../call/dca``."""

    buy_price: Price
    multiplier: Number


class UpdatePricesBody(LaterBody):
    """``PUT .../updateprice``: only what is sent changes."""

    entry_price_min: Price | Absent = None
    entry_price_max: Price | Absent = None
    exit_price_1: Price | Absent = None
    exit_price_2: Price | Absent = None
    exit_price_3: Price | Absent = None
    exit_price_4: Price | Absent = None
    exit_price_5: Price | Absent = None
    exit_price_6: Price | Absent = None
    stop_loss: Price | Absent = None


class CancelBody(LaterBody):
    """``DELETE .../cancel``, a DELETE with a body."""
