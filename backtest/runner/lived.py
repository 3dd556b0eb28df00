"""Lived: an emission as its journal tells it: what was seen, from where on, what was decided and what became of it."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.history import MarketHistory
from backtest.model.calls import CreateSignal
from backtest.runner.decision import Decision, Refusal
from backtest.runner.shadow import CallKey, Fate, Settled
from backtest.wire import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from backtest.model.calls import Call
    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.shadow import Known

    Made = Decision | Refusal

__all__ = ["Followed", "Lived", "keyed"]


@dataclass(frozen=True)
class Followed:
    """One market of an emission.

    Attributes
    ----------
    candles
        All that were acted on, history included; missing ones are not among them.
    start
        Open time of the first candle on which the account trades, UTC ms; what opened before is history.
    anchors
        From the decisions after which close on (UTC ms), and the open time of the first candle that indicators see then;
        in order, at least one.
    rules
        Behind which close (UTC ms), and the rules of the market from then on; in order, at least one.
    """

    candles: Candles
    start: int
    anchors: Sequence[tuple[int, int]]
    rules: Sequence[tuple[int, Market]]

    @property
    def market(self) -> Market:
        """The rules that it began with."""
        return self.rules[0][1]

    @property
    def traded(self) -> Candles:
        """The candles on which the account trades."""
        return self.candles.between(self.start)

    @property
    def window(self) -> Candles:
        """The candles that indicators see at the next close."""
        return self.candles.between(self.anchors[-1][1])


@dataclass(frozen=True)
class Lived:
    """What one strategy lived through on its markets.

    Attributes
    ----------
    markets
        By symbol, in the engine's order.
    closes
        (n,) int64: the instants that were decided on, UTC ms, those of missing candles too.
    made
        All calls that were decided on, and what the desk refused, in order.
    settled
        What was told of the calls, in order.
    asked
        Calls that a person asked for.
    decided_before
        Up to this close other code decided, which is not asked again: ``made`` stands for it. UTC ms, 0 for never.
    profile
        The subscriber for whom it was judged; None where that is not known.
    """

    markets: Mapping[str, Followed]
    closes: NDArray[np.int64]
    made: Sequence[Made] = ()
    settled: Sequence[Settled] = ()
    asked: Mapping[CallKey, Call] = field(default_factory=dict)
    decided_before: int = 0
    profile: SubscriberProfile | None = None

    def histories(self) -> list[MarketHistory]:
        """Return each market with the candles on which the account trades, and the rules that it began with."""
        return [MarketHistory(one.market, one.traded) for one in self.markets.values()]

    def changes(self) -> list[tuple[int, str, Market]]:
        """Return the close behind which the rules of a market changed, its symbol and the new rules, in order."""
        found = [(at, symbol, market) for symbol, one in self.markets.items() for at, market in one.rules[1:]]
        return sorted(found, key=lambda change: change[:2])

    def on(self, candles: Mapping[str, Candles], markets: Mapping[str, Market] | None = None) -> Lived:
        """Return the same on other candles (of a store), and with other rules where they are given.

        Parameters
        ----------
        candles
            By symbol; instants that were decided on count still, and further ones do too.
        markets
            By symbol.
        """
        changed = {
            symbol: replace(
                one,
                candles=candles.get(symbol, one.candles),
                rules=one.rules if not markets or symbol not in markets else [(0, markets[symbol])],
            )
            for symbol, one in self.markets.items()
        }
        later = [one.traded.close_time for one in changed.values()]
        return replace(self, markets=changed, closes=np.unique(np.concatenate([self.closes, *later])))

    def given(self, symbol: str, close: int) -> list[Made] | None:
        """Return what other code had decided about a market at a close; None where the code is to be asked."""
        if close > self.decided_before:
            return None
        return self._made.get((symbol, close), [])

    @cached_property
    def _made(self) -> dict[tuple[str, int], list[Made]]:
        found: dict[tuple[str, int], list[Made]] = {}
        for one in self.made:
            found.setdefault((one.signal.rpartition("-")[0].rpartition("-")[0], one.at), []).append(one)
        return found

    @cached_property
    def _told(self) -> dict[CallKey, list[Settled]]:
        found: dict[CallKey, list[Settled]] = {key: [] for key, _ in keyed(self.made)}
        for one in self.settled:
            found.setdefault(one.key, []).append(one)
        return found

    def known(self, at: int) -> AbstractContextManager[Known]:
        """Say what had been told of the calls up to the close ``at``, which changes no more."""
        return nullcontext(_Told(self._told, self._asked.get(at, ()), at))

    @cached_property
    def _asked(self) -> dict[int, list[tuple[CallKey, Call]]]:
        found: dict[int, list[tuple[CallKey, Call]]] = {}
        for one in self.settled:
            if one.key in self.asked and one.outcome == "entered":
                found.setdefault(one.at, []).append((one.key, self.asked[one.key]))
        return found


@dataclass(frozen=True, slots=True)
class _Told:
    """What had been told up to a close: of each call, in order, and which calls of a person entered there."""

    told: Mapping[CallKey, Sequence[Settled]]
    entered: Sequence[tuple[CallKey, Call]]
    at: int

    def fate(self, key: CallKey) -> Fate | None:
        """Return what was told of a call; of one that was never planned, that it is there."""
        if key not in self.told:
            return Fate(entered=True)
        told = [one for one in self.told[key] if one.at <= self.at]
        if not told:
            return None
        later = len(told) < len(self.told[key])
        return Fate(told[-1].outcome == "entered", certain=not later, reason=told[-1].reason)

    def asked(self) -> Sequence[tuple[CallKey, Call]]:
        """Return the calls that a person asked for and that entered there."""
        return self.entered


def keyed(made: Sequence[Made]) -> Iterator[tuple[CallKey, Decision]]:
    """Yield the calls that were sent, each with its name: numbered among those of its close, kind and signal.

    Parameters
    ----------
    made
        In order.
    """
    numbers: Counter[tuple[int, str, str]] = Counter()
    for one in made:
        if isinstance(one, Decision):
            call, kind = one.call, kind_of(one.call)
            ref = call.ref if isinstance(call, CreateSignal) else call.signal
            yield CallKey(one.at, kind, ref, numbers[one.at, kind, ref]), one
            numbers[one.at, kind, ref] += 1
