"""Traits: how each exchange answers when asked for candles, found by trying and from the source of ccxt."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Traits", "traits_of"]


@dataclass(frozen=True, slots=True)
class Traits:
    """What the page loop must know about an exchange.

    Attributes
    ----------
    candles, mark_candles, rates
        Most rows in one answer: candles of trades, of the mark price, funding rates (0: not supported here).
    jumps
        True where an answer starts at the first candle there is, however much later; False where it covers a window of
        time and may be empty though later candles exist.
    until
        Added to the end of the range (exclusive) for the request's ``until``; None where none is sent.
    keeps
        The exchange serves only its newest candles, this many; 0 for all.
    tried
        Whether this package was tried against it: of another one an empty answer before its first row proves nothing.
    contracts
        Whether it counts the volume of contracts in contracts, not in base currency.
    sized
        Whether the number of rows may be asked for; htx then ignores the range.
    place
        Keys on the way to the rows in an answer, ``"*"`` for any; None where it is not known.
    """

    candles: int
    mark_candles: int = 0
    rates: int = 0
    jumps: bool = False
    until: int | None = -1
    keeps: int = 0
    tried: bool = False
    contracts: bool = False
    sized: bool = True
    place: tuple[str, ...] | None = ()


_TRAITS = {
    "binance": Traits(1000, mark_candles=1000, rates=1000, jumps=True, tried=True),
    "bybit": Traits(1000, mark_candles=1000, rates=200, jumps=True, tried=True, place=("result", "list")),
    "okx": Traits(300, mark_candles=100, rates=100, until=0, tried=True, place=("data",)),
    "kraken": Traits(720, jumps=True, until=None, keeps=720, tried=True, place=("result", "*")),
    "kucoin": Traits(1500, until=None, tried=True, place=("data",)),
    "gate": Traits(1000, mark_candles=1000, keeps=10_000, tried=True),
    "mexc": Traits(500, mark_candles=500, tried=True),
    "hyperliquid": Traits(1000, keeps=5000),
}
_CONTRACTS = {
    "gate": Traits(1000, mark_candles=1000, tried=True, contracts=True),
    "htx": Traits(1000, sized=False, place=("data",)),
    "kucoin": Traits(200, until=None, tried=True, contracts=True, place=("data",)),
    "mexc": Traits(2000, mark_candles=2000, tried=True, contracts=True, place=("data", "time")),
}


def traits_of(exchange: str, *, contract: bool = False) -> Traits:
    """Return how an exchange answers; for an unknown one small windows with both ends, which suits any."""
    known = _CONTRACTS.get(exchange) if contract else None
    return known or _TRAITS.get(exchange) or Traits(100, mark_candles=100, place=None)
