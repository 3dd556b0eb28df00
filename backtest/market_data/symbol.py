"""Symbol: ``BASE/QUOTE`` found in the ways that files and exchanges write it."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["NamedFile", "from_file_name", "from_folder_name", "to_file_name", "unified"]

_QUOTES = "USDT|USDC|FDUSD|TUSD|BUSD|USDE|DAI|USD|EUR|GBP|JPY|TRY|BTC|ETH|BNB"
_TIMEFRAME = r"[1-9]\d{0,5}[smhdw]"


class NamedFile(NamedTuple):
    """What a file name says: symbol and timeframe, None where it says nothing; kind is ``"mark"`` and the like."""

    symbol: str | None
    timeframe: str | None
    kind: str = ""


def unified(text: str) -> str | None:
    """Return ``BTC/USDT`` of ``BTC/USDT``, ``BTC_USDT``, ``BTC-USDT`` or ``BTCUSDT``; None where it is none of these.

    A third part is the settlement currency of a perpetual: ``BTC_USDT_USDT`` is ``BTC/USDT:USDT``.
    """
    upper = text.strip().upper()
    parts = re.fullmatch(r"([A-Z0-9.]+)[/_\-]([A-Z0-9.]+)(?:[:_\-]([A-Z0-9.]+))?", upper)
    if parts:
        return f"{parts[1]}/{parts[2]}" + (f":{parts[3]}" if parts[3] else "")
    glued = re.fullmatch(rf"([A-Z0-9]{{2,}}?)({_QUOTES})", upper)
    return f"{glued[1]}/{glued[2]}" if glued else None


def from_file_name(stem: str) -> NamedFile:
    """Read ``BTC_USDT-1h`` (ours, freqtrade's), ``BTC_USDT_USDT-1h-futures``, ``Binance_BTCUSDT_1h``."""
    ours = re.fullmatch(rf"([A-Za-z0-9.]+[_-][A-Za-z0-9.]+(?:_[A-Za-z0-9.]+)?)-({_TIMEFRAME})(?:-(\w+))?", stem)
    if ours:
        return NamedFile(unified(ours[1]), ours[2], ours[3] or "")
    archive = re.fullmatch(rf"(?:[A-Za-z]+[_-])?([A-Za-z0-9]+)[_-]({_TIMEFRAME})(?:[_-].*)?", stem)
    if archive:
        return NamedFile(unified(archive[1]), archive[2])
    return NamedFile(unified(stem), None)


def from_folder_name(name: str) -> str | None:
    """Return the symbol of a folder that :func:`to_file_name` named; None for another folder."""
    parts = name.split("_")
    if len(parts) not in {2, 3} or not all(parts):
        return None
    return f"{parts[0]}/{parts[1]}" + (f":{parts[2]}" if len(parts) == 3 else "")


def to_file_name(symbol: str) -> str:
    """Return the symbol as part of a path: ``BTC_USDT``, ``BTC_USDT_USDT``."""
    return re.sub(r"[/:]", "_", symbol)
