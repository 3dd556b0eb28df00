"""Three exchanges beyond the seven on the loopback interface, with the faults that an independent one showed.

Payloads follow the samples and parsers in ccxt's source; what a server does beyond them is what was reported of it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.loopback_exchange import LENGTHS, Loopback, now

if TYPE_CHECKING:
    from tests.loopback_exchange import Query, Reply

_WORDS = {
    "60min": "1h",
    "Min60": "1h",
    "Day1": "1d",
    "1day": "1d",
    "1H": "1h",
    "1h": "1h",
    "1Dutc": "1d",
    "1D": "1d",
    "1d": "1d",
    "1min": "1m",
}


@dataclass
class Others(Loopback):
    """htx, bitget and hyperliquid.

    Attributes
    ----------
    deaf
        htx's perpetuals answer with their newest rows, whatever range is asked for.
    empty
        Share of candle answers that are empty though there are rows.
    kept
        Newest candles that hyperliquid keeps.
    late
        Open times by which some candles are off the grid, in ms.
    """

    deaf: bool = False
    empty: float = 0.0
    kept: int = 5000
    late: dict[int, int] = field(default_factory=dict)
    dice: random.Random = field(default_factory=lambda: random.Random(4))

    def page(self, timeframe: str, low: int, high: int, limit: int, *, newest: bool = False) -> list[list[Any]]:
        if self.empty and self.dice.random() < self.empty:
            return []
        rows = super().page(timeframe, low, high, limit, newest=newest)
        return [[row[0] + self.late.get(row[0], 0), *row[1:]] if timeframe != "1d" else row for row in rows]

    def answer(self, path: str, query: Query) -> Reply:
        _, exchange, rest = path.split("/", 2)
        mine = {"htx": _htx, "bitget": _bitget, "hyperliquid": _hyperliquid}.get(exchange)
        if "/contract/" in path or "/futures/" in path:
            mine = {"gate": _gate_contracts, "mexc": _mexc_contracts}[exchange]
        return super().answer(path, query) if mine is None else mine(self, "/" + rest, query)


def _htx(x: Others, path: str, q: Query) -> Reply:
    if path == "/v1/common/timestamp":
        return 200, {"status": "ok", "data": x.clock()}
    if path == "/v1/common/symbols":
        pair = {"base-currency": "btc", "quote-currency": "usdt", "symbol": "btcusdt", "state": "online"}
        sizes = {"price-precision": 2, "amount-precision": 6, "value-precision": 8, "min-order-amt": 0.0001}
        return 200, {"status": "ok", "data": [{**pair, **sizes, "min-order-value": 10}]}
    if path == "/linear-swap-api/v1/swap_contract_info":
        swap = {"symbol": "BTC", "contract_code": "BTC-USDT", "contract_size": 0.001, "price_tick": 0.1}
        more = {"contract_status": 1, "business_type": "swap", "pair": "BTC-USDT", "contract_type": "swap"}
        return 200, {
            "status": "ok",
            "data": [{**swap, **more, "create_date": "20201021", "support_margin_mode": "all"}],
        }
    if path.endswith("contract_info"):
        return 200, {"status": "ok", "data": []}
    timeframe = _WORDS[q["period"]]
    contract = "contract_code" in q
    low, high = int(q.get("from", 0)) * 1000, int(q.get("to", now() // 500)) * 1000
    if contract and (x.deaf or "size" in q):  # with a size the range is not looked at
        low, high = 0, now() * 2
    page = x.page(timeframe, low, high, min(int(q.get("size", 2000)), 2000 if contract else 1000), newest=True)
    names = ("id", "open", "high", "low", "close", "amount")
    rows = [dict(zip(names, [r[0] // 1000, *map(float, r[1:])], strict=True)) for r in page]
    return 200, {"status": "ok", "ts": x.clock(), "data": [{**r, "vol": 9e9, "count": 1} for r in rows[::-1]]}


def _bitget(x: Others, path: str, q: Query) -> Reply:
    def ok(data: Any) -> Reply:
        return 200, {"code": "00000", "msg": "success", "requestTime": x.clock(), "data": data}

    if path == "/api/v2/public/time":
        return ok({"serverTime": str(x.clock())})
    if path == "/api/v2/spot/public/symbols":
        pair = {"symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "status": "online", "minTradeUSDT": "1"}
        sizes = {"minTradeAmount": "0", "maxTradeAmount": "1000", "pricePrecision": "2", "quantityPrecision": "6"}
        return ok([{**pair, **sizes, "quotePrecision": "8", "takerFeeRate": "0.002", "makerFeeRate": "0.002"}])
    if "candles" not in path:
        return ok([])
    timeframe = _WORDS[q["granularity"]]
    history = "history" in path
    low, high = 0 if history else int(q.get("startTime", 0)), int(q.get("endTime", now() * 2))
    page = x.page(timeframe, low, high - history, min(int(q.get("limit", 100)), 200 if history else 1000), newest=True)
    return ok([[str(row[0]), *row[1:6], "0", "0"] for row in page])


def _hyperliquid(x: Others, path: str, q: Query) -> Reply:
    assert path == "/info"
    if q["type"] == "metaAndAssetCtxs":
        coins = [{"name": name, "szDecimals": 4, "maxLeverage": 50} for name in ("BTC", "kPEPE")]
        context = {"funding": "0.0000125", "markPx": "1000.0", "oraclePx": "1000.0", "midPx": "1000.0"}
        return 200, [{"universe": coins}, [context] * 2]
    if q["type"] == "spotMetaAndAssetCtxs":
        return 200, [{"tokens": [], "universe": []}, []]
    if q["type"] == "exchangeStatus":
        return 200, {"specialStatuses": None, "time": x.clock()}
    if q["type"] != "candleSnapshot":
        return 200, [None]
    length = LENGTHS[q["interval"]]
    oldest = x.clock() - x.clock() % length - x.kept * length
    page = x.page(q["interval"], max(int(q["startTime"]), oldest), int(q["endTime"]), 5000)
    names = ("t", "o", "h", "l", "c", "v")
    rows = [dict(zip(names, row, strict=True)) for row in page]
    return 200, [{**row, "T": row["t"] + length - 1, "i": q["interval"], "s": q["coin"], "n": 1} for row in rows]


def _gate_contracts(x: Others, path: str, q: Query) -> Reply:
    if path == "/api/v4/futures/usdt/contracts":
        sizes = {
            "quanto_multiplier": "0.0001",
            "order_price_round": "0.1",
            "order_size_min": 1,
            "order_size_max": 1000000,
        }
        prices = {"mark_price": "1000", "order_price_deviate": "0.5", "leverage_min": "1", "leverage_max": "100"}
        return 200, [{"name": "BTC_USDT", **sizes, **prices, "in_delisting": False, "create_time": 1546905600}]
    if not path.endswith("candlesticks"):
        return 200, []
    page = x.page(q["interval"], int(q["from"]) * 1000, int(q["to"]) * 1000, 2000, newest=True)
    names = ("t", "o", "h", "l", "c", "v")
    return 200, [dict(zip(names, [r[0] // 1000, *r[1:5], 8000 * float(r[5])], strict=True)) for r in page]


def _mexc_contracts(x: Others, path: str, q: Query) -> Reply:
    if path == "/api/v1/contract/detail":
        coins = {
            "symbol": "BTC_USDT",
            "baseCoin": "BTC",
            "quoteCoin": "USDT",
            "settleCoin": "USDT",
            "contractSize": 0.0001,
        }
        sizes = {"priceUnit": 0.1, "volUnit": 1, "minVol": 1, "maxVol": 10**6, "priceScale": 1, "volScale": 0}
        return 200, {"success": True, "code": 0, "data": [{**coins, **sizes, "state": 0, "maxLeverage": 200}]}
    page = x.page(_WORDS[q["interval"]], int(q["start"]) * 1000, int(q["end"]) * 1000, 2000, newest=True)
    names = ("time", "open", "high", "low", "close", "vol")
    columns = (
        list(zip(*([r[0] // 1000, *map(float, r[1:5]), 8000 * float(r[5])] for r in page), strict=True)) or [()] * 6
    )
    return 200, {"success": True, "code": 0, "data": dict(zip(names, map(list, columns), strict=True))}
