"""Pages: the loop that asks a source for a range of rows, page by page, and loses none.

It tells three things apart that look alike: *no data there* (an empty window, later rows exist), *no more data*, and
*a broken answer* (which the source has already refused, see :mod:`backtest.market_data.exchange`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from numpy.typing import NDArray

    from backtest.market_data.ranges import Range

__all__ = ["Page", "Source", "pages"]


class Source(Protocol):
    """Where rows come from; a row is a time in ms and its values."""

    step: int
    """A row that follows another one is at least this many ms later."""
    window: int
    """Milliseconds that one answer can cover without dropping a row."""
    jumps: bool
    """Whether an answer starts at the first row there is (see :class:`backtest.market_data.traits.Traits`)."""

    async def ask(self, start: int, end: int) -> NDArray[np.float64]:
        """Return rows in ``[start, end)``, ascending; not always all of them, never a wrong one."""

    async def later(self, moment: int, end: int) -> int:
        """Return a time in ``[moment, end]`` before which there is no row."""

    def sure(self, rows: NDArray[np.float64], start: int) -> bool:
        """Return whether nothing was left out between ``start`` and the first of ``rows``."""


class Page(NamedTuple):
    """Rows, and the stretch of time for which they are everything that the source has."""

    rows: NDArray[np.float64]
    answered: Range


async def pages(source: Source, start: int, end: int) -> AsyncIterator[Page]:
    """Yield every row of ``[start, end)``, in order."""
    moment = start
    while moment < end:
        reach = end if source.jumps else min(end, moment + source.window)
        rows = await source.ask(moment, reach)
        if len(rows) == 0:  # nothing counts as nothing when it was said twice
            rows = await source.ask(moment, reach)
        if len(rows):
            if not source.sure(rows, moment):
                rows = await _with_the_earlier(source, rows, moment)
            following = int(rows[-1, 0]) + source.step
        else:
            following = await source.later(reach, end)
        yield Page(rows, (moment, following))
        moment = following


async def _with_the_earlier(source: Source, rows: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    """Return the rows with those before them, as an answer may hold only the newest rows of its window."""
    found, open_parts = [rows], [(start, int(rows[0, 0]))]
    while open_parts:
        low, high = open_parts.pop()
        part = await source.ask(low, high)
        if len(part) == 0:
            continue
        found.append(part)
        if not source.sure(part, low):
            open_parts.append((low, int(part[0, 0])))
        after = int(part[-1, 0]) + source.step
        if after < high and source.step > 1:
            open_parts.append((after, high))
    joined = np.concatenate(found)
    return joined[np.argsort(joined[:, 0], kind="stable")]
