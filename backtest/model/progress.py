"""Progress: long work says how far it is, on a terminal and in a notebook; elsewhere it says nothing."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

__all__ = ["Progress", "progress", "tracked"]

_AFTER = 0.5
"""Seconds before a bar appears: what is done by then needs none."""

_EVERY = 0.1
"""Seconds between two looks at it."""

_SHOWN: list[Progress] = []
"""The bar that is shown, at most one."""


class Progress:
    """How far a piece of work is.

    A bar appears once the work has taken half a second, and is gone when it ends: on standard error where that is a
    terminal, as the cell's own where a notebook runs it. Everywhere else nothing is written, nor inside of work that shows
    a bar already, nor where ``BACKTEST_PROGRESS`` is ``off``.

    Parameters
    ----------
    what
        Of the work, in one or two words.
    total
        How many steps it has.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, max(int(total), 0), 0
        self._begun = self._seen = time.monotonic()
        self._bar: Any = None
        self._kind = _kind() if self.total > 1 else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            _SHOWN.remove(self)

    @property
    def is_shown(self) -> bool:
        """Whether there is somebody to see it."""
        return bool(self._kind)

    def advance(self, steps: int = 1) -> None:
        """Say that so many more steps are done."""
        self.at(self.done + steps)

    def at(self, done: int) -> None:
        """Say how many steps are done."""
        self.done = done
        if not self._kind:
            return
        now = time.monotonic()
        if now - self._begun < _AFTER or (now - self._seen < _EVERY and done < self.total):
            return
        self._seen = now
        if self._bar is None:
            if _SHOWN:
                return
            _SHOWN.append(self)
            self._bar = _Notebook(self) if self._kind == "notebook" else _Terminal(self)
        self._bar.show()

    @property
    def told(self) -> str:
        """Steps, speed and the time left, as text."""
        spent = max(time.monotonic() - self._begun, 1e-9)
        speed = self.done / spent
        left = (self.total - self.done) / speed if speed > 0.0 else 0.0
        return f"{self.done:,} of {self.total:,}, {speed:,.0f} a second, {_clock(left)} left"


def progress(what: str, total: int) -> Progress:
    """Return how far a piece of work is, to be used in a ``with`` statement.

    Parameters
    ----------
    what
        Of the work, in one or two words.
    total
        How many steps it has.

    Examples
    --------
    >>> with progress("markets", 3) as bar:
    ...     for _ in range(3):
    ...         bar.advance()
    >>> bar.done
    3
    """
    return Progress(what, total)


def tracked(what: str, things: Iterable[Any], total: int) -> Iterator[Any]:
    """Yield things one after the other, and say how far that is.

    Parameters
    ----------
    what
        Of the work, in one or two words.
    things
        Each of which is a step.
    total
        How many there are.
    """
    with Progress(what, total) as bar:
        for one in things:
            yield one
            bar.advance()


def _kind() -> str:
    """Return where there is somebody to see it: ``"terminal"``, ``"notebook"`` or nowhere."""
    if multiprocessing.parent_process() is not None or os.environ.get("BACKTEST_PROGRESS") == "off":
        return ""  # a worker: whoever started it tells
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    if running is not None and hasattr(running, "kernel"):
        return "notebook"
    with contextlib.suppress(AttributeError, ValueError):  # no standard error, or a closed one
        return "terminal" if sys.stderr.isatty() else ""
    return ""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class _Terminal:
    """A bar of rich on standard error, gone at the end."""

    def __init__(self, of: Progress) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
        self._of = of
        self._bars = Bars(*columns, console=Console(file=sys.stderr), transient=True, auto_refresh=False)
        self._bars.start()
        self._task = self._bars.add_task(of.what, total=of.total, told="")

    def show(self) -> None:
        self._bars.update(self._task, completed=self._of.done, told=self._of.told, refresh=True)

    def close(self) -> None:
        self._bars.stop()


class _Notebook:
    """A bar in the output of the cell, gone at the end."""

    def __init__(self, of: Progress) -> None:
        from IPython import display

        shown: Any = display
        self._of, self._html = of, shown.HTML
        self._handle = shown.display(shown.HTML(""), display_id=True)

    def show(self) -> None:
        import html

        of = self._of
        bar = f'<progress value="{of.done}" max="{of.total}" style="width:20em"></progress>'
        self._handle.update(self._html(f"<div>{html.escape(of.what)} {bar} {html.escape(of.told)}</div>"))

    def close(self) -> None:
        self._handle.update(self._html(""))
