"""Alarms: which notices become one, how often, and that nothing at the other end can hold emission up."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from backtest.errors import InvalidSettingError
from backtest.live.alerts import WANTS, Alerts, Apprised, Sent, Telling, targets_from, tried
from backtest.live.notices import NoticeKind, Notices
from backtest.live.settings import AlertSettings, LiveSettings
from backtest.market_data.series import Series
from backtest.venue.webhook import Delivery, Webhook
from tests.raw_server import RawServer, answer, drip, http, reset

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from backtest.live.notices import Notice

SECRET = "T0KEN-9f3b2a77c1"
BTC, ETH = Series("binance", "BTC/USDT", "1h"), Series("binance", "ETH/USDT", "1h")


def hang(server: RawServer, _: socket.socket) -> None:
    server.over.wait(10.0)


def bodies(server: RawServer) -> list[dict[str, Any]]:
    """What was posted."""
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests]


def told(server: RawServer, *notices: tuple[NoticeKind, str], settings: AlertSettings | None = None) -> list[str]:
    """Tell these, one after the other, and return what could not be sent."""
    log: list[str] = []
    with Notices() as bus:
        alerts = Alerts(
            [Telling(f"{server.url}/{SECRET}")], settings or AlertSettings(), log=log.append, waits=(0, 0.01)
        )
        alerts.follow(bus)
        for kind, sentence in notices:
            bus.tell(kind, 1, sentence, (BTC,))
    return log


def test_an_alarm_says_what_happened_and_what_it_wants() -> None:
    with RawServer(answer(http("204 No Content"), close=True)) as server, Notices() as bus:
        alerts = Alerts([Telling(f"{server.url}/{SECRET}")], AlertSettings(), who="live 7f3a")
        alerts.follow(bus)
        bus.tell(NoticeKind.UNKNOWN, 1_700_000_000_000, "create_v2 of BTC/USDT-1-0 is unknown", (BTC,))
        bus.close()
        (body,) = bodies(server)
        assert body["title"] == "live 7f3a unknown"
        assert body["text"] == f"create_v2 of BTC/USDT-1-0 is unknown\n{WANTS[NoticeKind.UNKNOWN]}"
        assert body["kind"] == "unknown"
        assert body["series"] == [{"exchange": "binance", "symbol": "BTC/USDT", "timeframe": "1h"}]
        assert server.requests[0].startswith(f"POST /{SECRET} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    ("reply", "tries", "sentence"),
    [
        (
            http("302 Found", b"", "location: http://127.0.0.1:9/"),
            1,
            "it answered 302, a redirect, which is never followed",
        ),
        (http("500 Internal Server Error"), 2, "it answered 500"),
        (http("429 Too Many Requests"), 2, "it answered 429"),
        (http("404 Not Found"), 1, "it answered 404"),
    ],
)
def test_an_answer_that_is_no_success_is_told_to_the_log(reply: bytes, tries: int, sentence: str) -> None:
    with RawServer(answer(reply, close=True)) as server:
        log = told(server, (NoticeKind.SILENT, "silent"))
        assert log == [f"the alarm 'silent' could not be sent to 127.0.0.1: {sentence}"]
        assert len(server.requests) == tries


@pytest.mark.parametrize("behaviour", [drip(http("200 OK"), first=5), hang, reset])
def test_a_webhook_that_hangs_drips_or_resets_is_over_at_its_deadline(behaviour: Any) -> None:
    with RawServer(behaviour) as server:
        began = time.monotonic()
        found = Webhook(f"{server.url}/{SECRET}", seconds=0.3).post({"a": 1})
        assert time.monotonic() - began < 5.0
        assert found.failed
        assert found.again
        assert SECRET not in found.failed


def test_nobody_at_the_other_end_is_a_failure_and_no_exception() -> None:
    with RawServer(reset) as server:
        url = server.url
    found = Webhook(f"{url}/{SECRET}").post({})
    assert found.failed == "ConnectError"


def test_telling_never_waits_for_a_target_that_hangs() -> None:
    log: list[str] = []
    with RawServer(hang) as server:
        bus = Notices(patience=0.05)
        Alerts([Telling(f"{server.url}/x", seconds=5.0)], AlertSettings(again_after=0.0), log=log.append).follow(bus)
        for number in range(3000):
            bus.tell(NoticeKind.SILENT, number, "silent", (BTC,))
        bus.close()
        assert len(server.requests) <= 1  # the first one still hangs, and all were told


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Heard:
    """A target that keeps what it was sent."""

    name = "heard"

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.titles: list[str] = []
        self.new = threading.Event()

    def send(self, title: str, text: str, notice: Notice) -> Delivery:

        self.titles.append(title)
        self.texts.append(text)
        self.new.set()
        return Delivery()


def hear(
    path: Path, clock: Clock, *tells: tuple[NoticeKind, str, Series], over: bool = False, **settings: Any
) -> Heard:
    """Tell these in a process that starts anew."""
    heard = Heard()
    with Notices() as bus:
        Alerts([heard], AlertSettings(**settings), sent=Sent(path), wall=clock).follow(bus)
        for kind, sentence, series in tells:
            bus.tell(kind, 1, sentence, (series,), over=over)
    return heard


def test_the_same_alarm_is_sent_once_an_hour_and_says_how_often_it_came(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "sent"
    first = hear(path, clock, *[(NoticeKind.UNREACHABLE, f"try {k}", BTC) for k in range(4)])
    assert [text.splitlines()[0] for text in first.texts] == ["try 0"]
    clock.now += 3599.0
    assert hear(path, clock, (NoticeKind.UNREACHABLE, "again", BTC)).texts == []  # of another process, too
    other = hear(path, clock, (NoticeKind.UNREACHABLE, "another series", ETH), (NoticeKind.SILENT, "another kind", BTC))
    assert len(other.texts) == 2
    clock.now += 1.0
    assert len(hear(path, clock, (NoticeKind.UNREACHABLE, "an hour later", BTC)).texts) == 1


def test_what_was_held_back_is_sent_when_its_hour_is_over(tmp_path: Path) -> None:
    clock, heard = Clock(), Heard()
    bus = Notices()
    alerts = Alerts([heard], AlertSettings(), sent=Sent(tmp_path / "sent"), wall=clock, remind_every=0.01)
    with alerts:
        alerts.follow(bus)
        for number in range(4):
            bus.tell(NoticeKind.UNKNOWN, 1, f"unknown {number}", (BTC,))
        bus.close()
        assert len(heard.texts) == 1
        heard.new.clear()
        clock.now += 3600.0
        assert heard.new.wait(60.0)
    assert heard.texts[1].splitlines()[:2] == ["unknown 3", "2 more like it came since the last one that was sent."]


def test_its_end_is_an_alarm_of_its_own(tmp_path: Path) -> None:
    heard = hear(tmp_path / "sent", Clock(), (NoticeKind.SILENT, "candles close again", BTC), over=True)
    assert (heard.titles, heard.texts) == (["silent over"], ["candles close again"])


def test_kinds_that_are_no_alarm_or_were_left_out_are_not_sent(tmp_path: Path) -> None:
    tells = [(kind, "sentence", BTC) for kind in NoticeKind]
    heard = hear(tmp_path / "sent", Clock(), *tells, leave_out=("started", "summary"))
    alarms = {NoticeKind(title) for title in heard.titles}
    assert alarms == set(WANTS) - {NoticeKind.STARTED, NoticeKind.SUMMARY}
    assert NoticeKind.DISCONNECTED not in alarms


def test_a_disk_that_refuses_does_not_silence_an_alarm(tmp_path: Path) -> None:
    heard = hear(tmp_path / "no" / "folder" / "sent", Clock(), (NoticeKind.SILENT, "silent", BTC))
    assert len(heard.texts) == 1


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (f"http://hooks.example.org/{SECRET}", "the webhook at hooks.example.org is plain http"),
        (f"https:///{SECRET}", "https://HOST/"),
        (f"https://[{SECRET}", "cannot be read"),
        (f"ftp://{SECRET}", "apprise knows no such address as the one that begins with ftp://"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_not_shown(url: str, sentence: str) -> None:
    with pytest.raises(InvalidSettingError, match="(?s)" + sentence.replace(".", r"\.")) as refused:
        targets_from({"BACKTEST_ALERT_URL": url})
    assert SECRET not in str(refused.value)


def test_apprise_takes_what_is_no_webhook() -> None:
    with RawServer(answer(http("200 OK"), close=True)) as server:
        (target,) = targets_from({"BACKTEST_ALERT_URL": f"json://127.0.0.1:{server.port}/{SECRET}"})
        assert isinstance(target, Apprised)
        assert SECRET not in repr(target)
        assert tried([target], "paper 7f3a") == [("json://", "")]
        assert bodies(server)[0]["title"] == "paper 7f3a test"
    with RawServer(answer(http("500 Internal Server Error"), close=True)) as server:
        (target,) = targets_from({"BACKTEST_ALERT_URL": f"json://127.0.0.1:{server.port}/{SECRET}"})
        assert tried([target], "") == [("json://", "the service did not take it")]


def test_the_address_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with RawServer(answer(http("204 No Content"), close=True)) as server:
        told(server, (NoticeKind.SILENT, "silent"))
        tried(targets_from({"BACKTEST_ALERT_URL": f"json://127.0.0.1:{server.port}/{SECRET}"}), "")
    assert len(caplog.records) > 1
    assert SECRET not in caplog.text


def test_the_address_is_no_setting(tmp_path: Path) -> None:
    file = tmp_path / "live.toml"
    file.write_text(f'[alerts]\nurl = "https://hooks.example.org/{SECRET}"\n')
    with pytest.raises(InvalidSettingError, match=r"'alerts\.url'; .* BACKTEST_ALERT_URL") as refused:
        LiveSettings.load(file)
    assert SECRET not in str(refused.value)
