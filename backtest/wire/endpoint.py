"""Endpoint: the eight doors of the Signal API, each with its method, path, body and whether it may be repeated."""

from __future__ import annotations

from dataclasses import dataclass

from backtest.errors import InvalidSignalError, did_you_mean
from backtest.model.calls import Call, Cancel, CreateSignal, Dca, Rebuy, TakeProfit, TrailingStop, UpdatePrices
from backtest.wire.bodies import (
    Body,
    CancelBody,
    CreateV1Body,
    CreateV2Body,
    DcaBody,
    RebuyBody,
    TakeProfitBody,
    TrailingStopBody,
    UpdatePricesBody,
)

__all__ = ["ENDPOINTS", "Endpoint", "endpoint_named", "kind_of"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One door.

    Attributes
    ----------
    kind
        Our name of it, the one of scenario files: ``create_v2``, ``takeprofit``.
    method, path
        ``"POST"``, ``"/v1/signal/{parent_signal_id}/call/takeprofit"``.
    body, call
        The model of its body and the class of its call.
    repeatable
        Whether a repeat does no harm: it only states a wish (class I). Anything else is sent at most once (class N).
    """

    kind: str
    method: str
    path: str
    body: type[Body]
    call: type[Call]
    repeatable: bool = False

    @property
    def creates(self) -> bool:
        """Whether it makes a signal, so that its answer must carry a ``parent_signal_id``."""
        return self.call is CreateSignal


_SIGNAL = "/v1/signal/{parent_signal_id}"
ENDPOINTS = {
    endpoint.kind: endpoint
    for endpoint in (
        Endpoint("create_v1", "POST", "/v1/signal", CreateV1Body, CreateSignal),
        Endpoint("create_v2", "POST", "/v2/signal", CreateV2Body, CreateSignal),
        Endpoint("takeprofit", "POST", f"{_SIGNAL}/call/takeprofit", TakeProfitBody, TakeProfit),
        Endpoint("trailingstop", "POST", f"{_SIGNAL}/call/trailingstop", TrailingStopBody, TrailingStop),
        Endpoint("rebuy", "POST", f"{_SIGNAL}/call/rebuy", RebuyBody, Rebuy),
        Endpoint("dca", "POST", f"{_SIGNAL}/call/dca", DcaBody, Dca),
        Endpoint("updateprice", "PUT", f"{_SIGNAL}/updateprice", UpdatePricesBody, UpdatePrices, repeatable=True),
        Endpoint("cancel", "DELETE", f"{_SIGNAL}/cancel", CancelBody, Cancel, repeatable=True),
    )
}
"""By kind."""

_KINDS = {endpoint.call: kind for kind, endpoint in ENDPOINTS.items() if not endpoint.creates}


def kind_of(call: Call) -> str:
    """Return the kind of a call: ``create_v1``, ``create_v2``, ``takeprofit`` and so on."""
    return f"create_v{call.version}" if isinstance(call, CreateSignal) else _KINDS[type(call)]


def endpoint_named(kind: str) -> Endpoint:
    """Return the endpoint of a kind.

    Raises
    ------
    InvalidSignalError
        Naming the known kinds, with field ``call``.
    """
    endpoint = ENDPOINTS.get(str(kind))
    if endpoint is None:
        known = ", ".join(ENDPOINTS)
        raise InvalidSignalError(f"call is one of {known}, was {kind!r}.{did_you_mean(str(kind), ENDPOINTS)}", "call")
    return endpoint
