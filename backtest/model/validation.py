"""Validation: what pydantic found wrong, as the one sentence that this package says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["first_fault"]


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Return the field at fault, with dots for fields of fields, and what it was and should be.

    Parameters
    ----------
    error
        As pydantic raises it; of several faults the first counts.
    """
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    rule = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "missing":
        return path, "is missing"
    if first["type"] == "extra_forbidden":
        return path, "is not known"
    if rule.startswith("Input should"):
        rule = f"it should{rule.removeprefix('Input should')}"
    return path, f"was {first['input']!r}: {rule}"
