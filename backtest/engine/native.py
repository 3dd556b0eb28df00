"""Native: the entry points of the kernel, linked as they are first asked for.

``native.advance_one(address, ...)`` is :func:`backtest.engine.kernel.entries.advance_one` compiled. Neither the kernel nor
numba is imported while the machine code of this very engine is kept.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from backtest.engine.kept import CACHE
from backtest.model.machine_code import function_of, is_compiling

if TYPE_CHECKING:
    from backtest.engine.kernel.entries import (
        advance_one,
        advance_together,
        bound_blocks,
        equity_now,
        examine,
        forget_rows,
        number_calls,
        push,
        write_points,
        write_stretches,
    )

__all__ = [
    "advance_one",
    "advance_together",
    "bound_blocks",
    "equity_now",
    "examine",
    "forget_rows",
    "number_calls",
    "push",
    "write_points",
    "write_stretches",
]

_TYPES = {"Address": "int64", "int": "int64", "bool": "boolean"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = function_of(name, CACHE, lambda: _of_kernel(name)) if is_compiling() else _entry(name)
    globals()[name] = value
    return value


def _entry(name: str) -> Any:
    return getattr(import_module("backtest.engine.kernel.entries"), name)


def _of_kernel(name: str) -> tuple[Any, list[str]]:
    """Return an entry point as numba knows it, and the types of its arguments."""
    function = _entry(name)
    words = function.py_func.__annotations__
    return function, [_TYPES[word] for argument, word in words.items() if argument != "return"]
