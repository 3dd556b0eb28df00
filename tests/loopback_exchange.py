"""A small exchange on the loopback interface: the public REST answers of seven exchanges, over candles it makes itself.

ccxt's real client talks to it (``Access(url=server.url("okx"))``). Payloads follow the samples in ccxt's source.
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOUR = 3_600_000
LENGTHS = {"1m": 60_000, "1h": HOUR, "1d": 24 * HOUR}
FUNDING = 8 * HOUR
_MINUTES = {"1": "1m", "60": "1h", "1440": "1d", "D": "1d"}
_WORDS = {"1hour": "1h", "1min": "1m", "1day": "1d", "60m": "1h", "1H": "1h", "1Dutc": "1d"}
Query = dict[str, str]
Reply = tuple[int, Any]


def now() -> int:
    return round(time.time() * 1000)


def last(length: int) -> int:
    """Return the last multiple of a length before now, by one look at the clock."""
    moment = now()
    return moment - moment % length


@dataclass
class Fault:
    """What to answer instead, to the next requests whose path and query match."""

    pattern: str
    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    skip: int = 0  # requests that match and are still answered well
    cut: bool = False  # close the connection in the middle of the body


@dataclass
class Loopback:
    """The exchange: where its candles begin, where they are missing, how it pages, and what goes wrong."""

    listed: int
    gaps: list[tuple[int, int]] = field(default_factory=list)
    cap: int = 10_000  # rows in an answer at most, below the limit that was asked for
    skew: int = 0  # how far its clock is ahead of ours, ms
    delay: float = 0.0  # seconds an answer takes
    wrong: dict[int, list[float]] = field(default_factory=dict)  # open, high, low, close, volume by time
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, Query]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._lock = threading.Lock()
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, exchange: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{exchange}"

    def clock(self) -> int:
        return now() + self.skew

    def rows(self, timeframe: str, low: int, high: int) -> NDArray[np.float64]:
        """Every candle that opens in [low, high], the open one included: (n, 6)."""
        length = LENGTHS[timeframe]
        low, high = max(low, self.listed - self.listed % length), min(high, self.clock())
        t = np.arange(-(-low // length) * length, high + 1, length, dtype=np.int64)
        for start, end in self.gaps:
            t = t[(t < start) | (t + length > end)] if length > HOUR else t[(t < start) | (t >= end)]
        o, c = _price(t), _price(t + length)
        h = np.round(np.maximum(o, c) + t // length % 7, 2)
        l = np.round(np.minimum(o, c) - t // length % 5, 2)  # noqa: E741
        table = np.column_stack([t, o, h, l, c, (t // 60_000 % 1000 + 1) / 8])
        for moment, values in self.wrong.items():
            table[t == moment, 1:] = values
        return table

    def page(self, timeframe: str, low: int, high: int, limit: int, *, newest: bool = False) -> list[list[Any]]:
        """At most `limit` candles of [low, high], oldest first: the earliest of them, or the newest."""
        size, length = min(limit, self.cap), LENGTHS[timeframe]
        low = max(low, self.listed - self.listed % length)
        if newest and not self.gaps:
            low = max(low, min(high, self.clock()) - (size + 1) * length)
        elif not newest and not self.gaps:
            high = min(high, low + (size + 1) * length)
        table = self.rows(timeframe, low, high)
        picked = table[-size:] if newest else table[:size]
        return [[int(row[0]), *(f"{value:.10g}" for value in row[1:])] for row in picked.tolist()]

    def candles(self, timeframe: str = "1h", low: int = 0) -> NDArray[np.float64]:
        """Every candle that has closed since `low`: what a fetch must bring, no more and no less."""
        return self.rows(timeframe, low, self.clock() - LENGTHS[timeframe])

    def rates(self, low: int, high: int) -> NDArray[np.float64]:
        t = np.arange(-(-max(low, self.listed) // FUNDING) * FUNDING, min(high, self.clock()) + 1, FUNDING)
        return np.column_stack([t, (t // FUNDING % 21 - 10) / 1e5])

    def fault(self, path: str, query: Query) -> Fault | None:
        whole = path + "?" + "&".join(f"{key}={value}" for key, value in query.items())
        with self._lock:
            self.log.append((path, query))
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, whole):
                    fault.skip -= 1
                    if fault.skip < 0:
                        fault.times -= 1
                        return fault
        return None

    def answer(self, path: str, query: Query) -> Reply:
        _, exchange, rest = path.split("/", 2)
        reply: Reply = globals()[f"_{exchange}"](self, "/" + rest, query)
        return reply


def _price(t: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.round(1000 + 50 * np.sin(t / 1e9) + (t // 60_000 * 7919 % 1000) / 100, 2)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no news."""


def _handler(server: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self.respond(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.respond(self.path, {**body, **body.pop("req", {})})

        def respond(self, path: str, query: Query) -> None:
            time.sleep(server.delay)
            fault = server.fault(path, query)
            if fault is None:
                status, content = server.answer(path, query)
                return self.reply(status, json.dumps(content), {}, cut=False)
            body = fault.body or ("x" * 1000 if fault.cut else "")
            return self.reply(fault.status, body, fault.headers, cut=fault.cut)

        def reply(self, status: int, text: str, headers: dict[str, str], *, cut: bool) -> None:
            body = text.encode()
            self.send_response(status)
            for key, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = cut

    return Handler


def _number(query: Query, key: str, default: int) -> int:
    return int(query.get(key, default))


def _binance(x: Loopback, path: str, q: Query) -> Reply:
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.01000000", "minPrice": "0.01", "maxPrice": "1000000"},
        {"filterType": "LOT_SIZE", "stepSize": "0.00001000", "minQty": "0.00001000", "maxQty": "9000"},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
    ]
    both = {"status": "TRADING", "quoteAsset": "USDT", "filters": filters, "permissions": ["SPOT"]}
    spot = [{**both, "symbol": f"{b}USDT", "baseAsset": b, "isSpotTradingAllowed": True} for b in ("BTC", "ETH")]
    perpetual = {**both, "symbol": "BTCUSDT", "baseAsset": "BTC", "marginAsset": "USDT", "contractType": "PERPETUAL"}
    if path.endswith("/exchangeInfo"):
        return 200, {"symbols": spot if path.startswith("/api") else [perpetual]}
    if path.endswith("/time"):
        return 200, {"serverTime": x.clock()}
    low, high = _number(q, "startTime", 0), _number(q, "endTime", now() * 2)
    if path == "/fapi/v1/fundingRate":
        rates = x.rates(low, high)[: _number(q, "limit", 100)].tolist()
        return 200, [{"symbol": "BTCUSDT", "fundingTime": int(t), "fundingRate": f"{r:.8f}"} for t, r in rates]
    if q["interval"] not in LENGTHS:
        return 400, {"code": -1120, "msg": "Invalid interval."}
    rows = x.page(q["interval"], low, high, min(_number(q, "limit", 500), 1000))
    mark = "markPrice" in path
    return 200, [[*row[:5], "0" if mark else row[5], row[0] + LENGTHS[q["interval"]] - 1, "0", 1] for row in rows]


def _bybit(x: Loopback, path: str, q: Query) -> Reply:
    def ok(result: Any) -> Reply:
        return 200, {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": x.clock()}

    if path == "/v5/market/time":
        return ok({"timeSecond": str(x.clock() // 1000), "timeNano": str(x.clock() * 1_000_000)})
    if path == "/v5/market/instruments-info":
        lots = {"basePrecision": "0.000001", "minOrderQty": "0.000048", "minOrderAmt": "1", "qtyStep": "0.001"}
        common: dict[str, Any] = {
            "status": "Trading",
            "quoteCoin": "USDT",
            "lotSizeFilter": lots,
            "priceFilter": {"tickSize": "0.01"},
        }
        listed = [{**common, "symbol": f"{base}USDT", "baseCoin": base} for base in ("BTC", "ETH")]
        if q["category"] == "linear":
            leverage = {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"}
            swap = {"contractType": "LinearPerpetual", "settleCoin": "USDT", "fundingInterval": 480}
            listed = (
                [{**listed[0], **swap, "leverageFilter": leverage, "deliveryTime": "0"}] if "status" not in q else []
            )
        return ok({"category": q["category"], "list": listed, "nextPageCursor": ""})
    if path == "/v5/market/risk-limit":
        tier = {"id": 1, "symbol": "BTCUSDT", "riskLimitValue": "2000000", "maintenanceMargin": "0.004"}
        return ok({"category": "linear", "list": [{**tier, "initialMargin": "0.01", "maxLeverage": "100.00"}]})
    if path == "/v5/market/funding/history":
        rates = x.rates(_number(q, "startTime", 0), _number(q, "endTime", 0))[-_number(q, "limit", 200) :].tolist()
        rows = [{"symbol": "BTCUSDT", "fundingRate": f"{r:.8f}", "fundingRateTimestamp": str(int(t))} for t, r in rates]
        return ok({"category": "linear", "list": rows[::-1]})
    limit, low = min(_number(q, "limit", 200), 1000), _number(q, "start", 0)
    # with both ends the newest rows of the range, with a start alone the first ones after it
    page = x.page(_MINUTES[q["interval"]], low, _number(q, "end", now() * 2), limit, newest="end" in q)
    width = 5 if "mark-price" in path else 7
    return ok({"symbol": q["symbol"], "list": [[str(row[0]), *row[1:], "0"][:width] for row in reversed(page)]})


def _okx(x: Loopback, path: str, q: Query) -> Reply:
    def ok(data: list[Any]) -> Reply:
        return 200, {"code": "0", "msg": "", "data": data}

    if path == "/api/v5/public/time":
        return ok([{"ts": str(x.clock())}])
    if path == "/api/v5/public/instruments":
        lots = {"lotSz": "0.00000001", "minSz": "0.00001", "tickSz": "0.1", "state": "live", "lever": "10"}
        spot = [
            {**lots, "instId": f"{b}-USDT", "instType": "SPOT", "baseCcy": b, "quoteCcy": "USDT"}
            for b in ("BTC", "ETH")
        ]
        swap = {
            **lots,
            "instId": "BTC-USDT-SWAP",
            "instType": "SWAP",
            "settleCcy": "USDT",
            "ctVal": "0.01",
            "lotSz": "0.1",
        }
        contract = {
            **swap,
            "ctType": "linear",
            "uly": "BTC-USDT",
            "instFamily": "BTC-USDT",
            "minSz": "0.1",
            "ctValCcy": "BTC",
        }
        return ok({"SPOT": spot, "SWAP": [contract]}.get(q["instType"], []))
    if path == "/api/v5/public/position-tiers":
        return ok(
            [{"instFamily": "BTC-USDT", "tier": "1", "mmr": "0.004", "imr": "0.01", "maxLever": "100", "maxSz": "2"}]
        )
    # newest first, both ends exclusive
    low, high = _number(q, "before", 0) + 1, _number(q, "after", now() * 2) - 1
    if path == "/api/v5/public/funding-rate-history":
        rates = x.rates(low, high)[-min(_number(q, "limit", 100), 100) :].tolist()
        return ok(
            [{"instId": q["instId"], "realizedRate": f"{r:.8f}", "fundingTime": str(int(t))} for t, r in rates[::-1]]
        )
    mark = "mark-price" in path
    timeframe = _WORDS.get(q["bar"], q["bar"])
    page = x.page(timeframe, low, high, min(_number(q, "limit", 100), 100 if mark else 300), newest=True)
    closed = [str(int(row[0] + LENGTHS[timeframe] <= x.clock())) for row in page]
    if mark:
        return ok([[str(r[0]), *r[1:5], c] for r, c in zip(page, closed, strict=True)][::-1])
    return ok([[str(r[0]), *r[1:6], r[5], "0", c] for r, c in zip(page, closed, strict=True)][::-1])


def _kraken(x: Loopback, path: str, q: Query) -> Reply:
    def ok(result: Any) -> Reply:
        return 200, {"error": [], "result": result}

    if path == "/0/public/Time":
        return ok({"unixtime": x.clock() // 1000})
    if path == "/0/public/Assets":
        return ok(
            {n: {"altname": a, "decimals": 10, "status": "enabled"} for n, a in (("XXBT", "XBT"), ("USDT", "USDT"))}
        )
    if path == "/0/public/AssetPairs":
        pair = {"altname": "XBTUSDT", "wsname": "XBT/USDT", "base": "XXBT", "quote": "USDT", "pair_decimals": 1}
        size = {"lot_decimals": 8, "ordermin": "0.0001", "costmin": "0.5", "tick_size": "0.1", "status": "online"}
        return ok({"XBTUSDT": {**pair, **size, "fees": [[0, 0.26]], "fees_maker": [[0, 0.16]], "leverage_buy": []}})
    newest = x.page(_MINUTES[q["interval"]], 0, now() * 2, 720, newest=True)  # whatever is asked for
    page = [row for row in newest if row[0] // 1000 > _number(q, "since", 0)] or newest[-1:]
    rows = [[row[0] // 1000, *row[1:5], row[4], row[5], 1] for row in page]
    return ok({"XBTUSDT": rows, "last": rows[-1][0]})


def _kucoin(x: Loopback, path: str, q: Query) -> Reply:
    if path == "/api/v1/timestamp":
        return 200, {"code": "200000", "data": x.clock()}
    if path == "/api/v2/symbols":
        pair = {"symbol": "BTC-USDT", "baseCurrency": "BTC", "quoteCurrency": "USDT", "enableTrading": True}
        size = {"baseMinSize": "0.00001", "baseIncrement": "0.00000001", "priceIncrement": "0.1", "minFunds": "0.1"}
        return 200, {"code": "200000", "data": [{**pair, **size, "quoteIncrement": "0.000001"}]}
    low, high = _number(q, "startAt", 0) * 1000, _number(q, "endAt", now()) * 1000 - 1
    page = x.page(_WORDS[q["type"]], low, high, 1500, newest=True)
    rows = [[str(t // 1000), o, c, h, l, v, "0"] for t, o, h, l, c, v in reversed(page)]  # noqa: E741  close is second
    return 200, {"code": "200000", "data": rows}


def _gate(x: Loopback, path: str, q: Query) -> Reply:
    if path == "/api/v4/spot/time":
        return 200, {"server_time": x.clock()}
    if path == "/api/v4/spot/currency_pairs":
        pair = {"id": "BTC_USDT", "base": "BTC", "quote": "USDT", "fee": "0.2", "trade_status": "tradable"}
        return 200, [
            {**pair, "min_base_amount": "0.00001", "min_quote_amount": "3", "amount_precision": 5, "precision": 1}
        ]
    if path != "/api/v4/spot/candlesticks":
        return 200, []
    page = x.page(q["interval"], _number(q, "from", 0) * 1000, _number(q, "to", now()) * 1000, 1000, newest=True)
    return 200, [[str(t // 1000), "0", c, h, l, o, v, "true"] for t, o, h, l, c, v in page]  # noqa: E741


def _mexc(x: Loopback, path: str, q: Query) -> Reply:
    if path == "/api/v3/time":
        return 200, {"serverTime": x.clock()}
    if path == "/api/v1/contract/detail":
        return 200, {"success": True, "code": 0, "data": []}
    if path == "/api/v3/exchangeInfo":
        pair = {
            "symbol": "BTCUSDT",
            "status": "1",
            "baseAsset": "BTC",
            "quoteAsset": "USDT",
            "isSpotTradingAllowed": True,
        }
        size = {
            "baseSizePrecision": "0.000001",
            "quotePrecision": 2,
            "quoteAssetPrecision": 2,
            "baseAssetPrecision": 6,
            "quoteAmountPrecision": "1",
        }
        return 200, {"symbols": [{**pair, **size, "permissions": ["SPOT"], "filters": []}]}
    low, high = _number(q, "startTime", 0), _number(q, "endTime", now() * 2) - 1
    page = x.page(_WORDS.get(q["interval"], q["interval"]), low, high, min(_number(q, "limit", 500), 500))
    return 200, [[*row, row[0] + HOUR, "0"] for row in page]
