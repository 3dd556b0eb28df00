"""Any order of closes, faults, crashes and decisions: no call is doubled, none is guessed, the last wish gets there."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backtest.errors import InvalidSettingError
from backtest.live.clock import CandleClock
from backtest.live.emitter import Emitter
from backtest.live.intent import ENTRIES, State
from backtest.live.journal import Journal
from backtest.live.person import resolve
from backtest.live.schema import Decided, Run, Stream
from backtest.live.settings import EmitSettings
from backtest.model.calls import Call, Cancel, CreateSignal, Dca, TakeProfit, UpdatePrices
from backtest.model.events import SignalRef
from backtest.venue.rate import RateLimit
from backtest.venue.verdict import Meaning, Verdict
from backtest.wire import read_object

if TYPE_CHECKING:
    from backtest.wire import Request

HOUR = 3_600_000
STREAM = Stream("account", "strategy", "BTC/USDT", "1h")
FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
SURE = ("ok", "not_sent", "later")
FAULTS = (*SURE, "rejected", "lost_before", "lost_after", "crash_before", "crash_after")


class Crash(BaseException):
    """The process is gone."""


class Venue:
    """Performs calls, or fails as planned before or after; keeps what took effect."""

    max_lag: int | None = None

    def __init__(self) -> None:
        self.rate = RateLimit(10_000, lambda: 0.0)
        self.plan: list[str] = []
        self.effects: list[tuple[str, str, dict[str, Any]]] = []
        self.rate.take = lambda: 0.0  # type: ignore[method-assign]  # this venue has no limit

    def exchange(self, request: Request) -> Verdict:
        fault = self.plan.pop(0) if self.plan else "ok"
        refused = {"not_sent": Meaning.NOT_SENT, "later": Meaning.LATER, "rejected": Meaning.REJECTED}
        if fault in refused:
            return Verdict(refused[fault], fault, wait=1.0)
        body = read_object(request.body)
        parent = body.get("parent_signal_id") or f"p{len(self.effects)}"
        if not fault.endswith("before"):
            self.effects.append((request.kind, parent, body))
        if fault.startswith("lost"):
            return Verdict(Meaning.LOST, fault)
        if fault.startswith("crash"):
            raise Crash
        return Verdict(Meaning.ACKED, status=200, parent_signal_id=parent)


class Emission(RuleBasedStateMachine):
    """One emitter through any life."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=FAST))
        self.venue, self.clock = Venue(), CandleClock(HOUR)
        self.close, self.sure = 0, True
        self.refs: list[SignalRef] = []
        self.wished: dict[str, float] = {}
        self.canceled: set[str] = set()
        self.open()

    def open(self) -> None:
        self.journal = Journal(self.folder / "journal.sqlite", Run("paper", "account", 0))
        limits = EmitSettings(tries=3, backoff_first=1.0, most_unknowns=3)
        self.emitter = Emitter(self.journal, self.venue, self.clock, limits, self.clock.now)

    def teardown(self) -> None:
        self.settle()
        self.check_final()
        self.journal.close()
        shutil.rmtree(self.folder)

    def guarded(self, faults: list[str]) -> None:
        """Emit under faults; a crash starts a new process on the same journal."""
        self.sure = self.sure and set(faults) <= set(SURE)
        self.venue.plan = faults
        try:
            self.emitter.drain(self.clock.now() + HOUR)
        except Crash:
            self.journal.close()
            self.open()
            self.emitter.recover()
        self.venue.plan = []

    def plan(self, calls: list[Call]) -> None:
        self.close += 1
        at = self.close * HOUR
        self.clock.reach(at)
        self.emitter.plan([Decided(STREAM, at, calls)])
        # the same close again, as after a crash before the next one: nothing new
        assert self.journal.keep([Decided(STREAM, at, calls)], at) == []

    @rule(faults=st.lists(st.sampled_from(FAULTS), max_size=5))
    def create(self, faults: list[str]) -> None:
        ref = SignalRef(f"BTC/USDT-{(self.close + 1) * HOUR}-0")
        fields: dict[str, Any] = {"coin": "BTC", "trade_market": "USDT", "exchange": "BINANCE", "invest": 1.0}
        targets = (200.0 + self.close,)
        self.refs.append(ref)
        self.plan([CreateSignal(**fields, entry_price_max=100.0, targets=targets, stop_loss=50.0, ref=ref)])
        self.guarded(faults)

    @precondition(lambda self: self.refs)
    @rule(pick=st.integers(0, 99), kind=st.sampled_from("udtc"), faults=st.lists(st.sampled_from(FAULTS), max_size=6))
    def later(self, pick: int, kind: str, faults: list[str]) -> None:
        ref = self.refs[pick % len(self.refs)]
        stop = 50.0 + self.close / 1000.0
        calls: dict[str, Call] = {
            "u": UpdatePrices(ref, stop_loss=stop),
            "d": Dca(ref, 60.0, 1.0),
            "t": TakeProfit(ref, "market", 100.0),
            "c": Cancel(ref),
        }
        if kind == "u" and ref not in self.canceled:
            self.wished[ref] = stop
        if kind == "c":
            self.canceled.add(ref)
        self.plan([calls[kind]])
        self.guarded(faults)

    @rule(faults=st.lists(st.sampled_from(SURE), max_size=3))
    def quiet_close(self, faults: list[str]) -> None:
        self.plan([])
        self.guarded(faults)

    @rule()
    def restart(self) -> None:
        self.journal.close()
        self.open()
        before = [(intent.id, intent.state) for intent in self.journal.intents()]
        assert self.emitter.recover() == []
        assert before == [(intent.id, intent.state) for intent in self.journal.intents()]

    @precondition(lambda self: self.journal.intents(State.UNKNOWN))
    @rule(data=st.data())
    def decide(self, data: st.DataObject) -> None:
        """A person looks at the venue and tells the truth."""
        intent = data.draw(st.sampled_from(self.journal.intents(State.UNKNOWN)))
        self.tell(intent)

    def tell(self, intent: Any) -> None:
        found = self.effects_of(intent)
        parent = found[0] if found else None
        try:
            resolve(self.journal, intent.id, State.LANDED if found else State.NOT_LANDED, 0, parent)
        except InvalidSettingError as error:
            raise AssertionError(str(error)) from None

    def effects_of(self, intent: Any) -> list[str]:
        """Return the parents under which an intent took effect."""
        body = read_object(intent.body)
        row = self.journal.signal(intent.strategy, intent.ref)
        found = []
        for kind, parent, sent in self.venue.effects:
            if kind != intent.kind:
                continue
            mine = sent == body if intent.creates else row is not None and parent == row.parent_signal_id
            if mine and {**sent, "parent_signal_id": intent.ref} == {**body, "parent_signal_id": intent.ref}:
                found.append(parent)
        return found

    @invariant()
    def nothing_is_doubled_or_guessed(self) -> None:
        intents = self.journal.intents()
        once = [intent for intent in intents if not intent.repeatable]
        for intent in (i for i in once if i.creates):
            count = len(self.effects_of(intent))
            assert count <= 1
            if intent.state is State.ACKED:
                assert count == 1
            if intent.state in {State.PLANNED, State.EXPIRED, State.BLOCKED, State.SUPERSEDED, State.REJECTED}:
                assert count == 0
        for kind in ("dca", "takeprofit"):  # their bodies repeat, so they are counted together
            sent = [i for i in once if i.kind == kind and i.state in {State.ACKED, State.UNKNOWN, State.LANDED}]
            sent += [i for i in once if i.kind == kind and i.state in {State.NOT_LANDED, State.SENDING}]
            acked = [i for i in once if i.kind == kind and i.state is State.ACKED]
            assert len(acked) <= sum(found[0] == kind for found in self.venue.effects) <= len(sent)
        assert all(intent.state is not State.SENDING for intent in intents)

    def settle(self) -> None:
        """Let a person decide everything, and time pass without faults."""
        for _ in range(4):
            for intent in self.journal.intents(State.UNKNOWN):
                self.tell(intent)
            self.plan([])
            self.guarded([])

    def check_final(self) -> None:
        assert self.journal.intents(State.PLANNED, State.UNKNOWN, State.SENDING) == []
        last = {p: body["stop_loss"] for kind, p, body in self.venue.effects if kind == "updateprice"}
        for row in self.journal.signals("living"):
            rejected = [i for i in self.journal.intents(State.REJECTED) if i.ref == row.ref]
            updates = [i for i in self.journal.intents() if i.ref == row.ref and i.kind == "updateprice"]
            void = updates and updates[-1].state is State.NOT_LANDED  # a person ended that wish; the strategy is told
            if row.ref in self.wished and not rejected and not void:
                assert float(last[str(row.parent_signal_id)]) == self.wished[row.ref]
        if self.sure:  # only faults that prove that nothing happened
            left = self.journal.intents(State.REJECTED, State.UNKNOWN, State.BLOCKED)
            assert all(intent.kind not in ENTRIES or not intent.creates for intent in left)


TestEmission = Emission.TestCase
TestEmission.settings = settings(
    max_examples=40, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
