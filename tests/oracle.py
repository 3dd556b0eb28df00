"""The oracle: every rule of the signal lifecycle in slow, plain Python, written from the page alone.

It shares no code with the engine. ``replay(scenario)`` returns what ``backtest replay --json`` must print, and
``python tests/oracle.py DIR_OR_FILE --json`` prints it. A long is side +1, a short side -1; "beyond" a level means at
it or worse for that side.

Readings
--------
Given for the project:

- L3.6: trailing levels, break-even and other derived stops are rounded to the tick; liquidation levels are not.
- L3.6: quantities snap to the step within 1e-6 of a step; here they are whole numbers of steps throughout.
- L1.3, L2.1: calls act before the gap, which is walked once, before the journeys fork.
- L4.4: an order that expires inside a candle lives in its gap and open; "unfilled" lets it die right after the open.
- L2.3: fills, quantities and levels are equal within 1e-9 relative.
- L13.2: all cross positions close at the level, no fee, in a gap too; at the market where the level is passed already
  (a fill's fee, funding or a new reservation can do that).
- L13.3: funding on FUTURES, at the last price, before expiries and calls of the first candle at or after its time.
- L14.2: frequency is a rolling 24 hours; risk is the loss at the present stop of position and living buys.
- L14.2: quantities at risk are those of the orders, rounded to the step; of ranges at their near bound.

Chosen here:

- L1.2, the candles walked are those where the call is sent: the first that opens at or after it, coarse or fine.
- L1.3, L14.1, an instant of several symbols: funding, expiries and calls of all of them, then candles by name.
- L2.1, is the open part of the gap? No: the gap lies strictly between; a level at the open acts with the open.
- L2.1, a stop placed by a buy in the gap acts on the rest of the gap, at once where its trigger is met already; one that a
  target of the gap moves (L6.5) waits for the open, and so do targets placed by a fill.
- L2.1, rank: pending stop sales and the sell after `stop_unfilled` with the stops, cancel and market sales with exits.
- L2.3, the walk of mode `candle` begins after the gap, so that the open ratchets nothing in it. What is left is compared
  of the signals that live after the gap; the sell that rests after `stop_unfilled` counts as the active stop.
- L2.6, what arrives in a candle without volume is still arriving (L3.2), and its stop new (L2.1), in the next one that
  trades. Before anything has traded the open of the first candle is the last price. The close of a coarse candle is
  judged where any of its detail candles traded.
- L2.7, a candle counts where, on its legs, a trailing stop that can ratchet stands nearer to its best price than the
  range of the candle.
- L3.5, after `stop_unfilled` entry orders and targets live on too; going flat by another exit then ends the signal.
- L3.6, a buy that rounds down to nothing fails the minimum.
- L4.1, the far bound (for the stop) includes a middle that has a share; a lone bound is near and far at once.
- L4.2, split orders count nearest first.
- L4.4, an expiry inside forks whenever the entry order is still alive after the open, so that a DCA before the entry
  is decided by it too; where nothing differs the fork changes nothing.
- L4.5, `cancel_if_target_first` ends the signal `canceled`; a target jumped in the gap counts as reached.
- L4.5, L12.2, flat at its stop: `invalidated` if nothing was ever bought, else `closed`.
- L5.2, a short that sells higher than at its limit binds more than was reserved, as far as the free balance reaches.
- L6.1, shares belong to target numbers; all shares given must not exceed 100; plans start from 0 after going flat.
- L6.2, a part of its own is one above 0 before it is rounded; a target that sells all for that reason is the last one
  (L12.2) even where others remain without a part.
- L6.3, cost is taken at the price of the sale; a skipped target moves no stop (L6.5) and is not moved (L11.1).
- L6.4, a target number gives `target_hit`, a percent `take_profit_filled`; the percent limit arrives with each buy.
- L6.5, a sell that rests after `stop_unfilled` is not replaced; the distance counts from the target's price, the previous
  target is the next lower number, whatever came of it; where there is no stop, one is placed.
- L8.1, `relative` keeps trigger over price; the offset of the limit stays constant in quote there too.
- L8.3, a high made while flat does not count.
- L8.5, a fill's trigger at or beyond the price traded there acts at once, in a gap too; a call's trigger at or beyond the
  last price acts at the open whatever the open is; it is no pending sale.
- L11.1, no order is required of updated targets; a hole may be filled; minimum against maximum as sent, else as known.
- L11.1, `stop_moved` only where a protective order was active; none for an allowed stop, which is sold.
- L11.3, a refused signal counts as ended.
- L13.1, L13.2, a liquidation level is met within 1e-12 of it.
- L13.1, in a gap whose open is at or beyond the liquidation level, a jumped stop waits, so DCAs nearer than that level
  fill; where they move the level beyond the open, the stop acts after all. A level that funding has passed acts at once
  in a gap that goes on beyond it, else at the open, if that is beyond it too.
- L13.2, the level is looked at on the path of symbols that have a cross position. A reservation ended for want of cash
  is one order, of the symbol walked at once, of others when its candle has been walked; where nothing of its signal is
  left, the signal ends `refused`, or `closed` if it had bought.
- L13.2, L13.3, no sale costs more than the margin sold and the free balance; of a cross position, than its margin, all
  cash and what the other cross positions are worth.
- L13.2, "cash is never negative": where no cross position is open, and never for what orders can use. A loss that one
  cross position realises may be paid by the unrealised profit of the others, which backs them all: cash stands below 0
  by what is not realised yet, no order finds room or keeps its reservation, and equity stays at or above 0.
- L2.6, L13.3, while nothing trades, a liquidation waits and funding is paid: equity at the last price may stand below 0
  until the next trade, which takes no more than there is.
- L14.2, DCA and rebuy are held against balance and allocation limit; risk, frequency and count against creates only.
- Format: no maintenance rate means 0.5 %, no maximum leverage no cap, no allocation limit 100 (null: none); `invest`
  is at most 100, leverage at least 1, null counts as absent, half a trailing pair is an error in every call.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import re
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

MODES = ("pessimistic", "candle", "optimistic")
MAJORS = ("BTC", "ETH", "SOL", "BNB", "XRP", "ADA", "DOGE", "AVAX")
MINUTE_MS = 60_000
DAY_MS = 86_400_000
UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}
PRICE = re.compile(r"\d+(\.\d+)?")


class ScenarioError(Exception):
    """A scenario that breaks a rule of the API: one sentence that names call and field (exit status 2)."""


# ------------------------------------------------------------------------------------------------------------------
# Market, profile, candles
# ------------------------------------------------------------------------------------------------------------------


def whole(steps: float) -> int:
    """Round a number of steps down; 1e-6 of a step short, or float noise of a large number, still counts (L3.6)."""
    return math.floor(steps + max(1e-6, steps * 1e-15))


@dataclass
class Market:
    """What the venue says about a symbol; absent fields mean no tick, a step of 1e-8 and no minimums."""

    symbol: str
    tick: Decimal | None
    step: Decimal
    min_amount: float
    min_cost: float
    max_leverage: float
    maintenance_rate: float

    def quantity(self, units: int) -> float:
        """Return a whole number of steps as a quantity."""
        return float(self.step * units)

    def units(self, quantity: float) -> int:
        """Round a quantity down to whole steps (L3.6)."""
        return whole(quantity / float(self.step))

    def down(self, price: float) -> float:
        """Round a price down to the tick (L3.6)."""
        return self._to_tick(price, math.floor)

    def up(self, price: float) -> float:
        """Round a price up to the tick (L3.6)."""
        return self._to_tick(price, math.ceil)

    def _to_tick(self, price: float, rounding: Any) -> float:
        if self.tick is None:
            return price
        ticks = price / float(self.tick)
        nearest = round(ticks)
        return float(self.tick * (nearest if abs(ticks - nearest) <= 1e-6 else rounding(ticks)))

    def as_stop(self, price: float, side: int) -> float:
        """Round an entry limit, stop or trailing level: down for a long, up for a short (L3.6)."""
        return self.down(price) if side > 0 else self.up(price)

    def as_target(self, price: float, side: int) -> float:
        """Round a target, or the limit leg of a stop: up for a long, down for a short (L3.6)."""
        return self.up(price) if side > 0 else self.down(price)

    def too_small(self, units: int, price: float) -> bool:
        """Tell whether an order lies below the market's minimum amount or cost (L3.6, L6.3)."""
        quantity = self.quantity(units)
        return units <= 0 or quantity < self.min_amount * (1 - 1e-9) or quantity * price < self.min_cost * (1 - 1e-9)


@dataclass
class Profile:
    """The subscriber: preset `anny` where a field is absent (L3.7)."""

    balance: float = 10000.0
    basis: str = "initial"
    maker_fee: float = 0.001
    taker_fee: float = 0.001
    slippage: float | None = None
    latency_ms: int = 0
    intrabar: str = "pessimistic"
    target_shares: list[float] | None = None
    take_profit_at: int | str | None = None
    trailing_take_profit: dict[str, Any] | None = None
    stop_order: str | None = None
    stop_limit_margin: float = 0.005
    stop_trigger: str = "order"
    trail_distance: str = "absolute"
    allocation_limit: float | None = 100.0
    risk_limit: float | None = None
    frequency_limit: Any = None
    max_open: int | None = None

    def slippage_of(self, symbol: str) -> float:
        """Return the given slippage, else 0.1 % for the vendor's majors and 0.3 % for the rest (L3.7)."""
        if self.slippage is not None:
            return self.slippage
        return 0.001 if symbol.partition("/")[0] in MAJORS else 0.003

    def fee_factor(self) -> float:
        """Return the fee rate that an allocation sets aside (L5.2)."""
        return max(self.maker_fee, self.taker_fee)


@dataclass
class Assumptions:
    """The switchable rules of ours that are no field of the profile."""

    fee_inside_allocation: bool = True
    cancel_entries_at_first_target: bool = True
    cancel_if_target_first: bool = False
    invalidate_at_stop: bool = True
    buys_survive_take_profit: bool = True
    fill_without_volume: bool = False


@dataclass
class Candle:
    """One candle to walk (L1.1).

    `trades` is False for a volume of 0 in a series whose volumes are known (L2.6). `judged` is set on the one that ends
    a coarse candle in which something traded: its close is looked at by stops on closes (L2.4, L7.2).
    """

    time: int
    open: float
    high: float
    low: float
    close: float
    duration: int
    symbol: str
    trades: bool = True
    judged: bool = False


@dataclass
class Call:
    """One call of the log, validated; `seq` is its place in the file."""

    at: int
    seq: int
    ref: str
    kind: str
    body: dict[str, Any]
    allow_marketable: bool
    symbol: str
    arrival: int = 0


@dataclass
class Scenario:
    """A parsed scenario file."""

    profile: Profile
    assumptions: Assumptions
    markets: dict[str, Market]
    walked: dict[str, list[Candle]]
    close_times: list[int]
    funding: dict[str, list[tuple[int, float]]]
    calls: list[Call]


def timeframe_ms(text: Any) -> int:
    """Return the length of a timeframe such as "1h" in milliseconds."""
    match = re.fullmatch(r"(\d+)([mhdw])", str(text))
    if not match or int(match[1]) == 0:
        raise ScenarioError(f'candles: timeframe was "{text}"; use 1m, 5m, 1h, 1d and the like')
    return int(match[1]) * UNITS_MS[match[2]]


def parse_rows(block: dict[str, Any], symbol: str, fills_without_volume: bool) -> list[Candle]:
    """Read `{"timeframe": ..., "rows": [[time, open, high, low, close, volume], ...]}`.

    Volumes that are all 0 or missing are unknown: every candle trades (L2.6).
    """
    duration = timeframe_ms(block.get("timeframe"))
    candles = []
    for row in block.get("rows", []):
        prices = [float(x) for x in row[1:5]]
        candles.append(Candle(int(row[0]), prices[0], prices[1], prices[2], prices[3], duration, symbol))
    volumes = [float(row[5]) if len(row) > 5 else 0.0 for row in block.get("rows", [])]
    for candle, volume in zip(candles, volumes, strict=True):
        candle.trades = volume > 0 or fills_without_volume or not any(volumes)
    for candle in candles:
        if (
            not 0
            < candle.low
            <= min(candle.open, candle.close)
            <= max(candle.open, candle.close)
            <= candle.high
            < math.inf
        ):
            raise ScenarioError(f"candles of {symbol}: the row of {candle.time} contradicts itself")
    if any(b.time <= a.time for a, b in itertools.pairwise(candles)):
        raise ScenarioError(f"candles of {symbol}: rows are not in time order")
    return candles


def walked_candles(coarse: list[Candle], fine: list[Candle]) -> list[Candle]:
    """Put the finer candles in place of each coarse one that they cover completely (L2.4)."""
    by_time = {c.time: c for c in fine}
    step = fine[0].duration if fine else 0
    result = []
    for candle in coarse:
        times = range(candle.time, candle.time + candle.duration, step) if step and candle.duration % step == 0 else []
        parts = [by_time[t] for t in times if t in by_time]
        parts = parts if parts and len(parts) == len(times) else [candle]
        parts[-1].judged = any(part.trades for part in parts)
        result += parts
    return result


def parse_market(raw: dict[str, Any], symbol: str | None = None) -> Market:
    """Read a market's fields."""
    name = raw.get("symbol") or symbol
    if not name or "/" not in name:
        raise ScenarioError("market: symbol is missing or not of the form BASE/QUOTE")
    tick = raw.get("tick")
    name = name.partition(":")[0]  # of a perpetual, BTC/USDT:USDT
    decimals = {k: Decimal(str(raw[k])) if raw.get(k) is not None else None for k in ("tick", "step")}
    return Market(
        symbol=name,
        tick=decimals["tick"] if tick is not None and decimals["tick"] else None,
        step=decimals["step"] or Decimal("1e-8"),
        min_amount=float(raw.get("min_amount") or 0),
        min_cost=float(raw.get("min_cost") or 0),
        max_leverage=float(raw.get("max_leverage") or math.inf),
        maintenance_rate=float(0.005 if raw.get("maintenance_margin_rate") is None else raw["maintenance_margin_rate"]),
    )


def parse_funding(raw: Any, symbol: str) -> list[tuple[int, float]]:
    """Read `[[time, rate], ...]`, `{"rows": [...]}` or `{symbol: either}`, times on the nearest minute (L13.3)."""
    if isinstance(raw, dict):
        raw = parse_funding(raw[symbol], symbol) if symbol in raw else raw.get("rows")
    return [(nearest_multiple(int(time), MINUTE_MS), float(rate)) for time, rate in sorted(raw or [])]


def nearest_multiple(value: int, unit: int) -> int:
    """Round a whole number to the nearest multiple of a unit, half of one up."""
    return (2 * value + unit) // (2 * unit) * unit


def market_blocks(raw: dict[str, Any]) -> list[tuple[str | None, dict[str, Any], dict[str, Any]]]:
    """Return (name, market fields, block with candles, detail and funding) for each of the three forms."""
    markets = raw.get("markets")
    if markets is None:
        if not isinstance(raw.get("market"), dict):
            raise ScenarioError("scenario: market is missing")
        return [(None, raw["market"], raw)]
    if isinstance(markets, dict):
        return [(name, block.get("market", block), block) for name, block in markets.items()]
    return [(None, block.get("market", block), block) for block in markets]


def parse_profile(raw: dict[str, Any]) -> Profile:
    """Read the profile, refusing what it cannot mean."""
    unknown = sorted(set(raw) - set(Profile.__dataclass_fields__))
    if unknown:
        raise ScenarioError(f"profile: unknown field {unknown[0]}")
    optional = (
        "slippage",
        "target_shares",
        "take_profit_at",
        "trailing_take_profit",
        "stop_order",
        "allocation_limit",
        "risk_limit",
        "frequency_limit",
        "max_open",
    )
    profile = Profile(**{k: v for k, v in raw.items() if v is not None or k in optional})
    allowed = {
        "basis": ("initial", "equity"),
        "intrabar": MODES,
        "stop_order": (None, "market", "limit"),
        "stop_trigger": ("order", "close"),
        "trail_distance": ("absolute", "relative", "static"),
    }
    for name, values in allowed.items():
        if getattr(profile, name) not in values:
            raise ScenarioError(f'profile: {name} was "{getattr(profile, name)}"')
    shares = profile.target_shares
    if shares is not None and (any(s < 0 for s in shares) or sum(shares) > 100 + 1e-9):
        raise ScenarioError(f"profile: target_shares {shares} must not be negative nor sum to more than 100")
    check_exits(profile)
    return profile


def check_exits(profile: Profile) -> None:
    """Validate `take_profit_at` and `trailing_take_profit` (L6.4, L6.5)."""
    at = profile.take_profit_at
    if at is not None and not re.fullmatch(r"\d+(\.\d+)?%|\d+", str(at)):
        raise ScenarioError(f'profile: take_profit_at was "{at}"; use a target number or a percent such as "4%"')
    rule = profile.trailing_take_profit
    if rule is None:
        return
    if not {"from_target", "stop_to"} <= set(rule) <= {"from_target", "stop_to", "distance_percent"}:
        raise ScenarioError("profile: trailing_take_profit needs from_target and stop_to")
    if rule["stop_to"] not in ("break_even", "previous_target", "distance"):
        raise ScenarioError(f'profile: trailing_take_profit.stop_to was "{rule["stop_to"]}"')
    if rule["stop_to"] == "distance" and not is_number(rule.get("distance_percent")):
        raise ScenarioError("profile: trailing_take_profit.distance_percent is missing")


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a finite number (a boolean is not)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# ------------------------------------------------------------------------------------------------------------------
# The bodies of the eight calls (signal-api.md)
# ------------------------------------------------------------------------------------------------------------------

ATTACHMENTS = {"attachment_image1_url": "text", "attachment_image2_url": "text", "attachment_description": "text"}
CREATE = {
    "coin": "text!",
    "trade_market": "text!",
    "exchange": "text!",
    "stop_loss": "price",
    "type": "text",
    "ttl_buy_order": "number",
    **ATTACHMENTS,
}
BODIES: dict[str, dict[str, str]] = {
    "create_v1": {
        **CREATE,
        "buy_price_min": "price!",
        "buy_price_max": "price!",
        "sell_price_1": "price!",
        **{f"sell_price_{k}": "price" for k in range(2, 7)},
        "invest": "number!",
    },
    "create_v2": {
        **CREATE,
        "invest": "number!",
        "entry_price_max": "price!",
        "entry_price_min": "price",
        "entry_price_mid": "price",
        "exit_price_1": "price!",
        **{f"exit_price_{k}": "price" for k in range(2, 6)},
        "account": "text",
        "leverage": "number",
        "margin_type": "text",
        "entry_mode": "text",
        "invest_entry_min": "share",
        "invest_entry_mid": "share",
        "invest_entry_max": "share",
    },
    "takeprofit": {
        "order_type": "text!",
        "sell_price": "price",
        "sell_amount_relative": "number!",
        "symbol": "text",
        "trailing_stop_price": "price",
        "trailing_stop_limit_price": "price",
    },
    "trailingstop": {"trailing_stop_price": "price!", "trailing_stop_limit_price": "price!"},
    "rebuy": {
        "buy_price_min": "price!",
        "buy_price_max": "price!",
        "invest": "number",
        "trailing_stop_price": "price",
        "trailing_stop_limit_price": "price",
    },
    "dca": {"buy_price": "price!", "multiplier": "number!"},
    "updateprice": {
        "entry_price_min": "price",
        "entry_price_max": "price",
        **{f"exit_price_{k}": "price" for k in range(1, 7)},
        "stop_loss": "price",
    },
    "cancel": {},
}
CHOICES = {
    "type": ("long", "short"),
    "account": ("SPOT", "MARGIN", "FUTURES"),
    "margin_type": ("ISOLATED", "CROSS"),
    "entry_mode": ("range",),
    "order_type": ("limit", "market"),
}


def check_field(where: str, name: str, kind: str, value: Any) -> Any:
    """Validate one field of a body and return it, prices as floats."""
    if kind == "price":
        if not isinstance(value, str) or not PRICE.fullmatch(value) or float(value) <= 0:
            raise ScenarioError(f"{where}: {name} was {value!r}, which is no decimal string above 0")
        return float(value)
    if kind in ("number", "share"):
        if not is_number(value) or value < 0 or (kind == "number" and value == 0):
            raise ScenarioError(f"{where}: {name} was {value!r}, which is no number above 0")
        return value
    if not isinstance(value, str) or not value:
        raise ScenarioError(f"{where}: {name} was {value!r}, which is no text")
    if value not in CHOICES.get(name, (value,)):
        raise ScenarioError(f'{where}: {name} was "{value}"; use one of {", ".join(CHOICES[name])}')
    if name == "attachment_description" and len(value) > 1000:
        raise ScenarioError(f"{where}: {name} has more than 1000 characters")
    return value


def check_body(where: str, kind: str, raw: Any) -> dict[str, Any]:
    """Validate a body's fields one by one; a field that is null counts as absent."""
    if not isinstance(raw, dict):
        raise ScenarioError(f"{where}: body is missing")
    fields = BODIES[kind] if kind.startswith("create") else {**BODIES[kind], "parent_signal_id": "text"}
    body: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in fields:
            raise ScenarioError(f"{where}: unknown field {name}")
        if value is not None:
            body[name] = check_field(where, name, fields[name].rstrip("!"), value)
    for name, rule in fields.items():
        if rule.endswith("!") and name not in body:
            raise ScenarioError(f"{where}: {name} is missing")
    return body


def create_form(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """Bring a create of either version into one form: bounds, mid, shares, targets by number."""
    v1 = kind == "create_v1"
    exit_name = "sell_price_" if v1 else "exit_price_"
    shares = {slot: body[f"invest_entry_{slot}"] for slot in ("min", "mid", "max") if f"invest_entry_{slot}" in body}
    return {
        "side": -1 if body.get("type") == "short" else 1,
        "min": body.get("buy_price_min" if v1 else "entry_price_min"),
        "mid": body.get("entry_price_mid"),
        "max": body["buy_price_max" if v1 else "entry_price_max"],
        "shares": shares,
        "targets": {k: body[f"{exit_name}{k}"] for k in range(1, 7) if f"{exit_name}{k}" in body},
        "stop": body.get("stop_loss"),
        "invest": body["invest"],
        "ttl": body.get("ttl_buy_order"),
        "account": "SPOT" if v1 else body.get("account", "SPOT"),
        "leverage": 1 if v1 else body.get("leverage", 1),
        "cross": body.get("margin_type") == "CROSS",
    }


def check_create(where: str, form: dict[str, Any]) -> None:
    """Validate what the fields of a create mean together (L4.1, L4.2)."""
    side, low, mid, high = form["side"], form["min"], form["mid"], form["max"]
    if form["invest"] > 100:
        raise ScenarioError(f"{where}: invest was {form['invest']}, more than 100 percent")
    if form["leverage"] < 1:
        raise ScenarioError(f"{where}: leverage was {form['leverage']}, less than 1")
    if low is not None and low > high:
        raise ScenarioError(f"{where}: entry_price_min {low} lies above entry_price_max {high}")
    lower, upper = (low, high) if low is not None else ((0, high) if side > 0 else (high, math.inf))
    if mid is not None and not lower <= mid <= upper:
        raise ScenarioError(f"{where}: entry_price_mid {mid} lies outside the bounds")
    for slot in form["shares"]:
        if form[slot] is None:
            raise ScenarioError(f"{where}: invest_entry_{slot} has no entry_price_{slot}")
    if form["shares"] and abs(sum(form["shares"].values()) - 100) > 1e-9:
        raise ScenarioError(f"{where}: invest_entry shares sum to {sum(form['shares'].values())}, not 100")
    check_levels(where, form)


def check_levels(where: str, form: dict[str, Any]) -> None:
    """Hold the stop against the far bound, the targets against the near bound and each other."""
    side = form["side"]
    bounds = [p for p in (form["min"], form["max"]) if p is not None]
    middle = [form["mid"]] if form["shares"].get("mid") else []
    far = min(side * p for p in bounds + middle)
    if form["stop"] is not None and side * form["stop"] >= far:
        raise ScenarioError(f"{where}: stop_loss {form['stop']} is not beyond the far entry bound")
    before = max(side * p for p in bounds)
    for number, price in form["targets"].items():
        if side * price <= before:
            raise ScenarioError(
                f"{where}: target {number} at {price} is not beyond the near entry bound or its predecessor"
            )
        before = side * price


def check_later(where: str, kind: str, body: dict[str, Any], side: int) -> None:
    """Validate what the fields of a later call mean together."""
    trigger, limit = body.get("trailing_stop_price"), body.get("trailing_stop_limit_price")
    if (trigger is None) != (limit is None):
        missing = "trailing_stop_price" if trigger is None else "trailing_stop_limit_price"
        raise ScenarioError(f"{where}: {missing} is missing, the two prices belong together")
    if trigger is not None and limit is not None and side * limit > side * trigger:
        raise ScenarioError(f"{where}: trailing_stop_limit_price {limit} is better than the trigger {trigger}")
    if kind == "rebuy" and body["buy_price_min"] > body["buy_price_max"]:
        raise ScenarioError(f"{where}: buy_price_min lies above buy_price_max")
    if kind == "rebuy" and body.get("invest", 1) > 100:
        raise ScenarioError(f"{where}: invest was {body['invest']}, more than 100 percent")
    if kind == "takeprofit":
        if body["order_type"] == "limit" and "sell_price" not in body:
            raise ScenarioError(f"{where}: sell_price is missing, a limit order needs it")
        if not 1 <= body["sell_amount_relative"] <= 100:
            raise ScenarioError(f"{where}: sell_amount_relative was {body['sell_amount_relative']}, not 1 to 100")
        if body["sell_amount_relative"] < 100 and trigger is None:
            raise ScenarioError(f"{where}: trailing_stop_price is missing, a partial take profit needs the pair")


def parse_calls(raw: list[Any], symbols: list[str]) -> list[Call]:
    """Validate the call log and sort it by the time of sending (L1.3)."""
    calls: list[Call] = []
    creates: dict[str, tuple[int, str]] = {}
    for seq, entry in enumerate(raw):
        call = parse_call(entry, seq)
        if call.kind.startswith("create"):
            where = f"call {seq + 1} ({call.kind})"
            if call.ref in creates:
                raise ScenarioError(f'{where}: ref "{call.ref}" is a duplicate')
            call.symbol = f"{call.body['coin']}/{call.body['trade_market']}"
            if call.symbol not in symbols:
                raise ScenarioError(
                    f"{where}: coin and trade_market name {call.symbol}, which is no market of this scenario"
                )
            call.body = create_form(call.kind, call.body)
            check_create(where, call.body)
            creates[call.ref] = (call.body["side"], call.symbol)
        calls.append(call)
    for call in calls:
        if call.ref not in creates:
            raise ScenarioError(f'call {call.seq + 1} ({call.kind}): ref "{call.ref}" is never created')
        if not call.kind.startswith("create"):
            side, call.symbol = creates[call.ref]
            check_later(f"call {call.seq + 1} ({call.kind})", call.kind, call.body, side)
    return sorted(calls, key=lambda c: (c.at, c.seq))


def parse_call(entry: Any, seq: int) -> Call:
    """Read one entry of the call log."""
    kind = entry.get("call") if isinstance(entry, dict) else None
    where = f"call {seq + 1} ({kind})"
    if kind not in BODIES:
        raise ScenarioError(f"{where}: call is missing or unknown")
    unknown = sorted(set(entry) - {"at", "ref", "call", "body", "allow_marketable"})
    if unknown:
        raise ScenarioError(f"{where}: unknown field {unknown[0]}")
    if not is_number(entry.get("at")):
        raise ScenarioError(f"{where}: at is missing")
    if not isinstance(entry.get("ref"), str):
        raise ScenarioError(f"{where}: ref is missing")
    return Call(
        int(entry["at"]),
        seq,
        entry["ref"],
        kind,
        check_body(where, kind, entry.get("body")),
        bool(entry.get("allow_marketable")),
        "",
    )


def parse_scenario(raw: dict[str, Any]) -> Scenario:
    """Read a scenario file, raising `ScenarioError` where it breaks a rule of the API."""
    profile = parse_profile(raw.get("profile") or {})
    assumed = {k: v["value"] if isinstance(v, dict) else v for k, v in (raw.get("assumptions") or {}).items()}
    unknown = sorted(set(assumed) - set(Assumptions.__dataclass_fields__))
    if unknown:
        raise ScenarioError(f"assumptions: unknown field {unknown[0]}")
    assumptions = Assumptions(**assumed)
    markets, walked, closes, funding = {}, {}, set(), {}
    for name, fields, block in market_blocks(raw):
        market = parse_market(fields, name)
        if not isinstance(block.get("candles"), dict):
            raise ScenarioError(f"candles of {market.symbol}: missing")
        coarse = parse_rows(block["candles"], market.symbol, assumptions.fill_without_volume)
        fine = (
            parse_rows(block["detail"], market.symbol, assumptions.fill_without_volume) if block.get("detail") else []
        )
        markets[market.symbol] = market
        walked[market.symbol] = walked_candles(coarse, fine)
        closes |= {c.time + c.duration for c in coarse}
        series = block.get("funding")
        if series is None and isinstance(raw.get("funding"), dict):
            series = raw["funding"].get(market.symbol)
        funding[market.symbol] = parse_funding(series, market.symbol)
        times = [time for time, _ in funding[market.symbol]]
        ends = coarse[-1].time + coarse[-1].duration if coarse else 0
        if times and coarse and (times[0] > ends or times[-1] < coarse[0].time - DAY_MS):
            raise ScenarioError(f"funding of {market.symbol}: lies outside the candles altogether")
    calls = parse_calls(raw.get("calls") or [], sorted(markets))
    for call in calls:
        call.arrival = arrival_of(call, walked[call.symbol], profile.latency_ms)
    calls.sort(key=lambda c: (c.arrival, c.at, c.seq))
    return Scenario(profile, assumptions, markets, walked, sorted(closes), funding, calls)


def arrival_of(call: Call, walked: list[Candle], latency: int) -> int:
    """Return when a call reaches the venue: its latency rounded to whole candles of those walked there (L1.2)."""
    candle = next((c for c in walked if c.time >= call.at), None)
    return call.at + (0 if candle is None else nearest_multiple(latency, candle.duration))


# ------------------------------------------------------------------------------------------------------------------
# State
# ------------------------------------------------------------------------------------------------------------------


@dataclass
class Buy:
    """A living buy of a signal (a sale, for a short): initial entry, DCA or rebuy.

    `limit` is set for a limit order with fixed `units`; else it is a market buy in `low` to `high` (L4.1).
    `arriving` marks a limit that has not met a traded price yet (L3.2).
    """

    kind: str
    seq: int
    allocation: float
    limit: float | None = None
    units: int = 0
    low: float = 0.0
    high: float = math.inf
    slot: str | None = None
    expires: int | None = None
    trailing: tuple[float, float] | None = None
    arriving: bool = True

    def near(self, side: int) -> float:
        """Return the limit, or the bound at which a range order stops chasing (L4.1)."""
        if self.limit is not None:
            return self.limit
        return self.high if side > 0 else self.low


@dataclass
class Target:
    """One `exit_price_k`; `plan` is the quantity, in steps and fractions of one, that it is to sell (L6.1)."""

    number: int
    price: float
    plan: float = 0.0
    state: str = "open"
    arriving: bool = True


@dataclass
class TakeProfit:
    """A take profit call (L9): a resting sell of a percentage; `price` None is one at market."""

    seq: int
    percent: float
    price: float | None
    trailing: tuple[float, float] | None
    arriving: bool = True


@dataclass
class Stop:
    """The protective order, or, while flat, the level that ends the signal (L7, L8).

    `limit` None is a stop market. `fresh`: armed by a call of this instant, so it acts at the open (L2.1). `triggered`:
    armed beyond the market, acts at once (L8.5). `resting`: `stop_unfilled` happened, a sell rests at `limit` (L3.5).
    """

    level: float
    limit: float | None
    trailing: str | None = None
    distance: float = 0.0
    offset: float = 0.0
    best: float = 0.0
    fresh: bool = False
    triggered: bool = False
    resting: bool = False
    announced: float = 0.0


@dataclass
class Signal:
    """One signal and its own sub-position at average cost (L14.1)."""

    ref: str
    symbol: str
    side: int
    account: str
    cross: bool
    leverage: float
    percent: float
    allocation: float
    seq: int
    low: float | None
    high: float
    split: bool
    status: str = "living"
    buys: list[Buy] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    take_profits: list[TakeProfit] = field(default_factory=list)
    stop: Stop | None = None
    waiting_trailing: tuple[float, float] | None = None
    pending: str | None = None
    profit_price: float | None = None
    profit_arriving: bool = False
    units: int = 0
    entry: float = 0.0
    cost: float = 0.0
    eaten: float = 0.0  # what the margin lacks: funding took it (L13.3), or the free balance did not reach (L5.2)
    used: float = 0.0
    realised: float = 0.0
    fees: float = 0.0
    bought: bool = False
    target_hit: bool = False
    first_target_hit: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Tell whether the signal can still do anything."""
        return self.status == "living"

    @property
    def leveraged(self) -> bool:
        """Tell whether the position can be liquidated (L13)."""
        return self.account != "SPOT"

    def margin(self) -> float:
        """Return what the open position binds: its cost over its leverage, less what funding took of it."""
        return self.cost / self.leverage - self.eaten

    def open_targets(self) -> list[Target]:
        """Return the targets neither reached nor skipped, by number."""
        return [t for t in self.targets if t.state == "open"]

    def shown_status(self) -> str:
        """Return the status as the page names it."""
        if not self.alive:
            return self.status
        return "open" if self.units else "waiting"

    def clone(self) -> Signal:
        """Copy a signal for a fork; events are never changed, so the list is copied flat."""
        twin = copy.copy(self)
        twin.buys = [copy.copy(b) for b in self.buys]
        twin.targets = [copy.copy(t) for t in self.targets]
        twin.take_profits = [copy.copy(t) for t in self.take_profits]
        twin.stop = copy.copy(self.stop)
        twin.events = list(self.events)
        return twin


@dataclass
class World:
    """The whole account in one mode: cash, signals and last prices; the walk functions change it in place."""

    scenario: Scenario
    mode: str
    cash: float
    realised: float = 0.0
    fees: float = 0.0
    funding: float = 0.0
    signals: list[Signal] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)
    seq: int = 0
    accepted: list[int] = field(default_factory=list)
    time: int = 0
    symbol: str = ""
    ratcheting: bool = True
    gapping: bool = False
    price: float = math.nan  # at which a fill trades, before slippage
    fills: list[tuple[str, str, float, float, float]] = field(default_factory=list)
    ambiguous: int = 0
    range: float = 0.0  # of the candle on whose legs the price is
    tight: bool = False
    tight_candles: int = 0

    @property
    def profile(self) -> Profile:
        """Return the subscriber's profile."""
        return self.scenario.profile

    @property
    def slippage(self) -> float:
        """Return the slippage of the symbol being walked."""
        return self.profile.slippage_of(self.symbol)

    def market(self, signal: Signal) -> Market:
        """Return the market of a signal."""
        return self.scenario.markets[signal.symbol]

    def next_seq(self) -> int:
        """Number signals and orders in the order of their creation (L2.1)."""
        self.seq += 1
        return self.seq

    def here(self) -> list[Signal]:
        """Return the living signals of the walked symbol in order of creation."""
        return [s for s in self.signals if s.alive and s.symbol == self.symbol]

    def clone(self) -> World:
        """Copy the world for a fork."""
        twin = copy.copy(self)
        twin.signals = [s.clone() for s in self.signals]
        twin.last = dict(self.last)
        twin.accepted = list(self.accepted)
        twin.fills = list(self.fills)
        return twin

    def quantity(self, signal: Signal) -> float:
        """Return the open quantity of a signal."""
        return self.market(signal).quantity(signal.units)

    def average(self, signal: Signal) -> float:
        """Return the average entry of an open position."""
        return signal.entry

    def equity(self) -> float:
        """Return cash + margins + unrealised PnL at the last prices (L14.3)."""
        total = self.cash
        for s in self.signals:
            if s.units:
                total += s.margin() + s.side * (self.quantity(s) * self.last[s.symbol] - s.cost)
        return total

    def reserved(self) -> float:
        """Return the allocations of all living orders (L5.4)."""
        return sum(reservation(self, s, b.allocation) for s in self.signals for b in s.buys)

    def free(self) -> float:
        """Return the free balance: cash less reservations (L5.3)."""
        return self.cash - self.reserved()

    def tolerance(self) -> float:
        """Return what float noise may make of a sum of money."""
        return 1e-9 * self.profile.balance

    def basis(self) -> float:
        """Return what a percentage of the portfolio refers to (L5.1)."""
        return self.profile.balance if self.profile.basis == "initial" else self.equity()

    def check_conservation(self) -> None:
        """Hold cash against its parts (L14.3)."""
        margins = sum(s.margin() for s in self.signals)
        expected = self.profile.balance + self.realised - self.fees - self.funding - margins
        if not math.isclose(self.cash, expected, rel_tol=1e-9, abs_tol=1e-9 * self.profile.balance):
            raise AssertionError(f"cash was {self.cash}, its parts sum to {expected}")


def worsened(price: float, direction: int, slippage: float) -> float:
    """Return the price a market order pays (direction +1, a buy) or gets (direction -1, a sale) (L3.3)."""
    return price * (1 + direction * slippage)


def reached(price: float, level: float, side: int) -> bool:
    """Tell whether a price is at or beyond a level that lies against the position (a stop, a buy limit)."""
    return side * (price - level) <= 0


def emit(
    world: World,
    signal: Signal,
    kind: str,
    rule: str,
    price: float | None = None,
    units: int = 0,
    fee: float = 0.0,
    target: int | None = None,
) -> None:
    """Write one event of a signal; one that traded is a fill as well (L2.3)."""
    quantity = world.market(signal).quantity(units) if units else 0.0
    signal.events.append(
        {
            "time": world.time,
            "kind": kind,
            "price": price,
            "quantity": quantity,
            "fee": fee,
            "rule": rule,
            "target": target,
        }
    )
    if units:
        world.fills.append((signal.ref, kind, price or 0.0, quantity, fee))


# ------------------------------------------------------------------------------------------------------------------
# Fills and what follows from them
# ------------------------------------------------------------------------------------------------------------------


def notional(world: World, signal: Signal, allocation: float) -> float:
    """Return what an allocation buys once margin and entry fee are paid from it (L5.2)."""
    if not world.scenario.assumptions.fee_inside_allocation:
        return allocation * signal.leverage
    return allocation / (1 + signal.leverage * world.profile.fee_factor()) * signal.leverage


def reservation(world: World, signal: Signal, allocation: float) -> float:
    """Return what is reserved for an allocation: itself, where the fee is paid from it (L5.2, L5.4)."""
    if world.scenario.assumptions.fee_inside_allocation:
        return allocation
    return allocation * (1 + signal.leverage * world.profile.fee_factor())


def shares_of(profile: Profile, targets: list[Target]) -> dict[int, float]:
    """Return each target's share in percent; the last one takes what is missing from 100 (L6.1)."""
    numbers = [t.number for t in targets]
    given = profile.target_shares
    if given is None:
        return {n: 100 / len(numbers) for n in numbers}
    shares = {n: float(given[n - 1]) if n <= len(given) else 0.0 for n in numbers}
    shares[numbers[-1]] = 100 - sum(shares[n] for n in numbers[:-1])
    return {n: share if share > 1e-9 else 0.0 for n, share in shares.items()}  # of 100 less 99.99..., nothing is left


def spread(world: World, signal: Signal, units: float) -> None:
    """Add to each remaining target its part of a buy (L6.1)."""
    remaining = signal.open_targets()
    if not remaining:
        return
    shares = shares_of(world.profile, signal.targets)
    total = sum(shares[t.number] for t in remaining)
    for target in remaining:
        if total > 1e-9:
            target.plan += units * shares[target.number] / total
        elif target is remaining[-1]:
            target.plan += units


def arm_trailing(world: World, signal: Signal, pair: tuple[float, float], base: float, fresh: bool = False) -> None:
    """Replace the protective order by a trailing stop limit, its distance taken from `base` (L8.1, L8.2, L8.5).

    `base` is the last price, or what was traded at the fill that arms it, before slippage; a trigger at or beyond it
    acts at once.
    """
    market, side = world.market(signal), signal.side
    trigger, limit = market.as_stop(pair[0], side), market.as_target(pair[1], side)
    limit = side * min(side * limit, side * trigger)
    how = world.profile.trail_distance
    distance = trigger / base if how == "relative" else side * (base - trigger)
    beyond = reached(base, trigger, side)
    signal.stop = Stop(trigger, limit, how, distance, trigger - limit, base, fresh, triggered=beyond, announced=trigger)
    signal.waiting_trailing = None
    look_at_trail(world, signal)
    emit(world, signal, "stop_moved", "L8.2", price=trigger)


def look_at_trail(world: World, signal: Signal) -> None:
    """Note that a trailing stop is nearer than the range of the candle on whose legs it stands (L2.7)."""
    stop = signal.stop
    if stop is None or stop.trailing in (None, "static") or stop.triggered or stop.resting or not signal.units:
        return
    distance = abs(stop.best * (1 - stop.distance)) if stop.trailing == "relative" else stop.distance
    world.tight |= distance < world.range * (1 - 1e-9)


def trail(world: World, signal: Signal) -> None:
    """Move a trailing stop's level up to what its best price allows, never back (L8.3)."""
    stop, side, market = signal.stop, signal.side, world.market(signal)
    if stop is None or stop.trailing in (None, "static") or stop.resting or stop.triggered or not signal.units:
        return
    raw = stop.best * stop.distance if stop.trailing == "relative" else stop.best - side * stop.distance
    level = market.as_stop(raw, side)
    if side * level > side * stop.level + 1e-12 * level:
        stop.level = level
        stop.limit = market.as_target(level - stop.offset, side)


def ratchet(world: World, price: float) -> None:
    """Show a traded price to every trailing stop of the symbol (L8.3, L8.4)."""
    for signal in world.here():
        stop = signal.stop
        if stop is not None and stop.trailing and signal.units:
            stop.best = signal.side * max(signal.side * stop.best, signal.side * price)
            if world.ratcheting:
                trail(world, signal)


def fixed_stop(world: World, signal: Signal, price: float, fresh: bool) -> Stop:
    """Make a fixed stop, market or limit as the account wants it (L7.1)."""
    kind = world.profile.stop_order or ("limit" if signal.account == "SPOT" else "market")
    level = world.market(signal).as_stop(price, signal.side)
    limit = None
    if kind == "limit":
        limit = world.market(signal).as_target(level * (1 - signal.side * world.profile.stop_limit_margin), signal.side)
        limit = signal.side * min(signal.side * limit, signal.side * level)
    return Stop(level, limit, fresh=fresh, announced=level)


def finish(world: World, signal: Signal, status: str, rule: str) -> None:
    """End a signal with the event of its status; all its orders die (L12.2)."""
    signal.status = status
    signal.buys, signal.take_profits, signal.pending, signal.waiting_trailing = [], [], None, None
    emit(world, signal, status, rule)


def make_pending(signal: Signal, kind: str) -> None:
    """Sell everything at the next traded price; every other order of the signal dies at once (L12.1)."""
    signal.pending = kind
    signal.buys, signal.take_profits, signal.waiting_trailing = [], [], None


def buy(world: World, signal: Signal, order: Buy, units: int, price: float, fee_rate: float) -> None:
    """Fill a buy: the position grows, targets get their parts, waiting orders arrive (L6.1, L8.5, L9.3, L10.3)."""
    market = world.market(signal)
    first = signal.units == 0
    signal.buys.remove(order)
    cost = market.quantity(units) * price
    fee = fee_rate * cost
    lacking = max(0.0, cost / signal.leverage + fee - max(0.0, world.free()))  # a short sold higher than at its limit
    lacking = lacking if lacking > world.tolerance() else 0.0
    signal.eaten += lacking
    signal.units += units
    signal.entry = price if first else (signal.cost + cost) / world.quantity(signal)
    signal.cost += cost
    signal.used += order.allocation
    signal.fees += fee
    signal.bought = True
    world.fees += fee
    world.cash -= cost / signal.leverage + fee - lacking
    kind, rule = {
        "entry": ("entered", "L4.1" if order.limit is None else "L4.2"),
        "dca": ("dca_filled", "L10.1"),
        "rebuy": ("rebought", "L10.2"),
    }[order.kind]
    emit(world, signal, kind, rule, price, units, fee)
    spread(world, signal, units)
    set_profit_price(world, signal)
    if first:
        arrive([*signal.targets, *signal.take_profits], arriving=True)
    if order.trailing is not None:
        arm_trailing(world, signal, order.trailing, world.price)
    elif signal.waiting_trailing is not None:
        arm_trailing(world, signal, signal.waiting_trailing, world.price)


def arrive(orders: list[Any], *, arriving: bool) -> None:
    """Mark orders as arriving (judged at the next traded price) or as resting (L3.2)."""
    for order in orders:
        order.arriving = arriving


def set_profit_price(world: World, signal: Signal) -> None:
    """Place the `take_profit_at` percent limit over the current average entry (L6.4)."""
    at = str(world.profile.take_profit_at)
    if at.endswith("%"):
        raw = world.average(signal) * (1 + signal.side * float(at[:-1]) / 100)
        signal.profit_price = world.market(signal).as_target(raw, signal.side)
        signal.profit_arriving = True


def sell(
    world: World,
    signal: Signal,
    units: int,
    price: float,
    fee_rate: float,
    kind: str,
    rule: str,
    target: int | None = None,
) -> None:
    """Sell part of a position at average cost (L14.1); realised PnL is before fees (L14.3)."""
    quantity = world.market(signal).quantity(units)
    part = (
        signal.cost
        if units == signal.units
        else signal.cost - signal.entry * world.market(signal).quantity(signal.units - units)
    )
    realised = signal.side * (quantity * price - part)
    fee = fee_rate * price * quantity
    realised = max(realised, fee - backing(world, signal, units, price))
    book_exit(world, signal, units, part, realised, fee)
    emit(world, signal, kind, rule, price, units, fee, target)


def backing(world: World, signal: Signal, units: int, price: float) -> float:
    """Return what a sale can cost at most (L13.2, L13.3): the margin sold and what stands behind it.

    That is the free balance; of a cross position all cash, and what the other cross positions are worth: less than nothing
    where this one paid for the sale of another.
    """
    margin = signal.margin() * units / signal.units
    if not is_cross(signal):
        return margin + max(0.0, world.free())
    others = [s for s in world.signals if is_cross(s) and s is not signal]
    prices = [price if s.symbol == signal.symbol else world.last[s.symbol] for s in others]
    return margin + world.cash + sum(worth(world, s, p) for s, p in zip(others, prices, strict=True))


def worth(world: World, signal: Signal, price: float) -> float:
    """Return margin and unrealised PnL of a position at a price."""
    return signal.margin() + signal.side * (world.quantity(signal) * price - signal.cost)


def book_exit(world: World, signal: Signal, units: int, part: float, realised: float, fee: float) -> None:
    """Take a part out of the position and book its result."""
    world.cash += signal.margin() * units / signal.units
    signal.eaten *= 1 - units / signal.units
    signal.used *= 1 - units / signal.units
    signal.units -= units
    signal.cost = signal.cost - part if signal.units else 0.0
    signal.realised += realised
    signal.fees += fee
    world.realised += realised
    world.fees += fee
    world.cash += realised - fee


def after_sale(world: World, signal: Signal, ends: bool) -> None:
    """Close a signal that is flat, or let it wait for the orders that live on (L12.2)."""
    if signal.units:
        return
    signal.profit_price = None
    for target in signal.targets:
        target.plan = 0.0
    stop_was_met = signal.stop is not None and signal.stop.resting
    if ends or stop_was_met or not signal.buys:
        finish(world, signal, "closed", "L12.2")


def limit_sale(world: World, signal: Signal, limit: float, price: float, arriving: bool) -> tuple[float, float]:
    """Return price and fee rate of a limit sale at a traded price: own price, or marketable on arrival (L3.1, L3.2)."""
    if not arriving:
        return limit, world.profile.maker_fee
    slipped = worsened(price, -signal.side, world.slippage)
    return signal.side * max(signal.side * limit, signal.side * slipped), world.profile.taker_fee


def part_of(signal: Signal, steps: float) -> int:
    """Return what a sale takes of a position: all of it where only float noise would remain."""
    units = whole(steps)
    return signal.units if units >= signal.units * (1 - 1e-12) else units


def indivisible(world: World, signal: Signal, units: int, price: float) -> bool:
    """Tell whether the part to sell, or what would remain, is below the market's minimum (L6.3)."""
    market, rest = world.market(signal), signal.units - units
    return market.too_small(units, price) or (rest > 0 and market.too_small(rest, price))


def hit_target(world: World, signal: Signal, target: Target, price: float, fee_rate: float) -> None:
    """Sell a target's part, or skip it where it is indivisible (L6.1 to L6.5, L4.6)."""
    everything = str(world.profile.take_profit_at) == str(target.number)
    last = [t for t in signal.open_targets() if t.plan > 0] == [target]
    units = signal.units if everything or last else part_of(signal, target.plan)
    if not everything and indivisible(world, signal, units, price):
        target.state = "skipped"
        return
    target.state = "reached"
    sell(world, signal, units, price, fee_rate, "target_hit", "L6.1", target.number)
    signal.first_target_hit |= target.number == 1
    if not signal.target_hit and world.scenario.assumptions.cancel_entries_at_first_target:
        signal.buys = [b for b in signal.buys if b.kind != "entry"]
    signal.target_hit = True
    if not (everything or last):
        end_buys(world, signal)
    after_sale(world, signal, ends=everything or last)
    if signal.alive and signal.units:
        move_stop(world, signal, target)


def end_buys(world: World, signal: Signal) -> None:
    """End DCA and rebuy orders after a partial take profit, where the assumption says so (L10.3)."""
    if not world.scenario.assumptions.buys_survive_take_profit:
        signal.buys = [b for b in signal.buys if b.kind == "entry"]


def move_stop(world: World, signal: Signal, target: Target) -> None:
    """Move the stop after a target (L6.5): never down, and over a trailing stop only higher."""
    rule, side = world.profile.trailing_take_profit, signal.side
    if rule is None or target.number < rule["from_target"]:
        return
    before = [t for t in signal.targets if t.number < target.number]
    level = world.average(signal)
    if rule["stop_to"] == "distance":
        level = target.price * (1 - side * rule["distance_percent"] / 100)
    elif rule["stop_to"] == "previous_target" and before:
        level = before[-1].price
    if signal.stop is not None and signal.stop.resting:
        return
    stop = fixed_stop(world, signal, level, fresh=world.gapping)
    if signal.stop is None or side * stop.level > side * signal.stop.level:
        signal.stop = stop
        emit(world, signal, "stop_moved", "L6.5", price=stop.level)


def fill_take_profit(world: World, signal: Signal, call: TakeProfit, price: float, fee_rate: float) -> None:
    """Fill a take profit call for a percentage of what is open now, and arm its trailing stop (L9.1, L9.2)."""
    signal.take_profits.remove(call)
    units = part_of(signal, signal.units * call.percent / 100)
    if indivisible(world, signal, units, price):
        return
    sell(world, signal, units, price, fee_rate, "take_profit_filled", "L9.1")
    end_buys(world, signal)
    after_sale(world, signal, ends=False)
    if signal.units and call.trailing is not None:
        arm_trailing(world, signal, call.trailing, world.price)


def trigger_stop(world: World, signal: Signal, base: float) -> None:
    """Act on a stop that met the price `base`: sell, rest a limit, or end a flat signal (L3.4, L3.5, L4.5)."""
    stop, side = signal.stop, signal.side
    assert stop is not None
    if not signal.units:
        finish(world, signal, "closed" if signal.bought else "invalidated", "L12.2" if signal.bought else "L4.5")
        return
    price = worsened(base, -side, world.slippage)
    if stop.limit is not None and side * base < side * stop.limit:
        stop.resting = True
        emit(world, signal, "stop_unfilled", "L3.5")
        return
    if stop.limit is not None:
        price = side * max(side * stop.limit, side * price)
    stop_sale(world, signal, price, world.profile.taker_fee)


def stop_sale(world: World, signal: Signal, price: float, fee_rate: float) -> None:
    """Sell everything as the stop's fill and end the signal."""
    kind = "trailing_hit" if signal.stop is not None and signal.stop.trailing else "stop_hit"
    sell(world, signal, signal.units, price, fee_rate, kind, "L3.4")
    after_sale(world, signal, ends=True)


def pending_sale(world: World, signal: Signal, price: float) -> None:
    """Sell everything at market: a close at the stop, an allowed stop, a ratchet, or a cancel (L12.1)."""
    kind, price = signal.pending, worsened(price, -signal.side, world.slippage)
    assert kind is not None
    sell(world, signal, signal.units, price, world.profile.taker_fee, kind, "L12.1")
    if kind == "canceled":
        signal.status, signal.pending = "canceled", None
    else:
        after_sale(world, signal, ends=True)


# ------------------------------------------------------------------------------------------------------------------
# Liquidation, see L13
# ------------------------------------------------------------------------------------------------------------------


def isolated_level(world: World, signal: Signal) -> float:
    """Return the price at which an isolated position is liquidated, unrounded (L13.1)."""
    rate = world.market(signal).maintenance_rate
    return world.average(signal) * (1 - signal.side * (signal.margin() / signal.cost - rate))


def isolated_touch(world: World, signal: Signal) -> float:
    """Return the price at which that level counts as met: float noise must not let a touch be missed."""
    return isolated_level(world, signal) * (1 + signal.side * 1e-12)


def is_cross(signal: Signal) -> bool:
    """Tell whether a signal holds a cross position (L13.2)."""
    return bool(signal.units) and signal.leveraged and signal.cross


def cross_level(world: World) -> tuple[float, int] | None:
    """Return the price of the walked symbol at which cross positions are liquidated, and the direction to it (L13.2).

    What backs them, the free balance and their own worth, less their maintenance is linear in that price:
    constant + slope x price. It is looked at on the path of a symbol that has one of them.
    """
    if not any(is_cross(s) for s in world.here()):
        return None
    constant, slope = world.free(), 0.0
    for signal in [s for s in world.signals if is_cross(s)]:
        constant += signal.margin() - signal.side * signal.cost
        weight = (signal.side - world.market(signal).maintenance_rate) * world.quantity(signal)
        if signal.symbol == world.symbol:
            slope += weight
        else:
            constant += weight * world.last[signal.symbol]
    if slope == 0:
        return (0.0, 0) if constant <= 0 else None
    direction = -1 if slope > 0 else 1
    return -constant / slope * (1 - direction * 1e-12), direction


def liquidate_isolated(world: World, signal: Signal) -> None:
    """Lose the whole margin of an isolated position (L13.1)."""
    close_liquidated(world, signal, isolated_level(world, signal), -signal.margin())


def liquidate_cross(world: World, level: float) -> None:
    """Close every cross position: the walked symbol's at the level, others at their last price (L13.2).

    They cannot lose more than all cash and their margins: what is beyond is not taken from the first one walked.
    """
    closed = sorted((s for s in world.signals if is_cross(s)), key=lambda s: s.symbol != world.symbol)
    prices = [level if s.symbol == world.symbol else world.last[s.symbol] for s in closed]
    missing = -world.cash - sum(worth(world, s, p) for s, p in zip(closed, prices, strict=True))
    for signal, price in zip(closed, prices, strict=True):
        realised = signal.side * (world.quantity(signal) * price - signal.cost) + max(0.0, missing)
        missing = 0.0
        close_liquidated(world, signal, price, realised)


def end_uncovered(world: World, signals: list[Signal]) -> None:
    """End the newest reservations of some signals until cash covers the rest (L13.2)."""
    while world.free() < -world.tolerance() and any(s.buys for s in signals):
        signal = max((s for s in signals if s.buys), key=lambda s: max(b.seq for b in s.buys))
        signal.buys.remove(max(signal.buys, key=lambda b: b.seq))
        emit(world, signal, "refused", "L13.2")
        if signal.buys or signal.units:
            continue
        if signal.bought:
            finish(world, signal, "closed", "L12.2")
        else:
            signal.status = "refused"
            signal.take_profits, signal.waiting_trailing = [], None


def close_liquidated(world: World, signal: Signal, price: float, realised: float) -> None:
    """Book a liquidation and end the signal."""
    units = signal.units
    book_exit(world, signal, units, signal.cost, realised, 0.0)
    emit(world, signal, "liquidated", "L13", price, units)
    finish(world, signal, "closed", "L12.2")


def liquidated_at(world: World, signal: Signal, price: float) -> bool:
    """Tell whether a signal's position would be liquidated at a price."""
    if not signal.units or not signal.leveraged:
        return False
    if not signal.cross:
        return reached(price, isolated_touch(world, signal), signal.side)
    found = cross_level(world)
    return found is not None and found[1] != 0 and found[1] * (price - found[0]) >= 0


# ------------------------------------------------------------------------------------------------------------------
# What a price can set off
# ------------------------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """Something that acts when the price reaches `level` moving in `direction` (0: at the next traded price).

    `at_point` acts at a traded price. `in_gap` acts while the price gaps over the level and gets the open; None waits
    for the open. `bounds` is set for a range order, which acts at any traded price inside. The order of action at one
    price is `rank` (0 liquidation and stop, 1 exits, 2 entries), creation of the signal, then order (L2.1).
    """

    level: float
    direction: int
    rank: int
    signal_seq: int
    order: float
    at_point: Any
    in_gap: Any = None
    bounds: tuple[float, float] | None = None

    def acts_at(self, price: float) -> bool:
        """Tell whether it acts at a traded price."""
        if self.bounds is not None:
            return self.bounds[0] <= price <= self.bounds[1]
        return self.direction == 0 or self.direction * (price - self.level) >= 0

    def levels(self, direction: int) -> list[float]:
        """Return the prices at which a leg of that direction has to stop for it."""
        if self.bounds is not None:
            return [self.bounds[0] if direction > 0 else self.bounds[1]]
        return [self.level] if self.direction == direction else []

    def rank_key(self) -> tuple[int, int, float]:
        """Return the order of action at one price."""
        return self.rank, self.signal_seq, self.order


def watches(world: World) -> list[Watch]:
    """Return everything on the walked symbol that a price can set off."""
    found = []
    cross = cross_level(world)
    if cross is not None:
        level, direction = cross

        def at_point(price: float) -> None:
            liquidate_cross(world, price if direction == 0 or direction * (price - level) > 0 else level)

        def in_gap(_: float) -> None:
            liquidate_cross(world, level)

        found.append(Watch(level, direction, 0, -1, 0, at_point, in_gap if direction else None))
    for signal in world.here():
        if signal.units and signal.leveraged and not signal.cross:
            found.append(watch_liquidation(world, signal))
        if signal.pending is not None:
            rank = 1 if signal.pending == "canceled" else 0
            found.append(Watch(0.0, 0, rank, signal.seq, 0, lambda p, s=signal: pending_sale(world, s, p)))
            continue
        found += watch_stop(world, signal) + watch_exits(world, signal) + watch_buys(world, signal)
    return found


def watch_liquidation(world: World, signal: Signal) -> Watch:
    """Watch an isolated liquidation level (L13.1)."""

    def act(_: float) -> None:
        liquidate_isolated(world, signal)

    return Watch(isolated_touch(world, signal), -signal.side, 0, signal.seq, -1, act, act)


def watch_stop(world: World, signal: Signal) -> list[Watch]:
    """Watch the protective order: its trigger, or the sell that rests after `stop_unfilled` (L3.5, L7)."""
    stop, side = signal.stop, signal.side
    if stop is None or (stop.resting and not signal.units):
        return []
    if not signal.bought and not world.scenario.assumptions.invalidate_at_stop:
        return []
    if stop.resting:
        resting = stop.limit if stop.limit is not None else stop.level

        def fill(_: float) -> None:
            stop_sale(world, signal, resting, world.profile.maker_fee)

        return [Watch(resting, side, 0, signal.seq, 0, fill, fill)]
    if not stop.trailing and world.profile.stop_trigger == "close":
        return []

    def at_point(price: float) -> None:
        base = price if stop.triggered else side * min(side * stop.level, side * price)
        trigger_stop(world, signal, base)

    def in_gap(open_price: float) -> None:
        trigger_stop(world, signal, open_price)

    if stop.triggered:
        return [Watch(stop.level, 0, 0, signal.seq, 0, at_point, None if stop.fresh else in_gap)]
    return [Watch(stop.level, -side, 0, signal.seq, 0, at_point, None if stop.fresh else in_gap)]


def watch_exits(world: World, signal: Signal) -> list[Watch]:
    """Watch targets, `take_profit_at` and take profit calls; while flat, only a missed first target (L4.5)."""
    if not signal.units:
        return watch_missed_target(world, signal)
    found: list[Watch] = []
    if signal.profit_price is not None:
        found.append(
            watch_sale(world, signal, signal.profit_price, -1, signal.profit_arriving, take_percent(world, signal))
        )
    for target in signal.open_targets():

        def hit(price: float, fee_rate: float, t: Target = target) -> None:
            hit_target(world, signal, t, price, fee_rate)

        found.append(watch_sale(world, signal, target.price, target.number, target.arriving, hit))
    for call in signal.take_profits:

        def take(price: float, fee_rate: float, c: TakeProfit = call) -> None:
            fill_take_profit(world, signal, c, price, fee_rate)

        if call.price is None:
            found.append(watch_market_sale(world, signal, 10 + call.seq, take))
        else:
            found.append(watch_sale(world, signal, call.price, 10 + call.seq, call.arriving, take))
    return found


def watch_missed_target(world: World, signal: Signal) -> list[Watch]:
    """Watch target 1 before anything was bought, where the assumption lets it end the signal (L4.5)."""
    first = [t for t in signal.targets if t.number == 1]
    if signal.bought or not first or not world.scenario.assumptions.cancel_if_target_first:
        return []

    def act(_: float) -> None:
        finish(world, signal, "canceled", "L4.5")

    fresh = first[0].arriving
    return [Watch(first[0].price, signal.side, 1, signal.seq, 0, act, None if fresh else act)]


def take_percent(world: World, signal: Signal) -> Any:
    """Return the action of the percent form of `take_profit_at`: sell everything (L6.4)."""

    def act(price: float, fee_rate: float) -> None:
        sell(world, signal, signal.units, price, fee_rate, "take_profit_filled", "L6.4")
        after_sale(world, signal, ends=True)

    return act


def watch_sale(world: World, signal: Signal, limit: float, order: float, arriving: bool, act: Any) -> Watch:
    """Watch a limit sale; one that is arriving waits for the next traded price (L3.1, L3.2)."""

    def at_point(price: float) -> None:
        act(*limit_sale(world, signal, limit, price, arriving))

    def in_gap(_: float) -> None:
        act(limit, world.profile.maker_fee)

    return Watch(limit, signal.side, 1, signal.seq, order, at_point, None if arriving else in_gap)


def watch_market_sale(world: World, signal: Signal, order: float, act: Any) -> Watch:
    """Watch a market sale: it acts at the next traded price (L3.3)."""

    def at_point(price: float) -> None:
        act(worsened(price, -signal.side, world.slippage), world.profile.taker_fee)

    return Watch(0.0, 0, 1, signal.seq, order, at_point)


def watch_buys(world: World, signal: Signal) -> list[Watch]:
    """Watch entry, DCA and rebuy orders (L3.1, L3.2, L4.1)."""
    found = []
    for order in signal.buys:
        maker = order.limit is not None

        def at_point(price: float, b: Buy = order) -> None:
            fill_buy(world, signal, b, price)

        def in_gap(_: float, b: Buy = order) -> None:
            buy(world, signal, b, b.units, b.near(signal.side), world.profile.maker_fee)

        bounds = None if maker else (order.low, order.high)
        gap = in_gap if maker and not order.arriving else None
        found.append(Watch(order.near(signal.side), -signal.side, 2, signal.seq, order.seq, at_point, gap, bounds))
    return found


def fill_buy(world: World, signal: Signal, order: Buy, price: float) -> None:
    """Fill a buy at a traded price: resting, marketable on arrival, or a range at market (L3.1, L3.2, L4.1)."""
    if order.limit is not None and not order.arriving:
        buy(world, signal, order, order.units, order.limit, world.profile.maker_fee)
        return
    side, near = signal.side, order.near(signal.side)
    slipped = side * min(side * near, side * worsened(price, side, world.slippage))
    units = order.units
    if order.limit is None:
        units = world.market(signal).units(notional(world, signal, order.allocation) / slipped)
    if units == 0:
        signal.buys.remove(order)
        return
    buy(world, signal, order, units, slipped, world.profile.taker_fee)


# ------------------------------------------------------------------------------------------------------------------
# Walking a candle (L2)
# ------------------------------------------------------------------------------------------------------------------


def settle(world: World, price: float) -> None:
    """Trade at one price until nothing more acts there, in the order of L2.1."""
    while True:
        world.price = price
        ratchet(world, price)
        ready = [w for w in watches(world) if w.acts_at(price)]
        if not ready:
            return
        min(ready, key=Watch.rank_key).at_point(price)
        end_uncovered(world, world.here())


def rest(world: World) -> None:
    """Let what has met a traded price without acting rest from now on (L3.2)."""
    for signal in world.here():
        signal.profit_arriving = False
        arrive([*signal.buys, *signal.targets, *signal.take_profits], arriving=False)


def walk_gap(world: World, start: float, end: float) -> None:
    """Walk from the previous close to the open, prices that are not traded (L2.1).

    A stop that was jumped does not act while the open is at or beyond the liquidation level (L13.1).
    """
    direction = (end > start) - (end < start)
    cursor = start
    while direction:
        ready = [
            w
            for w in watches(world)
            if w.in_gap and (w.direction == 0 or (w.direction == direction and direction * (end - w.level) > 0))
            if not (w.signal_seq < 0 and direction * (cursor - w.level) >= 0)  # passed: at the next traded price
        ]
        by_seq = {s.seq: s for s in world.here()}
        ready = [
            w
            for w in ready
            if not (
                w.rank == 0
                and w.order == 0
                and w.signal_seq in by_seq
                and liquidated_at(world, by_seq[w.signal_seq], end)
            )
        ]
        if not ready:
            return
        away = {id(w): max(0.0, direction * (w.level - cursor)) if w.direction else 0.0 for w in ready}
        nearest = min(ready, key=lambda w: (away[id(w)], *w.rank_key()))
        if nearest.direction:
            cursor = direction * max(direction * cursor, direction * nearest.level)
            world.price = nearest.level
        nearest.in_gap(end)
        end_uncovered(world, world.here())


def walk_leg(world: World, start: float, end: float) -> None:
    """Walk one monotone leg: go to the nearest level, act, go on with what is left."""
    direction = (end > start) - (end < start)
    cursor = start
    while True:
        settle(world, cursor)
        rest(world)
        if cursor == end:
            return
        levels = [level for w in watches(world) for level in w.levels(direction)]
        ahead = [x for x in levels if direction * (x - cursor) > 0 and direction * (end - x) >= 0]
        cursor = min(ahead, key=lambda x: direction * x) if ahead else end


def kill_entries(world: World, signal: Signal) -> None:
    """Let the initial entry orders expire, and the signal with them if nothing was bought (L4.4)."""
    signal.buys = [b for b in signal.buys if b.kind != "entry"]
    if not signal.bought:
        finish(world, signal, "expired", "L4.4")
    elif not signal.units and not signal.buys:
        finish(world, signal, "closed", "L12.2")


def expiring(world: World, before: float) -> list[Signal]:
    """Return the living signals of the symbol with an entry order that expires before an instant."""
    return [s for s in world.here() if any(b.expires is not None and b.expires < before for b in s.buys)]


def journey(candle: Candle, down_first: bool) -> list[float]:
    """Return the path of a candle (L2.1)."""
    middle = [candle.low, candle.high] if down_first else [candle.high, candle.low]
    return [candle.open, *middle, candle.close]


def walk_open_and_legs(world: World, candle: Candle, down_first: bool, filled: bool, ratcheting: bool) -> World:
    """Walk one candle from its open to its end, in a copy of the state after the gap.

    `filled` False kills entries that expire inside, after the open (L4.4).
    """
    twin = world.clone()
    twin.ratcheting, twin.fills = ratcheting, []
    walk_open(twin, candle)
    if not filled:
        for signal in expiring(twin, candle.time + candle.duration):
            kill_entries(twin, signal)
    twin.range = candle.high - candle.low
    for signal in twin.here():
        look_at_trail(twin, signal)
    for start, end in itertools.pairwise(journey(candle, down_first)):
        walk_leg(twin, start, end)
    twin.range = 0.0
    twin.last[candle.symbol] = candle.close
    end_candle(twin, candle)
    return twin


def walk_open(world: World, candle: Candle) -> None:
    """Trade the open: what arrived at this instant acts there, and a level exactly at it (L2.1)."""
    for signal in world.here():
        if signal.stop is not None:
            signal.stop.fresh = False
    settle(world, candle.open)
    rest(world)


def same_end(a: World, b: World, names: list[str]) -> bool:
    """Compare two walks: the fills they made and what they leave of the signals that lived before (L2.3)."""
    left, right = sorted(a.fills), sorted(b.fills)
    if len(left) != len(right):
        return False
    if not all(
        x[:2] == y[:2] and all(math.isclose(p, q, rel_tol=1e-9) for p, q in zip(x[2:], y[2:], strict=True))
        for x, y in zip(left, right, strict=True)
    ):
        return False
    ends = zip(what_is_left(a, names), what_is_left(b, names), strict=True)
    return all(x[:2] == y[:2] and all(near(p, q) for p, q in zip(x[2:], y[2:], strict=True)) for x, y in ends)


def near(a: float | None, b: float | None) -> bool:
    """Tell whether two numbers, or their absence, agree."""
    return a is b if a is None or b is None else math.isclose(a, b, rel_tol=1e-9)


def what_is_left(world: World, names: list[str]) -> list[tuple[str, str | None, float, float | None]]:
    """Return status, pending sale, open quantity and level of the active stop of signals by ref (L2.3)."""
    found = []
    for signal in [s for s in world.signals if s.ref in names]:
        stop = signal.stop if signal.alive else None
        level = None if stop is None else stop.limit if stop.resting and stop.limit is not None else stop.level
        found.append((signal.shown_status(), signal.pending, world.quantity(signal), level))
    return found


def choose(walks: list[World], mode: str, tolerance: float) -> World:
    """Keep the walk with the lower (or higher) equity; the first one wins a tie (L2.2)."""
    sign = 1 if mode == "optimistic" else -1
    best = max(sign * w.equity() for w in walks)
    return next(w for w in walks if sign * w.equity() >= best - tolerance)


def walk_candle(world: World, candle: Candle) -> World:
    """Walk one candle: the gap once, then open and legs of each journey from that state (L2.1, L2.2, L2.3, L4.4)."""
    world.time, world.symbol, world.ratcheting = candle.time, candle.symbol, world.mode != "candle"
    world.gapping, world.tight = True, False
    walk_gap(world, world.last[candle.symbol], candle.open)
    world.gapping = False
    names = [s.ref for s in world.here()]
    after_open = world.clone()
    walk_open(after_open, candle)
    inside = expiring(after_open, candle.time + candle.duration)
    walks = [
        walk_open_and_legs(world, candle, down, filled, ratcheting=True)
        for filled in ((True, False) if inside else (True,))
        for down in (True, False)
    ]
    by_colour = walk_open_and_legs(world, candle, candle.close >= candle.open, filled=True, ratcheting=False)
    kept = by_colour if world.mode == "candle" else choose(walks, world.mode, world.tolerance())
    kept.ambiguous += not all(same_end(walks[0], w, names) for w in [*walks[1:], by_colour])
    kept.tight_candles += kept.tight
    end_uncovered(kept, kept.signals)
    return kept


def pass_candle(world: World, candle: Candle) -> None:
    """Let a candle in which nothing traded go by: entries expire, and a coarse close is judged (L2.6)."""
    world.time, world.symbol = candle.time, candle.symbol
    for signal in expiring(world, candle.time + candle.duration):
        kill_entries(world, signal)
    judge_close(world, candle)


def end_candle(world: World, candle: Candle) -> None:
    """Do what a candle's end decides: ratchets (L8.4), expiries (L4.4), stops on closes (L7.2, L4.5)."""
    for signal in world.here():
        end_ratchet(world, signal, candle.close)
    for signal in expiring(world, candle.time + candle.duration):
        kill_entries(world, signal)
    judge_close(world, candle)
    world.check_conservation()


def judge_close(world: World, candle: Candle) -> None:
    """Judge stops on the close of a coarse candle, which is the last price (L2.4, L2.6, L7.2)."""
    if candle.judged and world.profile.stop_trigger == "close":
        for signal in world.here():
            decide_on_close(world, signal, world.last[candle.symbol])


def end_ratchet(world: World, signal: Signal, close: float) -> None:
    """Move a trailing stop that did not ratchet inside, and report a candle's ratchets once (L8.4)."""
    if not world.ratcheting:
        trail(world, signal)
    stop = signal.stop
    if stop is None or not stop.trailing or stop.resting:
        return
    if stop.level != stop.announced:
        stop.announced = stop.level
        emit(world, signal, "stop_moved", "L8.4", price=stop.level)
    if not world.ratcheting and signal.units and not signal.pending and reached(close, stop.level, signal.side):
        make_pending(signal, "trailing_hit")


def decide_on_close(world: World, signal: Signal, close: float) -> None:
    """Let a coarse close at or beyond a fixed stop sell at the next open, or end a flat signal (L7.2, L4.5)."""
    stop = signal.stop
    if stop is None or stop.trailing or signal.pending or not reached(close, stop.level, signal.side):
        return
    if signal.units:
        make_pending(signal, "stop_hit")
    elif signal.bought:
        finish(world, signal, "closed", "L12.2")
    elif world.scenario.assumptions.invalidate_at_stop:
        finish(world, signal, "invalidated", "L4.5")


# ------------------------------------------------------------------------------------------------------------------
# Calls
# ------------------------------------------------------------------------------------------------------------------


def act_on_call(world: World, call: Call) -> None:
    """Let a call act at the open of its candle, before the gap is walked (L1.2, L1.3)."""
    world.symbol = call.symbol
    if call.kind.startswith("create"):
        create(world, call)
        return
    signal = next((s for s in world.signals if s.ref == call.ref), None)
    if signal is None:
        return
    if not signal.alive or (signal.pending is not None and call.kind != "cancel"):
        emit(world, signal, "refused", "L11.3")
        return
    actions = {
        "takeprofit": take_profit,
        "trailingstop": trailing_stop,
        "rebuy": rebuy,
        "dca": dca,
        "updateprice": update_prices,
        "cancel": cancel,
    }
    actions[call.kind](world, signal, call)


def range_order(
    market: Market, side: int, kind: str, seq: int, allocation: float, low: float | None, high: float
) -> Buy:
    """Make a range order, its bounds rounded inwards; a lone bound is the near one on both sides (L3.6, L4.1)."""
    if low is not None:
        return Buy(kind, seq, allocation, low=market.up(low), high=market.down(high))
    if side > 0:
        return Buy(kind, seq, allocation, high=market.down(high))
    return Buy(kind, seq, allocation, low=market.up(high))


def limit_order(
    world: World, signal: Signal, kind: str, allocation: float, price: float, slot: str | None = None
) -> Buy:
    """Make a limit order, its quantity fixed at its limit (L5.2)."""
    market = world.market(signal)
    limit = market.as_stop(price, signal.side)
    return Buy(
        kind, world.next_seq(), allocation, limit, market.units(notional(world, signal, allocation) / limit), slot=slot
    )


def create(world: World, call: Call) -> None:
    """Accept a signal or refuse it whole (L4, L5, L14.2)."""
    form, profile = call.body, world.profile
    market = world.scenario.markets[call.symbol]
    side, account = form["side"], form["account"]
    leverage = 1.0 if account == "SPOT" else min(float(form["leverage"]), market.max_leverage)
    allocation = form["invest"] / 100 * world.basis()
    low, high, split = form["min"], form["max"], bool(form["shares"])
    signal = Signal(
        call.ref,
        call.symbol,
        side,
        account,
        form["cross"],
        leverage,
        form["invest"],
        allocation,
        world.next_seq(),
        low,
        high,
        split,
    )
    signal.targets = [Target(n, market.as_target(p, side)) for n, p in form["targets"].items()]
    if form["stop"] is not None:
        signal.stop = fixed_stop(world, signal, form["stop"], fresh=True)
    orders = entry_orders(world, signal, form)
    world.signals.append(signal)
    if (
        not carries(world, signal, orders)
        or not frequency_allows(world)
        or not open_allows(world)
        or not risk_allows(world, signal, orders)
    ):
        signal.status = "refused"
        emit(world, signal, "refused", "L5.3")
        return
    signal.buys = orders
    for order in orders:
        order.expires = None if form["ttl"] is None else world.time + form["ttl"]
    if profile.frequency_limit is not None:
        world.accepted.append(world.time)
    emit(world, signal, "created", "L5.4")


def entry_orders(world: World, signal: Signal, form: dict[str, Any]) -> list[Buy]:
    """Make the range order, or one limit order for each share, the nearest first (L4.1, L4.2)."""
    if not signal.split:
        return [
            range_order(
                world.market(signal), signal.side, "entry", world.next_seq(), signal.allocation, signal.low, signal.high
            )
        ]
    slots = ("max", "mid", "min") if signal.side > 0 else ("min", "mid", "max")
    shares = form["shares"]
    return [
        limit_order(world, signal, "entry", signal.allocation * shares[s] / 100, form[s], s)
        for s in slots
        if shares.get(s)
    ]


def carries(world: World, signal: Signal, orders: list[Buy]) -> bool:
    """Tell whether balance, allocation limit and the market's minimums carry new buys (L3.6, L5.3, L14.2)."""
    if sum(reservation(world, signal, o.allocation) for o in orders) > world.free() + world.tolerance():
        return False
    used = sum(s.used + sum(b.allocation for b in s.buys) for s in world.signals)
    used += sum(o.allocation for o in orders)
    limit = world.profile.allocation_limit
    if limit is not None and used > limit / 100 * world.basis() + world.tolerance():
        return False
    return not any(buy_too_small(world, signal, o) for o in orders)


def buy_too_small(world: World, signal: Signal, order: Buy) -> bool:
    """Test the minimums of a buy at its limit or near bound (L3.6)."""
    if order.limit is None and order.low > order.high:
        return True  # no tick inside
    near = order.near(signal.side)
    units = (
        order.units
        if order.limit is not None
        else world.market(signal).units(notional(world, signal, order.allocation) / near)
    )
    return world.market(signal).too_small(units, near)


def frequency_allows(world: World) -> bool:
    """Tell whether one more signal fits into the rolling period (L14.2)."""
    limit = world.profile.frequency_limit
    if limit is None:
        return True
    count, period = (limit["signals"], limit["period_ms"]) if isinstance(limit, dict) else (limit, DAY_MS)
    return sum(1 for t in world.accepted if world.time - t < period) < int(count)


def open_allows(world: World) -> bool:
    """Tell whether one more living signal is allowed (L14.2)."""
    limit = world.profile.max_open
    return limit is None or sum(1 for s in world.signals[:-1] if s.alive) < limit


def risk_allows(world: World, signal: Signal, orders: list[Buy]) -> bool:
    """Tell whether the loss at the stops of signals before target 1 stays within the limit (L14.2)."""
    limit = world.profile.risk_limit
    if limit is None:
        return True
    if signal.stop is None:
        return False
    others = [s for s in world.signals if s.alive and s is not signal and not s.first_target_hit]
    total = loss_at_stop(world, signal, orders) + sum(loss_at_stop(world, s, s.buys) for s in others)
    return total <= limit / 100 * world.basis() + 1e-9 * world.profile.balance


def loss_at_stop(world: World, signal: Signal, orders: list[Buy]) -> float:
    """Return what a signal loses when its position and living buys are stopped out (L14.2)."""
    if signal.stop is None:
        return 0.0
    stop, market = signal.stop, world.market(signal)
    level = stop.limit if stop.resting and stop.limit is not None else stop.level
    loss = signal.side * (signal.cost - market.quantity(signal.units) * level)
    for order in orders:
        near = order.near(signal.side)
        quantity = (
            market.quantity(order.units)
            if order.limit is not None
            else market.quantity(market.units(notional(world, signal, order.allocation) / near))
        )
        loss += signal.side * (near - level) * quantity
    return max(0.0, loss)


def trailing_pair(body: dict[str, Any]) -> tuple[float, float] | None:
    """Return trigger and limit of a call's trailing stop, if it has one."""
    if "trailing_stop_price" not in body:
        return None
    return body["trailing_stop_price"], body["trailing_stop_limit_price"]


def take_profit(world: World, signal: Signal, call: Call) -> None:
    """Add one more sell: at a limit, or at the next traded price (L9)."""
    price = (
        world.market(signal).as_target(call.body["sell_price"], signal.side)
        if call.body["order_type"] == "limit"
        else None
    )
    signal.take_profits.append(
        TakeProfit(world.next_seq(), call.body["sell_amount_relative"], price, trailing_pair(call.body))
    )


def trailing_stop(world: World, signal: Signal, call: Call) -> None:
    """Replace the protective order by a trailing stop, or let it wait for the next buy (L8)."""
    pair = trailing_pair(call.body)
    assert pair is not None
    if signal.units:
        arm_trailing(world, signal, pair, world.last[signal.symbol], fresh=True)
    else:
        signal.waiting_trailing = pair


def rebuy(world: World, signal: Signal, call: Call) -> None:
    """Add a range entry for `invest` percent of the basis now (L10.2)."""
    body = call.body
    allocation = body.get("invest", signal.percent) / 100 * world.basis()
    order = range_order(
        world.market(signal),
        signal.side,
        "rebuy",
        world.next_seq(),
        allocation,
        body["buy_price_min"],
        body["buy_price_max"],
    )
    order.trailing = trailing_pair(body)
    add_buy(world, signal, order)


def dca(world: World, signal: Signal, call: Call) -> None:
    """Add a resting buy for a multiple of the original allocation (L10.1)."""
    allocation = signal.allocation * call.body["multiplier"]
    add_buy(world, signal, limit_order(world, signal, "dca", allocation, call.body["buy_price"]))


def add_buy(world: World, signal: Signal, order: Buy) -> None:
    """Accept a DCA or a rebuy, or refuse it whole (L5.3)."""
    if carries(world, signal, [order]):
        signal.buys.append(order)
    else:
        emit(world, signal, "refused", "L5.3")


def cancel(world: World, signal: Signal, _: Call) -> None:
    """Kill all orders and sell the position at market (L12.1)."""
    if signal.units:
        make_pending(signal, "canceled")
    else:
        finish(world, signal, "canceled", "L12.1")


def update_prices(world: World, signal: Signal, call: Call) -> None:
    """Move what has not been reached, or refuse the update whole (L11)."""
    body, market, side = call.body, world.market(signal), signal.side
    low, high = body.get("entry_price_min", signal.low), body.get("entry_price_max", signal.high)
    last = world.last[signal.symbol]
    stop = market.as_stop(body["stop_loss"], side) if "stop_loss" in body else None
    prices = {k: market.as_target(body[f"exit_price_{k}"], side) for k in range(1, 7) if f"exit_price_{k}" in body}
    done = {t.number for t in signal.targets if t.state != "open"}
    prices = {k: p for k, p in prices.items() if k not in done}
    stop_now = stop is not None and reached(last, stop, side)
    trades = stop_now or any(signal.units and side * (last - p) >= 0 for p in prices.values())
    if (low is not None and low > high) or (trades and not (call.allow_marketable and signal.units)):
        emit(world, signal, "refused", "L11.2")
        return
    emit(world, signal, "updated", "L11.1")
    update_entries(world, signal, low, high, body)
    update_targets(world, signal, prices)
    if stop_now:
        make_pending(signal, "stop_hit")
    elif stop is not None:
        replace_stop(world, signal, stop)
    if stop_now and stop is not None:
        signal.stop = fixed_stop(world, signal, stop, fresh=True)


def replace_stop(world: World, signal: Signal, level: float) -> None:
    """Put a fixed stop in the place of the protective order (L11.1)."""
    active = signal.units > 0 and signal.stop is not None
    signal.stop = fixed_stop(world, signal, level, fresh=True)
    if active:
        emit(world, signal, "stop_moved", "L11.1", price=level)


def update_entries(world: World, signal: Signal, low: float | None, high: float, body: dict[str, Any]) -> None:
    """Move the bounds of what has not been bought (L11.1)."""
    signal.low, signal.high = low, high
    for i, order in enumerate(signal.buys):
        if order.kind != "entry":
            continue
        if order.limit is None and ("entry_price_min" in body or "entry_price_max" in body):
            moved = range_order(world.market(signal), signal.side, "entry", order.seq, order.allocation, low, high)
        elif order.limit is not None and f"entry_price_{order.slot}" in body:
            moved = limit_order(world, signal, "entry", order.allocation, body[f"entry_price_{order.slot}"], order.slot)
            moved.seq = order.seq
        else:
            continue
        moved.expires = order.expires
        signal.buys[i] = moved


def update_targets(world: World, signal: Signal, prices: dict[int, float]) -> None:
    """Move targets or add them; an added one respreads what is open (L6.1, L11.1)."""
    known = {t.number: t for t in signal.targets}
    for number, price in prices.items():
        target = known.get(number) or Target(number, price)
        target.price, target.arriving = price, True
        if number not in known:
            signal.targets = sorted([*signal.targets, target], key=lambda t: t.number)
    if set(prices) - set(known) and signal.units:
        for target in signal.targets:
            target.plan = 0.0
        spread(world, signal, signal.units)


# ------------------------------------------------------------------------------------------------------------------
# A run
# ------------------------------------------------------------------------------------------------------------------


def charge_funding(world: World, symbol: str, since: int | None, now: int) -> None:
    """Charge the fundings due since the last candle on what is open, at the last price, FUTURES only (L13.3).

    What the free balance cannot pay is taken from the margin of the position, and no more than that.
    """
    for time, rate in world.scenario.funding[symbol]:
        if (since is not None and time <= since) or time > now:
            continue
        for signal in world.signals:
            if signal.units and signal.symbol == symbol and signal.account == "FUTURES":
                owed = signal.side * rate * world.quantity(signal) * world.last[symbol]
                from_margin = min(max(0.0, owed - max(0.0, world.free())), signal.margin())
                paid = min(owed, max(0.0, world.free()) + from_margin)
                signal.eaten += from_margin
                world.funding += paid
                world.cash -= paid - from_margin


def instants(scenario: Scenario) -> list[tuple[int, list[Candle]]]:
    """Group the candles to walk by their open time, each instant's by symbol name (L14.1)."""
    grouped: dict[int, list[Candle]] = {}
    for symbol in sorted(scenario.walked):
        for candle in scenario.walked[symbol]:
            grouped.setdefault(candle.time, []).append(candle)
    return sorted(grouped.items())


def open_instant(world: World, time: int, candles: list[Candle], before: dict[str, int], waiting: list[Call]) -> None:
    """Do what one instant does before trading: funding, expiries, calls (L1.3)."""
    world.time = time
    symbols = [c.symbol for c in candles]
    for candle in candles:
        world.last.setdefault(candle.symbol, candle.open)
        charge_funding(world, candle.symbol, before.get(candle.symbol), time)
        before[candle.symbol] = time
    for symbol in symbols:
        world.symbol = symbol
        for signal in expiring(world, time + 0.5):
            kill_entries(world, signal)
    for call in [c for c in waiting if c.symbol in symbols and c.arrival <= time]:
        waiting.remove(call)
        act_on_call(world, call)


def idle(world: World, symbol: str) -> bool:
    """Tell whether a candle of the symbol can change nothing but the last price."""
    return not any(s.alive and s.symbol == symbol for s in world.signals)


def run(scenario: Scenario, mode: str) -> tuple[World, list[list[float]]]:
    """Replay the calls over the candles in one mode from the start (L2.2, L2.3)."""
    world = World(scenario, mode, scenario.profile.balance)
    waiting, closes = list(scenario.calls), list(scenario.close_times)
    before: dict[str, int] = {}
    equity: list[list[float]] = []
    for time, candles in instants(scenario):
        while closes and closes[0] <= time:
            equity.append([closes.pop(0), world.equity()])
        open_instant(world, time, candles, before, waiting)
        for candle in candles:
            if not candle.trades:
                pass_candle(world, candle)
            elif idle(world, candle.symbol):
                world.last[candle.symbol] = candle.close
            else:
                world = walk_candle(world, candle)
    equity += [[close, world.equity()] for close in closes]
    return world, equity


def signal_row(world: World, signal: Signal) -> dict[str, Any]:
    """Return one signal as it is printed."""
    return {
        "ref": signal.ref,
        "status": signal.shown_status(),
        "realised_pnl": signal.realised,
        "fees": signal.fees,
        "open_quantity": world.quantity(signal) if signal.units else 0.0,
        "average_entry": world.average(signal) if signal.units else None,
        "events": signal.events,
    }


def pending_row(ref: str) -> dict[str, Any]:
    """Return a signal whose create found no candle (L1.2)."""
    return {
        "ref": ref,
        "status": "pending",
        "realised_pnl": 0.0,
        "fees": 0.0,
        "open_quantity": 0.0,
        "average_entry": None,
        "events": [],
    }


def replay(scenario: dict[str, Any]) -> dict[str, Any]:
    """Replay a parsed scenario file and return what `backtest replay --json` prints for it."""
    parsed = parse_scenario(scenario)
    runs = {mode: run(parsed, mode) for mode in MODES}
    world, equity = runs[parsed.profile.intrabar]
    rows = {s.ref: signal_row(world, s) for s in world.signals}
    refs = [c.ref for c in parsed.calls if c.kind.startswith("create")]
    return {
        "signals": [rows.get(ref) or pending_row(ref) for ref in refs],
        "cash": world.cash,
        "equity": equity,
        "ambiguous_candles": world.ambiguous,
        "total_return": {mode: runs[mode][0].equity() / parsed.profile.balance - 1 for mode in MODES},
    }


def answer(path: Path) -> dict[str, Any]:
    """Return a directory's row for one scenario file."""
    try:
        return {"file": path.name, "exit": 0, "result": replay(json.loads(path.read_text())), "error": ""}
    except ScenarioError as error:
        return {"file": path.name, "exit": 2, "result": None, "error": str(error)}


def main(arguments: list[str]) -> int:
    """Print what `backtest replay DIR_OR_FILE --json` prints."""
    path = Path(next(a for a in arguments if not a.startswith("--")))
    if path.is_dir():
        sys.stdout.write(json.dumps([answer(p) for p in sorted(path.glob("*.json"))]) + "\n")
        return 0
    row = answer(path)
    if row["exit"]:
        sys.stderr.write(row["error"] + "\n")
    else:
        sys.stdout.write(json.dumps(row["result"]) + "\n")
    return int(row["exit"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
