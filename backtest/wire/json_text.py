"""JSON text: bodies written without spaces, exponents or float noise, and read without surprises."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from backtest.errors import InvalidSignalError
from backtest.model.grid import decimal_text

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["json_bytes", "read_object"]


def json_bytes(body: Mapping[str, str | float]) -> bytes:
    """Return a flat body as compact UTF-8 JSON in the order of its keys: ``10`` for 10.0, never ``1e-07``."""
    pairs = (f"{json.dumps(name)}:{_value(value)}" for name, value in body.items())
    return f"{{{','.join(pairs)}}}".encode()


def _value(value: str | float) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else decimal_text(value)


def read_object(raw: bytes | str) -> dict[str, Any]:
    """Return the JSON object in a text.

    Raises
    ------
    InvalidSignalError
        Where it is no JSON in UTF-8, no object, names a key twice, or holds NaN, an infinity or half a surrogate pair,
        which no UTF-8 can carry on.
    """
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        found = json.loads(text, object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidSignalError(f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidSignalError(f"the body is a JSON object, was {type(found).__name__}")
    if "\\u" in text:
        _no_surrogates(found)
    return found


def _no_surrogates(found: dict[str, Any]) -> None:
    for name, value in found.items():
        try:
            json.dumps([name, value], ensure_ascii=False).encode()
        except UnicodeEncodeError:
            where = name if name.isascii() else ""
            raise InvalidSignalError(
                f"{where or 'a key'} holds half a surrogate pair, which is no text", where
            ) from None


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in found if names.count(name) > 1)
        raise InvalidSignalError(f"{twin} stands twice in the body", twin)
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")
