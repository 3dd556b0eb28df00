"""However a source pages, short, newest first or from its first row on, the loop brings every row once."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.market_data.pages import Reply, pages

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEP = 10


@dataclass
class Rows:
    """A source over known times; it answers with at most ``cap`` rows of a window."""

    times: list[int]
    cap: int
    jumps: bool
    newest: bool
    step: int = STEP
    window: int = 20 * STEP
    asked: int = field(default=0)

    async def ask(self, start: int, end: int) -> Reply:
        self.asked += 1
        reach = end if self.jumps else min(end, start + self.window)
        found = [t for t in self.times if start <= t < reach]
        newest = self.newest and end - start <= self.window  # a start alone is answered from the start on
        found = found[-self.cap :] if newest else found[: self.cap]
        return Reply(np.array([[t, 1.0] for t in found]).reshape(-1, 2))

    async def later(self, moment: int, reach: int, end: int) -> int:
        return end if self.jumps else reach

    def after(self, moment: int) -> int:
        return moment + self.step

    def sure(self, rows: NDArray[np.float64], start: int) -> bool:
        return bool(rows[0, 0] < start + self.step)


@given(
    st.sets(st.integers(0, 150)),
    st.integers(1, 25),
    st.booleans(),
    st.booleans(),
    st.integers(0, 90),
    st.integers(1, 90),
)
@settings(max_examples=300, deadline=None)
def test_every_row_comes_once_and_every_moment_is_answered(
    known: set[int], cap: int, jumps: bool, newest: bool, first: int, length: int
) -> None:
    start, end = first * STEP, (first + length) * STEP
    source = Rows(sorted(n * STEP for n in known), cap, jumps, newest)

    async def all_pages() -> tuple[list[int], list[tuple[int, int]]]:
        found = [page async for page in pages(source, start, end)]
        return [int(t) for page in found for t in page.rows[:, 0]], [page.answered for page in found]

    times, answered = asyncio.run(all_pages())
    assert times == [t for t in source.times if start <= t < end]
    assert answered[0][0] == start
    assert answered[-1][1] >= end
    assert all(a[1] == b[0] for a, b in itertools.pairwise(answered))
