"""The client: methods, rate, waits and silence about secrets, over a transport that is no network."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpcore
import httpx
import pytest

from backtest.errors import (
    InvalidSettingError,
    InvalidSignalError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestRejectedError,
    UnauthorizedError,
    VenueError,
    VenueUnavailableError,
)
from backtest.model.calls import Call, Cancel, CreateSignal, Dca, Rebuy, TakeProfit, TrailingStop, UpdatePrices
from backtest.model.events import SignalRef
from backtest.venue.client import AsyncClient, Client
from backtest.venue.credentials import Credentials
from backtest.venue.deadline import DEADLINE, DeadlineBackend
from backtest.venue.rate import RateLimit
from backtest.venue.timeouts import Timeouts
from backtest.venue.verdict import Meaning, Verdict
from backtest.wire import endpoint_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[httpx.Request], httpx.Response]

S1 = SignalRef("s1")
ACCOUNT = Credentials.load(environment={"ANNY_API_KEY": "key-4f1d9a", "ANNY_API_SECRET": "c2VjcmV0L3dpdGg="})
DONE = {"result": {"type": "OPERATION_PERFORMED", "ttl": 5}, "payload": {"parent_signal_id": "p1", "result": "success"}}


def create(version: int = 2) -> CreateSignal:
    return CreateSignal(
        coin="BTC",
        trade_market="USDT",
        exchange="BINANCE",
        invest=10.0,
        entry_price_min=97.0,
        entry_price_max=98.0,
        targets=(105.0,),
        version=1 if version == 1 else 2,
    )


def client(handler: Handler, **options: Any) -> Client:
    return Client(ACCOUNT, transport=httpx.MockTransport(handler), **options)


def replying(status: int, body: object = b"", **headers: str) -> Handler:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _: httpx.Response(status, headers=headers, content=raw)


def raising(error: type[httpx.TransportError]) -> Handler:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error("no luck", request=request)

    return handle


METHODS: list[tuple[str, Call, str, str]] = [
    ("create_v1", create(1), "POST", "/v1/signal"),
    ("create_v2", create(2), "POST", "/v2/signal"),
    ("take_profit", TakeProfit(S1, "market", 100.0), "POST", "/v1/signal/p1/call/takeprofit"),
    ("trailing_stop", TrailingStop(S1, 95.0, 94.0), "POST", "/v1/signal/p1/call/trailingstop"),
    ("rebuy", Rebuy(S1, 90.0, 91.0), "POST", "/v1/signal/p1/call/rebuy"),
    ("dca", Dca(S1, 90.0, 1.5), "POST", "/v1/signal/p1/call/dca"),
    ("update_prices", UpdatePrices(S1, stop_loss=96.0), "PUT", "/v1/signal/p1/updateprice"),
    ("cancel", Cancel(S1), "DELETE", "/v1/signal/p1/cancel"),
]


@pytest.mark.parametrize(("name", "call", "method", "path"), METHODS, ids=[row[0] for row in METHODS])
def test_each_endpoint_has_a_method(name: str, call: Call, method: str, path: str) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=DONE)

    parent = () if isinstance(call, CreateSignal) else ("p1",)
    with client(handle) as anny:
        first = getattr(anny, name)(call, *parent)

    async def run() -> object:
        async with AsyncClient(ACCOUNT, transport=httpx.MockTransport(handle)) as later:
            return await getattr(later, name)(call, *parent)

    assert asyncio.run(run()) == first
    assert (first.parent_signal_id, first.ttl) == ("p1", 5.0)
    for request in seen:
        assert (request.method, request.url.path) == (method, path)
        assert request.content == endpoint_of(call, *parent).body
        assert request.headers["anny-api-key"] == "key-4f1d9a"
        assert request.headers["anny-api-secret"] == "c2VjcmV0L3dpdGg="
    assert len(seen) == 2


def test_create_of_another_version_is_refused_before_it_is_sent() -> None:
    with client(replying(500)) as anny:
        for send, version in ((anny.create_v1, 2), (anny.create_v2, 1)):
            with pytest.raises(InvalidSignalError, match="version"):
                send(create(version))


# The outcome table of the emitter, one row for each line
NEVER_SENT: list[type[httpx.TransportError]] = [
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
]
MAY_HAVE_ARRIVED: list[type[httpx.TransportError]] = [
    httpx.ReadTimeout,
    httpx.WriteTimeout,
    httpx.ReadError,
    httpx.WriteError,
    httpx.CloseError,
    httpx.RemoteProtocolError,
    httpx.LocalProtocolError,
    httpx.ProxyError,
]
STATUSES: dict[int, type[VenueError]] = {
    **dict.fromkeys((300, 301, 302, 303, 304, 307, 308, 401, 403), UnauthorizedError),
    **dict.fromkeys((400, 404, 405, 409, 413, 415, 422, 431), RequestRejectedError),
    **dict.fromkeys((408, 499, 500, 501, 502, 503, 504, 520, 599), OutcomeUnknownError),
    **dict.fromkeys((200, 201, 202, 204, 206), OutcomeUnknownError),
    429: RateLimitedError,
}


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        *((raising(kind), VenueUnavailableError) for kind in NEVER_SENT),
        *((raising(kind), OutcomeUnknownError) for kind in MAY_HAVE_ARRIVED),
        *((replying(status), error) for status, error in STATUSES.items()),
    ],
    ids=[*(kind.__name__ for kind in [*NEVER_SENT, *MAY_HAVE_ARRIVED]), *map(str, STATUSES)],
)
@pytest.mark.parametrize("call", [create(), Cancel(S1)], ids=["class N", "class I"])
def test_outcome_table(call: Call, handler: Handler, error: type[VenueError]) -> None:
    parent = None if isinstance(call, CreateSignal) else "p1"
    with client(handler) as anny:
        verdict = anny.perform(call, parent)
    with pytest.raises(VenueError) as caught:
        verdict.require()
    assert type(caught.value) is error
    assert not verdict.performed
    assert verdict.error or verdict.status


def test_error_of_no_known_class_is_unknown() -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        raise RuntimeError("out of the blue")

    with client(handle) as anny, pytest.raises(OutcomeUnknownError, match="RuntimeError: out of the blue"):
        anny.create_v2(create()).require()


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"retry-after": "3"}, {"error": "x", "retryAfterMs": 1500}, 3.0),
        ({"retry-after": "1"}, {"error": "x", "retryAfterMs": 1500}, 1.5),
        ({}, {"error": "x", "retryAfterMs": 250}, 0.25),
        ({"retry-after": "7"}, b"<html>", 7.0),
        ({"retry-after": "0"}, b"", 0.0),
        ({}, b"", 60.0),
        ({}, {"error": "x", "retryAfterMs": -5}, 60.0),
        ({"retry-after": "soon"}, {"error": "x", "retryAfterMs": "soon"}, 60.0),
        ({"retry-after": "99999999999"}, b"", 86400.0),
        (
            {"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"},
            {"error": "x", "retryAfterMs": 1000},
            30.0,
        ),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"}, b"", 0.0),
        ({}, {"result": {"type": "RATE_LIMIT", "retryAfterMs": 4000}}, 4.0),
    ],
)
def test_wait_after_429_is_the_longer_of_the_two(headers: dict[str, str], body: object, wait: float) -> None:
    with client(replying(429, body, **headers)) as anny, pytest.raises(RateLimitedError) as caught:
        anny.create_v2(create()).require()
    assert caught.value.retry_after == wait


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"result": {"type": "INVALID_INPUT_CONTENT", "message": "stop_loss is wrong"}}, "stop_loss is wrong"),
        ({"result": {"type": "INVALID_INPUT_MISSING"}, "payload": {"field": "coin"}}, "INVALID_INPUT_MISSING (coin)"),
        ({"error": "bad coin"}, "400 (bad coin)"),
        ({"error": 5}, "refused: 400"),
        (["bad"], "refused: 400"),
        (b"bad", "refused: 400"),
    ],
)
def test_rejection_says_what_the_venue_said(body: object, reason: str) -> None:
    with client(replying(400, body)) as anny:
        verdict = anny.create_v2(create())
    assert reason in verdict.reason
    assert (verdict.meaning, verdict.status) == (Meaning.REJECTED, 400)


def test_unknown_create_is_to_be_looked_at_and_unknown_cancel_may_be_repeated() -> None:
    with client(replying(500)) as anny:
        assert "look at the venue" in anny.create_v2(create()).reason
        assert "may be sent again" in anny.cancel(Cancel(S1), "p1").reason


def test_redirect_is_never_followed() -> None:
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(307, headers={"location": "https://elsewhere.example/v2/signal"})

    with client(handle) as anny, pytest.raises(UnauthorizedError, match="never followed"):
        anny.create_v2(create()).require()
    assert seen == ["https://api.anny.trade/v2/signal"]


@pytest.mark.parametrize(("url", "told"), [("https://api.anny.trade", None), ("http://127.0.0.1:9", "true")])
def test_our_own_key_goes_to_a_venue_on_this_machine_only(url: str, told: str | None) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=DONE)

    secrets = {"ANNY_API_KEY": "key-4f1d9a", "ANNY_API_SECRET": "c2VjcmV0L3dpdGg=", "ANNY_BASE_URL": url}
    account = Credentials.load(environment=secrets)
    with Client(account, transport=httpx.MockTransport(handle)) as anny:
        anny.update_prices(UpdatePrices(S1, stop_loss=96.0, allow_marketable=True), "p1")
        anny.update_prices(UpdatePrices(S1, stop_loss=96.0), "p1")
    assert [request.headers.get("paper-allow-marketable") for request in seen] == [told, None]
    assert seen[0].content == seen[1].content == b'{"parent_signal_id":"p1","stop_loss":"96"}'


def test_a_host_that_nobody_knows_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # no test asks the network's own name servers
    sentence = "no connection to https://api.anny.trade"

    async def run() -> None:
        async with AsyncClient(ACCOUNT) as anny:
            (await anny.create_v2(create())).require()

    with Client(ACCOUNT) as anny, pytest.raises(VenueUnavailableError, match=sentence):
        anny.create_v2(create()).require()
    with pytest.raises(VenueUnavailableError, match=sentence):
        asyncio.run(run())


class Clock:
    """A clock that stands still until somebody sleeps on it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_limit_holds_back_without_sending() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=DONE)

    clock = Clock()
    with client(handle, rate=RateLimit(2, clock)) as anny:
        anny.create_v2(create())
        clock.sleep(20.0)
        anny.create_v2(create())
        assert anny.rate.delay() == 40.0
        held = anny.create_v2(create())
        reason = "create_v2 was held back by the client's own rate limit; sending it is allowed in 40 s"
        assert held == Verdict(Meaning.LATER, reason, error="LocalRateLimit", wait=40.0)
        clock.sleep(40.0)
        anny.create_v2(create())
    assert len(seen) == 3


def test_limit_is_waited_for_where_there_is_a_sleep() -> None:
    clock = Clock()
    with client(replying(200, DONE), rate=RateLimit(2, clock), sleep=clock.sleep) as anny:
        for _ in range(5):
            anny.create_v2(create())
    assert clock.now == 1_700_000_000.0 + 120.0

    async def run() -> None:
        async def sleep(seconds: float) -> None:
            clock.sleep(seconds)

        transport = httpx.MockTransport(replying(200, DONE))
        async with AsyncClient(ACCOUNT, rate=RateLimit(1, clock), transport=transport, sleep=sleep) as anny:
            await anny.create_v2(create())
            await anny.create_v2(create())
        async with AsyncClient(ACCOUNT, rate=RateLimit(1, clock), transport=transport) as anny:
            await anny.create_v2(create())
            assert (await anny.create_v2(create())).meaning is Meaning.LATER

    asyncio.run(run())
    assert clock.now == 1_700_000_000.0 + 180.0


def test_limit_counts_what_another_process_sent() -> None:
    rate = RateLimit(2, lambda: 1000.0)
    rate.remember([61.0, 50.0])
    assert (rate.left, rate.delay()) == (1, 0.0)
    rate.remember([-5.0])  # a clock that was set back: as if just now
    assert (rate.left, rate.delay()) == (0, 10.0)


def test_limit_is_a_sliding_window() -> None:
    clock = Clock()
    rate = RateLimit(8, clock)
    sent = []
    for _ in range(40):
        clock.sleep(rate.take())
        sent.append(clock.now)
        clock.sleep(1.0)
        rate.take()
    assert rate.per_minute == 8
    assert all(sum(start <= at < start + 60.0 for at in sent) <= 8 for start in sent)


@pytest.mark.parametrize("per_minute", [0, -1, 1.5, True, "8"])
def test_limit_is_a_whole_number(per_minute: Any) -> None:
    with pytest.raises(InvalidSettingError, match="rate limit"):
        RateLimit(per_minute)


@pytest.mark.parametrize(
    "seconds", [{"read": 0}, {"total": float("inf")}, {"connect": None}, {"pool": True}, {"total": 14.9}]
)
def test_timeouts_are_never_endless(seconds: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettingError, match="timeout"):
        Timeouts(**seconds)


def test_certificates_are_always_verified_and_no_proxy_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    with Client(ACCOUNT) as anny:
        for lane in (anny._fresh, anny._pooled):
            context = lane._transport._pool._ssl_context  # type: ignore[attr-defined]
            assert context.verify_mode is ssl.CERT_REQUIRED
            assert context.check_hostname
            assert not lane._mounts
            assert not lane.follow_redirects
            assert None not in lane.timeout.as_dict().values()


def test_connection_whose_deadline_has_passed_neither_reads_nor_writes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = DeadlineBackend().connect_tcp("127.0.0.1", listener.getsockname()[1], timeout=1.0)
        token = DEADLINE.set(time.monotonic() - 1.0)
        with pytest.raises(httpcore.ReadTimeout):
            stream.read(1, timeout=1.0)
        with pytest.raises(httpcore.WriteTimeout):
            stream.write(b"x", timeout=1.0)
        DEADLINE.reset(token)
        stream.close()


def test_head_and_body_of_a_request_leave_in_one_piece() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = DeadlineBackend().connect_tcp("127.0.0.1", listener.getsockname()[1], timeout=1.0)
        other, _ = listener.accept()
        with other:
            stream.write(b"head,", timeout=1.0)
            other.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.recv(100)
            stream.write(b"body,", timeout=1.0)
            other.settimeout(1.0)
            assert other.recv(100) == b"head,body,"
            stream.write(b"rest,", timeout=1.0)
            assert other.recv(100) == b"rest,"
            other.sendall(b"answer")
            assert stream.read(100, timeout=1.0) == b"answer"
            stream.write(b"a head alone", timeout=1.0)
            other.sendall(b"answer")
            assert stream.read(100, timeout=1.0) == b"answer"
            assert other.recv(100) == b"a head alone"
        stream.close()
