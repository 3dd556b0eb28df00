"""Random scenarios with all calls, for holding the engine against the oracle.

Every choice is drawn from the generator that is given: a seeded ``random.Random``, or hypothesis's own, which shrinks.
Prices lie on a coarse grid half the time, so that levels meet at one price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.builders import HOUR, START, call

if TYPE_CHECKING:
    from random import Random

MIDDLE = 50.0
LATER = ("takeprofit", "trailingstop", "rebuy", "dca", "updateprice", "cancel", "trailingstop", "takeprofit")
TRAILING_TAKE_PROFITS = (
    None,
    None,
    {"from_target": 1, "stop_to": "break_even"},
    {"from_target": 1, "stop_to": "previous_target"},
    {"from_target": 2, "stop_to": "distance", "distance_percent": 3},
)
CROSS = {"margin_type": "CROSS", "account": "FUTURES", "leverage": 20, "invest": 20}
SHARES = (None, None, [50, 30, 20], [100], [0, 0], [70, 30, 0, 0, 0, 0], [33.3, 33.3, 33.4], [20, 0, 80])
ASSUMPTIONS = (
    "fee_inside_allocation",
    "cancel_entries_at_first_target",
    "cancel_if_target_first",
    "invalidate_at_stop",
    "buys_survive_take_profit",
    "fill_without_volume",
)
LATENCIES = (0, 0, 0, 0, 1, 500, HOUR // 8, HOUR // 4 + 1, HOUR // 2, HOUR, HOUR * 7 // 4)
STEPS = ("0.00000001", "0.00000001", "0.1", "0.000000000000000001")
Grid = float


def any_scenario(r: Random) -> dict[str, Any]:
    """Return a scenario of one, two or three symbols, or one of an account at its end."""
    kind = r.random()
    return margin_calls(r) if kind < 0.15 else several_symbols(r) if kind < 0.4 else one_symbol(r)


def one_symbol(r: Random) -> dict[str, Any]:
    """Return a scenario of one symbol, sometimes with detail candles, latency and funding."""
    grid = r.choice([0.01, 0.01, 0.5, 1.0])
    n = r.randint(3, 10)
    values: dict[str, Any] = {"profile": profile(r), **block(r, "BTC", n, grid)}
    values["calls"] = calls(r, n, grid, "BTC", "s")
    return values | assumptions(r)


def several_symbols(r: Random) -> dict[str, Any]:
    """Return a scenario of several symbols on one account, often on cross margin, with the limits of a profile.

    Their candles open together, or those of every second one half an hour later.
    """
    grid, apart = r.choice([0.01, 0.5]), r.choice([0, 0, HOUR // 2])
    markets: list[dict[str, Any]] = []
    log: list[dict[str, Any]] = []
    for k, coin in enumerate(("BTC", "ETH", "XRP")[: r.choice([2, 2, 3])]):
        n = r.randint(3, 8)
        entry = block(r, coin, n, grid)
        for series in (entry["candles"], entry.get("detail")):
            for row in series["rows"] if series and k % 2 else ():
                row[0] += apart
        markets.append(entry)
        log += calls(r, n, grid, coin, coin[0].lower())
    share = r.choice([0.3, 0.6, 1.0])
    for call_ in log:
        if call_["call"] == "create_v2" and r.random() < share:
            call_["body"] |= CROSS
    limits = {
        "risk_limit": r.choice([None, None, None, None, 3, 20]),
        "max_open": r.choice([None, None, 2]),
        "frequency_limit": r.choice([None, None, 3, {"signals": 1, "period_ms": 2 * HOUR}]),
    }
    return {"markets": markets, "profile": profile(r) | limits, "calls": log} | assumptions(r)


def margin_calls(r: Random) -> dict[str, Any]:
    """Return a scenario in which funding, fees and slippage eat up an account: nothing is free, and positions are large.

    Cross and isolated positions, spot coins and orders that reserve the rest stand beside each other on one or two symbols.
    """
    grid, n = 0.5, r.randint(3, 7)
    markets: list[dict[str, Any]] = []
    log: list[dict[str, Any]] = []
    for coin in ("BTC", "ETH")[: r.choice([1, 2])]:
        entry: dict[str, Any] = {
            "market": market(r, coin) | {"min_amount": "0"},
            "candles": {"timeframe": "1h", "rows": rows(r, n, grid)},
        }
        size, late = r.choice([0.005, 0.02, 0.05, 0.1]), r.choice([0, 7])
        entry["funding"] = [
            [START + k * HOUR + late, r.choice([1, 1, -1]) * size] for k in range(n) if r.random() < 0.6
        ]
        markets.append(entry)
        for k in range(r.randint(1, 3)):
            ref, side, at = f"{coin[0].lower()}{k}", r.choice([1, -1]), r.choice([0, 0, 1])
            held = a_create(r, at, ref, side, grid, coin)
            held["body"] |= {"invest": r.choice([20, 40, 50, 95]), "leverage": r.choice([1, 5, 20, 50])}
            held["body"] |= {"account": r.choice(["FUTURES", "FUTURES", "MARGIN", "SPOT"])}
            held["body"] |= {"margin_type": r.choice(["CROSS", "CROSS", "ISOLATED"])}
            log.append(held)
            log += [a_later_call(r, at + r.randint(0, n), ref, side, grid) for _ in range(r.randint(0, 2))]
    chosen = profile(r) | {"allocation_limit": 1000, "balance": 10_000, "latency_ms": 0}
    return {"markets": markets, "profile": chosen, "calls": log} | assumptions(r)


def block(r: Random, coin: str, n: int, grid: Grid) -> dict[str, Any]:
    """Return a market with its candles, sometimes with detail, and with funding."""
    values: dict[str, Any] = {"market": market(r, coin), "candles": {"timeframe": "1h", "rows": rows(r, n, grid)}}
    if r.random() < 0.25:
        detailed(r, values, grid)
    if r.random() < 0.35:
        values["funding"] = funding(r)
    return values


def funding(r: Random) -> list[list[float]]:
    """Return rates, now and then ruinous ones, at times some ms or half a minute off, which leave spans uncovered."""
    first, last, every = r.choice([0, 2]), r.choice([3, 9]), r.choice([1, 3])
    size, late = r.choice([0.001, 0.001, 0.02, 0.06]), r.choice([0, 0, 3, -7, 29_999, 30_000])
    return [[START + k * HOUR + late, r.choice([1, 1, 1, -1]) * size] for k in range(first, last, every)]


def assumptions(r: Random) -> dict[str, Any]:
    """Return the top level's assumptions: mostly none, else one or two of them."""
    if r.random() < 0.75:
        return {}
    return {"assumptions": {r.choice(ASSUMPTIONS): r.random() < 0.5 for _ in range(2)}}


def market(r: Random, coin: str) -> dict[str, Any]:
    """Return a market, now and then with minimums that make orders fail."""
    return {
        "symbol": f"{coin}/USDT",
        "tick": r.choice(["0.01", None]),
        "step": r.choice(STEPS),
        "min_amount": r.choice(["0", "0", "0", "5"]),
        "min_cost": r.choice(["0", "0", "0", "100"]),
    }


def profile(r: Random) -> dict[str, Any]:
    """Return a profile."""
    return {
        "slippage": r.choice([0, 0.002, 0.02]),
        "maker_fee": r.choice([0, 0.0005, 0.002]),
        "taker_fee": r.choice([0, 0.001]),
        "balance": r.choice([10_000, 10_000, 10_000, 1_000_000]),
        "latency_ms": r.choice(LATENCIES),
        "stop_order": r.choice([None, "market", "limit"]),
        "stop_trigger": r.choice(["order", "order", "close"]),
        "trail_distance": r.choice(["absolute", "absolute", "relative", "static"]),
        "basis": r.choice(["initial", "equity"]),
        "take_profit_at": r.choice([None, None, None, 2, "4%"]),
        "trailing_take_profit": r.choice(TRAILING_TAKE_PROFITS),
        "target_shares": r.choice(SHARES),
        "allocation_limit": r.choice([100, 100, 100, 40]),
    }


def on_grid(value: float, grid: Grid) -> float:
    """Return a price on the grid, above 0."""
    return max(grid, round(round(value / grid) * grid, 2))


def rows(
    r: Random, n: int, grid: Grid, *, length: int = HOUR, first: int = START, start: float = MIDDLE
) -> list[list[float]]:
    """Return candles that jump half the time."""
    made: list[list[float]] = []
    price = start
    for k in range(n):
        opened = price if r.random() < 0.5 else price + r.choice([-1, 1]) * r.uniform(0, 6)
        opened = max(20.0, on_grid(opened, grid))
        high, low = on_grid(opened + r.uniform(0, 5), grid), on_grid(opened - r.uniform(0, 5), grid)
        high, low = max(high, opened), min(low, opened)
        price = min(high, max(low, on_grid(low + (high - low) * r.random(), grid)))
        made.append([first + k * length, opened, high, low, price, 1])
    quiet = r.choice([0.0, 0.0, 0.3, 1.0 if r.random() < 0.2 else 0.3])  # 1: no volume is known
    for row in made:
        row[5] = 0 if r.random() < quiet else 1
    return made


def detailed(r: Random, values: dict[str, Any], grid: Grid) -> None:
    """Replace the candles by those of a finer series, which becomes their detail; now and then one is missing."""
    n = len(values["candles"]["rows"])
    each = HOUR // 4
    fine = rows(r, 4 * n, grid, length=each)
    coarse = []
    for k in range(n):
        part = fine[4 * k : 4 * k + 4]
        high, low = max(row[2] for row in part), min(row[3] for row in part)
        coarse.append([START + k * HOUR, part[0][1], high, low, part[-1][4], r.choice([0, 4, 4, 4])])
    values["candles"] = {"timeframe": "1h", "rows": coarse}
    for _ in range(r.choice([0, 1, 2])):
        del fine[r.randint(0, len(fine) - 1)]
    values["detail"] = {"timeframe": "15m", "rows": fine}


def calls(r: Random, n: int, grid: Grid, coin: str, prefix: str) -> list[dict[str, Any]]:
    """Return creates, each with some later calls."""
    log: list[dict[str, Any]] = []
    for k in range(r.randint(1, 3)):
        ref, at, side = f"{prefix}{k}", r.randint(0, n - 1) - r.choice([0, 0, 0.01, 0.3]), r.choice([1, -1])
        log.append(a_create(r, at, ref, side, grid, coin))
        wait = r.choice([0, 0, 0.1])
        log += [a_later_call(r, at + wait + r.randint(0, n), ref, side, grid) for _ in range(r.randint(0, 4))]
    return log


def entry_of(r: Random, near: float, far: float) -> tuple[dict[str, Any], float]:
    """Return the fields of an entry and its far bound."""
    low, high = min(near, far), max(near, far)
    form = r.randint(0, 4)
    if form == 0:
        return {"entry_price_max": near}, near
    if form == 1:
        return {"entry_price_max": near, "invest_entry_max": 100}, near
    both = {"entry_price_max": high, "entry_price_min": low}
    if form == 2:
        return both, far
    if form == 3:
        return both | {"invest_entry_max": 50, "invest_entry_min": 50}, far
    middle = {"entry_price_mid": (low + high) / 2}
    return both | middle | {"invest_entry_max": 40, "invest_entry_mid": 20, "invest_entry_min": 40}, far


def a_create(r: Random, at: float, ref: str, side: int, grid: Grid, coin: str) -> dict[str, Any]:
    """Return a create whose prices are in order for its side."""
    near = on_grid(MIDDLE + side * r.uniform(-4, 2), grid)
    fields, far = entry_of(r, near, on_grid(near - side * (grid + r.uniform(0, 3)), grid))
    price = near
    for k in range(1, r.randint(1, 4) + 1):
        price = on_grid(price + side * (grid + r.uniform(0, 2.5)), grid)
        fields[f"exit_price_{k}"] = price
    if r.random() < 0.8:
        fields["stop_loss"] = on_grid(far - side * (grid + r.uniform(0, 5)), grid)
    if r.random() < 0.4:
        fields["ttl_buy_order"] = r.randint(1, 8) * HOUR // 2
    where = {"coin": coin, "trade_market": "USDT", "exchange": "BINANCE"}
    how = {
        "account": r.choice(["SPOT", "FUTURES", "MARGIN"]),
        "margin_type": r.choice(["ISOLATED", "ISOLATED", "CROSS"]),
    }
    size = {"invest": r.choice([5, 10, 10, 20, 30, 95]), "leverage": r.choice([1, 3, 10, 20])}
    return call("create_v2", at, ref, **where, **size, **how, type="long" if side > 0 else "short", **fields)


def a_later_call(r: Random, at: float, ref: str, side: int, grid: Grid) -> dict[str, Any]:
    """Return one of the six calls about a signal that exists."""
    kind, price = r.choice(LATER), on_grid(MIDDLE + r.uniform(-5, 5), grid)
    fields: dict[str, Any] = {}
    trigger = on_grid(price - side * 2, grid)
    pair = {
        "trailing_stop_price": trigger,
        "trailing_stop_limit_price": on_grid(trigger - side * r.choice([0, 0.5, 4]), grid),
    }
    if kind == "takeprofit":
        fields = a_take_profit(r, on_grid(price + side * 3, grid), pair)
    elif kind == "trailingstop":
        fields = pair
    elif kind == "rebuy":
        fields = {"buy_price_min": price - 1, "buy_price_max": price} | (pair if r.random() < 0.5 else {})
    elif kind == "dca":
        fields = {"buy_price": price, "multiplier": r.choice([0.5, 1, 1.5])}
    elif kind == "updateprice":
        return an_update(r, at, ref, price, on_grid(price - side * 3, grid), on_grid(price + side * 3, grid))
    return call(kind, at, ref, **fields)


def a_take_profit(r: Random, price: float, pair: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a take profit call."""
    amount = r.choice([30, 50, 100])
    fields: dict[str, Any] = {"order_type": r.choice(["limit", "market"]), "sell_amount_relative": amount}
    if fields["order_type"] == "limit":
        fields["sell_price"] = price
    return fields | (pair if amount < 100 else {})


def an_update(r: Random, at: float, ref: str, price: float, stop: float, target: float) -> dict[str, Any]:
    """Return an update of some prices."""
    fields: dict[str, Any] = {}
    if r.random() < 0.5:
        fields["stop_loss"] = stop
    if r.random() < 0.5:
        fields[f"exit_price_{r.randint(1, 6)}"] = target
    if r.random() < 0.2:
        fields["entry_price_max"] = price
    if r.random() < 0.15:
        fields["entry_price_min"] = price - 1
    return call("updateprice", at, ref, allow=r.random() < 0.5, **fields)
