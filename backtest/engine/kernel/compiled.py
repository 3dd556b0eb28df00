"""Compiled: how the kernel's functions are compiled, and where what was compiled is kept.

numba keeps the code of an entry point and takes it again while the file of that entry point is the same. Yet the code
holds every rule the entry point calls, the layout of the records and the value of each code, whatever file they are in.
So it is kept in a folder named by the content of all of them: edited or installed over, the engine compiles anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numba import config as numba_config
from numba import njit
from numba.misc.appdirs import AppDirs

from backtest.engine import codes

__all__ = ["CACHE", "entry", "folded", "inlined", "rule"]

ENGINE = Path(__file__).parents[1]
config: Any = numba_config  # its settings are made at run time
KEPT = 4  # folders side by side: a few checkouts may share the one of the user


def content_key() -> str:
    """Return a name for all that is compiled into an entry point: the engine's files and the values of its codes."""
    digest = hashlib.sha256()
    for file in sorted(ENGINE.rglob("*.py")):
        digest.update(file.relative_to(ENGINE).as_posix().encode())
        digest.update(file.read_bytes())
    for name, value in sorted(vars(codes).items()):  # they may be worked out from what stands outside the engine
        if isinstance(value, np.generic):
            digest.update(f"{name}={value!r}".encode())
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """Return the folder that keeps this engine's compiled code, made if need be, or None where none can be written.

    As numba does: where ``NUMBA_CACHE_DIR`` says, else beside the source, else in the user's own.
    """
    name = f"kernel-{content_key()}"
    user = AppDirs(appname="numba", appauthor=False).user_cache_dir  # type: ignore[no-untyped-call]
    for root in (config.CACHE_DIR, ENGINE / "__pycache__", user):
        if not root:
            continue
        folder = Path(root) / name
        try:
            known = folder.is_dir()
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        if not known:
            forget_old(folder)
        return folder
    return None


def forget_old(folder: Path) -> None:
    """Remove what was compiled from earlier contents, but the newest few: other checkouts may use them."""
    made = []
    for other in folder.parent.glob("kernel-*"):
        with contextlib.suppress(OSError):  # another process may remove it as well
            made.append((other.stat().st_mtime, other))
    for _, other in sorted(made)[:-KEPT]:
        shutil.rmtree(other, ignore_errors=True)


CACHE = cache_folder()

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
    """Compile what the wrapper calls, and keep it in :data:`CACHE`. Other threads run meanwhile: it touches no Python object."""
    before = config.CACHE_DIR
    config.CACHE_DIR = "" if CACHE is None else str(CACHE)  # read while the function is decorated
    try:
        return njit(cache=CACHE is not None, error_model="numpy", nogil=True, _nrt=False)(function)  # type: ignore[call-overload]
    finally:
        config.CACHE_DIR = before
