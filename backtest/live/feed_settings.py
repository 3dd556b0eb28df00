"""Feed settings: how long a live feed waits for a candle, and when it begins to doubt its connection."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FeedSettings"]


class FeedSettings(BaseModel):
    """Waits of a live feed, in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grace: float = Field(2.0, ge=0.0, le=60.0, description="after its close a candle asked for by REST counts as final")
    graces: dict[str, float] = Field(default_factory=dict, description="grace of one exchange, by its name")
    late_after: float = Field(5.0, ge=0.0, le=300.0, description="after its close a candle not there is missing")
    future: float = Field(1.0, ge=0.0, le=60.0, description="a candle that closes later than now by more is refused")
    clock_off: float = Field(
        2.0, gt=0.0, le=60.0, description="this machine's clock may differ by, from the exchange's"
    )
    clock_every: float = Field(3600.0, gt=0.0, description="the exchange's clock is asked for")
    fresh_after: float = Field(82_800.0, gt=0.0, description="a connection is replaced")
    keep_alive: float = Field(15.0, gt=0.0, le=180.0, description="between pings, at most")
    reconnect_first: float = Field(0.5, gt=0.0, le=60.0, description="before a second try to connect")
    reconnect_most: float = Field(30.0, gt=0.0, le=600.0, description="between tries, at most")
    audit_after: float = Field(60.0, gt=0.0, description="after its close a candle acted on is compared with REST")
    audit_every: float = Field(600.0, gt=0.0, description="between two comparisons of one series")

    def grace_of(self, exchange: str) -> float:
        """Return the grace of an exchange, in seconds."""
        return self.graces.get(exchange, self.grace)
