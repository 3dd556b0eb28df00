"""Board: the page in pieces, drawn anew once a second while somebody looks, and what of it changed since when."""

from __future__ import annotations

import secrets
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from backtest.live.alerts import WANTS
from backtest.live.dashboard.words import FILTERS

if TYPE_CHECKING:
    from backtest.live.dashboard.detail import Detail
    from backtest.live.dashboard.reading import Reading
    from backtest.live.dashboard.view import SignalLine, View

__all__ = ["PARTS", "Board", "drawn"]

PARTS = ("top", "urgent", "tiles", "count", "calls", "series", "strategies", "notices", "operate")
"""Pieces of the page, each a template and an element of its name."""

_SECONDS = 0.9
_ROWS = 5_000

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(FILTERS)
_ENVIRONMENT.globals["wants"] = {kind.value: text for kind, text in WANTS.items()}


def drawn(template: str, **values: Any) -> str:
    """Return a template filled; every text in it is escaped.

    Parameters
    ----------
    template
        Its name, without ``.html``.
    values
        What it shows.
    """
    return _ENVIRONMENT.get_template(f"{template}.html").render(**values)


@lru_cache(maxsize=_ROWS)
def _row(line: SignalLine) -> str:
    return drawn("row", line=line).strip()


class Board:
    """Draws the view, keeps the pieces, and counts versions; any thread may ask.

    Parameters
    ----------
    reading
        Of the journal.
    made
        Whether the token was made by this process: its owner finds it in the terminal.
    """

    def __init__(self, reading: Reading, *, made: bool) -> None:
        self.reading, self._made = reading, made
        self.epoch = secrets.token_hex(4)
        self.said: list[str] = []
        """What became of what a person asked for, the newest first."""
        self._lock = threading.Lock()
        self._parts: dict[str, tuple[int, str]] = {}
        self._rows: dict[str, tuple[int, str]] = {}
        self._order: tuple[int, list[str]] = (0, [])
        self._version, self._drawn = 0, -float("inf")
        self._view: View | None = None

    def say(self, sentence: str) -> None:
        """Show what became of what a person asked for."""
        with self._lock:
            self.said.insert(0, sentence)
            del self.said[5:]
            self._drawn = -float("inf")

    def version(self) -> int:
        """Draw anew where that is due, and return the version."""
        with self._lock:
            if time.monotonic() - self._drawn >= _SECONDS:
                self._draw()
                self._drawn = time.monotonic()
            return self._version

    def since(self, version: int) -> dict[str, Any]:
        """Return the pieces that changed after a version, 0 for all: markup by name, and the order of rows where it changed."""
        with self._lock:
            found: dict[str, Any] = {
                "version": f"{self.epoch}-{self._version}",
                "set": {name: text for name, (at, text) in self._parts.items() if at > version},
                "rows": {key: text for key, (at, text) in self._rows.items() if at > version},
            }
            if self._order[0] > version:
                found["order"] = self._order[1]
            return found

    def page(self, chosen: Detail | None) -> str:
        """Return the whole page, with the detail of a signal."""
        version = self.version()
        with self._lock:
            parts = {name: text for name, (_, text) in self._parts.items()}
            rows = [self._rows[key][1] for key in self._order[1]]
            trouble = self._view.trouble if self._view is not None else ""
        shown = "" if chosen is None else drawn("detail", detail=chosen)
        name = f"{self.epoch}-{version}"
        journal = self.reading.path.name
        return drawn("page", parts=parts, rows=rows, detail=shown, version=name, journal=journal, trouble=trouble)

    def _draw(self) -> None:
        view = self.reading.view()
        parts = {name: drawn(name, view=view, said=list(self.said), made=self._made).strip() for name in PARTS}
        rows = {line.key: _row(line) for line in view.signals}
        order = [line.key for line in view.signals]
        following = self._version + 1
        fresh_parts, fresh_rows = _changed(self._parts, parts, following), _changed(self._rows, rows, following)
        changed = any(at == following for at, _ in (*fresh_parts.values(), *fresh_rows.values()))
        if order != self._order[1]:
            self._order, changed = (following, order), True
        self._parts, self._rows, self._view = fresh_parts, fresh_rows, view
        if changed:
            self._version = following


def _changed(before: dict[str, tuple[int, str]], now: dict[str, str], version: int) -> dict[str, tuple[int, str]]:
    """Return the pieces, each with the version at which it became what it is."""
    kept = {}
    for name, text in now.items():
        known = before.get(name)
        kept[name] = known if known is not None and known[1] == text else (version, text)
    return kept
