"""The journal: what is kept, what is refused, and what cannot be changed any more."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backtest.errors import InvalidSettingError, InvalidSignalError, StorageError
from backtest.live import chain
from backtest.live.clock import CandleClock, WallClock, refuse_offset
from backtest.live.intent import Intent, State, intents_of
from backtest.live.journal import Journal
from backtest.live.mark import Mark
from backtest.live.person import resolve
from backtest.live.schema import Decided, Run, Seen, Stream, Told
from backtest.live.status import status_text
from backtest.model.calls import Call, Cancel, CreateSignal, Dca, UpdatePrices
from backtest.model.events import SignalRef
from backtest.venue.verdict import Meaning, Verdict
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    with pytest.raises(InvalidSettingError, match="is a folder"):
        Journal(tmp_path)
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


def full(journal: Journal) -> None:
    """Fill every table."""
    seen = [Seen(at * HOUR, 100.0, 101.5, 99.0, 100.5, 12.25, "websocket", 7) for at in range(30)]
    (made,) = journal.keep([Decided(STREAM, HOUR, [create()], seen[:1])], 5)
    ack(journal, made, "abc123")
    told = [Told(made.id, "entered", 2 * HOUR, HOUR)]
    journal.keep([Decided(STREAM, 30 * HOUR, [Dca(REF, 95.0, 1.0)], seen[1:], told, anchor=HOUR)], 6)
    (lost,) = journal.intents(State.PLANNED)
    lose(journal, lost)
    resolve(journal, lost.id, State.NOT_LANDED, 8)


def content(path: Path) -> list[object]:
    db = sqlite3.connect(path)
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    found = [(table, db.execute(f"SELECT * FROM {table}").fetchall()) for table in tables]
    db.close()
    return list(found)


CHANGES = {
    "UPDATE run SET config_hash = 'b'": "row 1 of run is not as it was written",
    "UPDATE series SET exchange = 'kraken'": "row 1 of series is not as it was written",
    "UPDATE seen SET high = 101.25 WHERE id = 3": "row 3 of seen is not as it was written",
    "DELETE FROM seen WHERE id = 30": "seen has 29 rows, 30 were written",
    "UPDATE intent SET body = replace(body, '90', '91') WHERE seq = 1": "row 1 of intent is not as it was written",
    "UPDATE intent SET state = 'landed' WHERE seq = 2": "the state of intent {} is not its last event's",
    "UPDATE event SET at = 9 WHERE id = 2": "row 2 of event is not as it was written",
    "DELETE FROM event WHERE id = (SELECT max(id) FROM event)": "event has 6 rows, 7 were written",
    "UPDATE attempt SET outcome = 'rejected' WHERE id = 2": "row 2 of attempt is not as it was written",
    "UPDATE decision SET state = 'landed'": "row 1 of decision is not as it was written",
    "UPDATE told SET entered = 0": "row 1 of told is not as it was written",
    "UPDATE cursor SET anchor = 0": "the cursor of strategy is not as it was written",
    "UPDATE signal SET parent_signal_id = 'other'": "the signal of BTC/USDT-3600000-0 is not as it was written",
    "DELETE FROM series": "seen refers to a row that is not there",
}


@pytest.mark.parametrize("sql", CHANGES)
def test_a_changed_row_is_noticed(path: Path, sql: str) -> None:
    with Journal(path, RUN) as journal:
        full(journal)
        journal.verify()
        second = journal.intents()[1].id[:12]
    db = sqlite3.connect(path, isolation_level=None)
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    db.execute(sql)
    db.close()
    with Journal(path) as reader, pytest.raises(StorageError, match="is damaged") as caught:
        reader.verify()
    assert f"is damaged ({CHANGES[sql].format(second)});" in str(caught.value)
    with pytest.raises(StorageError, match="is damaged"):
        Journal(path, RUN)


def test_no_damage_runs_on_unnoticed(path: Path, tmp_path: Path) -> None:
    with Journal(path, RUN) as journal:
        full(journal)
    whole, before, draw = path.read_bytes(), content(path), random.Random(5)
    copy, unnoticed = tmp_path / "copy.sqlite", 0
    for _ in range(120):
        raw, at = bytearray(whole), draw.randrange(100, len(whole))
        raw[at : at + 4] = draw.randbytes(4)
        copy.write_bytes(raw)
        try:
            with Journal(copy) as reader:
                reader.verify()
                reader.intents()
        except (StorageError, InvalidSettingError):
            continue
        unnoticed += content(copy) != before
    assert unnoticed == 0


def test_the_lock_is_on_the_file_and_not_on_its_name(path: Path, tmp_path: Path) -> None:
    with Journal(path, RUN):
        (tmp_path / "soft.sqlite").symlink_to(path)
        (tmp_path / "hard.sqlite").hardlink_to(path)
        for name in ("soft.sqlite", "hard.sqlite", "journal.sqlite"):
            with pytest.raises(InvalidSettingError, match="writes the journal"):
                Journal(tmp_path / name, RUN)
        for beside in tmp_path.glob("journal.sqlite.*"):
            beside.unlink()
        with pytest.raises(InvalidSettingError, match="another process writes the journal"):
            Journal(path, RUN)
    Journal(tmp_path / "soft.sqlite", RUN).close()


HOLDS = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
except OSError:
    sys.exit(1)
"""


def test_a_second_opening_drops_no_lock_of_the_first(path: Path) -> None:
    def locked() -> bool:
        return subprocess.run([sys.executable, "-c", HOLDS, str(path)], check=False).returncode == 1

    with Journal(path, RUN):
        assert locked()
        with pytest.raises(InvalidSettingError, match="writes the journal"):
            Journal(path, RUN)
        with Journal(path):
            pass
        assert locked()
    assert not locked()


def test_the_file_alone_is_the_whole_journal_once_it_is_tidy(journal: Journal, path: Path, tmp_path: Path) -> None:
    full(journal)
    journal.tidy(now=True)
    copy = tmp_path / "copy.sqlite"
    subprocess.run(["cp", str(path), str(copy)], check=True)  # to read it here would drop SQLite's own locks
    with Journal(copy) as reader:
        assert len(reader.intents()) == 2


def test_a_backup_is_whole_while_the_journal_is_written(journal: Journal, path: Path, tmp_path: Path) -> None:
    full(journal)
    with Journal(path) as reader:
        reader.backup(tmp_path / "copy.sqlite")
        with pytest.raises(InvalidSettingError, match="there already"):
            reader.backup(tmp_path / "copy.sqlite")
        with pytest.raises(StorageError, match="could not be copied"):
            reader.backup(tmp_path / "no" / "folder")
    with Journal(tmp_path / "copy.sqlite") as copy:
        copy.verify()
        assert [intent.id for intent in copy.intents()] == [intent.id for intent in journal.intents()]


def test_a_journal_that_is_written_meanwhile_is_not_taken_for_damaged(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(journal)
    read, closes = chain._heads, iter(range(10, 20))

    def write_then_read(db: sqlite3.Connection) -> dict[str, tuple[int, str]]:
        found = read(db)
        plan(journal, next(closes) * HOUR)
        return found

    monkeypatch.setattr(chain, "_heads", write_then_read)
    with Journal(path) as reader:
        reader.verify()
        count = len(reader.codes("strategy"))
        with reader.moment():
            before = reader.cursors()
            plan(journal, next(closes) * HOUR)
            assert reader.cursors() == before
        assert (reader.cursors() != before, count) == (True, 0)


def fill_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_mark(mark: Mark, *_: object) -> None:
        raise StorageError(f"the mark {mark.path} cannot be written: No space left on device")

    with Journal(path, RUN) as journal:
        plan(journal, HOUR, create())
        monkeypatch.setattr(Mark, "write", no_mark)
        (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
        journal._db.execute(f"PRAGMA max_page_count={pages}")
        for at in range(2, 1000):
            plan(journal, at * HOUR, create(at * HOUR))


def test_a_full_disk_is_told_by_the_first_write_that_failed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="cannot be used: database or disk is full"):
        fill_the_disk(path, monkeypatch)


def test_a_copy_is_no_mixture_of_two_moments(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written beside it, file and log are copied one after the other."""
    copyfile, closes = shutil.copyfile, iter(range(2, 9))

    def write_between(source: Path, target: Path) -> object:
        found = copyfile(source, target)
        if source == path and (at := next(closes)) < 4:
            os.utime(path, ns=(at, at))  # the log was moved into the file, and the next one began
        return found

    with Journal(path, RUN) as journal:
        plan(journal, HOUR, create())
        log = tmp_path / "log"
        subprocess.run(["cp", f"{path}-wal", str(log)], check=True)
    log.replace(f"{path}-wal")
    Path(f"{path}-shm").symlink_to(tmp_path / "no" / "where")
    monkeypatch.setattr(shutil, "copyfile", write_between)
    with Journal(path) as reader:
        assert states(reader) == ["planned"]
    assert next(closes) == 5, "copied until nobody wrote meanwhile"


def test_a_live_journal_that_lost_what_it_held_does_not_start(path: Path) -> None:
    live = replace(RUN, mode="live")
    Journal(path, live).close()
    old = path.read_bytes()
    with Journal(path, live) as journal:
        plan(journal, HOUR, create())
    path.write_bytes(old)
    with pytest.raises(InvalidSettingError, match="an older copy"):
        Journal(path, live)
    path.unlink()
    with pytest.raises(InvalidSettingError, match="is empty or an older copy"):
        Journal(path, live)
    path.unlink()
    path.with_name("journal.sqlite.mark").unlink()
    Journal(path, live).close()


def test_a_journal_is_read_where_nothing_can_be_written_beside_it(path: Path, tmp_path: Path) -> None:
    with Journal(path, RUN) as journal:
        plan(journal, HOUR, create())
        log = tmp_path / "log"
        subprocess.run(["cp", f"{path}-wal", str(log)], check=True)
    log.replace(f"{path}-wal")
    Path(f"{path}-shm").symlink_to(tmp_path / "no" / "where")  # SQLite cannot make its own
    with Journal(path) as reader:
        assert states(reader) == ["planned"]


def test_an_older_journal_gets_one_sentence(path: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE run (id INTEGER); PRAGMA user_version=2;")
    db.close()
    for run in (None, RUN):
        with pytest.raises(InvalidSettingError, match=r"of version 2, which only the program that wrote it"):
            Journal(path, run)


def test_what_one_pass_brings_is_kept_together_or_not_at_all(journal: Journal) -> None:
    other = replace(STREAM, symbol="ETH/USDT")
    candle = Seen(0, 100.0, 101.0, 99.0, 100.5, 3.0)
    wrong = Decided(other, HOUR, [UpdatePrices(SignalRef("unheard-of"), stop_loss=91.0)])
    with pytest.raises(InvalidSettingError, match="never planned"):
        journal.keep([Decided(STREAM, HOUR, [create()], [candle]), wrong], 0)
    assert (states(journal), journal.cursors(), journal.seen(STREAM)) == ([], [], [])
    journal.keep([Decided(STREAM, HOUR, [create()], [candle]), Decided(other, HOUR, (), [candle])], 0)
    assert [(each.symbol, each.exchange, each.close) for each in journal.cursors()] == [
        ("BTC/USDT", "binance", 100.5),
        ("ETH/USDT", "binance", 100.5),
    ]
    journal.verify()


def test_a_candle_that_was_acted_on_is_never_revised(journal: Journal) -> None:
    candles = [Seen(0, 100, 101, 99, 100, 3, "rest", 9), Seen(HOUR, None, None, None, None, None, "missing", 9)]
    journal.keep([Decided(STREAM, 2 * HOUR, (), candles)], 0)
    journal.keep([Decided(replace(STREAM, strategy="another"), 2 * HOUR, (), candles)], 0)
    with pytest.raises(InvalidSettingError, match="never revised"):
        journal.keep([Decided(STREAM, 2 * HOUR, (), [replace(candles[0], close=100.5)])], 0)
    assert journal.revise(STREAM, replace(candles[0], close=100.5))
    later = Seen(2 * HOUR, 100, 101, 99, 100, 3, "rest", 9)
    assert not journal.revise(STREAM, replace(later, close=100.5)), "it was not acted on yet"
    assert journal.seen(STREAM) == candles
    assert journal.seen(STREAM, HOUR) == candles[1:]
    journal.verify()


def test_what_was_told_is_kept_with_the_close(journal: Journal) -> None:
    (made,) = plan(journal, HOUR, create())
    told = Told(made.id, "refused", 2 * HOUR, HOUR, "its time had passed")
    journal.keep([Decided(STREAM, 2 * HOUR, told=[told])], 0)
    assert journal.told("strategy") == [told]
    assert journal.told("another") == []


def test_every_step_of_an_intent_is_an_event(journal: Journal) -> None:
    full(journal)
    rows = journal._all("SELECT state, parent_signal_id FROM event ORDER BY id")
    steps = ["planned", "sending", "acked", "planned", "sending", "unknown", "not_landed"]
    assert rows == [(step, "abc123" if step == "acked" else None) for step in steps]


def test_the_database_is_as_safe_as_it_can_be(journal: Journal) -> None:
    pragmas = {name: journal._one(f"PRAGMA {name}") for name in ("synchronous", "foreign_keys", "wal_autocheckpoint")}
    assert pragmas == {"synchronous": 2, "foreign_keys": 1, "wal_autocheckpoint": 0}
    assert journal._one("PRAGMA journal_mode") == "wal"


def test_an_id_is_the_same_in_every_version() -> None:
    (found, other) = intents_of(STREAM, HOUR, [Dca(REF, 95.0, 1.0)] * 2)
    assert found.id == "2028b10d120c2aefba753ac8360d1b8aa1e030f4a07700f01f39e14cfb980751"
    assert (found.number, other.number) == (0, 1)


@pytest.mark.parametrize("name", ["..", ".", "", " p", "p\n", "\ud800", None, "x" * 201])
def test_a_name_that_cannot_stand_in_a_path_is_refused(name: str | None) -> None:
    (cancel,) = intents_of(STREAM, HOUR, [Cancel(REF)])
    with pytest.raises(InvalidSignalError, match="parent_signal_id"):
        cancel.request(name)


def test_a_name_with_a_path_in_it_stays_one_step() -> None:
    (cancel,) = intents_of(STREAM, HOUR, [Cancel(REF)])
    assert cancel.request("a/../b").path == "/v1/signal/a%2F..%2Fb/cancel"


def test_what_ended_in_the_shadow_book_keeps_what_the_venue_says(journal: Journal) -> None:
    made = unknown(journal)
    journal.keep([Decided(STREAM, 2 * HOUR, ended=[REF])], 0)
    assert [row.state for row in journal.signals()] == ["unknown"]
    resolve(journal, made.id, State.LANDED, 0, "abc123")
    (cancel,) = plan(journal, 3 * HOUR, Cancel(REF))
    ack(journal, cancel)
    journal.keep([Decided(STREAM, 4 * HOUR, ended=[REF])], 0)
    assert [row.state for row in journal.signals()] == ["canceled"]


def test_a_price_update_that_nobody_can_prove_gives_way_to_a_newer_one(journal: Journal) -> None:
    ack(journal, plan(journal, HOUR, create())[0], "abc123")
    (update,) = plan(journal, 2 * HOUR, UpdatePrices(REF, stop_loss=91.0))
    lose(journal, update)
    plan(journal, 3 * HOUR, UpdatePrices(REF, stop_loss=92.0))
    assert states(journal) == ["acked", "superseded", "planned"]
    with pytest.raises(InvalidSettingError, match="only an unknown"):
        resolve(journal, update.id, State.LANDED, 0, "abc123")
