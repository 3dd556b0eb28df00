"""Honesty: the sentences that a subscriber must know before any figure of a channel's history."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from backtest.report import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.channel.message import History
    from backtest.channel.reading import Read

__all__ = ["sentences"]


def sentences(history: History, found: Sequence[Read]) -> list[str]:
    """Return what the history says of itself, the worst first.

    Parameters
    ----------
    history
        As exported.
    found
        What became of each of its messages.
    """
    creates = [one for one in found if one.kind == "create"]
    told = [*_gaps(history), *_edits(found), *_passed(creates), *_unread(found), *_unchecked(creates)]
    return [*told, *_decided(found)]


def _gaps(history: History) -> list[str]:
    """Say which ids are missing between the first and the last."""
    numbers = history.numbers
    if len(numbers) < 2:
        why = "their ids do not count them" if history.source != "CSV" else "a CSV does not say"
        return [f"Whether messages were deleted cannot be seen: {why}."] if history.messages else []
    steps = [b - a - 1 for a, b in itertools.pairwise(numbers)]
    missing = sum(steps)
    if not missing:
        return []
    gaps = sum(step > 0 for step in steps)
    share = missing / (numbers[-1] - numbers[0] + 1)
    is_one = missing == 1
    said = (
        f"{text.plural(missing, 'message')} ({text.percent(share, digits=1)}) between the first and the last "
        f"{'is' if is_one else 'are'} not there, in {text.plural(gaps, 'gap')}: deleted, and nobody can say what "
        f"{'it was' if is_one else 'they were'}."
    )
    return [said]


def _edits(found: Sequence[Read]) -> list[str]:
    """Say what was edited too late to count, and what counts from its edit on."""
    late = [one for one in found if "late edit" in one.marks]
    told = []
    if late:
        longest = max((one.message.edited or one.message.time) - one.message.time for one in late)
        signals, were = text.plural(len(late), "signal or update"), "was" if len(late) == 1 else "were"
        told.append(
            f"{signals.replace('signal or updates', 'signals or updates')} {were} edited up to {text.duration(longest)} after "
            f"{'it was' if len(late) == 1 else 'they were'} sent, and {were} not counted: what stood there before is not known."
        )
    soon = sum("edited" in one.marks for one in found)
    if soon:
        told.append(
            f"{text.plural(soon, 'message')} edited soon after {'counts' if soon == 1 else 'count'} from the edit on."
        )
    return told


def _passed(creates: Sequence[Read]) -> list[str]:
    """Say how many signals came after their entry."""
    passed = sum("passed" in one.marks for one in creates)
    if not passed:
        return []
    said = (
        f"{passed:,} of {text.plural(len(creates), 'signal')} came after {'its' if passed == 1 else 'their'} entry had been "
        "passed: the market had traded there in the 24 h before, and stood beyond it towards the target when the message came."
    )
    return [said]


def _unread(found: Sequence[Read]) -> list[str]:
    """Say what could not be read, and what of it was about signals that count."""
    unread = [one for one in found if one.kind == "unreadable"]
    if not unread:
        return []
    living = {one.message.id for one in found if one.kind == "create"}
    about = len({one.about for one in unread if one.about in living})
    more = (
        f" {text.plural(about, 'signal')} that count{'s' if about == 1 else ''} had such an answer: the provider may have ended or changed {'it' if about == 1 else 'them'}."
        if about
        else ""
    )
    return [
        f"{text.plural(len(unread), 'message')} could not be read and {'is' if len(unread) == 1 else 'are'} left out (review.csv says why).{more}"
    ]


def _unchecked(creates: Sequence[Read]) -> list[str]:
    unchecked = sum("unchecked" in one.marks for one in creates)
    if not unchecked:
        return []
    return [f"The prices of {text.plural(unchecked, 'signal')} were held against no candles."]


def _decided(found: Sequence[Read]) -> list[str]:
    decided = [one for one in found if "decided" in one.marks]
    if not decided:
        return []
    dropped = sum(one.kind == "dropped" for one in decided)
    left = f", {dropped:,} of them to leave out" if dropped else ""
    return [f"A person decided about {text.plural(len(decided), 'message')}{left}: ask for the reasons."]
