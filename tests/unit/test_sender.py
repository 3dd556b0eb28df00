"""The sender: calls beside one another on the wall's clock, and what waits for what."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from backtest.errors import InvalidSettingError, StorageError
from backtest.live.clock import WallClock
from backtest.live.commands import Commands, ask, socket_of
from backtest.live.emitter import Emitter
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.person import stop_file_of
from backtest.live.schema import Decided, Run, Stream
from backtest.live.sender import Sender
from backtest.live.settings import EmitSettings
from backtest.live.stopping import stopped_by_signal
from backtest.model.calls import Call, Cancel, CreateSignal, Dca, TakeProfit, UpdatePrices
from backtest.model.events import SignalRef
from backtest.venue.rate import RateLimit
from backtest.venue.verdict import Meaning, Verdict
from backtest.wire import read_object
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backtest.wire import Request

HOUR = 3_600_000
ROOT = Path(__file__).parents[2]
SECONDS = 120.0
"""Nothing here is measured: after so long a test has failed."""


class Venue:
    """Performs what arrives; what is held (by kind and coin or parent) hangs until it is let go."""

    max_lag: int | None = None

    def __init__(self, per_minute: int = 10_000) -> None:
        self.rate = RateLimit(per_minute)
        self.arrived: list[str] = []
        self.held: dict[str, threading.Event] = {}
        self.answers: dict[str, Verdict | BaseException] = {}
        self._news = threading.Condition()

    def hold(self, name: str) -> threading.Event:
        return self.held.setdefault(name, threading.Event())

    def exchange(self, request: Request) -> Verdict:
        body = read_object(request.body)
        name = f"{request.kind} {body.get('coin') or body['parent_signal_id']}"
        with self._news:
            self.arrived.append(name)
            self._news.notify_all()
        if name in self.held:
            assert self.held[name].wait(SECONDS)
        done = Verdict(Meaning.ACKED, status=200, parent_signal_id=body.get("coin"))
        found = self.answers.get(name, done)
        if isinstance(found, BaseException):
            raise found
        return found

    def heard(self, *names: str) -> bool:
        """Wait until all of these have arrived."""
        with self._news:
            return self._news.wait_for(lambda: set(names) <= set(self.arrived), SECONDS)


class Room:
    """A running sender."""

    def __init__(self, path: Path, venue: Venue, settings: EmitSettings) -> None:
        self.venue, self.clock = venue, WallClock()
        self.journal = Journal(path, Run("paper", "account", 0))
        self.close_time = self.clock.now()
        stop_file = stop_file_of(path)
        self.emitter = Emitter(self.journal, venue, self.clock, settings, self.clock.now, stop_file)
        self.sender = Sender(self.emitter)

    def plan(self, *calls: Call) -> None:
        self.close_time += 1
        self.emitter.plan([Decided(Stream("account", "strategy", "ALL/USDT", "1h"), self.close_time, calls)])
        self.sender.wake()

    def states(self) -> dict[str, str]:
        return {f"{intent.kind} {intent.ref[:3]}": intent.state.value for intent in self.journal.intents()}


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    found = Room(tmp_path / "journal.sqlite", Venue(), EmitSettings(patience=0.0, backoff_first=0.01))
    with found.sender:
        yield found
        for held in found.venue.held.values():
            held.set()
    found.journal.close()


def ref(coin: str) -> SignalRef:
    return SignalRef(f"{coin}/USDT-0-0")


def create(coin: str) -> CreateSignal:
    fields = {"invest": 1.0, "entry_price_max": 100.0, "targets": (110.0,), "stop_loss": 90.0, "ref": ref(coin)}
    return CreateSignal(coin=coin, trade_market="USDT", exchange="BINANCE", **fields)  # type: ignore[arg-type]  # each fits


def living(room: Room, *coins: str) -> None:
    room.plan(*(create(coin) for coin in coins))
    assert room.sender.wait(SECONDS)
    room.venue.arrived.clear()


def test_a_create_that_hangs_holds_up_no_exit_and_the_next_create(room: Room) -> None:
    living(room, "BTC", "ETH")
    hang = room.venue.hold("create_v2 SOL")
    room.plan(create("SOL"), create("XRP"))
    assert room.venue.heard("create_v2 SOL")
    room.plan(Cancel(ref("BTC")), UpdatePrices(ref("ETH"), stop_loss=91.0), create("ADA"))
    assert room.venue.heard("cancel BTC", "updateprice ETH")
    assert "create_v2 XRP" not in room.venue.arrived
    hang.set()
    assert room.sender.wait(SECONDS)
    assert [name for name in room.venue.arrived if name.startswith("create")] == [
        "create_v2 SOL",
        "create_v2 XRP",
        "create_v2 ADA",
    ]
    assert set(room.states().values()) == {"acked"}


def test_calls_about_one_signal_wait_for_one_another(room: Room) -> None:
    living(room, "BTC")
    hang = room.venue.hold("takeprofit BTC")
    room.plan(TakeProfit(ref("BTC"), "market", 50.0, None, None, 95.0, 94.0), Dca(ref("BTC"), 95.0, 1.0))
    assert room.venue.heard("takeprofit BTC")
    room.plan(UpdatePrices(ref("BTC"), stop_loss=91.0))
    assert room.venue.arrived == ["takeprofit BTC"]
    hang.set()
    assert room.sender.wait(SECONDS)
    assert room.venue.arrived == ["takeprofit BTC", "dca BTC", "updateprice BTC"]


def test_an_entry_waits_for_exits_of_its_close_but_not_for_one_that_hangs(tmp_path: Path) -> None:
    room = Room(tmp_path / "journal.sqlite", Venue(), EmitSettings(patience=0.5))
    with room.sender:
        living(room, "BTC", "ETH")
        hang = room.venue.hold("cancel BTC")
        room.plan(Cancel(ref("BTC")), Cancel(ref("ETH")), create("SOL"))
        assert room.venue.heard("create_v2 SOL")
        assert room.venue.arrived[-1] == "create_v2 SOL"
        hang.set()
    room.journal.close()


def test_exits_go_first_where_the_limit_lets_few_out(tmp_path: Path) -> None:
    room = Room(tmp_path / "journal.sqlite", Venue(per_minute=5), EmitSettings())
    with room.sender:
        living(room, "BTC", "ETH", "SOL")
        room.plan(create("XRP"), UpdatePrices(ref("ETH"), stop_loss=91.0), Cancel(ref("SOL")), Cancel(ref("BTC")))
        assert room.venue.heard("cancel BTC", "cancel SOL")
        assert room.sender.wait(SECONDS)
        assert sorted(room.venue.arrived) == ["cancel BTC", "cancel SOL"]
    assert room.states()["create_v2 XRP"] == "planned"
    room.journal.close()


def test_what_goes_now_is_kept_in_one_transaction(room: Room) -> None:
    living(room, "BTC", "ETH", "SOL")
    statements: list[str] = []
    room.journal._db.set_trace_callback(statements.append)
    room.plan(*(Cancel(ref(coin)) for coin in ("BTC", "ETH", "SOL")))
    assert room.sender.wait(SECONDS)
    room.journal._db.set_trace_callback(None)
    assert len([each for each in statements if each.startswith("COMMIT")]) == 1 + 1 + 3, "T1, T2, and T3 of each"


def test_the_file_alone_is_kept_up_to_date_though_closes_never_pause(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backtest.live.sender._IDLE_MS", 10**9)
    copy = tmp_path / "copy.sqlite"
    for _ in range(150):
        room.plan()
    for _ in range(100):
        assert room.sender.wait(SECONDS)
        subprocess.run(
            ["cp", str(room.journal.path), str(copy)], check=True
        )  # to read it here would drop SQLite's own locks
        with Journal(copy) as reader:
            if reader.cursors():
                break
    else:
        pytest.fail("the file never held what was kept")


def test_the_end_waits_for_the_call_on_its_way(tmp_path: Path) -> None:
    room = Room(tmp_path / "journal.sqlite", Venue(), EmitSettings())
    hang = room.venue.hold("create_v2 BTC")

    def let_go() -> None:
        room.emitter.stop.wait(SECONDS)
        hang.set()

    with room.sender:
        room.plan(create("BTC"), create("ETH"))
        assert room.venue.heard("create_v2 BTC")
        threading.Thread(target=let_go).start()
    assert room.states() == {"create_v2 BTC": "acked", "create_v2 ETH": "planned"}
    room.journal.close()


def test_what_one_call_raises_loses_no_outcome_of_the_others(tmp_path: Path) -> None:
    room = Room(tmp_path / "journal.sqlite", Venue(), EmitSettings(patience=0.0))
    with pytest.raises(ZeroDivisionError), room.sender:  # noqa: PT012 - all of it
        living(room, "BTC", "ETH", "SOL", "XRP")
        held = [room.venue.hold(f"cancel {coin}") for coin in ("BTC", "ETH", "SOL", "XRP")]
        room.venue.answers |= {f"cancel {coin}": ZeroDivisionError() for coin in ("BTC", "ETH", "SOL")}
        room.plan(*(Cancel(ref(coin)) for coin in ("BTC", "ETH", "SOL", "XRP")))
        assert room.venue.heard("cancel BTC", "cancel ETH", "cancel SOL", "cancel XRP")
        for one in held:
            one.set()
    assert [room.states()[f"cancel {coin}"] for coin in ("BTC", "ETH", "SOL", "XRP")] == ["sending"] * 3 + ["acked"]
    room.journal.close()


def move_away(room: Room) -> None:
    with room.sender:
        room.journal.path.rename(room.journal.path.with_name("elsewhere.sqlite"))
        room.plan(create("BTC"))
        room.sender.wait(SECONDS)


def test_a_disk_that_refuses_ends_the_thread_and_is_told(tmp_path: Path) -> None:
    room = Room(tmp_path / "journal.sqlite", Venue(), EmitSettings())
    with pytest.raises(StorageError, match="was moved or replaced"):
        move_away(room)
    assert room.venue.arrived == []
    room.journal.close()


def test_a_name_that_the_venue_gives_twice_awaits_a_person(room: Room) -> None:
    living(room, "BTC")
    room.venue.answers["create_v2 ETH"] = Verdict(Meaning.ACKED, status=200, parent_signal_id="BTC")
    room.plan(create("ETH"))
    assert room.sender.wait(SECONDS)
    (lost,) = room.journal.intents(State.UNKNOWN)
    assert "its name of BTC/USDT-0-0" in room.journal.note(lost)


def test_a_person_asks_a_running_emitter(room: Room) -> None:
    living(room, "BTC", "ETH")
    room.venue.answers["cancel ETH"] = Verdict(Meaning.REJECTED, "wrong", 400)
    path = room.journal.path
    assert ask(path, do="resolve", intent="x", state="landed") is None, "nobody listens yet"
    with Commands(room.sender, "account"):
        assert socket_of(path).stat().st_mode & 0o777 == 0o600
        done = ask(path, do="cancel-all")
        assert done is not None
        assert [(one["ref"][:3], one["state"]) for one in done["canceled"]] == [("BTC", "acked"), ("ETH", "rejected")]
        del room.venue.answers["cancel ETH"]
        again = ask(path, do="cancel-all", ended=False)
        assert again is not None
        assert [(one["ref"][:3], one["state"]) for one in again["canceled"]] == [("ETH", "acked")]
        room.venue.answers["create_v2 SOL"] = Verdict(Meaning.LOST, "lost")
        room.plan(create("SOL"))
        assert room.sender.wait(SECONDS)
        (lost,) = room.journal.intents(State.UNKNOWN)
        with pytest.raises(InvalidSettingError, match="of 'zz' there is none"):
            ask(path, do="resolve", intent="zz", state="landed", parent="p")
        found = ask(path, do="resolve", intent=lost.id[:12], state="landed", parent="p9")
        assert found is not None
        assert (found["kind"], found["unknown"]) == ("create_v2", 0)
        wrongs: list[dict[str, Any]] = [{"do": "sell"}, {}, {"do": "resolve", "intent": "a", "state": "sold"}]
        for wrong in wrongs:
            with pytest.raises(InvalidSettingError, match=r"takes resolve|no command"):
                ask(path, **wrong)
    assert not socket_of(path).exists()


def in_a_thread(path: Path, found: list[Any], **command: Any) -> threading.Thread:
    """Ask a running emitter and go on; what it answers is found later."""
    thread = threading.Thread(target=lambda: found.append(ask(path, **command)))
    thread.start()
    return thread


def test_cancel_all_closes_what_is_on_its_way_too(room: Room) -> None:
    hang, answers = room.venue.hold("create_v2 BTC"), list[Any]()
    room.plan(create("BTC"))
    assert room.venue.heard("create_v2 BTC")
    with Commands(room.sender, "account"):
        asked, end = in_a_thread(room.journal.path, answers, do="cancel-all"), time.monotonic() + SECONDS
        while not (answers or room.journal.intents(State.PLANNED)) and time.monotonic() < end:
            time.sleep(0.001)
        hang.set()
        asked.join(SECONDS)
    assert answers == [{"canceled": [{"ref": ref("BTC"), "parent_signal_id": "BTC", "state": "acked", "note": ""}]}]
    assert room.venue.arrived == ["create_v2 BTC", "cancel BTC"]


def test_a_command_that_waits_is_answered_before_the_journal_is_closed(room: Room) -> None:
    living(room, "BTC")
    room.venue.hold("cancel BTC")
    answers = list[Any]()
    with Commands(room.sender, "account"):
        asked = in_a_thread(room.journal.path, answers, do="cancel-all")
        assert room.venue.heard("cancel BTC")
    asked.join(SECONDS)
    assert [one["state"] for one in answers[0]["canceled"]] == ["sending"]


def test_entries_stop_while_exits_pass(room: Room) -> None:
    living(room, "BTC")
    with Commands(room.sender, "account"):
        ask(room.journal.path, do="stop-entries", stop=True)
        room.plan(Cancel(ref("BTC")), create("ETH"))
        assert room.sender.wait(SECONDS)
        ask(room.journal.path, do="stop-entries", stop=False)
        room.plan(create("SOL"))
        assert room.sender.wait(SECONDS)
    assert room.states() == {
        "create_v2 BTC": "acked",
        "cancel BTC": "acked",
        "create_v2 ETH": "blocked",
        "create_v2 SOL": "acked",
    }


def test_a_long_path_has_a_socket_too(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    room = Room(folder / "journal.sqlite", Venue(), EmitSettings())
    with room.sender, Commands(room.sender, "account"):
        assert ask(room.journal.path, do="cancel-all") == {"canceled": []}
    room.journal.close()


DRAIN = "room.emitter.drain(room.clock.now() + 60_000)"
STOPPED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from backtest.live.settings import EmitSettings
from backtest.live.stopping import stopped_by_signal
from tests.unit.test_sender import Room, Venue, create
from backtest.venue.verdict import Meaning, Verdict

class Slow(Venue):
    def exchange(self, request):
        print("on its way", flush=True)
        {wait}
        return Verdict(Meaning.ACKED, status=200, parent_signal_id="p1")

with stopped_by_signal() as stop:
    room = Room(Path({path!r}), Slow(), EmitSettings())
    room.emitter.stop = stop
    room.plan(create("BTC"), create("ETH"))
    {run}
    room.journal.close()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_call_leaves_no_unknown(tmp_path: Path, number: int) -> None:
    path = tmp_path / "journal.sqlite"
    code = STOPPED.format(root=str(ROOT), path=str(path), run=DRAIN, wait="stop.wait(60.0)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on its way\n"
        os.kill(process.pid, number)
        assert process.wait(SECONDS) == 0
    with Journal(path) as journal:
        assert [intent.state.value for intent in journal.intents()] == ["acked", "planned"]


def test_a_second_signal_within_the_first_ones_call_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", leave)
    with stopped_by_signal() as stop:
        hear, put = signal.getsignal(signal.SIGTERM), stop.set
        assert callable(hear)

        def put_late() -> None:
            hear(signal.SIGTERM, None)
            put()

        monkeypatch.setattr(stop, "set", put_late)
        with pytest.raises(SystemExit) as caught:
            hear(signal.SIGINT, None)
    assert caught.value.code == 128 + signal.SIGTERM


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    code = STOPPED.format(root=str(ROOT), path=str(path), run=DRAIN, wait="time.sleep(60.0)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        while process.poll() is None:
            os.kill(process.pid, signal.SIGINT)
        assert process.returncode == 130
    with Journal(path, Run("paper", "account", 0)) as journal:
        assert [intent.kind for intent in journal.recover(0)] == ["create_v2"]
        assert [intent.state.value for intent in journal.intents()] == ["unknown", "planned"]
