"""A page of sections alone, in the style of the report: for what is not one result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.report.chart import scripts, sheet
from backtest.report.chart.packing import pack_plain
from backtest.report.page.whole import asset, environment
from backtest.report.policy import policy_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.report.page.section import Section
    from backtest.report.page.verdict import Fact

__all__ = ["sections_html"]

_LONG = 60


def sections_html(
    title: str,
    subject: str,
    sections: Sequence[Section],
    *,
    sentences: Sequence[str] = (),
    grave: Sequence[str] = (),
    facts: Sequence[Fact] = (),
) -> str:
    """Return one self-contained page that asks the network for nothing.

    Parameters
    ----------
    title, subject
        What it is about, and a line under it.
    sections
        Its parts, in order.
    sentences, grave
        Said at the top; the grave ones first and in red.
    facts
        A strip of figures under them.
    """
    made = [one for one in sections if one.made]
    style, code = asset("page.css") + sheet(), [*scripts(), asset("page.js")]
    return environment().get_template("sections.html").render(
        title=title,
        subject=subject,
        sections=made,
        sentences=sentences,
        grave=grave,
        facts=facts,
        data=pack_plain({"tables": [table.to_dict() for one in made for table in one.made], "signals": {}, "rules": {}}),
        style=style,
        scripts=code,
        policy=policy_of(style, code),
        long=_LONG,
    )  # fmt: skip
