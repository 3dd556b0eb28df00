"""Real processes, really killed, at every point of a call; afterwards nothing is lost, doubled or guessed."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from backtest.live.intent import Intent, State
from backtest.live.journal import Journal
from backtest.live.schema import Run
from backtest.venue.paper_client import PaperClient
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture
from tests.kill_room import HOUR, RESOLVED, STREAM, Job, effects_by_intent, run, start
from tests.kill_room import look_up as looked_up
from tests.paper_room import KEY, SECRET, paper_room

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = ("create_v2", "updateprice", "takeprofit", "cancel")
"""In the order in which the script of three closes sends them."""
KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with paper_room(tmp_path_factory.mktemp("venue") / "venue.sqlite") as found:
        yield found


@pytest.fixture
def control(url: str) -> Iterator[PaperClient]:
    with PaperClient(url) as found:
        found.plan_faults()
        yield found


class Room:
    """One journal, one venue, and what took effect since the start of the test."""

    def __init__(self, folder: Path, url: str, control: PaperClient) -> None:
        self.journal, self.url, self.control = folder / "journal.sqlite", url, control
        self._before = control.effects()[-1]["seq"] if control.effects() else 0

        self.base = 0
        """Set: twenty markets beside one another, with a strategy that hears what became of its calls."""

    def job(self, failpoint: str = "", closes: int = 3, resolve: str = "") -> Job:
        return Job(self.journal, self.url, closes, failpoint, resolve, self.base, since=self._before)

    def go(self, failpoint: str = "", closes: int = 3, resolve: str = "") -> int:
        return run(self.job(failpoint, closes, resolve))

    def output(self) -> str:
        """Return what the processes of this journal wrote."""
        return self.journal.with_name(f"{self.journal.name}.out").read_text()

    def effects(self) -> list[dict[str, Any]]:
        return self.control.effects(self._before)

    def intents(self, kind: str = "") -> list[Intent]:
        with Journal(self.journal) as journal:
            return [intent for intent in journal.intents() if kind in {"", intent.kind}]

    def rows(self) -> dict[str, list[Any]]:
        """Return the whole journal but its starts."""
        db = sqlite3.connect(self.journal)
        tables = ("cursor", "signal", "intent", "event", "attempt", "decision", "told")
        found = {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
        db.close()
        return found

    def check(self) -> None:
        """Check the invariants that hold after any kill, once the emitter is quiet."""
        counts = effects_by_intent(self.journal, self.effects())
        for intent in self.intents():
            count = counts[intent.id]
            assert intent.repeatable or count <= 1, f"{intent.kind} took effect {count} times"
            if intent.state is State.ACKED:
                assert count >= 1, f"{intent.kind} was acked without an effect"
            unsent = {State.PLANNED, State.EXPIRED, State.BLOCKED, State.SUPERSEDED}
            if intent.state in unsent and not intent.repeatable:
                assert count == 0, f"{intent.kind} is {intent.state} and took effect"
            assert intent.state is not State.SENDING
        self._check_prices()
        self._check_secrets()

    def _check_prices(self) -> None:
        stops: dict[str, str] = {}
        for effect in self.effects():
            found = json.loads(effect["body"]).get("stop_loss")
            if found:
                stops[effect["parent_signal_id"]] = found
        with Journal(self.journal) as journal:
            for row in journal.signals("living", "canceled"):
                sent = journal.intents(State.ACKED)
                if any(i.kind == "updateprice" and i.ref == row.ref for i in sent) and row.parent_signal_id in stops:
                    assert stops[row.parent_signal_id] == row.wished["stop_loss"] == row.confirmed["stop_loss"]

    def _check_secrets(self) -> None:
        for path in self.journal.parent.iterdir():
            raw = path.read_bytes()
            assert KEY.encode() not in raw, path
            assert SECRET.encode() not in raw, path


@pytest.fixture
def room(tmp_path: Path, url: str, control: PaperClient) -> Room:
    return Room(tmp_path, url, control)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("point", [f"K{k}" for k in range(11)])
def test_killed_at_a_point_of_a_call(room: Room, point: str, kind: str) -> None:
    if point == "K6":
        room.control.plan_faults(*["none"] * KINDS.index(kind), "hang-before")
    assert room.go(f"{point}:{kind}") == KILLED
    final = room.go()
    (intent,) = room.intents(kind)
    lost = int(point[1:]) in range(3, 10) and not intent.repeatable
    assert intent.state is (State.UNKNOWN if lost else State.ACKED)
    assert final == (4 if lost else 0)
    applied = effects_by_intent(room.journal, room.effects())[intent.id]
    if point in {"K3", "K4", "K5", "K6"} and lost:
        assert applied == 0
    elif not intent.repeatable:
        assert applied == 1
    room.check()
    before = room.rows()
    assert room.go() == final
    assert room.rows() == before, "a second recovery changed something"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("times", [1, 2])
def test_killed_during_the_recovery(room: Room, kind: str, times: int) -> None:
    assert room.go(f"K7:{kind}") == KILLED
    assert room.go(f"K11:{kind}:{times}") == KILLED
    room.go()
    (intent,) = room.intents(kind)
    assert intent.state is (State.ACKED if intent.repeatable else State.UNKNOWN)
    room.check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("times", [1, 2])
def test_killed_while_a_person_decides(room: Room, kind: str, times: int) -> None:
    lost, closes = "cut" if kind == "create_v2" else "drop-after", 1 + (KINDS.index(kind) + 1) // 2
    room.control.plan_faults(*["none"] * KINDS.index(kind), *[lost] * 4)
    assert room.go(closes=closes) == 4
    assert room.go(f"K12:{kind}:{times}", closes, "landed") == KILLED
    (intent,) = room.intents(kind)
    assert intent.state is (State.UNKNOWN if times == 1 else State.LANDED)
    room.control.plan_faults()
    assert room.go("", closes, "landed") == 0
    (intent,) = room.intents(kind)
    assert intent.state is State.LANDED
    with Journal(room.journal) as journal:
        row = journal.signal(STREAM.strategy, intent.ref)
        assert row is not None
        assert (row.parent_signal_id == RESOLVED) == (kind == "create_v2")


@pytest.mark.parametrize("kind", KINDS)
def test_full_disk_sends_nothing(room: Room, kind: str) -> None:
    assert room.go(f"K13:{kind}") == 3
    assert kind not in [effect["kind"] for effect in room.effects()]
    assert "cannot be used" in (room.journal.parent / "journal.sqlite.out").read_text()
    assert room.go() == 0
    assert [intent.state for intent in room.intents()] == [State.ACKED] * 4
    assert len(room.effects()) == 4
    room.check()


def test_two_processes_on_one_journal(room: Room) -> None:
    with Journal(room.journal, Run("paper", STREAM.account, 0)):
        assert room.go() == 2
    assert "writes the journal" in (room.journal.parent / "journal.sqlite.out").read_text()
    assert room.go() == 0
    assert len(room.effects()) == 4


FAULTS = ("none", "none", "429:1", "500-before", "500-after", "drop-before", "drop-after", "cut", "malformed")


@pytest.fixture
def markets(room: Room) -> Room:
    room.base = time.time_ns() // 1_000_000 // HOUR * HOUR
    return room


@pytest.mark.parametrize("point", [f"K{k}" for k in range(11)])
def test_killed_with_twenty_markets_on_their_way(markets: Room, point: str) -> None:
    assert markets.go(f"{point}::{2 if point in {'K0', 'K1'} else 22}", closes=2) == KILLED
    markets.go(closes=2)
    markets.check()
    before = markets.rows()
    markets.go(closes=2)
    assert markets.rows() == before, "a second recovery changed something"
    look_up(markets)
    assert markets.go(closes=3) == 0, markets.output()
    nothing_is_doubled_lost_or_hidden(markets)


def test_killed_in_the_recovery_of_twenty_markets(markets: Room) -> None:
    assert markets.go("K7::5", closes=2) == KILLED
    assert markets.go("K11::1", closes=2) == KILLED
    assert markets.go("K11::2", closes=2) in {KILLED, 4}
    markets.go(closes=2)
    markets.check()
    look_up(markets)
    assert markets.go(closes=3) == 0, markets.output()
    nothing_is_doubled_lost_or_hidden(markets)


def test_killed_while_a_person_decides_on_twenty_markets(markets: Room) -> None:
    markets.control.plan_faults(*["cut"] * 3)
    assert markets.go(closes=1) == 4
    assert markets.go("K12::1", closes=1, resolve="look") == KILLED
    assert markets.go("K12::2", closes=1, resolve="look") == KILLED
    assert markets.go(closes=3, resolve="look") == 0
    nothing_is_doubled_lost_or_hidden(markets)


def test_full_disk_with_twenty_markets_on_their_way_sends_nothing_more(markets: Room) -> None:
    assert markets.go("K13::4", closes=2) == 3
    assert "cannot be used" in markets.output()
    assert ".mark" not in markets.output(), "the sentence is that of the first write that failed"
    markets.go(closes=2)
    look_up(markets)
    assert markets.go(closes=3) == 0, markets.output()
    nothing_is_doubled_lost_or_hidden(markets)


def test_random_kills_with_twenty_markets(markets: Room) -> None:
    seed = int(os.environ.get("BACKTEST_KILL_SEED") or time.time_ns() % 1_000_000)
    kills = int(os.environ.get("BACKTEST_KILLS") or 50)
    sys.stdout.write(f"repeat with BACKTEST_KILL_SEED={seed}\n")
    draw = random.Random(seed)
    killed, number = 0, 0
    while killed < kills:
        number += 1
        markets.control.plan_faults(*draw.choices(FAULTS, k=20))
        killed += kill(markets, draw, closes=number)
        markets.control.plan_faults()
        look_up(markets)
    markets.go(closes=number + 1)
    look_up(markets)
    markets.go(closes=number + 1)
    nothing_is_doubled_lost_or_hidden(markets)


def nothing_is_doubled_lost_or_hidden(room: Room) -> None:
    """Check that each call took effect as often as its state says, and that each has come to an end."""
    room.check()
    counts = effects_by_intent(room.journal, room.effects())
    intents = room.intents()
    done = {State.ACKED, State.LANDED, State.NOT_LANDED, State.BLOCKED, State.SUPERSEDED}
    left = [(intent.kind, intent.ref, intent.state) for intent in intents if intent.state not in done]
    assert not left, f"{left}; the processes said: {room.output()}"
    for intent in intents:
        if intent.state is State.LANDED:
            assert counts[intent.id] >= 1
        if intent.state in {State.NOT_LANDED, State.BLOCKED}:
            assert counts[intent.id] == 0
    with Journal(room.journal) as journal:
        journal.verify()


def kill(room: Room, draw: random.Random, closes: int) -> bool:
    """Kill a process at a point, or from outside at any moment."""
    if draw.random() < 0.7:
        point = draw.choice([f"K{k}" for k in range(14)])
        kind, times = (
            ("", draw.randint(1, 3)) if point in {"K11", "K12"} else (draw.choice((*KINDS, "")), draw.randint(1, 30))
        )
        return room.go(f"{point}:{kind}:{times}", closes, "look" if point == "K12" else "") in {KILLED, 3}
    process = start(room.job(closes=closes))
    process.join(draw.uniform(0.01, 0.5))
    if process.is_alive() and process.pid:
        os.kill(process.pid, signal.SIGKILL)
    process.join(60.0)
    code = process.exitcode
    process.close()
    return code == KILLED


def look_up(room: Room) -> None:
    """Do what a person does with unknowns: look at the venue, and say what is there."""
    with Journal(room.journal, Run("paper", STREAM.account, 0)) as journal:
        journal.recover(0)
        looked_up(journal, room.effects())
