"""Sentences: why the desk refused calls (L3.8), by the numbers that stand in the records."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from backtest.engine.codes import REASONS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Sentences"]


_OWN = tuple(reason.value for reason in REASONS)


class Sentences:
    """Why the desk refused calls, by numbers that begin behind those of the engine's own reasons.

    Those of a table are worded when one asks: it may have a hundred thousand rows.
    """

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[tuple[int, Callable[[int], str]]] = []

    def add(self, sentence: str) -> int:
        """Keep a sentence; return its number."""
        number = self.count
        self.add_many(lambda _: sentence, 1)
        return len(REASONS) + number

    def add_many(self, sentences: Callable[[int], str] | None, count: int) -> None:
        """Keep sentences by their positions.

        Parameters
        ----------
        sentences
            The sentence at a position; None: there are none.
        count
            Positions that it knows.
        """
        if sentences is not None:
            self._parts.append((self.count, sentences))
            self.count += count

    def at(self, code: int) -> str:
        """Return the sentence of a reason in a record: the engine's own, or one of the desk."""
        if code < len(REASONS):
            return _OWN[code]
        place = code - len(REASONS)
        first, sentences = self._parts[bisect_right(self._parts, place, key=lambda part: part[0]) - 1]
        return sentences(place - first)
