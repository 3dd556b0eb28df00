"""Kept: the folder that keeps the compiled kernel, named by the content of all that is compiled into it.

numba keeps the code of an entry point and takes it again while the file of that entry point is the same. Yet the code
holds every rule the entry point calls, the layout of the records and the value of each code, whatever file they are in.
So it is kept in a folder named by the content of all of them: edited or installed over, the engine compiles anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from backtest.engine import codes
from backtest.model.machine_code import folder_for

__all__ = ["CACHE", "content_key"]

ENGINE = Path(__file__).parent


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


CACHE = folder_for(ENGINE, "kernel", content_key())
