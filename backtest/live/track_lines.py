"""Track lines: what each kind of line of a track record holds, so that one with anything else is refused when it is read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from backtest.errors import InvalidSettingError
from backtest.model.timeframe import milliseconds

__all__ = ["why_not"]


def _printable(text: str) -> str:
    if not text.isprintable():  # it is shown in a terminal
        raise ValueError("it has characters that cannot be printed")
    return text


def _timeframe(text: str) -> str:
    try:
        milliseconds(text)
    except InvalidSettingError as error:
        raise ValueError(str(error)) from None
    return text


_Text = Annotated[str, AfterValidator(_printable)]
_Time = Annotated[int, Field(ge=0, lt=253_402_300_800_000)]  # before the year 10000
_Count = Annotated[int, Field(ge=0)]
_Timeframe = Annotated[_Text, AfterValidator(_timeframe)]


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Record(_Line):
    kind: Literal["record"]
    format: int
    mode: _Text
    begun: _Time
    journal: _Text


class _Strategy(_Line):
    kind: Literal["strategy"]
    strategy: _Text
    profile: dict[str, Any]


class _Sent(_Line):
    kind: Literal["sent"]
    id: _Text
    strategy: _Text
    symbol: _Text
    timeframe: _Timeframe
    ref: _Text
    venue_id: _Text
    call: _Text
    decided: _Time
    sent: _Time
    confirmed: _Time
    body: dict[str, Any]


class _Fill(_Line):
    time: _Time
    kind: _Text
    buy: bool
    price: float
    quantity: float
    fee: float


class _Result(_Line):
    kind: Literal["result"]
    strategy: _Text
    ref: _Text
    series: Annotated[list[_Text], Field(min_length=3, max_length=3)]
    status: _Text
    ended: _Time
    pnl: float
    fraction: float
    fills: list[_Fill]
    corrects: _Count | None = None


class _Figures(_Line):
    kind: Literal["figures"]
    until: _Time
    signals: _Count
    ended: _Count
    won: _Count
    pnl: float
    fraction: float


_LINE: TypeAdapter[Any] = TypeAdapter(
    Annotated[_Record | _Strategy | _Sent | _Result | _Figures, Field(discriminator="kind")]
)


def why_not(entry: Any) -> str:
    """Return why this is nothing that a track record says, as what is wrong and the rule; empty where it is."""
    try:
        _LINE.validate_python(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "union_tag_invalid":
            return f"its kind should be one of {first['ctx']['expected_tags']}"
        key = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"][1:])
        rule = first["msg"].removeprefix("Value error, ").replace("Input", "it", 1)
        return f"{key}: {rule[:1].lower()}{rule[1:]}"
    return ""
