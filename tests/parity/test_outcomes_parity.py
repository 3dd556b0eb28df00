"""What became of the calls goes back into the shadow book, and the backtest with the outcomes told makes the same calls."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from backtest import Cancel, Candles, Market, Moment, Strategy, SubscriberProfile, UpdatePrices, run
from backtest.live.channel import Channel
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.outcomes import JournalOutcomes, other_call, read_lived, told_of
from backtest.live.person import plan_cancels, resolve
from backtest.live.schema import Decided, Run, Seen, Stream
from backtest.model.events import EventKind
from backtest.runner.lived_walk import walk_lived
from backtest.runner.session import Session
from backtest.venue.verdict import Meaning, Verdict
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from backtest import Call
    from backtest.live.intent import Intent
    from backtest.model.events import Event

HOUR = 3_600_000
SYMBOL = "BTC/USD"
MARKET = Market(SYMBOL, tick="0.01")


class Careful(Strategy):
    """One signal at a time; moves its stop, and cancels it when it is old. Notes what it heard in its next create."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        """Create where nothing lives."""
        price = now.close
        if not now.signals:
            stop, target = price * 0.97, price * 1.015
            yield now.create(entry=price * 1.01, targets=(target,), stop_loss=stop, invest=5, ttl="4h")
        for living in now.signals:
            age = (now.close_time - living.created) // HOUR if living.created else 0
            if age in {3, 5}:
                yield UpdatePrices(living.ref, stop_loss=price * 0.98)
            if age == 9:
                yield Cancel(living.ref)

    def on_event(self, now: Moment, event: Event) -> Iterable[Call]:
        """Try once more after a refusal."""
        if event.kind is EventKind.REFUSED and "later" in event.reason:
            price = now.close
            yield now.create(entry=price * 0.995, targets=(price * 1.02,), stop_loss=price * 0.9, invest=3)


class Emission:
    """A session on a journal, whose calls meet the fates that a test draws."""

    def __init__(self, path: Path, candles: Candles) -> None:
        self.candles, self.path = candles, path
        self.channel = Channel(Careful(), candles, MARKET, SubscriberProfile.anny())
        self.stream = Stream("account", self.channel.strategy.identity, candles.symbol, "1h")
        self.journal = Journal(path, Run("paper", "account", 0))
        self.outcomes = JournalOutcomes(self.journal, self.stream.strategy)
        self.session = self.channel.session(self.outcomes)
        columns = (getattr(candles, name).tolist() for name in ("time", "open", "high", "low", "close", "volume"))
        self.rows = list(zip(*columns, strict=True))
        self.parents = 0

    def close(self, number: int) -> list[Intent]:
        """Walk one candle; return the new calls."""
        row = self.rows[number]
        at = row[0] + HOUR
        calls = [decision.call for decision in self.session.close(*row)]
        told = told_of(self.session.settled, self.named, at)
        refused = self.session.refused
        first = Decided(self.stream, at, calls, [Seen(*row)], told, (), self.rows[0][0], refused, market=MARKET)
        return self.journal.keep([first], at)

    def named(self, key: Any) -> Intent | None:
        return self.journal.intent_named(self.stream.strategy, *key)

    def meet(self, intent: Intent, fate: str) -> None:
        """Let a call meet its fate."""
        if (
            fate == "planned"
            or self.journal.intent_named(self.stream.strategy, intent.candle, intent.kind, intent.ref, intent.number)
            != intent
        ):
            return
        if fate in {"expired", "blocked"}:
            self.journal.drop([(intent, State(fate), f"{fate}, try later")], 0)
            return
        self.journal.begin([intent], 0)
        if fate == "sending":
            return
        self.parents += intent.creates
        parent = f"p{self.parents}" if intent.creates else None
        if fate == "acked":
            self.journal.finish(intent, Verdict(Meaning.ACKED, status=200, parent_signal_id=parent), State.ACKED, 0)
        if fate == "rejected":
            self.journal.finish(intent, Verdict(Meaning.REJECTED, "wrong, try later", 400), State.REJECTED, 0)
        if fate == "unknown":
            self.journal.finish(intent, Verdict(Meaning.LOST, "lost"), State.UNKNOWN, 0)

    def again(self) -> Any:
        """Run the code over what was seen, with the outcomes told."""
        return self.channel.again(read_lived(self.journal, self.stream.strategy))

    def restart(self) -> None:
        """Start anew from the journal; nothing may differ from the session that lived through it."""
        self.journal.close()
        self.journal = Journal(self.path, Run("paper", "account", 0))
        self.outcomes = JournalOutcomes(self.journal, self.stream.strategy)
        assert other_call(self.journal, self.stream, self.again().calls, 2**62) == ""
        lived = read_lived(self.journal, self.stream.strategy)
        strategy, profile = self.channel.strategy, self.channel.profile
        before, self.session = self.session, Session.resumed(strategy, lived, self.outcomes, profile=profile)
        assert self.session.venue.equity_now == before.venue.equity_now
        assert self.session.venue.living(SYMBOL) == before.venue.living(SYMBOL)
        assert self.session.venue.pending(SYMBOL) == before.venue.pending(SYMBOL)
        assert self.session.candles.hash == before.candles.hash


@pytest.fixture
def emission(tmp_path: Path) -> Iterator[Emission]:
    found = Emission(tmp_path / "journal.sqlite", Candles.sample("BTC/USD", "1h").slice(0, 400))
    yield found
    found.journal.close()


def equity(venue: Any) -> list[float]:
    return [float(value) for value in venue.equity]


def test_calls_that_all_arrive_are_those_of_the_plain_backtest(emission: Emission) -> None:
    for number in range(200):
        for intent in emission.close(number):
            emission.meet(intent, "acked")
    plain = run(emission.channel.strategy, emission.candles.slice(0, 200), market=MARKET)
    again = emission.again()
    assert len(plain.calls) > 20
    assert plain.calls == again.calls
    assert again.equity.tolist() == plain.equity.tolist() == equity(emission.session.venue)


FATES = ("acked", "acked", "acked", "rejected", "expired", "blocked", "unknown", "sending", "planned")


@pytest.mark.parametrize("seed", range(6))
def test_the_backtest_with_the_outcomes_told_makes_the_same_calls(emission: Emission, seed: int) -> None:
    draw, count = random.Random(seed), 160
    waiting: list[Intent] = []
    for number in range(count):
        waiting += emission.close(number)
        for intent in list(waiting):
            emission.meet(intent, draw.choice(FATES))
        waiting = [each for each in waiting if emission.named((each.candle, each.kind, each.ref, each.number)) == each]
        if draw.random() < 0.3:
            settle(emission, draw)
        if draw.random() < 0.04:
            plan_cancels(emission.journal, "account", 0)
            for intent in emission.journal.intents(State.PLANNED):
                if intent.by_person:
                    emission.meet(intent, "acked")
        if draw.random() < 0.05:
            emission.restart()
    again = emission.again()
    assert other_call(emission.journal, emission.stream, again.calls, 2**62) == ""
    lived = read_lived(emission.journal, emission.stream.strategy)
    walked = walk_lived(emission.channel.strategy, lived, emission.channel.profile, lane="candle").venue
    assert walked.equity_now == emission.session.venue.equity_now
    by_path = run(emission.channel.strategy, outcomes=emission.path, profile=emission.channel.profile)
    assert (by_path.calls, by_path.events, by_path.refused) == (again.calls, again.events, again.refused)
    told = {told.outcome for told in emission.journal.told(emission.stream.strategy)}
    assert told >= {"entered", "refused"}
    emission.journal.verify()


def settle(emission: Emission, draw: random.Random) -> None:
    """Find out what became of the calls in doubt."""
    for intent in emission.journal.intents(State.SENDING):
        verdict = Verdict(Meaning.REJECTED, "wrong", 400)
        emission.journal.finish(intent, verdict, State.REJECTED, 0)
    for intent in emission.journal.intents(State.UNKNOWN):
        state = draw.choice([State.LANDED, State.NOT_LANDED, State.ABANDONED])
        emission.parents += 1
        row = emission.journal.signal(*intent.signal)
        parent = row.parent_signal_id if row and row.parent_signal_id else f"p{emission.parents}"
        resolve(emission.journal, intent.id, state, 0, parent if state is State.LANDED else None)


def test_a_refused_create_does_not_live_on(emission: Emission) -> None:
    (first,) = emission.close(0)
    emission.meet(first, "expired")
    emission.close(1)
    assert [(event.kind, event.signal) for event in emission.session.events] == [(EventKind.REFUSED, first.ref)]
    assert emission.session.events[0].reason == "expired: expired, try later"
    assert emission.session.venue.living("BTC/USD") == []
    (told,) = emission.journal.told(emission.stream.strategy)
    assert (told.outcome, told.close) == ("refused", emission.rows[1][0] + HOUR)


def test_a_create_that_waits_is_pending_and_enters_when_it_was_sent(emission: Emission) -> None:
    (first,) = emission.close(0)
    assert emission.close(1) == [], "it lives for the strategy"
    emission.meet(first, "acked")
    emission.close(2)
    (told,) = emission.journal.told(emission.stream.strategy)
    assert (told.outcome, told.entered) == ("entered", emission.rows[1][0] + HOUR)


def test_what_did_not_land_is_taken_back(emission: Emission) -> None:
    (first,) = emission.close(0)
    emission.meet(first, "unknown")
    for number in range(1, 4):
        for intent in emission.close(number):
            emission.meet(intent, "acked")
    assert float(emission.session.venue.account.fees) > 0.0, "it was bought"
    (lost,) = emission.journal.intents(State.UNKNOWN)
    resolve(emission.journal, lost.id, State.NOT_LANDED, 0)
    emission.close(4)
    assert float(emission.session.venue.account.fees) == 0.0
    assert set(equity(emission.session.venue)) == {10_000.0}
    assert [event.kind for event in emission.session.events][:1] == [EventKind.REFUSED]
    assert [told.outcome for told in emission.journal.told(emission.stream.strategy)][-1] == "voided"


def test_code_that_decides_otherwise_is_named(emission: Emission) -> None:
    for number in range(60):
        for intent in emission.close(number):
            emission.meet(intent, "acked")
    calls = emission.again().calls
    changed = [one for one in calls if one.at != calls[3].at]
    said = other_call(emission.journal, emission.stream, changed, 2**62)
    assert said.startswith("call 4 of this journal was ")
