"""Emission: everything that a strategy needs to be rehearsed, put together."""

from __future__ import annotations

import hashlib
import inspect
import json
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.engine.feed import Feed
from backtest.errors import InvalidSettingError
from backtest.live.clock import CandleClock, WallClock
from backtest.live.emitter import Emitter
from backtest.live.intent import Intent, State
from backtest.live.journal import Journal
from backtest.live.parity import ParityReport, parity
from backtest.live.person import stop_file_of
from backtest.live.rehearsal import Rehearsal
from backtest.live.schema import Run, Stream
from backtest.live.status import status_text
from backtest.model.assumptions import VenueAssumptions
from backtest.runner.linting import lint_decisions
from backtest.runner.run import run
from backtest.runner.session import Session
from backtest.venue.client import Client
from backtest.venue.paper_client import PaperClient
from backtest.venue.rate import RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from backtest.live.settings import EmitSettings
    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.result import Result
    from backtest.strategy import Strategy
    from backtest.venue.credentials import Credentials

__all__ = ["Plan", "Rehearsed", "code_hash", "rehearse", "stream_of", "subscriber_name"]


@dataclass(frozen=True)
class Plan:
    """What is emitted: a strategy on one market, for a subscriber."""

    strategy: Strategy
    candles: Candles
    market: Market
    profile: SubscriberProfile
    assumptions: VenueAssumptions = VenueAssumptions()  # noqa: RUF009 - frozen

    def session(self) -> Session:
        """Return a fresh session, whose engine is the shadow book."""
        options = {"market": self.market, "profile": self.profile, "assumptions": self.assumptions}
        return Session(self.strategy, self.candles.slice(0, 0), **options)  # type: ignore[arg-type]  # each fits its own

    def backtest(self, warn: Callable[[str], object]) -> Result:
        """Return the run that emission is to equal; ``warn`` hears what is refused, and what lint says of the rest."""
        options = {"market": self.market, "profile": self.profile, "assumptions": self.assumptions}
        result = run(self.strategy, self.candles, **options)  # type: ignore[arg-type]  # each fits its own
        if result.refused:
            first, number = result.refused[0], len(result.refused)
            were = "1 call is refused" if number == 1 else f"{number:,} calls are refused"
            warn(f"{were} at the desk and not sent; the first, about {first.signal}: {first.reason}")
        for one in lint_decisions(result.calls, [Feed(self.market, self.candles)], self.profile):
            warn(f"{one.sentence} ({one.finding.code})")
        return result


@dataclass(frozen=True)
class Rehearsed:
    """How a rehearsal ended.

    Attributes
    ----------
    report
        Against the backtest.
    unknown, left
        What awaits a person, and what is still planned.
    halted
        Whether the venue refused the credentials.
    stopped
        Whether it was stopped before its end; the same again goes on.
    """

    report: ParityReport
    unknown: list[Intent]
    left: list[Intent]
    halted: bool
    stopped: bool = False


def rehearse(  # noqa: PLR0913 - each is of the caller
    plan: Plan,
    credentials: Credentials,
    journal_path: Path,
    settings: EmitSettings,
    *,
    token: str | None = None,
    pace: Callable[[int], object] | None = None,
    warn: Callable[[str], object] = warnings.warn,
    tell: Callable[[str], object] | None = None,
    stop: threading.Event | None = None,
) -> Rehearsed:
    """Emit over recorded candles to the paper venue at ``credentials.base_url``, and compare with the backtest.

    The backtest runs first, so that a signal that lint refuses (``warn`` hears of the others) is met before anything is
    sent or kept. At a restart ``tell`` hears where the journal stands. Once ``stop`` is set it ends after the call on its way.

    Raises
    ------
    InvalidSettingError
        For a venue that is not on this machine, or a journal that does not fit.
    """
    if not credentials.is_local:
        raise InvalidSettingError(f"paper calls go to this machine only, ANNY_BASE_URL was {credentials.base_url}")
    expected = plan.backtest(warn)
    clock, wall = CandleClock(), WallClock()
    start = Run("paper", credentials.fingerprint, wall.now(), code_hash(plan.strategy), settings.hash)
    with (
        Journal(journal_path, start) as journal,
        Client(credentials, rate=RateLimit(settings.per_minute, clock.seconds)) as client,
        PaperClient(credentials.base_url, token) as control,
    ):
        name = subscriber_name(plan)
        terms = plan.profile.to_dict(), plan.assumptions.to_dict()
        place = (plan.market.exchange, plan.candles.timeframe)
        control.subscribe(name, *terms, place=place, strategy=plan.strategy.identity)
        control.subscribe(subscriber_name(plan, everything=True), *terms, place=place)
        stop_file = stop_file_of(journal_path)
        emitter = Emitter(journal, client, clock, settings, wall.now, stop_file, stop or threading.Event())
        drive = Rehearsal(
            plan.session(),
            plan.candles,
            plan.market,
            emitter=emitter,
            clock=clock,
            control=control,
            stream=stream_of(plan, credentials),
            pace=pace,
        )
        emitter.recover()
        if tell is not None and journal.cursors():
            tell(status_text(journal))
        left = drive.run()
        report = parity(expected.calls, expected.events, journal, control.received(), control.events(name))
        return Rehearsed(report, journal.intents(State.UNKNOWN), left, emitter.halted, emitter.stop.is_set())


def stream_of(plan: Plan, credentials: Credentials) -> Stream:
    """Return what every intent's id begins with."""
    candles = plan.candles
    account, identity = credentials.fingerprint, plan.strategy.identity
    return Stream(account, identity, candles.symbol, candles.timeframe, candles.exchange, candles.volume_known)


def subscriber_name(plan: Plan, *, everything: bool = False) -> str:
    """Return the name of a paper subscriber: other terms or another strategy are another subscriber.

    Parameters
    ----------
    plan
        What is emitted.
    everything
        The subscriber who follows all strategies, and not only that of the plan.
    """
    place = (plan.market.exchange, plan.candles.timeframe)
    strategy = "" if everything else plan.strategy.identity
    text = json.dumps([plan.profile.to_dict(), plan.assumptions.to_dict(), *place, strategy], sort_keys=True)
    who = "all" if everything else type(plan.strategy).__name__
    return f"{plan.profile.name}-{who}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def code_hash(strategy: Strategy) -> str:
    """Return the hash of the strategy's source file, recorded apart from its identity."""
    try:
        file = inspect.getfile(type(strategy))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except (OSError, TypeError):
        return ""
