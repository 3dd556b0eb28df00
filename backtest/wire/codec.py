"""Codec: a call to its body and back, the same call again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from backtest.errors import InvalidSignalError
from backtest.model.calls import Call, CreateSignal, UpdatePrices, require_order
from backtest.model.events import SignalRef
from backtest.model.grid import decimal_text
from backtest.wire.endpoint import ENDPOINTS, Endpoint, endpoint_named, kind_of
from backtest.wire.refusal import MissingFieldError, is_price, refusal_of, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["body_of", "call_from_body"]

_IDENTITY = "parent_signal_id"


def body_of(call: Call, parent_signal_id: str | None = None) -> dict[str, str | float]:
    """Return what is sent for a call: the fields that were set, in the vendor's order.

    Prices become decimal text, whole numbers ints. :func:`backtest.wire.json_text.json_bytes` makes the bytes.

    Parameters
    ----------
    call
        The call, rounded before (L3.6): the wire rounds nothing.
    parent_signal_id
        The venue's name of the signal, for every call but a create. A backtest gives ``call.signal``: see
        :func:`backtest.wire.with_ref`.

    Raises
    ------
    InvalidSignalError
        For prices out of order, and for what only the text can break, such as a name with spaces around it; the
        message names the field.
    """
    require_order(call)
    endpoint = ENDPOINTS[kind_of(call)]
    if endpoint.creates != (parent_signal_id is None):
        rule = "create has no parent_signal_id yet" if endpoint.creates else f"{endpoint.kind} needs a parent_signal_id"
        raise InvalidSignalError(f"{rule}, was {shown(parent_signal_id)}", _IDENTITY)
    body: dict[str, str | float] = {}
    for name in endpoint.body.model_fields:
        value = parent_signal_id if name == _IDENTITY else _given(call, name)
        if value is not None:
            body[name] = _written(name, value)
    _validate(endpoint, body)
    return body


def call_from_body(
    kind: str,
    body: Mapping[str, Any],
    ref: str,
    *,
    require_parent: bool = False,
    allow_marketable: bool = False,
) -> Call:
    """Return the call that a body states.

    Parameters
    ----------
    kind
        ``create_v1``, ``create_v2``, ``takeprofit``, ``trailingstop``, ``rebuy``, ``dca``, ``updateprice``, ``cancel``.
    body
        As the API has it. ``parent_signal_id`` may be absent, as in a scenario file: ``ref`` stands for it in any case,
        and whether the two agree is for the caller to say.
    ref
        Our name of the signal.
    require_parent
        Whether a missing ``parent_signal_id`` is refused, as the venue does.
    allow_marketable
        Of an update (L11.2); our own key, never part of a body.

    Raises
    ------
    MissingFieldError
        A required field is not there (``INVALID_INPUT_MISSING``).
    InvalidSignalError
        Any other refusal (``INVALID_INPUT_CONTENT``); ``field`` is the API's name.
    """
    endpoint = endpoint_named(kind)
    if not hasattr(body, "items"):
        raise InvalidSignalError(f"the body of {kind} is a JSON object, was {shown(body)}")
    named = dict(body) if endpoint.creates or require_parent else {_IDENTITY: ref, **body}
    given = _validate(endpoint, named)
    try:
        if endpoint.creates:
            call: Call = _create(given, ref, version=1 if kind == "create_v1" else 2)
        else:
            given.pop(_IDENTITY)
            own = {"allow_marketable": allow_marketable} if endpoint.call is UpdatePrices else {}
            call = endpoint.call(**{**given, **own, "signal": SignalRef(ref)})
        require_order(call)
    except InvalidSignalError as error:
        raise _missing_or_wrong(error, body) from None
    return call


def _given(call: Call, name: str) -> Any:
    """Return the value of an API field of a call; None where it was not set."""
    if not isinstance(call, CreateSignal):
        return getattr(call, name)
    name = _model_name(name)
    if name.startswith("exit_price_"):
        number = int(name.removeprefix("exit_price_"))
        return call.targets[number - 1] if number <= len(call.targets) else None
    return getattr(call, name)


def _written(name: str, value: Any) -> str | float:
    if is_price(name):
        return decimal_text(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(value)
    return cast("str | int", value)


def _validate(endpoint: Endpoint, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that were given, prices as floats."""
    for name, value in body.items():
        if value is None and name in endpoint.body.model_fields:
            raise InvalidSignalError(f"{name} was null; leave out what is not set", name)
    try:
        model = endpoint.body.model_validate(body)
    except ValidationError as errors:
        raise refusal_of(errors, endpoint, body) from None
    given = model.model_dump(exclude_none=True)
    return {name: float(value) if is_price(name) else value for name, value in given.items()}


def _create(given: dict[str, Any], ref: str, *, version: int) -> CreateSignal:
    renamed = {_model_name(name): value for name, value in given.items()}
    prices = {int(name[-1]): renamed.pop(name) for name in list(renamed) if name.startswith("exit_price_")}
    targets = tuple(prices.get(number) for number in range(1, max(prices) + 1))
    absent = {"type": None}
    return CreateSignal(**{**absent, **renamed, "targets": targets, "version": version, "ref": SignalRef(ref)})


def _model_name(name: str) -> str:
    """Return the name that V2 has for a field of V1."""
    return name.replace("buy_price", "entry_price").replace("sell_price", "exit_price")


def _missing_or_wrong(error: InvalidSignalError, body: Mapping[str, Any]) -> InvalidSignalError:
    """Tell a field that another one makes required from one with a wrong value."""
    if error.field in body or error.field.startswith("invest_entry"):
        return error
    return MissingFieldError(str(error), error.field)
