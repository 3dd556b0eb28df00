"""Memory: freed columns stay with the process, so that the next run need not wait for the system to clear them again."""

from __future__ import annotations

from functools import cache

import numpy as np

__all__ = ["keep_freed_columns"]

_MOST = 31 << 20  # glibc learns from blocks of up to 32 MiB


@cache
def keep_freed_columns() -> None:
    """Let the C library keep what is freed instead of giving it back, once a process.

    glibc gives blocks above a threshold back to the system when they are freed, and raises the threshold to the largest
    block that it has given back so. Without this, a run over a year of minutes has its columns mapped and cleared anew
    each time, which takes as long as the run. The block is never touched: it costs neither time nor memory. Other C
    libraries do not care.
    """
    np.empty(_MOST, np.uint8)
