"""Number: a price as people write it, read in one way or not at all."""

from __future__ import annotations

import re
from typing import Literal

from backtest.errors import InvalidSignalError

__all__ = ["NUMBER", "Decimal", "read_number"]

Decimal = Literal[".", ","]

NUMBER = r"\d+(?:[.,']\d+)*"
"""What may be a number."""

_GROUPED = re.compile(r"[1-9]\d{0,2}(?:[.,']\d{3})+")


def read_number(text: str, decimal: Decimal | None) -> float:
    """Return the number that a text writes.

    Parameters
    ----------
    text
        Digits with ``.``, ``,`` and ``'`` between them.
    decimal
        The sign before the decimals in this channel; None: it was not said, and only what has one reading is read.

    Raises
    ------
    InvalidSignalError
        For what has two readings, or none.
    """
    signs = re.sub(r"\d", "", text)
    if not signs:
        if len(text) > 1 and text[0] == "0":
            raise InvalidSignalError(f"{text} begins with a 0 and has no decimal sign")
        return float(text)
    if len(signs) == 1:
        return _with_one(text, signs, decimal)
    if len(set(signs)) == 1:
        raise InvalidSignalError(f"{text} may be one number or several")
    head, last = text[: text.rindex(signs[-1])], signs[-1]
    if last in signs[:-1] or len(set(signs[:-1])) > 1 or last == "'" or not _GROUPED.fullmatch(head):
        raise InvalidSignalError(f"{text} is no number")
    _agree(text, last, decimal)
    return float(re.sub(r"\D", "", head) + "." + text[len(head) + 1 :])


def _with_one(text: str, sign: str, decimal: Decimal | None) -> float:
    """Return a number with one sign in it: before decimals, or between thousands."""
    head, tail = text.split(sign)
    grouped = bool(_GROUPED.fullmatch(text))
    if sign == "'":
        if not grouped:
            raise InvalidSignalError(f"{text} is no number")
        return float(head + tail)
    if decimal is None and grouped:
        raise InvalidSignalError(
            f"{text} may be {head}{tail} or {head}.{tail}: say which in the rule decimal", "decimal"
        )
    if decimal is not None and sign != decimal:
        if not grouped:
            _agree(text, sign, decimal)
        return float(head + tail)
    if len(head) > 1 and head[0] == "0":
        raise InvalidSignalError(f"{text} begins with two zeros")
    return float(f"{head}.{tail}")


def _agree(text: str, sign: str, decimal: Decimal | None) -> None:
    if decimal is not None and sign != decimal:
        raise InvalidSignalError(
            f'{text} has its decimals after "{sign}", and the rule decimal says "{decimal}"', "decimal"
        )
