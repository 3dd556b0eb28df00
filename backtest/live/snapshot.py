"""Snapshot: all that a journal holds at one moment, in memory, whoever goes on writing it meanwhile."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from backtest.errors import InvalidSettingError
from backtest.live.intent import Intent, State
from backtest.live.journal import Journal
from backtest.live.outcomes import read_lived
from backtest.live.schema import Run, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from backtest.live.schema import Code, Cursor, SignalRow, Told
    from backtest.runner.lived import Lived

__all__ = ["Attempt", "Place", "Sighting", "Snapshot", "Transition", "snapshot"]

Place = tuple[str, str, str]
"""Exchange, symbol and timeframe of a series of candles."""


class Transition(NamedTuple):
    """An intent became something: when (UTC ms), what, and why."""

    at: int
    state: State
    note: str


class Attempt(NamedTuple):
    """An attempt at a call began or ended: ``phase`` is ``start`` or ``end``, ``outcome`` what its answer proved."""

    at: int
    phase: str
    outcome: str


class Sighting(NamedTuple):
    """A candle as it was seen: revision 0 was acted on, later ones are what it was found to be afterwards."""

    seen: Seen
    revision: int


@dataclass(frozen=True)
class Snapshot:
    """A journal at one moment.

    Attributes
    ----------
    path
        Of the file.
    runs
        Every start of an emitter, oldest first.
    intents
        All calls, in the order of planning.
    transitions, attempts
        Of each intent by its id, oldest first.
    told
        What each strategy was told, by its identity.
    lived
        What each strategy lived through, as a run takes it.
    codes
        Which code decided for each, oldest first; empty where that is not known.
    signals
        All of them.
    cursors
        How far each stream has seen its candles.
    sightings
        The candles by series, ascending, revisions behind what they revise.
    volumes
        Whether the volumes of a series are known.
    """

    path: Path
    runs: Sequence[Run]
    intents: Sequence[Intent]
    transitions: Mapping[str, Sequence[Transition]]
    attempts: Mapping[str, Sequence[Attempt]]
    told: Mapping[str, Sequence[Told]]
    lived: Mapping[str, Lived]
    codes: Mapping[str, Sequence[Code]]
    signals: Sequence[SignalRow]
    cursors: Sequence[Cursor]
    sightings: Mapping[Place, Sequence[Sighting]]
    volumes: Mapping[Place, bool] = field(default_factory=dict)

    @property
    def run(self) -> Run:
        """The last start."""
        return self.runs[-1]

    @property
    def strategies(self) -> list[str]:
        """Identities of the strategies, in the order in which they were first seen."""
        return list(dict.fromkeys(cursor.strategy for cursor in self.cursors))

    def cursors_of(self, strategy: str) -> list[Cursor]:
        """Return how far a strategy has seen the candles of each market, by symbol."""
        return sorted((one for one in self.cursors if one.strategy == strategy), key=lambda one: one.symbol)

    def acted(self, place: Place, since: int = 0) -> list[Seen]:
        """Return the candles of a series as they were acted on, from an opening time (UTC ms) on."""
        return [one.seen for one in self.sightings[place] if one.revision == 0 and one.seen.time >= since]

    def when(self, intent: Intent, *states: State) -> int | None:
        """Return when a call was last in one of these states, UTC ms; None where it never was."""
        found = [one.at for one in self.transitions.get(intent.id, ()) if one.state in states]
        return found[-1] if found else None

    def note(self, intent: Intent) -> str:
        """Return what was noted with the state of a call."""
        found = self.transitions.get(intent.id, ())
        return found[-1].note if found else ""

    @property
    def is_recorded(self) -> bool:
        """Whether the candles were recorded ones, so that calls and candles do not share a clock."""
        acted = [one.seen for seen in self.sightings.values() for one in seen if one.seen.source != "missing"]
        return bool(acted) and not any(seen.arrived for seen in acted)


def snapshot(path: Path, *, verify: bool = True, exchange: str = "", timeframe: str = "") -> Snapshot:
    """Read a journal as it stands; an emitter may be writing it.

    Parameters
    ----------
    path
        Of the file.
    verify
        Whether every row is held against its hash.
    exchange, timeframe
        What is to be read of a journal in which one strategy decides in several places; empty for any.

    Raises
    ------
    InvalidSettingError
        For a file that is no journal of this version, for one in which nothing was decided yet, or nothing in that place,
        and for one in which a strategy decides in several places of which none was named.
    StorageError
        For a journal that is damaged or cut short.
    """
    with _Reader(path) as reader:
        return reader.whole((exchange, timeframe), verify=verify)


class _Reader(Journal):
    """A journal of which all questions are answered from one moment."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._storage():
            self._db.execute("BEGIN")  # SQLite answers from the moment of the first question on

    def whole(self, place: tuple[str, str], *, verify: bool) -> Snapshot:
        """Return all that belongs to a place: exchange and timeframe, empty for any."""
        with self._storage():
            runs = [
                Run(*row)
                for row in self._all("SELECT mode, account, started_at, code_hash, config_hash FROM run ORDER BY id")
            ]
            cursors = self.cursors()
            if not runs or not cursors:
                raise InvalidSettingError(
                    f"the journal {self.path} has seen no candle yet, so there is nothing to reconcile; backtest emit fills it"
                )
            cursors = self._chosen(cursors, place)
            self._refuse_several(cursors)
            if verify:
                self.verify()
            streams = {(one.strategy, one.symbol, one.timeframe) for one in cursors}
            intents = [one for one in self.intents() if (one.strategy, one.symbol, one.timeframe) in streams]
            ids, signals = {one.id for one in intents}, {one.signal for one in intents}
            told = {
                name: [one for one in self.told(name) if one.intent in ids]
                for name in dict.fromkeys(one.strategy for one in cursors)
            }
            return Snapshot(
                path=self.path,
                runs=runs,
                intents=intents,
                transitions={name: made for name, made in self._transitions().items() if name in ids},
                attempts={name: made for name, made in self._attempts().items() if name in ids},
                told=told,
                lived={name: read_lived(self, name, place) for name in told},
                codes={name: self.codes(name) for name in told},
                signals=[row for row in self.signals() if (row.strategy, row.ref) in signals],
                cursors=cursors,
                sightings=self._sightings(),
                volumes={
                    tuple(row[:3]): bool(row[3])
                    for row in self._all("SELECT exchange, symbol, timeframe, volumes FROM series")
                },
            )

    def _chosen(self, cursors: Sequence[Cursor], place: tuple[str, str]) -> list[Cursor]:
        exchange, timeframe = place
        found = [one for one in cursors if exchange in {"", one.exchange} and timeframe in {"", one.timeframe}]
        if not found:
            known = " and ".join(sorted({f"{one.exchange} {one.timeframe}".strip() for one in cursors}))
            named = f"{exchange} {timeframe}".strip()
            raise InvalidSettingError(f"in the journal {self.path} nothing decides on {named}, only on {known}")
        return found

    def _refuse_several(self, cursors: Sequence[Cursor]) -> None:
        """Refuse a journal in which one strategy with the same parameters decides in several places."""
        places: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for one in cursors:
            places[one.strategy].add((one.exchange, one.timeframe))
        for strategy, found in places.items():
            if len(found) > 1:
                where = " and ".join(f"{exchange} {timeframe}" for exchange, timeframe in sorted(found))
                raise InvalidSettingError(
                    f"in the journal {self.path} the strategy {strategy[:12]} decides on {where}: reconcile looks at one of "
                    "them, named by --exchange and --timeframe; posts want a journal for each"
                )

    def _transitions(self) -> dict[str, list[Transition]]:
        found: dict[str, list[Transition]] = defaultdict(list)
        for intent, at, state, note in self._all("SELECT intent, at, state, note FROM event ORDER BY id"):
            found[intent].append(Transition(at, State(state), note))
        return dict(found)

    def _attempts(self) -> dict[str, list[Attempt]]:
        found: dict[str, list[Attempt]] = defaultdict(list)
        for intent, at, phase, outcome in self._all("SELECT intent, at, phase, outcome FROM attempt ORDER BY id"):
            found[intent].append(Attempt(at, phase, outcome))
        return dict(found)

    def _sightings(self) -> dict[Place, list[Sighting]]:
        found: dict[Place, list[Sighting]] = {}
        columns = "n.time, n.open, n.high, n.low, n.close, n.volume, n.source, n.arrived, n.revision"
        for number, *place in self._all("SELECT id, exchange, symbol, timeframe FROM series ORDER BY id"):
            rows = self._all(f"SELECT {columns} FROM seen n WHERE n.series = ? ORDER BY n.time, n.revision", number)  # noqa: S608
            exchange, symbol, timeframe = place
            found[exchange, symbol, timeframe] = [Sighting(Seen(*row[:8]), row[8]) for row in rows]
        return found
