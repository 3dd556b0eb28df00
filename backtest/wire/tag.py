"""Tag: ``ref:7f3a9c41d2e0`` in the description of a create, so that a person finds it again at the venue."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backtest.model.calls import CreateSignal

__all__ = ["signal_tag", "tag_of", "tagged", "with_tag"]

_TAG = re.compile(r"(?:^|\s)ref:([0-9a-f]{12})$")


def signal_tag(strategy_identity: str, symbol: str, timeframe: str, close_ms: int, number: int) -> str:
    """Return the 12 hex digits that name a create: the same in a backtest, on paper and live.

    Parameters
    ----------
    strategy_identity
        The hash of class name and parameters.
    symbol, timeframe, close_ms
        The candle that decided, by its close in UTC ms.
    number
        Of the create among those of that close, from 0.
    """
    digest = _stem(strategy_identity, symbol, timeframe).copy()
    digest.update(b",%d,%d]" % (close_ms, number))
    return digest.hexdigest()[:12]


@lru_cache(maxsize=1024)
def _stem(strategy_identity: str, symbol: str, timeframe: str) -> hashlib._Hash:
    """Return the hash of what all tags of a strategy on a market begin with: the JSON list up to its close."""
    text = json.dumps([strategy_identity, symbol, timeframe], separators=(",", ":"))
    return hashlib.sha256(text[:-1].encode())


def with_tag(create: CreateSignal, tag: str) -> CreateSignal:
    """Return the create with `` ref:TAG`` at the end of its description; unchanged where it is there already.

    Raises
    ------
    InvalidSignalError
        Where the description would exceed the API's 1000 characters.
    """
    text = tagged(create.attachment_description, tag)
    return create if text == create.attachment_description else replace(create, attachment_description=text)


def tagged(description: str | None, tag: str) -> str:
    """Return a description that ends with `` ref:TAG``."""
    if description and tag_of(description) == tag:
        return description
    return f"{description} ref:{tag}" if description else f"ref:{tag}"


def tag_of(description: str | None) -> str | None:
    """Return the 12 hex digits at the end of a description; None where there are none."""
    found = _TAG.search(description or "")
    return found[1] if found else None
