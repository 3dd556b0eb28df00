"""Parity: bodies compared without the name that only the venue can give.

A backtest never learns a ``parent_signal_id`` and writes our ref in its place (``body_of(call, call.signal)``); what
was sent is brought to the same form here, and then bytes are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.wire.json_text import json_bytes, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["with_ref"]


def with_ref(body: bytes, refs: Mapping[str, str]) -> bytes:
    """Return a sent body with our ref for its ``parent_signal_id``.

    Parameters
    ----------
    body
        The bytes that were sent; a create is returned as it is.
    refs
        Our ref by ``parent_signal_id``. An id that is not in it stays, and so shows up as a difference.
    """
    found = read_object(body)
    parent = found.get("parent_signal_id")
    if not isinstance(parent, str):
        return body
    return json_bytes({**found, "parent_signal_id": refs.get(parent, parent)})
