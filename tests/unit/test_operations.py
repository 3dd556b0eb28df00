"""What runs beside an emission: the log's lines, the words to systemd, and how a day went."""

from __future__ import annotations

import io
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from backtest.live.daily import DAY, Daily, drift_of
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.log import Log
from backtest.live.notices import Notice, NoticeKind, Notices
from backtest.live.schema import Decided
from backtest.live.settings import AlertSettings
from backtest.live.status import status_text
from backtest.live.watchdog import Watchdog
from backtest.market_data.series import Series
from backtest.model.calls import Cancel
from backtest.model.events import SignalRef
from backtest.venue.redaction import Redactor
from tests.command_line import backtest
from tests.journals import HOUR, RUN, START, seeded, stream
from tests.raw_server import RawServer, answer, http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

END = START + 72 * HOUR
BTC = Series("binance", "BTC/USDT", "1h")


# ------------------------------------------------------------ log


def test_in_a_service_each_notice_is_a_line_of_json() -> None:
    out = io.StringIO()
    Log(out).notice(Notice(NoticeKind.SILENT, 1, "no candle of BTC/USDT has closed", (BTC,)))
    Log(out).notice(Notice(NoticeKind.UNKNOWN, 1, "zurück", (), over=True))
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "no candle of BTC/USDT has closed",
        "kind": "silent",
        "level": "warning",
        "series": ["binance BTC/USDT 1h"],
    }
    assert (second["event"], second["level"], second["over"]) == ("zurück", "info", True)
    assert "zurück" in out.getvalue()


def test_in_a_terminal_the_sentence_stands_whole_and_nothing_in_it_steers_the_terminal() -> None:
    out = io.StringIO()
    Log(out, coloured=True).notice(Notice(NoticeKind.RAISED, 1, "Mine raised: \x1b]0;owned\x07 and so on", (BTC,)))
    (line,) = out.getvalue().splitlines()
    assert "Mine raised:  ]0;owned  and so on" in line
    assert "\x1b[" in line  # coloured
    assert "\x1b]" not in line


def test_a_secret_is_in_no_line() -> None:
    out = io.StringIO()
    log = Log(out, Redactor([SecretStr("s3cret-value/+")]))
    log.notice(Notice(NoticeKind.RAISED, 1, "raised: s3cret-value/+ and more"))
    log.warning("failed at s3cret-value%2F%2B")
    assert "s3cret" not in out.getvalue()
    assert out.getvalue().count("[redacted]") == 2


# ------------------------------------------------------------ systemd


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as here:
        here.bind(str(tmp_path / "notify"))
        here.settimeout(2.0)
        yield here


def heard(manager: socket.socket) -> list[str]:
    """What came so far."""
    manager.setblocking(False)
    found: list[str] = []
    while True:
        try:
            found += manager.recv(4096).decode().split("\n")
        except BlockingIOError:
            return found


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_watchdog_is_fed_by_passes_and_by_nothing_else(manager: socket.socket) -> None:
    steady = Clock()
    dog = Watchdog({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "60000000"}, steady)
    steady.now = 100.0
    assert heard(manager) == []  # no pass, no word
    dog.beat()
    assert heard(manager) == ["READY=1", "STATUS=emitting", "WATCHDOG=1"]
    steady.now += 14.9
    dog.beat()
    assert heard(manager) == []
    steady.now += 0.1
    dog.beat()
    assert heard(manager) == ["WATCHDOG=1"]
    dog.stop()
    assert heard(manager)[0] == "STOPPING=1"


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}])
def test_without_a_watchdog_for_this_process_only_the_start_is_told(
    manager: socket.socket, more: dict[str, str]
) -> None:
    steady = Clock()
    dog = Watchdog({"NOTIFY_SOCKET": manager.getsockname(), **more}, steady)
    for _ in range(3):
        dog.beat()
        steady.now += 1e6
    told = heard(manager)
    assert told == ["READY=1", "STATUS=emitting"]


@pytest.mark.parametrize("address", ["", "/no/such/socket", "@no-such-abstract-socket"])
def test_no_manager_is_no_error(address: str) -> None:
    dog = Watchdog({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"})
    dog.beat()
    dog.stop()


def test_a_manager_that_does_not_read_holds_nothing_up(manager: socket.socket) -> None:
    dog = Watchdog({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1"}, Clock())
    for _ in range(20_000):
        dog.beat()
        dog._last = -1.0
    assert "READY=1" in heard(manager)


# ------------------------------------------------------------ the day


def test_the_summary_of_a_day_comes_when_it_is_over(tmp_path: Path) -> None:
    path, now = tmp_path / "emit.sqlite", [START + 3 * DAY - 1]
    seeded(path, unknown=2)
    with Journal(path) as journal, Notices() as bus:
        daily = Daily(path, bus, AlertSettings(drift=1.0), lambda: now[0])
        daily.look(journal)
        assert bus.since() == []
        now[0] += 1
        daily.look(journal)
        ((_, notice),) = bus.since()
        assert notice.kind is NoticeKind.SUMMARY
        assert notice.sentence == (
            "2024-03-06: no call; 4 signals open; 2 unknown await a person; 48 candles, 0 missing, 0 revised later"
        )
        daily.look(journal)
        assert len(bus.since()) == 1


def test_drift_is_an_alarm_once_and_its_end_another(tmp_path: Path) -> None:
    path, now = tmp_path / "emit.sqlite", [START + 72 * HOUR]
    seeded(path, unknown=3)
    with Journal(path) as journal, Notices() as bus:
        daily = Daily(path, bus, AlertSettings(drift=0.5), lambda: now[0])
        for _ in range(3):
            daily.look(journal)
        ((_, notice),) = bus.since()
        assert notice.kind is NoticeKind.DRIFT
        assert notice.sentence == (
            "of the last 24 hours 2 of 6 calls sent as decided (1 expired, 3 unknown): 66.7 % went astray, 50 % may"
        )
        now[0] += DAY + 1
        daily.look(journal)
        over = [notice for _, notice in bus.since() if notice.kind is NoticeKind.DRIFT][-1]
        assert over.over


@pytest.mark.parametrize(
    ("tally", "share", "text"),
    [
        ({}, 0.0, "no call"),
        ({State.ACKED: 3, State.SUPERSEDED: 9}, 0.0, "3 of 3 calls sent as decided"),
        ({State.ACKED: 1, State.NOT_LANDED: 1}, 0.5, "1 of 2 calls sent as decided (1 not landed)"),
    ],
)
def test_drift_counts_what_was_not_sent_as_decided(tally: dict[State, int], share: float, text: str) -> None:
    drift = drift_of(tally)
    assert (drift.share, drift.text) == (share, text)


def test_status_says_each_thing_word_for_word(tmp_path: Path) -> None:
    path = tmp_path / "emit.sqlite"
    seeded(path, unknown=2)
    with Journal(path, RUN) as journal:
        found = status_text(journal).split("\n")
        names = [intent.id[:12] for intent in journal.intents(State.UNKNOWN)]
        bodies = [intent.body for intent in journal.intents(State.UNKNOWN)]
        cancel = Cancel(SignalRef(journal.signals("living")[0].ref))
        (waiting,) = journal.keep([Decided(stream("BTC/USDT"), END, [cancel])], END)
        more = status_text(journal).split("\n")
    unknown = [
        (
            f"UNKNOWN {name}: create_v2 of {ref} ref:{tag}",
            "  sent between 2024-03-07T00:00:00.900Z and 2024-03-07T00:00:01.020Z; evidence: ReadTimeout",
            f"  body {body}",
            f"  look at the venue, then: backtest emit resolve {name} --landed ID | --not-landed | --abandon",
        )
        for name, body, ref, tag in zip(
            names, bodies, (f"BTC/USDT-{END}-90", f"ETH/USDT-{END}-91"), ("638ae72a6e65", "d471f8ab4d1e"), strict=True
        )
    ]
    assert found == [
        f"journal {path}, mode paper, account 7f3a9c41d2e00000",
        "555555555555 on BTC/USDT 1h: seen up to 2024-03-07T00:00:00.000Z",
        "555555555555 on ETH/USDT 1h: seen up to 2024-03-07T00:00:00.000Z",
        "calls: 4 acked, 1 expired, 2 unknown",
        "signals living: 2",
        (
            f"  BTC/USDT-{START + 36 * HOUR}-0 = 000000000000000000000001 entry_price_min 130.6914 "
            "entry_price_max 132.0115 exit_price_1 135.9718 exit_price_2 139.9322 stop_loss 129.3713"
        ),
        (
            f"  ETH/USDT-{START + 36 * HOUR}-0 = 000000000000000000000002 entry_price_min 147.7414 "
            "entry_price_max 149.2337 exit_price_1 153.7107 exit_price_2 158.1877 stop_loss 146.249"
        ),
        f"expired: create_v2 of BTC/USDT-{END}-99: its time had passed before the venue could be reached",
        *(line for each in unknown for line in each),
    ]
    assert more[3] == "calls: 4 acked, 1 expired, 1 planned, 2 unknown"
    assert more[7] == f"waits: cancel of BTC/USDT-{START + 36 * HOUR}-0, {waiting.id[:12]}"


# ------------------------------------------------------------ the command


def test_the_command_sends_a_test_and_says_what_became_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(answer(http("200 OK"), close=True)) as good, RawServer(answer(http("500 No"), close=True)) as bad:
        monkeypatch.setenv("BACKTEST_ALERT_URL", f"{good.url}/T0KEN-1 {bad.url}/T0KEN-2")
        done = backtest("emit", "alert", "--test")
        assert (done.status, done.out, done.err) == (3, "127.0.0.1: sent\n", "127.0.0.1: it answered 500\n")
        told: dict[str, Any] = json.loads(good.requests[0].partition(b"\r\n\r\n")[2])
        assert told["sentence"] == "this is a test: alarms of this emission arrive here"
        shown = backtest("emit", "alert")
        assert shown.status == 0
        assert "T0KEN" not in shown.out + shown.err
        assert shown.out.startswith("alarms go to 127.0.0.1, 127.0.0.1, the same one every 3600 s\nkinds: started, ")
    monkeypatch.delenv("BACKTEST_ALERT_URL")
    none = backtest("emit", "alert", "--test")
    assert none.status == 2
    assert "BACKTEST_ALERT_URL" in none.err
