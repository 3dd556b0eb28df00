"""CallLog: a provider's real history in the place of a strategy, evaluated with the same result."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.model.assumptions import VenueAssumptions
from backtest.model.calls import CreateSignal
from backtest.model.profile import SubscriberProfile
from backtest.runner.call_log import read_call_log
from backtest.runner.execute import Execution, Prepared
from backtest.runner.result import Result
from backtest.runner.run import feeds_of
from backtest.runner.scenario import LoggedCall, check_markets, check_refs, walk_log
from backtest.runner.session import Decision
from backtest.wire import body_of, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from backtest.engine.feed import Feed
    from backtest.model.candles import Candles
    from backtest.model.events import SignalRef
    from backtest.model.market import Market

__all__ = ["CallLog", "replay_calls"]


@dataclass(frozen=True)
class CallLog:
    """A recorded history in the place of a strategy: it has an identity, and decides nothing.

    Attributes
    ----------
    calls
        Checked, in the order of the file.
    name
        What a report calls it, such as the file's name.
    """

    calls: tuple[LoggedCall, ...]
    name: str = "call log"

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the calls, their instants and refs; the name is no part of it."""
        rows = [[logged.at, _ref(logged), kind_of(logged.call), _body(logged)] for logged in self.calls]
        text = json.dumps(rows, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def record(self) -> dict[str, Any]:
        """What a result keeps of it, with the keys of a strategy."""
        creates = sum(isinstance(logged.call, CreateSignal) for logged in self.calls)
        return {
            "name": self.name,
            "identity": self.identity,
            "source_hash": "",
            "parameters": {"calls": len(self.calls), "signals": creates},
            "doc": "Calls that were really sent, replayed over candles.",
        }

    def warnings(self, feeds: Sequence[Feed]) -> list[str]:
        """Return what a reader must know about calls that lie outside the candles."""
        spans = {(feed.market.coin, feed.market.trade_market): _opens(feed) for feed in feeds}
        creates = (logged.call for logged in self.calls)
        address = {
            create.ref: (create.coin, create.trade_market) for create in creates if isinstance(create, CreateSignal)
        }
        early = late = 0
        for logged in self.calls:
            first, last = spans[address[_ref(logged)]]
            early += logged.at < first
            late += logged.at > last
        found = []
        if early:
            were = "call of the log was" if early == 1 else "calls of the log were"
            found.append(f"{early} {were} sent before the first candle and acted on it, late.")
        if late:
            were = "call of the log was" if late == 1 else "calls of the log were"
            found.append(f"{late} {were} sent after the last candle had opened, and never acted.")
        return found


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
        log = CallLog(read_call_log(calls), Path(calls).name)
    else:
        log = CallLog(tuple(calls))
        check_refs(log.calls)
    feeds = feeds_of(candles, market, detail, funding)
    check_markets(log.calls, feeds)
    profile, assumptions = profile or SubscriberProfile.anny(), assumptions or VenueAssumptions()
    prepared = [Prepared(feed, {}, None, None, np.empty(0, np.int64)) for feed in feeds]
    return Result(log, prepared, profile, assumptions, execute_log(log, prepared, profile, assumptions), execute_log)


def execute_log(
    log: CallLog, prepared: Sequence[Prepared], profile: SubscriberProfile, assumptions: VenueAssumptions
) -> Execution:
    """Walk a log once in the profile's mode, as :func:`backtest.runner.execute.execute` walks a strategy."""
    venue = walk_log([part.feed for part in prepared], log.calls, profile, assumptions)
    decided = sorted((Decision(logged.at, logged.call) for logged in log.calls), key=lambda decision: decision.at)
    return Execution(venue, prepared, [], decided)


def _opens(feed: Feed) -> tuple[int, int]:
    """Return the opens of the first and the last candle that are walked."""
    last = max(int(one.time[-1]) for one in (feed.candles, feed.detail) if one is not None and len(one))
    return int(feed.candles.time[0]), last


def _ref(logged: LoggedCall) -> SignalRef:
    call = logged.call
    return call.ref if isinstance(call, CreateSignal) else call.signal


def _body(logged: LoggedCall) -> dict[str, Any]:
    call = logged.call
    body = body_of(call, None if isinstance(call, CreateSignal) else call.signal)
    return {**body, "allow_marketable": True} if getattr(call, "allow_marketable", False) else body
