"""Refusal: what is wrong with a body, said in one sentence with the API's name of the field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSignalError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError

    from backtest.wire.endpoint import Endpoint

__all__ = [
    "INVALID_INPUT_CONTENT",
    "INVALID_INPUT_MISSING",
    "MissingFieldError",
    "refusal_of",
    "result_type_of",
    "shown",
]

INVALID_INPUT_MISSING = "INVALID_INPUT_MISSING"
INVALID_INPUT_CONTENT = "INVALID_INPUT_CONTENT"


class MissingFieldError(InvalidSignalError):
    """A required field was not sent: the venue answers ``INVALID_INPUT_MISSING``.

    Any other :class:`InvalidSignalError` is ``INVALID_INPUT_CONTENT``: a wrong value, and (ours, the vendor is silent)
    an unknown field or an explicit ``null``. A field that another one makes required counts as missing where it is
    absent: ``sell_price`` of a limit take profit, either trailing price beside the other.
    """


def result_type_of(error: InvalidSignalError) -> str:
    """Return the ``result.type`` with which the venue refuses this."""
    return INVALID_INPUT_MISSING if isinstance(error, MissingFieldError) else INVALID_INPUT_CONTENT


_RULES = {
    "string_type": "is a text",
    "string_unicode": "is a text of valid Unicode",
    "string_too_short": "is a text that is not empty",
    "string_too_long": "has at most {max_length} characters",
    "float_type": "is a JSON number",
    "int_type": "is a whole number",
    "int_parsing_size": "is a whole number below 2^63",
    "int_from_float": "is a whole number",
    "finite_number": "is a finite number",
    "greater_than": "is above {gt:g}",
    "greater_than_equal": "is at least {ge:g}",
    "less_than": "is below {lt:g}",
    "less_than_equal": "is at most {le:g}",
    "literal_error": "is one of {expected}",
}
_PRICE_RULE = 'is a price above 0 as a decimal string such as "65000.5"'


def refusal_of(errors: ValidationError, endpoint: Endpoint, body: Mapping[str, Any]) -> InvalidSignalError:
    """Return the one error that says what is wrong first: a missing field, else an unknown one, else a wrong value."""
    found = errors.errors(include_url=False)
    unknown = [str(each["loc"][0]) for each in found if each["type"] == "extra_forbidden"]
    if "formatted_text" in unknown:
        return InvalidSignalError(
            "formatted_text is refused: its schema is not published, so it cannot be simulated; give "
            "the structured fields",
            "formatted_text",
        )
    for each in found:
        if each["type"] == "missing":
            return _missing(str(each["loc"][0]), endpoint, unknown)
    if unknown:
        return _unknown(unknown[0], endpoint, body)
    first = found[0]
    field = str(first["loc"][0])
    return InvalidSignalError(
        f"{field} {_rule(field, first['type'], first.get('ctx', {}))}, was {shown(first['input'])}", field
    )


def _missing(field: str, endpoint: Endpoint, unknown: list[str]) -> MissingFieldError:
    also = f'; "{unknown[0]}" is no field.{did_you_mean(unknown[0], endpoint.body.model_fields)}' if unknown else ""
    return MissingFieldError(f"{field} is missing; {endpoint.kind} needs it{also}", field)


def _unknown(field: str, endpoint: Endpoint, body: Mapping[str, Any]) -> InvalidSignalError:
    if endpoint.kind == "create_v2" and field == "exit_price_6":
        return InvalidSignalError(
            "exit_price_6 does not exist in version 2, which has 5 targets; version 1 has six", field
        )
    near = did_you_mean(field, [name for name in endpoint.body.model_fields if name not in body])
    return InvalidSignalError(
        f"{shown(field)[1:-1]} is no field of {endpoint.kind}, was {shown(body[field])}.{near}", field
    )


def _rule(field: str, kind: str, context: Mapping[str, Any]) -> str:
    if is_price(field):
        return _PRICE_RULE
    if kind == "string_pattern_mismatch":
        return "is a text without spaces around it"
    return _RULES.get(kind, "has another type").format_map(context)


def is_price(field: str) -> bool:
    """Return whether a field of the API holds a price, hence a decimal string."""
    return "price" in field or field == "stop_loss"


def shown(value: object) -> str:
    """Return a value as JSON has it, cut to a length that fits into a sentence."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
