"""Scenarios in few words, and what came out of them in few words, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.history import MarketHistory
from backtest.engine.simulator import SimulatedVenue
from backtest.model.calls import CreateSignal, placed_call
from backtest.model.candles import Candles
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from backtest.runner.scenario import Scenario, replay
from backtest.wire import call_from_body

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from backtest.model.calls import Call

START = 1_700_002_800_000
HOUR = 3_600_000
MARKET = {"symbol": "BTC/USDT", "tick": "0.01", "step": "0.00000001"}
PROFILE = {"maker_fee": 0.0, "taker_fee": 0.0, "slippage": 0.0, "stop_order": "market"}
FILLS = (
    "entered",
    "target_hit",
    "stop_hit",
    "trailing_hit",
    "take_profit_filled",
    "rebought",
    "dca_filled",
    "liquidated",
    "canceled",
)
QUIET = (100, 100.5, 99.5, 100)


def hour(number: float) -> int:
    """Return the open time of a candle by its number."""
    return START + round(number * HOUR)


def rows(prices: Iterable[Sequence[float]], *, first: float = 0, length: int = HOUR) -> list[list[float]]:
    """Return candle rows from open, high, low and close."""
    return [[hour(first) + k * length, *row, 1] for k, row in enumerate(prices)]


def block(prices: Iterable[Sequence[float]], *, first: float = 0, timeframe: str = "1h") -> dict[str, Any]:
    """Return the candles of a scenario."""
    length = {"1h": HOUR, "30m": HOUR // 2, "15m": HOUR // 4, "5m": HOUR // 12}[timeframe]
    return {"timeframe": timeframe, "rows": rows(prices, first=first, length=length)}


def text_of(name: str, value: Any) -> Any:
    """Return a field as its body has it: prices are decimal strings."""
    is_price = isinstance(value, int | float) and ("price" in name or name == "stop_loss")
    return f"{value:.10f}".rstrip("0").rstrip(".") if is_price else value


def call(kind: str, at: float, ref: str = "s1", **fields: Any) -> dict[str, Any]:
    """Return one call of a log, sent at the open of candle ``at``; ``allow`` allows an update to trade at once."""
    allow = fields.pop("allow", False)
    body = {name: text_of(name, value) for name, value in fields.items()}
    entry = {"at": hour(at), "ref": ref, "call": kind, "body": body}
    return entry | {"allow_marketable": True} if allow else entry


def create(at: float = 0, ref: str = "s1", **fields: Any) -> dict[str, Any]:
    """Return a create of 10 % in a range up to 100, unless said otherwise; None leaves a field out."""
    address: dict[str, Any] = {
        "coin": "BTC",
        "trade_market": "USDT",
        "exchange": "BINANCE",
        "invest": 10,
        "entry_price_max": 100,
    }
    exits = {f"exit_price_{k}": price for k, price in enumerate(fields.pop("targets", (120,)), 1)}
    merged = address | exits | fields
    return call("create_v2", at, ref, **{name: value for name, value in merged.items() if value is not None})


def limit(price: float, **fields: Any) -> dict[str, Any]:
    """Return the fields of an entry at one limit."""
    return {"entry_price_max": price, "invest_entry_max": 100, **fields}


def scenario(prices: Iterable[Sequence[float]], *calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a scenario of one market without fees and slippage; ``more`` adds to profile, market or the top."""
    profile, market, top = dict(PROFILE), dict(MARKET), {}
    for name, value in more.items():
        if name in SubscriberProfile.model_fields:
            profile[name] = value
        elif name in Market.__dataclass_fields__:
            market[name] = value
        else:
            top[name] = value
    return {"market": market, "profile": profile, "candles": block(prices), "calls": list(calls), **top}


def result_of(values: dict[str, Any]) -> dict[str, Any]:
    """Replay a scenario with the engine."""
    return replay(Scenario.from_dict(values))


def signal_of(result: dict[str, Any], ref: str = "s1") -> dict[str, Any]:
    """Return one signal of a result."""
    return next(signal for signal in result["signals"] if signal["ref"] == ref)


def story(values: dict[str, Any], ref: str = "s1") -> list[str]:
    """Return what happened to a signal, one short text an event: ``"1 target_hit 1: 5 at 102"``, its status last."""
    signal = signal_of(result_of(values), ref)
    return [*(told(event) for event in signal["events"]), signal["status"]]


def told(event: dict[str, Any]) -> str:
    """Return an event as a short text; times count candles."""
    number = (event["time"] - START) / HOUR
    head = f"{number:g} {event['kind']}" + (f" {event['target']}" if event["target"] else "")
    if event["price"] is None:
        return head
    amount = f"{event['quantity']:.8g} at " if event["quantity"] else ""
    return f"{head}: {amount}{event['price']:.8g}"


def fills(result: dict[str, Any], ref: str = "s1") -> list[dict[str, Any]]:
    """Return the events of a signal that traded."""
    return [event for event in signal_of(result, ref)["events"] if event["kind"] in FILLS and event["quantity"] > 0]


def venue_of(values: dict[str, Any]) -> tuple[SimulatedVenue, list[tuple[int, Call]]]:
    """Return a venue without candles for a scenario of one market, and the calls to send it."""
    symbol, known = values["market"]["symbol"], any(row[5] for row in values["candles"]["rows"])
    candles = Candles(symbol, values["candles"]["timeframe"], *([] for _ in range(6)), volume_known=known)  # type: ignore[arg-type]
    funding = np.array(values.get("funding", []), np.float64).reshape(-1, 2)
    history = MarketHistory(Market.from_dict(values["market"]), candles, funding=funding)
    profile = SubscriberProfile.from_dict(values["profile"])
    calls = [(entry["at"], called(entry)) for entry in values["calls"]]
    creates = {call.ref: call for _, call in calls if isinstance(call, CreateSignal)}
    placed = [
        (at, placed_call(call, call if isinstance(call, CreateSignal) else creates[call.signal], history.market))
        for at, call in calls
    ]
    return SimulatedVenue([history], profile), sorted(placed, key=lambda pair: pair[0])


def called(entry: dict[str, Any]) -> Call:
    """Return one entry of a log as a call."""
    return call_from_body(
        entry["call"], entry["body"], entry["ref"], allow_marketable=entry.get("allow_marketable", False)
    )
