"""A restart changes nothing: candles, anchors, calls, outcomes and money go on as if the process had never ended."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from backtest import Cancel, InvalidSettingError, Moment, Strategy, SubscriberProfile, UpdatePrices, run
from backtest import indicators as ta
from backtest.live.intent import State
from backtest.live.notices import NoticeKind
from backtest.live.outcomes import read_lived
from backtest.live.person import plan_cancels
from backtest.live.status import status_text
from backtest.model.events import SignalRef, Status
from backtest.runner.lived_walk import walk_lived
from backtest.venue.verdict import Meaning, Verdict
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture
from tests.parity.test_session_parity import walk
from tests.seat_room import HOUR, SeatRoom

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from backtest import Call, Candles, Indicators
    from backtest.live.intent import Intent

SYMBOLS = ("ADA/USDT", "BTC/USDT")


def drifting(distance: float = 0.01) -> Strategy:
    """A strategy whose indicators remember where they began; other distances are other code of the same name."""

    class Drifting(Strategy):
        def indicators(self, candles: Candles) -> Indicators:
            return {"ema": ta.ema(candles.close, 40), "atr": ta.atr(candles, 14)}

        def on_candle(self, now: Moment) -> Iterable[Call]:
            c = now.close
            for living in now.signals:
                if living.average_entry and living.stop and c > living.average_entry * 1.004 and now.position % 3 == 0:
                    yield UpdatePrices(living.ref, stop_loss=living.stop * 1.001)
            if not now.signals and now["ema"] > 0.0 and c > now["ema"] + 0.2 * now["atr"]:
                yield now.create(
                    entry=(c * 0.9988, c), targets=(c * (1 + distance),), stop_loss=c * 0.985, invest=10, ttl="3h"
                )

    return Drifting()


def candles(rows: int) -> dict[str, Candles]:
    return {symbol: walk(seed, symbol, rows) for seed, symbol in enumerate(SYMBOLS)}


def test_a_restart_between_the_history_and_the_first_decision_goes_on(tmp_path: Path) -> None:
    starts: Any = {"history": 30, "late": 1_234_567}  # nobody starts at a close
    lived = SeatRoom(tmp_path / "lived.sqlite", drifting(), candles(120), **starts)
    again = SeatRoom(tmp_path / "again.sqlite", drifting(), candles(120), **starts)
    for number in range(120):
        if number == 30:
            again.restart()
            again.restart()
        lived.close(number)
        again.close(number)
    assert again.rows() == lived.rows()
    assert lived.rows()["intent"]


def test_what_a_strategy_raises_is_told_in_one_line(tmp_path: Path) -> None:
    class Wordy(Strategy):
        def on_candle(self, now: Moment) -> Iterable[Call]:
            raise ValueError(f"at {now.position}:\n  nothing\n  fits")

    room = SeatRoom(tmp_path / "journal.sqlite", Wordy(), candles(40))
    for number in range(31):
        room.close(number)
    assert "raised ValueError at the close of" in room.seat.halted
    assert room.seat.halted.endswith("Z: at 29: nothing fits")


@pytest.mark.parametrize("seed", range(3))
def test_restarts_leave_no_trace(tmp_path: Path, seed: int) -> None:
    length, draw = 460, random.Random(seed)
    lived = SeatRoom(tmp_path / "lived.sqlite", drifting(), candles(length))
    again = SeatRoom(tmp_path / "again.sqlite", drifting(), candles(length))
    restarts = {draw.randrange(31, length) for _ in range(40)}
    for number in range(length):
        if number == 300:
            lived.tick = again.tick = "0.05"  # an exchange makes its tick finer
            lived.restart()
            again.restart()
        lived.close(number)
        again.close(number)
        if number in restarts:
            again.restart()
            assert again.seat.session.venue.equity_now == lived.seat.session.venue.equity_now
            for symbol in SYMBOLS:
                assert again.seat.session.venue.living(symbol) == lived.seat.session.venue.living(symbol)
                assert again.seat.session.candles_of(symbol).hash == lived.seat.session.candles_of(symbol).hash
    rows = lived.rows()
    assert again.rows() == rows
    assert len(rows["intent"]) > 60
    assert {row["outcome"] for row in rows["told"]} == {"entered", "refused", "voided"}
    assert len(rows["anchor"]) > 8, "the anchors moved"
    assert len(rows["rules"]) == 4
    assert rows["refusal"], "the tick was too coarse at times"
    for symbol in SYMBOLS:
        assert lived.seat.session.count(symbol) < 100 + 24 * 4
    told = [notice.sentence for notice in lived.told if notice.kind is NoticeKind.RULES]
    assert len(told) == 2
    assert "binance ADA/USDT 1h: the exchange changed its rules: tick 0.2 is 0.05; they hold from" in told[0]
    parity(lived)


class Once(Strategy):
    """Buys once, and from the fourth close on wants it closed."""

    by_person: bool = False

    def on_candle(self, now: Moment) -> Iterable[Call]:
        c = now.close
        if now.position == 30:
            yield now.create(entry=c * 1.01, targets=(c * 2.0,), stop_loss=c * 0.5, invest=1, ttl="3h")
        for living in now.signals:
            if now.position >= 34 and not self.by_person:
                yield Cancel(living.ref)


@pytest.mark.parametrize("by_person", [False, True])
def test_a_signal_lives_again_once_its_cancel_was_refused(tmp_path: Path, by_person: bool) -> None:
    symbol = SYMBOLS[0]
    room = SeatRoom(tmp_path / "journal.sqlite", Once(by_person=by_person), {symbol: candles(80)[symbol]})
    room.fates, numbers = ("acked",), iter(range(80))
    while not room.journal.signals("living"):
        room.close(next(numbers))
    (row,) = room.journal.signals("living")
    room.fates = ("planned",)
    if by_person:
        plan_cancels(room.journal, "account", room.now)
    while not room.journal.intents(State.PLANNED):
        room.close(next(numbers))
    (cancel,) = room.journal.intents(State.PLANNED)
    room.journal.begin([cancel], room.now)
    while not room.journal.signals("ended"):
        room.close(next(numbers))  # on its way, it counts as being there
    room.restart()
    room.journal.finish(cancel, Verdict(Meaning.REJECTED, "no such signal", 400), State.REJECTED, room.now)
    while not room.journal.signals("living"):
        room.close(next(numbers))
    assert [one.ref for one in room.seat.session.venue.living(symbol)] == [row.ref]
    assert f"signals living: 1\n  {row.ref} = p-{row.ref}" in status_text(room.journal)
    assert room.journal.open_signals() == 1
    room.restart()
    room.close(next(numbers))
    assert [one.ref for one in room.seat.session.venue.living(symbol)] == [row.ref]
    parity(room)


class Shy(Strategy):
    """Once wants to buy where the market never comes, for an hour."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        c = now.close
        if now.position == 30:
            yield now.create(entry=c * 0.5, targets=(c * 0.6,), stop_loss=c * 0.4, invest=1, ttl="1h")


@pytest.mark.parametrize(("unknown", "restarts"), [(False, False), (True, False), (True, True)])
def test_a_signal_that_ended_before_its_create_was_proved_is_over(
    tmp_path: Path, *, unknown: bool, restarts: bool
) -> None:
    symbol = SYMBOLS[0]
    room = SeatRoom(tmp_path / "journal.sqlite", Shy(), {symbol: candles(60)[symbol]})
    room.fates, numbers = ("planned",), iter(range(60))
    while not room.journal.intents(State.PLANNED):
        room.close(next(numbers))
    (create,) = room.journal.intents(State.PLANNED)
    room.journal.begin([create], room.now)
    if unknown:
        room.journal.finish(create, Verdict(Meaning.LOST, "lost"), State.UNKNOWN, room.now)
    for _ in range(3):
        room.take(next(numbers))
    assert room.seat.session.venue.status(SignalRef(create.ref)) is Status.EXPIRED
    if restarts:
        room.restart()
    if unknown:
        room.journal.resolve(create, State.LANDED, room.now, "p-1")
    else:
        room.journal.finish(create, Verdict(Meaning.ACKED, status=200, parent_signal_id="p-1"), State.ACKED, room.now)
    assert room.journal.open_signals() == 1
    room.take(next(numbers))
    room.take(next(numbers))
    assert [row.state for row in room.journal.signals()] == ["ended"]
    assert room.journal.open_signals() == 0
    parity(room)


class Pair(Strategy):
    """Buys twice at one close."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        c = now.close
        if now.position == 30:
            for share in (2.0, 2.1):
                yield now.create(entry=c * 1.01, targets=(c * share,), stop_loss=c * 0.5, invest=1)


def test_what_became_of_all_calls_is_read_at_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    symbol = SYMBOLS[0]
    room = SeatRoom(tmp_path / "journal.sqlite", Pair(), {symbol: candles(60)[symbol]})
    numbers, named = iter(range(60)), room.journal.intent_named
    while not (planned := room.journal.intents(State.PLANNED)):
        room.take(next(numbers))
    sender = threading.Thread(target=lambda: room.journal.begin(planned, room.now))

    def send_meanwhile(*key: Any) -> Intent | None:
        found = named(*key)
        if not sender.ident:
            sender.start()
            sender.join(0.2)  # as far as it comes
        return found

    monkeypatch.setattr(room.journal, "intent_named", send_meanwhile)
    room.take(next(numbers))
    sender.join()
    room.take(next(numbers))
    first, second = room.rows()["told"]
    assert first["close"] == second["close"], "the second was seen on its way, the first just before as waiting"


def parity(room: SeatRoom) -> None:
    """Check that the code, told what became of its calls, decides what the journal says, and has the same money."""
    result = run(room.strategy, outcomes=room.path, profile=SubscriberProfile.anny())
    rows = room.rows()
    wanted = sorted((row["candle"], row["ref"], row["kind"]) for row in rows["intent"] if row["number"] >= 0)
    found = sorted((one.at, str(one.signal), _kind(one.call)) for one in result.calls)
    assert found == wanted
    assert [(one.at, one.reason) for one in result.refused] == [
        (row["close"], row["reason"]) for row in rows["refusal"]
    ]
    lived = read_lived(room.journal, room.strategy.identity)
    venue = walk_lived(room.strategy, lived, SubscriberProfile.anny(), lane="candle").venue
    assert venue.equity_now == room.seat.session.venue.equity_now


def _kind(call: Any) -> str:
    return {"CreateSignal": "create_v2", "UpdatePrices": "updateprice", "Cancel": "cancel"}[type(call).__name__]


def test_new_code_goes_on_where_a_person_accepts_it(tmp_path: Path) -> None:
    room = SeatRoom(tmp_path / "journal.sqlite", drifting(), candles(300))
    for number in range(150):
        room.close(number)
    before = room.rows()["intent"]
    room.strategy = drifting(0.02)
    with pytest.raises(
        InvalidSettingError, match=r"^Drifting on ADA/USDT, BTC/USDT 1h: call 1 of this journal was .*"
    ) as refused:
        room.restart()
    assert "bring the old code back, let the new code decide from now on with --accept-new-code" in str(refused.value)
    room.begin(accept=True)
    assert [notice.kind for notice in room.told] == [NoticeKind.CODE]
    for number in range(150, 220):
        room.close(number)
    room.restart()  # what was accepted needs no word any more
    for number in range(220, 300):
        room.close(number)
    assert room.rows()["intent"][: len(before)] == [{**row, **_newest(room, row)} for row in before]
    assert len(room.rows()["intent"]) > len(before) + 10
    parity(room)
    assert "new code" in status_text(room.journal)
    (first, accepted) = room.journal.codes(room.strategy.identity)
    assert (first.accepted, accepted.accepted) == (False, True)
    assert accepted.close == room.first + 150 * HOUR
    room.strategy = drifting(0.03)
    with pytest.raises(InvalidSettingError, match=r"call \d+ of this journal was"):
        room.restart()


def _newest(room: SeatRoom, row: dict[str, Any]) -> dict[str, Any]:
    """State and note of a call may have changed since."""
    now = next(one for one in room.rows()["intent"] if one["id"] == row["id"])
    return {name: now[name] for name in ("state", "note")}


def test_code_that_raises_on_what_it_decided_before_is_refused_in_a_sentence(tmp_path: Path) -> None:
    room = SeatRoom(tmp_path / "journal.sqlite", drifting(), candles(80))
    for number in range(80):
        room.close(number)

    class Drifting(Strategy):
        def on_candle(self, now: Moment) -> Iterable[Call]:
            raise ZeroDivisionError("by hand")

    room.strategy = Drifting()
    with pytest.raises(
        InvalidSettingError, match="the code now raises ZeroDivisionError: by hand; bring the old code back"
    ):
        room.restart()


def test_a_strategy_that_the_journal_does_not_know_is_named(tmp_path: Path) -> None:
    room = SeatRoom(tmp_path / "journal.sqlite", drifting(), candles(40))
    for number in range(40):
        room.close(number)

    class Other(Strategy):
        def on_candle(self, now: Moment) -> Iterable[Call]:
            return ()

    with pytest.raises(InvalidSettingError, match=r"knows nothing of the strategy .* only of .* on ADA/USDT"):
        run(Other(), outcomes=room.path)
    with pytest.raises(InvalidSettingError, match="leave out detail and funding"):
        run(room.strategy, outcomes=room.path, funding=[])
    with pytest.raises(InvalidSettingError, match="the emission was on ADA/USDT, BTC/USDT; candles were of ADA/USDT"):
        run(room.strategy, candles(40)["ADA/USDT"], outcomes=room.path)


def test_other_candles_may_be_given_to_what_was_lived(tmp_path: Path) -> None:
    room = SeatRoom(tmp_path / "journal.sqlite", drifting(), candles(120))
    for number in range(120):
        room.close(number)
    own = run(room.strategy, outcomes=room.path)
    same = run(room.strategy, candles(120), outcomes=room.path)
    assert same.calls == own.calls
    assert same.equity.tolist() == own.equity.tolist()
