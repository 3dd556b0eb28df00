"""Client: the eight endpoints over HTTPS, each call sent once; with ``webhook`` the only place that imports httpx.

A class N request (create and ``call/*``) opens a connection of its own, so that a stale pooled one never makes its
outcome unknown. Nothing here retries and nothing is raised for what a venue does: the verdict says what a try proved.
An answer is read as the bytes that came, counted before anything looks into them; a content encoding is refused.

No proxy and no certificate is taken from the environment, and TLS verification cannot be switched off.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Coroutine
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import httpcore
import httpx

from backtest.venue.deadline import DEADLINE, keep_only_whole
from backtest.venue.endpoints import Endpoints, Sent
from backtest.venue.failpoint import network_backend
from backtest.venue.guard import MARKETABLE_HEADER
from backtest.venue.rate import RateLimit
from backtest.venue.timeouts import Timeouts
from backtest.venue.verdict import Failure, Reply, Verdict, failed, held_back, judged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator
    from types import TracebackType
    from typing import Self

    from backtest.venue.credentials import Credentials
    from backtest.wire.request import Request

__all__ = ["TALKATIVE", "AsyncClient", "Client", "FreshTransport", "post_once", "posted"]

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Raised before a byte of the request leaves. ``RemoteProtocolError`` and the read and write errors are not."""

_MOST_BYTES = 65_536
_UNHEEDED = ("location", "set-cookie")
"""Headers that httpx would act on: a redirect is never followed, and no cookie is kept."""
TALKATIVE = ("httpx", "httpcore.connection", "httpcore.http11")
"""Loggers that would name addresses."""


class _Common(Endpoints[Sent]):
    """What both clients share: everything but the waiting."""

    max_lag: int | None = None
    """How long after its close a call may come, ms: the Signal API leaves that to us."""

    def __init__(self, credentials: Credentials, rate: RateLimit | None, timeouts: Timeouts | None) -> None:
        self.base_url = credentials.base_url
        self.rate = rate or RateLimit()
        self._timeouts = timeouts or Timeouts()
        self._is_local = credentials.is_local
        self._redactor = credentials.redactor
        self._auth = _Secrets(credentials)
        for name in TALKATIVE:
            logging.getLogger(name).addFilter(self._redactor)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    def _options(self) -> dict[str, Any]:
        """Return how both lanes are built."""
        limits = self._timeouts
        timeout = httpx.Timeout(connect=limits.connect, read=limits.read, write=limits.write, pool=limits.pool)
        headers = {"user-agent": "signal-backtest", "accept-encoding": "identity"}
        return {
            "auth": self._auth,
            "follow_redirects": False,
            "headers": headers,
            "timeout": timeout,
            "trust_env": False,
        }

    def _outgoing(self, request: Request) -> dict[str, Any]:
        """Return one request as httpx takes it; the secrets join it on its way out."""
        own = {} if request.repeatable else {"connection": "close"}
        if request.allow_marketable and self._is_local:
            own[MARKETABLE_HEADER] = "true"
        url = self.base_url + request.path
        return {"method": request.method, "url": url, "content": request.body, "headers": request.headers | own}

    def _judged(self, request: Request, heard: Reply | Failure) -> Verdict:
        if isinstance(heard, Failure):
            return failed(request, heard, self.base_url, self._redactor)
        return judged(request, heard, self._redactor)

    def _forget(self) -> None:
        for name in TALKATIVE:
            logging.getLogger(name).removeFilter(self._redactor)


class Client(_Common[Verdict]):
    """Sends calls and waits for the answers.

    Parameters
    ----------
    credentials
        The secrets and the venue that they belong to.
    rate
        The client's own limit, 8 requests a minute unless given.
    timeouts
        See :class:`Timeouts`.
    sleep
        How to wait where the limit is reached. None does not wait: the verdict is ``later``, and nothing was sent.
    transport
        For tests, ``httpx.MockTransport``.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        rate: RateLimit | None = None,
        timeouts: Timeouts | None = None,
        sleep: Callable[[float], object] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(credentials, rate, timeouts)
        self._sleep = sleep
        context = tls_context(self.base_url.partition(":")[0])
        self._fresh = httpx.Client(transport=transport or FreshTransport(context, keep_alive=0), **self._options())
        self._pooled = httpx.Client(transport=transport or FreshTransport(context, keep_alive=4), **self._options())

    def send(self, request: Request) -> Verdict:
        """Send one request, once, where the limit allows it; return what came of it."""
        while (wait := self.rate.take()) > 0.0:
            if self._sleep is None:
                return held_back(request, wait)
            self._sleep(wait)
        return self.exchange(request)

    def exchange(self, request: Request) -> Verdict:
        """Send one request, once and now, for whoever has counted it himself (:attr:`rate`); any thread may.

        At the end of the deadline it is over, whatever the venue does.
        """
        return self._judged(request, self._heard(request))

    def close(self) -> None:
        """Close the pooled connections."""
        self._fresh.close()
        self._pooled.close()
        self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _heard(self, request: Request) -> Reply | Failure:
        lane = self._pooled if request.repeatable else self._fresh
        token = DEADLINE.set(time.monotonic() + self._timeouts.total)
        try:
            response = lane.send(lane.build_request(**self._outgoing(request)), stream=True)
            try:
                reply = _reply(response, *_read(response))
                keep_only_whole(response.extensions.get("network_stream"), reply.body)
            finally:
                with suppress(Exception):  # what was heard counts, however the connection ends
                    response.close()
        except Exception as error:  # noqa: BLE001 - whatever it was, the call may have arrived
            return _failure(error)
        finally:
            DEADLINE.reset(token)
        return reply


class AsyncClient(_Common[Coroutine[Any, Any, Verdict]]):
    """Sends calls on asyncio; see :class:`Client`."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        rate: RateLimit | None = None,
        timeouts: Timeouts | None = None,
        sleep: Callable[[float], Awaitable[object]] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(credentials, rate, timeouts)
        self._sleep = sleep
        context = tls_context(self.base_url.partition(":")[0])
        once, kept = httpx.Limits(max_keepalive_connections=0), httpx.Limits(max_keepalive_connections=4)
        fresh = transport or _AsyncTransport(verify=context, trust_env=False, limits=once)
        pooled = transport or _AsyncTransport(verify=context, trust_env=False, limits=kept)
        self._fresh = httpx.AsyncClient(transport=fresh, **self._options())
        self._pooled = httpx.AsyncClient(transport=pooled, **self._options())

    async def send(self, request: Request) -> Verdict:
        """Send one request, once, where the limit allows it; return what came of it."""
        while (wait := self.rate.take()) > 0.0:
            if self._sleep is None:
                return held_back(request, wait)
            await self._sleep(wait)
        return self._judged(request, await self._heard(request))

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._fresh.aclose()
        await self._pooled.aclose()
        self._forget()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _heard(self, request: Request) -> Reply | Failure:
        lane = self._pooled if request.repeatable else self._fresh
        end = asyncio.get_running_loop().time() + self._timeouts.total
        try:
            async with asyncio.timeout_at(end):
                response = await lane.send(lane.build_request(**self._outgoing(request)), stream=True)
            try:
                return _reply(response, *await _read_async(response, end))
            finally:
                with suppress(Exception):
                    await response.aclose()
        except Exception as error:  # noqa: BLE001 - whatever it was, the call may have arrived
            return _failure(error)


class _Secrets(httpx.Auth):
    """Puts the two headers on a request as it leaves, so that no frame of ours holds their values."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["anny-api-key"] = self._credentials.api_key.get_secret_value()
        request.headers["anny-api-secret"] = self._credentials.api_secret.get_secret_value()
        yield request


class FreshTransport(httpx.HTTPTransport):
    """httpx's own transport over connections that end at the deadline of the exchange."""

    def __init__(self, context: ssl.SSLContext, keep_alive: int) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, max_keepalive_connections=keep_alive, network_backend=network_backend()
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer without what httpx would act on."""
        return _inert(super().handle_request(request))


class _AsyncTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport, for asyncio."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer without what httpx would act on."""
        return _inert(await super().handle_async_request(request))


def _inert(response: httpx.Response) -> httpx.Response:
    for name in _UNHEEDED:
        response.headers.pop(name, None)
    return response


def post_once(url: str, content: bytes, timeouts: Timeouts) -> Reply | Failure:
    """Post JSON to an address over a connection of its own, once; return what was heard.

    Nothing is followed, retried or raised, and no proxy is taken from the environment.

    Parameters
    ----------
    url
        Whoever knows it may post there; its text is in no error of ours.
    content
        The bytes.
    timeouts
        See :class:`Timeouts`.
    """
    timeout = httpx.Timeout(connect=timeouts.connect, read=timeouts.read, write=timeouts.write, pool=timeouts.pool)
    try:
        with posted(url, content, timeout, timeouts.total) as response:
            return _reply(response, *_read(response))
    except Exception as error:  # noqa: BLE001 - whatever it was, the call may have arrived
        return _failure(error)


@contextmanager
def posted(url: str, content: bytes, timeout: httpx.Timeout, total: float) -> Iterator[httpx.Response]:
    """Post JSON to an address over a connection of its own, once; yield the answer, whose body is not read yet.

    Nothing is followed or retried, and no proxy is taken from the environment; what fails is raised as httpx has it.

    Parameters
    ----------
    url
        Whoever knows it may post there.
    content
        The bytes.
    timeout
        For each step.
    total
        Seconds after which it is over, whatever the other side does.
    """
    headers = {"content-type": "application/json", "user-agent": "signal-backtest", "accept-encoding": "identity"}
    transport = FreshTransport(tls_context(url.partition(":")[0].lower()), keep_alive=0)
    token = DEADLINE.set(time.monotonic() + total)
    try:
        with httpx.Client(transport=transport, trust_env=False, follow_redirects=False, timeout=timeout) as client:
            request = client.build_request("POST", url, content=content, headers={**headers, "connection": "close"})
            response = client.send(request, stream=True)
            try:
                yield response
            finally:
                with suppress(Exception):
                    response.close()
    finally:
        DEADLINE.reset(token)


@cache
def tls_context(scheme: str) -> ssl.SSLContext:
    """Return the one context of the process: reading the authorities takes longer than a call."""
    if scheme == "https":
        return httpx.create_ssl_context(verify=True, trust_env=False)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and trusts nobody


def _read(response: httpx.Response) -> tuple[bytes, str]:
    """Return the body as it came and, where it was not read to its end, why."""
    if not _is_plain(response):
        return b"", "ContentEncoding"
    body = bytearray()
    try:
        for chunk in cast("httpx.SyncByteStream", response.stream):
            body += chunk[: _MOST_BYTES - len(body)]
            if len(body) == _MOST_BYTES:
                return bytes(body), "TooLong"
    except Exception as error:  # noqa: BLE001 - a cut answer, whatever cut it
        return bytes(body), type(error).__name__
    return bytes(body), ""


async def _read_async(response: httpx.Response, end: float) -> tuple[bytes, str]:
    if not _is_plain(response):
        return b"", "ContentEncoding"
    body = bytearray()
    try:
        async with asyncio.timeout_at(end):
            async for chunk in cast("httpx.AsyncByteStream", response.stream):
                body += chunk[: _MOST_BYTES - len(body)]
                if len(body) == _MOST_BYTES:
                    return bytes(body), "TooLong"
    except Exception as error:  # noqa: BLE001 - a cut answer, whatever cut it
        return bytes(body), type(error).__name__
    return bytes(body), ""


def _is_plain(response: httpx.Response) -> bool:
    """Whether the body is what it says; what 305 bytes unpack to may fill the memory, and nothing packed was asked for."""
    return response.headers.get("content-encoding", "identity").strip().lower() in {"", "identity"}


def _reply(response: httpx.Response, body: bytes, cut: str) -> Reply:
    headers = {name: response.headers[name] for name in ("retry-after", "date") if name in response.headers}
    return Reply(response.status_code, headers, body, cut)


def _failure(error: Exception) -> Failure:
    return Failure(type(error).__name__, str(error), sent=not isinstance(error, _NOT_SENT))
