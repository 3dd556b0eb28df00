"""Documents: the paper venue's OpenAPI, made from the very models that check the bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from backtest.venue.guard import MARKETABLE_HEADER

if TYPE_CHECKING:
    from backtest.wire import Endpoint

__all__ = ["ERRORS", "SECURITY", "Performed", "Refused", "SignalAnswers", "TooMany", "body_of_endpoint", "json_body"]

SECURITY = {
    "anny-api-key": {"type": "apiKey", "in": "header", "name": "anny-api-key"},
    "anny-api-secret": {"type": "apiKey", "in": "header", "name": "anny-api-secret"},
    "paper-token": {"type": "apiKey", "in": "header", "name": "paper-token"},
}


class _PerformedResult(BaseModel):
    type: str = Field("OPERATION_PERFORMED", pattern="^OPERATION_PERFORMED$")


class _PerformedPayload(BaseModel):
    parent_signal_id: str
    result: str = Field("success", pattern="^success$")


class Performed(BaseModel):
    """The call was performed."""

    result: _PerformedResult
    payload: _PerformedPayload


class _RefusedResult(BaseModel):
    type: str = Field(description="INVALID_INPUT_MISSING, INVALID_INPUT_CONTENT, UNAUTHORIZED or CRITICAL")


class _RefusedPayload(BaseModel):
    result: str = Field("error", pattern="^error$")
    message: str
    field: str | None = None


class Refused(BaseModel):
    """The call was refused; the vendor documents ``result.type`` only."""

    result: _RefusedResult
    payload: _RefusedPayload


class TooMany(BaseModel):
    """Later."""

    error: str
    retryAfterMs: int  # noqa: N815 - the vendor's name


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refused, "description": "INVALID_INPUT_MISSING or INVALID_INPUT_CONTENT"},
    403: {"model": Refused, "description": "UNAUTHORIZED"},
}

SignalAnswers: dict[int | str, dict[str, Any]] = {
    200: {"model": Performed, "description": "OPERATION_PERFORMED"},
    **ERRORS,
    429: {"model": TooMany, "description": "Too many requests"},
    500: {"model": Refused, "description": "CRITICAL: whether the call took effect is unknown"},
}


_MARKETABLE = {
    "name": MARKETABLE_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "true: a stop or target may trade at once. Of this venue only; the vendor has no such header.",
}


def json_body(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return what FastAPI adds to an operation whose body it does not read itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}, **more}


def body_of_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    """Return the documentation of an endpoint's body and secrets."""
    schema = endpoint.body.model_json_schema()
    for field in schema["properties"].values():
        field.pop("default", None)  # the model's word for "was not sent"
    security: list[dict[str, list[str]]] = [{"anny-api-key": [], "anny-api-secret": []}]
    parameters = [] if endpoint.creates else [_path_parameter("parent_signal_id")]
    if endpoint.kind == "updateprice":
        parameters.append(_MARKETABLE)
    return json_body(schema, security=security, parameters=parameters)


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
