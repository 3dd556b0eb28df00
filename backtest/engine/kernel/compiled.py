"""Compiled: how the kernel's functions are compiled."""

from __future__ import annotations

from typing import Any

from numba import config as numba_config
from numba import njit

from backtest.engine.kept import CACHE

__all__ = ["entry", "folded", "inlined", "kept", "rule"]

config: Any = numba_config  # its settings are made at run time

rule = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)  # type: ignore[call-overload]
"""A part of the kernel: compiled into the entry points that call it, which alone are cached.

Nothing is allocated in the kernel, so nothing is counted either: ``_nrt=False`` leaves out the reference counts of the
arrays, a fifth of its time.
"""

folded = njit(  # type: ignore[call-overload]
    error_model="numpy", forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False
)
"""A part so small and so often called that it becomes one with its callers: all parts at once take minutes to compile."""

inlined = njit(error_model="numpy", inline="always", _nrt=False)  # type: ignore[call-overload]
"""What is written out where it is called: numba returns no tuple that holds records."""


def entry(function: Any) -> Any:
    """Compile what the wrapper calls by :mod:`backtest.engine.native`, and keep it: it takes and gives numbers alone."""
    return kept(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def kept(function: Any, **options: bool) -> Any:
    """Compile what Python calls, and keep it in :data:`CACHE`. Other threads run meanwhile: it touches no Python object.

    Parameters
    ----------
    function
        What is compiled.
    **options
        More of numba's.
    """
    before = config.CACHE_DIR
    config.CACHE_DIR = "" if CACHE is None else str(CACHE)  # read while the function is decorated
    try:
        return njit(cache=CACHE is not None, error_model="numpy", nogil=True, _nrt=False, **options)(function)  # type: ignore[call-overload]
    finally:
        config.CACHE_DIR = before
