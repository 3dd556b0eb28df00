"""Track record: what was sent, and what became of it, as lines that nobody can change afterwards without being seen.

A text file of JSON lines. Each line is canonical JSON (keys sorted, no spaces, ASCII) and holds in ``previous`` the SHA-256 of
the line before it, without its line end; the first one holds 64 zeros. The SHA-256 of the last line is the *head*: whoever
knows it knows that everything up to there is as it was. Lines are only ever added.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError, StorageError
from backtest.live.intent import State
from backtest.live.reconcile_replay import book_of, ground_of, pnl_of
from backtest.live.track_lines import why_not
from backtest.market_data.disk import write_atomic
from backtest.model.events import Status
from backtest.model.timeframe import milliseconds
from backtest.runner.frames import fills_frame
from backtest.venue.file_lock import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from backtest.engine.simulator import SimulatedVenue
    from backtest.live.reconcile_replay import Rules
    from backtest.live.snapshot import Place, Snapshot
    from backtest.model.profile import SubscriberProfile

__all__ = ["NOTHING", "Record", "figures_of", "hash_of", "publish", "read_record", "record_head"]

NOTHING = "0" * 64
"""What stands for the line before the first one."""
_FORMAT = 1
_OVER = frozenset({Status.CLOSED, Status.EXPIRED, Status.INVALIDATED, Status.CANCELED})
_THERE = (State.ACKED, State.LANDED)
Entry = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """A track record that was read, its chain unbroken.

    Attributes
    ----------
    path
        Of the file.
    lines
        As they stand there, without line ends.
    entries
        What they say, ``previous`` left out.
    """

    path: Path
    lines: Sequence[bytes]
    entries: Sequence[Entry] = field(repr=False)

    @property
    def head(self) -> str:
        """SHA-256 of the last line; zeros without one."""
        return hash_of(self.lines[-1]) if self.lines else NOTHING


def publish(
    path: Path,
    journal: Snapshot,
    rules: Rules,
    profile_of: Callable[[str, SubscriberProfile | None], SubscriberProfile],
) -> tuple[Record, int]:
    """Add to a track record what it does not have yet; return it, and how many lines are new.

    A call is there once the venue has confirmed it, a result once the signal has ended on the subscriber's account. Where a
    person's later decision about an unknown changes a result, it stands there once more, and says which line it corrects.

    Parameters
    ----------
    path
        Of the record; made where it is not there.
    journal
        What was sent.
    rules
        Returns the rules of a series' market, given those that the journal knows.
    profile_of
        Returns on whose account results are counted, by the strategy's identity and what the journal knows.

    Raises
    ------
    InvalidSettingError
        For a file that is no record, one of another journal, one whose lines the journal contradicts, or one to which
        another process is adding.
    StorageError
        Where the disk refuses.
    """
    lock = FileLock(path.with_name(f"{path.name}.lock"), "the track record beside")
    try:
        return _publish(path, journal, rules, profile_of)
    finally:
        lock.release()


def _publish(
    path: Path,
    journal: Snapshot,
    rules: Rules,
    profile_of: Callable[[str, SubscriberProfile | None], SubscriberProfile],
) -> tuple[Record, int]:
    record = read_record(path) if path.exists() else Record(path, (), ())
    known = {_name(entry): (number, entry) for number, entry in enumerate(record.entries, 1)}
    new: list[Entry] = []
    for entry in _entries(journal, rules, profile_of):
        found = known.get(_name(entry))
        if found is None:
            new.append(entry)
            known[_name(entry)] = (len(record.lines) + len(new), entry)
        elif _said(found[1]) != entry:
            if entry["kind"] != "result":
                raise InvalidSettingError(
                    f"line {found[0]} of {path} is not what the journal says: {_line(_said(found[1]), '')[:120]}; "
                    "name the record that belongs to this journal, or another file"
                )
            new.append({**entry, "corrects": found[0]})
    if new:
        figures = figures_of([*record.entries, *new])
        until = max(cursor.time for cursor in journal.cursors)
        new.append({"kind": "figures", "until": until, **figures})
    lines = list(record.lines)
    for entry in new:
        previous = hash_of(lines[-1]) if lines else NOTHING
        lines.append(_line(entry, previous).encode())
    if new:
        write_atomic(path, b"".join(line + b"\n" for line in lines))
    return Record(path, lines, [*record.entries, *new]), len(new)


def read_record(path: Path) -> Record:
    """Read a track record and follow its chain.

    Raises
    ------
    InvalidSettingError
        For a file that is none, or a line that does not follow the one before: with its number.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InvalidSettingError(f"there is no track record {path}; backtest reconcile --publish makes one") from None
    except OSError as error:
        raise StorageError(f"the track record {path} cannot be read: {error.strerror or error}") from None
    lines = raw.split(b"\n")
    if lines.pop():
        raise InvalidSettingError(f"{path} is no whole track record: its last line was cut short")
    if not lines:
        raise InvalidSettingError(f"{path} is no track record: it has no line; backtest reconcile --publish makes one")
    previous, entries = NOTHING, []
    for number, line in enumerate(lines, 1):
        entries.append(_entry(path, number, line, previous))
        previous = hash_of(line)
    return Record(path, lines, entries)


def record_head(path: Path) -> str:
    """Return the head of a record without reading all of it; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LONGEST))
            lines = file.read().split(b"\n")
    except OSError:
        return ""
    return hash_of(lines[-2]) if len(lines) > 1 and not lines[-1] else ""


_LONGEST = 1 << 20


def figures_of(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return what the results of a record are together: they follow from its lines alone.

    Returns
    -------
    dict
        ``signals`` sent, ``ended``, ``won`` (those with a gain), ``pnl`` (quote currency, after costs, of ended ones) and
        ``fraction`` of the capital.
    """
    results = {(entry["strategy"], entry["ref"]): entry for entry in entries if entry["kind"] == "result"}
    created = sum(entry["kind"] == "sent" and entry["call"].startswith("create") for entry in entries)
    return {
        "signals": created,
        "ended": len(results),
        "won": sum(entry["pnl"] > 0.0 for entry in results.values()),
        "pnl": sum(entry["pnl"] for entry in results.values()),
        "fraction": sum(entry["fraction"] for entry in results.values()),
    }


def _entries(
    journal: Snapshot, rules: Rules, profile_of: Callable[[str, SubscriberProfile | None], SubscriberProfile]
) -> Iterator[Entry]:
    first = journal.runs[0]
    name = hashlib.sha256(f"{first.mode}|{first.account}|{first.started_at}".encode()).hexdigest()[:16]
    yield {"kind": "record", "format": _FORMAT, "mode": first.mode, "journal": name, "begun": first.started_at}
    found: list[tuple[int, int, Entry]] = []
    for identity in journal.strategies:
        profile = profile_of(identity, journal.lived[identity].profile)
        yield {"kind": "strategy", "strategy": identity, "profile": profile.to_dict()}
        ground = ground_of(journal, identity, rules)
        venue = book_of(journal, identity, ground, profile)
        sent: dict[str, int] = {}
        for moment, entry in _sent(journal, identity):
            if entry["call"].startswith("create"):
                sent[entry["ref"]] = moment
            found.append((moment, 0, entry))
        for moment, entry in _results(identity, venue, ground.places, profile.balance):
            if entry["ref"] in sent:  # what a person found to have landed may have ended before
                found.append((max(moment, sent[entry["ref"]]), 1, entry))
    yield from (entry for _, _, entry in sorted(found, key=lambda one: one[:2]))


def _sent(journal: Snapshot, identity: str) -> Iterator[tuple[int, Entry]]:
    parents = {row.ref: row.parent_signal_id for row in journal.signals if row.strategy == identity}
    for intent in journal.intents:
        if intent.strategy != identity or intent.state not in _THERE:
            continue
        confirmed = journal.when(intent, *_THERE) or intent.candle
        starts = [one.at for one in journal.attempts.get(intent.id, ()) if one.phase == "start"]
        entry = {
            "kind": "sent",
            "id": intent.id,
            "strategy": identity,
            "symbol": intent.symbol,
            "timeframe": intent.timeframe,
            "ref": intent.ref,
            "venue_id": parents.get(intent.ref) or "",
            "call": intent.kind,
            "decided": intent.candle,
            "sent": starts[-1] if starts else confirmed,
            "confirmed": confirmed,
            "body": json.loads(intent.body),
        }
        yield (intent.candle if journal.is_recorded else confirmed), entry


def _results(
    identity: str, venue: SimulatedVenue, places: Mapping[str, Place], balance: float
) -> Iterator[tuple[int, Entry]]:
    """Yield what became of each signal that has ended, with the close at which that was known."""
    gain, ended = pnl_of(venue), _ends(venue)
    frame = fills_frame(venue)
    fills: dict[str, list[Entry]] = {}
    names = ("time", "kind", "buy", "price", "quantity", "fee")
    for ref, *row in zip(frame["signal"].tolist(), *(frame[name].tolist() for name in names), strict=True):
        fills.setdefault(ref, []).append(dict(zip(names, row, strict=True)))
    for number, ref in enumerate(venue.refs):
        status = venue.status(ref)
        if status not in _OVER or ref not in ended:
            continue
        entry: Entry = {
            "kind": "result",
            "strategy": identity,
            "ref": str(ref),
            "series": list(places[venue.symbol_of(number)]),
            "status": status.value,
            "ended": ended[ref],
            "pnl": gain[ref],
            "fraction": gain[ref] / balance,
            "fills": fills.get(ref, []),
        }
        yield ended[ref] + milliseconds(entry["series"][2]), entry


def _ends(venue: SimulatedVenue) -> dict[str, int]:
    """Return the open of the candle in which the last thing happened to each signal, UTC ms."""
    events, refs = venue.event_records, venue.refs
    return {
        str(refs[signal]): time for signal, time in zip(events["signal"].tolist(), events["time"].tolist(), strict=True)
    }


def _name(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a line is about: the same again is the same line."""
    if entry["kind"] == "figures":
        return ("figures", str(entry["until"]), _line(dict(entry), ""))
    return (entry["kind"], entry.get("strategy", ""), entry.get("id") or entry.get("ref", ""))


def _said(entry: Entry) -> Entry:
    return {name: value for name, value in entry.items() if name != "corrects"}


def _entry(path: Path, number: int, line: bytes, previous: str) -> Entry:
    """Return what a line says; one that does not follow the line before is refused."""
    try:
        entry = json.loads(line)
        before = entry.pop("previous")
        kind, canonical = entry["kind"], _line(entry, before)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InvalidSettingError(f"line {number} of {path} is no line of a track record: {line[:60]!r}") from None
    if number == 1 and (kind != "record" or entry.get("format") != _FORMAT):
        raise InvalidSettingError(f"{path} is no track record of format {_FORMAT}: its first line was {line[:60]!r}")
    if before != previous:
        raise InvalidSettingError(
            f"line {number} of {path} does not follow line {number - 1}: line {number - 1} was altered, or lines were "
            "removed, added or put in another order there"
            if number > 1
            else f"line 1 of {path} follows a line that is not there: lines before it were removed"
        )
    if canonical.encode() != line:
        raise InvalidSettingError(f"line {number} of {path} was written by something else: it is not canonical JSON")
    if reason := why_not(entry):
        raise InvalidSettingError(f"line {number} of {path} is no line of a track record: {reason}")
    return dict(entry)


def _line(entry: Entry, previous: str) -> str:
    return json.dumps({**entry, "previous": previous}, sort_keys=True, separators=(",", ":"), allow_nan=False)


def hash_of(line: bytes) -> str:
    """Return the SHA-256 of a line without its line end."""
    return hashlib.sha256(line).hexdigest()
