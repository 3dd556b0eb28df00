"""The paper venue over real HTTP: every example of the vendor, every refusal, every fault, a restart."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from backtest.errors import InvalidSettingError, StorageError
from backtest.venue.faults import FAULTS, FaultPlan
from backtest.venue.guard import Guard
from backtest.venue.ledger import Ledger
from backtest.venue.paper_client import PaperClient
from backtest.venue.rate import RateLimit
from backtest.venue.serving import listen
from tests.paper_room import SECRET, SECRETS, credentials, paper_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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
    with listen("127.0.0.1", 0) as taken, pytest.raises(StorageError, match="--port"):
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
    (tmp_path / "other.txt").write_text("no database, but long enough to be read as one" * 100)
    with pytest.raises(StorageError):
        Ledger(tmp_path / "other.txt")
