"""SubscriberProfile: the automation, fees, limits and balance on which a signal is executed."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.model.validation import first_fault

__all__ = ["MAJORS", "FrequencyLimit", "SubscriberProfile", "TrailingTakeProfit"]

MAJORS = frozenset({"BTC", "ETH", "SOL", "BNB", "XRP", "ADA", "DOGE", "AVAX"})
"""Coins whose slippage the vendor's backtester puts at 0.1 %, against 0.3 % for the rest (L3.7)."""

_Fraction = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
_Percent = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TrailingTakeProfit(_Value):
    """From target ``from_target`` on, each target reached moves the stop (L6.5)."""

    from_target: int = Field(ge=1, le=6)
    stop_to: Literal["break_even", "previous_target", "distance"]
    distance_percent: float | None = Field(
        None, gt=0.0, lt=100.0, description="below the target reached, for stop_to distance"
    )

    @model_validator(mode="after")
    def _distance_is_given(self) -> TrailingTakeProfit:
        if self.stop_to == "distance" and self.distance_percent is None:
            raise ValueError('stop_to "distance" needs distance_percent')
        return self


class FrequencyLimit(_Value):
    """At most ``signals`` accepted creates in any span of ``period_ms``."""

    signals: int = Field(ge=1)
    period_ms: int = Field(86_400_000, ge=1)


class SubscriberProfile(_Value):
    """How one subscriber's account executes signals. Percent where the API names percent, else fractions.

    Presets: :meth:`anny` (the vendor's own backtester, the default) and :meth:`exchange` (fees of the exchange, no slippage).
    """

    name: str = "anny"
    balance: float = Field(10_000.0, gt=0.0, description="initial balance, quote currency")
    basis: Literal["initial", "equity"] = Field("initial", description="what `invest` is a percentage of (L5.1)")
    maker_fee: _Fraction = 0.001
    taker_fee: _Fraction = 0.001
    slippage: _Fraction | None = Field(
        None, description="fraction; None: 0.1 % for the vendor's majors, 0.3 % for the rest (L3.7)"
    )
    latency_ms: int = Field(
        0, ge=0, le=31_536_000_000, description="at most a year; from sending a call to its arrival at the venue (L1.2)"
    )
    intrabar: Literal["pessimistic", "candle", "optimistic"] = "pessimistic"
    target_shares: tuple[_Percent, ...] | None = Field(
        None, max_length=6, description="percent sold at each target (L6.1); None: equal parts"
    )
    take_profit_at: int | str | None = Field(
        None, description="target number, or percent over the average entry as '4%' (L6.4)"
    )
    trailing_take_profit: TrailingTakeProfit | None = None
    stop_order: Literal["market", "limit"] | None = Field(
        None, description="None: market for FUTURES and MARGIN, limit for SPOT (L7.1)"
    )
    stop_limit_margin: _Fraction = 0.005
    stop_trigger: Literal["order", "close"] = "order"
    trail_distance: Literal["absolute", "relative", "static"] = "absolute"
    allocation_limit: float = Field(100.0, gt=0.0, description="percent of the basis (L14.2)")
    risk_limit: float | None = Field(None, gt=0.0, description="percent of the basis (L14.2)")
    frequency_limit: FrequencyLimit | None = Field(None, description="a bare number counts signals in 24 hours")
    max_open: int | None = Field(None, ge=1, description="most living signals")

    def __init__(self, **values: Any) -> None:
        known = type(self).model_fields
        for name in values:
            if name not in known:
                raise InvalidSettingError(
                    f"profile has no field {name!r}; it knows {', '.join(known)}.{did_you_mean(name, known)}"
                )
        try:
            super().__init__(**values)
        except ValidationError as error:
            path, fault = first_fault(error)
            raise InvalidSettingError(f"profile {path} {fault}") from None

    @field_validator("target_shares")
    @classmethod
    def _shares(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and sum(value) > 100.0 + 1e-9:
            raise ValueError(
                f"target_shares sum to {sum(value):g}; they are percent of the position and may not exceed 100"
            )
        return value

    @field_validator("take_profit_at", mode="before")
    @classmethod
    def _no_flag(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError(f'take_profit_at is a target number or a percent such as "4%", was {value}')  # noqa: TRY004 - pydantic's own way
        return value

    @field_validator("take_profit_at")
    @classmethod
    def _take_profit_at(cls, value: int | str | None) -> int | str | None:
        if isinstance(value, str):
            if not re.fullmatch(r"\d+(\.\d+)?%", value) or float(value[:-1]) <= 0.0:
                raise ValueError(f'take_profit_at is a target number or a percent such as "4%", was {value!r}')
        elif value is not None and not 1 <= value <= 6:
            raise ValueError(f"take_profit_at names a target from 1 to 6, was {value}")
        return value

    @field_validator("frequency_limit", mode="before")
    @classmethod
    def _bare_number(cls, value: Any) -> Any:
        return {"signals": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @classmethod
    def anny(cls, **changes: Any) -> SubscriberProfile:
        """Return the vendor's own backtester: 0.1 % taker on every fill, slippage 0.1 % on its majors, 0.3 % on the rest."""
        return cls.from_dict({"name": "anny", **changes})

    @classmethod
    def exchange(cls, *, maker_fee: float, taker_fee: float, **changes: Any) -> SubscriberProfile:
        """Return a subscriber who pays the exchange's own maker and taker fee, without slippage unless given."""
        return cls.from_dict(
            {"name": "exchange", "maker_fee": maker_fee, "taker_fee": taker_fee, "slippage": 0.0, **changes}
        )

    @classmethod
    def preset(cls, name: str) -> SubscriberProfile:
        """Return a preset by its name on the command line: ``anny`` or ``exchange`` (0.1 % maker and taker)."""
        presets = {"anny": cls.anny(), "exchange": cls.exchange(maker_fee=0.001, taker_fee=0.001)}
        if name not in presets:
            raise InvalidSettingError(
                f"profile was {name!r}; there are anny and exchange, or a JSON file.{did_you_mean(name, presets)}"
            )
        return presets[name]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SubscriberProfile:
        """Build a profile from plain values; what is absent takes preset ``anny``.

        Raises
        ------
        InvalidSettingError
            For an unknown field or a value outside its range, in one sentence.
        """
        return cls(**values)

    def slippage_for(self, coin: str) -> float:
        """Return the slippage fraction for a base asset (L3.7)."""
        if self.slippage is not None:
            return self.slippage
        return 0.001 if coin.upper() in MAJORS else 0.003

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return self.model_dump(mode="json")
