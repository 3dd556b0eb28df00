"""A small exchange on the loopback interface that pushes candles: websocket and REST in seven dialects, on played time.

ccxt.pro's real clients talk to it (``Access(url=exchange.url("okx"))``). Payloads follow the samples in ccxt's source.
It lives in the event loop of the test, which tells it by method calls what to send, to hold back and to break.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    class Steady(Protocol):
        """What tells the time: played, or this machine's as UTC ms."""

        def steady(self) -> float: ...


Row = tuple[int, float, float, float, float, float]
Key = tuple[str, str]
MINUTE = 60_000
_WORDS = {"1m": "1m", "1": "1m", "1min": "1m", "1h": "1h", "60": "1h", "60m": "1h", "1hour": "1h", "1H": "1h"}
_INTERVALS = {
    "1s": {},
    "1m": {"bybit": "1", "kraken": "1", "kucoin": "1min"},
    "1h": {"bybit": "60", "kraken": "60", "kucoin": "1hour", "okx": "1H", "mexc": "60m"},
}
_LENGTHS = {"1s": 1000, "1m": MINUTE, "1h": 60 * MINUTE}


def price_row(base: str, time: int) -> Row:
    """A candle of a base, another one for each base and minute."""
    middle = 100.0 + sum(map(ord, base)) % 500 + time // MINUTE % 97 / 4
    return time, middle, middle + 2.0, middle - 1.5, middle + 0.25, 1.0 + time // MINUTE % 13 / 8


@dataclass(eq=False)
class Connection:
    """A client that listens."""

    dialect: str
    contract: bool
    socket: web.WebSocketResponse
    transport: asyncio.BaseTransport | None
    keys: set[Key] = field(default_factory=set)


class CandleExchange:
    """The exchange: which candles it has, who listens, and what is broken."""

    def __init__(self, time: Steady, bases: tuple[str, ...] = ("BTC", "ETH")) -> None:
        self.time, self.bases = time, bases
        self.skew = 0  # how far its clock is ahead, ms
        self.rest_works = self.pongs = self.accepts = True
        self.ping_interval = 18_000
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.tick = "0.01"
        self.delisted: set[str] = set()
        self.missing: set[tuple[str, int]] = set()
        self.rows: dict[tuple[str, str, int], Row] = {}
        self.connections: list[Connection] = []
        self.connected = 0
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{dialect}/{rest:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for one in list(self.connections):
            await self.cut(one)
        await self._runner.cleanup()

    def url(self, dialect: str) -> str:
        return f"http://127.0.0.1:{self._port}/{dialect}"

    # -- what a test does

    async def subscribed(self, series: int, connections: int = 1) -> None:
        """Wait until so many series are listened to over so many connections."""
        async with asyncio.timeout(120):
            while sum(len(c.keys) for c in self.connections) < series or self.connected < connections:
                self._changed.clear()
                await self._changed.wait()

    async def push(
        self, dialect: str, base: str, row: Row, *, closed: bool, timeframe: str = "1m", contract: bool = False
    ) -> int:
        """Send a candle to who listens to it; return to how many."""
        key = (_market_id(dialect, base, contract=contract), _INTERVALS[timeframe].get(dialect, timeframe))
        text = json.dumps(_MESSAGES[dialect](*key, row, closed))
        found = [c for c in self.connections if c.dialect == dialect and c.contract == contract and key in c.keys]
        for one in found:
            await one.socket.send_str(text)
        return len(found)

    def keep(self, base: str, row: Row, timeframe: str = "1m") -> None:
        """Let REST say this of a candle."""
        self.rows[base, timeframe, row[0]] = row

    async def drop(self, code: int) -> None:
        """Close every connection with a code."""
        for one in list(self.connections):
            await one.socket.close(code=code)

    async def cut(self, one: Connection) -> None:
        """End a connection without a word."""
        if one.transport is not None:
            one.transport.abort()  # type: ignore[attr-defined]  # a transport of a socket has it
        await asyncio.sleep(0)

    # -- REST

    def now(self) -> int:
        return round(self.time.steady()) + self.skew

    def row(self, base: str, timeframe: str, time: int) -> Row:
        return self.rows.get((base, timeframe, time), price_row(base, time))

    def page(self, base: str, timeframe: str, low: int, high: int, limit: int) -> list[Row]:
        """The candles that open in [low, high], the newest `limit` of them, the open one included."""
        length = _LENGTHS[timeframe]
        high = min(high, self.now())
        first = max(-(-low // length) * length, high // length * length - (limit - 1) * length)
        times = range(first, high + 1, length)
        return [self.row(base, timeframe, t) for t in times if (base, t) not in self.missing]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        dialect, path = request.match_info["dialect"], "/" + request.match_info["rest"]
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._listen(request, dialect, path)
        query = dict(request.query)
        self.asked.append((path, query))
        if not self.rest_works:
            return web.json_response({"msg": "away"}, status=503)
        if path == "/api/v1/bullet-public":
            endpoint = f"ws://127.0.0.1:{self._port}/kucoin/endpoint"
            server = {"endpoint": endpoint, "pingInterval": self.ping_interval, "pingTimeout": 10_000}
            return web.json_response({"code": "200000", "data": {"token": "t", "instanceServers": [server]}})
        status, content = _ANSWERS[dialect](self, path, query)
        return web.json_response(content, status=status)

    async def _listen(self, request: web.Request, dialect: str, path: str) -> web.StreamResponse:
        if not self.accepts:
            return web.Response(status=503)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        contract = any(word in path for word in ("/market/", "linear", "futures", "usdt"))
        one = Connection(dialect, contract, socket, request.transport)
        self.connections.append(one)
        self.connected += 1
        self._changed.set()
        try:
            async for message in socket:
                if message.type is WSMsgType.PING and self.pongs:
                    await socket.pong(message.data)
                elif message.type is WSMsgType.TEXT:
                    await self._answer(one, message.data)
        except ConnectionError:
            pass
        finally:
            self.connections.remove(one)
            self._changed.set()
        return socket

    async def _answer(self, one: Connection, text: str) -> None:
        said: Any = text if text == "ping" else json.loads(text)
        keys, reply, is_ping = _HEARD[one.dialect](said)
        if is_ping and not self.pongs:
            return
        known = {_market_id(one.dialect, base, contract=one.contract): base for base in self.bases}
        gone = [market for market, _ in keys if known.get(market, "") in self.delisted]
        if gone and one.dialect == "okx":  # it names one that it does not know, and the whole request is void
            reply, keys = {"event": "error", "code": "60018", "msg": f"{gone[0]} doesn't exist"}, []
        one.keys |= {key for key in keys if key[0] not in gone}
        if reply is not None:
            await one.socket.send_str(reply if isinstance(reply, str) else json.dumps(reply))
        self._changed.set()


# -- names


def _market_id(dialect: str, base: str, *, contract: bool = False) -> str:
    middle = {"okx": "-", "kucoin": "-", "gate": "_", "kraken": "/"}.get(dialect, "")
    return f"{base}{middle}USDT" + ("-SWAP" if contract and dialect == "okx" else "")


def _base(market: str) -> str:
    return market.partition("USDT")[0].rstrip("-_/")


# -- websocket messages: what a client says


def _heard_binance(said: Any) -> tuple[list[Key], Any, bool]:
    streams = [one.split("@kline_") for one in said.get("params", [])]
    return [(market.upper(), interval) for market, interval in streams], {"result": None, "id": said["id"]}, False


def _heard_bybit(said: Any) -> tuple[list[Key], Any, bool]:
    reply = {"success": True, "ret_msg": "pong", "conn_id": "x", "req_id": said.get("req_id"), "op": said["op"]}
    topics = [one.split(".") for one in said.get("args", [])]
    assert len(topics) <= 10, "a spot connection takes ten topics in one request"
    return [(market, interval) for _, interval, market in topics], reply, said["op"] == "ping"


def _heard_okx(said: Any) -> tuple[list[Key], Any, bool]:
    if said == "ping":
        return [], "pong", True
    return [(one["instId"], one["channel"].removeprefix("candle")) for one in said["args"]], None, False


def _heard_kraken(said: Any) -> tuple[list[Key], Any, bool]:
    if said["method"] == "ping":
        return [], {"method": "pong", "req_id": said.get("req_id")}, True
    return [(one, str(said["params"]["interval"])) for one in said["params"]["symbol"]], None, False


def _heard_gate(said: Any) -> tuple[list[Key], Any, bool]:
    interval, market = said["payload"]
    reply = {"time": 1, "id": said["id"], "channel": said["channel"], "event": "subscribe", "error": None}
    return [(market, interval)], {**reply, "result": {"status": "success"}}, False


def _heard_kucoin(said: Any) -> tuple[list[Key], Any, bool]:
    if said["type"] == "ping":
        return [], {"id": said["id"], "type": "pong"}, True
    market, _, interval = said["topic"].partition(":")[2].rpartition("_")
    return [(market, interval)], {"id": said["id"], "type": "ack"}, False


_HEARD: dict[str, Callable[[Any], tuple[list[Key], Any, bool]]] = {
    "binance": _heard_binance,
    "bybit": _heard_bybit,
    "okx": _heard_okx,
    "kraken": _heard_kraken,
    "gate": _heard_gate,
    "kucoin": _heard_kucoin,
}


# -- websocket messages: a candle


def _say_binance(market: str, interval: str, row: Row, closed: bool) -> Any:
    t, o, h, l, c, v = map(str, row)  # noqa: E741
    k = {"t": int(t), "T": int(t) + MINUTE - 1, "s": market, "i": interval, "o": o, "h": h, "l": l, "c": c, "v": v}
    return {"e": "kline", "E": 1, "s": market, "k": {**k, "x": closed, "q": "7", "V": "1", "Q": "1", "B": "0"}}


def _say_bybit(market: str, interval: str, row: Row, closed: bool) -> Any:
    t, o, h, l, c, v = map(str, row)  # noqa: E741
    k = {"start": int(t), "interval": interval, "open": o, "high": h, "low": l, "close": c, "volume": v}
    data = [{**k, "turnover": "7", "confirm": closed, "timestamp": 1}]
    return {"topic": f"kline.{interval}.{market}", "data": data, "ts": 1, "type": "snapshot"}


def _say_okx(market: str, interval: str, row: Row, closed: bool) -> Any:
    t, o, h, l, c, v = map(str, row)  # noqa: E741
    volumes = ["7", v] if market.endswith("SWAP") else [v, "7"]
    data = [[t, o, h, l, c, *volumes, "7", str(int(closed))]]
    return {"arg": {"channel": f"candle{interval}", "instId": market}, "data": data}


def _say_kraken(market: str, interval: str, row: Row, _: bool) -> Any:
    began = datetime.fromtimestamp(row[0] / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")
    names = dict(zip(("open", "high", "low", "close", "volume"), row[1:], strict=True))
    data = [{"symbol": market, **names, "trades": 1, "vwap": 1.0, "interval_begin": began, "interval": int(interval)}]
    return {"channel": "ohlc", "type": "update", "timestamp": began, "data": data}


def _say_gate(market: str, interval: str, row: Row, closed: bool) -> Any:
    t, o, h, l, c, v = map(str, row)  # noqa: E741
    result = {"t": str(int(t) // 1000), "v": "7", "a": v, "o": o, "h": h, "l": l, "c": c, "n": f"{interval}_{market}"}
    return {"time": 1, "channel": "spot.candlesticks", "event": "update", "result": {**result, "w": closed}}


def _say_kucoin(market: str, interval: str, row: Row, _: bool) -> Any:
    t, o, h, l, c, v = map(str, row)  # noqa: E741
    data = {"symbol": market, "candles": [str(int(t) // 1000), o, c, h, l, v, "7"], "time": 1}
    topic = f"/market/candles:{market}_{interval}"
    return {"type": "message", "topic": topic, "subject": "trade.candles.update", "data": data}


_MESSAGES: dict[str, Callable[[str, str, Row, bool], Any]] = {
    "binance": _say_binance,
    "bybit": _say_bybit,
    "okx": _say_okx,
    "kraken": _say_kraken,
    "gate": _say_gate,
    "kucoin": _say_kucoin,
}


# -- REST answers

Query = dict[str, str]


def _number(query: Query, key: str, default: int) -> int:
    return int(query.get(key, default))


def _listed(x: CandleExchange) -> Iterator[tuple[str, bool]]:
    return ((base, base not in x.delisted) for base in x.bases)


def _binance(x: CandleExchange, path: str, q: Query) -> tuple[int, Any]:
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": x.tick, "minPrice": "0.01", "maxPrice": "1000000"},
        {"filterType": "LOT_SIZE", "stepSize": "0.00001", "minQty": "0.00001", "maxQty": "9000"},
        {"filterType": "NOTIONAL", "minNotional": "5.0"},
    ]
    if path.endswith("/time"):
        return 200, {"serverTime": x.now()}
    if path.endswith("/exchangeInfo"):
        extra = {} if path.startswith("/api") else {"marginAsset": "USDT", "contractType": "PERPETUAL"}
        states = [(base, "TRADING" if trades else "BREAK") for base, trades in _listed(x)]
        both = {"quoteAsset": "USDT", "filters": filters, "permissions": ["SPOT"], "isSpotTradingAllowed": True}
        symbols = [{**both, **extra, "symbol": f"{b}USDT", "baseAsset": b, "status": state} for b, state in states]
        return 200, {"symbols": symbols}
    limit = min(_number(q, "limit", 500), 1000)
    low, length = _number(q, "startTime", 0), _LENGTHS[q["interval"]]
    high = min(_number(q, "endTime", low + limit * length), low + limit * length)
    if _base(q["symbol"]) in x.delisted:
        return 400, {"code": -1121, "msg": "Invalid symbol."}
    rows = x.page(_base(q["symbol"]), q["interval"], low, high, limit)
    return 200, [[r[0], *map(str, r[1:]), r[0] + length - 1, "0", 1] for r in rows]


def _bybit(x: CandleExchange, path: str, q: Query) -> tuple[int, Any]:
    def ok(result: Any) -> tuple[int, Any]:
        return 200, {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": x.now()}

    if path == "/v5/market/time":
        return ok({"timeSecond": str(x.now() // 1000), "timeNano": str(x.now() * 1_000_000)})
    if path == "/v5/market/instruments-info":
        lots = {"basePrecision": "0.000001", "minOrderQty": "0.00005", "minOrderAmt": "1"}
        common = {"quoteCoin": "USDT", "lotSizeFilter": lots, "priceFilter": {"tickSize": "0.01"}}
        states = [(base, "Trading" if trades else "Closed") for base, trades in _listed(x)]
        listed = [{**common, "symbol": f"{b}USDT", "baseCoin": b, "status": s} for b, s in states]
        return ok({"category": q["category"], "list": listed, "nextPageCursor": ""})
    rows = x.page(_base(q["symbol"]), _WORDS[q["interval"]], _number(q, "start", 0), _number(q, "end", 1 << 60), 1000)
    return ok({"symbol": q["symbol"], "list": [[*map(str, r), "0"] for r in reversed(rows)]})


def _okx(x: CandleExchange, path: str, q: Query) -> tuple[int, Any]:
    def ok(data: list[Any]) -> tuple[int, Any]:
        return 200, {"code": "0", "msg": "", "data": data}

    if path == "/api/v5/public/time":
        return ok([{"ts": str(x.now())}])
    if path == "/api/v5/public/instruments":
        lots = {"lotSz": "0.0001", "minSz": "0.0001", "tickSz": "0.01", "lever": "10"}
        states = [(base, "live" if trades else "suspend") for base, trades in _listed(x)]
        spot = [
            {**lots, "instId": f"{b}-USDT", "instType": "SPOT", "baseCcy": b, "quoteCcy": "USDT", "state": state}
            for b, state in states
        ]
        return ok(spot if q["instType"] == "SPOT" else [])
    low, high = _number(q, "before", 0) + 1, _number(q, "after", 1 << 60) - 1
    rows = x.page(_base(q["instId"]), _WORDS[q["bar"]], low, high, 300)
    return ok([[*map(str, r[:5]), str(r[5]), "7", "7", "1"] for r in reversed(rows)])


def _kraken(x: CandleExchange, path: str, q: Query) -> tuple[int, Any]:
    def ok(result: Any) -> tuple[int, Any]:
        return 200, {"error": [], "result": result}

    if path == "/0/public/Time":
        return ok({"unixtime": x.now() // 1000})
    if path == "/0/public/Assets":
        return ok({n: {"altname": n, "decimals": 10, "status": "enabled"} for n in (*x.bases, "USDT")})
    if path == "/0/public/AssetPairs":
        size = {"lot_decimals": 8, "ordermin": "0.0001", "costmin": "0.5", "tick_size": "0.01", "pair_decimals": 2}
        fees = {"fees": [[0, 0.26]], "fees_maker": [[0, 0.16]], "leverage_buy": []}
        return ok(
            {
                f"{b}USDT": {
                    **size,
                    **fees,
                    "altname": f"{b}USDT",
                    "wsname": f"{b}/USDT",
                    "base": b,
                    "quote": "USDT",
                    "status": "online" if trades else "cancel_only",
                }
                for b, trades in _listed(x)
            }
        )
    found = x.page(_base(q["pair"]), _WORDS[q["interval"]], 0, 1 << 60, 720)
    rows = [r for r in found if r[0] // 1000 > _number(q, "since", 0)] or found[-1:]
    answer = [[r[0] // 1000, *map(str, r[1:5]), str(r[4]), str(r[5]), 1] for r in rows]
    return ok({q["pair"]: answer, "last": rows[-1][0]})


def _kucoin(x: CandleExchange, path: str, q: Query) -> tuple[int, Any]:
    if path == "/api/v1/timestamp":
        return 200, {"code": "200000", "data": x.now()}
    if path == "/api/v2/symbols":
        size = {"baseMinSize": "0.0001", "baseIncrement": "0.0001", "priceIncrement": "0.01", "minFunds": "0.1"}
        pairs = [
            {**size, "symbol": f"{b}-USDT", "baseCurrency": b, "quoteCurrency": "USDT", "enableTrading": trades}
            for b, trades in _listed(x)
        ]
        return 200, {"code": "200000", "data": [{**pair, "quoteIncrement": "0.0001"} for pair in pairs]}
    low, high = _number(q, "startAt", 0) * 1000, _number(q, "endAt", 1 << 50) * 1000 - 1
    rows = x.page(_base(q["symbol"]), _WORDS[q["type"]], low, high, 1500)
    data = [[str(r[0] // 1000), *map(str, (r[1], r[4], r[2], r[3], r[5])), "0"] for r in reversed(rows)]
    return 200, {"code": "200000", "data": data}


def _gate(x: CandleExchange, path: str, q: Query) -> tuple[int, Any]:
    if path == "/api/v4/spot/time":
        return 200, {"server_time": x.now()}
    if path == "/api/v4/spot/currency_pairs":
        size = {"min_base_amount": "0.0001", "min_quote_amount": "3", "amount_precision": 4, "precision": 2}
        return 200, [
            {**size, "id": f"{b}_USDT", "base": b, "quote": "USDT", "fee": "0.2", "trade_status": state}
            for b, state in ((b, "tradable" if trades else "untradable") for b, trades in _listed(x))
        ]
    if path != "/api/v4/spot/candlesticks":
        return 200, []
    low, high = _number(q, "from", 0) * 1000, _number(q, "to", 1 << 50) * 1000
    rows = x.page(_base(q["currency_pair"]), q["interval"], low, high, 1000)
    return 200, [[str(r[0] // 1000), "0", *map(str, (r[4], r[2], r[3], r[1], r[5])), "true"] for r in rows]


def _mexc(x: CandleExchange, path: str, q: Query) -> tuple[int, Any]:
    if path == "/api/v3/time":
        return 200, {"serverTime": x.now()}
    if path == "/api/v1/contract/detail":
        return 200, {"success": True, "code": 0, "data": []}
    if path == "/api/v3/exchangeInfo":
        size = {"baseSizePrecision": "0.0001", "quotePrecision": 2, "quoteAssetPrecision": 2, "baseAssetPrecision": 6}
        symbols = [
            {**size, "symbol": f"{b}USDT", "baseAsset": b, "quoteAsset": "USDT", "status": "1" if trades else "2"}
            for b, trades in _listed(x)
        ]
        extra = {"quoteAmountPrecision": "1", "permissions": ["SPOT"], "filters": [], "isSpotTradingAllowed": True}
        return 200, {"symbols": [{**one, **extra} for one in symbols]}
    low, high = _number(q, "startTime", 0), _number(q, "endTime", 1 << 60) - 1
    rows = x.page(_base(q["symbol"]), _WORDS[q["interval"]], low, high, min(_number(q, "limit", 500), 500))
    return 200, [[r[0], *map(str, r[1:]), r[0] + MINUTE, "0"] for r in rows]


_ANSWERS: dict[str, Callable[[CandleExchange, str, Query], tuple[int, Any]]] = {
    "binance": _binance,
    "bybit": _bybit,
    "okx": _okx,
    "kraken": _kraken,
    "kucoin": _kucoin,
    "gate": _gate,
    "mexc": _mexc,
}
