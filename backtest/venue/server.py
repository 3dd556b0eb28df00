"""Server: the Signal API over the paper venue, and the venue's own paths under ``/paper``."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from backtest.errors import InvalidSignalError, StorageError
from backtest.venue.documents import SECURITY, SIGNAL_RESPONSES, body_of_endpoint, page
from backtest.venue.faults import FaultPlan, FaultyApp
from backtest.venue.guard import MARKETABLE_HEADER, GuardedApp
from backtest.venue.paper_routes import paper_router
from backtest.wire import ENDPOINTS, Endpoint, result_type_of
from backtest.wire.answer import performed, rate_limited, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import ASGIApp

    from backtest.venue.guard import Guard
    from backtest.venue.paper import PaperVenue
    from backtest.venue.rate import RateLimit

    Handler = Callable[..., Awaitable[JSONResponse]]

__all__ = ["paper_app"]

_CONTENT = "INVALID_INPUT_CONTENT"


def paper_app(
    venue: PaperVenue, guard: Guard, *, faults: FaultPlan | None = None, rate: RateLimit | None = None
) -> ASGIApp:
    """Return the ASGI application; it closes the ledger when it stops.

    Parameters
    ----------
    venue, guard
        What happens, and who may ask for it.
    faults
        What goes wrong; a plan can also be given over ``PUT /paper/faults``.
    rate
        The venue's own limit of calls a minute; None has none.
    """
    plan = faults or FaultPlan()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        venue.ledger.close()

    app = FastAPI(
        title="Paper venue",
        version="1",
        description="Speaks the Signal API (partner) on this machine; nothing leaves it.",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
    )
    for endpoint in ENDPOINTS.values():
        app.add_api_route(
            endpoint.path,
            _signal_handler(endpoint, venue, guard, rate),
            methods=[endpoint.method],
            operation_id=endpoint.kind,
            summary=(endpoint.body.__doc__ or "").strip(),
            responses=SIGNAL_RESPONSES,
            openapi_extra=body_of_endpoint(endpoint),
            tags=["Signal API"],
        )
    own = paper_router(venue, plan)
    app.include_router(own)
    paths = [route for route in own.routes if isinstance(route, APIRoute)]
    said = page([(min(route.methods or ()), route.path, route.summary or "") for route in paths])
    app.add_api_route("/", _page_handler(said), methods=["GET"], include_in_schema=False)
    app.add_exception_handler(HTTPException, _no_such_path)
    app.add_exception_handler(Exception, _critical)
    _publish_security(app)
    return GuardedApp(FaultyApp(app, plan), guard)


def _signal_handler(endpoint: Endpoint, venue: PaperVenue, guard: Guard, rate: RateLimit | None) -> Handler:
    async def handle(request: Request) -> JSONResponse:
        if not guard.knows(request.headers):
            return JSONResponse(refused("UNAUTHORIZED", "anny-api-key or anny-api-secret is wrong or missing"), 403)
        wait = rate.take() if rate is not None else 0.0
        if wait > 0.0:
            headers = {"retry-after": str(int(wait) + 1)}
            return JSONResponse(rate_limited(int(wait * 1000) + 1), 429, headers)
        raw = await request.body()
        try:
            allowed = endpoint.kind == "updateprice" and request.headers.get(MARKETABLE_HEADER) == "true"
            named = request.path_params.get("parent_signal_id")
            parent = venue.accept(endpoint.kind, raw, named, allow_marketable=allowed)
        except InvalidSignalError as error:
            return JSONResponse(refused(result_type_of(error), str(error), error.field), 400)
        except StorageError as error:
            return JSONResponse(refused("CRITICAL", str(error)), 500)
        return JSONResponse(performed(parent))

    return handle


def _page_handler(said: str) -> Callable[[], Awaitable[HTMLResponse]]:
    headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}

    async def handle() -> HTMLResponse:
        return HTMLResponse(said, headers=headers)

    return handle


async def _no_such_path(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 404
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    message = f"there is no {request.method} {request.url.path}"
    return JSONResponse(refused(_CONTENT, message), status, headers)


async def _critical(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(refused("CRITICAL", f"an error of the paper venue: {type(error).__name__}"), 500)


def _publish_security(app: FastAPI) -> None:
    """Add the secrets' headers to the published document."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        document["components"]["securitySchemes"] = SECURITY
        return document

    app.openapi = openapi  # type: ignore[method-assign]
