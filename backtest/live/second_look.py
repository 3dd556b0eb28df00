"""Second look: whether a call would have been another one, had a candle been then what it is now.

It asks the strategy twice over all that was seen, which takes a while: in a process of its own, behind everything else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.live.notices import NoticeKind
from backtest.live.outcomes import candles_of_seen
from backtest.live.reconcile_calls import made_of
from backtest.live.reconcile_replay import ground_of, walk
from backtest.live.schema import Stream
from backtest.live.seat import when
from backtest.live.snapshot import snapshot
from backtest.market_data.series import Series
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from backtest.runner.loading import load_strategy
from backtest.venue.credentials import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from backtest.live.notices import Notice, Notices
    from backtest.live.reconcile_replay import Ground
    from backtest.live.schema import Seen
    from backtest.live.snapshot import Place, Snapshot
    from backtest.strategy import Strategy

__all__ = ["Changed", "Judged", "SecondLook", "changes"]

_SECONDS = 900.0
_ALONE = 20
"""Revised candles that are looked at one by one; of more only what all together change is told."""


@dataclass(frozen=True)
class Judged:
    """A strategy that emits: who decides, for whom, and the rules of its markets by symbol."""

    strategy: Strategy
    profile: SubscriberProfile
    markets: Mapping[str, Market]

    def rules(self, place: Place, known: Market | None) -> Market:
        """Return the rules of a series' market: those that the journal knows, else those that were given.

        Parameters
        ----------
        place
            Exchange, symbol and timeframe.
        known
            By the journal.
        """
        return known or self.markets[place[1]]


@dataclass(frozen=True)
class Changed:
    """A candle that would have changed calls.

    Attributes
    ----------
    place
        Exchange, symbol and timeframe.
    time
        Of its opening, UTC ms; 0 for several together.
    sentence
        For a person.
    """

    place: tuple[str, str, str]
    time: int
    sentence: str


def changes(journal: Snapshot, judged: Sequence[Judged]) -> list[Changed]:
    """Return the candles of a journal that were revised and would have changed a call.

    Parameters
    ----------
    journal
        As it stands.
    judged
        Those that decide; one of no identity of the journal is passed over.
    """
    found = []
    for judge in judged:
        identity = judge.strategy.identity
        if identity in journal.strategies:
            found += _of(journal, judge, ground_of(journal, identity, judge.rules).plain)
    return found


def _of(journal: Snapshot, judge: Judged, ground: Ground) -> list[Changed]:
    revised = {
        (place, time): seen
        for symbol, place in ground.places.items()
        for time, seen in _revised(journal, place, ground, symbol).items()
    }
    if not revised:
        return []

    def made(candles: Ground) -> Mapping[Any, str]:
        return made_of(walk(judge.strategy, candles, judge.profile).decisions)

    before = made(ground)

    def differs(those: Mapping[tuple[Place, int], Seen]) -> str:
        after = made(_corrected(journal, ground, those))
        other = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
        if not other:
            return ""
        count = (
            "1 call would have been another one" if len(other) == 1 else f"{len(other)} calls would have been others"
        )
        return f"{count}, the first {other[0].kind} of {other[0].ref} at the close of {when(other[0].at)}"

    whole = differs(revised)
    if not whole:
        return []
    if len(revised) > _ALONE:
        (place, _), *_ = revised
        return [Changed(place, 0, f"{len(revised)} candles were revised: {whole}")]
    found = []
    for (place, time), seen in revised.items():
        sentence = whole if len(revised) == 1 else differs({(place, time): seen})
        if sentence:
            text = f"{place[1]} {place[2]}: with the candle of {when(time)} as it is now, {sentence}"
            found.append(Changed(place, time, text))
    return found


def _revised(journal: Snapshot, place: Place, ground: Ground, symbol: str) -> dict[int, Seen]:
    """Return the newest revision of each candle that was decided on."""
    candles = ground.candles[symbol]
    if not len(candles):
        return {}
    first, last = ground.lived.markets[symbol].start, int(candles.time[-1])
    return {
        one.seen.time: one.seen
        for one in journal.sightings[place]
        if one.revision > 0 and first <= one.seen.time <= last
    }


def _corrected(journal: Snapshot, ground: Ground, those: Mapping[tuple[Place, int], Seen]) -> Ground:
    candles = {}
    for symbol, place in ground.places.items():
        known = set(ground.candles[symbol].time.tolist())
        rows = {one.time: one for one in journal.acted(place) if one.time in known}
        rows |= {time: seen for (where, time), seen in those.items() if where == place}
        kept = [rows[time] for time in sorted(rows) if rows[time].open is not None]
        exchange, _, timeframe = place
        stream = Stream("", "", symbol, timeframe, exchange)
        candles[symbol] = candles_of_seen(kept, stream, volumes=journal.volumes[place])
    return ground.on(candles)


class SecondLook:
    """Looks whenever a candle was revised, and tells of each that would have changed a call once.

    Parameters
    ----------
    path
        Of the journal.
    strategies
        ``file``, ``parameters``, ``profile`` and ``markets`` of each, as JSON holds them.
    notices
        Hear what was found.
    now
        Returns UTC ms.
    """

    def __init__(
        self, path: Path, strategies: Sequence[dict[str, Any]], notices: Notices, now: Callable[[], int]
    ) -> None:
        self._asked = json.dumps({"journal": str(path), "strategies": list(strategies)})
        self._notices, self._now = notices, now
        self._told: set[tuple[Any, ...]] = set()

    def take(self, notice: Notice) -> None:
        """Look, where the notice is of a revision; called in a thread of its own."""
        if notice.kind is not NoticeKind.REVISION:
            return
        command = [sys.executable, "-m", "backtest.live.second_look"]
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            input=self._asked,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env=without_credentials(),
        )
        for one in json.loads(done.stdout) if done.returncode == 0 else []:
            key = (*one["place"], one["time"], one["sentence"])
            if key not in self._told:
                self._told.add(key)
                self._notices.tell(NoticeKind.CHANGED, self._now(), one["sentence"], (Series(*one["place"]),))


def _answer(asked: dict[str, Any]) -> list[dict[str, Any]]:
    judged = [
        Judged(
            load_strategy(each["file"])(**each["parameters"]),
            SubscriberProfile.from_dict(each["profile"]),
            {symbol: Market.from_dict(values) for symbol, values in each["markets"].items()},
        )
        for each in asked["strategies"]
    ]
    found = changes(snapshot(Path(asked["journal"])), judged)
    return [{"place": one.place, "time": one.time, "sentence": one.sentence} for one in found]


if __name__ == "__main__":
    os.nice(15)
    sys.stdout.write(json.dumps(_answer(json.load(sys.stdin))))
