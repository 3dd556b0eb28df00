"""Emission to other venues, killed at every point of a call: no message ever acts twice, and none is hidden."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from backtest.live.intent import Intent, State
from backtest.live.journal import Journal
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture
from tests.kill_room import Job, run
from tests.outlet_room import HIDDEN, PATH, Receiver, receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLED = -signal.SIGKILL
SENT = {
    "cornix": ("create_v2", "updateprice", "takeprofit", "cancel"),
    "traderspost": ("create_v2", "takeprofit", "cancel"),
    "3commas": ("create_v2", "takeprofit", "cancel"),
}
"""What of the script of three closes each says, in its order: the API's update or take profit is beside its words."""

CASES = [
    ("cornix", "create_v2"),
    ("cornix", "updateprice"),
    ("traderspost", "create_v2"),
    ("traderspost", "cancel"),
    ("3commas", "create_v2"),
]


@pytest.fixture
def venue() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def intents(path: Path) -> list[Intent]:
    with Journal(path) as journal:
        return journal.intents()


@pytest.mark.parametrize(("kind", "call"), CASES)
@pytest.mark.parametrize("point", [f"K{k}" for k in range(11)])
def test_killed_at_a_point_of_a_call(tmp_path: Path, venue: Receiver, kind: str, call: str, point: str) -> None:
    journal, before = tmp_path / "journal.sqlite", SENT[kind].index(call)
    if point == "K6":
        venue.faults.extend([*[""] * before, "hang"])
    job = Job(journal, venue.url, 3, f"{point}:{call}", outlet=kind)
    assert run(job) == KILLED
    assert run(Job(journal, venue.url, 3, outlet=kind)) == (4 if (lost := int(point[1:]) in range(3, 10)) else 0)
    (intent,) = [one for one in intents(journal) if one.kind == call]
    assert intent.state is (State.UNKNOWN if lost else State.ACKED)
    assert not intent.repeatable
    applied = len(venue.effects)
    said = {one.kind: one.state for one in intents(journal)}
    expected = sum(said.get(name) is State.ACKED for name in SENT[kind]) + (point in {"K7", "K8", "K9"})
    assert applied == expected, (said, venue.effects)
    rows = journal.read_bytes()
    assert run(Job(journal, venue.url, 3, outlet=kind)) == (4 if lost else 0)
    assert len(venue.effects) == applied, "a second start sent something again"
    for path in tmp_path.iterdir():
        raw = rows + path.read_bytes()
        assert HIDDEN.encode() not in raw
        assert PATH.rpartition("/")[2].encode() not in raw


@pytest.mark.parametrize("kind", SENT)
def test_the_script_arrives_once_in_the_words_of_the_venue(tmp_path: Path, venue: Receiver, kind: str) -> None:
    journal = tmp_path / "journal.sqlite"
    assert run(Job(journal, venue.url, 3, outlet=kind)) == 0
    states = {one.kind: one.state for one in intents(journal)}
    assert {name for name, state in states.items() if state is State.ACKED} == set(SENT[kind])
    assert {name for name, state in states.items() if state is State.REJECTED} == set(states) - set(SENT[kind])
    bodies = [effect["body"] for effect in venue.effects]
    assert [effect["path"] for effect in venue.effects] == [PATH] * len(SENT[kind])
    if kind == "cornix":
        assert bodies[0]["text"] == "BTC/USDT\nEntry 100.0\nTake Profit 110.0\nStop 90.0\nAmount per trade 1%"
        assert [body["text"] for body in bodies[1:]] == ["Stop 90.01", "Close", "Close"]
        assert [body["reply_parameters"] for body in bodies[1:]] == [{"message_id": 101}] * 3
    elif kind == "traderspost":
        assert bodies[0]["takeProfit"] == {"limitPrice": 110}
        assert bodies[0]["stopLoss"] == {"type": "stop", "stopPrice": 90}
        assert [body["action"] for body in bodies] == ["buy", "exit", "exit"]
        assert {body["ticker"] for body in bodies} == {"BTCUSDT"}
    else:
        assert [body["action"] for body in bodies] == ["enter_long", "exit_long", "exit_long"]
        assert bodies[0]["take_profit"]["steps"] == [
            {"order_type": "limit", "price_percent": 10, "volume_percent": 100.0}
        ]
        assert bodies[0]["stop_loss"]["trigger_price_percent"] == 10
        assert {body["secret"] for body in bodies} == {HIDDEN}
        assert bodies[0]["timestamp"] == "2023-11-14T23:00:00Z"
