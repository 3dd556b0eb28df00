"""Text of numbers and times, as people read them: percent, money, prices, UTC times, durations."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from backtest.model.grid import decimal_text

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["count", "day", "duration", "money", "percent", "plural", "price", "ratio", "some", "value", "when"]

MISSING = "n/a"

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def percent(fraction: float | None, *, signed: bool = False, digits: int = 2) -> str:
    """Return ``3.12 %`` for 0.0312; ``signed`` puts a plus before gains.

    Parameters
    ----------
    fraction
        0.0312 for 3.12 %; None and what is not finite are ``n/a``.
    signed
        Whether gains get a plus.
    digits
        After the point.
    """
    if fraction is None or not math.isfinite(fraction):
        return MISSING
    text = f"{100.0 * fraction:{'+' if signed else ''},.{digits}f}"
    if float(text.replace(",", "")) == 0.0:  # never "-0.00"
        text = f"{0.0:.{digits}f}"
    return f"{text} %"


def money(amount: float | None, *, signed: bool = False) -> str:
    """Return an amount with two decimals, or with four digits that count where it is below 0.1.

    Parameters
    ----------
    amount
        Quote currency; None and what is not finite are ``n/a``.
    signed
        Whether gains get a plus.
    """
    if amount is None or not math.isfinite(amount):
        return MISSING
    if amount == 0.0:
        return "0.00"
    plus = "+" if signed and amount > 0.0 else ""
    if abs(amount) < 0.1:
        return plus + decimal_text(float(f"{amount:.4g}"))
    return f"{plus}{amount:,.2f}"


def price(level: float | None, digits: int = 10) -> str:
    """Return a price or quantity with at most so many digits that count, never with an exponent.

    Parameters
    ----------
    level
        Price or quantity; None and what is not finite are ``n/a``.
    digits
        That count.
    """
    if level is None or not math.isfinite(level):
        return MISSING
    return decimal_text(float(f"{level:.{digits}g}"))


def ratio(number: float | None) -> str:
    """Return a ratio with two decimals."""
    return MISSING if number is None or not math.isfinite(number) else f"{number:,.2f}"


def count(number: float | None) -> str:
    """Return a whole number with thousands apart."""
    return MISSING if number is None else f"{int(number):,}"


def plural(number: int, noun: str) -> str:
    """Return ``1 trade`` or ``2 trades``.

    Parameters
    ----------
    number
        How many.
    noun
        In the singular.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def some(each: Iterable[str], most: int = 6) -> str:
    """Return the first few of many, and how many more there are: ``BTC/USDT, ETH/USDT and 498 more``."""
    known = list(each)
    more = f" and {len(known) - most:,} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more


def when(time: int) -> str:
    """Return ``2024-01-31 12:00`` for UTC milliseconds; seconds only where there are any."""
    moment = datetime.fromtimestamp(time / 1000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S" if time % 60_000 else "%Y-%m-%d %H:%M")


def day(time: int) -> str:
    """Return ``2024-01-31`` for UTC milliseconds."""
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d")


def duration(span: float | None) -> str:
    """Return milliseconds in their two largest units: ``3 d 4 h``; below a second ``250 ms``."""
    if span is None or not math.isfinite(span):
        return MISSING
    if 0 < span < 1_000:
        return f"{span:g} ms"
    left = round(span)
    parts: list[str] = []
    for size, unit in _UNITS:
        number, left = divmod(left, size)
        if number or parts:
            parts.append(f"{number} {unit}" if number else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part) or "0 min"


def value(number: float | None, unit: str) -> str:
    """Return a statistic in its unit: ``fraction``, ``return``, ``money``, ``ratio``, ``count``, ``ms``, ``days``.

    Parameters
    ----------
    number
        In the unit; None is ``n/a``.
    unit
        One of :class:`backtest.report.statistic.Statistic`.
    """
    if unit == "days":
        return MISSING if number is None else plural(int(number), "day")
    if unit == "per day":
        return MISSING if number is None else f"{number:,.3g} a day"
    form = {
        "fraction": percent,
        "return": lambda one: percent(one, signed=True),
        "money": money,
        "gain": lambda one: money(one, signed=True),
        "ratio": ratio,
        "count": count,
        "ms": duration,
    }[unit]
    return form(number)
