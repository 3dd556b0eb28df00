"""Surroundings: what a strategy could write to besides its calls, looked at before and after, and put back."""

from __future__ import annotations

import copy
import hashlib
import sys
from functools import lru_cache
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backtest.strategy import Strategy

__all__ = ["Surroundings"]

_LARGEST = 10_000
"""Items of a container that are looked at; more of them cost more than the check is worth."""

_DEEPEST, _OBJECTS = 6, 3
"""How many levels of containers are looked into, and how many of objects."""

_CODE = (ModuleType, FunctionType, MethodType, type, staticmethod, classmethod, property)


class Surroundings:
    """The instance of a strategy, its classes' attributes and the globals that its methods use, as they were.

    Only plain data is looked at: numbers, text, containers of them, arrays. A cache inside a closure, ``functools.cache``
    or another module is not seen here; the windows of the look-ahead check see its effect.

    Parameters
    ----------
    strategy
        Whose surroundings; nothing of it is changed.
    """

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        strategy.identity  # noqa: B018 - kept from now on: a field that is written to would change it
        self._owners = [*_homes(strategy)]
        self._used = _names_used(owner for owner, _ in self._owners if isinstance(owner, type))
        places = [*self._places()]
        self._before = {name: _digest(value) for name, _, _, value in places}
        self._copies: dict[str, Any] = {}
        for name, _, _, value in places:
            try:
                self._copies[name] = copy.deepcopy(value)
            except Exception:  # noqa: BLE001 - what cannot be copied is only looked at
                self._copies[name] = value

    def changed(self, after: Strategy | None = None) -> list[str]:
        """Return the names of what differs from before: ``self.count``, ``Cooldown.seen``, ``strategy.py: FUTURE``.

        Parameters
        ----------
        after
            The copy that was run in place of the strategy; None: itself.
        """
        now = {name: _digest(value) for name, _, _, value in self._places(after)}
        names = dict.fromkeys((*self._before, *now))
        return [name for name in names if self._before.get(name) != now.get(name)]

    def restore(self) -> None:
        """Put class attributes and module globals back as they were; the instance is left to whoever copied it."""
        seen = set()
        for name, owner, key, _ in [*self._places()]:
            if owner is None:
                continue
            seen.add(name)
            if name not in self._copies:
                _remove(owner, key)
            else:
                _put(owner, key, copy.deepcopy(self._copies[name]))
        for name, owner, key in self._owned_before():
            if name not in seen:
                _put(owner, key, copy.deepcopy(self._copies[name]))

    def _owned_before(self) -> Iterator[tuple[str, Any, str]]:
        for owner, label in self._owners:
            for name in self._copies:
                if name.startswith(label) and not name.startswith("self."):
                    yield name, owner, name[len(label) :]

    def _places(self, after: Strategy | None = None) -> Iterator[tuple[str, Any, str, Any]]:
        """Yield name, owner (None: the instance), key and value of each piece of plain data."""
        one = after or self._strategy
        private = getattr(one, "__pydantic_private__", None) or {}
        parts = {**one.__dict__, **private}
        for key, value in parts.items():
            if key not in ("parameters", "identity"):  # computed once and kept, by the base class
                yield f"self.{key}", None, key, value
        for owner, label in self._owners:
            for key, value in list(vars(owner).items()):
                if (key in self._used or isinstance(owner, type)) and _is_data(key, value):
                    yield f"{label}{key}", owner, key, value


def _homes(strategy: Strategy) -> Iterator[tuple[Any, str]]:
    from backtest.strategy import Strategy as Base

    modules: dict[str, None] = {}
    for kind in type(strategy).__mro__:
        if kind is Base:
            break
        modules[kind.__module__] = None
        yield kind, f"{kind.__name__}."
    for name in modules:
        module = sys.modules.get(name)
        if module is not None and not name.startswith(("backtest.", "pydantic")):
            path = getattr(module, "__file__", None) or name
            yield module, f"{path.rpartition('/')[2]}: "


def _names_used(kinds: Iterable[type]) -> frozenset[str]:
    """Return the global names that the methods of classes use, and those of the functions that these call."""
    found: set[str] = set()
    waiting: list[Any] = [member for kind in kinds for member in vars(kind).values()]
    while waiting:
        member = waiting.pop()
        function = getattr(member, "__func__", getattr(member, "fget", member))
        code = getattr(function, "__code__", None)
        known = getattr(function, "__globals__", {})
        for name in _names_in(code) if code is not None else ():
            if name not in found and name in known:
                waiting.append(known[name])
            found.add(name)
    return frozenset(found)


@lru_cache(maxsize=1024)
def _names_in(code: CodeType) -> tuple[str, ...]:
    """Return the names that a piece of code uses, and those of the functions inside it."""
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in _names_in(part)]
    return tuple(dict.fromkeys((*code.co_names, *inner)))


def _is_data(key: str, value: Any) -> bool:
    if key.startswith(("__", "_abc_", "model_", "_sunder")) or isinstance(value, _CODE):
        return False
    return isinstance(
        value, bool | int | float | complex | str | bytes | None | list | dict | set | tuple | np.ndarray
    ) or (type(value).__module__.startswith(("pandas", "collections")))


def _put(owner: Any, key: str, value: Any) -> None:
    old = vars(owner).get(key)
    if isinstance(old, dict) and isinstance(value, dict):  # others may hold the very object
        old.clear()
        old.update(value)
    elif isinstance(old, list) and isinstance(value, list):
        old[:] = value
    elif isinstance(old, set) and isinstance(value, set):
        old.clear()
        old.update(value)
    elif isinstance(owner, type):
        type.__setattr__(owner, key, value)
    else:
        setattr(owner, key, value)


def _remove(owner: Any, key: str) -> None:
    if isinstance(owner, type):
        type.__delattr__(owner, key)
    else:
        delattr(owner, key)


def _digest(value: Any) -> str:
    """Return a hash that changes with a value; of large data, with its ends and its size."""
    digest = hashlib.sha256()
    _feed(digest, value, 0)
    return digest.hexdigest()


def _feed(digest: Any, value: Any, depth: int) -> None:
    digest.update(type(value).__name__.encode())
    if depth > _DEEPEST:
        return
    if isinstance(value, np.ndarray) and value.dtype != object:
        flat = np.ascontiguousarray(value).view(np.uint8).reshape(-1)
        digest.update(repr((value.shape, value.dtype.str)).encode())
        digest.update(flat[: 8 * _LARGEST].tobytes() + flat[-8 * _LARGEST :].tobytes())
        return
    parts = _parts(value, depth)
    if parts is None:
        digest.update(_text(value).encode())
        return
    digest.update(str(len(parts)).encode())
    for name, one in parts[:_LARGEST]:
        digest.update(name.encode())
        _feed(digest, one, depth + 1)


def _parts(value: Any, depth: int) -> list[tuple[str, Any]] | None:
    """Return what a value is made of, by name; None for one that is a whole."""
    if isinstance(value, dict):
        return [(repr(key), one) for key, one in value.items()]
    if isinstance(value, set | frozenset):
        return [(shown, None) for shown in sorted(map(repr, value))]
    if isinstance(value, list | tuple):
        return [("", one) for one in value]
    if hasattr(value, "__dict__") and not isinstance(value, type) and depth < _OBJECTS:
        return [*vars(value).items(), *(getattr(value, "__pydantic_private__", None) or {}).items()]
    return None


def _text(value: Any) -> str:
    shown = repr(value)
    return shown if " at 0x" not in shown else type(value).__qualname__
