"""The client on real connections: which are kept, what they carry, and when they are given up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from backtest.model.calls import Call, Cancel, CreateSignal
from backtest.model.events import SignalRef
from backtest.venue.client import AsyncClient, Client
from backtest.venue.rate import RateLimit
from backtest.venue.timeouts import Timeouts
from backtest.venue.verdict import Meaning, Verdict
from backtest.wire import endpoint_of
from tests.paper_room import credentials
from tests.raw_server import RawServer, answer, drip, http

if TYPE_CHECKING:
    from collections.abc import Sequence

CREATE = CreateSignal(
    coin="BTC",
    trade_market="USDT",
    exchange="BINANCE",
    invest=5.0,
    entry_price_max=98.0,
    targets=(105.0,),
    stop_loss=90.0,
)
CANCEL = Cancel(SignalRef("s1"))
DONE = http(
    "200 OK", {"result": {"type": "OPERATION_PERFORMED"}, "payload": {"parent_signal_id": "p1", "result": "success"}}
)


def send(kind: str, url: str, calls: Sequence[Call], **options: Any) -> list[Verdict]:
    """Send calls one after another with one client."""
    requests = [endpoint_of(call, None if isinstance(call, CreateSignal) else "p1") for call in calls]
    options = {"rate": RateLimit(100), **options}
    if kind == "sync":
        with Client(credentials(url), **options) as client:
            return [client.send(request) for request in requests]

    async def run() -> list[Verdict]:
        async with AsyncClient(credentials(url), **options) as client:
            return [await client.send(request) for request in requests]

    return asyncio.run(run())


BOTH = pytest.mark.parametrize("kind", ["sync", "async"])


@BOTH
def test_a_create_says_that_its_connection_ends(kind: str) -> None:
    with RawServer(answer(DONE)) as server:
        send(kind, server.url, [CANCEL, CREATE, CANCEL])
    assert [b"connection: close" in request.lower() for request in server.requests] == [False, True, False]


@BOTH
def test_nothing_packed_is_asked_for(kind: str) -> None:
    with RawServer(answer(DONE)) as server:
        send(kind, server.url, [CREATE, CANCEL])
    assert [b"\r\naccept-encoding: identity\r\n" in request.lower() for request in server.requests] == [True, True]


@BOTH
def test_an_answer_without_end_is_cut_and_unknown(kind: str) -> None:
    with RawServer(answer(http("200 OK", b" " * 70_000))) as server:
        (found,) = send(kind, server.url, [CREATE])
    assert (found.meaning, found.error) == (Meaning.LOST, "TooLong")


@BOTH
def test_the_deadline_ends_a_head_that_comes_in_drops(kind: str) -> None:
    limits = Timeouts(connect=0.1, write=1.0, read=30.0, pool=0.1, total=0.4)
    with RawServer(drip(DONE, first=20, every=0.02)) as server:
        (found,) = send(kind, server.url, [CREATE], timeouts=limits)
    assert found.meaning is Meaning.LOST


@BOTH
def test_no_proxy_of_the_environment_is_told_a_call(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(answer(DONE)) as proxy, RawServer(answer(DONE)) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert [each.meaning for each in send(kind, server.url, [CREATE, CANCEL])] == [Meaning.ACKED] * 2
        assert (len(proxy.requests), len(server.requests)) == (0, 2)


class Hesitant(deque[float]):
    """Lets every other thread go on between a look at what was sent and what is written after it."""

    def __len__(self) -> int:
        found = super().__len__()
        time.sleep(0.02)
        return found


def test_threads_share_one_limit() -> None:
    limit = RateLimit(1, lambda: 0.0)
    limit._sent = Hesitant(maxlen=1)
    waits: list[float] = []
    threads = [threading.Thread(target=lambda: waits.append(limit.take())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [0.0, 60.0, 60.0, 60.0]
