"""The emitter: what is sent, when, in which order, and what is held back."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from backtest.errors import StorageError
from backtest.live.clock import CandleClock
from backtest.live.emitter import Emitter
from backtest.live.intent import Intent, State
from backtest.live.journal import Journal
from backtest.live.person import Canceled, canceled, plan_cancels, resolve
from backtest.live.schema import Decided, Run, Seen, Stream
from backtest.live.settings import EmitSettings
from backtest.live.status import status_text
from backtest.model.calls import Call, Cancel, CreateSignal, Dca, Rebuy, TakeProfit, UpdatePrices
from backtest.model.events import SignalRef
from backtest.venue.rate import RateLimit
from backtest.venue.verdict import Meaning, Verdict
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backtest.wire import Request

HOUR = 3_600_000
STREAM = Stream("account", "strategy", "BTC/USDT", "1h")
LOST, AWAY = Verdict(Meaning.LOST, "lost"), Verdict(Meaning.NOT_SENT, "away")
LATER, WRONG = Verdict(Meaning.LATER, "later", 429, wait=30.0), Verdict(Meaning.REJECTED, "wrong", 400)
NOBODY = Verdict(Meaning.REJECTED, "nobody", 403, halts=True)


class Venue:
    """Answers what was planned for it, then success; remembers what arrived and when."""

    max_lag: int | None = None

    def __init__(self, clock: CandleClock, per_minute: int = 1000) -> None:
        self.rate = RateLimit(per_minute, clock.seconds)
        self.clock, self.plan, self.got = clock, deque[Verdict | BaseException | None](), list[str]()
        self.at: list[int] = []

    def exchange(self, request: Request) -> Verdict:
        planned = self.plan.popleft() if self.plan else None
        if planned is not AWAY:
            self.got.append(request.kind)
            self.at.append(self.clock.now())
        if isinstance(planned, BaseException):
            raise planned
        return planned or Verdict(
            Meaning.ACKED, status=200, parent_signal_id=f"p{len(self.got)}" if request.endpoint.creates else None
        )


class Room:
    """An emitter with everything around it, on a clock that waiting moves on."""

    def __init__(
        self, path: Path, per_minute: int = 1000, limits: dict[str, Any] | None = None, mode: str = "paper"
    ) -> None:
        self.clock = CandleClock(HOUR)
        self.venue = Venue(self.clock, per_minute)
        self.journal = Journal(path, Run(mode, "account", 0))
        settings = EmitSettings(**{"tries": 3, "backoff_first": 1.0, "backoff_most": 300.0, **(limits or {})})
        self.emitter = Emitter(self.journal, self.venue, self.clock, settings, self.clock.now)

    def close(self, at: int, *calls: Call, symbol: str = "BTC/USDT") -> list[Intent]:
        """Go through one close; return what is left planned."""
        self.clock.reach(at)
        self.emitter.plan([Decided(replace(STREAM, symbol=symbol), at, calls)])
        return self.emitter.drain(at + HOUR)

    def states(self) -> list[str]:
        return [intent.state.value for intent in self.journal.intents()]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    found = Room(tmp_path / "journal.sqlite")
    yield found
    found.journal.close()


def create(at: int = HOUR, number: int = 0, coin: str = "BTC", **changes: Any) -> CreateSignal:
    fields = {"invest": 10.0, "entry_price_max": 100.0, "targets": (110.0,), "stop_loss": 90.0, **changes}
    ref = SignalRef(f"{coin}/USDT-{at}-{number}")
    return CreateSignal(coin=coin, trade_market="USDT", exchange="BINANCE", ref=ref, **fields)


REF = create().ref


def test_calls_of_a_close_go_in_their_order(room: Room) -> None:
    other = create(number=1)
    assert room.close(HOUR, create(), other, Dca(REF, 95.0, 1.0), UpdatePrices(other.ref, stop_loss=91.0)) == []
    assert room.venue.got == ["create_v2", "create_v2", "dca", "updateprice"]
    assert room.states() == ["acked"] * 4


def test_no_question_looks_at_everything_that_was_ever_sent(room: Room) -> None:
    asked: set[str] = set()
    room.close(HOUR, create(HOUR))
    db = room.journal._db
    db.set_trace_callback(asked.add)
    room.venue.plan.extend([None, LATER, LOST])
    for close in range(2, 6):
        room.close(close * HOUR, UpdatePrices(REF, stop_loss=90.0 + close), create(close * HOUR))
    room.close(6 * HOUR, Cancel(REF))
    db.set_trace_callback(None)
    questions = [sql for sql in asked if sql.startswith(("SELECT", "UPDATE"))]
    assert len(questions) > 20
    for sql in questions:
        steps = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
        assert not [step for step in steps if step.startswith("SCAN")], (sql, steps)


def test_the_log_beside_the_journal_moves_into_it_after_many_calls(room: Room) -> None:
    before = room.journal.path.stat().st_size
    for close in range(1, 40):
        room.close(close * HOUR, create(close * HOUR))
    assert room.journal.path.stat().st_size > before
    assert len(room.venue.got) == 39


def test_status_shows_what_was_given_up_and_why(room: Room) -> None:
    room.venue.plan.extend([WRONG])
    room.close(HOUR, create(), UpdatePrices(REF, stop_loss=91.0))
    text = status_text(room.journal)
    assert f"rejected: create_v2 of {REF}: wrong" in text
    assert f"blocked: updateprice of {REF}: its signal was never made" in text


def test_no_call_leaves_half_a_second_before_the_rate_lets_it(tmp_path: Path) -> None:
    room = Room(tmp_path / "journal.sqlite", per_minute=2)
    with room.journal:
        other = create(number=1)
        room.close(HOUR, create(), other)
        room.close(HOUR + 59_500, UpdatePrices(REF, stop_loss=91.0), UpdatePrices(other.ref, stop_loss=91.0))
    assert room.venue.at == [HOUR, HOUR, HOUR + 60_000, HOUR + 60_000]


def test_same_close_again_sends_nothing(room: Room) -> None:
    room.close(HOUR, create())
    room.close(HOUR, create())
    assert room.venue.got == ["create_v2"]


@pytest.mark.parametrize(
    ("failures", "state", "arrived"),
    [
        ([AWAY, AWAY, AWAY, AWAY], "acked", 1),
        ([LATER, AWAY, LATER], "acked", 3),
        ([WRONG], "rejected", 1),
        ([NOBODY], "rejected", 1),
        ([LOST], "unknown", 1),
    ],
)
def test_outcomes_of_a_create(room: Room, failures: list[Verdict], state: str, arrived: int) -> None:
    room.venue.plan.extend(failures)
    room.close(HOUR, create())
    assert (room.states(), len(room.venue.got)) == ([state], arrived)


@pytest.mark.parametrize(
    ("failures", "state", "arrived"),
    [
        ([LOST, LOST], "acked", 3),
        ([LOST, AWAY, LATER, LOST, LOST], "unknown", 4),
        ([LOST, LOST, LOST], "unknown", 3),
        ([WRONG], "rejected", 1),
        ([LATER, LOST], "acked", 3),
    ],
)
@pytest.mark.parametrize("call", [UpdatePrices(REF, stop_loss=91.0), Cancel(REF)])
def test_outcomes_of_what_may_be_repeated(
    room: Room, call: Call, failures: list[Verdict], state: str, arrived: int
) -> None:
    room.close(HOUR, create())
    room.venue.plan.extend(failures)
    room.close(2 * HOUR, call)
    assert (room.states(), len(room.venue.got)) == (["acked", state], 1 + arrived)


def test_entries_are_never_sent_late(room: Room) -> None:
    room.venue.plan.extend([AWAY] * 10_000)
    (left,) = room.close(HOUR, create())
    assert left.state is State.PLANNED
    room.venue.plan.clear()
    room.close(2 * HOUR)
    assert room.states() == ["expired"]
    assert room.venue.got == []


def test_calls_about_a_signal_that_was_never_made_are_blocked(room: Room) -> None:
    room.venue.plan.append(WRONG)
    room.close(HOUR, create())
    room.close(2 * HOUR, UpdatePrices(REF, stop_loss=91.0), Dca(REF, 95.0, 1.0), Cancel(REF))
    assert room.states() == ["rejected", "blocked", "blocked", "blocked"]


def test_the_rate_limit_holds_on_the_candles_time(tmp_path: Path) -> None:
    room = Room(tmp_path / "journal.sqlite", per_minute=2)
    room.close(HOUR, *(create(number=k) for k in range(5)))
    assert room.states() == ["acked"] * 5
    assert [(at - HOUR) // 60_000 for at in room.venue.at] == [0, 0, 1, 1, 2]
    room.journal.close()


def test_an_unknown_blocks_entries_on_its_symbol_only(room: Room) -> None:
    room.close(HOUR, create())
    room.venue.plan.append(LOST)
    room.close(2 * HOUR, TakeProfit(REF, "market", 100.0))
    room.close(3 * HOUR, create(3 * HOUR), Dca(REF, 95.0, 1.0), UpdatePrices(REF, stop_loss=91.0))
    room.close(3 * HOUR, create(3 * HOUR, coin="ETH"), symbol="ETH/USDT")
    room.close(4 * HOUR, Cancel(REF))
    assert room.states() == ["acked", "unknown", "blocked", "blocked", "acked", "acked", "acked"]


def test_more_than_three_unknowns_halt_entries_everywhere(room: Room) -> None:
    coins = ["BTC", "ETH", "SOL", "XRP", "ADA"]
    for coin in coins[:4]:
        room.venue.plan.append(LOST)
        room.close(HOUR, create(coin=coin), symbol=f"{coin}/USDT")
    room.close(HOUR, create(coin="ADA"), symbol="ADA/USDT")
    assert room.states() == ["unknown"] * 4 + ["blocked"]


def test_bad_credentials_halt_everything_but_cancels(room: Room) -> None:
    other = create(number=1)
    room.close(HOUR, create(), other)
    room.venue.plan.append(NOBODY)
    room.close(2 * HOUR, UpdatePrices(REF, stop_loss=91.0))
    left = room.close(3 * HOUR, Cancel(REF), UpdatePrices(other.ref, stop_loss=91.0), create(3 * HOUR))
    assert room.states() == ["acked", "acked", "rejected", "acked", "planned", "blocked"]
    assert [intent.ref for intent in left] == [other.ref]
    assert room.emitter.halted


def test_a_redirect_halts_too_and_names_the_address_instead_of_the_key(room: Room) -> None:
    told: list[str] = []
    room.close(HOUR, create())
    room.venue.plan.append(Verdict(Meaning.REJECTED, "a redirect is never followed", 307, halts=True))
    with room.emitter.notices as notices:
        notices.subscribe(lambda notice: told.append(notice.sentence))
        room.close(2 * HOUR, UpdatePrices(REF, stop_loss=91.0))
    assert told[-1] == "the venue answered with a redirect: nothing but cancels is sent; check ANNY_BASE_URL"
    assert room.emitter.halted


def test_calls_wait_for_a_create_that_a_person_must_find(room: Room) -> None:
    room.venue.plan.append(LOST)
    room.close(HOUR, create())
    left = room.close(2 * HOUR, UpdatePrices(REF, stop_loss=91.0))
    assert [intent.kind for intent in left] == ["updateprice"]
    (lost,) = room.journal.intents(State.UNKNOWN)
    resolve(room.journal, lost.id, State.LANDED, 0, "found")
    assert room.close(3 * HOUR) == []
    assert room.states() == ["landed", "acked"]


def test_nothing_follows_a_cancel_that_waited_for_a_create_that_a_person_found(room: Room) -> None:
    room.venue.plan.extend([LOST])
    room.close(HOUR, create())
    room.close(2 * HOUR, Cancel(REF))
    room.close(3 * HOUR, UpdatePrices(REF, stop_loss=91.0))
    room.close(4 * HOUR, UpdatePrices(REF, stop_loss=92.0), TakeProfit(REF, "market", 100.0))
    (lost,) = room.journal.intents(State.UNKNOWN)
    resolve(room.journal, lost.id, State.LANDED, 0, "p9")
    assert room.emitter.drain(room.clock.now() + 1) == []
    assert room.venue.got == ["create_v2", "cancel"]
    assert room.states() == ["landed", "acked", "superseded", "superseded", "superseded"]
    (*_, last) = room.journal.intents()
    assert room.journal.note(last) == "its signal was canceled"


def test_nothing_follows_a_cancel_of_the_same_close_unless_it_is_refused(room: Room) -> None:
    other = create(number=1)
    room.close(HOUR, create(), other)
    room.venue.plan.extend([None, WRONG])
    calls = [each for ref in (REF, other.ref) for each in (Cancel(ref), UpdatePrices(ref, stop_loss=91.0))]
    room.close(2 * HOUR, *calls, Cancel(REF))
    assert room.venue.got == ["create_v2", "create_v2", "cancel", "cancel", "updateprice"]
    assert room.states() == ["acked", "acked", "acked", "superseded", "rejected", "acked", "superseded"]


def test_a_failed_write_sends_nothing(room: Room) -> None:
    room.journal._db.execute("PRAGMA query_only=ON")
    with pytest.raises(StorageError, match="cannot be used"):
        room.close(HOUR, create())
    room.journal._db.execute("PRAGMA query_only=OFF")
    assert room.venue.got == []
    assert room.states() == []


def test_an_unforeseen_error_leaves_an_unknown(room: Room) -> None:
    room.venue.plan.append(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        room.close(HOUR, create())
    assert room.states() == ["sending"]
    room.emitter.recover()
    assert room.states() == ["unknown"]


def cancel_all(room: Room, *, ended: bool = False) -> list[Canceled]:
    rows = plan_cancels(room.journal, "account", 0, ended=ended)
    room.emitter.drain(room.clock.now() + HOUR)
    return canceled(room.journal, rows)


def test_cancel_all_says_what_happened_to_each_and_tries_again_what_is_not_confirmed(room: Room) -> None:
    room.close(HOUR, create(), create(number=1), create(number=2))
    room.venue.plan.extend([WRONG, None, None])
    assert sorted(one.state.value for one in cancel_all(room)) == ["acked", "acked", "rejected"]
    room.venue.plan.extend([LOST, LOST, LOST])
    (again,) = cancel_all(room)
    assert (again.state, again.note) == (State.UNKNOWN, "lost")
    (lost,) = room.journal.intents(State.UNKNOWN)
    resolve(room.journal, lost.id, State.NOT_LANDED, 0)
    assert [one.state for one in cancel_all(room)] == [State.ACKED]
    assert cancel_all(room) == []
    assert room.venue.got.count("cancel") == 7


def test_cancel_all_takes_the_place_of_a_cancel_that_nobody_can_prove(room: Room) -> None:
    room.close(HOUR, create())
    room.venue.plan.extend([LOST] * 3)
    room.close(2 * HOUR, Cancel(REF))
    assert [one.state for one in cancel_all(room)] == [State.ACKED]
    assert room.states() == ["acked", "superseded", "acked"]


def test_waits_grow(room: Room) -> None:
    room.close(HOUR, create())
    room.venue.plan.extend([LATER, LOST, LOST])
    room.close(2 * HOUR, Cancel(REF))
    assert room.states() == ["acked", "acked"]
    gaps = [(b - a) / 1000 for a, b in zip(room.venue.at[1:], room.venue.at[2:], strict=False)]
    assert gaps[0] == 30.0
    assert 1.0 <= gaps[1] <= 2.001  # the second try
    assert 2.0 <= gaps[2] <= 4.001


def test_a_call_is_sent_up_to_the_last_millisecond_and_not_at_valid_until(room: Room) -> None:
    room.clock.reach(2 * HOUR - 1)
    room.emitter.plan([Decided(STREAM, HOUR, [create()])])
    room.emitter.drain(2 * HOUR)
    room.clock.reach(3 * HOUR)
    room.emitter.plan([Decided(STREAM, 2 * HOUR, [create(2 * HOUR)])])
    room.emitter.drain(4 * HOUR)
    assert room.states() == ["acked", "expired"]


def test_a_drain_ends_before_its_end(room: Room) -> None:
    room.venue.plan.extend([LATER] * 1000)
    room.clock.reach(HOUR)
    room.emitter.plan([Decided(STREAM, HOUR, [create()])])
    room.emitter.drain(HOUR + 60_000)
    assert room.venue.at == [HOUR, HOUR + 30_000], "the third would be at the very end"


def test_a_429_holds_up_no_other_signal(room: Room) -> None:
    other = create(number=1)
    room.close(HOUR, create(), other)
    room.venue.plan.append(LATER)
    room.close(2 * HOUR, UpdatePrices(REF, stop_loss=91.0), UpdatePrices(other.ref, stop_loss=91.0))
    assert [at - 2 * HOUR for at in room.venue.at[2:]] == [0, 0, 30_000]


def test_a_newer_call_of_a_signal_waits_as_long_as_a_429_asked(room: Room) -> None:
    room.close(HOUR, create())
    room.venue.plan.append(LATER)
    room.clock.reach(2 * HOUR)
    room.emitter.plan([Decided(STREAM, 2 * HOUR, [UpdatePrices(REF, stop_loss=91.0)])])
    room.emitter.drain(2 * HOUR + 1)
    room.emitter.plan([Decided(STREAM, 2 * HOUR + 1, [Cancel(REF)])])
    assert room.emitter.drain(3 * HOUR) == []
    assert room.venue.got == ["create_v2", "updateprice", "cancel"]
    assert [at - 2 * HOUR for at in room.venue.at[1:]] == [0, 30_000]
    assert room.states() == ["acked", "superseded", "acked"]


def test_what_is_superseded_between_reading_and_sending_is_not_sent(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = create(number=1)
    room.close(HOUR, create(), other)
    take = room.venue.rate.take

    def decide_meanwhile() -> float:
        monkeypatch.undo()
        room.emitter.plan([Decided(STREAM, 2 * HOUR + 1, [Cancel(REF)])])
        return take()

    monkeypatch.setattr(room.venue.rate, "take", decide_meanwhile)
    calls = [TakeProfit(REF, "market", 100.0), TakeProfit(other.ref, "market", 100.0)]
    assert room.close(2 * HOUR, *calls) == []
    assert room.venue.got == ["create_v2", "create_v2", "takeprofit", "cancel"]
    assert room.states() == ["acked", "acked", "superseded", "acked", "acked"]


def test_what_is_superseded_while_it_is_given_up_stays_so(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    room.emitter.notices.subscribe(lambda notice: told.append(notice.sentence))

    def decide_meanwhile(*_: Any, **__: Any) -> str:
        monkeypatch.undo()
        room.emitter.plan([Decided(STREAM, HOUR + 1, [Cancel(REF)])])
        return "held back"

    monkeypatch.setattr(room.emitter.limits, "reason", decide_meanwhile)
    room.close(HOUR, create())
    assert room.venue.got == []
    assert room.states() == ["superseded", "superseded"]
    assert told == []


def meanwhile(room: Room, monkeypatch: pytest.MonkeyPatch, kind: str, *calls: Call) -> None:
    """Let these calls be decided while the first one of a kind is on its way."""
    exchange = room.venue.exchange

    def answer(request: Request) -> Verdict:
        if request.kind == kind:
            monkeypatch.setattr(room.venue, "exchange", exchange)
            room.emitter.plan([Decided(STREAM, room.clock.now() + 1, calls)])
        return exchange(request)

    monkeypatch.setattr(room.venue, "exchange", answer)


@pytest.mark.parametrize("verdict", [LOST, AWAY, LATER])
@pytest.mark.parametrize("newer", [Cancel(REF), UpdatePrices(REF, stop_loss=92.0)])
def test_a_wish_that_failed_gives_way_to_what_was_decided_while_it_was_on_its_way(
    room: Room, monkeypatch: pytest.MonkeyPatch, newer: Call, verdict: Verdict
) -> None:
    room.close(HOUR, create())
    room.venue.plan.append(verdict)
    meanwhile(room, monkeypatch, "updateprice", newer)
    assert room.close(2 * HOUR, UpdatePrices(REF, stop_loss=91.0)) == []
    tried = [] if verdict is AWAY else ["updateprice"]
    assert room.venue.got == ["create_v2", *tried, "cancel" if isinstance(newer, Cancel) else "updateprice"]
    assert room.states() == ["acked", "superseded", "acked"]
    assert room.venue.at[-1] - 2 * HOUR == (30_000 if verdict is LATER else 0), "a 429 holds for the newer one too"
    room.journal.verify()


def test_a_wish_that_a_newer_one_repeats_is_no_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(tmp_path / "journal.sqlite", limits={"tries": 1})
    room.close(HOUR, create())
    room.venue.plan.append(LOST)
    meanwhile(room, monkeypatch, "updateprice", UpdatePrices(REF, stop_loss=92.0, exit_price_1=111.0))
    room.close(2 * HOUR, UpdatePrices(REF, stop_loss=91.0))
    assert room.states() == ["acked", "superseded", "acked"]
    room.venue.plan.append(LOST)
    meanwhile(room, monkeypatch, "updateprice", UpdatePrices(REF, exit_price_1=112.0))
    room.close(3 * HOUR, UpdatePrices(REF, stop_loss=93.0))
    assert room.states()[3:] == ["unknown", "acked"], "the newer one says nothing of the stop"
    room.journal.close()


@pytest.mark.parametrize("verdict", [AWAY, LATER])
def test_a_create_that_was_not_sent_gives_way_to_a_cancel_decided_meanwhile(
    room: Room, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    room.venue.plan.append(verdict)
    meanwhile(room, monkeypatch, "create_v2", Cancel(REF))
    assert room.close(HOUR, create()) == []
    assert room.venue.got == ([] if verdict is AWAY else ["create_v2"])
    assert room.states() == ["superseded", "superseded"]
    assert [row.state for row in room.journal.signals()] == ["dead"]


def test_a_create_that_may_be_there_gives_way_to_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.venue.plan.append(LOST)
    meanwhile(room, monkeypatch, "create_v2", Cancel(REF))
    room.close(HOUR, create())
    assert room.states() == ["unknown", "planned"]
    resolve(room.journal, room.journal.intents()[0].id, State.LANDED, 0, "p9")
    room.emitter.drain(3 * HOUR)
    assert room.states() == ["landed", "acked"]


def test_what_is_found_on_its_way_gives_way_to_a_newer_wish(room: Room) -> None:
    room.close(HOUR, create())
    (update,) = room.journal.keep([Decided(STREAM, 2 * HOUR, [UpdatePrices(REF, stop_loss=91.0)])], 0)
    room.journal.begin([update], 0)
    room.journal.keep([Decided(STREAM, 3 * HOUR, [Cancel(REF)])], 0)
    room.emitter.recover()
    assert room.states() == ["acked", "superseded", "planned"]
    room.emitter.drain(4 * HOUR)
    assert room.venue.got == ["create_v2", "cancel"]


def test_creates_keep_the_engines_order_through_a_429(room: Room) -> None:
    room.venue.plan.append(LATER)
    room.close(HOUR, create(), create(number=1))
    assert [at - HOUR for at in room.venue.at] == [0, 30_000, 30_000]


@pytest.mark.parametrize("entry", [Rebuy(REF, 95.0, 96.0), Dca(REF, 95.0, 1.0)])
def test_an_unknown_blocks_whatever_may_buy(room: Room, entry: Call) -> None:
    room.close(HOUR, create(), create(number=1))
    room.venue.plan.append(LOST)
    room.close(2 * HOUR, TakeProfit(create(number=1).ref, "market", 100.0), entry)
    assert room.states() == ["acked", "acked", "unknown", "blocked"]


def test_two_strategies_may_use_one_name(room: Room) -> None:
    both = [replace(STREAM, strategy=name) for name in ("one", "two")]
    room.clock.reach(HOUR)
    room.emitter.plan([Decided(stream, HOUR, [create()]) for stream in both])
    room.venue.plan.append(LATER)
    room.emitter.drain(2 * HOUR)
    room.clock.reach(2 * HOUR)
    room.emitter.plan([Decided(stream, 2 * HOUR, [Cancel(REF)]) for stream in both])
    room.venue.plan.append(LATER)
    room.emitter.drain(3 * HOUR)
    assert room.states() == ["acked"] * 4
    assert [at - 2 * HOUR for at in room.venue.at[-3:]] == [0, 0, 30_000]


@pytest.mark.parametrize("name", ["creates_a_minute", "creates_a_day", "open_signals", "open_a_symbol"])
def test_a_limit_of_none_at_all_holds_back_every_entry(tmp_path: Path, name: str) -> None:
    room = Room(tmp_path / "journal.sqlite", limits={name: 0})
    with room.journal:
        room.close(HOUR, create(), create(number=1))
        assert room.states() == ["blocked"] * 2


@pytest.mark.parametrize(
    ("limits", "states"),
    [
        ({"creates_a_minute": 2}, ["acked", "acked", "blocked", "acked", "acked"]),
        ({"creates_a_day": 4}, ["acked", "acked", "acked", "acked", "blocked"]),
        ({"open_signals": 4}, ["acked", "acked", "acked", "acked", "blocked"]),
        ({"open_a_symbol": 1}, ["acked", "blocked", "blocked", "blocked", "acked"]),
        ({"most_away": 0.01}, ["acked", "acked", "acked", "acked", "blocked"]),
    ],
)
def test_limits_hold_back_entries_and_nothing_else(tmp_path: Path, limits: dict[str, Any], states: list[str]) -> None:
    room = Room(tmp_path / "journal.sqlite", limits=limits)
    room.close(HOUR, create(), create(number=1), create(number=2))
    seen = [Seen(HOUR, 100.0, 100.0, 100.0, 100.0, 1.0)]
    room.clock.reach(2 * HOUR)
    eth = create(2 * HOUR, coin="ETH", entry_price_max=101.5)
    room.emitter.plan([Decided(STREAM, 2 * HOUR, [create(2 * HOUR)], seen)])
    room.emitter.plan([Decided(replace(STREAM, symbol="ETH/USDT"), 2 * HOUR, [eth], seen)])
    room.emitter.drain(3 * HOUR)
    assert room.states() == states
    room.close(3 * HOUR, Cancel(REF), UpdatePrices(REF, stop_loss=10.0))
    assert room.states()[5] == "acked"
    reasons = {room.journal.note(intent) for intent in room.journal.intents(State.BLOCKED)}
    assert all("limit of" in reason or "away from the last close 100" in reason for reason in reasons - {""})
    room.journal.close()


def test_entries_wait_for_no_stop_file_that_came_later(room: Room, tmp_path: Path) -> None:
    room.emitter.limits.stop_file = tmp_path / "stop"
    room.close(HOUR, create())
    (tmp_path / "stop").touch()
    room.close(2 * HOUR, UpdatePrices(REF, stop_loss=91.0), create(2 * HOUR), Dca(REF, 95.0, 1.0))
    assert room.states() == ["acked", "acked", "blocked", "blocked"]
    (tmp_path / "stop").unlink()
    room.close(3 * HOUR, create(3 * HOUR))
    assert room.states()[-1] == "acked"


def test_an_interrupt_waits_for_the_call_on_its_way(room: Room) -> None:
    room.clock.reach(HOUR)
    room.emitter.plan([Decided(STREAM, HOUR, [create(), create(number=1)])])
    room.clock.sleep = interrupt  # type: ignore[method-assign,assignment]
    room.venue.rate.per_minute = 1
    room.venue.plan.append(AWAY)
    with pytest.raises(KeyboardInterrupt):
        room.emitter.drain(2 * HOUR)
    assert (room.emitter.busy, room.states()) == (False, ["planned", "planned"])


def interrupt(_: float) -> None:
    raise KeyboardInterrupt


def test_waits_are_spread(room: Room) -> None:
    waits = [room.emitter._backoff(tries) for tries in (0, 1, 20) for _ in range(50)]
    assert all(
        0.5 * most <= wait <= most for most, wait in zip([1.0] * 50 + [2.0] * 50 + [300.0] * 50, waits, strict=True)
    )
    assert len(set(waits)) > 100


@pytest.mark.parametrize(
    ("mode", "limits", "fields", "states"),
    [
        ("paper", {}, {}, ["acked", "acked", "acked"]),
        ("live", {}, {}, ["blocked", "blocked", "acked"]),
        ("live", {"allow_no_stop": True}, {}, ["acked", "acked", "acked"]),
        ("live", {}, {"allow_no_stop": True}, ["acked", "acked", "acked"]),
    ],
)
def test_a_create_without_a_stop_needs_leave_live(
    tmp_path: Path, mode: str, limits: dict[str, Any], fields: dict[str, Any], states: list[str]
) -> None:
    room = Room(tmp_path / "journal.sqlite", limits=limits, mode=mode)
    bare = create(stop_loss=None, **fields)
    assert room.close(HOUR, bare, UpdatePrices(bare.ref, stop_loss=91.0), create(number=1)) == []
    assert room.states() == states
    if states[0] == "blocked":
        assert room.venue.got == ["create_v2"]
        assert "it has no stop_loss; live that needs allow_no_stop" in status_text(room.journal)
    room.journal.close()
