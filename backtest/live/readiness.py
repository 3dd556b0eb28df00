"""Readiness: what live emission would need, checked without sending anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.errors import BacktestError, InvalidSettingError
from backtest.live.clock import WallClock
from backtest.live.emission import code_hash
from backtest.live.journal import Journal, Run
from backtest.model.calls import CreateSignal
from backtest.runner.run import run
from backtest.venue.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from backtest.live.settings import EmitSettings
    from backtest.model.candles import Candles
    from backtest.strategy import Strategy

__all__ = ["Check", "readiness"]


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of live emission: whether it holds, and a sentence."""

    name: str
    holds: bool
    text: str


def readiness(
    strategy: Strategy, candles: Candles, settings: EmitSettings, journal: Path, confirmed: str | None
) -> list[Check]:
    """Return every condition; live emission starts where all hold.

    Parameters
    ----------
    candles
        On which the strategy's signals are looked at.
    confirmed
        The account's fingerprint, typed or from the environment.
    """
    found: list[Credentials] = []

    def credentials() -> str:
        found.append(Credentials.load())
        return f"account {found[0].fingerprint} at {found[0].base_url}"

    def confirmation() -> str:
        if not found:
            raise InvalidSettingError("unknown without credentials")
        if confirmed != found[0].fingerprint:
            raise InvalidSettingError(
                f"type the account's fingerprint: --account {found[0].fingerprint}, or set ANNY_CONFIRM_ACCOUNT"
            )
        return "the account was named"

    def book() -> str:
        if not found:
            raise InvalidSettingError("unknown without credentials")
        start = Run("live", found[0].fingerprint, WallClock().now(), code_hash(strategy), settings.hash)
        Journal(journal, start).close()
        return f"{journal} can be written"

    checks = [
        _check("credentials", credentials),
        _check("confirmation", confirmation),
        _check("journal", book),
        _check("strategy", lambda: _stops(strategy, candles, settings)),
    ]
    return [*checks, Check("live feed", holds=False, text="candles of an exchange, as they close, are not built yet")]


def _stops(strategy: Strategy, candles: Candles, settings: EmitSettings) -> str:
    """Look for a create without a stop: the venue, not our process, must protect a position when we die."""
    creates = [d.call for d in run(strategy, candles).calls if isinstance(d.call, CreateSignal)]
    bare = [call for call in creates if call.stop_loss is None and not call.allow_no_stop]
    if bare and not settings.allow_no_stop:
        raise InvalidSettingError(
            f"{len(bare)} of {len(creates)} signals have no stop_loss, the first is {bare[0].ref}; give them one, or "
            "allow_no_stop"
        )
    return f"{len(creates)} signals on {candles.symbol} {candles.timeframe}" + ("" if bare else ", each with a stop")


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, holds=True, text=look())
    except BacktestError as error:
        return Check(name, holds=False, text=str(error))
