"""Code: which code a strategy's is."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backtest.strategy import Strategy

__all__ = ["code_hash"]


def code_hash(strategy: Strategy) -> str:
    """Return the hash of the strategy's source file, recorded apart from its identity."""
    try:
        file = inspect.getfile(type(strategy))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except (OSError, TypeError):
        return ""
