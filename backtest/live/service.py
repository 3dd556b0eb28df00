"""Service: an emission on candles as they close, put together: exchanges, strategies, journal, sender, loop."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from backtest.engine.warm import warm
from backtest.errors import InvalidSettingError
from backtest.live.code import code_hash
from backtest.live.commands import Commands
from backtest.live.emission import name_of_subscriber
from backtest.live.emitter import Emitter
from backtest.live.feed import exchange_feed
from backtest.live.intent import Intent, State
from backtest.live.journal import Journal
from backtest.live.loop import Loop
from backtest.live.notices import NoticeKind, Notices
from backtest.live.person import stop_file_of
from backtest.live.schema import Run
from backtest.live.seat import Seat
from backtest.live.second_look import SecondLook
from backtest.live.sender import Sender
from backtest.live.ticking import MachineTime, TickingClock
from backtest.live.track import Follow
from backtest.market_data.exchange import Access, connect
from backtest.market_data.market_rules import read_rules
from backtest.market_data.retry import Retry
from backtest.model.assumptions import VenueAssumptions
from backtest.model.timeframe import week_offset
from backtest.runner.loading import load_strategy
from backtest.venue.client import Client
from backtest.venue.credentials import Credentials
from backtest.venue.paper_client import PaperClient
from backtest.venue.rate import RateLimit

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from backtest.live.emitter import Halt
    from backtest.live.settings import LiveSettings, StrategySettings
    from backtest.live.ticking import Ticking
    from backtest.market_data.series import Series
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.strategy import Strategy
    from backtest.venue.outlet.door import Outlet
    from backtest.venue.outlet.settings import OutletSecrets

__all__ = ["HISTORY", "Served", "Service", "serve"]

HISTORY = 2_000
"""Candles before the start that indicators see."""


@dataclass(frozen=True)
class Served:
    """How an emission ended.

    Attributes
    ----------
    unknown
        What awaits a person.
    halted
        Sentences about strategies that raised.
    refused
        Why the venue took nothing any more; None where it did.
    """

    unknown: Sequence[Intent]
    halted: Sequence[str]
    refused: Halt | None


@dataclass(frozen=True)
class Service:
    """What an emission needs.

    Attributes
    ----------
    settings
        Strategies, limits, account.
    credentials
        Whose calls, and where they go.
    mode
        ``paper`` or ``live``.
    profile_of
        Returns a subscriber's profile by the name that the settings give.
    access
        How exchanges are reached, by name.
    token
        Of the paper venue.
    time
        The time that all runs on.
    notices
        Hear what a person should know.
    beat
        Called after each pass of decisions, and each second in which nothing came.
    history
        Candles before the start that indicators see, and at least so many later on.
    outlet
        Makes the venue of ``credentials`` where that is not the Signal API; None: it is.
    accept_new_code
        Whether code that decides otherwise than before may go on.
    """

    settings: LiveSettings
    credentials: Credentials | OutletSecrets
    mode: str
    profile_of: Callable[[str], SubscriberProfile]
    access: Mapping[str, Access]
    token: str | None = None
    time: Ticking | None = None
    notices: Notices = field(default_factory=Notices)
    beat: Callable[[], object] = lambda: None
    history: int = HISTORY
    looks_again: bool = False
    outlet: Callable[[Callable[[], float]], Outlet] | None = None
    accept_new_code: bool = False

    def door(self, seconds: Callable[[], float]) -> Client | Outlet:
        """Return where calls go; ``seconds`` is the clock of its rate limit."""
        if self.outlet is not None:
            return self.outlet(seconds)
        assert isinstance(self.credentials, Credentials)  # noqa: S101 - an outlet has secrets of its own
        return Client(self.credentials, rate=RateLimit(self.settings.limits.per_minute, seconds))


async def serve(service: Service, stop: threading.Event) -> Served:
    """Emit until ``stop`` is set, or until there is nothing left that decides.

    Calls on their way at the end are waited for, and what became of them is kept.

    Raises
    ------
    InvalidSettingError
        For settings, a market or a journal that do not fit.
    DataUnavailableError
        Where an exchange does not answer at the start, or this machine's clock is wrong.
    StorageError
        Where the disk refuses.
    """
    settings, credentials = service.settings, service.credentials
    if not settings.strategy:
        raise InvalidSettingError("no strategy was named: give a file, or a [[strategy]] in the settings")
    if service.mode == "paper" and not credentials.is_local:
        raise InvalidSettingError(f"paper calls go to this machine only, ANNY_BASE_URL was {credentials.base_url}")
    await asyncio.to_thread(warm)  # the first close must not wait for the compiler
    time = service.time or MachineTime()
    clock = TickingClock(time)
    markets = await _markets(service)
    strategies = [load_strategy(each.file)(**each.parameters) for each in settings.strategy]
    codes = hashlib.sha256("".join(map(code_hash, strategies)).encode()).hexdigest()
    start = Run(service.mode, credentials.fingerprint, clock.now(), codes, settings.limits.hash)
    path = settings.account.journal
    with (
        Journal(path, start) as journal,
        service.door(clock.seconds) as client,
    ):
        emitter = Emitter(
            journal, client, clock, settings.limits, clock.now, stop_file_of(path), notices=service.notices
        )
        emitter.recover()
        made = zip(settings.strategy, strategies, strict=True)
        seats = [_seat(service, each, strategy, markets, journal, client.max_lag) for each, strategy in made]
        _refuse_twins(seats)
        for seat in seats:
            seat.notices, seat.keep = service.notices, max(service.history, 1)
            seat.restore(accept=service.accept_new_code)
        if service.looks_again:
            service.notices.subscribe(_second_look(service, seats, clock).take)
        feed = exchange_feed(_follows(seats), settings.feed, access=service.access, time=time)
        async with feed:
            paper = _paper(service, seats)
            with Sender(emitter) as sender, closing(paper) if paper is not None else nullcontext():
                loop = Loop(feed, seats, sender, paper=paper, beat=service.beat)
                with Commands(sender, credentials.fingerprint, loop.state), _announced(service, seats, emitter):
                    await loop.run(stop)
        return Served(journal.intents(State.UNKNOWN), [seat.halted for seat in seats if seat.halted], emitter.halted)


def _second_look(service: Service, seats: Sequence[Seat], clock: TickingClock) -> SecondLook:
    strategies = [
        {
            "file": each.file,
            "parameters": each.parameters,
            "profile": seat.profile.to_dict(),
            "markets": {place.stream.symbol: place.market.to_dict() for place in seat.places.values()},
        }
        for each, seat in zip(service.settings.strategy, seats, strict=True)
    ]
    return SecondLook(service.settings.account.journal, strategies, service.notices, clock.now)


@contextmanager
def _announced(service: Service, seats: Sequence[Seat], emitter: Emitter) -> Iterator[None]:
    """Tell of the start, and of the end with its reason."""
    names, tell = ", ".join(seat.name for seat in seats), service.notices.tell
    tell(NoticeKind.STARTED, emitter.wall(), f"{service.mode} emission started: {names}")
    why = ""
    try:
        yield
    except BaseException as error:
        why = f": {str(error) or type(error).__name__}"
        raise
    finally:
        unknown = len(emitter.journal.intents(State.UNKNOWN))
        awaits = f"; {unknown} unknown outcomes await a person" if unknown else ""
        tell(NoticeKind.STOPPED, emitter.wall(), f"{service.mode} emission stopped{why}{awaits}")


async def _markets(service: Service) -> dict[Series, Market]:
    """Read the rules of every market."""
    found: dict[Series, Market] = {}
    wanted = dict.fromkeys(series for each in service.settings.strategy for series in each.series)
    for name in dict.fromkeys(series.exchange for series in wanted):
        mine = [series for series in wanted if series.exchange == name]
        access = service.access.get(name) or Access(retry=Retry(attempts=2))
        async with connect(name, [series.symbol for series in mine], access) as exchange:
            for series in mine:
                exchange.check_timeframe(series.timeframe)
                rules = await read_rules(exchange, exchange.symbol(series.symbol))
                found[series] = replace(rules, attachments_url=service.settings.posts.attachments_url)
    return found


def _seat(
    service: Service,
    each: StrategySettings,
    strategy: Strategy,
    markets: Mapping[Series, Market],
    journal: Journal,
    max_lag: int | None,
) -> Seat:
    span, offset, now = each.series[0].length, week_offset(each.timeframe), int((service.time or MachineTime()).wall())
    since = (now - offset) // span * span + offset - service.history * span
    own = {series: markets[series] for series in each.series}
    account = service.credentials.fingerprint
    profile = service.profile_of(each.profile)
    return Seat(strategy, profile, own, journal, account=account, start=now, since=since, max_lag=max_lag)


def _refuse_twins(seats: Sequence[Seat]) -> None:
    """Refuse one strategy twice on a market, whose signals would bear the same names, or twice in a place."""
    known: dict[tuple[str, str, str], Seat] = {}
    for seat in seats:
        for series in seat.places:
            name = type(seat.strategy).__name__
            if known.setdefault((seat.strategy.identity, series.symbol, ""), seat) is not seat:
                raise InvalidSettingError(
                    f"{name} stands twice on {series.symbol} with the same parameters; change one of them, or keep two journals"
                )
            if known.setdefault((seat.strategy.identity, series.exchange, series.timeframe), seat) is not seat:
                raise InvalidSettingError(
                    f"{name} stands twice on {series.exchange} {series.timeframe} with the same parameters; name its "
                    "markets in one [[strategy]]"
                )


def _follows(seats: Sequence[Seat]) -> list[Follow]:
    """Return each series once: from where the seat that is furthest behind goes on."""
    found: dict[Series, Follow] = {}
    for seat in seats:
        for series, place in seat.places.items():
            known = found.get(series)
            if known is None or place.since < known.since:
                found[series] = Follow(series, place.since, place.resumes)
    return list(found.values())


def _paper(service: Service, seats: Sequence[Seat]) -> PaperClient | None:
    """Return the paper venue's own door, with a subscriber of each profile."""
    if service.mode != "paper":
        return None
    paper = PaperClient(service.credentials.base_url, service.token)
    assumptions = VenueAssumptions()
    with ExitStack() as stack:
        stack.callback(paper.close)
        for seat in seats:
            for strategy in (seat.strategy, None):  # one subscriber of its own, and one who follows all
                name = name_of_subscriber(seat.profile, assumptions, seat.place, strategy)
                terms = seat.profile.to_dict(), assumptions.to_dict()
                paper.subscribe(name, *terms, place=seat.place, strategy="" if strategy is None else strategy.identity)
        stack.pop_all()
    return paper
