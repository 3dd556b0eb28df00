"""Sections: the parts of a result's page that are walked anew or taken apart: breakdowns, marketplace and subscribers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backtest.report import text
from backtest.report.page import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from backtest.report.subscribers import Subscribers
    from backtest.report.tables import ResultTables
    from backtest.report.titled import TitledTable
    from backtest.runner.breakdowns import Breakdowns

__all__ = ["sections_of"]

_DRAWN = 20
_FEW_CALLS, _SOME_CALLS = 2_000, 20_000
"""Calls up to which a page walks them for many subscribers, and at several costs: each walk sends all of them again."""

_ROWS = 500
"""Rows of a table on the page; ``backtest breakdowns`` writes all."""


def sections_of(tables: ResultTables, breakdowns: Breakdowns, subscribers: Callable[..., Subscribers]) -> list[Section]:
    """Return the further sections of a result's page.

    Parameters
    ----------
    tables, breakdowns
        Of the result.
    subscribers
        Its ``subscribers``.
    """
    calls = len(tables.calls)
    apart = breakdowns.some(walks=calls <= _SOME_CALLS)
    found = [Section("breakdowns", "Breakdowns", f"All figures are {tables.mode}.", [_short(one) for one in apart])]
    if not calls:
        return found
    title = "Marketplace and subscribers"
    if calls > _FEW_CALLS:
        about = f"{text.plural(calls, 'call')} take too long for a page: backtest subscribers FOLDER walks them."
        return [*found, Section("subscribers", title, about)]
    many = subscribers(drawn=_DRAWN)
    about = " ".join(many.sentences)
    return [*found, Section("subscribers", title, about, [_short(one) for one in many.tables])]


def _short(one: TitledTable) -> TitledTable:
    if len(one.frame) <= _ROWS:
        return one
    return replace(one, frame=one.frame.head(_ROWS), about=one.note(_ROWS))
