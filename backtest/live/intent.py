"""Intent: a call that shall be sent, and the states that it may go through."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

from backtest.errors import InvalidSettingError
from backtest.model.calls import Call, CreateSignal
from backtest.wire import ENDPOINTS, Request, body_of, json_bytes, kind_of, read_object

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ENTRIES", "TRANSITIONS", "Intent", "Source", "State", "intents_of", "request_of"]

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
class Source:
    """Who decides, on what: the parts of an id that are the same for a whole run.

    Attributes
    ----------
    account
        Fingerprint of the API key.
    strategy
        Identity: the hash of class name and parameters.
    symbol, timeframe
        Of the candles.
    span
        Length of a candle in ms.
    """

    account: str
    strategy: str
    symbol: str
    timeframe: str
    span: int


@dataclass(frozen=True, slots=True)
class Intent:
    """One call that shall be sent.

    Attributes
    ----------
    id
        The hash of account, strategy, symbol, timeframe, candle, kind, level and number: the same after any replay.
    candle
        The close at which it was decided, UTC ms.
    kind
        Of the endpoint, ``"create_v2"``.
    level
        Our ref of the signal that it is about.
    number
        Among the calls of this kind about this signal at this close, from 0.
    body
        What is sent, with our ref where the venue's name of the signal belongs.
    valid_until
        After this moment it is never sent, UTC ms; None for what may be sent at any time.
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
    level: str
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
        """Whether it is of class I; class N is never sent again once it may have arrived."""
        return ENDPOINTS[self.kind].repeatable

    @property
    def prices(self) -> dict[str, str]:
        """The prices that it states, by the API's name."""
        return {name: value for name, value in read_object(self.body).items() if "price" in name or name == "stop_loss"}


def intents_of(source: Source, candle: int, calls: Iterable[Call]) -> list[Intent]:
    """Return the intents of one close, in the order of its calls.

    A call of class N is valid for one timeframe after its close, or for the TTL of its entry orders where that is
    shorter *(ours: later than that the venue would count the TTL from a moment that nobody decided on)*. Class I, which
    only states a wish, is valid until a newer wish takes its place.
    """
    found: list[Intent] = []
    numbers: dict[tuple[str, str], int] = {}
    for call in calls:
        kind = kind_of(call)
        creates = isinstance(call, CreateSignal)
        level = call.ref if isinstance(call, CreateSignal) else call.signal
        number = numbers[kind, level] = numbers.get((kind, level), -1) + 1
        body = json_bytes(body_of(call, None if creates else level)).decode()
        parts = [source.account, source.strategy, source.symbol, source.timeframe, candle, kind, level, number]
        identity = hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()
        life = min(source.span, getattr(call, "ttl_buy_order", None) or source.span)
        until = None if ENDPOINTS[kind].repeatable else candle + life
        names = (source.strategy, source.symbol, source.timeframe)
        allowed = getattr(call, "allow_marketable", False)
        found.append(Intent(identity, *names, candle, kind, level, number, body, until, allowed))
    return found


def request_of(intent: Intent, parent_signal_id: str | None) -> Request:
    """Return what goes over the wire, with the venue's name of the signal in path and body."""
    endpoint = ENDPOINTS[intent.kind]
    if endpoint.creates:
        return Request(intent.kind, endpoint.method, endpoint.path, intent.body.encode())
    if not parent_signal_id or parent_signal_id in {".", ".."}:
        raise InvalidSettingError(f"{intent.kind} needs the venue's name of {intent.level}, was {parent_signal_id!r}")
    body = json_bytes({**read_object(intent.body), "parent_signal_id": parent_signal_id})
    path = endpoint.path.format(parent_signal_id=quote(parent_signal_id, safe=""))
    return Request(intent.kind, endpoint.method, path, body, intent.allow_marketable)
