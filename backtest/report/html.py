"""Html: elements that escape whatever they hold, so that no name or note of a user can become markup."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Html", "details", "join", "table", "tag"]

_VOID = {"img", "link", "meta", "wbr"}


class Html(str):
    """Text that is markup already; every other text is escaped where it is put into an element."""

    __slots__ = ()


def join(parts: Iterable[Html | str]) -> Html:
    """Return the parts one after the other, each escaped unless it is markup."""
    return Html("".join(part if isinstance(part, Html) else html.escape(part) for part in parts))


def tag(name: str, /, *children: Html | str, **attributes: str | None) -> Html:
    """Return an element.

    Parameters
    ----------
    name
        Of the element; ours, never a user's.
    children
        Markup, or texts that are escaped.
    attributes
        By name, a trailing underscore dropped (``class_``), others turned to hyphens; None leaves one out. Values are
        escaped.
    """
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    opening = name + "".join(f' {key}="{html.escape(value)}"' for key, value in pairs)
    return Html(f"<{opening}>") if name in _VOID else Html(f"<{opening}>{join(children)}</{name}>")


def table(head: Iterable[Html | str], rows: Iterable[Iterable[Html | str]], *, right: Iterable[int] = ()) -> Html:
    """Return a table that scrolls in its own box; the columns numbered in ``right`` hold figures, no head is none.

    Parameters
    ----------
    head
        Titles of the columns; empty for a table without.
    rows
        The cells of each row.
    right
        Positions of the columns that are figures, set to the right.
    """
    figures, head = set(right), list(head)

    def cells(kind: str, row: Iterable[Html | str]) -> Html:
        return join(tag(kind, cell, class_="n" if i in figures else None) for i, cell in enumerate(row))

    body = (tag("tr", cells("td", row)) for row in rows)
    top = tag("thead", tag("tr", cells("th", head))) if head else Html("")
    return tag("div", tag("table", top, tag("tbody", *body)), class_="scroll")


def details(summary: Html | str, *children: Html | str, **attributes: str | None) -> Html:
    """Return a part that opens when asked."""
    return tag("details", tag("summary", summary), *children, **attributes)
