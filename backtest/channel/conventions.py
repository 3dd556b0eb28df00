"""Rules: what a channel means where channels mean different things, in ``channel.toml``."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from backtest.errors import InvalidSettingError, InvalidSignalError, did_you_mean
from backtest.model.validation import first_fault
from backtest.strategy.plan import Plan

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TEMPLATE", "ChannelRules", "read_rules"]

_SPANS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LARGEST = 100_000

Span = Annotated[int, Field(ge=0)]

TEMPLATE = """\
# What this channel means where channels mean different things. Nothing is guessed: a message that needs a rule which is
# not set is refused, and names the rule.

exchange = "BINANCE"            # where subscribers execute
quote = "USDT"                  # of a coin without one, #BTC
invest = 5                      # percent of the portfolio; "message": what each message says
account = "by leverage"         # SPOT, FUTURES, MARGIN; by leverage: FUTURES for shorts and where a leverage is stated

# leverage = 1                  # on FUTURES, where a message states none
# margin_type = "ISOLATED"      # on FUTURES, where a message states none: ISOLATED or CROSS
# leverage_of_range = "lowest"  # of 5-10x: lowest or highest
# decimal = "."                 # 1.234 is 1.234 with ".", and 1234 with ","
# dash = "range"                # entry 100-105: range, or entries: two of them
# entries = "equal"             # several entries: equal parts (at most three), range: one from lowest to highest, or first
# dca_multiplier = 1.0          # each DCA level buys so many times the investment
# more_targets = "first"        # of more targets than a create takes: the first ones, or last: the first ones and the last
# without_stop = "send"         # a signal without a stop: send, or refuse
# stop_to_entry = "near"        # "stop to entry" of several entries: near, middle or far
# bare_btc_prices = "satoshi"   # 412 in a BTC pair: satoshi, or coin
# market = "first minute"       # "at market": from the open of the first minute after message and latency to its worst price
# latency = "30s"               # from message to order, for market
# edited_within = "5m"          # a message edited no later is read, as of its edit; a later edit is not counted
# unreplied = "newest"          # an update that answers no message: of the newest signal of its pair; or refuse
# unchecked = "accept"          # a signal without candles to hold its prices against: accept, or refuse
# ttl = "24h"                   # how long entry orders live
# timezone = "UTC"              # of a CSV whose times name none
# plan = [{ kind = "break_even_at", target = 2 }]   # what the channel says once for all its signals
"""


class ChannelRules(BaseModel):
    """The rules of one channel. None is not said: a message that needs it is refused and names it.

    Attributes are described in :data:`TEMPLATE`; durations are ms.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    exchange: str | None = Field(None, min_length=1, max_length=30, pattern=r"^[A-Z0-9._-]+$")
    quote: str | None = Field(None, pattern=r"^[A-Z0-9]{2,10}$")
    invest: Annotated[float, Field(gt=0.0, le=100.0)] | Literal["message"] | None = None
    account: Literal["SPOT", "FUTURES", "MARGIN", "by leverage"] | None = None
    leverage: float | None = Field(None, ge=1.0, le=200.0)
    margin_type: Literal["ISOLATED", "CROSS"] | None = None
    leverage_of_range: Literal["lowest", "highest"] | None = None
    decimal: Literal[".", ","] | None = None
    dash: Literal["range", "entries"] | None = None
    entries: Literal["equal", "range", "first"] | None = None
    dca_multiplier: float | None = Field(None, gt=0.0, le=20.0)
    more_targets: Literal["first", "last"] | None = None
    without_stop: Literal["send", "refuse"] | None = None
    stop_to_entry: Literal["near", "middle", "far"] | None = None
    bare_btc_prices: Literal["satoshi", "coin"] | None = None
    market: Literal["first minute"] | None = None
    latency: Span | None = None
    edited_within: Span | None = None
    unreplied: Literal["newest", "refuse"] | None = None
    unchecked: Literal["accept", "refuse"] | None = None
    ttl: Annotated[int, Field(gt=0)] | None = None
    timezone: str | None = None
    plan: Plan | None = None

    @field_validator("latency", "edited_within", "ttl", mode="before")
    @classmethod
    def _span(cls, value: Any) -> Any:
        if value is None:
            return None
        found = re.fullmatch(r"(\d{1,6})\s?([smhd])", value) if isinstance(value, str) else None
        if found is None:
            raise ValueError("a duration is written 30s, 5m, 24h or 7d")
        return int(found[1]) * _SPANS[found[2]]

    @field_validator("plan", mode="before")
    @classmethod
    def _parts(cls, value: Any) -> Any:
        return {"parts": value} if isinstance(value, list) else value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        from zoneinfo import ZoneInfo

        if value is not None:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError):
                raise ValueError("is a name such as UTC or Europe/Madrid") from None
        return value

    def need(self, name: str, why: str) -> Any:
        """Return a rule that a message needs.

        Parameters
        ----------
        name
            Of the rule.
        why
            What in the message needs it, as the beginning of a sentence.

        Raises
        ------
        InvalidSignalError
            Where the rule is not set.
        """
        found = getattr(self, name)
        if found is None:
            raise InvalidSignalError(f"{why}, and the rule {name} is not set", name)
        return found


def read_rules(path: Path) -> ChannelRules:
    """Return the rules of a ``channel.toml``.

    Raises
    ------
    InvalidSettingError
        Where the file cannot be read, or has a rule that there is not, or one with a wrong value.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InvalidSettingError(
                f"rules {path} have {path.stat().st_size:,} bytes; a channel.toml has a few dozen lines"
            )
        values = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise InvalidSettingError(
            f"there is no file of rules {path}; `backtest channel rules > {path.name}` writes one to begin with"
        ) from None
    except OSError as error:
        raise InvalidSettingError(f"rules {path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidSettingError(f"rules {path} are no TOML: {error}") from None
    for name in values:
        if name not in ChannelRules.model_fields:
            raise InvalidSettingError(
                f"rules {path}: there is no rule {name!r}; there are {', '.join(ChannelRules.model_fields)}."
                f"{did_you_mean(name, ChannelRules.model_fields)}"
            )
    try:
        return ChannelRules(**values)
    except ValidationError as error:
        name, fault = first_fault(error)
        raise InvalidSettingError(f"rules {path}: {name} {fault}") from None
