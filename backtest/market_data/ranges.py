"""Ranges: half-open stretches of time ``[start, end)`` in UTC ms, joined and subtracted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Range", "holes", "joined", "without"]

Range = tuple[int, int]


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Return the same stretches in order, those that touch or overlap as one."""
    result: list[Range] = []
    for start, end in sorted(r for r in ranges if r[0] < r[1]):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def without(whole: Range, parts: Iterable[Range]) -> list[Range]:
    """Return what is left of ``whole`` once ``parts`` are taken out."""
    left, result = whole[0], []
    for start, end in joined(parts):
        if end <= left or start >= whole[1]:
            continue
        if start > left:
            result.append((left, start))
        left = max(left, end)
    if left < whole[1]:
        result.append((left, whole[1]))
    return result


def holes(time: NDArray[np.int64], length: int) -> list[Range]:
    """Return the stretches between ascending times that are further apart than ``length``."""
    after = np.flatnonzero(np.diff(time) > length)
    return [(int(time[row]) + length, int(time[row + 1])) for row in after]
