"""Doors: by which candles come in, and what an emission lived through. The rooms that read them lie above this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["door", "register"]

_OPENERS: dict[str, Callable[[], Callable[..., Any]]] = {}


def register(name: str, opener: Callable[[], Callable[..., Any]]) -> None:
    """Say what a door leads to.

    Parameters
    ----------
    name
        ``"load"``, ``"sample"``, ``"from_csv"``, ``"from_pandas"`` or ``"lived"``.
    opener
        Imports and returns the function, when it is first needed.
    """
    _OPENERS[name] = opener


def door(name: str) -> Callable[..., Any]:
    """Return the function behind a door.

    Raises
    ------
    InvalidSettingError
        For one that nothing was registered for.
    """
    if name not in _OPENERS:
        raise InvalidSettingError(f"there is no door {name!r}, only {', '.join(_OPENERS) or 'none'}")
    return _OPENERS[name]()
