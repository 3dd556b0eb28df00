"""Faults: what can go wrong between a call and its answer, for rehearsal."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.venue.guard import answer
from backtest.wire.answer import rate_limited

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["FAULTS", "Fault", "FaultPlan", "FaultyApp"]

FAULTS = {
    "none": "nothing goes wrong",
    "latency": "the call takes effect and is answered after latency:MS milliseconds",
    "429": '429 as {"error": ..., "retryAfterMs": MS}',
    "429-result": "429 with the same inside `result`",
    "500-before": "500 CRITICAL, the call took no effect",
    "500-after": "500 CRITICAL, the call took effect",
    "drop-before": "the connection ends without an answer, the call took no effect",
    "drop-after": "the connection ends without an answer, the call took effect",
    "hang-before": "no answer until the client goes away, the call took no effect",
    "hang-after": "no answer until the client goes away, the call took effect",
    "cut": "the call took effect, the answer ends in its middle",
    "malformed": "the call took effect, the answer is 200 with a body that is no JSON",
    "redirect": "307 to another place, the call took no effect",
}
"""By name, with what they do; ``NAME:MS`` gives some of them their milliseconds."""

_CRITICAL = {"result": {"type": "CRITICAL"}, "payload": {"result": "error", "message": "a rehearsed fault"}}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong; ``milliseconds`` for ``latency`` and both 429."""

    name: str = "none"
    milliseconds: int = 0

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``NAME`` or ``NAME:MS``.

        Raises
        ------
        InvalidSettingError
            Naming the known faults.
        """
        name, _, number = text.partition(":")
        if name not in FAULTS:
            known = f"there are {', '.join(FAULTS)}.{did_you_mean(name, FAULTS)}"
            raise InvalidSettingError(f"there is no fault {name!r}; {known}")
        if number and not (number.isascii() and number.isdigit() and len(number) < 7):
            raise InvalidSettingError(f"a fault is written NAME or NAME:MILLISECONDS, was {text!r}")
        return cls(name, int(number or 0))


class FaultPlan:
    """Says which fault the next call meets: those of the plan first, then by chance.

    Parameters
    ----------
    chances
        ``NAME@0.05`` or ``NAME:MS@0.05``: a share of all calls.
    seed
        Of the chance, so that a rehearsal can be repeated.
    """

    def __init__(self, chances: Iterable[str] = (), seed: int = 0) -> None:
        self._chances = [_chance(text) for text in chances]
        self._random = random.Random(seed)  # noqa: S311 - a rehearsal, to be repeated
        self._plan: deque[Fault] = deque()

    def plan(self, faults: Iterable[str]) -> int:
        """Put faults in place of what was planned, for the next calls in this order; return how many."""
        found = [Fault.parse(text) for text in faults]
        self._plan = deque(found)
        return len(found)

    def next(self, named: str | None = None) -> Fault:
        """Return the fault of the next call; ``named`` is the one that its header asks for."""
        if named is not None:
            return Fault.parse(named)
        if self._plan:
            return self._plan.popleft()
        draw = self._random.random() if self._chances else 1.0
        for fault, share in self._chances:
            if draw < share:
                return fault
            draw -= share
        return Fault()


def _chance(text: str) -> tuple[Fault, float]:
    fault, _, share = text.partition("@")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if not 0.0 < value <= 1.0:
        raise InvalidSettingError(f"a fault by chance is written NAME@SHARE with a share from 0 to 1, was {text!r}")
    return Fault.parse(fault), value


class FaultyApp:
    """An ASGI application in which the calls of the Signal API meet faults; everything else passes.

    Parameters
    ----------
    app
        The application behind it.
    faults
        What each call meets. Bodies were read whole before (:class:`backtest.venue.guard.GuardedApp`).
    """

    def __init__(self, app: ASGIApp, faults: FaultPlan) -> None:
        self.app, self.faults = app, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(("/v1/", "/v2/")):
            await self.app(scope, receive, send)
            return
        named = dict(scope["headers"]).get(b"paper-fault")
        try:
            fault = self.faults.next(None if named is None else named.decode("latin-1"))
        except InvalidSettingError as error:
            await answer(send, 400, {"result": {"type": "INVALID_INPUT_CONTENT"}, "payload": {"message": str(error)}})
            return
        await self._serve(fault, scope, receive, send)

    async def _serve(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        name = fault.name
        if name in {"none", "latency"}:
            await asyncio.sleep(fault.milliseconds / 1000.0)
            await self.app(scope, receive, send)
            return
        body = (await receive())["body"]  # whole: it was counted before it came here
        heard: list[Message] = []
        if name in {"500-after", "drop-after", "hang-after", "cut", "malformed"}:
            await self._perform(scope, body, heard)
        if name.startswith("429"):
            flat = rate_limited(fault.milliseconds or 1000)
            both = flat if name == "429" else {"result": {"type": "TOO_MANY_REQUESTS", **flat}}
            await answer(send, 429, both)
        elif name.startswith("500"):
            await answer(send, 500, _CRITICAL)
        elif name == "redirect":
            await answer(send, 307, {}, (b"location", b"http://127.0.0.1:9/"))
        elif name == "malformed":
            await answer(send, 200, b'{"result": {"type": "OPERATION_PERFORMED"')
        elif name == "cut":
            await _cut(send, heard)
        else:
            if name.startswith("hang"):
                await _gone(receive)
            await _drop(send)

    async def _perform(self, scope: Scope, body: bytes, heard: list[Message]) -> None:
        """Let the call take effect and keep its answer."""

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def keep(message: Message) -> None:
            heard.append(message)

        await self.app(scope, receive, keep)


async def _cut(send: Send, heard: list[Message]) -> None:
    """Send half of an answer, then end the connection."""
    body = b"".join(message.get("body", b"") for message in heard)
    await send(heard[0])
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    await _drop(send, flush=True)


async def _gone(receive: Receive) -> None:
    """Wait until the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drop(send: Send, *, flush: bool = False) -> None:
    """End the connection; uvicorn's ``send`` is a method of the object that holds the transport."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        (transport.close if flush else transport.abort)()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0.01)  # the server hears of it before it misses the answer
