"""Whatever a venue answers: a verdict, never a traceback, never much memory, never more than the deadline."""

from __future__ import annotations

import gzip
import json
import socket
import sqlite3
import time
import tracemalloc
import zlib
from dataclasses import asdict
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from backtest.errors import VenueError
from backtest.model.calls import Cancel, CreateSignal
from backtest.model.events import SignalRef
from backtest.venue.client import Client
from backtest.venue.timeouts import Timeouts
from backtest.venue.verdict import Meaning, Verdict
from backtest.wire import Request, endpoint_of, is_parent
from tests.paper_room import credentials
from tests.raw_server import RawServer

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = Timeouts(connect=0.4, pool=0.05, read=0.3, write=0.3, total=1.0)
CREATE = endpoint_of(
    CreateSignal(coin="BTC", trade_market="USDT", exchange="BINANCE", invest=1.0, entry_price_max=2.0, targets=(3.0,))
)
CANCEL = endpoint_of(Cancel(SignalRef("s1")), "p1")
MEGABYTES = 32


class Venue:
    """Sends the bytes that are planned, whatever they are, and closes."""

    def __init__(self) -> None:
        self.raw = b""

    def __call__(self, _: RawServer, connection: socket.socket) -> None:
        try:
            connection.sendall(self.raw)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            return


@pytest.fixture(scope="module")
def room() -> Iterator[tuple[Venue, Client]]:
    venue = Venue()
    with RawServer(venue) as server, Client(credentials(server.url), timeouts=QUICK) as client:
        yield venue, client


def ask(room: tuple[Venue, Client], request: Request, raw: bytes) -> Verdict:
    """Send one request; check what holds for every answer."""
    venue, client = room
    venue.raw = raw
    began = time.monotonic()
    tracemalloc.start()
    verdict = client.exchange(request)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < MEGABYTES << 20
    assert time.monotonic() - began < 20.0 * QUICK.total, "a busy machine is slow, but not endless"
    shown = [verdict.reason, verdict.result_type, verdict.error, verdict.body, verdict.parent_signal_id or ""]
    assert all(text.isprintable() and len(text) < 2000 for text in shown), "safe for a terminal"
    with sqlite3.connect(":memory:") as db:
        db.execute("SELECT ?, ?, ?, ?, ?", shown).fetchall()
    db.close()
    json.dumps(asdict(verdict)).encode()
    assert 0.0 <= verdict.wait <= 86_400.0
    if verdict.performed:
        assert not request.endpoint.creates or is_parent(verdict.parent_signal_id)
    else:
        with pytest.raises(VenueError):
            verdict.require()
    return verdict


ids = st.one_of(st.text(max_size=30), st.sampled_from([".", "..", "\ud800", "\x1b[2J", "a\nb", " x", "", "x" * 500]))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ids, st.just(10**400))
objects = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ids, inner, max_size=3))
names = st.sampled_from(["type", "ttl", "payload", "message", "error", "field", "retryAfterMs", "reason"])
results = st.one_of(
    objects, st.dictionaries(names, objects), st.fixed_dictionaries({"type": st.just("OPERATION_PERFORMED")})
)
payloads = st.one_of(objects, st.fixed_dictionaries({"parent_signal_id": ids, "result": st.just("success")}))
envelopes = st.one_of(
    st.fixed_dictionaries({"result": results, "payload": payloads}),
    st.dictionaries(st.sampled_from(["result", "payload", "error", "retryAfterMs"]), objects),
)
bodies = st.one_of(
    envelopes.map(lambda found: json.dumps(found).encode("utf-8", "surrogatepass")),
    st.binary(max_size=300),
    st.sampled_from(
        [b"[" * 60_000, b'{"a":' * 9_000, b"1" * 70_000, b'"' + b"\\ud800" * 50 + b'"', b"\xff\xfe{}", b"{}"]
    ),
)
statuses = st.one_of(
    st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 408, 429, 500, 503]), st.integers(100, 999)
)
headers = st.lists(
    st.sampled_from(
        [
            "content-encoding: gzip",
            "content-encoding: br, gzip",
            "transfer-encoding: chunked",
            "location: http://[::1",
            "location: https://elsewhere.example/\x7f",
            "set-cookie: a=b; expires=never",
            "retry-after: 99999999999999999999",
            "retry-after: -1",
            "retry-after: Wed, 99 Oct 99999 99:99:99 GMT",
            "date: never",
            "content-type: text/html; charset=utf-7",
            "x: " + "y" * 3000,
        ]
    ),
    max_size=3,
)


@given(status=statuses, more=headers, body=bodies, request_=st.sampled_from([CREATE, CANCEL]), length=st.booleans())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_answer_is_a_verdict(
    room: tuple[Venue, Client], *, status: int, more: list[str], body: bytes, request_: Request, length: bool
) -> None:
    lines = [f"HTTP/1.1 {status} Any", *more, *([f"content-length: {len(body)}"] if length else [])]
    verdict = ask(room, request_, "\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    if verdict.status in {400, 404}:
        assert verdict.meaning is Meaning.REJECTED
    if verdict.status in {301, 401, 403}:
        assert verdict.halts


@given(raw=st.binary(max_size=400), request_=st.sampled_from([CREATE, CANCEL]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_no_http_is_a_verdict(room: tuple[Venue, Client], raw: bytes, request_: Request) -> None:
    assert ask(room, request_, raw).meaning in {Meaning.LOST, Meaning.REJECTED, Meaning.LATER, Meaning.ACKED}


def bomb(layers: int) -> bytes:
    """Return a few hundred bytes that unpack to gigabytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    found = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    for _ in range(layers - 1):
        found = gzip.compress(found, 9)
    return found


@pytest.mark.parametrize(("status", "meaning"), [(200, Meaning.LOST), (400, Meaning.REJECTED), (429, Meaning.LATER)])
def test_what_is_packed_is_never_unpacked(room: tuple[Venue, Client], status: int, meaning: Meaning) -> None:
    body = bomb(3)
    head = f"HTTP/1.1 {status} Any\r\ncontent-encoding: gzip, gzip, gzip\r\ncontent-length: {len(body)}\r\n\r\n"
    verdict = ask(room, CREATE, head.encode() + body)
    assert (verdict.meaning, verdict.error) == (meaning, "ContentEncoding")


def test_what_is_long_is_counted_before_it_is_read(room: tuple[Venue, Client]) -> None:
    body = b'{"result":' + b" " * 5_000_000
    verdict = ask(room, CREATE, b"HTTP/1.1 200 OK\r\ncontent-length: 5000010\r\n\r\n" + body)
    assert (verdict.meaning, verdict.error) == (Meaning.LOST, "TooLong")


@pytest.mark.parametrize("message", ["\\ud800", "\\u001b[2J\\u0007", "a\\u0000b", "\\u202egnihton"])
def test_a_proved_refusal_stays_one_whatever_its_message(room: tuple[Venue, Client], message: str) -> None:
    body = f'{{"result":{{"type":"INVALID_INPUT_CONTENT"}},"payload":{{"message":"{message}"}}}}'.encode()
    verdict = ask(room, CREATE, f"HTTP/1.1 400 Bad\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    assert (verdict.meaning, verdict.status) == (Meaning.REJECTED, 400)


@pytest.mark.parametrize("name", [".", "..", "\\ud800", "a\\u001b", " a", "", "x" * 201])
def test_a_name_that_cannot_be_used_is_no_acknowledgement(room: tuple[Venue, Client], name: str) -> None:
    body = f'{{"result":{{"type":"OPERATION_PERFORMED"}},"payload":{{"parent_signal_id":"{name}","result":"success"}}}}'
    raw = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
    assert ask(room, CREATE, raw).meaning is Meaning.LOST
