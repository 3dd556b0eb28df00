"""The journal: what is kept, what is refused, and what cannot be changed any more."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from backtest.errors import InvalidSettingError, StorageError
from backtest.live.clock import CandleClock, WallClock, refuse_offset
from backtest.live.intent import Intent, State, intents_of
from backtest.live.journal import Journal
from backtest.live.person import resolve
from backtest.live.schema import Decided, Run, Stream
from backtest.live.status import status_text
from backtest.model.calls import Call, Cancel, CreateSignal, Dca, UpdatePrices
from backtest.model.events import SignalRef
from backtest.venue.verdict import Meaning, Verdict
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOUR = 3_600_000
STREAM = Stream("account", "strategy", "BTC/USDT", "1h", "binance")
RUN = Run("paper", "account", 0)
LOST = Verdict(Meaning.LOST, "no answer", error="ReadTimeout")


def done(parent: str | None) -> Verdict:
    return Verdict(Meaning.ACKED, status=200, result_type="OPERATION_PERFORMED", parent_signal_id=parent)


def create(at: int = HOUR, **changes: object) -> CreateSignal:
    fields = {"invest": 10.0, "entry_price_max": 100.0, "targets": (110.0,), "stop_loss": 90.0, **changes}
    ref = SignalRef(f"BTC/USDT-{at}-0")
    return CreateSignal(coin="BTC", trade_market="USDT", exchange="BINANCE", ref=ref, **fields)  # type: ignore[arg-type]  # each fits its own


REF = create().ref


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path, RUN) as found:
        yield found


def plan(journal: Journal, at: int, *calls: Call) -> list[Intent]:
    return journal.keep([Decided(STREAM, at, calls)], at)


def ack(journal: Journal, intent: Intent, parent: str | None = None) -> None:
    journal.begin([intent], 0)
    journal.finish(intent, done(parent), State.ACKED, 1)


def lose(journal: Journal, intent: Intent) -> None:
    journal.begin([intent], 0)
    journal.finish(intent, LOST, State.UNKNOWN, 1)


def reached(journal: Journal) -> list[int]:
    return [cursor.time for cursor in journal.cursors()]


def states(journal: Journal) -> list[str]:
    return [intent.state.value for intent in journal.intents()]


def test_an_intent_is_the_same_after_any_replay(journal: Journal) -> None:
    first = plan(journal, HOUR, create())
    assert plan(journal, HOUR, create()) == []
    assert [intent.id for intent in journal.intents()] == [first[0].id]


def test_each_part_of_an_id_changes_it() -> None:
    calls: list[Call] = [create(), Dca(REF, 95.0, 1.0), Dca(REF, 95.0, 1.0)]
    found = {i.id for at in (HOUR, 2 * HOUR) for i in intents_of(STREAM, at, calls)}
    for change in ({"account": "b"}, {"strategy": "b"}, {"symbol": "ETH/USDT"}, {"timeframe": "4h"}):
        found |= {i.id for i in intents_of(replace(STREAM, **change), HOUR, calls)}  # type: ignore[arg-type]  # texts
    assert len(found) == 6 * 3


def test_another_body_under_the_same_id_is_refused(journal: Journal) -> None:
    plan(journal, HOUR, create())
    with pytest.raises(InvalidSettingError, match="another journal"):
        plan(journal, HOUR, create(stop_loss=91.0))
    assert reached(journal) == [HOUR]


def test_plan_and_cursor_are_kept_together_or_not_at_all(journal: Journal) -> None:
    plan(journal, HOUR, create())
    with pytest.raises(InvalidSettingError, match="never planned"):
        plan(journal, 2 * HOUR, create(2 * HOUR), UpdatePrices(SignalRef("unheard-of"), stop_loss=91.0))
    assert reached(journal) == [HOUR]
    assert states(journal) == ["planned"]


def test_a_call_lives_for_a_candle_or_its_ttl() -> None:
    calls: list[Call] = [create(), create(ttl_buy_order=1000), create(ttl_buy_order=5 * HOUR), Cancel(REF)]
    assert [i.valid_until for i in intents_of(STREAM, HOUR, calls)] == [2 * HOUR, HOUR + 1000, 2 * HOUR, None]


def test_wished_and_confirmed_prices_and_the_venues_name(journal: Journal) -> None:
    (made,) = plan(journal, HOUR, create())
    ack(journal, made, "abc123")
    (update,) = plan(journal, 2 * HOUR, UpdatePrices(REF, stop_loss=95.0))
    row = journal.signal("strategy", REF)
    assert row is not None
    assert (row.state, row.parent_signal_id, row.wished["stop_loss"]) == ("living", "abc123", "95")
    assert row.confirmed["stop_loss"] == "90"
    request = update.request("abc123")
    assert (request.method, request.path) == ("PUT", "/v1/signal/abc123/updateprice")
    assert request.body == b'{"parent_signal_id":"abc123","stop_loss":"95"}'
    ack(journal, update)
    row = journal.signal("strategy", REF)
    assert row is not None
    assert row.confirmed == {"entry_price_max": "100", "exit_price_1": "110", "stop_loss": "95"}


def test_newer_prices_supersede_older_ones_that_they_cover(journal: Journal) -> None:
    ack(journal, plan(journal, HOUR, create())[0], "abc123")
    plan(journal, 2 * HOUR, UpdatePrices(REF, stop_loss=91.0))
    plan(journal, 3 * HOUR, UpdatePrices(REF, exit_price_1=112.0))
    plan(journal, 4 * HOUR, UpdatePrices(REF, stop_loss=92.0, exit_price_2=115.0))
    assert states(journal) == ["acked", "superseded", "planned", "planned"]
    plan(journal, 5 * HOUR, Cancel(REF))
    assert states(journal) == ["acked", "superseded", "superseded", "superseded", "planned"]


def test_a_cancel_of_what_was_never_sent_has_nothing_to_do(journal: Journal) -> None:
    plan(journal, HOUR, create())
    plan(journal, 2 * HOUR, Cancel(REF))
    assert states(journal) == ["superseded", "superseded"]
    assert [row.state for row in journal.signals()] == ["dead"]


def test_recovery_settles_what_was_sending_and_twice_changes_nothing(journal: Journal) -> None:
    (made,) = plan(journal, HOUR, create())
    journal.begin([made], 5)
    (found,) = journal.recover(7)
    assert found.id == made.id
    assert states(journal) == ["unknown"]
    assert [(a["phase"], a["at"], a["error"]) for a in journal.attempts(made)] == [
        ("start", 5, ""),
        ("end", 7, "FoundSending"),
    ]
    assert journal.recover(9) == []
    assert "UNKNOWN" in status_text(journal)
    assert "FoundSending" in status_text(journal)


def test_only_the_listed_steps_are_possible(journal: Journal) -> None:
    (made,) = plan(journal, HOUR, create())
    with pytest.raises(InvalidSettingError, match="cannot become acked"):
        journal.finish(made, done("abc123"), State.ACKED, 0)
    ack(journal, made, "abc123")
    for step in (State.BLOCKED, State.EXPIRED):
        with pytest.raises(InvalidSettingError, match="cannot become"):
            journal.drop([(made, step, "")], 0)
    with pytest.raises(InvalidSettingError, match="cannot become sending"):
        journal.begin([made], 0)
    assert [attempt["outcome"] for attempt in journal.attempts(made)] == ["", "acked"]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM attempt",
        "UPDATE attempt SET at = 0",
        "DELETE FROM run",
        "UPDATE run SET account = 'b'",
        "DELETE FROM decision",
        "UPDATE decision SET state = 'landed'",
        "DELETE FROM intent",
        "UPDATE intent SET body = '{}'",
        "UPDATE intent SET state = 'lost'",
        "UPDATE signal SET parent_signal_id = 'b'",
        "INSERT INTO attempt (intent, phase, at) VALUES ('nobody', 'start', 0)",
    ],
)
def test_what_is_kept_cannot_be_changed(journal: Journal, path: Path, sql: str) -> None:
    (made,) = plan(journal, HOUR, create())
    ack(journal, made, "abc123")
    (lost,) = plan(journal, 2 * HOUR, Dca(REF, 95.0, 1.0))
    lose(journal, lost)
    resolve(journal, lost.id[:8], State.NOT_LANDED, 0)
    db = sqlite3.connect(path)
    db.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(sql)
    db.close()


def test_journal_of_another_account_or_mode_is_refused(path: Path) -> None:
    Journal(path, RUN).close()
    with pytest.raises(InvalidSettingError, match="account"):
        Journal(path, replace(RUN, account="other"))
    with pytest.raises(InvalidSettingError, match="mode paper"):
        Journal(path, replace(RUN, mode="live"))
    Journal(path, RUN).close()


@pytest.mark.usefixtures("journal")
def test_one_writer_and_any_reader(path: Path) -> None:
    with pytest.raises(InvalidSettingError, match=r"process \d+ writes"):
        Journal(path, RUN)
    with Journal(path) as reader:
        assert reader.last_run() == RUN
        with pytest.raises(StorageError):
            plan(reader, HOUR, create())


def test_files_that_are_no_journal(tmp_path: Path, path: Path) -> None:
    with pytest.raises(InvalidSettingError, match="there is no journal"):
        Journal(path)
    (tmp_path / "text").write_text("no database at all, " * 500)
    with pytest.raises(InvalidSettingError, match="is no journal, or a damaged one"):
        Journal(tmp_path / "text", RUN)
    with pytest.raises(StorageError, match="cannot be used"):
        Journal(tmp_path)  # a folder
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(InvalidSettingError, match="no journal of version"):
        Journal(tmp_path / "other", RUN)
    with pytest.raises(StorageError, match="lock"):
        Journal(tmp_path / "text" / "journal", RUN)


def test_the_folder_of_a_journal_is_made(tmp_path: Path) -> None:
    Journal(tmp_path / "not" / "yet" / "journal", RUN).close()
    assert (tmp_path / "not" / "yet" / "journal").is_file()


def test_damage_is_told(path: Path) -> None:
    with Journal(path, RUN) as journal:
        for at in range(1, 60):
            plan(journal, at * HOUR, create(at * HOUR))
    raw = bytearray(path.read_bytes())
    raw[8192:16384] = b"\xff" * 8192
    path.write_bytes(raw)
    with pytest.raises(StorageError):
        Journal(path, RUN)


def unknown(journal: Journal) -> Intent:
    (made,) = plan(journal, HOUR, create())
    lose(journal, made)
    return made


@pytest.mark.parametrize(("state", "signal"), [(State.NOT_LANDED, "dead"), (State.ABANDONED, "dead")])
def test_a_person_decides(journal: Journal, state: State, signal: str) -> None:
    made = unknown(journal)
    resolve(journal, made.id[:12], state, 9)
    assert states(journal) == [state.value]
    assert [row.state for row in journal.signals()] == [signal]
    with pytest.raises(InvalidSettingError, match="only an unknown"):
        resolve(journal, made.id[:12], state, 9)


def test_what_landed_lives_under_the_venues_name(journal: Journal) -> None:
    made = unknown(journal)
    for wrong in (None, "", " abc", ".."):
        with pytest.raises(InvalidSettingError, match="--landed"):
            resolve(journal, made.id, State.LANDED, 9, wrong)
    resolve(journal, made.id, State.LANDED, 9, "abc123")
    (row,) = journal.signals("living")
    assert row.parent_signal_id == "abc123"
    assert row.confirmed == row.wished


def test_a_name_belongs_to_one_signal(journal: Journal) -> None:
    ack(journal, plan(journal, 2 * HOUR, create(2 * HOUR))[0], "abc123")
    made = unknown(journal)
    with pytest.raises(InvalidSettingError, match="not of"):
        resolve(journal, made.id, State.LANDED, 9, "abc123")
    (call,) = plan(journal, 3 * HOUR, Dca(create(2 * HOUR).ref, 95.0, 1.0))
    lose(journal, call)
    with pytest.raises(InvalidSettingError, match="at the venue"):
        resolve(journal, call.id, State.LANDED, 9, "another")


@pytest.mark.parametrize("prefix", ["", "no-such-id"])
def test_intents_are_named_by_the_start_of_their_id(journal: Journal, prefix: str) -> None:
    unknown(journal)
    with pytest.raises(InvalidSettingError, match="start of its id"):
        resolve(journal, prefix, State.ABANDONED, 0)


def test_signals_that_ended_in_the_shadow_book(journal: Journal) -> None:
    ack(journal, plan(journal, HOUR, create())[0], "abc123")
    journal.keep([Decided(STREAM, 2 * HOUR, ended=[REF, "never heard of"])], 0)
    assert [row.state for row in journal.signals()] == ["ended"]


def test_clocks() -> None:
    clock = CandleClock(1000)
    clock.sleep(0.0001)
    clock.sleep(1.5)
    clock.reach(100)
    assert (clock.now(), clock.seconds()) == (2501, 2.501)
    wall = WallClock()
    before = wall.now()
    wall.sleep(0.002)
    assert wall.now() > before
    assert wall.seconds() == pytest.approx(wall.now() / 1000, abs=1)


@pytest.mark.parametrize("offset", [2001, -2001])
def test_a_wrong_clock_is_refused(offset: int) -> None:
    assert refuse_offset(1_000_000 + 2000, 1_000_000) == 2000
    with pytest.raises(Exception, match="NTP") as caught:
        refuse_offset(1_000_000 + offset, 1_000_000)
    assert getattr(caught.value, "exit_status", None) == 3
