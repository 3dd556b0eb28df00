"""A strategy over real HTTP to the paper venue, against its backtest, also through crashes and faults."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from backtest import (
    Cancel,
    Candles,
    Dca,
    Market,
    Moment,
    Rebuy,
    Strategy,
    SubscriberProfile,
    TakeProfit,
    TrailingStop,
    UpdatePrices,
)
from backtest.errors import InvalidSettingError, VenueUnavailableError
from backtest.live.channel import Channel
from backtest.live.emission import Rehearsed, rehearse, streams_of
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.parity import Comparison
from backtest.live.settings import EmitSettings
from backtest.runner.loading import load_strategy
from backtest.venue.paper_client import PaperClient
from backtest.wire import ENDPOINTS
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture
from tests.paper_room import KEY, SECRET, credentials, paper_room

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backtest import Call

ROOT = Path(__file__).parents[2]
HOUR = 3_600_000


class Busy(Strategy):
    """Says everything that can be said, and so often that something always lives."""

    pause: int = 5

    def on_candle(self, now: Moment) -> Iterable[Call]:
        """Create every few closes; manage what lives by its age."""
        price = now.close
        if (now.time // HOUR) % self.pause == 0:
            version: Literal[1, 2] = 1 if (now.time // HOUR) % 2 else 2
            entry = (price * 0.99, price)
            targets = (price * 1.02, price * 1.04)
            yield now.create(entry=entry, targets=targets, stop_loss=price * 0.95, invest=5, version=version)
        for living in now.signals:
            age = (now.close_time - living.created) // HOUR if living.created else 0
            if age == 2:
                yield UpdatePrices(living.ref, exit_price_2=price * 1.05, stop_loss=price * 0.94)
            if age == 3:
                yield Dca(living.ref, price * 0.97, 0.5)
                yield Rebuy(living.ref, price * 0.98, price * 0.985, invest=2)
            if age == 4:
                yield TakeProfit(living.ref, "limit", 50, price * 1.01, None, price * 0.96, price * 0.955)
            if age == 6:
                yield TrailingStop(living.ref, price * 0.97, price * 0.965)
            if age == 12:
                yield Cancel(living.ref)


@pytest.fixture(scope="module")
def channel() -> Channel:
    candles = Candles.sample("BTC/USD", "1h").slice(0, 110)
    return Channel(Busy(), candles, Market("BTC/USD", tick="0.01"), SubscriberProfile.anny())


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with paper_room(tmp_path / "venue.sqlite") as found:
        yield found


def cut(channel: Channel, first: int, last: int) -> Channel:
    """Return the emission over some of the candles only."""
    return replace(channel, candles={symbol: one.slice(first, last) for symbol, one in channel.series.items()})


def emit(channel: Channel, url: str, folder: Path, **options: Any) -> Rehearsed:
    heard: list[str] = []  # what lint warns of is no matter of these tests
    return rehearse(
        channel, credentials(url), folder / "journal.sqlite", EmitSettings(), **{"warn": heard.append, **options}
    )


def test_calls_and_fills_equal_the_backtest(channel: Channel, url: str, tmp_path: Path) -> None:
    done = emit(channel, url, tmp_path)
    assert done.report.equal, done.report.text()
    assert done.report.calls.found > 90
    assert done.report.fills.found > 40
    assert "equal byte for byte" in done.report.text()
    assert (done.unknown, done.left, done.halted) == ([], [], None)
    with PaperClient(url) as control:
        kinds = {effect["kind"] for effect in control.effects()}
    assert kinds == set(ENDPOINTS)


@pytest.mark.parametrize("name", ["breakout", "ema_cross", "managed_breakout", "rsi_dip"])
def test_every_shipped_strategy_equals_its_backtest_through_a_restart(name: str, url: str, tmp_path: Path) -> None:
    """Also where the strategy hears events or keeps a plan: the shadow book comes back from the journal's candles."""
    strategy = load_strategy(str(ROOT / "strategies" / f"{name}.py"))()
    candles = Candles.sample("BTC/USD", "1d").slice(0, 900)
    channel = Channel(strategy, candles, Market("BTC/USD", tick="0.01"), SubscriberProfile.anny())
    part = emit(replace(channel, candles=candles.slice(0, 500)), url, tmp_path)
    told: list[str] = []
    done = emit(channel, url, tmp_path, tell=told.append)
    assert done.report.equal, done.report.text()
    assert done.report.calls.found > part.report.calls.found > 3
    assert len(told) == 1
    assert f"calls: {part.report.calls.found} acked" in told[0]


class Marketable(Strategy):
    """Sells by moving the stop beyond the market, which only our own key allows."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        """Create where nothing lives; sell two candles later."""
        price = now.close
        if not now.signals:
            yield now.create(entry=price * 1.01, targets=(price * 1.2,), stop_loss=price * 0.8, invest=5)
        for living in now.signals:
            if living.created and (now.close_time - living.created) // HOUR == 2:
                yield UpdatePrices(living.ref, stop_loss=price * 1.05, allow_marketable=True)


def test_our_own_key_reaches_the_paper_venue_beside_the_body(channel: Channel, url: str, tmp_path: Path) -> None:
    mine = replace(channel, strategy=Marketable())
    emit(cut(mine, 0, 30), url, tmp_path)
    done = emit(cut(mine, 0, 60), url, tmp_path)
    assert done.report.equal, done.report.text()
    with PaperClient(url) as control:
        updates = [effect for effect in control.effects() if effect["kind"] == "updateprice"]
    assert len(updates) > 10
    assert all(update["allow_marketable"] for update in updates)
    assert {name for update in updates for name in json.loads(update["body"])} == {"parent_signal_id", "stop_loss"}
    assert done.report.fills.found == 2 * len(updates) - 1, "the last one would have traded at the next candle"


def test_several_markets_share_one_account_through_a_restart(url: str, tmp_path: Path) -> None:
    whole = {symbol: Candles.sample(symbol, "1d") for symbol in ("BTC/USD", "ETH/USD", "LTC/USD")}
    start = max(int(one.time[0]) for one in whole.values())
    begun = {symbol: int((one.time < start).sum()) for symbol, one in whole.items()}
    days = {symbol: one.slice(begun[symbol], begun[symbol] + 160) for symbol, one in whole.items()}
    days["ETH/USD"] = days["ETH/USD"].slice(40, 160)  # begins later
    days["LTC/USD"] = days["LTC/USD"].slice(0, 120)  # ends earlier
    markets = {symbol: Market(symbol, tick="0.01") for symbol in days}
    channel = Channel(Busy(pause=24 * 5), days, markets, SubscriberProfile.anny())
    first = channel.instants()[90][0]
    part = {symbol: one.slice(0, int((one.time < first).sum())) for symbol, one in days.items()}
    emit(replace(channel, candles=part), url, tmp_path)
    done = emit(channel, url, tmp_path)
    assert done.report.equal, done.report.text()
    assert done.report.calls.found > 60
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert {row.symbol for row in journal.signals()} == set(days)
        assert [len(journal.seen(stream)) for stream in streams_of(channel, credentials().fingerprint).values()] == [
            len(days[symbol]) for symbol in sorted(days)
        ]
    other = {symbol: one for symbol, one in days.items() if symbol != "ETH/USD"}
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    with paper_room(fresh / "venue.sqlite") as elsewhere:
        emit(replace(channel, candles=other), elsewhere, fresh)
        with pytest.raises(InvalidSettingError, match="never saw ETH/USD"):
            emit(channel, elsewhere, fresh)


def test_emitting_again_sends_nothing(channel: Channel, url: str, tmp_path: Path) -> None:
    first = emit(channel, url, tmp_path)
    with PaperClient(url) as control:
        before = control.received()
        assert emit(channel, url, tmp_path).report == first.report
        assert control.received() == before


def test_a_longer_file_goes_on_where_it_stopped(channel: Channel, url: str, tmp_path: Path) -> None:
    emit(cut(channel, 0, 70), url, tmp_path)
    paces: list[int] = []
    done = emit(channel, url, tmp_path, pace=paces.append)
    assert done.report.equal, done.report.text()
    assert paces == list(range(71, 111))


def test_a_venue_that_is_ahead_of_the_journal_is_refused(channel: Channel, url: str, tmp_path: Path) -> None:
    emit(channel, url, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    with PaperClient(url) as control:
        before = control.received()
        with pytest.raises(InvalidSettingError, match="the journal that belongs to it"):
            emit(channel, url, other)
        assert control.received() == before
    with Journal(other / "journal.sqlite") as journal:
        assert (journal.intents(), journal.cursors()) == ([], [])


def test_venue_that_starts_again_knows_everything(channel: Channel, tmp_path: Path) -> None:
    with paper_room(tmp_path / "venue.sqlite") as url:
        emit(cut(channel, 0, 70), url, tmp_path)
    with paper_room(tmp_path / "venue.sqlite") as url:
        done = emit(channel, url, tmp_path)
    assert done.report.equal, done.report.text()


def test_faults_that_prove_nothing_was_done_change_nothing(channel: Channel, url: str, tmp_path: Path) -> None:
    with PaperClient(url) as control:
        control.plan_faults(*["429:100", "429-result:100", "none"] * 60)
    done = emit(channel, url, tmp_path)
    assert done.report.equal, done.report.text()


def test_what_was_lost_is_told_and_never_sent_again(channel: Channel, url: str, tmp_path: Path) -> None:
    with PaperClient(url) as control:
        control.plan_faults("500-after")
    done = emit(channel, url, tmp_path)
    assert not done.report.equal
    assert [intent.kind for intent in done.unknown] == ["create_v1"]
    assert "NO PARITY" in done.report.text()
    assert "unknown: create_v1" in done.report.text()
    with PaperClient(url) as control:
        bodies = [effect["body"] for effect in control.effects()]
    assert bodies.count(done.unknown[0].body) == 1


def test_bad_credentials_end_it(channel: Channel, url: str, tmp_path: Path) -> None:
    environment = {"ANNY_API_KEY": KEY, "ANNY_API_SECRET": "wrong", "ANNY_BASE_URL": url}
    found = type(credentials()).load(environment=environment)
    done = rehearse(channel, found, tmp_path / "journal.sqlite", EmitSettings(), warn=str)
    assert done.halted
    with PaperClient(url) as control:
        assert control.received() == []


def test_other_candles_or_another_strategy_are_refused(channel: Channel, url: str, tmp_path: Path) -> None:
    emit(cut(channel, 0, 60), url, tmp_path)
    with pytest.raises(InvalidSettingError, match="began with the candle"):
        emit(cut(channel, 1, 60), url, tmp_path)
    with pytest.raises(InvalidSettingError, match="is not the one"):
        emit(cut(channel, 0, 50), url, tmp_path)
    with pytest.raises(InvalidSettingError, match="no candle of"):
        emit(cut(channel, 0, 0), url, tmp_path)
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert journal.intents(State.PLANNED) == []


def test_the_same_name_with_other_code_is_refused(channel: Channel, url: str, tmp_path: Path) -> None:
    emit(cut(channel, 0, 60), url, tmp_path)

    class Changed(Busy):
        def on_candle(self, now: Moment) -> Iterable[Call]:
            yield now.create(entry=now.close, targets=(now.close * 1.5,), stop_loss=now.close * 0.5, invest=1)

    Changed.__name__ = "Busy"
    changed = Changed()
    if changed.identity != channel.strategy.identity:
        pytest.skip("the identity holds more than name and parameters")
    with pytest.raises(InvalidSettingError, match="use another journal"):
        emit(replace(channel, strategy=changed), url, tmp_path)


def test_paper_goes_to_this_machine_only(channel: Channel, tmp_path: Path) -> None:
    far = credentials("https://api.example.org")
    with pytest.raises(InvalidSettingError, match="this machine only"):
        rehearse(channel, far, tmp_path / "journal.sqlite", EmitSettings(), warn=str)
    with pytest.raises(VenueUnavailableError, match="backtest venue"):
        emit(channel, "http://127.0.0.1:9", tmp_path)


FAULTS = {
    "none": "HTTP/1.1 200 OK",
    "500-after": "HTTP/1.1 500 Internal Server Error",
    "malformed": "receive_response_body.complete",
    "drop-after": "receive_response_headers.failed",
    "cut": "receive_response_body.failed",
    "redirect": "HTTP/1.1 307 Temporary Redirect",
}
"""What goes wrong, with what the libraries underneath say of it at their most talkative."""


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_no_secret_in_logs_files_or_errors(
    channel: Channel, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    short = cut(channel, 0, 40)
    with PaperClient(url) as control:
        control.plan_faults(*FAULTS)
    emit(short, url, tmp_path)
    with Journal(tmp_path / "journal.sqlite") as journal:
        tries = [attempt for intent in journal.intents() for attempt in journal.attempts(intent)]
    exchanges = [attempt for attempt in tries if attempt["phase"] == "start"]
    assert caplog.text.count("send_request_body.complete") == len(exchanges) >= len(FAULTS)
    for told in FAULTS.values():
        assert told in caplog.text, told
    try:
        emit(short, "http://127.0.0.1:9", tmp_path)
    except VenueUnavailableError as error:
        lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
    shown = [caplog.text, "".join(lines), *capfd.readouterr()]
    shown += [path.read_bytes().decode("latin-1") for path in files(tmp_path)]
    assert not [text for text in shown if SECRET in text or KEY in text]


STRATEGY = """
from collections.abc import Iterable
from backtest import Call, Moment, Strategy

class Steady(Strategy):
    def on_candle(self, now: Moment) -> Iterable[Call]:
        if (now.time // 3600000) % 4 == 0:
            price = now.close
            yield now.create(entry=(price * 0.99, price), targets=(price * 1.02,), stop_loss=price * 0.95, invest=5)
"""
COMMAND = "import typer; from backtest.cli import emit; app = typer.Typer(); emit.register(app); app()"


def test_the_command_killed_in_the_middle_goes_on(tmp_path: Path) -> None:
    (tmp_path / "steady.py").write_text(STRATEGY)
    candles = Candles.sample("BTC/USD", "1h").slice(0, 40)
    candles.to_pandas().to_csv(tmp_path / "candles.csv")
    with paper_room(tmp_path / "venue.sqlite") as url:
        argv = [sys.executable, "-c", COMMAND, "emit", str(tmp_path / "steady.py"), "--paper"]
        argv += ["--candles", str(tmp_path / "candles.csv"), "--symbol", "BTC/USD", "--timeframe", "1h"]
        argv += ["--journal", str(tmp_path / "journal.sqlite"), "--tick", "0.01"]
        secrets = {"ANNY_API_KEY": KEY, "ANNY_API_SECRET": SECRET, "ANNY_BASE_URL": url, "PYTHONPATH": str(ROOT)}

        def go(failpoint: str = "") -> subprocess.CompletedProcess[str]:
            variables = {**os.environ, **secrets, "BACKTEST_FAILPOINT": failpoint}
            return subprocess.run(argv, env=variables, capture_output=True, text=True, check=False, timeout=300)

        assert go("K2:create_v2:3").returncode == -signal.SIGKILL
        assert go("K10:create_v2:2").returncode == -signal.SIGKILL
        done = go()
        assert "PARITY: the rehearsal equals the backtest" in done.stdout, done.stdout + done.stderr
        assert done.returncode == 0
        with PaperClient(url) as control:
            tags = [json.loads(effect["body"])["attachment_description"] for effect in control.effects()]
    assert len(tags) == len(set(tags)) == 10
    for path in files(tmp_path):
        assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in done.stdout + done.stderr


def test_of_many_differences_five_are_shown_and_the_rest_counted() -> None:
    seven = [f"number {number}" for number in range(7)]
    assert Comparison("calls", 9, 8, seven).lines() == [
        "calls: 7 differ (9 in the backtest, 8 here)",
        *seven[:5],
        "  and 2 more",
    ]
    assert Comparison("calls", 9, 9, seven[:5]).lines()[1:] == seven[:5]
    assert Comparison("fills", 9, 9, []).lines() == ["fills: 9 of 9, equal byte for byte"]
