"""Intent: a call that shall be sent, and the states that it may go through."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from backtest.model.calls import Call, CreateSignal
from backtest.wire import ENDPOINTS, Request, addressed, body_of, json_bytes, kind_of, read_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest.live.schema import Stream

__all__ = ["ENTRIES", "TRANSITIONS", "Intent", "State", "intent_of", "intents_of"]

ENTRIES = frozenset({"create_v1", "create_v2", "rebuy", "dca"})
"""Kinds that may buy: what an unknown on the symbol, or a halt, holds back."""


class State(StrEnum):
    """Where an intent stands."""

    PLANNED = "planned"
    SENDING = "sending"
    ACKED = "acked"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    BLOCKED = "blocked"
    LANDED = "landed"
    NOT_LANDED = "not_landed"
    ABANDONED = "abandoned"


TRANSITIONS = {
    State.PLANNED: {State.SENDING, State.EXPIRED, State.SUPERSEDED, State.BLOCKED},
    # back to planned: proved not sent, refused for now, or a class I call that will be sent again
    State.SENDING: {State.ACKED, State.REJECTED, State.UNKNOWN, State.PLANNED},
    # superseded: a class I call whose wish a newer one repeats
    State.UNKNOWN: {State.LANDED, State.NOT_LANDED, State.ABANDONED, State.SUPERSEDED},
}
"""What may follow a state; the others are final."""


@dataclass(frozen=True, slots=True)
class Intent:
    """One call that shall be sent.

    Attributes
    ----------
    id
        The hash of account, strategy, symbol, timeframe, candle, kind, ref and number: the same after any replay.
    candle
        The close at which it was decided, UTC ms.
    kind
        Of the endpoint, ``"create_v2"``.
    ref
        Our name of the signal that it is about.
    number
        Among the calls of this kind about this signal at this close, from 0; below 0 for what a person asked for.
    body
        What is sent, with our ref where the venue's name of the signal belongs.
    valid_until
        From this moment on it is never sent, UTC ms; None for what may be sent at any time.
    allow_marketable
        Of a price update: our own key, which no body holds and only the paper venue is told (L11.2).
    seq, state
        Order of planning, and where it stands.
    """

    id: str
    strategy: str
    symbol: str
    timeframe: str
    candle: int
    kind: str
    ref: str
    number: int
    body: str
    valid_until: int | None
    allow_marketable: bool = False
    seq: int = 0
    state: State = State.PLANNED

    @property
    def creates(self) -> bool:
        """Whether it makes a signal."""
        return ENDPOINTS[self.kind].creates

    @property
    def repeatable(self) -> bool:
        """Whether it is of class I; class N is never sent again once it may have arrived.

        What only states a wish may come at any time, so a call with an end to its time is of class N at any venue.
        """
        return ENDPOINTS[self.kind].repeatable and self.valid_until is None

    @property
    def signal(self) -> tuple[str, str]:
        """Strategy and ref: what a signal is kept by."""
        return self.strategy, self.ref

    @property
    def by_person(self) -> bool:
        """Whether a person asked for it, and not the strategy."""
        return self.number < 0

    def request(self, parent_signal_id: str | None) -> Request:
        """Return what goes over the wire, with the venue's name of the signal in path and body."""
        if self.creates:
            endpoint = ENDPOINTS[self.kind]
            return Request(self.kind, endpoint.method, endpoint.path, self.body.encode(), at=self.candle)
        body = read_object(self.body)
        found = addressed(self.kind, body, parent_signal_id, allow_marketable=self.allow_marketable)
        return replace(found, at=self.candle)

    @property
    def prices(self) -> dict[str, str]:
        """The prices that it states, by the API's name."""
        return {name: value for name, value in read_object(self.body).items() if "price" in name or name == "stop_loss"}


def intents_of(stream: Stream, candle: int, calls: Iterable[Call]) -> list[Intent]:
    """Return the intents of one close, in the order of its calls.

    A call of class N is valid for one timeframe after its close, or for the TTL of its entry orders where that is
    shorter *(ours: later than that the venue would count the TTL from a moment that nobody decided on)*. Class I, which
    only states a wish, is valid until a newer wish takes its place. A venue with a ``max_lag`` knows class N
    only, and no call is valid longer than that.

    Parameters
    ----------
    stream
        Who decided, on what.
    candle
        The close, UTC ms.
    calls
        Final ones, in order.
    """
    numbers: dict[tuple[str, str], int] = {}
    found: list[Intent] = []
    for call in calls:
        kind, ref = kind_of(call), call.ref if isinstance(call, CreateSignal) else call.signal
        number = numbers[kind, ref] = numbers.get((kind, ref), -1) + 1
        found.append(intent_of(stream, candle, call, number))
    return found


def intent_of(stream: Stream, candle: int, call: Call, number: int) -> Intent:
    """Return the intent of one call.

    Parameters
    ----------
    stream, candle, call
        See :func:`intents_of`.
    number
        See :class:`Intent`.
    """
    kind, creates = kind_of(call), isinstance(call, CreateSignal)
    ref = call.ref if isinstance(call, CreateSignal) else call.signal
    body = json_bytes(body_of(call, None if creates else ref)).decode()
    parts = [stream.account, stream.strategy, stream.symbol, stream.timeframe, candle, kind, ref, number]
    identity = hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()
    life = min(stream.span, getattr(call, "ttl_buy_order", None) or stream.span)
    until = None if ENDPOINTS[kind].repeatable else candle + life
    if stream.max_lag is not None:
        until = candle + (stream.max_lag if until is None else min(life, stream.max_lag))
    allowed = getattr(call, "allow_marketable", False)
    names = (stream.strategy, stream.symbol, stream.timeframe)
    return Intent(identity, *names, candle, kind, ref, number, body, until, allowed)
