"""Records: a start of the emitter, how far it has seen, and a signal, as the journal keeps them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cursor", "Run", "SignalRow"]


@dataclass(frozen=True, slots=True)
class Run:
    """One start of the emitter: ``mode`` is ``paper`` or ``live``, ``account`` the fingerprint of the key."""

    mode: str
    account: str
    started_at: int
    code_hash: str = ""
    config_hash: str = ""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a strategy has seen its candles: the first close (the anchor), the last one, and a hash of its row."""

    strategy: str
    symbol: str
    timeframe: str
    anchor: int
    time: int
    row_hash: str


@dataclass(frozen=True, slots=True)
class SignalRow:
    """A signal as the journal has it; prices by the API's name."""

    ref: str
    strategy: str
    symbol: str
    tag: str | None
    parent_signal_id: str | None
    state: str
    wished: dict[str, str]
    confirmed: dict[str, str]
