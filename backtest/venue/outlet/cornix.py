"""Cornix: a signal as free text for a channel that its bot reads.

What its help pages say, and what is written here: the full pair, the word *Entry*, the words *Take Profit* and *Stop*
written out, ``Entry zone a-b`` for a range, several prices on one line apart by spaces, *Leverage* with the margin type,
*Amount per trade* up to 20 %. The side follows from the order of the prices. Shares of targets, trailing, a life of orders
and an id are not there, and no answer says whether the bot understood.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.errors import InvalidSignalError
from backtest.model.grid import decimal_text
from backtest.venue.outlet.carried import Carries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest.model.calls import CreateSignal

__all__ = ["CORNIX", "PER_MINUTE", "cornix_text"]

PER_MINUTE = 7
"""Signals that the bot takes in a minute."""

CORNIX = Carries(entries=3, zone=True, targets=6, stop=True, leverage=True, margin=True, invest=20.0)
"""What its free text says; ending a signal needs an answer to its message, whose words a person confirms."""


def cornix_text(create: CreateSignal) -> str:
    """Return the free text of a signal.

    Parameters
    ----------
    create
        As :func:`backtest.venue.outlet.carried.carry` makes it for :data:`CORNIX`.

    Raises
    ------
    InvalidSignalError
        Where its side cannot be told from its prices.

    Examples
    --------
    >>> from backtest import CreateSignal
    >>> address = {"coin": "BTC", "trade_market": "USDT", "exchange": "BINANCE"}
    >>> create = CreateSignal(
    ...     **address, invest=5, entry_price_max=61000.0, entry_price_min=60500.0, targets=(62000.0,), stop_loss=60000.0
    ... )
    >>> print(cornix_text(create))
    BTC/USDT
    Entry zone 60500.0-61000.0
    Take Profit 62000.0
    Stop 60000.0
    Amount per trade 5%
    """
    targets = [price for price in create.targets if price is not None]
    prices = sorted({price for price in _entries(create) if price is not None}, reverse=create.side > 0)
    if create.side * targets[0] <= create.side * prices[0]:
        raise InvalidSignalError("its side cannot be told from the order of its prices", "exit_price_1")
    zone = len(prices) > 1 and not create.is_split
    lines = [create.symbol]
    if create.account in {"FUTURES", "MARGIN"}:
        lines.append(f"Leverage: {(create.margin_type or 'ISOLATED').capitalize()} ({_text(create.leverage or 1.0)}X)")
    lines.append(f"Entry zone {_text(min(prices))}-{_text(max(prices))}" if zone else f"Entry {_line(prices)}")
    lines.append(f"Take Profit {_line(targets)}")
    if create.stop_loss is not None:
        lines.append(f"Stop {_text(create.stop_loss)}")
    if create.invest is not None:
        lines.append(f"Amount per trade {decimal_text(create.invest)}%")
    return "\n".join(lines)


def _entries(create: CreateSignal) -> Iterable[float | None]:
    if not create.is_split:
        return create.entry_price_min, create.entry_price_max
    named = ("min", "mid", "max")
    return [getattr(create, f"entry_price_{name}") for name in named if getattr(create, f"invest_entry_{name}")]


def _line(prices: Iterable[float]) -> str:
    return " ".join(map(_text, prices))


def _text(price: float) -> str:
    """Return a price with a decimal sign, so that no two prices on a line can be one number, and none a short satoshi."""
    text = decimal_text(price)
    return text if "." in text else f"{text}.0"
