"""Documents: what the paper venue says of itself: its OpenAPI, made from the models that check the bodies, and a page."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from backtest.venue.guard import MARKETABLE_HEADER, TOKEN_HEADER
from backtest.wire import ENDPOINTS

if TYPE_CHECKING:
    from backtest.wire import Endpoint

__all__ = [
    "ERRORS",
    "SECURITY",
    "SIGNAL_RESPONSES",
    "Performed",
    "Refused",
    "TooMany",
    "body_of_endpoint",
    "json_body",
    "page",
]

SECURITY = {
    "anny-api-key": {"type": "apiKey", "in": "header", "name": "anny-api-key"},
    "anny-api-secret": {"type": "apiKey", "in": "header", "name": "anny-api-secret"},
    TOKEN_HEADER: {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
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

SIGNAL_RESPONSES: dict[int | str, dict[str, Any]] = {
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
    """Return what FastAPI adds to an operation whose body it does not read itself.

    Parameters
    ----------
    schema
        Of the body.
    more
        Other parts of the operation, such as ``parameters``.
    """
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


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Paper venue</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 46em; margin: 3em auto; padding: 0 1em }} td {{ padding-right: 1.5em }}
code {{ background: #8882 }}</style></head><body>
<h1>Paper venue</h1>
<p>This is a rehearsal, not the vendor: a program on this machine that speaks the Signal API (partner). It checks each
call, keeps it in a ledger, and lets simulated subscribers execute it on the candles that it is given. No order is placed
and nothing leaves the machine.</p>
<h2>The Signal API</h2>
<p>With the headers <code>anny-api-key</code> and <code>anny-api-secret</code> as they were set where it was started.</p>
<table>{calls}</table>
<h2>Its own paths</h2>
<p>With the header <code>{token}</code>, unless it was started with <code>--no-token</code>.</p>
<table>{own}</table>
<p>All of it, with every field: <a href="/openapi.json">openapi.json</a>.</p>
</body></html>
"""


def page(own: list[tuple[str, str, str]]) -> str:
    """Return the page ``/``, which says what this is; it holds no data and asks for nothing."""
    calls = [(endpoint.method, endpoint.path, endpoint.body.__doc__ or "") for endpoint in ENDPOINTS.values()]
    return _PAGE.format(calls=_rows(calls), own=_rows(own), token=TOKEN_HEADER)


def _rows(doors: list[tuple[str, str, str]]) -> str:
    row = "<tr><td><code>{}</code></td><td><code>{}</code></td><td>{}</td></tr>"
    return "".join(row.format(*(html.escape(text.strip()) for text in door)) for door in doors)


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
