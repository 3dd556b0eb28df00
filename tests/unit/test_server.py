"""The paper venue over real HTTP: every example of the vendor, every refusal, every fault, a restart."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections import deque
from contextlib import closing, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.datastructures import Headers

from backtest.errors import InvalidSettingError, StorageError
from backtest.venue.faults import FAULTS, FaultPlan
from backtest.venue.guard import Guard
from backtest.venue.ledger import Ledger
from backtest.venue.paper import PaperVenue
from backtest.venue.paper_client import PaperClient
from backtest.venue.rate import RateLimit
from backtest.venue.serving import listen
from backtest.venue.subscribers import Subscriber
from tests.paper_room import SECRET, SECRETS, credentials, paper_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = {"paper-token": "only-for-tests"}
SPOT = {
    "coin": "BTC",
    "trade_market": "USDT",
    "exchange": "BINANCE",
    "invest": 10,
    "entry_price_min": "65000",
    "entry_price_max": "66000",
    "exit_price_1": "70000",
    "exit_price_2": "75000",
    "stop_loss": "62000",
    "type": "long",
}
FUTURES = {
    "coin": "ETH",
    "trade_market": "USDT",
    "exchange": "BYBIT",
    "invest": 5,
    "account": "FUTURES",
    "leverage": 10,
    "margin_type": "ISOLATED",
    "entry_price_max": "3800",
    "exit_price_1": "4000",
    "stop_loss": "3650",
    "type": "long",
}
V1 = {
    "coin": "ETH",
    "trade_market": "USDT",
    "exchange": "BINANCE",
    "buy_price_min": "3800",
    "buy_price_max": "3850",
    "sell_price_1": "4000",
    "stop_loss": "3600",
    "type": "long",
    "invest": 10,
    "attachment_description": "ETH breaking out of resistance",
}
LATER: dict[str, dict[str, Any]] = {
    "call/takeprofit": {"order_type": "market", "sell_amount_relative": 100},
    "call/trailingstop": {"trailing_stop_price": "64000", "trailing_stop_limit_price": "63500"},
    "call/rebuy": {"buy_price_min": "60000", "buy_price_max": "61000", "invest": 5},
    "call/dca": {"buy_price": "58000", "multiplier": 1.5},
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with paper_room(tmp_path_factory.mktemp("venue") / "venue.sqlite", token="only-for-tests") as found:
        yield found


@pytest.fixture
def venue(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=SECRETS, trust_env=False) as client:
        yield client


@pytest.fixture
def control(url: str) -> Iterator[PaperClient]:
    with PaperClient(url, "only-for-tests") as found:
        yield found


@pytest.fixture
def kinds(control: PaperClient) -> Callable[[], list[str]]:
    """Return what takes effect in this test."""
    before = max((effect["seq"] for effect in control.received()), default=0)
    return lambda: [effect["kind"] for effect in control.effects(before)]


def created(venue: httpx.Client, body: dict[str, Any] | None = None) -> str:
    answer = venue.post("/v2/signal", json=body or SPOT)
    assert answer.json()["result"] == {"type": "OPERATION_PERFORMED"}
    assert answer.json()["payload"]["result"] == "success"
    return str(answer.json()["payload"]["parent_signal_id"])


@pytest.mark.parametrize(("path", "body"), [("/v2/signal", SPOT), ("/v2/signal", FUTURES), ("/v1/signal", V1)])
def test_examples_of_a_create_are_performed(venue: httpx.Client, path: str, body: dict[str, Any]) -> None:
    answer = venue.post(path, json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["payload"]["result"] == "success"


@pytest.mark.parametrize("path", LATER)
def test_later_calls_are_performed(venue: httpx.Client, path: str) -> None:
    parent = created(venue)
    answer = venue.post(f"/v1/signal/{parent}/{path}", json={"parent_signal_id": parent, **LATER[path]})
    assert (answer.status_code, answer.json()["payload"]["parent_signal_id"]) == (200, parent)


def test_update_is_a_put_and_cancel_a_delete_with_a_body(venue: httpx.Client, kinds: Callable[[], list[str]]) -> None:
    parent = created(venue)
    update = venue.put(f"/v1/signal/{parent}/updateprice", json={"parent_signal_id": parent, "stop_loss": "63000"})
    body = {"parent_signal_id": parent}
    cancels = [venue.request("DELETE", f"/v1/signal/{parent}/cancel", json=body) for _ in range(2)]
    assert [answer.status_code for answer in (update, *cancels)] == [200, 200, 200]
    assert kinds() == ["create_v2", "updateprice", "cancel", "cancel"]
    late = venue.put(f"/v1/signal/{parent}/updateprice", json={"parent_signal_id": parent, "stop_loss": "64000"})
    assert (late.status_code, late.json()["payload"]["field"]) == (400, "parent_signal_id")


def test_curl_as_the_vendor_writes_it(url: str) -> None:
    answer = subprocess.run(
        ["curl", "-s", "-X", "POST", f"{url}/v2/signal", "-H", "Content-Type: application/json"]
        + [part for name, value in SECRETS.items() for part in ("-H", f"{name}: {value}")]
        + ["-d", json.dumps(SPOT)],
        capture_output=True,
        check=True,
    )
    assert json.loads(answer.stdout)["result"]["type"] == "OPERATION_PERFORMED"


@pytest.mark.parametrize(
    ("change", "kind", "field"),
    [
        ({"coin": None}, "INVALID_INPUT_CONTENT", "coin"),
        ({"entry_price_max": 66000}, "INVALID_INPUT_CONTENT", "entry_price_max"),
        ({"stop_loss": "65500"}, "INVALID_INPUT_CONTENT", "stop_loss"),
        ({"stop_los": "62000"}, "INVALID_INPUT_CONTENT", "stop_los"),
        ({"exit_price_6": "90000"}, "INVALID_INPUT_CONTENT", "exit_price_6"),
        ({"invest": "10"}, "INVALID_INPUT_CONTENT", "invest"),
    ],
)
def test_wrong_fields_are_named(venue: httpx.Client, change: dict[str, Any], kind: str, field: str) -> None:
    answer = venue.post("/v2/signal", json=SPOT | change)
    assert answer.status_code == 400
    assert answer.json()["result"]["type"] == kind
    assert answer.json()["payload"]["field"] == field


def test_missing_field_has_a_type_of_its_own(venue: httpx.Client) -> None:
    answer = venue.post("/v2/signal", json={name: value for name, value in SPOT.items() if name != "coin"})
    assert (answer.status_code, answer.json()["result"]["type"]) == (400, "INVALID_INPUT_MISSING")


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"coin": 1, "coin": 2}', b"\xff", b"x" * 70_000])
def test_bodies_that_are_no_object_are_refused(venue: httpx.Client, raw: bytes) -> None:
    answer = venue.post("/v2/signal", content=raw)
    assert (answer.status_code, answer.json()["result"]["type"]) == (400, "INVALID_INPUT_CONTENT")


def test_ids_must_agree_and_be_known(venue: httpx.Client) -> None:
    parent = created(venue)
    for path, named in ((parent, "another"), ("never-given", "never-given")):
        answer = venue.request("DELETE", f"/v1/signal/{path}/cancel", json={"parent_signal_id": named})
        assert (answer.status_code, answer.json()["payload"]["field"]) == (400, "parent_signal_id")


@pytest.mark.parametrize("headers", [{}, {"anny-api-key": "x"}, SECRETS | {"anny-api-secret": SECRET[:-1]}])
def test_wrong_secrets_are_unauthorized(url: str, headers: dict[str, str]) -> None:
    answer = httpx.post(f"{url}/v2/signal", json=SPOT, headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["result"]["type"]) == (403, "UNAUTHORIZED")
    assert SECRET not in answer.text


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}, {"host": "["}])
def test_foreign_hosts_and_pages_are_refused(venue: httpx.Client, headers: dict[str, str]) -> None:
    assert venue.post("/v2/signal", json=SPOT, headers=headers).status_code == 403
    assert venue.get("/paper/ledger", headers=headers).status_code == 403


def test_own_paths_ask_for_the_token(url: str) -> None:
    assert httpx.get(f"{url}/paper/ledger", trust_env=False).status_code == 403
    shown = httpx.get(f"{url}/paper/ledger", headers={"paper-token": "only-for-tests"}, trust_env=False)
    assert shown.status_code == 200


def test_address_open_to_others_needs_a_token() -> None:
    with pytest.raises(InvalidSettingError, match="ANNY_PAPER_TOKEN"):
        Guard(credentials(), "0.0.0.0")
    Guard(credentials(), "0.0.0.0", "token")


def test_taken_port_is_one_sentence() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(StorageError, match="choose another port"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_unknown_paths_and_methods_answer_in_the_envelope(venue: httpx.Client) -> None:
    assert venue.get("/v3/signal").status_code == 404
    answer = venue.get("/v2/signal")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["result"]["type"] == "INVALID_INPUT_CONTENT"


def test_own_rate_limit_is_a_429(tmp_path: Path) -> None:
    with paper_room(tmp_path / "venue.sqlite", rate=RateLimit(1)) as url:
        answers = [httpx.post(f"{url}/v2/signal", json=SPOT, headers=SECRETS, trust_env=False) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert 0 < answers[1].json()["retryAfterMs"] <= 60_001
    assert int(answers[1].headers["retry-after"]) <= 61


AFTER = {"none": 1, "latency": 1, "500-after": 1, "drop-after": 1, "hang-after": 1, "cut": 1, "malformed": 1}


def test_only_an_update_may_be_allowed_to_trade_at_once(venue: httpx.Client, control: PaperClient) -> None:
    before = max((effect["seq"] for effect in control.received()), default=0)
    parent = created(venue)
    path, body = f"/v1/signal/{parent}", {"parent_signal_id": parent}
    for header in ("true", "yes"):
        own = {"paper-allow-marketable": header}
        venue.put(f"{path}/updateprice", json=body | {"stop_loss": "63000"}, headers=own).raise_for_status()
    own = {"paper-allow-marketable": "true"}
    venue.request("DELETE", f"{path}/cancel", json=body, headers=own).raise_for_status()
    told = [(effect["kind"], effect["allow_marketable"]) for effect in control.effects(before)]
    assert told == [("create_v2", False), ("updateprice", True), ("updateprice", False), ("cancel", False)]


def test_a_client_that_vanished_is_found_out_within_a_minute() -> None:
    with closing(listen("127.0.0.1", 0)) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_KEEPIDLE"):
            kept = [
                listener.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_KEEP{name}"))
                for name in ("IDLE", "INTVL", "CNT")
            ]
            assert kept == [30, 10, 3]


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_do_what_they_say(venue: httpx.Client, kinds: Callable[[], list[str]], fault: str) -> None:
    text = f"{fault}:50" if fault in {"latency", "429", "429-result"} else fault
    headers = {"paper-fault": text}
    seen: Any
    try:
        seen = venue.post("/v2/signal", json=SPOT, headers=headers, timeout=0.25)
        seen.json()
    except (httpx.TransportError, ValueError) as error:
        seen = error
    expected: dict[str, Any] = {
        "none": 200,
        "latency": 200,
        "429": 429,
        "429-result": 429,
        "500-before": 500,
        "500-after": 500,
        "redirect": 307,
        "malformed": ValueError,
        "hang-before": httpx.ReadTimeout,
        "hang-after": httpx.ReadTimeout,
    }
    kind = expected.get(fault, httpx.TransportError)
    assert seen.status_code == kind if isinstance(kind, int) else isinstance(seen, kind)
    assert len(kinds()) == AFTER.get(fault, 0)


def test_planned_faults_meet_the_next_calls(venue: httpx.Client, control: PaperClient) -> None:
    control.plan_faults("500-before", "429:2000")
    answers = [venue.post("/v2/signal", json=SPOT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [500, 429, 200]
    assert answers[1].json()["retryAfterMs"] == 2000


def test_unknown_faults_are_refused(venue: httpx.Client, control: PaperClient) -> None:
    answer = venue.post("/v2/signal", json=SPOT, headers={"paper-fault": "500-befor"})
    assert answer.status_code == 400
    assert "500-before" in answer.text
    with pytest.raises(InvalidSettingError, match="latency"):
        control.plan_faults("latncy")
    for text in ("500-before@2", "500-before@x", "500-before"):
        with pytest.raises(InvalidSettingError, match="SHARE"):
            FaultPlan([text])


def test_faults_by_chance_repeat_with_their_seed() -> None:
    plans = [FaultPlan(["429@0.3", "500-after@0.3"], seed=7) for _ in range(2)]
    drawn = [[plan.next().name for _ in range(50)] for plan in plans]
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {"429", "500-after", "none"}


def test_foreign_database_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("no database, but long enough to be read as one" * 100)
    with pytest.raises(StorageError, match=r"cannot use its ledger .*other\.txt: file is not a database"):
        Ledger(other)
    with closing(sqlite3.connect(tmp_path / "own.sqlite")) as database:
        database.execute("CREATE TABLE own (id)")
    with pytest.raises(InvalidSettingError, match=r"own\.sqlite is no ledger of a paper venue of this version"):
        Ledger(tmp_path / "own.sqlite")
    assert other.read_text().startswith("no database"), "what is not ours stays as it was"


@pytest.mark.parametrize("name", ["venue.sqlite", "symbolic", "hard", "over/../venue.sqlite"])
def test_two_venues_never_share_a_ledger(tmp_path: Path, name: str) -> None:
    file = tmp_path / "venue.sqlite"
    (tmp_path / "over").mkdir()
    first = Ledger(file)
    (tmp_path / "symbolic").symlink_to(file)
    (tmp_path / "hard").hardlink_to(file)
    with pytest.raises(
        InvalidSettingError, match=r"another process writes the ledger .*; wait for its end or name another"
    ):
        Ledger(tmp_path / name)
    command = [sys.executable, "-c", "import sys; from backtest.venue.ledger import Ledger; Ledger(sys.argv[1])"]
    done = subprocess.run([*command, str(tmp_path / name)], capture_output=True, text=True, check=False)
    assert "InvalidSettingError" in done.stderr.splitlines()[-1], done.stderr
    first.add_subscriber(
        Subscriber.from_dicts("anny", {}, {})
    )  # the refused ones took none of the locks of SQLite away
    first.close()
    first.close()
    second = Ledger(tmp_path / name)
    assert [each.name for each in second.subscribers()] == ["anny"]
    second.close()


def test_a_full_disk_is_told_and_changes_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "venue.sqlite")
    venue = PaperVenue(ledger)
    ledger._db.execute("PRAGMA max_page_count=30")  # SQLite's own way to have no room
    body = json.dumps(SPOT | {"attachment_description": "x" * 900}).encode()
    accepted = iter(lambda: venue.accept("create_v2", body), "")
    with pytest.raises(StorageError, match=r"cannot use its ledger .*: database or disk is full"):
        deque(islice(accepted, 200), maxlen=0)
    assert 0 < len(venue._calls) == len(ledger.received()) < 200
    ledger.close()


def test_a_folder_that_may_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"the ledger .* cannot be locked: "):
        Ledger(tmp_path / "file" / "venue.sqlite")
    with pytest.raises(StorageError, match=r"the ledger .* cannot be locked: Is a directory"):
        Ledger(tmp_path)


OVER = [("/v2/signal", 65_536), ("/paper/candles", 16_777_216)]


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize(("path", "most"), OVER)
def test_a_body_is_counted_before_anything_looks_at_it(
    url: str, control: PaperClient, kinds: Callable[[], list[str]], path: str, most: int, chunked: bool
) -> None:
    control.plan_faults("500-after")
    whole = b"{" + b" " * (most + 1)
    content: Any = (whole[at : at + 60_000] for at in range(0, len(whole), 60_000)) if chunked else whole
    headers = {"paper-token": "only-for-tests"} if path.startswith("/paper") and chunked else {}
    answer = httpx.post(f"{url}{path}", content=content, headers=headers, trust_env=False)
    assert answer.status_code == 400, "neither 403 for the want of secrets nor the planned fault"
    assert f"the body has at most {most} bytes" in answer.json()["payload"]["message"]
    assert httpx.post(f"{url}/v2/signal", json=SPOT, headers=SECRETS, trust_env=False).status_code == 500
    assert kinds() == ["create_v2"]


def test_a_body_of_just_the_length_is_read(venue: httpx.Client) -> None:
    raw = json.dumps(SPOT).encode()
    assert venue.post("/v2/signal", content=raw + b" " * (65_536 - len(raw))).status_code == 200
    assert venue.post("/v2/signal", content=raw + b" " * (65_537 - len(raw))).status_code == 400


HEAD = b"POST /v2/signal HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 400\r\n\r\n"


@pytest.mark.parametrize("said", [b"", HEAD[:40], HEAD, HEAD + b"{"], ids=["nothing", "half a head", "a head", "more"])
def test_a_request_that_does_not_come_whole_loses_its_connection(tmp_path: Path, said: bytes) -> None:
    with paper_room(tmp_path / "venue.sqlite", patience=0.3) as url:
        place = urlsplit(url)
        with socket.create_connection((place.hostname, place.port), timeout=20.0) as connection:
            connection.sendall(said)
            with suppress(ConnectionResetError):
                assert connection.recv(100) == b""
        with socket.create_connection((place.hostname, place.port), timeout=20.0) as connection:
            for _ in range(3):  # drops do not keep it open either
                connection.sendall(b"G")
                time.sleep(0.2)
            with suppress(ConnectionError):
                assert connection.recv(100) == b""


def test_a_kept_connection_outlives_the_patience_with_one_request(tmp_path: Path) -> None:
    with (
        paper_room(tmp_path / "venue.sqlite", patience=1.0) as url,
        httpx.Client(base_url=url, trust_env=False, headers=SECRETS) as client,
    ):
        streams = []
        for _ in range(3):
            answer = client.post("/v2/signal", json=SPOT, headers={"paper-fault": "latency:100"})
            assert answer.status_code == 200
            streams.append(id(answer.extensions["network_stream"].get_extra_info("socket")))
            time.sleep(0.3)
        slow = client.post("/v2/signal", json=SPOT, headers={"paper-fault": "latency:1200"})
        assert slow.status_code == 200, "only a request must come in time, its answer may take longer"
    assert len(set(streams)) == 1


SURROGATES = [
    ("POST", "/paper/candles", {"timeframe": "1h", "markets": [{"market": {"symbol": "\ud800/USDT"}}]}),
    ("POST", "/paper/candles", {"timeframe": "1h", "markets": [{"market": {"symbol": "A/B", "coin": "\udfff"}}]}),
    ("PUT", "/paper/subscribers/x", {"profile": {"name": "\ud800"}}),
    ("PUT", "/paper/faults", {"plan": ["\ud800"]}),
    ("POST", "/v2/signal", SPOT | {"coin": "\ud800"}),
    ("POST", "/v2/signal", SPOT | {"\ud800": "BTC"}),
]


@pytest.mark.parametrize(("method", "path", "body"), SURROGATES)
def test_half_a_surrogate_pair_is_refused(venue: httpx.Client, method: str, path: str, body: dict[str, Any]) -> None:
    headers = {"paper-token": "only-for-tests"}
    answer = venue.request(method, path, content=json.dumps(body).encode(), headers=headers)
    assert (answer.status_code, answer.json()["result"]["type"]) == (400, "INVALID_INPUT_CONTENT")
    assert "surrogate" in answer.json()["payload"]["message"]


TICKS: list[Any] = ["1e-400", "1e-99999999999999999999", "9" * 100_000, "nan", True, [1], {"a": 1}]
RULES: list[Any] = [10**400, "x", True, -1, []]
ABSURD = [("tick", each) for each in TICKS]
ABSURD += [(name, each) for name in ("min_amount", "min_cost", "max_leverage") for each in RULES]


@pytest.mark.parametrize(("name", "value"), ABSURD, ids=lambda value: str(value)[:20])
def test_absurd_rules_of_a_market_are_refused(venue: httpx.Client, name: str, value: Any) -> None:
    market = {"symbol": "ABSURD/USDT", name: value}
    body = {"timeframe": "1h", "markets": [{"market": market, "rows": [[1_700_002_800_000, 1, 1, 1, 1, 1]]}]}
    answer = venue.post("/paper/candles", json=body, headers={"paper-token": "only-for-tests"})
    assert (answer.status_code, answer.json()["result"]["type"]) == (400, "INVALID_INPUT_CONTENT")
    assert "ABSURD/USDT" not in httpx.get(f"{venue.base_url}/paper/clock", headers=TOKEN, trust_env=False).text


def test_the_page_says_what_this_is(url: str) -> None:
    answer = httpx.get(url, trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for said in ("rehearsal, not the vendor", "/v2/signal", "/paper/candles", "paper-token", "openapi.json"):
        assert said in answer.text
    assert not re.search(r"https?://", answer.text)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"paper-token": "only-for-test"}, 403),
        ({"paper-token": "only-for-tests"}, 200),
        ({"paper-token": "only-for-tests", "origin": "null"}, 403),
        ({"paper-token": "only-for-tests", "origin": "http://localhost:1"}, 403),
        ({"paper-token": "only-for-tests", "host": "localhost.evil.example"}, 403),
        ({"paper-token": "only-for-tests", "host": "localhost:1"}, 200),
    ],
)
def test_who_may_use_its_own_paths(url: str, headers: dict[str, str], status: int) -> None:
    for method, path in (("GET", "/paper/ledger"), ("GET", "/paper/clock"), ("GET", "/paper/nothing")):
        answer = httpx.request(method, f"{url}{path}?paper-token=only-for-tests", headers=headers, trust_env=False)
        assert answer.status_code == (404 if status == 200 and path.endswith("nothing") else status)


@pytest.mark.parametrize(
    ("served", "named", "known"),
    [
        ("0.0.0.0", "192.168.1.7:8787", True),
        ("0.0.0.0", "[::1]:8787", True),
        ("0.0.0.0", "rebound.example", False),
        ("192.168.1.7", "192.168.1.7", True),
        ("192.168.1.7", "192.168.1.8", False),
        ("127.0.0.1", "192.168.1.7", False),
    ],
)
def test_which_hosts_are_this_venue(served: str, named: str, known: bool) -> None:
    guard = Guard(credentials(), served, "token")
    assert guard.is_local(Headers({"host": named})) is known
