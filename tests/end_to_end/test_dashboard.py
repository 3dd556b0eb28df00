"""The dashboard over real HTTP: what it shows, who may look, what its buttons do, and what never breaks it."""

from __future__ import annotations

import html
import json
import os
import re
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backtest.errors import InvalidSettingError
from backtest.live.dashboard.gate import Gate
from backtest.live.dashboard.reading import key_of
from backtest.live.dashboard.serving import address_of
from backtest.live.dashboard.words import FILTERS
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.notices import NoticeKind
from backtest.live.person import stop_file_of
from backtest.live.schema import Decided
from backtest.venue.serving import listen
from tests.command_line import BREAKOUT, ROOT, backtest
from tests.dashboards import END, TOKEN, emitting, held, said, served, shadow, wait_for
from tests.fast_disk import fast_folder
from tests.journals import HOUR, START, STRATEGY, create, rows, seeded, stream
from tests.shown import is_as_kept

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["fast_folder"]  # a fixture

HOSTILE = "<img src=x onerror=alert(1)>&\"'</script>"
NOTHING, DOT, UP = "\N{EN DASH}", "\N{MIDDLE DOT}", "\N{BLACK UP-POINTING TRIANGLE}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    seeded(tmp_path / "emit.sqlite", unknown=2)
    return tmp_path / "emit.sqlite"


def text_of(page: str) -> str:
    """What a person reads of a page."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def living(path: Path) -> list[Any]:
    with Journal(path) as journal:
        return journal.signals("living")


# ------------------------------------------------------------ what it shows


def test_one_page_says_what_is_open_sent_and_unknown(path: Path) -> None:
    row = living(path)[0]
    price = float(row.wished["entry_price_max"])
    book = shadow([held(row.ref, price)])
    with emitting(path, {"shadows": [book]}) as (_, bus), served(path, now=END + 5_000) as here:
        bus.tell(NoticeKind.SILENT, END, "binance BTC/USDT 1h: silent no candle has closed for two timeframes")
        page = text_of(here.ask("/").text)
    for sentence in (
        "running, heartbeat",
        "2 unknown outcomes await a person",
        "Evidence ReadTimeout",
        "Signals open 4 / 20",
        "Rate room 5 / 8",
        "Clock +23 ms",
        "Shadow equity +1.86 %",
        "Feed 2 / 2",
        "silent no candle has closed for two timeframes",
        "its time had passed before the venue could be reached",
        "Breakout BTC/USDT, ETH/USDT · 1h",
    ):
        assert sentence in page, sentence


def test_each_part_of_the_page_is_so_to_the_word(path: Path) -> None:
    row = living(path)[0]
    markets, curve = (
        [f"{coin}/USDT" for coin in "ABCDEF"],
        [[START, 10.0], [START + HOUR, 14.0], [START + 4 * HOUR, 12.0]],
    )
    book = shadow([held(row.ref, float(row.wished["entry_price_max"]))], symbols=markets, curve=curve)
    state = {"shadows": [book], "strategies": [{"name": "Breakout", "halted": "it raised"}], "flying": 3}
    with emitting(path, state) as (_, bus), served(path, now=END + 5_000) as here:
        for number in range(62):
            bus.tell(NoticeKind.SILENT, END + number * 1_000, f"number {number}.")
        (whole,) = here.patches(1)
    parts = {name: text_of(markup).strip() for name, markup in whole["set"].items()}
    assert parts["top"] == f"Emission paper account 7f3a9c41 {DOT} emit.sqlite running, heartbeat 500 ms ago"
    assert parts["tiles"] == (
        "Signals open 4 / 20 2 of 200 created today Unknown 2 await a person "
        "Last close 5.0 s ago 0 missing, 0 revised, 24 h Feed 2 / 2 series live "
        "Rate room 5 / 8 calls a minute; 3 on the way, 0 wait Clock +23 ms binance "
        "Shadow equity +1.86 % 10,186 Sent as decided 40.0 % 2 of 5 (1 expired, 2 unknown) in 24 h"
    )
    assert parts["count"] == "4 living, 1 in position"
    assert parts["urgent"].startswith("Breakout is halted. it raised. Mend the strategy and start again; ")
    assert (
        "Sent 2024-03-07 00:00:00 UTC Given up 2024-03-07 00:00:01 UTC Evidence ReadTimeout Signal" in parts["urgent"]
    )
    assert parts["calls"] == (
        "Close Call State Sent after "
        f"2024-03-07 00:00 create BTC/USDT its time had passed before the venue could be reached expired {NOTHING} "
        "2024-03-07 00:00 create ETH/USDT the answer never came unknown 900 ms "
        "2024-03-07 00:00 create BTC/USDT the answer never came unknown 900 ms "
        "2024-03-07 00:00 move prices ETH/USDT acked 900 ms 2024-03-05 12:00 create ETH/USDT acked 900 ms "
        "2024-03-07 00:00 move prices BTC/USDT acked 900 ms 2024-03-05 12:00 create BTC/USDT acked 900 ms"
    )
    assert parts["series"] == (
        "Series Phase Newest close Came after BTC/USDT 1h binance live 5.0 s ago 700 ms ETH/USDT 1h binance live 5.0 s ago 700 ms"
    )
    assert parts["strategies"] == (
        f"Strategy Open Equity Shadow account Breakout A/USDT, B/USDT, C/USDT, D/USDT and 2 more {DOT} 1h 4 +1.86 %"
    )
    assert '<svg class="spark up" viewBox="0 0 120 28"' in whole["set"]["strategies"]
    assert 'points="1.0,26.0 30.5,2.0 119.0,14.0"' in whole["set"]["strategies"]
    told = [int(number) for number in re.findall(r"number (\d+)\.", parts["notices"])]
    assert told == list(range(61, 1, -1))  # the newest sixty
    assert [text_of(whole["rows"][key]).strip() for key in whole["order"]] == [
        (
            f"{UP} long BTC/USDT Breakout unknown stop 126.7056, entry 130.6652 to 131.985, targets 135.9446, 139.9041, "
            f"last 131.985 131.985 {NOTHING} 2024-03-07 00:00"
        ),
        (
            f"{UP} long ETH/USDT Breakout unknown stop 132.2694, entry 136.4028 to 137.7806, targets 141.914, 146.0474, "
            f"last 137.7806 137.7806 {NOTHING} 2024-03-07 00:00"
        ),
        (
            f"{UP} long BTC/USDT Breakout open stop 130.03133, entry 130.6914 to 132.0115, targets 135.9718, 139.9322, "
            "last 131.985 131.985 +0.48 % 2024-03-05 12:00"
        ),
        (
            f"{UP} long ETH/USDT Breakout living stop 146.249, entry 147.7414 to 149.2337, targets 153.7107, 158.1877, "
            f"last 137.7806 137.7806 {NOTHING} 2024-03-05 12:00"
        ),
    ]
    bar = whole["rows"][key_of(STRATEGY, row.ref)]
    assert '<rect class="zone" x="12.8" y="5" width="17.6" height="8" rx="1"/>' in bar
    assert re.findall(r'class="([^"]*)" (?:d="M|cx=")([0-9.]+)', bar) == [
        ("track", "4"), ("target hit", "83.2"), ("target", "136.0"), ("stop", "4.0"), ("last", "30.0")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given", "shown"),
    [
        ("lasted", None, NOTHING), ("lasted", 999, "999 ms"), ("lasted", 1_000, "1.0 s"), ("lasted", 9_999, "10.0 s"),
        ("lasted", 10_000, "10 s"), ("lasted", 59_999, "59 s"), ("lasted", 60_000, "1 min"), ("lasted", 3_599_999, "59 min"),
        ("lasted", 3_600_000, "1 h"), ("lasted", 86_399_999, "23 h"), ("lasted", 86_400_000, "1 d"),
        ("lasted", -1_500, "-1.5 s"), ("lasted", 0, "0 ms"),
        ("price", None, NOTHING), ("price", 0.0000123456789, "0.000012345679"), ("price", 1234567.5, "1,234,567.5"),
        ("price", -1234.0, "-1,234"), ("price", -0.5, "-0.5"), ("price", 1e12, "1,000,000,000,000"),
        ("share", None, NOTHING), ("share", -0.01236, "-1.24 %"), ("share", 0.0, "+0.00 %"),
        ("when", None, NOTHING), ("when", START + 1_999, "2024-03-04 00:00:01 UTC"),
        ("kind", "dca", "DCA"), ("kind", "rebuy", "rebuy"), ("kind", "create_v1", "create"),
        ("spark", [], ""), ("spark", [(START, 1.0)], ""),
    ],
)  # fmt: skip
def test_words_of_a_number(name: str, given: Any, shown: str) -> None:
    assert FILTERS[name](given) == shown


def test_an_age_is_late_beyond_its_limit_and_not_at_it() -> None:
    age = FILTERS["age"]
    assert age(None, END) == NOTHING
    assert age(END - 30_000, END, 30_000) == (
        f'<time class="age" data-at="{END - 30_000}" data-late="30000" datetime="2024-03-06T23:59:30.000Z" '
        'title="2024-03-06 23:59:30 UTC">30 s ago</time>'
    )
    assert 'class="age late"' in age(END - 30_001, END, 30_000)
    assert "data-late" not in age(END - 30_001, END)
    assert age(END + 5_000, END).endswith(">0 ms ago</time>")


@pytest.mark.parametrize(
    ("curve", "found"),
    [
        ([(0, 5.0), (10, 5.0)], ("up", "1.0,26.0 119.0,26.0")),
        ([(7, 2.0), (7, 1.0)], ("down", "1.0,2.0 1.0,26.0")),
        ([(0, 1.0), (1, 3.0), (4, 2.0)], ("up", "1.0,26.0 30.5,2.0 119.0,14.0")),
    ],
)
def test_a_small_curve_fills_its_box(curve: list[tuple[int, float]], found: tuple[str, str]) -> None:
    markup = FILTERS["spark"](curve)
    assert re.findall(r'class="spark (\w+)".*points="([^"]*)"', markup) == [found]


def test_beside_a_stopped_emitter_it_shows_what_the_journal_has(path: Path) -> None:
    with served(path) as here:
        page = text_of(here.ask("/").text)
        assert "no emitter runs on this journal" in page
        assert "2 unknown outcomes await a person" in page
        assert STRATEGY[:8] in page
        assert "shown while the emitter runs" in page


def test_a_series_without_a_close_since_the_start_shows_the_journals_newest(path: Path) -> None:
    state = said()
    quiet = [{**one, "closed": None, "arrived": None, "lag": None, "source": None} for one in state["series"]]
    with emitting(path, {"series": quiet}), served(path, now=END + 5_000) as here:
        page = here.ask("/").text
        assert {one.closed for one in here.board.view().series} == {END}
    assert f'data-at="{END}"' in page


def test_a_signal_has_its_levels_its_calls_and_its_candles(path: Path) -> None:
    row = living(path)[0]
    price = float(row.wished["entry_price_max"])
    with emitting(path, {"shadows": [shadow([held(row.ref, price)])]}), served(path) as here:
        found = json.loads(here.ask(f"/signal/{key_of(STRATEGY, row.ref)}").text)
        here.ask("/signal/000000000000")
        assert here.ask("/signal/000000000000").status == 404
    (market,) = found["chart"]["markets"]
    assert len(market["candles"]) == 72
    assert market["symbol"] == row.symbol
    life = found["chart"]["signals"][found["number"] - 1]
    assert life["name"] == row.ref
    stops = [stop for _, stop in life["stop"]]
    assert stops == sorted(stops)  # of the create, of the shadow, of the update
    assert len(stops) == 3
    assert [fill["kind"] for fill in life["fills"]] == ["entered", "dca_filled", "target_hit"]
    page = text_of(found["html"])
    assert "Stop (trailing)" in page
    assert "reached" in page
    assert page.index("move prices") < page.index("create")
    assert market["decimals"] == 4
    assert (market["step"], market["candles"][0]["time"], found["chart"]["quote"]) == (HOUR, START, "USDT")
    assert (life["number"], life["side"], life["made"], life["until"]) == (1, 1, START + 36 * HOUR, None)
    assert life["entry"] == [130.6914, 132.0115]
    assert life["stop"] == [[START + 36 * HOUR, 126.731], [START + 50 * HOUR, price * 0.97], [END, 129.3713]]
    assert life["targets"] == [[[START + 36 * HOUR, 135.9718]], [[START + 36 * HOUR, 139.9322]]]
    assert [(fill["time"], fill["price"], fill["target"], fill["quantity"]) for fill in life["fills"]] == [
        (START + 37 * HOUR, price * 0.995, 0, 1.0),
        (START + 45 * HOUR, price * 0.98, 0, 0.5),
        (START + 60 * HOUR, price * 1.03, 1, 0.5),
    ]
    assert page.strip().endswith(
        "Close Call State Sent after 2024-03-07 00:00 move prices acked 900 ms 2024-03-05 12:00 create acked 900 ms"
    )
    assert "Stop (trailing) 130.03133 from 126.731 Targets 135.9718 reached , 139.9322 Last 131.985" in page
    assert "Bought at 131.35144 Gain +0.48 %" in page


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    path, symbol = tmp_path / "emit.sqlite", f"{HOSTILE}/USDT"
    seeded(path, [symbol], unknown=1)
    state = {"shadows": [shadow(strategy=HOSTILE, symbols=[symbol])], "hold": HOSTILE}
    with emitting(path, state) as (_, bus), served(path) as here:
        bus.tell(NoticeKind.RAISED, END, HOSTILE)
        key = key_of(STRATEGY, living(path)[0].ref)
        answers = [here.ask("/").text, here.ask(f"/?signal={key}").text]
        found = here.ask(f"/signal/{key}")
        assert found.headers["content-type"] == "application/json"
        answers.append(json.loads(found.text)["html"])
        answers.append(json.dumps(here.patches(1)[0]))
    for answer in answers:
        assert "<img" not in answer
        assert "</script>&" not in answer
    assert HOSTILE in text_of(answers[0])


# ------------------------------------------------------------ what changes


def test_changes_come_by_themselves_and_only_they(path: Path) -> None:
    def more() -> None:
        at = END + HOUR
        call = create(f"BTC/USDT-{at}-0", "BTC/USDT", 100.0)
        decided = Decided(stream("BTC/USDT"), at, [call], rows("BTC/USDT", 73)[-1:])
        (intent,) = journal.keep([decided], at + 800)
        journal.drop([(intent, State.BLOCKED, "the limit of 1 open signals is reached")], at + 900)

    with emitting(path) as (journal, _), served(path, now=END + 5_000) as here:
        whole, part = here.patches(2, meanwhile=more)
        assert whole["whole"]
        assert len(whole["rows"]) == len(whole["order"]) == 4
        assert not part["whole"]
        assert "the limit of 1 open signals is reached" in part["set"]["calls"]
        assert set(part["rows"]) == {
            key_of(STRATEGY, one.ref) for one in journal.signals() if one.symbol == "BTC/USDT"
        } & set(whole["rows"])
        assert "operate" not in part["set"]
        assert "order" not in part
        (again,) = here.patches(1, since=whole["version"])
        assert again["set"].keys() == part["set"].keys()
        (other,) = here.patches(1, since="ffffffff-1")
        assert other["whole"]


def test_no_request_of_the_page_leaves_the_machine(path: Path) -> None:
    with served(path) as here:
        page = here.ask("/")
        addresses = re.findall(r'(?:src|href|action)="([^"#]+)', page.text)
        assert addresses
        assert all(one.startswith("/") and not one.startswith("//") for one in addresses)
        for one in addresses:
            if one.startswith("/static/"):
                assert here.ask(one).status == 200
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "style=" not in page.text
        assert "<script>" not in page.text
        assert here.ask("/static/../gate.py").status == 404
        assert here.ask("/docs").status == 404


# ------------------------------------------------------------ who may look


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.nip.io", ""])
def test_a_name_that_was_made_to_point_here_is_refused(path: Path, host: str) -> None:
    with served(path) as here:
        for place in ("/", "/events", "/healthz", "/metrics", "/static/dashboard.js"):
            assert here.ask(place, host=host or "x").status == 403
        assert here.ask("/do/stop-entries", {"token": TOKEN, "confirm": "stop"}, host=host or "x").status == 403
    assert not stop_file_of(path).exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": ""},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "navigate"},
    ],
)
def test_another_page_presses_no_button_even_with_the_token(path: Path, headers: dict[str, str]) -> None:
    with served(path) as here:
        assert here.ask("/do/stop-entries", {"token": TOKEN, "confirm": "stop"}, **headers).status == 403
    assert not stop_file_of(path).exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "example.org"])
def test_an_address_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(
        InvalidSettingError, match=r"is open to others; serve on 127\.0\.0\.1, or set BACKTEST_DASHBOARD_TOKEN"
    ):
        Gate(host)
    with pytest.raises(InvalidSettingError, match="needs 16 characters or more"):
        Gate(host, "short")
    with pytest.raises(InvalidSettingError, match="needs 16 characters or more"):
        Gate("127.0.0.1", "short", ["dash.example.org"])


def test_where_others_can_reach_it_looking_asks_for_the_token_once(path: Path) -> None:
    with served(path, host="0.0.0.0") as here:
        for place in ("/events", "/metrics", "/signal/000000000000"):
            assert here.ask(place).status == 401
        door = here.ask("/")
        assert door.status == 401
        assert "BTC" not in door.text
        assert here.ask("/healthz").text == '{"status":"down"}'
        assert here.ask("/sign-in", {"token": "wrong"}).status == 401
        signed = here.ask("/sign-in", {"token": TOKEN})
        cookie = signed.headers["set-cookie"]
        assert (signed.status, signed.headers["location"]) == (303, "/")
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert TOKEN not in cookie
        assert "BTC/USDT" in here.ask("/", cookie=cookie.partition(";")[0]).text
        assert here.ask("/", cookie="dashboard=0000").status == 401
        assert "signal_backtest_up" in here.ask("/metrics", authorization=f"Bearer {TOKEN}").text
        # the browser that may look still shows the token to press
        here.ask("/do/stop-entries", {"token": "", "confirm": "stop"}, cookie=cookie.partition(";")[0])
    assert not stop_file_of(path).exists()


def test_a_name_behind_a_proxy_is_let_in_by_name(path: Path) -> None:
    with served(path, names=["dash.example.org"]) as here:
        name = {"host": "dash.example.org"}
        assert here.ask("/sign-in", {"token": TOKEN}, **name, origin="https://dash.example.org").status == 303
        assert here.ask("/sign-in", {"token": TOKEN}, **name, origin="https://evil.example").status == 403
        assert here.ask("/", host="other.example.org").status == 403


@pytest.mark.parametrize(
    "headers", [{"content_length": "65537"}, {"content_length": "-1"}, {"transfer_encoding": "chunked"}]
)
def test_a_body_that_is_too_long_or_does_not_say_how_long_is_refused(path: Path, headers: dict[str, str]) -> None:
    with served(path) as here:
        try:
            status = here.ask("/do/resolve", {"token": TOKEN}, **headers).status
        except ConnectionResetError:  # it hung up on what is not HTTP, before the body was read
            status = 400 if headers.get("content_length") == "-1" else 0
        assert status in {400, 413}


# ------------------------------------------------------------ buttons


def test_a_form_of_too_many_fields_has_none(path: Path) -> None:
    with served(path) as here:
        done = here.ask("/do/resolve", {"token": TOKEN, **{f"a{number}": "1" for number in range(40)}})
        assert done.status == 303
        assert "Refused: the token was wrong; nothing was done." in here.ask("/").text


def unknown(path: Path) -> str:
    with Journal(path) as journal:
        return journal.intents(State.UNKNOWN)[0].id


@pytest.mark.parametrize("runs", [True, False])
def test_an_unknown_is_resolved_with_token_and_typed_words(path: Path, runs: bool) -> None:
    name = unknown(path)
    form = {"intent": name[:12], "state": "landed", "parent": "f" * 24, "token": TOKEN, "confirm": name[:6]}
    with served(path) as here:

        def press(**changes: str) -> str:
            done = here.ask("/do/resolve", {**form, **changes})
            assert (done.status, done.headers["location"]) == (303, "/")
            return text_of(here.ask("/").text)

        def all_of_it() -> None:
            assert "the token was wrong; nothing was done" in press(token="wrong")
            assert "type '" in press(confirm="yes")
            assert "choose landed, not landed or abandon" in press(state="maybe")
            assert "needs the venue's name of the signal" in press(parent="")
            assert unknown(path) == name
            assert "is landed; 1 unknown left" in press()

        if runs:
            with emitting(path):
                all_of_it()
        else:
            all_of_it()
    assert unknown(path) != name


def test_the_kill_switch_stops_entries_and_lets_them_go(path: Path) -> None:
    with emitting(path), served(path) as here:
        here.ask("/do/stop-entries", {"token": TOKEN, "confirm": "halt"})
        assert not stop_file_of(path).exists()
        here.ask("/do/stop-entries", {"token": TOKEN, "confirm": "Stop"})
        assert stop_file_of(path).exists()
        assert "Entries are stopped by a person" in text_of(here.ask("/").text)
        here.ask("/do/go-on", {"token": TOKEN, "confirm": "go on"})
        assert not stop_file_of(path).exists()


def test_cancel_all_names_how_many_and_goes_through_the_emitter(path: Path) -> None:
    with served(path) as here:
        here.ask("/do/cancel-all", {"token": TOKEN, "confirm": "cancel 2"})
        wait_for(lambda: "no emitter runs; use backtest emit cancel-all" in text_of(here.ask("/").text))
        assert "type 'cancel 2' to confirm" in text_of(
            here.ask("/do/cancel-all", {"token": TOKEN, "confirm": "cancel 9"}).text + here.ask("/").text
        )
        with emitting(path) as (journal, _):
            here.ask("/do/cancel-all", {"token": TOKEN, "confirm": "cancel 2"})
            wait_for(lambda: len([one for one in journal.intents() if one.kind == "cancel"]) == 2)
            assert "Canceling goes on already" in text_of(
                here.ask("/do/cancel-all", {"token": TOKEN, "confirm": "cancel 2"}).text + here.ask("/").text
            )
            for intent in journal.intents(State.PLANNED):
                if intent.kind == "cancel":
                    journal.drop([(intent, State.EXPIRED, "by the test")], END + HOUR)
            wait_for(lambda: "Cancel all ended: 2 expired" in text_of(here.ask("/").text))


def test_what_no_button_does_is_not_done(path: Path) -> None:
    with served(path) as here:
        here.ask("/do/everything", {"token": TOKEN})
        assert "Nothing was done: there is no 'everything'" in text_of(here.ask("/").text)
        assert here.ask("/do/stop-entries").status == 405


# ------------------------------------------------------------ health and metrics


def health(state: dict[str, Any], path: Path, now: int = END + 5_000) -> tuple[int, dict[str, Any]]:
    with emitting(path, state), served(path, now=now) as here:
        found = here.ask("/healthz")
        return found.status, json.loads(found.text)


def test_health_is_of_the_loop_and_not_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "emit.sqlite"
    seeded(path, unknown=0)
    assert health({}, path) == (
        200,
        {
            "status": "ok",
            "reasons": [],
            "last_pass_seconds": 0.5,
            "feed_age_seconds": 0.0,
            "unknown": 0,
            "open_signals": 2,
        },
    )
    status, hanging = health({"beaten": END - 60_000}, path)
    assert (status, hanging["status"], hanging["reasons"]) == (503, "down", ["its loop does not go on"])
    status, halted = health({"halted": True}, path)
    assert (status, halted["status"]) == (200, "attention")
    late = END + 4 * HOUR
    status, silent = health(said(late, shadows=[]), path, late)
    assert (status, silent["status"], silent["feed_age_seconds"]) == (200, "attention", 3 * 3600.0)
    assert silent["reasons"] == ["binance BTC/USDT 1h is silent", "binance ETH/USDT 1h is silent"]
    with served(path) as here:
        assert here.ask("/healthz").status == 503


def test_an_unknown_asks_for_attention_and_not_for_a_restart(path: Path) -> None:
    status, found = health({}, path)
    assert (status, found["status"], found["reasons"]) == (200, "attention", ["2 unknown outcomes await a person"])


def test_the_figures_are_as_prometheus_reads_them(path: Path) -> None:
    with emitting(path), served(path, now=END + 5_000) as here:
        found = here.ask("/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=")
    is_as_kept("metrics.txt", "\n".join(line for line in found.text.split("\n") if line[:2] != "# ") + "\n")
    families = {one.name: one for one in text_string_to_metric_families(found.text)}
    values = {
        (sample.name, *sample.labels.values()): sample.value for one in families.values() for sample in one.samples
    }
    assert values["signal_backtest_up",] == 1.0
    assert values["signal_backtest_unknown_outcomes",] == 2.0
    assert values["signal_backtest_open_signals",] == 4.0
    assert values["signal_backtest_rate_left",] == 5.0
    assert values["signal_backtest_calls_total", "acked"] == 4.0
    assert values["signal_backtest_calls_total", "expired"] == 1.0
    assert values["signal_backtest_feed_age_seconds", "binance", "BTC/USDT", "1h"] == 5.0
    assert values["signal_backtest_clock_ahead_seconds", "binance"] == 0.023
    assert values["signal_backtest_shadow_equity", STRATEGY[:12], "Breakout"] == 10_186.0


# ------------------------------------------------------------ bad input


def test_a_journal_that_cannot_be_shown_is_one_sentence(tmp_path: Path) -> None:
    missing = backtest("dashboard", tmp_path / "none.sqlite")
    assert (missing.status, missing.err) == (
        2,
        f"error: there is no journal {tmp_path / 'none.sqlite'}; backtest emit makes one\n",
    )
    (tmp_path / "text").write_text("no journal at all, but long enough for a header of SQLite" * 3)
    text = backtest("dashboard", tmp_path / "text")
    assert (text.status, "is no journal" in text.err) == (2, True)
    (tmp_path / "empty").touch()
    old = sqlite3.connect(tmp_path / "old")
    old.executescript("CREATE TABLE run (id); PRAGMA user_version=1;")
    old.close()
    done = backtest("dashboard", tmp_path / "old")
    assert (done.status, "is a journal of version 1" in done.err) == (2, True)


def test_an_address_that_is_none_is_one_sentence(path: Path) -> None:
    for text in ("127.0.0.1:99999", "127.0.0.1:http", ":"):
        done = backtest("dashboard", path, "--listen", text)
        assert (done.status, done.err.startswith("error: the dashboard's address is HOST:PORT")) == (2, True)
    done = backtest("dashboard", path, "--listen", "0.0.0.0:8799")
    assert (done.status, "is open to others" in done.err) == (2, True)
    with listen("127.0.0.1", 0) as taken:
        done = backtest("dashboard", path, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        assert (done.status, "cannot serve on 127.0.0.1" in done.err) == (3, True)


def test_an_emission_does_not_start_with_a_dashboard_that_cannot_be_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BACKTEST_DASHBOARD_TOKEN", raising=False)
    command = ("emit", BREAKOUT, "--paper", "--candles", "sample:BTC/USD:1d", "--journal", tmp_path / "emit.sqlite")
    done = backtest(*command, "--dashboard", "0.0.0.0:0")
    assert (done.status, "set BACKTEST_DASHBOARD_TOKEN" in done.err) == (2, True)
    with listen("127.0.0.1", 0) as taken:
        done = backtest(*command, "--dashboard", f"127.0.0.1:{taken.getsockname()[1]}")
        assert (done.status, "cannot serve on 127.0.0.1" in done.err) == (3, True)
    assert not (tmp_path / "emit.sqlite").exists()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("8799", ("127.0.0.1", 8799)),
        ("localhost", ("localhost", 8799)),
        ("[::1]:80", ("::1", 80)),
        ("[::1]", ("::1", 8799)),
        ("10.0.0.1:0", ("10.0.0.1", 0)),
    ],
)
def test_an_address_may_leave_out_a_part(text: str, found: tuple[str, int]) -> None:
    assert address_of(text) == found


def test_a_journal_that_comes_goes_or_is_damaged_meanwhile_is_said_on_the_page(tmp_path: Path) -> None:
    path = tmp_path / "emit.sqlite"
    with served(path) as here:
        assert "there is no journal" in text_of(here.ask("/").text)
        assert here.ask("/healthz").status == 503
        assert here.ask("/metrics").status == 200
        seeded(path)
        wait_for(lambda: "BTC/USDT" in here.ask("/").text)
        whole = path.read_bytes()
        os.truncate(path, 20_000)
        wait_for(lambda: "malformed" in text_of(here.ask("/").text))
        (tmp_path / "copy.sqlite").write_bytes(whole)
        (tmp_path / "copy.sqlite").replace(path)  # a person puts the copy of last night in its place
        wait_for(lambda: "BTC/USDT" in here.ask("/").text)
    cut = tmp_path / "cut.sqlite"
    cut.write_bytes(path.read_bytes()[:20_000])
    with served(cut) as here:
        page = here.ask("/")
        assert page.status == 200
        assert "disk image is malformed" in text_of(page.text)


def test_the_command_serves_and_ends_with_its_parent(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("BACKTEST_DASHBOARD_TOKEN", None)
    command = [sys.executable, "-m", "backtest", "dashboard", str(path), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        process.terminate()
        assert process.wait(120) in {0, -15}
    assert re.fullmatch(r"dashboard at http://127\.0\.0\.1:\d+\n", first)
    assert re.fullmatch(r"token for its buttons: [0-9a-f]{32}\n", second)
