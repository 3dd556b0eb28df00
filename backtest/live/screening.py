"""Screening: what lint says of a strategy's signals, heard before the first of them is sent or kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.errors import InvalidSignalError
from backtest.runner.linting import lint_decisions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backtest.engine.feed import Feed
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.session import Decision

__all__ = ["screen"]


def screen(
    decisions: Sequence[Decision], feeds: Sequence[Feed], profile: SubscriberProfile, warn: Callable[[str], object]
) -> None:
    """Tell of signals that may not be meant; refuse the whole emission for one that cannot do what it says.

    Leaving out single signals would be another strategy than the one that was tested, so nothing is left out.

    Parameters
    ----------
    decisions
        The calls of a backtest over the very candles.
    warn
        Hears one sentence for each kind of finding.

    Raises
    ------
    InvalidSignalError
        Naming the first signal that lint refuses.
    """
    found = lint_decisions(decisions, feeds, profile)
    for one in found:
        if one.finding.severity == "refuse":
            raise InvalidSignalError(
                f"{one.sentence}; nothing was sent: mend the strategy, or choose another profile", one.finding.field
            )
    for one in found:
        warn(f"{one.sentence} ({one.finding.code})")
