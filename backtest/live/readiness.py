"""Readiness: what live emission would need, checked without sending anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.errors import BacktestError, InvalidSettingError
from backtest.live.clock import WallClock
from backtest.live.emission import code_hash
from backtest.live.journal import Journal
from backtest.live.schema import Run
from backtest.live.screening import screen
from backtest.model.calls import CreateSignal
from backtest.runner.run import feeds_of, run
from backtest.venue.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from backtest.live.settings import EmitSettings
    from backtest.model.calls import Call
    from backtest.model.candles import Candles
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.session import Decision
    from backtest.strategy import Strategy

__all__ = ["Check", "readiness"]


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of live emission: whether it holds, and a sentence."""

    name: str
    holds: bool
    text: str


def readiness(
    strategy: Strategy,
    candles: Candles,
    settings: EmitSettings,
    journal: Path,
    confirmed: str | None,
    profile: SubscriberProfile,
) -> list[Check]:
    """Return every condition; live emission starts where all hold.

    Parameters
    ----------
    candles
        On which the strategy's signals are looked at.
    confirmed
        The account's fingerprint, typed or from the environment.
    profile
        Of the subscriber for whom lint judges the signals.
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
        *_signals(strategy, candles, settings, profile),
    ]
    return [*checks, Check("live feed", holds=False, text="candles of an exchange, as they close, are not built yet")]


def _signals(
    strategy: Strategy, candles: Candles, settings: EmitSettings, profile: SubscriberProfile
) -> Iterator[Check]:
    """Look at the signals that the strategy makes of some candles: a stop in each, and nothing that lint refuses."""
    decisions: list[Decision] = []
    warnings: list[str] = []

    def stops() -> str:
        decisions.extend(run(strategy, candles, profile=profile).calls)
        return _stops([decision.call for decision in decisions], candles, settings)

    def lint() -> str:
        screen(decisions, feeds_of(candles), profile, warnings.append)
        return "; ".join(["nothing that must not be sent", *warnings])

    yield _check("strategy", stops)
    yield _check("lint", lint)


def _stops(calls: Sequence[Call], candles: Candles, settings: EmitSettings) -> str:
    """Look for a create without a stop: the venue, not our process, must protect a position when we die."""
    creates = [call for call in calls if isinstance(call, CreateSignal)]
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
