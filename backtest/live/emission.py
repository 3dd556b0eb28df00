"""Emission: everything that a strategy needs to be rehearsed, put together."""

from __future__ import annotations

import hashlib
import json
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError
from backtest.live.clock import CandleClock, WallClock
from backtest.live.code import code_hash
from backtest.live.emitter import Emitter
from backtest.live.intent import Intent, State
from backtest.live.journal import Journal
from backtest.live.parity import ParityReport, parity
from backtest.live.person import stop_file_of
from backtest.live.rehearsal import Rehearsal
from backtest.live.schema import Run, Stream
from backtest.live.status import status_text
from backtest.venue.client import Client
from backtest.venue.paper_client import PaperClient
from backtest.venue.rate import RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from backtest.live.channel import Channel
    from backtest.live.emitter import Halt
    from backtest.live.settings import EmitSettings
    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.profile import SubscriberProfile
    from backtest.strategy import Strategy
    from backtest.venue.credentials import Credentials

__all__ = ["Rehearsed", "name_of_subscriber", "rehearse", "streams_of", "subscriber_name"]


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
        Why the venue took nothing any more; None where it did.
    stopped
        Whether it was stopped before its end; the same again goes on.
    """

    report: ParityReport
    unknown: list[Intent]
    left: list[Intent]
    halted: Halt | None
    stopped: bool = False


def rehearse(  # noqa: PLR0913 - each is of the caller
    channel: Channel,
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
    sent or kept. The comparison is with the backtest that is told what became of the calls. At a restart ``tell`` hears where the journal stands. Once ``stop`` is set it ends after the call on its way.

    Raises
    ------
    InvalidSettingError
        For a venue that is not on this machine, or a journal that does not fit.
    """
    if not credentials.is_local:
        raise InvalidSettingError(f"paper calls go to this machine only, ANNY_BASE_URL was {credentials.base_url}")
    channel.backtest(warn)
    clock, wall = CandleClock(), WallClock()
    start = Run("paper", credentials.fingerprint, wall.now(), code_hash(channel.strategy), settings.hash)
    with (
        Journal(journal_path, start) as journal,
        Client(credentials, rate=RateLimit(settings.per_minute, clock.seconds)) as client,
        PaperClient(credentials.base_url, token) as control,
    ):
        name = subscriber_name(channel)
        terms = channel.profile.to_dict(), channel.assumptions.to_dict()
        place = (channel.exchange, channel.timeframe)
        control.subscribe(name, *terms, place=place, strategy=channel.strategy.identity)
        control.subscribe(subscriber_name(channel, everything=True), *terms, place=place)
        stop_file = stop_file_of(journal_path)
        emitter = Emitter(journal, client, clock, settings, wall.now, stop_file, stop or threading.Event())
        streams = streams_of(channel, credentials.fingerprint)
        drive = Rehearsal(channel, emitter=emitter, clock=clock, control=control, streams=streams, pace=pace)
        emitter.recover()
        if tell is not None and journal.cursors():
            tell(status_text(journal))
        left = drive.run()
        expected = drive.again()
        decisions, events = (expected.calls, expected.events) if expected is not None else ([], [])
        report = parity(decisions, events, journal, control.received(), control.events(name))
        return Rehearsed(report, journal.intents(State.UNKNOWN), left, emitter.halted, emitter.stop.is_set())


def streams_of(channel: Channel, account: str) -> dict[str, Stream]:
    """Return what the ids of the intents of each market begin with, by symbol.

    Parameters
    ----------
    channel
        What is emitted.
    account
        Fingerprint of the key.
    """
    identity = channel.strategy.identity
    return {
        symbol: Stream(account, identity, symbol, one.timeframe, one.exchange, one.volume_known)
        for symbol, one in channel.series.items()
    }


def subscriber_name(channel: Channel, *, everything: bool = False) -> str:
    """Return the name of a paper subscriber: other terms or another strategy are another subscriber.

    Parameters
    ----------
    channel
        What is emitted.
    everything
        The subscriber who follows all strategies, and not only that of the channel.
    """
    place = (channel.exchange, channel.timeframe)
    return name_of_subscriber(channel.profile, channel.assumptions, place, None if everything else channel.strategy)


def name_of_subscriber(
    profile: SubscriberProfile, assumptions: VenueAssumptions, place: tuple[str, str], strategy: Strategy | None
) -> str:
    """Return the name of a paper subscriber.

    Parameters
    ----------
    profile, assumptions
        On which signals are executed.
    place
        Exchange and timeframe of its candles.
    strategy
        Whom it follows; None follows all.
    """
    identity = "" if strategy is None else strategy.identity
    text = json.dumps([profile.to_dict(), assumptions.to_dict(), *place, identity], sort_keys=True)
    who = "all" if strategy is None else type(strategy).__name__
    return f"{profile.name}-{who}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
