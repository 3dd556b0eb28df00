"""App: the dashboard's paths; everything but three buttons only reads."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from sse_starlette import EventSourceResponse

from backtest.errors import BacktestError
from backtest.live.dashboard.board import Board, drawn
from backtest.live.dashboard.detail import detail
from backtest.live.dashboard.gate import COOKIE, GatedApp
from backtest.live.dashboard.health import health_of
from backtest.live.dashboard.metrics import exposition
from backtest.live.dashboard.operating import Operator
from backtest.report.chart import scripts, sheet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import ASGIApp

    from backtest.live.dashboard.detail import Detail
    from backtest.live.dashboard.gate import Gate
    from backtest.live.dashboard.reading import Reading

    Handler = Callable[[Request], Awaitable[Response]]

__all__ = ["dashboard_app"]

_STATIC = Path(__file__).with_name("static")
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_LISTENERS = 32
_TICK = 0.5
_WRONG_SECONDS = 0.5
_DIGITS = 16
_FIELDS = 20


def dashboard_app(reading: Reading, gate: Gate) -> ASGIApp:
    """Return the ASGI application of one journal.

    Parameters
    ----------
    reading
        Of the journal; closed with the application.
    gate
        Who may look and who may press buttons.
    """
    paths = _Paths(reading, gate)
    app = FastAPI(title="Dashboard", docs_url=None, redoc_url=None, openapi_url=None)
    doors: list[tuple[str, str, Handler]] = [
        ("GET", "/", paths.page),
        ("GET", "/events", paths.events),
        ("GET", "/signal/{key}", paths.signal),
        ("GET", "/static/{name}", paths.static),
        ("GET", "/healthz", paths.health),
        ("GET", "/metrics", paths.metrics),
        ("POST", "/sign-in", paths.sign_in),
        ("POST", "/do/{what}", paths.act),
    ]
    for method, path, handler in doors:
        app.add_api_route(path, handler, methods=[method], include_in_schema=False, response_model=None)
    return GatedApp(app, gate)


class _Paths:
    """What the paths do."""

    def __init__(self, reading: Reading, gate: Gate) -> None:
        self._reading, self._gate = reading, gate
        self._board = Board(reading, made=gate.made)
        self._operator = Operator(reading, self._board)
        self._listeners = 0
        self._files = _files()

    async def page(self, request: Request) -> Response:
        """Show the whole page, with the signal that the address names."""
        if not self._gate.admits(request.headers):
            return HTMLResponse(drawn("sign_in", wrong=False), 401)
        key = request.query_params.get("signal", "")
        chosen = await asyncio.to_thread(self._chosen, key) if key else None
        return HTMLResponse(await asyncio.to_thread(self._board.page, chosen))

    async def sign_in(self, request: Request) -> Response:
        """Take the token once for this browser."""
        form = await _form(request)
        if not self._gate.knows(form.get("token")):
            await asyncio.sleep(_WRONG_SECONDS)
            return HTMLResponse(drawn("sign_in", wrong=True), 401)
        answer = RedirectResponse("/", 303)
        secure = request.headers.get("origin", "").startswith("https:")
        answer.set_cookie(COOKIE, self._gate.session, 30 * 86_400, httponly=True, samesite="strict", secure=secure)
        return answer

    async def events(self, request: Request) -> Response:
        """Send what changes, for as long as somebody listens."""
        if not self._gate.admits(request.headers):
            return PlainTextResponse("sign in first", 401)
        if self._listeners >= _LISTENERS:
            return PlainTextResponse(f"{_LISTENERS} pages listen already", 503)
        known = request.headers.get("last-event-id") or request.query_params.get("since", "")
        return EventSourceResponse(self._changes(known), ping=15, send_timeout=10)

    async def _changes(self, known: str) -> AsyncIterator[dict[str, str]]:
        epoch, _, number = known.partition("-")
        is_number = number.isascii() and number.isdigit() and len(number) < _DIGITS
        sent = int(number) if epoch == self._board.epoch and is_number else -1
        self._listeners += 1
        try:
            while True:
                version = await asyncio.to_thread(self._board.version)
                if version != sent:
                    patch = self._board.since(max(sent, 0))
                    patch["whole"] = sent < 0
                    sent = version
                    yield {"event": "patch", "id": patch["version"], "data": json.dumps(patch)}
                await asyncio.sleep(_TICK)
        finally:
            self._listeners -= 1

    async def signal(self, request: Request) -> Response:
        """Return one signal: its markup and what the chart draws."""
        if not self._gate.admits(request.headers):
            return PlainTextResponse("sign in first", 401)
        chosen = await asyncio.to_thread(self._chosen, request.path_params["key"])
        if chosen is None:
            return JSONResponse({"error": "this signal does not live any more"}, 404)
        found = {"html": drawn("detail", detail=chosen), "chart": chosen.chart, "number": chosen.number}
        return JSONResponse(found)

    def _chosen(self, key: str) -> Detail | None:
        try:
            return detail(self._reading, key)
        except BacktestError:
            return None

    async def static(self, request: Request) -> Response:
        """Return a sheet or a script."""
        name = request.path_params["name"]
        if name not in self._files:
            return PlainTextResponse("there is no such file", 404)
        media = _TYPES[Path(name).suffix]
        return Response(self._files[name], media_type=media, headers={"cache-control": "no-cache"})

    async def health(self, request: Request) -> Response:
        """Say whether the emitter decides: 200 or 503; figures for who may look."""
        found = await asyncio.to_thread(health_of, self._reading)
        shown = found.to_dict() if self._gate.admits(request.headers) else {"status": found.status}
        return JSONResponse(shown, 200 if found.alive else 503)

    async def metrics(self, request: Request) -> Response:
        """Return the figures as Prometheus reads them."""
        if not self._gate.admits(request.headers):
            return PlainTextResponse("the token goes into the header Authorization: Bearer", 401)
        text, media = await asyncio.to_thread(exposition, self._reading)
        return Response(text, headers={"content-type": media})

    async def act(self, request: Request) -> Response:
        """Do what a button asks for, with the token and the words that confirm it."""
        form = await _form(request)
        if not self._gate.knows(form.get("token")):
            await asyncio.sleep(_WRONG_SECONDS)
            self._board.say("Refused: the token was wrong; nothing was done.")
        else:
            self._board.say(await asyncio.to_thread(self._operator.act, request.path_params["what"], form))
        return RedirectResponse("/", 303)


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form; what is no form, or has too many, has none."""
    text = (await request.body()).decode("utf-8", "replace")
    try:
        found = parse_qs(text, keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError:
        return {}
    return {name: values[-1].strip() for name, values in found.items()}


def _files() -> dict[str, bytes]:
    """Return what the page loads, by name: ours, and the chart's."""
    found = {file.name: file.read_bytes() for file in _STATIC.iterdir() if file.suffix in _TYPES}
    charts = {f"chart-{number}.js": script.encode() for number, script in enumerate(scripts())}
    return {**found, **charts, "chart.css": sheet().encode()}
