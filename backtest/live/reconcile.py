"""Reconcile: what an emission did, held against the backtest, in two comparisons: its candles, and its calls."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError
from backtest.live.code import code_hash
from backtest.live.reconcile_calls import (
    CallFault,
    compare_calls,
    costs_of,
    key_of,
    made_of,
    money_of,
)
from backtest.live.reconcile_candles import CandleFault, Effect, compare_series, corrected
from backtest.live.reconcile_replay import book_of, book_of_intents, ground_of, pnl_of, walk
from backtest.live.reconcile_report import Fill, StrategyReport
from backtest.live.reconcile_words import verdict
from backtest.model.profile import SubscriberProfile
from backtest.runner.frames import fills_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from backtest.engine.simulator import SimulatedVenue
    from backtest.live.reconcile_calls import Made
    from backtest.live.reconcile_candles import CandleDifference, SeriesReport, Stored
    from backtest.live.reconcile_replay import Ground, Rules
    from backtest.live.snapshot import Place, Snapshot
    from backtest.runner.execute import Execution
    from backtest.strategy import Strategy

__all__ = ["Drift", "Judge", "reconcile"]

_MOST_EFFECTS = 25
"""Candles of which each is put in place alone; more are judged together only."""
_NOTHING = 1e-9


@dataclass(frozen=True)
class Judge:
    """A strategy that may have emitted, and the subscriber for whom it is judged; None: the one that the journal knows."""

    strategy: Strategy
    profile: SubscriberProfile | None = None


@dataclass(frozen=True)
class Drift:
    """A journal beside the backtest.

    Attributes
    ----------
    mode, account
        Of the journal.
    until
        The last close that any strategy decided, UTC ms.
    series
        Comparison of the candles.
    strategies
        Comparison of the calls.
    notes
        What could not be looked at, in a sentence each.
    """

    mode: str
    account: str
    until: int
    series: Sequence[SeriesReport]
    strategies: Sequence[StrategyReport]
    notes: Sequence[str] = ()

    @property
    def verdict(self) -> str:
        """All of it in one line for each strategy."""
        return "\n".join(verdict(one, self.series, several=len(self.strategies) > 1) for one in self.strategies)

    @property
    def exit_status(self) -> int:
        """4 while an outcome is unknown, 3 where the code decides otherwise or a call was doubled, else 0."""
        if any(
            line.fault is CallFault.UNKNOWN and "abandoned" not in line.note
            for one in self.strategies
            for line in one.lines
        ):
            return 4
        return 3 if any(one.code_differs for one in self.strategies) else 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "format": 1,
            **{name: getattr(self, name) for name in ("mode", "account", "until", "notes")},
            "verdict": self.verdict.split("\n"),
            "candles": [one.to_dict() for one in self.series],
            "strategies": [one.to_dict() for one in self.strategies],
        }


def reconcile(
    journal: Snapshot,
    judges: Sequence[Judge],
    rules: Rules,
    stored_of: Callable[[Place, int, int], Stored | None],
    profile: SubscriberProfile | None = None,
) -> Drift:
    """Hold a journal against candles of a store, and its calls against the backtest.

    Parameters
    ----------
    journal
        As it stood.
    judges
        The strategies; each is held against the calls of its identity. One that is of no identity of the journal is held
        against the calls of the only one left, where one is left, and the report says so.
    rules
        Returns the rules of a series' market, given those that the journal knows.
    stored_of
        Returns what the store has of a series between two open times, UTC ms, both included; None for no store.
    profile
        Of the subscriber, where no strategy is asked; None: the one that the journal knows, else the vendor's own.

    Raises
    ------
    InvalidSettingError
        For a strategy that belongs to none of the journal's.
    """
    pairs = _paired(journal, judges)
    grounds = {identity: ground_of(journal, identity, rules) for identity in journal.strategies}
    series = _series(journal, grounds, stored_of)
    reports, effects = [], dict[int, dict[str, Effect]]()
    for identity, judge in pairs.items():
        ground = grounds[identity]
        looked = [one for one in series if (one.exchange, one.symbol, one.timeframe) in ground.places.values()]
        judging = _Judging(journal, identity, ground, looked)
        found, changed = judging.report(judge, profile)
        reports.append(found)
        for difference, effect in changed:
            effects.setdefault(id(difference), {})[identity] = effect
    series = [
        replace(one, differences=[replace(each, effects=effects.get(id(each), {})) for each in one.differences])
        for one in series
    ]
    notes = [
        f"{one.symbol} {one.timeframe}: there is no store of {one.exchange or 'its exchange'} to hold its candles against"
        for one in series
        if not one.stored
    ]
    until = max(cursor.time for cursor in journal.cursors)
    return Drift(journal.run.mode, journal.run.account, until, series, reports, notes)


def _paired(journal: Snapshot, judges: Sequence[Judge]) -> dict[str, Judge | None]:
    """Return who is asked about each strategy of the journal."""
    pairs: dict[str, Judge | None] = dict.fromkeys(journal.strategies)
    strangers = []
    for judge in judges:
        if judge.strategy.identity in pairs:
            pairs[judge.strategy.identity] = judge
        else:
            strangers.append(judge)
    left = [identity for identity, judge in pairs.items() if judge is None]
    if len(strangers) > 1 or (strangers and len(left) != 1):
        names = ", ".join(f"{type(one.strategy).__name__} {one.strategy.identity[:12]}" for one in strangers)
        known = ", ".join(identity[:12] for identity in journal.strategies)
        raise InvalidSettingError(
            f"{names} never emitted into this journal, which holds the calls of {known}; give the same file and parameters"
        )
    if strangers:
        pairs[left[0]] = strangers[0]
    return pairs


def _series(
    journal: Snapshot, grounds: Mapping[str, Ground], stored_of: Callable[[Place, int, int], Stored | None]
) -> list[SeriesReport]:
    """Compare each series once, from the first candle on that any strategy's indicators saw."""
    since: dict[Place, int] = {}
    for ground in grounds.values():
        for symbol, place in ground.places.items():
            anchor = ground.lived.markets[symbol].anchors[0][1]
            since[place] = min(since.get(place, anchor), anchor)
    found = []
    for place, first in since.items():
        acted = journal.acted(place, first)
        stored = stored_of(place, first, acted[-1].time) if acted else None
        found.append(compare_series(journal, place, stored, first))
    return found


class _Judging:
    """One strategy of a journal, judged."""

    def __init__(
        self,
        journal: Snapshot,
        identity: str,
        ground: Ground,
        series: Sequence[SeriesReport],
    ) -> None:
        self._journal, self._identity, self._ground, self._series = journal, identity, ground, series
        self._intents = [one for one in journal.intents if one.strategy == identity]

    def report(
        self, judge: Judge | None, given: SubscriberProfile | None
    ) -> tuple[StrategyReport, list[tuple[CandleDifference, Effect]]]:
        """Return the report, and what each candle of the store would have changed."""
        wanted = given if judge is None else judge.profile
        profile = wanted or self._ground.lived.profile or SubscriberProfile.anny()
        sent = book_of(self._journal, self._identity, self._ground, profile)
        asked = judge.strategy if judge is not None else None
        same = asked is None or asked.identity == self._identity
        told: Made | None = None
        stored: Execution | None = None
        if asked is None:
            mine = [one for one in self._intents if not one.by_person]
            venue = book_of_intents(mine, self._ground, profile)
            expected = {key_of(one): one.body for one in mine}
        else:
            backtest = walk(asked, self._ground.plain, profile)
            venue, expected = backtest.venue, made_of(backtest.decisions)
            if not self._all_equal(expected):
                told = made_of(walk(asked, self._ground, profile).decisions)
            stored = self._on_stored(asked, profile, backtest)
        lines = compare_calls(self._journal, self._intents, expected, told, same_identity=same)
        pnl, kept = (pnl_of(sent), pnl_of(venue)), None if stored is None else pnl_of(stored.venue)
        money, codes = money_of(lines, *pnl, kept), self._journal.codes[self._identity]
        report = StrategyReport(
            identity=self._identity,
            name=codes[-1].name if asked is None and codes else "" if asked is None else type(asked).__name__,
            parameters=json.loads(codes[-1].parameters if codes else "{}") if asked is None else asked.parameters,
            same_identity=same,
            same_code=None if asked is None else self._same_code(asked),
            asked=asked is not None,
            quote=self._ground.quote,
            balance=profile.balance,
            lines=lines,
            money=money,
            costs=costs_of(lines, money, profile.balance),
            stored_calls=None if stored is None else _other_calls(expected, made_of(stored.decisions)),
            sent=sum(pnl[0].values()),
            backtest=sum(pnl[1].values()),
            stored=None if kept is None else sum(kept.values()),
            fills=_other_fills(sent, venue),
        )
        effects = [] if stored is None or asked is None else self._effects(asked, profile, expected, pnl[1], stored)
        return report, effects

    def _all_equal(self, expected: Made) -> bool:
        return {key_of(one): one.body for one in self._intents} == expected

    def _same_code(self, asked: Strategy) -> bool | None:
        """Whether the strategy's file is the one that decided last; None where the journal does not know."""
        codes = self._journal.codes[self._identity]
        return codes[-1].code_hash == code_hash(asked) if codes else None

    def _faults(self) -> list[CandleDifference]:
        faults = {CandleFault.REVISED, CandleFault.MISSING}
        return [each for one in self._series for each in one.differences if each.fault in faults]

    def _on_stored(self, asked: Strategy, profile: SubscriberProfile, backtest: Execution) -> Execution | None:
        """Return the backtest on the store's candles; that on those acted on where they are the same."""
        if not any(one.stored for one in self._series):
            return None
        faults = self._faults()
        return self._with(asked, profile, faults) if faults else backtest

    def _with(self, asked: Strategy, profile: SubscriberProfile, faults: Sequence[CandleDifference]) -> Execution:
        candles = {symbol: corrected(one, faults, symbol) for symbol, one in self._ground.candles.items()}
        return walk(asked, self._ground.plain.on(candles), profile)

    def _effects(
        self,
        asked: Strategy,
        profile: SubscriberProfile,
        expected: Made,
        pnl: Mapping[str, float],
        stored: Execution,
    ) -> list[tuple[CandleDifference, Effect]]:
        """Return which candles change something, each put in place alone."""
        faults, total = self._faults(), sum(pnl.values())
        if not _other_calls(expected, made_of(stored.decisions)) and _same_money(pnl, pnl_of(stored.venue)):
            return []
        if len(faults) > _MOST_EFFECTS:
            return []
        found = []
        for fault in faults:
            alone = self._with(asked, profile, [fault])
            calls, after = len(_other_calls(expected, made_of(alone.decisions))), pnl_of(alone.venue)
            if calls or not _same_money(pnl, after):
                found.append((fault, Effect(calls, sum(after.values()) - total)))
        return found


def _same_money(one: Mapping[str, float], two: Mapping[str, float]) -> bool:
    return one.keys() == two.keys() and all(abs(value - two[ref]) <= _NOTHING for ref, value in one.items())


def _other_calls(expected: Made, other: Made) -> list[tuple[int, str, str, str | None, str | None]]:
    """Return the calls that two backtests make otherwise."""
    keys = sorted({*expected, *other})
    return [
        (key[0], key[1], key[2], expected.get(key), other.get(key))
        for key in keys
        if expected.get(key) != other.get(key)
    ]


def _other_fills(sent: SimulatedVenue, backtest: SimulatedVenue) -> dict[str, tuple[list[Fill], list[Fill]]]:
    """Return the fills of the signals that were filled otherwise."""
    one, two = _fills(sent), _fills(backtest)
    refs = dict.fromkeys([*two, *one])
    return {ref: (one.get(ref, []), two.get(ref, [])) for ref in refs if one.get(ref) != two.get(ref)}


def _fills(venue: SimulatedVenue) -> dict[str, list[Fill]]:
    found: dict[str, list[Fill]] = {}
    frame = fills_frame(venue)
    columns = [frame[name].tolist() for name in ("signal", "time", "kind", "price", "quantity", "fee")]
    for row in zip(*columns, strict=True):
        found.setdefault(row[0], []).append(Fill(*row))
    return found
