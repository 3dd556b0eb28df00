"""Collector: Python's cycle collector, kept away from closes."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Collector"]

_FEW, _MANY = 1_000, 100_000
"""New objects from which on it looks when nothing waits, and when it never comes to that."""


class Collector:
    """Looks for garbage where no call waits for it, as long as the ``with`` lasts, and not wherever it happens to be due.

    What is there at the beginning (the imports, an exchange's markets: up to a million objects) is looked through once
    and then left alone: to look through it again takes longer than to decide on a close.
    """

    def __init__(self) -> None:
        self._was_on = gc.isenabled()

    def __enter__(self) -> Self:
        gc.collect()
        gc.freeze()
        gc.disable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gc.unfreeze()
        if self._was_on:
            gc.enable()

    def rest(self) -> None:
        """Look, because nothing waits at the moment."""
        self._look(_FEW)

    def passed(self) -> None:
        """Look where so much is new that memory would grow: closes may come too often for it ever to rest."""
        self._look(_MANY)

    def _look(self, least: int) -> None:
        if gc.get_count()[0] >= least:
            gc.collect()
