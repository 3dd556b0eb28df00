"""VenueAssumptions: what the vendor leaves open, as named switches that every result lists."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from backtest.errors import InvalidSettingError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Assumption", "VenueAssumptions"]


class Assumption(NamedTuple):
    """One rule of the venue: its name, value, how sure we are and what it says."""

    name: str
    value: Any
    status: str
    rule: str
    text: str


def _switch(rule: str, text: str, *, value: bool = True) -> Any:
    return field(default=value, metadata={"rule": rule, "text": text, "status": "assumed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueAssumptions:
    """Switchable readings of the venue, each ``documented``, ``assumed`` or ``confirmed``.

    What a subscriber chooses (``trail_distance``, ``stop_trigger``, ...) is in the profile; what no switch covers stands
    in :data:`FIXED`.
    """

    fee_inside_allocation: bool = _switch(
        "L5.2", "the allocation pays for margin and entry fee, so that invest 100 works"
    )
    cancel_entries_at_first_target: bool = _switch(
        "L4.6", "entry orders still unfilled are canceled when the first target fills"
    )
    cancel_if_target_first: bool = _switch(
        "L4.5", "a signal whose target 1 is reached before its entry ends", value=False
    )
    invalidate_at_stop: bool = _switch("L4.5", "a signal whose stop is reached before anything was bought ends")
    buys_survive_take_profit: bool = _switch("L10.3", "DCA and rebuy orders stay armed after a partial take profit")
    fill_without_volume: bool = _switch("L2.6", "a candle of volume 0 trades like any other", value=False)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VenueAssumptions:
        """Build from plain JSON; unknown names and values that are not true or false are refused."""
        names = [f.name for f in fields(cls)]
        for name, value in values.items():
            if name not in names:
                raise InvalidSettingError(
                    f"there is no assumption {name!r}; there are {', '.join(names)}.{did_you_mean(name, names)}"
                )
            if not isinstance(value, bool):
                raise InvalidSettingError(f"assumption {name} is true or false, was {value!r}")
        return cls(**values)

    @classmethod
    def from_listed(cls, listed: Iterable[Mapping[str, Any]]) -> VenueAssumptions:
        """Return the switches of a list as :meth:`listed` gives it, its rows as mappings; what has no switch is passed."""
        known = {f.name for f in fields(cls)}
        return cls.from_dict({str(one["name"]): one["value"] for one in listed if one["name"] in known})

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def listed(self) -> list[Assumption]:
        """Return every assumption with its status, the switchable ones first."""
        switches = [
            Assumption(f.name, getattr(self, f.name), f.metadata["status"], f.metadata["rule"], f.metadata["text"])
            for f in fields(self)
        ]
        return switches + list(FIXED)


FIXED = (
    Assumption("split_shares_sum_to_100", "required", "assumed", "L4.2", "the shares of a split entry must sum to 100"),
    Assumption(
        "mid_price_without_split", "no order", "assumed", "L4.3", "entry_price_mid without a split carries no order"
    ),
    Assumption(
        "trailing_distance",
        "fixed when armed",
        "assumed",
        "L8.1",
        "the distance of a trailing stop is fixed when its call acts, or at the fill that arms it, from the price traded",
    ),
    Assumption(
        "take_profit_call",
        "percent of what is open at its fill",
        "assumed",
        "L9.1",
        "a take profit call adds to the targets of the create and is no first target",
    ),
    Assumption(
        "take_profit_trailing",
        "armed at its fill",
        "assumed",
        "L9.2",
        "the trailing stop of a partial take profit is armed when the take profit fills",
    ),
    Assumption(
        "expiry_inside_candle",
        "both tried",
        "assumed",
        "L4.4",
        "an expiry inside a candle is tried filled and unfilled",
    ),
    Assumption(
        "ratchet_rounding",
        "to the tick, away from the market",
        "assumed",
        "L3.6",
        "ratcheted stops are rounded to the tick like prices that are sent",
    ),
    Assumption(
        "cross_liquidation",
        "at the level, without a fee",
        "assumed",
        "L13.2",
        "cross positions are closed where the free balance, their margins and their PnL fall to their maintenance margin",
    ),
    Assumption(
        "cross_shortage",
        "the newest reservation ends first",
        "assumed",
        "L13.2",
        "orders whose reservation cash no longer covers after a cross liquidation end",
    ),
    Assumption(
        "funding_price",
        "last price",
        "assumed",
        "L13.3",
        "funding is charged on the notional at the last price before the funding time, rounded to the minute",
    ),
    Assumption(
        "funding_shortage",
        "taken from the margin",
        "assumed",
        "L13.3",
        "funding that the free balance cannot pay is taken from the position's margin, and moves its liquidation level",
    ),
    Assumption(
        "latency_rounding",
        "whole candles",
        "assumed",
        "L1.2",
        "latency is rounded to the nearest whole number of the candles walked; the time of a call log is not",
    ),
    Assumption(
        "stop_order_by_account",
        "market for FUTURES and MARGIN, limit for SPOT",
        "documented",
        "L7.1",
        "unless the profile names one",
    ),
    Assumption(
        "leverage_above_maximum",
        "lowered",
        "documented",
        "L5.2",
        "leverage above the market's maximum is lowered to it",
    ),
    Assumption(
        "indivisible_take_profit",
        "skipped",
        "documented",
        "L6.3",
        "a take profit below the market's minimum is not done",
    ),
)
"""Readings without a switch, listed by every result."""
