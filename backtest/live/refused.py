"""Refused: calls that the desk refused, as the journal keeps them; the wire has no body for them, since no venue could take one."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

from backtest.runner.decision import Refusal
from backtest.wire import ENDPOINTS, kind_of

if TYPE_CHECKING:
    from typing import Any

    from backtest.model.calls import Call

__all__ = ["kept_refusal", "read_refusal"]


def kept_refusal(refusal: Refusal) -> tuple[int, str, str, str, str, float | None, str, str]:
    """Return a refusal as a row: close, kind, ref, call, field, value, reason and rule."""
    call = refusal.call
    named = {field.name: getattr(call, field.name) for field in fields(call)}
    text = json.dumps({name: value for name, value in named.items() if value is not None}, separators=(",", ":"))
    value = None if refusal.value is None else float(refusal.value)
    return refusal.at, kind_of(call), str(refusal.signal), text, refusal.field, value, refusal.reason, refusal.rule


def read_refusal(row: tuple[Any, ...]) -> Refusal:
    """Return the refusal of a row (:func:`kept_refusal`)."""
    at, kind, _, text, field, value, reason, rule = row
    given = json.loads(text)
    endpoint = ENDPOINTS[kind]
    if endpoint.creates:
        absent = {"type": None}
        given = {**absent, **given, "targets": tuple(given["targets"])}
    call: Call = endpoint.call(**given)
    return Refusal(at, call, field, value, reason, rule)
