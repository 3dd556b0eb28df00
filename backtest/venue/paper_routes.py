"""The venue's own paths: candles in, effects and fills out; outside the vendor's namespace."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from backtest.errors import BacktestError, InvalidSettingError, StorageError
from backtest.model.market import Market
from backtest.model.rows import LAST_TIME
from backtest.venue.documents import ERRORS, Refused, json_body
from backtest.venue.paper import Part
from backtest.venue.subscribers import Place, Subscriber, event_row
from backtest.wire import read_object
from backtest.wire.answer import refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from backtest.venue.faults import FaultPlan
    from backtest.venue.paper import PaperVenue

    Work = Callable[[Request, dict[str, Any]], dict[str, Any]]

__all__ = ["paper_router"]

_ROW = {"type": "array", "items": {"type": "number"}, "minItems": 6, "maxItems": 6}
_TIMEFRAME = {"type": "string", "pattern": "^[1-9][0-9]{0,5}[smhdw]$"}
_PART = {
    "type": "object",
    "required": ["market"],
    "additionalProperties": False,
    "properties": {
        "market": {"type": "object", "required": ["symbol"], "properties": {"symbol": {"type": "string"}}},
        "rows": {"type": "array", "items": _ROW, "description": "time in UTC ms, open, high, low, close, volume"},
        "missing": {"type": "array", "items": {"type": "integer"}, "description": "opens of candles that do not exist"},
        "gone": {"type": "boolean", "description": "no candle will come any more"},
        "volume_known": {"type": "boolean", "description": "whether volumes mean anything"},
    },
}
_CANDLES = {
    "type": "object",
    "required": ["timeframe", "markets"],
    "additionalProperties": False,
    "properties": {"timeframe": _TIMEFRAME, "markets": {"type": "array", "items": _PART}},
}
_SUBSCRIBER = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "profile": {"type": "object"},
        "assumptions": {"type": "object"},
        "exchange": {"type": "string", "description": "as signals name it; with timeframe"},
        "timeframe": {**_TIMEFRAME, "description": "where the account trades; default: that of the first candles"},
        "strategy": {"type": "string", "description": "identity of the only strategy that it follows, by its tags"},
    },
}
_PLAN = {
    "type": "object",
    "required": ["plan"],
    "additionalProperties": False,
    "properties": {"plan": {"type": "array", "items": {"type": "string"}}},
}
_AFTER = {"name": "after", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 0}}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


class ListingRow(BaseModel):
    """A market in one timeframe, and the close of its last candle, UTC ms."""

    exchange: str
    symbol: str
    timeframe: str
    clock: int


class Clock(BaseModel):
    """How far the candles of each market went."""

    clock: list[ListingRow]


class Taken(Clock):
    """Candles were taken: how many of each symbol were new."""

    new: dict[str, int]


class EffectRow(BaseModel):
    """A call that was received, and why it had no effect, where it was refused."""

    seq: int
    at: int
    received_ns: int
    kind: str
    parent_signal_id: str
    body: str
    refusal: str
    allow_marketable: bool


class Effects(BaseModel):
    """The ledger."""

    effects: list[EffectRow]


class Subscribers(BaseModel):
    """Every simulated account."""

    subscribers: list[dict[str, Any]]


class Events(BaseModel):
    """What happened in one account, in order."""

    events: list[dict[str, Any]]


class Named(BaseModel):
    """The subscriber is there."""

    name: str


class Planned(BaseModel):
    """How many calls will meet a fault."""

    planned: int


class _Routes:
    """What the paths do."""

    def __init__(self, venue: PaperVenue, faults: FaultPlan) -> None:
        self.venue, self.faults = venue, faults

    def clock(self, _: Request, __: dict[str, Any]) -> dict[str, Any]:
        """Say how far the candles went."""
        return {"clock": self.venue.clock}

    def candles(self, _: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Take closed candles of markets of one timeframe; those that were fed before are passed over."""
        timeframe, markets = _fields(body, timeframe=str, markets=list)
        new = self.venue.feed(timeframe, [_part(each) for each in markets])
        return {"clock": self.venue.clock, "new": new}

    def ledger(self, request: Request, _: dict[str, Any]) -> dict[str, Any]:
        """List the calls that took effect, in order."""
        return {"effects": [asdict(effect) for effect in self.venue.ledger.effects(_after(request))]}

    def received(self, request: Request, _: dict[str, Any]) -> dict[str, Any]:
        """List every call that could be read, the refused ones too, in order."""
        return {"effects": [asdict(effect) for effect in self.venue.ledger.received(_after(request))]}

    def subscribers(self, _: Request, __: dict[str, Any]) -> dict[str, Any]:
        """List the simulated accounts with their signals."""
        return {"subscribers": [subscriber.summary() for subscriber in self.venue.subscribers.values()]}

    def subscribe(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Add a simulated account; doing it twice changes nothing."""
        name = request.path_params["name"]
        plain = {"profile": {}, "assumptions": {}, "exchange": "", "timeframe": "", "strategy": "", **body}
        kinds = {"profile": dict, "assumptions": dict, "exchange": str, "timeframe": str, "strategy": str}
        profile, assumptions, exchange, timeframe, strategy = _fields(plain, **kinds)
        if bool(exchange) != bool(timeframe):
            raise InvalidSettingError("exchange and timeframe are given together, or neither")
        place = Place(exchange, timeframe) if timeframe else None
        self.venue.subscribe(Subscriber.from_dicts(name, profile, assumptions, place, strategy))
        return {"name": name}

    def events(self, request: Request, _: dict[str, Any]) -> dict[str, Any]:
        """List the events of an account, in order."""
        name = request.path_params["name"]
        subscriber = self.venue.subscribers.get(name)
        if subscriber is None:
            raise InvalidSettingError(f"there is no subscriber {name!r}")
        return {"events": [event_row(event) for event in subscriber.events[_after(request) :]]}

    def plan(self, _: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Plan faults for the next calls, in this order."""
        (plan,) = _fields(body, plan=list)
        if not all(isinstance(text, str) for text in plan):
            raise InvalidSettingError("plan is a list of faults such as 500-after")
        return {"planned": self.faults.plan(plan)}


def paper_router(venue: PaperVenue, faults: FaultPlan) -> APIRouter:
    """Return the paths under ``/paper``; who may use them was asked before.

    Parameters
    ----------
    venue
        What happens.
    faults
        What a plan that is put replaces.
    """
    routes, router = _Routes(venue, faults), APIRouter(prefix="/paper", tags=["Paper"])
    doors: list[tuple[str, str, Work, type[BaseModel], dict[str, Any]]] = [
        ("GET", "/clock", routes.clock, Clock, {}),
        ("POST", "/candles", routes.candles, Taken, json_body(_CANDLES)),
        ("GET", "/ledger", routes.ledger, Effects, {"parameters": [_AFTER]}),
        ("GET", "/received", routes.received, Effects, {"parameters": [_AFTER]}),
        ("GET", "/subscribers", routes.subscribers, Subscribers, {}),
        ("PUT", "/subscribers/{name}", routes.subscribe, Named, json_body(_SUBSCRIBER, parameters=[_NAME])),
        ("GET", "/subscribers/{name}/events", routes.events, Events, {"parameters": [_NAME, _AFTER]}),
        ("PUT", "/faults", routes.plan, Planned, json_body(_PLAN)),
    ]
    for method, path, work, answer, extra in doors:
        router.add_api_route(
            path,
            _handler(work, reads=method != "GET"),
            methods=[method],
            operation_id=f"paper_{work.__name__}",
            summary=(work.__doc__ or "").partition(".")[0],
            responses={
                200: {"model": answer},
                **ERRORS,
                500: {"model": Refused, "description": "CRITICAL: the disk refused"},
            },
            openapi_extra=extra,
        )
    return router


def _handler(work: Work, *, reads: bool) -> Callable[..., Awaitable[JSONResponse]]:
    async def handle(request: Request) -> JSONResponse:
        raw = await request.body() if reads else b"{}"
        try:
            return JSONResponse(work(request, read_object(raw)))
        except StorageError as error:
            return JSONResponse(refused("CRITICAL", str(error)), 500)
        except BacktestError as error:
            return JSONResponse(refused("INVALID_INPUT_CONTENT", str(error)), 400)

    return handle


def _fields(body: dict[str, Any], **kinds: type) -> list[Any]:
    for name in body:
        if name not in kinds:
            raise InvalidSettingError(f"{name} is no field of this path; it knows {', '.join(kinds)}")
    for name, kind in kinds.items():
        if not isinstance(body.get(name), kind):
            raise InvalidSettingError(f"{name} is a JSON {kind.__name__}, was {str(body.get(name))[:60]}")
    return [body[name] for name in kinds]


def _part(given: Any) -> Part:
    if not isinstance(given, dict):
        raise InvalidSettingError(f"markets is a list of JSON objects, one was {str(given)[:60]}")
    plain = {"rows": [], "missing": [], "gone": False, "volume_known": True, **given}
    kinds = {"market": dict, "rows": list, "missing": list, "gone": bool, "volume_known": bool}
    market, rows, missing, gone, known = _fields(plain, **kinds)
    if not all(isinstance(row, list) for row in rows):
        raise InvalidSettingError("rows is a list of [time in ms, open, high, low, close, volume]")
    if not all(type(time) is int and 0 <= time < LAST_TIME for time in missing):
        raise InvalidSettingError("missing is a list of the opens of candles, in ms")
    return Part(_market(market), rows, missing, gone, known)


def _market(fields: dict[str, Any]) -> Market:
    for name in ("symbol", "exchange", "coin", "trade_market"):
        if not isinstance(fields.get(name, ""), str):
            raise InvalidSettingError(f"market {name} is a text, was {fields[name]!r}")
    return Market.from_dict(fields)


def _after(request: Request) -> int:
    text = request.query_params.get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidSettingError(f"after is a whole number of at least 0, was {text[:40]!r}")
    return int(text)
