"""Forecast: what the rate limit would have done to the calls of a backtest."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backtest.live.intent import Intent

__all__ = ["Forecast", "forecast"]

_MINUTE = 60_000
_RANKS = {"cancel": 0, "takeprofit": 0, "updateprice": 1, "trailingstop": 1}
"""Exits go first, then updates, then entries."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What became of the calls of a backtest at a rate.

    Attributes
    ----------
    per_minute
        The rate.
    calls, creates
        How many there were.
    busiest, busiest_calls
        The minute with the most calls, UTC ms, and how many those were; 0 and 0 without calls.
    expired
        Creates whose time was over before their turn came.
    expired_pnl, pnl
        What those and all signals made, quote currency, after costs.
    """

    per_minute: int
    calls: int
    creates: int
    busiest: int
    busiest_calls: int
    expired: int
    expired_pnl: float
    pnl: float

    @property
    def sentence(self) -> str:
        """All of it, for people."""
        if not self.calls:
            return "no call was made, so the limit cannot be judged"
        when = str(np.datetime64(self.busiest, "ms").astype("M8[m]")).replace("T", " ")
        busiest = f"busiest minute {when} with {self.busiest_calls} calls"
        lost = f"{self.expired} of {self.creates} creates would have expired"
        if self.expired:
            lost += f", with {self.expired_pnl:+,.2f} of the {self.pnl:+,.2f} made"
        return f"{busiest}; at {self.per_minute} calls a minute {lost}"


def forecast(intents: Sequence[Intent], per_minute: int, pnl: Mapping[tuple[str, str], float]) -> Forecast:
    """Send the calls of a backtest through the limiter, on the candles' time.

    For one signal calls go in order; of those that may go, exits go before updates before entries, and the older first.
    A create that cannot go before its time is over expires, and with it what follows it. Every call is taken to be
    performed at once.

    Parameters
    ----------
    intents
        Of all strategies and markets.
    per_minute
        Calls in any 60 seconds.
    pnl
        What each signal made after costs, by strategy and ref, quote currency.
    """
    queues: dict[tuple[str, str], deque[Intent]] = {}
    ready: list[tuple[int, int, int, Intent]] = []
    sent: deque[int] = deque(maxlen=per_minute)
    expired: set[tuple[str, str]] = set()

    def offer(key: tuple[str, str], number: int) -> None:
        if queues[key]:
            head = queues[key][0]
            heapq.heappush(ready, (_RANKS.get(head.kind, 2), head.candle, number, head))

    coming = sorted(intents, key=lambda intent: intent.candle)
    now = taken = 0
    while taken < len(coming) or ready:
        if not ready:
            now = max(now, coming[taken].candle)
        turn = max(now, sent[0] + _MINUTE if len(sent) == per_minute else 0)
        if taken < len(coming) and coming[taken].candle <= turn:
            intent = coming[taken]
            key = intent.signal
            queue = queues.setdefault(key, deque())
            queue.append(intent)
            if len(queue) == 1:
                offer(key, taken)
            now, taken = max(now, intent.candle), taken + 1
            continue
        _, _, number, intent = heapq.heappop(ready)
        key = intent.signal
        queues[key].popleft()
        if key not in expired:
            if intent.valid_until is not None and turn >= intent.valid_until:
                expired |= {key} if intent.creates else set()
            else:
                sent.append(turn)
                now = turn
        offer(key, number)
    minutes = Counter(intent.candle // _MINUTE for intent in coming)
    busiest = max(minutes, key=lambda minute: (minutes[minute], -minute), default=0)
    return Forecast(
        per_minute,
        len(coming),
        sum(intent.creates for intent in coming),
        busiest * _MINUTE,
        minutes[busiest],
        len(expired),
        sum(pnl.get(key, 0.0) for key in expired),
        sum(pnl.values()),
    )
