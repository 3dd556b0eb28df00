"""Retry: asking again what is worth asking again, bounded, with jitter, and when the server says so."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, TypeVar

from backtest.errors import DataUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["AskAgain", "Retry"]

T = TypeVar("T")
_JITTER = random.SystemRandom()


class AskAgain(Exception):  # noqa: N818  an instruction to the loop below, never seen outside
    """The request failed in a way that may pass.

    Attributes
    ----------
    wait
        Seconds that the server asked to wait (``Retry-After``); 0 where it did not say.
    """

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Retry:
    """Patience with one server, shared by all requests to it.

    Parameters
    ----------
    attempts
        How often a request is sent at most.
    first_wait
        Seconds before the second attempt; doubled for each one after, up to half a minute, each shortened by up to a
        half at random.
    longest_wait
        A server that asks for more seconds than this is given up on at once.
    """

    def __init__(self, attempts: int = 6, first_wait: float = 0.5, longest_wait: float = 120.0) -> None:
        self.attempts = max(1, attempts)
        self.first_wait = first_wait
        self.longest_wait = longest_wait
        self._closed_until = 0.0
        self._refused, self._refused_until = "", 0.0
        self._turn: asyncio.Lock | None = None

    def one_first(self) -> None:
        """Let one request be answered before others are sent, so that a server that refuses all is asked once."""
        self._turn = asyncio.Lock()

    async def gate(self) -> None:
        """Wait as long as the server has asked for; every request passes here on its way out.

        Raises
        ------
        DataUnavailableError
            Where it asked for more than is waited, and that time is not over.
        """
        self._refuse()
        await asyncio.sleep(max(0.0, self._closed_until - time.monotonic()))
        self._refuse()

    def _refuse(self) -> None:
        if time.monotonic() < self._refused_until:
            raise DataUnavailableError(self._refused)

    async def call(self, who: str, what: str, request: Callable[[], Awaitable[T]]) -> T:
        """Send a request until it is answered.

        Parameters
        ----------
        who, what
            Of whom and for what, in messages.
        request
            Sends it once.

        Raises
        ------
        DataUnavailableError
            After the last attempt, with the last reason; and at once where the server asked for a longer wait, of this
            request or of another one.
        """
        turn = self._turn
        if turn is None:
            return await self._attempts(who, what, request)
        async with turn:
            if self._turn is turn:
                done = await self._attempts(who, what, request)
                self._turn = None
                return done
        return await self._attempts(who, what, request)

    async def _attempts(self, who: str, what: str, request: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(1, self.attempts + 1):
            await self.gate()
            try:
                return await request()
            except AskAgain as again:
                if again.wait > self.longest_wait:
                    sentence = (
                        f"{who} asks to wait {again.wait:.0f} s before the next request ({again}); "
                        "what is complete is kept, run the same again later"
                    )
                    # nobody else asks: it is set before anything is raised
                    self._refused, self._refused_until = sentence, time.monotonic() + again.wait
                    raise DataUnavailableError(sentence) from again
                if attempt == self.attempts:
                    raise DataUnavailableError(
                        f"{who} gave no usable answer for {what} in {attempt} attempts, the last was: {again}; "
                        "what is complete is kept, run the same again later"
                    ) from again
                if again.wait > 0:  # it holds for every request to this server
                    self._closed_until = max(self._closed_until, time.monotonic() + again.wait)
                await self._wait(attempt, again.wait)
        raise AssertionError("unreachable")

    async def _wait(self, attempt: int, asked: float) -> None:
        backoff = min(30.0, self.first_wait * 2.0 ** (attempt - 1))
        await asyncio.sleep(max(asked, backoff * _JITTER.uniform(0.5, 1.0)))
