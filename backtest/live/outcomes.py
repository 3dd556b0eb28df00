"""Outcomes: what the journal knows became of a strategy's calls, for the shadow book, while it runs and read again."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.live.intent import Intent, State, intents_of
from backtest.live.journal import Journal
from backtest.live.schema import Stream, Told
from backtest.model.calls import Cancel
from backtest.model.candles import Candles
from backtest.model.events import SignalRef
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from backtest.runner.decision import Decision, Refusal
from backtest.runner.lived import Followed, Lived
from backtest.runner.shadow import CallKey, Fate, Settled
from backtest.wire import call_from_body, read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from backtest.live.schema import Seen
    from backtest.model.calls import Call

__all__ = ["JournalOutcomes", "candles_of_seen", "other_call", "read_lived", "told_of"]

_THERE = {State.ACKED, State.LANDED, State.ABANDONED}
_IN_DOUBT = {State.SENDING, State.UNKNOWN}


class JournalOutcomes:
    """What has become of the calls so far, of an emission that runs.

    What a person could not find out about (``abandoned``) counts as being at the venue, as it did while it was unknown.

    Parameters
    ----------
    journal
        Of the emission.
    strategy
        Identity of the strategy.
    """

    def __init__(self, journal: Journal, strategy: str) -> None:
        self._journal, self._strategy = journal, strategy

    @contextmanager
    def known(self, at: int) -> Iterator[_Known]:
        """Say what is known now, all of it from one moment of the journal: the sender goes on meanwhile."""
        with self._journal.moment():
            yield _Known(self._journal, self._strategy)


class _Known:
    """What the journal knows at one moment."""

    def __init__(self, journal: Journal, strategy: str) -> None:
        self._journal, self._strategy = journal, strategy

    def fate(self, key: CallKey) -> Fate | None:
        """Return what is known of a call; None while it waits to be sent."""
        intent = self._journal.intent_named(self._strategy, *key)
        if intent is None or intent.state is State.PLANNED:
            return None
        if intent.state in _THERE or intent.state in _IN_DOUBT:
            return Fate(entered=True, certain=intent.state in _THERE)
        note = self._journal.note(intent) or "not at the venue"
        return Fate(entered=False, reason=f"{intent.state}: {note}")

    def asked(self) -> Sequence[tuple[CallKey, Call]]:
        """Return the cancels that a person asked for, that are at the venue or may be, and were not told yet."""
        found = self._journal.untold_by_person(self._strategy)
        return [(_key(each), Cancel(SignalRef(each.ref))) for each in found if each.state in _THERE | _IN_DOUBT]


def read_lived(
    source: Journal | Path | str, strategy: str, place: tuple[str, str] = ("", ""), *, reached: int | None = None
) -> Lived:
    """Return what a strategy lived through, by its journal, also while that is written.

    Parameters
    ----------
    source
        The journal, or its path.
    strategy
        Identity of the strategy.
    place
        Exchange and timeframe, where it was on several; empty for any.
    reached
        Up to which close, UTC ms; None for all.

    Raises
    ------
    InvalidSettingError
        Where the journal knows nothing of the strategy, or knows it in several places.
    """
    if not isinstance(source, Journal):
        with Journal(source) as journal, journal.moment():
            return read_lived(journal, strategy, place, reached=reached)
    found = [one for one in source.cursors() if one.strategy == strategy]
    found = [one for one in found if place[0] in {"", one.exchange} and place[1] in {"", one.timeframe}]
    cursors = sorted(found, key=lambda one: one.symbol)
    if len({(one.exchange, one.timeframe) for one in cursors}) > 1:
        where = ", ".join(f"{one.exchange} {one.symbol} {one.timeframe}" for one in cursors)
        raise InvalidSettingError(f"the strategy was on {where}; give the candles of those that are meant")
    if not cursors:
        known = (
            ", ".join(dict.fromkeys(f"{one.strategy[:12]} on {one.symbol}" for one in source.cursors())) or "nothing"
        )
        raise InvalidSettingError(
            f"the journal {source.path} knows nothing of the strategy {strategy[:12]} (class name and parameters make it), "
            f"only of {known}"
        )
    last = max(one.time for one in cursors) if reached is None else reached
    markets, closes = {}, []
    for cursor in cursors:
        stream = Stream("", strategy, cursor.symbol, cursor.timeframe, cursor.exchange)
        markets[cursor.symbol], instants = _followed(source, stream, min(cursor.time, last))
        closes.append(instants)
    refused = source.refusals(strategy, cursors[0].timeframe)
    made: list[Decision | Refusal] = [one for one in refused if _symbol(one.signal) in markets]
    streams = {(one.symbol, one.timeframe) for one in cursors}
    keys: dict[str, CallKey] = {}
    asked: dict[CallKey, Call] = {}
    for intent in source.intents_of_strategy(strategy):
        if (intent.symbol, intent.timeframe) not in streams:
            continue
        key = keys[intent.id] = _key(intent)
        if intent.by_person:
            asked[key] = Cancel(SignalRef(intent.ref))
        else:
            made.append(Decision(intent.candle, _call_of(intent)))
    codes = source.codes(strategy)
    told = [one for one in source.told(strategy) if one.intent in keys and one.close <= last]
    profile = SubscriberProfile.from_dict(json.loads(codes[-1].profile)) if codes else None
    return Lived(
        markets,
        np.unique(np.concatenate(closes)),
        sorted((one for one in made if one.at <= last), key=lambda one: one.at),
        [Settled(keys[one.intent], one.outcome, one.entered, one.reason) for one in told],
        asked,
        max((code.close for code in codes if code.accepted), default=0),
        profile,
    )


def _followed(journal: Journal, stream: Stream, until: int) -> tuple[Followed, NDArray[np.int64]]:
    """Return one market up to a close, and the closes that were decided on: none where only history was seen yet.

    What an emission began with lies behind its history, so the first anchor and rules count from the beginning.
    """
    anchors = [one for k, one in enumerate(journal.anchors(stream)) if k == 0 or one[0] <= until]
    rules = [one for k, one in enumerate(journal.rules(stream)) if k == 0 or one[0] <= until]
    start = anchors[0][0] - stream.span + 1
    seen = [one for one in journal.seen(stream, anchors[0][1]) if one.time + stream.span <= until]
    candles = candles_of_seen(seen, stream, volumes=journal.volumes(stream))
    closes = np.array([one.time + stream.span for one in seen if one.time >= start], np.int64)
    return Followed(candles, start, anchors, rules or [(0, Market(stream.symbol))]), closes


def candles_of_seen(seen: Iterable[Seen], stream: Stream, *, volumes: bool = True) -> Candles:
    """Return the candles that were acted on, missing ones left out.

    Parameters
    ----------
    seen
        In order.
    stream
        Of which series.
    volumes
        Whether volumes mean anything.
    """
    rows = [one.row for one in seen if one.open is not None]
    t, o, h, l, c, v = np.array(rows, np.float64).reshape(-1, 6).T  # noqa: E741
    columns = (t.astype(np.int64), o, h, l, c, v)
    return Candles(stream.symbol, stream.timeframe, *columns, exchange=stream.exchange, volume_known=volumes)


def _symbol(ref: str) -> str:
    return ref.rpartition("-")[0].rpartition("-")[0]


def _call_of(intent: Intent) -> Call:
    body = read_object(intent.body)
    return call_from_body(intent.kind, body, intent.ref, allow_marketable=intent.allow_marketable)


def told_of(settled: Iterable[Settled], name: Callable[[CallKey], Intent | None], close: int) -> list[Told]:
    """Return what changed in the shadow book as the journal keeps it, with the close at which the strategy knew.

    Parameters
    ----------
    settled
        Before the candle of ``close`` was walked.
    name
        Returns the intent of a call.
    close
        UTC ms.
    """
    found = []
    for one in settled:
        intent = name(one.key)
        if intent is not None:
            found.append(Told(intent.id, one.outcome, close, one.at, one.reason))
    return found


def other_call(journal: Journal, stream: Stream, decisions: Sequence[Decision], until: int) -> str:
    """Return the first call that code decides otherwise than the journal, in a sentence; nothing where it is the same.

    Parameters
    ----------
    journal, stream
        What was decided, and by whom.
    decisions
        What the code decides now on what was seen, with the outcomes told.
    until
        Up to which close, UTC ms.
    """
    kept = [each for each in journal.intents_of_strategy(stream.strategy) if not each.by_person]
    kept = [each for each in kept if (each.symbol, each.timeframe) == (stream.symbol, stream.timeframe)]
    closes: dict[int, list[Call]] = {}
    for decision in decisions:
        if decision.at <= until:
            closes.setdefault(decision.at, []).append(decision.call)
    now = [intent for at, calls in closes.items() for intent in intents_of(stream, at, calls)]
    for number in range(max(len(kept), len(now))):
        before = kept[number] if number < len(kept) else None
        after = now[number] if number < len(now) else None
        if before is None or after is None or (before.id, before.body) != (after.id, after.body):
            return f"call {number + 1} of this journal was {_said(before)}, the code now decides on {_said(after)}"
    return ""


def _said(intent: Intent | None) -> str:
    return "none" if intent is None else f"{intent.kind} of {intent.ref} {intent.body}"


def _key(intent: Intent) -> CallKey:
    return CallKey(intent.candle, intent.kind, intent.ref, intent.number)
