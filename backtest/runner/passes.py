"""Passes: each reading of the candles asks a strategy of its own, and they must agree until something was in doubt."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.model.calls import CreateSignal
from backtest.runner.execute import Execution, Prepared, execute

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.decision import Decision, Refusal
    from backtest.strategy import Strategy

__all__ = ["fresh", "state_sentence", "walk_pass"]

_TOLD = ("time", "signal", "kind", "price", "quantity", "fee", "target")


def fresh(strategy: Strategy) -> Strategy:
    """Return a deep copy of a strategy as it was given, so that a run changes nothing outside itself.

    Raises
    ------
    InvalidSettingError
        For one that holds what cannot be copied, such as an open file.
    """
    strategy.identity  # noqa: B018 - of the parameters as given, kept with the copy whatever it does to them
    try:
        return copy.deepcopy(strategy)
    except Exception as error:
        name = type(strategy).__name__
        raise InvalidSettingError(
            f"{name} cannot be copied ({type(error).__name__}: {error}); each reading of the candles asks a fresh copy of "
            "it, so it may hold parameters only"
        ) from error


def walk_pass(
    strategy: Strategy,
    prepared: Sequence[Prepared],
    profile: SubscriberProfile,
    assumptions: VenueAssumptions,
    *,
    strict: bool = False,
) -> Execution:
    """Run one reading of the candles on a fresh copy of the strategy; the arguments are those of :func:`execute`."""
    return execute(fresh(strategy), prepared, profile, assumptions, strict=strict)


def state_sentence(runs: Mapping[str, Execution]) -> str | None:
    """Return why the passes of a run contradict each other; None where they agree until a candle was in doubt.

    A strategy sees closed candles, indicators, its signals and their events, no more. While these were the same in two
    passes, its calls must have been the same too; where they were not, it remembered something.

    Parameters
    ----------
    runs
        The finished pass of each intrabar mode.
    """
    (mode, first), *others = runs.items()
    if first.from_tables or not first.desks:
        return None
    for other, run in others:
        differing = _first_difference(first.made, run.made)
        if differing is None:
            continue
        one, two = differing
        at = min(made.at for made in differing if made is not None)
        if _same_until(first, run, at):
            name = type(first.desks[0].strategy).__name__
            when = np.datetime64(at, "ms")
            return (
                f"{name} keeps state: at the close of {when}Z, before any candle was ambiguous, it made {_named(one)} in "
                f"mode {mode} and {_named(two)} in mode {other}; no figure of this run can be relied on"
            )
    return None


def _first_difference(
    one: Sequence[Decision | Refusal], two: Sequence[Decision | Refusal]
) -> tuple[Decision | Refusal | None, Decision | Refusal | None] | None:
    """Return the first calls that differ, None for one that was not made; None where all are equal."""
    for mine, other in zip(one, two, strict=False):
        if mine != other:
            return mine, other
    if len(one) == len(two):
        return None
    longer, n = (one, len(two)) if len(one) > len(two) else (two, len(one))
    return (longer[n], None) if longer is one else (None, longer[n])


def _same_until(one: Execution, two: Execution, at: int) -> bool:
    """Whether two passes heard the same of all candles that had closed at an instant."""
    records = []
    for run in (one, two):
        told = run.venue.event_records
        records.append(told[told["time"] < at])
    if len(records[0]) != len(records[1]):
        return False
    return all(np.array_equal(records[0][name], records[1][name], equal_nan=True) for name in _TOLD)


def _named(made: Decision | Refusal | None) -> str:
    if made is None:
        return "no call"
    call: Any = made.call
    return f"{type(call).__name__} {call.ref if isinstance(call, CreateSignal) else call.signal}"
