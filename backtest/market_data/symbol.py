"""Symbol: ``BASE/QUOTE`` found in the ways that files and exchanges write it."""

from __future__ import annotations

import re
from typing import NamedTuple

from backtest.errors import InvalidSettingError

__all__ = [
    "NamedFile",
    "from_file_name",
    "from_folder_name",
    "from_value",
    "given_symbol",
    "refuse_inverse",
    "to_file_name",
    "unified",
]

_MAIN_QUOTES = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USD", "BTC", "XBT")
_QUOTES = (
    *_MAIN_QUOTES, "PYUSD", "RLUSD", "GUSD", "USDE", "USDD", "USDP", "USDS", "EURC", "EURT", "EURI", "DAI", "EUR",
    "GBP", "JPY", "KRW", "TRY", "BRL", "AUD", "CAD", "CHF", "INR", "IDR", "RUB", "UAH", "ZAR", "MXN", "ARS", "PLN", "NGN",
    "THB", "VND", "CZK", "HKD", "SGD", "ETH", "BNB", "SOL", "TRX",
)  # fmt: skip
"""What a symbol may end in."""
_BASES = frozenset(
    [
        "BTC",
        "XBT",
        "ETH",
        "LTC",
        "BCH",
        "XRP",
        "XDG",
        "DOGE",
        "ADA",
        "DOT",
        "SOL",
        "BNB",
        "AVAX",
        "MATIC",
        "POL",
        "LINK",
        "TRX",
        "UNI",
        "ATOM",
        "ETC",
        "XLM",
        "XMR",
        "EOS",
        "XTZ",
        "ALGO",
        "NEAR",
        "FIL",
        "APT",
        "ARB",
        "OP",
        "SUI",
        "PEPE",
        "SHIB",
        "BAT",
        "DASH",
        "ZEC",
        "ICP",
        "HBAR",
        "VET",
        "AAVE",
        "MKR",
        "SNX",
        "COMP",
        "CRV",
        "GRT",
        "SAND",
        "MANA",
        "AXS",
        "LUNA",
        "LUNC",
        "FTM",
        "INJ",
        "RUNE",
        "LDO",
        "TON",
        "TIA",
        "SEI",
        "WIF",
        "BONK",
        "FLOKI",
        "ORDI",
        "STX",
        "IMX",
        "KAS",
        "QNT",
        "EGLD",
        "THETA",
        "NEO",
        "IOTA",
        "KSM",
        "WAVES",
        "ZRX",
        "OMG",
        "ENJ",
        "CHZ",
        "GALA",
        "USDT",
        "USDC",
        "FDUSD",
        "TUSD",
        "BUSD",
        "PYUSD",
        "DAI",
        "USD",
        "EUR",
        "GBP",
        "PAXG",
        "WBTC",
        "BSV",
        "BTT",
        "JUP",
        "ENA",
        "WLD",
        "HYPE",
    ]
)
"""Bases that decide where ``XBTUSD`` and its like are cut; another one is believed where only one cut is possible."""
_STABLE = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDE", "DAI", "USD")
_OTHER_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
_EXCHANGES = frozenset(
    [
        "binance",
        "binanceus",
        "bybit",
        "okx",
        "okex",
        "kraken",
        "krakenfutures",
        "kucoin",
        "gate",
        "gateio",
        "mexc",
        "htx",
        "huobi",
        "bitget",
        "hyperliquid",
        "coinbase",
        "coinbasepro",
        "gdax",
        "bitstamp",
        "bitfinex",
        "gemini",
        "bitmex",
        "deribit",
        "poloniex",
        "bittrex",
        "cryptocom",
        "upbit",
        "bithumb",
        "bitvavo",
        "bitflyer",
        "ftx",
        "phemex",
        "bingx",
        "dydx",
        "woo",
        "whitebit",
        "lbank",
        "ascendex",
        "cexio",
        "exmo",
        "hitbtc",
        "itbit",
        "liquid",
        "yahoo",
    ]
)
_NOISE = frozenset(["ohlcv", "candles", "candle", "klines", "kline", "data", "spot", "history", "historical"])
_WORDS = {
    "s": "s", "sec": "s", "second": "s", "seconds": "s", "m": "m", "min": "m", "mins": "m", "minute": "m",
    "minutes": "m", "t": "m", "h": "h", "hr": "h", "hour": "h", "hours": "h", "hourly": "h", "d": "d", "day": "d",
    "days": "d", "daily": "d", "w": "w", "wk": "w", "week": "w", "weeks": "w", "weekly": "w",
}  # fmt: skip
_WORDS_OF_A_KIND = {"trade": "trade", "perp": "perp", "swap": "perp", "perpetual": "perp"}
_DATE = re.compile(r"(19|20)\d\d|0?[1-9]|[12]\d|3[01]|(19|20)\d{4}|(19|20)\d{6}|to")
_KRAKEN_MINUTES = {"1": "1m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "240": "4h", "720": "12h", "1440": "1d"}


class NamedFile(NamedTuple):
    """What a file name says: symbol and timeframe, None where it says nothing; kind is ``"mark"`` and the like.

    ``day`` is the date in a name of LEAN's, whose rows hold milliseconds since midnight.
    """

    symbol: str | None
    timeframe: str | None
    kind: str = ""
    day: str = ""


def unified(text: str) -> str | None:
    """Return ``BTC/USDT`` of ``BTC/USDT``, ``BTC_USDT``, ``BTC-USDT`` or ``BTCUSDT``; None where it is none of these.

    A third part is the settlement currency of a perpetual: ``BTC_USDT_USDT`` is ``BTC/USDT:USDT``.
    """
    parts = re.fullmatch(r"([A-Za-z0-9.]+)[/_\-]([A-Za-z0-9.]+)(?:[:_\-]([A-Za-z0-9.]+))?", text.strip())
    if parts:
        base, quote = _cased(parts[1]), parts[2].upper()
        return f"{base}/{quote}" + (f":{parts[3].upper()}" if parts[3] else "")
    glued = _split(text.strip())
    return f"{glued[0]}/{glued[1]}" if glued else None


def given_symbol(text: str) -> str:
    """Return a symbol that somebody gave, in the one spelling.

    Raises
    ------
    InvalidSettingError
        For text that cannot be one, and for an inverse contract.
    """
    found = text if re.fullmatch(r"[^./\\:\s][^/\\:\s]*/[^/\\:\s]+(:[^/\\:\s]+)?", text) else unified(text)
    if found is None:
        raise InvalidSettingError(f'symbol is written BASE/QUOTE, such as "BTC/USDT", was {text!r}')
    found = found.upper() if found.islower() else found
    refuse_inverse(found)
    return found


def refuse_inverse(symbol: str) -> None:
    """Refuse a contract that is settled in another currency than it is quoted in.

    Raises
    ------
    InvalidSettingError
        Naming the linear one.
    """
    pair, _, settled = symbol.partition(":")
    quote = pair.rpartition("/")[2]
    if settled and settled.split("-", maxsplit=1)[0] != quote:
        raise InvalidSettingError(
            f"{symbol} is an inverse contract, settled in {settled}: its size and profit are not in {quote}, and it is not "
            f"supported; take one settled in its quote currency, such as {pair}:{quote}"
        )


def from_value(text: str) -> str | None:
    """Return the symbol that a column of a file names: as :func:`unified`, with a known quote; also ``BTC-USDT-SWAP``."""
    swap = re.fullmatch(r"([A-Za-z0-9]+)[-_]([A-Za-z0-9]+)[-_](SWAP|PERP)", text.strip())
    if swap:
        return _perpetual(f"{_cased(swap[1])}/{swap[2].upper()}")
    found = unified(text)
    if found is None:
        return None
    return _renamed(found) if found.partition(":")[0].rpartition("/")[2] in _QUOTES else None


def from_file_name(stem: str) -> NamedFile:
    """Return what a file's name says, endings left out; nothing where any part of it is not understood.

    Known are our and freqtrade's ``BTC_USDT_USDT-1h-futures``, Binance's ``BTCUSDT-1h-2024-01``, Kraken's ``XBTUSD_60``
    (minutes), CryptoDataDownload's ``Binance_BTCUSDT_1h``, LEAN's ``20240101_btcusdt_minute_trade``, and
    ``BTC_USDT_1h`` with or without an exchange before and a year, month or day behind. A kind that is not known, and a
    timeframe of months, are returned as they stand: who reads the file refuses them.
    """
    freqtrade = re.fullmatch(r"([A-Za-z0-9.]+(?:_[A-Za-z0-9.]+){1,2}-\d+[A-Za-z]+)-([A-Za-z]+(?:_[a-z]+)*)", stem)
    if freqtrade and freqtrade[2].lower() not in _NOISE:
        return _read(_tokens(freqtrade[1]))._replace(kind=freqtrade[2])
    return _read(_tokens(stem))


def from_folder_name(name: str) -> str | None:
    """Return the symbol of a folder that :func:`to_file_name` named; None for another folder."""
    parts = name.split("_")
    if len(parts) not in {2, 3} or not all(parts):
        return None
    return f"{parts[0]}/{parts[1]}" + (f":{parts[2]}" if len(parts) == 3 else "")


def to_file_name(symbol: str) -> str:
    """Return the symbol as part of a path: ``BTC_USDT``, ``BTC_USDT_USDT``."""
    return re.sub(r"[/:]", "_", symbol)


def _tokens(stem: str) -> list[str]:
    return [token for token in re.split(r"[_\-\s,;()\[\]]+", stem.strip()) if token]


def _read(tokens: list[str]) -> NamedFile:
    """Return what all of the parts of a name say together; nothing unless each is understood."""
    nothing, rest = NamedFile(None, None), list(tokens)
    day = ""
    if len(rest) > 1 and re.fullmatch(r"20\d{6}", rest[0]):
        day = rest.pop(0)
    if len(rest) > 1 and rest[0].lower() in _EXCHANGES:
        rest.pop(0)
    pair, rest = _pair(rest)
    if pair is None:
        return nothing
    timeframe, seen = None, set()
    for position, token in enumerate(rest):
        found = _timeframe(token) or (_KRAKEN_MINUTES.get(token) if position == 0 else None)
        word = token.lower()
        if found is not None and timeframe is None:
            timeframe = found
        elif word in _WORDS_OF_A_KIND:
            seen.add(_WORDS_OF_A_KIND[word])
        elif word not in _NOISE and not _DATE.fullmatch(token):
            return nothing
    pair = _perpetual(pair) if "perp" in seen and ":" not in pair else pair
    return NamedFile(pair, timeframe, "", day if "trade" in seen else "")


def _perpetual(pair: str) -> str:
    """Return the perpetual of a pair; exchanges settle those in dollars proper in the base currency."""
    base, quote = pair.split("/")
    return f"{pair}:{base if quote == 'USD' else quote}"


def _pair(tokens: list[str]) -> tuple[str | None, list[str]]:
    """Return the symbol with which tokens begin, and those behind it."""
    if not tokens:
        return None, tokens
    glued = _split(tokens[0])
    if glued:
        pair, rest = _renamed(f"{glued[0]}/{glued[1]}"), tokens[1:]
        return pair, rest
    if len(tokens) < 2 or tokens[1].upper() not in _QUOTES or not re.fullmatch(r"[A-Za-z0-9.]+", tokens[0]):
        return None, tokens
    base, quote = _cased(tokens[0]), tokens[1].upper()
    pair, rest = _renamed(f"{base}/{quote}"), tokens[2:]
    if rest and rest[0].upper() in {quote, base} | set(_STABLE):
        return f"{pair}:{_OTHER_NAMES.get(rest[0].upper(), rest[0].upper())}", rest[1:]
    return pair, rest


def _split(text: str) -> tuple[str, str] | None:
    """Return base and quote of ``BTCUSDT``; None where it is not plain where to cut, or a quote alone.

    ``FOOTUSD`` may be FOO in TUSD or FOOT in USD: only a known base decides. Words such as ``industry`` are no pair.
    """
    upper = text.upper()
    if upper in _QUOTES or not re.fullmatch(r"[A-Za-z0-9]{4,}", text):
        return None
    old = re.fullmatch(r"X([A-Z]{3})Z(USD|EUR|GBP|JPY|CAD|AUD)", upper)  # Kraken's
    if old:
        return old[1], old[2]
    cuts = [(text[: -len(quote)], quote) for quote in _QUOTES if upper.endswith(quote) and len(upper) > len(quote) + 1]
    known = [cut for cut in cuts if cut[0].upper() in _BASES]
    plain = known or [cut for cut in cuts if cut[1] in _MAIN_QUOTES]
    return (_cased(plain[0][0]), plain[0][1]) if len(plain) == 1 else None


def _timeframe(token: str) -> str | None:
    """Return the timeframe that a part of a name is; months as they stand."""
    if re.fullmatch(r"\d+(M|[Mm]o|[Mm]on|[Mm]onth|[Mm]onths)|MN1?|[Mm]onthly|[Mm]onth", token):
        return token
    found = re.fullmatch(r"([1-9]\d{0,5})([A-Za-z]+)", token)
    meta = re.fullmatch(r"([MHDW])([1-9]\d?)", token)
    if meta:
        return f"{meta[2]}{meta[1].lower()}"
    count, word = (found[1], found[2]) if found else ("1", token)
    if not found and ((len(token) == 1 and token.lower() != "d") or token.lower() in {"t", "min", "sec", "hr", "wk"}):
        return None
    unit = _WORDS.get(word.lower())
    if unit is None:
        return None
    if unit == "m" and int(count) >= 60 and int(count) % 60 == 0:
        minutes = int(count)
        count, unit = (str(minutes // 1440), "d") if minutes % 1440 == 0 else (str(minutes // 60), "h")
    return f"{count}{unit}"


def _cased(base: str) -> str:
    """Return a base currency in capitals, unless its own name has both, such as ``kPEPE``."""
    return base if re.fullmatch(r"k[A-Z0-9]+", base) else base.upper()


def _renamed(pair: str) -> str:
    base, quote = pair.split("/", 1)
    quote, _, settled = quote.partition(":")
    names = [_OTHER_NAMES.get(part, part) for part in (base, quote, settled)]
    return f"{names[0]}/{names[1]}" + (f":{names[2]}" if settled else "")
