"""The table that decides, over real sockets: every way an answer can fail to come, for both clients."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from backtest.errors import (
    OutcomeUnknownError,
    RateLimitedError,
    RequestRejectedError,
    UnauthorizedError,
    VenueError,
    VenueUnavailableError,
)
from backtest.model.calls import Call, Cancel, CreateSignal, TakeProfit
from backtest.model.events import SignalRef
from backtest.venue.client import AsyncClient, Client
from backtest.venue.credentials import Credentials
from backtest.venue.timeouts import Timeouts
from backtest.venue.verdict import Meaning
from backtest.wire import Request, endpoint_of
from tests.raw_server import RawServer, answer, drip, http, reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backtest.venue.verdict import Verdict

    Behaviour = Callable[[RawServer, socket.socket], None]

KEY, SECRET = "key-4f1d9a", "c2VjcmV0L3dpdGgrc2lnbnM9PQ=="
PATIENT = Timeouts(connect=5.0, pool=5.0, read=10.0, write=10.0, total=30.0)
"""For answers that come, or break off, at once: a busy machine must not turn them into a timeout."""
QUICK = Timeouts(connect=0.4, pool=0.05, read=0.2, write=0.2, total=0.9)
"""For those that never come."""
S1 = SignalRef("s1")
CREATE = endpoint_of(
    CreateSignal(
        coin="BTC",
        trade_market="USDT",
        exchange="BINANCE",
        invest=10.0,
        entry_price_max=68000.0,
        targets=(72000.0,),
        type=None,
    )
)
CANCEL = endpoint_of(Cancel(S1), "abc123")
DONE = {"result": {"type": "OPERATION_PERFORMED"}, "payload": {"parent_signal_id": "abc123", "result": "success"}}
INSIDE = {"result": {"type": "OPERATION_PERFORMED", "payload": {"parent_signal_id": "abc123", "result": "success"}}}
NO_ID = {"result": {"type": "OPERATION_PERFORMED"}, "payload": {"result": "success"}}
FAILED = {"result": {"type": "OPERATION_PERFORMED"}, "payload": {"parent_signal_id": "abc123", "result": "failed"}}
WRONG = {"result": {"type": "INVALID_INPUT_CONTENT"}, "payload": {"field": "stop_loss", "message": "stop_loss was 5"}}


def half_close(server: RawServer, connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    server.over.wait(0.3)


def silence(server: RawServer, _: socket.socket) -> None:
    server.over.wait(1.0)


def chunked(connection: socket.socket, *pieces: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"".join(pieces))


def cut_chunk(_: RawServer, connection: socket.socket) -> None:
    chunked(connection, b"40\r\n", b'{"result":{"type"')
    connection.shutdown(socket.SHUT_RDWR)


def endless(server: RawServer, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not server.over.is_set():
        connection.sendall(b" " * 262_144)


def send_sync(credentials: Credentials, request: Request, timeouts: Timeouts = PATIENT) -> Verdict:
    with Client(credentials, timeouts=timeouts) as client:
        return client.send(request)


def send_async(credentials: Credentials, request: Request, timeouts: Timeouts = PATIENT) -> Verdict:
    async def send() -> Verdict:
        async with AsyncClient(credentials, timeouts=timeouts) as client:
            return await client.send(request)

    return asyncio.run(send())


def credentials(url: str) -> Credentials:
    return Credentials.load(environment={"ANNY_API_KEY": KEY, "ANNY_API_SECRET": SECRET, "ANNY_BASE_URL": url})


BOTH = pytest.mark.parametrize("send", [send_sync, send_async], ids=["sync", "async"])

# behaviour, error, what the evidence shows
OUTCOMES: dict[str, tuple[Behaviour, type[VenueError], str]] = {
    "reset before the reply": (reset, OutcomeUnknownError, ""),
    "close before the reply": (answer(b"", close=True), OutcomeUnknownError, ""),
    "half-close without a reply": (half_close, OutcomeUnknownError, ""),
    "silence": (silence, OutcomeUnknownError, ""),
    "half a status line": (answer(b"HTTP/1.1 2", close=True), OutcomeUnknownError, ""),
    "no HTTP": (answer(b"SSH-2.0-OpenSSH_9.6\r\n", close=True), OutcomeUnknownError, ""),
    "half the headers": (answer(b"HTTP/1.1 200 OK\r\ncontent-le", close=True), OutcomeUnknownError, ""),
    "cut body": (answer(http("200 OK", DONE)[:-9], close=True), OutcomeUnknownError, "OPERATION"),
    "cut chunk": (cut_chunk, OutcomeUnknownError, "result"),
    "headers that drip": (drip(http("200 OK", DONE)), OutcomeUnknownError, ""),
    "body that drips": (drip(http("200 OK", DONE), first=60), OutcomeUnknownError, "res"),
    "length too long": (answer(http("200 OK", DONE, length=900), close=True), OutcomeUnknownError, "OPERATION"),
    "length too short": (answer(http("200 OK", DONE, length=40), close=True), OutcomeUnknownError, "OPERATION"),
    "length twice": (answer(http("200 OK", DONE, "content-length: 7"), close=True), OutcomeUnknownError, ""),
    "endless body": (endless, OutcomeUnknownError, ""),
    "gzip that is none": (answer(http("200 OK", DONE, "content-encoding: gzip")), OutcomeUnknownError, ""),
    "301": (answer(http("301 Moved", b"", "location: https://elsewhere.example/")), UnauthorizedError, "301"),
    "302": (answer(http("302 Found", b"", "location: /login")), UnauthorizedError, "302"),
    "307": (answer(http("307 Temporary Redirect", b"", "location: http://127.0.0.1:9/")), UnauthorizedError, "307"),
    "400": (answer(http("400 Bad Request", WRONG)), RequestRejectedError, "stop_loss was 5"),
    "400, cut": (answer(http("400 Bad Request", WRONG, length=900), close=True), RequestRejectedError, "stop_loss"),
    "401": (answer(http("401 Unauthorized")), UnauthorizedError, "401"),
    "403": (answer(http("403 Forbidden", {"result": {"type": "UNAUTHORIZED"}})), UnauthorizedError, "UNAUTHORIZED"),
    "404": (answer(http("404 Not Found", b"<html>")), RequestRejectedError, "<html>"),
    "408": (answer(http("408 Request Timeout")), OutcomeUnknownError, "408"),
    "429": (answer(http("429 Too Many", {"error": "x", "retryAfterMs": 1500})), RateLimitedError, "retryAfterMs"),
    "429, other envelope": (answer(http("429 Too Many", {"result": {"type": "RATE"}})), RateLimitedError, "RATE"),
    "500": (answer(http("500 Oops", {"result": {"type": "CRITICAL"}})), OutcomeUnknownError, "CRITICAL"),
    "502": (answer(http("502 Bad Gateway", b"<html>")), OutcomeUnknownError, "<html>"),
    "503": (answer(http("503 Busy", b"", "retry-after: 1")), OutcomeUnknownError, "503"),
    "200 with html": (answer(http("200 OK", b"<html>maintenance</html>")), OutcomeUnknownError, "maintenance"),
    "200 without success": (answer(http("200 OK", FAILED)), OutcomeUnknownError, "failed"),
    "200 without a payload": (answer(http("200 OK", {"result": {"type": "X"}})), OutcomeUnknownError, "X"),
    "200 without a body": (answer(http("200 OK")), OutcomeUnknownError, "200"),
    "202": (answer(http("202 Accepted", DONE)), OutcomeUnknownError, "202"),
}
NEVER = ("silence", "headers that drip", "body that drips")


@BOTH
@pytest.mark.parametrize("request_", [CREATE, CANCEL], ids=["class N", "class I"])
@pytest.mark.parametrize(("behaviour", "error", "seen"), OUTCOMES.values(), ids=OUTCOMES)
def test_answer_is_classed_and_the_request_sent_once(
    behaviour: Behaviour,
    error: type[VenueError],
    seen: str,
    request_: Request,
    send: Callable[[Credentials, Request, Timeouts], Verdict],
) -> None:
    waits = behaviour in {OUTCOMES[name][0] for name in NEVER}
    with RawServer(behaviour) as server:
        verdict = send(credentials(server.url), request_, QUICK if waits else PATIENT)
    with pytest.raises(error) as caught:
        verdict.require()
    assert type(caught.value) is error
    assert seen in f"{verdict.status} {verdict.result_type} {verdict.body}"
    assert len(verdict.body) <= 500
    assert verdict.status is not None or verdict.error
    assert (server.connections, len(server.requests)) == (1, 1)


@BOTH
def test_create_without_an_id_is_unknown_but_a_cancel_needs_none(
    send: Callable[[Credentials, Request], Verdict],
) -> None:
    with RawServer(answer(http("200 OK", NO_ID))) as server:
        assert "parent_signal_id" in send(credentials(server.url), CREATE).reason
        done = send(credentials(server.url), CANCEL)
    assert (done.performed, done.parent_signal_id) == (True, None)


@BOTH
@pytest.mark.parametrize("body", [DONE, INSIDE], ids=["payload beside result", "payload inside result"])
def test_success_is_acknowledged_from_either_envelope(
    body: object, send: Callable[[Credentials, Request], Verdict]
) -> None:
    with RawServer(answer(http("200 OK", body))) as server:
        acked = send(credentials(server.url), CREATE)
    assert acked.parent_signal_id == "abc123"
    assert acked.status == 200


@BOTH
def test_success_may_come_in_chunks(send: Callable[[Credentials, Request], Verdict]) -> None:
    def behave(_: RawServer, connection: socket.socket) -> None:
        raw = http("", DONE).partition(b"\r\n\r\n")[2]
        chunked(connection, b"10\r\n", raw[:16], b"\r\n", f"{len(raw) - 16:x}\r\n".encode(), raw[16:], b"\r\n0\r\n\r\n")

    with RawServer(behave) as server:
        assert send(credentials(server.url), CREATE).parent_signal_id == "abc123"


@BOTH
def test_request_on_the_wire_is_the_vendors(send: Callable[[Credentials, Request], Verdict]) -> None:
    take = endpoint_of(TakeProfit(S1, "market", 100.0), "a/../b é")
    with RawServer(answer(http("200 OK", DONE))) as server:
        send(credentials(server.url), take)
        send(credentials(server.url), CANCEL)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/signal/a%2F..%2Fb%20%C3%A9/call/takeprofit HTTP/1.1\r\n")
    assert body == take.body
    for line in (f"anny-api-key: {KEY}", f"anny-api-secret: {SECRET}", "content-type: application/json"):
        assert line.encode() in head.lower() or line.encode() in head
    assert server.requests[1].startswith(b"DELETE /v1/signal/abc123/cancel HTTP/1.1\r\n")
    assert server.requests[1].endswith(b'{"parent_signal_id":"abc123"}')


@BOTH
@pytest.mark.parametrize("request_", [CREATE, CANCEL], ids=["class N", "class I"])
def test_closed_port_is_not_sent(request_: Request, send: Callable[[Credentials, Request], Verdict]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(VenueUnavailableError, match="was not sent"):
        send(credentials(f"http://127.0.0.1:{port}"), request_).require()


@BOTH
@pytest.mark.parametrize(
    "behaviour", [answer(b"HTTP/1.1 400 Bad Request\r\n\r\n", close=True), reset, silence, answer(b"", close=True)]
)
def test_tls_that_fails_is_not_sent(
    behaviour: Behaviour, send: Callable[[Credentials, Request, Timeouts], Verdict]
) -> None:
    with RawServer(behaviour, reads=False) as server, pytest.raises(VenueUnavailableError):
        send(credentials(f"https://127.0.0.1:{server.port}"), CREATE, QUICK).require()


def calls() -> list[tuple[Call, str | None]]:
    create = CreateSignal(
        coin="BTC", trade_market="USDT", exchange="BINANCE", invest=1.0, entry_price_max=2.0, targets=(3.0,)
    )
    return [(create, None), (create, None), (TakeProfit(S1, "market", 100.0), "abc123")]


def test_class_n_opens_a_connection_each_and_class_i_keeps_one() -> None:
    with RawServer(answer(http("200 OK", DONE))) as server, Client(credentials(server.url), timeouts=PATIENT) as client:
        for _ in range(3):
            client.cancel(Cancel(S1), "abc123")
        assert server.connections == 1
        for call, parent in calls():
            client.perform(call, parent)
        assert server.connections == 4
        client.cancel(Cancel(S1), "abc123")
        assert server.connections == 4


def test_what_comes_behind_an_answer_answers_no_other_call() -> None:
    refused, done = http("400 Bad Request", WRONG), http("200 OK", DONE)
    for first in (done + done, done + done[:40]):
        replies = iter([first, refused])

        def behave(_: RawServer, connection: socket.socket, replies: Iterator[bytes] = replies) -> None:
            connection.sendall(next(replies))

        with RawServer(behave) as server, Client(credentials(server.url), timeouts=PATIENT) as client:
            heard = [client.exchange(CANCEL) for _ in range(2)]
            assert [one.meaning for one in heard] == [Meaning.ACKED, Meaning.REJECTED]
            assert (len(server.requests), server.connections) == (2, 2)


def test_async_class_n_opens_a_connection_each_and_class_i_keeps_one() -> None:
    async def run(server: RawServer) -> None:
        async with AsyncClient(credentials(server.url), timeouts=PATIENT) as client:
            for _ in range(3):
                await client.cancel(Cancel(S1), "abc123")
            assert server.connections == 1
            for call, parent in calls():
                await client.perform(call, parent)
            assert server.connections == 4
            await client.cancel(Cancel(S1), "abc123")
            assert server.connections == 4

    with RawServer(answer(http("200 OK", DONE))) as server:
        asyncio.run(run(server))


def test_pooled_connection_that_went_stale_is_unknown_or_reopened_but_never_silent() -> None:
    with (
        RawServer(answer(http("200 OK", DONE), close=True)) as server,
        Client(credentials(server.url), timeouts=PATIENT) as client,
    ):
        heard = [client.cancel(Cancel(S1), "abc123").meaning for _ in range(3)]
    assert heard[0] is Meaning.ACKED
    assert set(heard) <= {Meaning.ACKED, Meaning.LOST}
