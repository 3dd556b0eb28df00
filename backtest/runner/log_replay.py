"""Log replay: a provider's real history over candles, with the same result as a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.simulator import SimulatedVenue
from backtest.model.assumptions import VenueAssumptions
from backtest.model.posted import Posted
from backtest.model.profile import SubscriberProfile
from backtest.runner.call_log import CallLog, check_log, read_call_log
from backtest.runner.decision import Decision
from backtest.runner.desk import Desk
from backtest.runner.execute import Execution, Prepared
from backtest.runner.finished import Finished
from backtest.runner.result import Result
from backtest.runner.run import histories_of
from backtest.runner.scenario import check_markets, check_unit, placed_creates, placed_logged, walk_log
from backtest.strategy import Strategy
from backtest.strategy.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.runner.scenario import LoggedCall

__all__ = ["replay_calls"]


def replay_calls(
    calls: Sequence[LoggedCall] | str | os.PathLike[str],
    candles: Candles | Mapping[str, Candles],
    *,
    market: Market | Mapping[str, Market] | None = None,
    profile: SubscriberProfile | None = None,
    assumptions: VenueAssumptions | None = None,
    detail: Candles | Mapping[str, Candles] | None = None,
    funding: ArrayLike | Mapping[str, ArrayLike] | None = None,
) -> Result:
    """Replay a provider's real history over candles and return the same result as :func:`backtest.run`.

    Parameters
    ----------
    calls
        A CSV file (see :func:`read_call_log`), or what was read from one. ``at`` is when a call was sent; the profile's
        ``latency_ms`` comes on top (L1.2).
    candles, market, profile, assumptions, detail, funding
        As for :func:`backtest.run`. A signal belongs to the market that has its coin and trade market.

    Raises
    ------
    InvalidSignalError
        Naming the call, for a signal of a market without candles, or a broken log.
    """
    if isinstance(calls, str | os.PathLike):
        log = CallLog(read_call_log(calls), Path(calls).name, Posted.beside(Path(calls)))
    else:
        log = CallLog(tuple(calls))
        check_log(log.calls)
    histories = histories_of(candles, market, detail, funding)
    check_markets(log.calls, histories)
    check_unit(log.calls, histories)
    profile, assumptions = profile or SubscriberProfile.anny(), assumptions or VenueAssumptions()
    prepared = [Prepared(history, {}, None, None, np.empty(0, np.int64)) for history in histories]
    execution = execute_log(log, prepared, profile, assumptions)
    return Result(Finished(log, prepared, profile, assumptions, execution, execute_log))


def execute_log(
    log: CallLog, prepared: Sequence[Prepared], profile: SubscriberProfile, assumptions: VenueAssumptions
) -> Execution:
    """Walk a log once in the profile's mode, as :func:`backtest.runner.execute.execute` walks a strategy.

    Parameters
    ----------
    log
        The calls.
    prepared
        One a market; only its candles count.
    profile, assumptions
        On which the signals are executed.
    """
    if log.plan is not None:
        return _with_plan(log, prepared, profile, assumptions)
    venue = walk_log([part.history for part in prepared], log.calls, profile, assumptions)
    decided = sorted((Decision(logged.at, logged.call) for logged in log.calls), key=lambda decision: decision.at)
    return Execution(venue, prepared, [], [*decided])


class _Channel(Strategy):
    """A channel's plan for all its signals; what it posted is in the log."""

    plan: Plan


def _with_plan(
    log: CallLog, prepared: Sequence[Prepared], profile: SubscriberProfile, assumptions: VenueAssumptions
) -> Execution:
    """Walk a log close by close, and add at each what the channel's plan wants, as a strategy's desk would.

    A call of the log that was sent while a candle was walked is sent after what the plan wanted at the close before.
    """
    venue = SimulatedVenue([part.history for part in prepared], profile, assumptions, want_events=True)
    markets = {(part.history.market.coin, part.history.market.trade_market): part.history.market for part in prepared}
    creates = placed_creates(log.calls, markets)
    for create in creates.values():
        venue.announce(create)
    carrier = _Channel(plan=log.plan)
    desks = [Desk(carrier, part.history.candles, part.history.market, venue) for part in prepared]
    logged = sorted(log.calls, key=lambda one: one.at)
    run = Execution(venue, prepared, desks, [])
    closes = [part.history.candles.close_time for part in prepared]
    sent = 0
    for instant in np.unique(np.concatenate(closes)).tolist():
        while sent < len(logged) and logged[sent].at < instant:
            call = placed_logged(logged[sent].call, creates, markets)
            venue.send(call, logged[sent].at)
            run.made.append(Decision(logged[sent].at, call))
            sent += 1
        reached = venue.advance(instant)
        while reached < instant and (further := venue.advance(instant)) > reached:
            reached = further
        events = venue.new_events()
        for q, desk in enumerate(desks):
            desk.forget()
            position = int(np.searchsorted(closes[q], instant))
            if position >= len(closes[q]) or closes[q][position] != instant:
                continue
            made = desk.decide(position, [one for one in events if one.symbol == desk.symbol], asked=False)
            desk.send(made)
            run.made.extend(made)
    for one in logged[sent:]:
        run.made.append(Decision(one.at, placed_logged(one.call, creates, markets)))
    return run
