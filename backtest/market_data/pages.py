"""Pages: the loop that asks a source for a range of rows, page by page, and loses none.

It tells three things apart that look alike: *no data there* (an empty window, later rows exist), *no more data*, and
*a broken answer* (which the source has already refused, see :mod:`backtest.market_data.exchange`). An empty answer counts
when it was given again and again, and daily rows say nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from numpy.typing import NDArray

    from backtest.market_data.ranges import Range

__all__ = ["ASKED_TWICE", "Page", "Reply", "RowSource", "pages", "surely"]

ASKED_TWICE = 4
"""How often nothing is to be said before it counts as nothing: servers answer empty when they are busy."""


class Reply(NamedTuple):
    """Rows inside the range, and what rows outside of it tell where there are none.

    Attributes
    ----------
    rows
        Ascending; not always all of the range, never a wrong one.
    nothing
        Rows that lie before the range alone: a server that begins at its end has none in it.
    beyond
        Time of the earliest row behind the range where such came alone: it was not looked at, 0 otherwise.
    """

    rows: NDArray[np.float64]
    nothing: bool = False
    beyond: int = 0


class RowSource(Protocol):
    """Where rows come from; a row is a time in ms and its values."""

    step: int
    """A row that follows another one is at least this many ms later."""
    window: int
    """Milliseconds that one answer can cover without dropping a row."""
    jumps: bool
    """Whether an answer starts at the first row there is (see :class:`backtest.market_data.traits.Traits`)."""

    async def ask(self, start: int, end: int) -> Reply:
        """Return rows in ``[start, end)``."""

    async def later(self, moment: int, reach: int, end: int) -> int:
        """Return a time in ``[reach, end]`` before which there is no row; ``moment`` where there are in ``[moment, reach)``."""

    def sure(self, rows: NDArray[np.float64], start: int) -> bool:
        """Return whether nothing was left out between ``start`` and the first of ``rows``."""

    def after(self, moment: int) -> int:
        """Return the first time at which a row can follow one at ``moment``, which may lie some ms off its grid."""


class Page(NamedTuple):
    """Rows, and the stretch of time for which they are everything that the source has."""

    rows: NDArray[np.float64]
    answered: Range


async def pages(source: RowSource, start: int, end: int) -> AsyncIterator[Page]:
    """Yield every row of ``[start, end)``, in order."""
    moment, doubted = start, -1
    while moment < end:
        reach = end if source.jumps else min(end, moment + source.window)
        answer = await surely(source, moment, reach)
        rows, answered = answer.rows, moment
        if len(rows):
            if not source.sure(rows, moment):
                rows = await _with_the_earlier(source, rows, moment)
            following = answered = source.after(int(rows[-1, 0]))
        elif answer.beyond:  # what was not looked at is not answered
            following = max(reach, min(end, answer.beyond))
        elif answer.nothing:
            following = answered = reach
        else:
            following = answered = await source.later(moment, reach, end)
            if following == moment and doubted != moment:  # rows that daily ones say are there
                doubted = moment
                continue
            following = answered = max(following, reach)
        yield Page(rows, (moment, answered))
        moment = following


async def surely(source: RowSource, start: int, end: int) -> Reply:
    """Return an answer; nothing counts as nothing when it was said several times."""
    for _ in range(ASKED_TWICE):
        answer = await source.ask(start, end)
        if len(answer.rows) or answer.nothing:
            break
    return answer


async def _with_the_earlier(source: RowSource, rows: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    """Return the rows with those before them, as an answer may hold only the newest rows of its window."""
    found, open_parts = [rows], [(start, int(rows[0, 0]))]
    while open_parts:
        low, high = open_parts.pop()
        part = (await surely(source, low, high)).rows
        if len(part) == 0:
            continue
        found.append(part)
        if not source.sure(part, low):
            open_parts.append((low, int(part[0, 0])))
        after = source.after(int(part[-1, 0]))
        if after < high and source.step > 1:
            open_parts.append((after, high))
    joined = np.concatenate(found)
    return joined[np.argsort(joined[:, 0], kind="stable")]
