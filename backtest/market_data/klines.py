"""Klines: candles as an exchange's websocket sends them, read without ccxt, which drops the flag that one is closed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from backtest.model.timeframe import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["FLAGGED", "Kline", "Row", "interval_name", "read_klines"]

Row = tuple[int, float, float, float, float, float]
"""Open time in UTC ms, open, high, low, close, volume in units of the base."""

FLAGGED = frozenset({"binance", "bybit", "okx", "gate", "file"})
"""Exchanges whose messages say that a candle is closed."""

_SIX_HOURS = 21_600_000


class Kline(NamedTuple):
    """One candle of a message.

    Attributes
    ----------
    market, interval
        As the exchange names them.
    row
        The candle so far.
    closed
        Whether the exchange says that it is closed; None where it says nothing, and the next candle's first message
        is what shows it.
    """

    market: str
    interval: str
    row: Row
    closed: bool | None


def read_klines(exchange: str, message: dict[str, Any], *, contract: bool) -> list[Kline]:
    """Return the candles of a raw message.

    Parameters
    ----------
    exchange
        ccxt's name of it, or ``"file"`` for candles of a file.
    message
        The decoded JSON.
    contract
        Whether the connection is one for perpetuals, whose volume some exchanges send in another place.

    Raises
    ------
    ValueError
        For a message that is none of candles.
    """
    try:
        return list(_READERS[exchange](message, contract=contract))
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise ValueError(f"{type(error).__name__}: {error} in {str(message)[:200]}") from error


def interval_name(exchange: str, timeframe: str, named: Any) -> str:
    """Return what an exchange's websocket calls a timeframe.

    Parameters
    ----------
    timeframe
        As everywhere here: ``"1h"``.
    named
        What ccxt calls it; okx's days begin at midnight in Hong Kong unless UTC is said, as ccxt does for REST only.
    """
    return f"{named}utc" if exchange == "okx" and milliseconds(timeframe) >= _SIX_HOURS else str(named)


def _row(time: Any, *prices: Any) -> Row:
    o, h, l, c, v = (float(price) for price in prices)  # noqa: E741
    return int(time), o, h, l, c, v


def _binance(message: dict[str, Any], **_: bool) -> Iterator[Kline]:
    k = message["k"]
    yield Kline(k["s"], k["i"], _row(k["t"], k["o"], k["h"], k["l"], k["c"], k["v"]), bool(k["x"]))


def _bybit(message: dict[str, Any], **_: bool) -> Iterator[Kline]:
    _, interval, market = message["topic"].split(".")
    for k in message["data"]:
        row = _row(k["start"], k["open"], k["high"], k["low"], k["close"], k["volume"])
        yield Kline(market, interval, row, bool(k["confirm"]))


def _okx(message: dict[str, Any], *, contract: bool) -> Iterator[Kline]:
    market, interval = message["arg"]["instId"], message["arg"]["channel"].removeprefix("candle")
    for k in message["data"]:  # a contract's sixth value counts contracts, its seventh the base
        yield Kline(market, interval, _row(*k[:5], k[6] if contract else k[5]), k[8] == "1")


def _gate(message: dict[str, Any], *, contract: bool) -> Iterator[Kline]:
    found = message["result"]
    for k in found if isinstance(found, list) else [found]:
        interval, _, market = k["n"].partition("_")
        volume = k["v"] if contract else k["a"]  # v is the quote volume on spot
        row = _row(int(k["t"]) * 1000, k["o"], k["h"], k["l"], k["c"], volume)
        yield Kline(market, interval, row, k.get("w"))


def _kraken(message: dict[str, Any], **_: bool) -> Iterator[Kline]:
    for k in message["data"]:
        began = datetime.fromisoformat(k["interval_begin"][:19] + "+00:00").timestamp() * 1000
        row = _row(began, k["open"], k["high"], k["low"], k["close"], k["volume"])
        yield Kline(k["symbol"], str(k["interval"]), row, None)


def _kucoin(message: dict[str, Any], *, contract: bool) -> Iterator[Kline]:
    market, _, interval = message["topic"].partition(":")[2].rpartition("_")
    k = message["data"]["candles"]  # time, open, close, high, low; a contract's sixth value is wrong, says ccxt
    row = _row(int(k[0]) * 1000, k[1], k[3], k[4], k[2], k[6] if contract else k[5])
    yield Kline(market, interval, row, None)


def _file(message: dict[str, Any], **_: bool) -> Iterator[Kline]:
    yield Kline(message["symbol"], message["timeframe"], _row(*message["row"]), closed=True)


_READERS: dict[str, Callable[..., Iterator[Kline]]] = {
    "binance": _binance,
    "bybit": _bybit,
    "okx": _okx,
    "gate": _gate,
    "kraken": _kraken,
    "kucoin": _kucoin,
    "file": _file,
}
