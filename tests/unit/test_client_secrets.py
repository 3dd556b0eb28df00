"""A grep for the secrets over everything that the client shows, with a venue that echoes them wherever it can."""

from __future__ import annotations

import io
import json
import logging
import traceback
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

from backtest.errors import VenueError
from backtest.model.calls import CreateSignal
from backtest.venue.client import Client
from backtest.venue.credentials import Credentials
from backtest.venue.redaction import MASK, Redactor
from backtest.venue.timeouts import Timeouts
from tests.raw_server import RawServer, http

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

KEY, SECRET = "key-4f1d9a/+", "c2VjcmV0L3dpdGgrc2lnbnM9PQ=="
FORMS = [
    form
    for secret in (KEY, SECRET)
    for form in (secret, quote(secret, safe=""), quote(secret, safe="").lower(), secret.replace("/", "\\/"), secret[:9])
]
CREATE = CreateSignal(
    coin="BTC", trade_market="USDT", exchange="BINANCE", invest=10.0, entry_price_max=98.0, targets=(105.0,)
)
ECHO = {
    "result": {"type": "INVALID_INPUT_CONTENT", "message": f"bad secret {SECRET}"},
    "payload": {"key": KEY, "url": quote(SECRET, safe="")},
}


def account(url: str = "https://api.anny.trade") -> Credentials:
    return Credentials.load(environment={"ANNY_API_KEY": KEY, "ANNY_API_SECRET": SECRET, "ANNY_BASE_URL": url})


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def everything(error: BaseException) -> str:
    """Return what a careless tool would print of an error: the locals of our frames, causes, attributes."""
    inside = error.__traceback__.tb_next if error.__traceback__ else None  # the test's own frame holds the echo
    assert inside is not None
    trace = traceback.TracebackException(type(error), error, inside, capture_locals=True)
    chain = [error.__cause__, error.__context__]
    return "\n".join([*trace.format(), str(error), repr(error), repr(vars(error)), repr(error.args), repr(chain)])


def found(text: str) -> list[str]:
    return [form for form in FORMS if form in text]


@pytest.mark.parametrize(
    "raw",
    [
        *(http(f"{status} {SECRET}", ECHO, f"x-echo: {SECRET}") for status in (200, 302, 400, 403, 408, 429, 500)),
        http("400 Bad", f"<html>{SECRET}".encode()),
        http("400 Bad", json.dumps(ECHO).replace("/", "\\/").encode()),
        http("400 Bad", ("x" * 490 + SECRET).encode()),
        http("400 Bad", f"you sent {SECRET}".encode()[:-4]),
        f"HTTP/1.1 {SECRET}\r\n\r\n".encode(),
        f"{SECRET}\r\n\r\n".encode(),
        b"",
    ],
)
def test_no_secret_in_errors_logs_or_evidence(raw: bytes, log: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    def echo(_: RawServer, connection: socket.socket) -> None:
        connection.sendall(raw)
        connection.close()

    quick = Timeouts(connect=0.1, pool=0.05, read=0.2, write=0.2, total=0.3)
    with RawServer(echo) as server, Client(account(server.url), timeouts=quick) as client:
        verdict = client.create_v2(CREATE)
    with pytest.raises(VenueError) as caught:
        verdict.require()
    assert KEY.encode() in server.requests[0]
    shown = everything(caught.value)
    assert "create_v2" in shown
    assert not found(shown)
    assert not found(json.dumps(asdict(verdict)))
    assert not found(log.getvalue())
    assert not found("".join(capfd.readouterr()))


def test_no_secret_in_the_chain_of_a_transport_error(log: io.StringIO) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError(f"lost {request.headers}", request=request)

    with Client(account(), transport=httpx.MockTransport(handle)) as client, pytest.raises(VenueError) as caught:
        client.create_v2(CREATE).require()
    assert not found(everything(caught.value))
    assert not found(log.getvalue())


def test_no_secret_in_a_repr() -> None:
    mine = account()
    with Client(mine) as client:
        for thing in (mine, client, client._auth, client._fresh, mine.redactor, mine.api_key):
            assert not found(repr(thing) + str(thing))
        assert not found(mine.model_dump_json())
        assert "api.anny.trade" in repr(client)


def test_client_leaves_no_filter_behind() -> None:
    logger = logging.getLogger("httpx")
    before = list(logger.filters)
    with Client(account()):
        assert len(logger.filters) == len(before) + 1
    assert logger.filters == before


def test_redactor_takes_secrets_out_of_a_log_record(log: io.StringIO) -> None:
    logger = logging.getLogger("tests.redaction")
    logger.addFilter(account().redactor)
    try:
        int(SECRET)
    except ValueError:
        logger.exception("sent %s with %s", KEY, {"secret": SECRET})
    assert not found(log.getvalue())
    assert MASK in log.getvalue()
    assert "ValueError" in log.getvalue()


def test_redactor_leaves_other_text_alone() -> None:
    redactor = account().redactor
    assert redactor.clean("stop_loss was 5 key") == "stop_loss was 5 key"
    assert redactor.clean(f"a{SECRET}b{SECRET}c") == f"a{MASK}b{MASK}c"
    assert isinstance(redactor, Redactor)
