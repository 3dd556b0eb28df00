"""Other venues: what they carry, what their answers prove, what is refused before anything is sent."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from backtest.errors import InvalidSettingError, InvalidSignalError
from backtest.live.clock import CandleClock
from backtest.live.emitter import Emitter
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.person import plan_cancels
from backtest.live.schema import Decided, Run, Stream
from backtest.live.settings import EmitSettings
from backtest.model.calls import Call, Cancel, CreateSignal, Dca, TakeProfit, UpdatePrices
from backtest.model.events import SignalRef
from backtest.venue.client import TALKATIVE
from backtest.venue.outlet.carried import Carries, carry
from backtest.venue.outlet.settings import OutletSecrets, OutletSettings, read_outlet
from backtest.venue.outlet.template import OutletTemplate
from backtest.venue.rate import RateLimit
from backtest.venue.verdict import Meaning, Verdict
from backtest.wire import endpoint_of
from tests.command_line import BREAKOUT, backtest
from tests.outlet_room import HIDDEN, PATH, Receiver, outlet, receiver, secrets, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REF = SignalRef("BTC/USDT-0-0")
CREATE = CreateSignal(
    coin="BTC", trade_market="USDT", exchange="BINANCE", invest=30.0, entry_price_min=99.0, entry_price_max=100.0,
    targets=(110.0, 120.0), stop_loss=90.0, ttl_buy_order=60_000, account="FUTURES", leverage=5.0, ref=REF,
)  # fmt: skip


@pytest.fixture
def venue() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def send(venue: Receiver, call: Call = CREATE, kind: str = "cornix", parent: str | None = None) -> Verdict:
    with outlet(kind, venue.url) as door:
        return door.exchange(replace(endpoint_of(call, parent), at=1_700_000_000_000))


@pytest.mark.parametrize(
    ("fault", "meaning", "halts"),
    [
        ("", Meaning.ACKED, False),
        ("silent", Meaning.LOST, False),
        ("status 400", Meaning.REJECTED, False),
        ("status 401", Meaning.REJECTED, True),
        ("status 404", Meaning.REJECTED, True),
        ("status 302", Meaning.REJECTED, True),
        ("status 408", Meaning.LOST, False),
        ("status 429", Meaning.LATER, False),
        ("status 500", Meaning.LOST, False),
        ("status 204", Meaning.LOST, False),
    ],
)
def test_what_an_answer_proves(venue: Receiver, fault: str, meaning: Meaning, halts: bool) -> None:
    venue.faults.append(fault)
    found = send(venue)
    assert (found.meaning, found.halts) == (meaning, halts), found.reason
    assert HIDDEN not in repr(found)
    assert PATH.rpartition("/")[2] not in repr(found)
    if meaning is Meaning.LATER:
        assert found.wait >= 7.0
    if meaning is Meaning.ACKED:
        assert found.parent_signal_id == "101"


@pytest.mark.parametrize(
    ("told", "seconds"), [("7", 60.0), ("-5", 60.0), ("true", 60.0), ('"90"', 60.0), ("90", 90.0), ("100000", 86_400.0)]
)
def test_the_wait_that_an_answer_tells_is_taken_from_a_minute_to_a_day(
    venue: Receiver, told: str, seconds: float
) -> None:
    venue.faults.append(f"status 429 {told}")
    found = send(venue)
    assert (found.meaning, found.wait) == (Meaning.LATER, seconds)


def test_a_door_that_is_closed_leaves_no_filter_behind() -> None:
    before = {name: list(logging.getLogger(name).filters) for name in TALKATIVE}
    with outlet("cornix", "http://127.0.0.1:9"):
        assert all(len(logging.getLogger(name).filters) == len(before[name]) + 1 for name in TALKATIVE)
    assert {name: list(logging.getLogger(name).filters) for name in TALKATIVE} == before


def test_a_venue_that_is_not_there_got_nothing() -> None:
    with receiver() as gone:
        pass
    assert send(gone).meaning is Meaning.NOT_SENT


def test_a_signal_without_a_name_at_the_venue_has_ours(venue: Receiver) -> None:
    parent = send(venue, kind="traderspost").parent_signal_id
    assert parent is not None
    assert parent.startswith("BTC~USDT~BINANCE~long~")
    assert send(venue, Cancel(REF), "traderspost", parent).meaning is Meaning.ACKED
    assert venue.effects[-1]["body"] == {"ticker": "BTCUSDT", "action": "exit", "time": "2023-11-14T22:13:20Z"}
    refused = send(venue, Cancel(REF), "traderspost", "somebody-elses")
    assert (refused.meaning, len(venue.effects)) == (Meaning.REJECTED, 2)


def test_what_cannot_be_said_is_not_sent(venue: Receiver) -> None:
    found = send(venue, Dca(REF, 95.0, 1.0), parent="101")
    assert (found.meaning, venue.effects) == (Meaning.REJECTED, [])
    assert "cannot say it" in found.reason


def lost_of(kind: str, call: Call = CREATE, **changes: Any) -> dict[str, str]:
    return {one.field: one.why for one in carry(call, settings(kind, **changes).says)[1]}


def test_what_is_lost_is_named() -> None:
    assert set(lost_of("cornix")) == {"invest", "ttl_buy_order"}
    assert set(lost_of("traderspost")) == {
        "entry_price_min",
        "exit_price_2",
        "invest",
        "ttl_buy_order",
        "leverage",
        "margin_type",
    }
    assert set(lost_of("traderspost", confirmed=())) - set(lost_of("traderspost")) == {"of_fill"}
    bare = lost_of("3commas", confirmed=(), allow_unprotected=True)
    assert {"entry_price_max", "stop_loss", "exit_price_1"} <= set(bare)
    assert lost_of("cornix", TakeProfit(REF, "market", 100.0)) == {"takeprofit": "sent as the signal's end"}
    assert lost_of("cornix", UpdatePrices(REF, stop_loss=95.0, exit_price_1=111.0)) == {"exit_price_1": "not moved"}


@pytest.mark.parametrize(
    ("most", "kept", "lost"), [(20.0, 20.0, {"invest"}), (30.0, 30.0, set()), (100.0, 30.0, set())]
)
def test_an_amount_is_cut_to_the_most_that_can_be_said(most: float, kept: float, lost: set[str]) -> None:
    says = Carries(entries=3, zone=True, targets=6, stop=True, invest=most, ttl=True, leverage=True, margin=True)
    carried, lacks = carry(CREATE, says)
    assert isinstance(carried, CreateSignal)
    assert (carried.invest, {one.field for one in lacks}) == (kept, lost)


@pytest.mark.parametrize(("leverage", "lost"), [(None, False), (1.0, False), (1.5, True), (2.0, True)])
def test_a_leverage_that_a_venue_cannot_say_is_lost(leverage: float | None, lost: bool) -> None:
    assert ("leverage" in lost_of("traderspost", replace(CREATE, leverage=leverage))) == lost


def test_a_carried_create_is_what_the_venue_does() -> None:
    one = Carries(entries=1, zone=False, targets=1, stop=True)
    carried, _ = carry(CREATE, one)
    assert isinstance(carried, CreateSignal)
    assert (carried.entry_price_max, carried.entry_price_min, carried.targets) == (100.0, None, (110.0,))
    short = replace(CREATE, type="short", targets=(80.0,), stop_loss=110.0)
    carried, _ = carry(short, one)
    assert isinstance(carried, CreateSignal)
    assert (carried.entry_price_max, carried.entry_price_min) == (99.0, None)
    market, _ = carry(CREATE, Carries(entries=0, zone=False, targets=1, stop=True))
    assert isinstance(market, CreateSignal)
    assert market.entry_price_min is not None
    assert 90.0 < market.entry_price_min < 99.0
    assert 100.0 < market.entry_price_max < 110.0


@pytest.mark.parametrize("kind", ["3commas", "json"])
def test_a_venue_that_protects_nothing_is_refused(kind: str) -> None:
    more: dict[str, Any] = {"template": "x", "carries": {}} if kind == "json" else {"values": {"bot_uuid": "u"}}
    bare = OutletSettings(name="bare", kind=kind, **more)
    from backtest.venue.outlet.door import Outlet

    with pytest.raises(InvalidSettingError, match="nothing there ends a loss when this process dies"):
        Outlet(bare, secrets("http://127.0.0.1:9"), "{}")
    with Outlet(bare.model_copy(update={"allow_unprotected": True}), secrets("http://127.0.0.1:9"), "{}"):
        pass


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{{ ''.__class__.__mro__ }}", "makes no JSON"),
        ("[1]", "no JSON object"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": "{{ secret }}" "b"}', "makes no JSON"),
        ("{% for k in range(10 ** 9) %}x{% endfor %}", "makes no JSON"),
        ('{"a": {{ ("x" * 70000) | tojson }}}', "bytes"),
    ],
)
def test_a_template_makes_json_or_a_sentence(template: str, words: str) -> None:
    own = OutletSettings(name="mine", kind="json", template="x", carries={"entries": 1, "stop": True, "targets": 1})
    with pytest.raises(InvalidSignalError, match=words) as caught:
        OutletTemplate(own, template).message(carry(CREATE, own.says)[0] or CREATE, "", 0, HIDDEN)
    assert HIDDEN not in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('name = "x"\nkind = "cornx"', "kind"),
        ('name = "x"\nkind = "cornix"', "needs chat_id"),
        ('name = "x"\nkind = "cornix"\nper_minute = 8\nvalues = { chat_id = "1" }', "takes 7 signals a minute"),
        ('name = "x"\nkind = "traderspost"\nconfirmed = ["absolut_exits"]', 'Did you mean "absolute_exits"'),
        ('name = "x"\nkind = "json"', "needs both"),
        ('name = "x"\nkind = "traderspost"\nsecret = "y"', "a secret belongs into the environment"),
        ('name = "x"\nkind = "traderspost"\nmaxlag = 3', 'Did you mean "max_lag"'),
        ('name = "x"\nkind = "json"\ntemplate = "none.j2"\n[carries]\nstop = true', "cannot be read"),
        ("x = [", "is no TOML"),
    ],
)
def test_wrong_settings_get_one_sentence(tmp_path: Path, toml: str, words: str) -> None:
    (tmp_path / "venue.toml").write_text(toml, "utf-8")
    with pytest.raises(InvalidSettingError) as caught:
        read_outlet(tmp_path / "venue.toml")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "http://example.org/hook", "ftp://x", "https://", "https://x y", "https://exämple/"]
)
def test_an_address_that_secrets_may_not_travel_to_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettingError):
        OutletSecrets.load({"BACKTEST_VENUE_URL": url})


class Emission:
    """An emitter to a venue with a max_lag, on recorded time."""

    def __init__(self, path: Path, venue: Receiver) -> None:
        self.clock = CandleClock(3_600_000)
        self.door = outlet("cornix", venue.url, RateLimit(100, self.clock.seconds), max_lag=60)
        self.journal = Journal(path, Run("live", "account", 0))
        self.emitter = Emitter(self.journal, self.door, self.clock, EmitSettings(backoff_first=1.0), self.clock.now)
        self.stream = Stream("account", "strategy", "BTC/USDT", "1h", max_lag=self.door.max_lag)

    def close(self, *calls: Call) -> None:
        at = self.clock.now() + 3_600_000
        self.clock.reach(at)
        self.emitter.plan([Decided(self.stream, at, calls)])
        self.emitter.drain(at + 3_600_000)

    def states(self) -> list[State]:
        return [one.state for one in self.journal.intents()]


def test_a_lost_exit_is_never_sent_again_and_nothing_after_its_lag(tmp_path: Path, venue: Receiver) -> None:
    room = Emission(tmp_path / "journal.sqlite", venue)
    with room.journal, room.door:
        room.close(CREATE)
        venue.faults.append("silent")
        room.close(UpdatePrices(REF, stop_loss=95.0))
        assert room.states() == [State.ACKED, State.UNKNOWN]
        assert len(venue.effects) == 2
        venue.faults.extend(["status 429"] * 20)
        room.close(Cancel(REF))
        assert room.states()[-1] is State.EXPIRED
        assert len(venue.effects) == 2
        venue.faults.clear()
        now = room.clock.now()
        plan_cancels(room.journal, "account", now, max_lag=room.door.max_lag)
        room.emitter.drain(now + 1_000)
        (last,) = [one for one in room.journal.intents() if one.by_person]
        assert (last.state, last.repeatable, last.valid_until) == (State.ACKED, False, now + 60_000)
        assert venue.effects[-1]["body"]["text"] == "Close"


def test_the_loss_is_told_signal_by_signal_and_in_money(tmp_path: Path) -> None:
    (tmp_path / "venue.toml").write_text('name = "post"\nkind = "traderspost"\n', "utf-8")
    asked = ("loss", BREAKOUT, "--venue", tmp_path / "venue.toml", "--candles", "sample:BTC/USD:1d")
    done = backtest(*asked, "--most", 3)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("post: total return ")
    assert "what the other side's settings decide is in no figure here" in done.out
    found = json.loads(backtest(*asked, "--json").out)
    assert found["venue"] == "post"
    assert all(one["lost"] for one in found["signals"])
    whole = sum(one["whole"] for one in found["signals"])
    assert whole == pytest.approx(found["whole"] * 10_000.0, rel=1e-6)
    assert sum(one["carried"] for one in found["signals"]) == pytest.approx(found["carried"] * 10_000.0, rel=1e-6)


def test_a_template_that_is_none_is_refused_before_a_loss_is_told(tmp_path: Path) -> None:
    text = 'name = "mine"\nkind = "json"\ntemplate = "t"\n[carries]\nentries = 1\nstop = true\n'
    (tmp_path / "venue.toml").write_text(text, "utf-8")
    (tmp_path / "t").write_text('{"price": "{{ entry }"}', "utf-8")
    done = backtest("loss", BREAKOUT, "--venue", tmp_path / "venue.toml", "--candles", "sample:BTC/USD:1d")
    assert (done.status, done.out) == (2, "")
    assert "the template of mine cannot be read" in done.err


def test_a_venue_that_carries_all_loses_nothing(tmp_path: Path) -> None:
    text = (
        'name = "all"\nkind = "json"\ntemplate = "t"\n[carries]\nentries = 3\nzone = true\ntargets = 6\nstop = true\n'
    )
    more = "ttl = true\nleverage = true\nmargin = true\ninvest = 100.0\nexits = true\nstops = true\n"
    (tmp_path / "venue.toml").write_text(text + more, "utf-8")
    (tmp_path / "t").write_text("{}", "utf-8")
    found = json.loads(
        backtest("loss", BREAKOUT, "--venue", tmp_path / "venue.toml", "--candles", "sample:BTC/USD:1d", "--json").out
    )
    assert found["whole"] == found["carried"]
    assert all(not one["lost"] and one["whole"] == one["carried"] for one in found["signals"])


CORNIX_TOML = """
name = "my channel"
kind = "cornix"
max_lag = 60
values = { chat_id = "-1001" }
[replies]
cancel = "Close"
"""


def test_a_person_ends_what_lives_at_another_venue(
    tmp_path: Path, venue: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, mine = tmp_path / "emit.sqlite", secrets(venue.url)
    clock = CandleClock(3_600_000)
    with (
        Journal(journal, Run("live", mine.fingerprint, 0)) as book,
        outlet("cornix", venue.url, RateLimit(100, clock.seconds), max_lag=60) as door,
    ):
        emitter = Emitter(book, door, clock, EmitSettings(), clock.now)
        stream = Stream(mine.fingerprint, "strategy", "BTC/USDT", "1h", max_lag=door.max_lag)
        emitter.plan([Decided(stream, 3_600_000, [CREATE])])
        emitter.drain(3_700_000)
    (tmp_path / "venue.toml").write_text(CORNIX_TOML, "utf-8")
    asked = ("emit", "cancel-all", "--journal", journal, "--venue", tmp_path / "venue.toml", "--yes")
    assert backtest(*asked).status == 2  # without its address
    monkeypatch.setenv("BACKTEST_VENUE_URL", f"{venue.url}{PATH}")
    monkeypatch.setenv("BACKTEST_VENUE_SECRET", HIDDEN)
    done = backtest(*asked)
    assert (done.status, done.err) == (0, "")
    assert "101: acked" in done.out
    assert [effect["body"]["text"] for effect in venue.effects][-1] == "Close"
    assert HIDDEN not in done.out


@pytest.mark.parametrize(
    ("toml", "more", "words"),
    [
        (CORNIX_TOML, ("--paper",), "--venue is another live venue"),
        (CORNIX_TOML, ("--live",), "BACKTEST_VENUE_URL holds the address"),
        ('name = "b"\nkind = "3commas"\nvalues = { bot_uuid = "u" }\n', ("--live",), "nothing there ends a loss"),
    ],
)
def test_a_venue_that_cannot_be_used_is_met_first(
    tmp_path: Path, toml: str, more: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "venue.toml").write_text(toml, "utf-8")
    if "3commas" in toml:
        monkeypatch.setenv("BACKTEST_VENUE_URL", "https://example.org/hook")
    market = ("--market", "BTC/USDT", "--exchange", "binance", "--timeframe", "1h", "--journal", tmp_path / "j.sqlite")
    done = backtest("emit", BREAKOUT, *market, "--venue", tmp_path / "venue.toml", *more)
    assert done.status == 2
    assert words in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "j.sqlite").exists()
